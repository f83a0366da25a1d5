"""
Runs in: kernels. ``LoginPanel``: who is signed in, and the next step, as core ipywidgets that follow by themselves.

While a cell runs, the front end's clicks reach the kernel late or never, depending on its version; so whatever must
work then is a link, and buttons are for afterwards. Nothing secret is ever in a trait: they all travel to the front
end, and may be saved with the notebook.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Button, HBox, Layout, VBox

from ._accounts import accounts
from ._attempt import Attempt
from ._hosted_attempt import is_hosted, login_link, paste_link
from ._login import start
from ._logout import logout
from ._markup import BORDER, MAIN_BUTTON, Link, Words, button
from ._oauth import Ask
from ._status import ProfileStatus, status_of
from ._tokens import Identity
from ._way import can_open_browser
from ._words import Note, describe, ended, note_of_error, note_of_report, waiting
from .errors import LoginFailed, NativeAuthError
from .profiles import Profile

if TYPE_CHECKING:
    from ._account import Account

__all__ = ["LoginPanel"]

_PAUSE = 0.5  # seconds between two looks; each costs two small reads
_AGAIN = 15.0  # seconds until a keychain that failed is asked again


class LoginPanel(VBox):  # type: ignore[misc]
    """
    Who is signed in with a profile, for how long, and where the key is; with the link or button for the next step.

    It follows by itself what any kernel, script or browser tab does, also while a cell runs.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.

    Raises:
        ConfigError: There is no such profile, or the configuration is wrong.

    Example:
        >>> LoginPanel("acme")  # doctest: +SKIP
        acme: Signed in as Ada Lovelace (access token 58 min left, renewed by itself)
    """

    def __init__(self, profile: str | Profile | None = None) -> None:
        self._closed = threading.Event()
        self._all: list[Any] = []
        self.account: Account = accounts().get(profile)
        self._guard = threading.RLock()  # around what is shown
        self._reading = threading.Lock()  # around asking how it stands
        self._attempt: Attempt | None = None
        self._in_cell = False
        self._busy = ""
        self._note: Note | None = None
        self._read()
        flat = Layout(margin="0", height="auto", min_width="0")
        auto = Layout(width="auto", height="auto", margin="0 6px 0 0")
        back, ink = MAIN_BUTTON
        self._head, self._state, self._clock, self._body, self._switch_link, self._foot = (
            HTML(layout=flat) for _ in range(6)
        )
        self._line = HBox([self._state, self._clock], layout=Layout(flex_flow="row wrap", grid_gap="0 10px"))
        self._sign_in = Button(
            description=f"Sign in to {self.account.profile.name}",
            layout=Layout(width="auto", height="auto", margin="2px 0", padding="3px 18px"),
            style={"button_color": back, "text_color": ink, "font_weight": "600"},
        )
        self._cancel, self._sign_out, self._switch = (
            Button(description=words, layout=auto) for words in ("Cancel", "Sign out", "Switch account")
        )
        self._row = HBox(layout=Layout(flex_flow="row wrap", align_items="center", margin="6px 0"))
        for one, does in (
            (self._sign_in, lambda _: self._ask(switch=False)),
            (self._switch, lambda _: self._ask(switch=True)),
            (self._cancel, lambda _: self._give_up()),
            (self._sign_out, lambda _: self._leave()),
        ):
            one.on_click(does)
        parts = [self._head, self._line, self._state, self._clock, self._body, self._row, self._switch_link, self._foot]
        super().__init__(layout=Layout(max_width="560px", border=BORDER, padding="10px 14px", margin="4px 0"))
        self._all = [*parts, self._sign_in, self._cancel, self._sign_out, self._switch, self]
        self.render()
        watch = threading.Thread(target=_watch, args=(weakref.ref(self),), name="nativeauth-panel", daemon=True)
        watch.start()

    def __repr__(self) -> str:
        return self._words()[0].text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        # The one of ipywidgets cuts the text after 110 characters, in the middle of the link.
        bundle: dict[str, Any] = super()._repr_mimebundle_() or {}
        return {**bundle, "text/plain": repr(self)}

    def close(self) -> None:
        """Take it off the page, and stop following."""
        self._closed.set()
        for widget in self._all:
            widget.layout.close()
            if widget is not self:
                if hasattr(widget, "style"):
                    widget.style.close()
                widget.close()
        super().close()

    # What is known

    def _read(self) -> None:
        """Ask the vault how it stands. Not with the guard held: a keychain may take seconds."""
        with self._reading:
            self._mark = self._signs()  # first, so that a change from now on is seen next time
            # With another device it is this kernel that waits, whoever could host the sign-in.
            hosted = self.account.profile.flow != "device" and is_hosted(self.account)
            status = status_of(self.account)
            self._again = time.monotonic() + _AGAIN
            with self._guard:
                known: ProfileStatus | None = getattr(self, "_status", None)
                if known is not None and _who(known) != _who(status):
                    self._note = None
                self._status, self._hosted = status, hosted

    def _signs(self) -> tuple[int, int]:
        """What differs after each write of anybody: it needs no key, and asks nobody."""
        try:
            changed = os.stat(self.account.folder).st_mtime_ns  # noqa: PTH116 - it runs twice a second, for ever
        except OSError:
            changed = 0
        return changed, self.account.store.generation()

    def _look(self) -> None:
        stale = self._status.state == "unavailable" and time.monotonic() > self._again
        stale = stale or _is_over(self._status)
        if stale or self._signs() != self._mark:
            self._read()
        attempt = self._attempt
        if attempt is not None and not self._in_cell:
            try:
                done = attempt.poll() is not None
            except NativeAuthError as error:
                self.end(attempt, error)
            else:
                if done:
                    self.end(attempt, None)
        self.render()

    def begin(self, attempt: Attempt, *, in_cell: bool) -> None:
        """Show *attempt* until :meth:`end`; with *in_cell*, somebody else polls it."""
        with self._guard:
            replaced = None if self._in_cell else self._attempt
            self._attempt, self._in_cell, self._busy, self._note = attempt, in_cell, "", None
        if replaced is not None:
            replaced.cancel()
        self.render()

    def end(self, attempt: Attempt, error: BaseException | None) -> None:
        """*attempt* is over."""
        with self._guard:
            if self._attempt is not attempt:
                return
            self._attempt = None
        self._read()
        signed_in = self._status.state == "signed_in"
        self._tell(note_of_error(error, signed_in=signed_in) if error is not None else None)

    def _tell(self, note: Note | None) -> None:
        with self._guard:
            self._busy, self._note = "", note
        self.render()

    # What the buttons do: in threads, since a click may come while the main thread is busy, and must not make it so

    def _ask(self, *, switch: bool) -> None:
        self._work("Preparing the sign-in", lambda: self._begin_own(switch=switch))

    def _begin_own(self, *, switch: bool) -> None:
        began = start(self.account.profile, Ask(switch=switch))
        if isinstance(began, Identity):
            self._read()
            self._tell(None)
        else:
            self.begin(began, in_cell=False)

    def _give_up(self) -> None:
        attempt = self._attempt
        if attempt is not None:
            attempt.cancel()
            self.end(attempt, KeyboardInterrupt())

    def _leave(self) -> None:
        def sign_out() -> None:
            report = logout(self.account.profile)
            self._read()
            self._tell(note_of_report(report))

        self._work("Signing out", sign_out)

    def _work(self, words: str, task: Callable[[], None]) -> None:
        with self._guard:
            if self._busy or self._attempt is not None:
                return
            self._busy = words
        self.render()

        def run() -> None:
            try:
                task()
            except NativeAuthError as error:
                self._tell(note_of_error(error))
            except Exception as error:  # noqa: BLE001 - there is no cell that could show it
                self._tell(note_of_error(LoginFailed(f"It failed unexpectedly ({type(error).__name__}).")))

        threading.Thread(target=run, name="nativeauth-button", daemon=True).start()

    # What is shown

    def _words(self) -> tuple[Words, list[Any]]:
        """The words, and what stands in the row of buttons."""
        status, name = self._status, self.account.profile.name
        words = describe(status)
        signed_in = status.state == "signed_in"
        if self._busy:
            return replace(words, tone="busy", state=self._busy, time="", lines=()), []
        if self._attempt is not None:
            words = waiting(
                words,
                link=self._attempt.link,
                busy=self._attempt.busy,
                why=self._attempt.why,
                seconds=self._attempt.until - time.monotonic(),
                in_cell=self._in_cell,
                opens=not self._hosted and can_open_browser(),
                user_code=self._attempt.user_code,
                scan=self._attempt.scan,
                paste=paste_link(name) if self._hosted and not self._attempt.user_code else "",
            )
            return words, [] if self._in_cell else [self._cancel]
        if self._note is not None:
            words = ended(words, self._note, signed_in=signed_in)
        if self.account.lender:
            return words, []  # nobody signs in or out here
        if signed_in:
            return words, [self._sign_out, self._switch_link if self._hosted else self._switch]
        if not self._hosted:
            return words, [self._sign_in]
        sign_in = Link(f"Sign in to {name}", login_link(name, Ask()))
        return replace(words, other=sign_in) if words.link else replace(words, link=sign_in), []

    def render(self) -> None:
        """Set the traits that differ, and no other: each is a message to the front end."""
        with self._guard:
            words, row = self._words()
            switch = Link("Switch account", login_link(words.title, Ask(switch=True)))
            for part, value in (
                (self._head, words.head),
                (self._state, words.status),
                (self._clock, words.clock),
                (self._body, words.body),
                (self._switch_link, button(switch) if self._switch_link in row else ""),
                (self._foot, words.foot),
            ):
                if part.value != value:
                    part.value = value
            _set_children(self._line, [self._state, self._clock] if words.clock else [self._state])
            _set_children(self._row, row)
            shown = (self._head, self._line, words.body and self._body, row and self._row, words.foot and self._foot)
            _set_children(self, [part for part in shown if part])


def _set_children(box: Any, children: list[Any]) -> None:
    if list(box.children) != children:
        box.children = children


def _is_over(status: ProfileStatus) -> bool:
    """Whether what was a login a moment ago is none any more, though nobody has written anything."""
    ends = status.expires_at
    return status.state == "signed_in" and not status.renews and ends is not None and ends <= time.time()


def _who(status: ProfileStatus) -> tuple[str, float | None]:
    return status.state, status.signed_in_at


def _watch(panel_ref: weakref.ref[LoginPanel]) -> None:
    """Keep a panel up to date until it is closed or gone. It never prints: that would land in some cell's output."""
    while (panel := panel_ref()) is not None and not panel._closed.is_set():  # noqa: SLF001
        closed = panel._closed  # noqa: SLF001
        with contextlib.suppress(Exception):  # it is only a view; the next look may do better
            panel._look()  # noqa: SLF001
        del panel
        closed.wait(_PAUSE)
