"""Runs in: the tests. The life of a login at each emulated service, as a table: what is asked, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.emulators.oauth import OAuthEmulator


@dataclass(frozen=True)
class Life:
    """
    One service.

    Attributes:
        keys: Of its profile, beyond the usual ones.
        path: What the API is asked for.
        press: The button of the service's own page.
        renews: Whether there is a refresh token.
        ends: What a sign-out asks.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    path: str = "/api/me"
    press: str = "Sign in"
    renews: bool = True
    ends: tuple[str, ...] = ()

    def call(self, profile: str) -> str:
        """A line of Python that calls the API, and says as whom."""
        return f'get_session("{profile}").get("{self.path}").json()["sub"]'

    def steps(self) -> list[str]:
        """What a sign-in, a renewal and a sign-out ask of the service, each of it once."""
        renewal = ["refresh_token"] if self.renews else []
        return ["authorize", "authorization_code", "jwks", *renewal, *self.ends]

    def taken(self, service: OAuthEmulator) -> list[str]:
        """What was asked so far, less what is only looked at, the API, and the service's own pages."""
        known = {"authorize", "authorization_code", "refresh_token", "jwks", "revoke", "end_session", "logout"}
        return [step for step in service.steps() if step in known]


LIVES = {
    "auth0": Life(ends=("revoke", "end_session")),
    "scalekit": Life(ends=("end_session",)),
    "wristband": Life({"tenant_name": "globex"}, ends=("revoke", "logout")),
    "xumm": Life(path="/api/v1/jwt/ping", press="Approve", renews=False),
}
