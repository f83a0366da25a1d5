"""The secret of a confidential client: sealed, for one client of one service, and there after a sign-out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth import ConfigError
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._client_secret import ClientSecret
from jupyter_nativeauth._tokens import Secret
from jupyter_nativeauth.keys import Key, Keys
from jupyter_nativeauth.profiles import Profile
from tests.samples import assert_fit_to_show, secret

WB = {"provider": "wristband", "application_domain": "app.example", "client_id": "cli", "client_type": "confidential"}


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path, server=True, environ={})


def key_of(keys: Keys) -> Key:
    key = keys.find("memory", create=True)
    assert key is not None
    return key


def place(keys: Keys, folder: Path, name: str = "acme", **changes: Any) -> ClientSecret:
    return ClientSecret(Profile(name, **{**WB, "key_source": "memory", **changes}), keys, folder)


def missing(where: ClientSecret) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        where.read()
    assert_fit_to_show(caught.value)
    assert caught.value.code == "client_secret_missing"
    return caught.value


def test_it_is_kept_sealed(keys: Keys, tmp_path: Path) -> None:
    """It comes back; another process that finds the key reads it too; no file holds it in plain text."""
    given = secret("client_secret")
    place(keys, tmp_path).set(given, key_of(keys))
    assert place(keys, tmp_path).read() == given
    (path,) = tmp_path.glob("*.vault")
    assert path.stat().st_mode & 0o777 == 0o600
    assert given.reveal() not in repr(vars(place(keys, tmp_path)))


@pytest.mark.parametrize("change", [{"client_id": "other"}, {"application_domain": "evil.example"}, {"name": "other"}])
def test_it_is_for_one_client_of_one_service(keys: Keys, tmp_path: Path, change: dict[str, str]) -> None:
    """A profile that was pointed elsewhere sends no secret there, and says what to do."""
    place(keys, tmp_path).set(secret("client_secret"), key_of(keys))
    error = missing(place(keys, tmp_path, **change))
    assert f"jupyter nativeauth secret set {change.get('name', 'acme')}" in error.hint


def test_there_is_none(keys: Keys, tmp_path: Path) -> None:
    """Without a key, without a file, with another key, and after it was removed: the same sentence."""
    missing(place(keys, tmp_path))
    key = key_of(keys)
    missing(place(keys, tmp_path))
    assert not place(keys, tmp_path).remove()
    place(keys, tmp_path).set(secret("client_secret"), key)
    other = Keys(tmp_path, server=True, environ={})
    key_of(other)
    missing(place(other, tmp_path))
    assert place(keys, tmp_path).remove()
    missing(place(keys, tmp_path))


def test_a_damaged_file_is_no_secret(keys: Keys, tmp_path: Path) -> None:
    """A new one can be set at once."""
    place(keys, tmp_path).set(secret("client_secret"), key_of(keys))
    (path,) = tmp_path.glob("*.vault")
    path.write_bytes(b"nonsense")
    missing(place(keys, tmp_path))
    given = secret("client_secret")
    place(keys, tmp_path).set(given, key_of(keys))
    assert place(keys, tmp_path).read() == given


def test_it_is_no_login(keys: Keys, tmp_path: Path) -> None:
    """Beside it nobody is signed in: not here, and not with another key either."""
    profile = Profile("acme", **{**WB, "key_source": "memory"})
    place(keys, tmp_path).set(secret("client_secret"), key_of(keys))
    account = Account(profile, keys, tmp_path)
    assert account.login_id() == ""
    other = Keys(tmp_path, server=True, environ={})
    key_of(other)
    assert not Account(profile, other, tmp_path).is_sealed_elsewhere()


def test_it_never_prints(keys: Keys, tmp_path: Path) -> None:
    """Neither the place nor what comes out of it shows the secret."""
    place(keys, tmp_path).set(Secret("NATK-client_secret-0123456789abcdef"), key_of(keys))
    assert "0123456789" not in f"{place(keys, tmp_path)} {place(keys, tmp_path).read()!r}"
