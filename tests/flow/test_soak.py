"""
Nothing grows: thousands of renewals, sign-ins and hostile callbacks in one process, and as much memory and as many open
files at the end as at the beginning. ``make test`` does a few; ``make soak`` as many as it is told, and prints a table.
"""

from __future__ import annotations

import gc
import logging
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jupyter_nativeauth._host import Host
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth.testing import Clock
from tests import samples
from tests.canary import Canary
from tests.emulators.auth0 import Auth0
from tests.person import Person

LONG = "NATIVEAUTH_SOAK" in os.environ
LOOKS = (2, 3, 19, 20)  # after so many twentieths: the first tenth, without the warming up, and the last


@pytest.fixture(autouse=True)
def _no_log(canary: Canary) -> Iterator[None]:
    """What is logged is kept by pytest and by the sweep, and would be all that grows."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def rounds(name: str, few: int) -> int:
    return int(os.environ.get(f"NATIVEAUTH_SOAK_{name}") or few) if LONG else few


def soak(what: str, times: int, act: Callable[[int], None], capsys: Any) -> None:
    """Do it so often; afterwards nothing has grown from the first tenth (without the warming up) to the last."""
    process = psutil.Process()
    act(0)
    seen: list[tuple[float, int, int]] = []
    for number in range(1, times + 1):
        act(number)
        if number in [times * look // 20 for look in LOOKS]:
            gc.collect()
            seen.append((process.memory_info().rss / 1e6, process.num_fds(), process.num_threads()))
    first, last = ([sum(column) / 2 for column in zip(*part, strict=True)] for part in (seen[:2], seen[2:]))
    if LONG:
        with capsys.disabled():
            for name, before, after in zip(("MB of memory", "open files", "threads"), first, last, strict=True):
                print(f"\n  {what:20} {times:>10,}  {name:12} {before:8.1f} -> {after:8.1f}", end="")
    assert last[1] <= first[1] + 1, f"open files: {seen}"
    assert last[2] <= first[2] + 1, f"threads: {seen}"
    # A few MB are the allocator's own; what leaks in each round is much more in a long run.
    assert last[0] <= first[0] + 8, f"memory in MB: {seen}"


def test_renewals(tmp_path: Path, capsys: Any) -> None:
    """FLT-071: renewals, each saved to disk, leave nothing open and nothing behind."""
    clock = Clock()
    desk = samples.Desk(lambda form: samples.tokens())
    account = samples.account(tmp_path, desk, clock)
    account.save(samples.login(expires_at=clock.time() + 1, lifetime=3600.0))

    def renew(number: int) -> None:
        clock.advance(4000)
        account.access_token()
        desk.posts.clear()

    soak("renewals", rounds("REFRESHES", 20), renew, capsys)


def test_sign_ins(person_at: Callable[..., Person], auth0: Auth0, capsys: Any) -> None:
    """FLT-071: sign-ins through the listener, over real HTTP, leave no socket, no thread and no sign-in behind."""
    person = person_at(auth0)

    def sign_in(number: int) -> None:
        person.sign_in()
        for kept in (auth0.journal, auth0.grants, auth0.access, auth0.sessions):
            kept.clear()
        if LONG:
            auth0._secrets.clear()  # the sweep of a short run looks for all of them

    soak("sign-ins", rounds("LOGINS", 20), sign_in, capsys)


def test_hostile_callbacks(tmp_path: Path, capsys: Any) -> None:
    """SEC-009, FLT-071: whatever comes to the callback during a sign-in, that goes on waiting, and nothing grows."""
    host = Host(clock=Clock())  # a million of them take longer than a sign-in may
    account = samples.account(tmp_path, timeout=600)
    pending = host.pending.add(account, Ask(), samples.request())
    chance = random.Random(1)
    state = pending.request.state.reveal()
    parts = [
        "state=",
        state,
        state[:-1],
        "&",
        "code=",
        "=",
        "error=access_denied",
        "%",
        "%00",
        "\ud800",
        "iss=",
        "x" * 99,
    ]

    def callback(number: int) -> None:
        query = "".join(chance.choices(parts, k=chance.randrange(8)))
        page = host.callback(query, {pending.cookie_name: str(number)}, {}, "/nativeauth/callback")
        assert page.status != 500

    soak("hostile callbacks", rounds("CALLBACKS", 2000), callback, capsys)
    assert host.pending.all() == [pending]
    host.pending.cancel(pending.id)


def test_a_leak_is_noticed(capsys: Any) -> None:
    """The measure itself: a file that stays open in each round is found."""
    held: list[int] = []
    with pytest.raises(AssertionError, match="open files"):
        soak("leaks", 20, lambda number: held.append(os.open(os.devnull, os.O_RDONLY)), capsys)
    for descriptor in held:
        os.close(descriptor)
