"""The ledger sees each breach of an invariant, and takes nothing else for one: whoever relies on it must know that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from jupyter_nativeauth import LoginRequired, NativeAuthError, ProviderUnavailable
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._host import Host
from jupyter_nativeauth._lock import FileLock
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth.testing import Clock
from jupyter_nativeauth.vault import MemoryVault
from tests import samples
from tests.canary import Canary
from tests.hostile import Hostile
from tests.isolation import Home, _belongings
from tests.ledger import under_way
from tests.unit.test_untouched import ask
from tests.untouched import fails


@pytest.fixture
def account(tmp_path: Path) -> Account:
    """Somebody is signed in, and the service has just ended that."""
    clock = Clock(1_000_000.0)
    made = samples.account(tmp_path, samples.Desk(samples.answer(400, error="invalid_grant")), clock)
    made.save(samples.login(expires_at=clock.time() - 1))
    return made


def breaches(ledger: list[str]) -> list[str]:
    """What it has seen, which is then forgotten."""
    seen = [breach.partition(":")[0] for breach in ledger]
    ledger.clear()
    return seen


def test_a_login_that_ends_as_it_may(account: Account, ledger: list[str]) -> None:
    """INV-05: by a renewal, another sign-in, a sign-out, and by the service's own word about this very token."""
    login = account.login()
    account.store.replace(login, replace(login, refresh_token=samples.secret("refresh")))
    account.save(samples.login(refresh_token=None))
    account.save(samples.login(expires_at=1.0))
    account.sign_out()
    account.save(login)
    with pytest.raises(LoginRequired):
        account.access_token()
    assert breaches(ledger) == []


@pytest.mark.parametrize(
    "breach",
    [
        lambda made, login: made.store.replace(login, replace(login, refresh_token=None)),
        lambda made, login: made.store.end(login, "expired"),
        lambda made, login: made.store.end(login, "refused"),
    ],
    ids=["a renewal without one", "nobody has said so", "another reason"],
)
def test_a_refresh_token_that_goes_away(
    account: Account, ledger: list[str], breach: Callable[[Account, object], object]
) -> None:
    """INV-05: in any other way it is a breach."""
    breach(account, account.login())
    assert breaches(ledger) == ["INV-05"]


def test_another_refresh_token_was_called_invalid(account: Account, ledger: list[str]) -> None:
    """INV-05: what the service says about one refresh token ends no other one."""
    with pytest.raises(LoginRequired):
        account.access_token()
    account.save(samples.login())
    account.store.end(account.login(), "expired")
    assert breaches(ledger) == ["INV-05"]


def test_a_login_in_memory_that_is_thrown_away(ledger: list[str]) -> None:
    """INV-05: what makes sense is not set aside."""
    vault = MemoryVault("acme", samples.key("process"))
    header = vault.write(samples.login().to_record(), login_id="11" * 16, signed_in=True)
    vault.set_aside(generation=header.generation)
    assert breaches(ledger) == ["INV-05"]


def test_an_error_that_nobody_has_seen(ledger: list[str]) -> None:
    """INV-03: errors count from when they are made, whoever catches them."""
    NativeAuthError("One line.", hint="What to do.")
    assert breaches(ledger) == []
    NativeAuthError("One line.", hint="An escape: \x1b[31m")
    ProviderUnavailable("A token: NATK-access-abcdefgh")
    assert breaches(ledger) == ["INV-03", "INV-03"]


def test_what_is_under_way(tmp_path: Path, home: Home) -> None:
    """INV-08: a lock that is held and a sign-in that somebody waits for are left behind; then no more."""
    host, before = Host(), _belongings(home)
    with FileLock(tmp_path / "acme.lock").hold(limit=1):
        assert [one.partition(" ")[0] for one in _belongings(home) - before] == ["lock"]
    pending = host.pending.add(samples.account(tmp_path), Ask(), samples.request())
    assert under_way() == {f"sign-in {pending.id}"}
    host.pending.cancel(pending.id)
    assert under_way() == set()


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        (lambda made, hostile: made.save(samples.login()), "INV-02: what is stored"),
        (lambda made, hostile: ask(hostile, "userinfo"), "INV-02: asked for"),
        (lambda made, hostile: ask(hostile, times=9), "INV-04: 9 requests"),
    ],
    ids=["another login", "another endpoint", "too many requests"],
)
def test_a_failure_that_was_more_than_one(
    account: Account, hostile: Hostile, canary: Canary, deed: Callable[[Account, Hostile], None], words: str
) -> None:
    """INV-02, INV-04: what is done before an error comes out is seen."""

    def work() -> None:
        deed(account, hostile)
        raise ProviderUnavailable("There is no answer.")

    with pytest.raises(AssertionError, match=words):
        fails(work, canary)
    with pytest.raises(pytest.fail.Exception):
        fails(lambda: None, canary)
