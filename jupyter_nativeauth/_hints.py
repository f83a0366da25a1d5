"""
Runs in: everywhere. What a service sends along when a sign-in begins there: an invitation, a tenant that somebody
picked, a tile in a company's portal (OpenID Connect Core, section 4). No I/O.

Whoever knows our address can send a person there. So nothing of it is a host or a ``state``, only what a preset lists
is read at all, and it is never more than a hint for a sign-in that the person then begins with a click.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import parse_qsl

__all__ = ["Hints", "Initiation", "hints_in", "read_initiation"]

Hints = tuple[tuple[str, str], ...]
"""What is asked for, by the profile's names for it."""

_LONGEST = 512


@dataclass(frozen=True)
class Initiation:
    """
    What a service may send along.

    Attributes:
        parameters: Its own names, and ours: a key of the profile, or an option of its provider.
        signed: The parameter with a JWT that holds them instead, where the service signs what it sends.
    """

    parameters: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({"login_hint": "login_hint"}))
    signed: str = ""


def read_initiation(initiation: Initiation, query: str) -> dict[str, str]:
    """
    The parameters of an address that a service has sent somebody to, as far as they mean anything to us.

    Raises:
        ValueError: It is malformed, or one of them is there twice (RFC 6749, section 3.1). The message is a sentence.
    """
    known = {*initiation.parameters, initiation.signed, "iss", "error", "error_description"} - {""}
    try:
        pairs = parse_qsl(query[:32768], keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError:
        raise ValueError("The address is not a well-formed one.") from None
    told: dict[str, str] = {}
    for name, value in pairs:
        if name in known and name in told:
            raise ValueError(f"The address holds `{name}` twice.")
        if name in known and value:
            told[name] = value
    return told


def hints_in(initiation: Initiation, told: Mapping[str, object]) -> Hints:
    """
    What *told* asks for: the parameters of an address, or the claims of a token that has proven them.

    Raises:
        ValueError: A value is not a short line of text, or two names for one thing disagree. The message is a sentence.
    """
    hints: dict[str, str] = {}
    for name, ours in initiation.parameters.items():
        value = told.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
            raise ValueError(f"`{name}` is not a short line of text.")
        if hints.setdefault(ours, value) != value:
            raise ValueError(f"`{name}` says something else than another parameter.")
    return tuple(hints.items())
