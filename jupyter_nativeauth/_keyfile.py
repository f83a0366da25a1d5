"""
Runs in: everywhere. A key that somebody else provides: a file with 32 bytes, mounted or made by hand, or by systemd.

For machines without a keychain whose logins have to outlive the Jupyter server. The file is read, never written.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from .errors import KeySourceUnavailable

__all__ = ["CREDENTIAL", "KEY_FILE_VARIABLE", "key_in_file", "named_key_file", "private_bytes"]

KEY_FILE_VARIABLE = "JUPYTER_NATIVEAUTH_KEY_FILE"
CREDENTIAL = "jupyter_nativeauth.key"
"""The name of the credential in systemd's ``$CREDENTIALS_DIRECTORY`` (systemd.exec(5), ``LoadCredential=``)."""

_LARGEST = 4096
_MAKE = "Make one with: (umask 077; head -c 32 /dev/urandom > FILE)"


def named_key_file(environ: Mapping[str, str]) -> str:
    """The file that the environment names for the key; empty if it names none."""
    if path := environ.get(KEY_FILE_VARIABLE, ""):
        return path
    folder = environ.get("CREDENTIALS_DIRECTORY", "")
    return str(Path(folder, CREDENTIAL)) if folder and Path(folder, CREDENTIAL).exists() else ""


def key_in_file(path: str) -> bytes:
    """
    The 32 bytes of the key in *path*: as they are, or as one line of Base64 or hex.

    Raises:
        KeySourceUnavailable: ``key_file_missing``, ``key_file_open`` (others may read or change it) or
            ``key_file_malformed``. The hint says what to do.
    """
    if not path:
        raise KeySourceUnavailable(
            "No key file is named.",
            code="key_file_missing",
            hint=f"Set {KEY_FILE_VARIABLE} to its path, for the Jupyter server and for scripts. {_MAKE}",
        )
    content = private_bytes(path, what="The key file", missing=_MAKE)
    value = content if len(content) == 32 else _decoded(content.strip())
    if len(value) != 32:
        raise KeySourceUnavailable(
            f"The key file {path} does not hold a key: that is 32 random bytes, or those in Base64 or hex.",
            code="key_file_malformed",
            hint=f"Nothing was changed. {_MAKE}",
        )
    if len(set(value)) < 8:
        # Random bytes never repeat so much: this file was made by hand, or is empty.
        raise KeySourceUnavailable(
            f"What the key file {path} holds is not random.", code="key_file_malformed", hint=_MAKE
        )
    return value


def private_bytes(path: str, *, what: str, missing: str) -> bytes:
    """
    What a file holds that only this person, or the system for them, may read.

    Links are followed: that is how containers mount secrets.

    Args:
        path: The file.
        what: What it is called in errors.
        missing: What to do if it is not there.

    Raises:
        KeySourceUnavailable: It cannot be read, or others could read or change it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):  # a pipe would keep us waiting
                raise _malformed(path, what, "is not a file")
            if sys.platform != "win32":
                _check_owner(path, what, facts)
            content = os.read(descriptor, _LARGEST + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise KeySourceUnavailable(f"{what} {path} is not there.", code="key_file_missing", hint=missing) from None
    except OSError as error:
        raise KeySourceUnavailable(
            f"{what} {path} cannot be read: {error.strerror}.",
            code="key_file_missing",
            hint="It must be readable by the user who runs Jupyter, and by nobody else.",
        ) from None
    if len(content) > _LARGEST:
        raise _malformed(path, what, "is too large")
    return content


def _malformed(path: str, what: str, why: str) -> KeySourceUnavailable:
    return KeySourceUnavailable(f"{what} {path} {why}.", code="key_file_malformed", hint="Nothing was changed.")


def _check_owner(path: str, what: str, facts: os.stat_result) -> None:
    mine = facts.st_uid == os.geteuid()
    # What root mounts for one service is often readable for its group, or by an access list that shows as such.
    others = 0o077 if mine else 0o037
    if not mine and facts.st_uid != 0:
        raise KeySourceUnavailable(
            f"{what} {path} belongs to another user.",
            code="key_file_open",
            hint="It must belong to the user who runs Jupyter, or to root.",
        )
    if facts.st_mode & others:
        raise KeySourceUnavailable(
            f"Others may read or change {path} (its mode is {facts.st_mode & 0o777:o}).",
            code="key_file_open",
            hint=f"If nobody has: chmod 600 {path}, or mount it with mode 0400. If somebody may have, take a new one.",
        )


def _decoded(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii")) if len(text) == 64 else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""
