"""Runs in: the tests. A profile, a provider, a key and a login to begin with, none of which any network has seen."""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyter_nativeauth import NativeAuthError, ProviderUnavailable
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._http import Answer
from jupyter_nativeauth._metadata import Provider
from jupyter_nativeauth._oauth import Ask, AuthorizationRequest, Post, authorization_request
from jupyter_nativeauth._tokens import Body, Identity, Login, Secret
from jupyter_nativeauth.keys import Key, Keys
from jupyter_nativeauth.profiles import Profile

ISSUER = "https://id.example"
CLIENT = "cli"
CALLBACK = "http://127.0.0.1:8888/nativeauth/callback"

PROVIDER = Provider(
    issuer=ISSUER,
    authorization_endpoint=f"{ISSUER}/authorize",
    token_endpoint=f"{ISSUER}/token",
    jwks_uri=f"{ISSUER}/keys",
    userinfo_endpoint=f"{ISSUER}/userinfo",
    revocation_endpoint=f"{ISSUER}/revoke",
    end_session_endpoint=f"{ISSUER}/end",
    scopes_supported=("openid", "profile", "email", "offline_access"),
    sends_iss=True,
)


def profile(name: str = "acme", **changes: Any) -> Profile:
    """A profile at the provider above."""
    return Profile(name, **{"issuer": ISSUER, "client_id": CLIENT, "api": ["https://api.example"], **changes})


def provider(**changes: Any) -> Provider:
    return replace(PROVIDER, **changes)


def key(source: str = "server") -> Key:
    """A new key."""
    return Key(secrets.token_bytes(32), source, "a test's key")


def secret(kind: str) -> Secret:
    """A new secret that the sweep recognises wherever it turns up."""
    return Secret(f"NATK-{kind}-{secrets.token_urlsafe(24)}")


def login(**changes: Any) -> Login:
    """A login whose access token lasts for an hour from second 1,000,000 on."""
    known: dict[str, Any] = {
        "login_id": secrets.token_hex(16),
        "identity": Identity(
            "acme", ISSUER, "user-1", "Ada Example", "ada@example.org", {"iss": ISSUER, "sub": "user-1", "aud": CLIENT}
        ),
        "provider": PROVIDER,
        "client_id": CLIENT,
        "audience": "",
        "organization": "",
        "scopes": ("openid", "profile"),
        "access_token": secret("access"),
        "expires_at": 1_003_600.0,
        "lifetime": 3600.0,
        "refresh_token": secret("refresh"),
        "id_token": secret("id"),
        "keys": ({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},),
        "signed_in_at": 1_000_000.0,
    }
    return Login(**{**known, **changes})


def request(ask: Ask | None = None, of: Provider | None = None, **changes: Any) -> AuthorizationRequest:
    """A sign-in that has begun; *changes* are the profile's."""
    return authorization_request(profile(**changes), of or PROVIDER, CALLBACK, ask or Ask())


def open_files(folder: Path) -> list[str]:
    """The files below *folder* that this process has open, deleted ones included."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:  # the one that lists them is closed by now
            continue
    return [name for name in found if name.startswith(f"{folder}/")]


def assert_fit_to_show(error: NativeAuthError) -> None:
    """
    INV-03: an error's words are one line of printable ASCII without a secret, and not a page of them. Only the example
    of a profile, for who has none, is a few lines.
    """
    shown = f"{error} {error.code} {error.hint}"
    if error.code == "no_profile":
        shown = shown.replace("\n", "")
    assert shown.isascii()
    assert shown.isprintable()
    assert "NATK" not in shown
    assert len(shown) < 1500
    assert error.code


class Desk:
    """
    What an account talks to instead of a network: answers in order, and what was asked.

    Attributes:
        posts: The forms that were posted, as (address, form).
        answers: What to answer: an answer, an error to raise, or a function of the form. The last one stays.
    """

    def __init__(self, *answers: Any) -> None:
        self.posts: list[tuple[str, dict[str, str]]] = []
        self.gets: list[str] = []
        self.answers = list(answers)

    def post(self, post: Post, *, bearer: Secret | None = None) -> Answer:
        self.posts.append((post.url, dict(post.form)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(dict(post.form))
        if isinstance(answer, BaseException):
            raise answer
        assert isinstance(answer, Answer)
        return answer

    def get(self, url: str, *, bearer: Secret | None = None) -> Answer:
        self.gets.append(url)
        raise ProviderUnavailable("There is no network here.")


def answer(
    status: int = 200, content_type: str = "application/json", retry_after: float | None = None, **members: Any
) -> Answer:
    """A token endpoint's answer."""
    return Answer(status, content_type, Body(json.dumps(members).encode() if members else b""), retry_after)


def tokens(**changes: Any) -> Answer:
    """A good answer with new tokens; ``...`` removes a member."""
    known = {"access_token": secret("access").reveal(), "refresh_token": secret("refresh").reveal(), "expires_in": 3600}
    return answer(**{name: value for name, value in {**known, **changes}.items() if value is not ...})


def account(folder: Path, desk: Any = None, clock: Any = time, keys: Keys | None = None, **changes: Any) -> Account:
    """An account of the profile ``acme`` whose key is in a server's memory, and which talks to *desk*."""
    keys = keys or Keys(folder, server=True, environ={})
    keys.find("memory", create=True)
    made = profile(**{"key_source": "memory", **changes})
    return Account(made, keys, folder, client=desk, clock=clock)
