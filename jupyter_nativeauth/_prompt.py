"""
Runs in: scripts. What a person types or pastes at the terminal while something else is waited for.

It is not shown, as a password is not: a terminal's lines are kept, recorded and shared. Nor is it read in lines, of
which a terminal cuts off what is longer than 4,095 characters.
"""

from __future__ import annotations

import os
import select
import sys
from typing import Any, Protocol

from ._tokens import Body, Secret

__all__ = ["Prompt", "open_prompt"]

_MOST = 65536  # characters, or bytes, that are kept of what comes
_BACK, _CLEAR, _END = (b"\x7f", b"\b"), b"\x15", b"\x04"  # Backspace, Ctrl-U, Ctrl-D


class Prompt(Protocol):
    """The keyboard of a terminal."""

    @property
    def length(self) -> int:
        """How many characters have come since the last Enter."""

    def read(self) -> Secret | None:
        """
        What was entered, if Enter was pressed and nothing more has come since the last look: an address that was
        pasted can have line breaks in it. It never waits.

        Raises:
            EOFError: There will be no more.
        """

    def close(self) -> None:
        """Let the terminal show again what is typed. More than once does no harm."""


def open_prompt() -> Prompt | None:
    """The prompt of this process; ``None`` if nobody can type here."""
    try:
        descriptor = sys.stdin.fileno()
        if not os.isatty(descriptor):
            return None
    except (AttributeError, OSError, ValueError):  # closed, or replaced by something that is no file
        return None
    if sys.platform == "win32":
        return _Console()
    else:
        return _Terminal(descriptor)


class _Keys:
    """Keys, as they come, and the lines that they make."""

    def __init__(self) -> None:
        self._typed = bytearray()

    @property
    def length(self) -> int:
        return len(self._typed)

    def _press(self, keys: bytes) -> None:
        for number in keys:
            key = bytes((number,))
            if key == _END and not self._typed:
                raise EOFError
            if key in _BACK:
                del self._typed[-1:]
            elif key == _CLEAR:
                self._typed.clear()
            elif len(self._typed) < _MOST:
                self._typed += key

    def _entered(self) -> Secret | None:
        if len(self._typed) < _MOST and not self._typed.endswith((b"\n", b"\r")):
            return None
        entered = Secret(self._typed.decode("utf-8", "replace"))
        self._typed.clear()
        return entered


if sys.platform == "win32":

    class _Console(_Keys):
        """The console of Windows."""

        def read(self) -> Secret | None:
            import msvcrt

            came = False
            while msvcrt.kbhit():
                came = True
                key = msvcrt.getwch()
                if key == "\x03":
                    raise KeyboardInterrupt
                if key == "\x1a":  # Ctrl-Z, the end there
                    raise EOFError
                self._press(key.encode("utf-8", "replace"))
            return None if came else self._entered()

        def close(self) -> None:
            """Nothing was changed."""

else:

    class _Terminal(_Keys):
        """A terminal of POSIX, without echo and lines. Ctrl-C stays a signal."""

        def __init__(self, descriptor: int) -> None:
            super().__init__()
            self._descriptor = descriptor
            self._before: list[Any] | None = None
            self._hide()

        def read(self) -> Secret | None:
            if not self._hide():
                return None
            came = False
            while select.select([self._descriptor], [], [], 0)[0]:
                came = True
                keys = Body(os.read(self._descriptor, 4096))
                if not keys:
                    raise EOFError
                self._press(keys)
            return None if came else self._entered()

        def close(self) -> None:
            import termios

            if self._before is not None and self._is_in_front():
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
            self._before = None

        def _hide(self) -> bool:
            """Whether we may read here now; a shell that has stopped us meanwhile has made its lines visible again."""
            import termios

            if not self._is_in_front():
                return False  # to read, or to change anything, would stop this process
            modes = termios.tcgetattr(self._descriptor)
            shown = modes[3] & (termios.ECHO | termios.ICANON)
            if shown:
                self._before = self._before or [*modes[:6], list(modes[6])]
                modes[3] &= ~(termios.ECHO | termios.ICANON)
                modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, modes)
            return True

        def _is_in_front(self) -> bool:
            try:
                return os.tcgetpgrp(self._descriptor) == os.getpgrp()
            except OSError:
                return True  # not the terminal that controls us: nobody stops us
