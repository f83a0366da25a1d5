"""
Runs in: the tests. A real JupyterHub with its proxy, whose people have real single-user servers with our extension.

The proxy is npm's ``configurable-http-proxy``, beside the tests' provider. Any name and password signs in to the Hub.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import psutil
import pytest

from tests.http_browser import HttpBrowser
from tests.isolation import DESKTOP, FOREIGN
from tests.kernel import TRANSPORT, Kernel
from tests.oidc_provider import HERE, OidcProvider

READY = 120.0
"""Seconds; a machine with two busy cores needs about ten."""

CONFIG = """
import json, socket, sys
from pathlib import Path
from jupyterhub.spawner import SimpleLocalProcessSpawner
from tests.hub import free_port

given = json.loads(Path({settings!r}).read_text())
folder = Path(given["folder"])

class Spawner(SimpleLocalProcessSpawner):
    async def start(self):
        self.port = free_port()
        return await super().start()

    def user_env(self, env):
        home = folder / str(self.user.id)  # a short name: the sockets of kernels are in it
        home.mkdir(mode=0o700, exist_ok=True)
        self.home_dir = str(home)
        env = super().user_env(env)
        env.update(given["env"], JUPYTER_RUNTIME_DIR=str(home / "run"), TMPDIR=str(home))
        return env

c = get_config()
for name, traits in given["traits"].items():
    for trait, value in traits.items():
        setattr(c[name], trait, value)
c.JupyterHub.spawner_class = Spawner
"""

DOCS = HERE.parent.parent / "docs" / "jupyterhub.md"
"""Its lines for ``jupyterhub_config.py`` are those of the tests' Hub."""


def free_port() -> int:
    """A port below those that the system hands out by itself, so nobody gets it by chance before it is used."""
    for _ in range(200):
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


class Hub:
    """
    A JupyterHub on loopback.

    Args:
        traits: More of its configuration.
        advice: The block of ``docs/jupyterhub.md`` that its configuration ends with: each is Python that works there.

    Attributes:
        url: Its address, as browsers know it, with a slash at the end.
        log: The file with all that it, its proxy and the single-user servers wrote, at DEBUG.
        folder: Everything that it and the servers write is in here.
    """

    def __init__(self, traits: Mapping[str, Mapping[str, Any]] = MappingProxyType({}), advice: int = 0) -> None:
        self._traits = traits
        self._advice = advice
        self.folder = Path(tempfile.mkdtemp(prefix="nh-"))
        self.log = self.folder / "hub.log"
        self._token = secrets.token_hex(24)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self.folder / "config").mkdir()
        server = {
            "ServerApp": {
                "jpserver_extensions": {
                    "jupyter_nativeauth": True,
                    "jupyterlab": False,
                    "notebook": False,
                    "jupyter_lsp": False,
                },
                "allow_unauthenticated_access": False,
                "log_level": "DEBUG",
            },
            "KernelManager": {"transport": TRANSPORT},
            "LanguageServerManager": {"autodetect": False},
        }
        (self.folder / "config" / "jupyter_server_config.json").write_text(json.dumps(server))
        for _ in range(3):  # a port may be taken by a program that asked for it by its number
            self._start()
            if self._answers_in_time():
                return self
        self.stop()
        raise AssertionError(f"JupyterHub does not start:\n{self.log_text[-4000:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self) -> None:
        port, api, hub = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}/"
        bin_folder = Path(sys.executable).parent
        traits: dict[str, dict[str, Any]] = {
            "JupyterHub": {
                "bind_url": self.url,
                "hub_bind_url": f"http://127.0.0.1:{hub}",
                "authenticator_class": "dummy",
                "db_url": "sqlite:///:memory:",
                "log_level": "DEBUG",
                "tornado_settings": {"slow_spawn_timeout": 0},  # do not wait for one server before the next
                "cookie_secret_file": str(self.folder / "cookie_secret"),
                "services": [{"name": "test", "api_token": self._token}],
                "load_roles": [
                    {"name": "test", "services": ["test"], "scopes": ["admin:users", "admin:servers", "access:servers"]}
                ],
            },
            "Authenticator": {"allow_all": True},
            "ConfigurableHTTPProxy": {
                "api_url": f"http://127.0.0.1:{api}",
                "command": [str(HERE / "node_modules" / ".bin" / "configurable-http-proxy")],
                "pid_file": str(self.folder / "proxy.pid"),
            },
            "Spawner": {
                "cmd": [str(bin_folder / "jupyterhub-singleuser")],
                "args": ["--allow-root"],
                "start_timeout": int(READY),
                "http_timeout": int(READY),
            },
        }
        for name, more in self._traits.items():
            traits[name] = {**traits.get(name, {}), **more}
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(FOREIGN) and name not in DESKTOP and not name.lower().endswith("_proxy")
        }
        env |= {
            "PATH": f"{bin_folder}{os.pathsep}{env.get('PATH', '')}",
            "HOME": str(self.folder),
            "PYTHONUNBUFFERED": "1",
            "JUPYTERHUB_CRYPT_KEY": secrets.token_hex(32),
        }
        settings = {
            "folder": str(self.folder),
            "traits": traits,
            "env": {
                "JUPYTER_CONFIG_PATH": str(self.folder / "config"),
                "JUPYTERHUB_SINGLEUSER_APP": "jupyter_server.serverapp.ServerApp",
            },
        }
        # In files, not on the command line: a token there is everybody's to see.
        (self.folder / "settings.json").write_text(json.dumps(settings))
        config = self.folder / "jupyterhub_config.py"
        advice = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[self._advice]
        config.write_text(CONFIG.format(settings=str(self.folder / "settings.json")) + advice)
        env["PYTHONPATH"] = str(HERE.parent.parent)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(config)],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _answers_in_time(self) -> bool:
        end = time.monotonic() + READY
        while time.monotonic() < end:
            assert self._process is not None
            if self._process.poll() is not None:
                return False
            try:
                with self.http() as http:
                    if http.get("hub/api/").status_code == 200:
                        return True
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        self.stop()
        return False

    def stop(self) -> None:
        """End it and everything that it started."""
        if self._process is None:
            return
        running = []
        if self._process.poll() is None:
            hub = psutil.Process(self._process.pid)
            running = [hub, *hub.children(recursive=True)]
        for process in running:  # all at once: the Hub itself would wait for one server after the other
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(running, timeout=15)
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=5)
        self._process.wait()
        self._process = None

    @property
    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    # ---- what an admin does -------------------------------------------------------------------------------------

    def http(self) -> httpx.Client:
        """A client that may do everything at the Hub and at all servers. Its addresses are relative to ``url``."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"token {self._token}"}, timeout=60)

    def configure(self, **keys: Any) -> None:
        """Write the profile ``acme`` of all people, as in an image."""
        lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        (self.folder / "config" / "nativeauth.toml").write_text("[profiles.acme]\n" + "\n".join(lines) + "\n")

    def start(self, names: Sequence[str]) -> None:
        """Start the servers of these people, side by side, unless they run; return when they answer."""
        with self.http() as http:
            for name in names:
                http.post(f"hub/api/users/{quote(name)}")  # who is there already is no error
                if not self._server(http, name):
                    http.post(f"hub/api/users/{quote(name)}/server").raise_for_status()
            self._wait(lambda: all(self._server(http, name).get("ready") for name in names), "ready")

    def end(self, name: str) -> None:
        """Stop the server of this person, and return when it is gone."""
        with self.http() as http:
            http.delete(f"hub/api/users/{quote(name)}/server").raise_for_status()
            self._wait(lambda: not self._server(http, name), "gone")

    def _server(self, http: httpx.Client, name: str) -> dict[str, Any]:
        return dict(http.get(f"hub/api/users/{quote(name)}").raise_for_status().json()["servers"].get("", {}))

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + READY
        while not ready():
            if time.monotonic() > end:
                raise AssertionError(f"a server is not {what}:\n{self.log_text[-4000:]}")
            time.sleep(0.05)

    # ---- what a person does -------------------------------------------------------------------------------------

    def base(self, name: str) -> str:
        """The path of this person's server, as the Hub writes it."""
        return f"/user/{quote(name, safe='@')}/"

    def at(self, name: str, route: str) -> str:
        """The address of one of our routes at this person's server."""
        return f"{self.url.rstrip('/')}{self.base(name)}nativeauth/{route}"

    def browser(self, name: str, oidc: OidcProvider) -> HttpBrowser:
        """A browser that is signed in to the Hub as *name*, and has their server open."""
        browser = HttpBrowser(fill={"username": name, "password": "any"}, press=("Sign in",))
        page = browser.open(f"{self.url}hub/user-redirect/nativeauth/logout")
        assert page.status == 200, page.text
        browser.fill, browser.press = {"username": "ada"}, ("Sign in", "Allow", "Yes, sign me out")
        return browser

    def kernel(self, name: str) -> Kernel:
        """A kernel of this person's server."""
        url = f"{self.url.rstrip('/')}{self.base(name)}"
        with self.http() as http:
            answer = http.post(f"{url}api/kernels", json={"name": "python3"}).raise_for_status()
        return Kernel(url, self._token, answer.json()["id"], self.folder)

    def row(self, name: str) -> dict[str, Any]:
        """How the profile of this person stands, by the sidebar's own route."""
        with self.http() as http:
            (row,) = http.get(self.at(name, "api/profiles")).raise_for_status().json()["profiles"]
        return dict(row)


@pytest.fixture(scope="module")
def hub_process() -> Iterator[Hub]:
    """One Hub for all tests of a module."""
    with Hub() as hub:
        yield hub
