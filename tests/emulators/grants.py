"""
Runs in: the tests. What the emulated services have in common once somebody has signed in: codes, tokens, an API.

A service overrides what it does differently: which methods there are is what services are known to differ in.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

from tests.answers import Answer, Request
from tests.emulators.base import Emulator

PEOPLE = {
    "ada": {"sub": "user-ada", "name": "Ada Example", "email": "ada@example.org", "email_verified": True},
    "bob": {"sub": "user-bob", "name": "Bob Example", "email": "bob@example.org", "email_verified": True},
}
UNAUTHORIZED = Answer(
    401, json={"error": "invalid_token"}, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'}
)


class Refused(Exception):
    """The service says no, in RFC 6749's form."""

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(error)
        self.error, self.description = error, description

    @property
    def members(self) -> dict[str, str]:
        return {"error": self.error, **({"error_description": self.description} if self.description else {})}


@dataclass(eq=False)
class Grant:
    """
    What somebody has allowed, until it ends.

    Attributes:
        asked: The authorization request.
        username: Who has.
        at: When.
        scopes: What was granted of what was asked for.
        over: Nothing of it is good any more.
        spent: Refresh tokens that were exchanged, and when.
        current: The refresh token that is good now.
    """

    asked: Request = field(repr=False)
    username: str
    at: float
    scopes: list[str]
    over: bool = False
    spent: dict[str, float] = field(default_factory=dict, repr=False)
    current: str = field(default="", repr=False)


@dataclass(frozen=True)
class Access:
    """An access token that was issued."""

    grant: Grant
    until: float
    number: int


class TokenEmulator(Emulator):
    """
    A service with one native client, and what it has granted.

    Attributes:
        issuer: As its tokens name it.
        client_id: Of the native client.
        lifetime: Of an access token, in seconds.
        rotation: Whether a refresh token is exchanged for a new one.
        reuse: How often a spent refresh token came again, but for one retry after an answer that got lost (INV-06).
        grants: What people have allowed.
        access: The access tokens that are good, but for their time.
    """

    def __init__(self, host: str = "127.0.0.1", *, client_id: str = "native-client") -> None:
        super().__init__(host)
        self.issuer = self.origin
        self.client_id = client_id
        self.lifetime = 3600
        self.rotation = True
        self.reuse = 0
        self.grants: list[Grant] = []
        self.access: dict[str, Access] = {}
        self._issued = 0
        self._codes: dict[str, Grant] = {}
        self._lost: set[str] = set()

    def expire(self) -> None:
        """Every access token so far is over, though the client cannot know it."""
        self.access.clear()

    @property
    def refreshes(self) -> int:
        return len(self.hits("token", "refresh_token"))

    def lost(self, request: Request) -> None:
        self._lost.add(request.get("refresh_token") or "")

    # ---- tokens -------------------------------------------------------------------------------------------------

    def do_token(self, request: Request) -> Answer:
        try:
            self.authenticate(request)
            if request.get("grant_type") == "authorization_code":
                grant = self.redeem(request)
                members = self.tokens(grant)
                if "offline_access" in grant.scopes:
                    members["refresh_token"] = self.issue_refresh(grant)
            elif request.get("grant_type") == "refresh_token":
                grant, newer = self.renew(request)
                members = self.tokens(grant) | newer
            else:
                raise Refused("unsupported_grant_type")
        except Refused as no:
            return self.refusal(no)
        return Answer(json=members, headers={"Cache-Control": "no-store"})

    def refusal(self, no: Refused) -> Answer:
        """How the token endpoint says no."""
        return Answer(400, json=no.members)

    def authenticate(self, request: Request) -> None:
        """Raises Refused if this is not our native client."""
        if request.get("client_id") != self.client_id:
            raise Refused("invalid_client")

    def redeem(self, request: Request) -> Grant:
        """The grant of an authorization code, which is good once (RFC 6749, section 4.1.3; RFC 7636, section 4.6)."""
        grant = self._codes.pop(request.get("code") or "", None)
        digest = hashlib.sha256((request.get("code_verifier") or "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if grant is None:
            raise Refused("invalid_grant", "Invalid authorization code")
        if grant.asked.get("code_challenge") != challenge:
            raise Refused("invalid_grant", "Failed to verify code verifier")
        if grant.asked.get("redirect_uri") != request.get("redirect_uri"):
            raise Refused("invalid_grant", "The redirect URI is another one")
        return grant

    def issue_refresh(self, grant: Grant) -> str:
        """A refresh token, the only one of *grant* that is good from now on."""
        grant.current = self.refresh_token()
        return grant.current

    def refresh_token(self) -> str:
        """What a refresh token looks like."""
        return self.mint("refresh")

    def renew(self, request: Request) -> tuple[Grant, dict[str, str]]:
        """The grant of a refresh token, and the members that its answer has besides those of every answer."""
        token = request.get("refresh_token") or ""
        grant = next((one for one in self.grants if token in (one.current, *one.spent)), None)
        if not token or grant is None:
            raise Refused("invalid_grant", "Unknown or invalid refresh token.")
        if token in grant.spent:
            self.reuse += token not in self._lost
            self._lost.discard(token)
            if not self.forgives(grant, token):
                self.punish(grant)
                raise Refused("invalid_grant", "Unknown or invalid refresh token.")
        if grant.over:
            raise Refused("invalid_grant", "Unknown or invalid refresh token.")
        if not self.rotation:
            return grant, {}
        grant.spent.setdefault(grant.current, self.now())
        return grant, {"refresh_token": self.issue_refresh(grant)}

    def forgives(self, grant: Grant, token: str) -> bool:
        """Whether a refresh token that was spent is exchanged once more."""
        return False

    def punish(self, grant: Grant) -> None:
        """What a spent refresh token that comes again leads to."""
        grant.over = True

    def tokens(self, grant: Grant) -> dict[str, Any]:
        """The members of every token answer."""
        token = self.access_token(grant)
        self.access[token] = Access(grant, self.now() + self.lifetime, self._issued)
        self._issued += 1
        members = {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}
        if "openid" in grant.scopes:
            members["id_token"] = self.id_token(grant, token)
        return {**members, "scope": " ".join(grant.scopes)}

    def access_token(self, grant: Grant) -> str:
        """A new access token."""
        return self.mint("access")

    def id_token(self, grant: Grant, access_token: str) -> str:
        return self.sign("id", self.id_claims(grant, access_token))

    def id_claims(self, grant: Grant, access_token: str) -> dict[str, Any]:
        now = int(self.now())
        return {
            "iss": self.issuer,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 1800,
            "nonce": grant.asked.get("nonce"),
            "jti": secrets.token_hex(8),
            **self.person(grant),
        }

    def person(self, grant: Grant) -> dict[str, Any]:
        """Who signed in."""
        return PEOPLE.get(grant.username) or {"sub": f"user-{grant.username}", "name": grant.username.title()}

    # ---- what an access token opens -----------------------------------------------------------------------------

    def bearer(self, request: Request) -> Access | None:
        """The access token that came along, if it is good."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        known = self.access.get(token) if scheme.lower() == "bearer" else None
        return known if known and self.now() < known.until and not known.grant.over else None

    def do_userinfo(self, request: Request) -> Answer:
        known = self.bearer(request)
        return Answer(json=self.person(known.grant)) if known else UNAUTHORIZED

    def do_api(self, request: Request) -> Answer:
        """``/api/me``: who you are, and with which access token (0 is the first that was issued)."""
        known = self.bearer(request)
        if known is None:
            return UNAUTHORIZED
        if request.path != "/api/me":
            return Answer(404, json={"error": "not_found"})
        return Answer(json={**self.person(known.grant), "token": known.number})


def at_hash(access_token: str) -> str:
    """OpenID Connect Core, section 3.1.3.6, for RS256."""
    return base64.urlsafe_b64encode(hashlib.sha256(access_token.encode()).digest()[:16]).rstrip(b"=").decode()
