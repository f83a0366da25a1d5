"""
Runs in: kernels, scripts. Listens to what happens to a sign request, on the WebSocket that the service has for it.

What arrives says when to look, and proves nothing. Nothing of ours is sent there: the socket's address is all it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from ._certificates import kept_context
from ._payload_record import Event, read_event
from ._proxy import proxy_to
from .errors import ConfigError

__all__ = ["Pace", "listen"]

_LARGEST = 64 * 1024  # bytes of one message; the largest that is documented has a few hundred
_SLOWEST = 15.0  # seconds between two tries to connect again


@dataclass(frozen=True)
class Pace:
    """
    How often, in seconds; the service's own SDK has the same numbers.

    Attributes:
        ping: Between two signs of life of ours.
        dead: After such a silence of the service the connection counts as broken.
        pause: Before the next try to connect. It grows while none succeeds.
        behind_proxy: Between two looks where no connection is tried.
    """

    ping: float = 2.0
    dead: float = 10.0
    pause: float = 2.0
    behind_proxy: float = 5.0


async def listen(url: str, tell: Callable[[Event], None], *, pace: Pace, ca_bundle: str | None = None) -> None:
    """
    Connect, and connect again whenever it breaks, until cancelled.

    Each new connection, and each that fails, says that it is time to look: what happened in between is not repeated.
    So somebody whose network lets no WebSocket through still learns the end, a little later. Tornado's client goes
    through no proxy, so where there is one nothing is tried.

    Args:
        url: The socket's address.
        tell: Called with each event.
    """
    if proxy_to(urlsplit(url).hostname or "") is not None:
        while True:
            tell(Event(look=True))
            await asyncio.sleep(pace.behind_proxy)
    pause = pace.pause
    while True:
        heard = await _one(url, tell, pace, ca_bundle)
        tell(Event(look=True))
        pause = pace.pause if heard else min(2 * pause, max(_SLOWEST, pace.pause))
        await asyncio.sleep(pause)


async def _one(url: str, tell: Callable[[Event], None], pace: Pace, ca_bundle: str | None) -> bool:
    """One connection, to its end; whether anything was heard on it."""
    from tornado.httpclient import HTTPError, HTTPRequest
    from tornado.iostream import StreamClosedError
    from tornado.websocket import WebSocketClosedError, websocket_connect

    try:
        trusted = await asyncio.to_thread(kept_context, ca_bundle) if url.startswith("wss:") else None
        request = HTTPRequest(url, connect_timeout=pace.dead, request_timeout=pace.dead, ssl_options=trusted)
        socket = await websocket_connect(request, max_message_size=_LARGEST)
    except (ConfigError, OSError, HTTPError, StreamClosedError):
        return False
    heard = False

    async def keep_alive() -> None:
        with contextlib.suppress(WebSocketClosedError, StreamClosedError):
            while True:
                await asyncio.sleep(pace.ping)
                await socket.write_message('{"ping":true}')

    pinging = asyncio.create_task(keep_alive())
    try:
        tell(Event(look=True))
        while True:
            async with asyncio.timeout(pace.dead):  # not wait_for, which can swallow the end of this task
                text = await socket.read_message()
            if text is None:
                return heard
            heard = True
            tell(read_event(text))
    except TimeoutError:
        return heard
    finally:
        pinging.cancel()
        socket.close()
