"""
Runs in: everywhere. Is this access token ours? Only for services whose documents ask the client to look. No I/O.

Elsewhere an access token is opaque, whatever it looks like: it is a matter between the service and the API (RFC 9068,
section 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._jwt import TokenInvalid, audiences, check_times, open_jwt
from .errors import clean

__all__ = ["check_access_token"]

_WHAT = "access token"
_TYPES = ("at+jwt", "application/at+jwt", "jwt", "application/jwt")  # RFC 9068, section 2.1, and what went before it


def check_access_token(
    token: str,
    keys: Sequence[Mapping[str, Any]],
    *,
    issuer: str,
    client_id: str,
    algorithms: tuple[str, ...],
    now: float,
    leeway: int = 60,
) -> None:
    """
    Check the signature, the issuer, the audience and the times of an access token that is a JWT.

    Raises:
        TokenInvalid: With the reason. ``unknown_key`` may pass once the provider's keys are fetched anew.

    Sources:
        RFC 9068, section 4; and the service's own page, which :data:`.providers.PRESETS` names.
    """
    _, claims = open_jwt(token, keys, algorithms, what=_WHAT, types=_TYPES)
    if claims.get("iss") != issuer:
        raise TokenInvalid("issuer", f"The access token is not from {clean(issuer)}, to the letter.")
    if client_id not in audiences(claims.get("aud")):
        raise TokenInvalid("audience", "The access token is not for this client id.")
    check_times(claims, leeway, now, what=_WHAT)
