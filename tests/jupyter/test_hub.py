"""Signing in at a real JupyterHub, through its proxy: one redirect URI for all, and a login for each person alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest

from tests.canary import Canary
from tests.html_page import Page
from tests.http_browser import HttpBrowser
from tests.hub import Hub, hub_process
from tests.kernel import Kernel
from tests.oidc_provider import OidcProvider

__all__ = ["hub_process"]

pytestmark = pytest.mark.timeout(400)  # a Hub, its proxy and three servers start on a machine that may be busy

ADA, BOB = "ada.l@example.org", "bob"
SHARED = "hub/user-redirect/nativeauth/callback"
CALL = "from jupyter_nativeauth import get_session\nprint(get_session().get('/api/me').status_code)"


@pytest.fixture(scope="module")
def running_hub(hub_process: Hub) -> Hub:
    """A Hub at which the servers of three people run; that of the last only until a test has stopped it."""
    hub_process.start([ADA, BOB])
    return hub_process


@pytest.fixture
def hub(running_hub: Hub, oidc: OidcProvider, canary: Canary) -> Iterator[Hub]:
    """It, with one redirect URI for all; nobody is signed in at the service."""
    paths = [f"/{SHARED}", f"{running_hub.base(ADA)}nativeauth/callback"]
    back = ["/hub/user-redirect/nativeauth/logout/callback"]
    oidc.reset(redirect_paths=paths, logout_paths=back, interaction="auto")
    running_hub.configure(**oidc.profile(redirect_uri=running_hub.url + SHARED))
    canary.folder(running_hub.folder)
    yield running_hub
    with running_hub.http() as http:
        for name in (ADA, BOB):
            if pending := running_hub.row(name)["pending"]:
                http.delete(running_hub.at(name, f"api/login/{pending['id']}")).raise_for_status()
            http.post(running_hub.at(name, "api/logout"), json={"profile": "acme"}).raise_for_status()


def sign_in(hub: Hub, browser: HttpBrowser, name: str) -> Page:
    page = browser.open(hub.at(name, "login?profile=acme"))
    assert page.url == hub.at(name, "done/signed-in"), page.text
    return page


def to_the_answer(hub: Hub, browser: HttpBrowser) -> str:
    """Sign in as Ada up to where the provider sends *browser* back: that address."""
    browser.follow_refresh = False
    url = browser.open(hub.at(ADA, "login?profile=acme")).links["Go on"]
    while "/nativeauth/callback" not in urlsplit(url).path:
        location = browser.request("GET", url).header("location")
        assert location is not None, url
        url = urljoin(url, location)
    browser.follow_refresh = True
    return url


def error(kernel: Kernel) -> str:
    found = kernel.run(CALL).error
    return found[0] if found else ""


def test_one_redirect_uri_signs_everybody_in_at_their_own_server(hub: Hub, oidc: OidcProvider) -> None:
    """SEC-038: also where the Hub escapes a name. The binding cookie is for the person's own server alone."""
    for name in (ADA, BOB):
        browser = hub.browser(name, oidc)
        sign_in(hub, browser, name)
        asked = next(hop for hop in browser.hops if hop.url.startswith(oidc.issuer))
        assert parse_qs(urlsplit(asked.url).query)["redirect_uri"] == [hub.url + SHARED]
        set_cookies = [value for hop in browser.hops for key, value in hop.headers if value.startswith("nativeauth-")]
        assert len(set_cookies) == 4  # set and deleted
        assert all(f"; Path={hub.base(name)}nativeauth/" in one and "SameSite=Lax" in one for one in set_cookies)
        row = hub.row(name)
        assert (row["state"], row["key_source"]) == ("signed_in", "server")
        if name == ADA:
            assert hub.row(BOB)["state"] == "signed_out"
    with hub.kernel(ADA) as kernel:
        assert kernel.run(CALL).stdout == "200\n"
        ada = hub.browser(ADA, oidc)
        over = ada.submit(ada.open(hub.at(ADA, "logout?profile=acme")), "Sign out")
        assert urlsplit(over.url).path == f"{hub.base(ADA)}nativeauth/logout/callback"
        assert "You are signed out" in over.text
        assert error(kernel) == "LoginRequired"
    assert hub.row(BOB)["state"] == "signed_in"


def test_somebody_else_at_the_hub_can_use_nothing_of_a_person(hub: Hub, oidc: OidcProvider) -> None:
    """SEC-038: neither pages and routes nor the service's answer, which then still signs in who asked for it."""
    ada, bob = hub.browser(ADA, oidc), hub.browser(BOB, oidc)
    for route in ("login?profile=acme", "logout?profile=acme", "api/profiles"):
        assert bob.open(hub.at(ADA, route)).status == 403
    answer = to_the_answer(hub, ada)
    stranger = bob.open(answer)
    assert (urlsplit(stranger.url).path, stranger.status) == (f"{hub.base(BOB)}nativeauth/callback", 400)
    own = answer.replace(hub.url + SHARED, hub.at(ADA, "callback"))
    assert bob.open(own).status == 400  # Ada's server, without Ada's cookie
    assert (hub.row(ADA)["state"], hub.row(BOB)["state"]) == ("signed_out", "signed_out")
    assert ada.open(answer).url == hub.at(ADA, "done/signed-in")
    assert (hub.row(ADA)["state"], hub.row(BOB)["state"]) == ("signed_in", "signed_out")
    with hub.kernel(BOB) as kernel:
        assert error(kernel) == "LoginRequired"


@pytest.mark.parametrize("shared", [True, False])
def test_a_login_at_the_hub_may_end_meanwhile(hub: Hub, oidc: OidcProvider, canary: Canary, shared: bool) -> None:
    """SEC-038: the callback needs none of Jupyter's cookies; on the shared address the Hub asks who it is first."""
    if shared:
        canary.allow("file hub.log", "code", "state")  # the Hub's own, of its login page; docs/jupyterhub.md tells
    else:
        hub.configure(**oidc.profile(redirect_uri=hub.at(ADA, "callback")))
    browser = hub.browser(ADA, oidc)
    answer = to_the_answer(hub, browser)
    browser.cookies = [one for one in browser.cookies if one.name.startswith("nativeauth-")]
    browser.fill = {"username": ADA, "password": "any"}
    done = browser.open(answer)
    assert (done.url, hub.row(ADA)["state"]) == (hub.at(ADA, "done/signed-in"), "signed_in")
    assert any(urlsplit(hop.url).path == "/hub/login" for hop in done.hops) is shared


def test_a_post_needs_the_hubs_own_xsrf_token(hub: Hub, oidc: OidcProvider) -> None:
    """Pages and API: the single-user server takes the Hub's token in the place of Jupyter's."""
    browser = hub.browser(ADA, oidc)
    (token,) = [one.value for one in browser.cookies if one.name == "_xsrf" and one.path == hub.base(ADA)]
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.request("POST", hub.at(ADA, "login"), form, "profile=acme").status == 403
    assert browser.request("POST", hub.at(ADA, "api/login"), {}, '{"profile": "acme"}').status == 403
    assert hub.row(ADA)["pending"] is None
    begun = browser.request("POST", hub.at(ADA, "api/login"), {"X-XSRFToken": token}, '{"profile": "acme"}')
    assert begun.status == 200, begun.text
    assert browser.open(json.loads(begun.text)["url"]).url == hub.at(ADA, "done/signed-in")


def test_without_a_redirect_uri_a_page_says_which_one_to_set(hub: Hub, oidc: OidcProvider) -> None:
    """ADV-062, SEC-022: ``X-Forwarded-*`` is not believed, also where a proxy always stands between."""
    hub.configure(**oidc.profile())
    with hub.http() as http:
        for headers in ({"X-Forwarded-Host": "evil.example"}, {"Host": "evil.example"}):
            answer = http.post(hub.at(ADA, "api/login"), json={"profile": "acme"}, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (400, "no_redirect_uri")
            assert f"/{SHARED}" in answer.json()["hint"]
            assert "evil" not in answer.text
