"""Is this ID token ours? Each row names its case in the project's security checklist (CNF-, NRM-, LIB-, TRP-, ADV-)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import pickle
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, utils, x25519
from hypothesis import event, given
from hypothesis import strategies as st

from jupyter_nativeauth import _idtoken
from jupyter_nativeauth._idtoken import Expected, check, check_refreshed
from jupyter_nativeauth._jwks import ALGORITHMS, read_keys
from jupyter_nativeauth._jwt import TokenInvalid
from tests.tries import tries

NOW = 1_790_000_000.0
ISSUER = "https://id.example/tenant"
CLIENT = "natk-client"
NONCE = "NATK-nonce-4f1b"
ACCESS = "NATK-access-77aa"
DROP = object()  # as a claim or header member: leave it out


# --- A signer of our own, so that tokens can be as wrong as they like ---------------------------------------------

PRIVATE: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "rsa2": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "k256": ec.generate_private_key(ec.SECP256K1()),
    "ed": ed25519.Ed25519PrivateKey.generate(),
    "ed448": ed448.Ed448PrivateKey.generate(),
    "x": x25519.X25519PrivateKey.generate(),
}
CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521", "secp256k1": "secp256k1"}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8))


def jwk(name: str, **members: object) -> dict[str, Any]:
    """The public half of a key as an entry of a JWK Set."""
    public = PRIVATE[name].public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        key = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        size, point = (public.key_size + 7) // 8, public.public_numbers()
        key = {"kty": "EC", "crv": CURVES[public.curve.name], "x": number(point.x, size), "y": number(point.y, size)}
    else:
        kind = type(public).__name__.removesuffix("PublicKey").replace("_", "")
        key = {"kty": "OKP", "crv": kind, "x": b64(public.public_bytes_raw())}
    return {**key, "kid": name, "use": "sig", **members}


def sign_bytes(alg: str, name: str, message: bytes) -> bytes:
    key = PRIVATE[name]
    if alg in ("EdDSA", "Ed25519"):
        return key.sign(message)
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[alg[2:]]
    if alg.startswith("ES"):
        r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        size = (key.key_size + 7) // 8
        return r.to_bytes(size) + s.to_bytes(size)
    if alg.startswith("PS"):
        return key.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    return key.sign(message, padding.PKCS1v15(), digest)


def dumps(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def without(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not DROP}


def token(
    payload: object = None, *, name: str = "rsa", alg: str = "RS256", raw_header: object = None, **header: Any
) -> str:
    """A signed token; `payload` and `raw_header` may be bytes, to be as wrong as they like."""
    head = without({"alg": alg, "typ": "JWT", "kid": name, **header}) if raw_header is None else raw_header
    signed = f"{b64(dumps(head))}.{b64(dumps(claims() if payload is None else payload))}"
    return f"{signed}.{b64(sign_bytes(alg, name, signed.encode()))}"


def claims(**changes: Any) -> dict[str, Any]:
    plain = {"iss": ISSUER, "sub": "248289761001", "aud": CLIENT, "exp": NOW + 300, "iat": NOW - 5, "nonce": NONCE}
    return without({**plain, **changes})


KEYS = read_keys({"keys": [jwk(name) for name in PRIVATE]})
EXPECTED = Expected(issuer=ISSUER, client_id=CLIENT, nonce=NONCE, algorithms=ALGORITHMS, access_token=ACCESS)


def at_hash(access: str = ACCESS, name: str = "sha256") -> str:
    digest = hashlib.new(name, access.encode()).digest()
    return b64(digest[: len(digest) // 2])


def refusal(id_token: Any, expected: Expected = EXPECTED, keys: Any = KEYS, now: float = NOW, **more: Any) -> str:
    """The reason of a refusal, whose error must hold nothing of the token, in no place."""
    run = check_refreshed if more else check
    with pytest.raises(TokenInvalid) as caught:
        run(id_token, keys, expected, now=now, **more)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None  # a JSONDecodeError in there would hold the whole text
    text = "".join(traceback.format_exception_only(error)).strip()
    assert text.isascii()
    assert text.isprintable()
    pieces = [NONCE, ACCESS, "248289761001", *(str(id_token).split(".") if isinstance(id_token, str) else ())]
    assert not [piece for piece in pieces if len(piece) > 3 and piece in text]
    return error.reason


# --- What is accepted ---------------------------------------------------------------------------------------------


ALGORITHM_KEYS = [
    ("RS256", "rsa"),
    ("RS384", "rsa"),
    ("RS512", "rsa"),
    ("PS256", "rsa"),
    ("PS384", "rsa"),
    ("PS512", "rsa"),
    ("ES256", "p256"),
    ("ES384", "p384"),
    ("ES512", "p521"),
    ("Ed25519", "ed"),
    ("EdDSA", "ed"),
]


@pytest.mark.parametrize(("alg", "name"), ALGORITHM_KEYS)
def test_each_algorithm(alg: str, name: str) -> None:
    """CNF-001, CNF-002, LIB-045: each allowed algorithm is understood, and no other one is in the list."""
    assert check(token(alg=alg, name=name), KEYS, EXPECTED, now=NOW)["sub"] == "248289761001"


def test_the_list_of_algorithms() -> None:
    """NRM-081: asymmetric algorithms only; HS* and none are not for a public client."""
    assert set(ALGORITHMS) == {
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
    }


ACCEPTED = [
    pytest.param(claims(aud=[CLIENT]), id="CNF-057 aud as a list"),
    pytest.param(claims(aud=[CLIENT, CLIENT]), id="CNF-057 aud names us twice"),
    pytest.param(claims(aud=[CLIENT, "api"], azp=CLIENT), id="NRM-079 two audiences and our azp"),
    pytest.param(claims(azp=CLIENT), id="NRM-079 azp with one audience"),
    pytest.param(claims(exp=NOW - 1), id="NRM-082 exp 1 s ago"),
    pytest.param(claims(exp=NOW - 59), id="NRM-082 exp 59 s ago"),
    pytest.param(claims(exp=NOW + 300.75), id="NRM-082 exp with a fraction"),
    pytest.param(claims(exp=253_402_300_799), id="NRM-082 exp at the end of the year 9999"),
    pytest.param(claims(iat=NOW + 59), id="NRM-083 iat 59 s ahead"),
    pytest.param(claims(iat=NOW + 60), id="LIB-050 iat ahead by just the leeway"),
    pytest.param(claims(iat=NOW - 659, exp=NOW + 1), id="LIB-043 iat 10 min 59 s ago"),
    pytest.param(claims(iat=NOW - 660, exp=NOW + 1), id="LIB-043 iat 11 min ago, leeway included"),
    pytest.param(claims(nbf=NOW + 30), id="LIB-050 nbf within the leeway"),
    pytest.param(claims(nbf=NOW + 60), id="LIB-050 nbf ahead by just the leeway"),
    pytest.param(claims(auth_time=NOW - 10.5), id="LIB-049 auth_time with a fraction"),
    pytest.param(claims(auth_time=NOW + 60), id="LIB-050 auth_time ahead by just the leeway"),
    pytest.param(claims(auth_time=0), id="NRM-085 auth_time at the beginning of 1970"),
    pytest.param(claims(at_hash=at_hash()), id="NRM-087 good at_hash"),
    pytest.param(claims(), id="CNF-058 no at_hash"),
    pytest.param(claims(sub="x" * 255), id="NRM-086 sub of 255 characters"),
    pytest.param(claims(Sub="evil", ISS="evil", AUD="evil"), id="NRM-093 names in other case are other claims"),
    pytest.param(claims(**{str(n): 0 for n in range(5000)}), id="NRM-093 5,000 unknown claims"),
    pytest.param(claims(name="Ada \u00e9\u4e2d \U0001f600", address={"a": [{"b": None}]}), id="NRM-093 any other JSON"),
]


@pytest.mark.parametrize("payload", ACCEPTED)
def test_accepted(payload: dict[str, Any]) -> None:
    """What the standards allow is accepted, and the claims come back as they were."""
    assert check(token(payload), KEYS, EXPECTED, now=NOW) == payload


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"typ": DROP}, id="LIB-046 no typ"),
        pytest.param({"typ": "JWT"}, id="LIB-046 JWT"),
        pytest.param({"typ": "jwt"}, id="LIB-046 media types have no case"),
        pytest.param({"typ": "application/jwt"}, id="LIB-046 application/jwt"),
        pytest.param({"x5c": ["A" * 4000] * 3}, id="LIB-051 a large x5c"),
        pytest.param({"sid": 1, "zip": "DEF"}, id="NRM-093 unknown members"),
    ],
)
def test_accepted_headers(header: dict[str, Any]) -> None:
    """Header members that are not understood are ignored (RFC 7515, section 4); joserfc's 512 bytes do not bind us."""
    assert check(token(**header), KEYS, EXPECTED, now=NOW)["iss"] == ISSUER


# --- What is refused: claims --------------------------------------------------------------------------------------

REFUSED = [
    pytest.param({"iss": ISSUER + "1"}, "issuer", id="CNF-006 iss + 1"),
    pytest.param({"iss": ISSUER + "/"}, "issuer", id="NRM-077 iss with a slash"),
    pytest.param({"iss": ISSUER.upper()}, "issuer", id="NRM-077 iss in capitals"),
    pytest.param({"iss": ISSUER.replace("https", "http")}, "issuer", id="NRM-077 iss on http"),
    pytest.param({"iss": [ISSUER]}, "issuer", id="LIB-041 iss as a list"),
    pytest.param({"iss": None}, "issuer", id="LIB-041 iss null"),
    pytest.param({"iss": DROP}, "issuer", id="CNF-067 no iss"),
    pytest.param({"aud": CLIENT + "1"}, "audience", id="CNF-007 aud + 1"),
    pytest.param({"aud": DROP}, "audience", id="CNF-008 no aud"),
    pytest.param({"aud": [CLIENT, CLIENT + "1"]}, "audience", id="CNF-055 second aud without azp"),
    pytest.param({"aud": [CLIENT, "api"], "azp": "api"}, "azp", id="TRP-21 two aud, azp is the other"),
    pytest.param({"aud": []}, "audience", id="NRM-078 aud empty"),
    pytest.param({"aud": [[CLIENT]]}, "audience", id="NRM-078 aud nested"),
    pytest.param({"aud": [CLIENT, 1]}, "audience", id="NRM-078 aud with a number"),
    pytest.param({"aud": {CLIENT: 1}}, "audience", id="NRM-078 aud as an object"),
    pytest.param({"aud": 7}, "audience", id="NRM-078 aud as a number"),
    pytest.param({"aud": None}, "audience", id="NRM-078 aud null"),
    pytest.param({"aud": CLIENT.upper()}, "audience", id="NRM-078 aud in capitals"),
    pytest.param({"aud": "other", "azp": CLIENT}, "audience", id="LIB-044 aud of another, azp ours"),
    pytest.param({"azp": "other"}, "azp", id="NRM-079 azp other"),
    pytest.param({"azp": ""}, "azp", id="NRM-079 azp empty"),
    pytest.param({"azp": [CLIENT]}, "azp", id="NRM-079 azp as a list"),
    pytest.param({"azp": None}, "azp", id="NRM-079 azp null"),
    pytest.param({"sub": DROP}, "subject", id="CNF-009 no sub"),
    pytest.param({"sub": ""}, "subject", id="NRM-086 sub empty"),
    pytest.param({"sub": 248289761001}, "subject", id="NRM-086 sub as a number"),
    pytest.param({"sub": None}, "subject", id="NRM-086 sub null"),
    pytest.param({"sub": "x" * 256}, "subject", id="NRM-086 sub of 256 characters"),
    pytest.param({"sub": "ad\u00e4"}, "subject", id="NRM-086 sub not ASCII"),
    pytest.param({"sub": "a\nb"}, "subject", id="NRM-086 sub of two lines"),
    pytest.param({"sub": "a\n"}, "subject", id="NRM-086 sub with a line end"),
    pytest.param({"sub": "\ud800"}, "malformed", id="TRP-23 sub a lone surrogate"),
    pytest.param({"name": "\udfff"}, "malformed", id="TRP-23 another claim a lone surrogate"),
    pytest.param({"x": {"\ud800": [1]}}, "malformed", id="TRP-23 a name a lone surrogate"),
    pytest.param({"iat": DROP}, "malformed", id="CNF-010 no iat"),
    pytest.param({"iat": str(NOW)}, "malformed", id="NRM-093 iat a string"),
    pytest.param({"iat": True}, "malformed", id="NRM-093 iat true"),
    pytest.param({"iat": -1}, "malformed", id="NRM-093 iat before 1970"),
    pytest.param({"iat": NOW + 61}, "issued_at", id="LIB-050 iat 61 s ahead"),
    pytest.param({"iat": NOW + 3600}, "issued_at", id="NRM-083 iat an hour ahead"),
    pytest.param({"iat": NOW - 661}, "too_old", id="LIB-043 iat 11 min 1 s ago"),
    pytest.param({"iat": NOW - 7 * 86400}, "too_old", id="CNF-059 iat a week ago"),
    pytest.param({"exp": DROP}, "malformed", id="CNF-067 no exp"),
    pytest.param({"exp": NOW - 60}, "expired", id="NRM-082 exp 60 s ago"),
    pytest.param({"exp": NOW - 61}, "expired", id="NRM-082 exp 61 s ago"),
    pytest.param({"exp": NOW - 360}, "expired", id="CNF-061 exp 360 s ago"),
    pytest.param({"exp": str(NOW + 300)}, "malformed", id="NRM-082 exp a string"),
    pytest.param({"exp": True}, "malformed", id="NRM-082 exp true"),
    pytest.param({"exp": None}, "malformed", id="NRM-082 exp null"),
    pytest.param({"exp": [NOW + 300]}, "malformed", id="NRM-082 exp a list"),
    pytest.param({"exp": math.inf}, "malformed", id="NRM-082 exp Infinity"),
    pytest.param({"exp": math.nan}, "malformed", id="NRM-082 exp NaN"),
    pytest.param({"exp": 10**400}, "malformed", id="NRM-082 exp of 400 digits"),
    pytest.param({"exp": (NOW + 300) * 1000}, "malformed", id="NRM-082 exp in milliseconds"),
    pytest.param({"exp": 253_402_300_800}, "malformed", id="NRM-082 exp in the year 10000"),
    pytest.param({"nbf": NOW + 61}, "not_before", id="LIB-050 nbf 61 s ahead"),
    pytest.param({"nbf": "soon"}, "malformed", id="NRM-093 nbf a string"),
    pytest.param({"nonce": DROP}, "nonce", id="NRM-084 no nonce"),
    pytest.param({"nonce": NONCE + "1"}, "nonce", id="CNF-014 nonce + 1"),
    pytest.param({"nonce": [NONCE]}, "nonce", id="TRP-21 nonce as a list"),
    pytest.param({"nonce": 7}, "nonce", id="NRM-084 nonce a number"),
    pytest.param({"nonce": None}, "nonce", id="NRM-084 nonce null"),
    pytest.param({"nonce": ""}, "nonce", id="NRM-084 nonce empty"),
    pytest.param({"nonce": NONCE.upper()}, "nonce", id="NRM-084 nonce in capitals"),
    pytest.param({"nonce": "n\u00f6"}, "nonce", id="NRM-084 nonce not ASCII"),
    pytest.param({"at_hash": at_hash() + "1"}, "at_hash", id="CNF-026 at_hash + 1"),
    pytest.param({"at_hash": at_hash(name="sha512")}, "at_hash", id="NRM-087 at_hash of another hash"),
    pytest.param({"at_hash": at_hash("other")}, "at_hash", id="NRM-087 at_hash of another token"),
    pytest.param({"at_hash": 7}, "at_hash", id="NRM-087 at_hash a number"),
    pytest.param({"at_hash": None}, "at_hash", id="NRM-087 at_hash null"),
    pytest.param({"at_hash": ""}, "at_hash", id="NRM-087 at_hash empty"),
    pytest.param({"auth_time": "now"}, "malformed", id="NRM-085 auth_time a string"),
    pytest.param({"auth_time": True}, "malformed", id="NRM-085 auth_time true"),
    pytest.param({"auth_time": NOW + 61}, "auth_time", id="LIB-049 auth_time ahead"),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED)
def test_refused_claims(changes: dict[str, Any], reason: str) -> None:
    """A well-signed token with one claim wrong is refused, for that reason."""
    assert refusal(token(claims(**changes))) == reason


@pytest.mark.parametrize(
    ("payload", "case"),
    [
        (b"", "LIB-040 empty"),
        (b"{", "LIB-040 cut off"),
        (b"[]", "LIB-040 a list"),
        (b"null", "LIB-040 null"),
        (b'"text"', "LIB-040 a string"),
        (b"\xff\xfe", "LIB-040 not UTF-8"),
        (b"\xef\xbb\xbf" + dumps(claims()), "LIB-040 a byte order mark"),
        (json.dumps(claims()).encode("utf-16"), "LIB-040 UTF-16"),
        (dumps(claims())[:-1] + b',"sub":"other"}', "TRP-16 sub twice"),
        (dumps(claims())[:-1] + b',"aud":"natk-client"}', "TRP-16 aud twice, the same"),
        (dumps(claims())[:-1] + b',"x":{"y":1,"y":2}}', "TRP-16 an inner member twice"),
        (dumps(claims())[:-1] + b',"x":1e400}', "NRM-082 a number beyond all floats"),
        (dumps(claims())[:-1] + b',"x":NaN}', "NRM-082 NaN anywhere"),
        (dumps(claims())[:-1] + b',"x":' + b"9" * 5000 + b"}", "TRP-16 a number of 5,000 digits"),
        (dumps(claims())[:-1] + b',"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "TRP-22 20,000 lists deep"),
        (dumps(claims())[:-1] + b',"x":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}", "TRP-22 40 objects deep"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_payloads(payload: bytes, case: str) -> None:
    """A well-signed payload that is not one sound JSON object is refused as malformed (TRP-22, LIB-040)."""
    assert refusal(token(payload)) == "malformed"


def test_claims_can_be_stored() -> None:
    """TRP-22, TRP-23: whatever was accepted can be written as strict JSON in UTF-8, from a deep stack too."""
    payload = claims(x=json.loads("[" * 25 + "]" * 25), name="\u00e9")
    json.dumps(check(token(payload), KEYS, EXPECTED, now=NOW), allow_nan=False, ensure_ascii=False).encode()


def test_the_deepest_and_the_longest() -> None:
    """TRP-22, ADV-003: 32 levels, the claims themselves among them, and 64 KiB are accepted; one more is not."""
    assert check(token(claims(x=json.loads("[" * 31 + "]" * 31))), KEYS, EXPECTED, now=NOW)
    assert refusal(token(claims(x=json.loads("[" * 32 + "]" * 32)))) == "malformed"
    room = 65_536 - len(token(claims(x="")))
    longest = token(claims(x="x" * (room * 3 // 4)))
    assert len(longest) == 65_536
    assert check(longest, KEYS, EXPECTED, now=NOW)
    assert refusal(longest + "A") == "malformed"  # and not "signature"


# --- What is refused: the signature and the header ----------------------------------------------------------------


def spoil(id_token: str) -> str:
    head, body, signature = id_token.split(".")
    return f"{head}.{body}.{b64(bytes(byte ^ 0x5A for byte in unb64(signature)))}"


@pytest.mark.parametrize(("alg", "name"), [("RS256", "rsa"), ("PS256", "rsa"), ("ES256", "p256"), ("Ed25519", "ed")])
def test_bad_signature(alg: str, name: str) -> None:
    """CNF-011, CNF-012: every signature byte XOR 0x5A; and no signature, zeros, a short and a long one (TRP-37)."""
    good = token(alg=alg, name=name)
    signed, _, signature = good.rpartition(".")
    raw = unb64(signature)
    for bad in (bytes(byte ^ 0x5A for byte in raw), b"", bytes(len(raw)), raw[:-1], raw + b"\0", raw * 2):
        assert refusal(f"{signed}.{b64(bad)}") == "signature"


def test_der_ecdsa_signature() -> None:
    """TRP-37: an ECDSA signature is the two numbers side by side (RFC 7518, section 3.4), and not DER."""
    signed = token(alg="ES256", name="p256").rpartition(".")[0]
    der = PRIVATE["p256"].sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    assert refusal(f"{signed}.{b64(der)}") == "signature"


def test_signature_of_other_text() -> None:
    """NRM-080: the signature covers the header and the payload."""
    one, two = token().split("."), token(claims(sub="other"), x=1).split(".")
    assert refusal(".".join([one[0], two[1], one[2]])) == "signature"
    assert refusal(".".join([two[0], one[1], one[2]])) == "signature"


def test_alg_none() -> None:
    """CNF-003, CNF-066, ADV-005: no signature is no signature, however none is written, and whatever is expected."""
    lax = replace(EXPECTED, algorithms=("none", "None", "nOnE", "", "RS256"))
    for alg in ("none", "None", "nOnE", "NONE", "", None, [], ["RS256"], 0, {"RS256": 1}):
        signed = f"{b64(dumps({'alg': alg, 'kid': 'rsa'}))}.{b64(dumps(claims()))}"
        assert refusal(f"{signed}.", lax) == "algorithm"
        assert refusal(f"{signed}.{b64(sign_bytes('RS256', 'rsa', signed.encode()))}", lax) == "algorithm"
    signed = f"{b64(dumps({'kid': 'rsa'}))}.{b64(dumps(claims()))}"
    assert refusal(f"{signed}.", lax) == "algorithm"


def hmac_secrets() -> list[bytes]:
    public = PRIVATE["rsa"].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return [pem, pem.rstrip(b"\n"), der, json.dumps(jwk("rsa")).encode(), jwk("rsa")["n"].encode(), b"", b"None"]


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_hmac(alg: str) -> None:
    """CNF-013, ADV-001, ADV-015: HS* is refused outright: with the public key in any form, and with no key at all."""
    lax = replace(EXPECTED, algorithms=(alg, "RS256"))
    for secret in hmac_secrets():
        signed = f"{b64(dumps({'alg': alg, 'kid': 'rsa'}))}.{b64(dumps(claims()))}"
        mac = hmac.digest(secret, signed.encode(), "sha" + alg[2:])
        assert refusal(f"{signed}.{b64(mac)}", lax) == "algorithm"


@pytest.mark.parametrize("alg", ["ES256K", "Ed448", "RS1", "PBES2-HS256+A128KW", "RSA1_5", "dir", "CUSTOM", "RS256 "])
def test_other_algorithms(alg: str) -> None:
    """ADV-015, CNF-056, LIB-045: an algorithm that is not in our own list never counts, even if it is expected."""
    lax = replace(EXPECTED, algorithms=(alg, "RS256"))
    assert refusal(token(raw_header={"alg": alg, "kid": "rsa", "p2c": 2**31, "p2s": "AA"}), lax) == "algorithm"


def test_unexpected_algorithm() -> None:
    """CNF-056, LIB-045: an algorithm that the provider does not list is refused; without a list it is RS256."""
    narrow = replace(EXPECTED, algorithms=("ES256",))
    assert refusal(token(), narrow) == "algorithm"
    assert refusal(token(alg="PS256"), Expected(issuer=ISSUER, client_id=CLIENT, nonce=NONCE)) == "algorithm"
    assert check(token(), KEYS, Expected(issuer=ISSUER, client_id=CLIENT, nonce=NONCE), now=NOW)
    assert refusal(token(), replace(EXPECTED, algorithms=())) == "algorithm"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        pytest.param({"crit": ["exp"], "exp": 1}, "critical", id="LIB-047 crit of an unknown member"),
        pytest.param({"crit": []}, "critical", id="ADV-002 empty crit"),
        pytest.param({"crit": ["b64"], "b64": True}, "critical", id="LIB-047 crit of a known member"),
        pytest.param({"crit": None}, "critical", id="ADV-002 crit null"),
        pytest.param({"b64": False}, "critical", id="ADV-015 b64 without crit"),
        pytest.param({"b64": False, "crit": ["b64"]}, "critical", id="TRP-37 b64 false"),
        pytest.param({"typ": "at+jwt"}, "type", id="LIB-046 an access token"),
        pytest.param({"typ": "at+JWT"}, "type", id="LIB-046 an access token, as Wristband writes it"),
        pytest.param({"typ": "application/at+jwt"}, "type", id="LIB-046 an access token, in full"),
        pytest.param({"typ": "logout+jwt"}, "type", id="LIB-046 a logout token"),
        pytest.param({"typ": "dpop+jwt"}, "type", id="LIB-046 a DPoP proof"),
        pytest.param({"typ": "secevent+jwt"}, "type", id="LIB-046 a security event"),
        pytest.param({"typ": None}, "type", id="LIB-046 typ null"),
        pytest.param({"typ": ["JWT"]}, "type", id="LIB-046 typ a list"),
        pytest.param({"kid": 7}, "malformed", id="LIB-057 kid a number"),
        pytest.param({"kid": None}, "malformed", id="LIB-057 kid null"),
        pytest.param({"kid": ["rsa"]}, "malformed", id="LIB-057 kid a list"),
        pytest.param({"kid": "\ud800"}, "malformed", id="TRP-23 kid a lone surrogate"),
        pytest.param({"kid": "../../rsa"}, "unknown_key", id="LIB-057 kid like a path"),
        pytest.param({"kid": ""}, "unknown_key", id="LIB-057 kid empty"),
        pytest.param({"kid": "RSA"}, "unknown_key", id="NRM-090 kid in capitals"),
    ],
)
def test_refused_headers(header: dict[str, Any], reason: str) -> None:
    """A well-signed token with one header member wrong is refused, for that reason."""
    assert refusal(token(**header)) == reason


@pytest.mark.parametrize("header", [b"", b"{", b"[]", b"null", b"\xff", b'{"alg":"RS256","alg":"none"}', b"[" * 20_000])
def test_broken_headers(header: bytes) -> None:
    """LIB-040, ADV-003: a header that is not one sound JSON object is refused as malformed, nested ones too."""
    assert refusal(token(raw_header=header)) == "malformed"


@pytest.mark.parametrize(
    ("change", "case"),
    [
        (lambda text: text.rpartition(".")[0], "LIB-040 two parts"),
        (lambda text: text + ".", "LIB-040 four parts"),
        (lambda text: "", "LIB-040 nothing"),
        (lambda text: "..", "LIB-040 three empty parts"),
        (lambda text: text.encode(), "LIB-041 bytes"),
        (lambda text: None, "LIB-023 null"),
        (lambda text: 7, "LIB-023 a number"),
        (lambda text: [text], "LIB-023 a list"),
        (lambda text: " " + text, "TRP-37 a blank before"),
        (lambda text: "\u00e9" + text, "TRP-37 not ASCII"),
        (lambda text: text.replace(".", ".\ud800", 1), "TRP-23 a lone surrogate"),
        (lambda text: text.replace(".", "=.", 1), "TRP-37 padding"),
        (lambda text: "A" + text, "LIB-040 not base64"),
        (lambda text: text[:-4] + "x" * 70_000, "ADV-003 more than 64 KiB"),
        (lambda text: "A" * 1_000_000 + text, "ADV-003 a header of 1 MB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_malformed(change: Any, case: str) -> None:
    """What is not the compact form of a signed JWT is refused before anything is computed."""
    assert refusal(change(token())) == "malformed"


@pytest.mark.parametrize("tail", ["\n", " ", "=", "==", "+", "/", "\0"])
def test_signature_spelling(tail: str) -> None:
    """TRP-37: base64url has one spelling; a token with blanks or padding at its end is refused."""
    assert refusal(token() + tail) == "signature"


def test_signature_spelling_of_spare_bits() -> None:
    """TRP-37: the bits of the last letter that carry nothing must be zero, or one token would have many spellings."""
    good = token(alg="ES256", name="p256")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = good[:-1] + alphabet[alphabet.index(good[-1]) + 1]
    assert unb64(other.split(".")[2]) == unb64(good.split(".")[2])
    assert refusal(other) == "signature"


@pytest.mark.parametrize("alg", ["RSA1_5", "RSA-OAEP", "dir", "PBES2-HS256+A128KW"])
def test_encrypted(alg: str) -> None:
    """CNF-070, LIB-048, ADV-003, ADV-008: an encrypted token is refused unread, a zip bomb in it too."""
    header = b64(dumps({"alg": alg, "enc": "A128GCM", "zip": "DEF", "p2c": 2**31}))
    assert refusal(f"{header}.{b64(b'key')}.{b64(b'iv')}.{b64(b'text' * 999)}.{b64(b'tag')}") == "encrypted"


# --- Keys ---------------------------------------------------------------------------------------------------------


def names(keys: list[dict[str, str]]) -> list[str | None]:
    return [key.get("kid") for key in keys]


def test_read_keys() -> None:
    """The usable public keys come back, each with what counts and nothing else, ready to be stored as JSON."""
    entry = jwk("rsa", alg="RS256", x5c=["MII"], key_ops=["verify"], more={"a": 1})
    assert read_keys({"keys": [entry]}) == [{k: entry[k] for k in ("kty", "n", "e", "kid", "alg")}]
    assert json.loads(json.dumps(KEYS)) == KEYS
    assert names(KEYS) == ["rsa", "rsa2", "p256", "p384", "p521", "ed"]  # not: secp256k1, Ed448, X25519


@pytest.mark.parametrize(
    "jwks", [None, [], {}, "keys", 7, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": 7}, {"keys": []}]
)
def test_no_keys(jwks: object) -> None:
    """LIB-056: a JWK Set without a list of keys has no keys, and is no reason to crash."""
    assert read_keys(jwks) == []


def weak(**members: Any) -> dict[str, Any]:
    return {**jwk("rsa"), "kid": "weak", **members}


BAD_KEYS = [
    pytest.param({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}, id="CNF-017 an algorithm of tomorrow"),
    pytest.param({"kty": "FOO"}, id="CNF-017 a made-up kty"),
    pytest.param({"n": "AQAB", "e": "AQAB"}, id="TRP-20 no kty"),
    pytest.param({"kty": ["RSA"]}, id="TRP-20 kty a list"),
    pytest.param(weak(n="!!!"), id="TRP-20 not base64"),
    pytest.param(weak(n=jwk("rsa")["n"] + "="), id="TRP-20 padded base64"),
    pytest.param(weak(n=None), id="TRP-20 n null"),
    pytest.param({k: v for k, v in weak().items() if k != "n"}, id="TRP-20 no n"),
    pytest.param({**jwk("p256"), "crv": "P-999"}, id="TRP-20 an unknown curve"),
    pytest.param({**jwk("p256"), "crv": "P-384"}, id="TRP-20 a point of another curve"),
    pytest.param({**jwk("p256"), "y": jwk("p256")["x"]}, id="TRP-20 a point beside the curve"),
    pytest.param({**jwk("ed"), "x": "AAAA"}, id="TRP-20 a short key"),
    pytest.param(jwk("k256"), id="CNF-016 secp256k1"),
    pytest.param(jwk("x"), id="CNF-016 a key for key agreement"),
    pytest.param(jwk("ed448"), id="CNF-016 Ed448"),
    pytest.param(None, id="TRP-20 null"),
    pytest.param("key", id="TRP-20 a string"),
    pytest.param([], id="TRP-20 a list"),
    pytest.param({"kty": "oct", "k": "c2VjcmV0"}, id="LIB-056 a secret key"),
    pytest.param(weak(k="c2VjcmV0"), id="LIB-056 a secret key in disguise"),
    pytest.param(weak(d="AQAB"), id="LIB-056 a private key"),
    pytest.param({**jwk("ed"), "d": b64(bytes(32))}, id="LIB-056 a private Ed25519 key"),
    pytest.param(weak(use="enc"), id="LIB-057 use enc"),
    pytest.param(weak(use=["sig"]), id="LIB-057 use a list"),
    pytest.param(weak(key_ops=["encrypt"]), id="LIB-057 key_ops without verify"),
    pytest.param(weak(key_ops="verify"), id="LIB-057 key_ops a string"),
    pytest.param(weak(kid=7), id="LIB-057 kid a number"),
    pytest.param(weak(kid="\ud800"), id="TRP-23 kid a lone surrogate"),
    pytest.param(weak(kid="k" * 4097), id="LIB-057 kid of 4,097 characters"),
    pytest.param(weak(alg="HS256"), id="LIB-057 an RSA key for HS256"),
    pytest.param(weak(alg="RSA-OAEP"), id="LIB-057 an RSA key for encryption"),
    pytest.param(weak(alg="ES256"), id="LIB-057 an RSA key for ES256"),
    pytest.param({**jwk("p256"), "alg": "ES384"}, id="LIB-057 P-256 for ES384"),
    pytest.param(weak(alg=None), id="LIB-057 alg null"),
    pytest.param(weak(e="AQ"), id="LIB-057 e = 1"),
    pytest.param(weak(e="Ag"), id="LIB-057 e = 2"),
    pytest.param(weak(e=""), id="LIB-057 e empty"),
    pytest.param(weak(n=number((1 << 1023) + 1)), id="LIB-057 RSA of 1024 bits"),
    pytest.param(weak(n=number((1 << 2046) + 1)), id="LIB-057 RSA of 2047 bits"),
    pytest.param(weak(n=number((1 << 16384) + 1)), id="LIB-057 RSA of 16385 bits"),
    pytest.param(weak(n="A" * 1_000_000), id="LIB-057 a megabyte of key"),
]


@pytest.mark.parametrize("bad", BAD_KEYS)
def test_bad_keys(bad: object, recwarn: pytest.WarningsRecorder) -> None:
    """TRP-20: a key that is bad, weak, secret or not for signatures is left out, and its neighbours still serve."""
    keys = read_keys({"keys": [bad, jwk("rsa"), bad]})
    assert names(keys) == ["rsa"]
    assert check(token(), keys, EXPECTED, now=NOW)
    assert not recwarn.list


def test_stored_keys_are_judged_again() -> None:
    """LIB-057: keys handed to check() without read_keys() get the same treatment: a weak one verifies nothing."""
    for bad in ({**jwk("rsa"), "use": "enc"}, {**jwk("rsa"), "d": "AQAB"}, {**jwk("rsa"), "e": "AQ"}, {"kty": "RSA"}):
        assert refusal(token(), keys=[bad]) == "unknown_key"


def test_a_long_name_of_a_key() -> None:
    """LIB-057: a name may have 4,096 characters, as many as all that is kept of a key."""
    assert names(read_keys({"keys": [jwk("ed", kid="k" * 4096)]})) == ["k" * 4096]


def test_many_keys() -> None:
    """LIB-056: at most 100 keys are kept, of however many."""
    assert len(read_keys({"keys": [jwk("ed", kid=str(n)) for n in range(10_000)]})) == 100


def test_no_kid_and_one_key() -> None:
    """CNF-015: one key, and no kid in the key nor in the token."""
    lone = read_keys({"keys": [without(jwk("rsa", kid=DROP))]})
    assert names(lone) == [None]
    assert check(token(kid=DROP), lone, EXPECTED, now=NOW)


def test_no_kid_and_many_keys() -> None:
    """CNF-016: no kid, and several keys without names: each that fits the algorithm is tried, and no other."""
    several = [without(jwk(name, kid=DROP)) for name in ("k256", "rsa2", "p256", "p384", "x", "ed448", "rsa", "ed")]
    keys = read_keys({"keys": several})
    for alg, name in (("RS256", "rsa"), ("RS256", "rsa2"), ("ES256", "p256"), ("ES384", "p384"), ("EdDSA", "ed")):
        assert check(token(alg=alg, name=name, kid=DROP), keys, EXPECTED, now=NOW)
    assert refusal(spoil(token(kid=DROP)), keys=keys) == "signature"
    assert refusal(token(alg="ES512", name="p521", kid=DROP), keys=keys) == "unknown_key"


def test_one_kid_twice() -> None:
    """LIB-057: with one name for two keys, both are tried, in either order."""
    twins = [jwk("rsa2", kid="twin"), jwk("rsa", kid="twin")]
    for keys in (twins, twins[::-1]):
        assert check(token(kid="twin"), read_keys({"keys": keys}), EXPECTED, now=NOW)
        assert check(token(kid="twin", name="rsa2"), read_keys({"keys": keys}), EXPECTED, now=NOW)


def test_unknown_kid() -> None:
    """CNF-020a, CNF-020b, NRM-090, LIB-055: an unknown key has its own reason; the caller may fetch the keys anew."""
    old = read_keys({"keys": [jwk("rsa2")]})
    assert refusal(token(), keys=old) == "unknown_key"
    assert refusal(token(), keys=[]) == "unknown_key"
    assert check(token(), read_keys({"keys": [jwk("rsa2"), jwk("rsa")]}), EXPECTED, now=NOW)


def test_kid_of_another_kind_of_key() -> None:
    """LIB-057: the key of that name does not fit the algorithm; no other key is tried instead."""
    assert refusal(token(kid="p256")) == "unknown_key"
    assert refusal(token(alg="ES384", name="p384", kid="p256")) == "unknown_key"
    assert refusal(token(kid="rsa2")) == "signature"


def test_alg_of_the_key() -> None:
    """LIB-057: a key that says its algorithm serves only that one; EdDSA and Ed25519 are one (RFC 9864)."""
    assert refusal(token(alg="RS512"), keys=read_keys({"keys": [jwk("rsa", alg="RS256")]})) == "unknown_key"
    for key_says in ("EdDSA", "Ed25519"):
        for token_says in ("EdDSA", "Ed25519"):
            keys = read_keys({"keys": [jwk("ed", alg=key_says)]})
            assert check(token(alg=token_says, name="ed"), keys, EXPECTED, now=NOW)


def test_key_in_the_token() -> None:
    """ADV-006, TRP-37: a key that the token brings along, or says where to get, is not looked at."""
    for header in ({"jwk": jwk("rsa2")}, {"jku": "https://evil.example/keys"}, {"x5u": "https://evil.example/x"}):
        assert refusal(token(name="rsa2", kid="rsa", **header)) == "signature"
        assert refusal(token(name="rsa2", kid="rsa", **header), keys=[]) == "unknown_key"
        assert check(token(**header), KEYS, EXPECTED, now=NOW)


# --- What was asked for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("max_age", "auth_time", "reason"),
    [
        pytest.param(0, NOW - 5, None, id="NRM-085 just signed in"),
        pytest.param(300, NOW - 300, None, id="LIB-049 at the limit"),
        pytest.param(300, NOW - 360, None, id="LIB-050 at the limit with leeway"),
        pytest.param(300, NOW - 361, "auth_time", id="LIB-049 beyond it"),
        pytest.param(0, NOW - 3600, "auth_time", id="NRM-085 max_age=0, signed in an hour ago"),
        pytest.param(300, DROP, "auth_time", id="NRM-085 no auth_time"),
        pytest.param(300, str(NOW), "malformed", id="NRM-085 auth_time a string"),
        pytest.param(None, NOW - 10**6, None, id="NRM-085 not asked for"),
    ],
)
def test_max_age(max_age: int | None, auth_time: Any, reason: str | None) -> None:
    """A max_age that was asked for is checked (OpenID Connect Core, section 3.1.3.7, rule 13)."""
    asked, signed = replace(EXPECTED, max_age=max_age), token(claims(auth_time=auth_time))
    assert (refusal(signed, asked) if reason else check(signed, KEYS, asked, now=NOW) and None) == reason


@pytest.mark.parametrize(
    ("asked", "acr", "reason"),
    [
        pytest.param("mfa", "mfa", None, id="NRM-085 as asked"),
        pytest.param("hwk mfa", "mfa", None, id="NRM-085 one of those asked for"),
        pytest.param("mfa", "pwd", "acr", id="NRM-085 another"),
        pytest.param("mfa", "hwk mfa", "acr", id="NRM-085 two at once"),
        pytest.param("mfa", ["mfa"], "acr", id="NRM-085 a list"),
        pytest.param("mfa", DROP, "acr", id="NRM-085 none"),
        pytest.param(None, "anything", None, id="NRM-085 not asked for"),
    ],
)
def test_acr(asked: str | None, acr: Any, reason: str | None) -> None:
    """An acr that was asked for must be there (OpenID Connect Core, section 3.1.3.7, rule 12)."""
    expected, signed = replace(EXPECTED, acr_values=asked), token(claims(acr=acr))
    assert (refusal(signed, expected) if reason else check(signed, KEYS, expected, now=NOW) and None) == reason


ORGANIZATION = (("org_id", "org_"), ("org_name", ""))


@pytest.mark.parametrize(
    ("asked", "told", "right"),
    [
        ("org_A", {"org_id": "org_A"}, True),
        ("org_A", {"org_id": "org_A", "org_name": "other"}, True),
        ("org_A", {"org_id": "org_a"}, False),
        ("org_A", {"org_id": "org_B", "org_name": "org_A"}, False),
        ("org_A", {}, False),
        ("org_A", {"org_id": ["org_A"]}, False),
        ("Acme", {"org_id": "org_A", "org_name": "acme"}, True),
        ("acme", {"org_name": "other"}, False),
        ("acme", {"org_id": "acme"}, False),
        (None, {"org_id": "org_B"}, True),
    ],
)
def test_organization(asked: str | None, told: dict[str, Any], right: bool) -> None:
    """A0-9: the organization that was asked for, by its id to the letter or by its name in small letters."""
    expected = replace(EXPECTED, organization=asked, organization_claims=ORGANIZATION)
    bare = token(claims(**told))
    if right:
        check(bare, KEYS, expected, now=NOW)
    else:
        assert refusal(bare, expected) == "organization"
    if asked is not None:  # with a service that has no such claim there is nothing to compare with
        check(bare, KEYS, replace(expected, organization_claims=()), now=NOW)


def test_organization_at_a_renewal() -> None:
    """A0-9: a renewed ID token is for the same organization, if it says for which."""
    expected = replace(EXPECTED, organization_claims=ORGANIZATION)
    before = claims(org_id="org_A")
    for told in ({"org_id": "org_A"}, {}):
        check_refreshed(token(claims(**told)), KEYS, expected, now=NOW, before=before)
    assert refusal(token(claims(org_id="org_B")), expected, before=before) == "organization"


def test_no_nonce_expected() -> None:
    """TRP-24: where no nonce was sent (device flow), a token with one belongs to another sign-in."""
    none_sent = replace(EXPECTED, nonce=None)
    assert check(token(claims(nonce=DROP)), KEYS, none_sent, now=NOW)
    assert refusal(token(), none_sent) == "nonce"


def test_previous_nonce() -> None:
    """NRM-084: the token of an earlier sign-in, replayed, is refused."""
    assert check(token(), KEYS, EXPECTED, now=NOW)
    assert refusal(token(), replace(EXPECTED, nonce="NATK-nonce-later")) == "nonce"


@pytest.mark.parametrize(("alg", "name"), ALGORITHM_KEYS)
def test_at_hash_of_each_hash(alg: str, name: str) -> None:
    """NRM-087, ADV-007: at_hash is the left half of the hash that the algorithm itself uses, of this access token."""
    own = "sha512" if alg.startswith("Ed") else "sha" + alg[2:]
    assert check(token(claims(at_hash=at_hash(name=own)), alg=alg, name=name), KEYS, EXPECTED, now=NOW)
    for other in {"sha256", "sha384", "sha512"} - {own}:
        assert refusal(token(claims(at_hash=at_hash(name=other)), alg=alg, name=name)) == "at_hash"


def test_at_hash_without_access_token() -> None:
    """NRM-087: with no access token to compare, at_hash says nothing; a value that is no string is still wrong."""
    alone = replace(EXPECTED, access_token=None)
    assert check(token(claims(at_hash="anything")), KEYS, alone, now=NOW)
    assert refusal(token(claims(at_hash=7)), alone) == "at_hash"
    assert refusal(token(claims(at_hash=at_hash(""))), EXPECTED) == "at_hash"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"issuer": ""}, ValueError),
        ({"client_id": ""}, ValueError),
        ({"nonce": ""}, ValueError),
        ({"acr_values": ""}, ValueError),
        ({"access_token": ""}, ValueError),
        ({"issuer": None}, TypeError),
        ({"client_id": None}, TypeError),
        ({"issuer": [ISSUER]}, TypeError),
        ({"nonce": ["n"]}, TypeError),
        ({"algorithms": "RS256"}, TypeError),
        ({"leeway": -1}, ValueError),
        ({"leeway": 301}, ValueError),
    ],
)
def test_missing_expectations(changes: dict[str, Any], error: type[Exception]) -> None:
    """TRP-24: without an issuer, a client id or a real nonce there is no check to run. LIB-050: 300 s of leeway."""
    with pytest.raises(error):
        replace(EXPECTED, **changes)


@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf])
def test_no_time(now: float) -> None:
    """TRP-24: compared with NaN no token ever ends; such a clock is refused, not the token."""
    with pytest.raises(ValueError, match="No time"):
        check(token(), KEYS, EXPECTED, now=now)


def test_leeway() -> None:
    """LIB-050: the leeway is 60 s unless told, and 0 means to the second."""
    assert refusal(token(claims(exp=NOW)), replace(EXPECTED, leeway=0)) == "expired"
    assert check(token(claims(exp=NOW + 1, iat=NOW)), KEYS, replace(EXPECTED, leeway=0), now=NOW)
    assert refusal(token(claims(iat=NOW + 1)), replace(EXPECTED, leeway=0)) == "issued_at"
    assert check(token(claims(iat=NOW + 300)), KEYS, replace(EXPECTED, leeway=300), now=NOW)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exp": NOW - 360}, "the ID token ended 6 minutes ago."),
        ({"exp": NOW - 61}, "the ID token ended 61 seconds ago."),
        ({"iat": NOW + 3600}, "the ID token will be issued in 60 minutes."),
        ({"iat": NOW - 7 * 86400}, "the ID token of this sign-in was issued 10080 minutes ago."),
        ({"nbf": NOW + 90}, "the ID token will be valid in 90 seconds."),
        ({"nbf": NOW + 119}, "the ID token will be valid in 119 seconds."),
        ({"nbf": NOW + 120}, "the ID token will be valid in 2 minutes."),
        ({"auth_time": NOW + 600}, "the person will sign in in 10 minutes."),
    ],
)
def test_clock_messages(changes: dict[str, Any], message: str) -> None:
    """LIB-050: the message says by how much the clocks differ."""
    with pytest.raises(TokenInvalid) as caught:
        check(token(claims(**changes)), KEYS, EXPECTED, now=NOW)
    assert str(caught.value) == f"This computer's clock and the service's do not agree: by this one, {message}"


def test_the_error_travels() -> None:
    """The error keeps its reason through a pickle."""
    error = pickle.loads(pickle.dumps(TokenInvalid("nonce", "It differs.")))
    assert (error.reason, str(error)) == ("nonce", "It differs.")


def test_expected_does_not_change() -> None:
    """TRP-24: what was expected when the sign-in began is what is checked when it ends."""
    with pytest.raises(FrozenInstanceError):
        EXPECTED.nonce = None  # type: ignore[misc]


def test_expected_does_not_print() -> None:
    """TRP-29: the nonce and the access token do not show in a traceback's list of variables."""
    assert NONCE not in repr(EXPECTED)
    assert ACCESS not in repr(EXPECTED)


# --- After a refresh ----------------------------------------------------------------------------------------------

BEFORE = claims(iat=NOW - 7200, exp=NOW - 3600, auth_time=NOW - 7205)


@pytest.mark.parametrize(
    ("changes", "before"),
    [
        pytest.param({}, BEFORE, id="CNF-031 as the original"),
        pytest.param({"nonce": DROP, "auth_time": DROP}, BEFORE, id="NRM-091 no nonce and no auth_time"),
        pytest.param({"auth_time": NOW - 7205}, BEFORE, id="NRM-091 the same auth_time"),
        pytest.param({"auth_time": NOW - 9}, claims(), id="NRM-091 auth_time only now"),
        pytest.param({"aud": [CLIENT]}, BEFORE, id="NRM-091 aud as a list"),
        pytest.param({"aud": [CLIENT, "api"], "azp": CLIENT}, {**BEFORE, "azp": CLIENT}, id="NRM-091 one aud more"),
        pytest.param({"iat": NOW - 7200}, BEFORE, id="NRM-091 the same iat"),
        pytest.param({"iat": NOW - 7259}, BEFORE, id="LIB-050 iat before the original, within the leeway"),
        pytest.param({"iat": NOW - 7260}, BEFORE, id="LIB-050 iat before the original by just the leeway"),
        pytest.param({"nonce": DROP}, {k: v for k, v in BEFORE.items() if k != "nonce"}, id="NRM-091 never a nonce"),
        pytest.param({"at_hash": at_hash()}, BEFORE, id="CNF-031 at_hash of the new access token"),
    ],
)
def test_refreshed(changes: dict[str, Any], before: dict[str, Any]) -> None:
    """An ID token from a refresh that matches the one of the sign-in is accepted, also hours later."""
    payload = claims(**changes)
    assert check_refreshed(token(payload), KEYS, EXPECTED, now=NOW, before=before) == payload


@pytest.mark.parametrize(
    ("changes", "before", "reason"),
    [
        pytest.param({"iss": ISSUER + "1"}, BEFORE, "issuer", id="CNF-032 iss + 1"),
        pytest.param({}, {**BEFORE, "iss": ISSUER + "1"}, "issuer", id="NRM-091 another iss than before"),
        pytest.param({"sub": "2482897610011"}, BEFORE, "subject", id="CNF-033 sub + 1"),
        pytest.param({"aud": CLIENT + "1"}, BEFORE, "audience", id="CNF-034 aud + 1"),
        pytest.param({}, {**BEFORE, "aud": [CLIENT, "api"]}, "audience", id="NRM-091 an aud less"),
        pytest.param({"azp": CLIENT}, BEFORE, "azp", id="CNF-035 azp only now"),
        pytest.param({"azp": "other"}, BEFORE, "azp", id="CNF-035 azp of another"),
        pytest.param({}, {**BEFORE, "azp": CLIENT}, "azp", id="NRM-091 azp gone"),
        pytest.param({"auth_time": NOW - 5}, BEFORE, "auth_time", id="CNF-036 auth_time changed"),
        pytest.param({"nonce": NONCE + "1"}, BEFORE, "nonce", id="CNF-036 nonce wrong"),
        pytest.param({"nonce": None}, BEFORE, "nonce", id="CNF-036 nonce null"),
        pytest.param({}, {k: v for k, v in BEFORE.items() if k != "nonce"}, "nonce", id="CNF-036 nonce only now"),
        pytest.param({"iat": NOW - 7261}, BEFORE, "issued_at", id="CNF-036 iat before the original"),
        pytest.param({"iat": NOW + 61}, BEFORE, "issued_at", id="NRM-091 iat ahead"),
        pytest.param({"exp": NOW - 61}, BEFORE, "expired", id="NRM-082 expired"),
        pytest.param({"at_hash": at_hash("old")}, BEFORE, "at_hash", id="NRM-087 at_hash of the old access token"),
        pytest.param({"sub": DROP}, BEFORE, "subject", id="CNF-009 no sub"),
        pytest.param({"exp": DROP}, BEFORE, "malformed", id="CNF-067 no exp"),
    ],
)
def test_refreshed_refused(changes: dict[str, Any], before: dict[str, Any], reason: str) -> None:
    """An ID token from a refresh that differs from the one of the sign-in is refused, for that reason."""
    assert refusal(token(claims(**changes)), before=before) == reason


def test_refreshed_signature() -> None:
    """CNF-036: the rules for signatures hold after a refresh too; an unknown key has its own reason."""
    signed = f"{b64(dumps({'alg': 'none'}))}.{b64(dumps(claims()))}"
    assert refusal(f"{signed}.", before=BEFORE) == "algorithm"
    assert refusal(spoil(token()), before=BEFORE) == "signature"
    assert refusal(token(kid="new"), before=BEFORE) == "unknown_key"


@pytest.mark.parametrize("name", ["iss", "sub", "aud"])
def test_nothing_to_compare_with(name: str) -> None:
    """TRP-24: without the claims of the sign-in there is nothing to compare, and the check refuses to run."""
    with pytest.raises(ValueError, match="original"):
        check_refreshed(token(), KEYS, EXPECTED, now=NOW, before={k: v for k, v in BEFORE.items() if k != name})


# --- Imports, and what holds for all tokens -----------------------------------------------------------------------


def test_cheap_import() -> None:
    """Kernels import this module: joserfc and cryptography come only when a token is checked, and never any I/O."""
    program = f"import sys, {_idtoken.__name__}; print(*sys.modules)"
    home = Path(_idtoken.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", program], cwd=home, capture_output=True, text=True, check=True)
    heavy = {"joserfc", "cryptography", "authlib", "httpx", "tornado", "keyring", "socket", "threading", "asyncio"}
    assert heavy & set(run.stdout.split()) == set()


def independent(id_token: str, expected: Expected, now: float) -> bool:
    """A second opinion, on `cryptography` alone: is this token signed by one of our keys, and all that we expect?"""
    head, body, signature = id_token.split(".")
    header, payload = json.loads(unb64(head)), json.loads(unb64(body))
    alg, message, raw = header["alg"], f"{head}.{body}".encode(), unb64(signature)
    kinds = {"RS": "rsa rsa2", "PS": "rsa rsa2", "Ed": "ed"}
    fitting = kinds.get(alg[:2]) or {"ES256": "p256", "ES384": "p384", "ES512": "p521"}[alg]
    good = any(verifies(alg, name, message, raw) for name in fitting.split() if header.get("kid", name) == name)
    aud = payload["aud"] if isinstance(payload["aud"], list) else [payload["aud"]]
    return (
        good
        and alg in expected.algorithms
        and header.get("typ", "JWT").lower() in ("jwt", "application/jwt")
        and "crit" not in header
        and payload["iss"] == expected.issuer
        and expected.client_id in aud
        and payload.get("azp", expected.client_id) == expected.client_id
        and (set(aud) == {expected.client_id} or "azp" in payload)
        and type(payload["sub"]) is str
        and 0 < len(payload["sub"].encode("ascii")) < 256
        and payload["nonce"] == expected.nonce
        and all(type(payload[name]) in (int, float) for name in ("exp", "iat"))
        and payload["exp"] + 60 > now
        and -60 <= now - payload["iat"] <= 660
        and payload.get("at_hash", at_hash()) in (at_hash(), at_hash(name="sha384"), at_hash(name="sha512"))
        and (expected.max_age is None or now - payload["auth_time"] <= expected.max_age + 60)
    )


def verifies(alg: str, name: str, message: bytes, raw: bytes) -> bool:
    public = PRIVATE[name].public_key()
    try:
        if name == "ed":
            public.verify(raw, message)
            return True
        digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[alg[2:]]
        if alg.startswith("ES"):
            size = (public.key_size + 7) // 8
            r, s = int.from_bytes(raw[:size]), int.from_bytes(raw[size:])
            public.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(digest))
            return len(raw) == 2 * size
        pad = padding.PSS(padding.MGF1(digest), digest.digest_size) if alg.startswith("PS") else padding.PKCS1v15()
        public.verify(raw, message, pad, digest)
        return True
    except InvalidSignature:
        return False


ODD_TEXTS = ["", "x", ISSUER, ISSUER + "/", CLIENT, CLIENT + " ", NONCE, NONCE.lower(), at_hash(), str(NOW), "\u00e9"]
ODD_NUMBERS = [True, 0, -1, 1.5, NOW, NOW - 61, NOW + 61, NOW - 700, 10**30]
ODD = st.sampled_from([DROP, None, *ODD_TEXTS, *ODD_NUMBERS, [], [CLIENT], [CLIENT, "api"], {}])
CLAIM_NAMES = ["iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "at_hash", "auth_time", "acr", "name"]
CLAIM = st.tuples(st.sampled_from(CLAIM_NAMES), ODD)
HEADER = st.tuples(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x"]),
    st.sampled_from([DROP, None, *ALGORITHMS, "none", "HS256", "rsa", "rsa2", "p256", "at+jwt", "JWT", [], ["exp"], 7]),
)
SIGNER = st.sampled_from(
    [("RS256", "rsa"), ("PS384", "rsa"), ("RS256", "rsa2"), ("ES256", "p256"), ("ES512", "p521"), ("EdDSA", "ed")]
)


@tries(400)
@given(
    signer=SIGNER,
    changed=st.lists(CLAIM, max_size=2),
    header=st.lists(HEADER, max_size=2),
    edit=st.none() | st.tuples(st.integers(0, 5000), st.sampled_from("Aa0-_.=+ ")),
    shift=st.sampled_from([0, 0, 0, 30, -30, 61, 700, -700, 10**6]),
    max_age=st.none() | st.integers(0, 100),
)
def test_no_mutant_is_accepted(
    signer: tuple[str, str],
    changed: list[tuple[str, Any]],
    header: list[tuple[str, Any]],
    edit: tuple[int, str] | None,
    shift: int,
    max_age: int | None,
) -> None:
    """FUZ-004, NRM-080: what is accepted is signed by a listed key and all that was expected: a second check agrees."""
    alg, name = signer
    mutant = token(claims(**dict(changed)), alg=alg, name=name, raw_header=head(alg, name, header))
    if edit:
        place = edit[0] % len(mutant)
        mutant = mutant[:place] + edit[1] + mutant[place + 1 :]
    expected = replace(EXPECTED, max_age=max_age)
    try:
        result = check(mutant, KEYS, expected, now=NOW + shift)
    except TokenInvalid as refused:
        event(refused.reason)
        return
    event("accepted")
    assert independent(mutant, expected, NOW + shift)
    assert result == json.loads(unb64(mutant.split(".")[1]))


def head(alg: str, name: str, changes: list[tuple[str, Any]]) -> dict[str, Any]:
    return without({"alg": alg, "kid": name, "typ": "JWT", **dict(changes)})


@tries(100)
@given(SIGNER, st.sampled_from([0, 30, -50, 250]), st.dictionaries(st.sampled_from("abc"), st.text(max_size=3)))
def test_every_good_token_is_accepted(signer: tuple[str, str], shift: int, more: dict[str, str]) -> None:
    """FUZ-004, CNF-001: what the independent check accepts, ours accepts."""
    good = token(claims(**more), alg=signer[0], name=signer[1])
    assert independent(good, EXPECTED, NOW + shift)
    assert check(good, KEYS, EXPECTED, now=NOW + shift)["sub"] == "248289761001"


@tries(200)
@given(st.text() | st.lists(st.text(alphabet="eyJhbGciOiJ_-=09."), max_size=5).map(".".join))
def test_any_text(text: str) -> None:
    """LIB-040: any text at all is refused with our own error, and nothing else comes out."""
    with pytest.raises(TokenInvalid):
        check(text, KEYS, EXPECTED, now=NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ENTRY = JSON | st.dictionaries(
    st.sampled_from(["kty", "n", "e", "crv", "x", "y", "d", "use", "key_ops", "alg", "kid"]),
    JSON | st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", "sig", "RS256", jwk("rsa")["n"]]),
)


@tries(200)
@given(st.lists(ENTRY, max_size=4), JSON)
def test_any_keys(entries: list[Any], jwks: object) -> None:
    """FUZ-005, TRP-20: reading keys never raises, and a good key survives any neighbours."""
    json.dumps(read_keys(jwks))
    assert "rsa" in names(read_keys({"keys": [*entries, jwk("rsa")]}))
