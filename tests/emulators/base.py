"""
Runs in: the tests. What every emulator of a service has: a port, a journal, faults, a clock and keys.

An emulator is a class with a table of paths and a method ``do_<endpoint>`` for each endpoint in it::

    class Acme(Emulator):
        endpoints = {"/oauth/token": "token", "/keys": "jwks"}

        def do_token(self, request: Request) -> Answer:
            return Answer(json={"access_token": self.mint("access"), "token_type": "Bearer"})

It speaks real HTTP from a thread of its own (tornado, so it can speak WebSocket too), at two origins: ``origin`` is the
service, ``api`` the API that its access tokens open. Methods run on its event loop, so none of them may block.

Tests look at ``journal``, ``hits()`` and ``steps()``, put faults in front of endpoints with ``answer()``, and move
``clock``. What the client must never do and did is in ``violations``, and fails the test (INV-07).

Example:
    >>> with Auth0() as service:
    ...     service.answer("token", Answer(503, headers={"Retry-After": "1"}))
    ...     service.steps()
    []
"""

from __future__ import annotations

import asyncio
import functools
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl

from joserfc import jwt
from joserfc.jwk import RSAKey
from tornado import httpserver, httputil, iostream, netutil, web

from tests.answers import Answer, Request, Script

CALLBACK, LOGOUT_CALLBACK = "/nativeauth/callback", "/nativeauth/logout/callback"


@functools.cache
def signing_key(number: int) -> RSAKey:
    """Each is made once: it takes a tenth of a second."""
    return RSAKey.generate_key(2048, {"kid": f"key-{number}", "alg": "RS256", "use": "sig"})


@dataclass(frozen=True)
class Hit:
    """One request that arrived: at which endpoint, under which host name (and port)."""

    endpoint: str
    host: str
    request: Request

    def get(self, name: str) -> str | None:
        """A parameter of its address or form."""
        return self.request.get(name)

    @property
    def names(self) -> set[str]:
        """The names of its parameters."""
        return {name for name, _ in self.request.params}

    @property
    def headers(self) -> dict[str, str]:
        return self.request.headers


class Emulator(AbstractContextManager["Emulator"]):
    """
    A service on a free loopback port; see the top of this file.

    Args:
        host: The name in its ``origin``; it listens on 127.0.0.1 whatever the name.

    Attributes:
        origin: The service's address, without a slash at its end.
        api: The address of an API of its own, another origin.
        redirect_port: A free port, for a listener that must be registered with its port.
        journal: Every request, in order, those for the API included.
        violations: What the client must never do, and did.
        clock: Seconds that this service's clock is ahead.
        keys: The keys in the JWKS; the first one signs.
        claims, header: Change the claims and the header of a token before it is signed; called with its kind first.
    """

    endpoints: ClassVar[Mapping[str, str]] = {}

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.journal: list[Hit] = []
        self.violations: list[str] = []
        self.clock = 0.0
        self.keys = [signing_key(0)]
        self.claims: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda kind, claims: claims
        self.header: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda kind, header: header
        self.stopping = False
        self._secrets: dict[str, str] = {}
        self._scripts: dict[str, deque[Script]] = {}
        self._changed = threading.Condition(threading.RLock())
        self._sockets = [netutil.bind_sockets(0, "127.0.0.1", socket.AF_INET)[0] for _ in range(2)]
        self.port, api_port = (one.getsockname()[1] for one in self._sockets)
        self.origin = f"http://{host}:{self.port}"
        self.api = f"http://127.0.0.1:{api_port}"
        self.redirect_port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="emulator", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # ---- for tests ----------------------------------------------------------------------------------------------

    def answer(self, endpoint: str, *scripts: Script) -> None:
        """
        Answer the next requests to *endpoint* with these, in order; afterwards it behaves again.

        A function gets the request; if it returns None, the endpoint answers as usual. ``Answer(..., work=True)``
        lets the endpoint do its work first (a refresh token is then spent) and replaces only the answer.
        """
        with self._changed:
            self._scripts.setdefault(endpoint, deque()).extend(scripts)

    def hits(self, endpoint: str | None = None, grant_type: str | None = None) -> list[Hit]:
        """The requests so far, in order; only those to *endpoint* or with *grant_type* where given."""
        with self._changed:
            return [
                hit
                for hit in self.journal
                if (endpoint is None or hit.endpoint == endpoint)
                and (grant_type is None or hit.get("grant_type") == grant_type)
            ]

    def steps(self) -> list[str]:
        """What was asked, in order: the endpoint's names, those of the token endpoint by their grant type."""
        return [hit.get("grant_type") or hit.endpoint for hit in self.hits()]

    def wait(self, endpoint: str, count: int = 1, seconds: float = 20) -> list[Hit]:
        """The requests to *endpoint*, as soon as there are *count* of them."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.hits(endpoint)) >= count, seconds), self.steps()
            return self.hits(endpoint)

    def now(self) -> float:
        return time.time() + self.clock

    def rotate_keys(self) -> None:
        """Sign with another key from now on. The old one stays in the JWKS."""
        self.keys.insert(0, signing_key(len(self.keys)))

    def mint(self, kind: str, value: str | None = None, *, prefix: str = "") -> str:
        """A new secret that the sweep will look for; or declare *value* to be one."""
        made = value if value is not None else f"{prefix}NATK-{kind}-{secrets.token_urlsafe(24)}"
        with self._changed:
            self._secrets.setdefault(made, kind)
        return made

    def secrets(self) -> list[tuple[str, str]]:
        """All secrets so far, as (kind, value)."""
        with self._changed:
            return [(kind, value) for value, kind in self._secrets.items()]

    def sign(self, kind: str, claims: Mapping[str, Any], **header: Any) -> str:
        """A JWT of this service. *kind* is what the sweep calls it, and the hooks ``claims`` and ``header`` get."""
        key = self.keys[0]
        made = self.claims(kind, {name: value for name, value in claims.items() if value is not None})
        head = self.header(kind, {"alg": "RS256", "kid": key.kid, **header})
        return self.mint(kind, jwt.encode(head, made, key))

    # ---- for subclasses -----------------------------------------------------------------------------------------

    def endpoint_of(self, request: Request) -> str:
        """The name of the endpoint that this is for, such as ``"token"``."""
        return self.endpoints.get(request.path, "other")

    def check(self, endpoint: str, request: Request) -> None:
        """Look at a request before it is answered, and write into ``violations`` what is wrong with it."""

    def sockets(self) -> list[Any]:
        """More tornado routes of the service, for WebSockets."""
        return []

    def api_sockets(self) -> list[Any]:
        """The same, of the API."""
        return []

    def lost(self, request: Request) -> None:
        """The answer to *request* did not arrive whole: the client may send the same once more (FLT-020)."""

    def do_jwks(self, request: Request) -> Answer:
        return Answer(json={"keys": [key.as_dict(private=False) for key in self.keys]})

    def do_other(self, request: Request) -> Answer:
        return Answer(404, "<h1>Not found</h1>")

    def do_api(self, request: Request) -> Answer:
        return Answer(404, json={"error": "not_found"})

    # ---- the server ---------------------------------------------------------------------------------------------

    def respond(self, endpoint: str, request: Request) -> Answer:
        with self._changed:
            self.journal.append(Hit(endpoint, request.headers.get("host", ""), request))
            self._changed.notify_all()
            queue = self._scripts.get(endpoint)
            script = queue.popleft() if queue else None
        self.check(endpoint, request)
        if callable(script):
            script = script(request)
        if script is not None and not script.work:
            return script
        usual: Answer = getattr(self, f"do_{endpoint}")(request)
        return script or usual

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        routes = [[*self.sockets(), (r".*", _Handler, {"service": self, "api": False})]]
        routes.append([*self.api_sockets(), (r".*", _Handler, {"service": self, "api": True})])
        servers = []
        for listening, handlers in zip(self._sockets, routes, strict=True):
            # Its usual log lines would hold the addresses, and so codes.
            application = web.Application(handlers, log_function=lambda handler: None)
            servers.append(httpserver.HTTPServer(application))
            servers[-1].add_sockets([listening])
        try:
            self._loop.run_forever()
        finally:
            for server in servers:
                server.stop()
                self._loop.run_until_complete(asyncio.wait_for(server.close_all_connections(), 1))
            pending = asyncio.all_tasks(self._loop)
            for task in pending:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
            self._loop.close()


class _Handler(web.RequestHandler):
    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")

    def initialize(self, service: Emulator, api: bool) -> None:
        self._service, self._api = service, api

    def prepare(self) -> None:
        self.clear_header("Server")
        self.set_header("Date", httputil.format_timestamp(self._service.now()))

    def compute_etag(self) -> None:
        """None: every answer is sent."""

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        self._service.violations.append(f"the emulator failed: {error!r}")

    async def _serve(self) -> None:
        request, service = _read(self.request), self._service
        endpoint = "api" if self._api else service.endpoint_of(request)
        answer = service.respond(endpoint, request)
        while answer.wait is not None and not answer.wait.is_set():  # noqa: ASYNC110 - it is a thread's event
            await asyncio.sleep(0.02)
        try:
            whole = await self._send(answer)
        except (iostream.StreamClosedError, asyncio.CancelledError):
            whole = False
        if not whole or (answer.work and answer.status != 200):
            service.lost(request)

    get = head = post = put = delete = options = _serve

    async def _send(self, answer: Answer) -> bool:
        headers, body = answer.content()
        if answer.reset or answer.raw is not None or answer.cut is not None:
            stream = self.detach()
            if answer.raw is not None:
                await stream.write(answer.raw)
            elif answer.cut is not None:
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                head = f"HTTP/1.1 {answer.status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
                await stream.write(head.encode("latin-1") + body[: answer.cut])
            stream.close()
            return answer.raw is not None
        self.set_status(answer.status, "X")
        for name, value in headers.items():
            self.set_header(name, value)
        if answer.drip:
            for byte in body:
                self.write(bytes([byte]))
                await self.flush()
                await asyncio.sleep(answer.drip)
            body = b""
        await self.finish(body)
        return True


def _read(request: httputil.HTTPServerRequest) -> Request:
    query = parse_qsl(request.query, keep_blank_values=True)
    form: list[tuple[str, str]] = []
    if request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        form = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Request(request.method or "", request.path, query, [*query, *form], headers, request.body)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])
