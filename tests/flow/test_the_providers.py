"""The tests' own providers: the certified one does what a strict service does, the adversarial one sees everything."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, OKPKey

from tests.answers import Answer, bomb, redirect
from tests.canary import Canary
from tests.hostile import Hostile
from tests.http_browser import HttpBrowser
from tests.oidc_provider import OidcProvider


@dataclass
class Client:
    """The smallest native client that works; nothing of ours."""

    issuer: str
    token_endpoint: str
    redirect_uri: str = "http://127.0.0.1:1/nativeauth/callback"

    def __post_init__(self) -> None:
        self.verifier = secrets.token_urlsafe(32)
        digest = hashlib.sha256(self.verifier.encode()).digest()
        self.ask = {
            "response_type": "code",
            "client_id": "cli",
            "redirect_uri": self.redirect_uri,
            "scope": "openid profile email offline_access",
            "state": secrets.token_urlsafe(24),
            "nonce": secrets.token_urlsafe(24),
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "prompt": "consent",
        }

    def redeem(self, code: str) -> httpx.Response:
        return self.post(
            grant_type="authorization_code", code=code, redirect_uri=self.redirect_uri, code_verifier=self.verifier
        )

    def refresh(self, token: str) -> httpx.Response:
        return self.post(grant_type="refresh_token", refresh_token=token)

    def post(self, **body: str) -> httpx.Response:
        headers = {"Accept": "application/json"}
        return httpx.post(self.token_endpoint, data={**body, "client_id": "cli"}, headers=headers)


@pytest.fixture(autouse=True)
def nothing_to_log(canary: Canary) -> None:
    """The client above is no subject of the sweep: httpx writes its addresses into the log."""
    canary.allow("log")


def answer_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def callback(browser: HttpBrowser, url: str) -> dict[str, str]:
    """Walk to the callback, where nobody listens, and say what the provider sends along."""
    with pytest.raises(ConnectionRefusedError):
        browser.open(url)
    return answer_of(browser.hops[-1].header("location") or "")


def sign_in(oidc: OidcProvider, **switches: Any) -> tuple[Client, dict[str, str], dict[str, Any]]:
    oidc.reset(**switches)
    client = Client(oidc.issuer, f"{oidc.issuer}/token")
    answer = callback(oidc.browser(), f"{oidc.issuer}/auth?{urlencode(client.ask)}")
    return client, answer, client.redeem(answer["code"]).json()


def me(oidc: OidcProvider, tokens: Mapping[str, Any]) -> httpx.Response:
    return httpx.get(f"{oidc.api}/api/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})


def test_a_person_signs_in_at_the_certified_provider(oidc: OidcProvider) -> None:
    """Pages, code, tokens, API: and the journal has it all, without a value."""
    client, answer, tokens = sign_in(oidc)
    assert answer["state"] == client.ask["state"]
    assert answer["iss"] == oidc.issuer
    keys = KeySet.import_key_set(httpx.get(f"{oidc.issuer}/jwks").json())
    claims = jwt.decode(tokens["id_token"], keys).claims
    assert (claims["name"], claims["email"]) == ("Ada Example", "ada@example.org")
    assert me(oidc, tokens).json()["sub"] == "user-ada"
    assert [hit.bearer for hit in oidc.journal("api")] == [0]
    assert oidc.journal("token")[0].params == (
        "grant_type", "code", "redirect_uri", "code_verifier", "client_id"
    )  # fmt: skip
    assert {kind for kind, _ in oidc.secrets()} == {"code", "access", "refresh", "id", "state", "nonce", "verifier"}


def test_a_refresh_token_is_good_once(oidc: OidcProvider) -> None:
    """Rotation with reuse detection: a second use ends the whole family, the winner's tokens included."""
    client, _, tokens = sign_in(oidc)
    newer = client.refresh(tokens["refresh_token"]).json()
    assert me(oidc, newer).status_code == 200
    assert client.refresh(tokens["refresh_token"]).status_code == 400
    assert (oidc.reuse, oidc.refreshes) == (1, 2)
    oidc.forgiven = 1
    assert client.refresh(newer["refresh_token"]).json()["error"] == "invalid_grant"
    assert me(oidc, newer).status_code == 401


@pytest.mark.parametrize(
    ("switches", "check"),
    [
        ({"iss": False}, lambda answer, tokens, meta: "iss" not in answer),
        ({"iss": False}, lambda answer, tokens, meta: "authorization_response_iss_parameter_supported" not in meta),
        ({"revocation": False}, lambda answer, tokens, meta: "revocation_endpoint" not in meta),
        ({"logout": False}, lambda answer, tokens, meta: "end_session_endpoint" not in meta),
        ({"refresh": "never"}, lambda answer, tokens, meta: "refresh_token" not in tokens),
        ({"refresh": "always"}, lambda answer, tokens, meta: "offline_access" not in meta["scopes_supported"]),
        ({"access_token_ttl": 7}, lambda answer, tokens, meta: tokens["expires_in"] == 7),
        ({"alg": "ES256"}, lambda answer, tokens, meta: tokens["id_token"].startswith("eyJhbGciOiJFUzI1NiI")),
        ({"interaction": "auto"}, lambda answer, tokens, meta: "code" in answer),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_each_feature_is_a_switch(
    oidc: OidcProvider,
    switches: dict[str, Any],
    check: Callable[[dict[str, str], dict[str, Any], dict[str, Any]], bool],
) -> None:
    """The same server stands in for services that lack something."""
    _, answer, tokens = sign_in(oidc, **switches)
    metadata = httpx.get(f"{oidc.issuer}/.well-known/openid-configuration").json()
    assert check(answer, tokens, metadata)


def test_an_unknown_switch_is_an_error(oidc: OidcProvider) -> None:
    """A misspelt switch must not let a test pass for nothing."""
    with pytest.raises(RuntimeError, match="no such switch: rotations"):
        oidc.reset(rotations=False)


def test_a_person_can_say_no(oidc: OidcProvider) -> None:
    """Deny leads back with access_denied."""
    client = Client(oidc.issuer, "")
    browser = oidc.browser(press=("Sign in", "Deny"))
    answer = callback(browser, f"{oidc.issuer}/auth?{urlencode(client.ask)}")
    assert answer["error"] == "access_denied"


def test_the_code_is_bound_to_the_verifier_and_the_redirect_path(oidc: OidcProvider) -> None:
    """PKCE is demanded; another path is refused, another port is not (RFC 8252, section 7.3)."""
    oidc.reset(interaction="auto")
    client = Client(oidc.issuer, f"{oidc.issuer}/token")
    answer = callback(oidc.browser(), f"{oidc.issuer}/auth?{urlencode(client.ask)}")
    client.verifier = secrets.token_urlsafe(32)
    assert client.redeem(answer["code"]).json()["error"] == "invalid_grant"
    foreign = {**client.ask, "redirect_uri": "http://127.0.0.1:1/elsewhere"}
    page = oidc.browser().open(f"{oidc.issuer}/auth?{urlencode(foreign)}")
    assert page.status == 400
    plain = {name: value for name, value in client.ask.items() if not name.startswith("code_challenge")}
    assert callback(oidc.browser(), f"{oidc.issuer}/auth?{urlencode(plain)}")["error"] == "invalid_request"


def test_an_answer_can_be_held_lost_or_replaced(oidc: OidcProvider) -> None:
    """Faults strike before the work or after it, and only as often as they were asked to."""
    client, _, tokens = sign_in(oidc, reuse_detection=False)
    token = tokens["refresh_token"]
    oidc.fault("token", status=503, body="<h1>Busy", headers={"content-type": "text/html"})
    assert client.refresh(token).text == "<h1>Busy"
    oidc.fault("token", when="after", action="drop")
    with pytest.raises(httpx.RemoteProtocolError):
        client.refresh(token)
    oidc.fault("token", when="after", action="hold")
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(client.refresh(token)))
    thread.start()
    oidc.wait_held("token")
    assert answers == []
    oidc.release()
    thread.join()
    assert answers[0].status_code == 200
    assert oidc.reuse == 1  # the lost answer had spent it; the 503 had not
    oidc.forgiven = 1


def test_tokens_can_end_behind_the_clients_back(oidc: OidcProvider) -> None:
    """`expire()` is what a 401 with invalid_token is about."""
    _, _, tokens = sign_in(oidc)
    oidc.expire("AccessToken")
    answer = me(oidc, tokens)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_signing_out_at_the_provider_leads_back(oidc: OidcProvider) -> None:
    """End session asks the person, then returns with `state` to the registered address."""
    oidc.reset()
    client = Client(oidc.issuer, f"{oidc.issuer}/token")
    browser = oidc.browser()
    answer = callback(browser, f"{oidc.issuer}/auth?{urlencode(client.ask)}")
    tokens = client.redeem(answer["code"]).json()
    ask = {"id_token_hint": tokens["id_token"], "client_id": "cli", "state": "a-state-for-logout"}
    ask["post_logout_redirect_uri"] = "http://127.0.0.1:1/nativeauth/logout/callback"
    assert callback(browser, f"{oidc.issuer}/session/end?{urlencode(ask)}") == {"state": "a-state-for-logout"}


# ---- the adversarial provider ----------------------------------------------------------------------------------------


def sign_in_there(hostile: Hostile) -> tuple[Client, dict[str, Any]]:
    client = Client(hostile.issuer, f"{hostile.issuer}/token")
    answer = callback(HttpBrowser(), f"{hostile.issuer}/authorize?{urlencode(client.ask)}")
    return client, client.redeem(answer["code"]).json()


@pytest.mark.parametrize(
    "key",
    [None, ECKey.generate_key("P-256", {"kid": "ec"}), OKPKey.generate_key("Ed25519", {"kid": "ed"})],
    ids=["RS256", "ES256", "EdDSA"],
)
def test_left_alone_the_adversary_is_a_correct_provider(hostile: Hostile, key: Key | None) -> None:
    """Code with PKCE, signed ID token, rotation."""
    if key is not None:
        hostile.keys = [key]
    client, tokens = sign_in_there(hostile)
    keys = KeySet.import_key_set(httpx.get(f"{hostile.issuer}/jwks").json())
    claims = jwt.decode(tokens["id_token"], keys, algorithms=["RS256", "ES256", "EdDSA"]).claims
    assert claims["nonce"] == client.ask["nonce"]
    assert client.refresh(tokens["refresh_token"]).json()["refresh_token"] != tokens["refresh_token"]
    assert all("NATK-" in value for kind, value in hostile.secrets() if kind in ("access", "refresh", "code"))


def test_the_adversary_counts_reuse(hostile: Hostile) -> None:
    """INV-06; a retry after an answer that never arrived is the one exception (FLT-020), and only once."""
    client, tokens = sign_in_there(hostile)
    hostile.grace = True
    hostile.answer("token", Answer(work=True, json=hostile.tokens(), cut=10))
    with pytest.raises(httpx.RemoteProtocolError):
        client.refresh(tokens["refresh_token"])
    assert client.refresh(tokens["refresh_token"]).status_code == 200
    assert hostile.reuse == 0
    assert client.refresh(tokens["refresh_token"]).status_code == 400
    assert hostile.reuse == 1
    hostile.reuse = 0


@pytest.mark.parametrize(
    ("body", "violation"),
    [
        ({"scope": "openid"}, "token: unexpected scope"),
        ({"client_secret": "x"}, "token: unexpected client_secret"),
        ({"refresh_token": ["aaaaaaaa", "aaaaaaaa"]}, "token: refresh_token comes 2 times"),
        ({"client_id": None}, "token: missing client_id"),
    ],
)
def test_the_adversary_is_strict_about_parameters(hostile: Hostile, body: dict[str, Any], violation: str) -> None:
    """INV-07: only expected parameters, each once."""
    known = {"grant_type": "refresh_token", "refresh_token": "aaaaaaaa", "client_id": "cli", **body}
    data = {name: value for name, value in known.items() if value is not None}
    httpx.post(f"{hostile.issuer}/token", data=data, headers={"Accept": "application/json"})
    assert hostile.violations == [violation]
    hostile.violations.clear()


def test_the_adversary_sees_a_secret_in_an_address(hostile: Hostile) -> None:
    """INV-07, NRM-044: no token in a URL, in a Referer, or on its way in a header that does not belong there."""
    token = hostile.mint("access")
    httpx.get(f"{hostile.issuer}/userinfo?access_token={token}")
    httpx.get(f"{hostile.issuer}/userinfo", headers={"Referer": f"http://127.0.0.1/?t={token}"})
    assert hostile.violations == [
        "userinfo: parameters: ['access_token']",
        "userinfo: access in an address",
        "userinfo: access in an address",
    ]
    hostile.violations.clear()


def test_the_adversary_can_break_an_answer_in_every_way(hostile: Hostile) -> None:
    """Resets, garbage, bombs, redirects, and answers without an end."""
    url = f"{hostile.issuer}/jwks"
    hostile.answer("jwks", Answer(reset=True), Answer(raw=b"HTTP/9 nonsense\r\n\r\n"), Answer(cut=3, body="abcdef"))
    for _ in range(3):
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(url)
    hostile.answer("jwks", bomb(100_000), redirect("https://evil.example/", 307), Answer(drip=0.001, body="slow"))
    assert len(httpx.get(url).content) > 100_000
    assert httpx.get(url).status_code == 307
    assert httpx.get(url).text == "slow"
    hostile.answer("jwks", Answer(endless=True, body="{"), lambda request: None)
    with httpx.stream("GET", url) as response:
        assert next(response.iter_bytes()).startswith(b"{")
    assert "keys" in httpx.get(url).json()
