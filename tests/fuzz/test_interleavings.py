"""
Renewals, a sign-out and a sign-in at once, in every order of their steps: nothing is redeemed twice, nothing is lost.

The accounts, vaults and locks are the real ones, on a real disk. Only who goes on is decided, before each lock, each
look at the vault, each write and each request. ``make fuzz`` allows more switches.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth import LoginRequired
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._http import Answer
from jupyter_nativeauth._logout import sign_out
from jupyter_nativeauth._oauth import Post
from jupyter_nativeauth._tokens import AccessToken, Secret
from jupyter_nativeauth.keys import Key
from jupyter_nativeauth.vault import FileVault
from tests import samples
from tests.fuzz.scheduler import Scheduler, schedules
from tests.ledger import watch_answers
from tests.tries import MANY, TRIED

SWITCHES = 3 if MANY else 1
MOST = MANY or 10_000


class Rotating:
    """A token endpoint that knows no grace: a refresh token that comes twice ends all of its family."""

    def __init__(self) -> None:
        self.alive: dict[str, str] = {}  # the good refresh token of each grant
        self.seen: dict[str, str] = {}  # the grant of each refresh token that ever was
        self.renewals = 0
        self.reuse = 0

    def grant(self, name: str) -> Secret:
        token = samples.secret("refresh")
        self.alive[name] = token.reveal()
        self.seen[token.reveal()] = name
        return token

    def answer(self, post: Post) -> Answer:
        form = dict(post.form)
        grant = self.seen[form.get("refresh_token") or form["token"]]
        if "grant_type" not in form:
            self.alive.pop(grant, None)
            return samples.answer()
        if grant not in self.alive:
            return samples.answer(400, error="invalid_grant")
        if self.alive[grant] != form["refresh_token"]:
            self.reuse += 1
            del self.alive[grant]
            return samples.answer(400, error="invalid_grant")
        self.renewals += 1
        return samples.tokens(refresh_token=self.grant(grant).reveal())


watch_answers(Rotating, "answer")


class Steps:
    """What stands between one actor's account and the vault, the locks and the service: it stops before each step."""

    date = None

    def __init__(self, scheduler: Scheduler, actor: str, vault: FileVault, service: Rotating) -> None:
        self._scheduler, self._actor = scheduler, actor
        self._polling = False
        self._vault, self._service = vault, service
        self.write_lock = Lock(self, vault.write_lock, "write lock")
        self.refresh_lock = Lock(self, vault.refresh_lock, "refresh lock")

    def step(self, what: str, *, blocked: bool = False) -> None:
        if not self._polling:
            self._scheduler.step(self._actor, what, blocked=blocked)

    def poll(self, leave: Callable[[], bool]) -> bool:
        """Whether who waits may leave. It is asked about all the time, so it is no step of its own."""
        self._polling = True
        try:
            return leave()
        finally:
            self._polling = False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._vault, name)
        if name not in ("read", "write", "generation", "header"):
            return method

        def stepped(*args: Any, **kwargs: Any) -> Any:
            self.step(name)
            return method(*args, **kwargs)

        return stepped

    def post(self, post: Post, *, bearer: Secret | None = None) -> Answer:
        self.step("asks the service")
        answer = self._service.answer(post)
        self.step("has its answer")
        return answer


class Lock:
    """A lock of a vault. Who has to wait for it goes on only after somebody else has made a step."""

    def __init__(self, steps: Steps, lock: Any, name: str) -> None:
        self._steps, self._lock, self._name = steps, lock, name

    @contextlib.contextmanager
    def hold(self, *, limit: float, leave: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        self._steps.step(self._name)
        while True:
            with self._lock.hold(limit=0, leave=lambda: True) as held:
                if held or self._steps.poll(leave):
                    yield held
                    if held:
                        self._steps.step(f"lets go of the {self._name}")
                    return
            self._steps.step(f"waits for the {self._name}", blocked=True)


class World:
    """One person's vault, and processes that share it."""

    def __init__(self, folder: Path, scheduler: Scheduler) -> None:
        self.service, self.scheduler, self.folder = Rotating(), scheduler, folder
        self.key = Key(bytes(32), "file", "a test's key")
        self.tokens: list[AccessToken] = []
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        first = samples.account(folder)
        first.store.vault = FileVault(folder, "acme", self.key)
        first.save(samples.login(expires_at=1.0, refresh_token=self.service.grant("first"), login_id="11" * 16))
        self.vault = first.store.vault

    def account(self, actor: str) -> Account:
        steps = Steps(self.scheduler, actor, FileVault(self.folder, "acme", self.key), self.service)
        made = samples.account(self.folder, steps)
        made.store.vault = steps  # type: ignore[assignment]
        return made

    def renew(self, actor: str) -> None:
        job: Future[AccessToken] = Future()
        self.account(actor)._refresher._run(job, None)
        try:
            self.tokens.append(job.result(timeout=0))
        except LoginRequired as error:
            if error.code != "signed_out":
                raise

    def sign_out(self, actor: str) -> None:
        sign_out(self.account(actor))

    def sign_in(self, actor: str) -> None:
        login = samples.login(
            expires_at=time.time() + 3600, refresh_token=self.service.grant("second"), login_id="22" * 16
        )
        self.account(actor).save(login)

    def check(self) -> None:
        """What holds in the end, whoever was faster."""
        assert self.scheduler.errors == []
        assert self.service.reuse == 0, "a refresh token was redeemed twice"
        contents = self.vault.read()
        assert contents is not None
        stored = contents.login() if contents.header.signed_in else None
        if stored is not None:
            assert stored.refresh_token is not None
            assert stored.refresh_token.reveal() in self.service.alive.values(), "the good refresh token was lost"
        assert [path for path in self.folder.iterdir() if path.name.endswith(("tmp", "damaged"))] == []
        steps = self.scheduler.order
        names = {step.partition(" ")[0] for step in steps}
        assert self.service.renewals <= 1, "what somebody had just renewed was renewed again"
        if names >= {"signs-out", "signs-in"}:
            # Whoever wrote last has it.
            last = [step.split(" ")[0] for step in steps if step.endswith(" write") and "signs" in step][-1]
            assert (stored is None) == (last == "signs-out")
        elif "signs-out" in names:
            assert stored is None, "a renewal has brought back what was signed out"
            assert self.service.alive == {}, "a grant that nobody has any more was not revoked"
        if stored is not None and "signs-in" in names:
            assert stored.login_id == "22" * 16, "a renewal of the old login has overwritten the new one"


@pytest.mark.interleavings
@pytest.mark.parametrize(
    "who",
    [
        ("renews", "renews-too"),
        ("renews", "signs-out"),
        ("renews", "signs-in"),
        ("renews", "renews-too", "renews-as-well"),
        ("renews", "renews-too", "signs-out"),
        ("renews", "renews-too", "signs-in"),
        ("renews", "signs-out", "signs-in"),
    ],
    ids=" ".join,
)
def test_every_order_of_steps(who: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FUZ-014: no double redemption, no lost login, nothing brought back, nothing left unrevoked, and no deadlock."""
    worlds: list[World] = []

    def run(scheduler: Scheduler) -> None:
        world = World(tmp_path / "vault", scheduler)
        worlds[:] = [world]
        deeds = {"signs-out": world.sign_out, "signs-in": world.sign_in}
        scheduler.run({name: lambda name=name: deeds.get(name, world.renew)(name) for name in who})

    count, orders = 0, set()
    for scheduler in schedules(run, switches=SWITCHES + (len(who) == 2), most=MOST):
        try:
            worlds[0].check()
        except AssertionError as error:
            raise AssertionError(f"{error}\nin this order: {'; '.join(scheduler.order)}") from error
        count += 1
        orders.add(tuple(scheduler.order))
    assert len(orders) == count, "one order was tried twice"
    assert count > 20
    TRIED[f"interleavings of {', '.join(who)}"] += count
