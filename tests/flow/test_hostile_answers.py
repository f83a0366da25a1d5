"""A provider that misbehaves in every way, over real HTTP: nothing is believed too early, sent astray or lost."""

from __future__ import annotations

import base64
import gzip
import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from jupyter_nativeauth import (
    ConfigError,
    LoginFailed,
    LoginRequired,
    ProviderError,
    ProviderUnavailable,
)
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._callback import read_callback
from jupyter_nativeauth._discovery import discover
from jupyter_nativeauth._exchange import revoke
from jupyter_nativeauth._http import ProviderClient
from jupyter_nativeauth._jwks import read_keys
from jupyter_nativeauth._oauth import Ask, authorization_request
from jupyter_nativeauth._tokens import Identity, Login, Secret
from jupyter_nativeauth.agent import KeyAgent
from jupyter_nativeauth.keys import Keys
from jupyter_nativeauth.profiles import Profile
from jupyter_nativeauth.testing import Clock
from tests.answers import Answer, bomb, redirect
from tests.canary import Canary
from tests.certificates import Authority
from tests.hostile import Hostile, default_key
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.person import Person, outcome
from tests.samples import CALLBACK
from tests.untouched import fails, untouched

ENDPOINTS = ("authorize", "token", "jwks", "userinfo", "revoke", "end_session", "discovery", "metadata")


class Service:
    """What a person needs to know of the adversary."""

    def __init__(self, hostile: Hostile) -> None:
        self.hostile = hostile

    def profile(self, **extra: Any) -> dict[str, Any]:
        known = {
            "issuer": self.hostile.issuer,
            "client_id": "cli",
            "api": ["https://api.example"],
            "key_source": "memory",
        }
        return {**known, **extra}

    def browser(self, **options: Any) -> HttpBrowser:
        return HttpBrowser(**options)


@pytest.fixture
def visitor(home: Home, hostile: Hostile) -> Person:
    """Somebody whose service is the adversary, and who is not signed in."""
    return Person(home, Service(hostile))  # type: ignore[arg-type]


@pytest.fixture
def elsewhere() -> Iterator[Hostile]:
    """Another server, which must not hear of anything."""
    with Hostile() as other:
        yield other
    assert other.journal == []


def account_of(hostile: Hostile, folder: Path, *, deadline: float = 10, **changes: Any) -> Account:
    """An account at the adversary's, which gives its answers so many seconds."""
    keys = Keys(folder, server=True, environ={})
    keys.find("memory", create=True)
    profile = Profile("acme", **{**Service(hostile).profile(), **changes})
    client = ProviderClient(deadline=deadline, ca_bundle=profile.ca_bundle)
    return Account(profile, keys, folder, client=client, clock=Clock(time.time()))  # which a pause does not end


def again(account: Account) -> Account:
    """The same login in another process, which knows of no pause."""
    return Account(account.profile, account.store.keys, account.folder)


@pytest.fixture
def account(hostile: Hostile, tmp_path: Path) -> Account:
    return account_of(hostile, tmp_path)


def sign_in(account: Account, hostile: Hostile, **changes: Any) -> Identity:
    """Sign in without a listener: the browser's part is two requests."""
    provider = discover(account.client, account.profile)
    request = authorization_request(account.profile, provider, CALLBACK, Ask())
    hop = HttpBrowser().request("GET", request.url.reveal())
    login = account.redeem(read_callback(request, urlsplit(hop.header("location") or "").query))
    account.save(login)
    return login.identity


def expired(account: Account, hostile: Hostile) -> Login:
    """Somebody is signed in, and the access token is over."""
    provider = discover(account.client, account.profile)
    granted = hostile.tokens()
    now = time.time()
    claims = {"iss": hostile.issuer, "sub": hostile.subject, "aud": "cli", "iat": int(now) - 100, "auth_time": 7}
    login = Login(
        login_id="ab" * 16,
        identity=Identity("acme", hostile.issuer, hostile.subject, "Ada Example", claims=claims),
        provider=provider,
        client_id="cli",
        audience="",
        organization="",
        scopes=("openid",),
        access_token=Secret(granted["access_token"]),
        expires_at=now - 100,
        lifetime=3600.0,
        refresh_token=Secret(granted["refresh_token"]),
        id_token=Secret(hostile.id_token()),
        keys=tuple(read_keys({"keys": [key.as_dict(private=False) for key in hostile.keys]})),
        signed_in_at=now - 3700,
    )
    account.save(login)
    return login


def expire(account: Account) -> None:
    """The access token's time is over, as the vault tells it."""
    login = account.login()
    assert account.store.replace(login, replace(login, expires_at=0.0))


# ---- answers of the token endpoint -----------------------------------------------------------------------------------


def deflated(text: bytes) -> Answer:
    return Answer(body=zlib.compress(text), headers={"Content-Type": "application/json", "Content-Encoding": "deflate"})


REFUSED: dict[str, Answer] = {
    "401 with a message": Answer(401, json={"message": "Unauthorized"}),
    "403": Answer(403, json={"message": "Forbidden"}),
    "an empty 400": Answer(400, headers={"Content-Type": ""}),
    "an empty 403": Answer(403, headers={"Content-Type": "text/plain"}),
    "invalid_request": Answer(400, json={"error": "invalid_request"}),
    "invalid_client": Answer(401, json={"error": "invalid_client", "error_description": "\x1b[31m<b>\r\nno"}),
    "200 with an error": Answer(json={"error": "server_error"}),
    "an error that is an object": Answer(400, json={"error": {"code": 7}, "error_description": ["x"]}),
}
TOKENS = {
    "access_token": "NATK-access-hostile01234",
    "token_type": "Bearer",
    "refresh_token": "NATK-refresh-hostile01234",
}
USELESS: dict[str, Answer] = {
    "200 and nothing in it": Answer(json={}),
    "200 without an access token": Answer(json={**TOKENS, "access_token": None}),
    "200 with a number for a token": Answer(json={**TOKENS, "access_token": 7}),
    "200 with a line break in a token": Answer(json={**TOKENS, "access_token": "a\r\nX: y"}),
    "another kind of token": Answer(json={**TOKENS, "token_type": "mac"}),
    "a list": Answer(json=[TOKENS]),
    "null": Answer(body="null", headers={"Content-Type": "application/json"}),
    "HTML": Answer(body="<h1>Welcome to our Wi-Fi</h1>"),
    "HTML around tokens": Answer(body=json.dumps(TOKENS)),
    "HTML with 400": Answer(400, body="<h1>Bad request</h1>"),
    "HTML with 500": Answer(500, body="<h1>Oops</h1>"),
    "500 with invalid_grant": Answer(500, json={"error": "invalid_grant"}),
    "503": Answer(503, headers={"Retry-After": "1"}),
    "407": Answer(407, json={"error": "invalid_grant"}),
    "429": Answer(429, json={"message": "slow"}, headers={"Retry-After": "7"}),
    "302 with tokens in it": Answer(302, json=TOKENS),
    "204": Answer(204, headers={"Content-Type": ""}),
    "truncated JSON": Answer(body=json.dumps(TOKENS)[:-9], headers={"Content-Type": "application/json"}),
    "deep JSON": Answer(body='{"x":' + "[" * 200_000, headers={"Content-Type": "application/json"}),
    "a long number": Answer(body='{"access_token":' + "9" * 5000 + "}", headers={"Content-Type": "application/json"}),
    "the same member twice": Answer(
        body='{"access_token":"NATK-access-twice01234","access_token":"x"}',
        headers={"Content-Type": "application/json"},
    ),
    "UTF-16": Answer(body=json.dumps(TOKENS).encode("utf-16"), headers={"Content-Type": "application/json"}),
    "a compressed bomb": bomb(),
    "a deflated bomb": deflated(b'{"access_token":"' + b"A" * 30_000_000 + b'"}'),
    "a body of 2 MB": Answer(json={**TOKENS, "more": "x" * 2_000_000}),
    "a body without an end": Answer(endless=True),
    "an encoding that nobody asked for": Answer(json=TOKENS, headers={"Content-Encoding": "br"}),
    "an encoding that is not kept": Answer(json=TOKENS, headers={"Content-Encoding": "gzip"}),
    "a stack of encodings": Answer(
        body=gzip.compress(gzip.compress(b"{}")),
        headers={"Content-Encoding": "gzip, gzip", "Content-Type": "application/json"},
    ),
}


@pytest.mark.parametrize("case", [*REFUSED, *USELESS])
def test_a_bad_answer_to_a_renewal(account: Account, hostile: Hostile, canary: Canary, case: str) -> None:
    """TRP-13, TRP-14, TRP-26, LIB-010 to LIB-016, LIB-024 to LIB-028, FLT-005, FLT-009, INV-05: a typed error, one
    request, and the login stays as it was: the next process gets its access token with the same refresh token."""
    before = expired(account, hostile)
    hostile.answer("token", {**REFUSED, **USELESS}[case])
    with untouched(hostile, account.folder, "token", at_most=1):
        error = fails(account.access_token, canary)
    assert isinstance(error, LoginRequired if case in REFUSED else ProviderUnavailable)
    assert case not in REFUSED or error.code == "refused"
    assert case != "429" or getattr(error, "retry_after", None) == 7
    fails(account.access_token, canary)
    assert hostile.refreshes == 1
    assert account.login() == before
    assert again(account).access_token().reveal()
    assert hostile.refreshes == 2


@pytest.mark.parametrize("case", [*REFUSED, *USELESS])
def test_a_bad_answer_to_a_code(account: Account, hostile: Hostile, canary: Canary, case: str) -> None:
    """TRP-13, TRP-14, TRP-26, LIB-010 to LIB-016, LIB-024 to LIB-028, FLT-059, INV-02: a typed error, the code is not
    sent again, nobody is asked for anything more, and nothing is stored."""
    hostile.answer("token", {**REFUSED, **USELESS}[case])
    error = fails(lambda: sign_in(account, hostile), canary)
    assert isinstance(error, LoginFailed if case in REFUSED else ProviderUnavailable)
    assert [len(hostile.hits(name)) for name in ("token", "jwks", "userinfo")] == [1, 0, 0]
    assert account.login_id() == ""
    assert fails(account.access_token, canary).code == "signed_out"
    assert sign_in(account, hostile).name == "Ada Example"


BROKEN: dict[str, Answer] = {
    "a reset": Answer(reset=True),
    "an end in the middle": Answer(json=TOKENS, cut=20),
    "an end before the body": Answer(json=TOKENS, cut=0),
    "no HTTP": Answer(raw=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300)),
    "half a header": Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Type: appl"),
    "a length that is none": Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"),
    "two lengths": Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}"),
    "a chunk that is none": Answer(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    "20,000 headers": Answer(raw=b"HTTP/1.1 200 OK\r\n" + b"X-Fill: 0123456789\r\n" * 20_000 + b"\r\n{}"),
    "a header of 1 MB": Answer(raw=b"HTTP/1.1 200 OK\r\nX-Fill: " + b"x" * 1_000_000 + b"\r\n\r\n{}"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_answer_that_breaks_off(account: Account, hostile: Hostile, canary: Canary, case: str) -> None:
    """FLT-007, FLT-020, LIB-026: it is asked for once more, since nothing can be lost by that; then it is an error."""
    before = expired(account, hostile)
    hostile.answer("token", BROKEN[case], BROKEN[case])
    assert isinstance(fails(account.access_token, canary), ProviderUnavailable)
    assert hostile.refreshes == 2
    assert account.login() == before
    hostile.answer("token", BROKEN[case])
    assert again(account).access_token().reveal()
    assert hostile.refreshes == 4
    hostile.answer("token", BROKEN[case])
    assert isinstance(fails(lambda: sign_in(account, hostile), canary), ProviderUnavailable)
    assert len(hostile.hits("token", "authorization_code")) == 1


@pytest.mark.parametrize("grace", [False, True])
def test_a_rotation_whose_answer_got_lost(account: Account, hostile: Hostile, canary: Canary, grace: bool) -> None:
    """FLT-020, INV-06: the provider has rotated and the answer broke off: one more try; with a grace period it works,
    without one the login is honestly over."""
    hostile.grace = grace
    expired(account, hostile)
    hostile.answer("token", Answer(reset=True, work=True))
    if grace:
        assert account.access_token().reveal()
    else:
        assert fails(account.access_token, canary).code == "expired"
    assert hostile.refreshes == 2


@pytest.mark.parametrize("how", ["drip", "silence"])
def test_a_slow_answer(hostile: Hostile, tmp_path: Path, canary: Canary, how: str) -> None:
    """TRP-25, FLT-003, FLT-004, INV-04, PRM-011: one deadline for all of it, however steadily the bytes come; the login
    stays, and nothing is sent again while somebody waits."""
    slow = {
        "drip": Answer(json={**TOKENS, "fill": "x" * 2000}, drip=0.02),
        "silence": Answer(json=TOKENS, wait=threading.Event()),
    }[how]
    account = account_of(hostile, tmp_path, deadline=0.5)
    before = expired(account, hostile)
    hostile.answer("token", slow)
    error = fails(account.access_token, canary)
    assert isinstance(error, ProviderUnavailable)
    assert error.code == "timeout"
    assert "0.5 seconds" in str(error)
    assert hostile.refreshes == 1
    assert account.login() == before
    hostile.answer("token", slow)
    assert fails(lambda: sign_in(account, hostile), canary).code == "timeout"
    assert len(hostile.hits("token", "authorization_code")) == 1


def test_many_interim_answers(account: Account, hostile: Hostile) -> None:
    """LIB-026: 5000 times "100 Continue" before the answer is strange, and no reason to fail."""
    body = json.dumps(TOKENS).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    expired(account, hostile)
    hostile.answer("token", Answer(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 5000 + head + body))
    assert account.access_token() == Secret(TOKENS["access_token"])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(
    account: Account, hostile: Hostile, elsewhere: Hostile, canary: Canary, status: int
) -> None:
    """LIB-027, TRP-27, FLT-009, ADV-040: from no endpoint, with no status, to nobody: a 307 would post the code or the
    refresh token elsewhere. The other server hears of nothing."""
    away = redirect(f"{elsewhere.issuer}/token", status)
    before = expired(account, hostile)
    hostile.answer("token", away, away)
    assert isinstance(fails(account.access_token, canary), ProviderUnavailable)
    assert account.login() == before
    assert isinstance(fails(lambda: sign_in(account, hostile), canary), ProviderUnavailable)
    assert revoke(account.client, before) is True
    hostile.answer("revoke", away)
    assert revoke(account.client, before) is False
    hostile.answer("jwks", away)
    assert fails(lambda: sign_in(account, hostile), canary).code == "no_keys"
    hostile.answer("userinfo", away)
    assert sign_in(account, hostile).name == "Ada Example"
    hostile.answer("discovery", away)
    hostile.answer("metadata", away)
    assert fails(lambda: discover(account.client, account.profile), canary).code == "no_metadata"
    hostile.answer("token", redirect(f"{hostile.issuer}/token", status))
    assert isinstance(fails(lambda: sign_in(account, hostile), canary), ProviderUnavailable)


# ---- rotation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", 7, ["x"], "a b"])
def test_no_new_refresh_token(account: Account, hostile: Hostile, value: Any) -> None:
    """TRP-15, LIB-022: null, empty or nonsense means "keep the old one", and with it the next renewal works."""
    before = expired(account, hostile)
    hostile.answer("token", Answer(json={**hostile.tokens(), "refresh_token": value, "expires_in": 1}))
    token = account.access_token()
    assert account.login().refresh_token == before.refresh_token
    expire(account)
    assert account.access_token() != token
    sent = [hit.get("refresh_token") for hit in hostile.hits("token", "refresh_token")]
    assert len(sent) == 2
    assert len(set(sent)) == 1


def test_a_new_refresh_token(account: Account, hostile: Hostile) -> None:
    """CNF-031, NRM-104, FLT-010, NRM-037: it takes the old one's place, and the old one is never sent again."""
    expired(account, hostile)
    tokens = [account.access_token()]
    for _ in range(3):
        expire(account)
        tokens.append(account.access_token())
    sent = [hit.get("refresh_token") for hit in hostile.hits("token", "refresh_token")]
    assert len(set(sent)) == len(sent) == 4
    assert len({token.reveal() for token in tokens}) == 4


def test_what_a_renewal_changes_and_what_not(account: Account, hostile: Hostile) -> None:
    """NRM-092, LIB-021, FLT-026: other scopes are noted; without an ID token and scopes the old ones stay."""
    before = expired(account, hostile)
    hostile.answer("token", Answer(json=hostile.tokens(scope="openid other")))
    account.access_token()
    after = account.login()
    assert after.scopes == ("openid", "other")
    assert (after.id_token, after.identity, after.keys, after.login_id, after.signed_in_at) == (
        before.id_token,
        before.identity,
        before.keys,
        before.login_id,
        before.signed_in_at,
    )
    hostile.answer("token", Answer(json=hostile.tokens(scope=None)))
    expire(account)
    account.access_token()
    assert account.login().scopes == ("openid", "other")


# ---- ID tokens -------------------------------------------------------------------------------------------------------


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(hostile: Hostile, header: dict[str, Any], sign: Callable[[bytes], bytes], **claims: Any) -> str:
    """An ID token with a header and a signature of the attacker's choice."""
    payload = hostile.id_token(**claims).split(".")[1]
    signed = f"{b64(json.dumps(header).encode())}.{payload}"
    return hostile.mint("id", f"{signed}.{b64(sign(signed.encode()))}")


def xor(hostile: Hostile) -> str:
    """CNF-011, CNF-012: every byte of the signature XOR 0x5A."""
    signed, _, signature = hostile.id_token().rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    return hostile.mint("id", f"{signed}.{b64(bytes(byte ^ 0x5A for byte in raw))}")


def hs256(hostile: Hostile) -> str:
    """CNF-013, ADV-001: HMAC with the public key for a secret."""
    pem = default_key().as_pem(private=False)
    return forged(hostile, {"alg": "HS256", "kid": "one"}, lambda data: hmac.digest(pem, data, hashlib.sha256))


def own_key(hostile: Hostile) -> str:
    """ADV-006: signed well, by a key that the token brings along."""
    key = ECKey.generate_key("P-256", {"kid": "mine"})
    header = hostile.header
    keys, hostile.keys = hostile.keys, [key]
    hostile.header = lambda usual: {**usual, "jwk": key.as_dict(private=False), "kid": "one"}
    try:
        return hostile.id_token()
    finally:
        hostile.keys, hostile.header = keys, header


NOW = int(time.time())
WRONG: dict[str, Callable[[Hostile], Any]] = {
    "CNF-003 alg none": lambda hostile: forged(hostile, {"alg": "none"}, lambda data: b""),
    "CNF-066 alg nOnE": lambda hostile: forged(hostile, {"alg": "nOnE", "kid": "one"}, lambda data: b"x"),
    "CNF-006 iss": lambda hostile: hostile.id_token(iss=f"{hostile.issuer}1"),
    "CNF-006 iss with a slash": lambda hostile: hostile.id_token(iss=f"{hostile.issuer}/"),
    "CNF-007 aud": lambda hostile: hostile.id_token(aud="cli1"),
    "CNF-008 no aud": lambda hostile: hostile.id_token(aud=None),
    "CNF-009 no sub": lambda hostile: hostile.id_token(sub=None),
    "CNF-010 no iat": lambda hostile: hostile.id_token(iat=None),
    "CNF-011 signature": xor,
    "CNF-013 HS256": hs256,
    "CNF-014 nonce": lambda hostile: hostile.id_token(nonce=f"{hostile._nonce}1"),
    "CNF-067 no nonce": lambda hostile: hostile.id_token(nonce=None),
    "CNF-055 second aud": lambda hostile: hostile.id_token(aud=["cli", "cli1"]),
    "CNF-059 a week old": lambda hostile: hostile.id_token(iat=NOW - 7 * 86400),
    "CNF-061 over": lambda hostile: hostile.id_token(exp=NOW - 360),
    "CNF-026 at_hash": lambda hostile: hostile.id_token(at_hash="AAAAAAAAAAAAAAAAAAAAAA1"),
    "CNF-070 encrypted": lambda hostile: "eyJhbGciOiJSU0ExXzUifQ.a.b.c.d",
    "ADV-006 own key": own_key,
    "TRP-21 a list for a nonce": lambda hostile: hostile.id_token(nonce=[hostile._nonce]),
    "TRP-21 azp": lambda hostile: hostile.id_token(azp="cli1"),
    "LIB-012 no token": lambda hostile: "nonsense",
    "LIB-023 no ID token": lambda hostile: None,
    "LIB-023 a number": lambda hostile: 7,
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_id_token_at_a_sign_in(visitor: Person, hostile: Hostile, canary: Canary, case: str) -> None:
    """CNF-003, CNF-006 to CNF-011, CNF-013, CNF-014, TRP-21, INV-02, PRM-002: through the listener and a browser:
    refused, nothing is stored, and after the keys no other request follows; the page says that it failed, and the next
    sign-in works."""
    hostile.answer("token", lambda request: Answer(json={**hostile.tokens(), "id_token": WRONG[case](hostile)}))
    browser = HttpBrowser()
    error = fails(lambda: outcome(visitor.begin(browser)), canary)
    assert isinstance(error, LoginFailed)
    assert error.code == ("id_token_missing" if "LIB-023" in case else "id_token_invalid")
    assert browser.hops[-1].url.endswith("/nativeauth/done/failed")
    order = [name for request in hostile.journal for name in ENDPOINTS if request.path.endswith(f"/{name}")]
    assert order[:2] == ["authorize", "token"]
    assert set(order[2:]) <= {"jwks"}
    assert visitor.account.login_id() == ""
    assert list(visitor.accounts.folder.glob("*.vault")) == []
    assert visitor.sign_in().name == "Ada Example"


@pytest.mark.parametrize(
    "key", [ECKey.generate_key("P-256", {"kid": "ec"}), OKPKey.generate_key("Ed25519", {"kid": "ed"})]
)
def test_other_algorithms(account: Account, hostile: Hostile, canary: Canary, key: Any) -> None:
    """CNF-012: with ES256 and EdDSA a good signature counts, and one whose bytes were changed does not."""
    hostile.keys = [key]
    assert sign_in(account, hostile).name == "Ada Example"
    hostile.answer("token", lambda request: Answer(json=hostile.tokens(id_token=xor(hostile))))
    assert fails(lambda: sign_in(account, hostile), canary).code == "id_token_invalid"


def test_an_algorithm_that_the_provider_does_not_list(account: Account, hostile: Hostile, canary: Canary) -> None:
    """CNF-002, CNF-056, NRM-081: signed with ES256 by a provider that says RS256."""
    hostile.metadata["id_token_signing_alg_values_supported"] = ["RS256"]
    assert sign_in(account, hostile).name == "Ada Example"
    hostile.keys = [ECKey.generate_key("P-256", {"kid": "one"})]
    assert fails(lambda: sign_in(account, hostile), canary).code == "id_token_invalid"


def test_keys_that_change_between_two_sign_ins(account: Account, hostile: Hostile) -> None:
    """CNF-020a, FLT-061: the keys are fetched with each sign-in; new ones are no surprise."""
    assert sign_in(account, hostile).name == "Ada Example"
    hostile.keys = [RSAKey.generate_key(2048, {"kid": "two"})]
    assert sign_in(account, hostile).name == "Ada Example"


def test_keys_that_change_just_before_signing(account: Account, hostile: Hostile, canary: Canary) -> None:
    """CNF-020b, NRM-090, LIB-055, LIB-059: an unknown name makes us look once more, and not a third time."""
    old = Answer(json={"keys": [key.as_dict(private=False) for key in hostile.keys]})
    hostile.keys = [ECKey.generate_key("P-256", {"kid": "two"})]
    hostile.answer("jwks", old)
    assert sign_in(account, hostile).name == "Ada Example"
    assert len(hostile.hits("jwks")) == 2
    hostile.answer("jwks", old, old, old)
    assert fails(lambda: sign_in(account, hostile), canary).code == "id_token_invalid"
    assert len(hostile.hits("jwks")) == 4


def test_keys_that_cannot_be_read(account: Account, hostile: Hostile) -> None:
    """CNF-017, TRP-20: unknown kinds, broken ones and secrets beside the real key do not spoil it."""
    good = [key.as_dict(private=False) for key in hostile.keys]
    bad: list[Any] = [
        {"kty": "AKP", "alg": "ML-DSA-44", "kid": "one", "pub": "AAAA"},
        {"kty": "FOO", "kid": "one"},
        {"kty": "RSA", "n": "!!!", "e": "AQAB", "kid": "one"},
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA", "kid": "one"},
        {"kid": "one"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "one"},
        None,
        7,
    ]
    hostile.answer("jwks", Answer(json={"keys": [*bad, *good]}))
    assert sign_in(account, hostile).name == "Ada Example"


@pytest.mark.parametrize(
    "keys",
    [
        Answer(500),
        Answer(404),
        Answer(body="<h1>Hello</h1>"),
        Answer(json={"keys": []}),
        Answer(json={"keys": {}}),
        Answer(json=[]),
        Answer(json={"keys": [{"kty": "FOO"}]}),
        bomb(),
        Answer(reset=True),
    ],
    ids=["500", "404", "HTML", "empty", "no list", "a list", "none that fits", "a bomb", "a reset"],
)
def test_no_keys_at_all(account: Account, hostile: Hostile, canary: Canary, keys: Answer) -> None:
    """FLT-061, LIB-056, LIB-058: without keys nobody can be believed; a typed error, and nothing is stored."""
    hostile.answer("jwks", keys, keys)
    assert isinstance(fails(lambda: sign_in(account, hostile), canary), ProviderUnavailable)
    assert account.login_id() == ""
    assert hostile.hits("userinfo") == []


RENEWED: dict[str, Callable[[Hostile], Any]] = {
    "CNF-032 iss": lambda hostile: hostile.id_token(iss=f"{hostile.issuer}1", nonce=None),
    "CNF-033 sub": lambda hostile: hostile.id_token(sub="user-2", nonce=None),
    "CNF-034 aud": lambda hostile: hostile.id_token(aud="cli1", nonce=None),
    "CNF-035 azp": lambda hostile: hostile.id_token(azp="cli", nonce=None),
    "CNF-036 auth_time": lambda hostile: hostile.id_token(auth_time=8, nonce=None),
    "CNF-036 nonce": lambda hostile: hostile.id_token(nonce="another"),
    "CNF-036 older": lambda hostile: hostile.id_token(iat=NOW - 86400, nonce=None),
    "CNF-036 alg none": lambda hostile: forged(hostile, {"alg": "none"}, lambda data: b"", nonce=None),
    "CNF-036 signature": xor,
}


@pytest.mark.parametrize("case", RENEWED)
def test_a_wrong_id_token_at_a_renewal(account: Account, hostile: Hostile, canary: Canary, case: str) -> None:
    """CNF-032 to CNF-036, FLT-024, INV-05: the new refresh token is kept, since the old one is spent; the access token
    is not handed out, the person stays the same, and the next renewal may work."""
    before = expired(account, hostile)
    granted = hostile.tokens()
    hostile.answer("token", lambda request: Answer(json={**granted, "id_token": RENEWED[case](hostile)}, work=True))
    error = fails(account.access_token, canary, stores=True)
    assert isinstance(error, ProviderError)
    assert error.code == "id_token_invalid"
    fails(account.access_token, canary)
    assert hostile.refreshes == 1
    kept = account.login()
    assert kept.refresh_token == Secret(granted["refresh_token"])
    assert (kept.access_token, kept.identity, kept.id_token) == (None, before.identity, before.id_token)
    assert account.identity() == before.identity
    assert again(account).access_token().reveal()
    assert hostile.refreshes == 2


def test_an_id_token_that_is_right_at_a_renewal(account: Account, hostile: Hostile) -> None:
    """CNF-031, NRM-091: it takes the old one's place."""
    expired(account, hostile)
    newer = hostile.id_token(auth_time=7, nonce=None)
    hostile.answer("token", Answer(json=hostile.tokens(id_token=newer)))
    assert account.access_token().reveal()
    assert account.login().id_token == Secret(newer)


def test_an_id_token_by_an_unknown_key_at_a_renewal(account: Account, hostile: Hostile) -> None:
    """FLT-061: keys change; nothing is fetched between answer and save, the identity stays the one that was proven."""
    before = expired(account, hostile)
    asked = len(hostile.hits("jwks"))
    hostile.keys = [ECKey.generate_key("P-256", {"kid": "two"})]
    hostile.answer("token", lambda request: Answer(json=hostile.tokens(id_token=hostile.id_token(sub="user-2"))))
    assert account.access_token().reveal()
    after = account.login()
    assert (after.identity, after.id_token) == (before.identity, before.id_token)
    assert len(hostile.hits("jwks")) == asked


# ---- userinfo --------------------------------------------------------------------------------------------------------


@pytest.fixture
def nameless(hostile: Hostile) -> Hostile:
    """A provider whose ID tokens say no more than who it is."""
    hostile.claims = lambda claims: {name: value for name, value in claims.items() if name not in ("name", "email")}
    return hostile


def test_what_userinfo_adds(account: Account, nameless: Hostile) -> None:
    """CNF-001, CNF-022, NRM-089, NRM-044, NRM-106: with the access token in the header it says what to call the
    person."""
    identity = sign_in(account, nameless)
    assert (identity.name, identity.email) == ("Ada Example", "ada@example.org")
    (hit,) = nameless.hits("userinfo")
    assert hit.headers["authorization"].startswith("Bearer NATK-access-")
    assert (hit.params, hit.method) == ([], "GET")


USERINFO: dict[str, Answer] = {
    "CNF-019 another sub": Answer(json={"sub": "user-1invalid", "name": "Mallory", "email": "m@evil.example"}),
    "CNF-019 no sub": Answer(json={"name": "Mallory"}),
    "CNF-019 a list for a sub": Answer(json={"sub": ["user-1"], "name": "Mallory"}),
    "CNF-024 signed": Answer(
        body="eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyLTEiLCJuYW1lIjoiTWFsbG9yeSJ9.",
        headers={"Content-Type": "application/jwt"},
    ),
    "401": Answer(401, json={"sub": "user-1", "name": "Mallory"}),
    "500": Answer(500),
    "HTML": Answer(body="<h1>Mallory</h1>"),
    "a list": Answer(json=[{"sub": "user-1", "name": "Mallory"}]),
    "a bomb": bomb(),
    "a reset": Answer(reset=True),
}


@pytest.mark.parametrize("case", USERINFO)
def test_userinfo_that_is_not_believed(account: Account, nameless: Hostile, case: str) -> None:
    """CNF-019, CNF-024, NRM-088: nothing of it is used, and since it is for display only, the sign-in goes on."""
    nameless.answer("userinfo", USERINFO[case], USERINFO[case])
    identity = sign_in(account, nameless)
    assert (identity.subject, identity.name, identity.email) == ("user-1", "user-1", "")
    assert "Mallory" not in repr(identity.claims)


def test_claims_that_are_elsewhere_are_not_fetched(account: Account, hostile: Hostile, elsewhere: Hostile) -> None:
    """CNF-025, SEC-077: an address in a claim is a claim; the server there hears of nothing."""
    sources = {"src": {"endpoint": f"{elsewhere.issuer}/userinfo", "access_token": "NATK-access-distributed1"}}
    more = {"_claim_names": {"address": "src"}, "_claim_sources": sources, "picture": f"{elsewhere.issuer}/ada.png"}
    hostile.claims = lambda claims: {**claims, "picture": more["picture"], "jku": f"{elsewhere.issuer}/jwks"}
    hostile.header = lambda header: {**header, "jku": f"{elsewhere.issuer}/jwks", "x5u": f"{elsewhere.issuer}/x5u"}
    hostile.answer("userinfo", Answer(json={"sub": "user-1", **more}))
    assert sign_in(account, hostile).name == "Ada Example"


def test_who_it_is_comes_from_the_id_token(account: Account, hostile: Hostile) -> None:
    """NRM-088, ADV-036: userinfo may add, and never replaces what was signed."""
    wrong = {"sub": "user-1", "iss": "https://evil.example", "aud": "evil", "name": "Mallory", "zoneinfo": "UTC"}
    hostile.answer("userinfo", Answer(json=wrong))
    identity = sign_in(account, hostile)
    assert (identity.name, identity.issuer, identity.claims["aud"]) == ("Ada Example", hostile.issuer, "cli")
    assert identity.claims["zoneinfo"] == "UTC"


def test_userinfo_says_nothing_about_the_id_token(account: Account, hostile: Hostile) -> None:
    """NRM-091: a renewed ID token is compared with the first one; what userinfo calls by the same names, and the first
    one did not say, must not make every renewal fail."""
    wrong = {"sub": "user-1", "azp": "another", "auth_time": 7, "acr": "x", "at_hash": "x"}
    hostile.answer("userinfo", Answer(json=wrong))
    assert not wrong.keys() & sign_in(account, hostile).claims.keys() - {"sub"}
    expire(account)
    hostile.answer("token", Answer(json=hostile.tokens(id_token=hostile.id_token(nonce=None, auth_time=8))))
    assert account.access_token().reveal()


# ---- metadata, and who is who ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        Answer(404),
        Answer(body="<h1>Welcome to our Wi-Fi</h1>"),
        Answer(json=[]),
        Answer(json=None, body="null"),
        Answer(json={"issuer": "https://evil.example"}),
        Answer(body='{"issuer": "'),
        bomb(),
    ],
    ids=["404", "HTML", "a list", "null", "another issuer", "truncated", "a bomb"],
)
def test_no_usable_metadata(visitor: Person, hostile: Hostile, canary: Canary, document: Answer) -> None:
    """CNF-018, CNF-037, NRM-068, FLT-009, NRM-040: it ends before a browser opens, with words for the person; the
    authorization endpoint hears of nothing."""
    hostile.answer("discovery", document, document)
    hostile.answer("metadata", document, document)
    attempt = visitor.begin(HttpBrowser())
    assert isinstance(fails(lambda: outcome(attempt), canary), ConfigError | ProviderUnavailable)
    assert attempt.link == ""
    assert hostile.hits("authorize") == []


def test_only_one_of_the_two_documents_is_there(account: Account, hostile: Hostile) -> None:
    """NRM-066: OpenID Connect's or RFC 8414's: either will do."""
    hostile.answer("discovery", Answer(404))
    assert sign_in(account, hostile).name == "Ada Example"
    del hostile.metadata["revocation_endpoint"]
    hostile.answer("metadata", Answer(503), Answer(503))
    assert sign_in(account, hostile).name == "Ada Example"


def test_a_server_that_fails_once(account: Account, hostile: Hostile) -> None:
    """FLT-005, FLT-007: reading is tried a second time, since nothing can be lost by that."""
    hostile.answer("discovery", Answer(502))
    hostile.answer("jwks", Answer(reset=True))
    assert sign_in(account, hostile).name == "Ada Example"
    assert (len(hostile.hits("discovery")), len(hostile.hits("jwks"))) == (2, 2)


def test_an_answer_without_the_issuer_that_was_promised(visitor: Person, hostile: Hostile, canary: Canary) -> None:
    """CNF-063, NRM-057: the browser gets a neutral page, no code is redeemed, and the wait goes on."""

    def without_issuer(request: Any) -> Answer:
        query = {"code": hostile.mint("code"), "state": request.get("state") or ""}
        return redirect(f"{request.get('redirect_uri')}?{urlencode(query)}")

    hostile.answer("authorize", without_issuer)
    attempt = visitor.begin()
    while not attempt.link:
        attempt.poll()
    browser = HttpBrowser()
    page = browser.open(attempt.link)
    assert (page.status, "Nothing was changed" in page.text) == (400, True)
    assert hostile.hits("token") == []
    assert browser.open(attempt.link).url.endswith("/done/signed-in")
    assert outcome(attempt).name == "Ada Example"


def test_an_endpoint_that_moves_during_a_sign_in(visitor: Person, hostile: Hostile, elsewhere: Hostile) -> None:
    """SEC-015, NRM-046: the sign-in ends with the metadata with which it began: the code goes to nobody else."""

    def move(request: Any) -> None:
        hostile.metadata |= dict.fromkeys(("token_endpoint", "userinfo_endpoint"), f"{elsewhere.issuer}/token")

    hostile.answer("authorize", move)
    assert visitor.sign_in().name == "Ada Example"
    assert len(hostile.hits("token")) == 1


def test_an_endpoint_that_moves_after_the_sign_in(account: Account, hostile: Hostile, elsewhere: Hostile) -> None:
    """SEC-074, TRP-35, LIB-088, FLT-062: the refresh token never goes to an address that turned up later."""
    sign_in(account, hostile)
    for name in ("token_endpoint", "revocation_endpoint", "end_session_endpoint", "userinfo_endpoint", "jwks_uri"):
        hostile.metadata[name] = f"{elsewhere.issuer}/{name}"
    asked = len(hostile.hits("discovery"))
    expire(account)
    assert account.access_token().reveal()
    login = account.sign_out()
    assert login is not None
    assert revoke(account.client, login) is True
    assert len(hostile.hits("discovery")) == asked
    ending = account.take_end_session()
    assert ending is not None
    assert ending.endpoint == f"{hostile.issuer}/end_session"


@pytest.mark.parametrize("defence", ["iss", "path"])
def test_two_providers_are_not_mixed_up(home: Home, hostile: Hostile, canary: Canary, defence: str) -> None:
    """SEC-014, NRM-010, NRM-033, NRM-109: a hostile provider sends the browser on to an honest one, hoping for its
    code. The issuer in the answer gives it away; where providers send none, the callback's path does."""
    with Hostile() as honest:
        canary.source(honest.secrets)
        more = {"redirect_path": "profile"} if defence == "path" else {}
        if defence == "path":
            for one in (hostile, honest):
                one.metadata["authorization_response_iss_parameter_supported"] = False
        person = Person(home, Service(hostile))  # type: ignore[arg-type]
        person.write(acme=Service(hostile).profile(**more), honest=Service(honest).profile(**more))

        def send_on(request: Any) -> Answer:
            query = {**dict(request.params), "client_id": honest.client_id}
            # At the honest provider only the honest profile's address is registered.
            query["redirect_uri"] = query["redirect_uri"].replace("/callback/acme", "/callback/honest")
            return redirect(f"{honest.issuer}/authorize?{urlencode(query)}")

        hostile.answer("authorize", send_on)
        attempt = person.begin()
        while not attempt.link:
            attempt.poll()
        browser = HttpBrowser()
        page = browser.open(attempt.link)
        assert (page.status, "Nothing was changed" in page.text) == (400, True)
        assert len(honest.hits("authorize")) == 1
        assert (hostile.hits("token"), honest.hits("token")) == ([], [])
        assert browser.open(attempt.link).url.endswith("/done/signed-in")
        assert outcome(attempt).issuer == hostile.issuer
        canary.drain()


# ---- revocation ------------------------------------------------------------------------------------------------------


def test_a_revocation_that_wants_the_access_token(account: Account, hostile: Hostile) -> None:
    """NRM-120, NRM-121: the refresh token, plainly; refused with 401, once more with the access token in the header."""
    login = expired(account, hostile)
    hostile.answer("revoke", Answer(401))
    assert revoke(account.client, login) is True
    first, second = hostile.hits("revoke")
    assert first.params == second.params
    assert dict(first.params)["token_type_hint"] == "refresh_token"
    assert ("authorization" in first.headers, "authorization" in second.headers) == (False, True)
    assert hostile.violations == ["revoke: sends authorization"]
    hostile.violations.clear()
    hostile.answer("revoke", Answer(401), Answer(401))
    assert revoke(account.client, login) is False
    assert len(hostile.hits("revoke")) == 4
    hostile.violations.clear()


@pytest.mark.parametrize(
    ("said", "done"),
    [
        (Answer(200), True),
        (Answer(200, body="<h1>OK</h1>"), True),
        (Answer(204), True),
        (Answer(503, headers={"Retry-After": "5"}), False),
        (Answer(400, json={"error": "unsupported_token_type"}), False),
        (Answer(reset=True), False),
        (bomb(), False),
    ],
    ids=["200", "HTML", "204", "503", "400", "a reset", "a bomb"],
)
def test_what_a_revocation_achieved(account: Account, hostile: Hostile, said: Answer, done: bool) -> None:
    """NRM-122, NRM-123, FLT-051: a 2xx is a yes; whatever else it says, it is reported, and asked once."""
    login = expired(account, hostile)
    hostile.answer("revoke", said)
    assert revoke(account.client, login) is done
    assert len(hostile.hits("revoke")) == 1


# ---- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path: Path, canary: Canary) -> Iterator[tuple[Hostile, Authority]]:
    """A provider with a certificate by an authority that nobody knows."""
    authority = Authority(tmp_path)
    with Hostile(tls=authority.server_context()) as provider:
        canary.source(provider.secrets)
        yield provider, authority
        canary.drain()
    assert provider.violations == []


def test_a_private_authority(secure: tuple[Hostile, Authority], home: Home, canary: Canary) -> None:
    """NRM-069, FLT-008, SEC-081: refused before anything is asked, and it says why; with ``ca_bundle`` it works."""
    provider, authority = secure
    person = Person(home, Service(provider))  # type: ignore[arg-type]
    error = fails(lambda: outcome(person.begin(HttpBrowser())), canary)
    assert (type(error), error.code) == (ProviderUnavailable, "tls")
    assert "a certificate that is not trusted" in str(error)
    assert provider.journal == []
    person.write(acme=Service(provider).profile(ca_bundle=str(authority.ca_file)))
    assert person.sign_in(HttpBrowser(ca_file=str(authority.ca_file))).name == "Ada Example"
    expire(person.account)
    assert person.account.access_token().reveal()
    assert provider.refreshes == 1


@pytest.mark.parametrize(("names", "days"), [(("other.example",), 1), (("127.0.0.1",), -1)], ids=["name", "over"])
def test_a_bad_certificate(tmp_path: Path, canary: Canary, names: tuple[str, ...], days: int) -> None:
    """NRM-069, FLT-008: another name, or its time is over: refused, though the authority is known."""
    authority = Authority(tmp_path, names, days)
    with Hostile(tls=authority.server_context()) as provider:
        account = account_of(provider, tmp_path, ca_bundle=str(authority.ca_file))
        error = fails(lambda: discover(account.client, account.profile), canary)
        assert (type(error), error.code) == (ProviderUnavailable, "tls")
        assert provider.journal == []


def test_a_certificate_that_becomes_bad_ends_no_login(
    secure: tuple[Hostile, Authority], tmp_path: Path, canary: Canary
) -> None:
    """FLT-008, INV-05: at a renewal it is an error that passes; the refresh token has not left."""
    provider, authority = secure
    trusting = account_of(provider, tmp_path, ca_bundle=str(authority.ca_file))
    before = expired(trusting, provider)
    refreshes = provider.refreshes
    wary = Account(trusting.profile, trusting.store.keys, tmp_path, client=ProviderClient())
    assert fails(wary.access_token, canary).code == "tls"
    assert provider.refreshes == refreshes
    assert wary.login() == before
    assert trusting.access_token().reveal()


@pytest.mark.parametrize("content", [None, b"", b"not a certificate", b"\x00\xff"])
def test_a_ca_bundle_that_is_none(hostile: Hostile, tmp_path: Path, canary: Canary, content: bytes | None) -> None:
    """SEC-081: a file that is missing or holds no certificates is named, and the system's are not used instead."""
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_bytes(content)
    account = account_of(hostile, tmp_path, ca_bundle=str(path), issuer=f"https://127.0.0.1:{hostile.port}")
    error = fails(lambda: discover(account.client, account.profile), canary)
    assert (type(error), error.code) == (ConfigError, "ca_bundle")
    assert str(path) in str(error)


# ---- the disk is full ------------------------------------------------------------------------------------------------

FULL = """
import resource, signal, sys
from jupyter_nativeauth._accounts import accounts
account = accounts().get("acme")
account.load()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (16, resource.RLIM_INFINITY))
tokens = [account.access_token() for _ in range(3)]
print("usable", tokens[0] == tokens[1] == tokens[2], flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sys.stdin.readline()
"""


def test_a_disk_that_is_full_after_the_rotation(visitor: Person, hostile: Hostile, canary: Canary) -> None:
    """FLT-022, INV-06: the new tokens are kept in memory and used, with one warning; nobody else redeems the spent
    refresh token meanwhile; and they are stored as soon as the disk allows."""
    visitor.sign_in()
    account = visitor.account
    login = account.login()
    account.store.replace(login, replace(login, expires_at=time.time() - 1))
    agent = KeyAgent(visitor.accounts.keys.answer, dict)
    os.environ["JUPYTER_NATIVEAUTH_AGENT"] = agent.start()
    process = subprocess.Popen(
        [sys.executable, "-c", FULL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "usable True\n"
        assert account.login().refresh_token == login.refresh_token
        got: list[Any] = []
        waiter = threading.Thread(target=lambda: got.append(account.access_token()))
        waiter.start()
        waiter.join(0.7)
        assert got == []
        assert hostile.refreshes == 1
        process.stdin.write("\n")
        process.stdin.flush()
        waiter.join(20)
        assert account.login().refresh_token != login.refresh_token
        assert got == [account.login().access_token]
        output, errors = process.communicate("\n", timeout=20)
        canary.look("the output of the process", output + errors)
        assert errors.count("cannot be stored") == 1
    finally:
        process.kill()
        process.communicate()
        os.environ.pop("JUPYTER_NATIVEAUTH_AGENT", None)
        agent.stop()
    assert (hostile.refreshes, hostile.reuse) == (1, 0)
