"""Wristband: two kinds of hosts, a page that finds the tenant, and what else is special in a login's life."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from jupyter_nativeauth import (
    ConfigError,
    LoginFailed,
    LoginRequired,
    NativeAuthError,
    Profile,
    ProviderUnavailable,
    status,
)
from tests.answers import Answer, Request, redirect
from tests.emulators.base import free_port
from tests.emulators.wristband import Wristband
from tests.flow.test_sign_in import link_of
from tests.html_page import Page
from tests.http_browser import HttpBrowser
from tests.person import Person, given_up, me, outcome
from tests.samples import assert_fit_to_show

PersonAt = Callable[..., Person]
SIGN_IN = ["configuration", "authorize", "authorization_code", "jwks", "userinfo"]
OF_TENANTS = {"authorize", "logout", "login"}


def failure(person: Person) -> NativeAuthError:
    """Why nobody was signed in."""
    with pytest.raises(NativeAuthError) as caught:
        person.sign_in()
    assert_fit_to_show(caught.value)
    assert person.account.login_id() == ""
    return caught.value


def by_way_of(person: Person, browser: HttpBrowser, picked: str = "Go on") -> Page:
    """Sign in where the page of the service comes first that finds the tenant."""
    attempt = person.begin()
    page = browser.open(link_of(attempt))
    assert page.url.startswith(person.service.login_url)  # type: ignore[attr-defined]
    page = browser.click(page, picked)
    outcome(attempt)
    return page


def changed(service: Wristband, change: Callable[[dict[str, str]], dict[str, str] | str]) -> None:
    """The next answer of the authorization endpoint has these parameters instead."""

    def script(request: Request) -> Answer:
        usual = service.do_authorize(request)
        base, _, query = usual.headers["Location"].partition("?")
        made = change(dict(parse_qsl(query)))
        return redirect(f"{base}?{made if isinstance(made, str) else urlencode(made)}")

    service.answer("authorize", script)


# ---- a whole life --------------------------------------------------------------------------------------------------


def test_a_whole_life(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-1, WB-6, WB-9, WB-13: sign in, call the API, renew, sign out; in this order, and each at its own host."""
    person, browser = person_at(wristband), wristband.browser()
    identity = person.sign_in(browser)
    assert (identity.name, identity.issuer) == ("Ada Example", wristband.origin)
    assert identity.claims["tnt_id"] == "tnt-globex"
    assert wristband.steps() == SIGN_IN
    (asked,) = wristband.hits("authorize")
    assert asked.get("scope") == "openid profile email offline_access"
    assert "prompt" not in asked.names
    assert "aud" not in _claims(wristband)
    assert me(person)["token"] == 0
    wristband.expire()
    assert me(person)["token"] == 1
    report, page = person.sign_out(browser)
    assert (report.revoked, page is not None and page.title) == (True, "You are signed out")
    assert wristband.steps()[len(SIGN_IN) :] == ["api", "api", "refresh_token", "api", "revoke", "logout"]
    (left,) = wristband.hits("logout")
    assert left.names == {"client_id", "redirect_url", "state"}
    assert len(left.get("state") or "") <= 512
    assert left.get("redirect_url") == f"http://127.0.0.1:{wristband.redirect_port}/nativeauth/logout/callback"
    assert wristband.sessions == {}
    hosts = {hit.host for hit in wristband.hits() if hit.endpoint in OF_TENANTS}
    assert hosts == {wristband.host_of("globex")}
    assert {hit.host for hit in wristband.hits() if hit.endpoint not in {*OF_TENANTS, "api"}} == {
        urlsplit(wristband.origin).netloc
    }


def _claims(service: Wristband) -> dict[str, Any]:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    (token,) = service.access
    return jwt.decode(token, KeySet(service.keys)).claims


@pytest.mark.parametrize(("active", "host"), [(False, "globex-app"), (True, "globex.app")])
def test_the_application_says_how_its_hosts_are_spelled(
    wristband: Wristband, person_at: PersonAt, active: bool, host: str
) -> None:
    """WB-2: by its SDK configuration, so that nobody has to write it into the profile."""
    wristband.custom_domain = active
    person_at(wristband).sign_in()
    assert wristband.hits("authorize")[0].host == f"{host}.localhost:{wristband.port}"


def test_a_tenant_s_own_domain(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-2, WB-3: it is asked as it is, and the session that ends at the sign-out is the one there."""
    domain = f"login.initech.localhost:{wristband.port}"
    person = person_at(wristband, tenant_name=None, tenant_custom_domain=f"http://{domain}")
    browser = wristband.browser()
    assert person.sign_in(browser).claims["tnt_id"] == "tnt-initech"
    assert person.account.login().provider.tenant == "initech"
    person.sign_out(browser)
    assert {hit.host for hit in wristband.hits() if hit.endpoint in OF_TENANTS} == {domain}


# ---- nobody knows the tenant yet -----------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
def test_the_service_finds_the_tenant(wristband: Wristband, person_at: PersonAt, legacy: bool) -> None:
    """WB-3, WB-4, WB-5: its login page, then the login route, one click, and on with the tenant that was picked."""
    wristband.picked, wristband.legacy = "initech", legacy
    person, browser = person_at(wristband, tenant_name=None), wristband.browser()
    page = by_way_of(person, browser)
    assert page.url.endswith("/nativeauth/done/signed-in")
    assert [hit.endpoint for hit in wristband.hits()][:3] == ["configuration", "app_login", "authorize"]
    (asked,) = wristband.hits("app_login")
    assert asked.names == {"client_id"}
    (authorized,) = wristband.hits("authorize")
    assert (authorized.host, authorized.get("login_hint")) == (wristband.host_of("initech"), "ada@example.org")
    assert me(person)["tnt_id"] == "tnt-initech"
    person.sign_out(browser)
    assert wristband.hits("logout")[0].host == wristband.host_of("initech")


def test_authorization_requests_at_the_application(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-8: where the application takes them itself, no login route is needed; the answer must then name the tenant."""
    person = person_at(wristband, tenant_name=None, tenant_discovery="authorize")
    wristband.application_requests = True
    assert person.sign_in().claims["tnt_id"] == "tnt-globex"
    assert wristband.hits("app_login") == []
    assert person.account.login().provider.end_session_endpoint.startswith(f"http://{wristband.host_of('globex')}/")
    person.sign_out()
    changed(wristband, lambda answer: {name: value for name, value in answer.items() if name != "tenant_name"})
    attempt = person.begin()
    given_up(attempt, lambda: wristband.browser().open(link_of(attempt)))
    assert len(wristband.hits("token")) == 1


@pytest.mark.parametrize(
    "query",
    [
        "tenant_custom_domain=evil.example",
        "tenant_name=evil.example/",
        "tenant_name=globex&tenant_custom_domain=evil.example",
        "tenant_name=globex&tenant_name=initech",
        "tenant_name=globex&tenant_domain=initech",
    ],
)
def test_the_login_route_takes_no_host(wristband: Wristband, person_at: PersonAt, query: str) -> None:
    """WB-4: a sentence says why not, nothing goes anywhere, and the sign-in goes on waiting."""
    wristband.answer("app_login", redirect(f"{wristband.login_url}?{query}"))
    attempt, browser = person_at(wristband, tenant_name=None).begin(), wristband.browser()
    page = browser.open(link_of(attempt))
    assert page.title == "The sign-in cannot go on"
    assert "Go on" not in page.links
    assert wristband.hits("authorize") == []
    page = browser.open(wristband.invite("globex"))
    browser.click(page, "Go on")
    assert outcome(attempt).name == "Ada Example"


def test_a_listed_domain_may_be_named(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-4: the profile's own list decides, and what is asked is what stands there."""
    domain = f"login.initech.localhost:{wristband.port}"
    wristband.answer("app_login", redirect(wristband.invite("initech", tenant_custom_domain=domain)))
    person = person_at(wristband, tenant_name=None, tenant_custom_domains=[f"http://{domain}"])
    by_way_of(person, wristband.browser())
    assert wristband.hits("authorize")[0].host == domain


def test_only_the_browser_that_began_goes_on(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-5: whoever else comes to the login route of a script's listener finds nothing there."""
    attempt, browser = person_at(wristband, tenant_name=None).begin(), wristband.browser()
    page = browser.open(link_of(attempt))
    stranger = HttpBrowser().open(wristband.invite("initech"))
    assert (stranger.status, stranger.links) == (400, {})
    browser.click(page, "Go on")
    assert outcome(attempt).claims["tnt_id"] == "tnt-globex"


# ---- the answer ----------------------------------------------------------------------------------------------------


def test_a_wrong_nonce(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-6: an ID token of another sign-in signs nobody in."""
    wristband.claims = lambda kind, claims: claims | {"nonce": "x" * 43} if kind == "id" else claims
    assert failure(person_at(wristband)).code == "id_token_invalid"


def test_the_issuer_is_the_application(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-9: an ID token in the name of the tenant's host is not believed, though that host was asked."""
    issuer = f"http://{wristband.host_of('globex')}"
    wristband.claims = lambda kind, claims: claims | {"iss": issuer} if kind == "id" else claims
    assert failure(person_at(wristband)).code == "id_token_invalid"


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer | {"tenant_name": "initech"},
        lambda answer: answer | {"tenant_domain": "initech"},
        lambda answer: urlencode([*answer.items(), ("tenant_name", "globex")]),
    ],
    ids=["another", "two", "twice"],
)
def test_an_answer_from_another_tenant(wristband: Wristband, person_at: PersonAt, change: Any) -> None:
    """WB-8: it changes nothing, and the right one is still good."""
    changed(wristband, change)
    attempt, browser = person_at(wristband).begin(), wristband.browser()
    assert browser.open(link_of(attempt)).status == 400
    assert wristband.hits("token") == []
    browser.open(link_of(attempt))
    assert outcome(attempt).claims["tnt_id"] == "tnt-globex"


def test_an_answer_that_names_no_tenant(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-8: tolerated where the tenant was known from the start; so is anything else that nobody asked for."""
    changed(wristband, lambda answer: {"code": answer["code"], "state": answer["state"], "more": "1"})
    assert person_at(wristband).sign_in().name == "Ada Example"


def test_a_fresh_sign_in_is_wanted(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-12: the same browser starts once more by itself, with a new state; the person notices nothing."""
    wristband.answer("authorize", wristband.login_required)
    browser = wristband.browser()
    assert person_at(wristband).sign_in(browser).name == "Ada Example"
    first, second = wristband.hits("authorize")
    assert first.get("state") != second.get("state")
    assert first.get("nonce") != second.get("nonce")
    assert [urlsplit(hop.url).path.rpartition("/")[2] for hop in browser.hops][-1] == "signed-in"


def test_a_fresh_sign_in_is_wanted_again(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-12: once, and not a loop; the second one is an error that says what the service said."""
    wristband.answer("authorize", wristband.login_required, wristband.login_required, wristband.login_required)
    error = failure(person_at(wristband))
    assert (error.code, len(wristband.hits("authorize"))) == ("login_required", 2)
    assert "max_age" in str(error)


def test_without_a_session_prompt_none_asks_after_all(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-12: the second request leaves ``none`` out, else it could only end in the same way."""
    person_at(wristband, prompt="none").sign_in()
    assert [hit.get("prompt") for hit in wristband.hits("authorize")] == ["none", None]


# ---- tokens --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", [True, False])
def test_a_refresh_token_is_opaque(wristband: Wristband, person_at: PersonAt, rotation: bool) -> None:
    """WB-10: an HS256 JWT that nobody looks into; the new one is stored, and without one the old one stays."""
    wristband.rotation = rotation
    person = person_at(wristband)
    person.sign_in()
    before = person.account.login().refresh_token
    wristband.expire()
    assert me(person)["token"] == 1
    person.expire()
    assert me(person)["token"] == 2
    assert (person.account.login().refresh_token == before) is not rotation
    assert wristband.refreshes == 2


def test_the_session_was_ended_elsewhere(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-11: ``invalid_grant`` is the end: one request, and then a sentence that says what to do."""
    person = person_at(wristband)
    person.sign_in()
    wristband.end_sessions()
    with pytest.raises(LoginRequired) as caught:
        me(person)
    assert caught.value.code == "expired"
    assert wristband.refreshes == 1
    assert "%login acme" in caught.value.hint


@pytest.mark.parametrize(
    "fault", [Answer(500, "<h1>Oops</h1>"), Answer(503), Answer(429, json={"code": 1}), Answer(reset=True)], ids=repr
)
def test_trouble_is_not_the_end(wristband: Wristband, person_at: PersonAt, fault: Answer) -> None:
    """WB-11: 5xx, 429 and a broken connection keep the login, and are not asked more than three times."""
    person = person_at(wristband)
    person.sign_in()
    wristband.expire()
    wristband.answer("token", fault, fault)
    with pytest.raises(ProviderUnavailable):
        me(person)
    assert wristband.refreshes <= 3
    assert status()[0].state == "signed_in"


# ---- signing out ---------------------------------------------------------------------------------------------------


def test_a_revocation_that_fails_stops_nothing(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-13: it is reported, and the browser ends the session at the tenant all the same."""
    person, browser = person_at(wristband), wristband.browser()
    person.sign_in(browser)
    wristband.answer("revoke", Answer(500))
    report, page = person.sign_out(browser)
    assert (report.local, report.revoked, page is not None and page.title) == (True, False, "You are signed out")
    assert wristband.sessions == {}


def test_the_session_belongs_to_the_tenant_s_host(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-13: a profile that was pointed at another tenant meanwhile still ends the session that it had."""
    person, browser = person_at(wristband), wristband.browser()
    person.sign_in(browser)
    HttpBrowser().request("GET", f"http://{wristband.host_of('initech')}/api/v1/logout?client_id={wristband.client_id}")
    assert wristband.sessions != {}
    person.write(acme=wristband.profile(tenant_name="initech"))
    with pytest.raises(LoginRequired) as caught:
        me(person)
    assert caught.value.code == "profile_changed"
    person.sign_out(browser)
    assert wristband.hits("logout")[-1].host == wristband.host_of("globex")
    assert wristband.sessions == {}


# ---- what the application says of itself ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [(Answer(503),), (Answer(503), Answer(503)), (Answer(404, "<h1>Not found</h1>"),), (Answer(body="{"),)],
    ids=["once", "always", "unknown", "nonsense"],
)
def test_it_works_without_the_sdk_configuration(
    wristband: Wristband, person_at: PersonAt, faults: tuple[Answer, ...]
) -> None:
    """WB-14: it is tried twice; then the hosts are spelled as the SDKs have it."""
    wristband.answer("configuration", *faults)
    assert person_at(wristband).sign_in().name == "Ada Example"


def test_another_redirect_uri_is_registered(
    wristband: Wristband, person_at: PersonAt, caplog: pytest.LogCaptureFixture
) -> None:
    """WB-14: a warning says which, since Wristband itself would end on a page that leads nowhere."""
    here = f"http://127.0.0.1:{wristband.redirect_port}/nativeauth/callback"
    person = person_at(wristband)
    person.sign_in()
    person.sign_out()
    assert _warnings(caplog) == []
    wristband.redirect_uris = {"http://127.0.0.1:1/nativeauth/callback"}
    attempt = person.begin()
    error = given_up(attempt, lambda: wristband.browser().open(link_of(attempt)))
    assert "Callback URLs" in error.hint
    (message,) = _warnings(caplog)
    assert "http://127.0.0.1:1/nativeauth/callback registered" in message
    assert here in message


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_wrong_client_id(wristband: Wristband, person_at: PersonAt) -> None:
    """Found out before a browser opens: which keys do not belong together."""
    error = failure(person_at(wristband, client_id="another"))
    assert isinstance(error, ConfigError)
    assert error.code == "unknown_client"
    assert "`client_id` and `application_domain`" in error.hint
    assert wristband.steps() == ["configuration"]


def test_a_wrong_domain(wristband: Wristband, person_at: PersonAt) -> None:
    """Found out before a browser opens: which key to look at."""
    error = failure(person_at(wristband, application_domain=f"http://app.localhost:{free_port()}"))
    assert isinstance(error, ProviderUnavailable)
    assert "`application_domain` of [profiles.acme]" in error.hint


def test_an_unknown_tenant(wristband: Wristband, person_at: PersonAt) -> None:
    """Nothing comes back from a host that does not exist; what to look at is said when the wait is over."""
    attempt, browser = person_at(wristband, tenant_name="nobody").begin(), wristband.browser()
    error = given_up(attempt, lambda: browser.open(link_of(attempt)))
    assert browser.hops[-1].status == 404
    assert "`tenant_name`" in error.hint


# ---- a client with a secret ----------------------------------------------------------------------------------------


def set_secret(secret: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``jupyter nativeauth secret set``, as it is typed in a terminal of Jupyter."""
    command = [sys.executable, "-m", "jupyter_nativeauth.cli", "secret", *(arguments or ("set", "acme"))]
    return subprocess.run(command, input=secret, capture_output=True, text=True, timeout=60, check=False)


def test_a_backend_server_client(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-7, CNF-004: its secret goes into the header of token and revocation requests, and is still there after a
    sign-out."""
    secret = wristband.be_backend()
    person = person_at(wristband, client_type="confidential")
    done = set_secret(f"{secret}\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"The client secret of acme is kept, sealed with the key in .*\n", done.stdout)
    for _ in range(2):
        person.sign_in()
        wristband.expire()
        me(person)
        assert person.sign_out()[0].revoked is True
    posts = [hit for hit in wristband.hits() if hit.endpoint in ("token", "revoke")]
    assert len(posts) == 6
    assert all(hit.headers["authorization"].startswith("Basic ") for hit in posts)
    assert all(hit.names.isdisjoint({"client_id", "client_secret"}) for hit in posts)
    assert set_secret("", "remove", "acme").stdout == "The client secret of acme is forgotten.\n"
    assert set_secret("", "remove", "acme").stdout == "There is no client secret of acme here.\n"
    assert failure(person).code == "client_secret_missing"


def test_a_secret_is_missing(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-7: found out before a browser opens, with the command that helps."""
    wristband.be_backend()
    error = failure(person_at(wristband, client_type="confidential"))
    assert "jupyter nativeauth secret set acme" in error.hint
    assert wristband.steps() == []


@pytest.mark.parametrize("native", [True, False])
def test_the_wrong_type_of_client(wristband: Wristband, person_at: PersonAt, native: bool) -> None:
    """WB-7: a native client that sends a secret, or a backend's that sends none: what to change."""
    if native:
        person = person_at(wristband, client_type="confidential")
        set_secret("not-the-real-one-at-all")
    else:
        wristband.be_backend()
        person = person_at(wristband)
    error = failure(person)
    assert isinstance(error, LoginFailed)
    assert error.code == "invalid_client"
    assert 'client_type = "confidential"' in error.hint
    wristband.violations.clear()  # a strict service would not have got this far


@pytest.mark.parametrize(
    ("given", "words"),
    [("", "is empty"), ("two words", "has blanks in it"), ("\x1b[2J", "has blanks in it")],
)
def test_what_is_no_secret(wristband: Wristband, person_at: PersonAt, given: str, words: str) -> None:
    """A slip of the hand changes nothing, and is not repeated on the screen."""
    person_at(wristband, client_type="confidential")
    done = set_secret(given)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr


def test_a_native_client_has_no_secret(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-7, NRM-011: it is not taken, and the key that would change that is named."""
    person_at(wristband)
    done = set_secret("something-secret")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'client_type = "confidential"' in done.stderr
    with pytest.raises(ConfigError, match="client_type must be"):
        Profile("acme", issuer="https://id.example", client_id="cli", client_type="confidential")
