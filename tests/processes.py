"""Runs in: the tests. The processes that this one has started, and those that they have, found at little cost."""

from __future__ import annotations

import contextlib
import os

import psutil


def descendants(parents: dict[int, int] | None = None) -> list[int]:
    """
    The numbers of all processes below this one.

    Each test asks a few times, and psutil would read about every process of the machine several times over for that.
    So the system is asked first whether there is any child: most tests have none.

    Args:
        parents: For who looks often: it keeps each process's parent, and only newcomers are read about.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return []
    parents = {} if parents is None else parents
    there = set(psutil.pids())
    for pid in parents.keys() - there:
        del parents[pid]
    for pid in there - parents.keys():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            parents[pid] = _parent(pid)
    return [pid for pid in parents if _is_below(pid, parents)]


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
        return int(file.read().rpartition(b")")[2].split()[1])  # the name, in brackets, may have anything in it


def _is_below(pid: int, parents: dict[int, int]) -> bool:
    me = os.getpid()
    while pid := parents.get(pid, 0):
        if pid == me:
            return True
    return False
