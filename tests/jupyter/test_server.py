"""Signing in and out through a real Jupyter server: who may do what, and that all of its kernels notice."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from jupyter_nativeauth.extension import NativeAuthExtension
from tests import samples
from tests.canary import Canary
from tests.html_page import Page
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.kernel import Kernel
from tests.lab import Lab
from tests.oidc_provider import OidcProvider

BASES = ["/", "/a%40b/"]
CALL = "from jupyter_nativeauth import get_session\nprint(get_session().get('/api/me').status_code)"


def write_profile(home: Home, oidc: OidcProvider, **extra: Any) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in oidc.profile(**extra).items()]
    (home.config / "nativeauth.toml").write_text("[profiles.acme]\n" + "\n".join(lines) + "\n")


@pytest.fixture
def start(home: Home, oidc: OidcProvider, start_lab: Callable[..., Lab], canary: Canary) -> Callable[..., Lab]:
    """Start a server that knows the profile ``acme``, below a base URL."""

    def begin(base_url: str = "/", **options: Any) -> Lab:
        base = f"{base_url}nativeauth/"
        oidc.reset(redirect_paths=[f"{base}callback", "/nativeauth/callback"], logout_paths=[f"{base}logout/callback"])
        write_profile(home, oidc)
        return start_lab(base_url=base_url, **options)

    return begin


def signed_in_to_jupyter(
    lab: Lab, oidc: OidcProvider, host: str = "127.0.0.1", **options: Any
) -> tuple[HttpBrowser, Page]:
    """A browser in which Jupyter is open at *host*."""
    browser = oidc.browser(**options)
    habits, browser.press = browser.press, ()
    page = browser.open(lab.lab_url(host=host))
    browser.press = habits
    return browser, page


def url(lab: Lab, route: str, host: str = "127.0.0.1") -> str:
    return f"http://{host}:{lab.port}{lab.base_url}nativeauth/{route}"


def profiles(lab: Lab) -> dict[str, Any]:
    with lab.http() as http:
        (row,) = http.get("nativeauth/api/profiles").json()["profiles"]
    return dict(row)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("base_url", BASES)
def test_a_click_in_jupyter_signs_all_kernels_in_and_out(
    start: Callable[..., Lab], oidc: OidcProvider, base_url: str, host: str
) -> None:
    """SEC-038: also when Lab is open at localhost and the redirect goes to 127.0.0.1, below any base URL."""
    lab = start(base_url)
    browser, page = signed_in_to_jupyter(lab, oidc, host)
    one, two = lab.kernel(), lab.kernel()
    assert _error(one) == _error(two) == "LoginRequired"
    done = browser.follow(url(lab, "login?profile=acme", host), page)
    assert (done.status, urlsplit(done.url).path) == (200, f"{base_url}nativeauth/done/signed-in")
    (asked,) = [hop for hop in browser.hops if "code_challenge" in hop.url and hop.method == "GET"][:1]
    redirect_uri = parse_qs(urlsplit(asked.url).query)["redirect_uri"]
    assert redirect_uri == [f"http://127.0.0.1:{lab.port}{base_url}nativeauth/callback"]
    assert one.run(CALL).stdout == two.run(CALL).stdout == "200\n"
    row = profiles(lab)
    assert (row["state"], row["name"], row["key_source"], row["renews"]) == ("signed_in", "Ada Example", "server", True)

    asked_page = browser.follow(url(lab, "logout?profile=acme", host), page)
    assert profiles(lab)["state"] == "signed_in"
    over = browser.submit(asked_page, "Sign out")
    assert urlsplit(over.url).path == f"{base_url}nativeauth/logout/callback"
    assert "You are signed out" in over.text
    assert _error(one) == _error(two) == "LoginRequired"
    order = [hit.endpoint for hit in oidc.journal() if hit.endpoint in ("revocation", "end_session")]
    assert order[:2] == ["revocation", "end_session"]


def _error(kernel: Kernel) -> str:
    error = kernel.run(CALL).error
    return error[0] if error else ""


def test_an_image_in_a_notebook_does_nothing(start: Callable[..., Lab], oidc: OidcProvider) -> None:
    """SEC-002, SEC-003, SEC-026, TRP-07, ADV-035: no image, frame or other site begins anything."""
    lab = start()
    browser, page = signed_in_to_jupyter(lab, oidc)
    assert browser.follow(url(lab, "login?profile=acme"), page).url.endswith("signed-in")
    token_requests = oidc.token_requests
    image = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    frame = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    prefetch = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for headers in (image, frame, foreign, {**prefetch, "Sec-Purpose": "prefetch"}, {}):
        for route in ("login?profile=acme", "logout?profile=acme"):
            for method in ("GET", "HEAD"):
                hop = browser.request(method, url(lab, route), headers)
                assert (hop.status, hop.header("location")) == (200, None)
                assert method == "HEAD" or "<form" in hop.text
    assert profiles(lab)["state"] == "signed_in"
    assert profiles(lab)["pending"] is None
    assert oidc.token_requests == token_requests


def test_whatever_changes_something_needs_the_xsrf_cookie(start: Callable[..., Lab], oidc: OidcProvider) -> None:
    """SEC-025, SEC-029: without ``_xsrf``, or from another site, nothing happens."""
    lab = start()
    browser, _ = signed_in_to_jupyter(lab, oidc)
    with lab.http() as http:
        begun = http.post("nativeauth/api/login", json={"profile": "acme"}).json()
    for method, route in (
        ("POST", "login"),
        ("POST", "logout"),
        ("POST", "api/login"),
        ("POST", "api/logout"),
        ("DELETE", f"api/login/{begun['id']}"),
    ):
        kind = {"Content-Type": "application/json" if "api" in route else "application/x-www-form-urlencoded"}
        body = '{"profile": "acme"}' if "api" in route else "profile=acme"
        assert browser.request(method, url(lab, route), kind, body).status == 403
        foreign = {**kind, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
        assert browser.request(method, url(lab, route), foreign, body).status in (403, 404)
    assert profiles(lab)["pending"]["id"] == begun["id"]


def test_strangers_learn_nothing(start: Callable[..., Lab], oidc: OidcProvider) -> None:
    """SEC-021, TRP-04: without Jupyter's cookie, only the pages of a sign-in answer, and each with the same words."""
    lab = start()
    stranger = HttpBrowser(follow_refresh=False)
    for route in ("api/profiles", "api/login", "api/logout"):
        method = "GET" if route == "api/profiles" else "POST"
        assert stranger.request(method, url(lab, route), {}, "{}" if method == "POST" else None).status == 403
    assert "/login?next=" in (stranger.request("GET", url(lab, "login?profile=acme")).header("location") or "")
    answers = {
        stranger.request("GET", url(lab, f"callback?{query}")).text
        for query in ("", "code=a&state=b", "error=access_denied&state=c", "state=d&state=e")
    }
    assert len(answers) == 1
    assert stranger.request("GET", url(lab, "go/abcdefgh")).status == 410
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert stranger.request(method, url(lab, "callback?code=a&state=b")).status == 405
    assert "code=" not in lab.log_text


def test_denied_in_jupyter_can_be_tried_again(start: Callable[..., Lab], oidc: OidcProvider) -> None:
    """FLT-056, NRM-110: *Try again* begins anew, with a fresh state, without going back to Jupyter."""
    lab = start()
    browser, page = signed_in_to_jupyter(lab, oidc, press=("Sign in", "Deny"))
    denied = browser.follow(url(lab, "login?profile=acme"), page)
    assert urlsplit(denied.url).path.endswith("/done/denied")
    browser.press = ("Sign in", "Allow")
    assert browser.click(denied, "Try again").url.endswith("/done/signed-in")
    states = {parse_qs(urlsplit(hop.url).query)["state"][0] for hop in browser.hops if "code_challenge" in hop.url}
    assert len(states) == 2
    assert profiles(lab)["state"] == "signed_in"


def test_a_callback_is_bound_to_the_browser(start: Callable[..., Lab], oidc: OidcProvider) -> None:
    """SEC-005, SEC-037, ADV-009: in the server as in the listener, another browser's answer changes nothing."""
    lab = start()
    browser, page = signed_in_to_jupyter(lab, oidc)
    browser.press = ()
    waiting = browser.follow(url(lab, "login?profile=acme"), page)
    stranger = oidc.browser()
    stranger.cookies = [cookie for cookie in browser.cookies if not cookie.name.startswith("nativeauth-")]
    lost = stranger.open(waiting.url)
    assert (lost.status, urlsplit(lost.url).path) == (400, "/nativeauth/callback")
    assert profiles(lab)["pending"] is not None
    assert profiles(lab)["state"] == "signed_out"


def test_the_sidebar_api(start: Callable[..., Lab], oidc: OidcProvider) -> None:
    """TRP-05, TRP-08, SEC-027, SEC-054, ADV-029: no answer holds a token; bad JSON is not logged."""
    lab = start()
    with lab.http() as http:
        begun = http.post("nativeauth/api/login", json={"profile": "acme"}).json()
        assert urlsplit(begun["url"]).path.startswith("/nativeauth/go/")
        assert profiles(lab)["pending"]["id"] == begun["id"]
        assert http.delete(f"nativeauth/api/login/{begun['id']}").json() == {"cancelled": True}
        assert http.delete(f"nativeauth/api/login/{begun['id']}").json() == {"cancelled": False}
        assert oidc.browser().open(begun["url"]).status == 410
        begun = http.post("nativeauth/api/login", json={"profile": "acme"}).json()
        assert oidc.browser().open(begun["url"]).url.endswith("/done/signed-in")
        answer = http.get("nativeauth/api/profiles", headers={"Origin": "https://evil.example"})
        secrets = [value for _, value in oidc.secrets()]
        assert not any(secret in answer.text for secret in secrets)
        wrong = http.post("nativeauth/api/login", content="http://127.0.0.1/nativeauth/callback?code=NATK-pasted")
        assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_request")
        unknown = http.post("nativeauth/api/login", json={"profile": "acne"})
        assert unknown.status_code == 400
        assert "acme" in unknown.json()["hint"] + unknown.json()["message"]
        out = http.post("nativeauth/api/logout", json={"profile": "acme"}).json()
        assert out.pop("message").startswith("Signed out of acme.")
        assert oidc.browser().open(out.pop("url")).url.partition("?")[0] == url(lab, "logout/callback")
        assert out == {"profile": "acme", "local": True, "revoked": True}
    assert "NATK-pasted" not in lab.log_text
    assert profiles(lab)["state"] == "signed_out"


def test_a_kernel_waits_for_the_server(start: Callable[..., Lab], oidc: OidcProvider) -> None:
    """``login()`` in a hosted kernel starts nothing itself; two kernels that ask at once wait for the same sign-in."""
    lab = start()
    browser, page = signed_in_to_jupyter(lab, oidc)
    code = "from jupyter_nativeauth import login\nprint(login('acme').name)"
    runs = [lab.kernel().start(code), lab.kernel().start(code)]
    for run in runs:
        run.wait_for(lambda run: "/nativeauth/login?profile=acme" in repr(run.messages))
    assert browser.follow(url(lab, "login?profile=acme"), page).url.endswith("/done/signed-in")
    assert [run.wait().stdout for run in runs] == ["Ada Example\n", "Ada Example\n"]
    assert len(oidc.journal("token")) == 1


def test_a_waiting_kernel_learns_that_it_was_denied(start: Callable[..., Lab], oidc: OidcProvider) -> None:
    """The status file carries the code and the words, so the cell ends with them and not with a time-out."""
    lab = start()
    browser, page = signed_in_to_jupyter(lab, oidc, press=("Sign in", "Deny"))
    run = lab.kernel().start("from jupyter_nativeauth import login\nlogin('acme')")
    run.wait_for(lambda run: "/nativeauth/login?profile=acme" in repr(run.messages))
    browser.follow(url(lab, "login?profile=acme"), page)
    run.wait()
    assert run.error is not None
    assert run.error[0] == "LoginFailed"
    assert "access_denied" in run.error[1]
    assert len(run.traceback.splitlines()) < 8


def test_ports_that_the_service_does_not_know_are_not_used(
    start: Callable[..., Lab], home: Home, oidc: OidcProvider
) -> None:
    """``redirect_ports``: the server answers at its own port, so a listener takes the redirect at a listed one."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    lab = start()
    write_profile(home, oidc, redirect_ports=[port])
    browser, page = signed_in_to_jupyter(lab, oidc)
    done = browser.follow(url(lab, "login?profile=acme"), page)
    assert (urlsplit(done.url).port, urlsplit(done.url).path) == (port, "/nativeauth/done/signed-in")
    assert profiles(lab)["state"] == "signed_in"


def test_a_hub_has_one_address(tmp_path: Path) -> None:
    """A0-5: ``redirect_ports``, which services with exact ports have by default, are of this machine only."""
    account = samples.account(tmp_path, redirect_ports=[1])
    public = "https://hub.example/user/ada/nativeauth/callback"
    with NativeAuthExtension()._port_in_use(account, public) as uri:
        assert uri == public


def test_a_browser_elsewhere_is_told_what_to_configure(
    start: Callable[..., Lab], home: Home, oidc: OidcProvider
) -> None:
    """ADV-062, SEC-022: the redirect URI never comes from ``Host`` or ``X-Forwarded-*``; the page says what to set."""
    lab = start(config={"ServerApp": {"allow_remote_access": True}})
    auth = {"Authorization": f"token {lab.token}", "Content-Type": "application/x-www-form-urlencoded"}
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}):
        hop = HttpBrowser(follow_refresh=False).request("POST", url(lab, "login"), {**auth, **headers}, "profile=acme")
        assert hop.status == 200
        assert "redirect_uri" in hop.text
        assert "evil" not in hop.text
        assert Page([hop]).links["Paste the address back instead"].endswith("/login?profile=acme&flow=paste")
    assert profiles(lab)["pending"] is None


def test_cookie_of_a_sign_in_survives_a_slow_person(start: Callable[..., Lab], oidc: OidcProvider) -> None:
    """The first page has to be opened within a minute; after that there is the profile's time to type a password."""
    lab = start()
    with lab.http() as http:
        begun = http.post("nativeauth/api/login", json={"profile": "acme"}).json()
    assert 290 < begun["until"] - time.time() < 301
    hop = HttpBrowser(follow_refresh=False).request("GET", begun["url"])
    assert "Max-Age=600" in (hop.header("set-cookie") or "")
