"""
When the access token is over and everybody wants a new one: how many requests, and how long the last one waits.

The provider takes 100 ms, gives out a new refresh token each time, and knows a spent one when it sees it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from benchmarks.measure import Row, Spread, percentile, ratios, spelled
from benchmarks.provider import Provider
from benchmarks.stage import sign_in, stage
from jupyter_nativeauth import get_session
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._accounts import Accounts, accounts, use_accounts
from jupyter_nativeauth.testing import Clock

DELAY = 0.1
WAITER = """
import sys, time
from jupyter_nativeauth import get_session
from jupyter_nativeauth._accounts import accounts
account = accounts().get("acme")
import jupyter_nativeauth._exchange
get_session("acme")
account.store.open().read()
account.client
print("ready", flush=True)
start = float(sys.stdin.readline())
time.sleep(max(0.0, start - time.monotonic()))
account.access_token()
print(time.monotonic() - start, flush=True)
"""


def threads(*, counts: Sequence[int], rounds: int) -> list[Row]:
    """The last of N threads, to the only one of one."""
    rows = []
    with Provider(DELAY) as provider, stage(provider.origin):
        account = accounts().get("acme")
        sign_in(account, expires_in=-1)
        account.access_token()
        for count in counts:
            seconds: dict[str, list[float]] = {"one": [], "all": [], "waiting": []}
            asked = {"requests": 0, "reuse": 0}
            for _ in range(rounds):
                seconds["waiting"].append(_together(_only_waiting(), count))
                for name, crowd in ("one", 1), ("all", count):
                    sign_in(account, expires_in=-1)
                    provider.counts()
                    seconds[name].append(_together(account.access_token, crowd))
                    if name == "all":
                        asked = {key: asked[key] + value for key, value in provider.counts().items()}
            found = ratios(seconds, "one")
            rows.append(_row(f"{count} threads", count, found["all"], 1.3, asked, rounds, found["waiting"]))
    return rows


def _only_waiting() -> Callable[[], object]:
    """What N threads would cost that wait for one answer and do nothing else."""
    first, done = threading.Lock(), threading.Event()

    def wait() -> None:
        if first.acquire(blocking=False):
            time.sleep(DELAY)
            done.set()
        done.wait()

    return wait


def _together(call: Callable[[], object], count: int) -> float:
    """Seconds until the last of *count* threads that begin at the same moment is through."""
    start = threading.Barrier(count + 1)

    def one(_: int) -> float:
        start.wait()
        call()
        return time.perf_counter()

    with ThreadPoolExecutor(count) as pool:
        ends = pool.map(one, range(count))
        start.wait()
        begun = time.perf_counter()
        return max(ends) - begun


def processes(*, counts: Sequence[int], rounds: int) -> list[Row]:
    """The last of N processes that have a session already, to the only one of one."""
    rows = []
    with Provider(DELAY) as provider, stage(provider.origin):
        account = accounts().get("acme")
        for count in counts:
            seconds: dict[str, list[float]] = {"one": [], "all": []}
            asked = {"requests": 0, "reuse": 0}
            for _ in range(rounds):
                for name, crowd in ("one", 1), ("all", count):
                    sign_in(account, expires_in=-1)
                    provider.counts()
                    seconds[name].append(_crowd(crowd))
                    if name == "all":
                        asked = {key: asked[key] + value for key, value in provider.counts().items()}
            target = 1.5 if count == 16 else None
            rows.append(_row(f"{count} processes", count, ratios(seconds, "one")["all"], target, asked, rounds))
    return rows


def _crowd(count: int) -> float:
    """Seconds until the last of *count* warm processes has its access token. All of them must get one."""
    crowd = [
        subprocess.Popen([sys.executable, "-c", WAITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for process in crowd:
        assert process.stdout is not None
        process.stdout.readline()
    start = time.monotonic() + 0.2
    for process in crowd:
        assert process.stdin is not None
        process.stdin.write(f"{start}\n")
        process.stdin.flush()
    return max(float(process.communicate()[0]) for process in crowd)


def _row(
    what: str,
    count: int,
    found: Spread,
    target: float | None,
    asked: dict[str, int],
    rounds: int,
    waiting: Spread | None = None,
) -> Row:
    perfect = asked == {"requests": rounds, "reuse": 0}
    return Row(
        f"the last of {what} whose access token is over, to the only one of one",
        f"{spelled(found)}; {asked['requests'] / rounds:g} token request, {asked['reuse']} spent tokens",
        f"{f'≤ {target}; ' if target and count > 1 else ''}1 request, 0 failures",
        perfect and (target is None or count == 1 or found.median <= target),
        {"threads that only wait": spelled(waiting)} if waiting else {},
        {"requests": asked["requests"], "rounds": rounds, "reuse": asked["reuse"]},
    )


def early(*, renewals: int, requests: int) -> Row:
    """The slowest of a stream of requests while their access token is renewed before its time, to bare httpx."""
    clock = Clock()
    slowest: dict[str, list[float]] = {"ours": [], "bare": []}
    with Provider(DELAY) as provider, stage(provider.origin):
        account = _with_clock(clock)
        sign_in(account)
        with get_session("acme") as ours, httpx.Client(headers=_bearer(account), base_url=provider.origin) as bare:
            ours.get("/v1/me"), bare.get("/v1/me")
            provider.counts()
            for _ in range(renewals):
                # Within the last minute: still good, and to be renewed. Once it is, an hour begins anew.
                sign_in(account, expires_in=30)
                slowest["ours"].append(percentile([_seconds(ours) for _ in range(requests)], 99))
                slowest["bare"].append(percentile([_seconds(bare) for _ in range(requests)], 99))
                _until_idle(account)
                clock.advance(10)
            asked = provider.counts()
    found = ratios(slowest, "bare")["ours"]
    return Row(
        f"99th percentile of requests to a server on this machine, across {renewals} early renewals, to bare httpx",
        f"{spelled(found)}; {asked['requests']} token requests",
        "≤ 1.2",
        found.median <= 1.2,
        counts={"requests": asked["requests"], "renewals": renewals, "reuse": asked["reuse"]},
    )


def _with_clock(clock: Clock) -> Account:
    """The account of this process, with a clock that can be turned."""
    book = Accounts()
    account = book.get("acme")
    book._accounts["acme"] = Account(account.profile, book.keys, book.folder, clock=clock)
    use_accounts(book)
    return book.get("acme")


def _bearer(account: Account) -> dict[str, str]:
    return {"authorization": f"Bearer {account.access_token().reveal()}"}


def _seconds(client: httpx.Client) -> float:
    begun = time.perf_counter()
    answer: Any = client.get("/v1/me")
    assert answer.status_code == 200
    return time.perf_counter() - begun


def _until_idle(account: Account) -> None:
    for thread in threading.enumerate():
        if thread.name == "nativeauth-refresh":
            thread.join()
    account.load()
