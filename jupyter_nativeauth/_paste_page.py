"""
Runs in: the Jupyter server. The page that takes the address on which a browser has ended, where it could not come back.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from jupyter_server.auth.decorator import authorized
from tornado import web

from ._callback import Mismatch
from ._handlers import Asking
from ._pages import Page, done_page, paste_page, redirect
from ._paste import PASTE_CARE
from ._tokens import Secret
from .errors import LoginFailed, NativeAuthError

if TYPE_CHECKING:
    from ._account import Account
    from ._pending import Pending
    from ._route import Quiet

__all__ = ["PASTE_ROUTES"]


class PasteHandler(Asking):
    """
    Takes the address on which a browser has ended that could not come back here.

    For the person who is signed in to Jupyter alone: in place of the cookie that binds a sign-in to its browser.
    """

    _failed = "The sign-in could not be finished"

    @web.authenticated
    @authorized
    async def get(self) -> None:
        await self.page(self._ask, title=self._failed)

    @web.authenticated
    @authorized
    async def head(self) -> None:
        await self.page(self._ask, title=self._failed)

    @web.authenticated
    @authorized
    async def post(self) -> None:
        await self.page(self._finish, title=self._failed)

    async def _ask(self) -> Page:
        account, _ = self.wanted()
        pending = await self.work(functools.partial(self.extension.host.pending.of_profile, account.profile.name))
        if pending is None:
            raise self._nothing_waits(account)
        return self._form(pending)

    async def _finish(self) -> Page:
        if self.is_foreign:
            return Page(403, done_page("unknown").body)
        account, _ = self.wanted()
        of_id = self.extension.host.pending.of_id
        pending = await self.work(functools.partial(of_id, self.get_argument("id", "")))
        if pending is None:
            raise self._nothing_waits(account)
        try:
            await self.paste(pending.id, Secret(self.get_argument("address", "")))
        except Mismatch as refused:
            return self._form(pending, (str(refused.args[0]), refused.hint))
        if not pending.outcome.done():
            return self._form(pending, ("The service wants to ask something first.", "Open it once more, and go on."))
        error = pending.outcome.exception()
        if isinstance(error, NativeAuthError):
            raise error
        return redirect(self.page_link("done/signed-in"))

    def _nothing_waits(self, account: Account) -> LoginFailed:
        return LoginFailed(
            f"No sign-in to {account.profile.name!r} is waiting for an answer: it is over, or nobody has begun one.",
            code="expired",
            hint="If you are not signed in yet, try again.",
        )

    def _again(self, **_: str) -> str:
        query = {"profile": self.get_argument("profile", ""), "flow": "paste"}
        return self.page_link(f"login?{urlencode({name: value for name, value in query.items() if value})}")

    def _form(self, pending: Pending, problem: tuple[str, str] = ("", "")) -> Page:
        name, here = pending.account.profile.name, bool(pending.entry)
        return paste_page(
            title=f"Sign in to {name}",
            link=self.extension.host.go_address(pending) if here else self._again(),
            button="Open the service" if here else "Start from here",
            text=f"{'Sign in there' if here else 'Or go on where you began it'}. If the browser ends on a page that "
            "does not open, copy the whole address of that page, and paste it here:",
            care=PASTE_CARE,
            action=self.page_link("paste"),
            fields={"_xsrf": self.xsrf_token.decode("ascii"), "profile": name, "id": pending.id},
            problem=problem,
        )


PASTE_ROUTES: list[tuple[str, type[Quiet]]] = [
    (r"/nativeauth/paste", PasteHandler),
]
