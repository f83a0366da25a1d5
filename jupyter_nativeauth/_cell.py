"""
Runs in: kernels. The panel below the cell that waits for a sign-in: one for each account, shown as often as asked for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .panel import LoginPanel

if TYPE_CHECKING:
    from ._account import Account
    from ._attempt import Attempt
    from ._tokens import Identity

__all__ = ["panel_of", "show_attempt"]

_shown: dict[str, LoginPanel] = {}


def panel_of(account: Account) -> LoginPanel:
    """
    The one panel that magics and ``login()`` show for *account*, wherever and however often they do.

    ipywidgets keeps each widget until it is closed: a new panel for each run of a cell would pile up.
    """
    panel = _shown.get(account.profile.name)
    if panel is None or panel.account is not account or panel.comm is None:
        panel = _shown[account.profile.name] = LoginPanel(account.profile)
    return panel


def show_attempt(attempt: Attempt) -> _CellView:
    """Show *attempt* below the cell that waits for it."""
    return _CellView(attempt)


class _CellView:
    """The :class:`jupyter_nativeauth._login.View` of a cell: it displays the panel, which then follows by itself."""

    _PATIENCE = 2.0  # seconds to wait for the link: consoles show the text once, and never again

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._panel = panel_of(attempt.account)
        self._handle: Any = None
        self._latest = time.monotonic() + self._PATIENCE
        self._panel.begin(attempt, in_cell=True)
        self.tick()

    def tick(self) -> None:
        if self._handle is None and (self._attempt.link or time.monotonic() > self._latest):
            self._panel.render()  # now, with the link
            self._show()

    def signed_in(self, identity: Identity) -> None:  # noqa: ARG002 - the vault says who it is
        self._panel.end(self._attempt, None)
        self._show()

    def failed(self, error: BaseException) -> None:
        self._panel.end(self._attempt, error)
        self._show()

    def _show(self) -> None:
        """Again when it is over: what is saved with the notebook then says how it ended, and holds no old link."""
        from IPython import display

        show: Any = display.display
        if self._handle is None:
            self._handle = show(self._panel, display_id=True)
        else:
            self._handle.update(self._panel)
