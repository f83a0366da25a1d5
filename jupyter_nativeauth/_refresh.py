"""
Runs in: everywhere. Renewing one account's access token: once, however many threads, processes and kernels want it.

Under the refresh lock: read again; adopt what somebody else has stored; else ask the provider and save at once, only
if the vault still holds what was sent. A waiter may leave at any time; the renewal goes on and is saved.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING

from ._current import SPACING
from ._reasons import login_required
from .errors import LoginRequired, NativeAuthError, ProviderError, ProviderUnavailable, StoreError

if TYPE_CHECKING:
    from ._account import Account
    from ._clock import Clock
    from ._tokens import AccessToken, Login
    from .vault import Vault

__all__ = ["Refresher"]

_log = logging.getLogger("jupyter_nativeauth")

_LOCK_WAIT = 30.0  # seconds; two requests at the provider's slowest, and then some
_LONGEST_PAUSE = 60.0


class Refresher:
    """
    The renewals of one account in this process.

    Args:
        account: Whose token; it reads and writes the vault.
        clock: Both clocks.
    """

    def __init__(self, account: Account, clock: Clock) -> None:
        self._account = account
        self._clock = clock
        self.forget()
        self.reset()
        _everyone.add(self)

    def reset(self) -> None:
        """Forget what belongs to threads: a forked child has none of them."""
        self._guard = threading.Lock()
        self._job: Future[AccessToken] | None = None

    def forget(self) -> None:
        """Forget what was learnt of a login that is no longer the one in the vault."""
        self._pause: tuple[float, NativeAuthError] | None = None
        self._failures = 0

    def start_unless_paused(self, rejected: AccessToken | None) -> None:
        """Renew in the background, unless the provider has just failed."""
        if self._pause is None or self._clock.monotonic() >= self._pause[0]:
            self._start(rejected)

    def wait(self, rejected: AccessToken | None) -> AccessToken:
        """
        Renew, or join the renewal that is under way, and wait for it.

        In short steps, so that an interrupt ends the wait (on Windows too), and never the renewal itself.
        """
        job = self._start(rejected)
        while True:
            try:
                return job.result(timeout=0.25)
            except TimeoutError:
                if job.done():
                    return job.result()

    def _start(self, rejected: AccessToken | None) -> Future[AccessToken]:
        with self._guard:
            if self._job is None or self._job.done():
                job: Future[AccessToken] = Future()
                job.set_running_or_notify_cancel()
                # Not a daemon: an interpreter that ends waits for the answer, at most until the request's deadline.
                thread = threading.Thread(
                    target=self._run, args=(job, rejected), name="nativeauth-refresh", daemon=False
                )
                try:
                    thread.start()
                except RuntimeError:
                    raise ProviderUnavailable("The renewal finds no thread to run in.", code="no_thread") from None
                self._job = job
            return self._job

    def _run(self, job: Future[AccessToken], rejected: AccessToken | None) -> None:
        try:
            self._until_done(job, rejected)
        except NativeAuthError as error:
            if not job.done():
                job.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - whoever waits must not wait for ever, whatever happened
            _log.error("Renewing %s failed unexpectedly: %s", self._account.profile.name, type(error).__name__)
            if not job.done():
                job.set_exception(ProviderUnavailable("The renewal failed unexpectedly.", code="unexpected"))

    def _until_done(self, job: Future[AccessToken], rejected: AccessToken | None) -> None:
        vault = self._account.store.open()
        until = self._clock.monotonic() + _LOCK_WAIT
        while not job.done():
            seen = vault.generation()

            def somebody_was_faster(seen: int = seen) -> bool:
                return vault.generation() != seen or _ending()

            left = max(0.0, until - self._clock.monotonic())
            with vault.refresh_lock.hold(limit=left, leave=somebody_was_faster) as held:
                if held:
                    self._refresh(job, vault, rejected)
                elif _ending():
                    raise ProviderUnavailable("The interpreter is ending.", code="cancelled")
                else:
                    self._take_newer(job, rejected)

    def _take_newer(self, job: Future[AccessToken], rejected: AccessToken | None) -> bool:
        """Adopt what somebody else has stored, if it serves. Raises ``LoginRequired`` if they have signed out."""
        account = self._account
        current = account.load()
        token = current.token
        if token is None or token == rejected or not account.before(current.renew_wall, current.renew_at):
            return False
        job.set_result(token)
        return True

    def _refresh(self, job: Future[AccessToken], vault: Vault, rejected: AccessToken | None) -> None:
        """One renewal, under the refresh lock. Leaves *job* undone where it is worth another look."""
        from ._exchange import renew

        account = self._account
        seen = vault.generation()
        if self._take_newer(job, rejected):
            return
        sent = account.login()
        account.require_presence()
        if sent.refresh_token is None:
            raise login_required(account.profile, "no_refresh_token")
        if self._pause is not None and self._clock.monotonic() < self._pause[0]:
            raise self._pause[1]
        try:
            newer, problem = renew(account.client, account.profile, sent, clock=self._clock)
        except ProviderUnavailable as error:
            raise self._back_off(error, at_least=error.retry_after or 0.0) from None
        except ProviderError as error:
            self._refused(sent, error)
            return
        try:
            generation = account.store.replace(sent, newer)
        except StoreError as error:
            self._keep(job, seen, sent, newer, error)
            return
        if not generation:
            account.drop(newer)  # a sign-out or another sign-in won meanwhile
            return
        if problem is not None and problem.code == "keys_rotated":
            return  # saved; another look fetches the keys, and renews once more
        if problem is not None:
            raise self._back_off(problem, at_least=SPACING)
        self._hand_out(job, newer, generation)

    def _hand_out(self, job: Future[AccessToken], login: Login, generation: int) -> None:
        # With the generation that was written, not with that of now: somebody may have signed out a moment ago.
        token = self._account.adopt(login, generation).token
        if token is not None:
            self.forget()
            job.set_result(token)

    def _refused(self, sent: Login, error: ProviderError) -> None:
        """
        The refresh token was refused. If somebody has stored another one meanwhile, that is the one to use; only if
        not, ``invalid_grant`` ends the login (RFC 6749, section 5.2). Any other refusal keeps the record.
        """
        account = self._account
        if error.code == "invalid_grant":
            try:
                ended = account.store.end(sent, "expired")
            except StoreError:
                raise self._back_off(login_required(account.profile, "expired"), at_least=SPACING) from None
            if ended:
                raise login_required(account.profile, "expired")
        elif account.login().refresh_token == sent.refresh_token:
            why = login_required(account.profile, "refused")
            words, hint = f"{why.args[0]} {error.args[0]}", f"{error.hint} {why.hint}".strip()
            raise self._back_off(LoginRequired(words, code="refused", hint=hint), at_least=SPACING)

    def _keep(self, job: Future[AccessToken], seen: int, sent: Login, newer: Login, error: StoreError) -> None:
        """
        The disk refuses what the provider has already done. Keep it in memory, and keep the lock, so that nobody else
        redeems the spent refresh token; save it as soon as the disk allows.
        """
        name = self._account.profile.name
        _log.warning("The renewed login of %s cannot be stored. It is kept in memory and stored later. %s", name, error)
        self._hand_out(job, newer, seen)
        tries_left = 5
        while tries_left:
            time.sleep(0.5)
            if _ending():
                tries_left -= 1
            try:
                saved = self._account.store.replace(sent, newer)
            except StoreError:
                continue
            if not saved:
                self._account.drop(newer)
            return

    def _back_off(self, error: NativeAuthError, *, at_least: float) -> NativeAuthError:
        """Remember *error* for a while: a provider in trouble is not helped by more requests."""
        self._failures += 1
        pause = max(min(0.5 * 2.0**self._failures, _LONGEST_PAUSE) * random.uniform(0.8, 1.2), at_least)  # noqa: S311
        self._pause = (self._clock.monotonic() + pause, error)
        return error


def _ending() -> bool:
    return not threading.main_thread().is_alive()


_everyone: weakref.WeakSet[Refresher] = weakref.WeakSet()


def _reset_in_child() -> None:
    for refresher in _everyone:
        refresher.reset()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_in_child)
