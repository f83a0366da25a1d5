"""Whatever comes in from the network, at the Jupyter server, at the listener and from a provider: it does no harm."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth import LoginRequired, ProviderError, ProviderUnavailable
from tests.answers import Answer
from tests.flow.test_hostile_answers import Service, account_of, again, expired
from tests.flow.test_sign_in import link_of
from tests.hostile import Hostile
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.jupyter.site import Site, site  # noqa: F401 - a fixture
from tests.person import Person, outcome
from tests.tries import tries

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["profile", "scopes", "switch", "flow", "id", "url"])
BODIES = st.binary(max_size=200) | st.dictionaries(MEMBERS, VALUES, max_size=4).map(
    lambda one: json.dumps(one).encode()
)


async def test_what_the_sidebar_s_routes_are_sent(site: Site, hostile: Hostile) -> None:  # noqa: F811
    """FUZ-015: each body gets an answer in JSON, with a code if it is refused; and a sign-in works afterwards."""
    headers = {"Authorization": f"token {site.app.identity_provider.token}", "Content-Type": "application/json"}

    @tries(60)
    @given(route=st.sampled_from(["login", "logout", "paste", "confirm"]), body=BODIES)
    def send(route: str, body: bytes) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)) as connection:
            connection.request("POST", f"{site.base}api/{route}", body, headers)
            answer = connection.getresponse()
            told = json.loads(answer.read())
        assert answer.status in (200, 400)
        assert answer.status == 200 or told["code"]

    await asyncio.to_thread(send)
    assert (await site.row())["state"] == "signed_out"
    await site.visit((await site.login())["url"])
    assert (await site.row())["state"] == "signed_in"


REQUEST = b"GET /nativeauth/callback?state=guess&code=1 HTTP/1.1\r\nHost: %s\r\nCookie: a=b\r\n\r\n"


@st.composite
def almost_requests(draw: st.DrawFn) -> bytes:
    """A request in which some bytes are others, or some are missing, or which comes twice."""
    whole = bytearray(REQUEST * draw(st.integers(1, 2)))
    for _ in range(draw(st.integers(0, 6))):
        whole[draw(st.integers(0, len(whole) - 1))] = draw(st.integers(0, 255))
    return bytes(whole[: draw(st.integers(0, len(whole)))])


def test_what_the_listener_is_sent(home: Home, hostile: Hostile) -> None:
    """FUZ-017: bytes that are no request, or almost one, neither end the wait nor keep the person out."""
    person = Person(home, Service(hostile))  # type: ignore[arg-type]
    attempt = person.begin()
    link = link_of(attempt)
    place = urlsplit(link)

    @tries(80)
    @given(sent=st.binary(max_size=300) | almost_requests())
    def send(sent: bytes) -> None:
        with (
            socket.create_connection((place.hostname, place.port), 20) as stranger,
            contextlib.suppress(ConnectionError),
        ):
            stranger.sendall(sent.replace(b"%s", place.netloc.encode()))
            stranger.shutdown(socket.SHUT_WR)
            while stranger.recv(4096):
                pass

    send()
    HttpBrowser().open(link)
    assert outcome(attempt).name == "Ada Example"


FAULTS = st.one_of(
    st.builds(
        Answer, status=st.sampled_from([200, 302, 400, 401, 404, 408, 429, 500, 503]), body=st.binary(max_size=60)
    ),
    st.builds(Answer, json=VALUES, work=st.booleans()),
    st.builds(Answer, json=st.just({"access_token": "A" * 40, "token_type": "Bearer"}), cut=st.integers(0, 70)),
    st.builds(lambda work: Answer(reset=True, work=work), st.booleans()),
    st.builds(Answer, raw=st.binary(min_size=1, max_size=80)),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_what_the_token_endpoint_answers(hostile: Hostile, folder: Path) -> None:
    """
    FUZ-018, INV-05: a renewal ends in an access token or one of three errors. Unless the service has said no, or spent
    the refresh token without giving another, the login goes on as soon as the service behaves.
    """
    numbers = iter(range(10**9))

    @tries(30)
    @given(faults=st.lists(FAULTS, min_size=1, max_size=2))
    def renew(faults: list[Answer]) -> None:
        where = folder / str(next(numbers))
        where.mkdir(mode=0o700)
        account: Any = account_of(hostile, where, deadline=5)
        expired(account, hostile)
        hostile.answer("token", *faults)
        with contextlib.suppress(ProviderError, ProviderUnavailable, LoginRequired):
            assert account.access_token().reveal()
        hostile._scripts.clear()
        spent, before, why = any(fault.work for fault in faults), hostile.reuse, ""
        try:
            assert again(account).access_token().reveal()
        except LoginRequired as error:
            why = error.code
        if not spent:
            assert hostile.reuse == before
            assert not why or any(_refuses(fault) for fault in faults), why

    renew()
    hostile.reuse = 0  # what was spent by an answer that said nothing is sent again: nobody can know that it was


def _refuses(fault: Answer) -> bool:
    """Whether this answer says that the login is over (RFC 6749, section 5.2), in whatever words."""
    return 400 <= fault.status < 500 or fault.json is not None
