"""
Runs in: the tests. A real JupyterLab as a process of its own, with our extension and a token, and real kernels in it.

Example:
    >>> with lab.kernel() as kernel:
    ...     run = kernel.run("print(6 * 7)")
    ...     assert run.stdout == "42\\n"
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx
import psutil
import pytest

from tests.canary import Canary
from tests.isolation import Home
from tests.kernel import TRANSPORT, Kernel

READY = 60.0
"""Seconds; a machine with two busy cores needs about five."""


class Lab:
    """
    A JupyterLab server, started by ``python -m jupyterlab``.

    Args:
        home: The folders it runs in; its environment is that of this process with these on top.
        base_url: Below which path it serves, such as ``"/a%40b/"``.
        config: Traitlets, such as ``{"ServerApp": {"ip": "localhost"}}``; on top of what tests need.
        env: More variables for it (and so for its kernels); None removes one.
        extension: Load jupyter_nativeauth.
        command: What starts it; this Python's JupyterLab by default.

    Attributes:
        token: Jupyter's token.
        url: Its address on 127.0.0.1, with base_url and a slash at the end.
        log: The file with all that it and its kernels wrote to their standard streams, at DEBUG.
        root: The folder of its notebooks.
    """

    def __init__(
        self,
        home: Home,
        *,
        base_url: str = "/",
        config: Mapping[str, Mapping[str, Any]] | None = None,
        env: Mapping[str, str | None] | None = None,
        extension: bool = True,
        command: Sequence[str] = (sys.executable, "-m", "jupyterlab"),
    ) -> None:
        self.home = home
        self._command = command
        self.base_url = base_url
        self.token = secrets.token_hex(24)
        self.log = home.folder / f"lab-{secrets.token_hex(4)}.log"
        self.root = home.home / "notebooks"
        self._env = env or {}
        self._extension = extension
        self._config = config or {}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._kernels: list[Kernel] = []

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        settings: dict[str, dict[str, Any]] = {
            "ServerApp": {
                "allow_root": True,
                "base_url": self.base_url,
                "ip": "127.0.0.1",
                "port": self.port,
                "port_retries": 0,
                "open_browser": False,
                "root_dir": str(self.root),
                "log_level": "DEBUG",
                "allow_unauthenticated_access": False,
                "jpserver_extensions": {"jupyter_nativeauth": self._extension},
            },
            "IdentityProvider": {"token": self.token},
            "KernelManager": {"transport": TRANSPORT},
            "LabApp": {"expose_app_in_browser": True},  # window.jupyterapp, for Playwright
            "LanguageServerManager": {"autodetect": False},
        }
        for name, traits in self._config.items():
            settings[name] = {**settings.get(name, {}), **traits}
        self._settle()
        # In a file of its own, not on the command line: a token there is everybody's to see.
        file = self.home.folder / f"{self.log.stem}.json"
        file.write_text(json.dumps(settings), encoding="utf-8")
        env = {**os.environ, **self._env, "PYTHONUNBUFFERED": "1"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, f"--config={file}"],
                cwd=self.root,
                env={name: value for name, value in env.items() if value is not None},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.info = self._await_info()
        # The address in that file is written with the server's own name; we always mean this machine.
        self.port = int(self.info["port"])
        self.url = f"http://127.0.0.1:{self.port}{self.info['base_url']}"
        self.wait_until(self._answers, READY)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it as Ctrl+C twice does, and everything that it started."""
        for kernel in list(self._kernels):
            kernel.close()
        if self._process is None:
            return
        started = [psutil.Process(self._process.pid)] if self._process.poll() is None else []
        started += [child for one in started for child in one.children(recursive=True)]
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        _, alive = psutil.wait_procs(started[1:], timeout=5)
        for child in alive:
            child.kill()
        psutil.wait_procs(alive, timeout=5)
        self._process = None

    def restart(self) -> None:
        """End it and start it again, at the same address and with the same token."""
        self.stop()
        self.__enter__()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def lab_url(self, path: str = "", *, host: str = "127.0.0.1") -> str:
        """An address of the Lab page for a browser, with the token, at *host*; *path* such as ``"tree/demo.ipynb"``."""
        return f"http://{host}:{self.port}{self.info['base_url']}lab/{path}?token={self.token}&reset"

    # ---- HTTP, as a signed-in client ----------------------------------------------------------------------------

    def http(self) -> httpx.Client:
        """A client that is signed in to Jupyter. Its addresses are relative to ``url``."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"token {self.token}"}, timeout=30)

    def kernel(self, name: str = "python3", *, env: Mapping[str, str] | None = None) -> Kernel:
        """Start a kernel through the server, as a notebook does, and connect to it."""
        with self.http() as http:
            answer = http.post("api/kernels", json={"name": name, "env": dict(env or {})})
            answer.raise_for_status()
        kernel = Kernel(self.url, self.token, answer.json()["id"], self.home.jupyter_runtime)
        self._kernels.append(kernel)
        return kernel

    # ---- waiting ------------------------------------------------------------------------------------------------

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return as soon as *ready* says so; fail with the end of the log when the server is gone or time is up."""
        end = time.monotonic() + seconds
        while not ready():
            gone = self._process is None or self._process.poll() is not None
            if gone or time.monotonic() > end:
                self.stop()
                raise AssertionError(f"JupyterLab {'ended' if gone else 'is not ready'}:\n{self.log_text[-4000:]}")
            time.sleep(0.05)

    def _settle(self) -> None:
        # The question whether one wants news covers a corner of the window.
        folder = self.home.config / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {"fetchNews": "false", "checkForUpdates": False}
        (folder / "notification.jupyterlab-settings").write_text(json.dumps(wanted), encoding="utf-8")
        # Whether JupyterLab itself should be built anew is found out by Node, for each page.
        folder = self.home.config / "labconfig"
        folder.mkdir(exist_ok=True)
        (folder / "page_config.json").write_text(json.dumps({"buildAvailable": False, "buildCheck": False}))

    def _await_info(self) -> dict[str, Any]:
        # Port 0 leaves the choice to the system; the server tells us in this file.
        file = self.home.jupyter_runtime / f"jpserver-{self.pid}.json"
        found: dict[str, Any] = {}

        def read() -> bool:
            try:
                found.update(json.loads(file.read_text(encoding="utf-8")))
            except (OSError, ValueError):
                return False
            return True

        self.wait_until(read, READY)
        return found

    def _answers(self) -> bool:
        try:
            with self.http() as http:
                return http.get("api/status").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def start_lab(home: Home, canary: Canary) -> Iterator[Callable[..., Lab]]:
    """``start_lab(base_url=..., config=..., env=...)`` starts a JupyterLab in this test's home until the test ends."""
    started: list[Lab] = []

    def start(**options: Any) -> Lab:
        lab = Lab(home, **options)
        started.append(lab)
        return lab.__enter__()

    yield start
    for lab in started:
        for kernel in lab._kernels:
            canary.look("a kernel's messages", kernel.raw)
        lab.stop()


@pytest.fixture
def lab(start_lab: Callable[..., Lab]) -> Lab:
    """A JupyterLab in this test's home; see :class:`Lab`."""
    return start_lab()
