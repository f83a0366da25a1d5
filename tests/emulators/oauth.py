"""
Runs in: the tests. What the emulated services have in common while somebody signs in: one native client, and pages.

Left alone everybody is signed in and allowed at once; ``login = "page"`` shows a page with buttons, ``"deny"`` says no.
A service overrides what it does differently: which methods there are is what services are known to differ in.
"""

from __future__ import annotations

import html
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

from tests.answers import Answer, Request, redirect
from tests.emulators.base import CALLBACK, LOGOUT_CALLBACK
from tests.emulators.grants import Grant, Refused, TokenEmulator
from tests.http_browser import HttpBrowser
from tests.manners import OF_THE_CLIENT, RULES, Rule, bad_manners, secrets_in_address


class OAuthEmulator(TokenEmulator):
    """
    A service with one registered native client.

    Attributes:
        provider: The preset that is for this service.
        login: What a person does: ``"auto"``, ``"page"`` (press a button) or ``"deny"``.
        username: Who is signed in by ``"auto"``, and stands in the page's form.
        redirect_uris, logout_uris: What is registered; compared to the letter.
        offline: Whether ``offline_access`` gives a refresh token.
    """

    provider: ClassVar[str]
    rules: ClassVar[Mapping[str, Rule]] = RULES

    def __init__(self, host: str = "127.0.0.1", *, client_id: str = "native-client") -> None:
        super().__init__(host, client_id=client_id)
        self.login: Literal["auto", "page", "deny"] = "auto"
        self.username = "ada"
        self.redirect_uris: set[str] = set()
        self.logout_uris: set[str] = set()
        self.offline = True
        self.sessions: dict[str, str] = {}
        self._asked: dict[str, Request] = {}
        self.register(f"http://127.0.0.1:{self.redirect_port}")

    # ---- for tests ----------------------------------------------------------------------------------------------

    def register(self, origin: str, base_url: str = "/") -> None:
        """Register the redirect URIs of a Jupyter, or of a listener, at *origin*."""
        base = f"{origin}{base_url.rstrip('/')}"
        self.redirect_uris.add(f"{base}{CALLBACK}")
        self.logout_uris.add(f"{base}{LOGOUT_CALLBACK}")

    def profile(self, **extra: Any) -> dict[str, Any]:
        """The keys of a profile for nativeauth.toml that signs in here through a listener."""
        known = {"provider": self.provider, "client_id": self.client_id, "api": [self.api]}
        return {**known, "redirect_ports": [self.redirect_port], **extra}

    def browser(self, **options: Any) -> HttpBrowser:
        """A browser without a screen whose person signs in here."""
        return HttpBrowser(**{"fill": {"username": self.username}, "press": ("Sign in",), **options})

    # ---- requests, in general -----------------------------------------------------------------------------------

    def check(self, endpoint: str, request: Request) -> None:
        for name, kind in OF_THE_CLIENT.items():
            if len(request.get(name) or "") >= 8:
                self.mint(kind, request.get(name))
        found = [f"{endpoint}: {what}" for what in secrets_in_address(request, self.secrets())]
        if endpoint in self.endpoints.values() and endpoint != "login":
            found += bad_manners(endpoint, request, self.rules)
        if endpoint == "api":
            found += [f"api: {name} in its parameters" for name, _ in request.params if "token" in name]
        self.violations += found

    def endpoint_of(self, request: Request) -> str:
        return "login" if request.path == "/emulate/login" else super().endpoint_of(request)

    def page(self, status: int, title: str, body: str = "", **headers: str) -> Answer:
        """A page of the service's own, from which nothing leads back."""
        text = f"<!doctype html><title>{html.escape(title)}</title><h1>{html.escape(title)}</h1>{body}"
        return Answer(status, text, {"Content-Type": "text/html; charset=utf-8", **headers})

    def back(self, request: Request, **answer: str) -> Answer:
        """To the redirect URI of an authorization request, with its state."""
        query = {**answer, "state": request.get("state") or "", **self.extra(request)}
        return redirect(f"{request.get('redirect_uri')}?{urlencode(query)}")

    # ---- signing in ---------------------------------------------------------------------------------------------

    def do_authorize(self, request: Request) -> Answer:
        if request.get("client_id") != self.client_id or request.get("redirect_uri") not in self.redirect_uris:
            return self.unregistered(request)
        try:
            self.allow(request)
        except Refused as no:
            return self.back(request, **no.members)
        username = self.signed_in(request)
        if username is None and self.login == "page":
            return self._login_page(request)
        if self.login == "deny":
            return self.back(request, **self.denied().members)
        return self._grant(request, username or request.get("login_hint") or self.username)

    def unregistered(self, request: Request) -> Answer:
        """The client or its redirect URI is not known here: no redirect (RFC 6749, section 4.1.2.1)."""
        return self.page(400, "This client or redirect URI is not registered")

    def allow(self, request: Request) -> None:
        """Raises Refused if this authorization request cannot be granted."""
        if request.get("response_type") != "code" or request.get("code_challenge_method") != "S256":
            raise Refused("invalid_request", "PKCE is required")

    def denied(self) -> Refused:
        """What a person who says no sends back."""
        return Refused("access_denied", "The person said no.")

    def extra(self, request: Request) -> dict[str, str]:
        """Further parameters of the callback."""
        return {}

    def granted(self, request: Request) -> list[str]:
        """The scopes that are granted."""
        scopes = (request.get("scope") or "").split()
        return [scope for scope in scopes if self.offline or scope != "offline_access"]

    def signed_in(self, request: Request) -> str | None:
        """Whose session at the service the browser has."""
        prompt = (request.get("prompt") or "").split()
        return None if "login" in prompt else self.sessions.get(_cookie(request))

    def leave(self, request: Request) -> None:
        """End the browser's session at the service."""
        self.sessions.pop(_cookie(request), None)

    def _login_page(self, request: Request) -> Answer:
        asked = secrets.token_hex(8)
        self._asked[asked] = request
        who = html.escape(request.get("login_hint") or self.username)
        return self.page(
            200,
            f"Sign in to the {self.provider} emulator",
            f'<form method="post" action="/emulate/login"><input type="hidden" name="asked" value="{asked}">'
            f'<label>Username <input name="username" value="{who}"></label>'
            '<button name="answer" value="yes">Sign in</button><button name="answer" value="no">Deny</button></form>',
        )

    def do_login(self, request: Request) -> Answer:
        asked = self._asked[request.get("asked") or ""]
        if request.get("answer") == "no":
            return self.back(asked, **self.denied().members)
        return self._grant(asked, request.get("username") or "")

    def _grant(self, request: Request, username: str) -> Answer:
        grant = Grant(request, username, self.now(), self.granted(request))
        code, cookie = self.mint("code"), secrets.token_hex(16)
        self.grants.append(grant)
        self._codes[code] = grant
        self.sessions[cookie] = username
        answer = self.back(request, code=code)
        answer.headers["Set-Cookie"] = f"session={cookie}; Path=/; HttpOnly; SameSite=Lax"
        return answer


def _cookie(request: Request) -> str:
    pairs = (pair.strip().partition("=") for pair in request.headers.get("cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == "session"), "")
