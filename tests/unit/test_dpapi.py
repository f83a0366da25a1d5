"""
Windows' data protection, as its documentation describes it: sealed for one person on one machine.

Not run on a real Windows: the double below does what dpapi.h promises (own entropy only, own logon only).
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth._backends import unavailable
from jupyter_nativeauth._dpapi import Dpapi
from jupyter_nativeauth._keychain import Keychain
from jupyter_nativeauth.errors import KeySourceUnavailable
from jupyter_nativeauth.keys import Keys
from jupyter_nativeauth.testing import KeySourceContract

NTE_BAD_KEY_STATE = -2146893813  # "Key not valid for use in specified state": another person, or a reset password


class Logon:
    """One person's logon: what it seals, no other opens."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(16)

    def __call__(self, function: str, data: bytes) -> bytes:
        mark = hashlib.sha256(self._secret).digest()
        if function == "CryptProtectData":
            return mark + bytes(a ^ b for a, b in zip(data, hashlib.shake_256(mark).digest(len(data)), strict=True))
        if data[:32] != mark:
            error = OSError("Key not valid for use in specified state.")
            error.winerror = NTE_BAD_KEY_STATE  # type: ignore[attr-defined]
            raise error
        return self("CryptProtectData", data[32:])[32:]


def no_credential_manager(environ: Mapping[str, str], **_: Any) -> Any:
    raise unavailable("keychain_missing", "Windows has no Credential Manager for this kind of logon (1312).")


def keys(folder: Path, logon: Logon) -> Keys:
    keychain = Keychain(folder, {}, opener=no_credential_manager)
    return Keys(folder, environ={}, keychain=keychain, dpapi=Dpapi(folder, logon))


class TestWithoutCredentialManager(KeySourceContract):
    """The chain goes on to DPAPI, and not to memory."""

    def make_keys(self, folder: Path) -> Keys:
        return keys(folder, Logon())


def test_another_process_of_the_same_person_opens_it(tmp_path: Path) -> None:
    """The login outlives the process, and nothing that opens it stands in the file."""
    logon = Logon()
    made = keys(tmp_path, logon).find(create=True)
    assert made is not None
    assert (made.source, keys(tmp_path, logon).find()) == ("dpapi", made)
    assert made.value not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("create", [False, True])
def test_another_person_is_told_and_nothing_is_overwritten(tmp_path: Path, *, create: bool) -> None:
    """Also after the administrator has reset the password: an error that names the file, never a new key."""
    keys(tmp_path, Logon()).find(create=True)
    before = (tmp_path / "dpapi.key").read_bytes()
    with pytest.raises(KeySourceUnavailable) as raised:
        keys(tmp_path, Logon()).find(create=create)
    assert raised.value.code == "dpapi_error"
    assert "dpapi.key" in str(raised.value)
    assert raised.value.hint
    assert (tmp_path / "dpapi.key").read_bytes() == before


def test_a_file_that_holds_something_else(tmp_path: Path) -> None:
    """What opens but is no key is not used as one."""
    logon = Logon()
    (tmp_path / "dpapi.key").write_bytes(logon("CryptProtectData", b"short"))
    with pytest.raises(KeySourceUnavailable, match="something else"):
        keys(tmp_path, logon).find()
