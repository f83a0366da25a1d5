"""
Runs in: scripts. A sign-in whose browser may be on another machine: its person pastes back the address it ends on.

The address that leads to the service is shown in the person's own terminal only, since whoever has it could finish the
sign-in with an account of their own. A notebook's output is no such place.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ._attempt import ListenerAttempt, Listening
from ._front_end import front_end
from ._tokens import Secret
from ._way import place
from .errors import ConfigError, LoginFailed

if TYPE_CHECKING:
    from ._account import Account
    from ._host import Host
    from ._oauth import Ask
    from ._pending import Pending
    from .profiles import Profile

__all__ = ["PasteAttempt"]


class PasteAttempt(ListenerAttempt):
    """
    A sign-in that ends when the person pastes back the address on which their browser has ended.

    A listener waits for the answer all the same, where there can be one: a browser that reaches it, through an SSH
    tunnel perhaps, ends the sign-in by itself.

    Args:
        account: Whose.
        ask: What it asks for beyond the profile.
        timeout: Seconds until it is given up.
    """

    waits_its_turn = False
    why = "the browser may be on another machine, and cannot come back here by itself"

    def __init__(self, account: Account, ask: Ask, timeout: float) -> None:
        self._begun: tuple[Host, Pending] | None = None
        self._in_a_notebook = bool(front_end())
        if self._in_a_notebook:
            self.why = (
                "this process listens on its machine for the answer; a browser that cannot reach it needs `jupyter "
                f"nativeauth login {account.profile.name} --flow paste`, in a terminal there"
            )
        elif not (here := place()).browser:
            self.why = f"no browser opens here: {here.why}"
        super().__init__(account, ask, timeout, browse=_open_nothing)

    def paste(self, text: Secret) -> None:
        if self._begun is None or not self.takes_paste:
            super().paste(text)
            return
        host, pending = self._begun
        code = host.paste(pending, text)
        if code is not None:  # in a thread, so that whoever waits can still cancel it
            threading.Thread(target=host.redeem, args=(pending, code), name="nativeauth-paste", daemon=True).start()
        elif not pending.outcome.done():
            self._show(host, pending)  # it begins once more, with another address

    @contextlib.contextmanager
    def _listening(self, host: Host) -> Iterator[Listening]:
        with contextlib.ExitStack() as stack:
            try:
                listener: Listening = stack.enter_context(super()._listening(host))
            except (ConfigError, LoginFailed):  # no port is free, or the redirect URI leads to another machine
                if self._in_a_notebook:
                    raise
                listener = _Nobody(self.account.profile)
            yield listener

    def _show(self, host: Host, pending: Pending) -> None:
        if self._in_a_notebook:
            super()._show(host, pending)
            return
        pending.direct = True
        self._begun, self.takes_paste = (host, pending), True
        self.link = pending.request.url.reveal()


class _Nobody:
    """Where a redirect URI leads at which nobody of ours waits: the answer is pasted."""

    def __init__(self, profile: Profile) -> None:
        self.last_page_seen = threading.Event()
        self.last_page_seen.set()
        if profile.redirect_uri is None and not profile.redirect_ports:
            raise LoginFailed("This machine has no loopback address to come back to.", code="port_busy")
        more = f"/{profile.name}" if profile.redirect_path == "profile" else ""
        self.redirect_uri = (
            profile.redirect_uri or f"http://127.0.0.1:{profile.redirect_ports[0]}/nativeauth/callback{more}"
        )


def _open_nothing(_: str) -> None:
    """No browser here would appear before the person."""
