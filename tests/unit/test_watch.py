"""What the open pages are told: that a profile has changed, whoever changed it, and not a word more."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from jupyter_events import EventLogger

from jupyter_nativeauth._accounts import Accounts
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._pending import PendingLogins
from jupyter_nativeauth._progress import Progress, write_progress
from jupyter_nativeauth._watch import SCHEMA, SCHEMA_ID, Watch, stamps
from jupyter_nativeauth.testing import Clock
from tests import samples
from tests.faults import Faults
from tests.isolation import Home

EVERY = 0.02


class Office:
    """A watch over an event stream, with one page that listens."""

    def __init__(self) -> None:
        self.events = EventLogger()
        self.events.register_event_schema(SCHEMA)
        self.clock = Clock(1_000_000.0)
        self.pending = PendingLogins(ticket_life=60, clock=self.clock)
        self.state: Mapping[str, object] = {"acme": 1, "other": 1}
        self.looks = 0
        self.heard: list[dict[str, Any]] = []
        self.heard_in: set[int] = set()
        self.watch = Watch(self.events, self.look, self.pending, every=EVERY)

    def look(self) -> Mapping[str, object]:
        self.looks += 1
        return self.state

    async def listen(self, logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        self.heard.append(data)
        self.heard_in.add(threading.get_ident())

    def names(self) -> list[str]:
        return [one["profile"] for one in self.heard]

    def subscribe(self, listener: Any = None) -> None:
        self.events.add_listener(schema_id=SCHEMA_ID, listener=listener or self.listen)

    async def rounds(self, count: int = 2) -> None:
        """Wait until it has looked so many times more."""
        wanted = self.looks + count
        await until(lambda: self.looks >= wanted)


async def until(ready: Callable[[], Any]) -> None:
    for _ in range(1000):
        if ready():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never came")


@contextlib.asynccontextmanager
async def working() -> AsyncIterator[Office]:
    """A watch at work, whose first page has been told to look."""
    office = Office()
    office.subscribe()
    office.watch.start()
    try:
        await until(lambda: office.heard)
        office.heard.clear()
        yield office
    finally:
        await office.watch.stop()


async def test_what_somebody_else_has_changed() -> None:
    """Exactly those profiles are named that came, went or changed; nothing else is said of them, and once only."""
    async with working() as office:
        office.state = {"acme": 2, "new": 1}
        await until(lambda: len(office.heard) == 3)
        assert office.names() == ["acme", "new", "other"]
        assert all({name for name in one if not name.startswith("__")} == {"profile"} for one in office.heard)
        await office.rounds()
        assert len(office.heard) == 3


async def test_whoever_subscribes_is_told_to_look() -> None:
    """It may have missed something, and JupyterLab does not say when it has lost and found the stream again."""
    async with working() as office:
        heard = []

        async def another(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
            heard.append(data["profile"])

        office.subscribe(another)
        await until(lambda: heard)
        await office.rounds()
        assert heard == [""]


async def test_nobody_subscribed_nothing_read() -> None:
    """It looks at no file while there is nobody to tell; an administrator's log of events hears what happens here."""
    written: list[str] = []

    class Log(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(json.loads(self.format(record))["profile"])

    office = Office()
    office.events.register_handler(Log())
    office.watch.start()
    try:
        for name in ("one", "two"):
            office.watch.nudge(name)
            await until(lambda one=name: one in written)  # type: ignore[misc]
        assert office.looks == 0
        office.subscribe()
        await office.rounds()
        office.events.remove_listener(schema_id=SCHEMA_ID, listener=office.listen)
        await until(lambda: not office.watch._subscribers)
        looks = office.looks
        office.watch.nudge("three")
        await until(lambda: "three" in written)
        assert office.looks == looks
    finally:
        await office.watch.stop()


async def test_what_happens_here_is_told_from_any_thread() -> None:
    """jupyter_events can only be used on the event loop: that is where the listeners are called."""
    async with working() as office:
        await asyncio.to_thread(office.watch.nudge, "acme")
        await until(lambda: office.names() == ["acme"])
        assert office.heard_in == {threading.get_ident()}


def test_without_a_loop_nobody_is_told() -> None:
    """Before the server runs, and when its loop is closed, a nudge is in vain and harms nobody."""
    office = Office()
    office.watch.nudge("acme")

    async def briefly() -> None:
        office.watch.start()
        await office.watch.stop()

    asyncio.run(briefly())
    office.watch.nudge("acme")
    assert office.heard == []


async def test_an_expired_sign_in_is_noticed(tmp_path: Path) -> None:
    """Without anybody asking, and without anybody subscribed: kernels wait for it too."""
    office = Office()
    office.watch.start()
    pending = office.pending.add(samples.account(tmp_path), Ask(), samples.request())
    office.clock.advance(301)
    await until(pending.outcome.done)
    await office.watch.stop()
    assert getattr(pending.outcome.exception(), "code", "") == "timeout"


async def test_somebody_else_s_fault_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """What another extension does to events may fail; it is logged by its kind alone, and the next one comes."""
    async with working() as office:
        broken = True

        def modify(schema_id: str, data: dict[str, Any]) -> dict[str, Any]:
            if broken:
                raise ValueError("NATK-secret-of-somebody")
            return data

        office.events.add_modifier(schema_id=SCHEMA_ID, modifier=modify)
        with caplog.at_level(logging.ERROR, "jupyter_nativeauth"):
            for name in ("one", "two"):
                office.watch.nudge(name)
                await office.rounds()
        assert {record.getMessage() for record in caplog.records} == {
            "Cannot tell the open pages what has changed: ValueError"
        }
        broken = False
        office.watch.nudge("acme")
        await until(lambda: "acme" in office.names())


@pytest.mark.parametrize(
    "data", [{}, {"profile": 7}, {"profile": None}, {"profile": "a" * 65}, {"profile": "acme", "token": "x"}]
)
async def test_the_schema_allows_a_name_and_nothing_else(data: dict[str, Any]) -> None:
    """SEC-028: so nobody, whatever changes, can send more than that."""
    office = Office()
    office.subscribe()
    with pytest.raises(Exception, match=r"profile|token|Additional"):
        office.events.emit(schema_id=SCHEMA_ID, data=data)
    assert office.heard == []


# ---- what counts as a change ---------------------------------------------------------------------------------------


@pytest.fixture
def book(home: Home) -> Accounts:
    """Two profiles, one of which somebody is signed in to."""
    accounts = Accounts(server=True)
    write(home, 'default = "acme"', "acme", "other")
    for name in ("acme", "other"):
        accounts.get(name).key(create=True)
    accounts.get("acme").save(samples.login())
    return accounts


def write(home: Home, first: str, *names: str, **more: str) -> None:
    lines = [first]
    for name in names:
        client = samples.CLIENT if name == "acme" else name
        lines += [
            f"[profiles.{name}]",
            f'issuer = "{samples.ISSUER}"',
            f'client_id = "{client}"',
            'key_source = "memory"',
        ]
        lines += [f'{key} = "{value}"' for key, value in more.items()]
    Path(home.config, "nativeauth.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def status(accounts: Accounts, profile: str) -> None:
    write_progress(accounts.folder, profile, Progress("1", "", "waiting", 1.0, 2.0))


CHANGES: dict[str, tuple[Callable[[Accounts, Home], Any], set[str]]] = {
    "nothing": (lambda accounts, home: None, set()),
    "a reader": (lambda accounts, home: accounts.get("acme").login(), set()),
    "a renewal": (lambda accounts, home: accounts.get("acme").save(samples.login()), {"acme"}),
    "a sign-in": (lambda accounts, home: accounts.get("other").save(samples.login()), {"other"}),
    "a sign-out": (lambda accounts, home: accounts.get("acme").sign_out(), {"acme"}),
    "the end of a sign-out": (lambda accounts, home: accounts.get("acme").take_end_session(), set()),
    "a sign-in that waits": (lambda accounts, home: status(accounts, "other"), {"other"}),
    "somebody else's profile": (lambda accounts, home: status(accounts, "another"), set()),
    "a lock": (lambda accounts, home: Path(accounts.folder, "acme.00000000.lock").touch(), set()),
    "another default": (lambda accounts, home: write(home, 'default = "other"', "acme", "other"), {"acme", "other"}),
    "a profile more": (lambda accounts, home: write(home, 'default = "acme"', "acme", "other", "new"), {"new"}),
    "a profile less": (lambda accounts, home: write(home, 'default = "acme"', "acme"), {"other"}),
    "a changed profile": (
        lambda accounts, home: write(home, 'default = "acme"', "acme", "other", login_hint="ada"),
        {"acme", "other"},
    ),
    "a broken file": (lambda accounts, home: write(home, "default = ", "acme", "other"), {"", "acme", "other"}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_is_a_change(book: Accounts, home: Home, what: str) -> None:
    """A login, a sign-in that a server runs, and the configuration; by whichever process. A broken file has no names,
    and is another one than before."""
    change, expected = CHANGES[what]
    before = stamps(book)
    change(book, home)
    after = stamps(book)
    assert {name for name in {*before, *after} if before.get(name) != after.get(name)} == expected


def test_from_broken_to_broken_otherwise(book: Accounts, home: Home) -> None:
    """Whoever mends a file sees what is still wrong with it; and that it is well again, also if there is no profile."""
    write(home, "default = ")
    seen = [stamps(book)]
    for text in ("nonsense = 1\n", ""):
        Path(home.config, "nativeauth.toml").write_text(text, encoding="utf-8")
        seen.append(stamps(book))
    assert [list(one) for one in seen] == [[""], [""], []]
    assert seen[0] != seen[1]


def test_looking_disturbs_nobody(book: Accounts) -> None:
    """No key is asked for, no lock taken, no request made: neither a keychain nor a renewal notices it."""
    faults = Faults()
    with faults.watching():
        stamps(book)
    files = {Path(code.co_filename).stem for code in faults.functions()}
    assert "_watch" in files
    assert not files & {"keys", "agent", "_keychain", "_lock", "_http", "vault", "_account"}
