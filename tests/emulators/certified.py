"""
Runs in: the tests. The certified provider in the place of a service: a judge that was not written by us.

It takes the service's paths, parameter names, kinds of tokens and lifetimes; what is left are the protocols. A new
preset gets a row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.emulators.base import free_port
from tests.http_browser import HttpBrowser
from tests.oidc_provider import OidcProvider


@dataclass(frozen=True)
class Row:
    """
    One service.

    Attributes:
        keys: Of a profile; ``{origin}``, ``{port}`` and ``{api}`` stand for where the provider and its API are.
        switches: What the provider is told to be (``tests/provider/provider.mjs`` lists all switches in DEFAULTS).
        issuer: As the service names itself.
        asks: Parameters of the authorization request that are this service's.
        revoked: What a sign-out reports of the tokens.
    """

    keys: Mapping[str, str]
    switches: Mapping[str, Any]
    issuer: str = "{origin}"
    asks: Mapping[str, str] = field(default_factory=dict)
    revoked: bool | None = True


ROWS: dict[str, Row] = {
    "auth0": Row(
        keys={"domain": "{origin}", "audience": "{api}"},
        issuer="{origin}/",
        asks={"audience": "{api}"},
        switches={
            "client_id": "AuthZeroNativeClientId0123456789",
            "issuer_path": "/",
            "routes": {
                "authorization": "/authorize",
                "token": "/oauth/token",
                "jwks": "/.well-known/jwks.json",
                "userinfo": "/userinfo",
                "revocation": "/oauth/revoke",
                "end_session": "/oidc/logout",
            },
            "names": {"audience": "resource"},
            "consent": "given",
            "jwt": "resource",
            "iss": False,
            "access_token_ttl": 86400,
        },
    ),
    "scalekit": Row(
        keys={"environment_url": "{origin}"},
        revoked=None,
        switches={
            "client_id": "ntvc_12345678901234567",
            "routes": {
                "authorization": "/oauth/authorize",
                "token": "/oauth/token",
                "jwks": "/keys",
                "userinfo": "/userinfo",
                "end_session": "/oidc/logout",
            },
            "consent": "given",
            "jwt": "client",
            "iss": False,
            "revocation": False,
            "access_token_ttl": 299,
        },
    ),
    "wristband": Row(
        keys={"application_domain": "http://app.localhost:{port}", "tenant_name": "globex"},
        issuer="http://app.localhost:{port}",
        switches={
            "issuer_host": "app.localhost",
            "routes": {
                "authorization": "/api/v1/oauth2/authorize",
                "token": "/api/v1/oauth2/token",
                "jwks": "/api/v1/oauth2/jwks",
                "userinfo": "/api/v1/oauth2/userinfo",
                "revocation": "/api/v1/oauth2/revoke",
                "end_session": "/api/v1/logout",
            },
            "names": {"redirect_url": "post_logout_redirect_uri"},
            "consent": "given",
            "iss": False,
            "access_token_ttl": 1800,
        },
    ),
}


class Certified:
    """The certified provider as the service *name*, with the keys of a profile that signs in there."""

    def __init__(self, oidc: OidcProvider, name: str, row: Row) -> None:
        oidc.reset(**row.switches)
        self.oidc, self.name, self.row = oidc, name, row
        self.issuer = self.fill(row.issuer)
        self.redirect_port = free_port()

    def fill(self, template: str) -> str:
        origin = self.oidc.issuer
        return template.format(origin=origin, api=self.oidc.api, port=urlsplit(origin).port)

    def profile(self, **extra: Any) -> dict[str, Any]:
        keys = {key: self.fill(value) for key, value in self.row.keys.items()}
        known = {"provider": self.name, "client_id": self.oidc.client_id, "api": [self.oidc.api]}
        return {**known, "redirect_ports": [self.redirect_port], **keys, **extra}

    def browser(self, **options: Any) -> HttpBrowser:
        return self.oidc.browser(**options)

    def steps(self) -> list[str]:
        """What was asked, in order, but for its own pages; the token endpoint by its grant type."""
        own = ("page", "interaction")
        return [hit.grant_type or hit.endpoint for hit in self.oidc.journal() if hit.endpoint not in own]
