"""
Runs in: kernels, scripts. An address as a QR code, drawn here: no image is fetched, and no service learns who looks.
No I/O.
"""

from __future__ import annotations

import functools
from typing import Any

__all__ = ["qr_blocks", "qr_svg"]

_QUIET = 4  # modules of white around the code: ISO/IEC 18004 wants four, and scanners need them
_EDGE = "1px solid #d0d0d0"
_PAPER, _INK = "#ffffff", "#000000"  # whatever the theme: many scanners cannot read white on black


def _code(text: str) -> Any:
    import segno

    return segno.make_qr(text, error="m")


@functools.lru_cache(maxsize=4)  # a panel looks at itself twice a second
def qr_svg(text: str, *, label: str) -> str:
    """
    A QR code as inline SVG, for a page; *label* is what a screen reader says.

    Example:
        >>> qr_svg("https://xumm.app/sign/...", label="QR code")[:25]
        '<div role="img" aria-labe'
    """
    import html

    drawn = _code(text).svg_inline(scale=5, border=_QUIET, dark=_INK, light=_PAPER, svgclass=None, lineclass=None)
    box = f"width: max-content; background: {_PAPER}; border: {_EDGE}; border-radius: 4px; line-height: 0"
    return f'<div role="img" aria-label="{html.escape(label, quote=True)}" style="{box}">{drawn}</div>'


def qr_blocks(text: str, *, widest: int = 0) -> str:
    """
    A QR code for a terminal, two rows to a line, in colours of its own: black on white on any background.

    Empty if it has more columns than *widest*: what a terminal wraps, nobody can scan.
    """
    rows = [[bool(dark) for dark in row] for row in _code(text).matrix_iter(border=_QUIET)]
    if 0 < widest < len(rows[0]):
        return ""
    if len(rows) % 2:
        rows.append([False] * len(rows[0]))
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        # A block is painted where the paper is, in bright white on black.
        marks = (
            "█" if not (up or low) else "▀" if not up else "▄" if not low else " " for up, low in _pairs(upper, lower)
        )
        lines.append(f"\x1b[40;97m{''.join(marks)}\x1b[0m")
    return "\n".join(lines)


def _pairs(upper: list[bool], lower: list[bool]) -> zip[tuple[bool, bool]]:
    return zip(upper, lower, strict=True)
