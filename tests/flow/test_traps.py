"""Traps of the libraries below us, at the places where we use them."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest

import jupyter_nativeauth.httpx2
from jupyter_nativeauth import NativeAuth, ProviderUnavailable, get_async_session, get_session
from jupyter_nativeauth._host import Host
from jupyter_nativeauth._http import ProviderClient
from jupyter_nativeauth._listener import Listener
from jupyter_nativeauth.testing import signed_in
from tests.canary import Canary
from tests.hostile import Hostile
from tests.isolation import Home
from tests.oidc_provider import OidcProvider
from tests.person import Person

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def test_what_the_libraries_log_at_debug(
    person: Person, oidc: OidcProvider, canary: Canary, caplog: pytest.LogCaptureFixture
) -> None:
    """
    TRP-27, SEC-044: httpcore logs response headers at DEBUG, httpx each address at INFO. During a sign-in, a renewal
    and calls all of it is recorded, and nothing in it is secret: no address of ours holds anything, and no redirect
    with a code in it is ever fetched by us.
    """
    person.sign_in()
    with get_session("acme") as api:
        assert api.get("/api/me").status_code == 200
        oidc.expire("AccessToken")
        assert api.get("/api/me").status_code == 200
    loggers = {record.name.partition(".")[0] for record in caplog.records if record.levelno <= logging.INFO}
    assert {"httpcore", "httpx"} <= loggers
    lines = [record.getMessage() for record in caplog.records if record.name == "httpx"]
    assert len(lines) >= 5
    assert not any("?" in line for line in lines)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch, canary: Canary) -> Iterator[Hostile]:
    """A proxy that the environment names for everything. It is a server like any other, and notes what reaches it."""
    with Hostile() as server:
        for name in PROXIES:
            monkeypatch.setenv(name, server.issuer)
        yield server
        for request in server.journal:
            canary.look("what a proxy sees", f"{request!r} {request.params} {request.headers} {request.body!r}")


def test_this_machine_is_never_reached_through_a_proxy(person: Person, oidc: OidcProvider, proxy: Hostile) -> None:
    """TRP-28, SEC-080: plain http is allowed on this machine because it does not leave it. With a proxy it would: the
    code, the refresh token and, with each call, the access token. So none of them takes one."""
    person.sign_in()
    token = person.account.access_token()
    assert person.account.access_token(rejected=token) != token
    with get_session("acme") as api:
        assert api.get("/api/me").status_code == 200
    assert proxy.journal == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_by_no_name_and_in_no_client(home: Home, proxy: Hostile, host: str) -> None:
    """TRP-28: the same holds for the async client, and for each of this machine's names and addresses."""
    (home.config / "nativeauth.toml").write_text(
        f'[profiles.demo]\nissuer = "https://id.example"\nclient_id = "cli"\napi = ["http://{host}:8000"]\n'
    )
    here = httpx.MockTransport(lambda request: httpx.Response(200, text="here"))
    with get_session("demo", transport=here) as session:
        assert session.get("/me", auth=None).text == "here"

    async def call() -> str:
        async with get_async_session("demo", transport=here) as session:
            return (await session.get("/me", auth=None)).text

    assert asyncio.run(call()) == "here"
    assert proxy.journal == []


def test_a_proxy_that_is_asked_for_is_used(home: Home, proxy: Hostile) -> None:
    """TRP-28: whoever names a proxy in the code means it, for an API on this machine too."""
    (home.config / "nativeauth.toml").write_text(
        '[profiles.demo]\nissuer = "https://id.example"\nclient_id = "cli"\napi = ["http://127.0.0.1:8000"]\n'
    )
    with get_session("demo", proxy=proxy.issuer) as session:
        assert session.get("/me", auth=None).status_code == 404
    assert len(proxy.journal) == 1


def test_others_are_reached_through_the_proxy(proxy: Hostile) -> None:
    """TRP-28: a provider elsewhere is asked for through the proxy, by CONNECT, so that TLS stays between us and it."""
    with pytest.raises(ProviderUnavailable):
        ProviderClient().get("https://id.example/.well-known/openid-configuration")
    assert {request.method for request in proxy.journal} <= {"CONNECT"}


def test_nobody_shares_the_listeners_port() -> None:
    """TRP-33, SEC-018, SEC-019, NRM-003, NRM-008: on the address that the browser is sent to, an IP literal and no
    name, nobody else can listen: not with SO_REUSEPORT, not with SO_REUSEADDR, not on all addresses. Who sits at
    ``[::1]`` with the same port gets no visitors."""
    with Listener(Host()) as listener:
        assert listener.redirect_uri.startswith(f"http://127.0.0.1:{listener.port}/")
        for options in ((), (socket.SO_REUSEADDR,), (socket.SO_REUSEPORT,), (socket.SO_REUSEADDR, socket.SO_REUSEPORT)):
            for address in ("127.0.0.1", "0.0.0.0"):
                with socket.socket() as squatter:
                    for option in options:
                        squatter.setsockopt(socket.SOL_SOCKET, option, 1)
                    with pytest.raises(OSError, match="Address already in use"):  # noqa: PT012
                        squatter.bind((address, listener.port))
                        squatter.listen()


def test_which_library_the_session_is_of() -> None:
    """TRP-36: ``get_session()`` is an httpx client, whatever Authlib itself is built on; httpx2 has a module of its
    own, whose auth fits its clients, and each of the two is nothing to the other."""
    with signed_in("demo", {"/me": {"name": "Ada"}}) as account:
        with get_session("demo") as session:
            assert isinstance(session, httpx.Client)
            assert not isinstance(session, httpx2.Client)
            assert isinstance(session.auth, NativeAuth)
        assert isinstance(get_async_session("demo"), httpx.AsyncClient)
        theirs = jupyter_nativeauth.httpx2.NativeAuth("demo")
        assert isinstance(theirs, httpx2.Auth)
        assert not isinstance(theirs, httpx.Auth)
        assert not issubclass(NativeAuth, httpx2.Auth)
        seen: list[Any] = []

        def answer(request: httpx2.Request) -> httpx2.Response:
            seen.append(request.headers.get("authorization"))
            return httpx2.Response(200)

        transport = httpx2.MockTransport(answer)
        with httpx2.Client(auth=theirs, base_url="https://api.example", transport=transport) as client:
            assert client.get("/me").status_code == 200
        assert seen == [f"Bearer {account.access_token().reveal()}"]
