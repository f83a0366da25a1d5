"""
Runs in: the server, scripts. Sign-ins that have begun and are not over: few, short-lived, and bound to one browser.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ._tokens import Identity
from .errors import ConfigError, LoginFailed, NativeAuthError
from .providers import PRESETS

if TYPE_CHECKING:
    from ._account import Account
    from ._clock import Clock
    from ._oauth import Ask, AuthorizationRequest

__all__ = ["Pending", "PendingLogins", "address", "fingerprint"]

_MOST = 16
_LONGEST = 600.0  # seconds


def fingerprint(secret: str) -> str:
    """What may be kept, compared and shown of a secret: 64 hex digits of its SHA-256."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def address(redirect_uri: str, route: str) -> str:
    """
    The address of another of our routes, on the redirect URI's own host (only there the browser shows its cookie).

    Raises:
        ConfigError: The redirect URI is not one of our callback route.

    Example:
        >>> address("http://127.0.0.1:8888/lab/nativeauth/callback", "go/abc")
        'http://127.0.0.1:8888/lab/nativeauth/go/abc'
    """
    base, found, _ = redirect_uri.partition("/nativeauth/callback")
    if not found:
        raise ConfigError(f"`redirect_uri` is {redirect_uri!r}; it must end in /nativeauth/callback.")
    return f"{base}/nativeauth/{route}"


@dataclass(eq=False)
class Pending:
    """
    One sign-in under way.

    Attributes:
        id: Names it to whoever may cancel it. Not a secret.
        ticket: Opens its first page, on the redirect URI's own host.
        home: A page that begins such a sign-in anew, for people who are signed in to Jupyter; empty if there is none.
        entry: Where our pages are for its browser, if the redirect URI leads elsewhere: its person then pastes the
            address back on which the browser ends.
        base: Where our pages are for a browser that was sent to the redirect URI, if a hub leads it on from there.
        direct: Whether its person was sent to the provider without a page of ours, which alone could bind a browser.
        outcome: Who signed in, or why nobody did.
    """

    account: Account
    ask: Ask
    request: AuthorizationRequest = field(repr=False)
    id: str
    ticket: str = field(repr=False)
    ticket_until: float  # monotonic, in seconds
    until: float  # monotonic, in seconds
    started: float  # seconds since the epoch
    ends: float  # seconds since the epoch; `until` for people
    home: str = ""
    entry: str = ""
    base: str = ""
    direct: bool = False
    answered: bool = False  # the provider's answer has come, and was one
    bound_to: str | None = field(default=None, repr=False)
    outcome: Future[Identity] = field(default_factory=Future)

    @property
    def cookie_name(self) -> str:
        """Cookies ignore ports: only a name of its own keeps two tabs and two servers apart."""
        return f"nativeauth-{fingerprint(self.request.state.reveal())[:16]}"

    def page(self, route: str) -> str:
        """The address of another of our routes, for its browser."""
        return f"{self.entry}{route}" if self.entry else self.back(route)

    def back(self, route: str) -> str:
        """The same, for a browser that has come back to the redirect URI."""
        return f"{self.base}{route}" if self.base else address(self.request.redirect_uri, route)

    def is_bound_to(self, cookie: str | None) -> bool:
        """Whether *cookie* is the one that the first browser got."""
        return bool(cookie and self.bound_to) and hmac.compare_digest(fingerprint(cookie or ""), self.bound_to or "")


class PendingLogins:
    """
    The sign-ins under way on one host.

    Args:
        ticket_life: Seconds in which the first page must be opened.
        life: Seconds in which the provider's answer must come; ``None`` for the profile's ``timeout``, and ten minutes
            at most.
        on_change: Told of each one that begins, and of each one that is over. Called without any lock held.
        clock: Both clocks.
    """

    def __init__(
        self,
        *,
        ticket_life: float,
        life: float | None = None,
        on_change: Callable[[Pending], None] | None = None,
        clock: Clock = time,
    ) -> None:
        self._ticket_life = ticket_life
        self._life = life
        self._on_change = on_change or _nobody
        self._clock = clock
        self._lock = threading.Lock()
        self._by_state: dict[str, Pending] = {}  # by the state's fingerprint, so that a look-up leaks no timing
        self._open: dict[str, Pending] = {}  # by id: also those whose answer is being looked at
        self._failed: dict[str, Pending] = {}  # by profile
        self._late: list[Pending] = []  # the last that failed, for pages that come too late

    def add(
        self,
        account: Account,
        ask: Ask,
        request: AuthorizationRequest,
        *,
        home: str = "",
        entry: str = "",
        base: str = "",
    ) -> Pending:
        """Begin one; the oldest makes room if there are too many."""
        now, started = self._clock.monotonic(), self._clock.time()
        life = min(_LONGEST, account.profile.timeout) if self._life is None else self._life
        pending = Pending(
            account=account,
            ask=ask,
            request=request,
            id=secrets.token_hex(8),
            ticket=secrets.token_urlsafe(24),
            ticket_until=now + (life if entry else self._ticket_life),  # its link waits on a page of its person's own
            until=now + life,
            started=started,
            ends=started + life,
            home=home,
            entry=entry,
            base=base,
        )
        self.drop_expired()
        with self._lock:
            crowd = list(self._by_state.values())
            self._by_state[fingerprint(request.state.reveal())] = self._open[pending.id] = pending
            self._failed.pop(account.profile.name, None)
        for oldest in crowd[: max(0, len(crowd) + 1 - _MOST)]:
            self.close(oldest, LoginFailed("Too many sign-ins were under way at once.", code="crowded_out"))
        self._on_change(pending)
        return pending

    def all(self) -> list[Pending]:
        """Those that are not over, oldest first: no answer has come yet, or it is being looked at."""
        self.drop_expired()
        with self._lock:
            return list(self._open.values())

    @property
    def is_idle(self) -> bool:
        """Whether there is none. Only a look: it ends nothing, and takes no lock."""
        return not self._open

    def of_ticket(self, ticket: str) -> Pending | None:
        """The one that *ticket* opens, while it does."""
        self.drop_expired()
        now, wanted = self._clock.monotonic(), fingerprint(ticket)
        with self._lock:
            waiting = list(self._by_state.values())
        for pending in waiting:
            if hmac.compare_digest(fingerprint(pending.ticket), wanted) and now < pending.ticket_until:
                return pending
        return None

    def of_state(self, state: str) -> Pending | None:
        """The one that began with *state*."""
        self.drop_expired()
        with self._lock:
            return self._by_state.get(fingerprint(state))

    def of_id(self, pending_id: str) -> Pending | None:
        """The one with this id that is not over."""
        return next((one for one in self.all() if one.id == pending_id), None)

    def of_profile(self, name: str) -> Pending | None:
        """The newest one of this profile that is not over."""
        return next((one for one in reversed(self.all()) if one.account.profile.name == name), None)

    def failure_of(self, name: str) -> Pending | None:
        """The last one of this profile, if it failed, nobody wanted it to, and nobody has dismissed it."""
        self.drop_expired()
        with self._lock:
            return self._failed.get(name)

    def is_superseded(self, pending: Pending) -> bool:
        """Whether a newer one of its profile goes on: how that one ends is what counts."""
        newest = self.of_profile(pending.account.profile.name)
        return newest is not None and newest.started > pending.started

    def too_late(self, *, ticket: str = "", state: str = "") -> Pending | None:
        """
        The one that *ticket* or *state* belonged to, of those that have failed lately, or are not over.

        With *state* only one that the provider's answer has not reached in time.
        """
        wanted = fingerprint(ticket or state)
        with self._lock:
            known = [*self._late, *self._open.values()]
        for pending in known:
            mark = fingerprint(pending.ticket if ticket else pending.request.state.reveal())
            if hmac.compare_digest(mark, wanted) and (ticket or not pending.answered):
                return pending
        return None

    def bind(self, pending: Pending, cookie: str | None) -> str | None:
        """
        Bind *pending* to the browser that asks first.

        Returns:
            The cookie that the browser must show at the callback; ``None`` for a second browser.
        """
        with self._lock:
            if pending.bound_to is None:
                cookie = secrets.token_urlsafe(32)
                pending.bound_to = fingerprint(cookie)
                return cookie
        return cookie if pending.is_bound_to(cookie) else None

    def take(self, pending: Pending) -> bool:
        """Take it out, before its code is used. Only the first caller gets ``True``."""
        with self._lock:
            taken = self._by_state.pop(fingerprint(pending.request.state.reveal()), None) is not None
            pending.answered = pending.answered or taken
            return taken

    def restart(self, pending: Pending, before: AuthorizationRequest, request: AuthorizationRequest) -> bool:
        """Let *pending* wait for the answer to *request*, no more for that to *before*. Only the first caller can."""
        with self._lock:
            if self._by_state.pop(fingerprint(before.state.reveal()), None) is None:
                return False
            pending.request, pending.bound_to = request, None
            pending.ticket = secrets.token_urlsafe(24)
            pending.ticket_until = pending.until if pending.entry else self._clock.monotonic() + 60
            self._by_state[fingerprint(request.state.reveal())] = pending
        return True

    def close(self, pending: Pending, result: Identity | NativeAuthError) -> None:
        """Let everybody who waits know how it ended. The first end counts."""
        with self._lock:
            self._by_state.pop(fingerprint(pending.request.state.reveal()), None)
            self._open.pop(pending.id, None)
        try:
            if isinstance(result, NativeAuthError):
                # Whoever waits may show it; the frames that it came through hold the code and the cookies.
                result.__cause__ = result.__context__ = None
                pending.outcome.set_exception(result.with_traceback(None))
            else:
                pending.outcome.set_result(result)
        except InvalidStateError:
            return  # cancelled, late and answered can be the same moment
        name = pending.account.profile.name
        counts = isinstance(result, NativeAuthError) and result.code != "cancelled" and not self.is_superseded(pending)
        with self._lock:
            if counts:
                self._failed[name] = pending
            if isinstance(result, NativeAuthError):
                self._late = [*self._late[1 - _MOST :], pending]
            else:
                self._failed.pop(name, None)
        self._on_change(pending)

    def cancel(self, pending_id: str) -> Pending | None:
        """End the sign-in with this id, or forget that it failed. Returns it, if there was one."""
        self.drop_expired()
        with self._lock:
            pending = self._open.get(pending_id)
            failed = next((one for one in self._failed.values() if one.id == pending_id), None)
            if failed is not None:
                del self._failed[failed.account.profile.name]
        if pending is not None:
            self.close(pending, LoginFailed("The sign-in was cancelled.", code="cancelled"))
        return pending or failed

    def close_older(self, newer: Pending) -> None:
        """*newer* takes the place of all that were begun before it for the same profile."""
        with self._lock:
            waiting = list(self._by_state.values())
        older = waiting[: waiting.index(newer)] if newer in waiting else []
        for pending in older:
            if pending.account.profile.name == newer.account.profile.name:
                self.close(pending, LoginFailed("Another sign-in took the place of this one.", code="cancelled"))

    def drop_expired(self) -> None:
        """End those that nobody has finished in time."""
        now = self._clock.monotonic()
        with self._lock:
            late = [pending for pending in self._by_state.values() if now >= pending.until]
        for pending in late:
            lost = PRESETS[pending.request.profile.provider].lost_words if pending.bound_to is not None else ""
            hint = f"Try again. {lost}".strip()
            self.close(pending, LoginFailed("Nobody finished the sign-in in time.", code="timeout", hint=hint))


def _nobody(_: Pending) -> None:
    """Told of changes when nobody wants to know."""
