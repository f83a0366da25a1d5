"""Runs in: the tests. What every test gets; the fixtures themselves are in the modules named here."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_server.serverapp import ServerApp

from tests.kernel import TRANSPORT

if TYPE_CHECKING:
    import asyncio

    from tests.isolation import Home

# A shell that starts this in the background lets it ignore Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Under nohup this goes on when the terminal is closed; the processes that a test starts have to notice it.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)

pytest_plugins = (
    "tests.ledger",
    "tests.isolation",
    "tests.tries",
    "tests.canary",
    "tests.providers",
    "tests.wheel",
    "tests.lab",
    "tests.browser",
    "tests.person",
    "tests.emulators.fixtures",
    "pytest_jupyter.jupyter_server",
)


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    """
    Jupyter's own in-process server for tests: our extension on, and a handler without an explicit rule is closed.

    Its log is at DEBUG, since the sweep reads it.
    """
    return {
        "ServerApp": {
            "jpserver_extensions": {"jupyter_nativeauth": True},
            "allow_unauthenticated_access": False,
            "log_level": "DEBUG",
        },
        "KernelManager": {"transport": TRANSPORT},
    }


@pytest.fixture
def jp_runtime_dir(home: Home) -> Path:
    """Where that server's kernels have their sockets: pytest's own folder has too long a name for them."""
    return home.jupyter_runtime


@pytest.fixture
def jp_server_cleanup(jp_asyncio_loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """As pytest-jupyter's own, which after each test that had no server makes one, only to clean it up."""
    yield
    if not ServerApp.initialized():
        return
    app = ServerApp.instance()
    with contextlib.suppress(RuntimeError, SystemExit):
        jp_asyncio_loop.run_until_complete(app._cleanup())
    if hasattr(app, "kernel_manager"):
        app.kernel_manager.context.destroy()
    ServerApp.clear_instance()
