"""Runs in: the tests. Finds secrets in text, also when they are encoded, and pieces of them."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

WINDOW = 12
VARIED = 6
"""A window with fewer different characters says nothing: `------------` is no piece of a secret."""

MINTED = re.compile(r"NATK-([a-z_]+)-[A-Za-z0-9_-]{8,}")
RUN = re.compile(r"[A-Za-z0-9._~+/=-]{12,}")


class Finder:
    """
    Knows all *secrets* (value -> kind) and finds them in texts.

    A secret that our own test providers made is found even if nobody declared it: its ``NATK-`` gives it away.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._needles: dict[str, str] = {}
        self._windows: dict[str, str] = {}
        for value, kind in secrets.items():
            for needle in notations(value):
                self._needles[needle] = kind
            for piece in pieces(value):
                self._windows[piece] = kind

    def find(self, text: str) -> set[str]:
        """The kinds of the secrets that are in *text*, whole or in part."""
        found = {kind for needle, kind in self._needles.items() if needle in text}
        found |= {match[1] for match in MINTED.finditer(text)}
        if self._windows:
            for run in set(RUN.findall(text)):
                for start in range(len(run) - WINDOW + 1):
                    kind = self._windows.get(run[start : start + WINDOW])
                    if kind is not None:
                        found.add(kind)
        return found


def notations(value: str) -> set[str]:
    """All the ways in which *value* may stand in a text."""
    data = value.encode("utf-8", "surrogatepass")
    escaped = json.dumps(value)[1:-1]
    plain = {value, escaped, escaped.replace("/", "\\/"), repr(value)[1:-1], html.escape(value)}
    percent = {quote(value, safe=""), quote_plus(value), quote(value), "".join(f"%{byte:02X}" for byte in data)}
    coded = {data.hex(), data.hex().upper(), "".join(f"\\u{ord(letter):04x}" for letter in value)}
    return plain | percent | {one.lower() for one in percent if "%" in one} | coded | set(_base64(data))


def _base64(data: bytes) -> Iterable[str]:
    # Three bytes become four letters: depending on where it begins, the same text has three looks.
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * shift + data).decode().rstrip("=")
            inner = text[(0, 2, 3)[shift] : -1]
            if len(inner) >= WINDOW:
                yield inner


def pieces(value: str) -> Iterable[str]:
    """Every twelve characters in a row of the random part: enough to be no chance, little enough to be a leak."""
    random = value
    if value.startswith("NATK-"):
        random = value.split("-", 2)[2]
    elif value.startswith("eyJ") and value.count(".") == 2:
        random = value.rsplit(".", 1)[1]  # header and claims of a JWT are no secret, its signature is
    for start in range(len(random) - WINDOW + 1):
        piece = random[start : start + WINDOW]
        if len(set(piece)) >= VARIED:
            yield piece
