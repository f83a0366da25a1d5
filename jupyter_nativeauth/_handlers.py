"""
Runs in: the Jupyter server. Its pages: who may do what, and how an answer becomes a page.

None of these handlers logs an address or an exception's text: the usual log lines would hold codes and tickets.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jupyter_server.auth.decorator import allow_unauthenticated, authorized
from tornado import web

from ._initiate import initiated
from ._oauth import Ask
from ._pages import Page, answer, button_page, done_page, error_page, forward_page, redirect
from ._route import Quiet
from ._settings import FLOWS
from .errors import ConfigError, NativeAuthError, clean

if TYPE_CHECKING:
    from ._account import Account

__all__ = ["ROUTES", "Asking"]


class _Public(Quiet):
    """Pages that anybody may ask for. Their addresses hold codes and tickets, so not even the access log sees them."""

    def _log(self) -> None:
        """Nothing."""

    def nativeauth_cookies(self) -> dict[str, str]:
        return {name: morsel.value for name, morsel in self.cookies.items() if name.startswith("nativeauth-")}


class GoHandler(_Public):
    """The first page of a sign-in, on the redirect URI's own host."""

    @allow_unauthenticated
    async def get(self, ticket: str) -> None:
        host = self.extension.host
        answer(
            self, await self.work(functools.partial(host.go, ticket, self.nativeauth_cookies(), self.request.headers))
        )


class CallbackHandler(_Public):
    """The provider's answer. Its credentials are ``state`` and the binding cookie: Jupyter's may be of another host."""

    @allow_unauthenticated
    async def get(self) -> None:
        request, cookies = self.request, self.nativeauth_cookies()
        task = functools.partial(self.extension.host.callback, request.query, cookies, request.headers, request.path)
        answer(self, await self.work(task))


class InitiateHandler(_Public):
    """
    Sign-ins that begin at the service: somebody picked their tenant, was invited, or comes from a company's portal.

    Anybody can send a browser here, so nothing begins: a page asks first, of who is signed in to Jupyter.
    """

    @allow_unauthenticated
    async def get(self, profile: str) -> None:
        request, cookies, host = self.request, self.nativeauth_cookies(), self.extension.host
        page = await self.work(functools.partial(host.initiate, profile, request.query, cookies, request.headers))
        if page is None:
            query = {"profile": profile, "link": host.initiations.keep(profile, request.query)}
            page = redirect(self.page_link(f"login?{urlencode(query)}"))
        answer(self, page)


class DoneHandler(_Public):
    """How it ended."""

    @allow_unauthenticated
    async def get(self, outcome: str) -> None:
        answer(self, self.extension.host.done(outcome, self.get_query_argument("again", ""), self.page_link("")))


class LogoutCallbackHandler(_Public):
    """Back from the provider's end-session page."""

    @allow_unauthenticated
    async def get(self) -> None:
        answer(self, self.extension.host.logged_out())


class Asking(Quiet):
    """Pages for the person who is signed in to Jupyter."""

    methods = ("GET", "HEAD", "POST")

    def wanted(self) -> tuple[Account, Ask]:
        """
        The profile and what is asked for beyond it, from the query or the form.

        Raises:
            ConfigError: There is no such profile, or the configuration is wrong.
        """
        word: Callable[[str, str], str] = self.get_argument
        age = word("max_age", "")
        ask = Ask(
            scopes=tuple(word("scope", "").split())[:50],
            acr_values=word("acr_values", "")[:200] or None,
            max_age=int(age) if age.isascii() and age.isdigit() and len(age) < 9 else None,
            switch=word("switch", "") == "1",
        )
        return self.extension.accounts.get(word("profile", "") or None), ask

    @property
    def flow(self) -> str:
        """How it is to reach the browser, if not as the profile says."""
        flow = self.get_argument("flow", "")
        return flow if flow in FLOWS else ""

    def fields(self, account: Account, ask: Ask) -> dict[str, str]:
        fields = {
            "_xsrf": self.xsrf_token.decode("ascii"),
            "profile": account.profile.name,
            "scope": " ".join(ask.scopes),
            "acr_values": ask.acr_values or "",
            "max_age": "" if ask.max_age is None else str(ask.max_age),
            "switch": "1" if ask.switch else "",
            "flow": self.flow,
        }
        return {name: value for name, value in fields.items() if value}

    async def page(self, make: Callable[[], Any], *, title: str) -> None:
        """Answer with what *make* gives, or with a page that says what is wrong."""
        try:
            answer(self, await make())
        except NativeAuthError as error:
            paste = self._again(flow="paste") if error.code in _NO_WAY_BACK else ""
            answer(self, error_page(title, str(error.args[0]), error.hint, again=self._again(), paste=paste))

    def _again(self, **more: str) -> str:
        """This page, asked for once more."""
        names = ("profile", "scope", "acr_values", "max_age", "switch", "flow", "link")
        query = {name: value for name in names if (value := self.get_argument(name, ""))}
        return self.page_link(f"{self.request.path.rpartition('/nativeauth/')[2]}?{urlencode(query | more)}")


_NO_WAY_BACK = ("no_redirect_uri", "port_not_allowed")  # one can do without


class LoginHandler(Asking):
    """Begins a sign-in: at once for a click in Jupyter itself, else after one more click."""

    _failed = "The sign-in could not begin"

    @web.authenticated
    @authorized
    async def get(self) -> None:
        await self.page(self._ask_or_begin, title=self._failed)

    @web.authenticated
    @authorized
    async def head(self) -> None:
        await self.page(self._ask_or_begin, title=self._failed)

    @web.authenticated
    @authorized
    async def post(self) -> None:
        await self.page(self._begin, title=self._failed)

    async def _asked(self) -> tuple[Account, Ask]:
        """As :meth:`wanted`, with what a link of the service brought along. It is checked now: this person may ask."""
        account, ask = self.wanted()
        if not self._link:
            return account, ask
        query = self.extension.host.initiations.kept(account.profile.name, self._link)
        hints = await self.work(functools.partial(initiated, account.client, account.profile, query))
        return account, replace(ask, hints=hints)

    @property
    def _link(self) -> str:
        return str(self.get_argument("link", ""))

    async def _ask_or_begin(self) -> Page:
        account, ask = await self._asked()
        if self._is_click() and not (ask.scopes or ask.acr_values or ask.max_age is not None or self._link):
            try:
                self.redirect_uri(account, pastes=self.pastes(account, self.flow))
            except ConfigError:
                pass  # the form's Origin will say where the browser is
            else:
                return redirect(await self._start(account, ask), status=302)
        more = f" It asks for: {' '.join(ask.scopes)}." if ask.scopes else ""
        told = [f'{name.replace("_", " ")} "{clean(value, 60)}"' for name, value in ask.hints if name != "invitation"]
        more += f" The link says: {', '.join(told)}." if told else ""
        return button_page(
            title=f"Sign in to {account.profile.name}?",
            text=f"You go on to the service, and come back here.{more}",
            button="Sign in",
            action=self.page_link("login"),
            fields=self.fields(account, ask) | ({"link": self._link} if self._link else {}),
        )

    def _is_click(self) -> bool:
        """A navigation of this very site, by the browser's own word. An image, a frame or a prefetch is not one."""
        headers = self.request.headers
        wanted = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        prefetch = "Sec-Purpose" in headers or "Purpose" in headers
        return (
            self.request.method == "GET"
            and not prefetch
            and all(headers.get(name) == value for name, value in wanted.items())
        )

    async def _begin(self) -> Page:
        if self.is_foreign:
            return Page(403, done_page("unknown").body)
        account, ask = await self._asked()
        where = await self._start(account, ask)
        if self.pastes(account, self.flow):
            return redirect(where)
        return forward_page(
            title=f"Signing in to {account.profile.name}",
            text="If the service does not open by itself, go on here.",
            button="Go on",
            url=where,
        )

    async def _start(self, account: Account, ask: Ask) -> str:
        """Begin, and say where this tab goes on. A tab whose address is to be pasted is another one than this."""
        pending = await self.begin(account, ask, self.flow)
        if pending.entry:
            return self.page_link(f"paste?{urlencode({'profile': account.profile.name})}")
        return self.extension.host.go_address(pending)


class LogoutHandler(Asking):
    """Signs out, or finishes what a kernel began. A GET never acts: an image in a notebook could ask for it."""

    _failed = "Nobody was signed out"

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
        await self.page(self._sign_out, title=self._failed)

    async def _ask(self) -> Page:
        account, _ = self.wanted()
        return button_page(
            title=f"Sign out of {account.profile.name}?",
            text="Every notebook and script of yours on this machine is signed out, and so is your browser there.",
            button="Sign out",
            action=self.page_link("logout"),
            fields=self.fields(account, Ask()),
        )

    async def _sign_out(self) -> Page:
        if self.is_foreign:
            return Page(403, done_page("unknown").body)
        account, _ = self.wanted()
        report, link = await self.sign_out(account)
        if not report.local:
            return error_page(self._failed, str(report), "")
        if link is None:
            return redirect(self.page_link("done/signed-out"))
        return forward_page(
            title=f"Signing out of {account.profile.name}",
            text="You are signed out here. One more step ends the session at the service.",
            button="Go on",
            url=link,
        )


ROUTES: list[tuple[str, type[Quiet]]] = [
    (r"/nativeauth/login", LoginHandler),
    (r"/nativeauth/go/([A-Za-z0-9_-]{1,64})", GoHandler),
    (r"/nativeauth/callback(?:/[a-z0-9_-]{1,64})?", CallbackHandler),
    (r"/nativeauth/initiate/([a-z0-9_-]{1,64})", InitiateHandler),
    (r"/nativeauth/done/([a-z-]{1,32})", DoneHandler),
    (r"/nativeauth/logout", LogoutHandler),
    (r"/nativeauth/logout/callback", LogoutCallbackHandler),
]
