"""A home of its own, with somebody signed in: what the benchmarks and their child processes run in."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jupyter_nativeauth._account import Account
from jupyter_nativeauth._accounts import Accounts, use_accounts
from jupyter_nativeauth._metadata import Provider as Metadata
from jupyter_nativeauth._tokens import Identity, Login, Secret
from tests.isolation import FOREIGN, Home

NEVER = "http://127.0.0.1:9"  # nothing listens there


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """This process's environment, with these on top and without what would lead to the real home."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def stage(origin: str = NEVER, *, profiles: int = 1, **variables: str) -> Iterator[Home]:
    """
    A home with a key file and *profiles* profiles at *origin*, which is the API as well; ``acme`` is the first.

    Args:
        origin: Of :class:`benchmarks.provider.Provider`.
        profiles: How many there are; the others are called ``acme1``, ``acme2`` ...
        variables: More of the environment. An empty ``JUPYTER_NATIVEAUTH_KEY_FILE`` leaves the key to the keychain.
    """
    home = Home(Path(tempfile.mkdtemp(prefix="na-")))
    for folder in home.env.values():
        Path(folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    key = home.folder / "key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(32))
    (home.config / "nativeauth.toml").write_text("\n".join(_profile(number, origin) for number in range(profiles)))
    with environment(**{**home.env, "JUPYTER_NATIVEAUTH_KEY_FILE": str(key), **variables}):
        before = use_accounts(Accounts())
        try:
            yield home
        finally:
            use_accounts(before)
            shutil.rmtree(home.folder, ignore_errors=True)


def _profile(number: int, origin: str) -> str:
    return f"""
[profiles.acme{number or ""}]
issuer = "{origin}"
client_id = "cli{number}"
api = ["{origin}"]
"""


def sign_in(account: Account, *, expires_in: float = 3600.0) -> None:
    """
    Put a login into the vault, as a sign-in does.

    Args:
        account: Whose.
        expires_in: Seconds for which the access token is good; negative if it is over.
    """
    account.key(create=True)
    origin, profile = account.issuer, account.profile
    now = time.time()
    account.save(
        Login(
            login_id=secrets.token_hex(16),
            identity=Identity(profile.name, origin, "ada", "Ada Lovelace", None),
            provider=Metadata(origin, f"{origin}/authorize", f"{origin}/token", f"{origin}/keys"),
            client_id=profile.client_id,
            audience="",
            organization="",
            scopes=("openid",),
            access_token=Secret(secrets.token_urlsafe(24)),
            expires_at=now + expires_in,
            lifetime=3600.0,
            refresh_token=Secret(secrets.token_urlsafe(24)),
            id_token=None,
            signed_in_at=now,
        )
    )
