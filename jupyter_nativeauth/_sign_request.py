"""
Runs in: kernels, scripts. A sign request on its way, and how to wait for its end.

A thread with an event loop of its own follows it: the socket says when to look, and the record what has happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Generator
from concurrent import futures
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import httpx

from ._front_end import front_end
from ._payload import Asked
from ._payload_api import address, call, read, unreachable
from ._payload_record import Created, Event, Signed, deep_links, read_cancelled, read_final
from ._payload_socket import Pace, listen
from ._session import get_async_session, get_session
from ._words import left
from .errors import NativeAuthError, NotSigned, ProviderUnavailable

if TYPE_CHECKING:
    from ._account import Account

__all__ = ["SignRequest"]

_TICK = 0.2  # seconds; an interrupt ends the wait within one of them
_GRACE = 5.0  # seconds after its time is over until we believe it without having been told
_PATIENCE = 300.0  # seconds beyond its time in which whoever has it open can decide: it must only be *opened* in time


class SignRequest:
    """
    A sign request on its way: wait with :meth:`result`, or ``await`` it.

    :func:`jupyter_nativeauth.xumm.sign_request` makes it.

    Attributes:
        uuid: Its name at the service.
        link: The page that shows its QR code, and that a phone opens in the app.
        deep_links: All addresses that open it in the app on this very device.
        pushed: Whether the service has told the phone of it.
    """

    def __init__(self, account: Account, asked: Asked, created: Created, *, pace: Pace = Pace()) -> None:  # noqa: B008
        self.uuid, self.link, self.pushed = created.uuid, created.link, created.pushed
        self.deep_links = deep_links(created)
        self.account = account
        self._asked, self._created, self._pace = asked, created, pace
        self._url = f"{address(account.profile)}/{created.uuid}"
        self._step = "waiting"
        self._until = time.monotonic() + 60.0 * asked.minutes
        self._waiting = 0
        self._outcome: Future[Signed] = Future()
        self._outcome.set_running_or_notify_cancel()
        self._nudge: Any = None
        threading.Thread(target=self._run, name="nativeauth-sign", daemon=True).start()

    def __repr__(self) -> str:
        return f"<SignRequest {self.uuid} {self.state}>"

    @property
    def state(self) -> str:
        """
        ``waiting``, ``opened``, ``signing`` or ``sent`` on the way; at the end ``signed``, or why not: ``rejected``,
        ``expired``, ``cancelled``, ``other_account`` ... On the way it is what the service tells, and no proof.
        """
        if not self._outcome.done():
            return self._step
        error = self._outcome.exception()
        return "signed" if error is None else getattr(error, "code", "failed")

    @property
    def seconds_left(self) -> float:
        """How long it can still be opened."""
        return max(0.0, self._until - time.monotonic())

    @property
    def is_waited_for(self) -> bool:
        """Whether a cell waits for it just now: then only an interrupt can cancel it."""
        return self._waiting > 0

    def done(self) -> bool:
        """Whether it is over."""
        return self._outcome.done()

    def result(self, timeout: float | None = None) -> Signed:
        """
        Wait for the signature. An interrupt cancels the request, as far as nobody has opened it yet.

        Args:
            timeout: Seconds to wait. Unless given, as long as it can be opened, and five minutes more for whoever has.

        Raises:
            NotSigned: It was rejected, cancelled or not opened in time, or *timeout* is over (then it stays open).
            LoginRequired: The login ended meanwhile.
            ProviderError, ProviderUnavailable: The service does not say how it ended.
        """
        end = None if timeout is None else time.monotonic() + timeout
        view = _Line(self)
        self._waiting += 1
        try:
            while not self._outcome.done():
                left_over = _TICK if end is None else end - time.monotonic()
                if left_over <= 0:
                    raise _still_open()
                view.tick()
                futures.wait([self._outcome], min(_TICK, left_over))
        except KeyboardInterrupt:
            gone = False
            with contextlib.suppress(NativeAuthError):
                gone = self.cancel()
            view.say("Cancelled. Nobody can sign it now." if gone else "Not cancelled: reject it on the phone.")
            raise
        finally:
            self._waiting -= 1
            view.close()
        return self._outcome.result()

    def __await__(self) -> Generator[Any, None, Signed]:
        return self._awaited().__await__()

    async def _awaited(self) -> Signed:
        self._waiting += 1
        try:
            # Shielded: whoever stops waiting has not said that nobody shall sign.
            return await asyncio.shield(asyncio.wrap_future(self._outcome))
        finally:
            self._waiting -= 1

    def cancel(self) -> bool:
        """
        Take the request back.

        Returns:
            Whether it is gone. ``False`` if somebody has opened it already: then only the phone can reject it.

        Raises:
            LoginRequired, ProviderError, ProviderUnavailable: The service did not say.
        """
        if self._outcome.done():
            return self.state == "cancelled"
        with get_session(self.account.profile) as session:
            reason = read_cancelled(call(session, "DELETE", self._url, self.account))
        if not reason or reason == "ALREADY_CANCELLED":
            self._end(NotSigned("The request was cancelled.", code="cancelled"))
        self._look_now()
        return not reason or self.state == "cancelled"

    # What follows it to its end, in a thread with a loop of its own

    def _run(self) -> None:
        try:
            self._end(asyncio.run(self._follow()))
        except NativeAuthError as error:
            self._end(error)
        except BaseException as error:  # noqa: BLE001 - whoever waits must learn of it
            self._end(NotSigned(f"Following the request failed unexpectedly ({type(error).__name__}).", code="failed"))

    async def _follow(self) -> Signed | NotSigned:
        events: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def nudge() -> None:
            with contextlib.suppress(RuntimeError):  # it is over
                loop.call_soon_threadsafe(events.put_nowait, Event(look=True))

        self._nudge = nudge
        socket = self._created.socket
        listening = asyncio.create_task(
            listen(socket, events.put_nowait, pace=self._pace, ca_bundle=self.account.profile.ca_bundle)
        )
        try:
            async with get_async_session(self.account.profile) as session:
                while not self._outcome.done():
                    try:
                        async with asyncio.timeout(self._patience()):
                            event = await events.get()
                    except TimeoutError:
                        return await self._last_look(session)
                    if event.seconds is not None:
                        self._until = time.monotonic() + event.seconds
                    self._step = event.step or self._step
                    if event.look:
                        try:
                            found = await self._look(session)
                        except ProviderUnavailable:
                            loop.call_later(self._pace.pause, events.put_nowait, Event(look=True))
                        else:
                            if not isinstance(found, bool):
                                return found
        finally:
            listening.cancel()
        return NotSigned("The request was cancelled.", code="cancelled")

    def _patience(self) -> float:
        more = _GRACE if self._step == "waiting" else _PATIENCE
        return max(0.0, self._until + more - time.monotonic())

    async def _look(self, session: httpx.AsyncClient) -> Signed | NotSigned | bool:
        """How it stands by the service's own record: the only thing that counts."""
        try:
            response = await session.get(self._url)
        except httpx.HTTPError as error:
            failure = unreachable(self.account, error)
        else:
            who = self.account.profile.name
            found = read_final(read(response, self.account), self.uuid, self._asked, who=who)
            if found is True and self._step == "waiting":
                self._step = "opened"
            return found
        raise failure

    async def _last_look(self, session: httpx.AsyncClient) -> Signed | NotSigned:
        found = await self._look(session)
        if not isinstance(found, bool):
            return found
        if not found:
            return NotSigned("Nobody opened the request in time.", code="expired", hint="Make a new one.")
        return NotSigned(
            "The request was opened on a phone, and nobody decided.",
            code="timeout",
            hint="It may still be signed there. Look it up at the service before you make a new one.",
        )

    def _look_now(self) -> None:
        if self._nudge is not None:
            self._nudge()

    def _end(self, outcome: Signed | NativeAuthError) -> None:
        with contextlib.suppress(Exception):  # somebody was faster: the first outcome counts
            if isinstance(outcome, Signed):
                self._outcome.set_result(outcome)
            else:
                self._outcome.set_exception(outcome)


def _still_open() -> NotSigned:
    return NotSigned(
        "Nobody has signed yet.",
        code="timeout",
        hint="The request is still open: wait again with `.result()`, or take it back with `.cancel()`.",
    )


class _Line:
    """Outside of notebooks: what becomes of the wait, and on a terminal the time that is left."""

    def __init__(self, request: SignRequest) -> None:
        self._request = request
        self._speaks = front_end() != "notebook"
        self._live = self._speaks and sys.stderr.isatty()
        self._shown = ""

    def tick(self) -> None:
        words = "open on a phone" if self._request.state != "waiting" else left(self._request.seconds_left)
        if self._live and words != self._shown:
            self._shown = words
            self._write(f"\r\x1b[KWaiting for your signature: {words} (Ctrl-C cancels) ")

    def say(self, words: str) -> None:
        self.close()
        if self._speaks:
            self._write(f"{words}\n")

    def close(self) -> None:
        if self._shown:
            self._shown = ""
            self._write("\r\x1b[K")

    @staticmethod
    def _write(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
