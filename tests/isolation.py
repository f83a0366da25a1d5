"""
Runs in: the tests. Every test gets a home of its own, and leaves nothing behind (INV-08).

Always on. HOME, the folders of Jupyter, IPython and XDG, and the place for temporary files all lie in one new folder;
there is no desktop, no D-Bus and no proxy. Child processes inherit all of it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.ledger import under_way
from tests.processes import descendants

FOREIGN = ("JUPYTER", "JPY_", "PYTHON_KEYRING", "XDG_", "DBUS_", "KERNEL_", "CREDENTIALS_DIRECTORY", "IPYTHON")
DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "NETRC")


@dataclass(frozen=True)
class Home:
    """
    The folders of one test.

    Attributes:
        folder: All of them lie in here. The name is short: a socket's path must stay under 108 characters.
        home: ``$HOME``.
        data: ``$JUPYTER_DATA_DIR``; the logins are in ``data / "nativeauth"``.
        config: ``$JUPYTER_CONFIG_DIR``, where nativeauth.toml goes.
        runtime: ``$XDG_RUNTIME_DIR``.
        jupyter_runtime: ``$JUPYTER_RUNTIME_DIR``, with the connection files and the sockets of a server's kernels.
    """

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def data(self) -> Path:
        return self.home / ".local" / "share" / "jupyter"

    @property
    def config(self) -> Path:
        return self.home / ".jupyter"

    @property
    def runtime(self) -> Path:
        return self.folder / "run"

    @property
    def jupyter_runtime(self) -> Path:
        return self.folder / "jupyter"

    @property
    def env(self) -> dict[str, str]:
        """The variables that lead here."""
        return {
            "HOME": str(self.home),
            "JUPYTER_CONFIG_DIR": str(self.config),
            "JUPYTER_DATA_DIR": str(self.data),
            "JUPYTER_RUNTIME_DIR": str(self.jupyter_runtime),
            "IPYTHONDIR": str(self.home / ".ipython"),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_CONFIG_HOME": str(self.home / ".config"),
            "XDG_DATA_HOME": str(self.home / ".local" / "share"),
            "XDG_STATE_HOME": str(self.home / ".local" / "state"),
            "XDG_RUNTIME_DIR": str(self.runtime),
            "TMPDIR": str(self.folder / "tmp"),
        }


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A new home for this test; see :class:`Home`."""
    tmp_path_factory.getbasetemp()  # chosen once: it must not end up in the home of the first test
    where = Home(Path(tempfile.mkdtemp(prefix="na-")))
    for name in list(os.environ):
        if name.startswith(FOREIGN) or name in DESKTOP or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, path in where.env.items():
        Path(path).mkdir(parents=True, exist_ok=True, mode=0o700)
        monkeypatch.setenv(name, path)
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield where
    shutil.rmtree(where.folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def leftovers(home: Home) -> Iterator[None]:
    """
    INV-08: after the test there is no process, thread, listening socket, unfinished file, lock or sign-in that was not
    before.
    """
    before = _belongings(home)
    yield
    end = time.monotonic() + float(os.environ.get("NATIVEAUTH_TEST_PATIENCE", "5"))
    while left := _belongings(home) - before:
        if time.monotonic() > end:
            pytest.fail(f"left behind: {', '.join(sorted(left))}")
        time.sleep(0.02)


def _belongings(home: Home) -> set[str]:
    """
    Child processes, threads that keep Python alive, sockets that listen or have a name in the file system, and what we
    write for a moment only: files that are not moved to their place yet, and folders for sockets.
    """
    me = psutil.Process()
    found = under_way() | {f"thread {one.name}" for one in threading.enumerate() if not one.daemon}
    found |= {f"file {path.name}" for path in (home.data / "nativeauth").glob("*.tmp")}
    found |= {f"folder {path.name}" for path in (home.folder / "tmp").glob("nativeauth-*")}
    for pid in descendants():
        try:
            child = psutil.Process(pid)
            command = " ".join(child.cmdline())
            if "multiprocessing.resource_tracker" not in command and child.status() != psutil.STATUS_ZOMBIE:
                found.add(f"process {pid} {command[:60]}")
        except psutil.NoSuchProcess:
            pass
    for socket in me.net_connections("all"):
        if socket.status == psutil.CONN_LISTEN:
            found.add(f"socket {socket.laddr.ip}:{socket.laddr.port}")
        elif isinstance(socket.laddr, str) and socket.laddr:
            found.add(f"socket {socket.laddr}")
    return found
