"""
Runs in: the Jupyter server. The JSON routes: what is signed in, sign in, cancel, sign out. No answer holds a token.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from ._grant import read_json
from ._handlers import Quiet
from ._logout import sign_out
from ._oauth import Ask
from ._status import status_of
from ._tokens import Members
from .errors import ConfigError, LoginRequired, NativeAuthError, ProviderUnavailable, StoreError

__all__ = ["API_ROUTES"]


class _Api(Quiet, APIHandler):  # type: ignore[misc]
    """JSON for the sidebar. No answer ever holds a token."""

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"code": f"http_{status_code}", "message": f"HTTP {status_code}", "hint": ""}))

    async def reply(self, make: Callable[[], Any]) -> None:
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        try:
            body = await make()
        except NativeAuthError as error:
            self.set_status(503 if isinstance(error, StoreError) else _STATUS.get(type(error), 400))
            body = {"code": error.code, "message": str(error.args[0]), "hint": error.hint}
        self.finish(json.dumps(body))

    def body(self) -> Mapping[str, Any]:
        """
        The JSON body. Not with Jupyter's own reader, which logs what it cannot read.

        Raises:
            ConfigError: It is not a JSON object, or the profile is not a name.
        """
        try:
            body = read_json(self.request.body)
        except ValueError:
            body = Members(profile=0)
        if not isinstance(body.get("profile"), str | None):
            raise ConfigError('The body must be a JSON object like {"profile": "acme"}.', code="bad_request")
        return body


_STATUS: dict[type[NativeAuthError], int] = {
    ConfigError: 400,
    ProviderUnavailable: 503,
    StoreError: 503,
    LoginRequired: 409,
}


class ApiProfilesHandler(_Api):
    """What is signed in."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        await self.reply(self._profiles)

    async def _profiles(self) -> dict[str, Any]:
        accounts, host = self.extension.accounts, self.extension.host
        profiles = accounts.profiles()

        def read() -> list[dict[str, Any]]:
            return [
                status_of(accounts.get(profile), default=name == profiles.default).to_json()
                for name, profile in profiles.items()
            ]

        rows = await self.work(read)
        waiting = {
            pending.account.profile.name: {"id": pending.id, "until": pending.started + 600}
            for pending in host.pending.all()
        }
        return {"profiles": [{**row, "pending": waiting.get(row["profile"])} for row in rows]}


class ApiLoginHandler(_Api):
    """Begins a sign-in, and says which page to open for it."""

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
        uri = self.redirect_uri(account)
        pending = await self.work(functools.partial(self.extension.begin, account, ask, uri))
        return {"id": pending.id, "url": host.go_address(pending), "until": pending.started + 600}


class ApiCancelHandler(_Api):
    """Cancels a sign-in."""

    methods = ("DELETE",)

    @web.authenticated
    @authorized
    async def delete(self, pending_id: str) -> None:
        await self.reply(functools.partial(self._cancel, pending_id))

    async def _cancel(self, pending_id: str) -> dict[str, Any]:
        return {"cancelled": self.extension.host.pending.cancel(pending_id)}


class ApiLogoutHandler(_Api):
    """Signs out, and says which page ends the provider's own session, if there is one."""

    methods = ("POST",)

    @web.authenticated
    @authorized
    async def post(self) -> None:
        await self.reply(self._sign_out)

    async def _sign_out(self) -> dict[str, Any]:
        account = self.extension.accounts.get(self.body().get("profile"))
        report = await self.work(functools.partial(sign_out, account))
        page = f"{self._base}logout?{urlencode({'profile': report.profile})}"
        return {
            "profile": report.profile,
            "local": report.local,
            "revoked": report.revoked,
            "message": str(report),
            "url": page if report.provider_session == "open" else None,
        }


API_ROUTES: list[tuple[str, type[Quiet]]] = [
    (r"/nativeauth/api/profiles", ApiProfilesHandler),
    (r"/nativeauth/api/login", ApiLoginHandler),
    (r"/nativeauth/api/login/([0-9a-f]{1,32})", ApiCancelHandler),
    (r"/nativeauth/api/logout", ApiLogoutHandler),
]
