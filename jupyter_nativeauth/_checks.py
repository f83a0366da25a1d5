"""
Runs in: everywhere. Checks of what somebody has written into a file: a text, a number, a list, with words for a person.

A check returns the value, or raises TypeError or ValueError with the rest of a sentence that begins with the file and
the key: "must be ...".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .errors import clean

__all__ = [
    "Check",
    "as_written",
    "flag",
    "list_of",
    "mapping",
    "matches",
    "maybe",
    "number",
    "one_of",
    "text",
    "url",
    "whole_path",
]

Check = Callable[[Any], Any]


def as_written(value: object) -> str:
    """A value as the person knows it from the file."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f'"{clean(value, 60)}"'
        case int() | float():
            return f"the number {value:.15g}" if isinstance(value, float) or abs(value) < 10**15 else "a huge number"
        case Mapping():
            return "a table"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


def text(value: Any) -> str:
    """One line of text."""
    if not isinstance(value, str):
        raise TypeError(f"must be a string, not {as_written(value)}")
    if not value or value != value.strip() or not value.isprintable():
        raise ValueError("must be one line of text, not empty, without blanks at its ends")
    return value


def url(check: Callable[[str], str]) -> Check:
    """A text that passes *check*, which knows only texts."""
    return lambda value: check(text(value))


def mapping(value: Any) -> Mapping[Any, Any]:
    """A table, of whatever."""
    if not isinstance(value, Mapping):
        raise TypeError(f"must be a table, not {as_written(value)}")
    return value


def maybe(check: Check) -> Check:
    """Nothing, or what passes *check*."""
    return lambda value: None if value is None else check(value)


def one_of(*words: str) -> Check:
    """One of these words."""
    quoted = [f'"{word}"' for word in words]
    choices = " or ".join([", ".join(quoted[:-1]), quoted[-1]] if quoted[1:] else quoted)

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"must be {choices}, not {as_written(value)}")
        return value

    return check


def matches(pattern: str, words: str) -> Check:
    """A string of this form; *words* say which, after "must"."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"must {words}, not {as_written(value)}")
        return value

    return check


def flag(value: Any) -> str | None:
    """Options are strings: this one is there, or it is not."""
    if not isinstance(value, bool) and value != "true":
        raise ValueError(f"must be true or false, not {as_written(value)}")
    return "true" if value else None


def number(words: str, least: int, most: int) -> Check:
    """A whole number within bounds; *words* say of what, after "must"."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must {words} from {least} to {most}, not {as_written(value)}")
        return value

    return check


def list_of(each: Check, example: str) -> Check:
    """A list whose entries pass *each*; what is in it twice counts once."""

    def check(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError(f"must be a list such as {example}, not {as_written(value)}")
        return tuple(dict.fromkeys(each(entry) for entry in value))

    return check


def whole_path(value: Any) -> str:
    """An absolute path; ``~`` is the person's own folder."""
    from pathlib import Path

    try:
        path = Path(text(value)).expanduser()
    except RuntimeError:
        path = Path()
    if not path.is_absolute():
        raise ValueError(f'must be a whole path, such as "/etc/ssl/acme.pem", not {as_written(value)}')
    return str(path)
