"""
Runs in: everywhere. The access token in use, and for how long. No I/O but the clocks.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple, Self

from ._tokens import AccessToken, Login

if TYPE_CHECKING:
    from ._clock import Clock

__all__ = ["SPACING", "Current"]

SPACING = 5.0  # seconds between two renewals, whatever lifetime the provider names


class Current(NamedTuple):
    """The access token in use, and when it stops being so; wall clock and monotonic clock must both agree."""

    token: AccessToken | None
    generation: int
    renew_wall: float
    renew_at: float
    end_wall: float
    end_at: float
    renewed_at: float  # wall clock; 0 if it is as it was at the sign-in

    @classmethod
    def of(cls, login: Login, generation: int, clock: Clock) -> Self:
        """The access token of *login*, as it is in the vault since *generation*."""
        if login.access_token is None:
            return cls(None, generation, 0, 0, 0, 0, login.renewed_at)
        wall, monotonic = clock.time(), clock.monotonic()
        left, margin = float("inf"), 0.0
        if login.expires_at is not None:
            lifetime = max(login.lifetime or 0.0, SPACING)
            # Never more than the whole lifetime, should the wall clock have been set back since.
            left = min(max(login.expires_at, login.expires_at - (login.lifetime or 0) + SPACING) - wall, lifetime)
            # Jitter between processes; and never two renewals within SPACING, however short the lifetime.
            margin = min(60.0, 0.2 * lifetime, lifetime - SPACING) * random.uniform(0.75, 1.0)  # noqa: S311
        token = AccessToken(login.access_token.reveal(), login.expires_at)
        renew = left - margin if login.refresh_token is not None else left
        ends = (wall + renew, monotonic + renew, wall + left, monotonic + left)
        return cls(token, generation, *ends, login.renewed_at)
