"""
Runs in: the tests. Xumm (Xaman), as the public source of its OAuth provider and its documentation describe it.

Known and played: the redirect URI is compared by its beginning; a native client needs two flags; the code comes under
two names; ``plain`` challenges fail; a wrong verifier does not spend the code; the access token is a JWT, and the ID
token is the same string; ``refresh_token`` is empty; errors have status 400 and are JSON or a page, as the request's
headers look like a program or a browser; a token that is over gets a 403; without PKCE the token comes in the *query*;
a sign-in is a sign request on a phone, and ends nowhere if nobody opens it.

Unconfirmed about the real service, so no test depends on it: the body of its metadata, its ``issuer``, whether keys
have a ``kid``, the flags that a new application has, lifetimes, 429.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import json
import re
import secrets
from collections.abc import Callable
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from tests.answers import Answer, Request, redirect
from tests.emulators.grants import Access, Grant, Refused
from tests.emulators.xumm_api import ACCOUNTS, XummApi
from tests.emulators.xumm_payloads import Payload
from tests.http_browser import HttpBrowser
from tests.manners import RULES, Rule, rule

BROWSER = re.compile(r"mozilla|intel|firefox|gecko|webkit|safari|windows|chrome|x11", re.IGNORECASE)


class Xumm(XummApi):
    """
    Attributes:
        acpkce, implicit: The application's flags. A code without a secret needs both.
        discovery: Whether there is metadata.
        html_errors: Every error is a page.
        with_id_token: Whether scope ``openid`` brings an ``id_token``.
        name: What people are called in ``/userinfo``; many accounts have none.
        network_id: As the tokens say it; a text, and ``"undefined"`` where the phone did not say.
    """

    provider = "xumm"
    endpoints: ClassVar = {
        f"{base}/{path}": name
        for base in ("", "/oauth")
        for path, name in {
            ".well-known/openid-configuration": "discovery",
            "certs": "jwks",
            "auth": "authorize",
            "authorize": "authorize",
            "signin": "signin",
            "token": "token",
            "userinfo": "userinfo",
        }.items()
    }
    rules: ClassVar[dict[str, Rule]] = {
        **RULES,
        # The challenge is a matter of the flow: without a secret, only a request with one gets a token for its code.
        "authorize": rule(
            "response_type client_id redirect_uri scope state nonce",
            "code_challenge code_challenge_method prompt max_age acr_values login_hint force_network signers",
        ),
        "signin": rule("t h c payload"),
    }

    def __init__(self) -> None:
        super().__init__("47fdfcb7-8362-47fe-9a89-a2efc55e86d5")
        self.lifetime = 86400
        self.acpkce = self.implicit = True
        self.discovery = True
        self.html_errors = False
        self.with_id_token = True
        self.name: str | None = None
        self.network_id = "0"

    # ---- for tests ----------------------------------------------------------------------------------------------

    def profile(self, **extra: Any) -> dict[str, Any]:
        known = {"provider": self.provider, "issuer": self.issuer, "client_id": self.client_id}
        return {**known, "api": [self.api, self.origin], "redirect_ports": [self.redirect_port], **extra}

    def browser(self, **options: Any) -> HttpBrowser:
        return super().browser(**{"press": ("Approve",), **options})

    def on_loop(self, task: Callable[[], Any]) -> Any:
        """Do *task* where sockets may be written to."""

        async def run() -> Any:
            return task()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def newest(self) -> Payload:
        """The last sign request."""
        return list(self.payloads.all.values())[-1]

    def act(self, action: str, *details: str) -> Payload:
        """Do with the newest sign request what a person does: ``open``, ``approve``, ``reject``, or let it expire."""
        payload = self.newest()
        if action == "approve" and not details:
            details = (payload.account or ACCOUNTS[self.username],)
        self.on_loop(lambda: getattr(self.payloads, action)(payload, *details))
        return payload

    @property
    def calls(self) -> list[str]:
        """What was asked of the API, in order."""
        hits = [hit for hit in self.hits("api") if hit.request.path.startswith("/api/v1/jwt/")]
        return [f"{hit.request.method} {hit.request.path.removeprefix('/api/v1/jwt/').split('/')[0]}" for hit in hits]

    # ---- errors -------------------------------------------------------------------------------------------------

    def failure(self, request: Request, error: str, text: str, status: int = 400) -> Answer:
        """JSON for a program, a page for a browser: the service guesses by the headers (its ``index.js``)."""
        if looks_like_a_program(request) and not self.html_errors:
            return Answer(status, json={"error": error, "error_description": text})
        head = f'<div class="card-header bg-danger"><i class="fas fa-clock"></i> Error: {html.escape(error)}</div>'
        body = f'<div class="card shadow-sm">{head}<div class="card-body">{html.escape(text)}</div></div>'
        return self.page(status, "XUMM Sign In Gateway", body)

    # ---- signing in ---------------------------------------------------------------------------------------------

    def do_discovery(self, request: Request) -> Answer:
        if not self.discovery:
            return self.do_other(request)
        names = {
            "authorization_endpoint": "auth",
            "token_endpoint": "token",
            "userinfo_endpoint": "userinfo",
            "jwks_uri": "certs",
        }
        return Answer(
            json={
                "issuer": self.issuer,
                **{name: f"{self.origin}/{path}" for name, path in names.items()},
                "response_types_supported": ["code", "token"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    def is_registered(self, uri: str) -> bool:
        """By its beginning, without query, fragment and slashes at the end (its ``redirectUriCheck.js``)."""
        sent = _plain(uri)
        lines = [_plain(line) for line in self.redirect_uris if re.match(r"[a-z0-9]{2,}:/", line)]
        return any(sent.startswith(line) for line in lines)

    def do_authorize(self, request: Request) -> Answer:
        kind, asked = request.get("response_type"), {name for name, _ in request.params}
        challenge = asked & {"code_challenge", "code_challenge_method"}
        needed = {"client_id", "redirect_uri"}
        if kind not in ("code", "token"):
            return self.failure(request, "invalid_request", "Grant type is invalid or missing.")
        if not needed <= asked or (kind == "code" and len(challenge) == 1):
            return self.failure(request, "invalid_request", "Required parameters are missing in the request.")
        known = request.get("client_id") == self.client_id and (self.acpkce if kind == "code" else self.implicit)
        if not known or not self.is_registered(request.get("redirect_uri") or ""):
            return self.failure(request, "access_denied", "Invalid client/redirect URL.")
        host = urlsplit(request.get("redirect_uri") or "").netloc
        proof = {"t": secrets.token_hex(12), "h": secrets.token_hex(10), "c": self.client_id}
        back = f"{self.origin}/signin?{urlencode(proof)}&payload={{id}}"
        options: dict[str, Any] = {"return_url": {"app": back, "web": back}}
        if re.fullmatch(r"[A-Z]+", (request.get("force_network") or "").upper()):
            options["force_network"] = (request.get("force_network") or "").upper()
        if re.match(r"r[a-zA-Z0-9]{10,}", request.get("signers") or ""):
            options["signers"] = (request.get("signers") or "").split(",")
        body = {"txjson": {"TransactionType": "SignIn"}, "options": options}
        body["custom_meta"] = {"instruction": f"Sign in to {host}"}
        payload = self.payloads.add(Payload(body, self.now() + 14400, asked=request))
        return redirect(f"{self.api}/sign/{payload.uuid}")

    def do_signin(self, request: Request) -> Answer:
        payload = self.payloads.all[request.get("payload") or ""]
        asked = payload.asked
        if not payload.signed:
            text = "The XUMM sign in request has been rejected"
            return self._return(asked, error="access_denied", error_description=text, state=asked.get("state"))
        username = next(name for name, account in ACCOUNTS.items() if account == payload.signer)
        grant = Grant(asked, username, self.now(), (asked.get("scope") or "").split())
        self.grants.append(grant)
        same = {name: asked.get(name) for name in ("state", "nonce")}
        if asked.get("response_type") == "token":
            return self._return(asked, **self.tokens(grant), refresh_token="", **same, scope=asked.get("scope"))
        code = self.mint("code")
        self._codes[code] = grant
        return self._return(asked, authorization_code=code, code=code, **same)

    def _return(self, asked: Request, **answer: Any) -> Answer:
        query = urlencode({name: value for name, value in answer.items() if value is not None})
        if (asked.get("scope") or "").lower() == "xummpkce":
            return self.page(200, "Redirecting to Xumm...")  # for the service's own script in a popup; leads nowhere
        return redirect(f"{asked.get('redirect_uri')}?{query}")

    # ---- tokens -------------------------------------------------------------------------------------------------

    def do_token(self, request: Request) -> Answer:
        form = dict(request.params)
        if not form and request.body:
            form = json.loads(request.body)
        try:
            if form.get("grant_type") != "authorization_code":
                raise Refused("invalid_request", "Grant type is invalid or missing.")
            if not form.get("code_verifier"):
                raise Refused("invalid_request", "Client secret and code verifier are exclusive to each other.")
            members = self._redeemed(form)
        except Refused as no:
            return self.failure(request, no.error, no.description)
        return Answer(json=members)

    def _redeemed(self, form: dict[str, str]) -> dict[str, Any]:
        code = form.get("authorization_code") or form.get("code") or ""
        if not {"client_id", "redirect_uri"} <= {*form} or not code:
            raise Refused("invalid_request", "Required parameters are missing in the request.")
        if form["client_id"] != self.client_id or not (self.acpkce and self.implicit):
            raise Refused("access_denied", "Invalid client credentials.")
        grant = self._codes.get(code)
        if grant is None:
            raise Refused("access_denied", "Invalid authorization code.")
        if _plain(grant.asked.get("redirect_uri") or "") != _plain(form["redirect_uri"]):
            raise Refused("access_denied", "Redirect URL does not match the record.")
        if self.now() - grant.at > 600:
            raise Refused("access_denied", "Authorization code expired.")
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != grant.asked.get("code_challenge"):
            raise Refused("access_denied", "Code verifier does not match code challenge.")
        del self._codes[code]  # only now: whoever guessed wrong has not spent it
        members = self.tokens(grant) | {"refresh_token": "", "scope": grant.asked.get("scope")}
        if self.with_id_token and "openid" in (grant.asked.get("scope") or "").lower():
            members["id_token"] = members["access_token"]
        return members

    def tokens(self, grant: Grant) -> dict[str, Any]:
        token = self.access_token(grant)
        self.access[token] = Access(grant, self.now() + self.lifetime, len(self.access))
        return {"access_token": token, "token_type": "bearer", "expires_in": self.lifetime}

    def access_token(self, grant: Grant) -> str:
        account, now = ACCOUNTS[grant.username], int(self.now())
        claims = {
            "client_id": self.client_id,
            "scope": grant.asked.get("scope"),
            "aud": self.client_id,
            "sub": account,
            "email": f"{self.client_id}+{account}@oauth2.local",
            "nonce": grant.asked.get("nonce"),
            "app_uuidv4": self.client_id,
            "app_name": "Notebook",
            "payload_uuidv4": self.newest().uuid,
            "usertoken_uuidv4": self.mint("usertoken"),
            "network_type": "MAINNET",
            "network_endpoint": "wss://xrplcluster.com",
            "network_id": self.network_id,
            "jti": secrets.token_hex(8),  # two tokens of one second are alike at the real service
            "iat": now,
            "exp": now + self.lifetime,
            "iss": self.issuer,
        }
        return self.sign("access", claims)

    def person(self, grant: Grant) -> dict[str, Any]:
        account = ACCOUNTS[grant.username]
        return {
            "sub": account,
            "email": f"{self.client_id}+{account}@oauth2.local",
            "picture": f"https://xumm.app/avatar/{account}.png",
            "account": account,
            "name": self.name,
            "networkType": "MAINNET",
        }

    def do_userinfo(self, request: Request) -> Answer:
        if "authorization" not in request.headers:
            return self.failure(request, "invalid_jwt", "No JWT token (auth) specified.", 401)
        known = self.bearer(request)
        if known is None:
            return self.failure(request, "jwt_auth_error", "jwt expired", 403)
        return Answer(json=self.person(known.grant))


def looks_like_a_program(request: Request) -> bool:
    """The score of the service's ``index.js``, in tenths."""
    headers = request.headers
    accept = headers.get("accept", "")
    score = 4 * (len([name for name in headers if not name.startswith(("cf-", "x-"))]) < 6)
    score += 2 * ("referer" in headers) - 2 * ("upgrade-insecure-requests" in headers)
    score -= ("cache-control" in headers) + ("accept-language" in headers) + 2 * ("sec-fetch-site" in headers)
    score -= BROWSER.search(headers.get("user-agent", "")) is not None
    score += 4 * ("application/json" in accept.lower()) - 4 * ("text/html" in accept.lower()) + 4 * (accept == "*/*")
    return score >= 4


def _plain(uri: str) -> str:
    return re.sub(r"^([a-z0-9]+://[^?#]+)[?#]*.*", r"\1", uri).rstrip("/")
