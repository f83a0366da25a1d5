"""A browser that reaches Jupyter by another address than Jupyter has: it comes back by itself, or learns what to do."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests.answers import redirect
from tests.hostile import Hostile
from tests.html_page import Page
from tests.http_browser import HttpBrowser
from tests.jupyter.site import Site
from tests.reverse_proxy import reverse_proxy
from tests.ssh import Ssh


@pytest.fixture
def jp_base_url() -> str:
    return "/jupyter/"


@pytest.fixture
def nginx(site: Site, tmp_path: Path, jp_base_url: str) -> Iterator[tuple[int, HttpBrowser]]:
    """The port of an nginx in front of Jupyter, always below /jupyter/, and a browser that trusts its certificate."""
    site.app.web_app.settings["allow_remote_access"] = True
    with reverse_proxy(tmp_path / "nginx", site.port, strip=jp_base_url == "/") as (port, ca_file):
        yield port, HttpBrowser(press=["Sign in", "Go on"], ca_file=ca_file)


async def sign_in(site: Site, origin: str, browser: HttpBrowser, *, flow: str = "") -> Page:
    """Open our page at *origin*, and press what is there to press."""
    token = site.app.identity_provider.token
    return await site.visit(f"{origin}{site.base}login?profile=acme&flow={flow}&token={token}", browser)


def no(state: str | None) -> str:
    """What a service sends back where its person has said no."""
    return urlencode({"error": "access_denied", "state": state or ""})


def redirect_uri_of(hostile: Hostile) -> str:
    (asked,) = hostile.hits("authorize")
    return asked.get("redirect_uri") or ""


async def test_behind_tls_and_a_path(site: Site, hostile: Hostile, nginx: tuple[int, HttpBrowser]) -> None:
    """SEC-022, NRM-012: with the lines in docs/network.md it needs no setting; the cookies are Secure, and for us."""
    port, browser = nginx
    done = await sign_in(site, f"https://127.0.0.1:{port}", browser)
    assert done.url == f"https://127.0.0.1:{port}/jupyter/nativeauth/done/signed-in"
    assert redirect_uri_of(hostile) == f"https://127.0.0.1:{port}/jupyter/nativeauth/callback"
    set_cookies = [value for hop in browser.hops for name, value in hop.headers if name.lower() == "set-cookie"]
    binding = next(value for value in set_cookies if value.startswith("nativeauth-"))
    assert "Secure" in binding
    assert "Path=/jupyter/nativeauth/callback" in binding
    assert (await site.row())["state"] == "signed_in"


async def test_behind_a_proxy_at_a_name(site: Site, hostile: Hostile, nginx: tuple[int, HttpBrowser]) -> None:
    """SEC-022, SEC-024: the page says what to set, to the letter, and it works then. Before, nobody is sent away."""
    port, browser = nginx
    origin = f"https://jupyter.localhost:{port}"  # another name than this machine's
    refused = await sign_in(site, origin, browser)
    assert "The browser is not on this machine" in refused.text
    uri = f"{origin}/jupyter/nativeauth/callback"
    assert f"redirect_uri = &quot;{uri}&quot;" in refused.text
    assert hostile.hits("authorize") == []
    site.write(acme={"redirect_uri": uri})
    done = await sign_in(site, origin, browser)
    assert done.url == f"{origin}/jupyter/nativeauth/done/signed-in"
    assert redirect_uri_of(hostile) == uri


@pytest.mark.parametrize("jp_base_url", ["/"])
@pytest.mark.parametrize("flow", ["", "paste"])
async def test_a_proxy_that_takes_the_path_off(
    site: Site, hostile: Hostile, nginx: tuple[int, HttpBrowser], flow: str
) -> None:
    """Jupyter's own pages lack everything then. Ours says what to set, to the letter, before it sends anybody away."""
    port, browser = nginx
    origin = f"https://127.0.0.1:{port}"
    jupyter = await site.visit(f"{origin}/jupyter/", browser)
    style = re.search(r'href="(/[^"]*\.css[^"]*)"', jupyter.text)
    assert style is not None
    assert (await site.visit(origin + style[1], browser)).status == 404
    refused = await sign_in(site, f"{origin}/jupyter", browser, flow=flow)
    assert "A proxy takes the path /jupyter/ off" in refused.text
    assert "--ServerApp.base_url=&quot;/jupyter/&quot;" in refused.text
    assert refused.links["Try again"].startswith(f"{origin}/jupyter/nativeauth/login?")
    assert hostile.hits("authorize") == []


@pytest.mark.parametrize("jp_base_url", ["/"])
async def test_a_path_that_the_profile_names_is_where_our_pages_are(
    site: Site, hostile: Hostile, nginx: tuple[int, HttpBrowser]
) -> None:
    """Where ``redirect_uri`` names a path that a proxy takes off, links, cookies and *Try again* are below it."""
    port, browser = nginx
    origin = f"https://127.0.0.1:{port}/jupyter"
    site.write(acme={"redirect_uri": f"{origin}/nativeauth/callback"})
    hostile.answer("authorize", lambda asked: redirect(f"{origin}/nativeauth/callback?{no(asked.get('state'))}"))
    denied = await sign_in(site, origin, browser)
    assert denied.url.startswith(f"{origin}/nativeauth/done/denied")
    done = await asyncio.to_thread(browser.click, denied, "Try again")
    assert done.url == f"{origin}/nativeauth/done/signed-in"
    assert (await site.row())["state"] == "signed_in"
    browser.press, browser.follow_refresh = ("Sign in",), False
    on = (await sign_in(site, origin, browser)).links["Go on"]
    await asyncio.to_thread(browser.request, "GET", on)
    browser.cookies = [cookie for cookie in browser.cookies if not cookie.name.startswith("nativeauth-")]
    other = await site.visit(on, browser)
    assert (other.status, other.links["Try again"]) == (403, f"{origin}/nativeauth/login?profile=acme")
    asked = await site.visit(f"{origin}/nativeauth/logout?profile=acme", browser)
    over = await asyncio.to_thread(browser.submit, asked, "Sign out")
    assert "You are signed out" in over.text
    assert over.url.startswith(f"{origin}/nativeauth/")


async def test_a_name_in_a_header_is_not_believed(site: Site, hostile: Hostile) -> None:
    """SEC-022: whoever sends another ``Host`` or ``X-Forwarded-Host`` has no code sent there."""
    token = site.app.identity_provider.token
    site.app.web_app.settings["allow_remote_access"] = True
    for headers in (
        {"Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "Forwarded": "host=evil.example"},
    ):
        navigation = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        answer = await site.fetch(f"login?profile=acme&token={token}", headers={**navigation, **headers})
        assert answer.code == 200  # a page with a button, no redirect
        assert b"evil.example" not in (answer.body or b"")
    assert hostile.hits("authorize") == []


@pytest.fixture
def tunnel(site: Site, tmp_path: Path) -> Iterator[int]:
    """The near end of ``ssh -L`` to Jupyter."""
    with Ssh(tmp_path / "ssh").tunnel(site.port) as port:
        yield port


async def test_through_a_tunnel(site: Site, hostile: Hostile, tunnel: int) -> None:
    """NRM-003, NRM-008, SEC-024: the browser comes back through the tunnel, by the address and not by the name."""
    for host in ("127.0.0.1", "localhost"):
        done = await sign_in(site, f"http://{host}:{tunnel}", HttpBrowser(press=["Sign in", "Go on"]))
        assert done.url == f"http://127.0.0.1:{tunnel}/jupyter/nativeauth/done/signed-in"
    uris = [asked.get("redirect_uri") for asked in hostile.hits("authorize")]
    assert uris == [f"http://127.0.0.1:{tunnel}/jupyter/nativeauth/callback"] * 2


async def test_a_tunnel_at_a_port_that_is_not_registered(site: Site, hostile: Hostile, tunnel: int) -> None:
    """The service compares ports: the sentence names those that would do, before anybody is sent anywhere."""
    site.write(acme={"redirect_ports": [40001, 40002]})
    refused = await sign_in(site, f"http://127.0.0.1:{tunnel}", HttpBrowser(press=["Sign in", "Go on"]))
    assert "40001" in refused.text
    assert "40002" in refused.text
    assert hostile.hits("authorize") == []


@pytest.mark.parametrize(
    ("host", "literal"),
    [("localhost", "[::1]"), ("[::1]", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("127.9.9.9", "127.0.0.1")],
)
@pytest.mark.parametrize("ip", ["::1", "::"])
def test_a_jupyter_that_listens_on_ipv6_only(site: Site, ip: str, host: str, literal: str) -> None:
    """RFC 8252, section 7.3: ``localhost`` is where it listens; an address is the near end of a tunnel, and stays."""
    site.app.ip = ip
    uri = f"http://{literal}:9999/jupyter/nativeauth/callback"
    assert site.extension.redirect_base(f"{host}:9999", forwarded=False) == uri


@pytest.mark.parametrize(
    "place", ["http://192.168.1.7:8888", "http://notebooks.lan:8888", "http://127.0.0.1.evil.example"]
)
async def test_plain_http_from_another_machine(site: Site, hostile: Hostile, place: str) -> None:
    """RFC 8252, section 8.3: no ``redirect_uri`` would do; the sentence says what would; paste back is a click away."""
    site.app.web_app.settings["allow_remote_access"] = True
    headers = {
        "Authorization": f"token {site.app.identity_provider.token}",
        "Origin": place,
        "Host": urlsplit(place).netloc,
    }
    form = {**headers, "Content-Type": "application/x-www-form-urlencoded"}
    answer = await site.fetch("login", "POST", headers=form, body="profile=acme")
    text = html.unescape((answer.body or b"").decode())
    assert "over plain http only to the browser's own machine" in text
    assert f"ssh -L {site.app.port}:localhost:{site.app.port}" in text
    assert f'redirect_uri = "https://<name of this Jupyter>{site.base}callback"' in text
    assert "flow=paste" in text
    assert place not in text
    assert hostile.hits("authorize") == []
