"""
Runs in: the server, scripts. The logic of the ``/nativeauth/`` routes, whichever host serves them.

Its methods may talk to the provider and to the vault, so the hosts call them in threads. None of them logs.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ._callback import AskAgain, Mismatch, read_callback, read_query
from ._initiate import initiated
from ._oauth import Ask, end_session_url, for_tenant, once_more
from ._pages import Cookie, Page, done_page, error_page, forward_page, redirect
from ._pending import Pending, PendingLogins
from ._request import new_request
from ._tickets import Tickets
from ._tokens import Secret
from .errors import ConfigError, LoginFailed, NativeAuthError

if TYPE_CHECKING:
    from ._account import Account
    from ._exchange import Clock
    from ._oauth import AuthorizationRequest

__all__ = ["Host", "address"]

_log = logging.getLogger("jupyter_nativeauth")


def address(redirect_uri: str, route: str) -> str:
    """
    The address of another of our routes, on the redirect URI's own host (only there the browser shows its cookie).

    Raises:
        ConfigError: The redirect URI is not one of our callback route.

    Example:
        >>> address("http://127.0.0.1:8888/lab/nativeauth/callback", "go/abc")
        'http://127.0.0.1:8888/lab/nativeauth/go/abc'
    """
    base, found, _ = redirect_uri.partition("/nativeauth/callback")
    if not found:
        raise ConfigError(f"`redirect_uri` is {redirect_uri!r}; it must end in /nativeauth/callback.")
    return f"{base}/nativeauth/{route}"


class Host:
    """
    One place that sign-ins go through: the Jupyter server, or a short-lived listener.

    Args:
        ticket_life: Seconds in which a sign-in's first page must be opened.
        life: Seconds in which the provider's answer must come; ``None`` for the profile's ``timeout``.
        retry: Whether a failed sign-in can be tried again from its last page.
        on_change: Told of each sign-in that begins or ends.
        clock: Both clocks.
    """

    def __init__(
        self,
        *,
        ticket_life: float = 60.0,
        life: float | None = None,
        retry: bool = False,
        on_change: Callable[[Pending], None] | None = None,
        clock: Clock = time,
    ) -> None:
        self.pending = PendingLogins(ticket_life=ticket_life, life=life, on_change=on_change, clock=clock)
        self.returned = threading.Event()  # the browser has come back from the provider's end-session page
        self.left = threading.Event()  # it has been sent there
        self._retry = retry
        self._tickets = Tickets(clock)
        self._initiations = Tickets(clock)  # apart: anybody can fill it

    def begin(self, account: Account, ask: Ask, redirect_uri: str, home: str = "") -> Pending:
        """
        Begin a sign-in. The key comes first: it would be a pity to find the keychain locked after the sign-in.

        Args:
            account: Whose.
            ask: What it asks for beyond the profile.
            redirect_uri: Where the provider sends the browser back to.
            home: A page that begins the same anew, for people who are signed in to Jupyter.

        Raises:
            NativeAuthError: It cannot begin; what to do is in the message.
        """
        address(redirect_uri, "go")
        key = account.key(interactive=True, create=True)
        account.open(key).header()  # nor would anybody like to learn only then that a newer version wrote the file
        return self.pending.add(account, ask, new_request(account, ask, redirect_uri), home=home)

    def go_address(self, pending: Pending) -> str:
        """Where the browser begins *pending*."""
        return address(pending.request.redirect_uri, f"go/{pending.ticket}")

    def leave_address(self, account: Account, redirect_uri: str) -> str | None:
        """Where the browser finishes the sign-out of *account* at the provider; ``None`` if there is nothing to do."""
        ending = account.take_end_session()
        if ending is None:
            return None
        back = account.profile.post_logout_redirect_uri or address(redirect_uri, "logout/callback")
        url = end_session_url(
            ending.endpoint,
            ending.names,
            id_token=ending.id_token,
            client_id=ending.client_id,
            post_logout_redirect_uri=back,
            state=secrets.token_urlsafe(16),
        )
        return address(redirect_uri, f"go/{self._tickets.issue(url, life=60)}")

    def go(self, ticket: str, cookies: Mapping[str, str], headers: Mapping[str, str]) -> Page:
        """``GET /nativeauth/go/<ticket>``: bind the browser, and send it to the provider."""
        if _is_no_navigation(headers):
            return done_page("unknown")
        pending = self.pending.of_ticket(ticket)
        if pending is None:
            errand = self._tickets.take(ticket)
            if isinstance(errand, Secret):
                self.left.set()
                return redirect(errand.reveal(), status=302)
            if errand is None:
                return self._too_late(self.pending.too_late(ticket=ticket), cookies)
            try:
                pending = self.begin(*errand)
            except NativeAuthError as error:
                again = address(errand[2], f"go/{self._tickets.issue(errand, life=600)}")
                return error_page("The sign-in could not begin", str(error.args[0]), error.hint, again=again)
            self.pending.close_older(pending)
        cookie = self.pending.bind(pending, cookies.get(pending.cookie_name))
        if cookie is None:
            problem = LoginFailed(
                "The sign-in link was opened in two browsers, so it was cancelled.",
                code="other_browser",
                hint="Start again. If you opened it only once, somebody else on this machine has seen the link.",
            )
            self.pending.close(pending, problem)
            return done_page("other-browser", again=pending.home)
        page = redirect(pending.request.url.reveal(), status=302)
        return page.with_cookies(*_cookies(pending, Secret(cookie)))

    def callback(self, query: str, cookies: Mapping[str, str], headers: Mapping[str, str], path: str) -> Page:
        """
        ``GET /nativeauth/callback``: the provider's answer.

        An answer that does not match changes nothing. One that does is taken out *before* its code is used, so a
        second one, or a replay, finds nothing.
        """
        if _is_no_navigation(headers):
            return done_page("unknown")
        pending = self._asked_by(query, cookies, path)
        if pending is None:
            return done_page("unknown")
        if pending.outcome.done():
            return self._leave(pending, "expired")
        try:
            code = read_callback(request := pending.request, query)
        except Mismatch:
            return done_page("unknown")
        except LoginFailed as denied:
            return self._denied(pending, request, denied)
        if not self.pending.take(pending):
            return done_page("unknown")
        try:
            login = pending.account.redeem(code)
            if pending.outcome.done():  # cancelled while the provider was asked
                pending.account.drop(login)
                # A listener ends with what was cancelled: it would not be there any more for a second page.
                page = self._leave(pending, "cancelled") if self._retry else done_page("cancelled")
                return page.with_cookies(*_cookies(pending, None))
            pending.account.save(login)
        except NativeAuthError as error:
            return self._finish(pending, error)
        except Exception as error:  # noqa: BLE001 - nothing of it may be logged: it can hold the code
            _log.error("A sign-in to %s failed unexpectedly: %s", pending.account.profile.name, type(error).__name__)
            return self._finish(pending, LoginFailed("The sign-in failed unexpectedly.", code="unexpected"))
        self.pending.close(pending, login.identity)
        return redirect(address(pending.request.redirect_uri, "done/signed-in")).with_cookies(*_cookies(pending, None))

    def _asked_by(self, query: str, cookies: Mapping[str, str], path: str) -> Pending | None:
        """The sign-in that this may be an answer to: of this browser, not answered yet, perhaps over meanwhile."""
        try:
            state = read_query(query).get("state", "")
        except Mismatch:
            return None
        pending = self.pending.of_state(state) or self.pending.too_late(state=state)
        if (
            pending is None
            or _route(pending.request.redirect_uri) != _route(path)
            or not pending.is_bound_to(cookies.get(pending.cookie_name))
        ):
            return None
        return pending

    def _denied(self, pending: Pending, request: AuthorizationRequest, denied: LoginFailed) -> Page:
        """The service said no; or it wants to ask something first, and the same browser begins once more by itself."""
        cookies = _cookies(pending, None)
        if not isinstance(denied, AskAgain):
            return self._finish(pending, denied) if self.pending.take(pending) else done_page("unknown")
        if not self.pending.restart(pending, request, once_more(request, pending.ask)):
            return done_page("unknown")
        return redirect(self.go_address(pending)).with_cookies(*cookies)

    def initiate(self, name: str, query: str, cookies: Mapping[str, str], headers: Mapping[str, str]) -> Page | None:
        """
        ``GET /nativeauth/initiate/<profile>``: the service sends somebody who picked their tenant, or was invited.

        Only the browser of a sign-in that waits for this goes on from here, and not without a click: anybody can send
        a browser to this address.

        Returns:
            ``None`` if this browser has no such sign-in.
        """
        if _is_no_navigation(headers):
            return done_page("unknown")
        for pending in self.pending.all():
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
        ticket = self._tickets.issue(pending.request.url, life=600)
        return forward_page(
            title=f"Sign in to {name}{where}?",
            text="You go on to the service, and come back here.",
            button="Go on",
            url=address(request.redirect_uri, f"go/{ticket}"),
            by_itself=False,
        )

    def keep_initiation(self, name: str, query: str) -> str:
        """Keep what a service has sent somebody with, for the page that asks them; it is named by a ticket."""
        return self._initiations.issue(Secret(f"{name}?{query}"), life=600)

    def kept_initiation(self, name: str, ticket: str) -> str:
        """
        What was kept for this profile, as it came: nothing of it has been checked.

        Raises:
            LoginFailed: It is over.
        """
        kept = self._initiations.look(ticket)
        found, _, query = (kept.reveal() if isinstance(kept, Secret) else "").partition("?")
        if found != name:
            hint = "Open the link again where you found it, or sign in without it."
            raise LoginFailed("The link was opened too long ago.", code="expired", hint=hint)
        return query

    def _finish(self, pending: Pending, error: NativeAuthError) -> Page:
        self.pending.close(pending, error)
        return self._leave(pending, "denied" if error.code in ("access_denied", "consent_required") else "failed")

    def _leave(self, pending: Pending, outcome: str) -> Page:
        """From the callback, whose address holds a code, to a clean page that says how it ended."""
        again = f"?again={self._retry_ticket(pending)}" if self._retry else ""
        clean_address = address(pending.request.redirect_uri, f"done/{outcome}{again}")
        return redirect(clean_address).with_cookies(*_cookies(pending, None))

    def _too_late(self, pending: Pending | None, cookies: Mapping[str, str]) -> Page:
        """
        A first page that opens nothing any more.

        The browser that was bound may begin once more from here. Any other has to show its Jupyter login first: its
        person may be somebody else, who has seen the link.
        """
        if pending is None or not self._retry:
            return done_page("expired")
        if pending.is_bound_to(cookies.get(pending.cookie_name)):
            again = address(pending.request.redirect_uri, f"go/{self._retry_ticket(pending)}")
            return done_page("expired", again=again)
        return done_page("expired", again=pending.home)

    def _retry_ticket(self, pending: Pending) -> str:
        """For the browser that was bound alone; nobody else gets to see it."""
        errand = (pending.account, pending.ask, pending.request.redirect_uri, pending.home)
        return self._tickets.issue(errand, life=600)

    def done(self, outcome: str, again: str, base: str) -> Page:
        """
        ``GET /nativeauth/done/<outcome>``.

        Args:
            outcome: What to say.
            again: The ticket of *Try again*, if the address held one.
            base: The path of the ``/nativeauth/`` routes here, with its last slash.
        """
        usable = again.replace("-", "").replace("_", "").isalnum() and again.isascii() and len(again) < 64
        return done_page(outcome, again=f"{base}go/{again}" if usable else "")

    def logged_out(self) -> Page:
        """``GET /nativeauth/logout/callback``: back from the provider. Nothing depends on who comes here, or how."""
        self.returned.set()
        return done_page("signed-out")


def _route(path: str) -> str:
    """Which callback route it is. What stands before may differ: a proxy can take a prefix away."""
    return path.partition("/nativeauth/")[2]


def _is_no_navigation(headers: Mapping[str, str]) -> bool:
    """A prefetch, a preview or an image, by the browser's own word; browsers that say nothing are believed."""
    purpose = headers.get("Sec-Purpose", "") + headers.get("Purpose", "")
    return (
        "prefetch" in purpose
        or headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
        or headers.get("Sec-Fetch-Dest", "document") != "document"
    )


def _cookies(pending: Pending, value: Secret | None) -> tuple[Cookie, ...]:
    """
    The binding cookie: at the callback, where it counts; at ``go``, so that the same browser may repeat; and where a
    browser comes back from the page that finds its tenant.
    """
    secure = pending.request.redirect_uri.startswith("https:")
    base = urlsplit(address(pending.request.redirect_uri, "")).path
    routes = ("callback", "go", *(("initiate",) if pending.request.setup is not None else ()))
    return tuple(Cookie(pending.cookie_name, f"{base}{route}", value, secure) for route in routes)
