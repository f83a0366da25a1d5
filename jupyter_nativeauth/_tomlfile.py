"""
Runs in: everywhere. One TOML file that a person wrote: whether it changed, and what it says, with errors for them.
"""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from .errors import ConfigError

__all__ = ["Stamp", "read_toml", "shown", "stamp"]

_MAX_SIZE = 1024 * 1024  # bytes


class Stamp(NamedTuple):
    """What changes when a file does."""

    path: str
    modified: int
    size: int
    inode: int


def stamp(path: str) -> Stamp | None:
    """
    The stamp of a file, or ``None`` if there is no such file.

    Raises:
        ConfigError: It cannot be looked at.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 - a few of these with each request for a session
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    return Stamp(path, found.st_mtime_ns, found.st_size, found.st_ino)


def read_toml(path: str) -> dict[str, Any]:
    """
    The document in a file.

    Raises:
        ConfigError: It cannot be read, or is not TOML; names the file, the line and the column.
    """
    import tomllib

    try:
        with open(path, "rb") as file:  # noqa: PTH123
            raw = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(raw) > _MAX_SIZE:
        raise ConfigError(f"{shown(path)}: the file is larger than 1 MiB.")
    text, problem, place = "", "", (0, 0)
    try:
        text = raw.decode("utf-8-sig")  # some editors on Windows begin a file with a mark
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        problem, place = "it is not UTF-8.", _place(raw[: error.start].decode())
    except tomllib.TOMLDecodeError as error:
        words, _, where = str(error).partition(" (at ")
        numbers = re.findall(r"\d+", where)
        problem, place = f"{words}.", (int(numbers[0]), int(numbers[1])) if len(numbers) == 2 else _place(text)
    except RecursionError:
        raise ConfigError(f"{shown(path)}: its lists or tables are nested too deeply.") from None
    raise ConfigError(f"{shown(path)}, line {place[0]}, column {place[1]}: {problem}")


def shown(text: str) -> str:
    """A path or a message as it can be shown: on one line, without control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _place(before: str) -> tuple[int, int]:
    """Line and column of what follows *before*."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _unreadable(path: str, error: Exception) -> ConfigError:
    return ConfigError(f"{shown(path)}: the file cannot be read ({getattr(error, 'strerror', None) or error}).")
