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

from ._callback import AskAgain, Code, Mismatch, read_callback, read_query
from ._initiations import Initiations
from ._oauth import Ask, end_session_url, once_more
from ._pages import Cookie, Page, done_page, error_page, redirect
from ._paste import read_pasted
from ._pending import Pending, PendingLogins, address
from ._request import new_request
from ._tickets import Tickets
from ._tokens import Identity, Secret
from .errors import LoginFailed, NativeAuthError

if TYPE_CHECKING:
    from ._account import Account
    from ._clock import Clock
    from ._oauth import AuthorizationRequest

__all__ = ["Host", "address"]

_log = logging.getLogger("jupyter_nativeauth")


class Host:
    """
    One place that sign-ins go through: the Jupyter server, or a short-lived listener.

    Args:
        ticket_life: Seconds in which a sign-in's first page must be opened.
        life: Seconds in which the provider's answer must come; ``None`` for the profile's ``timeout``.
        retry: Whether a failed sign-in can be tried again from its last page.
        on_change: Told of each sign-in that begins or ends.
        onward: Where a browser ends up that is sent to one of our addresses, if that is elsewhere: at a hub.
        clock: Both clocks.
    """

    def __init__(
        self,
        *,
        ticket_life: float = 60.0,
        life: float | None = None,
        retry: bool = False,
        on_change: Callable[[Pending], None] | None = None,
        onward: Callable[[str], str] = str,
        clock: Clock = time,
    ) -> None:
        self.pending = PendingLogins(ticket_life=ticket_life, life=life, on_change=on_change, clock=clock)
        self.returned = threading.Event()  # the browser has come back from the provider's end-session page
        self.left = threading.Event()  # it has been sent there
        self._retry = retry
        self._onward = onward
        self._tickets = Tickets(clock)
        self.initiations = Initiations(self.pending, self._tickets, clock)

    def begin(
        self,
        account: Account,
        ask: Ask,
        redirect_uri: str,
        home: str = "",
        entry: str = "",
        *,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Pending:
        """
        Begin a sign-in. The key comes first: it would be a pity to find the keychain locked after the sign-in. Before
        it, where the profile says so, somebody at this device confirms that it is them.

        Args:
            account: Whose.
            ask: What it asks for beyond the profile.
            redirect_uri: Where the provider sends the browser back to.
            home: A page that begins the same anew, for people who are signed in to Jupyter.
            entry: Where our pages are for the browser, if it may not come back to *redirect_uri*.
            cancelled: Whether nobody waits for it any more.

        Raises:
            NativeAuthError: It cannot begin; what to do is in the message.
        """
        account.signs_in_here()
        address(redirect_uri, "go")
        account.confirm_presence(cancelled=cancelled)
        key = account.key(interactive=True, create=True)
        account.store.open(key).header()  # nor to learn only then that a newer version wrote the file
        request, base = new_request(account, ask, redirect_uri), self._page(redirect_uri, "")
        return self.pending.add(account, ask, request, home=home, entry=entry, base=base)

    def go_address(self, pending: Pending) -> str:
        """Where the browser begins *pending*."""
        return pending.page(f"go/{pending.ticket}")

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
        return self._page(redirect_uri, f"go/{self._tickets.issue(url, life=60)}")

    def _page(self, redirect_uri: str, route: str) -> str:
        """The address of another of our routes where the browser ends up (only there it shows its cookie)."""
        return self._onward(address(redirect_uri, route))

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
                *_, redirect_uri, _, entry = errand
                ticket = self._tickets.issue(errand, life=600)
                again = f"{entry}go/{ticket}" if entry else self._page(redirect_uri, f"go/{ticket}")
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
        result = self.redeem(pending, code)
        if result is None:
            # A listener ends with what was cancelled: it would not be there any more for a second page.
            page = self._leave(pending, "cancelled") if self._retry else done_page("cancelled")
            return page.with_cookies(*_cookies(pending, None))
        if isinstance(result, NativeAuthError):
            return self._leave(pending, _outcome_of(result))
        return redirect(pending.back("done/signed-in")).with_cookies(*_cookies(pending, None))

    def paste(self, pending: Pending, text: Secret) -> Code | None:
        """
        The provider's answer, as the address that its person has pasted: for a browser that cannot come back here.

        The checks are those of the callback, but for the cookie: whoever calls this has made sure that it is the very
        person who began *pending* that pastes. An address that somebody else has made up has not the state of it.

        Returns:
            What is to be redeemed next; ``None`` if the service said no, and that was it, or if it wants to ask
            something first: the sign-in then begins once more, at its first page.

        Raises:
            Mismatch: It is not the answer to *pending*, which goes on waiting; the hint says what to paste.
            LoginFailed: *pending* is over.
        """
        request = pending.request
        try:
            code = read_pasted(request, text)
        except Mismatch:
            raise
        except AskAgain:
            if self.pending.restart(pending, request, once_more(request, pending.ask)):
                return None
        except LoginFailed as denied:
            if self.pending.take(pending):
                self.pending.close(pending, denied)
                return None
        else:
            if self.pending.take(pending):
                return code
        raise LoginFailed("This sign-in is over, or its answer has come already.", code="expired", hint=_ANEW)

    def redeem(self, pending: Pending, code: Code) -> Identity | NativeAuthError | None:
        """
        Exchange a code whose sign-in was taken out, save the login, and let everybody who waits know.

        Returns:
            How it ended; ``None`` if nobody wanted it any more: it was cancelled while the provider was asked.
        """
        result: Identity | NativeAuthError
        try:
            login = pending.account.redeem(code)
            if pending.outcome.done():
                pending.account.drop(login)
                return None
            pending.account.save(login)
            result = login.identity
        except NativeAuthError as error:
            result = error
        except Exception as error:  # noqa: BLE001 - nothing of it may be logged: it can hold the code
            _log.error("A sign-in to %s failed unexpectedly: %s", pending.account.profile.name, type(error).__name__)
            result = LoginFailed("The sign-in failed unexpectedly.", code="unexpected")
        self.pending.close(pending, result)
        return result

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
            or not (pending.direct or pending.is_bound_to(cookies.get(pending.cookie_name)))
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
        """``GET /nativeauth/initiate/<profile>``; ``None`` if this browser has no sign-in that waits for this."""
        return done_page("unknown") if _is_no_navigation(headers) else self.initiations.page(name, query, cookies)

    def _finish(self, pending: Pending, error: NativeAuthError) -> Page:
        self.pending.close(pending, error)
        return self._leave(pending, _outcome_of(error))

    def _leave(self, pending: Pending, outcome: str) -> Page:
        """From the callback, whose address holds a code, to a clean page that says how it ended."""
        again = f"?again={self._retry_ticket(pending)}" if self._retry else ""
        return redirect(pending.back(f"done/{outcome}{again}")).with_cookies(*_cookies(pending, None))

    def _too_late(self, pending: Pending | None, cookies: Mapping[str, str]) -> Page:
        """
        A first page that opens nothing any more.

        The browser that was bound may begin once more from here. Any other has to show its Jupyter login first: its
        person may be somebody else, who has seen the link.
        """
        if pending is None or not self._retry:
            return done_page("expired")
        if pending.is_bound_to(cookies.get(pending.cookie_name)):
            return done_page("expired", again=pending.page(f"go/{self._retry_ticket(pending)}"))
        return done_page("expired", again=pending.home)

    def _retry_ticket(self, pending: Pending) -> str:
        """For the browser that was bound alone; nobody else gets to see it."""
        errand = (pending.account, pending.ask, pending.request.redirect_uri, pending.home, pending.entry)
        return self._tickets.issue(errand, life=600)

    def done(self, outcome: str, again: str, base: str) -> Page:
        """
        ``GET /nativeauth/done/<outcome>``.

        Args:
            outcome: What to say.
            again: The ticket of *Try again*, if the address held one.
            base: From that page to the ``/nativeauth/`` routes, with its last slash.
        """
        usable = again.replace("-", "").replace("_", "").isalnum() and again.isascii() and len(again) < 64
        return done_page(outcome, again=f"{base}go/{again}" if usable else "")

    def logged_out(self) -> Page:
        """``GET /nativeauth/logout/callback``: back from the provider. Nothing depends on who comes here, or how."""
        self.returned.set()
        return done_page("signed-out")


_ANEW = "Start the sign-in again."


def _outcome_of(error: NativeAuthError) -> str:
    return "denied" if error.code in ("access_denied", "consent_required") else "failed"


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
    secure = pending.page("").startswith("https:")
    base = urlsplit(pending.page("")).path
    routes = ("callback", "go", *(("initiate",) if pending.request.setup is not None else ()))
    return tuple(Cookie(pending.cookie_name, f"{base}{route}", value, secure) for route in routes)
