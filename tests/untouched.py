"""Runs in: the tests. A response that was refused changes nothing and leads to nothing (INV-02, INV-04, INV-05)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hostile import Hostile, endpoint_of


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
