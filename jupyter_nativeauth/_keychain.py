"""
Runs in: everywhere. One item in the OS keychain: the key of this person's vaults. Written once, and read back.

Each call runs in a daemon thread with a limit, because keychains have none of their own: one that is frozen, or waits
for an answer on a screen that nobody sees, would keep the caller forever.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import queue
import re
import secrets
import stat
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ._backends import Asleep, OpenRing, Ring, open_ring, refused_backend, translated, unavailable
from ._files import private_folder, replace_file
from ._lock import FileLock
from .errors import KeySourceUnavailable, StoreError

__all__ = ["MISSING", "SILENT_LIMIT", "Item", "Keychain"]

SILENT_LIMIT, PROMPT_LIMIT = 3.0, 60.0  # seconds; the second one is for a person who may have to find a password
LOCK_LIMIT = 65.0  # seconds: somebody else may be looking at that very prompt
REMEMBER = 30.0  # seconds for which a keychain that kept us waiting is not asked again

MISSING = frozenset({"keychain_missing", "keychain_refused"})
"""The codes that say that there is no keychain to use, rather than that it failed."""

_SLOW = MISSING | {
    "keychain_timeout",
    "keychain_error",
}  # not "locked": that answer is quick, and a person may unlock it
_SERVICE, _USER = "jupyter_nativeauth:key:", "vault-key"
_TRIES = 3

T = TypeVar("T")


class Item(NamedTuple):
    """What the keychain holds for us. The value does not show."""

    value: bytes
    label: str

    def __repr__(self) -> str:
        return f"Item({self.label!r})"


class Keychain:
    """
    The key in the OS keychain.

    Args:
        folder: Holds ``install.json``, whose ``install_id`` is part of the item's name, so that two homes of one person
            never overwrite each other's key.
        environ: The environment.
        opener: Opens another keychain, for tests.
        clock: Seconds, for how long a failure is remembered.
        silent_limit: Seconds that a call may take when nobody asked for it.
        prompt_limit: Seconds that a call may take when a person is waiting.
    """

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str] = os.environ,
        *,
        opener: OpenRing = open_ring,
        clock: Callable[[], float] = time.monotonic,
        silent_limit: float = SILENT_LIMIT,
        prompt_limit: float = PROMPT_LIMIT,
    ) -> None:
        self._folder = folder
        self._environ = environ
        self._opener = opener
        self._clock = clock
        self._limits = (silent_limit, prompt_limit)
        self._rest: tuple[float, KeySourceUnavailable] | None = None

    def find(self, *, interactive: bool, create: bool) -> Item | None:
        """
        The item, or ``None`` if there is none.

        Args:
            interactive: Whether the keychain may ask this person to unlock it.
            create: Whether to make the item if there is none.

        Raises:
            KeySourceUnavailable: ``keychain_missing`` and ``keychain_refused`` (there is no keychain to use),
                ``keychain_locked``, ``keychain_timeout``, ``keychain_plaintext``, ``keychain_error``.
            StoreError: The folder or ``install.json`` is not as we left it.
        """
        if refused := refused_backend(self._environ):
            raise unavailable("keychain_refused", refused)
        wanted = interactive or create
        if not wanted and self._rest and self._clock() < self._rest[0]:
            raise unavailable(self._rest[1].code, str(self._rest[1].args[0]), self._rest[1].hint)
        try:
            item = self._do(self._look, interactive=interactive, create=create)
            if item is None and create:
                # The lock is taken and let go by the thread that works: a write that outlives its limit keeps it, or
                # it would overwrite the key of whoever comes next.
                lock = FileLock(_own_folder(self._folder) / "install.lock").hold(limit=LOCK_LIMIT)
                item = self._do(self._make, interactive=interactive, create=create, lock=lock)
        except KeySourceUnavailable as error:
            if not wanted and error.code in _SLOW:
                self._rest = (self._clock() + REMEMBER, error)
            raise
        self._rest = None
        return item

    def remove(self) -> None:
        """
        Delete the item, without a prompt: for a folder that is about to go, such as that of a demo.

        Raises:
            KeySourceUnavailable: The keychain cannot be used now.
        """

        def delete(ring: Ring) -> None:
            if install_id := _install_id(self._folder):
                ring.delete_password(f"{_SERVICE}{install_id}", _USER)

        self._do(delete, interactive=False, create=False)

    def _look(self, ring: Ring) -> Item | None:
        return _read(ring, _install_id(self._folder))

    def _make(self, ring: Ring) -> Item:
        """Write the item. The caller holds ``install.lock``."""
        known = _install_id(self._folder)
        if known and (item := _read(ring, known)):
            return item  # somebody else was faster
        install_id, value = known or secrets.token_hex(16), secrets.token_bytes(32)
        ring.set_password(f"{_SERVICE}{install_id}", _USER, _pack(value))
        written = None
        with contextlib.suppress(KeySourceUnavailable):
            written = _read(ring, install_id)
        if written is None or written.value != value:
            with contextlib.suppress(Exception):
                ring.delete_password(f"{_SERVICE}{install_id}", _USER)
            raise unavailable("keychain_error", "The keychain did not give back what was written to it.")
        if not known:
            # Only now: that this file exists says that the keychain has held a key of ours.
            _write_install_id(self._folder, install_id)
        return written

    def _do(
        self,
        work: Callable[[Ring], T],
        *,
        interactive: bool,
        create: bool,
        lock: AbstractContextManager[Any] | None = None,
    ) -> T:
        """
        Do *work* in a daemon thread, holding *lock*, and wait for it until the limit.

        Not ``concurrent.futures``: the interpreter joins its threads when it exits, so a frozen keychain would keep the
        process alive.
        """
        limit = self._limits[interactive]
        outcome: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()

        def run() -> None:
            try:
                with lock or nullcontext():
                    ring = self._opener(self._environ, interactive=interactive, create=create, limit=limit)
                    # The limit counts from here: a hundred kernels that start at once import for seconds.
                    outcome.put(("begun", None))
                    outcome.put(("done", work(ring)))
            except BaseException as error:  # noqa: BLE001 - whatever it is, the waiting thread hears of it
                # Translated here, without this thread's frames: they and the backend's words hold what was read.
                outcome.put(("failed", translated(error, limit).with_traceback(None)))

        threading.Thread(target=run, name="nativeauth-keychain", daemon=True).start()
        try:
            how, what = outcome.get(timeout=LOCK_LIMIT + 5)
            if how == "begun":
                how, what = outcome.get(timeout=limit)
        except queue.Empty:
            raise unavailable("keychain_timeout", f"The keychain did not answer within {limit:g} seconds.") from None
        if how == "failed":
            raise what
        result: T = what
        return result


def _read(ring: Ring, install_id: str) -> Item | None:
    for _ in range(_TRIES):  # KWallet gives one read in 200 garbled, which is why the value checks itself
        try:
            text = ring.get_password(f"{_SERVICE}{install_id or 'none'}", _USER)
        except UnicodeDecodeError:
            continue
        except Asleep:
            # It can be started, and only a sign-in may do so. Whether that matters: did it ever hold a key of ours?
            if install_id:
                raise unavailable("keychain_locked", "The keychain is not running.") from None
            raise unavailable("keychain_missing", "No keychain is running.") from None
        if text is None:
            return None
        if value := _unpack(text):
            return Item(value, ring.label)
    raise unavailable(
        "keychain_error",
        f"The item {_SERVICE}{install_id} in the keychain is damaged.",
        hint="Delete that item and sign in again.",
    )


def _pack(value: bytes) -> str:
    return base64.b64encode(value + hashlib.sha256(value).digest()[:8]).decode("ascii")


def _unpack(text: str) -> bytes | None:
    try:
        packed = base64.b64decode(text, validate=True) if len(text) == 56 else b""
    except ValueError:
        return None
    value, check = packed[:32], packed[32:]
    return value if len(value) == 32 and hashlib.sha256(value).digest()[:8] == check else None


def _own_folder(folder: Path) -> Path:
    # Before it is made private: what others could write to until now is not ours to trust.
    with contextlib.suppress(OSError):
        mode = folder.lstat().st_mode
        if sys.platform != "win32" and stat.S_ISDIR(mode) and mode & 0o022:
            raise StoreError(
                f"Others can write to {folder}.", code="folder", hint="Look into it, then chmod it to 700."
            )
    return private_folder(folder)


def _install_id(folder: Path) -> str:
    """The name of this home's item, or ``""`` if none was ever written."""
    if not os.path.lexists(folder):
        return ""
    path = _own_folder(folder) / "install.json"
    try:
        install_id = json.loads(path.read_bytes()[:4096])["install_id"]
        if re.fullmatch("[0-9a-f]{32}", install_id):
            return str(install_id)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        pass
    raise StoreError(f"{path} is damaged.", code="install_damaged", hint="Delete it and sign in again.")


def _write_install_id(folder: Path, install_id: str) -> None:
    replace_file(str(folder / "install.json"), json.dumps({"install_id": install_id}).encode("ascii"))
