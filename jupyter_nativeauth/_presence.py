"""
Runs in: everywhere. The presence gate: somebody at this device has to confirm that it is them (``presence``).

    Presence.confirm    asks them, and remembers when; only what a person has just asked for calls it
    Presence.left       how long that lasts; it never asks

A gate for people, not encryption: whoever runs code as this person passes it (docs/presence.md). The last confirmation
is in the memory of the Jupyter server, which its kernels ask through the key agent, or else of this process; no file.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ._agent_wire import ask_agent, same_error
from ._door import Door
from .errors import LoginFailed, StoreError

if TYPE_CHECKING:
    from ._clock import Clock

__all__ = ["LASTS", "Presence", "open_door"]

LASTS = 3600.0  # seconds for which a confirmation is good, for `presence = "hourly"`
LIMIT = 60.0  # seconds that a person has for it


def open_door() -> Door:
    """This machine's door. Whether it opens shows when it is used."""
    if sys.platform == "darwin":
        from ._local_authentication import LocalAuthentication

        return LocalAuthentication()
    if sys.platform == "win32":
        from ._windows_hello import WindowsHello

        return WindowsHello()
    from ._polkit import Polkit

    return Polkit()


class Presence:
    """
    Whether somebody has confirmed that it is them, and when. Make one for each process and share it.

    Args:
        agent: The key agent of the Jupyter server, which then asks and remembers; empty in the server and in scripts.
        opener: Opens another door than this machine's, for tests.
        clock: Both clocks: neither a computer that sleeps nor one whose clock is set makes an hour longer.
        limit: Seconds that a person has.

    Example:
        >>> Presence().left()                        # nobody has confirmed anything yet
        0.0
    """

    def __init__(
        self,
        *,
        agent: str = "",
        opener: Callable[[], Door] = open_door,
        clock: Clock = time,
        limit: float = LIMIT,
    ) -> None:
        self.on_confirm: Callable[[], None] = lambda: None  # called after each yes, in whatever thread
        self._agent = agent
        self._opener = opener
        self._clock = clock
        self._limit = limit
        self._confirmed: tuple[float, float] | None = None
        self._asking = threading.Lock()
        self._closed = threading.Event()

    def left(self) -> float:
        """Seconds for which the last confirmation is still good; 0 if there is none. It asks nobody at the device."""
        told = self._ask_server({"ask": "presence"})
        return self._own_left() if told is None else told

    def confirm(self, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """
        Ask the person at the device, however short ago they were asked, and wait for their answer.

        Args:
            cancelled: Whether nobody waits for it any more.

        Raises:
            LoginFailed: ``presence_denied``: they said no. ``presence_timeout``: they did not answer.
                ``presence_busy``: they are being asked already. ``presence_unavailable``: there is no way to ask them
                here; the hint says what is missing. ``cancelled``.
        """
        if self._ask_server({"ask": "confirm"}, limit=self._limit + 5) is not None:
            return
        if not self._asking.acquire(blocking=False):
            raise LoginFailed(
                "Your computer is asking already whether it is you.",
                code="presence_busy",
                hint="Answer it there first; its window may be behind this one.",
            )
        try:
            self._opener().ask(limit=self._limit, cancelled=lambda: cancelled() or self._closed.is_set())
            self._confirmed = self._clock.time(), self._clock.monotonic()
        finally:
            self._asking.release()
        self.on_confirm()

    def check(self) -> str:
        """
        Whether somebody could be asked, and by what.

        Raises:
            LoginFailed: Nobody could (``presence_unavailable``).
        """
        door = self._opener()
        door.check()
        return door.label

    def close(self) -> None:
        """Take back a question that is open: this process ends."""
        self._closed.set()

    def _own_left(self) -> float:
        if self._confirmed is None:
            return 0.0
        since = self._clock.time() - self._confirmed[0], self._clock.monotonic() - self._confirmed[1]
        return max(0.0, LASTS - max(since)) if min(since) >= 0 else 0.0

    def _ask_server(self, question: Mapping[str, object], **options: Any) -> float | None:
        """What the Jupyter server says; ``None`` if there is none, or it does not know the question."""
        if not self._agent:
            return None
        try:
            answer = ask_agent(self._agent, question, **options)
            if isinstance(error := answer.get("error"), dict):
                raise same_error(error)
        except StoreError:
            return None
        told = answer.get("left")
        return float(told) if isinstance(told, int | float) else None
