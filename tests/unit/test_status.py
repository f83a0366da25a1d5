"""How a profile stands, in a row for programs and in a sentence for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from jupyter_nativeauth._reasons import login_required
from jupyter_nativeauth._status import ProfileStatus, status_of
from jupyter_nativeauth.testing import Clock
from tests import samples


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (8 * 3600, "; login: 8 h left"),
        (40 * 86400, "; login: 40 days left"),
        (-1, "; login: over, sign in again"),
        (None, ""),
    ],
)
def test_how_long_the_login_lasts(tmp_path: Path, left: float | None, words: str) -> None:
    """Said where the service has said so; the access token's time is another matter."""
    clock = Clock(1_000_000.0)
    made = samples.account(tmp_path, clock=clock)
    made.save(samples.login(ends_at=None if left is None else clock.time() + left))
    status = status_of(made)
    assert status.ends_at == (None if left is None else clock.time() + left)
    said = "signed in as Ada Example; access token: 60 min left, renewed by itself"
    assert status.sentence(clock=clock) == f"{said}{words}"


def test_what_nothing_renews_is_over_with_its_access_token(tmp_path: Path) -> None:
    """Nobody has asked for the token yet, and still it is told as what the next request will find."""
    clock = Clock(1_000_000.0)
    made = samples.account(tmp_path, clock=clock)
    made.save(samples.login(refresh_token=None))
    clock.advance(3599)
    assert status_of(made).state == "signed_in"
    clock.advance(1)
    status = status_of(made)
    assert (status.state, status.key_source, status.name) == ("no_refresh_token", "server", "")
    assert status.message == str(login_required(made.profile, "no_refresh_token").args[0])
    made.save(samples.login())
    assert status_of(made).state == "signed_in"
    made.save(samples.login(refresh_token=None, expires_at=None, lifetime=None))
    assert status_of(made).state == "signed_in"


def test_each_state_has_its_own_row() -> None:
    """What JSON has, and nothing besides: programs rely on it."""
    row = ProfileStatus("acme", default=True, service="s", issuer="i", api=("a",), state="signed_out")
    assert list(row.to_json()) == [
        *("profile", "default", "service", "issuer", "api", "state", "name", "email", "scopes", "signed_in_at"),
        *("expires_at", "ends_at", "renews", "key_source", "key_label", "message", "hint"),
    ]
