"""
Runs in: the tests. A real terminal (a pseudo-terminal that controls its program), with a person who reads and types.

Example:
    >>> with Terminal("print(input('Name? '))", dict(os.environ)) as terminal:
    ...     terminal.wait_for("Name?")
    ...     terminal.type("Ada\\n")
    ...     assert terminal.end() == 0
"""

from __future__ import annotations

import codecs
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

PATIENCE = 60.0
"""Seconds to wait for what must come."""


class Terminal:
    """
    A program at a terminal: it is what the program reads from and writes to, and Ctrl-C there interrupts it.

    Args:
        program: Python code, or a command.
        env: The program's environment.

    Attributes:
        text: All that was to be seen so far.
    """

    def __init__(self, program: str | Sequence[str], env: dict[str, str]) -> None:
        self.text = ""
        self._command = [sys.executable, "-c", program] if isinstance(program, str) else list(program)
        self._env = env
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a letter can be cut in two

    def __enter__(self) -> Self:
        self._mine, its = pty.openpty()
        self._its = os.dup(its)  # kept open, so that the terminal's modes can be seen when the program has ended
        login = "import os, sys; os.login_tty(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"
        command = [sys.executable, "-c", login, str(its), *self._command]
        self._process = subprocess.Popen(command, env=self._env, close_fds=True, pass_fds=(its,))
        os.close(its)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait(30)
        os.close(self._mine)
        os.close(self._its)

    @property
    def shows_what_is_typed(self) -> bool:
        return bool(termios.tcgetattr(self._its)[3] & termios.ECHO)

    def type(self, text: str) -> None:
        """Type, or paste."""
        sent, data = 0, text.encode()
        while sent < len(data):
            sent += os.write(self._mine, data[sent:])

    def wait_for(self, words: str, after: int = 0) -> int:
        """Return as soon as *words* are to be read in the text from *after* on: where they end."""
        end = time.monotonic() + PATIENCE
        while (found := self.text.find(words, after)) < 0:
            assert self._process.poll() is None or self._read(), f"It ended without {words!r}: {self.text[-2000:]!r}"
            assert time.monotonic() < end, f"There is no {words!r} in {self.text[-2000:]!r}"
            self._read()
        return found + len(words)

    def end(self) -> int:
        """Wait for the program's end; its exit status."""
        end = time.monotonic() + PATIENCE
        while self._process.poll() is None:
            assert time.monotonic() < end, f"It does not end: {self.text[-2000:]!r}"
            self._read()
        while self._read():
            pass
        return self._process.returncode

    def _read(self) -> bool:
        """Whether something has come."""
        if not select.select([self._mine], [], [], 0.1)[0]:
            return False
        self.text += self._decoder.decode(os.read(self._mine, 4096))
        return True
