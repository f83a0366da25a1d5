"""What grows with use, and how fast: requests, profiles, kernels, and strangers who begin sign-ins."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Sequence

import httpx
import psutil

from benchmarks.measure import Row, Spread, spelled
from benchmarks.stage import sign_in, stage
from jupyter_nativeauth import get_session
from jupyter_nativeauth._accounts import Accounts, accounts
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._pending import PendingLogins
from jupyter_nativeauth.agent import KeyAgent
from tests import samples

API = "https://api.example"
KERNEL = """
import sys, time
from jupyter_nativeauth._accounts import accounts
import jupyter_nativeauth.vault, jupyter_nativeauth.keys
print("ready", flush=True)
sys.stdin.readline()
begun = time.perf_counter()
accounts().get("acme").access_token()
print(time.perf_counter() - begun, flush=True)
"""


def memory(*, counts: Sequence[int]) -> Row:
    """What one more profile with a stored login takes, in a process that uses all of them."""
    taken: dict[int, float] = {}
    seconds: dict[int, float] = {}
    for count in counts:
        with stage(API, profiles=count):
            names = list(accounts().profiles())
            for name in names:
                sign_in(accounts().get(name))
            tracemalloc.start()
            book = Accounts()
            before = tracemalloc.get_traced_memory()[0]
            for name in names:
                book.get(name).access_token()
            taken[count] = (tracemalloc.get_traced_memory()[0] - before) / 1000
            tracemalloc.stop()
            seconds[count] = _microseconds(book.get(names[-1]).access_token)
    few, many = min(counts), max(counts)
    each = (taken[many] - taken[few]) / (many - few)
    return Row(
        f"memory of one more profile, of {many}",
        f"{each:.1f} kB",
        "≤ 200 kB",
        each <= 200,
        {f"`access_token()` with {count} profiles": f"{value:.1f} µs" for count, value in seconds.items()},
    )


def _microseconds(call: object) -> float:
    assert callable(call)
    best = float("inf")
    for _ in range(20):
        begun = time.perf_counter()
        for _ in range(100):
            call()
        best = min(best, (time.perf_counter() - begun) / 100)
    return best * 1e6


def requests(*, count: int) -> Row:
    """Memory and descriptors after many requests of one session."""
    process = psutil.Process()
    with stage(API):
        sign_in(accounts().get("acme"))
        with get_session("acme", transport=httpx.MockTransport(lambda _: httpx.Response(200))) as api:
            for _ in range(count // 10):
                api.get("/v1/me")
            before = process.memory_info().rss, process.num_fds()
            for _ in range(count):
                api.get("/v1/me")
            grown = process.memory_info().rss - before[0], process.num_fds() - before[1]
    return Row(
        f"memory and descriptors after {count:,} requests",
        f"{grown[0] / 1e6:+.1f} MB, {grown[1]:+d} descriptors",
        "flat",
        grown[0] < 2e6 and grown[1] == 0,
        counts={"descriptors": grown[1]},
    )


def strangers(*, counts: Sequence[int]) -> Row:
    """Sign-ins that are begun and never finished: the memory of a server, and what the next one takes."""
    kept: dict[int, tuple[float, float, int]] = {}
    with stage(API) as home:
        account = samples.account(home.folder, timeout=3600)
        for count in counts:
            logins = PendingLogins(ticket_life=60)
            tracemalloc.start()
            for _ in range(count):
                logins.add(account, Ask(), samples.request())
            size = tracemalloc.get_traced_memory()[0] / 1000
            tracemalloc.stop()
            each = _microseconds(lambda logins=logins: logins.of_state("guess"))  # type: ignore[misc]
            kept[count] = size, each, len(logins.all())
    least, most = min(counts), max(counts)
    return Row(
        f"{most:,} sign-ins that nobody finishes, to {least:,}",
        f"{kept[most][0]:.0f} kB to {kept[least][0]:.0f}; a look-up {kept[most][1]:.0f} µs to {kept[least][1]:.0f}",
        "flat",
        kept[most][0] <= 1.5 * kept[least][0],
        counts={"kept": kept[most][2]},
    )


def kernels(*, counts: Sequence[int]) -> Row:
    """What a kernel's first access token takes while so many ask the server's agent for the key at once."""
    found: dict[int, Spread] = {}
    with stage(API):
        del os.environ["JUPYTER_NATIVEAUTH_KEY_FILE"]
        server = Accounts(server=True)
        sign_in(server.get("acme"))
        agent = KeyAgent(server.keys.answer, dict)
        os.environ["JUPYTER_NATIVEAUTH_AGENT"] = agent.start()
        try:
            for count in counts:
                found[count] = Spread.of([one * 1000 for one in _ask(count)])
        finally:
            agent.stop()
    most = max(counts)
    return Row(
        f"first access token of each of {most} kernels that ask at once",
        spelled(found[most], "ms", 1),
        "linear",
        found[most].median <= 1.5 * most / min(counts) * found[min(counts)].median,
        {f"{count} kernels": f"{found[count].median:.1f} ms" for count in counts if count != most},
        {"served": most},
    )


def _ask(count: int) -> list[float]:
    crowd = [
        subprocess.Popen([sys.executable, "-c", KERNEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for process in crowd:
        assert process.stdout is not None
        process.stdout.readline()
    for process in crowd:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [float(process.communicate()[0]) for process in crowd]
