"""
Runs in: everywhere. What a token endpoint says, checked before anything believes it (RFC 6749, section 5). No I/O.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ._tokens import Body, Members, Secret
from .errors import ProviderError, ProviderUnavailable, clean

__all__ = ["Granted", "printable", "read_granted", "read_json", "read_members", "read_tokens"]


@dataclass(frozen=True)
class Granted:
    """A token endpoint's checked answer (RFC 6749, section 5.1)."""

    access_token: Secret
    expires_in: float | None
    refresh_token: Secret | None
    id_token: Secret | None
    scopes: tuple[str, ...] | None
    refresh_expires_in: float | None  # no RFC has it yet: many services say how long the refresh token is good


def printable(text: str) -> bool:
    """RFC 6749, appendix A: VSCHAR without the space; nothing that could break a header or a form."""
    return all("!" <= letter <= "~" for letter in text)


def read_json(body: bytes) -> Members:
    """
    A JSON object, read more strictly than :func:`json.loads` does.

    Raises:
        ValueError: Not UTF-8, not one JSON object, a member twice, a number that is none, or nested too deeply.
    """

    body = Body(body)

    def once(pairs: list[tuple[str, Any]]) -> Members:
        members = Members(pairs)
        if len(members) != len(pairs):
            raise ValueError("a member stands twice")
        return members

    def no_number(_: str) -> NoReturn:
        raise ValueError("not a JSON number")

    try:
        value = json.loads(body.decode("utf-8-sig"), object_pairs_hook=once, parse_constant=no_number)
    except (RecursionError, ValueError):
        value = None
    if isinstance(value, Members):
        return value
    # Raised out here: the error in there holds the whole text (`.doc`), and would stay behind as `__context__`.
    del value
    raise ValueError("not one JSON object")


def read_tokens(status: int, content_type: str, body: bytes, *, who: str, error_page: str = "") -> Granted:
    """
    Check a token endpoint's answer (RFC 6749, sections 5.1 and 5.2): :func:`read_members`, and a bearer token in it.
    """
    body = Body(body)
    return read_granted(read_members(status, content_type, body, who=who, error_page=error_page), who=who)


def read_members(status: int, content_type: str, body: bytes, *, who: str, error_page: str = "") -> Members:
    """
    The members of an answer to a form that was posted, if it is a yes (RFC 6749, section 5.2; RFC 8628, section 3.2).

    Args:
        status: The HTTP status.
        content_type: The ``Content-Type``, or an empty string.
        body: The decoded body.
        who: The profile's name, for messages.
        error_page: A regular expression for an error that comes as a page, with the groups of its members' names.

    Raises:
        ProviderError: It said no. ``code`` is ``invalid_grant`` when the grant itself is dead, ``refused`` otherwise.
        ProviderUnavailable: It said nothing that can be relied on: 5xx, 407, 408, 425, 429, a redirect, HTML, nonsense.
    """
    body = Body(body)
    is_page = "html" in content_type.lower()
    if is_page and 400 <= status < 500 and error_page and (page := _read_page(error_page, body)) is not None:
        body, is_page = page, False
    try:
        members = Members() if not body.strip() and 400 <= status < 500 else read_json(body)
    except ValueError:
        members = None
    if is_page or members is None or status in (407, 408, 425, 429) or not 200 <= status < 500:
        raise ProviderUnavailable(
            f"The service of {who!r} gave no usable answer (HTTP {status}).",
            hint="Nothing was lost. Try again in a moment.",
        )
    if status >= 400 or members.get("error") not in (None, ""):
        error = clean(members.get("error"), 80)
        raise ProviderError(
            f"The service of {who!r} refused ({error or f'HTTP {status}'})."
            + (f' It said: "{said}".' if (said := clean(members.get("error_description"))) else ""),
            code="invalid_grant" if error == "invalid_grant" else "refused",
            error=error,
            description=members.get("error_description"),
        )
    if status != 200:
        raise _no_token(who)
    return members


def _read_page(error_page: str, body: bytes) -> Body | None:
    """The error that a page shows, in the form that it should have had."""
    found = re.search(error_page, body.decode("utf-8", "replace"))
    if found is None:
        return None
    said = {"error": found["error"], "error_description": html.unescape(found["description"])}
    return Body(json.dumps(said).encode())


def read_granted(members: Mapping[str, Any], *, who: str) -> Granted:
    """
    Check the members of an answer that brings tokens (RFC 6749, section 5.1).

    Raises:
        ProviderUnavailable: There is no bearer token in it.
    """
    access_token = _token(members, "access_token")
    kind = members.get("token_type", "Bearer")
    if access_token is None or not isinstance(kind, str) or kind.lower() != "bearer":
        raise _no_token(who)
    return Granted(
        access_token=access_token,
        expires_in=_lifetime(members.get("expires_in")),
        refresh_token=_token(members, "refresh_token"),
        id_token=_token(members, "id_token"),
        scopes=_scopes(members.get("scope")),
        # As the draft on refresh token expiration has it, and as Keycloak does, where 0 is "not limited".
        refresh_expires_in=_lifetime(members.get("refresh_token_expires_in"))
        or _lifetime(members.get("refresh_expires_in")),
    )


def _no_token(who: str) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"The service of {who!r} answered with something that is not a bearer token.",
        code="bad_answer",
        hint="Nothing was lost. If it stays so, tell the people who run the service.",
    )


def _token(members: Mapping[str, Any], name: str) -> Secret | None:
    """``null`` and ``""`` are read as absent: a refresh answer with either keeps the old refresh token."""
    value = members.get(name)
    return Secret(value) if isinstance(value, str) and value and printable(value) else None


def _scopes(value: object) -> tuple[str, ...] | None:
    """What was granted; ``None`` for "as asked for" (RFC 6749, section 5.1)."""
    words = [word for word in value.split() if printable(word)] if isinstance(value, str) else []
    return tuple(dict.fromkeys(words)) or None


def _lifetime(value: object) -> float | None:
    """Seconds; ``None`` for "did not say". A provider's zero or nonsense must not become a refresh at each request."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value[:12])
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        return None
    return float(min(value, 2**31 - 1))
