"""
Runs in: the Jupyter server. The JSON routes: what is signed in, sign in, paste, cancel, confirm, sign out. No answer
holds a token.
"""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from ._grant import read_json
from ._oauth import Ask
from ._origin import is_loopback
from ._pending import address
from ._route import Quiet
from ._settings import FLOWS
from ._status import ProfileStatus, status_of
from ._tokens import Members, Secret
from .errors import ConfigError, LoginRequired, NativeAuthError, ProviderUnavailable, StoreError

if TYPE_CHECKING:
    from ._account import Account
    from ._pending import Pending, PendingLogins

__all__ = ["API_ROUTES"]


class _Api(Quiet, APIHandler):  # type: ignore[misc]
    """JSON for the sidebar. No answer ever holds a token."""

    def write_error(self, status_code: int, **_: Any) -> None:
        message, hint = _REFUSALS.get(status_code, _REFUSALS[500 if status_code >= 500 else 400])
        self._finish_json({"code": f"http_{status_code}", "message": message, "hint": hint})

    async def reply(self, make: Callable[[], Any]) -> None:
        try:
            body = await make()
        except NativeAuthError as error:
            self.set_status(503 if isinstance(error, StoreError) else _STATUS.get(type(error), 400))
            body = _words_of(error)
        self._finish_json(body)

    def _finish_json(self, body: dict[str, Any]) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(body))

    def body(self) -> Mapping[str, Any]:
        """
        The JSON body. Not with Jupyter's own reader, which logs what it cannot read.

        Raises:
            ConfigError: It is not a JSON object, or too large, or the profile is not a name.
        """
        try:
            body = read_json(self.request.body) if len(self.request.body) <= _LARGEST else Members(profile=0)
        except ValueError:
            body = Members(profile=0)
        if not isinstance(body.get("profile"), str | None):
            raise ConfigError('The body must be a JSON object like {"profile": "acme"}.', code="bad_request")
        return body


_LARGEST = 262144  # bytes: a pasted address of 32,768 characters, however they are escaped


def _words_of(error: NativeAuthError) -> dict[str, Any]:
    return {"code": error.code, "message": str(error.args[0]), "hint": error.hint}


_REFUSALS = {
    400: ("The Jupyter server does not understand this request.", "Reload the page."),
    403: ("The Jupyter server does not accept this request.", "Reload the page, and sign in to Jupyter if it asks."),
    405: ("The Jupyter server does not take this kind of request here.", "Reload the page."),
    500: ("The Jupyter server failed unexpectedly.", "Try again. If it stays so, look into the log of the server."),
}
_STATUS: dict[type[NativeAuthError], int] = {
    ConfigError: 400,
    ProviderUnavailable: 503,
    StoreError: 503,
    LoginRequired: 409,
}


class ApiProfilesHandler(_Api):
    """How each profile stands, what is under way, and what to write and register for a new one."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        await self.reply(self._profiles)

    async def _profiles(self) -> dict[str, Any]:
        return {**await self.work(self._rows), "now": time.time()}

    def _rows(self) -> dict[str, Any]:
        accounts, pending = self.extension.accounts, self.extension.host.pending
        profiles = accounts.profiles()
        rows = [
            _row(accounts.get(profile), pending, default=name == profiles.default) for name, profile in profiles.items()
        ]
        return {"config": {"file": profiles.place, "redirect_uris": self._redirect_uris()}, "profiles": rows}

    def _redirect_uris(self) -> list[str]:
        """
        What to register at the service so that it can send this browser back here: after sign-in, and after sign-out.

        Without a port on this machine, where any must do (RFC 8252, section 7.3).
        """
        # A GET of the same origin has no `Origin`; the page that it comes from knows the name of the server as well.
        page = urlsplit(self.request.headers.get("Referer", ""))
        origin = f"{page.scheme}://{page.netloc}" if page.scheme in ("http", "https") else ""
        uri = self.extension.redirect_base(self.request.host, forwarded=self.is_forwarded, origin=origin)
        if uri is None:
            here = origin or f"{self.request.protocol}://{self.request.host}"
            uri = f"{here}{self._base}callback"
        parts = urlsplit(uri)
        if is_loopback(parts.hostname or ""):
            uri = parts._replace(netloc=re.sub(r":\d+$", "", parts.netloc)).geturl()
        return [uri, address(uri, "logout/callback")]


def _row(account: Account, pending: PendingLogins, *, default: bool) -> dict[str, Any]:
    status, name = status_of(account, default=default), account.profile.name
    waiting, failed = pending.of_profile(name), pending.failure_of(name)
    error = failed.outcome.exception() if failed is not None else None
    if failed is None or not isinstance(error, NativeAuthError) or (status.signed_in_at or 0) > failed.started:
        failure = None  # also after a sign-in elsewhere
    else:
        failure = {"id": failed.id, **_words_of(error)}
    return {
        **status.to_json(),
        "ends_session": _ends_session(account, status),
        "confirm_by": _confirm_by(account) if status.state == "signed_in" else None,
        "pending": _pending(waiting) if waiting is not None else None,
        "failed": failure,
    }


def _pending(waiting: Pending) -> dict[str, Any]:
    return {"id": waiting.id, "until": waiting.ends, "paste": bool(waiting.entry)}


def _confirm_by(account: Account) -> float | None:
    """When somebody has to confirm again that it is them (``presence``); 0: now, the login waits. ``None``: never."""
    if account.profile.presence != "hourly":
        return None
    left = account.presence_left()
    return time.time() + left if left else 0.0


def _ends_session(account: Account, status: ProfileStatus) -> bool:
    """Whether a sign-out goes on in the browser."""
    try:
        return status.state == "signed_in" and bool(account.login().provider.end_session_endpoint)
    except NativeAuthError:
        return False  # it has ended a moment ago


class ApiLoginHandler(_Api):
    """Begins a sign-in, in the place of one that still waits, and says which page to open for it."""

    methods = ("POST",)

    @web.authenticated
    @authorized
    async def post(self) -> None:
        await self.reply(self._begin)

    async def _begin(self) -> dict[str, Any]:
        body, host = self.body(), self.extension.host
        account = self.extension.accounts.get(body.get("profile"))
        scopes = body.get("scopes")
        ask = Ask(
            scopes=tuple(str(scope) for scope in scopes[:50]) if isinstance(scopes, list) else (),
            switch=body.get("switch") is True,
        )
        flow = body.get("flow")
        pending = await self.begin(account, ask, flow if flow in FLOWS else "")
        await self.work(functools.partial(host.pending.close_older, pending))
        return {"id": pending.id, "url": host.go_address(pending), "until": pending.ends, "paste": bool(pending.entry)}


class ApiPasteHandler(_Api):
    """
    Ends a sign-in with the address that its person's browser has ended on, where it could not come back here.

    No answer, log line or error repeats any of it.
    """

    methods = ("POST",)

    @web.authenticated
    @authorized
    async def post(self) -> None:
        await self.reply(self._paste)

    async def _paste(self) -> dict[str, Any]:
        body = self.body()
        if not (isinstance(body.get("id"), str) and isinstance(body.get("url"), str)):
            raise ConfigError('The body must be a JSON object like {"id": "...", "url": "..."}.', code="bad_request")
        pending = await self.paste(body["id"], Secret(body["url"]))
        again = self.extension.host.go_address(pending) if not pending.outcome.done() else None
        return {"accepted": True, "url": again}


class ApiCancelHandler(_Api):
    """Cancels a sign-in, or forgets that it failed."""

    methods = ("DELETE",)

    @web.authenticated
    @authorized
    async def delete(self, pending_id: str) -> None:
        await self.reply(functools.partial(self._cancel, pending_id))

    async def _cancel(self, pending_id: str) -> dict[str, Any]:
        pending = await self.work(functools.partial(self.extension.host.pending.cancel, pending_id))
        if pending is not None:
            self.extension.watch.nudge(pending.account.profile.name)
        return {"cancelled": pending is not None}


class ApiConfirmHandler(_Api):
    """Lets the person at the device confirm that it is them, so that a login that waits goes on (docs/presence.md)."""

    methods = ("POST",)

    @web.authenticated
    @authorized
    async def post(self) -> None:
        await self.reply(self._confirm)

    async def _confirm(self) -> dict[str, Any]:
        account = self.extension.accounts.get(self.body().get("profile"))
        await self.work(account.confirm_presence)
        return {"profile": account.profile.name, "confirm_by": _confirm_by(account)}


class ApiLogoutHandler(_Api):
    """Signs out, and says which page ends the provider's own session, if there is one."""

    methods = ("POST",)

    @web.authenticated
    @authorized
    async def post(self) -> None:
        await self.reply(self._sign_out)

    async def _sign_out(self) -> dict[str, Any]:
        report, link = await self.sign_out(self.extension.accounts.get(self.body().get("profile")))
        return {
            "profile": report.profile,
            "local": report.local,
            "revoked": report.revoked,
            "message": str(report),
            "url": link,
        }


API_ROUTES: list[tuple[str, type[Quiet]]] = [
    (r"/nativeauth/api/profiles", ApiProfilesHandler),
    (r"/nativeauth/api/login", ApiLoginHandler),
    (r"/nativeauth/api/login/([^/]{1,64})", ApiCancelHandler),
    (r"/nativeauth/api/logout", ApiLogoutHandler),
    (r"/nativeauth/api/confirm", ApiConfirmHandler),
    (r"/nativeauth/api/paste", ApiPasteHandler),
]
