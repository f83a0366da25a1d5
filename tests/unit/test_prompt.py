"""The prompt of a terminal: what is typed is hidden, read whole, and nobody waits for it."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import select
import sys
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from jupyter_nativeauth._prompt import _MOST, Prompt, open_prompt


@dataclass
class Keyboard:
    """The other end of the terminal that is this process's standard input."""

    mine: int
    its: int

    def type(self, text: str) -> None:
        """Type, in a thread: a terminal takes in some thousand characters, and then no more before they are read."""
        threading.Thread(target=self._write, args=(text.encode(),), daemon=True).start()

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self.mine, data) :]

    @property
    def modes(self) -> int:
        return int(termios.tcgetattr(self.its)[3]) & (termios.ECHO | termios.ICANON)


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Keyboard]:
    mine, its = pty.openpty()
    with os.fdopen(its) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield Keyboard(mine, its)
    os.close(mine)


@pytest.fixture
def prompt(keyboard: Keyboard) -> Iterator[Prompt]:
    opened = open_prompt()
    assert opened is not None
    yield opened
    opened.close()


def entered(prompt: Prompt) -> str:
    """What comes with the next Enter."""
    end = time.monotonic() + 30
    while (line := prompt.read()) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    return line.reveal()


def test_it_is_hidden_until_the_end(keyboard: Keyboard, prompt: Prompt) -> None:
    """Neither echo nor lines while it is open, and Ctrl-C stays a signal; both are back when it closes, or twice."""
    assert keyboard.modes == 0
    assert termios.tcgetattr(keyboard.its)[3] & termios.ISIG
    keyboard.type("abc\n")
    assert entered(prompt) == "abc\n"
    prompt.close()
    prompt.close()
    assert keyboard.modes == termios.ECHO | termios.ICANON


def test_it_is_hidden_again_after_a_shell_was_there(keyboard: Keyboard, prompt: Prompt) -> None:
    """A shell that has stopped us for a while leaves a terminal that shows what is typed."""
    modes = termios.tcgetattr(keyboard.its)
    modes[3] |= termios.ECHO | termios.ICANON
    termios.tcsetattr(keyboard.its, termios.TCSANOW, modes)
    assert prompt.read() is None
    assert keyboard.modes == 0


def test_a_long_address_is_read_whole(keyboard: Keyboard, prompt: Prompt) -> None:
    """A terminal's lines end after 4,095 characters: an address with a long code does not, nor with a line break."""
    address = "".join(f"{number:05}" for number in range(4000))
    keyboard.type(f"{address}\n")
    assert entered(prompt) == f"{address}\n"
    keyboard.type("in two\n")
    while not prompt.length:
        assert prompt.read() is None  # more may come
    keyboard.type("lines\n")
    assert select.select([keyboard.its], [], [], 30)[0]
    assert entered(prompt) == "in two\nlines\n"
    keyboard.type("x" * (_MOST + 1000))
    assert len(entered(prompt)) == _MOST


def test_what_was_typed_wrongly_can_be_mended(keyboard: Keyboard, prompt: Prompt) -> None:
    """Backspace and Ctrl-U work as in a shell, and the number of characters is known."""
    keyboard.type("no no\x15yesx\x7f\b")
    end = time.monotonic() + 30
    while prompt.length != 2:
        assert (prompt.read(), time.monotonic() < end) == (None, True)
    keyboard.type("s\n")
    assert entered(prompt) == "yes\n"


def test_the_end(keyboard: Keyboard, prompt: Prompt) -> None:
    """LIB-086: Ctrl-D in an empty line is the end; within a line it is nothing of that kind."""
    keyboard.type("a\x04\n")
    assert entered(prompt) == "a\x04\n"
    keyboard.type("\x04")
    with pytest.raises(EOFError):
        entered(prompt)


@pytest.mark.parametrize("stdin", ["none", "closed", "text", "pipe"])
def test_where_nobody_can_type(stdin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else standard input is, there is no prompt and no error."""
    reader, writer = os.pipe()
    pipe = os.fdopen(reader)
    given = {"none": None, "closed": os.fdopen(os.dup(reader)), "text": io.StringIO("x\n"), "pipe": pipe}[stdin]
    if stdin == "closed":
        given.close()  # type: ignore[union-attr]
    monkeypatch.setattr(sys, "stdin", given)
    assert open_prompt() is None
    pipe.close()
    os.close(writer)
