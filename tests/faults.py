"""Runs in: the tests. Makes our own functions fail, one at a time, wherever they are called."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import jupyter_nativeauth

OURS = str(Path(jupyter_nativeauth.__file__).parent)
UNFAILING = {"_release", "_unlock", "_close"}  # which let go of a lock: without them, everybody waits


class Faults:
    """
    Notes which of our functions are called, and makes some of them fail at their next call.

    No function is replaced: the interpreter calls :meth:`hook` as it calls them (``sys.setprofile``). An error that is
    raised ends the watching of that thread.

    Attributes:
        seen: The functions that were called.
        targets: Those that shall fail; each fails once.
        text: What their errors say.

    Example:
        >>> faults = Faults()
        >>> with faults.watching():
        ...     jupyter_nativeauth.errors.clean("text")
        'text'
        >>> [code.co_name for code in faults.functions()][:1]
        ['clean']
    """

    def __init__(self) -> None:
        self.seen: dict[CodeType, None] = {}
        self.targets: set[CodeType] = set()
        self.text = "broken"

    def hook(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            self.seen.setdefault(frame.f_code)
            if frame.f_code in self.targets:
                self.targets.remove(frame.f_code)
                raise RuntimeError(self.text)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch this thread, and those that begin meanwhile."""
        threading.setprofile(self.hook)
        sys.setprofile(self.hook)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def functions(self) -> list[CodeType]:
        """Those that were called, and may fail."""
        return [code for code in self.seen if code.co_name not in UNFAILING]
