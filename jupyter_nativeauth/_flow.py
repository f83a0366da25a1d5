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
from .profiles import Profile

__all__ = ["Flow"]

_HEADER = "authorization"
_WIRE = ("httpcore", "httpcore2")  # what writes the header to the network; below it, variables hold the bare token


class Flow(BearerAuth):
    """
    The two flows of an ``Auth`` class.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.
    """

    replayable: type[Any]  # the library's class of bodies that can be sent a second time

    def __init__(self, profile: str | Profile | None = None) -> None:
        super().__init__(profile)
        self._places: set[tuple[bytes, bytes, bytes]] = set()

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
        self._check(request.url)
        token = self._bearer.account.access_token()
        for last in (False, True):
            request.headers[_HEADER] = Bearer.header(token)
            try:
                response = yield request
            except BaseException:
                _unsign(request)
                raise
            sent = _scrub(response, request)
            if response.status_code < 400:
                return
            if sent is not None and self._bearer.has_to_read(response.status_code):
                response.read()
            if not self._is_rejected(sent, response) or last:
                return
            newer = self._bearer.account.access_token(rejected=token)
            if newer == token or not isinstance(sent.stream, self.replayable):
                return  # a body that was streamed is used up: it cannot honestly be sent again
            self._check(sent.url)
            response.read()
            request, token = sent, newer

    async def _async(self, request: Any) -> AsyncGenerator[Any, Any]:
        if _is_signed(request):
            yield request
            return
        self._check(request.url)
        token = await self._token(None)
        for last in (False, True):
            request.headers[_HEADER] = Bearer.header(token)
            try:
                response = yield request
            except BaseException:
                _unsign(request)
                raise
            sent = _scrub(response, request)
            if response.status_code < 400:
                return
            if sent is not None and self._bearer.has_to_read(response.status_code):
                await response.aread()
            if not self._is_rejected(sent, response) or last:
                return
            newer = await self._token(token)
            if newer == token or not isinstance(sent.stream, self.replayable):
                return  # a body that was streamed is used up: it cannot honestly be sent again
            self._check(sent.url)
            await response.aread()
            request, token = sent, newer

    def _check(self, url: Any) -> None:
        """Looked at closely once for each place: nothing but these three decides where the library connects to."""
        place = (url.raw_scheme, url.netloc, url.userinfo)
        if place not in self._places:
            self._bearer.check(str(url))
            self._places.add(place)

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
    return _HEADER in request.headers


def _unsign(request: Any) -> bool:
    """Take the access token off *request*, which outlives its use in responses, errors and logs. Was it there?"""
    try:
        del request.headers[_HEADER]
    except KeyError:
        return False
    return True


def _scrub(response: Any, request: Any = None) -> Any:
    """
    A response is often shown, logged or stored; its requests, redirects included, forget the token. So does *request*.

    Returns:
        The last of them, if it carried the token.
    """
    last = response.request
    signed = _unsign(last)
    if request is not None and request is not last:
        _unsign(request)
    for answered in (*response.history, response):
        if answered.request is not last:
            _unsign(answered.request)
        if answered.next_request is not None:
            _unsign(answered.next_request)
    return last if signed else None


def _forget(error: BaseException | None) -> None:
    """Take the access token out of *error*: off its request, and out of the variables of its traceback's frames."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        if (request := getattr(error, "_request", None)) is not None:
            _unsign(request)
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
