"""
Runs in: the server, scripts. One-time links: what a browser is sent for, named by a ticket that only it has seen.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any

from ._pending import fingerprint

if TYPE_CHECKING:
    from ._clock import Clock

__all__ = ["Tickets"]


class Tickets:
    """
    Errands for the browser, each for a short time, and few at once.

    Args:
        clock: Its monotonic half counts.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._errands: dict[str, tuple[float, Any]] = {}

    def issue(self, errand: object, *, life: float) -> str:
        """A new ticket for *errand*, good for *life* seconds."""
        ticket = secrets.token_urlsafe(24)
        now = self._clock.monotonic()
        with self._lock:
            alive = [(key, value) for key, value in self._errands.items() if value[0] > now]
            self._errands = dict([*alive[-31:], (fingerprint(ticket), (now + life, errand))])
        return ticket

    def look(self, ticket: str) -> Any:
        """The errand, which stays."""
        with self._lock:
            until, errand = self._errands.get(fingerprint(ticket), (0.0, None))
        return errand if self._clock.monotonic() < until else None

    def take(self, ticket: str) -> Any:
        """The errand, once."""
        with self._lock:
            until, errand = self._errands.pop(fingerprint(ticket), (0.0, None))
        return errand if self._clock.monotonic() < until else None
