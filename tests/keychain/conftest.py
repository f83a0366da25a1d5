"""Runs in: the tests. Keychains in each state that they can be in. All of them are real, and end with the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from tests.keyring_daemon import KeyringSession, keyring_daemon


class OpenKeychain(Protocol):
    """Starts a session; the arguments are those of :func:`tests.keyring_daemon.keyring_daemon`."""

    def __call__(self, state: str, **options: Any) -> KeyringSession: ...


@pytest.fixture
def open_keychain() -> Iterator[OpenKeychain]:
    """A session with a keychain in the state that the test names."""
    with ExitStack() as stack:
        yield lambda state, **options: stack.enter_context(keyring_daemon(state=state, **options))


@pytest.fixture
def keychain(open_keychain: OpenKeychain) -> KeyringSession:
    """A session with an unlocked gnome-keyring."""
    return open_keychain("unlocked")
