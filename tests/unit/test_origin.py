"""The origin of a URL: where an access token may go; and which URLs may stand in a profile, to what end. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth._origin import (
    api_of,
    api_origin,
    https_url,
    is_loopback,
    is_secure,
    origin,
    redirect_uri,
    service_origin,
    spelled,
    stays_here,
)
from tests.tries import tries

ORIGINS = [
    ("https://api.example", ("https", "api.example", 443)),
    ("http://api.example", ("http", "api.example", 80)),
    ("HTTPS://API.Example:443/V1?q=1#f", ("https", "api.example", 443)),
    ("https://api.example:8443/a@b:c", ("https", "api.example", 8443)),
    ("https://api.example?q=https://evil.example", ("https", "api.example", 443)),
    ("https://api.example#@evil.example", ("https", "api.example", 443)),
    ("https://api.example/?q=\\", ("https", "api.example", 443)),
    ("https://127.0.0.1:1", ("https", "127.0.0.1", 1)),
    ("http://[::1]:65535/", ("http", "::1", 65535)),
    ("http://[0:0:0:0:0:0:0:1]", ("http", "::1", 80)),
    ("http://[2001:DB8::A]", ("http", "2001:db8::a", 80)),
    ("https://m\u00fcnchen.example", ("https", "xn--mnchen-3ya.example", 443)),
    ("https://M\u00dcNCHEN.example", ("https", "xn--mnchen-3ya.example", 443)),
    ("https://fa\u00df.example", ("https", "xn--fa-hia.example", 443)),
    ("https://a_b.example", ("https", "a_b.example", 443)),
]

NO_ORIGIN = [
    *("", "api.example", "//api.example", "/v1", "https:api.example", "https:/api.example", "https:///api.example"),
    *("https://", "https://:443", "https://?x", "https://#x", "ftp://api.example", "javascript://api.example"),
    *(
        "ws://api.example",
        "file:///etc/passwd",
        " https://api.example",
        "https://api.example ",
        "ht\ntps://api.example",
    ),
    *("https://api.example\n", "https://api.example/\x00", "https://api.ex\tample", "https://api.example/a b"),
    *(
        "https://good.example@evil.example",
        "https://@api.example",
        "https://a:b@api.example",
        "https://a%40b@c.example",
    ),
    *(
        "http://localhost:80@attacker.test",
        "https://good.example\\@evil.example",
        "https://good.example\\.evil.example",
    ),
    *("https:\\\\api.example", "https://api.example\\", "https://api.example:", "https://api.example:0"),
    *("https://api.example:65536", "https://api.example:99999", "https://api.example:0443", "https://api.example:-1"),
    *("https://api.example:443:443", "https://api.example:4\u0664", "https://api.example:http"),
    *("https://api.example.", "https://.example", "https://api..example", "https://-a.example", "https://a-.example"),
    *("https://api%2eexample", "https://ex%61mple.example", "https://api.example%00.evil.example", "https://*.example"),
    *("https://127.1", "https://127.0.0.01", "https://0x7f.0.0.1", "https://2130706433", "https://0x7f000001"),
    *("https://1.2.3.4.5", "https://256.0.0.1", "https://a.1", "https://a.0x1", "https://1.2.3.4."),
    *("https://[::1", "https://::1", "https://[127.0.0.1]", "https://[fe80::1%25eth0]", "https://[v1.x]", "https://[]"),
    *("https://[::1]a", "https://a[::1]", "https://\uff41pi.example", "https://a\u2044b.example", "https://a\u200db.c"),
    *("https://" + "a" * 64 + ".example", "https://" + "a." * 127 + "example", "https://\ud800.example"),
]


@pytest.mark.parametrize(("url", "expected"), ORIGINS)
def test_origin(url: str, expected: tuple[str, str, int]) -> None:
    """SEC-070: scheme, host and port, in the one spelling that they have."""
    assert origin(url) == expected


@pytest.mark.parametrize("url", NO_ORIGIN)
def test_no_origin(url: str) -> None:
    """SEC-070, ADV-011: a URL that two programs could read in two ways has no origin; the error does not repeat it."""
    with pytest.raises(ValueError, match=r"^it") as caught:
        origin(url)
    assert "example" not in str(caught.value).replace("api.example.com", "")
    assert not is_secure(url)


@pytest.mark.parametrize("value", [None, 5, b"https://api.example", ["https://api.example"]])
def test_no_url(value: Any) -> None:
    """What is no text has no origin either."""
    with pytest.raises(ValueError, match="text"):
        origin(value)


HOSTS = [
    "api.example",
    "API.example",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "m\u00fcnchen.example",
    "fa\u00df.de",
    "a_b.c",
]


@tries(300)
@given(
    st.sampled_from(["http", "https", "HTTPS"]),
    st.sampled_from(HOSTS) | st.text(alphabet="aA1.-_%@:[]\\/?#\u00df\u3002\uff0e", max_size=12),
    st.sampled_from(["", ":443", ":80", ":8443", ":"]),
    st.sampled_from(["", "/", "/v1", "?q", "#f", "\\@evil.example", "/@evil.example"]),
)
def test_origin_is_where_httpx_connects(scheme: str, host: str, port: str, rest: str) -> None:
    """FUZ-010: whenever there is an origin, httpx would connect to exactly that scheme, host and port."""
    import httpx

    url = f"{scheme}://{host}{port}{rest}"
    try:
        found = origin(url)
    except ValueError:
        return
    other = httpx.URL(url)
    assert found == (other.scheme, other.raw_host.decode(), other.port or {"http": 80, "https": 443}[other.scheme])
    assert origin(str(other)) == found


@pytest.mark.parametrize("host", ["127.0.0.1", "127.255.255.254", "::1", "localhost"])
def test_loopback(host: str) -> None:
    """RFC 8252, section 7.3: this machine's own names and addresses."""
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["128.0.0.1", "127.0.0.1.nip.io", "127.1", "localhost.", "a.localhost", "::", "::ffff:127.0.0.1", "0.0.0.0", ""],
)
def test_not_loopback(host: str) -> None:
    """Everything else is another machine, or could be."""
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ["app.localhost", "tenant-app.localhost", "a.b.localhost", "localhost", "127.0.0.1"])
def test_what_stays_on_this_machine(host: str) -> None:
    """RFC 6761, section 6.3: names below .localhost are this machine. For the service's own addresses only."""
    assert stays_here(host)
    assert is_secure(f"http://{host}:9000/x")


@pytest.mark.parametrize("host", ["localhost.example", "xlocalhost", "app.localhost.example", "localhost."])
def test_what_does_not_stay(host: str) -> None:
    """Everything else goes somewhere."""
    assert not is_secure(f"http://{host}/")


# --- In words -----------------------------------------------------------------------------------------------------

USER = "it must not hold a user name or a password"
BRACKETS = "it has brackets, and no IPv6 address in them"
NAME = "its host must be a name such as api.example.com, without a dot at its end"
PORT = "its host and port must look like host or host:1234"
HTTPS = "must begin with https://; http:// is only for this machine (127.0.0.1, [::1], localhost)"
PLACE = "must be a URL without a query, a fragment and backslashes"
HOST = 'must be a host name such as "acme.example.com", or "https://acme.example.com", without a path'


def refusal(read: Callable[[str], object], url: str) -> str:
    """What *read* says of *url*, with nothing behind it that could hold the URL."""
    with pytest.raises(ValueError, match=r"must|brackets|not a name") as caught:
        read(url)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://api.example/a b", "it must be text without blanks and control characters"),
        ("ftp://api.example", "it must begin with https://"),
        ("https://ada:NATK-secret@api.example", USER),
        ("https://api.example:65536", PORT),
        ("https://api.example:http", PORT),
        ("https://[fe80::1%eth0]", "its address must not name a network interface"),
        ("https://[127.0.0.1]", BRACKETS),
        ("https://[]", BRACKETS),
        ("https://a\u200db.example", "its host is not a name that the internet has (IDNA 2008)"),
        ("https://api.example.", NAME),
        ("https://127.1", "its host must be a name, or four numbers without leading zeros"),
    ],
)
def test_why_there_is_no_origin(url: str, message: str) -> None:
    """NRM-041: each fault has its own sentence, which a person can act on."""
    assert refusal(origin, url) == message


# --- What stands in a profile -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://api.example", ("https", "api.example", 443)),
        ("http://api.example", ("http", "api.example", 80)),
        ("https://api.example:80", ("https", "api.example", 80)),
        ("http://api.example:443", ("http", "api.example", 443)),
        ("https://[::1]:8443", ("https", "::1", 8443)),
        ("http://[::1]", ("http", "::1", 80)),
    ],
)
def test_spelled(url: str, found: tuple[str, str, int]) -> None:
    """RFC 6454, section 6.2: a port that goes without saying is left out, and only that; IPv6 stands in brackets."""
    assert spelled(*found) == url
    assert origin(url) == found


@pytest.mark.parametrize(
    "url", ["https://id.example", "HTTPS://ID.example/Tenant/", "http://[::1]:9/x", "http://localhost"]
)
def test_secure_urls(url: str) -> None:
    """RFC 8414, section 2: an issuer, say; it is kept to the letter."""
    assert https_url(url) == url
    assert is_secure(url)


@pytest.mark.parametrize("read", [https_url, api_origin, redirect_uri])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://ada:NATK-secret@id.example", f"is not a URL that can be used here: {USER}"),
        ("http://id.example", HTTPS),
        ("http://app.localhost:9000", HTTPS),  # other programs may ask a name server for it
        ("https://id.example/?x", PLACE),
        ("https://id.example/#x", PLACE),
        ("https://id.example/\\x", PLACE),
    ],
)
def test_no_secure_urls(read: Callable[[str], str], url: str, message: str) -> None:
    """SEC-077, ADV-031: no token, no code and no secret goes to what is not https, or is more than a place."""
    assert refusal(read, url) == message


def test_api_origin() -> None:
    """An API is named by its origin alone, however it is spelled."""
    assert api_origin("https://API.example:443/") == "https://api.example"
    assert api_origin("http://127.0.0.1:8000") == "http://127.0.0.1:8000"
    assert refusal(api_origin, "https://API.example/v1") == (
        "must hold origins only: leave out the path after https://api.example"
    )


@pytest.mark.parametrize(
    ("audience", "api"),
    [
        ("https://API.example/v2?x#y", ("https://api.example",)),
        ("http://localhost:3000/", ("http://localhost:3000",)),
        ("http://app.localhost:3000/", ()),
        ("http://api.example", ()),
        ("https://ada@api.example", ()),
        ("urn:example:api", ()),
        ("", ()),
        (None, ()),
    ],
)
def test_the_api_of_an_audience(audience: str | None, api: tuple[str, ...]) -> None:
    """SEC-070: only a URL that is fit for a token makes an API out of an audience."""
    assert api_of(audience) == api


@pytest.mark.parametrize(
    "url",
    [
        "https://hub.example/any",
        "http://127.0.0.1/nativeauth/callback",
        "http://[::1]:8888/lab/nativeauth/callback/acme",
    ],
)
def test_redirect_uris(url: str) -> None:
    """RFC 8252, section 7.3: this machine answers where our pages are; what another host looks like is its affair."""
    assert redirect_uri(url) == url


@pytest.mark.parametrize("path", ["", "/", "/callback", "/nativeauth/callback/", "/nativeauth/callback/a/b"])
def test_no_redirect_uris(path: str) -> None:
    """A browser that comes back to any other place on this machine finds nobody."""
    assert refusal(redirect_uri, f"http://127.0.0.1:8888{path}") == (
        'must end in "/nativeauth/callback": this is where this machine listens'
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("acme", "https://acme"),
        ("ACME.example", "https://acme.example"),
        ("acme.example:8443", "https://acme.example:8443"),
        ("https://acme.example/", "https://acme.example"),
        ("http://[::1]:9000", "http://[::1]:9000"),
        ("http://app.localhost:9000", "http://app.localhost:9000"),
    ],
)
def test_a_service_by_its_host(text: str, found: str) -> None:
    """A0-1, SK-1: consoles show a host with and without https://, and browsers with a slash at its end."""
    assert service_origin(text) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", HOST),
        ("acme.example/x", HOST),
        ("https://acme.example//", HOST),
        ("acme.example?x", HOST),
        ("acme.example#x", HOST),
        ("acme.example\\x", HOST),
        ("ada@acme.example", HOST),
        ("ftp://acme.example", HOST),
        ("http://acme.example", HTTPS),
    ],
)
def test_no_service(text: str, message: str) -> None:
    """What is more than a host names no service, and none is asked without https."""
    assert refusal(service_origin, text) == message
