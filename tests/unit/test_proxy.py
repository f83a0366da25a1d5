"""A company's proxy between us and a service: what is said when it lets nobody through; nothing is sent twice."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from jupyter_nativeauth import get_async_session, get_session
from jupyter_nativeauth._http import AnswerLost, ProviderClient
from jupyter_nativeauth._oauth import Post
from jupyter_nativeauth._payload_record import Event
from jupyter_nativeauth._payload_socket import Pace, listen
from jupyter_nativeauth._proxy import proxy_to
from jupyter_nativeauth.errors import ConfigError, ProviderUnavailable
from jupyter_nativeauth.profiles import Profile

SECRET = "ada:open-sesame"


class ProxyServer:
    """
    A proxy that gives the same answer to everybody, and notes the first line of what it is asked.

    Attributes:
        answer: What it says.
        blunt: It says so to whatever comes, and notes nothing.
    """

    def __init__(self) -> None:
        self.answer = b""
        self.blunt = False
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                head = b""
                while b"\r\n\r\n" not in head and (piece := connection.recv(4096)):
                    head += piece
                    if self.blunt:
                        break
                if not head:
                    return  # the test is over
                if not self.blunt:
                    self.asked.append(head.split(b"\r\n")[0].decode())
                connection.sendall(self.answer)

    def close(self) -> None:
        with socket.create_connection(self._listener.getsockname()[:2]):
            pass
        self._thread.join(20)
        self._listener.close()


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProxyServer]:
    server = ProxyServer()
    monkeypatch.setenv("HTTPS_PROXY", f"http://{SECRET}@{server.place}")
    yield server
    server.close()


def refused(url: str = "https://op.example/token") -> ProviderUnavailable:
    with pytest.raises(ProviderUnavailable) as caught:
        ProviderClient().post(Post(url, [("refresh_token", "abc")]))
    return caught.value


@pytest.mark.parametrize(
    ("answer", "words", "advice"),
    [
        (b"HTTP/1.1 407 Say who\r\nContent-Length: 0\r\n\r\n", "asks who you are (407)", "name:password@"),
        (b"HTTP/1.1 403 ada:open-sesame\r\nContent-Length: 0\r\n\r\n", "refused (403)", "add it to NO_PROXY"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "refused (503)", "whoever runs the proxy"),
        (b"", "could not be reached through the proxy", "NO_PROXY"),
    ],
)
def test_a_proxy_that_lets_nobody_through(proxy: ProxyServer, answer: bytes, words: str, advice: str) -> None:
    """
    FLT-020: nothing of ours has left, so it is no lost answer, which would be asked for again. The sentence names the
    proxy and its variable, and neither its password nor its own words.
    """
    proxy.answer = answer
    error = refused()
    assert not isinstance(error, AnswerLost)
    assert (error.code, proxy.asked) == ("proxy", ["CONNECT op.example:443 HTTP/1.1"])
    assert words in str(error.args[0])
    assert f"the proxy {proxy.place} (HTTPS_PROXY)" in str(error.args[0])
    assert advice in error.hint
    assert "open-sesame" not in f"{error!r} {error} {error.hint} {error.__context__!r}"


def test_a_proxy_that_is_not_there(proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence is the same: the address of the proxy is what is wrong."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        place = f"127.0.0.1:{nobody.getsockname()[1]}"
    monkeypatch.setenv("HTTPS_PROXY", f"http://{place}")
    error = refused()
    assert (error.code, proxy.asked) == ("proxy", [])
    assert place in str(error)


def test_a_socks_proxy_needs_one_more_package(proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """httpx brings nothing along that speaks SOCKS; the sentence says what to install."""
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.setenv("ALL_PROXY", f"socks5://{SECRET}@{proxy.place}")
    error = refused()
    assert (error.code, proxy.asked) == ("proxy", [])
    assert "pip install 'httpx[socks]'" in error.hint
    assert "open-sesame" not in f"{error!r} {error.hint}"


@pytest.mark.parametrize("other", ["socks://127.0.0.1:1080", "socks5://127.0.0.1:1080"])
def test_a_proxy_that_no_request_goes_through_is_in_nobody_s_way(
    proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    """Desktops set ``ALL_PROXY=socks://…`` beside ``HTTPS_PROXY``; httpx alone would end every request for that."""
    proxy.answer = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
    monkeypatch.setenv("ALL_PROXY", other)
    assert "refused (403)" in str(refused())
    assert proxy.asked == ["CONNECT op.example:443 HTTP/1.1"]
    monkeypatch.setenv("NO_PROXY", ".invalid")
    assert refused("https://op.invalid/token").code == "network"


def test_an_address_that_no_proxy_can_have(proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is the address in the variable: so that is what the sentence is about."""
    monkeypatch.setenv("HTTPS_PROXY", f"socks://{SECRET}@{proxy.place}")
    error = refused()
    assert (error.code, proxy.asked) == ("proxy", [])
    assert "must begin with http:// or socks5://" in error.hint
    assert "Correct HTTPS_PROXY." in error.hint
    assert "open-sesame" not in f"{error!r} {error.hint}"


def test_a_proxy_that_is_asked_over_tls_and_speaks_none(proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """``https://`` for a proxy's own address is nearly always a mistake; the service has nothing to do with it."""
    proxy.answer, proxy.blunt = b"HTTP/1.1 400 What\r\n\r\n", True
    monkeypatch.setenv("HTTPS_PROXY", f"https://{SECRET}@{proxy.place}")
    error = refused()
    assert error.code == "proxy"
    assert f"set HTTPS_PROXY to http://{proxy.place}" in error.hint
    assert "open-sesame" not in f"{error!r} {error.hint}"
    local = refused(f"https://{proxy.place}/token")  # and so does a service, if it is the wrong port
    assert (local.code, isinstance(local, AnswerLost)) == ("tls", False)
    assert "speaks no TLS. Is the port right?" in local.hint


@pytest.mark.parametrize("kind", [get_session, get_async_session])
@pytest.mark.parametrize(
    ("variable", "address", "words"),
    [
        ("ALL_PROXY", "socks://{}", "ALL_PROXY names no proxy that httpx can speak to. Its address must begin with"),
        ("all_proxy", "socks5h://{}", "all_proxy names a SOCKS proxy, and what httpx needs for one is not here."),
    ],
)
def test_a_proxy_with_which_there_is_no_client(
    proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch, kind: Any, variable: str, address: str, words: str
) -> None:
    """httpx says this with an ImportError or a ValueError of its own, in the middle of somebody's notebook."""
    monkeypatch.setenv(variable, address.format(f"{SECRET}@{proxy.place}"))
    profile = Profile("acme", issuer="https://op.example", client_id="cli", api=["https://api.example"])
    with pytest.raises(ConfigError) as caught:
        kind(profile)
    assert (caught.value.code, words in str(caught.value)) == ("proxy", True)
    assert "open-sesame" not in f"{caught.value!r} {caught.value}"
    for way_out in ({"trust_env": False}, {"proxy": f"http://{proxy.place}"}):
        kind(profile, **way_out)
    monkeypatch.setenv("NO_PROXY", "*")
    kind(profile)


def test_what_happens_to_a_sign_request_is_looked_for_behind_a_proxy(proxy: ProxyServer) -> None:
    """No WebSocket of ours goes through a proxy, or around one: whoever waits looks every few seconds instead."""
    seen: list[Event] = []

    async def look_three_times(url: str) -> None:
        enough = asyncio.Event()

        def tell(event: Event) -> None:
            seen.append(event)
            if len(seen) == 3:
                enough.set()

        waiting = asyncio.create_task(listen(url, tell, pace=Pace(behind_proxy=0.01, pause=0.01, dead=0.2)))
        await asyncio.wait_for(enough.wait(), 20)
        waiting.cancel()

    with socket.create_server(("127.0.0.1", 0)) as service:
        asyncio.run(look_three_times(f"ws://127.0.0.1:{service.getsockname()[1]}/sign/1"))
        service.settimeout(0)
        with pytest.raises(BlockingIOError):
            service.accept()  # nobody has come
    assert all(event.look for event in seen)
    assert proxy.asked == []


def test_no_proxy_is_gone_around(proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for what NO_PROXY names nor for this machine."""
    monkeypatch.setenv("NO_PROXY", "localhost,.invalid")
    assert refused("https://op.invalid/token").code == "network"
    assert refused("https://127.0.0.1:9/token").code == "network"
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2"}, ("a:1", "https_proxy")),
        ({"ALL_PROXY": "socks5://u:p@[::1]:1080"}, ("[::1]:1080", "ALL_PROXY")),
        ({"HTTPS_PROXY": "proxy.example:3128"}, ("proxy.example:3128", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "http://p:port"}, ("there", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "op.example"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.example"}, ("p:1", "HTTPS_PROXY")),
    ],
)
def test_which_proxy(environ: dict[str, str], expected: tuple[str, str] | None) -> None:
    """The one that httpx takes, without what may stand before its name."""
    found = proxy_to("op.example", environ)
    assert (found and (found.place, found.variable)) == expected
    assert "u:p@" not in repr(found)


def test_the_proxy_of_the_system_s_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS and Windows keep one; the environment, if it says anything at all of proxies, counts before it."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("jupyter_nativeauth._proxy.getproxies", lambda: {"https": "http://proxy.example:8080"})
    found = proxy_to("op.example")
    assert found is not None
    assert (found.place, found.variable) == ("proxy.example:8080", "this computer's settings")
    assert "set HTTPS_PROXY to" in found.words("op.example", httpx.ProxyError("407 Who"))[1]
    monkeypatch.setenv("NO_PROXY", "other.example")
    assert proxy_to("op.example") is None
