"""What one call costs while the access token is good. No network in it, which would drown the difference."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from benchmarks.measure import Row, Spread, in_turns, ratios, spelled
from benchmarks.stage import sign_in, stage
from jupyter_nativeauth import get_session
from jupyter_nativeauth._accounts import accounts

API = "https://api.example"
TOKEN = "an-access-token-of-forty-characters-or-so"


def one_request(*, rounds: int) -> Row:
    """One authorised request over a transport that answers at once."""
    with stage(API):
        account = accounts().get("acme")
        sign_in(account)
        path = next(account.folder.glob("*.vault"))
        shortest, looking = _with(_OneLine(lambda: None)), _with(_OneLine(lambda: _look(path)))
        with _ours() as ours, _ours() as unlooking, _bare() as bare, shortest, looking:
            _without_look(unlooking)
            contenders = {
                "bare httpx": lambda: bare.get("/v1/me"),
                "ours": lambda: ours.get("/v1/me"),
                "without the look": lambda: unlooking.get("/v1/me"),
                "shortest": lambda: shortest.get("/v1/me"),
                "looking": lambda: looking.get("/v1/me"),
            }
            found = ratios(in_turns(contenders, rounds=rounds, times=20), "bare httpx")
    others = _peers(rounds)
    peers = {
        "the shortest `httpx.Auth`": spelled(found["shortest"]),
        "the same with the look": spelled(found["looking"]),
    }
    peers |= {name: spelled(spread) for name, spread in others.items()}
    ours_, unlooking_ = found["ours"].median, found["without the look"].median
    return Row(
        "one request, access token fresh, to bare httpx",
        f"{spelled(found['ours'])}; without the look whether somebody has signed out: {unlooking_:.2f}",
        "≤ 1.12; ≤ 1.03",
        ours_ <= 1.12 and unlooking_ <= 1.03,
        peers,
        bars={"jupyter_nativeauth": ours_, **{name: spread.median for name, spread in others.items()}},
    )


def token(*, rounds: int) -> Row:
    """``access_token()``, which looks at the vault each time, and that look alone."""
    with stage(API):
        account = accounts().get("acme")
        sign_in(account)
        path = next(account.folder.glob("*.vault"))
        seconds = in_turns(
            {"ours": account.access_token, "look": lambda: _look(path), "stat": path.stat}, rounds=rounds, times=200
        )
    micro = {name: Spread.of([one / 200 * 1e6 for one in values]) for name, values in seconds.items()}
    return Row(
        "`access_token()` while the token is good",
        spelled(micro["ours"], "µs", 1),
        "≤ 8 µs",
        micro["ours"].median <= 8,
        {"open, read and close": f"{micro['look'].median:.1f} µs", "`Path.stat()`": f"{micro['stat'].median:.1f} µs"},
    )


def _look(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 64)
    finally:
        os.close(descriptor)


class _OneLine(httpx.Auth):
    """Sets the header and does nothing else: no check of the origin, no renewal, nothing taken off again."""

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        self._look()
        request.headers["authorization"] = f"Bearer {TOKEN}"
        yield request


def _answer(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200)


def _bare() -> httpx.Client:
    headers = {"authorization": f"Bearer {TOKEN}"}
    return httpx.Client(base_url=API, headers=headers, transport=httpx.MockTransport(_answer))


def _with(auth: httpx.Auth) -> httpx.Client:
    return httpx.Client(base_url=API, auth=auth, transport=httpx.MockTransport(_answer))


def _ours() -> httpx.Client:
    return get_session("acme", transport=httpx.MockTransport(_answer))


def _without_look(session: httpx.Client) -> None:
    """Let *session* believe that nobody ever signs out elsewhere, to see what the look costs."""
    account = copy.copy(accounts().get("acme"))
    account.load()
    generation = account.store.generation()
    account.store = copy.copy(account.store)
    account.store.vault = SimpleNamespace(generation=lambda: generation)  # type: ignore[assignment]
    session.auth._bearer.account = account  # type: ignore[union-attr]


def _peers(rounds: int) -> dict[str, Spread]:
    """Others, each to its own library without them; none of them looks whether somebody has signed out."""
    found: dict[str, Spread] = {}
    for name, make in {
        "authlib on httpx2": _authlib,
        "httpx-auth": _httpx_auth,
        "google-auth on requests": _google,
        "globus-sdk on requests": _globus,
    }.items():
        contenders = make()
        limit = next(iter(contenders))
        found[name] = ratios(in_turns(contenders, rounds=rounds, times=20), limit)[name]
    return found


def _authlib() -> dict[str, Any]:
    import httpx2
    from authlib.integrations.httpx_client import OAuth2Client

    transport = httpx2.MockTransport(lambda _: httpx2.Response(200))
    bare = httpx2.Client(base_url=API, headers={"authorization": f"Bearer {TOKEN}"}, transport=transport)
    theirs = OAuth2Client(
        "cli", base_url=API, token={"access_token": TOKEN, "token_type": "Bearer"}, transport=transport
    )
    return {"bare": lambda: bare.get("/v1/me"), "authlib on httpx2": lambda: theirs.get("/v1/me")}


def _httpx_auth() -> dict[str, Any]:
    from httpx_auth import HeaderApiKey

    bare, theirs = _bare(), _with(HeaderApiKey(f"Bearer {TOKEN}", "authorization"))
    return {"bare": lambda: bare.get("/v1/me"), "httpx-auth": lambda: theirs.get("/v1/me")}


def _requests_session(session: Any) -> Any:
    import requests

    class Adapter(requests.adapters.BaseAdapter):
        def send(self, request: Any, **_: Any) -> requests.Response:
            answer = requests.Response()
            answer.status_code, answer.request, answer.url = 200, request, request.url
            answer._content = b""
            return answer

        def close(self) -> None:
            pass

    session.mount("https://", Adapter())
    return session


def _google() -> dict[str, Any]:
    import requests
    from google.auth.transport.requests import AuthorizedSession
    from google.oauth2.credentials import Credentials

    bare = _requests_session(requests.Session())
    bare.headers["authorization"] = f"Bearer {TOKEN}"
    theirs = _requests_session(AuthorizedSession(Credentials(TOKEN)))
    return {
        "bare": lambda: bare.get(f"{API}/v1/me"),
        "google-auth on requests": lambda: theirs.get(f"{API}/v1/me"),
    }


def _globus() -> dict[str, Any]:
    import globus_sdk

    class Client(globus_sdk.BaseClient):
        service_name = "bench"

    def client(authorizer: globus_sdk.authorizers.GlobusAuthorizer | None) -> Client:
        made = Client(base_url=API, authorizer=authorizer)
        _requests_session(made.transport.session)
        return made

    bare, theirs = client(None), client(globus_sdk.AccessTokenAuthorizer(TOKEN))
    return {"bare": lambda: bare.get("/v1/me"), "globus-sdk on requests": lambda: theirs.get("/v1/me")}
