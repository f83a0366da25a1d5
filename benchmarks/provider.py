"""
A provider and an API in a process of their own, so that what they cost is nobody's who is measured.

``python -m benchmarks.provider DELAY`` prints its port. The token endpoint takes DELAY seconds, rotates refresh tokens
and knows a spent one when it sees it; the API answers whoever shows an access token.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

import tornado.httpserver
import tornado.netutil
import tornado.web


class Provider:
    """It, for as long as a ``with`` block lasts."""

    def __init__(self, delay: float = 0.0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.provider", str(delay)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.origin = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.communicate()

    def counts(self) -> dict[str, int]:
        """How many token requests there were since the last question, and how many came with a spent token."""
        with urlopen(f"{self.origin}/counts") as answer:
            return dict(json.load(answer))


class _Book:
    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.spent: set[str] = set()
        self.counts = {"requests": 0, "reuse": 0}


class _Handler(tornado.web.RequestHandler):
    def initialize(self, book: _Book) -> None:
        self.book = book


class _Token(_Handler):
    async def post(self) -> None:
        book, token = self.book, self.get_body_argument("refresh_token")
        book.counts["requests"] += 1
        await asyncio.sleep(book.delay)
        if token in book.spent:
            book.counts["reuse"] += 1
            self.set_status(400)
            self.finish({"error": "invalid_grant"})
            return
        book.spent.add(token)
        made = {name: secrets.token_urlsafe(24) for name in ("access_token", "refresh_token")}
        self.finish({**made, "token_type": "Bearer", "expires_in": 3600})


class _Api(_Handler):
    def get(self) -> None:
        if not self.request.headers.get("Authorization", "").startswith("Bearer "):
            self.set_status(401)
        self.finish({"name": "Ada"})


class _Counts(_Handler):
    def get(self) -> None:
        self.finish(self.book.counts)
        self.book.counts = dict.fromkeys(self.book.counts, 0)


async def serve(delay: float) -> None:
    options: dict[str, Any] = {"book": _Book(delay)}
    routes = [("/token", _Token, options), ("/v1/me", _Api, options), ("/counts", _Counts, options)]
    sockets = tornado.netutil.bind_sockets(0, "127.0.0.1", backlog=1024)
    tornado.httpserver.HTTPServer(tornado.web.Application(routes)).add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
