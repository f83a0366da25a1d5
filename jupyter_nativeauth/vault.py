"""
Runs in: everywhere. The vault: one sealed file that holds one login.

The head is readable by anyone who may read the file, so that "did it change?" costs one small read; it is
authenticated together with the body and the profile's name, so that neither head nor file can be swapped.

    magic  schema  state  key source  generation  login id  key id | nonce | AES-256-GCM(body)
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ._files import replace_file
from ._lock import FileLock, MemoryLock
from ._tokens import Login, Members
from .errors import StoreError, VaultDamaged, VaultTooNew

__all__ = ["Contents", "FileVault", "Header", "MemoryVault", "Vault", "header_of", "sealed_with_other_keys"]

_HEAD = struct.Struct(">4sBB16sQ16s8s")
_GENERATION = struct.Struct(">Q")
_GENERATION_AT = 4 + 1 + 1 + 16
_MAGIC = b"JNAV"
_SCHEMA = 1
_NONCE = 12
_LARGEST = 4 * 1024 * 1024
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Header(NamedTuple):
    """What a vault says without its key."""

    signed_in: bool
    key_source: str
    generation: int
    login_id: str
    key_id: bytes


class Contents(NamedTuple):
    """A vault's header and the JSON object that it holds."""

    header: Header
    record: Members

    def login(self) -> Login:
        """
        The login that the vault holds.

        Raises:
            VaultDamaged: It is something else, or a part of it is missing.
        """
        try:
            return Login.from_record(self.record)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise VaultDamaged("The stored login is damaged: a part is missing.", hint="Sign in again.") from None


class SealingKey(Protocol):
    """What a vault needs of a key; :class:`jupyter_nativeauth.keys.Key` is one."""

    @property
    def value(self) -> bytes: ...
    @property
    def source(self) -> str: ...
    @property
    def id(self) -> bytes: ...


class Holding(Protocol):
    """What a vault needs of a lock; :class:`jupyter_nativeauth._lock.FileLock` is one."""

    def hold(self, *, limit: float, leave: Callable[[], bool] = ...) -> contextlib.AbstractContextManager[bool]: ...


class Vault(Protocol):
    """Where one login is kept. Only ``_store.py`` and ``_tombstone.py`` write to it."""

    @property
    def refresh_lock(self) -> Holding:
        """Held around a renewal, network and all."""

    @property
    def write_lock(self) -> Holding:
        """Held for the milliseconds of read again, compare, replace. Every writer takes it."""

    def generation(self) -> int:
        """A number that differs after each write; 0 if nothing was ever written. Compare it with ``!=`` only."""

    def header(self) -> Header | None:
        """The header, or ``None`` if nothing was ever written."""

    def read(self) -> Contents | None:
        """Header and body, or ``None``. Raises :exc:`VaultDamaged` or :exc:`VaultTooNew`."""

    def write(self, record: dict[str, Any], *, login_id: str, signed_in: bool) -> Header:
        """
        Replace the contents, all or nothing. The caller holds ``write_lock``.

        What is damaged is set aside first. Raises :exc:`VaultTooNew`, and leaves alone what a newer version wrote.
        """

    def set_aside(self, *, generation: int | None = None) -> None:
        """
        Move a damaged file out of the way, so that nothing of it is lost. Takes ``write_lock``.

        With *generation* also one that opens, if it is still that one: what is in it makes no sense.
        """

    def was_damaged(self) -> bool:
        """Whether a damaged file was set aside, and nothing was written since."""


class FileVault:
    """
    A vault on disk: ``<folder>/<profile>.<first 8 hex of the key id>.vault``, readable by its owner alone.

    Args:
        folder: An existing private folder (:func:`jupyter_nativeauth._files.private_folder`).
        profile: The profile's name.
        key: What seals the file.
    """

    def __init__(self, folder: Path, profile: str, key: SealingKey) -> None:
        stem = f"{folder}{os.sep}{profile}.{key.id.hex()[:8]}"
        self.path = f"{stem}.vault"
        self.write_lock = FileLock(f"{stem}.lock")
        self.refresh_lock = FileLock(f"{stem}.refresh.lock")
        self._profile = profile
        self._key = key

    def __repr__(self) -> str:
        return f"<FileVault {self.path}>"

    def generation(self) -> int:
        head = self._bytes(_HEAD.size)
        if head is None:
            return 0
        return _GENERATION.unpack_from(head, _GENERATION_AT)[0] if len(head) == _HEAD.size else -1 - len(head)

    def header(self) -> Header | None:
        head = self._bytes(_HEAD.size)
        return _read_head(head) if head else None

    def read(self) -> Contents | None:
        sealed = self._bytes(_LARGEST)
        if sealed is None:
            return None
        header = _read_head(sealed[: _HEAD.size])
        if header is None:
            raise self._damaged("it is not a vault")
        if header.key_id != self._key.id:
            raise self._damaged("it was sealed with another key")
        nonce, body = sealed[_HEAD.size : _HEAD.size + _NONCE], sealed[_HEAD.size + _NONCE :]
        try:
            record = json.loads(self._cipher().decrypt(nonce, body, self._bound(sealed[: _HEAD.size])))
        except Exception:  # noqa: BLE001 - InvalidTag, ValueError, UnicodeDecodeError: all say the same
            raise self._damaged("it does not open with its key") from None
        if not isinstance(record, dict):
            raise self._damaged("its contents are not a JSON object")
        return Contents(header, Members(record))

    def write(self, record: dict[str, Any], *, login_id: str, signed_in: bool) -> Header:
        record = Members(record)
        try:
            self.read()
        except VaultDamaged:
            self._move_aside()
        generation = _generation_after(self.generation())
        header = Header(signed_in, self._key.source, generation, login_id, self._key.id)
        head = _HEAD.pack(
            _MAGIC,
            _SCHEMA,
            signed_in,
            header.key_source.encode("ascii"),
            header.generation,
            bytes.fromhex(login_id),
            header.key_id,
        )
        nonce = secrets.token_bytes(_NONCE)
        # The plain text gets no name: tracebacks show variables.
        sealed = self._cipher().encrypt(
            nonce, json.dumps(record, separators=(",", ":")).encode("ascii"), self._bound(head)
        )
        self._replace(head + nonce + sealed)
        return header

    def set_aside(self, *, generation: int | None = None) -> None:
        with self.write_lock.hold(limit=10):
            try:
                contents = self.read()
            except VaultDamaged:
                self._move_aside()
            else:
                if contents is not None and contents.header.generation == generation:
                    self._move_aside()

    def was_damaged(self) -> bool:
        return not Path(self.path).exists() and Path(f"{self.path}.damaged").exists()

    def _bytes(self, size: int) -> bytes | None:
        # The hot path of every request: three system calls.
        try:
            descriptor = os.open(self.path, _READ)
            try:
                return os.read(descriptor, size)
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"Cannot read {self.path}: {error.strerror}.", code="unreadable") from None

    def _move_aside(self) -> None:
        aside = f"{self.path}.damaged"
        try:
            if Path(aside).exists():
                os.replace(aside, f"{self.path}.{time.time_ns()}.damaged")  # noqa: PTH105 - nothing is thrown away
            os.replace(self.path, aside)  # noqa: PTH105 - the path is a str for speed
        except OSError as error:
            raise StoreError(f"Cannot move {self.path} aside: {error.strerror}.", code="unwritable") from None

    def _bound(self, head: bytes) -> bytes:
        return head + self._profile.encode("ascii")

    def _cipher(self) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._key.value)

    def _damaged(self, why: str) -> VaultDamaged:
        return VaultDamaged(
            f"The stored login of {self._profile!r} is damaged: {why} ({self.path}).",
            hint="It is kept as a file that ends in .damaged. Sign in again.",
        )

    def _replace(self, sealed: bytes) -> None:
        folder = Path(self.path).parent
        for stale in folder.glob(f"{Path(self.path).name}.*.tmp"):
            stale.unlink(missing_ok=True)  # of a process that was killed: we hold the write lock, so nobody is writing
        replace_file(self.path, sealed)


class MemoryVault:
    """A vault in this process's memory: no file, no key, gone with the process."""

    def __init__(self, profile: str, key: SealingKey) -> None:
        self.write_lock: Holding = MemoryLock()
        self.refresh_lock: Holding = MemoryLock()
        self._profile = profile
        self._key = key
        self._contents: Contents | None = None

    def generation(self) -> int:
        return self._contents.header.generation if self._contents else 0

    def header(self) -> Header | None:
        return self._contents.header if self._contents else None

    def read(self) -> Contents | None:
        return self._contents

    def write(self, record: dict[str, Any], *, login_id: str, signed_in: bool) -> Header:
        generation = _generation_after(self.generation())
        header = Header(signed_in, self._key.source, generation, login_id, self._key.id)
        self._contents = Contents(header, Members(json.loads(json.dumps(record))))
        return header

    def set_aside(self, *, generation: int | None = None) -> None:
        """Memory does not get damaged; what makes no sense is forgotten."""
        if self._contents is not None and self._contents.header.generation == generation:
            self._contents = None

    def was_damaged(self) -> bool:
        return False


def _generation_after(before: int) -> int:
    # The clock makes it unlikely that a number comes back after the vault was lost; nobody reads it as a time.
    return max(before + 1, time.time_ns())


def sealed_with_other_keys(folder: Path, profile: str, key: SealingKey | None) -> list[Header]:
    """Headers of this profile's vaults that *key* does not open, such as those of a server that has stopped."""
    found = []
    for path in sorted(folder.glob(f"{profile}.*.vault")):
        try:
            header = header_of(path)
        except (OSError, VaultTooNew):
            continue
        if header is not None and (key is None or header.key_id != key.id):
            found.append(header)
    return found


def header_of(path: Path) -> Header | None:
    """The header of a vault's file, or ``None`` if it is none. Raises :exc:`VaultTooNew`."""
    return _read_head(path.read_bytes()[: _HEAD.size])


def _read_head(head: bytes) -> Header | None:
    if len(head) < _HEAD.size or head[:4] != _MAGIC:
        return None
    _, schema, state, source, generation, login_id, key_id = _HEAD.unpack(head)
    if schema > _SCHEMA:
        raise VaultTooNew(
            "A newer version of jupyter_nativeauth wrote the stored login.",
            hint="Upgrade jupyter-nativeauth in this environment.",
        )
    words = source.rstrip(b"\0").decode("ascii", "replace")
    return Header(state == 1, words, generation, login_id.hex(), key_id)
