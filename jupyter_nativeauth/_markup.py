"""
Runs in: kernels, IPython. How words look: as HTML for notebooks, as plain text for consoles. No I/O.

All that came from outside (names, messages, addresses) is escaped here: ipywidgets and notebooks clean nothing.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

__all__ = ["BORDER", "MAIN_BUTTON", "Link", "Shown", "Words", "button", "message", "plain", "table"]

# JupyterLab's own colours where there are any; else the front end's text colour, which fits its background.
_INK = "var(--jp-ui-font-color1, inherit)"
_SOFT = "var(--jp-ui-font-color2, inherit)"
_TONES = {
    "good": "var(--jp-success-color1, #1a7f37)",
    "busy": "var(--jp-warn-color1, #b26a00)",
    "bad": "var(--jp-error-color1, #c62828)",
    "idle": "var(--jp-ui-font-color3, #757575)",
}
_BLOCK = f"line-height: 1.5; white-space: normal; overflow-wrap: anywhere; color: {_INK}"
_CODE = "color: inherit; background: none; padding: 0"

BORDER = "1px solid var(--jp-border-color2, rgba(128, 128, 128, .35))"
MAIN_BUTTON = ("#1a66c9", "#ffffff")  # background and ink: contrast 5.6 to 1, on light and dark pages alike


@dataclass(frozen=True)
class Link:
    """Where a person goes on, with words that say where that is."""

    label: str
    url: str


@dataclass(frozen=True)
class Words:
    """
    What stands in a panel.

    Attributes:
        title: The profile.
        service: Whom it signs in to.
        tone: ``good``, ``busy``, ``bad`` or ``idle``: the colour of the dot. The words say the same.
        state: How it stands, in a few words.
        time: What is left, and of what.
        lines: What happened, and what to do.
        code: What to enter at the next step.
        link: The next step.
        other: What one can do instead.
        address: The second way: an address to copy.
        picture: HTML that was drawn here, never anybody's words.
        small: How it works, how to cancel.
        key: Where the key is.
    """

    title: str
    service: str
    tone: str
    state: str
    time: str = ""
    lines: tuple[str, ...] = ()
    code: str = ""
    link: Link | None = None
    other: Link | None = None
    address: str = ""
    picture: str = ""
    small: tuple[str, ...] = ()
    key: str = ""

    @property
    def head(self) -> str:
        """HTML: which profile, which service."""
        service = f'<span style="color: {_SOFT}; margin-left: 4px">{_safe(self.service)}</span>'
        return f'<div style="{_BLOCK}"><strong>{_safe(self.title)}</strong> {service}</div>'

    @property
    def status(self) -> str:
        """HTML: the state. It changes with the state only: a screen reader reads each change aloud."""
        dot = (
            '<span aria-hidden="true" style="display: inline-block; width: 9px; height: 9px; border-radius: 50%; '
            f'margin-right: .55em; background: {_TONES[self.tone]}"></span>'
        )
        return f'<div role="status" aria-live="polite" style="{_BLOCK}">{dot}<strong>{_safe(self.state)}</strong></div>'

    @property
    def clock(self) -> str:
        """HTML: the time that is left."""
        return f'<div style="{_BLOCK}; color: {_SOFT}">{_safe(self.time)}</div>' if self.time else ""

    @property
    def body(self) -> str:
        """HTML: what happened, and what comes next."""
        parts = [f"<div>{_with_code(line)}</div>" for line in self.lines if line]
        if self.code:
            large = "font-size: 1.5em; letter-spacing: .08em; user-select: all"
            parts.append(
                f'<div style="margin: 6px 0 2px"><code style="{_CODE}; {large}">{_safe(self.code)}</code></div>'
            )
        main, other = (button(link, main=link is self.link) if link else "" for link in (self.link, self.other))
        if main or other:
            row = "display: flex; flex-flow: row wrap; align-items: center; gap: 8px; margin: 8px 0 6px"
            parts.append(f'<div style="{row}">{main}{other}</div>')
        if self.address:
            second = "or open this page of your Jupyter" if self.address.startswith("/") else "or copy this address"
            address = f'<code style="{_CODE}; font-size: .88em; user-select: all">{_safe(self.address)}</code>'
            parts.append(f'<div style="color: {_SOFT}">{second}:<br>{address}</div>')
        if self.picture:
            parts.append(f'<div style="color: {_SOFT}; margin: 8px 0">or scan this:{self.picture}</div>')
        if small := [_safe(sentence) for sentence in self.small if sentence]:
            parts.append(f'<div style="color: {_SOFT}; margin-top: 4px">{" ".join(small)}</div>')
        return f'<div style="{_BLOCK}">{"".join(parts)}</div>' if parts else ""

    @property
    def foot(self) -> str:
        """HTML: where the key is."""
        return (
            f'<div style="{_BLOCK}; color: {_SOFT}; margin-top: 2px">Key: {_safe(self.key)}</div>' if self.key else ""
        )

    @property
    def text(self) -> str:
        """All of it as plain text, for consoles and saved notebooks."""
        rows = [
            f"{self.title}: {self.state}{f' ({self.time})' if self.time else ''}",
            *self.lines,
            f"Code: {self.code}" if self.code else "",
            *(f"{link.label}: {link.url}" for link in (self.link, self.other) if link and _may_link(link.url)),
            self.address if self.link and not _may_link(self.link.url) else "",
            " ".join(sentence for sentence in self.small if sentence),
            f"Service: {self.service}",
            f"Key: {self.key}" if self.key else "",
        ]
        return "\n".join(plain(row) for row in rows if row)


class Shown:
    """Something small to display: HTML where a front end can show it, else plain text."""

    def __init__(self, markup: str, text: str) -> None:
        self._markup = markup
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._markup


def message(text: str, link: Link | None = None) -> Shown:
    """A sentence, and what to do next."""
    anchor = button(link) if link is not None else ""
    below = f'<div style="margin-top: 6px">{anchor}</div>' if anchor else ""
    more = f"\n{link.label}: {plain(link.url)}" if link is not None and anchor else ""
    return Shown(f'<div style="{_BLOCK}">{_safe(text)}{below}</div>', plain(text) + more)


def table(rows: Iterable[tuple[str, str]]) -> Shown:
    """Rows of two columns; those without a value are left out."""
    rows = [(name, value) for name, value in rows if value]
    cell = f"{_BLOCK}; text-align: left; vertical-align: top; border: 0; padding: 2px 0"
    name_cell = f"{cell}; padding-right: 18px; font-weight: normal; white-space: nowrap; color: {_SOFT}"
    body = "".join(
        f'<tr style="background: none"><th scope="row" style="{name_cell}">{_safe(name)}</th>'
        f'<td style="{cell}">{_with_code(value)}</td></tr>'
        for name, value in rows
    )
    width = max((len(name) for name, _ in rows), default=0)
    text = "\n".join(f"{name:<{width}}  {plain(value)}" for name, value in rows)
    return Shown(f'<table style="border: 0; margin: 2px 0; max-width: 560px">{body}</table>', text)


def button(link: Link, *, main: bool = False) -> str:
    """
    HTML: a real link that looks like a button, since only a link opens a tab without a word from the kernel.

    Empty for addresses that are neither a page of this Jupyter, nor on this machine, nor https.
    """
    if not _may_link(link.url):
        return ""
    style = (
        "display: inline-block; width: auto; height: auto; line-height: 1.4; white-space: normal; overflow: visible; "
        "text-decoration: none; margin: 0; "
    )
    back, ink = MAIN_BUTTON
    style += (
        f"padding: 7px 18px; border-radius: 2px; background: {back}; color: {ink}; font-weight: 600"
        if main
        else f"padding: 4px 10px; color: {_INK}"
    )
    return (
        f'<a class="jupyter-widgets jupyter-button widget-button" href="{html.escape(link.url, quote=True)}" '
        f'target="_blank" rel="noopener noreferrer" style="{style}">{_safe(link.label)}</a>'
    )


def plain(text: str) -> str:
    """*text* without what a terminal, or a reader, could mistake for something else: escapes, line breaks, marks."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _safe(text: str) -> str:
    return html.escape(plain(text), quote=True)


def _with_code(text: str) -> str:
    """Escaped, with what stands between backticks as code."""
    pieces = _safe(text).split("`")
    if len(pieces) % 2 == 0:
        return _safe(text)
    code = f'<code style="{_CODE}">'
    return "".join(f"{code}{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces))


def _may_link(url: str) -> bool:
    if url.startswith("/"):
        return not url.startswith(("//", "/\\"))  # both are addresses of another host
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return (parts.scheme == "https" and bool(host)) or (parts.scheme == "http" and host in ("127.0.0.1", "::1"))
