"""
Runs in: the command line. One thing that the doctor looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .errors import NativeAuthError

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """
    One thing that was looked at.

    Attributes:
        level: ``ok``, ``note``, ``warning`` or ``error``. Only after an error a sign-in cannot succeed.
        message: What was found.
        hint: What to do about it.
    """

    level: str
    message: str
    hint: str = ""

    @classmethod
    def of(cls, error: NativeAuthError) -> Finding:
        """What went wrong, in its own words."""
        return cls("error", str(error.args[0]), error.hint)

    def lines(self) -> Iterator[str]:
        """The same for people."""
        yield f"  {self.level:8} {self.message}"
        if self.hint:
            yield f"  {'':8} {self.hint}"
