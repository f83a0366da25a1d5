"""
Runs in: kernels, scripts. One attempt to sign in, as the one who waits for it sees it.

An attempt works by itself, in a thread or in the server; whoever waits asks :meth:`poll` a few times a second, so that
an interrupt, a cancelled task or a time-out ends the wait at once.
"""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from ._files import private_folder
from ._lock import FileLock
from ._oauth import Ask
from ._tokens import Identity, Secret
from ._way import open_browser
from .errors import LoginFailed, NativeAuthError
from .providers import PRESETS

if TYPE_CHECKING:
    from ._account import Account
    from ._clock import Clock
    from ._host import Host
    from ._pending import Pending
    from .profiles import Profile

__all__ = [
    "PREPARING",
    "Attempt",
    "ListenerAttempt",
    "Listening",
    "OwnAttempt",
    "cancelled",
    "too_late",
    "unasked",
]

PREPARING = "Preparing the sign-in"


class Attempt(Protocol):
    """A sign-in under way."""

    account: Account
    link: str  # where the person goes on; empty until it is known
    user_code: str  # what they enter there, on whichever device; empty where there is nothing to enter
    busy: str  # what it does while there is no link yet
    scan: str  # the same place with the code in it, to be scanned; empty where there is none
    why: str  # why it goes this way, in words
    takes_paste: bool  # whether the address that the browser ends on can be handed over here
    until: float  # time.monotonic() at which it ends by itself

    def poll(self) -> Identity | None:
        """Who signed in; ``None`` while nobody has. Raises why it failed."""

    def cancel(self) -> None:
        """Stop it. Whatever was stored before stays."""

    def paste(self, text: Secret) -> None:
        """
        Hand over what the person has pasted. It does not wait for what comes of it: that is for :meth:`poll`.

        Raises:
            LoginFailed: It is not what ends this sign-in, which goes on; the hint says what to paste.
        """


class OwnAttempt(ABC):
    """
    A sign-in that works in a thread of this process.

    Args:
        account: Whose.
        ask: What it asks for beyond the profile.
        timeout: Seconds until it is given up.
        clock: Both clocks.
    """

    why = ""
    busy = PREPARING
    user_code = scan = ""
    takes_paste = False
    waits_its_turn = True  # it opens a tab, or shows a code: one is enough for all who ask at once

    def __init__(self, account: Account, ask: Ask, timeout: float, clock: Clock = time) -> None:
        self.account = account
        self.link = ""
        self.until = clock.monotonic() + timeout
        self._ask = ask
        self._clock = clock
        self._cancelled = threading.Event()
        self._result: Identity | NativeAuthError | None = None
        self._over = threading.Event()

    def _start(self) -> None:
        threading.Thread(target=self._run, name="nativeauth-login", daemon=True).start()

    def poll(self) -> Identity | None:
        if not self._over.is_set():
            if self._clock.monotonic() > self.until:
                self.cancel()
                raise self._too_late()
            return None
        if isinstance(self._result, NativeAuthError):
            raise self._result
        return self._result

    def cancel(self) -> None:
        self._cancelled.set()

    def paste(self, text: Secret) -> None:  # noqa: ARG002 - this one has no use for it
        raise unasked()

    def _run(self) -> None:
        try:
            self._result = self._sign_in()
        except NativeAuthError as error:
            self._result = error
        except Exception as error:  # noqa: BLE001 - whoever waits must learn of it, without what its frames hold
            self._result = LoginFailed(f"The sign-in failed unexpectedly ({type(error).__name__}).", code="unexpected")
        finally:
            self._over.set()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[Identity | None]:
        """
        Be the only process of this person that signs in with this profile. Others that ask at once wait for it, instead
        of each opening a tab; if it ends without a login, or is killed, the next one has its turn.

        Yields:
            Who has signed in meanwhile; ``None`` if that is still to do, here.
        """
        account, before = self.account, self.account.login_id()
        if not self.waits_its_turn or self._ask != Ask():  # another sign-in does not give what is asked for beyond that
            yield None
            return

        def leave() -> bool:
            self.busy = "Another program of yours is signing in: waiting for it"
            return self._cancelled.wait(0.2) or account.login_id() not in ("", before)

        lock = FileLock(private_folder(account.folder) / f"{account.profile.name}.login.lock")
        with lock.hold(limit=max(1.0, self.until - self._clock.monotonic()), leave=leave) as mine:
            self.busy = PREPARING
            if self._cancelled.is_set():
                raise cancelled()
            yield None if mine and account.login_id() in ("", before) else account.identity()

    @abstractmethod
    def _sign_in(self) -> Identity:
        """Do all of it, in the thread."""

    def _too_late(self) -> LoginFailed:
        return too_late(self.account.profile)


class ListenerAttempt(OwnAttempt):
    """
    A sign-in through a listener of our own on this machine.

    Args:
        account: Whose.
        ask: What it asks for beyond the profile.
        timeout: Seconds until it is given up.
        browse: What opens the browser.
    """

    why = "this process listens on this machine for the answer"

    def __init__(
        self, account: Account, ask: Ask, timeout: float, browse: Callable[[str], None] = open_browser
    ) -> None:
        super().__init__(account, ask, timeout)
        self._browse = browse
        self._start()

    def _sign_in(self) -> Identity:
        with self._turn() as identity:
            return identity or self._listen()

    def _listen(self) -> Identity:
        from ._host import Host

        wait = max(1.0, self.until - time.monotonic())
        host = Host(ticket_life=wait, life=max(wait, 600.0))
        with self._listening(host) as listener:
            pending = host.begin(self.account, self._ask, listener.redirect_uri, cancelled=self._cancelled.is_set)
            if not self._cancelled.is_set():
                self._show(host, pending)
            while not pending.outcome.done():
                if self._cancelled.wait(0.1):
                    # Also while its code is being redeemed: the login is then not stored.
                    host.pending.close(pending, cancelled())
            try:
                self._result = pending.outcome.result()
            except NativeAuthError as error:
                self._result = error
            self._over.set()
            if not self._cancelled.is_set():
                listener.last_page_seen.wait(2)  # the browser is on its way to the page that says how it ended
        if isinstance(self._result, NativeAuthError):
            raise self._result
        return self._result

    def _listening(self, host: Host) -> AbstractContextManager[Listening]:
        from ._listener import Listener

        return Listener.of(host, self.account.profile)

    def _show(self, host: Host, pending: Pending) -> None:
        """Say where the person goes on."""
        self.link = host.go_address(pending)
        if not self._cancelled.is_set():
            self._browse(self.link)


class Listening(Protocol):
    """Where a browser comes back to."""

    redirect_uri: str
    last_page_seen: threading.Event


def cancelled() -> LoginFailed:
    """Nobody waits for it any more."""
    return LoginFailed("The sign-in was cancelled.", code="cancelled")


def unasked() -> LoginFailed:
    return LoginFailed("Nothing has to be pasted here.", code="paste_unasked", hint="Go on in your browser.")


def too_late(profile: Profile) -> LoginFailed:
    return LoginFailed(
        f"Nobody finished the sign-in to {profile.name!r} in time.",
        code="timeout",
        hint=f"Try again, and go on in the tab that opens. {PRESETS[profile.provider].lost_words}".strip(),
    )
