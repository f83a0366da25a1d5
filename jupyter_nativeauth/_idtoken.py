"""
Runs in: everywhere. Is this ID token ours? OpenID Connect Core 1.0, sections 3.1.3.7 and 12.2. No I/O.

The signature is always verified, also for a token that came straight from the token endpoint. Which key, which
algorithm and which claims count is decided here, and never by the token.

Where the standards leave a choice:

* A token without ``kid`` is tried against every key that fits its algorithm, one with ``kid`` against every key of that
  name: providers publish several keys without names, and the same name twice.
* An audience beside our client id is trusted only if ``azp`` names us. ``azp`` alone does not replace the audience.
* A token with a ``crit`` or ``b64`` header, an encrypted one, and one with a ``typ`` other than ``JWT`` is refused;
  other header members (``jwk``, ``jku``, ``x5u`` ...) are neither used nor fetched.
* A token has at most 64 KiB, so that a chain of certificates in its header fits, and at most 32 levels of JSON.
* An ``acr`` that was asked for must be there: whoever asks for a stronger sign-in wants to know that it happened.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._jwks import ALGORITHMS, decode, hash_of, is_signed, read_keys, signers
from .errors import clean

__all__ = ["ALGORITHMS", "Expected", "IdTokenInvalid", "check", "check_refreshed", "read_keys"]

_MAX_TOKEN = 64 * 1024  # characters
_MAX_DEPTH = 32
_MAX_AGE_FRESH = 600  # seconds from issue to arrival at a fresh sign-in
_YEAR_10000 = 253_402_300_800  # datetime, which will show these moments, ends here
_SURROGATE = re.compile("[\ud800-\udfff]")
_CLOCK = "This computer's clock and the service's do not agree: by this one,"


class IdTokenInvalid(Exception):
    """
    The ID token is not for this sign-in. The account turns this into an error of :mod:`.errors`.

    Attributes:
        reason: A stable word: ``malformed``, ``encrypted``, ``critical``, ``type``, ``algorithm``, ``unknown_key``,
            ``signature``, ``issuer``, ``audience``, ``azp``, ``subject``, ``expired``, ``not_before``, ``issued_at``
            (in the future), ``too_old`` (issued too long before it came), ``nonce``, ``at_hash``, ``auth_time``,
            ``acr``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[1])


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
    leeway: int = 60

    def __post_init__(self) -> None:
        for name in ("issuer", "client_id", "nonce", "acr_values", "access_token"):
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
        IdTokenInvalid: With the reason. ``unknown_key`` may pass once the provider's keys are fetched anew.

    Sources:
        OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725.
    """
    claims = _verified(id_token, keys, expected, now)
    _check_nonce(claims.get("nonce"), expected.nonce)

    age = now - _moment(claims, "iat")
    if age > _MAX_AGE_FRESH + expected.leeway:
        raise IdTokenInvalid("too_old", f"{_CLOCK} the ID token of this sign-in was issued {_span(age)} ago.")

    if expected.max_age is not None:
        if "auth_time" not in claims:
            raise IdTokenInvalid("auth_time", "max_age was asked for, and the ID token has no auth_time.")
        if now - _moment(claims, "auth_time") > expected.max_age + expected.leeway:
            raise IdTokenInvalid("auth_time", "The person signed in at the service longer ago than max_age allows.")
    if expected.acr_values is not None and claims.get("acr") not in expected.acr_values.split():
        raise IdTokenInvalid("acr", "The service did not confirm the way of signing in that acr_values asked for.")
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
        IdTokenInvalid: As for :func:`check`.
        ValueError: *before* has no ``iss``, ``sub`` or ``aud`` to compare with.

    Sources:
        OpenID Connect Core 1.0, section 12.2.
    """
    if not (before.get("iss") and before.get("sub") and before.get("aud")):
        raise ValueError("The claims of the original ID token are needed.")
    claims = _verified(id_token, keys, expected, now)
    if claims["iss"] != before["iss"]:
        raise IdTokenInvalid("issuer", "The renewed ID token is from another issuer than the original one.")
    if claims["sub"] != before["sub"]:
        raise IdTokenInvalid("subject", "The renewed ID token is about another person than the original one.")
    if not _audiences(before["aud"]) <= _audiences(claims["aud"]):
        raise IdTokenInvalid("audience", "The renewed ID token lacks an audience of the original one.")
    if claims.get("azp") != before.get("azp"):
        raise IdTokenInvalid("azp", "The renewed ID token has another azp than the original one.")
    if claims.get("auth_time", before.get("auth_time")) != before.get("auth_time", claims.get("auth_time")):
        raise IdTokenInvalid("auth_time", "The renewed ID token has another auth_time than the original one.")
    if "nonce" in claims:
        _check_nonce(claims["nonce"], before.get("nonce"))
    if "iat" in before and _moment(claims, "iat") < _moment(before, "iat") - expected.leeway:
        raise IdTokenInvalid("issued_at", "The renewed ID token is older than the original one.")
    return claims


def _verified(id_token: object, keys: Sequence[Mapping[str, Any]], expected: Expected, now: float) -> dict[str, Any]:
    """The claims, once the signature and all that holds for each ID token of this client has been checked."""
    if not math.isfinite(now):
        raise ValueError("No time: nothing would ever have ended.")
    algorithm, claims = _open(id_token, keys, expected.algorithms)

    if claims.get("iss") != expected.issuer:
        raise IdTokenInvalid("issuer", f"The ID token is not from {clean(expected.issuer)}, to the letter.")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not re.fullmatch("[ -~]{1,255}", subject):
        raise IdTokenInvalid("subject", "The ID token does not say in up to 255 ASCII characters who signed in.")
    audiences = _audiences(claims.get("aud"))
    if expected.client_id not in audiences:
        raise IdTokenInvalid("audience", "The ID token is not for this client id.")
    if claims.get("azp", expected.client_id) != expected.client_id:
        raise IdTokenInvalid("azp", "The ID token was issued to another client.")
    if len(audiences) > 1 and "azp" not in claims:
        raise IdTokenInvalid("audience", "The ID token has other audiences too, and does not say that it is ours.")

    _check_times(claims, expected.leeway, now)
    if "at_hash" in claims:
        _check_at_hash(claims["at_hash"], algorithm, expected.access_token)
    return claims


def _check_times(claims: Mapping[str, Any], leeway: int, now: float) -> None:
    ended = now - _moment(claims, "exp")
    if ended >= leeway:  # "the current time MUST be before": section 2
        raise IdTokenInvalid("expired", f"{_CLOCK} the ID token ended {_span(ended)} ago.")
    early = _moment(claims, "iat") - now
    if early > leeway:
        raise IdTokenInvalid("issued_at", f"{_CLOCK} the ID token will be issued in {_span(early)}.")
    early = _moment(claims, "nbf") - now if "nbf" in claims else 0
    if early > leeway:
        raise IdTokenInvalid("not_before", f"{_CLOCK} the ID token will be valid in {_span(early)}.")
    early = _moment(claims, "auth_time") - now if "auth_time" in claims else 0
    if early > leeway:
        raise IdTokenInvalid("auth_time", f"{_CLOCK} the person will sign in in {_span(early)}.")


def _open(
    id_token: object, keys: Sequence[Mapping[str, Any]], algorithms: tuple[str, ...]
) -> tuple[str, dict[str, Any]]:
    """The algorithm and the claims of a token with a good signature (RFC 7515, section 5.2)."""
    if not isinstance(id_token, str) or len(id_token) > _MAX_TOKEN or not id_token.isascii():
        raise IdTokenInvalid("malformed", "The ID token is not ASCII text of at most 64 KiB.")
    segments = id_token.split(".")
    if len(segments) == 5:
        raise IdTokenInvalid("encrypted", "The ID token is encrypted; no key to decrypt it was ever agreed on.")
    if len(segments) != 3:
        raise IdTokenInvalid("malformed", "The ID token does not have the three parts of a signed JWT.")

    header = _object(segments[0], "header")
    if "crit" in header or "b64" in header:
        raise IdTokenInvalid("critical", "The ID token demands an extension (crit, b64) that no ID token needs.")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in ("jwt", "application/jwt"):
        raise IdTokenInvalid("type", "The token says of itself that it is no ID token (typ).")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in {*ALGORITHMS} & {*algorithms}:
        raise IdTokenInvalid("algorithm", "The ID token is signed in a way that is not allowed for this service.")
    kid = header.get("kid")
    if "kid" in header and not isinstance(kid, str):
        raise IdTokenInvalid("malformed", "The ID token does not name its key with a string (kid).")

    fitting = signers(keys, algorithm, kid)
    if not fitting:
        raise IdTokenInvalid("unknown_key", "The ID token is signed with a key that the service does not list.")
    signature = decode(segments[2])
    signed = f"{segments[0]}.{segments[1]}".encode()
    if signature is None or not is_signed(signed, signature, algorithm, fitting):
        raise IdTokenInvalid("signature", "The signature of the ID token is wrong.")
    return algorithm, _object(segments[1], "payload")


def _object(segment: str, part: str) -> dict[str, Any]:
    raw = decode(segment)
    try:
        value = json.loads((raw or b"").decode(), object_pairs_hook=_members)
    except (ValueError, RecursionError):
        value = None
    # Raised out here: the error in there holds the whole text (`.doc`), and would stay behind as `__context__`.
    if not isinstance(value, dict) or not _is_sound(value):
        raise IdTokenInvalid("malformed", f"The {part} of the ID token is not one sound JSON object.")
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands there twice")  # RFC 7519, section 4: two readers would read two things
    return members


def _is_sound(document: object) -> bool:
    """Whether *document* can be stored and shown: not too deep, no lone surrogates, no NaN, no Infinity."""
    level: list[object] = [document]
    for _ in range(_MAX_DEPTH):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                below += value
            elif not _is_plain(value):
                return False
        if not below:
            return True
        level = below
    return False


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return _SURROGATE.search(value) is None
    return not isinstance(value, float) or math.isfinite(value)


def _audiences(value: object) -> frozenset[str]:
    """``aud`` as a set; empty if it is not a string or a list of strings (RFC 7519, section 4.1.3)."""
    listed: list[Any] = value if isinstance(value, list) else [value]
    return frozenset(listed) if all(isinstance(audience, str) for audience in listed) else frozenset()


def _check_nonce(value: object, sent: object) -> None:
    same = isinstance(value, str) and isinstance(sent, str) and hmac.compare_digest(value.encode(), sent.encode())
    if not same and (value, sent) != (None, None):
        raise IdTokenInvalid("nonce", "The ID token does not belong to this sign-in (nonce).")


def _check_at_hash(value: object, algorithm: str, access_token: str | None) -> None:
    if access_token is None and isinstance(value, str):
        return
    digest = hashlib.new(hash_of(algorithm), (access_token or "").encode()).digest()
    wanted = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not isinstance(value, str) or not hmac.compare_digest(value.encode(), wanted):
        raise IdTokenInvalid("at_hash", "The access token is not the one that the ID token came with (at_hash).")


def _moment(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519, section 2): a number, fractions allowed, between 1970 and the year 9999."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _YEAR_10000:
        raise IdTokenInvalid("malformed", f"The ID token does not say with a number of seconds when ({name}).")
    return value


def _span(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
