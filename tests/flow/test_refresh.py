"""Staying signed in: one renewal for everybody, and no login lost by it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from jupyter_nativeauth import LoginRequired, ProviderUnavailable, get_async_session, get_session
from jupyter_nativeauth._accounts import Accounts
from jupyter_nativeauth._logout import sign_out
from jupyter_nativeauth._tokens import Secret
from tests.http_browser import HttpBrowser
from tests.oidc_provider import OidcProvider
from tests.person import Person

CALL = "from jupyter_nativeauth import get_session\nprint(get_session('acme').get('/api/me').status_code)\n"


def child(code: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def finish(*processes: subprocess.Popen[str]) -> list[str]:
    answers = []
    for process in processes:
        out, err = process.communicate(timeout=60)
        answers.append(out.strip() + err.strip())
    return answers


def until(ready: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def test_64_threads_renew_once(person: Person, oidc: OidcProvider) -> None:
    """FLT-012, TRP-19: 64 threads with one expired login make one token request, and all calls succeed."""
    person.sign_in()
    person.expire()
    start = threading.Barrier(64)
    with get_session("acme") as api:

        def call(_: int) -> int:
            start.wait()
            return api.get("/api/me").status_code

        with ThreadPoolExecutor(64) as pool:
            statuses = list(pool.map(call, range(64)))
    assert statuses == [200] * 64
    assert (oidc.refreshes, oidc.reuse) == (1, 0)


def test_16_processes_renew_once(person: Person, oidc: OidcProvider) -> None:
    """FLT-011, PRM-003: 16 processes with one expired login make one token request, and all calls succeed."""
    person.sign_in()
    person.expire()
    code = "import sys\nfrom jupyter_nativeauth import get_session\napi = get_session('acme')\nsys.stdin.read()\n"
    crowd = [child(code + "print(api.get('/api/me').status_code)", stdin=subprocess.PIPE) for _ in range(16)]
    for process in crowd:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    assert finish(*crowd) == ["200"] * 16
    assert (oidc.refreshes, oidc.reuse) == (1, 0)


def test_forked_children_renew_once_together(person: Person, oidc: OidcProvider) -> None:
    """FLT-018, TRP-32: children that are forked with a warm session share one renewal with their parent."""
    person.sign_in()
    person.expire()
    code = """
import os
from jupyter_nativeauth import get_session
api = get_session('acme')
api.auth._bearer.account.load()
children = []
for _ in range(6):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if get_session('acme').get('/api/me').status_code == 200 else 1)
    children.append(pid)
mine = api.get('/api/me').status_code
print(mine, [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children])
"""
    assert finish(child(code)) == ["200 [0, 0, 0, 0, 0, 0]"]
    assert (oidc.refreshes, oidc.reuse) == (1, 0)


def test_a_hundred_tasks_renew_once_and_the_loop_goes_on(person: Person, oidc: OidcProvider) -> None:
    """FLT-013: 100 tasks make one request, while the event loop keeps turning."""
    person.sign_in()
    person.expire()
    oidc.fault("token", action="delay", seconds=0.5)

    async def main() -> tuple[list[int], int]:
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1

        turning = asyncio.create_task(turn())
        async with get_async_session("acme") as api:
            answers = await asyncio.gather(*(api.get("/api/me") for _ in range(100)))
        turning.cancel()
        return [answer.status_code for answer in answers], turns

    statuses, turns = asyncio.run(main())
    assert statuses == [200] * 100
    assert turns > 5
    assert (oidc.refreshes, oidc.reuse) == (1, 0)


def test_a_cancelled_task_does_not_cancel_the_renewal(person: Person, oidc: OidcProvider) -> None:
    """A task that is cancelled while a renewal is on its way ends at once; the renewal is saved all the same."""
    person.sign_in()
    person.expire()
    before = person.account.login().refresh_token
    oidc.fault("token", action="hold")

    async def main() -> None:
        async with get_async_session("acme") as api:
            task = asyncio.create_task(api.get("/api/me"))
            await asyncio.to_thread(oidc.wait_held, "token")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert person.account.login().refresh_token == before
            oidc.release()

    asyncio.run(main())
    until(lambda: person.account.login().refresh_token != before, "the renewal was not saved")
    assert get_session("acme").get("/api/me").status_code == 200
    assert (oidc.refreshes, oidc.reuse) == (1, 0)


@pytest.mark.parametrize("how", ["ends", "interrupted"])
def test_a_short_script_does_not_lose_the_login(person: Person, oidc: OidcProvider, how: str) -> None:
    """FLT-054, LIB-087: a script that ends or is interrupted while a renewal is on its way saves the new login
    first."""
    person.sign_in()
    person.expire()
    oidc.fault("token", action="hold")
    code = CALL
    if how == "ends":
        code = "import threading\nfrom jupyter_nativeauth import get_session\n"
        code += "threading.Thread(target=get_session('acme').get, args=('/api/me',), daemon=True).start()\n"
        code += "input()\nprint('over', flush=True)\n"
    process = child(code, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    oidc.wait_held("token")
    if how == "interrupted":
        process.send_signal(signal.SIGINT)
    else:
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "over\n"
    time.sleep(0.3)  # whichever way it ends, it has begun to
    assert process.poll() is None, "it did not wait for the answer"
    oidc.release()
    finish(process)
    assert get_session("acme").get("/api/me").status_code == 200
    assert (oidc.refreshes, oidc.reuse) == (1, 0)


def test_a_sign_out_during_a_renewal_wins(person: Person, oidc: OidcProvider) -> None:
    """FLT-050: what the provider grants to a login that has ended meanwhile is revoked, not stored."""
    person.sign_in()
    person.expire()
    oidc.fault("token", when="after", action="hold")
    errors: list[BaseException] = []

    def call() -> None:
        try:
            person.account.access_token()
        except LoginRequired as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    oidc.wait_held("token")
    revocations = len(oidc.journal("revocation"))
    report = sign_out(Accounts(folder=person.accounts.folder).get("acme"))
    assert (report.local, report.revoked) == (True, True)
    oidc.release()
    thread.join(20)
    assert [error.code for error in errors] == ["signed_out"]  # type: ignore[attr-defined]
    until(lambda: len(oidc.journal("revocation")) == revocations + 2, "the unwanted grant was not revoked")
    with pytest.raises(LoginRequired):
        get_session("acme").get("/api/me")


def test_a_new_sign_in_during_a_renewal_wins(person: Person, oidc: OidcProvider) -> None:
    """FLT-015: a renewal of the old login neither overwrites nor ends the new one."""
    person.sign_in()
    person.expire()
    oidc.fault("token", when="before", action="hold")
    thread = threading.Thread(target=person.account.access_token)
    thread.start()
    oidc.wait_held("token")
    other = Accounts(folder=person.accounts.folder)
    from jupyter_nativeauth._attempt import ListenerAttempt
    from jupyter_nativeauth._oauth import Ask
    from tests.person import outcome

    browser = HttpBrowser(fill={"username": "grace"}, press=("Sign in", "Allow"))
    second = ListenerAttempt(
        other.get("acme"), Ask(), 60, lambda url: threading.Thread(target=browser.open, args=(url,)).start()
    )
    assert "Grace" in outcome(second).name
    oidc.release()
    thread.join(20)
    assert "Grace" in person.account.identity().name
    assert get_session("acme").get("/api/me").status_code == 200


def test_a_rejected_token_is_renewed_once(person: Person, oidc: OidcProvider) -> None:
    """LIB-070: a 401 renews the rejected token and repeats the request once; 20 threads cause one renewal."""
    person.sign_in()
    oidc.expire("AccessToken")
    with get_session("acme") as api, ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda _: api.get("/api/me").status_code, range(20)))
    assert statuses == [200] * 20
    assert (oidc.refreshes, oidc.reuse) == (1, 0)


def test_a_lost_answer_is_asked_for_once_more(person: Person, oidc: OidcProvider) -> None:
    """FLT-020: the provider rotated and the answer was lost; one repetition, and then the login is honestly over."""
    person.sign_in()
    person.expire()
    oidc.fault("token", when="after", action="drop")
    with pytest.raises(LoginRequired) as caught:
        get_session("acme").get("/api/me")
    assert caught.value.code == "expired"
    assert oidc.refreshes == 2
    oidc.forgiven = 1


@pytest.mark.parametrize("status", [500, 503, 429, 407, 302])
def test_a_provider_in_trouble_ends_no_login(person: Person, oidc: OidcProvider, status: int) -> None:
    """FLT-001, FLT-002, FLT-005, FLT-006: with the token over, a typed error; the login stays and works again later."""
    person.sign_in()
    person.expire()
    oidc.fault("token", status=status, body="<h1>oops</h1>", headers={"content-type": "text/html"})
    with pytest.raises(ProviderUnavailable):
        get_session("acme").get("/api/me")
    again = Accounts(folder=person.accounts.folder).get("acme")
    assert again.access_token().reveal()
    assert oidc.reuse == 0


def test_an_early_renewal_makes_nobody_wait(person: Person, oidc: OidcProvider) -> None:
    """LIB-073: inside the margin the old token is handed out at once, and a failing provider does no harm."""
    person.sign_in()
    account = person.account
    login = account.login()
    account.store.replace(login, replace(login, expires_at=time.time() + 5, lifetime=300))
    oidc.fault("token", action="hold")
    with get_session("acme") as api:
        assert api.get("/api/me").status_code == 200
        oidc.wait_held("token")
        assert api.get("/api/me").status_code == 200
        oidc.release()
        until(lambda: account.login().refresh_token != login.refresh_token, "it was not renewed")
        assert api.get("/api/me").status_code == 200
    assert (oidc.refreshes, oidc.reuse) == (1, 0)


def test_a_killed_process_leaves_the_old_or_the_new_login(person: Person, oidc: OidcProvider) -> None:
    """FLT-021: SIGKILL at any moment of a renewal leaves a login that can be read, and nobody waits for the dead."""
    oidc.reset(rotation=False)
    person.sign_in()
    code = """
import sys
from dataclasses import replace
from jupyter_nativeauth._accounts import accounts
account = accounts().get('acme')
account.load()
print('ready', flush=True)
while True:
    login = account.login()
    account.store.replace(login, replace(login, expires_at=1.0))
    account.access_token()
"""
    for number in range(12):
        process = child(code)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.003 * number**1.5)
        process.kill()
        process.communicate()
        login = person.account.login()
        assert login.refresh_token is not None
    assert get_session("acme").get("/api/me").status_code == 200
    assert not list(person.accounts.folder.glob("*.damaged"))


def test_a_spent_refresh_token_is_forgiven_if_somebody_stored_a_newer_one(person: Person, oidc: OidcProvider) -> None:
    """FLT-023: ``invalid_grant`` ends the login only if the vault still holds the token that was refused."""
    person.sign_in()
    person.expire()
    old = person.account.login()
    from jupyter_nativeauth.errors import ProviderError

    assert person.account.access_token().reveal()
    person.account._refresher._refused(old, ProviderError("no", code="invalid_grant"))
    assert get_session("acme").get("/api/me").status_code == 200


def test_no_process_is_left_behind_by_a_frozen_lock_holder(person: Person, oidc: OidcProvider) -> None:
    """FLT-016: a holder that is stopped is waited for within a limit, and its lock is never broken."""
    person.sign_in()
    path = person.account.store.open().path  # type: ignore[attr-defined]
    code = f"""
import sys, time
from jupyter_nativeauth._lock import FileLock
with FileLock({path[: -len(".vault")] + ".refresh.lock"!r}).hold(limit=5):
    print('held', flush=True)
    time.sleep(60)
"""
    holder = child(code)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        from jupyter_nativeauth import LockTimeout

        with (
            pytest.raises(LockTimeout, match="Another process"),
            person.account.store.open().refresh_lock.hold(limit=0.3),
        ):
            pytest.fail("somebody else's lock was broken")
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    with person.account.store.open().refresh_lock.hold(limit=5) as held:
        assert held


def test_a_sign_out_right_after_the_save_counts(person: Person, oidc: OidcProvider) -> None:
    """FLT-050: between saving a renewal and handing it out somebody signs out: the token serves nobody any more."""
    person.sign_in()
    account = person.account
    sent = account.login()
    newer = replace(sent, access_token=Secret("newer"), renewed_at=time.time())
    generation = account.store.replace(sent, newer)
    sign_out(Accounts(folder=person.accounts.folder).get("acme"))
    account.adopt(newer, generation)
    with pytest.raises(LoginRequired):
        account.access_token()


def test_the_same_person_signs_in_again_during_a_renewal(person: Person, oidc: OidcProvider) -> None:
    """FLT-015: the provider may go on with the same grant, so the renewal that lost is dropped and not revoked."""
    browser = oidc.browser()
    person.sign_in(browser)
    person.expire()
    oidc.fault("token", when="after", action="hold")
    thread = threading.Thread(target=person.account.access_token)
    thread.start()
    oidc.wait_held("token")
    other = Person.of(Accounts(folder=person.accounts.folder), person)
    assert other.sign_in(browser).name == "Ada Example"
    oidc.release()
    thread.join(20)
    assert oidc.journal("revocation") == []
    assert get_session("acme").get("/api/me").status_code == 200


def test_an_api_that_refuses_everything_causes_no_storm(person: Person, oidc: OidcProvider) -> None:
    """FLT-026: two processes, and a 401 for each token: what one has just renewed, the other does not renew again."""
    person.sign_in()
    one, two = person.account, Accounts(folder=person.accounts.folder).get("acme")
    for _ in range(10):
        one.access_token(rejected=one.access_token())
        two.access_token(rejected=two.access_token())
    assert oidc.refreshes == 1


def test_a_renewal_without_a_thread_is_an_error_and_no_wait(person: Person, oidc: OidcProvider) -> None:
    """FLT-069: where no thread can be started, the caller is told, and a later call tries again."""
    person.sign_in()
    person.expire()
    code = """
import threading
from jupyter_nativeauth import ProviderUnavailable, get_session
api = get_session("acme")
api.auth._bearer.account.login()
start = threading.Thread.start
def full(thread):
    if thread.name == "nativeauth-refresh":
        raise RuntimeError("can't start new thread")
    start(thread)
threading.Thread.start = full
try:
    api.get("/api/me")
except ProviderUnavailable as error:
    print(error.code)
threading.Thread.start = start
print(api.get("/api/me").status_code)
"""
    assert finish(child(code)) == ["no_thread\n200"]
