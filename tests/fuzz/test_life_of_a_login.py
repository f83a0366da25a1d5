"""Three processes and one vault, and whatever may happen to them in any order: they see what a small model says."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from jupyter_nativeauth import LoginRequired, ProviderUnavailable
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._http import Answer, AnswerLost
from jupyter_nativeauth._logout import sign_out
from jupyter_nativeauth._oauth import Post
from jupyter_nativeauth._tokens import Secret
from jupyter_nativeauth.keys import Key
from jupyter_nativeauth.testing import Clock
from jupyter_nativeauth.vault import FileVault
from tests import samples
from tests.fuzz.test_interleavings import Rotating
from tests.tries import TRIED, batches, profile

HOUR = 3600.0
PROCESS = st.integers(0, 2)


class Service(Rotating):
    """One that can also be in trouble, or lose its answers after it has done its work."""

    date = None
    trouble = ""

    def post(self, post: Post, *, bearer: Secret | None = None) -> Answer:
        if self.trouble == "down":
            raise ProviderUnavailable("There is no answer.")
        answer = self.answer(post)
        if self.trouble == "lost":
            raise AnswerLost("The answer was lost.", code="network")
        return answer


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="life-"))
        self.clock, self.service = Clock(1_000_000.0), Service()
        self.key = Key(secrets.token_bytes(32), "file", "a test's key")
        self.processes = [self.new_process() for _ in range(3)]
        # The model: whose login there is, until when its access token lasts, or why there is none.
        self.login_id, self.until, self.why = "", 0.0, "signed_out"
        self.numbers = 0

    def new_process(self) -> Account:
        made = samples.account(self.folder, self.service, self.clock)
        made.store.vault = FileVault(self.folder, "acme", self.key)
        return made

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def over(self, why: str) -> None:
        self.login_id, self.why = "", why

    @rule(process=PROCESS)
    def sign_in(self, process: int) -> None:
        self.numbers += 1
        self.login_id, self.until = f"{self.numbers:032x}", self.clock.time() + HOUR
        token = self.service.grant(self.login_id)
        self.processes[process].save(
            samples.login(login_id=self.login_id, refresh_token=token, expires_at=self.until, lifetime=HOUR)
        )

    @rule(process=PROCESS)
    def sign_out(self, process: int) -> None:
        report = sign_out(self.processes[process])
        if self.login_id:
            assert report.revoked
            assert self.login_id not in self.service.alive
            self.over("signed_out")

    @rule(process=PROCESS)
    def use(self, process: int) -> None:
        account = self.processes[process]
        if not self.login_id:
            with pytest.raises(LoginRequired) as caught:
                account.access_token()
            assert caught.value.code == self.why
            return
        token = account.access_token()
        if self.clock.time() >= self.until:
            self.until = self.clock.time() + HOUR
        assert account.login().access_token == token
        assert account.login_id() == self.login_id

    @rule(seconds=st.sampled_from([10.0, HOUR, 10 * HOUR]))
    def time_passes(self, seconds: float) -> None:
        # Not into the margin before the end, where a renewal in the background is up to chance.
        if not self.until - 120 < self.clock.time() + seconds < self.until:
            self.clock.advance(seconds)

    @rule(process=PROCESS)
    def restart(self, process: int) -> None:
        self.processes[process] = self.new_process()

    @precondition(lambda self: self.login_id)
    @rule(process=PROCESS, trouble=st.sampled_from(["down", "lost"]))
    def renew_in_trouble(self, process: int, trouble: str) -> None:
        self.clock.advance(max(0.0, self.until - self.clock.time()) + 1)
        self.service.trouble = trouble
        with pytest.raises(ProviderUnavailable):
            self.processes[process].access_token()
        self.service.trouble = ""
        self.clock.advance(120)  # whoever failed waits a while before it asks again
        if trouble == "lost":  # the repetition was refused as well, and its answer lost: the grant is over
            with pytest.raises(LoginRequired):
                self.processes[process].access_token()
            self.service.reuse = 0
            self.over("expired")

    @precondition(lambda self: self.login_id)
    @rule(process=PROCESS)
    def revoked_at_the_service(self, process: int) -> None:
        del self.service.alive[self.login_id]
        self.clock.advance(max(0.0, self.until - self.clock.time()) + 1)
        with pytest.raises(LoginRequired):
            self.processes[process].access_token()
        self.over("expired")

    @precondition(lambda self: self.login_id)
    @rule(process=PROCESS, place=st.integers(1, 60))
    def damage(self, process: int, place: int) -> None:
        path = Path(FileVault(self.folder, "acme", self.key).path)
        content = bytearray(path.read_bytes())
        content[-place] ^= 1
        path.unlink()
        path.write_bytes(content)
        # Who has read it before does not look again until its generation changes; so it is somebody else who looks.
        self.processes = [self.new_process() for _ in range(3)]
        with pytest.raises(LoginRequired) as caught:
            self.processes[process].access_token()
        assert caught.value.code == "damaged"
        self.over("damaged")

    @precondition(lambda self: self.login_id)
    @rule(process=PROCESS)
    def a_late_renewal_of_an_older_login(self, process: int) -> None:
        account = self.processes[process]
        older = replace(account.login(), login_id="f" * 32)
        assert account.store.replace(older, older) == 0
        assert not account.store.end(older, "expired")

    @invariant()
    def holds(self) -> None:
        TRIED["steps in the life of a login"] += 1
        assert self.service.reuse == 0
        contents = FileVault(self.folder, "acme", self.key).read()
        stored = contents.login() if contents is not None and contents.header.signed_in else None
        assert (stored.login_id if stored else "") == self.login_id
        if stored is not None:
            assert stored.refresh_token is not None
            assert stored.refresh_token.reveal() == self.service.alive[self.login_id]
        assert not list(self.folder.glob("*.tmp"))


@pytest.mark.interleavings
def test_the_life_of_a_login() -> None:
    """FUZ-013: sign-ins, renewals, troubles, sign-outs, restarts and damage in any order: three processes agree."""
    for _ in batches():
        run_state_machine_as_test(Life, settings=profile(15, stateful_step_count=30))
