"""What a test has started is found, however deep, and each time somebody looks."""

from __future__ import annotations

import subprocess
import sys

import psutil

from tests.processes import descendants

FAMILY = """
import subprocess, sys
child = subprocess.Popen(["sleep", "60"])
print(child.pid, flush=True)
sys.stdin.readline()
child.kill(), child.wait()
print("gone", flush=True)
sys.stdin.readline()
"""


def test_children_and_theirs_are_found_while_they_live() -> None:
    """A first look and one that remembers agree with psutil: on who is new, and on who is gone."""
    remembered: dict[int, int] = {}
    before = set(descendants(remembered))
    command = [sys.executable, "-c", FAMILY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        known = {one.pid for one in psutil.Process().children(recursive=True)}
        assert set(descendants()) == set(descendants(remembered)) == known == before | {child.pid, grandchild}
        child.stdin.write("\n")
        assert child.stdout.readline() == "gone\n"
        assert set(descendants()) == set(descendants(remembered)) == before | {child.pid}
        child.stdin.write("\n")
    assert set(descendants()) == set(descendants(remembered)) == before
