"""
Runs in: everywhere. Is this ID token ours? OpenID Connect Core 1.0, sections 3.1.3.7 and 12.2. No I/O.

The signature is always verified, also for a token that came straight from the token endpoint. Which key, which
algorithm and which claims count is decided here, and never by the token.

Where the standards leave a choice:

* An audience beside our client id is trusted only if ``azp`` names us. ``azp`` alone does not replace the audience.
* An ``acr`` that was asked for must be there: whoever asks for a stronger sign-in wants to know that it happened. So
  must the organization, with the services that have such a thing.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._jwks import hash_of
from ._jwt import CLOCK, TokenInvalid, audiences, check_times, moment, open_jwt, span
from .errors import clean

__all__ = ["Expected", "check", "check_refreshed"]

_MAX_AGE_FRESH = 600  # seconds from issue to arrival at a fresh sign-in


@dataclass(frozen=True)
class Expected:
    """
    What the token must say.

    Attributes:
        issuer: The provider's issuer, to the letter.
        client_id: Ours.
        nonce: The one that was sent; ``None`` if none was sent, and then the token must not have one.
        algorithms: What the provider's metadata lists; only those in :data:`ALGORITHMS` ever count.
        max_age: Seconds since the person last signed in that were asked for, or ``None``.
        acr_values: The authentication contexts that were asked for, separated by spaces, or ``None``.
        access_token: What ``at_hash`` is checked against; ``None`` if no access token came along.
        organization: The one that was asked for, or ``None``.
        organization_claims: Where it stands: the ``organization_claims`` of :class:`.providers.Preset`.
        leeway: Seconds by which clocks may differ, 300 at most.

    Raises:
        TypeError, ValueError: An expectation is missing, and its check would say nothing.
    """

    issuer: str
    client_id: str
    nonce: str | None = field(repr=False)
    algorithms: tuple[str, ...] = ("RS256",)  # what a provider signs with that does not say: OIDC Core, section 2
    max_age: int | None = None
    acr_values: str | None = None
    access_token: str | None = field(default=None, repr=False)
    organization: str | None = None
    organization_claims: tuple[tuple[str, str], ...] = ()
    leeway: int = 60

    def __post_init__(self) -> None:
        for name in ("issuer", "client_id", "nonce", "acr_values", "access_token", "organization"):
            value = getattr(self, name)
            if value is None and name not in ("issuer", "client_id"):
                continue
            if not isinstance(value, str):
                raise TypeError(f"Expected.{name} must be a string.")
            if not value:
                raise ValueError(f"Expected.{name} must not be empty.")
        if isinstance(self.algorithms, str):
            raise TypeError("Expected.algorithms must be a tuple of strings.")
        if not 0 <= self.leeway <= 300:
            raise ValueError("Expected.leeway must be from 0 to 300 seconds.")


def check(id_token: str, keys: Sequence[Mapping[str, Any]], expected: Expected, *, now: float) -> dict[str, Any]:
    """
    Check the ID token of a sign-in, and return its claims.

    Args:
        id_token: As the token endpoint gave it.
        keys: From :func:`read_keys`.
        expected: What it must say.
        now: Seconds since the epoch.

    Raises:
        TokenInvalid: With the reason. ``unknown_key`` may pass once the provider's keys are fetched anew.

    Sources:
        OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725.
    """
    claims = _verified(id_token, keys, expected, now)
    _check_nonce(claims.get("nonce"), expected.nonce)

    age = now - moment(claims, "iat")
    if age > _MAX_AGE_FRESH + expected.leeway:
        raise TokenInvalid("too_old", f"{CLOCK} the ID token of this sign-in was issued {span(age)} ago.")

    if expected.max_age is not None:
        if "auth_time" not in claims:
            raise TokenInvalid("auth_time", "max_age was asked for, and the ID token has no auth_time.")
        if now - moment(claims, "auth_time") > expected.max_age + expected.leeway:
            raise TokenInvalid("auth_time", "The person signed in at the service longer ago than max_age allows.")
    if expected.acr_values is not None and claims.get("acr") not in expected.acr_values.split():
        raise TokenInvalid("acr", "The service did not confirm the way of signing in that acr_values asked for.")
    return claims


def check_refreshed(
    id_token: str, keys: Sequence[Mapping[str, Any]], expected: Expected, *, now: float, before: Mapping[str, Any]
) -> dict[str, Any]:
    """
    Check the ID token of a refresh against the one of the sign-in, and return its claims.

    ``expected.nonce``, ``max_age`` and ``acr_values`` belong to the sign-in and do not count here.

    Args:
        before: The claims of the original ID token.

    Raises:
        TokenInvalid: As for :func:`check`.
        ValueError: *before* has no ``iss``, ``sub`` or ``aud`` to compare with.

    Sources:
        OpenID Connect Core 1.0, section 12.2.
    """
    if not (before.get("iss") and before.get("sub") and before.get("aud")):
        raise ValueError("The claims of the original ID token are needed.")
    claims = _verified(id_token, keys, expected, now)
    if claims["iss"] != before["iss"]:
        raise TokenInvalid("issuer", "The renewed ID token is from another issuer than the original one.")
    if claims["sub"] != before["sub"]:
        raise TokenInvalid("subject", "The renewed ID token is about another person than the original one.")
    if not audiences(before["aud"]) <= audiences(claims["aud"]):
        raise TokenInvalid("audience", "The renewed ID token lacks an audience of the original one.")
    if any(claims.get(claim, before.get(claim)) != before.get(claim) for claim, _ in expected.organization_claims):
        raise TokenInvalid("organization", "The renewed ID token is for another organization than the original one.")
    if claims.get("azp") != before.get("azp"):
        raise TokenInvalid("azp", "The renewed ID token has another azp than the original one.")
    if claims.get("auth_time", before.get("auth_time")) != before.get("auth_time", claims.get("auth_time")):
        raise TokenInvalid("auth_time", "The renewed ID token has another auth_time than the original one.")
    if "nonce" in claims:
        _check_nonce(claims["nonce"], before.get("nonce"))
    if "iat" in before and moment(claims, "iat") < moment(before, "iat") - expected.leeway:
        raise TokenInvalid("issued_at", "The renewed ID token is older than the original one.")
    return claims


def _verified(id_token: object, keys: Sequence[Mapping[str, Any]], expected: Expected, now: float) -> dict[str, Any]:
    """The claims, once the signature and all that holds for each ID token of this client has been checked."""
    if not math.isfinite(now):
        raise ValueError("No time: nothing would ever have ended.")
    algorithm, claims = open_jwt(id_token, keys, expected.algorithms)

    if claims.get("iss") != expected.issuer:
        raise TokenInvalid("issuer", f"The ID token is not from {clean(expected.issuer)}, to the letter.")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not re.fullmatch("[ -~]{1,255}", subject):
        raise TokenInvalid("subject", "The ID token does not say in up to 255 ASCII characters who signed in.")
    told = audiences(claims.get("aud"))
    if expected.client_id not in told:
        raise TokenInvalid("audience", "The ID token is not for this client id.")
    if claims.get("azp", expected.client_id) != expected.client_id:
        raise TokenInvalid("azp", "The ID token was issued to another client.")
    if len(told) > 1 and "azp" not in claims:
        raise TokenInvalid("audience", "The ID token has other audiences too, and does not say that it is ours.")

    check_times(claims, expected.leeway, now)
    if expected.organization is not None:
        _check_organization(claims, expected.organization, expected.organization_claims)
    if "at_hash" in claims:
        _check_at_hash(claims["at_hash"], algorithm, expected.access_token)
    return claims


def _check_organization(claims: Mapping[str, Any], wanted: str, rules: tuple[tuple[str, str], ...]) -> None:
    """*rules*: a claim, and how a value begins that is for it; a name, which begins with anything, has no capitals."""
    for claim, start in rules:
        if wanted.startswith(start):
            if claims.get(claim) != (wanted if start else wanted.lower()):
                raise TokenInvalid("organization", "The ID token is not for the organization that was asked for.")
            return


def _check_nonce(value: object, sent: object) -> None:
    same = isinstance(value, str) and isinstance(sent, str) and hmac.compare_digest(value.encode(), sent.encode())
    if not same and (value, sent) != (None, None):
        raise TokenInvalid("nonce", "The ID token does not belong to this sign-in (nonce).")


def _check_at_hash(value: object, algorithm: str, access_token: str | None) -> None:
    if access_token is None and isinstance(value, str):
        return
    digest = hashlib.new(hash_of(algorithm), (access_token or "").encode()).digest()
    wanted = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not isinstance(value, str) or not hmac.compare_digest(value.encode(), wanted):
        raise TokenInvalid("at_hash", "The access token is not the one that the ID token came with (at_hash).")
