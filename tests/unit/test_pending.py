"""Sign-ins under way: how many, for how long, whose, and that each of them ends once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth import LoginFailed
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._pending import Pending, PendingLogins, fingerprint
from jupyter_nativeauth.testing import Clock
from tests import samples

CROWD = 50


class Place:
    """A host's pending sign-ins, its clock, and what it was told of."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock(1_000_000.0)
        self.folder = folder
        self.account = samples.account(folder, timeout=3600)
        self.told: list[tuple[str, str]] = []
        self.logins = PendingLogins(ticket_life=60, on_change=self._note, clock=self.clock)

    def begin(self, **profile: Any) -> Pending:
        account = samples.account(self.folder, **profile) if profile else self.account
        return self.logins.add(account, Ask(), samples.request())

    def _note(self, pending: Pending) -> None:
        self.logins.all()  # whoever is told may look: no lock is held
        self.told.append((pending.id, code(pending)))


def code(pending: Pending) -> str:
    """How *pending* ended, or ``waiting``."""
    if not pending.outcome.done():
        return "waiting"
    error = pending.outcome.exception()
    return str(getattr(error, "code", "signed_in"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def crowd(work: Callable[[], Any]) -> list[Any]:
    """What each of many threads got that did *work* at the same moment."""
    start = threading.Barrier(CROWD)

    def run(_: int) -> Any:
        start.wait()
        return work()

    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(run, range(CROWD)))


def test_a_sign_in_is_found_by_what_only_its_browser_knows(place: Place) -> None:
    """SEC-001: by its ticket and by its state; by nothing else, and not by that of another one."""
    one, two = place.begin(), place.begin()
    assert place.logins.all() == [one, two]
    assert place.logins.of_ticket(one.ticket) is one
    assert place.logins.of_state(two.request.state.reveal()) is two
    for wrong in ("", "x", one.id, one.ticket + "x", one.ticket.swapcase(), "\ud800", "\0", "x" * 100_000):
        assert place.logins.of_ticket(wrong) is None
        assert place.logins.of_state(wrong) is None
    assert place.logins.of_ticket(one.request.state.reveal()) is None
    assert place.logins.of_state(one.ticket) is None


def test_nothing_secret_shows(place: Place) -> None:
    """TRP-29: neither state nor ticket nor cookie in what a debugger shows; the id is no secret."""
    pending = place.begin()
    cookie = place.logins.bind(pending, None)
    assert cookie is not None
    for shown in (repr(pending), repr(place.logins), repr(vars(place.logins))):
        for hidden in (pending.ticket, cookie, pending.request.state.reveal(), pending.request.verifier.reveal()):
            assert hidden not in shown
    assert pending.id in repr(pending)


def test_tickets_and_ids_are_unguessable_and_never_the_same(place: Place) -> None:
    """SEC-038: a ticket has 192 random bits, an id 64; no two are alike."""
    pendings = [place.begin() for _ in range(100)]
    assert len({pending.ticket for pending in pendings}) == len({pending.id for pending in pendings}) == 100
    assert {len(pending.ticket) for pending in pendings} == {32}
    assert {len(pending.id) for pending in pendings} == {16}


def test_sixteen_at_most(place: Place) -> None:
    """SEC-010: the oldest makes room for the seventeenth, and whoever waits for it learns why."""
    pendings = [place.begin() for _ in range(16)]
    assert [code(pending) for pending in pendings] == ["waiting"] * 16
    newest = place.begin()
    assert [code(pending) for pending in pendings] == ["crowded_out"] + ["waiting"] * 15
    assert place.logins.all() == [*pendings[1:], newest]
    for _ in range(40):
        place.begin()
    assert len(place.logins.all()) == 16


def test_strangers_neither_fill_nor_empty_it(place: Place) -> None:
    """SEC-010, ADV-037: look-ups with made-up states and tickets store nothing and crowd nobody out."""
    pending = place.begin()
    before = len(place.logins._by_state)
    for number in range(1000):
        place.logins.of_state(f"guess{number}")
        place.logins.of_ticket(f"guess{number}")
        place.logins.cancel(f"guess{number}")
    assert (len(place.logins._by_state), code(pending)) == (before, "waiting")


def test_the_first_page_must_be_opened_in_time(place: Place) -> None:
    """SEC-038: a ticket opens for 60 s, to the second; the sign-in itself goes on."""
    pending = place.begin()
    place.clock.advance(59.9)
    assert place.logins.of_ticket(pending.ticket) is pending
    place.clock.advance(0.1)
    assert place.logins.of_ticket(pending.ticket) is None
    assert place.logins.of_state(pending.request.state.reveal()) is pending
    assert code(pending) == "waiting"


def test_a_new_request_takes_the_place_of_one(place: Place) -> None:
    """WB-12: the same sign-in waits on, for an answer to the new request, and any browser may be the first again."""
    pending = place.begin()
    place.logins.bind(pending, None)
    ticket, before = pending.ticket, pending.request
    place.clock.advance(100)
    newer = samples.request()
    assert place.logins.restart(pending, before, newer)
    assert place.logins.of_state(before.state.reveal()) is None
    assert place.logins.of_ticket(ticket) is None
    assert place.logins.of_state(newer.state.reveal()) is place.logins.of_ticket(pending.ticket) is pending
    assert (place.logins.all(), pending.bound_to, code(pending)) == ([pending], None, "waiting")
    place.clock.advance(500)
    assert place.logins.all() == []  # its ten minutes began with the first one
    assert code(pending) == "timeout"


def test_only_one_answer_makes_a_new_request(place: Place) -> None:
    """A replay of the answer that wants more finds nothing; nor is a cancelled sign-in brought back."""
    pending, cancelled = place.begin(), place.begin()
    before = pending.request
    assert sum(crowd(lambda: place.logins.restart(pending, before, samples.request()))) == 1
    place.logins.cancel(cancelled.id)
    assert not place.logins.restart(cancelled, cancelled.request, samples.request())
    assert place.logins.all() == [pending]


def test_ten_minutes_at_most(place: Place) -> None:
    """FLT-055, FLT-057, LIB-083: after ten minutes it is over, whoever looks first, and whoever waits for it learns
    why."""
    pending = place.begin()
    place.clock.advance(599.9)
    assert place.logins.of_state(pending.request.state.reveal()) is pending
    place.clock.advance(0.1)
    assert place.logins.of_state(pending.request.state.reveal()) is None
    assert code(pending) == "timeout"
    assert place.logins.all() == []
    assert not place.logins.take(pending)
    for look in (place.logins.all, place.begin, place.logins.drop_expired):
        late = place.begin()
        place.clock.advance(601)
        look()
        assert code(late) == "timeout"


def test_as_long_as_the_profile_says(place: Place) -> None:
    """``timeout`` is how long a person is waited for; what is told to people is the same moment."""
    pending = place.begin(timeout=5)
    assert pending.ends == pending.started + 5
    place.clock.advance(4.9)
    assert code(pending) == "waiting"
    place.clock.advance(0.1)
    place.logins.drop_expired()
    assert code(pending) == "timeout"
    longest = place.begin()
    assert longest.ends == longest.started + 600


def test_a_clock_that_is_set_does_not_end_it(place: Place) -> None:
    """FLT-031, FLT-034: somebody who corrects the time neither ends a sign-in nor keeps it for ever."""
    pending = place.begin()
    for jump in (-86400, 10 * 86400):
        place.clock.set_wall(place.clock.time() + jump)
        assert place.logins.of_ticket(pending.ticket) is pending
    place.clock.set_wall(0)
    place.clock.advance(600)
    assert code(pending) == "waiting"
    assert place.logins.of_ticket(pending.ticket) is None
    assert code(pending) == "timeout"


def test_it_belongs_to_the_first_browser(place: Place) -> None:
    """SEC-005, ADV-004: the first one gets a cookie, and may come again with it; nobody else gets one."""
    pending, other = place.begin(), place.begin()
    assert not any(pending.is_bound_to(cookie) for cookie in (None, "", "x"))
    cookie = place.logins.bind(pending, "planted")
    assert cookie not in (None, "", "planted")
    assert pending.is_bound_to(cookie)
    assert place.logins.bind(pending, cookie) == cookie
    others = place.logins.bind(other, None)
    for wrong in (None, "", "planted", f"{cookie}x", pending.ticket, pending.bound_to, others, "\ud800"):
        assert not pending.is_bound_to(wrong)
        assert place.logins.bind(pending, wrong) is None
    assert pending.is_bound_to(cookie)


def test_only_one_of_many_browsers_is_the_first(place: Place) -> None:
    """SEC-005: of fifty that come at once, one is bound."""
    pending = place.begin()
    cookies = [cookie for cookie in crowd(lambda: place.logins.bind(pending, None)) if cookie is not None]
    assert len(cookies) == 1
    assert pending.is_bound_to(cookies[0])


def test_cookies_have_names_of_their_own(place: Place) -> None:
    """SEC-006: cookies ignore ports, so two tabs and two servers need two names; a name tells nothing of the state."""
    one, two = place.begin(), place.begin()
    assert one.cookie_name != two.cookie_name
    assert one.cookie_name == f"nativeauth-{fingerprint(one.request.state.reveal())[:16]}"
    assert one.request.state.reveal()[:6] not in one.cookie_name


def test_it_is_taken_once(place: Place) -> None:
    """SEC-008: of fifty answers that come at once, one may use its code; afterwards there is nothing to find."""
    pending = place.begin()
    assert sorted(crowd(lambda: place.logins.take(pending))) == [False] * (CROWD - 1) + [True]
    assert place.logins.of_state(pending.request.state.reveal()) is None
    assert place.logins.of_ticket(pending.ticket) is None
    assert place.logins.too_late(state=pending.request.state.reveal()) is None
    assert code(pending) == "waiting"


def test_it_goes_on_until_its_answer_has_been_looked_at(place: Place) -> None:
    """Its code is being redeemed: it can still be seen and cancelled, and its time is not over any more."""
    pending = place.begin()
    place.logins.take(pending)
    place.clock.advance(601)
    assert place.logins.all() == [pending]
    assert place.logins.of_profile("acme") is pending
    assert place.logins.cancel(pending.id) is pending
    assert (place.logins.all(), code(pending)) == ([], "cancelled")


def test_it_ends_once(place: Place) -> None:
    """FLT-057: the first end is the one that counts; those who come later neither change it nor fail."""
    pending = place.begin()
    identity = samples.login().identity
    place.logins.close(pending, identity)
    place.logins.close(pending, LoginFailed("No.", code="cancelled"))
    assert pending.outcome.result() == identity
    assert place.told == [(pending.id, "waiting"), (pending.id, "signed_in")]


def test_many_ends_at_once_are_one(place: Place) -> None:
    """SEC-009: cancelled, timed out and finished in the same moment is one end, and nobody sees an error of it."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            pending = place.begin()
            place.told.clear()
            crowd(lambda one=pending: place.logins.close(one, LoginFailed("No.", code="cancelled")))  # type: ignore[misc]
            assert place.told == [(pending.id, "cancelled")]
    finally:
        sys.setswitchinterval(usual)


def test_it_can_be_cancelled_by_its_id(place: Place) -> None:
    """FLT-055: it ends, the others go on, and cancelling it again finds nothing."""
    one, two = place.begin(), place.begin()
    assert place.logins.cancel(one.id)
    assert (code(one), code(two)) == ("cancelled", "waiting")
    assert not place.logins.cancel(one.id)
    assert not place.logins.cancel("")
    assert place.logins.of_state(one.request.state.reveal()) is None


def test_whoever_watches_is_told_of_each_change(place: Place) -> None:
    """A kernel that waits learns from it: of each one that begins, and of how each one ended."""
    pendings = [place.begin() for _ in range(17)]
    place.logins.cancel(pendings[1].id)
    place.clock.advance(600)
    place.logins.all()
    assert [entry for entry in place.told if entry[0] == pendings[0].id][1:] == [(pendings[0].id, "crowded_out")]
    assert [entry for entry in place.told if entry[0] == pendings[1].id][1:] == [(pendings[1].id, "cancelled")]
    assert {entry for entry in place.told if entry[1] == "timeout"} == {(one.id, "timeout") for one in pendings[2:]}
    assert len(place.told) == 34


# ---- one after the other -------------------------------------------------------------------------------------------


def fail(place: Place, pending: Pending, code: str = "access_denied") -> None:
    place.logins.close(pending, LoginFailed("No.", code=code))


def test_how_the_last_one_failed(place: Place) -> None:
    """Of each profile the last one, until the next begins, somebody signs in, or it is dismissed by its id."""
    one, other = place.begin(), place.logins.add(samples.account(place.folder), Ask(), samples.request())
    assert place.logins.failure_of("acme") is None
    fail(place, other)
    assert place.logins.failure_of("acme") is other
    fail(place, one)
    assert place.logins.failure_of("acme") is one
    assert place.logins.cancel("nonsense") is None
    assert place.logins.cancel(one.id) is one
    assert place.logins.failure_of("acme") is None
    assert place.logins.cancel(one.id) is None
    fail(place, place.begin())
    place.begin()
    assert place.logins.failure_of("acme") is None
    fail(place, place.begin())
    pending = place.begin()
    place.logins.take(pending)
    place.logins.close(pending, samples.login().identity)
    assert place.logins.failure_of("acme") is None


def test_cancelled_is_not_failed(place: Place) -> None:
    """Somebody wanted it to end."""
    place.logins.cancel(place.begin().id)
    assert place.logins.failure_of("acme") is None


def test_an_older_one_does_not_count(place: Place) -> None:
    """While a newer one of the same profile goes on, nobody is told that all is lost."""
    older = place.begin()
    place.clock.advance(1)
    newer = place.begin()
    fail(place, older, "timeout")
    assert place.logins.failure_of("acme") is None
    assert place.logins.is_superseded(older)
    assert not place.logins.is_superseded(newer)
    assert place.logins.of_profile("acme") is newer


def test_a_newer_one_takes_the_place_of_the_older(place: Place) -> None:
    """Those of the same profile that were begun before it; of two that do this at once one is left."""
    other = samples.Account(samples.profile("other"), place.account.store.keys, place.folder)
    apart = place.logins.add(other, Ask(), samples.request())
    one, two, three = place.begin(), place.begin(), place.begin()
    place.logins.close_older(two)
    assert [code(pending) for pending in (apart, one, two, three)] == ["waiting", "cancelled", "waiting", "waiting"]
    place.logins.close_older(one)
    place.logins.close_older(three)
    assert [code(pending) for pending in (apart, two, three)] == ["waiting", "cancelled", "waiting"]


def test_what_is_over_is_known_for_a_while(place: Place) -> None:
    """By its ticket, and by its state unless the provider has answered; those that have signed in are forgotten."""
    late, answered, fine = place.begin(), place.begin(), place.begin()
    for pending in (answered, fine):
        place.logins.take(pending)
    fail(place, late, "timeout")
    fail(place, answered)
    place.logins.close(fine, samples.login().identity)
    tickets = [place.logins.too_late(ticket=pending.ticket) for pending in (late, answered, fine)]
    states = [place.logins.too_late(state=pending.request.state.reveal()) for pending in (late, answered, fine)]
    assert (tickets, states) == ([late, answered, None], [late, None, None])
    assert place.logins.too_late() is None
    for _ in range(16):
        fail(place, place.begin())
    assert place.logins.too_late(ticket=late.ticket) is None
