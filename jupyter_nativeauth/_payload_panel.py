"""
Runs in: kernels. The panel of a sign request: a QR code, a link, what is to be signed, and how it stands.

When it is over the code and the link go, so that what is saved with the notebook opens nothing.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ipywidgets import HTML, Button, HBox, Layout, VBox

from ._markup import BORDER, Link, Words, table
from ._qr import qr_svg
from ._words import left
from .errors import NativeAuthError
from .providers import PRESETS, issuer_of

if TYPE_CHECKING:
    from ._sign_request import SignRequest

__all__ = ["PayloadPanel", "show_panel"]

_PAUSE = 0.5  # seconds between two looks at the request, which is in this very process
_ON_THE_WAY = {
    "waiting": "Scan the code with the Xaman app",
    "opened": "Open on your phone",
    "signing": "Being signed on your phone",
    "sent": "Signed on your phone; asking the service",
}


class PayloadPanel(VBox):  # type: ignore[misc]
    """
    How a sign request stands. It follows by itself, also while a cell runs.

    Args:
        request: The sign request.
        about: What is to be signed: names and values.
    """

    def __init__(self, request: SignRequest, about: tuple[tuple[str, str], ...]) -> None:
        self.request = request
        self._about = about
        self._note = ""
        profile = request.account.profile
        preset = PRESETS[profile.provider]
        place = urlsplit(issuer_of(preset, profile.options)).netloc
        self._words_before = Words(title=profile.name, service=f"{preset.label}, {place}", tone="busy", state="")
        flat = Layout(margin="0", height="auto", min_width="0")
        self._head, self._state, self._clock, self._rows, self._body = (HTML(layout=flat) for _ in range(5))
        self._code = HTML(qr_svg(request.link, label="QR code of the sign request"), layout=flat)
        cancel = Button(description="Cancel", layout=Layout(width="auto", height="auto", margin="4px 0"))
        cancel.on_click(lambda _: self._take_back())
        self._row = HBox([cancel])
        wrap = Layout(flex_flow="row wrap", grid_gap="0 10px")
        self._line = HBox([self._state, self._clock], layout=wrap)
        self._right = VBox(layout=Layout(flex="1 1 240px", min_width="0", margin="0"))
        middle = Layout(flex_flow="row wrap", align_items="flex-start", grid_gap="8px 16px", margin="8px 0 2px")
        self._middle = HBox(layout=middle)
        super().__init__(layout=Layout(max_width="560px", border=BORDER, padding="10px 14px", margin="4px 0"))
        self.render()

    def __repr__(self) -> str:
        words, rows = self._words()
        return f"{words.text}\n{table(rows)!r}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        bundle: dict[str, Any] = super()._repr_mimebundle_() or {}
        return {**bundle, "text/plain": repr(self)}

    def _take_back(self) -> None:
        """In a thread: the service may take its time, and the kernel has other things to do."""

        def run() -> None:
            try:
                self._note = "" if self.request.cancel() else "It is open on a phone already: reject it there."
            except NativeAuthError as error:
                self._note = str(error.args[0])
            self.render()

        threading.Thread(target=run, name="nativeauth-button", daemon=True).start()

    def _words(self) -> tuple[Words, tuple[tuple[str, str], ...]]:
        """The words, and the rows of the table."""
        request, words = self.request, self._words_before
        if not request.done():
            return self._on_the_way(), self._about
        try:
            signed = request.result()
        except NativeAuthError as error:
            tone = "idle" if error.code == "cancelled" else "bad"
            return replace(words, tone=tone, state="Not signed", lines=(str(error.args[0]), error.hint)), self._about
        facts = (("Network", signed.network), ("Result", signed.result), ("Hash", signed.txid and f"`{signed.txid}`"))
        return replace(words, tone="good", state=f"Signed by {signed.account}"), (*self._about, *facts)

    def _on_the_way(self) -> Words:
        request = self.request
        words = replace(self._words_before, state=_ON_THE_WAY[request.state], lines=(self._note,))
        if request.state != "waiting":
            return replace(words, small=("Sign or reject it there.",))
        return replace(
            words,
            time=left(request.seconds_left),
            link=Link("Open in Xaman", request.link),
            small=(
                "It was also sent to your phone." if request.pushed else "",
                "Interrupt the kernel to cancel." if request.is_waited_for else "",
            ),
        )

    def render(self) -> None:
        """Set the traits that differ, and no other: each is a message to the front end."""
        words, rows = self._words()
        waits = self.request.state == "waiting"
        code = self._code.value if waits else ""  # what is saved with the notebook shall not hold it
        for part, value in (
            (self._head, words.head),
            (self._state, words.status),
            (self._clock, words.clock),
            (self._rows, table(rows)._repr_html_()),
            (self._body, words.body),
            (self._code, code),
        ):
            if part.value != value:
                part.value = value
        row = [self._row] if waits and not self.request.is_waited_for else []
        _set_children(self._right, [self._rows, self._body, *row])
        _set_children(self._middle, [self._code, self._right] if waits else [self._right])
        _set_children(self, [self._head, self._line, self._middle])


def _set_children(box: Any, children: list[Any]) -> None:
    if list(box.children) != children:
        box.children = children


def show_panel(request: SignRequest, about: tuple[tuple[str, str], ...]) -> None:
    """Display the panel of *request*, and keep it up to date to its end."""
    from IPython import display

    show: Any = display.display
    panel = PayloadPanel(request, about)
    handle = show(panel, display_id=True)

    def follow() -> None:
        over = threading.Event()
        while not request.done():
            with contextlib.suppress(Exception):  # it is only a view; the next look may do better
                panel.render()
            over.wait(_PAUSE)
        with contextlib.suppress(Exception):
            panel.render()
            handle.update(panel)  # what consoles show, and what is saved as text, says how it ended

    threading.Thread(target=follow, name="nativeauth-panel", daemon=True).start()
