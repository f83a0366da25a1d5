"""
Runs in: kernels, scripts. Sign requests for the Xaman app (formerly Xumm): the phone signs, and this waits for it.

>>> from jupyter_nativeauth.xumm import sign_request
>>> request = sign_request("wallet", {"TransactionType": "SignIn"})  # doctest: +SKIP
>>> request.result().account                                         # doctest: +SKIP
'rEXAMPLE...'
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import httpx

from ._accounts import accounts
from ._login import front_end
from ._markup import plain
from ._payload import (
    Asked,
    Created,
    Event,
    Signed,
    deep_links,
    payload_body,
    read_answer,
    read_cancelled,
    read_created,
    read_final,
    summary,
)
from ._payload_socket import Pace, listen
from ._session import get_async_session, get_session
from ._words import left
from .errors import ConfigError, NativeAuthError, NotSigned, ProviderUnavailable
from .profiles import Profile
from .providers import PRESETS

if TYPE_CHECKING:
    from ._account import Account

__all__ = ["SignRequest", "Signed", "sign_request"]

_TICK = 0.2  # seconds; an interrupt ends the wait within one of them
_GRACE = 5.0  # seconds after its time is over until we believe it without having been told
_PATIENCE = 300.0  # seconds beyond its time in which whoever has it open can decide: it must only be *opened* in time


def sign_request(
    profile: str | Profile | None,
    transaction: Mapping[str, Any] | str,
    *,
    submit: bool = True,
    expire: int = 5,
    signers: Sequence[str] | None = None,
    force_network: str | None = None,
    multisign: bool = False,
    return_url: str | Mapping[str, str] | None = None,
    identifier: str | None = None,
    instruction: str | None = None,
    blob: Mapping[str, Any] | None = None,
    show: bool = True,
) -> SignRequest:
    """
    Ask the person to sign a transaction with the Xaman app.

    It is pushed to the phone of whoever is signed in. In a notebook a panel with a QR code shows how it stands, in a
    terminal a QR code of blocks. It comes back at once: wait with ``.result()`` or ``await``.

    Args:
        profile: A profile of the provider ``xumm``: its name, a :class:`Profile`, or ``None`` for the default one.
        transaction: A transaction's template, such as ``{"TransactionType": "SignIn"}``, or a serialised transaction
            in hex. The app fills in account, fee and sequence.
        submit: Whether the app sends the signed transaction to the ledger.
        expire: Minutes in which it must be opened on the phone.
        signers: The accounts that may sign; only the one that is signed in unless given.
        force_network: The network to sign on, such as ``"TESTNET"``; the profile's ``force_network`` unless given.
        multisign: Whether it is one of several signatures.
        return_url: Where the person goes on afterwards: an address, or ``{"web": ..., "app": ...}``. The service puts
            in ``{id}``, ``{cid}``, ``{txid}`` and ``{txblob}``. An address of this machine is for the browser only.
        identifier: Your own name for it, at most once; it comes back as ``Signed.identifier``.
        instruction: What the phone shows with it.
        blob: Data of yours that the service keeps with it.
        show: Whether to show the panel or the code.

    Raises:
        LoginRequired: Nobody is signed in, or the login is over.
        ConfigError: The profile cannot sign, or an argument is wrong.
        ProviderError: The service did not take it.
        ProviderUnavailable: The service gave no usable answer.

    Example:
        >>> payment = {"TransactionType": "Payment", "Destination": "rEXAMPLE...", "Amount": "1000000"}
        >>> sign_request("wallet", payment, expire=2).result(timeout=120)  # doctest: +SKIP
        Signed(uuid=..., account='rEXAMPLE...', txid=..., network='MAINNET', result='tesSUCCESS', ...)

    Sources:
        https://docs.xaman.dev/concepts/payloads-sign-requests
    """
    account = accounts().get(profile)
    api = _api(account.profile)
    asked = payload_body(
        transaction,
        subject=account.identity().subject,
        submit=submit,
        minutes=expire,
        signers=signers,
        network=(force_network or account.profile.options.get("force_network", "")).upper(),
        multisign=multisign,
        return_url=return_url,
        identifier=identifier,
        instruction=instruction,
        blob=blob,
    )
    with get_session(account.profile) as session:
        created = read_created(_call(session, "POST", api, account, json=asked.body), who=account.profile.name)
    request = SignRequest(account, asked, created)
    if show:
        says = (("Message", instruction),) if instruction else ()
        _show(request, (*summary(transaction), *says))
    return request


def _api(profile: Profile) -> str:
    """The address of the API that takes sign requests: the service's own, wherever it stands in the profile's list."""
    preset = PRESETS[profile.provider]
    if not preset.sign_requests:
        able = " or ".join(f'"{name}"' for name, preset in PRESETS.items() if preset.sign_requests)
        raise ConfigError(
            f"The profile {profile.name!r} cannot ask for signatures: its provider must be {able}.", code="no_signing"
        )
    own = preset.api[0] if preset.api[0] in profile.api else profile.base_url
    return f"{own}{preset.sign_requests}"


def _call(session: httpx.Client, method: str, url: str, account: Account, **content: Any) -> dict[str, Any]:
    try:
        response = session.request(method, url, **content)
    except httpx.HTTPError as error:
        failure = _unreachable(account, error)
    else:
        return _read(response, account)
    raise failure


def _read(response: httpx.Response, account: Account) -> dict[str, Any]:
    wait = response.headers.get("retry-after", "")
    return read_answer(
        response.status_code,
        response.content,
        who=account.profile.name,
        retry_after=float(wait[:9]) if wait.isdecimal() else None,
    )


def _unreachable(account: Account, error: Exception) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"The service of {account.profile.name!r} could not be reached ({type(error).__name__}).",
        code="network",
        hint="Try again in a moment.",
    )


class SignRequest:
    """
    A sign request on its way. :func:`sign_request` makes it; wait with :meth:`result`, or ``await`` it.

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
        self._url = f"{_api(account.profile)}/{created.uuid}"
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
            reason = read_cancelled(_call(session, "DELETE", self._url, self.account))
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
            failure = _unreachable(self.account, error)
        else:
            who = self.account.profile.name
            found = read_final(_read(response, self.account), self.uuid, self._asked, who=who)
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


def _show(request: SignRequest, about: tuple[tuple[str, str], ...]) -> None:
    if front_end() == "notebook":
        from ._payload_panel import show_panel

        show_panel(request, about)
        return
    (_, kind), *rest = about
    what = plain(", ".join((kind, *(f"{label} {value}" for label, value in rest))))
    lines = [f"Sign with the Xaman app: {what}", "", f"  {request.link}", ""]
    if sys.stderr.isatty():
        from ._qr import qr_blocks

        lines[2:2] = [qr_blocks(request.link), ""]
    if request.pushed:
        lines.append("It was also sent to your phone.")
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()


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
