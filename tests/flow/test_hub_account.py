"""What a JupyterHub may answer when it is asked for the access token of its person, over real HTTP."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth import ConfigError, LoginFailed, LoginRequired, Profile, ProviderUnavailable, StoreError
from jupyter_nativeauth._http import ProviderClient
from jupyter_nativeauth._hub_account import HubAccount
from jupyter_nativeauth._tokens import Secret
from jupyter_nativeauth.keys import Keys
from jupyter_nativeauth.testing import Clock
from tests.answers import Answer, AnswerServer, Request
from tests.canary import Canary

ACME = Profile("acme", provider="jupyterhub", api=["https://api.acme.example"])
SERVER_TOKEN, TOKEN, NEWER, REFRESH = (secrets.token_hex(16) for _ in range(4))


class Hub:
    """Answers as it is told, and keeps what it was asked."""

    url = ""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.answer = lending(TOKEN)

    def respond(self, request: Request) -> Answer:
        self.asked.append(request)
        return self.answer

    def lost(self, request: Request) -> None:
        """Nothing depends on it."""


def lending(token: Any) -> Answer:
    state = {"access_token": token, "refresh_token": REFRESH, "token_response": {}}
    return Answer(json={"kind": "user", "name": "ada", "auth_state": state})


@pytest.fixture
def hub(canary: Canary) -> Iterator[Hub]:
    made = Hub()
    canary.source(lambda: [("token", one) for one in (SERVER_TOKEN, TOKEN, NEWER, REFRESH)])
    with AnswerServer(made) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        made.url = f"http://127.0.0.1:{server.server_address[1]}/hub"
        yield made
        server.stopping.set()
        server.shutdown()


@pytest.fixture
def account_at(tmp_path: Path) -> Callable[..., HubAccount]:
    def make(url: str, clock: Clock | None = None, **environ: str) -> HubAccount:
        told = {"JUPYTERHUB_API_URL": f"{url}/api", "JUPYTERHUB_API_TOKEN": SERVER_TOKEN, "JUPYTERHUB_USER": "a b/c"}
        known = {**told, **environ}
        return HubAccount(ACME, Keys(tmp_path, environ={}), tmp_path, clock=clock or Clock(), environ=known)

    return make


def test_the_hub_is_asked_for_its_person_and_nothing_else_is_taken(
    hub: Hub, account_at: Callable[..., HubAccount], tmp_path: Path
) -> None:
    """With the token that it gave this server; its refresh token is left alone, and nothing is stored."""
    account = account_at(hub.url)
    assert account.access_token().reveal() == TOKEN
    (asked,) = hub.asked
    assert (asked.method, asked.path) == ("GET", "/hub/api/users/a%20b%2Fc")
    assert asked.headers["authorization"] == f"Bearer {SERVER_TOKEN}"
    login = account.login()
    assert (login.identity.name, login.identity.issuer, login.refresh_token) == ("ada", hub.url, None)
    assert not [*tmp_path.iterdir()]


def test_an_answer_is_taken_for_a_minute_and_asked_for_once(hub: Hub, account_at: Callable[..., HubAccount]) -> None:
    """However many threads want it; then again, since the hub does not say when a token ends."""
    clock = Clock()
    account = account_at(hub.url, clock)
    threads = [threading.Thread(target=account.access_token) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hub.asked) == 1
    hub.answer = lending(NEWER)
    clock.advance(59)
    assert account.access_token().reveal() == TOKEN
    clock.advance(2)
    assert account.access_token().reveal() == NEWER
    assert len(hub.asked) == 2


def test_a_refused_token_is_asked_for_anew_without_a_storm(hub: Hub, account_at: Callable[..., HubAccount]) -> None:
    """As long as the hub has no other, the refused one comes back, and the hub is left alone for five seconds."""
    clock = Clock()
    account = account_at(hub.url, clock)
    token = account.access_token()
    for _ in range(3):
        assert account.access_token(rejected=token) == token
    assert len(hub.asked) == 2
    hub.answer = lending(NEWER)
    clock.advance(6)
    assert account.access_token(rejected=token).reveal() == NEWER
    assert account.access_token(rejected=token).reveal() == NEWER
    assert len(hub.asked) == 3


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(json={"name": "ada"}), "this server may not read it"),
        (Answer(json={"name": "ada", "auth_state": None}), "it has none of yours"),
        (lending(None), "it has none of yours"),
        (lending(""), "it has none of yours"),
        (lending(["x"]), "it has none of yours"),
        (lending("x\r\ny: z"), "it has none of yours"),
        (Answer(json={"name": "ada", "auth_state": ["access_token"]}), "it has none of yours"),
        (Answer(403, json={"message": "Forbidden"}), "it no longer knows this server"),
        (Answer(404, json={"message": "Not Found"}), "it no longer knows this server"),
        (Answer(401, body="<html>"), "it no longer knows this server"),
    ],
)
def test_a_hub_that_lends_nothing(hub: Hub, account_at: Callable[..., HubAccount], answer: Answer, words: str) -> None:
    """The error says why, and is remembered for a while; then the hub is asked again."""
    clock = Clock()
    account = account_at(hub.url, clock)
    hub.answer = answer
    for _ in range(2):
        with pytest.raises(LoginRequired, match=f"JupyterHub gives no access token for 'acme': {words}") as caught:
            account.access_token()
    assert (caught.value.code, len(hub.asked)) == ("not_lent", 1)
    assert caught.value.hint
    hub.answer = lending(TOKEN)
    clock.advance(11)
    assert account.access_token().reveal() == TOKEN


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500, body="oops"),
        Answer(json=["name"]),
        Answer(json={"auth_state": {"access_token": "x"}}),
        Answer(body=b'{"name": "ada", "name": "eve"}', headers={"Content-Type": "application/json"}),
        Answer(302, headers={"Location": "/hub/login"}),
        Answer(reset=True),
    ],
)
def test_a_hub_in_trouble_loses_nothing(hub: Hub, account_at: Callable[..., HubAccount], answer: Answer) -> None:
    """Whatever it answers that is no answer: try again later."""
    account = account_at(hub.url)
    hub.answer = answer
    with pytest.raises(ProviderUnavailable):
        account.access_token()


@pytest.mark.parametrize("missing", ["JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "JUPYTERHUB_USER"])
def test_without_a_hub_there_is_none_to_ask(hub: Hub, account_at: Callable[..., HubAccount], missing: str) -> None:
    """A profile of the hub's image on somebody's laptop."""
    with pytest.raises(LoginRequired, match="this is not a server of a JupyterHub"):
        account_at(hub.url, **{missing: ""}).access_token()
    assert not hub.asked


def test_nobody_signs_in_or_out_here(hub: Hub, account_at: Callable[..., HubAccount]) -> None:
    """Whichever way it is tried, nothing changes."""
    account = account_at(hub.url)
    with pytest.raises(LoginFailed, match="JupyterHub signs you in"):
        account.signs_in_here()
    with pytest.raises(StoreError, match="Nobody was signed out"):
        account.sign_out()
    assert account.access_token().reveal() == TOKEN


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "api is missing: nobody else may see the access token"),
        ({"api": []}, "api is missing"),
        (
            {"api": ["https://a.example"], "client_id": "cli"},
            "client_id has no meaning here: JupyterHub signs people in",
        ),
        ({"api": ["https://a.example"], "scopes": ["openid"]}, "scopes has no meaning here"),
        ({"api": ["https://a.example"], "presence": "hourly"}, "presence has no meaning here"),
        ({"api": ["https://a.example"], "max_age": 0}, "max_age has no meaning here"),
    ],
)
def test_a_profile_of_the_hub_has_two_lines(keys: dict[str, Any], words: str) -> None:
    """What else a profile may hold is the hub's business, so it is refused rather than ignored."""
    with pytest.raises(ConfigError, match=words):
        Profile("acme", provider="jupyterhub", **keys)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hub.invalid:8081/hub/api/users/ada", "network"),  # it was tried
        ("http://hub.invalid:8081/hub2/api/users/ada", "insecure_url"),
        ("http://hub.invalid:8082/hub/api/users/ada", "insecure_url"),
        ("http://hub.invalid.evil.invalid:8081/hub/api/users/ada", "insecure_url"),
    ],
)
def test_plain_http_is_for_the_hub_alone(url: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own network a hub speaks plain http, and is asked without a proxy; nobody else is."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")  # would end as "proxy"
    client = ProviderClient(own_network="http://hub.invalid:8081/hub")
    with pytest.raises((ConfigError, ProviderUnavailable)) as caught:
        client.get(url, bearer=Secret(TOKEN))
    assert caught.value.code == code
