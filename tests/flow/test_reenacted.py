"""Cases of the security checklist that no other file is about, at the adversarial provider."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from jupyter_nativeauth import LoginFailed, LoginRequired, ProviderUnavailable, get_async_session, get_session
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._accounts import Accounts, use_accounts
from jupyter_nativeauth._callback import Mismatch, read_callback
from jupyter_nativeauth._discovery import discover
from jupyter_nativeauth._oauth import Ask, AuthorizationRequest, authorization_request
from jupyter_nativeauth.profiles import Profile, Profiles
from tests.answers import Answer, redirect
from tests.canary import Canary
from tests.certificates import Authority
from tests.flow.test_hostile_answers import (  # noqa: F401 - `account` and `visitor` are fixtures
    account,
    account_of,
    expire,
    expired,
    sign_in,
    visitor,
)
from tests.hostile import Hostile
from tests.http_browser import HttpBrowser
from tests.oidc_provider import OidcProvider
from tests.person import Person, outcome
from tests.samples import CALLBACK
from tests.untouched import fails, untouched


def begun(account: Account) -> tuple[AuthorizationRequest, dict[str, str]]:  # noqa: F811
    """A sign-in whose person has been at the provider, and the answer that the browser brings."""
    request = authorization_request(account.profile, discover(account.client, account.profile), CALLBACK, Ask())
    hop = HttpBrowser().request("GET", request.url.reveal())
    return request, dict(parse_qsl(urlsplit(hop.header("location") or "").query))


# ---- codes that were stolen -----------------------------------------------------------------------------------------


def test_a_stolen_code_is_of_no_use(account: Account, hostile: Hostile, canary: Canary) -> None:  # noqa: F811
    """NRM-013, NRM-045, SEC-007: the code of another sign-in, slipped into an answer that is right otherwise: the
    verifier does not fit, so the provider refuses; a typed error, and nobody is signed in."""
    (mine, answer), (_, theirs) = begun(account), begun(account)
    query = urlencode({**answer, "code": theirs["code"]})
    with untouched(hostile, account.folder, "token", at_most=1):
        error = fails(lambda: account.redeem(read_callback(mine, query)), canary)
    assert (type(error), error.code) == (LoginFailed, "invalid_grant")
    assert account.login_id() == ""


def test_where_pkce_is_ignored_the_nonce_refuses(
    account: Account,  # noqa: F811
    hostile: Hostile,
    canary: Canary,
) -> None:
    """NRM-032, NRM-045, NRM-046: a provider that neither says that it checks PKCE nor does so: the stolen code brings
    an ID token with another nonce. The verifier was sent all the same, and the state was looked at before."""
    del hostile.metadata["code_challenge_methods_supported"]
    (mine, answer), (_, theirs) = begun(account), begun(account)
    hostile.answer("token", lambda request: Answer(json=hostile.tokens(id_token=hostile.id_token())))
    query = urlencode({**answer, "code": theirs["code"]})
    with untouched(hostile, account.folder, "token", "jwks"):
        assert fails(lambda: account.redeem(read_callback(mine, query)), canary).code == "id_token_invalid"
    assert hostile.hits("token")[0].get("code_verifier") == mine.verifier.reveal()
    with pytest.raises(Mismatch):
        read_callback(mine, urlencode({**answer, "state": theirs["state"]}))
    assert len(hostile.hits("token")) == 1
    assert account.login_id() == ""


@pytest.mark.parametrize("methods", [["plain"], [], None])
def test_pkce_is_never_weakened(visitor: Person, hostile: Hostile, canary: Canary, methods: Any) -> None:  # noqa: F811
    """NRM-024, NRM-023: a provider that wants ``plain``, by its metadata and by its answer: it is asked once, with
    S256, and its error is what the person reads."""
    hostile.metadata["code_challenge_methods_supported"] = methods

    def refuse(request: Any) -> Answer:
        query = {"error": "invalid_request", "error_description": "S256 unsupported", "state": request.get("state")}
        return redirect(f"{request.get('redirect_uri')}?{urlencode({**query, 'iss': hostile.issuer})}")

    hostile.answer("authorize", refuse)
    error = fails(lambda: outcome(visitor.begin(HttpBrowser())), canary)
    assert (type(error), error.code) == (LoginFailed, "invalid_request")
    assert "S256 unsupported" in str(error)
    assert [hit.get("code_challenge_method") for hit in hostile.hits("authorize")] == ["S256"]
    assert hostile.hits("token") == []


def test_the_cookie_of_a_sign_in_ends_with_it(visitor: Person, hostile: Hostile) -> None:  # noqa: F811
    """ADV-028, SEC-006: what bound a browser to a sign-in that was cancelled binds it to no later one."""
    earlier = visitor.begin()
    while not earlier.link:
        earlier.poll()
    browser = HttpBrowser()
    browser.request("GET", earlier.link)
    old = list(browser.cookies)
    assert old
    earlier.cancel()
    with pytest.raises(LoginFailed):
        outcome(earlier)
    attempt = visitor.begin()
    while not attempt.link:
        attempt.poll()
    owner = HttpBrowser()
    there = owner.request("GET", attempt.link).header("location") or ""
    back = owner.request("GET", there).header("location") or ""
    browser.cookies = old
    assert browser.open(back).status == 400
    for cookie, new in zip(old, owner.cookies, strict=True):
        cookie.name = new.name
    assert browser.open(back).status == 400
    assert hostile.hits("token") == []
    assert owner.open(back).url.endswith("/done/signed-in")
    assert outcome(attempt).name == "Ada Example"


WORDS = [
    "a\r\nSet-Cookie: evil=1\r\n\r\n<script>alert(1)</script>",
    "a; evil=1; Domain=evil.example",
    '"><img src=x onerror=evil()>',
    "\x1b]0;evil\x07\u202elive",
    "javascript:evil()",
]


@pytest.mark.parametrize("words", WORDS)
def test_a_providers_words_reach_no_header(visitor: Person, hostile: Hostile, canary: Canary, words: str) -> None:  # noqa: F811
    """ADV-020, ADV-010, SEC-012: whatever it says with an error, and whatever error it is, our status lines, headers,
    cookies and pages are the same constant ones; the person's error is one printable line."""

    def refuse(request: Any) -> Answer:
        query = {"error": words, "error_description": words, "error_uri": words, "state": request.get("state")}
        return redirect(f"{request.get('redirect_uri')}?{urlencode({**query, 'iss': hostile.issuer})}")

    hostile.answer("authorize", refuse)
    browser = HttpBrowser()
    fails(lambda: outcome(visitor.begin(browser)), canary)
    ours = [hop for hop in browser.hops if "/nativeauth/" in hop.url]
    assert [hop.status for hop in ours] == [302, 303, 200]
    assert urlsplit(ours[-1].url).path == "/nativeauth/done/failed"
    for hop in ours[1:]:
        assert "evil" not in f"{hop.headers} {hop.text}".lower()


# ---- what is asked, and of whom -------------------------------------------------------------------------------------


def test_scopes_are_asked_for_and_their_claims_come(hostile: Hostile, tmp_path: Path) -> None:
    """CNF-005: profile, email, phone and address: as the profile says; what userinfo answers is there to be read."""
    scopes = ["openid", "profile", "email", "phone", "address"]
    account = account_of(hostile, tmp_path, scopes=scopes)  # noqa: F811
    more = {"phone_number": "+44 20 7946 0000", "address": {"locality": "London"}}
    hostile.answer("userinfo", Answer(json={"sub": hostile.subject, **more}))
    identity = sign_in(account, hostile)
    assert hostile.hits("authorize")[0].get("scope") == " ".join(scopes)
    assert {name: identity.claims[name] for name in more} == more


def test_the_keys_are_where_the_metadata_says(account: Account, hostile: Hostile) -> None:  # noqa: F811
    """CNF-037, CNF-038, NRM-040: discovery comes first, and the keys from an address that nobody could have guessed."""
    path = f"/keys-{hostile.mint('nothing')[-8:]}"
    hostile.metadata["jwks_uri"] = f"{hostile.issuer}{path}"
    hostile.answer("other", Answer(json={"keys": [key.as_dict(private=False) for key in hostile.keys]}))
    assert sign_in(account, hostile).name == "Ada Example"
    paths = [hit.path for hit in hostile.journal]
    assert paths.index("/.well-known/openid-configuration") < paths.index("/authorize") < paths.index(path)
    assert "/jwks" not in paths


@pytest.fixture
def trusted_once(tmp_path: Path, canary: Canary) -> Iterator[tuple[Account, Hostile]]:
    """Somebody is signed in at a provider whose certificate nobody trusts any more; the access token is over."""
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path), Authority(tmp_path / "other")
    with Hostile(tls=authority.server_context()) as provider:
        canary.source(provider.secrets)
        known = {"issuer": provider.issuer, "client_id": "cli", "api": [provider.issuer], "key_source": "memory"}
        profile = Profile("acme", **known, ca_bundle=str(authority.ca_file))  # type: ignore[arg-type]
        book = Accounts(folder=tmp_path / "data", environ={}, profiles=Profiles({"acme": profile}, default="acme"))
        before = use_accounts(book)
        try:
            made = book.get("acme")
            made.key(create=True)
            expired(made, provider)
            other.server_context()
            shutil.copy(other.ca_file, authority.ca_file)
            yield made, provider
        finally:
            use_accounts(before)
            canary.drain()


def test_verify_false_is_for_the_api_alone(trusted_once: tuple[Account, Hostile], canary: Canary) -> None:
    """SEC-082, NRM-107: a client that trusts everybody renews its token at a provider that is checked all the same."""
    made, provider = trusted_once
    with get_session(verify=False) as api, untouched(provider, made.folder):
        error = fails(lambda: api.get("/userinfo"), canary)
    assert (type(error), error.code) == (ProviderUnavailable, "tls")


# ---- a login in more than one place ---------------------------------------------------------------------------------


def test_a_login_that_was_copied_ends_once(hostile: Hostile, tmp_path: Path, canary: Canary) -> None:
    """FLT-027, FLT-025: restored on another machine, it has a refresh token that was spent here: signed out there, with
    one request and one sentence; here it goes on."""
    here = account_of(hostile, tmp_path / "here")
    sign_in(here, hostile)
    shutil.copytree(here.folder, tmp_path / "there")
    there = Account(here.profile, here.store.keys, tmp_path / "there")
    expire(here)
    expire(there)
    assert here.access_token().reveal()
    for _ in range(3):
        error = fails(there.access_token, canary)
        assert (type(error), error.code) == (LoginRequired, "expired")
    assert hostile.refreshes == 2
    assert here.access_token().reveal()
    assert hostile.reuse == 1
    hostile.reuse = 0


def test_threads_and_event_loops_renew_once_together(person: Person, oidc: OidcProvider) -> None:
    """FLT-014, PRM-003: threads with one client, and event loops with clients of their own, at the end of a token: one
    request, and nobody is left behind."""
    person.sign_in()
    person.expire()

    async def tasks() -> list[int]:
        async with get_async_session("acme") as api:
            return [answer.status_code for answer in await asyncio.gather(*(api.get("/api/me") for _ in range(8)))]

    with get_session("acme") as api, ThreadPoolExecutor(24) as pool:
        loops = [pool.submit(asyncio.run, tasks()) for _ in range(4)]
        calls = [pool.submit(api.get, "/api/me") for _ in range(20)]
        assert [loop.result(60) for loop in loops] == [[200] * 8] * 4
        assert [call.result(60).status_code for call in calls] == [200] * 20
    assert (oidc.refreshes, oidc.reuse) == (1, 0)
