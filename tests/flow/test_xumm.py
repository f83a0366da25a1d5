"""Xumm (Xaman): a whole life of a login, and what is special. Sign requests are in test_sign_request.py."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import requests

from jupyter_nativeauth import (
    ConfigError,
    LoginFailed,
    LoginPanel,
    LoginRequired,
    Profile,
    ProviderUnavailable,
    get_async_session,
    get_session,
    status,
)
from jupyter_nativeauth._doctor import diagnose
from jupyter_nativeauth._http import ProviderClient
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth.errors import NativeAuthError
from jupyter_nativeauth.requests import NativeAuth
from tests.answers import Answer, Request
from tests.canary import Canary
from tests.emulators.base import signing_key
from tests.emulators.xumm import Xumm, looks_like_a_program
from tests.emulators.xumm_payloads import ADA, BOB
from tests.person import Person, given_up, outcome

PersonAt = Callable[..., Person]
PING = "/api/v1/jwt/ping"


def failure(person: Person) -> NativeAuthError:
    with pytest.raises(NativeAuthError) as caught:
        outcome(person.begin(person.service.browser()))
    assert person.account.login_id() == ""
    return caught.value


def unanswered(person: Person) -> LoginFailed:
    """How a sign-in ends whose answer in the browser was none to it: the wait goes on, and its time is over."""
    browser = person.service.browser()

    def has_come_back() -> None:
        while not any("/nativeauth/callback" in hop.url for hop in browser.hops):
            time.sleep(0.01)

    return given_up(person.begin(browser), has_come_back)


def changed(xumm: Xumm, change: Callable[[dict[str, str]], dict[str, str]]) -> Callable[[Request], Answer]:
    """The answer in the browser, with its parameters changed on the way."""

    def script(request: Request) -> Answer:
        answer = xumm.do_signin(request)
        address, _, query = answer.headers["Location"].partition("?")
        answer.headers["Location"] = f"{address}?{urlencode(change(dict(parse_qsl(query))))}"
        return answer

    return script


# ---- a whole life --------------------------------------------------------------------------------------------------


def test_a_whole_life(xumm: Xumm, person_at: PersonAt) -> None:
    """
    XU-1, XU-4, XU-12: a code with PKCE, exchanged without any secret; the API gets the token, and is asked nothing that
    nobody wants to know; signing out is a matter of this side.
    """
    person = person_at(xumm)
    identity = person.sign_in()
    assert (identity.subject, identity.name, identity.email) == (ADA, ADA, ""), "its address is no e-mail address"
    assert "email" not in identity.claims
    steps = [step for step in xumm.steps() if step not in ("discovery", "other")]
    assert steps == ["authorize", "signin", "authorization_code", "jwks", "userinfo"]
    (asked,) = xumm.hits("authorize")
    assert (asked.get("response_type"), asked.get("code_challenge_method"), asked.get("scope")) == (
        *("code", "S256"),
        "openid",
    )
    (sent,) = xumm.hits("token")
    assert sent.names == {"grant_type", "code", "redirect_uri", "code_verifier", "client_id"}
    assert sent.headers["accept"] == "application/json"
    assert "authorization" not in sent.headers
    with get_session("acme") as api:
        assert api.get(PING).json()["sub"] == ADA
    assert xumm.calls == ["GET ping"]
    report, page = person.sign_out()
    assert (report.local, report.revoked, page) == (True, None, None)
    assert xumm.steps()[-1] == "api", "there is nothing to be asked for a sign-out"


@pytest.mark.parametrize("discovery", [True, False])
def test_metadata_or_not(xumm: Xumm, person_at: PersonAt, discovery: bool) -> None:
    """XU-1: what its metadata says is unconfirmed, so a sign-in works without."""
    xumm.discovery = discovery
    assert person_at(xumm).sign_in().subject == ADA


def test_a_name_that_is_public(xumm: Xumm, person_at: PersonAt) -> None:
    """Accounts that have made a name public are shown by it."""
    xumm.name = "Ada's savings"
    assert person_at(xumm).sign_in().name == "Ada's savings"


@pytest.mark.parametrize("names", [["code"], ["authorization_code"], ["code", "authorization_code"]])
def test_the_code_has_two_names(xumm: Xumm, person_at: PersonAt, names: list[str]) -> None:
    """XU-2: either of them, or both with the same value."""
    others = {"code", "authorization_code"} - set(names)
    xumm.answer("signin", changed(xumm, lambda query: {k: v for k, v in query.items() if k not in others}))
    assert person_at(xumm).sign_in().subject == ADA


def test_two_different_codes_are_none(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-2: an answer that says two things is not used, and the sign-in goes on waiting."""
    xumm.answer("signin", changed(xumm, lambda query: query | {"authorization_code": "another"}))
    assert unanswered(person_at(xumm)).code == "timeout"
    assert xumm.hits("token") == []


def test_signers_and_network_are_passed_on(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-14: the person signs in on this network, with one of these accounts."""
    person = person_at(xumm, force_network="TESTNET", signers=f"{ADA},{BOB}")
    person.sign_in()
    (asked,) = xumm.hits("authorize")
    assert (asked.get("force_network"), asked.get("signers")) == ("TESTNET", f"{ADA},{BOB}")
    assert xumm.newest().options["signers"] == [ADA, BOB]


# ---- the implicit flow ---------------------------------------------------------------------------------------------


def test_the_implicit_flow_is_off_by_default(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-1, XU-3: a token in an address is not what was asked for, so it is not used."""
    xumm.answer("signin", changed(xumm, lambda query: query | {"access_token": "NATK-access-uninvited00000"}))
    assert unanswered(person_at(xumm)).code == "timeout"
    assert xumm.hits("token") == []


def test_the_implicit_flow_for_those_who_insist(xumm: Xumm, person_at: PersonAt, canary: Canary) -> None:
    """
    XU-3: the token comes in the query; it is checked like every other, and the browser is sent on to a clean address.
    That no log and no file holds it is what the sweep of every test finds out.
    """
    xumm.acpkce = False
    person = person_at(xumm, insecure_implicit_flow=True)
    browser = xumm.browser()
    attempt = person.begin()
    while not attempt.link:
        assert attempt.poll() is None
    page = browser.open(attempt.link)
    assert outcome(attempt).subject == ADA
    (asked,) = xumm.hits("authorize")
    assert asked.get("response_type") == "token"
    assert "code_challenge" not in asked.names
    assert xumm.hits("token") == []
    came, clean = browser.hops[-2:]
    assert "access_token=" in urlsplit(came.url).query
    assert (came.status, urlsplit(clean.url).query, page.url) == (303, "", clean.url)
    assert came.header("referrer-policy") == "no-referrer"
    with get_session("acme") as api:
        assert api.get(PING).json()["sub"] == ADA
    assert status()[0].renews is False


def test_the_doctor_warns_of_the_implicit_flow(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-3: whoever insists is told what it means."""
    person = person_at(xumm, insecure_implicit_flow=True)
    assert any("no PKCE guards it" in line for line in diagnose("acme").lines())
    person.write(acme=xumm.profile())
    assert not any("no PKCE guards it" in line for line in diagnose("acme").lines())


@pytest.mark.parametrize(
    "change",
    [{"aud": "another"}, {"nonce": "another"}, {"iss": "https://evil.example"}],
    ids=lambda one: next(iter(one)),
)
def test_an_implicit_token_is_checked_too(xumm: Xumm, person_at: PersonAt, change: dict[str, Any]) -> None:
    """XU-3, XU-6: it came through the browser, so what it says of itself matters all the more."""
    xumm.claims = lambda kind, claims: claims | change
    assert failure(person_at(xumm, insecure_implicit_flow=True)).code == "id_token_invalid"


def test_an_implicit_answer_without_a_token(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-3: a code that nobody asked for is not used instead."""
    xumm.answer("signin", changed(xumm, lambda query: {"code": "NATK-code-uninvited000000", "state": query["state"]}))
    assert unanswered(person_at(xumm, insecure_implicit_flow=True)).code == "timeout"
    assert xumm.hits("token") == []


# ---- tokens --------------------------------------------------------------------------------------------------------


def test_there_is_nothing_to_renew_with(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-5: after a day the person signs again; nothing is asked of the service in vain, however often one tries."""
    person = person_at(xumm)
    person.sign_in()
    (row,) = status()
    assert (row.state, row.renews) == ("signed_in", False)
    assert 86000 < (row.expires_at or 0) - xumm.now() <= 86400
    person.expire()
    with get_session("acme") as api:
        for _ in range(3):
            with pytest.raises(LoginRequired, match="sign again on your phone") as caught:
                api.get(PING)
    assert caught.value.code == "no_refresh_token"
    assert (len(xumm.hits("token")), xumm.calls) == (1, [])
    (row,) = status()
    assert row.state == "no_refresh_token"
    assert "sign again on your phone" in row.hint
    assert person.sign_in().subject == ADA


def test_a_panel_says_when_it_is_over(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-5: by itself, when the time is over, though nobody has changed anything."""
    xumm.lifetime = 1
    person_at(xumm).sign_in()
    panel = LoginPanel("acme")
    try:
        end = time.monotonic() + 10
        while "sign again on your phone" not in repr(panel):
            assert time.monotonic() < end, repr(panel)
            time.sleep(0.05)
    finally:
        panel.close()


def test_a_refresh_token_that_is_none_is_not_kept(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-5: not the empty one, and none that somebody slips in: nothing would ever take it."""
    person = person_at(xumm)
    xumm.answer(
        "token", lambda request: Answer(json={**json.loads(_body(xumm, request)), "refresh_token": "slipped-in"})
    )
    person.sign_in()
    assert person.account.login().refresh_token is None


def _body(xumm: Xumm, request: Request) -> str:
    return json.dumps(xumm.do_token(request).json)


@pytest.mark.parametrize("id_token", ["the same", "none", "another"])
def test_the_access_token_says_who_it_is(xumm: Xumm, person_at: PersonAt, id_token: str) -> None:
    """XU-6: the ID token is the same string, or is not there; whatever it is, it decides nothing."""
    xumm.with_id_token = id_token == "the same"
    if id_token == "another":
        xumm.answer("token", lambda request: Answer(json=xumm.do_token(request).json | {"id_token": "a.b.c"}))
    assert person_at(xumm).sign_in().subject == ADA


@pytest.mark.parametrize(
    "change",
    [
        *({"nonce": "another"}, {"nonce": None}, {"aud": "another"}, {"iss": "https://evil.example"}),
        *({"exp": 1}, {"sub": ""}),
    ],
    ids=str,
)
def test_a_token_that_is_wrong(xumm: Xumm, person_at: PersonAt, change: dict[str, Any]) -> None:
    """XU-6, XU-7: nonce, audience, issuer and time are checked in the access token."""
    xumm.claims = lambda kind, claims: {k: v for k, v in (claims | change).items() if v is not None}
    assert failure(person_at(xumm)).code == "id_token_invalid"


@pytest.mark.parametrize("secret", [b"the application's API secret", None], ids=["api-secret", "public-key"])
def test_a_token_of_an_app_inside_the_wallet(xumm: Xumm, person_at: PersonAt, secret: bytes | None) -> None:
    """XU-7: theirs are signed with a shared secret (HS256), and are refused; so is one "signed" with the public key."""
    key = secret or signing_key(0).as_pem(private=False)

    def other(request: Request) -> Answer:
        members = xumm.do_token(request).json
        body = members["access_token"].split(".")[1]
        signed = f"{_base64(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{body}"
        token = xumm.mint("access", f"{signed}.{_base64(hmac.digest(key, signed.encode(), 'sha256'))}")
        return Answer(json=members | {"access_token": token, "id_token": token})

    xumm.answer("token", other)
    assert failure(person_at(xumm)).code == "id_token_invalid"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_new_keys_are_fetched(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-7: the keys come from ``/certs``; after a rotation the new one is there."""
    person = person_at(xumm)
    person.sign_in()
    xumm.rotate_keys()
    assert person.sign_in(ask=Ask(switch=True)).subject == ADA
    assert {hit.request.path for hit in xumm.hits("jwks")} == {"/certs"}


@pytest.mark.parametrize("network_id", ["0", "21338", "undefined"])
def test_the_network_is_a_text(xumm: Xumm, person_at: PersonAt, network_id: str) -> None:
    """XU-7: it is kept as it came; the phone does not always say."""
    xumm.network_id = network_id
    assert person_at(xumm).sign_in().claims["network_id"] == network_id


# ---- errors --------------------------------------------------------------------------------------------------------


def test_a_token_that_is_over_gets_a_403(xumm: Xumm, person_at: PersonAt) -> None:
    """
    XU-8: at ``/userinfo`` and at the API alike; it counts as the 401 of the standards, for each of the clients. Another
    403 is the API's own business.
    """
    person_at(xumm).sign_in()
    userinfo = f"{xumm.origin}/userinfo"
    xumm.answer("userinfo", Answer(403, json={"error": "not_yours"}), Answer(403, "<h1>No</h1>"))
    with get_session("acme") as api:
        assert [api.get(userinfo).status_code for _ in range(3)] == [403, 403, 200]
        xumm.expire()
        for url in (userinfo, PING):
            with pytest.raises(LoginRequired, match="phone"):
                api.get(url)

    async def both() -> None:
        async with get_async_session("acme") as api:
            with pytest.raises(LoginRequired, match="phone"):
                await api.get(PING)

    asyncio.run(both())
    with pytest.raises(LoginRequired, match="phone"):
        requests.get(userinfo, auth=NativeAuth("acme"), timeout=10)
    assert len(xumm.hits("token")) == 1


@pytest.mark.parametrize("html_errors", [False, True])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"code": "another"}, "Invalid authorization code."),
        ({"implicit": False}, "both PKCE and the implicit flow"),
    ],
    ids=["code", "client"],
)
def test_errors_are_read_in_both_forms(
    xumm: Xumm, person_at: PersonAt, html_errors: bool, change: dict[str, Any], words: str
) -> None:
    """XU-9, XU-10: JSON or a page, the sentence is the same; and here ``access_denied`` is no person's no."""
    xumm.html_errors = html_errors
    person, browser = person_at(xumm), xumm.browser()
    if "code" in change:
        spoilt = "NATK-code-spoilt0000000000"
        xumm.answer("signin", changed(xumm, lambda query: query | {"code": spoilt, "authorization_code": spoilt}))
    else:
        xumm.implicit = False
    attempt = person.begin(browser)
    with pytest.raises(LoginFailed) as caught:
        outcome(attempt)
    assert words in str(caught.value)
    assert "access_denied" in str(caught.value)
    assert caught.value.code == "refused"
    assert all("/done/denied" not in hop.url for hop in browser.hops)


def test_a_no_on_the_phone(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-10: in the browser's answer it is the person who said no."""
    xumm.login = "deny"
    person = person_at(xumm)
    error = failure(person)
    assert error.code == "access_denied"
    assert "You rejected the sign-in on your phone" in str(error)


def test_our_requests_look_like_a_programs(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-9: by the service's own score, so that its errors are JSON: no header more than what it takes."""
    person_at(xumm).sign_in()
    for name in ("discovery", "jwks", "token", "userinfo"):
        for hit in xumm.hits(name):
            assert looks_like_a_program(hit.request), name
    assert "windows" not in xumm.hits("token")[0].headers["user-agent"].lower()


def test_an_endpoint_that_hangs(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-9: some failures of the service leave a request without any answer: ours has an end."""
    person = person_at(xumm)
    person.account._client = ProviderClient(deadline=0.3)
    xumm.answer("token", Answer(wait=threading.Event()))
    error = failure(person)
    assert isinstance(error, ProviderUnavailable)
    assert error.code == "timeout"


def test_nobody_signs(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-11: nothing comes back then; the wait ends, says what to look at, and another try works."""
    xumm.login = "page"
    person = person_at(xumm)
    attempt = person.begin(xumm.browser(press=("Expire",)))
    error = given_up(attempt, lambda: xumm.wait("authorize"))
    assert error.code == "timeout"
    assert "Nobody signed on the phone" in error.hint
    assert person.sign_in().subject == ADA


def test_a_redirect_uri_that_is_not_registered(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-11, XU-15: the service shows a page and leads nowhere; what to register is in the words."""
    xumm.redirect_uris = {"http://127.0.0.1:9/nativeauth/callback"}
    attempt = person_at(xumm).begin(xumm.browser())
    error = given_up(attempt, lambda: xumm.wait("authorize"))
    assert "Invalid client/redirect URL" in error.hint
    assert "port and path" in error.hint


def test_why_a_redirect_uri_is_registered_with_port_and_path(xumm: Xumm) -> None:
    """XU-15: the service compares beginnings, as texts."""
    xumm.redirect_uris = {"http://127.0.0.1"}
    assert xumm.is_registered("http://127.0.0.1:8888/nativeauth/callback")
    assert xumm.is_registered("http://127.0.0.1.evil.example/")
    xumm.redirect_uris = {"http://127.0.0.1:8888/nativeauth/callback/"}
    assert xumm.is_registered("http://127.0.0.1:8888/nativeauth/callback?code=x")
    assert not xumm.is_registered("http://127.0.0.1.evil.example/")
    assert not xumm.is_registered("http://localhost:8888/nativeauth/callback")
    xumm.redirect_uris = {"my-app://signin", "com.example.app://signin"}
    assert not xumm.is_registered("my-app://signin")
    assert not xumm.is_registered("com.example.app://signin")


# ---- the profile ---------------------------------------------------------------------------------------------------


def wallet(**keys: Any) -> Profile:
    return Profile("wallet", **({"provider": "xumm", "client_id": "47fdfcb7-8362-47fe-9a89-a2efc55e86d5"} | keys))


def test_two_lines_are_enough() -> None:
    """XU-1, XU-12: provider and key; the rest is known, and a native client has no flow that is insecure."""
    profile = wallet()
    assert profile.api == ("https://xumm.app", "https://oauth2.xumm.app")
    assert profile.client_type == "native"
    assert "insecure_implicit_flow" not in profile.options
    assert wallet(insecure_implicit_flow=False) == profile


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"api_secret": "x"}, "Nothing secret may stand here"),
        ({"client_secret": "x"}, "Nothing secret may stand here"),
        ({"client_type": "confidential"}, 'client_type must be "native"'),
        ({"authorize": {"client_secret": "x"}}, "not free to choose"),
        ({"authorize": {"response_type": "token"}}, "not free to choose"),
        ({"scopes": ["XummPkce"]}, "popup"),
        ({"scopes": ["openid", "xummpkce"]}, "popup"),
        ({"force_network": "testnet"}, "a network in capitals"),
        ({"signers": "rX"}, "accounts"),
        ({"insecure_implicit_flow": "yes"}, "must be true or false"),
        ({"redirect_uri": "yourapp://signin"}, "redirect_uri"),
        ({"redirect_uri": "com.example.app://signin"}, "redirect_uri"),
        ({"insecure_implicit_flow": True, "provider": "oidc", "issuer": "https://id.example"}, "not a key of"),
    ],
    ids=str,
)
def test_what_a_profile_must_not_hold(keys: dict[str, Any], words: str) -> None:
    """XU-3, XU-14, XU-15, XU-16: no secret, no scope for a popup, no scheme of an app, and each says why."""
    with pytest.raises(ConfigError, match=words):
        wallet(**keys)


def test_a_scope_for_a_popup_is_refused_at_the_last_moment_too(xumm: Xumm, person_at: PersonAt) -> None:
    """XU-14: ``login(scopes=...)`` cannot ask for it either."""
    with pytest.raises(ConfigError, match="popup"):
        outcome(person_at(xumm).begin(xumm.browser(), ask=Ask(scopes=("XummPKCE",))))
