"""
Runs in: everywhere. Scheme, host and port of a URL: the only thing that decides where an access token may go. No I/O.

Below them, the URLs that a person writes into a profile: what is wrong with one is a ValueError, whose message goes on
after the name of the key. It does not repeat the URL, which may hold a password.
"""

from __future__ import annotations

import ipaddress
import re

__all__ = [
    "IPV6_ONLY",
    "api_of",
    "api_origin",
    "https_url",
    "is_loopback",
    "is_secure",
    "origin",
    "redirect_uri",
    "service_origin",
    "spelled",
    "stays_here",
]

IPV6_ONLY = ("::1", "::")
"""Where a Jupyter server that listens there cannot be reached by IPv4: tornado's sockets for ``::`` take IPv6 only."""

_URL = re.compile(r"(https?)://([^/?#]*)", re.IGNORECASE)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([1-9][0-9]{0,4}))?")
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")


def origin(url: str) -> tuple[str, str, int]:
    """
    The origin of *url* (RFC 6454): its scheme, its host in the one spelling that it has, and its port.

    Stricter than a browser: a URL that two programs could read in two ways has no origin. So ``https://good@evil/``,
    ``https://good\\.evil/``, ``https://127.1/`` and ``https://good./`` are refused, not interpreted. Names beyond ASCII
    become punycode by IDNA 2008, as httpx has it; the older rules lead to other hosts.

    Raises:
        ValueError: There is no such origin. The message says why, without the URL.

    Example:
        >>> origin("HTTPS://API.Example/v1")
        ('https', 'api.example', 443)
        >>> origin("http://[0:0::1]:8888")
        ('http', '::1', 8888)
    """
    if not isinstance(url, str) or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError("it must be text without blanks and control characters")
    start = _URL.match(url)
    if start is None:
        raise ValueError("it must begin with https://")
    scheme, authority = start[1].lower(), start[2]
    if "@" in authority:
        raise ValueError("it must not hold a user name or a password")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or int(parts[2] or 0) > 65535:
        raise ValueError("its host and port must look like host or host:1234")
    return scheme, _host(parts[1]), int(parts[2] or (443 if scheme == "https" else 80))


def _host(text: str) -> str:
    if text.startswith("["):
        if "%" in text:
            raise ValueError("its address must not name a network interface")
        try:
            return ipaddress.IPv6Address(text[1:-1]).compressed
        except ValueError:
            raise ValueError("it has brackets, and no IPv6 address in them") from None
    name = text.lower()
    if not name.isascii():
        import idna

        try:
            name = idna.encode(name).decode("ascii")
        except UnicodeError:
            raise ValueError("its host is not a name that the internet has (IDNA 2008)") from None
    if not _NAME.fullmatch(name):
        raise ValueError("its host must be a name such as api.example.com, without a dot at its end")
    if _NUMERIC.fullmatch(name):
        # Programs agree on four plain numbers only; 127.1, 0x7f.0.0.1 and 017.0.0.1 are other hosts to each of them.
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise ValueError("its host must be a name, or four numbers without leading zeros") from None
    return name


def spelled(scheme: str, host: str, port: int) -> str:
    """An origin as it stands in a URL, without a port that goes without saying."""
    where = f"[{host}]" if ":" in host else host
    return f"{scheme}://{where}" if port == (443 if scheme == "https" else 80) else f"{scheme}://{where}:{port}"


def is_loopback(host: str) -> bool:
    """Whether *host*, from :func:`origin`, is this machine's own name or address (RFC 8252, section 7.3)."""
    try:
        return host == "::1" or ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return host == "localhost"


def stays_here(host: str) -> bool:
    """
    Whether a request of ours to *host* does not leave this machine.

    Names below ``.localhost`` too: they are loopback, and never asked of a name server (RFC 6761, section 6.3). We look
    them up ourselves (``_http.py``); other programs may not, so they are no place for an access token or a redirect.
    """
    return is_loopback(host) or host.endswith(".localhost")


def is_secure(url: str) -> bool:
    """Whether *url* is https, or http that does not leave this machine."""
    try:
        scheme, host, _ = origin(url)
    except ValueError:
        return False
    return scheme == "https" or stays_here(host)


def https_url(url: str) -> str:
    """*url*, if it is secure and nothing but a place (RFC 8414, section 2: no query and no fragment)."""
    try:
        scheme, host, _ = origin(url)
    except ValueError as error:
        raise ValueError(f"is not a URL that can be used here: {error}") from None
    if scheme == "http" and not is_loopback(host):
        raise ValueError("must begin with https://; http:// is only for this machine (127.0.0.1, [::1], localhost)")
    if re.search(r"[?#\\]", url):
        raise ValueError("must be a URL without a query, a fragment and backslashes")
    return url


def api_origin(url: str) -> str:
    """The origin that *url* is, in the one spelling that it has."""
    found = spelled(*origin(https_url(url)))
    if url.partition("://")[2].partition("/")[2]:
        raise ValueError(f"must hold origins only: leave out the path after {found}")
    return found


def api_of(audience: str | None) -> tuple[str, ...]:
    """The origin of *audience*, if that is a URL that may see a token; else nothing."""
    if audience is None or not is_secure(audience):
        return ()
    scheme, host, port = origin(audience)
    return (spelled(scheme, host, port),) if scheme == "https" or is_loopback(host) else ()


def redirect_uri(url: str) -> str:
    """*url*, if the browser can come back to it: on this machine only to where our pages are."""
    if origin(https_url(url))[0] == "http" and not re.search(r"/nativeauth/callback(/[^/]+)?\Z", url):
        raise ValueError('must end in "/nativeauth/callback": this is where this machine listens')
    return url


def service_origin(text: str) -> str:
    """
    The origin of a service that a person names by its host, or by its address as a browser shows it.

    Example:
        >>> service_origin("ACME.eu.auth0.com"), service_origin("https://acme.eu.auth0.com/")
        ('https://acme.eu.auth0.com', 'https://acme.eu.auth0.com')
    """
    url = text if "://" in text else f"https://{text}"
    try:
        found = origin(url)
    except ValueError:
        found = None
    if found is None or re.search(r"[?#\\]", url) or url.partition("://")[2].partition("/")[2]:
        raise ValueError(
            'must be a host name such as "acme.example.com", or "https://acme.example.com", without a path'
        )
    if found[0] == "http" and not stays_here(found[1]):
        raise ValueError("must begin with https://; http:// is only for this machine (127.0.0.1, [::1], localhost)")
    return spelled(*found)
