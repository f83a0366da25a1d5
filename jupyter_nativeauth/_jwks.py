"""
Runs in: everywhere. The keys that a provider signs ID tokens with, and whether one of them did. No I/O.

joserfc does the cryptography. Which key may serve which algorithm is decided here, from the key and our own table.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from joserfc.jwk import DictKey, Key

__all__ = ["ALGORITHMS", "decode", "hash_of", "is_signed", "prepare", "read_keys", "signers"]

# The algorithm, the key that it needs (kty, crv), and the hash of its at_hash (OpenID Connect Core, section 3.1.3.6).
# Asymmetric ones only: a public client has no secret, and a public key must never serve as one (RFC 8725, section 2.1).
_FITS = {
    "RS256": ("RSA", None, "sha256"),
    "RS384": ("RSA", None, "sha384"),
    "RS512": ("RSA", None, "sha512"),
    "PS256": ("RSA", None, "sha256"),
    "PS384": ("RSA", None, "sha384"),
    "PS512": ("RSA", None, "sha512"),
    "ES256": ("EC", "P-256", "sha256"),
    "ES384": ("EC", "P-384", "sha384"),
    "ES512": ("EC", "P-521", "sha512"),
    "Ed25519": ("OKP", "Ed25519", "sha512"),
    "EdDSA": ("OKP", "Ed25519", "sha512"),  # the older name of the same (RFC 9864, section 2.2)
}
ALGORITHMS: tuple[str, ...] = tuple(_FITS)

_MATERIAL = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
_MAX_KEYS = 100
_MAX_TEXT = 4096  # characters; the modulus of 16384 bits has 2731


def read_keys(jwks: object) -> list[dict[str, str]]:
    """
    Take the usable signature keys out of a JWK Set (RFC 7517), at most 100; the result can be stored as JSON.

    Each key is judged alone, so that a bad one does not spoil its neighbours. Left out: keys for encryption, secret
    and private ones (whoever publishes one has lost it), RSA below 2048 bits, and all that is not understood.

    Example:
        >>> read_keys({"keys": [{"kty": "oct", "k": "c2VjcmV0"}, {"kty": "AKP"}, None]})
        []
    """
    entries = jwks.get("keys") if isinstance(jwks, Mapping) else None
    usable: list[dict[str, str]] = []
    for entry in entries if isinstance(entries, list) else ():
        if len(usable) == _MAX_KEYS:
            break
        public = _public(entry)
        if public is not None and _load(public) is not None:
            usable.append(public)
    return usable


def prepare() -> None:
    """
    Import now what looks at a signature. It is three hundred files, and no import may take its time, or fail, while an
    answer is here that replaces a refresh token and is not stored yet.
    """
    import joserfc.jwk
    import joserfc.jws  # noqa: F401


def signers(keys: Sequence[Mapping[str, Any]], algorithm: str, kid: str | None) -> list[Key]:
    """
    The keys that may have signed with *algorithm*: all of that *kid*, or all that fit if the token names none.

    *keys* are judged anew: they come from a file.
    """
    public = (_public(key) for key in keys)
    loaded = (_load(key) for key in public if key is not None and _fits(key, algorithm, kid))
    return [key for key in loaded if key is not None]


def is_signed(signed: bytes, signature: bytes, algorithm: str, keys: Sequence[Key]) -> bool:
    """Whether *signature* is one of *signed*, by one of *keys*."""
    from joserfc.jws import JWSRegistry

    # Asked directly, not through a registry's `deserialize`: that one reads the header and the key's name once more,
    # by its own rules, and takes the first of two keys of one name.
    model = JWSRegistry.algorithms[algorithm]

    def signed_by(key: Key) -> bool:
        try:
            return model.verify(signed, signature, key)
        except Exception:  # noqa: BLE001 - whatever goes wrong while verifying, it was not verified
            return False

    return any(signed_by(key) for key in keys)


def hash_of(algorithm: str) -> str:
    """The name, for hashlib, of the hash that *algorithm* signs."""
    return _FITS[algorithm][2]


def decode(segment: str) -> bytes | None:
    """Base64url without padding (RFC 7515, section 2), in its one canonical spelling; else ``None``."""
    if not re.fullmatch(r"[A-Za-z0-9_-]*", segment) or len(segment) % 4 == 1:
        return None
    raw = urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    return raw if urlsafe_b64encode(raw).rstrip(b"=") == segment.encode() else None


def _public(entry: object) -> dict[str, str] | None:
    """The few members of a JWK that count, if they are such as a signature key may have."""
    if not isinstance(entry, Mapping) or _PRIVATE & entry.keys():
        return None
    names = ("kty", *_MATERIAL.get(str(entry.get("kty")), ()), "kid", "alg")
    public = {name: entry[name] for name in names if name in entry}
    if not all(_is_text(value) for value in public.values()):
        return None
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    return public if any(_fits(public, algorithm, None) for algorithm in ALGORITHMS) else None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _MAX_TEXT and not re.search("[\ud800-\udfff]", value)


def _fits(key: Mapping[str, str], algorithm: str, kid: str | None) -> bool:
    kty, crv, _ = _FITS[algorithm]
    # RFC 9864 gave EdDSA over Ed25519 a name of its own; the keys and tokens of one provider may mix the two.
    names = ("Ed25519", "EdDSA") if kty == "OKP" else (algorithm,)
    return (
        key.get("kty") == kty
        and (crv is None or key.get("crv") == crv)
        and key.get("alg", algorithm) in names
        and (kid is None or key.get("kid") == kid)
    )


def _load(key: Mapping[str, str]) -> Key | None:
    """The key, ready to verify with; ``None`` if it is broken or weak."""
    from joserfc.jwk import import_key

    try:
        # Not the rest of the entry: joserfc would judge, and stumble over, members that do not concern us.
        material: DictKey = {name: key[name] for name in ("kty", *_MATERIAL[key["kty"]])}
        return import_key(material) if key["kty"] != "RSA" or _is_strong(key["n"]) else None
    except Exception:  # noqa: BLE001 - joserfc answers bad keys with KeyError, ValueError, TypeError and its own
        return None


def _is_strong(modulus: str) -> bool:
    # NIST SP 800-131A wants 2048 bits; OpenSSL takes at most 16384. cryptography refuses exponents that are none.
    return 2048 <= int.from_bytes(decode(modulus) or b"").bit_length() <= 16384
