"""Access tokens that a service asks its clients to check: only what it signed, for us, and now. No I/O."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from jupyter_nativeauth._accesstoken import check_access_token
from jupyter_nativeauth._jwks import read_keys
from jupyter_nativeauth._jwt import TokenInvalid
from tests.emulators.base import signing_key

NOW = 1_790_000_000.0
ISSUER, CLIENT = "https://acme.scalekit.dev", "ntvc_1"
CLAIMS: dict[str, Any] = {"iss": ISSUER, "aud": [CLIENT], "exp": NOW + 299, "iat": NOW, "nbf": NOW, "sub": "usr_1"}
KEYS = read_keys({"keys": [signing_key(0).as_dict(private=False)]})


def token(key: int = 0, header: dict[str, Any] | None = None, **changes: Any) -> str:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    head = {"alg": "RS256", "typ": "JWT", "kid": f"key-{key}", **(header or {})}
    signer = RSAKey.import_key(signing_key(key).as_dict(private=True) | {"alg": head["alg"]})
    return jwt.encode(head, claims, signer, algorithms=["RS256", "RS384"])


def check(bare: str, now: float = NOW, keys: Any = KEYS) -> None:
    check_access_token(bare, keys, issuer=ISSUER, client_id=CLIENT, algorithms=("RS256",), now=now)


@pytest.mark.parametrize("aud", [CLIENT, [CLIENT], ["other", CLIENT]])
@pytest.mark.parametrize("typ", ["JWT", "at+jwt", "application/at+jwt"])
def test_a_token_that_is_right(aud: Any, typ: str) -> None:
    """SK-6: the audience in each form; clocks may differ by a minute. RFC 9068, section 2.1: a type of its own."""
    for now in (NOW, NOW - 59, NOW + 358):
        check(token(header={"typ": typ}, aud=aud), now)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": f"{ISSUER}/"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"aud": ["other"]}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": [CLIENT, 7]}, "audience"),
        ({"exp": NOW - 61}, "expired"),
        ({"exp": None}, "malformed"),
        ({"nbf": NOW + 61}, "not_before"),
        ({"iat": NOW + 61}, "issued_at"),
        ({"key": 1}, "unknown_key"),
        ({"key": 1, "header": {"kid": "key-0"}}, "signature"),
        ({"header": {"alg": "RS384"}}, "algorithm"),
        ({"header": {"typ": "logout+jwt"}}, "type"),
    ],
    ids=str,
)
def test_a_token_that_is_wrong(changes: dict[str, Any], reason: str) -> None:
    """SK-6: signature, issuer, audience and times; the message says that it is the access token, and nothing of it."""
    with pytest.raises(TokenInvalid) as caught:
        check(token(**changes))
    assert caught.value.reason == reason
    assert "usr_1" not in str(caught.value)


@pytest.mark.parametrize("bare", ["", "opaque", "a.b", "a.b.c", "a.b.c.d.e", "e30.e30.", "\N{BULLET}.a.b"])
def test_what_is_no_jwt(bare: str) -> None:
    """SK-6: refused in words, not with an error of a library."""
    with pytest.raises(TokenInvalid, match="access token"):
        check(bare)
