"""
Runs in: the tests. How often a property is tried: a few hundred times, the same inputs each time, in ``make test``;
as often or as long as one likes, with new ones each time, in ``make fuzz``, which says at the end how many there were.
"""

from __future__ import annotations

import functools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

MANY = int(os.environ.get("NATIVEAUTH_FUZZ") or 0)
MINUTES = float(os.environ.get("NATIVEAUTH_FUZZ_MINUTES") or 0)
TRIED: Counter[str] = Counter()
_SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much]


def profile(few: int, **more: Any) -> settings:
    """Hypothesis's settings for *few* examples, or for as many as ``make fuzz`` was told."""
    return settings(
        max_examples=MANY or few,
        derandomize=not MANY,
        database=None,
        deadline=None,
        suppress_health_check=_SLOW if MANY else [HealthCheck.function_scoped_fixture],
        **more,
    )


def batches() -> Iterator[None]:
    """One batch of tries; where so many minutes were asked for, one after the other until they are over."""
    until = time.monotonic() + 60 * MINUTES
    yield
    while time.monotonic() < until:
        yield


def tries(few: int) -> Callable[[Any], Any]:
    """Decorates a test that ``@given`` gives its inputs."""

    def decorate(test: Any) -> Any:
        inner = test.hypothesis.inner_test
        name = f"{inner.__module__.rpartition('.')[2]}::{inner.__qualname__.partition('.<locals>')[0]}"

        @functools.wraps(inner)
        def counted(*args: Any, **kwargs: Any) -> Any:
            TRIED[name] += 1
            return inner(*args, **kwargs)

        test.hypothesis.inner_test = counted
        made = profile(few)(test)

        @functools.wraps(made)
        def in_batches(*args: Any, **kwargs: Any) -> None:
            for _ in batches():
                made(*args, **kwargs)

        return in_batches

    return decorate


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MANY and TRIED:
        terminalreporter.section("inputs tried")
        for name, number in sorted(TRIED.items()):
            terminalreporter.line(f"{number:>10,}  {name}")
        terminalreporter.line(f"{sum(TRIED.values()):>10,}  in all")
