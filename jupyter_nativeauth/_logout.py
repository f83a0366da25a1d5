"""
Runs in: kernels, scripts. ``logout()``: here first, then the tokens, then the provider's own session.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ._accounts import accounts
from ._way import can_open_browser, open_browser
from .errors import ConfigError, LoginFailed
from .profiles import Profile

if TYPE_CHECKING:
    from ._account import Account

__all__ = ["LogoutReport", "logout", "sign_out"]


@dataclass(frozen=True)
class LogoutReport:
    """
    What a sign-out has achieved.

    Attributes:
        profile: Which one.
        local: Whether every kernel and script is signed out from now on. False only if nobody was signed in here, and
            another Jupyter server, if it still runs, keeps a login that this process cannot open.
        revoked: Whether the provider confirmed that the tokens are void; ``None`` if there was nothing to revoke, or
            it has no way to.
        provider_session: ``"ended"`` (the browser came back from the provider), ``"sent"`` (it went there, and no word
            came back), ``"open"`` (it still has to go, to :attr:`link` if there is one) or ``"none"`` (the provider
            has no such page, or nobody was signed in).
        link: A page of the Jupyter server that ends the provider's own session.
    """

    profile: str
    local: bool
    revoked: bool | None
    provider_session: str
    link: str = ""

    def __str__(self) -> str:
        if not self.local:
            return (
                f"Nobody was signed in to {self.profile} here. But there is a login that only the Jupyter server which "
                "made it can end: sign out in that Jupyter, or stop it."
            )
        words = [f"Signed out of {self.profile}."]
        if self.revoked is False:
            words.append(
                "The service did not confirm that the tokens are void; they end by themselves when their time is over."
            )
        if self.provider_session in ("open", "sent"):
            words.append("The service's own session in your browser may still be open.")
        return " ".join(words)


def logout(profile: str | Profile | None = None, *, browser: bool = True, timeout: float = 15) -> LogoutReport:
    """
    Sign out: here at once, for every kernel and script; then revoke the tokens; then end the provider's session.

    A provider that is down does not stop it. It returns a report of what was achieved.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.
        browser: Whether to send the browser to the provider's end-session page.
        timeout: Seconds to wait for the browser to come back from there.

    Raises:
        ConfigError: There is no such profile.
        StoreError: The login here could not be ended; it still stands.

    Sources:
        RFC 7009 (revocation); OpenID Connect RP-Initiated Logout 1.0.
    """
    from ._front_end import front_end
    from ._hosted_attempt import is_hosted

    account = accounts().get(profile)
    report = sign_out(account)
    if report.provider_session == "none":
        return report
    if is_hosted(account):
        return replace(report, link=logout_link(report.profile))
    if not browser or not can_open_browser() or front_end() == "headless":
        return report
    return replace(report, provider_session=_through_browser(account, timeout))


def sign_out(account: Account) -> LogoutReport:
    """Sign out here, and revoke. What the report calls ``"open"`` is for a browser to finish."""
    name, login = account.profile.name, account.sign_out()
    if login is None:
        return LogoutReport(name, local=not account.is_sealed_elsewhere(), revoked=None, provider_session="none")
    from ._exchange import revoke

    revoked = revoke(account.client, login)
    return LogoutReport(name, True, revoked, "open" if account.may_end_session() else "none")  # noqa: FBT003


def logout_link(profile: str) -> str:
    """The server's page that signs out, or finishes a sign-out that began in a kernel."""
    import os

    return f"{os.environ.get('JUPYTER_NATIVEAUTH_BASE_URL', '/')}nativeauth/logout?{urlencode({'profile': profile})}"


def _through_browser(account: Account, timeout: float) -> str:
    """Send the browser to the provider, and wait a little for it to come back; many providers never send it back."""
    from ._host import Host
    from ._listener import Listener

    host = Host()
    try:
        listener = Listener.of(host, account.profile)
    except (ConfigError, LoginFailed):
        return "open"  # there is no place here that the browser may come back to
    with listener:
        link = host.leave_address(account, listener.redirect_uri)
        if link is None:
            return "none"
        open_browser(link)
        until = time.monotonic() + timeout
        while not host.returned.wait(0.2):
            if time.monotonic() > until:
                break
        else:
            listener.last_page_seen.wait(1)
    return "ended" if host.returned.is_set() else "sent" if host.left.is_set() else "open"
