"""
Runs in: the tests. strace, which shows each system call of one thread, or kills the process at one of them.

A kill point is a system call by its name and its number in the thread, counted from the provider's answer on. Between
two system calls nothing outside of the process changes, so there are no others.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

# These change nothing that another process could ever see, and how often they come is up to the interpreter.
IDLE = (
    "futex",
    "mmap",
    "munmap",
    "madvise",
    "mremap",
    "brk",
    "mprotect",
    "sched_yield",
    "clock_nanosleep",
    "getrandom",
)
LINE = re.compile(r"(?:\d+ +)?(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)")


class Call(NamedTuple):
    """A system call: its name, which of that name it is (from 1), and the line of the trace."""

    name: str
    number: int
    line: str


def needed() -> None:
    """Fail where strace is missing; skip, and say so, where the system lets nobody trace."""
    if sys.platform != "linux":
        pytest.skip("strace is Linux's")
    if shutil.which("strace") is None:
        pytest.fail("strace is not here. On Debian: apt-get install strace")
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(
            f"no process may be killed at a system call: this container forbids ptrace ({tried.stderr.strip()})"
        )


class Tracer:
    """
    strace on one thread, from when this returns until the thread ends.

    Args:
        thread: Its id.
        log: Where the trace goes.
        kill: The call at which the process gets SIGKILL.
    """

    def __init__(self, thread: int, log: Path, kill: Call | None = None) -> None:
        self.log = log
        seen = "!" + ",".join(IDLE)
        command = ["strace", "-y", "-s", "16", "-p", str(thread), "-o", str(log), "-e", f"trace={seen}"]
        if kill is not None:
            command += ["-e", f"inject={kill.name}:signal=KILL:when={kill.number}"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        said = self._process.stderr.readline()
        assert "attached" in said, f"strace could not attach: {said}"

    def finish(self) -> list[Call]:
        """Wait for the thread to end; the calls that it made, the first being the wait that it was found in."""
        self._process.communicate(timeout=60)
        counts: dict[str, int] = {}
        calls = []
        for line in self.log.read_text(errors="replace").splitlines():
            match = LINE.match(line)
            if match is None or match[1] == "restart_syscall":
                continue
            counts[match[1]] = counts.get(match[1], 0) + 1
            calls.append(Call(match[1], counts[match[1]], line))
        return calls
