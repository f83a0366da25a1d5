"""
Runs in: kernels; the server, for the links. A sign-in that the Jupyter server runs, as the kernel that waits sees it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ._attempt import PREPARING, too_late, unasked
from ._front_end import front_end
from ._progress import read_progress
from .errors import LoginFailed, NativeAuthError

if TYPE_CHECKING:
    from ._account import Account
    from ._oauth import Ask
    from ._tokens import Identity, Secret

__all__ = ["HostedAttempt", "is_hosted", "login_link", "paste_link"]


class HostedAttempt:
    """
    A sign-in that the Jupyter server runs. The kernel starts nothing; it shows a link to the server and waits until
    the vault holds a new login, or the server says that an attempt has failed.

    Args:
        account: Whose.
        ask: What it asks for beyond the profile.
        timeout: Seconds until the wait is given up.
        flow: How it reaches the browser, if not as the profile says.
        environ: Where the server left its base URL and its agent's path.
    """

    why = "the Jupyter server waits for the answer"
    busy = PREPARING
    user_code = scan = ""
    takes_paste = False  # a page of the server does: what a notebook sends may be read, and saved

    def __init__(
        self,
        account: Account,
        ask: Ask,
        timeout: float,
        *,
        flow: str = "",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.account = account
        self.until = time.monotonic() + timeout
        self.link = login_link(account.profile.name, ask, environ, flow=flow)
        self._server = environ.get("JUPYTER_NATIVEAUTH_AGENT", "")
        self._before = account.login_id()
        self._started = time.time()
        self._seen, self._look_again = 0, 0.0

    def poll(self) -> Identity | None:
        if time.monotonic() > self.until:
            raise too_late(self.account.profile)
        if not self._has_news():
            return None
        if self.account.login_id() not in ("", self._before):
            return self.account.identity()
        progress = read_progress(self.account.folder, self.account.profile.name)
        if (
            progress is not None
            and progress.server == self._server
            and progress.phase == "failed"
            and progress.started >= self._started
            and progress.code != "timeout"  # this wait has a time of its own, and its link begins anew
        ):
            raise LoginFailed(progress.message, code=progress.code, hint=progress.hint)
        return None

    def _has_news(self) -> bool:
        """
        Whether somebody has written beside the vault since the last look: one system call, instead of asking the key
        agent five times a second. Now and then the answer is yes anyway, since a folder's clock ticks coarsely.
        """
        try:
            changed = os.stat(self.account.folder).st_mtime_ns  # noqa: PTH116 - one call less
        except OSError:
            changed = 0
        if changed == self._seen and time.monotonic() < self._look_again:
            return False
        self._seen, self._look_again = changed, time.monotonic() + 2.0
        return True

    def cancel(self) -> None:
        """Only the wait ends: the sign-in belongs to the server, and other kernels may be waiting for it too."""

    def paste(self, text: Secret) -> None:  # noqa: ARG002 - the server's page takes it
        raise unasked()


def is_hosted(account: Account, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the Jupyter server of this kernel can run the sign-in: it must know the very same profile."""
    if front_end() != "notebook" or not environ.get("JUPYTER_NATIVEAUTH_BASE_URL"):
        return False
    from ._agent_wire import ask_agent

    try:
        known = ask_agent(environ["JUPYTER_NATIVEAUTH_AGENT"], {"ask": "profiles"})["profiles"]
    except (NativeAuthError, OSError, KeyError, ValueError):
        return False
    return bool(known.get(account.profile.name) == account.profile.fingerprint())


def login_link(profile: str, ask: Ask, environ: Mapping[str, str] = os.environ, *, flow: str = "") -> str:
    """
    The server's page that begins a sign-in. Only a path: the browser knows best under which name it reached Jupyter.
    It holds nothing secret, so it may stand in an output.
    """
    query = {
        "profile": profile,
        "scope": " ".join(ask.scopes),
        "acr_values": ask.acr_values or "",
        "max_age": "" if ask.max_age is None else str(ask.max_age),
        "switch": "1" if ask.switch else "",
        "flow": flow,
    }
    base = environ.get("JUPYTER_NATIVEAUTH_BASE_URL", "/")
    return f"{base}nativeauth/login?{urlencode({name: value for name, value in query.items() if value})}"


def paste_link(profile: str, environ: Mapping[str, str] = os.environ) -> str:
    """The server's page that takes the address on which a browser has ended; only a path, as :func:`login_link`."""
    return f"{environ.get('JUPYTER_NATIVEAUTH_BASE_URL', '/')}nativeauth/paste?{urlencode({'profile': profile})}"
