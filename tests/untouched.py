"""Runs in: the tests. A response that was refused changes nothing and leads to nothing (INV-02 to INV-05)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth import NativeAuthError
from tests.canary import Canary
from tests.hostile import RUNNING, Hostile, endpoint_of
from tests.ledger import kept
from tests.samples import assert_fit_to_show

# What a call that fails may have asked for before it failed; nobody is told of a login that is none.
EARLIER = {"discovery", "metadata", "authorize", "token", "jwks"}
MOST = 8  # requests, a second try of some of them included
ENDS = {"expired", "damaged"}  # what was stored is over, or was moved aside


def stored(folder: Path) -> dict[str, bytes]:
    """Each file in *folder*, byte for byte. What a lock file holds is nobody's login."""
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file() and path.suffix != ".lock"}


@contextmanager
def untouched(hostile: Hostile, folder: Path, *allowed: str, at_most: int = 4) -> Iterator[None]:
    """
    Within it nothing that is stored in *folder* changes, and the provider is asked for nothing but *allowed*.

    Args:
        hostile: The provider.
        folder: Where the logins are.
        allowed: Names of endpoints.
        at_most: So many requests in all.

    Example:
        >>> with untouched(hostile, account.folder, "token"):
        ...     fails(account.access_token, canary)
    """
    before, asked = stored(folder), len(hostile.journal)
    yield
    requests = [endpoint_of(request) for request in hostile.journal[asked:]]
    assert set(requests) <= set(allowed), f"INV-02: asked for {requests}"
    assert len(requests) <= at_most, f"INV-04: {len(requests)} requests"
    after = stored(folder)
    assert before.keys() <= after.keys(), f"INV-05: gone: {before.keys() - after.keys()}"
    assert after == before, "INV-02: what is stored has changed"


def fails(work: Callable[[], Any], canary: Canary, *, stores: bool = False) -> NativeAuthError:
    """
    Each case of a provider that misbehaves ends in here: our own error, fit to show, and nothing secret in it, in what
    led to it or in the frames of ours (INV-03); nothing stored has changed (INV-02, INV-05), no endpoint was asked that
    only a good answer leads to (INV-02), and not many were (INV-04).

    Args:
        work: What fails.
        canary: The sweep of this test.
        stores: A renewal has happened all the same, and its refresh token is stored.
    """
    before, asked = kept(), {id(one): len(one.journal) for one in RUNNING}
    with pytest.raises(NativeAuthError) as caught:
        work()
    error = caught.value
    canary.look_error(error)
    assert_fit_to_show(error)
    requests = [endpoint_of(request) for one in RUNNING for request in one.journal[asked.get(id(one), 0) :]]
    assert set(requests) <= EARLIER, f"INV-02: asked for {requests}"
    assert len(requests) <= MOST, f"INV-04: {len(requests)} requests"
    assert stores or error.code in ENDS or kept() == before, "INV-02: what is stored has changed"
    return error
