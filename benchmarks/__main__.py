"""
``python -m benchmarks`` measures everything and writes benchmarks/README.md and benchmarks/ratios.svg; takes minutes.

``--quick`` runs all of it with the smallest numbers and writes nothing: it shows that it works, not how fast.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import calls, expiry, growth, plot, server, start
from benchmarks.measure import Row

HERE = Path(__file__).parent
PACKAGES = [
    "jupyter-nativeauth", "httpx", "httpx2", "authlib", "google-auth", "globus-sdk", "httpx-auth", "msal",
    "msal-extensions", "keyring", "cryptography", "jupyter-server",
]  # fmt: skip
TOP = """# What it costs

Written by `make bench`, not by hand. A figure with × is a ratio to what is named beside it, taken in turns in one run;
behind each median is the range of the middle half of the rounds. Other machines give other figures; ratios move less.

![Ratios to the bare library](ratios.svg)
"""
END = """
## Where a target is missed, and why

* **One request.** The shortest `httpx.Auth` that can be written is the floor. With the look at the vault, which lets a
  sign-out reach the very next request, there is a second floor: nobody else's client looks. The rest is the safety of
  the header: the origin is compared before the access token is added, and it is taken off the request, its redirects
  and its errors once it was sent, so that whoever shows `response.request` shows no token. A counter in shared memory
  would be cheaper than the look, and less sure: wrong after a crash, and on a home folder that machines share.
* **The first `get_session()`.** `httpx.Client()` reads the system's certificates, and is the floor. On top of it come
  the configuration and its checks, and the modules that make them.
* **The start of a server.** About fifty modules, which the sidebar's first question needs a moment later.
* **The callback.** Most of it is that each request to the service has a connection and an event loop of its own, so
  that a name look-up that hangs can be left behind.
* **Early renewals.** No request waits for one. But Python runs one thread at a time, and the renewal's own work is in
  the way of the requests that are under way.

## How it was measured

What is compared runs in turns, in one process or in new ones. The tests run each benchmark with the smallest numbers,
and check what has to be so on any machine: one token request however many ask, no spent refresh token sent, nothing
left over. They never check times.
"""


def everything(quick: bool, say: Callable[[str], None]) -> list[Row]:
    """All rows, in the order in which people ask."""

    def much(most: int, least: int) -> int:
        return least if quick else most

    def many(most: Sequence[int], least: Sequence[int]) -> Sequence[int]:
        return least if quick else most

    parts: list[tuple[str, Callable[[], Row | list[Row]]]] = [
        ("requests", lambda: calls.one_request(rounds=much(400, 3))),
        ("access tokens", lambda: calls.token(rounds=much(100, 3))),
        ("threads", lambda: expiry.threads(counts=many((1, 8, 64, 256), (1, 8)), rounds=much(7, 1))),
        ("processes", lambda: expiry.processes(counts=many((1, 4, 16, 64), (2,)), rounds=much(3, 1))),
        ("early renewals", lambda: expiry.early(renewals=much(20, 2), requests=much(500, 20))),
        ("imports", lambda: start.imports(rounds=much(15, 0))),
        ("cold starts", lambda: start.cold(rounds=much(15, 0))),
        ("a running server", lambda: server.server(sign_ins=much(30, 0), hangs=much(5, 1))),
        ("a server's start", lambda: server.load(rounds=much(15, 0))),
        ("the bundle", server.bundle),
        ("profiles", lambda: growth.memory(counts=many((1, 10, 100), (1, 3)))),
        ("many requests", lambda: growth.requests(count=much(100_000, 100))),
        ("many kernels", lambda: growth.kernels(counts=many((1, 4, 16, 64), (1, 2)))),
        ("strangers", lambda: growth.strangers(counts=many((100, 1000, 10_000), (40, 80)))),
    ]
    rows: list[Row] = []
    for name, measure in parts:
        say(name)
        found = measure()
        rows += [found] if isinstance(found, Row) else found
    return rows


def table(rows: Sequence[Row]) -> str:
    lines = ["| what | measured | target | to compare |", "| --- | --- | --- | --- |"]
    for row in rows:
        target = f"{row.target}{'' if row.met is None else ' ✓' if row.met else ' ✗'}"
        peers = "; ".join(f"{name}: {value}" for name, value in row.peers.items())
        lines.append(f"| {row.what} | {row.value} | {target} | {peers} |")
    return "\n".join(lines)


def machine() -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with Python {platform.python_version()} on "
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors; {versions}."
    )


def main(arguments: Sequence[str]) -> list[Row]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").strip())
    parser.add_argument("--quick", action="store_true", help="the smallest numbers; writes nothing")
    quick = parser.parse_args(arguments).quick
    rows = everything(quick, lambda name: print(f"{name} ...", file=sys.stderr, flush=True))
    print(table(rows))
    if not quick:
        (HERE / "README.md").write_text(f"{TOP}\n{table(rows)}\n\n{machine()}\n{END}", encoding="utf-8")
        plot.draw(rows, HERE / "ratios.svg")
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
