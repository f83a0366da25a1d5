"""
Runs in: the command line. ``jupyter nativeauth scan``: are there secrets in notebooks, and where?

It says where and what kind, and never the value: its output may be read by others, as a log of a pre-commit hook is.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ._patterns import kinds

__all__ = ["Found", "Unread", "scan", "scan_file"]

LARGEST = 64 * 1024 * 1024  # bytes of a file
_NOTEBOOK = ".ipynb"
_SKIPPED = frozenset({".git", ".hg", ".svn", "node_modules"})  # not .ipynb_checkpoints: it holds what was there before
_VAULT = b"JNAV"  # vault.py
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Found:
    """
    A secret.

    Attributes:
        path: The file.
        cell: The number of the cell, from 1; ``None`` outside of cells.
        part: ``source``, ``output``, ``metadata``, ``attachment`` or ``text``.
        line: The line of the source or of the text, from 1; ``None`` elsewhere.
        kind: What it is.
    """

    path: str
    cell: int | None
    part: str
    line: int | None
    kind: str

    def __str__(self) -> str:
        place = self.part if self.cell is None else f"cell {self.cell}, {self.part}"
        if self.line is not None:
            place = f"line {self.line}" if self.part == "text" else f"{place} line {self.line}"
        return f"{_shown(self.path)}: {place}: {self.kind}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Unread:
    """A file that could not be looked at, or not as a notebook."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{_shown(self.path)}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


class _Piece(NamedTuple):
    """A text of a notebook, and where it stands."""

    cell: int | None
    part: str
    text: str


def scan(paths: Iterable[str], *, everything: bool = False) -> Iterator[Found | Unread]:
    """
    Look into files, and into folders all the way down.

    Args:
        paths: A file is looked at whatever it is; in a folder notebooks are.
        everything: In folders, other text files too.
    """
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - a path is shown as it was given
            yield from _in_folder(path, everything=everything)
        else:
            yield from scan_file(path)


def _in_folder(path: str, *, everything: bool) -> Iterator[Found | Unread]:
    problems: list[OSError] = []
    for folder, below, names in os.walk(path, onerror=problems.append):
        below[:] = sorted(name for name in below if not _is_skipped(Path(folder, name)))
        for name in sorted(names):
            one = Path(folder, name)
            if (everything or one.suffix == _NOTEBOOK) and one.is_file() and not one.is_symlink():
                yield from scan_file(str(one))
    yield from (_unread(error, path) for error in problems)


def scan_file(path: str) -> Iterator[Found | Unread]:
    """What is in one file."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        yield _unread(error, path)
        return
    if len(content) > LARGEST:
        yield Unread(path, f"not looked at: it is larger than {LARGEST >> 20} MB")
        return
    if content.startswith(_VAULT):
        yield Found(path, None, "text", None, "sealed login of jupyter_nativeauth")
        return
    text = content.decode("utf-8-sig", "replace")
    if not path.endswith(_NOTEBOOK):
        if b"\0" not in content[:8192]:
            yield from _texts(path, text)
        return
    try:
        pieces = list(_pieces(json.loads(text)))
    except (ValueError, RecursionError, AttributeError, TypeError):
        yield Unread(path, "it is no notebook, or a damaged one; looked at as a text")
        yield from _texts(path, text)
        return
    yield from dict.fromkeys(one for piece in pieces for one in _in_piece(path, piece))


def _texts(path: str, text: str) -> Iterator[Found]:
    yield from dict.fromkeys(
        Found(path, None, "text", text.count("\n", 0, start) + 1, kind) for start, kind in kinds(text, marks=True)
    )


def _in_piece(path: str, piece: _Piece) -> Iterator[Found]:
    in_source = piece.part == "source"
    for start, kind in kinds(piece.text, marks=in_source):
        line = piece.text.count("\n", 0, start) + 1 if in_source else None
        yield Found(path, piece.cell, piece.part, line, kind)


def _pieces(book: Any) -> Iterator[_Piece]:
    """
    All texts of a notebook (nbformat 4, and 3 with its worksheets).

    Raises:
        AttributeError, TypeError, ValueError: It is none.
    """
    sheets = book.get("worksheets") or []
    cells = [*book.get("cells", []), *(cell for sheet in sheets for cell in sheet.get("cells", []))]
    if "cells" not in book and not sheets:
        raise ValueError("no cells")
    for number, cell in enumerate(cells, 1):
        for key, value in cell.items():
            if key in ("source", "input"):
                yield _Piece(number, "source", _joined(value))
            elif key == "outputs":
                for output in value:
                    yield from (_Piece(number, "output", text) for text in _values(output))
            elif key == "attachments":
                yield from (_Piece(number, "attachment", text) for text in _values(value))
            else:
                yield from (_Piece(number, "metadata", text) for text in _values({key: value}))
    rest = {key: value for key, value in book.items() if key not in ("cells", "worksheets")}
    yield from (_Piece(None, "metadata", text) for text in _values(rest))


def _values(value: Any) -> Iterator[str]:
    """The texts in an output, an attachment or metadata: all of it with its names, and each one without escapes."""
    yield json.dumps(value, ensure_ascii=False)
    for text in _strings(value):
        shown = _COLOUR.sub("", text)
        yield shown
        if "&" in shown:
            yield html.unescape(shown)
        if decoded := _decoded(shown):
            yield decoded


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and all(isinstance(one, str) for one in value):
        yield _joined(value)
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def _decoded(text: str) -> str:
    """The text in an attachment or an output that is base64, such as a file that somebody dropped on a cell."""
    packed = "".join(text.split())
    try:
        return base64.b64decode(packed, validate=True).decode() if len(packed) >= 16 else ""
    except (binascii.Error, ValueError):
        return ""


def _joined(value: Any) -> str:
    """nbformat stores a text as one string, or as a list of its lines."""
    if isinstance(value, list):
        return "\n".join(str(line).removesuffix("\n") for line in value)
    return str(value)


def _is_skipped(folder: Path) -> bool:
    return folder.name in _SKIPPED or (folder / "pyvenv.cfg").exists()  # a virtual environment is others' work


def _unread(error: OSError, path: str) -> Unread:
    return Unread(str(error.filename or path), f"cannot be read: {error.strerror}")


def _shown(path: str) -> str:
    """A file's name obeys nobody: a terminal would obey escape sequences in it."""
    return "".join(letter if letter.isprintable() else "?" for letter in path)
