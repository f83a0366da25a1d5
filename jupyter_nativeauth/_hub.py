"""
Runs in: the Jupyter server. A JupyterHub has one address that leads everybody to their own server. No I/O.

Services compare redirect URIs as they are (RFC 9700, section 2.1), and at a hub each person's server has an address of
its own. The hub's ``/hub/user-redirect/…`` sends whoever is signed in there on to their server, with the query, so it
can be the one redirect URI of all. Should an answer end at another person's server, it opens nothing there: that server
knows neither its ``state`` nor the verifier of its code (RFC 7636), and the browser's cookie is not for its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

__all__ = ["is_at_hub", "onward", "shared_path"]


def is_at_hub(environ: Mapping[str, str]) -> bool:
    """Whether a hub has started this server."""
    return bool(environ.get("JUPYTERHUB_SERVICE_PREFIX"))


def shared_path(environ: Mapping[str, str]) -> str:
    """
    The path below which the hub leads everybody to their own server.

    Example:
        >>> shared_path({"JUPYTERHUB_BASE_URL": "/lab/"})
        '/lab/hub/user-redirect/'
    """
    return f"{environ.get('JUPYTERHUB_BASE_URL', '/').rstrip('/')}/hub/user-redirect/"


def onward(address: str, environ: Mapping[str, str]) -> str:
    """
    Where a browser ends up that is sent to *address*. Cookies for it, and pages that it is sent to next, belong there.

    Args:
        address: One of our own.
        environ: What the hub has told this server.

    Example:
        >>> hub = {"JUPYTERHUB_BASE_URL": "/", "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}
        >>> onward("https://hub.example/hub/user-redirect/nativeauth/callback", hub)
        'https://hub.example/user/ada/nativeauth/callback'
    """
    shared, path = shared_path(environ), urlsplit(address).path
    if not is_at_hub(environ) or not path.startswith(shared):
        return address
    # With `subdomain_host` each person's server has a host of its own, which only these two know.
    own = (
        environ.get("JUPYTERHUB_PUBLIC_URL")
        or environ.get("JUPYTERHUB_HOST", "") + environ["JUPYTERHUB_SERVICE_PREFIX"]
    )
    query = urlsplit(address).query
    return urljoin(address, f"{own.rstrip('/')}/{path.removeprefix(shared)}" + (f"?{query}" if query else ""))
