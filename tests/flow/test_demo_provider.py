"""
Runs in: the tests. The demo's provider keeps the rules that it is there to show, over real HTTP, forms included.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from jupyter_nativeauth.demo.lab import Provider, start_provider
from tests.http_browser import HttpBrowser

FOR_TRYING_OUT = "This provider is for trying out. It runs only on this machine."


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with start_provider(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Provider]:
    """A provider whose access tokens live for one second."""
    with start_provider(tmp_path, access_token_seconds=1) as running:
        yield running


@pytest.fixture(scope="module")
def redirect_uri() -> Iterator[str]:
    """A redirect URI where nobody answers: these tests read the address, as a browser's address line shows it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/nativeauth/callback"


@dataclass
class App:
    """A native application, as plain as it can be."""

    provider: Provider
    redirect_uri: str
    browser: HttpBrowser

    def __post_init__(self) -> None:
        self.http = httpx.Client(timeout=30)
        self.at: dict[str, Any] = self.http.get(f"{self.provider.issuer}/.well-known/openid-configuration").json()
        self.verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(self.verifier.encode()).digest()
        self.challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def authorize_url(self, **changes: str | None) -> str:
        wanted = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": "openid profile email",
            "state": "a-state",
            "nonce": "a-nonce",
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            **changes,
        }
        return f"{self.at['authorization_endpoint']}?{urlencode({k: v for k, v in wanted.items() if v is not None})}"

    def answer(self, *press: str, **changes: str | None) -> dict[str, str]:
        """Open the authorization endpoint, press these buttons, and return what arrives at the redirect URI."""
        self.browser.press = press
        with contextlib.suppress(OSError):
            self.browser.open(self.authorize_url(**changes))
        self.browser.press = ()
        location = self.browser.hops[-1].header("location") or ""
        assert location.startswith(str(changes.get("redirect_uri") or self.redirect_uri)), self.browser.hops[-1].text
        return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}

    def post(self, endpoint: str, **data: str) -> httpx.Response:
        return self.http.post(self.at[endpoint], data={"client_id": self.provider.client_id, **data})

    def exchange(self, code: str, **changes: str) -> httpx.Response:
        data = {"code": code, "redirect_uri": self.redirect_uri, "code_verifier": self.verifier, **changes}
        return self.post("token_endpoint", grant_type="authorization_code", **data)

    def sign_in(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.exchange(self.answer("Sign in", "Allow")["code"]).raise_for_status().json()
        return answer

    def refresh(self, refresh_token: str) -> httpx.Response:
        return self.post("token_endpoint", grant_type="refresh_token", refresh_token=refresh_token)

    def call(self, token: str | None) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self.http.get(f"{self.provider.api}/api/me", headers=headers)


@pytest.fixture
def app(provider: Provider, redirect_uri: str) -> Iterator[App]:
    made = App(provider, redirect_uri, HttpBrowser())
    yield made
    made.http.close()


def test_metadata_names_what_a_client_needs(app: App) -> None:
    """The discovery document names the endpoints and limits that this package reads (OpenID Connect Discovery, 3)."""
    assert app.at["issuer"] == app.provider.issuer
    assert app.at["code_challenge_methods_supported"] == ["S256"]
    for endpoint in ("authorization", "token", "revocation", "end_session"):
        assert app.at[f"{endpoint}_endpoint"].startswith(app.provider.issuer + "/")


def test_sign_in_gives_a_verifiable_id_token(app: App) -> None:
    """Two clicks on filled-in pages give tokens whose ID token is signed by the published keys."""
    tokens = app.sign_in()
    keys = KeySet.import_key_set(httpx.get(app.at["jwks_uri"]).json())
    claims = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims
    assert claims["iss"] == app.provider.issuer
    assert claims["aud"] == app.provider.client_id
    assert claims["nonce"] == "a-nonce"
    assert (claims["name"], claims["email"]) == ("Ada Lovelace", "ada@example.org")
    assert tokens["expires_in"] == 60


@pytest.mark.parametrize(
    "changes",
    [{"code_challenge": None, "code_challenge_method": None}, {"code_challenge_method": "plain"},
     {"code_challenge_method": None}],
    ids=["none", "plain", "plain by default"],
)  # fmt: skip
def test_pkce_is_demanded(app: App, changes: dict[str, str | None]) -> None:
    """Without a challenge, or with the method "plain", there is no code (RFC 7636, sections 4.4.1 and 7.2)."""
    answer = app.answer("Sign in", **changes)
    assert answer["error"] == "invalid_request"
    assert answer["state"] == "a-state"
    assert "code" not in answer


def test_code_needs_its_verifier(app: App) -> None:
    """A stolen code is worth nothing without the verifier (RFC 7636, section 4.6)."""
    code = app.answer("Sign in", "Allow")["code"]
    refused = app.exchange(code, code_verifier=secrets.token_urlsafe(48))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


def test_code_works_once(app: App) -> None:
    """A code is good for one exchange (RFC 6749, section 4.1.2)."""
    code = app.answer("Sign in", "Allow")["code"]
    assert app.exchange(code).status_code == 200
    assert app.exchange(code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize("host", ["127.0.0.1:61111", "127.0.0.1:62222", "[::1]:63333"])
def test_any_loopback_port(app: App, host: str) -> None:
    """The port of a loopback redirect URI varies (RFC 8252, section 7.3)."""
    assert "code" in app.answer("Sign in", "Allow", redirect_uri=f"http://{host}/nativeauth/callback")


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://127.0.0.1:61111/other",
        "http://127.0.0.1:61111/nativeauth/callback/x",
        "http://localhost:61111/nativeauth/callback",
        "https://127.0.0.1:61111/nativeauth/callback",
        "http://127.0.0.1.example.org/nativeauth/callback",
        "http://evil.example/nativeauth/callback",
    ],
)
def test_no_other_redirect_uri(app: App, redirect_uri: str) -> None:
    """Everything but the port is compared to the letter, and a wrong one is never redirected to (RFC 9700, 4.1.3)."""
    app.browser.press = ("Sign in",)
    page = app.browser.open(app.authorize_url(redirect_uri=redirect_uri))
    assert page.url.startswith(app.provider.issuer)
    assert "Mismatching redirect URI" in page.text
    assert FOR_TRYING_OUT in page.text


def test_deny(app: App) -> None:
    """The button Deny sends the application away with access_denied and its state (RFC 6749, section 4.1.2.1)."""
    assert app.answer("Sign in", "Deny") == {"error": "access_denied", "state": "a-state"}


def test_wrong_password(app: App) -> None:
    """A wrong password does not sign in, and the page says which one is right."""
    app.browser.fill = {"password": "not-this-one"}
    page = app.browser.open(app.authorize_url())
    page = app.browser.submit(page, "Sign in")
    assert urlsplit(page.url).path == "/sign-in/"
    assert "analytical-engine" in page.text
    assert "not-this-one" not in page.text


def test_refresh_token_rotates(app: App) -> None:
    """Each renewal brings a new refresh token and kills the old one (RFC 9700, section 4.14.2)."""
    first = app.sign_in()
    second = app.refresh(first["refresh_token"]).raise_for_status().json()
    assert second["refresh_token"] != first["refresh_token"]
    refused = app.refresh(first["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert app.refresh(second["refresh_token"]).status_code == 200


def test_refresh_token_is_good_for_one_of_many(app: App) -> None:
    """Of many renewals at once with one refresh token, one wins; the others are refused in the words of the RFC."""
    token = app.sign_in()["refresh_token"]
    with ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(app.refresh, [token] * 24))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 23
    assert {answer.json()["error"] for answer in answers if answer.status_code == 400} == {"invalid_grant"}


def test_revocation(app: App) -> None:
    """A revoked refresh token renews nothing, and revoking it twice is no error (RFC 7009, section 2.2)."""
    token = app.sign_in()["refresh_token"]
    for _ in range(2):
        assert app.post("revocation_endpoint", token=token, token_type_hint="refresh_token").status_code == 200
    assert app.refresh(token).json()["error"] == "invalid_grant"


def test_end_session_with_a_hint(app: App) -> None:
    """With the ID token as a hint, sign-out asks nothing, ends session and tokens, and returns with the state."""
    tokens = app.sign_in()
    back = app.redirect_uri.replace("callback", "logout/callback")
    query = {"id_token_hint": tokens["id_token"], "client_id": app.provider.client_id}
    query |= {"post_logout_redirect_uri": back, "state": "bye"}
    with contextlib.suppress(OSError):
        app.browser.open(f"{app.at['end_session_endpoint']}?{urlencode(query)}")
    assert app.browser.hops[-1].header("location") == f"{back}?state=bye"
    assert app.call(tokens["access_token"]).status_code == 401
    assert app.refresh(tokens["refresh_token"]).status_code == 400
    assert "Sign in" in app.browser.open(app.authorize_url()).buttons


def test_end_session_without_a_hint_asks(app: App) -> None:
    """Without a hint any page could send people here, so sign-out asks first (RP-Initiated Logout, section 2)."""
    app.sign_in()
    page = app.browser.open(app.at["end_session_endpoint"])
    assert page.buttons == ["Sign out", "Stay signed in"]
    assert "You are signed out" in app.browser.submit(page, "Sign out").text


def test_end_session_goes_nowhere_else(app: App) -> None:
    """An address that is not registered is not redirected to after a sign-out."""
    tokens = app.sign_in()
    query = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": "http://127.0.0.1:61111/elsewhere"}
    page = app.browser.open(f"{app.at['end_session_endpoint']}?{urlencode(query)}")
    assert page.url.startswith(app.provider.issuer)
    assert "not registered" in page.text


def test_switching_the_account(app: App) -> None:
    """``prompt=select_account`` asks who it is, also in a browser that is signed in (OpenID Connect Core, 3.1.2.1)."""
    app.sign_in()
    page = app.browser.open(app.authorize_url(prompt="select_account"))
    assert "Sign in" in page.buttons
    app.browser.press = ("Sign in", "Allow")
    with contextlib.suppress(OSError):
        app.browser.click(page, "GH Grace Hopper")
    answer = parse_qs(urlsplit(app.browser.hops[-1].header("location") or "").query)
    tokens = app.exchange(answer["code"][0]).json()
    assert app.call(tokens["access_token"]).json()["name"] == "Grace Hopper"


def test_prompt_login_asks_again(app: App) -> None:
    """``prompt=login`` asks for the password also in a browser that is signed in."""
    app.sign_in()
    assert "Sign in again" in app.browser.open(app.authorize_url(prompt="login")).text
    assert "code" in app.answer("Sign in", "Allow", prompt="login")


def test_prompt_none_needs_a_session(app: App) -> None:
    """``prompt=none`` shows nothing: without a session it says so, with one it gives a code."""
    assert app.answer(prompt="none")["error"] == "login_required"
    app.sign_in()
    assert "code" in app.answer(prompt="none")


def test_api_counts_and_tells(app: App) -> None:
    """The API says whose access token it is and which one in line, so that a renewal can be seen."""
    tokens = app.sign_in()
    one = app.call(tokens["access_token"]).json()
    two = app.call(app.refresh(tokens["refresh_token"]).json()["access_token"]).json()
    assert (one["name"], one["email"]) == ("Ada Lovelace", "ada@example.org")
    assert two["access_token"]["number"] == one["access_token"]["number"] + 1
    assert two["calls"] == one["calls"] + 1
    assert 0 < two["access_token"]["seconds_left"] <= 60


def test_api_challenge_without_a_token(app: App) -> None:
    """Without a token the challenge has no error code (RFC 6750, section 3.1)."""
    answer = app.call(None)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="demo"')


@pytest.mark.parametrize("kind", ["unknown", "id_token", "refresh_token"])
def test_api_takes_nothing_but_access_tokens(app: App, kind: str) -> None:
    """An unknown token, an ID token and a refresh token are invalid_token (RFC 6750, section 3.1; RFC 9068, 1)."""
    answer = app.call({**app.sign_in(), "unknown": "unknown"}[kind])
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_api_wants_the_token_in_the_header(app: App) -> None:
    """A token in the address, which gets into logs, is not read (RFC 9700, section 4.3.2)."""
    token = app.sign_in()["access_token"]
    assert httpx.get(f"{app.provider.api}/api/me", params={"access_token": token}).status_code == 401


def test_access_token_expires(hasty: Provider, redirect_uri: str) -> None:
    """An access token that has run out is refused with invalid_token, and its refresh token gives another."""
    app = App(hasty, redirect_uri, HttpBrowser())
    tokens = app.sign_in()
    assert tokens["expires_in"] == 1
    while (answer := app.call(tokens["access_token"])).status_code == 200:
        time.sleep(0.1)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert "access_token" in app.refresh(tokens["refresh_token"]).json()
    app.http.close()


def test_device_grant(app: App) -> None:
    """The device grant waits for the person, then gives tokens (RFC 8628)."""
    asked = app.post("device_authorization_endpoint", scope="openid").raise_for_status().json()
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": asked["device_code"]}
    assert app.post("token_endpoint", **grant).json()["error"] == "authorization_pending"
    app.browser.press = ("Sign in", "Allow")
    assert "Go back to your notebook" in app.browser.open(asked["verification_uri_complete"]).text
    while (answer := app.post("token_endpoint", **grant)).json().get("error") == "slow_down":
        time.sleep(asked["interval"])
    assert app.call(answer.json()["access_token"]).json()["name"] == "Ada Lovelace"


@pytest.mark.parametrize("path", ["/", "/sign-in/", "/signed-out", "/identity/o/authorize", "/nothing"])
def test_each_page_says_what_it_is(app: App, path: str) -> None:
    """Each page says that it is for trying out, loads nothing from elsewhere and keeps out of frames and caches."""
    page = app.browser.open(app.provider.issuer + path)
    assert FOR_TRYING_OUT in page.text
    assert "default-src 'none'" in (page.last.header("content-security-policy") or "")
    assert page.last.header("cache-control") == "no-store" or "no-store" in (page.last.header("cache-control") or "")
    for word in ("https://", "<script", "//cdn"):
        assert word not in page.text


@pytest.mark.parametrize(
    "path", ["signup/", "sign-in/signup/", "email/", "password/reset/", "password/change/", "logout/", "admin/"]
)
def test_no_account_management(app: App, path: str) -> None:
    """Sign-up, e-mail addresses and passwords cannot be changed here: there are no such pages."""
    assert httpx.get(f"{app.provider.issuer}/{path}").status_code == 404


def test_only_this_machine(app: App) -> None:
    """It listens on 127.0.0.1 alone, and answers to that name alone (DNS rebinding)."""
    port = urlsplit(app.provider.issuer).port
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", port))
    assert httpx.get(app.provider.issuer, headers={"Host": f"evil.example:{port}"}).status_code == 400


@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGHUP"])
def test_it_ends_and_leaves_nothing(tmp_path: Path, how: str) -> None:
    """It ends when whoever started it is gone, and takes its database with it."""
    command = [sys.executable, "-m", "jupyter_nativeauth.demo.provider", "--folder", str(tmp_path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert set(json.loads(process.stdout.readline())) == {"issuer", "client_id", "api"}
        assert list(tmp_path.iterdir())
        if how == "end of input":
            process.stdin.close()
        else:
            process.send_signal(getattr(signal, how))
        assert process.wait(20) == 0
        assert process.stdout.read() == b""
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    assert list(tmp_path.iterdir()) == []
