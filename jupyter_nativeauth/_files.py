"""
Runs in: everywhere. Files of one person alone, each replaced all or nothing, and the folder that they are in.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
import time
from pathlib import Path

from .errors import StoreError

__all__ = ["private_folder", "replace_file"]


def private_folder(folder: Path) -> Path:
    """
    Make *folder* if needed, and make sure that only this person can use it.

    Raises:
        StoreError: It is a link, belongs to somebody else, or cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode):
            raise StoreError(f"{folder} is not a folder.", code="folder", hint="Move it away.")
        if sys.platform != "win32":
            if facts.st_uid != os.getuid():
                raise StoreError(f"{folder} belongs to another user.", code="folder", hint="Move it away.")
            if facts.st_mode & 0o077:
                folder.chmod(0o700)
    except OSError as error:
        raise StoreError(f"Cannot use the folder {folder}: {error.strerror}.", code="folder") from None
    return folder


def replace_file(path: str, content: bytes) -> None:
    """
    Write *content* to *path*: whoever reads it finds the old or the new file, also after a power failure.

    Raises:
        StoreError: It cannot be written; the old file is still there.
    """
    temporary = f"{path}.{secrets.token_hex(6)}.tmp"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with open(os.open(temporary, flags, 0o600), "wb") as file:  # noqa: PTH123 - opened with the right mode
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _rename(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise StoreError(
            f"Cannot write {path}: {error.strerror}.",
            code="unwritable",
            hint="The folder must be writable, with space left.",
        ) from None


def _rename(temporary: str, path: str) -> None:
    if sys.platform == "win32":
        # A virus scanner or a reader may have the file open for a moment.
        for pause in (0.01, 0.05, 0.1, 0.2, 0.5):
            with contextlib.suppress(PermissionError):
                os.replace(temporary, path)  # noqa: PTH105
                return
            time.sleep(pause)
        os.replace(temporary, path)  # noqa: PTH105
    else:
        os.replace(temporary, path)  # noqa: PTH105
        # The rename itself survives a power failure only once the folder is on disk too.
        descriptor = os.open(os.path.dirname(path), os.O_RDONLY)  # noqa: PTH120
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
