"""The named services, played by a certified provider that was not written by us: one whole life of a login for each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jupyter_nativeauth import get_session
from jupyter_nativeauth.providers import PRESETS
from tests.emulators.certified import ROWS, Certified
from tests.oidc_provider import OidcProvider
from tests.person import Person

ELSEWHERE = {
    "jupyterhub": "a real JupyterHub lends its tokens",
    "oidc": "the provider of most other tests",
    "xumm": "its tokens and errors are unlike any standard's: it has an emulator only",
}


def test_each_preset_has_a_row() -> None:
    """A preset that nobody tries is a guess: a certified provider plays it, or it says here why none can."""
    assert set(ROWS) | set(ELSEWHERE) == set(PRESETS)


@pytest.mark.parametrize("name", ROWS)
def test_a_whole_life(name: str, oidc: OidcProvider, person_at: Callable[..., Person]) -> None:
    """
    A0-1, A0-2, A0-12, SK-2, SK-6, SK-13: sign in, call the API, renew, sign out, with nothing but what the service's
    page says; each endpoint is asked once, and in this order.
    """
    service = Certified(oidc, name, ROWS[name])
    person = person_at(service)
    browser = service.browser()
    assert person.sign_in(browser).issuer == service.issuer
    (asked,) = oidc.journal("authorization")
    assert set(service.row.asks) <= set(asked.query)
    with get_session("acme") as api:
        assert api.get("/api/me").json()["name"] == "Ada Example"
    before = person.account.access_token()
    assert person.account.access_token(rejected=before) != before
    report, page = person.sign_out(browser)
    assert (report.revoked, page is not None and page.title) == (service.row.revoked, "You are signed out")
    steps = [step for step in service.steps() if step not in ("discovery", "userinfo", "end_session")]
    revocation = ["revocation"] if service.row.revoked is not None else []
    assert steps == ["authorization", "authorization_code", "jwks", "api", "refresh_token", *revocation]
    assert oidc.reuse == 0
