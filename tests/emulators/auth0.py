"""
Runs in: the tests. Auth0, as its documentation and recorded traffic describe it.

Known and played: the issuer ends in a slash; callback URLs are compared to the letter and a wrong one ends on a page;
without an audience the access token is opaque; errors at the token endpoint have status 403; rotation is optional and
has an overlap (0 by default), beyond which a spent refresh token ends the whole family; device polling uses 403 and
429; a 429 names the time of its end in ``X-RateLimit-Reset``; ``/userinfo`` allows ten requests at once.

Unconfirmed about the real service, so no test depends on it: the status of the callback mismatch page, the error of
``prompt=none`` on loopback (``interaction_required`` here), the body for revoking an access token.
"""

from __future__ import annotations

import secrets
from typing import Any, ClassVar
from urllib.parse import urlencode

from tests.answers import Answer, Request, redirect
from tests.emulators.grants import UNAUTHORIZED, Grant, Refused, at_hash
from tests.emulators.oauth import OAuthEmulator
from tests.manners import RULES, Rule, rule

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Auth0(OAuthEmulator):
    """
    Attributes:
        audiences: The APIs that are known to the tenant; only those in ``offline_audiences`` allow offline access.
        overlap: Seconds in which a spent refresh token is good once more (the "Rotation Overlap Period").
        end_session: The tenant's toggle "RP-Initiated Logout End Session Endpoint Discovery".
        confirmation: Loopback callbacks have to be confirmed by the person; ``prompt=none`` is then refused.
        token_endpoint_auth_method: "none" is what a native application needs.
        organizations, invitations: Names of organizations by id, organizations of open invitations.
        userinfo_burst: How often ``/userinfo`` answers before it says 429.
        device: What became of each device code: ``pending``, ``slow``, ``expired``, ``denied``; or who entered it.
        device_interval: Seconds between two polls, by the service's clock.
        early: How often a poll came sooner.
    """

    provider = "auth0"
    endpoints: ClassVar = {
        "/.well-known/openid-configuration": "discovery",
        "/.well-known/jwks.json": "jwks",
        "/authorize": "authorize",
        "/oauth/token": "token",
        "/oauth/revoke": "revoke",
        "/oauth/device/code": "device",
        "/userinfo": "userinfo",
        "/oidc/logout": "end_session",
        "/v2/logout": "v2_logout",
    }
    rules: ClassVar[dict[str, Rule]] = {
        **RULES,
        "authorize": RULES["authorize"] | {"audience", "organization", "invitation", "connection", "screen_hint"},
        "v2_logout": rule("client_id", "returnTo"),
        "device": rule("client_id", "scope audience organization connection login_hint prompt max_age acr_values"),
        DEVICE: rule("grant_type device_code client_id"),
    }

    def __init__(self) -> None:
        super().__init__(client_id="AuthZeroNativeClientId0123456789")
        self.issuer = f"{self.origin}/"
        self.lifetime = 86400
        self.audiences = {self.api, "https://offline.example/"}
        self.offline_audiences = {self.api}
        self.rotation = False
        self.overlap = 0.0
        self.end_session = True
        self.confirmation = True
        self.token_endpoint_auth_method = "none"
        self.organizations = {"org_Acme0123456789ab": "acme"}
        self.invitations = {"inv_0123456789abcdef": "org_Acme0123456789ab"}
        self.userinfo_burst = 10
        self.device: dict[str, str] = {}
        self.device_interval = 5.0
        self.early = 0
        self._devices: dict[str, Request] = {}
        self._polled: dict[str, float] = {}

    def profile(self, **extra: Any) -> dict[str, Any]:
        return super().profile(**{"domain": self.origin, "audience": self.api, **extra})

    # ---- discovery ----------------------------------------------------------------------------------------------

    def do_discovery(self, request: Request) -> Answer:
        names = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "oauth/token",
            "device_authorization_endpoint": "oauth/device/code",
            "userinfo_endpoint": "userinfo",
            "jwks_uri": ".well-known/jwks.json",
            "revocation_endpoint": "oauth/revoke",
            **({"end_session_endpoint": "oidc/logout"} if self.end_session else {}),
        }
        members: dict[str, Any] = {"issuer": self.issuer, **{key: self.issuer + path for key, path in names.items()}}
        return Answer(
            json=members
            | {
                "scopes_supported": ["openid", "profile", "offline_access", "name", "email"],
                "response_types_supported": ["code", "token", "id_token"],
                "code_challenge_methods_supported": ["S256", "plain"],
                "id_token_signing_alg_values_supported": ["HS256", "RS256", "PS256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
            }
        )

    # ---- signing in ---------------------------------------------------------------------------------------------

    def unregistered(self, request: Request) -> Answer:
        if request.get("client_id") != self.client_id:
            return self.page(403, "Unknown client")
        uri = request.get("redirect_uri")
        return self.page(403, "Oops!, something went wrong", f"<p>Callback URL mismatch. {uri} is not in the list.</p>")

    def allow(self, request: Request) -> None:
        super().allow(request)
        audience, organization = request.get("audience"), request.get("organization")
        if audience is not None and audience not in self.audiences:
            raise Refused("access_denied", f"Service not found: {audience}")
        if "none" in (request.get("prompt") or "").split():
            interaction = self.confirmation or self.signed_in(request) is not None
            raise Refused("interaction_required" if interaction else "login_required")
        known = {*self.organizations, *self.organizations.values(), None}
        if organization not in known:
            raise Refused("invalid_request", f"parameter organization is invalid: {organization}")
        invitation = request.get("invitation")
        if invitation is not None and self.invitations.get(invitation) != organization:
            raise Refused("invalid_request", "invitation not found or already used")

    def granted(self, request: Request) -> list[str]:
        # No error: an API that does not "Allow Offline Access" just gives no refresh token.
        audience = request.get("audience")
        offline = audience is None or audience in self.offline_audiences
        return [scope for scope in super().granted(request) if offline or scope != "offline_access"]

    # ---- tokens -------------------------------------------------------------------------------------------------

    def authenticate(self, request: Request) -> None:
        if request.get("client_id") != self.client_id or self.token_endpoint_auth_method != "none":
            raise Refused("access_denied", "Unauthorized")

    def refusal(self, no: Refused) -> Answer:
        return Answer({"access_denied": 401, "slow_down": 429}.get(no.error, 403), json=no.members)

    def do_token(self, request: Request) -> Answer:
        if request.get("grant_type") != DEVICE:
            return super().do_token(request)
        code = request.get("device_code") or ""
        state = self.device.get(code, "")
        if code in self._polled:
            self.early += self.now() - self._polled[code] < self.device_interval - 0.05
            self._polled[code] = self.now()
        refusals = {
            "": Refused("invalid_grant", "Invalid or expired device code."),
            "pending": Refused("authorization_pending", "User has yet to authorize device code."),
            "slow": Refused("slow_down", "You are polling faster than the specified interval of 5 seconds."),
            "expired": Refused("expired_token", "The device_code has expired."),
            "denied": Refused("access_denied", "User cancelled the confirmation prompt."),
        }
        if state not in refusals:
            return self._sign_in(code, state)
        no = refusals[state]
        if state == "expired":  # said once; from then on the code is merely unknown
            del self.device[code]
        return Answer(429 if state == "slow" else 403, json=no.members)

    def _sign_in(self, code: str, username: str) -> Answer:
        """The person is done: a device code is good once."""
        del self.device[code]
        asked = self._devices[code]
        grant = Grant(asked, username, self.now(), self.granted(asked))
        self.grants.append(grant)
        members = self.tokens(grant)
        if "offline_access" in grant.scopes:
            members["refresh_token"] = self.issue_refresh(grant)
        return Answer(json=members, headers={"Cache-Control": "no-store"})

    def enter(self, state: str = "ada") -> None:
        """The person enters the newest code, as this user; or something else becomes of it: ``denied``, ``slow`` ..."""
        self.device[list(self.device)[-1]] = state

    def do_device(self, request: Request) -> Answer:
        if request.get("client_id") != self.client_id or self.token_endpoint_auth_method != "none":
            return Answer(401, json=Refused("access_denied", "Unauthorized").members)
        code = self.mint("device")
        self.device[code], self._devices[code], self._polled[code] = "pending", request, self.now()
        return Answer(
            json={
                "device_code": code,
                "user_code": "BCDF-GHJK",
                "verification_uri": f"{self.origin}/activate",
                "verification_uri_complete": f"{self.origin}/activate?user_code=BCDF-GHJK",
                "expires_in": 900,
                "interval": self.device_interval,
            }
        )

    def access_token(self, grant: Grant) -> str:
        audience = grant.asked.get("audience")
        if audience is None:
            return self.mint("access")  # opaque: of use at /userinfo only
        now = int(self.now())
        claims = {
            "iss": self.issuer,
            "sub": self.person(grant)["sub"],
            "aud": [audience, f"{self.origin}/userinfo"],
            "azp": self.client_id,
            "iat": now,
            "exp": now + self.lifetime,
            "scope": " ".join(grant.scopes),
            "jti": secrets.token_hex(8),
        }
        return self.sign("access", claims, typ="JWT")

    def id_claims(self, grant: Grant, access_token: str) -> dict[str, Any]:
        claims = super().id_claims(grant, access_token)
        asked = grant.asked.get("organization")
        found = next((one for one in self.organizations.items() if asked in one), None)
        claims |= {"exp": claims["iat"] + 36000, "sid": "session-1", "at_hash": at_hash(access_token)}
        if grant.asked.get("max_age") is not None:
            claims["auth_time"] = int(grant.at)
        return claims | ({"org_id": found[0], "org_name": found[1]} if found else {})

    def forgives(self, grant: Grant, token: str) -> bool:
        previous = list(grant.spent)[-1] if grant.spent else ""
        return token == previous and self.now() - grant.spent[token] < self.overlap

    def do_api(self, request: Request) -> Answer:
        known = self.bearer(request)
        if known is not None and known.grant.asked.get("audience") != self.api:
            return UNAUTHORIZED  # opaque, or for another API
        return super().do_api(request)

    def do_userinfo(self, request: Request) -> Answer:
        if self.userinfo_burst <= 0:
            return self.too_many(60)
        self.userinfo_burst -= 1
        return super().do_userinfo(request)

    def too_many(self, seconds: float) -> Answer:
        """A 429 as it is documented: its end as seconds since the epoch, and no ``Retry-After``."""
        headers = {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0"}
        headers["X-RateLimit-Reset"] = str(int(self.now() + seconds))
        text = "Too many requests. Check the X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset headers."
        return Answer(429, json={"error": "too_many_requests", "error_description": text}, headers=headers)

    # ---- signing out --------------------------------------------------------------------------------------------

    def do_revoke(self, request: Request) -> Answer:
        grant = next((one for one in self.grants if request.get("token") in (one.current, *one.spent)), None)
        if grant is None:
            return Answer(400, json={"error": "invalid_request", "error_description": "Not a refresh token"})
        grant.current = ""
        return Answer(200, "")

    def do_end_session(self, request: Request) -> Answer:
        back = request.get("post_logout_redirect_uri")
        if back is not None and back not in self.logout_uris:
            return self.page(400, "Oops!, something went wrong", "<p>post_logout_redirect_uri is not in the list.</p>")
        if request.get("id_token_hint") is None:
            return self.page(200, "Do you want to log out?")
        self.leave(request)
        return redirect(f"{back}?{urlencode({'state': request.get('state') or ''})}") if back else self.page(200, "OK")

    def do_v2_logout(self, request: Request) -> Answer:
        back = request.get("returnTo")
        if back is not None and back not in self.logout_uris:
            return self.page(400, "Oops!, something went wrong", "<p>The returnTo URL is not in the list.</p>")
        self.leave(request)
        return redirect(back) if back else self.page(200, "OK")
