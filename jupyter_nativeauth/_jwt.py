"""
Runs in: everywhere. A signed JWT that a provider sent: opened only with one of its keys (RFC 7515, RFC 7519). No I/O.

Which key, which algorithm and which claims count is decided by whoever asks, and never by the token. What it is (an ID
token, an access token ...) is a parameter, so that a message can say so.

Where the standards leave a choice:

* A token without ``kid`` is tried against every key that fits its algorithm, one with ``kid`` against every key of that
  name: providers publish several keys without names, and the same name twice.
* A token with a ``crit`` or ``b64`` header, an encrypted one, and one with an unexpected ``typ`` is refused; other
  header members (``jwk``, ``jku``, ``x5u`` ...) are neither used nor fetched.
* A token has at most 64 KiB, so that a chain of certificates in its header fits, and at most 32 levels of JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ._jwks import ALGORITHMS, decode, is_signed, signers

__all__ = ["CLOCK", "TokenInvalid", "audiences", "check_times", "moment", "open_jwt", "span"]

_MAX_TOKEN = 64 * 1024  # characters
_MAX_DEPTH = 32
_YEAR_10000 = 253_402_300_800  # datetime, which will show these moments, ends here
_SURROGATE = re.compile("[\ud800-\udfff]")
CLOCK = "This computer's clock and the service's do not agree: by this one,"


class TokenInvalid(Exception):
    """
    The token is not one to believe here. The account turns this into an error of :mod:`.errors`.

    Attributes:
        reason: A stable word: ``malformed``, ``encrypted``, ``critical``, ``type``, ``algorithm``, ``unknown_key``,
            ``signature``, ``issuer``, ``audience``, ``azp``, ``subject``, ``expired``, ``not_before``, ``issued_at``
            (in the future), ``too_old`` (issued too long before it came), ``nonce``, ``at_hash``, ``auth_time``,
            ``acr``, ``organization``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[1])


def open_jwt(
    token: object,
    keys: Sequence[Mapping[str, Any]],
    algorithms: tuple[str, ...],
    *,
    what: str = "ID token",
    types: tuple[str, ...] = ("jwt", "application/jwt"),
) -> tuple[str, dict[str, Any]]:
    """
    The algorithm and the claims of a token with a good signature (RFC 7515, section 5.2).

    Args:
        token: As it came.
        keys: From :func:`._jwks.read_keys`.
        algorithms: What the provider says that it signs with; only those in :data:`._jwks.ALGORITHMS` ever count.
        what: What it is, for messages.
        types: What its ``typ`` may be, in small letters. It may always have none.

    Raises:
        TokenInvalid: With the reason. ``unknown_key`` may pass once the provider's keys are fetched anew.
    """
    if not isinstance(token, str) or len(token) > _MAX_TOKEN or not token.isascii():
        raise TokenInvalid("malformed", f"The {what} is not ASCII text of at most 64 KiB.")
    segments = token.split(".")
    if len(segments) == 5:
        raise TokenInvalid("encrypted", f"The {what} is encrypted; no key to decrypt it was ever agreed on.")
    if len(segments) != 3:
        raise TokenInvalid("malformed", f"The {what} does not have the three parts of a signed JWT.")

    header = _object(segments[0], "header", what)
    if "crit" in header or "b64" in header:
        raise TokenInvalid("critical", f"The {what} demands an extension (crit, b64) that no {what} needs.")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in types:
        raise TokenInvalid("type", f"The token says of itself that it is no {what} (typ).")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in {*ALGORITHMS} & {*algorithms}:
        raise TokenInvalid("algorithm", f"The {what} is signed in a way that is not allowed for this service.")
    kid = header.get("kid")
    if "kid" in header and not isinstance(kid, str):
        raise TokenInvalid("malformed", f"The {what} does not name its key with a string (kid).")

    fitting = signers(keys, algorithm, kid)
    if not fitting:
        raise TokenInvalid("unknown_key", f"The {what} is signed with a key that the service does not list.")
    signature = decode(segments[2])
    signed = f"{segments[0]}.{segments[1]}".encode()
    if signature is None or not is_signed(signed, signature, algorithm, fitting):
        raise TokenInvalid("signature", f"The signature of the {what} is wrong.")
    return algorithm, _object(segments[1], "payload", what)


def _object(segment: str, part: str, what: str) -> dict[str, Any]:
    raw = decode(segment)
    try:
        value = json.loads((raw or b"").decode(), object_pairs_hook=_members)
    except (ValueError, RecursionError):
        value = None
    # Raised out here: the error in there holds the whole text (`.doc`), and would stay behind as `__context__`.
    if not isinstance(value, dict) or not _is_sound(value):
        raise TokenInvalid("malformed", f"The {part} of the {what} is not one sound JSON object.")
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


def check_times(claims: Mapping[str, Any], leeway: int, now: float, *, what: str = "ID token") -> None:
    """
    Is it valid now? ``exp`` and ``iat`` must be there; ``nbf`` and ``auth_time`` count if they are.

    Raises:
        TokenInvalid: It is over, or from the future; the message says that the clocks may be to blame.
    """
    ended = now - moment(claims, "exp", what)
    if ended >= leeway:  # "the current time MUST be before": section 2
        raise TokenInvalid("expired", f"{CLOCK} the {what} ended {span(ended)} ago.")
    early = moment(claims, "iat", what) - now
    if early > leeway:
        raise TokenInvalid("issued_at", f"{CLOCK} the {what} will be issued in {span(early)}.")
    early = moment(claims, "nbf", what) - now if "nbf" in claims else 0
    if early > leeway:
        raise TokenInvalid("not_before", f"{CLOCK} the {what} will be valid in {span(early)}.")
    early = moment(claims, "auth_time", what) - now if "auth_time" in claims else 0
    if early > leeway:
        raise TokenInvalid("auth_time", f"{CLOCK} the person will sign in in {span(early)}.")


def audiences(value: object) -> frozenset[str]:
    """``aud`` as a set; empty if it is not a string or a list of strings (RFC 7519, section 4.1.3)."""
    listed: list[Any] = value if isinstance(value, list) else [value]
    return frozenset(listed) if all(isinstance(audience, str) for audience in listed) else frozenset()


def moment(claims: Mapping[str, Any], name: str, what: str = "ID token") -> float:
    """A NumericDate (RFC 7519, section 2): a number, fractions allowed, between 1970 and the year 9999."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _YEAR_10000:
        raise TokenInvalid("malformed", f"The {what} does not say with a number of seconds when ({name}).")
    return value


def span(seconds: float) -> str:
    """A length of time in words."""
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
