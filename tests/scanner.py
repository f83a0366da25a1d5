"""Runs in: the tests. A scanner for QR codes, somebody else's: what is drawn must say what was meant."""

from __future__ import annotations

from collections.abc import Iterable

import zxingcpp

SCALE = 4


def scanned(rows: list[list[bool]]) -> list[str]:
    """What a scanner reads off modules; True is dark."""
    pixels = b"".join(bytes(0 if dark else 255 for dark in row for _ in range(SCALE)) * SCALE for row in rows)
    image = memoryview(pixels).cast("B", (len(rows) * SCALE, len(rows[0]) * SCALE))
    return [code.text for code in zxingcpp.read_barcodes(image)]


def modules_of(lines: Iterable[str]) -> list[list[bool]]:
    """The modules of a code that is made of blocks, two rows to a line; where no block is, it is dark."""
    rows: list[list[bool]] = []
    for line in lines:
        rows += [[mark not in "█▀" for mark in line], [mark not in "█▄" for mark in line]]
    return rows
