"""
Runs in: the server (writes), kernels (read). How a sign-in is going that the server runs for a kernel that waits.

A small file beside the vault. It holds nothing secret: whoever can read the folder may know it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ._files import replace_file

__all__ = ["Progress", "read_progress", "write_progress"]


@dataclass(frozen=True)
class Progress:
    """
    Attributes:
        attempt: Which sign-in.
        server: The key agent's path, so that kernels of other servers do not take it for theirs.
        phase: ``waiting``, ``signed_in`` or ``failed``.
        started: Seconds since the epoch.
        until: Seconds since the epoch at which it ends by itself.
        code, message, hint: Of the error, if it failed.
    """

    attempt: str
    server: str
    phase: str
    started: float
    until: float
    code: str = ""
    message: str = ""
    hint: str = ""


def _path(folder: Path, profile: str) -> Path:
    return folder / f"{profile}.status"


def write_progress(folder: Path, profile: str, progress: Progress) -> None:
    """
    Replace the file, all or nothing.

    Raises:
        StoreError: It cannot be written.
    """
    replace_file(str(_path(folder, profile)), json.dumps(asdict(progress)).encode("ascii"))


def read_progress(folder: Path, profile: str) -> Progress | None:
    """The newest sign-in's state, or ``None`` if there is none that can be read."""
    try:
        return Progress(**json.loads(_path(folder, profile).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
