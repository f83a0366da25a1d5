"""
Runs in: kernels, IPython. What a person reads about a login, in sentences. No I/O.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ._markup import Link, Words
from ._qr import qr_svg
from .errors import LoginFailed, NativeAuthError

if TYPE_CHECKING:
    from ._logout import LogoutReport
    from ._status import ProfileStatus

__all__ = [
    "DEVICE_CARE",
    "Note",
    "describe",
    "ended",
    "leaving",
    "left",
    "minutes",
    "note_of_error",
    "note_of_report",
    "waiting",
]


# RFC 8628, sections 5.4 and 5.5: a code may be somebody else's trap, and whoever sees ours may be faster than we are.
DEVICE_CARE = (
    "Enter it only if you have just started this yourself, and show it to nobody: whoever enters it signs in here, "
    "with their own account."
)


def describe(status: ProfileStatus, *, place: str = "kernel", now: float | None = None) -> Words:
    """
    How a profile stands.

    Args:
        status: What :func:`jupyter_nativeauth._status.status_of` found.
        place: What this process is called, for a key that is in its memory.
        now: Seconds since the epoch.
    """
    ends = {"server": "ends when the server stops", "process": f"ends with this {place}"}.get(status.key_source)
    words = Words(
        title=status.profile,
        service=f"{status.service}, {urlsplit(status.issuer).netloc}".removesuffix(", "),
        tone="idle",
        state="Signed out",
        key=f"{status.key_label} ({ends})" if status.key_label and ends else status.key_label,
    )
    if status.state == "signed_in":
        told = minutes(status, time.time() if now is None else now)
        lines = (status.hint,) if status.hint else ()
        return replace(words, tone="good", state=f"Signed in as {status.name}", time=told, lines=lines)
    if status.state == "signed_out":
        return words
    state = "The login cannot be used" if status.state == "unavailable" else "Signed out"
    return replace(words, tone="bad", state=state, lines=(status.message, status.hint))


def minutes(status: ProfileStatus, now: float) -> str:
    """How long the access token goes on. In minutes: words that change each second are hard to read."""
    if status.key_source == "hub":
        return "JupyterHub lends the access token, and renews it"
    if status.expires_at is None:
        return "the service does not say how long the access token is good"
    seconds = status.expires_at - now
    if seconds <= 0:
        over = "access token has run out"
        return f"{over}, the next request renews it" if status.renews else f"{over}, sign in again"
    count = math.ceil(seconds / 60)
    span = "less than a minute" if seconds < 60 else f"{count} min" if count < 120 else f"{round(seconds / 3600)} h"
    return f"access token {span} left, {'renewed by itself' if status.renews else 'not renewed'}"


def left(seconds: float) -> str:
    """
    Minutes and seconds.

    Example:
        >>> left(299.2)
        '4:59 left'
    """
    whole = max(0, math.floor(seconds))
    return f"{whole // 60}:{whole % 60:02d} left"


def waiting(
    words: Words,
    *,
    link: str,
    why: str,
    seconds: float,
    in_cell: bool,
    opens: bool,
    user_code: str = "",
    scan: str = "",
    paste: str = "",
    busy: str = "Preparing the sign-in",
) -> Words:
    """
    A sign-in is under way.

    Args:
        words: How the profile stands.
        link: Where the person goes on; empty until it is known.
        why: Why it goes this way.
        seconds: How long it still waits.
        in_cell: Whether a cell waits for it, so that only an interrupt can cancel it.
        opens: Whether a browser tab opens by itself.
        user_code: What to enter there, where any browser will do.
        scan: The address with the code in it.
        paste: The page that takes the address of a page which does not open.
        busy: What it does while there is no link yet.
    """
    cancel = "Interrupt the kernel to cancel." if in_cell else ""
    if not link:
        hint = "If your keychain or your computer asks you something, answer it there."
        return replace(words, tone="busy", state=busy, time="", lines=(hint,), small=(cancel,))
    stays = words.state.replace("Signed in", "Until then you stay signed in", 1) + "." if words.tone == "good" else ""
    if user_code:
        return replace(
            words,
            tone="busy",
            state="Waiting for you to sign in",
            time=left(seconds),
            lines=("Open this page in any browser, on any device, and enter the code.", DEVICE_CARE, stays),
            code=user_code,
            link=Link(f"Sign in to {words.title}", link),
            address=link,
            picture=qr_svg(scan, label="QR code of the page with the code") if scan else "",
            small=(cancel, f"{why[:1].upper()}{why[1:]}."),
        )
    return replace(
        words,
        tone="busy",
        state="Waiting for you to sign in",
        time=left(seconds),
        lines=("A tab opens by itself; if not, use the link." if opens else "", stays),
        link=Link(f"Sign in to {words.title}", link),
        other=Link("The page does not open?", paste) if paste else None,
        address=link,
        small=(cancel, f"{why[:1].upper()}{why[1:]}."),
    )


@dataclass(frozen=True)
class Note:
    """How the last thing that was asked for ended."""

    state: str
    tone: str = "idle"
    lines: tuple[str, ...] = ()
    link: Link | None = None


def ended(words: Words, note: Note, *, signed_in: bool) -> Words:
    """How it stands, after what *note* says."""
    lines = (*note.lines, *words.lines)
    if signed_in:
        return replace(words, lines=(note.state, *lines), link=note.link)
    return replace(words, state=note.state, tone=note.tone, lines=lines, link=note.link)


def note_of_error(error: BaseException, *, signed_in: bool = False) -> Note:
    """Why it did not work. What is not an error of ours is an interrupt: somebody wanted it to stop."""
    if not isinstance(error, NativeAuthError) or error.code == "cancelled":
        return Note("Cancelled. Nothing has changed." if signed_in else "Cancelled. Nobody was signed in.")
    state = "The sign-in failed" if isinstance(error, LoginFailed) else "It did not work"
    return Note(state, "bad", (str(error.args[0]), error.hint))


def note_of_report(report: LogoutReport) -> Note:
    """What a sign-out has achieved."""
    first, _, rest = str(report).partition(". ")
    return Note(first.removesuffix("."), lines=(rest,), link=leaving(report))


def leaving(report: LogoutReport) -> Link | None:
    """The page that finishes a sign-out at the service."""
    return Link("End the session at the service", report.link) if report.link else None
