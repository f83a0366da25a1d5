"""
Runs in: the tests. Scalekit, as its documentation and SDKs describe it.

Known and played: an issuer without a slash, keys at ``/keys``, RS256 access tokens of 299 seconds for the client as
their audience, refresh tokens ``rt_...`` that are exchanged at every use (a replay fails), redirect URIs compared to
the letter, revocation only for clients with a secret, ``/oidc/logout`` with an allow-listed way back, sessions shared
by all applications of an environment, and sign-ins that an identity provider begins (``idp_initiated_login``).

Unconfirmed about the real service, so no test depends on it: statuses and words of refusals beyond ``invalid_grant``,
the path of the revocation endpoint, and whether production environments accept ``http://127.0.0.1``.
"""

from __future__ import annotations

import secrets
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

from tests.answers import Answer, Request, redirect
from tests.emulators.base import signing_key
from tests.emulators.grants import Grant, Refused, at_hash
from tests.emulators.oauth import OAuthEmulator
from tests.manners import RULES, Rule

SELECTORS = {"organization_id": "org_1", "connection_id": "conn_1", "provider": "google", "domain": "acme.example"}


class Scalekit(OAuthEmulator):
    """
    Attributes:
        discovery: Whether the environment shows a discovery document.
        audience_list: Access tokens name their audience in a list, else as a string.
        selector_required: Modular SSO: a sign-in must name a connection, organization or domain.
        idle: Seconds after which an unused session ends.
        production: Redirect URIs are https only.
    """

    provider = "scalekit"
    endpoints: ClassVar = {
        "/.well-known/openid-configuration": "discovery",
        "/.well-known/oauth-authorization-server": "metadata",
        "/keys": "jwks",
        "/oauth/authorize": "authorize",
        "/oauth/token": "token",
        "/oauth/revoke": "revoke",
        "/oidc/logout": "end_session",
        "/userinfo": "userinfo",
    }
    rules: ClassVar[dict[str, Rule]] = {**RULES, "authorize": RULES["authorize"] | {*SELECTORS, "domain_hint"}}

    def __init__(self) -> None:
        super().__init__(client_id="ntvc_12345678901234567")
        self.lifetime = 299
        self.discovery = True
        self.audience_list = True
        self.selector_required = False
        self.idle = 7 * 86400.0
        self.production = False

    def profile(self, **extra: Any) -> dict[str, Any]:
        return super().profile(**{"environment_url": self.origin, **extra})

    def end_sessions(self) -> None:
        """An administrator, or another application, has ended every session."""
        for grant in self.grants:
            grant.over = True

    # ---- discovery ----------------------------------------------------------------------------------------------

    def do_discovery(self, request: Request) -> Answer:
        if not self.discovery:
            return Answer(404, json={"code": 5, "message": "Not Found", "details": []})
        names = {
            "authorization_endpoint": "/oauth/authorize",
            "token_endpoint": "/oauth/token",
            "jwks_uri": "/keys",
            "end_session_endpoint": "/oidc/logout",
            "userinfo_endpoint": "/userinfo",  # "do not call /userinfo", say the documents
        }
        members = {key: self.origin + path for key, path in names.items()}
        return Answer(
            json={"issuer": self.issuer, **members}
            | {
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "prompt_values_supported": ["login", "create", "select_account", "none"],
            }
        )

    do_metadata = do_discovery

    # ---- signing in ---------------------------------------------------------------------------------------------

    def unregistered(self, request: Request) -> Answer:
        return self.page(400, "invalid_redirect_uri", "<p>The redirect URI is not registered for this client.</p>")

    def allow(self, request: Request) -> None:
        super().allow(request)
        if self.production and urlsplit(request.get("redirect_uri") or "").scheme == "http":
            raise Refused("invalid_redirect_uri", "http is not allowed in production")
        chosen = {name: request.get(name) for name in SELECTORS if request.get(name) is not None}
        if self.selector_required and not chosen and not request.get("login_hint"):
            raise Refused("invalid_connection_selector", "one of connection_id, organization_id, domain is required")
        for name, error in (("organization_id", "invalid_organization_id"), ("connection_id", "invalid_connection_id")):
            if name in chosen and chosen[name] != SELECTORS[name]:
                raise Refused(error, f"unknown {name}")

    def denied(self) -> Refused:
        return Refused("access_denied", "User denied access")

    # ---- tokens -------------------------------------------------------------------------------------------------

    def refresh_token(self) -> str:
        return self.mint("refresh", prefix="rt_")

    def renew(self, request: Request) -> tuple[Grant, dict[str, str]]:
        grant, members = super().renew(request)
        if self.now() - grant.at > self.idle:
            grant.over = True
            raise Refused("invalid_grant", "session expired")
        grant.at = self.now()
        return grant, members

    def access_token(self, grant: Grant) -> str:
        now = int(self.now())
        claims = {
            "iss": self.issuer,
            "aud": [self.client_id] if self.audience_list else self.client_id,
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime,
            "jti": f"tkn_{secrets.token_hex(8)}",
            "client_id": self.client_id,
            "scope": " ".join(grant.scopes),
            "roles": ["admin"],
            **self._session(grant),
        }
        return self.sign("access", claims, typ="JWT")

    def id_claims(self, grant: Grant, access_token: str) -> dict[str, Any]:
        more = {"azp": self.client_id, "at_hash": at_hash(access_token), "amr": ["conn_1"], "client_id": self.client_id}
        return super().id_claims(grant, access_token) | more | self._session(grant)

    def person(self, grant: Grant) -> dict[str, Any]:
        return super().person(grant) | {"sub": f"usr_{grant.username}"}

    def _session(self, grant: Grant) -> dict[str, Any]:
        organization = grant.asked.get("organization_id") or SELECTORS["organization_id"]
        return {"sub": f"usr_{grant.username}", "oid": organization, "sid": f"ses_{self.grants.index(grant)}"}

    # ---- signing out --------------------------------------------------------------------------------------------

    def do_revoke(self, request: Request) -> Answer:
        return Answer(401, json={"error": "invalid_client"})

    def do_end_session(self, request: Request) -> Answer:
        back, hint = request.get("post_logout_redirect_uri"), request.get("id_token_hint")
        if hint is None or hint.count(".") != 2 or back not in self.logout_uris:
            return self.page(400, "invalid_request", "<p>id_token_hint or post_logout_redirect_uri is invalid.</p>")
        self.leave(request)
        self.end_sessions()  # one session for all applications
        state = request.get("state")
        return redirect(f"{back}?{urlencode({'state': state})}" if state else back)

    # ---- sign-ins that begin at an identity provider ------------------------------------------------------------

    def idp_initiated(self, **changes: Any) -> str:
        """
        The ``idp_initiated_login`` token that the Initiate Login URL is opened with.

        Args:
            changes: Replace claims; None removes one. ``key`` signs with another key than the environment's.
        """
        now = int(self.now())
        foreign = changes.pop("key", False)
        claims = {
            "iss": self.issuer,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 300,
            "connection_id": SELECTORS["connection_id"],
            "organization_id": SELECTORS["organization_id"],
            "login_hint": "ada@example.org",
            "relay_state": "/reports",
        } | changes
        before = self.keys
        try:
            if foreign:
                self.keys = [signing_key(99)]
            return self.sign("idp_login", claims)
        finally:
            self.keys = before
