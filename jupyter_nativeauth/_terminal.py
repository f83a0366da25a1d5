"""
Runs in: scripts. The terminal in which a person waits for a sign-in.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

from ._attempt import PREPARING
from ._markup import plain
from ._paste import PASTE_CARE
from ._prompt import Prompt, open_prompt
from ._way import can_open_browser
from ._words import DEVICE_CARE
from .errors import LoginFailed, NativeAuthError

if TYPE_CHECKING:
    from ._attempt import Attempt
    from ._tokens import Identity

__all__ = ["TerminalView"]

_SILENCE = 1.0  # seconds until a person wonders


class TerminalView:
    """
    A few lines on stderr, and on a terminal the time that is left, and the place to paste an address.

    Args:
        attempt: What is waited for.
    """

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._told = ""
        self._busy = ""
        self._since = time.monotonic()
        self._live = sys.stderr.isatty()
        self._prompt: Prompt | None = None

    def tick(self) -> None:
        left = max(0, round(self._attempt.until - time.monotonic()))
        if self._told != self._attempt.link:
            if self._live and self._attempt.takes_paste and self._prompt is None:
                self._prompt = open_prompt()
            self._say((self._clear if self._told else "") + self._way())
            self._told = self._attempt.link
            if not self._live:
                self._say(f"Waiting for up to {left} seconds (Ctrl-C cancels).\n")
        elif not self._told:
            self._patience()
        elif self._live:
            self._paste()
            self._say(f"{self._line()}{left // 60}:{left % 60:02d} more (Ctrl-C cancels) ")

    def _patience(self) -> None:
        """Something to read while there is no link yet, but not for the moment that it usually takes."""
        busy = self._attempt.busy
        # In a log only what somebody will wonder about later.
        matters = busy != PREPARING or (self._live and time.monotonic() - self._since > _SILENCE)
        if matters and busy != self._busy:
            self._busy = busy
            self._say(f"{self._busy} (Ctrl-C cancels) ...\n")

    def _line(self) -> str:
        """How the line begins that is written again and again; it fits into 80 columns."""
        if self._prompt is None:
            return "\rWaiting for "
        typed = f", {self._prompt.length} typed" if self._prompt.length else ""
        return f"{self._clear}Paste it here, then Enter (hidden{typed}): "

    def _way(self) -> str:
        """Where the person goes on."""
        attempt, name = self._attempt, self._attempt.account.profile.name
        if attempt.user_code:
            return self._code()
        if not attempt.takes_paste:
            opens = "Your browser opens by itself; if not, open" if can_open_browser() else "Open"
            return f"Sign in to {name}. {opens} this address in your browser:\n\n  {attempt.link}\n\n"
        back = (
            "If it ends on a page that does not open, copy the whole address of that page, and paste it here.\n"
            f"Show this address to nobody. {PASTE_CARE}"
            if self._prompt
            else "Nobody can paste anything here, so it has to reach this machine when it comes back.\n"
            "Show this address to nobody."
        )
        return (
            f"Sign in to {name}, in your browser on whichever machine that is ({attempt.why}).\n"
            f"Open this address:\n\n  {plain(attempt.link)}\n\n{back}\n\n"
        )

    def _paste(self) -> None:
        """Hand over what was pasted; say what is wrong with it, and go on."""
        try:
            pasted = self._prompt.read() if self._prompt else None
        except EOFError:
            raise LoginFailed("The sign-in was cancelled.", code="cancelled") from None
        if pasted is None:
            return
        try:
            self._attempt.paste(pasted)
        except LoginFailed as refused:
            self._say(f"{self._clear}{refused}\n")
        else:
            self._say(f"{self._clear}Thank you. Finishing the sign-in.\n")

    def _code(self) -> str:
        """Where to go on with any browser, and what to enter there."""
        attempt = self._attempt
        lines = [
            f"Sign in to {attempt.account.profile.name}, in any browser on any device ({attempt.why}).",
            f"Open this address, and enter the code:\n\n  {plain(attempt.link)}\n\n  {plain(attempt.user_code)}\n",
        ]
        if self._live and attempt.scan:
            from ._qr import qr_blocks

            drawn = qr_blocks(attempt.scan, widest=shutil.get_terminal_size().columns)
            lines += [f"Or scan this:\n\n{drawn}\n"] if drawn else []
        return "\n".join([*lines, DEVICE_CARE, ""])

    def signed_in(self, identity: Identity) -> None:
        self._close()
        self._say(f"{self._clear}Signed in to {identity.profile} as {identity.name}.\n")

    def failed(self, error: BaseException) -> None:
        self._close()
        if not isinstance(error, NativeAuthError):
            before = self._attempt.account.login_id()
            self._say(f"{self._clear}Cancelled. {'Nothing has changed.' if before else 'Nobody was signed in.'}\n")
        elif self._told:
            self._say(self._clear)

    def _close(self) -> None:
        if self._prompt is not None:
            self._prompt.close()

    @property
    def _clear(self) -> str:
        return "\r\x1b[K" if self._live else ""

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
