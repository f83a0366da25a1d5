"""
Runs in: kernels, scripts. How a request of httpx, or of a library with the same ways, gets its access token.

Sync and async are two methods, since blocking in a shared one would stop every async client (httpx, ``Auth``).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import AsyncGenerator, Generator
from typing import Any

from ._bearer import Bearer, BearerAuth
from ._tokens import AccessToken

__all__ = ["Flow"]

_WIRE = ("httpcore", "httpcore2")  # what writes the header to the network; below it, variables hold the bare token


class Flow(BearerAuth):
    """
    The two flows of an ``Auth`` class.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.
    """

    replayable: type[Any]  # the library's class of bodies that can be sent a second time

    def sync_auth_flow(self, request: Any) -> Any:
        """What the library calls for a sync client."""
        return _Watched(self._sync(request))

    def async_auth_flow(self, request: Any) -> Any:
        """What the library calls for an async client. Nothing here blocks its event loop."""
        return _Watched(self._async(request))

    def _sync(self, request: Any) -> Generator[Any, Any, None]:
        if _is_signed(request):
            yield request
            return
        self._bearer.check(str(request.url))
        token = self._bearer.account.access_token()
        for last in (False, True):
            _sign(request, token)
            try:
                response = yield request
                sent = _scrub(response)
            finally:
                _unsign(request)
            if sent is not None and self._bearer.has_to_read(response.status_code):
                response.read()
            if not self._is_rejected(sent, response) or last:
                return
            newer = self._bearer.account.access_token(rejected=token)
            if newer == token or not isinstance(sent.stream, self.replayable):
                return  # a body that was streamed is used up: it cannot honestly be sent again
            self._bearer.check(str(sent.url))
            response.read()
            request, token = sent, newer

    async def _async(self, request: Any) -> AsyncGenerator[Any, Any]:
        if _is_signed(request):
            yield request
            return
        self._bearer.check(str(request.url))
        token = await self._token(None)
        for last in (False, True):
            _sign(request, token)
            try:
                response = yield request
                sent = _scrub(response)
            finally:
                _unsign(request)
            if sent is not None and self._bearer.has_to_read(response.status_code):
                await response.aread()
            if not self._is_rejected(sent, response) or last:
                return
            newer = await self._token(token)
            if newer == token or not isinstance(sent.stream, self.replayable):
                return  # a body that was streamed is used up: it cannot honestly be sent again
            self._bearer.check(str(sent.url))
            await response.aread()
            request, token = sent, newer

    async def _token(self, rejected: AccessToken | None) -> AccessToken:
        account = self._bearer.account
        if rejected is None and (token := account.ready_token()) is not None:
            return token
        import anyio.to_thread

        # In a thread, and abandoned if the task is cancelled: the renewal itself goes on and is saved.
        return await anyio.to_thread.run_sync(
            functools.partial(account.access_token, rejected=rejected), abandon_on_cancel=True
        )

    def _is_rejected(self, sent: Any, response: Any) -> bool:
        """Whether the access token was refused. Whoever never saw it, after a redirect, cannot refuse it."""
        if sent is None:
            return False
        body = response.content if self._bearer.has_to_read(response.status_code) else b""
        return self._bearer.wants_another(response.status_code, response.headers, body)


class _Watched:
    """A flow. When the library ends it because of an error, that error outlives the request, and must forget it."""

    def __init__(self, flow: Any) -> None:
        self._flow = flow

    def __next__(self) -> Any:
        return next(self._flow)

    def send(self, response: Any) -> Any:
        return self._flow.send(response)

    def close(self) -> None:
        if self._flow.gi_frame is not None:
            _forget(sys.exception())
        self._flow.close()

    async def __anext__(self) -> Any:
        return await anext(self._flow)

    async def asend(self, response: Any) -> Any:
        return await self._flow.asend(response)

    async def aclose(self) -> None:
        if self._flow.ag_frame is not None:
            _forget(sys.exception())
        await self._flow.aclose()


def _is_signed(request: Any) -> bool:
    """Whether it has an ``Authorization`` of the caller's own: that one counts, and ours stays out of it."""
    return "authorization" in request.headers


def _sign(request: Any, token: AccessToken) -> None:
    request.headers["authorization"] = Bearer.header(token)


def _unsign(request: Any) -> None:
    """Take the access token off *request*, which outlives its use in responses, errors and logs."""
    if request is not None:
        request.headers.pop("authorization", None)


def _scrub(response: Any) -> Any:
    """
    A response is often shown, logged or stored; its requests, redirects included, forget the token.

    Returns:
        The last of them, if it carried the token.
    """
    last = response.request if _is_signed(response.request) else None
    for answered in (*response.history, response):
        _unsign(answered.request)
        _unsign(answered.next_request)
    return last


def _forget(error: BaseException | None) -> None:
    """Take the access token out of *error*: off its request, and out of the variables of its traceback's frames."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        _unsign(getattr(error, "_request", None))
        if (response := getattr(error, "response", None)) is not None:
            _scrub(response)
        before, frame = None, error.__traceback__
        while frame is not None and frame.tb_frame.f_globals.get("__name__", "").partition(".")[0] not in _WIRE:
            before, frame = frame, frame.tb_next
        if before is not None:
            before.tb_next = None
        elif frame is not None:
            error.__traceback__ = None
        error = error.__cause__ or error.__context__
