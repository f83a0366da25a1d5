"""
Runs in: everywhere. The one guarded client to providers.

It follows no redirects (a 307 would post the code elsewhere), reads at most 1 MiB of decoded body, ends at one total
deadline however slowly the bytes drip, speaks plain http only to this machine, and never asks a proxy for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ._oauth import Post
from ._origin import is_secure, origin, stays_here
from ._proxy import Proxy, proxy_to
from ._tokens import Body, Secret
from .errors import ConfigError, ProviderUnavailable

if TYPE_CHECKING:
    import httpx

__all__ = ["Answer", "AnswerLost", "ProviderClient"]

_LARGEST = 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """A provider's answer. Its body may hold secrets, so it does not print."""

    status: int
    content_type: str
    body: Body
    retry_after: float | None = None
    challenge: str = field(default="", repr=False)


class AnswerLost(ProviderUnavailable):
    """The request went out and no answer came back: the provider may or may not have acted on it."""

    default_code = "answer_lost"


class _Unreadable(Exception):
    """An answer that came, and is no use."""


class ProviderClient:
    """
    Talks to providers. Its methods block, so they are called in threads of their own, never on an event loop.

    Args:
        ca_bundle: A file with the certificates to trust; ``None`` for the usual ones (``SSL_CERT_FILE`` counts).
        deadline: Seconds for one request, everything included.
        rate_limit_reset: A header that says with the seconds since the epoch when a client that got a 429 may come
            again, for services that do not say so with ``Retry-After``.
        client_secret: Gives the secret of a confidential client, with which each post is signed.
        own_network: The one address beyond this machine that may be plain http, and that no proxy is asked for: that of
            a hub, which talks to its servers so.

    Attributes:
        date: What the service's own clock said in its newest answer, in seconds since the epoch.
    """

    def __init__(
        self,
        *,
        ca_bundle: str | None = None,
        deadline: float = 10.0,
        rate_limit_reset: str = "",
        client_secret: Callable[[], Secret] | None = None,
        own_network: str = "",
    ) -> None:
        self.date: float | None = None
        self._rate_limit_reset = rate_limit_reset
        self._ca_bundle = ca_bundle
        self._deadline = deadline
        self._client_secret = client_secret
        self._own_network = f"{own_network}/" if own_network else ""

    def get(self, url: str, *, bearer: Secret | None = None) -> Answer:
        """
        Fetch *url*; a broken connection or a 5xx is tried a second time, since nothing can be lost by that.

        Raises:
            ProviderUnavailable: No answer within the deadline, or not a readable one.
        """
        try:
            answer = self._send("GET", url, None, bearer)
        except ProviderUnavailable as error:
            if error.code == "timeout":
                raise
        else:
            if answer.status < 500:
                return answer
        time.sleep(0.3)
        return self._send("GET", url, None, bearer)

    def post(self, post: Post, *, bearer: Secret | None = None) -> Answer:
        """
        Post a form, once.

        Raises:
            AnswerLost: It was sent, and the answer did not come.
            ProviderUnavailable: It was not sent, or the answer cannot be read.
        """
        secret = self._client_secret() if self._client_secret is not None else None
        return self._send("POST", post.url, post, bearer, secret)

    def _send(
        self, method: str, url: str, post: Post | None, bearer: Secret | None, secret: Secret | None = None
    ) -> Answer:
        if not is_secure(url) and not self._is_own(url):
            raise ConfigError("A provider's address must be an https URL.", code="insecure_url")

        def run() -> Answer:
            loop = asyncio.new_event_loop()
            loop.getaddrinfo = _look_up  # type: ignore[method-assign]
            try:
                return loop.run_until_complete(self._exchange(method, url, post, bearer, secret))
            finally:
                # Not asyncio.run: it would wait for a name look-up that hangs, for minutes.
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.close()

        return run() if asyncio._get_running_loop() is None else _beside(run)  # noqa: SLF001 - documented, no error

    async def _exchange(
        self, method: str, url: str, post: Post | None, bearer: Secret | None, secret: Secret | None
    ) -> Answer:
        import httpx

        from ._certificates import kept_context

        _, host, port = origin(url)
        proxy = None if stays_here(host) or self._is_own(url) else proxy_to(host)
        sent = asked = False

        async def watch(event: str, told: Mapping[str, Any]) -> None:
            nonlocal sent, asked
            if event.endswith("send_request_headers.started"):
                # A proxy is asked for a tunnel first, in the same words: nothing of ours is in that.
                asked, sent = True, sent or told["request"].method != b"CONNECT"

        try:
            async with asyncio.timeout(self._deadline):
                async with (
                    httpx.AsyncClient(
                        verify=kept_context(self._ca_bundle) if url.startswith("https:") else False,
                        proxy=proxy.url if proxy is not None else None,
                        trust_env=False,
                        timeout=None,  # noqa: S113 - the deadline above is a total one
                        follow_redirects=False,
                    ) as client,
                    client.stream(
                        method, url, **_message(post, bearer, secret), extensions={"trace": watch}
                    ) as response,
                ):
                    self.date = _date(response)
                    return Answer(
                        status=response.status_code,
                        content_type=response.headers.get("content-type", ""),
                        body=await _read(response),
                        retry_after=self._retry_after(response),
                        challenge=response.headers.get("www-authenticate", ""),
                    )
        except TimeoutError:
            failure = _lost(host, f"gave no answer within {self._deadline:g} seconds", "timeout", sent=sent)
        except _Unreadable as error:
            # It came, so it is not lost: a refresh token that was spent for it is not sent again.
            failure = _lost(host, f"gave an answer that cannot be read ({error})", "bad_answer")
        except ConfigError:
            raise  # what names the certificates names no file
        except Exception as error:  # noqa: BLE001 - a proxy that httpx cannot speak to is an ImportError, for one
            failure = await self._failure(host, port, error, proxy, sent=sent, asked=asked)
        # Raised out here: the error in there holds the request, and would stay behind as `__context__`.
        raise failure

    async def _failure(
        self, host: str, port: int, error: Exception, proxy: Proxy | None, *, sent: bool, asked: bool
    ) -> ProviderUnavailable:
        """What happened, without the library's own words: they can hold headers."""
        from ._certificates import explain, tls_problem

        problem = tls_problem(error)
        # Before a proxy that speaks TLS was asked for anything, the certificate in question is the proxy's own.
        if proxy is not None and not sent and (problem is None or (proxy.speaks_tls and not asked)):
            message, hint = proxy.words(host, error)
            return ProviderUnavailable(message, code="proxy", hint=hint)
        if problem is None:
            return _lost(host, "could not be reached, or broke the connection", "network", sent=sent)
        what, hint = await explain(problem, host, port if proxy is None else None, self._ca_bundle)
        return _lost(host, what, "tls", hint=hint, sent=sent)

    def _is_own(self, url: str) -> bool:
        return bool(self._own_network) and url.startswith(self._own_network)

    def _retry_after(self, response: httpx.Response) -> float | None:
        """Seconds to wait, at most an hour; ``None`` if the service did not say (RFC 9110, section 10.2.3)."""
        said = _whole(response.headers.get("retry-after", ""))
        if said is None and response.status_code == 429 and self._rate_limit_reset:
            until = _whole(response.headers.get(self._rate_limit_reset, ""))
            date = _date(response)
            said = None if until is None else max(until - (time.time() if date is None else date), 0.0)
        return None if said is None else min(said, 3600.0)


def _date(response: httpx.Response) -> float | None:
    """The time by the service's own clock (RFC 9110, 6.6.1), also from a cache that kept it a while (RFC 9111, 5.1)."""
    try:
        date = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
        return date + (_whole(response.headers.get("age", "")) or 0.0)
    except (OverflowError, ValueError):
        return None


def _message(post: Post | None, bearer: Secret | None, secret: Secret | None) -> dict[str, Any]:
    """Headers and body. Not as variables of a frame that can raise: tracebacks show those."""
    from base64 import b64encode
    from urllib.parse import quote_plus, urlencode

    from . import __version__

    headers = {
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"jupyter-nativeauth/{__version__}",
    }
    if bearer is not None:
        headers["authorization"] = f"Bearer {bearer.reveal()}"
    if post is None:
        return {"headers": headers}
    headers["content-type"] = "application/x-www-form-urlencoded"
    if secret is None:
        return {"headers": headers, "content": urlencode(post.form).encode("ascii")}
    # RFC 6749, section 2.3.1: the header names the client, and each part is form-encoded before the colon joins them.
    client_id = dict(post.form)["client_id"]
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}".encode("ascii")
    headers["authorization"] = f"Basic {b64encode(pair).decode('ascii')}"
    form = [(name, value) for name, value in post.form if name != "client_id"]
    return {"headers": headers, "content": urlencode(form).encode("ascii")}


def _beside(task: Callable[[], Answer]) -> Answer:
    """Run *task* in a thread: a notebook's cell runs in an event loop, which has no place for a second one."""
    outcome: Future[Answer] = Future()

    def run() -> None:
        try:
            outcome.set_result(task())
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it
            outcome.set_exception(error)

    threading.Thread(target=run, name="nativeauth-http", daemon=True).start()
    return outcome.result()


async def _look_up(host: Any, port: Any, **hints: Any) -> Any:
    """
    Look a name up in a daemon thread. Those of asyncio's own executor are joined when the interpreter exits, so one
    that hangs would keep a script alive for minutes.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Any] = loop.create_future()
    if (host.decode("ascii") if isinstance(host, bytes) else str(host)).endswith(".localhost"):
        host = "localhost"  # RFC 6761, section 6.3: not every machine's resolver knows it

    def settle(result: Any, error: OSError | None) -> None:
        if not found.done():
            found.set_result(result) if error is None else found.set_exception(error)

    def work() -> None:
        result, problem = None, None
        try:
            result = socket.getaddrinfo(host, port, **hints)
        except OSError as error:
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            loop.call_soon_threadsafe(settle, result, problem)

    threading.Thread(target=work, name="nativeauth-dns", daemon=True).start()
    return await found


def _lost(host: str, what: str, code: str, *, hint: str = "", sent: bool = False) -> ProviderUnavailable:
    kind = AnswerLost if sent else ProviderUnavailable
    hint = f"Nothing was lost. {hint or 'Try again in a moment.'}"
    return kind(f"The service at {host} {what}.", code=code, hint=hint)


async def _read(response: httpx.Response) -> Body:
    """The decoded body. We decode it ourselves: the library inflates 50 kB to 50 MB before anyone can object."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        raise _Unreadable("its encoding was not asked for")
    inflate = zlib.decompressobj(wbits=47) if encoding in ("gzip", "deflate") else None
    body = b""
    async for chunk in response.aiter_raw(chunk_size=65536):
        try:
            body += inflate.decompress(chunk, _LARGEST + 1 - len(body)) if inflate else chunk
        except zlib.error:
            raise _Unreadable("its compression is broken") from None
        if len(body) > _LARGEST:
            raise _Unreadable("it is larger than 1 MiB")
    return Body(body)


def _whole(value: str) -> float | None:
    """A whole number of seconds; a date or nonsense counts as "did not say"."""
    value = value.strip()
    return float(value) if value.isascii() and value.isdigit() and len(value) < 11 else None
