"""
Runs in: scripts, kernels without a server. A short-lived host of the ``/nativeauth/`` pages on this machine.

It listens on a loopback address only, and only while a sign-in or sign-out is under way (RFC 8252, sections 7.3, 8.3).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import socket
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tornado import httpserver, netutil, web

from ._host import Host
from ._origin import is_loopback
from ._pages import Page, answer, done_page
from .errors import ConfigError, LoginFailed

if TYPE_CHECKING:
    from .profiles import Profile

__all__ = ["Listener", "own_literal"]

_CALLBACK = "/nativeauth/callback"


class Listener:
    """
    Serves *host* on ``127.0.0.1`` (``[::1]`` where that is all there is) from a thread of its own.

    Args:
        host: The pages' logic.
        ports: The ports to try, in order; 0 takes any free one.

    Attributes:
        redirect_uri: The redirect URI of sign-ins that begin here.

    Raises:
        LoginFailed: None of the ports is free.

    Example:
        >>> with Listener(Host()) as listener:
        ...     listener.redirect_uri.startswith("http://127.0.0.1:")
        True
    """

    def __init__(self, host: Host, ports: Sequence[int] = ()) -> None:
        self._host = host
        self._sockets, literal = _bind(tuple(ports) or (0,))
        self.port: int = self._sockets[0].getsockname()[1]
        self.authority = f"{literal}:{self.port}"
        self.redirect_uri = f"http://{self.authority}/nativeauth/callback"
        self.last_page_seen = threading.Event()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="nativeauth-listener", daemon=True)

    @classmethod
    def of(cls, host: Host, profile: Profile) -> Listener:
        """
        The listener for *profile*: on the ports that it may use, or just where its ``redirect_uri`` leads.

        Raises:
            ConfigError: Its ``redirect_uri`` leads to a Jupyter server, or to another machine.
            LoginFailed: None of the ports is free.
        """
        if profile.redirect_uri is None:
            listener = cls(host, profile.redirect_ports)
            if profile.redirect_path == "profile":
                listener.redirect_uri += f"/{profile.name}"
            return listener
        parts = urlsplit(profile.redirect_uri)
        if parts.scheme != "http" or not is_loopback(parts.hostname or "") or not parts.path.startswith(_CALLBACK):
            raise ConfigError(
                f"The profile {profile.name!r} lets the service send the browser only to {profile.redirect_uri}.",
                code="redirect_elsewhere",
                hint="Sign in from the Jupyter that is there, or register one more redirect URI for a profile of its "
                "own: http://127.0.0.1/nativeauth/callback.",
            )
        listener = cls(host, (parts.port or 80,))
        listener.authority, listener.redirect_uri = parts.netloc, profile.redirect_uri
        return listener

    def __enter__(self) -> Listener:
        self._thread.start()
        self._ready.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        handlers: list[Any] = [
            (rf"/nativeauth/{route}", handler, {"listener": self, "host": self._host})
            for route, handler in (
                (r"go/([A-Za-z0-9_-]{1,64})", _Go),
                (r"callback(?:/[a-z0-9_-]{1,64})?", _Callback),
                (r"done/([a-z-]{1,32})", _Done),
                (r"logout/callback", _LoggedOut),
                (r"initiate/([a-z0-9_-]{1,64})", _Initiate),
            )
        ]
        application = web.Application(
            handlers,
            default_handler_class=_Nothing,
            default_handler_args={"listener": self, "host": self._host},
            log_function=_log_nothing,
        )
        server = httpserver.HTTPServer(application, idle_connection_timeout=30, body_timeout=5, max_body_size=4096)
        server.add_sockets(self._sockets)
        self._loop.call_soon(self._ready.set)
        try:
            self._loop.run_forever()
        finally:
            server.stop()
            with contextlib.suppress(Exception):
                self._loop.run_until_complete(asyncio.wait_for(server.close_all_connections(), 1))
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()


def _bind(ports: Sequence[int]) -> tuple[list[socket.socket], str]:
    """A socket on the first free port. Never SO_REUSEPORT: another process could then share the port."""
    for family, host, literal in ((socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")):
        for port in ports:
            try:
                return netutil.bind_sockets(port, host, family), literal
            except OSError as error:
                if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    break  # no IPv4 at all: only then is [::1] where the browser will be sent
        else:
            break
    named = ", ".join(str(port) for port in ports)
    raise LoginFailed(
        f"None of the ports that this profile may use is free: {named}.",
        code="port_busy",
        hint="End the program that uses one of them, or add a port to `redirect_ports` and register it at the service.",
    )


def own_literal() -> str:
    """The address that a listener would have here, as it stands in a URL."""
    sockets, literal = _bind((0,))
    for one in sockets:
        one.close()
    return literal


def _log_nothing(_: web.RequestHandler) -> None:
    """Addresses here hold codes and tickets."""


class _Handler(web.RequestHandler):
    def initialize(self, listener: Listener, host: Host) -> None:
        self._listener, self._host = listener, host

    def prepare(self) -> None:
        # DNS rebinding: another name that leads here is not us. And nothing but GET has a meaning.
        if self.request.method != "GET":
            self._answer(Page(405))
        elif self.request.host != self._listener.authority:
            self._answer(done_page("unknown"))

    def set_default_headers(self) -> None:
        self.clear_header("Server")

    def compute_etag(self) -> None:
        """None: nothing here is to be kept."""

    def log_exception(self, *_: Any) -> None:
        """Never: the usual text holds the address."""

    def write_error(self, status_code: int, **_: Any) -> None:
        answer(self, done_page("unknown") if status_code < 500 else done_page("failed"))

    def check_xsrf_cookie(self) -> None:
        """Nothing here changes on a POST."""

    def _answer(self, page: Page) -> None:
        answer(self, page)

    async def _in_thread(self, work: Callable[[], Page]) -> None:
        self._answer(await asyncio.get_running_loop().run_in_executor(None, work))

    def _sent_cookies(self) -> dict[str, str]:
        return {name: morsel.value for name, morsel in self.cookies.items() if name.startswith("nativeauth-")}

    def _sent_headers(self) -> dict[str, str]:
        names = ("Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Purpose", "Purpose")
        return {name: self.request.headers[name] for name in names if name in self.request.headers}


class _Go(_Handler):
    async def get(self, ticket: str) -> None:
        await self._in_thread(functools.partial(self._host.go, ticket, self._sent_cookies(), self._sent_headers()))


class _Callback(_Handler):
    async def get(self) -> None:
        request = self.request
        work = functools.partial(
            self._host.callback, request.query, self._sent_cookies(), self._sent_headers(), request.path
        )
        await self._in_thread(work)


class _Initiate(_Handler):
    async def get(self, profile: str) -> None:
        request, cookies, headers = self.request, self._sent_cookies(), self._sent_headers()
        work = functools.partial(self._host.initiate, profile, request.query, cookies, headers)
        await self._in_thread(lambda: work() or done_page("unknown"))


class _Done(_Handler):
    def get(self, outcome: str) -> None:
        self._answer(self._host.done(outcome, self.get_query_argument("again", ""), "/nativeauth/"))

    def on_finish(self) -> None:
        if not self._host.pending.all():  # a stranger's visit while somebody still signs in does not count
            self._listener.last_page_seen.set()


class _LoggedOut(_Handler):
    def get(self) -> None:
        self._answer(self._host.logged_out())

    def on_finish(self) -> None:
        self._listener.last_page_seen.set()


class _Nothing(_Handler):
    def get(self, *_: Any) -> None:
        self._answer(Page(404, done_page("unknown").body))
