"""
Runs in: everywhere. Locks between processes: ``flock`` on a file beside what it guards.

Why not a library: a waiter must be able to leave when somebody else has done its work, a live lock must never be
broken, and a forked child must not unlock its parent's (``flock`` belongs to the open file, not to the process).
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import LockTimeout, StoreError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["FileLock", "MemoryLock"]

_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_held: set[int] = set()


def _never() -> bool:
    return False


class FileLock:
    """
    A lock that all processes of this person see. The file is made when needed and never deleted.

    Args:
        path: The lock file. Its folder must exist, on a local disk, and belong to this person alone.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)

    @contextlib.contextmanager
    def hold(self, *, limit: float, leave: Callable[[], bool] = _never) -> Iterator[bool]:
        """
        Hold the lock for the length of a ``with`` block.

        Args:
            limit: Seconds to wait for the lock.
            leave: Asked about every 10 ms while waiting; once it is true, the block runs *without* the lock.

        Yields:
            Whether the lock is held.

        Raises:
            LockTimeout: Somebody else held it for longer than *limit*.
            StoreError: This file system has no locks, or the file cannot be opened.
        """
        until = time.monotonic() + limit
        while (descriptor := self._try()) is None:
            if leave():
                yield False
                return
            if time.monotonic() > until:
                raise LockTimeout(
                    f"Another process has held {self._path} for more than {limit:.0f} seconds.",
                    hint="Try again; if it stays so, look for a stopped or hanging Jupyter or Python process.",
                )
            time.sleep(random.uniform(0.005, 0.015))  # noqa: S311 - jitter, so that waiters do not march in step
        owner = os.getpid()
        try:
            yield True
        finally:
            if os.getpid() == owner:
                _release(descriptor)

    def _try(self) -> int | None:
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            try:
                descriptor = os.open(self._path, flags, 0o600)
            except FileNotFoundError:
                Path(self._path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                return None
            _held.add(descriptor)
            ours = False
            try:
                _lock(descriptor)
                # Somebody may have deleted the file after we opened it: then we hold a lock that nobody else sees.
                ours = os.path.samestat(os.fstat(descriptor), os.stat(self._path))  # noqa: PTH116 - one call less
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno not in _BUSY:
                    raise
            finally:
                if not ours:
                    _close(descriptor)
        except OSError as error:
            raise StoreError(
                f"Cannot lock {self._path}: {error.strerror}.",
                code="lock_failed",
                hint="The folder must be writable, on a local disk, with space left.",
            ) from None
        return descriptor if ours else None


class MemoryLock:
    """
    The lock of a login in memory. A forked child never gets it: both would redeem the same refresh token.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()

    @contextlib.contextmanager
    def hold(self, *, limit: float, leave: Callable[[], bool] = _never) -> Iterator[bool]:
        """Like :meth:`FileLock.hold`."""
        if os.getpid() != self._process:
            raise StoreError(
                "This login lives in the memory of the process that signed in; a forked child cannot renew or end it.",
                code="forked",
                hint='Sign in with a key source that processes share, such as `key_source = "keychain"`.',
            )
        until = time.monotonic() + limit
        while not self._lock.acquire(timeout=0.01):
            if leave():
                yield False
                return
            if time.monotonic() > until:
                raise LockTimeout(f"Another thread has held the login for more than {limit:.0f} seconds.")
        try:
            yield True
        finally:
            self._lock.release()


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        # Closing alone would not do: a child that was forked meanwhile may still have the file open.
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _release(descriptor: int) -> None:
    try:
        _unlock(descriptor)
    finally:
        _close(descriptor)


def _close(descriptor: int) -> None:
    _held.discard(descriptor)
    os.close(descriptor)


def _forget_parent_locks() -> None:
    """In a forked child: close the parent's lock files, without unlocking them."""
    while _held:
        with contextlib.suppress(OSError):
            os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent_locks)
