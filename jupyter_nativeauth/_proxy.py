"""
Runs in: everywhere. The HTTP proxy that stands between us and a service, and what is said when it lets nobody through.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

__all__ = ["Proxy", "proxy_to"]

_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")  # the order in which httpx believes them


class Proxy(NamedTuple):
    """Where the proxy is (never with the name and password that may stand in its address), and what names it."""

    place: str
    variable: str

    def words(self, host: str, error: Exception) -> tuple[str, str]:
        """
        What happened to a request for *host* that never left the proxy, and what to do.

        Only the status of a proxy that refuses is taken from *error*: the rest is the proxy's own text (RFC 9110,
        section 9.3.6).
        """
        status = re.match(r"\d{3}", str(error)) if type(error).__name__ == "ProxyError" else None
        message = f"The service at {host} could not be reached through the proxy {self.place} ({self.variable})"
        if isinstance(error, ImportError):  # httpx's word for a SOCKS proxy, without what it needs for one
            return f"{message}.", "Nothing was lost. For a SOCKS proxy, install: pip install 'httpx[socks]'"
        if status is None:
            return f"{message}.", f"Nothing was lost. Is the proxy right? To go around it, add {host} to NO_PROXY."
        if status[0] == "407":
            hint = f"It wants a name and a password: set {self.variable} to http://name:password@{self.place}"
            return f"{message}, which asks who you are (407).", f"Nothing was lost. {hint}"
        hint = f"Ask whoever runs the proxy to allow {host}, or add it to NO_PROXY to go around it."
        return f"{message}, which refused ({status[0]}).", f"Nothing was lost. {hint}"


def proxy_to(host: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """
    The proxy through which https requests for *host* go.

    Example:
        >>> proxy_to("id.acme.com", {"HTTPS_PROXY": "http://ada:secret@proxy.acme.com:3128"})
        Proxy(place='proxy.acme.com:3128', variable='HTTPS_PROXY')
    """
    variable = next((name for name in _VARIABLES if environ.get(name)), "")
    passed_by = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not variable or proxy_bypass_environment(host, {"no": passed_by}):
        return None
    address = environ[variable]
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return Proxy("there", variable)
    return Proxy(f"{parts.hostname or 'there'}{port}", variable)
