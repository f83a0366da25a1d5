"""
Runs in: everywhere. The doors of the presence gate: what all of them promise and say, whatever system they ask.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from .errors import LoginFailed

__all__ = ["Door", "denied", "unavailable", "wait"]

_LOOK = 0.2  # seconds between two looks whether somebody still waits


class Door(Protocol):
    """
    How this operating system asks the person at the device.

    Attributes:
        label: What it is called.
    """

    label: str

    def check(self) -> None:
        """
        Whether it could ask, as far as can be told without asking.

        Raises:
            LoginFailed: It could not (``presence_unavailable``); says what to do.
        """

    def ask(self, *, limit: float, cancelled: Callable[[], bool]) -> None:
        """
        Ask, and wait for the answer. A question that nobody waits for any more is taken back.

        Args:
            limit: Seconds to wait.
            cancelled: Whether nobody waits for it any more; looked at a few times a second.

        Raises:
            LoginFailed: ``presence_denied``, ``presence_timeout``, ``presence_unavailable`` or ``cancelled``.
        """


def wait(look: Callable[[float], bool], *, limit: float, cancelled: Callable[[], bool]) -> None:
    """
    Wait until *look* says that there is an answer; it is handed the seconds for which it may wait itself.

    Raises:
        LoginFailed: ``presence_timeout`` or ``cancelled``.
    """
    until = time.monotonic() + limit
    while not look(min(_LOOK, max(0.0, until - time.monotonic()))):
        if cancelled():
            raise LoginFailed("The sign-in was cancelled.", code="cancelled")
        if time.monotonic() >= until:
            raise LoginFailed(
                f"Nobody confirmed within {limit:g} seconds that it is you.",
                code="presence_timeout",
                hint="Try again, and look for the window that asks; it may be behind others.",
            )


def denied(message: str = "It was not confirmed that it is you.") -> LoginFailed:
    """The answer is no."""
    return LoginFailed(message, code="presence_denied", hint="Try again, and answer the question.")


def unavailable(message: str, hint: str) -> LoginFailed:
    """There is no way to ask. Whoever has no other remedy can do without the gate; it is never passed over."""
    hint = f"{hint} Or remove `presence` from the profile in nativeauth.toml."
    return LoginFailed(message, code="presence_unavailable", hint=hint)
