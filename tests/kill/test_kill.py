"""
A process that is killed leaves the old or the new login, whichever instruction it had come to.

``make test`` kills once at each system call between the provider's answer and the end of the write; ``make kill N=100``
a hundred times, and prints a table.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth._tombstone import ending_in
from tests.answers import Answer, Request
from tests.emulators.auth0 import Auth0
from tests.kill.tracer import Call, Tracer, needed
from tests.person import Person

ROUNDS = int(os.environ.get("NATIVEAUTH_KILLS", "1"))
LONGEST_STEP = 30.0  # seconds
CHANGES = ("flock", "write", "fsync", "rename", "renameat2")  # what others can notice


class Victims:
    """Processes that do one thing each, and may be killed in the middle of it."""

    def __init__(self, service: Auth0, folder: Path) -> None:
        self._service = service
        self._trace = folder / "trace"
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.kill.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def close(self) -> None:
        self._parent.kill()
        self._parent.communicate()

    def run(self, deed: str) -> str:
        """Let a process do it undisturbed; the code of the error, or ``done``."""
        pid = self._begin(deed)
        if deed == "sign_out":
            os.kill(pid, signal.SIGUSR1)
        return str(self._read()["code"])

    def trace(self, deed: str, kill: Call | None = None) -> list[Call]:
        """
        Let a process do it, and kill it there; the calls that it made from the provider's answer on; none if it was
        not killed: how often it waits for the network, or for a lock, is not the same each time.
        """
        held = threading.Event()
        if deed != "sign_out":
            arrived = threading.Event()
            self._service.answer("token", lambda request: _held(self._service, request, arrived, held))
        pid = self._begin(deed)
        if deed == "sign_out":
            thread = pid
        else:
            assert arrived.wait(LONGEST_STEP), "no token was asked for"
            # A renewal has a thread of its own.
            thread = max(int(one) for one in os.listdir(f"/proc/{pid}/task"))
        tracer = Tracer(thread, self._trace, kill)
        if deed == "sign_out":
            os.kill(pid, signal.SIGUSR1)
        held.set()
        calls = tracer.finish()
        said = self._read()
        if said == {"killed": 9}:
            return calls
        # On a machine that has much else to do a request may be too slow as well.
        assert said["code"] == "done" or (kill is not None and said["code"] == "timeout"), (kill, said)
        return calls if kill is None else []

    def _begin(self, deed: str) -> int:
        assert self._parent.stdin is not None
        self._parent.stdin.write(f"{deed}\n")
        self._parent.stdin.flush()
        return int(self._read()["pid"])

    def _read(self) -> dict[str, Any]:
        assert self._parent.stdout is not None
        return dict(json.loads(self._parent.stdout.readline()))


def _held(service: Auth0, request: Request, arrived: threading.Event, held: threading.Event) -> Answer:
    """The token endpoint has done its work, and its answer waits."""
    answer = service.do_token(request)
    answer.wait = held
    arrived.set()
    return answer


@pytest.fixture
def person(auth0: Auth0, person_at: Callable[..., Person]) -> Person:
    """A person at a service that rotates refresh tokens; who was killed may come with the last one once more."""
    needed()
    auth0.rotation, auth0.overlap = True, 3600
    return person_at(auth0)


@pytest.fixture
def victims(person: Person, auth0: Auth0, tmp_path: Path) -> Iterator[Victims]:
    made = Victims(auth0, tmp_path)
    yield made
    made.close()
    auth0.reuse = 0  # that is what a killed process leads to


def points(calls: list[Call], *, first: str = "recvfrom") -> list[Call]:
    """Each call from the read of the answer to the last that changes something in the folder of the vaults."""
    begin = next(at for at, call in enumerate(calls) if call.name == first)
    end = max(at for at, call in enumerate(calls) if call.name in CHANGES and "/nativeauth" in call.line)
    return calls[begin : end + 1]


def chosen(sweep: list[Call], number: int, *, of: int = 1) -> list[int]:
    """
    Which of these are tried in this round: each time those that change something; with more rounds than one, of the
    others one in *of* as well, other ones from round to round.
    """
    return [at for at, call in enumerate(sweep) if call.name in CHANGES or (ROUNDS > 1 and (at + number) % of == 0)]


def renamed(calls: list[Call]) -> int:
    """Where the new file takes the place of the old one."""
    return next(at for at, call in enumerate(calls) if call.name.startswith("rename"))


def has_replaced(killed: list[Call]) -> bool | None:
    """Whether the new file was in the old one's place when the process died; ``None`` if it died at just that."""
    *before, last = killed
    if any(call.name.startswith("rename") for call in before):
        return True
    return None if last.name.startswith("rename") else False


def assert_all_tried(counts: Counter[tuple[str, str]]) -> None:
    """None of the calls that make a new file out of the old one was missed."""
    names = {name for name, _ in counts}
    assert {"write", "fsync"} <= names
    assert any(name.startswith("rename") for name in names)


def refresh_token(person: Person) -> str | None:
    token = person.account.login().refresh_token
    return token.reveal() if token is not None else None


def show(capsys: pytest.CaptureFixture[str], what: str, counts: Counter[tuple[str, str]]) -> None:
    """The table of ``make kill``."""
    if ROUNDS > 1:
        with capsys.disabled():
            print(f"\n{what}: {sum(counts.values())} kills")
            for (name, left), number in sorted(counts.items()):
                print(f"  {name:14} {number:6}  left the {left} login")


def test_the_order_of_the_writes(person: Person, victims: Victims) -> None:
    """FLT-010, FLT-021: the new file is written, and on disk, before it takes the old one's place; then the folder."""
    person.sign_in()
    person.expire()
    path = person.account.store.open().path  # type: ignore[attr-defined]
    steps = []
    for call in victims.trace("renew"):
        file = re.search(r'(\S+)\.[0-9a-f]{12}\.tmp[>"]', call.line)
        if file is not None and call.name in ("openat", "write", "fsync", "rename", "renameat", "renameat2"):
            steps.append(f"{call.name.rstrip('at2')} temporary")
        elif call.name == "fsync":
            steps.append("fsync folder" if f"<{Path(path).parent}>" in call.line else "fsync something else")
        assert f"<{path}>" not in call.line or call.name not in ("write", "ftruncate"), "the old file was written to"
    assert steps == ["open temporary", "write temporary", "fsync temporary", "rename temporary", "fsync folder"]


def test_a_renewal_that_is_killed(person: Person, victims: Victims, auth0: Auth0, capsys: Any) -> None:
    """
    FLT-021: at each system call after the answer: before the rename the old login is there, after it the new one; and
    the next process goes on, with the grace that the service gives.
    """
    person.sign_in()
    person.expire()
    sweep = points(victims.trace("renew"))
    assert not [call.line for call in sweep if call.name == "openat" and re.search(r"\.(pyc?|so)\b", call.line)], (
        "an import"
    )
    counts: Counter[tuple[str, str]] = Counter()
    for number in range(ROUNDS):
        for at in [0, *chosen(sweep, number)]:
            point = sweep[at]
            person.expire()
            old = refresh_token(person)
            if not (killed := victims.trace("renew", point)):
                continue
            left, new = refresh_token(person), auth0.grants[-1].current
            counts[point.name, "old" if left == old else "new"] += 1
            replaced = has_replaced(killed)
            assert left in ((old, new) if replaced is None else (new if replaced else old,)), point
            person.expire()
            assert victims.run("renew") == "done", point
            assert refresh_token(person) == auth0.grants[-1].current
            assert_tidy(person)
    assert_all_tried(counts)
    show(capsys, "renewals", counts)


def test_a_renewal_that_is_killed_where_nothing_is_forgiven(
    person: Person, victims: Victims, auth0: Auth0, capsys: Any
) -> None:
    """FLT-020, FLT-021: without grace the answer that was lost ends the login: said once, and never asked again."""
    auth0.overlap = 0
    person.sign_in()
    person.expire()
    calls = points(victims.trace("renew"))
    ends = [calls[0], calls[renamed(calls) - 1], calls[-1]]
    counts: Counter[tuple[str, str]] = Counter()
    for number in range(ROUNDS):
        for point in ends if ROUNDS == 1 else [calls[at] for at in [0, *chosen(calls, number)]]:
            person.sign_in()
            person.expire()
            old = refresh_token(person)
            if not victims.trace("renew", point):
                continue
            lost = refresh_token(person) == old
            counts[point.name, "old" if lost else "new"] += 1
            person.expire()
            before = auth0.refreshes
            assert [victims.run("renew"), victims.run("renew")] == (["expired"] * 2 if lost else ["done"] * 2), point
            assert auth0.refreshes == before + 1
            assert_tidy(person)
    show(capsys, "renewals, without grace", counts)


def test_a_sign_in_that_is_killed(person: Person, victims: Victims, auth0: Auth0, capsys: Any) -> None:
    """A sign-in that dies between its answer and the save leaves what was there before: nothing, or the old login."""
    person.sign_in()
    counts: Counter[tuple[str, str]] = Counter()
    for number in range(ROUNDS):
        if number % 2:
            person.account.sign_out()
        sweep = points(victims.trace("sign_in"))
        for at in chosen(sweep, number // 2, of=10):
            point = sweep[at]
            if number % 2:
                person.account.sign_out()
            before = person.account.login_id()
            if not (killed := victims.trace("sign_in", point)):
                continue
            after = person.account.login_id()
            counts[point.name, "old" if after == before else "new"] += 1
            assert has_replaced(killed) in (None, after != before), point
            if after:
                assert person.account.login().refresh_token is not None
        assert victims.run("sign_in") == "done"
        assert_tidy(person)
    assert_all_tried(counts)
    show(capsys, "sign-ins", counts)


def test_a_sign_out_that_is_killed(person: Person, victims: Victims, capsys: Any) -> None:
    """FLT-050: a sign-out that dies has happened or not: a whole login, or a tombstone with what a browser needs."""
    person.sign_in()
    login = person.account.login()
    calls = victims.trace("sign_out")
    sweep = points(calls, first=calls[1].name)
    counts: Counter[tuple[str, str]] = Counter()
    for number in range(ROUNDS):
        for at in chosen(sweep, number, of=10):
            point = sweep[at]
            person.account.save(login)
            if not (killed := victims.trace("sign_out", point)):
                continue
            if left := person.account.login_id():
                assert person.account.login() == login
            else:
                assert ending_in(person.account.store.open(), now=time.time()) is not None
            counts[point.name, "old" if left else "tombstone, and no"] += 1
            assert has_replaced(killed) in (None, left == ""), point
            victims.run("sign_out")
            assert person.account.login_id() == ""
            assert_tidy(person)
    assert_all_tried(counts)
    show(capsys, "sign-outs", counts)


def assert_tidy(person: Person) -> None:
    """Once somebody has written again, nothing is left of the dead: no half a file, nothing damaged."""
    left = [path.name for path in person.accounts.folder.iterdir() if not path.name.endswith((".vault", ".lock"))]
    assert left == []
