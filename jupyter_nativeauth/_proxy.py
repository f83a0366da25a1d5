"""
Runs in: everywhere. The HTTP proxy that stands between us and a service, and what is said when it lets nobody through.

It is found here, not by httpx: that makes a client for each proxy that is named anywhere, so one that nobody asked for
(desktops set ``ALL_PROXY=socks://…`` beside ``HTTPS_PROXY``) would end every request.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import urlsplit
from urllib.request import getproxies, getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

__all__ = ["Proxy", "proxy_to", "unusable"]

_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")  # the order in which httpx believes them
_SYSTEM = "this computer's settings"
_SCHEMES = ("http", "https", "socks5", "socks5h")
_BEGINS = "Its address must begin with http:// or socks5:// (only few proxies are https:// themselves)."
_INSTALL = "For a SOCKS proxy, install: pip install 'httpx[socks]'"


@dataclass(frozen=True)
class Proxy:
    """Where the proxy is (never with the name and password that may stand in its address), and what names it."""

    place: str
    variable: str
    url: str = field(repr=False, compare=False)
    """For httpx. The name and the password are in it."""

    @property
    def speaks_tls(self) -> bool:
        """Whether the way to the proxy itself is https, too."""
        return self._scheme == "https"

    @property
    def _scheme(self) -> str:
        return self.url.partition("://")[0].lower()

    def words(self, host: str, error: Exception) -> tuple[str, str]:
        """
        What happened to a request for *host* that never left the proxy, and what to do.

        Only the status of a proxy that refuses is taken from *error*: the rest is the proxy's own text (RFC 9110,
        section 9.3.6).
        """
        status = re.match(r"\d{3}", str(error)) if type(error).__name__ == "ProxyError" else None
        message = f"The service at {host} could not be reached through the proxy {self.place} ({self.variable})"
        to_set = "HTTPS_PROXY" if self.variable == _SYSTEM else self.variable
        if isinstance(error, ImportError):  # httpx's word for a SOCKS proxy, without what it needs for one
            return f"{message}.", f"Nothing was lost. {_INSTALL}"
        if status is not None and status[0] == "407":
            hint = f"It wants a name and a password: set {to_set} to http://name:password@{self.place}"
            return f"{message}, which asks who you are (407).", f"Nothing was lost. {hint}"
        if status is not None:
            hint = f"Ask whoever runs the proxy to allow {host}, or add it to NO_PROXY to go around it."
            return f"{message}, which refused ({status[0]}).", f"Nothing was lost. {hint}"
        if self._scheme not in _SCHEMES:
            return f"{message}.", f"Nothing was lost. {_BEGINS} Correct {to_set}."
        if self.speaks_tls:
            hint = f"Does it speak TLS itself, with a trusted certificate? Most do not: set {to_set} to http://{self.place}"
            return f"{message}.", f"Nothing was lost. {hint}"
        return f"{message}.", f"Nothing was lost. Is the proxy right? To go around it, add {host} to NO_PROXY."


def proxy_to(host: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """
    The proxy through which https requests for *host* go: that of the environment; if it says nothing of proxies, that
    of the system's settings (macOS, Windows).

    Example:
        >>> proxy_to("id.acme.com", {"HTTPS_PROXY": "http://ada:secret@proxy.acme.com:3128"})
        Proxy(place='proxy.acme.com:3128', variable='HTTPS_PROXY')
    """
    variable = next((name for name in _VARIABLES if environ.get(name)), "")
    address = environ.get(variable, "")
    if not variable and environ is os.environ and sys.platform in ("darwin", "win32") and not getproxies_environment():
        variable, address = _SYSTEM, getproxies().get("https", "")
    passed_by = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not address or proxy_bypass_environment(host, {"no": passed_by}):
        return None
    url = address if "://" in address else f"http://{address}"
    try:
        parts = urlsplit(url)
        name = parts.hostname or "there"
        place = f"[{name}]" if ":" in name else name
        return Proxy(f"{place}:{parts.port}" if parts.port else place, variable, url)
    except ValueError:
        return Proxy("there", variable, url)


def unusable(environ: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """
    What keeps httpx from making a client with the proxies of the environment, and what to do.

    It gets ready for each that is named, so one that no request would go through is enough.
    """
    if "*" in (environ.get("no_proxy") or environ.get("NO_PROXY") or "").split(","):
        return None
    for scheme in ("http", "https", "all"):
        name = f"{scheme}_proxy" if environ.get(f"{scheme}_proxy") else f"{scheme}_proxy".upper()
        kind, found, _ = environ.get(name, "").partition("://")
        if found and kind.lower() not in _SCHEMES:
            return f"{name} names no proxy that httpx can speak to.", f"{_BEGINS} Correct {name}, or remove it."
        if found and kind.lower().startswith("socks") and find_spec("socksio") is None:
            return f"{name} names a SOCKS proxy, and what httpx needs for one is not here.", _INSTALL
    return None
