"""One account: what costs nothing, when it renews, what it tells a person, and where its refresh token never goes."""

from __future__ import annotations

import dis
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth import LoginRequired, NativeAuthError, ProviderUnavailable, VaultTooNew
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._http import AnswerLost
from jupyter_nativeauth._tokens import AccessToken
from jupyter_nativeauth.keys import Keys
from jupyter_nativeauth.testing import Clock
from tests import samples
from tests.canary import Canary
from tests.faults import Faults
from tests.samples import ISSUER, Desk, account, answer, tokens

NOW = 1_000_000.0
HOUR = 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path, server=True, environ={})


def settle() -> None:
    """Wait for the renewals in the background."""
    for thread in threading.enumerate():
        if thread.name == "nativeauth-refresh":
            thread.join(20)


@pytest.fixture(autouse=True)
def _settled() -> Iterator[None]:
    yield
    settle()


def signed_in(folder: Path, desk: Any, clock: Any, keys: Keys | None = None, **changes: Any) -> Account:
    """An account that has just been signed in, with an access token for an hour."""
    made = account(folder, desk, clock, keys)
    known = {"expires_at": clock.time() + HOUR, "lifetime": HOUR, "signed_in_at": clock.time()}
    made.save(samples.login(**{**known, **changes}))
    return made


def refuse(made: Account, canary: Canary | None = None, **options: Any) -> NativeAuthError:
    with pytest.raises(NativeAuthError) as caught:
        made.access_token(**options)
    samples.assert_fit_to_show(caught.value)
    if canary is not None:
        canary.look_error(caught.value)
    return caught.value


# ---- the fast path ---------------------------------------------------------------------------------------------------


def test_the_fast_path_does_next_to_nothing(tmp_path: Path) -> None:
    """The token of a signed-in account costs two clock readings and one small read: no lock, no import, no thread."""
    made = signed_in(tmp_path, Desk(), time)
    token = made.access_token()
    called, codes = [], set()

    def watch(frame: Any, event: str, function: Any) -> None:
        if event == "c_call":
            called.append(function.__qualname__)
        elif event == "call":
            codes.add(frame.f_code)

    sys.setprofile(watch)
    try:
        ready = made.ready_token()
    finally:
        sys.setprofile(None)
    assert ready is token
    called.remove("setprofile")
    system = [name for name in called if name not in ("len", "Struct.unpack_from")]
    assert sorted(system) == ["close", "monotonic", "open", "read", "time"]
    assert {code.co_qualname for code in codes} == {"Account.ready_token", "FileVault.generation", "FileVault._bytes"}
    operations = {step.opname for code in codes for step in dis.get_instructions(code)}
    assert not operations & {"IMPORT_NAME", "IMPORT_FROM", "BEFORE_WITH", "MAKE_FUNCTION", "STORE_GLOBAL"}


def test_an_account_costs_nothing_until_it_is_used(tmp_path: Path) -> None:
    """Making one reads no file and asks for no key: importing a notebook's helpers must not prompt."""
    opened: list[str] = []

    def watch(frame: Any, event: str, function: Any) -> None:
        if event == "c_call" and function in (os.open, os.stat, os.mkdir, open):
            opened.append(str(function))

    keys = Keys(tmp_path / "new", environ={})
    profile = samples.profile()
    sys.setprofile(watch)
    try:
        made = Account(profile, keys, tmp_path / "new")
    finally:
        sys.setprofile(None)
    assert (opened, (tmp_path / "new").exists(), made.store.generation()) == ([], False, -1)
    assert repr(made) == "<Account 'acme'>"


def test_a_change_by_anybody_is_seen_at_once(tmp_path: Path, clock: Clock, keys: Keys) -> None:
    """FLT-050: the next request of any other process sees a sign-out, a new sign-in or a renewal."""
    one, two = signed_in(tmp_path, Desk(tokens()), clock, keys), account(tmp_path, Desk(), clock, keys)
    first = two.access_token()
    assert two.ready_token() is first
    newer = one.access_token(rejected=first)
    assert two.ready_token() is None
    assert two.access_token() == newer != first
    one.sign_out()
    assert two.ready_token() is None
    assert refuse(two).code == "signed_out"
    one.save(samples.login(expires_at=NOW + HOUR))
    assert two.access_token() == one.access_token()
    assert two.client.posts == []  # type: ignore[attr-defined]


# ---- when it renews --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lifetime", "quiet_until", "renews_at"),
    [(HOUR, HOUR - 61, HOUR - 44), (86400.0, 86400 - 61, 86400 - 44), (100.0, 79.0, 86.0), (20.0, 15.9, 17.1)],
)
def test_the_margin(tmp_path: Path, clock: Clock, lifetime: float, quiet_until: float, renews_at: float) -> None:
    """LIB-073, LIB-075: in the last minute or fifth of its life, with jitter, a token is renewed in the background;
    until then nobody is asked, and meanwhile nobody waits."""
    desk = Desk(lambda form: tokens(expires_in=lifetime))
    made = signed_in(tmp_path, desk, clock, expires_at=NOW + lifetime, lifetime=lifetime)
    old = made.access_token()
    clock.advance(quiet_until)
    assert made.access_token() is old
    settle()
    assert desk.posts == []
    clock.advance(renews_at - quiet_until)
    assert made.access_token() == old
    settle()
    assert len(desk.posts) == 1
    assert made.access_token() != old
    settle()
    assert len(desk.posts) == 1


def test_the_jitter_differs(tmp_path: Path, clock: Clock) -> None:
    """Processes with one login do not all wake up at the same moment, nor at the same one each time."""
    made = signed_in(tmp_path, Desk(), clock)
    moments = set()
    for _ in range(20):
        made.adopt(made.login(), 1)
        current = made.load()
        moments.add(round(current.end_at - current.renew_at, 3))
        assert 45 <= current.end_at - current.renew_at <= 60
    assert len(moments) > 10


def test_an_expired_token_waits_for_the_new_one(tmp_path: Path, clock: Clock, canary: Canary) -> None:
    """FLT-010: once it is over, it is not handed out: the call waits, and what it gets was stored before."""
    desk = Desk(lambda form: tokens())
    made = signed_in(tmp_path, desk, clock)
    old, sent = made.access_token(), made.login().refresh_token
    clock.advance(HOUR)
    new = made.access_token()
    assert new != old
    assert new.expires_at == clock.time() + HOUR
    assert made.login().access_token == new
    assert made.login().refresh_token != sent
    assert sent is not None
    assert desk.posts == [
        (f"{ISSUER}/token", {"grant_type": "refresh_token", "refresh_token": sent.reveal(), "client_id": "cli"})
    ]


def test_a_token_that_cannot_be_renewed_is_used_to_its_end(tmp_path: Path, clock: Clock, canary: Canary) -> None:
    """Without a refresh token there is nothing to do early; at the end a person is told why they must sign in."""
    made = signed_in(tmp_path, Desk(), clock, refresh_token=None)
    token = made.access_token()
    clock.advance(HOUR - 0.1)
    assert made.access_token() is token
    clock.advance(0.1)
    error = refuse(made, canary)
    assert (type(error), error.code) == (LoginRequired, "no_refresh_token")
    assert "%login acme" in error.hint
    assert refuse(made, rejected=token).code == "no_refresh_token"


@pytest.mark.parametrize(
    ("members", "ends"),
    [
        ({"refresh_token_expires_in": 1800}, NOW + 100 + 1800),
        ({"refresh_expires_in": 1800, "refresh_token": ...}, NOW + 100 + 1800),
        ({"refresh_token": ...}, NOW + 7200),
        ({}, None),
        ({"refresh_expires_in": 0}, None),
    ],
)
def test_the_end_of_the_login_moves_with_each_renewal(
    tmp_path: Path, clock: Clock, keys: Keys, members: dict[str, Any], ends: float | None
) -> None:
    """What the service says last counts; left unsaid, a refresh token that stays keeps its time, a new one has none."""
    made = signed_in(tmp_path, Desk(tokens(**members)), clock, keys, ends_at=NOW + 7200)
    clock.advance(100)
    made.access_token(rejected=made.access_token())
    assert account(tmp_path, clock=clock, keys=keys).login().ends_at == ends


def test_a_token_without_an_end_is_used_until_it_is_refused(tmp_path: Path, clock: Clock) -> None:
    """CNF-054: no ``expires_in`` means "until a 401", however long that takes."""
    desk = Desk(lambda form: tokens(expires_in=...))
    made = signed_in(tmp_path, desk, clock, expires_at=None, lifetime=None)
    token = made.access_token()
    clock.advance(10 * 365 * 86400)
    assert made.access_token() is token
    assert desk.posts == []
    newer = made.access_token(rejected=token)
    assert newer not in (None, token)
    clock.advance(365 * 86400)
    assert made.access_token() == newer
    assert len(desk.posts) == 1


@pytest.mark.parametrize("expires_in", [1, 0.001, 5, 6])
def test_a_short_life_is_no_storm(tmp_path: Path, clock: Clock, expires_in: float) -> None:
    """FLT-026, LIB-019: a lifetime of a second makes at most twelve renewals a minute, though all calls succeed."""
    desk = Desk(lambda form: tokens(expires_in=expires_in))
    made = signed_in(tmp_path, desk, clock, expires_at=NOW + expires_in, lifetime=expires_in)
    for _ in range(240):
        assert made.access_token().reveal()
        settle()
        clock.advance(0.25)
    assert 9 <= len(desk.posts) <= 12


def test_a_token_that_is_always_refused_is_no_storm(tmp_path: Path, clock: Clock) -> None:
    """LIB-070: an API that refuses what the provider has just made gets it again, and the provider is not asked twice
    within five seconds."""
    desk = Desk(lambda form: tokens())
    made = signed_in(tmp_path, desk, clock)
    token = made.access_token()
    for _ in range(10):
        token = made.access_token(rejected=token)
    assert len(desk.posts) == 1
    clock.advance(5.1)
    assert made.access_token(rejected=token) != token
    assert len(desk.posts) == 2


def test_a_refused_token_that_is_no_longer_in_use_costs_nothing(tmp_path: Path, clock: Clock) -> None:
    """LIB-070: whoever comes late with an old token gets the one that somebody else has fetched meanwhile."""
    desk = Desk(lambda form: tokens())
    made = signed_in(tmp_path, desk, clock)
    old = made.access_token()
    newer = made.access_token(rejected=old)
    clock.advance(60)
    for _ in range(3):
        assert made.access_token(rejected=old) == newer
    assert len(desk.posts) == 1


# ---- the time --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-HOUR, -10 * 365 * 86400.0])
def test_a_clock_that_is_set_back(tmp_path: Path, clock: Clock, jump: float) -> None:
    """FLT-030, FLT-031: a token does not live longer because a clock was set back: the other clock counts too."""
    desk = Desk(lambda form: tokens())
    made = signed_in(tmp_path, desk, clock)
    old = made.access_token()
    clock.set_wall(clock.time() + jump)
    assert made.access_token() is old
    clock.advance(HOUR)
    new = made.access_token()
    assert new != old
    assert len(desk.posts) == 1
    assert made.access_token() is new


@pytest.mark.parametrize("jump", [2 * HOUR, 10 * 365 * 86400.0])
def test_a_clock_that_is_set_forward(tmp_path: Path, clock: Clock, jump: float) -> None:
    """FLT-030 to FLT-032: a jump ahead, or a computer that slept, costs one renewal, and no more of them."""
    desk = Desk(lambda form: tokens())
    made = signed_in(tmp_path, desk, clock)
    old = made.access_token()
    clock.set_wall(clock.time() + jump)
    new = made.access_token()
    assert new != old
    for _ in range(10):
        clock.advance(60)
        assert made.access_token() is new
    assert len(desk.posts) == 1


def test_a_process_that_starts_after_the_clock_was_set_back(tmp_path: Path, clock: Clock, keys: Keys) -> None:
    """FLT-030: who reads a login from a time that has not come yet gives it its lifetime, and no more than that."""
    desk = Desk(lambda form: tokens())
    signed_in(tmp_path, desk, clock, keys)
    clock.set_wall(NOW - 30 * 86400)
    late = account(tmp_path, desk, clock, keys)
    old = late.access_token()
    clock.advance(HOUR - 61)
    assert late.access_token() is old
    clock.advance(62)
    assert late.access_token() != old
    assert len(desk.posts) == 1


def test_a_process_that_starts_late_counts_what_is_left(tmp_path: Path, clock: Clock, keys: Keys) -> None:
    """FLT-031: the lifetime runs from when the token was made, not from when a process reads it."""
    desk = Desk(lambda form: tokens())
    signed_in(tmp_path, desk, clock, keys)
    clock.advance(HOUR - 100)
    late = account(tmp_path, desk, clock, keys)
    old = late.access_token()
    settle()
    assert desk.posts == []
    clock.advance(60)
    assert late.access_token() == old
    settle()
    assert len(desk.posts) == 1


# ---- a provider in trouble -------------------------------------------------------------------------------------------


def test_a_failing_renewal_does_not_spoil_a_good_token(tmp_path: Path, clock: Clock) -> None:
    """FLT-001, LIB-073, LIB-076: the old token serves to its end; the tries in the background get rarer."""
    desk = Desk(answer(503))
    made = signed_in(tmp_path, desk, clock)
    old = made.access_token()
    clock.advance(HOUR - 44)
    for _ in range(88):
        assert made.access_token() == old
        settle()
        clock.advance(0.5)
    assert 4 <= len(desk.posts) <= 7
    assert isinstance(refuse(made), ProviderUnavailable)
    desk.answers = [tokens()]
    clock.advance(61)
    assert made.access_token() != old


def test_tries_get_rarer_and_come_back_to_life(tmp_path: Path, clock: Clock, canary: Canary) -> None:
    """FLT-002, LIB-074, LIB-077: with the token over, calls fail at once while the provider rests; then they work."""
    desk = Desk(answer(500))
    made = signed_in(tmp_path, desk, clock)
    clock.advance(HOUR)
    for _ in range(600):
        assert isinstance(refuse(made), ProviderUnavailable)
        clock.advance(1)
    assert 8 <= len(desk.posts) <= 25
    canary.look_error(refuse(made))
    assert made.login().refresh_token is not None
    desk.answers = [tokens()]
    clock.advance(73)
    assert made.access_token().reveal()


@pytest.mark.parametrize(
    ("said", "quiet", "then"), [(30.0, 29.0, 31.0), (3600.0, 3599.0, 3601.0), (0.0, 0.0, 2.0), (None, 0.0, 2.0)]
)
def test_retry_after(tmp_path: Path, clock: Clock, said: float | None, quiet: float, then: float) -> None:
    """FLT-006, LIB-076: what the provider asks for is kept to; then it is tried again."""
    desk = Desk(answer(429, retry_after=said))
    made = signed_in(tmp_path, desk, clock)
    clock.advance(HOUR)
    assert isinstance(refuse(made), ProviderUnavailable)
    clock.advance(quiet)
    refuse(made)
    assert len(desk.posts) == 1
    desk.answers = [tokens()]
    clock.advance(then - quiet)
    assert made.access_token().reveal()
    assert len(desk.posts) == 2


def test_an_answer_that_got_lost(tmp_path: Path, clock: Clock) -> None:
    """FLT-020: the same refresh token is sent once more at once, and not a third time."""
    lost = AnswerLost("The connection broke.", code="network")
    desk = Desk(lost, tokens())
    made = signed_in(tmp_path, desk, clock)
    clock.advance(HOUR)
    assert made.access_token().reveal()
    assert len({form["refresh_token"] for _, form in desk.posts}) == 1
    assert len(desk.posts) == 2
    desk.answers = [AnswerLost("The connection broke.", code="network")]
    clock.advance(HOUR)
    assert isinstance(refuse(made), ProviderUnavailable)
    assert len(desk.posts) == 4


def test_an_answer_that_took_too_long(tmp_path: Path, clock: Clock) -> None:
    """FLT-003, PRM-011: after the deadline nothing is repeated while somebody waits; the login stays."""
    desk = Desk(AnswerLost("No answer.", code="timeout"))
    made = signed_in(tmp_path, desk, clock)
    clock.advance(HOUR)
    assert refuse(made).code == "timeout"
    assert len(desk.posts) == 1
    assert made.login().refresh_token is not None


def test_invalid_grant_ends_the_login(tmp_path: Path, clock: Clock, keys: Keys, canary: Canary) -> None:
    """FLT-023, FLT-025, INV-05: the login is over, for everybody, and nobody asks the provider again."""
    desk = Desk(answer(400, error="invalid_grant"))
    made, other = signed_in(tmp_path, desk, clock, keys), account(tmp_path, desk, clock, keys)
    token = other.access_token()
    clock.advance(HOUR)
    for one in (made, other, made):
        error = refuse(one, canary)
        assert (type(error), error.code) == (LoginRequired, "expired")
        assert "no longer accepts" in str(error)
    assert refuse(other, rejected=token).code == "expired"
    assert len(desk.posts) == 1
    assert made.login_id() == ""
    assert made.sign_out() is None


@pytest.mark.parametrize(
    "no",
    [answer(403), answer(400), answer(400, error="invalid_request"), answer(401, message="x"), answer(200, error="x")],
    ids=["403", "empty 400", "invalid_request", "401", "200"],
)
def test_another_refusal_keeps_the_login(tmp_path: Path, clock: Clock, canary: Canary, no: Any) -> None:
    """FLT-023, LIB-077, INV-05: the record stays; for five seconds nobody asks again, and later it may work."""
    desk = Desk(no)
    made = signed_in(tmp_path, desk, clock)
    before = made.login()
    clock.advance(HOUR)
    for _ in range(3):
        error = refuse(made, canary)
        assert (type(error), error.code) == (LoginRequired, "refused")
    assert len(desk.posts) == 1
    assert made.login() == before
    clock.advance(61)
    desk.answers = [tokens()]
    assert made.access_token().reveal()
    assert len(desk.posts) == 2


def test_a_newer_token_by_somebody_else_beats_a_refusal(tmp_path: Path, clock: Clock, keys: Keys) -> None:
    """FLT-023: refused, but the vault holds another refresh token by now: that one is used, and nothing ended."""
    newer = samples.login(expires_at=NOW + 2 * HOUR, lifetime=HOUR)
    other = account(tmp_path, Desk(), clock, keys)
    for no in (answer(400, error="invalid_grant"), answer(403)):

        def race(form: dict[str, str], no: Any = no) -> Any:
            other.save(newer)
            return no

        made = signed_in(tmp_path, Desk(race), clock, keys, expires_at=NOW - 1)
        assert made.access_token() == newer.access_token
        assert made.login() == newer


def test_no_thread_to_renew_in(tmp_path: Path, clock: Clock, canary: Canary) -> None:
    """FLT-017, INV-03: a machine that has no thread left is a typed error, for each call, and passes."""
    made = signed_in(tmp_path, Desk(lambda form: tokens()), clock)
    clock.advance(HOUR)
    usual = threading.stack_size(1 << 46)  # more than there is
    try:
        for _ in range(2):
            assert refuse(made, canary).code == "no_thread"
    finally:
        threading.stack_size(usual)
    assert made.access_token().reveal()


# ---- what it tells a person ------------------------------------------------------------------------------------------


def test_nobody_is_signed_in(tmp_path: Path, clock: Clock, canary: Canary) -> None:
    """FLT-042: before the first sign-in there is no key and no file; the error says which command helps."""
    made = Account(samples.profile(key_source="memory"), Keys(tmp_path, environ={}), tmp_path, clock=clock)
    error = refuse(made, canary)
    assert (type(error), error.code) == (LoginRequired, "signed_out")
    assert error.args == ("Nobody is signed in to 'acme'.",)
    assert "`%login acme`" in error.hint
    assert "`jupyter nativeauth login acme`" in error.hint
    assert (made.login_id(), made.sign_out(), made.take_end_session()) == ("", None, None)
    assert list(tmp_path.iterdir()) == []


CHANGES: dict[str, dict[str, Any]] = {
    "issuer": {"issuer": "https://evil.example"},
    "a slash": {"issuer": f"{ISSUER}/"},
    "client id": {"client_id": "other"},
    "audience": {"audience": "https://api.example"},
    "organization": {"organization": "org_1"},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_profile_that_has_changed(tmp_path: Path, clock: Clock, keys: Keys, canary: Canary, what: str) -> None:
    """FLT-060, SEC-073: a login belongs to what it was made with: its tokens are sent nowhere, and it stays as it was
    for whoever changes the profile back."""
    desk = Desk(lambda form: tokens())
    usual = signed_in(tmp_path, desk, clock, keys)
    sealed = Path(usual.store.open().path).read_bytes()  # type: ignore[attr-defined]
    changed = account(tmp_path, desk, clock, keys, **CHANGES[what])
    for advance in (0, HOUR - 30, HOUR):
        clock.advance(advance)
        error = refuse(changed, canary)
        assert (type(error), error.code) == (LoginRequired, "profile_changed")
        assert "has changed since the last sign-in" in str(error)
        with pytest.raises(LoginRequired):
            changed.identity()
        with pytest.raises(LoginRequired):
            changed.access_token(rejected=AccessToken("NATK-access-rejected01"))
    assert desk.posts == []
    assert Path(usual.store.open().path).read_bytes() == sealed  # type: ignore[attr-defined]
    assert usual.access_token().reveal()


def test_where_a_refresh_token_goes(tmp_path: Path, clock: Clock) -> None:
    """SEC-074, FLT-062: to the endpoint that the provider named when the login began; discovery is not asked again."""
    desk = Desk(lambda form: tokens())
    made = signed_in(tmp_path, desk, clock, provider=samples.provider(token_endpoint=f"{ISSUER}/of-that-time"))
    clock.advance(HOUR)
    assert made.access_token().reveal()
    assert [url for url, _ in desk.posts] == [f"{ISSUER}/of-that-time"]
    assert desk.gets == []


def test_a_login_that_another_key_sealed(tmp_path: Path, clock: Clock, keys: Keys, canary: Canary) -> None:
    """FLT-052: a server's memory is gone, the file is not: that is not damage, and the words say what happened."""
    before = signed_in(tmp_path, Desk(), clock, keys)
    sealed = Path(before.store.open().path).read_bytes()  # type: ignore[attr-defined]
    restarted = account(tmp_path, Desk(), clock)
    no_key = Account(samples.profile(key_source="memory"), Keys(tmp_path, environ={}), tmp_path, clock=clock)
    for made in (restarted, no_key):
        error = refuse(made, canary)
        assert (type(error), error.code) == (LoginRequired, "other_key")
        assert "server that has stopped" in str(error)
    assert Path(before.store.open().path).read_bytes() == sealed  # type: ignore[attr-defined]
    before.sign_out()
    for made in (restarted, no_key):
        assert refuse(made).code == "signed_out"


def test_a_damaged_login(
    tmp_path: Path, clock: Clock, keys: Keys, canary: Canary, caplog: pytest.LogCaptureFixture
) -> None:
    """FLT-043: signed out, and here is why; the file is set aside, the log names it, and a new sign-in works."""
    path = Path(signed_in(tmp_path, Desk(), clock, keys).store.open().path)  # type: ignore[attr-defined]
    made = account(tmp_path, Desk(), clock, keys)
    broken = path.read_bytes()[:-5]
    path.write_bytes(broken)
    for _ in range(2):
        error = refuse(made, canary)
        assert (type(error), error.code) == (LoginRequired, "damaged")
        assert "set aside" in str(error)
    assert Path(f"{path}.damaged").read_bytes() == broken
    assert len([record for record in caplog.records if str(path) in record.getMessage()]) == 1
    made.save(samples.login(expires_at=NOW + HOUR))
    assert made.access_token().reveal()


@pytest.mark.parametrize("use", ["access_token", "identity", "sign_out"])
def test_a_login_that_lacks_a_part(tmp_path: Path, clock: Clock, canary: Canary, use: str) -> None:
    """FLT-044: sealed with our key, and yet no login, as a mistake of ours could leave it: it is set aside too, and
    does not stand in the way of the next sign-in."""
    made = signed_in(tmp_path, Desk(), clock)
    vault = made.store.open()
    record = samples.login().to_record()
    del record["provider"]
    with vault.write_lock.hold(limit=1):
        vault.write(record, login_id="00" * 16, signed_in=True)
    if use == "sign_out":
        assert made.sign_out() is None
    else:
        with pytest.raises(LoginRequired) as caught:
            getattr(made, use)()
        canary.look_error(caught.value)
        assert caught.value.code == "damaged"
    assert Path(f"{vault.path}.damaged").exists()  # type: ignore[attr-defined]
    assert refuse(made).code == "damaged"
    made.save(samples.login(expires_at=NOW + HOUR))
    assert made.access_token().reveal()


def test_a_login_of_a_newer_version(tmp_path: Path, clock: Clock, keys: Keys, canary: Canary) -> None:
    """FLT-044: it is not ours to understand: nothing of it is changed, by a sign-out and a new sign-in neither."""
    path = Path(signed_in(tmp_path, Desk(), clock, keys).store.open().path)  # type: ignore[attr-defined]
    made = account(tmp_path, Desk(), clock, keys)
    newer = bytearray(path.read_bytes())
    newer[4] = 9
    path.write_bytes(newer)
    assert isinstance(refuse(made, canary), VaultTooNew)
    for change in (made.sign_out, lambda: made.save(samples.login()), made.take_end_session, made.identity):
        with pytest.raises(VaultTooNew, match="newer version"):
            change()
    assert path.read_bytes() == bytes(newer)
    assert made.login_id() == ""


# ---- writing ---------------------------------------------------------------------------------------------------------


def test_a_renewal_is_stored_only_over_what_was_sent(
    tmp_path: Path, clock: Clock, keys: Keys, ledger: list[str]
) -> None:
    """FLT-015, FLT-050: another login, another refresh token, a sign-out or an empty vault in its place: it is not."""
    made = signed_in(tmp_path, Desk(), clock, keys)
    sent = made.login()
    newer = replace(sent, access_token=samples.secret("access"), refresh_token=samples.secret("refresh"))

    def is_refused() -> bool:
        store, before = made.store, made.store.generation()
        return not store.replace(sent, newer) and not store.end(sent, "expired") and store.generation() == before

    made.save(replace(sent, refresh_token=samples.secret("refresh")))
    assert is_refused()
    made.save(replace(sent, login_id="ab" * 16))
    assert is_refused()
    made.save(sent)
    made.sign_out()
    assert is_refused()
    Path(made.store.open().path).unlink()  # type: ignore[attr-defined]
    assert is_refused()
    made.save(sent)
    assert made.store.replace(sent, newer)
    assert made.login() == newer
    assert not made.store.replace(sent, newer)
    assert made.store.end(newer, "expired")
    assert refuse(made).code == "expired"
    assert [breach.partition(":")[0] for breach in ledger] == ["INV-05"]  # which no provider has asked for
    ledger.clear()


def test_what_a_sign_out_leaves(tmp_path: Path, clock: Clock, canary: Canary) -> None:
    """FLT-051: a tombstone that keeps, sealed, what the browser needs, for ten minutes and for one use."""
    made = signed_in(tmp_path, Desk(), clock)
    login = made.login()
    assert made.sign_out() == login
    assert made.sign_out() is None
    contents = made.store.open().read()
    assert contents is not None
    assert set(contents.record) == {"reason", "until", "endpoint", "names", "client_id", "id_token"}
    assert made.may_end_session()
    ending = made.take_end_session()
    assert ending is not None
    assert (ending.endpoint, ending.client_id, ending.id_token) == (f"{ISSUER}/end", "cli", login.id_token)
    assert "NATK" not in repr(ending)
    assert made.take_end_session() is None
    assert not made.may_end_session()
    contents = made.store.open().read()
    assert contents is not None
    assert contents.record == {"reason": "signed_out"}


def test_the_end_of_a_session_is_not_kept_for_ever(tmp_path: Path, clock: Clock) -> None:
    """FLT-051: after ten minutes the ID token is of no use to anybody, and is forgotten when somebody asks."""
    made = signed_in(tmp_path, Desk(), clock)
    made.sign_out()
    clock.advance(601)
    assert made.take_end_session() is None
    contents = made.store.open().read()
    assert contents is not None
    assert contents.record == {"reason": "signed_out"}
    assert made.take_end_session() is None


def test_a_sign_in_forgets_the_last_ones_troubles(tmp_path: Path, clock: Clock) -> None:
    """A pause after a refusal belongs to the login that was refused, not to the next one."""
    desk = Desk(answer(403))
    made = signed_in(tmp_path, desk, clock)
    clock.advance(HOUR)
    assert refuse(made).code == "refused"
    desk.answers = [tokens()]
    made.save(samples.login(expires_at=clock.time() - 1))
    assert made.access_token().reveal()


def test_a_login_in_memory_only(tmp_path: Path, clock: Clock) -> None:
    """FLT-040: with a key in this process's memory no file is written, and everything else is the same."""
    desk = Desk(lambda form: tokens())
    keys = Keys(tmp_path, environ={})
    made = Account(samples.profile(key_source="memory"), keys, tmp_path, client=desk, clock=clock)  # type: ignore[arg-type]
    made.key(create=True)
    made.save(samples.login(expires_at=NOW + HOUR))
    old = made.access_token()
    clock.advance(HOUR)
    assert made.access_token() != old
    made.sign_out()
    assert refuse(made).code == "signed_out"
    assert list(tmp_path.iterdir()) == []


def test_what_is_on_the_disk(tmp_path: Path, clock: Clock) -> None:
    """PRM-006: through sign-in, renewal and sign-out, no file holds a token, a name or an address in the clear."""
    desk = Desk(lambda form: tokens())
    made = signed_in(tmp_path, desk, clock)
    stages = []

    def look() -> None:
        stages.append(b"".join(path.read_bytes() for path in tmp_path.iterdir()))

    look()
    clock.advance(HOUR)
    made.access_token()
    look()
    made.sign_out()
    look()
    for text in stages:
        assert not any(word in text for word in (b"NATK", b"Ada Example", b"ada@example.org", b"id.example", b"openid"))


def test_one_renewal_in_many_threads(tmp_path: Path, clock: Clock) -> None:
    """FLT-012, TRP-19: a crowd with one expired token makes one request, and everybody gets what it brought."""
    go = threading.Event()

    def slow(form: dict[str, str]) -> Any:
        assert go.wait(20)
        return tokens()

    desk = Desk(slow)
    made = signed_in(tmp_path, desk, clock)
    clock.advance(HOUR)
    got: list[AccessToken] = []
    threads = [threading.Thread(target=lambda: got.append(made.access_token())) for _ in range(20)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(20)
    assert len(desk.posts) == 1
    assert len(got) == 20
    assert all(token == got[0] for token in got)


# ---- what a traceback shows ------------------------------------------------------------------------------------------

# The thread's own first function; and the constructors of secrets, which are handed nothing but them.
NEVER_FAIL = {"Refresher._run", "Secret.__init__", "AccessToken.__init__"}
USES: dict[str, Callable[[Account], Any]] = {
    "renew": lambda made: made.access_token(),
    "read": lambda made: made.identity(),
    "sign out": lambda made: (made.sign_out(), made.take_end_session()),
    "store": lambda made: made.save(samples.login()),
}


@pytest.mark.parametrize("use", USES)
def test_no_variable_of_any_frame_shows_a_token(tmp_path: Path, clock: Clock, canary: Canary, use: str) -> None:
    """TRP-29, SEC-041: each of our functions on the way fails once; a traceback that prints the variables of its
    frames, as ``%xmode Verbose`` does, shows no token."""

    def begin() -> Account:
        return signed_in(tmp_path, Desk(lambda form: tokens()), clock, expires_at=clock.time() - 1)

    def attempt(made: Account) -> None:
        with faults.watching():
            USES[use](made)
            settle()

    faults = Faults()
    attempt(begin())
    functions = [code for code in faults.functions() if code.co_qualname not in NEVER_FAIL]
    assert len(functions) > 20
    for code in functions:
        made = begin()
        faults.targets = {code}
        try:
            attempt(made)
        except (NativeAuthError, RuntimeError) as error:
            canary.look_error(error)
