"""
Runs in: everywhere. The two clocks, and what is said when this computer's is wrong. No I/O.
"""

from __future__ import annotations

from typing import Protocol

from ._jwt import TokenInvalid, span

__all__ = ["LEEWAY", "Clock", "apart", "cure"]

LEEWAY = 60  # seconds by which the times in a token may be wrong

_TIMES = ("expired", "issued_at", "not_before", "too_old", "auth_time")  # reasons of TokenInvalid


class Clock(Protocol):
    """Both clocks; the module :mod:`time` is one."""

    def time(self) -> float: ...
    def monotonic(self) -> float: ...


def apart(ahead: float) -> str:
    """
    How wrong this computer's clock is.

    Args:
        ahead: Seconds by which it is ahead of the service's.

    Example:
        >>> apart(-300)
        "This computer's clock is 5 minutes behind the service's."
    """
    return f"This computer's clock is {span(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} the service's."


def cure(problem: TokenInvalid, date: float | None, now: float) -> str:
    """
    What to do about a token whose times are wrong, if a clock is to blame; else nothing.

    Args:
        problem: Why the token is not believed.
        date: What the service's clock has just said (RFC 9110, section 6.6.1).
        now: What this computer's said then.
    """
    if problem.reason not in _TIMES or date is None or abs(now - date) <= LEEWAY:
        return ""
    return f"{apart(now - date)} Set it, and try again."
