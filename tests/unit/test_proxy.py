"""A company's proxy between us and a service: what is said when it lets nobody through; nothing is sent twice."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from jupyter_nativeauth._http import AnswerLost, ProviderClient
from jupyter_nativeauth._oauth import Post
from jupyter_nativeauth._payload_record import Event
from jupyter_nativeauth._payload_socket import Pace, listen
from jupyter_nativeauth._proxy import proxy_to
from jupyter_nativeauth.errors import ProviderUnavailable

SECRET = "ada:open-sesame"


class ProxyServer:
    """A proxy that gives the same answer to everybody, and notes the first line of what it is asked."""

    def __init__(self) -> None:
        self.answer = b""
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
                if not head:
                    return  # the test is over
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


def test_what_happens_to_a_sign_request_is_looked_for_behind_a_proxy(proxy: ProxyServer) -> None:
    """No WebSocket of ours goes through a proxy, or around one: whoever waits looks every few seconds instead."""
    seen: list[Event] = []

    async def look_three_times() -> None:
        enough = asyncio.Event()

        def tell(event: Event) -> None:
            seen.append(event)
            if len(seen) == 3:
                enough.set()

        waiting = asyncio.create_task(listen("wss://xumm.example/sign/1", tell, pace=Pace(behind_proxy=0.01)))
        await asyncio.wait_for(enough.wait(), 20)
        waiting.cancel()

    asyncio.run(look_three_times())
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
        ({"ALL_PROXY": "socks5://u:p@[::1]:1080"}, ("::1:1080", "ALL_PROXY")),
        ({"HTTPS_PROXY": "proxy.example:3128"}, ("proxy.example:3128", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "http://p:port"}, ("there", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "op.example"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.example"}, ("p:1", "HTTPS_PROXY")),
    ],
)
def test_which_proxy(environ: dict[str, str], expected: tuple[str, str] | None) -> None:
    """The one that httpx takes, without what may stand before its name."""
    assert proxy_to("op.example", environ) == expected
