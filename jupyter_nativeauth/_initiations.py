"""
Runs in: the server, scripts. Sign-ins that began at the service: what it sent somebody with, and how they go on.

Anybody can send a browser here, so nothing goes on without a click, and nothing that is kept has been checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ._initiate import initiated
from ._oauth import for_tenant
from ._pages import Page, error_page, forward_page
from ._tickets import Tickets
from ._tokens import Secret
from .errors import LoginFailed, NativeAuthError

if TYPE_CHECKING:
    from ._clock import Clock
    from ._pending import PendingLogins

__all__ = ["Initiations"]


class Initiations:
    """
    The ``/nativeauth/initiate/`` routes of a host.

    Args:
        pending: Its sign-ins.
        tickets: Its one-time links, which lead on.
        clock: Both clocks.
    """

    def __init__(self, pending: PendingLogins, tickets: Tickets, clock: Clock) -> None:
        self._pending = pending
        self._tickets = tickets
        self._kept = Tickets(clock)  # apart: anybody can fill it

    def page(self, name: str, query: str, cookies: Mapping[str, str]) -> Page | None:
        """
        What a browser sees that comes from the service: only that of a sign-in which waits for this goes on from here.

        Returns:
            ``None`` if this browser has no such sign-in.
        """
        for pending in self._pending.all():
            request, account = pending.request, pending.account
            bound = pending.is_bound_to(cookies.get(pending.cookie_name))
            if bound and account.profile.name == name and request.setup is not None:
                break
        else:
            return None
        try:
            hints = dict(initiated(account.client, account.profile, query))
        except NativeAuthError as error:
            return error_page("The sign-in cannot go on", str(error.args[0]), error.hint)
        pending.request = for_tenant(request, hints)
        tenant = pending.request.tenant
        where = f" at {tenant.name or tenant.origin}" if tenant is not None else ""
        return forward_page(
            title=f"Sign in to {name}{where}?",
            text="You go on to the service, and come back here.",
            button="Go on",
            url=pending.page(f"go/{self._tickets.issue(pending.request.url, life=600)}"),
            by_itself=False,
        )

    def keep(self, name: str, query: str) -> str:
        """Keep what a service has sent somebody with, for the page that asks them; it is named by a ticket."""
        return self._kept.issue(Secret(f"{name}?{query}"), life=600)

    def kept(self, name: str, ticket: str) -> str:
        """
        What was kept for this profile, as it came: nothing of it has been checked.

        Raises:
            LoginFailed: It is over.
        """
        kept = self._kept.look(ticket)
        found, _, query = (kept.reveal() if isinstance(kept, Secret) else "").partition("?")
        if found != name:
            hint = "Open the link again where you found it, or sign in without it."
            raise LoginFailed("The link was opened too long ago.", code="expired", hint=hint)
        return query
