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
from .errors import LoginFailed, NativeAuthError
from .providers import PRESETS

if TYPE_CHECKING:
    from ._account import Account
    from ._exchange import Clock
    from ._oauth import Ask, AuthorizationRequest

__all__ = ["Pending", "PendingLogins", "fingerprint"]

_MOST = 16


def fingerprint(secret: str) -> str:
    """What may be kept, compared and shown of a secret: 64 hex digits of its SHA-256."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(eq=False)
class Pending:
    """
    One sign-in under way.

    Attributes:
        id: Names it to whoever may cancel it. Not a secret.
        ticket: Opens its first page, on the redirect URI's own host.
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
    bound_to: str | None = field(default=None, repr=False)
    outcome: Future[Identity] = field(default_factory=Future)

    @property
    def cookie_name(self) -> str:
        """Cookies ignore ports: only a name of its own keeps two tabs and two servers apart."""
        return f"nativeauth-{fingerprint(self.request.state.reveal())[:16]}"

    def is_bound_to(self, cookie: str | None) -> bool:
        """Whether *cookie* is the one that the first browser got."""
        return bool(cookie and self.bound_to) and hmac.compare_digest(fingerprint(cookie or ""), self.bound_to or "")


class PendingLogins:
    """
    The sign-ins under way on one host.

    Args:
        ticket_life: Seconds in which the first page must be opened.
        life: Seconds from there to the provider's answer.
        on_change: Told of each one that begins, and of each one that is over. Called without any lock held.
        clock: Both clocks.
    """

    def __init__(
        self,
        *,
        ticket_life: float,
        life: float = 600.0,
        on_change: Callable[[Pending], None] | None = None,
        clock: Clock = time,
    ) -> None:
        self._ticket_life = ticket_life
        self._life = life
        self._on_change = on_change or _nobody
        self._clock = clock
        self._lock = threading.Lock()
        self._by_state: dict[str, Pending] = {}  # by the state's fingerprint, so that a look-up leaks no timing

    def add(self, account: Account, ask: Ask, request: AuthorizationRequest) -> Pending:
        """Begin one; the oldest makes room if there are too many."""
        now = self._clock.monotonic()
        pending = Pending(
            account=account,
            ask=ask,
            request=request,
            id=secrets.token_hex(8),
            ticket=secrets.token_urlsafe(24),
            ticket_until=now + self._ticket_life,
            until=now + self._life,
            started=self._clock.time(),
        )
        self.drop_expired()
        with self._lock:
            crowd = list(self._by_state.values())
            self._by_state[fingerprint(request.state.reveal())] = pending
        for oldest in crowd[: max(0, len(crowd) + 1 - _MOST)]:
            self.close(oldest, LoginFailed("Too many sign-ins were under way at once.", code="crowded_out"))
        self._on_change(pending)
        return pending

    def all(self) -> list[Pending]:
        """Those that are still waiting, oldest first."""
        self.drop_expired()
        with self._lock:
            return list(self._by_state.values())

    def of_ticket(self, ticket: str) -> Pending | None:
        """The one that *ticket* opens, while it does."""
        now, wanted = self._clock.monotonic(), fingerprint(ticket)
        for pending in self.all():
            if hmac.compare_digest(fingerprint(pending.ticket), wanted) and now < pending.ticket_until:
                return pending
        return None

    def of_state(self, state: str) -> Pending | None:
        """The one that began with *state*."""
        self.drop_expired()
        with self._lock:
            return self._by_state.get(fingerprint(state))

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
            return self._by_state.pop(fingerprint(pending.request.state.reveal()), None) is not None

    def restart(self, pending: Pending, before: AuthorizationRequest, request: AuthorizationRequest) -> bool:
        """Let *pending* wait for the answer to *request*, no more for that to *before*. Only the first caller can."""
        with self._lock:
            if self._by_state.pop(fingerprint(before.state.reveal()), None) is None:
                return False
            pending.request, pending.bound_to = request, None
            pending.ticket, pending.ticket_until = secrets.token_urlsafe(24), self._clock.monotonic() + 60
            self._by_state[fingerprint(request.state.reveal())] = pending
        return True

    def close(self, pending: Pending, result: Identity | NativeAuthError) -> None:
        """Let everybody who waits know how it ended. The first end counts."""
        self.take(pending)
        try:
            if isinstance(result, NativeAuthError):
                # Whoever waits may show it; the frames that it came through hold the code and the cookies.
                result.__cause__ = result.__context__ = None
                pending.outcome.set_exception(result.with_traceback(None))
            else:
                pending.outcome.set_result(result)
        except InvalidStateError:
            return  # cancelled, late and answered can be the same moment
        self._on_change(pending)

    def cancel(self, pending_id: str) -> bool:
        """End the sign-in with this id. Returns whether there was one."""
        for pending in self.all():
            if pending.id == pending_id:
                self.close(pending, LoginFailed("The sign-in was cancelled.", code="cancelled"))
                return True
        return False

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
