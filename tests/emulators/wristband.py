"""
Runs in: the tests. Wristband, as its documentation and SDKs describe it: two kinds of hosts, and no discovery.

    app.localhost:PORT             token, userinfo, jwks, revoke, SDK configuration, and the page that finds the tenant
    globex-app.localhost:PORT      one of its tenants: authorize, login page, logout. Each host answers 404 to the rest
    login.initech.localhost:PORT   a tenant's own custom domain

Known and played: the issuer is the application's host though the authorization ran on the tenant's, access tokens are
JWTs without an audience, refresh tokens are HS256 JWTs, the callback names the tenant, the session's cookie belongs to
the tenant's host, and a client or redirect URI that is not registered ends on a page without a way back.

Unconfirmed about the real service, so no test depends on it: whether refresh tokens rotate by themselves, whether the
port of a redirect URI counts, whether a logout's ``redirect_url`` must be registered, and the words of its refusals.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import unquote_plus, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey

from tests.answers import Answer, Request, redirect
from tests.emulators.grants import Grant, Refused
from tests.emulators.oauth import OAuthEmulator
from tests.http_browser import HttpBrowser
from tests.manners import RULES, Rule, bad_manners, rule, secrets_in_address

INITIATE = "/nativeauth/initiate/acme"
AUTHORIZE = rule(
    "response_type client_id redirect_uri scope state nonce code_challenge code_challenge_method",
    "prompt max_age login_hint",
)
NATIVE: Mapping[str, Rule] = {
    "authorize": AUTHORIZE,
    **{name: RULES[name] for name in ("authorization_code", "refresh_token", "revoke")},
    "app_login": rule("client_id", "state"),
    "app_authorize": AUTHORIZE,
    "logout": rule("client_id", "redirect_url state"),
}
BACKEND: Mapping[str, Rule] = {  # the header names the client (RFC 6749, section 2.3.1)
    **NATIVE,
    "authorization_code": rule("grant_type code redirect_uri code_verifier", basic=True),
    "refresh_token": rule("grant_type refresh_token", basic=True),
    "revoke": rule("token", "token_type_hint", basic=True),
}


class Wristband(OAuthEmulator):
    """
    An application with two tenants, ``globex`` and ``initech``; see the top of this file.

    Attributes:
        client_secret: Empty for a Native client; see :meth:`be_backend`.
        login_url: The client's registered login URL: people land there who picked a tenant, or follow an invitation.
        tenants: Their names.
        custom_domain: Whether the application's custom domain is active: a dot stands before it, not a hyphen.
        custom_domains: Those of tenants.
        picked: The tenant that the person finds on the application's login page.
        legacy: Call the tenant ``tenant_domain``, as before 2026.
        application_requests: Whether the application's own host takes authorization requests, and finds the tenant.
    """

    provider = "wristband"
    endpoints: ClassVar = {
        "/login": "app_login",
        "/api/v1/oauth2/token": "token",
        "/api/v1/oauth2/userinfo": "userinfo",
        "/api/v1/oauth2/jwks": "jwks",
        "/api/v1/oauth2/revoke": "revoke",
    }
    of_tenants: ClassVar = {
        "/api/v1/oauth2/authorize": "authorize",
        "/api/v1/logout": "logout",
        "/emulate/login": "login",
    }

    def __init__(self) -> None:
        super().__init__("app.localhost", client_id="wbclient5fzmkkqnrzlvzgn2")
        self.lifetime = 1800
        self.client_secret = ""
        self.login_url = f"http://127.0.0.1:{self.redirect_port}{INITIATE}"
        self.tenants = ["globex", "initech"]
        self.custom_domain = False
        self.custom_domains = {"login.initech.localhost": "initech"}
        self.picked = "globex"
        self.legacy = False
        self.application_requests = False

    # ---- for tests ----------------------------------------------------------------------------------------------

    def profile(self, **extra: Any) -> dict[str, Any]:
        return super().profile(**{"application_domain": self.origin, "tenant_name": "globex", **extra})

    def browser(self, **options: Any) -> HttpBrowser:
        return super().browser(**{"press": ("Go on", "Sign in"), **options})

    def host_of(self, tenant: str) -> str:
        """The host and port of a tenant's own host."""
        return f"{tenant}{'.' if self.custom_domain else '-'}{urlsplit(self.origin).netloc}"

    def invite(self, tenant: str, **more: str) -> str:
        """The address that an invitation by e-mail, the end of a sign-up, or a picked tenant leads to."""
        return f"{self.login_url}?{urlencode({self._tenant_word: tenant, **more})}"

    def be_backend(self) -> str:
        """From now on the client is a Backend Server, with this secret."""
        self.client_secret = self.mint("client_secret")
        return self.client_secret

    def end_sessions(self) -> None:
        """An administrator has ended all sessions."""
        for grant in self.grants:
            grant.over = True

    def login_required(self, request: Request) -> Answer:
        """A script for ``answer("authorize", ...)``: the documented example of an error in the callback."""
        words = "User must re-authenticate because the specified max_age value has elapsed"
        return self.back(request, error="login_required", error_description=words)

    # ---- who answers --------------------------------------------------------------------------------------------

    def endpoint_of(self, request: Request) -> str:
        if request.headers.get("host") == urlsplit(self.origin).netloc:
            if request.path.startswith("/api/v1/clients/") and request.path.endswith("/sdk-configuration"):
                return "configuration"
            taken = self.application_requests and self.of_tenants.get(request.path) == "authorize"
            return "app_authorize" if taken else self.endpoints.get(request.path, "other")
        return self.of_tenants.get(request.path, "other") if self.tenant_of(request) else "other"

    def tenant_of(self, request: Request) -> str:
        """Whose host was asked; empty if it is nobody's."""
        host = request.headers.get("host", "")
        named = (tenant for tenant in self.tenants if host == self.host_of(tenant))
        return next(named, self.custom_domains.get(host.partition(":")[0], ""))

    @property
    def _tenant_word(self) -> str:
        return "tenant_domain" if self.legacy else "tenant_name"

    def check(self, endpoint: str, request: Request) -> None:
        rules = BACKEND if self.client_secret else NATIVE
        if endpoint in ("configuration", "jwks", "userinfo", *rules, "token"):
            self.violations += bad_manners(endpoint, request, rules)
        self.violations += [f"{endpoint}: {what}" for what in secrets_in_address(request, self.secrets())]
        for name in ("state", "nonce", "code_verifier"):
            if len(request.get(name) or "") >= 8:
                self.mint({"code_verifier": "verifier"}.get(name, name), request.get(name))

    # ---- the application's host ---------------------------------------------------------------------------------

    def do_configuration(self, request: Request) -> Answer:
        if request.path.split("/")[4] != self.client_id:
            # The code of this case is unconfirmed; the shape is that of every error of the resource APIs.
            wrong = {"type": "base_error", "code": "client_not_found", "message": "No such client.", "ticket": "0"}
            return Answer(404, json=wrong)
        known = {
            "loginUrl": self.login_url,
            "redirectUri": min(self.redirect_uris),
            "isApplicationCustomDomainActive": self.custom_domain,
            "customApplicationLoginPageUrl": None,
            "loginUrlTenantDomainSuffix": None,
        }
        return Answer(json=known)

    def do_app_login(self, request: Request) -> Answer:
        if request.get("client_id") != self.client_id:
            return self.page(400, "There is no such client")
        return redirect(self.invite(self.picked, login_hint=f"{self.username}@example.org"))

    def do_app_authorize(self, request: Request) -> Answer:
        return redirect(f"http://{self.host_of(self.picked)}{request.path}?{urlencode(request.query)}")

    def authenticate(self, request: Request) -> None:
        basic = request.headers.get("authorization", "")
        if not self.client_secret:
            super().authenticate(request)
            known = not basic
        else:
            try:
                sent = base64.b64decode(basic.removeprefix("Basic "), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                sent = ""
            known = [unquote_plus(part) for part in sent.split(":")] == [self.client_id, self.client_secret]
        if not known:
            raise Refused("invalid_client")

    def refusal(self, no: Refused) -> Answer:
        return Answer(401 if no.error == "invalid_client" else 400, json=no.members)

    def access_token(self, grant: Grant) -> str:
        now = int(self.now())
        claims = {
            **self._who(grant),
            "van_dom": urlsplit(self.origin).netloc,
            "amr": ["pwd"],
            "client_id": self.client_id,
            "scope": " ".join(grant.scopes),
            "auth_time": int(grant.at),
            "sub_kind": "user",
            "iat": now,
            "exp": now + self.lifetime,
            "jti": secrets.token_hex(8),
        }
        return self.sign("access", claims, typ="at+JWT")

    def refresh_token(self) -> str:
        """An HS256 JWT: whoever gives it to a JWT validator learns that it is none of ours."""
        claims = {"iss": self.issuer, "jti": secrets.token_hex(16), "iat": int(self.now())}
        key = OctKey.import_key(secrets.token_bytes(32))
        return self.mint("refresh", jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, key))

    def person(self, grant: Grant) -> dict[str, Any]:
        return super().person(grant) | {name: value for name, value in self._who(grant).items() if name != "iss"}

    def _who(self, grant: Grant) -> dict[str, Any]:
        of = {"tnt_id": f"tnt-{self.tenant_of(grant.asked)}", "app_id": "app-1", "idp_name": "wristband"}
        return {"iss": self.issuer, "sub": f"user-{grant.username}", **of}

    def do_revoke(self, request: Request) -> Answer:
        try:
            self.authenticate(request)
        except Refused as no:
            return self.refusal(no)
        for grant in self.grants:
            grant.over = grant.over or grant.current == request.get("token")
        return Answer(200)

    # ---- a tenant's host ----------------------------------------------------------------------------------------

    def unregistered(self, request: Request) -> Answer:
        return self.page(400, "The client or its redirect URL is not known")

    def allow(self, request: Request) -> None:
        super().allow(request)  # the exact form of the refusal without PKCE is unconfirmed
        prompt = request.get("prompt") or ""
        if prompt not in ("", "login", "none"):
            raise Refused("invalid_request", "Unsupported prompt value")
        if prompt == "none" and self.signed_in(request) is None:
            raise Refused("login_required", "User must authenticate")

    def extra(self, request: Request) -> dict[str, str]:
        """Each answer names the tenant."""
        host = request.headers.get("host", "")
        more = {"tenant_custom_domain": host} if host.partition(":")[0] in self.custom_domains else {}
        return {self._tenant_word: self.tenant_of(request), **more}

    def do_logout(self, request: Request) -> Answer:
        if request.get("client_id") != self.client_id:
            return self.page(400, "There is no such client")
        self.leave(request)
        state = {"state": request.get("state") or ""} if request.get("state") else {}
        back = request.get("redirect_url") or self.login_url
        answer = redirect(f"{back}?{urlencode(state)}" if state else back)
        answer.headers["Set-Cookie"] = "session=; Path=/; Max-Age=0; HttpOnly"
        return answer
