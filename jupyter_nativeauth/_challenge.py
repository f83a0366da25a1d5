"""
Runs in: kernels, scripts. What an API wants, read from ``WWW-Authenticate`` (RFC 9110, section 11.6.1). No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Challenge", "read_challenges"]

# Every repeat is possessive (`*+`): no letter is ever given back and read again, so the time is linear.
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]++"  # noqa: S105 - RFC 9110's `token`
_PART = re.compile(
    rf'[\s,]*+(?:({_TOKEN})\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)"|({_TOKEN}))|({_TOKEN})(?:\s++|,|$))', re.DOTALL
)
_UNREADABLE = re.compile(r"[\s,]*+[^,]*+")  # up to the next comma
_LONGEST = 4096


@dataclass(frozen=True)
class Challenge:
    """One challenge of a ``WWW-Authenticate`` header (RFC 9110, section 11.6.1), its names in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def read_challenges(header: str) -> list[Challenge]:
    """
    The challenges of a ``WWW-Authenticate`` header; what cannot be read is left out. Never raises.

    Example:
        >>> read_challenges('Bearer error="invalid_token", realm="a, b"')[0].parameters["error"]
        'invalid_token'
    """
    header = header[:_LONGEST]
    challenges: list[Challenge] = []
    parameters: dict[str, str] = {}
    at = 0
    while at < len(header):
        match = _PART.match(header, at)
        if match is None:  # a token68 (`Negotiate a87421==`), or nonsense
            at = _UNREADABLE.match(header, at).end()  # type: ignore[union-attr]  # it matches anything
            continue
        name, quoted, plain, scheme = match.groups()
        if scheme is not None:
            parameters = {}
            challenges.append(Challenge(scheme.lower(), parameters))
        elif challenges:
            value = re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if quoted is not None else plain
            parameters.setdefault(name.lower(), value)
        at = match.end()
    return challenges
