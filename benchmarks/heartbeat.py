"""A server extension that measures how long the event loop of a Jupyter server was busy with something else."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from tornado.web import authenticated

BEAT = 0.001


class Heart:
    """Beats every millisecond, when it is let."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.perf_counter()

    def beat(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last - BEAT)
        self._last = now
        asyncio.get_running_loop().call_later(BEAT, self.beat)


class _Handler(JupyterHandler):
    def initialize(self, heart: Heart) -> None:
        self.heart = heart

    @authenticated
    def get(self) -> None:
        self.finish({"longest": self.heart.longest})
        self.heart.longest = 0.0


def _load_jupyter_server_extension(app: Any) -> None:
    heart = Heart()
    app.web_app.add_handlers(".*", [(f"{app.base_url}heartbeat", _Handler, {"heart": heart})])
    app.io_loop.add_callback(heart.beat)
