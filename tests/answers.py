"""
Runs in: the tests. HTTP answers that no decent server gives, and the server that gives them.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Answer:
    """
    What to answer. The body is *json* if given, else *body*.

    Attributes:
        raw: The whole answer, status line included, instead of everything else.
        drip: Seconds between any two bytes of the body.
        cut: Close the connection after this many bytes of the body (Content-Length promises the rest).
        endless: Repeat the body for ever, in chunks, until the client leaves.
        reset: Close the connection at once, without a byte.
        wait: Do not answer before this event is set.
        work: Do what the endpoint does anyway (a refresh token is then spent) before giving this answer.
    """

    status: int = 200
    body: bytes | str = b""
    headers: dict[str, str] = field(default_factory=dict)
    json: Any = None
    raw: bytes | None = None
    drip: float = 0
    cut: int | None = None
    endless: bool = False
    reset: bool = False
    wait: threading.Event | None = None
    work: bool = False

    def content(self) -> tuple[dict[str, str], bytes]:
        """Headers and body as they go out."""
        kind = "application/json" if self.json is not None else "text/html"
        data = json.dumps(self.json) if self.json is not None else self.body
        return {"Content-Type": kind, **self.headers}, data.encode() if isinstance(data, str) else data


def redirect(to: str, status: int = 302) -> Answer:
    """A redirect, which no endpoint but the authorization endpoint has any business with."""
    return Answer(status, headers={"Location": to})


def bomb(size: int = 50_000_000) -> Answer:
    """TRP-26: a few kilobytes that become *size* bytes of JSON when they are inflated."""
    return Answer(
        body=gzip.compress(b'{"access_token":"' + b"A" * size + b'"}'),
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )


@dataclass(frozen=True)
class Request:
    """One request as it came in. *params* are those of the address and the body, in order."""

    method: str
    path: str
    query: list[tuple[str, str]] = field(repr=False)
    params: list[tuple[str, str]] = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def get(self, name: str) -> str | None:
        return dict(self.params).get(name)


Script = Answer | Callable[[Request], Answer | None]


class Responder(Protocol):
    """Who decides on the answers."""

    def respond(self, request: Request) -> Answer:
        """Called in a thread of the connection."""

    def lost(self, request: Request) -> None:
        """The answer to *request* did not arrive whole."""


class AnswerServer(ThreadingHTTPServer):
    """On a free loopback port; a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, responder: Responder, host: str = "127.0.0.1") -> None:
        self.responder = responder
        self.stopping = threading.Event()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle are what these tests are about."""


class _Connection(BaseHTTPRequestHandler):
    server: AnswerServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: Any) -> None:
        """Says nothing: its lines would hold the addresses."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = parse_qsl(parts.query, keep_blank_values=True)
        form = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True) if self.command == "POST" else []
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, query, [*query, *form], headers, body)
        answer = self.server.responder.respond(request)
        while answer.wait is not None and not answer.wait.wait(0.05):
            if self.server.stopping.is_set():
                return
        try:
            whole = self._send(answer)
        except OSError:
            whole = False
        if not whole:
            self.close_connection = True
        if not whole or (answer.work and answer.status != 200):
            self.server.responder.lost(request)

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = _serve  # noqa: N815 - the names are http.server's

    def _send(self, answer: Answer) -> bool:
        if answer.reset:
            return False
        if answer.raw is not None:
            self.wfile.write(answer.raw)
            self.close_connection = True
            return True
        headers, body = answer.content()
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        if answer.endless:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            chunk = body or b" " * 4096
            while not self.server.stopping.is_set():
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            return False
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return True
        whole = answer.cut is None
        body = body if answer.cut is None else body[: answer.cut]
        if not answer.drip:
            self.wfile.write(body)
            return whole
        for byte in body:
            if self.server.stopping.wait(answer.drip):
                return False
            self.wfile.write(bytes([byte]))
        return whole
