"""
How things are measured: side by side, in turns, so that whatever slows the machine slows all of them.

A ratio is taken within each round, and the median of the rounds is what counts: a round in which the machine was busy
with something else moves it little. The spread says how far apart the middle half of the rounds were.
"""

from __future__ import annotations

import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Contenders = Mapping[str, Callable[[], object]]


@dataclass(frozen=True)
class Spread:
    """A median, and the quartiles around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        ordered = sorted(values)
        if len(ordered) < 4:
            return cls(statistics.median(ordered), ordered[0], ordered[-1])
        low, middle, high = statistics.quantiles(ordered, n=4, method="inclusive")
        return cls(middle, low, high)


@dataclass(frozen=True)
class Row:
    """
    One line of the table.

    Attributes:
        what: What was measured.
        value: What came out, as people read it.
        target: What it should be, as people read it; empty if it is there to compare with.
        met: Whether it is; None if there is no target.
        peers: The same of others, by name.
        counts: What has to be so on any machine, such as the number of token requests; tests look at it.
        bars: What the plot shows, by name: ratios to the limit.
    """

    what: str
    value: str
    target: str = ""
    met: bool | None = None
    peers: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    bars: Mapping[str, float] = field(default_factory=dict)


def timed(call: Callable[[], object], times: int = 1) -> float:
    """Seconds that *times* calls take together."""
    begun = time.perf_counter()
    for _ in range(times):
        call()
    return time.perf_counter() - begun


def in_turns(contenders: Contenders, *, rounds: int, times: int = 1) -> dict[str, list[float]]:
    """Seconds for *times* calls of each, once a round. Who begins changes from round to round."""
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for call in contenders.values():
        call()
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                seconds[name].append(timed(contenders[name], times))
    finally:
        gc.enable()
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]], limit: str) -> dict[str, Spread]:
    """Each one's ratio to *limit*, round by round."""
    return {
        name: Spread.of([one / least for one, least in zip(values, seconds[limit], strict=True)])
        for name, values in seconds.items()
        if name != limit
    }


def percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def spelled(spread: Spread, unit: str = "×", digits: int = 2) -> str:
    """A spread as the table has it."""
    show = f"{{:.{digits}f}}".format
    middle = f"{show(spread.median)} ({show(spread.low)} to {show(spread.high)})"
    return f"{unit}{middle}" if unit == "×" else f"{middle} {unit}"


def fresh(code: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """What a new Python prints that runs *code*. Its modules are compiled already, as they are once installed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in (env or os.environ).items() if name != "PYTHONDONTWRITEBYTECODE"},
    )
    if done.returncode:
        raise RuntimeError(f"A process of a benchmark failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip()
