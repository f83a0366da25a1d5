"""
Runs in: a terminal, the tests. A provider for trying out, and a JupyterLab that knows it, in one private folder.

The user's own Jupyter is neither read nor changed: settings, profile, sealed login and notebook lie in that folder.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError

NOTEBOOK = "quickstart.ipynb"


@dataclass(frozen=True)
class Provider:
    """A provider that runs. ``api`` is the origin of its protected API (``GET /api/me``)."""

    issuer: str
    client_id: str
    api: str


@dataclass(frozen=True)
class Demo:
    """A demo that runs: the provider, and the address of the notebook in JupyterLab (with Jupyter's own token)."""

    provider: Provider
    url: str = field(repr=False)
    work: Path
    lab: subprocess.Popen[bytes] = field(repr=False)


@contextlib.contextmanager
def demo(
    folder: Path,
    *,
    access_token_seconds: int = 60,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Demo]:
    """
    Run the provider and JupyterLab while the ``with`` block lasts.

    Args:
        folder: An empty private folder; everything goes there.
        access_token_seconds: How long an access token lives.
        environment: The environment of both, instead of this process's.

    Raises:
        ConfigError: The packages of the extra ``demo`` are missing, or one of the two did not start.
    """
    missing = [name for name in ("django", "allauth", "oauthlib", "jupyterlab") if not importlib.util.find_spec(name)]
    if missing:
        raise ConfigError(
            f"The demo needs packages that are not installed: {', '.join(missing)}.",
            code="demo_missing",
            hint='Install them with: pip install "jupyter-nativeauth[demo]"',
        )
    with start_provider(folder, access_token_seconds=access_token_seconds, environment=environment) as provider:
        work = _furnish(folder, provider)
        log = folder / "jupyter.log"
        with log.open("wb") as output:
            lab = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab"],
                cwd=work,
                env=_environment_of_lab(environment, folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield Demo(provider, _wait_for_lab(lab, folder, log), work, lab)
        finally:
            _end(lab)


@contextlib.contextmanager
def start_provider(
    folder: Path, *, access_token_seconds: int = 60, environment: Mapping[str, str] | None = None
) -> Iterator[Provider]:
    """
    Run the provider in a process of its own while the ``with`` block lasts.

    Args:
        folder: An existing private folder for its database.
        access_token_seconds: How long an access token lives.
        environment: Its environment, instead of this process's.

    Raises:
        ConfigError: It did not start.
    """
    # It ends when its standard input closes, so also if this process is killed.
    process = subprocess.Popen(  # noqa: S603
        [
            *(sys.executable, "-m", "jupyter_nativeauth.demo.provider"),
            *("--folder", str(folder)),
            *("--access-token-seconds", str(access_token_seconds)),
        ],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches us only, and we end it in order
    )
    try:
        assert process.stdout is not None  # noqa: S101
        line = process.stdout.readline()
        if not line:
            raise ConfigError("The demo's provider did not start; its own words stand above.", code="demo_failed")
        yield Provider(**json.loads(line))
    finally:
        _end(process)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def notebook() -> Path:
    """Return the quickstart notebook: beside this file in a wheel, in ``notebooks/`` in a clone."""
    here = Path(__file__).parent
    places = (here / NOTEBOOK, here.parent.parent / "notebooks" / NOTEBOOK)
    for place in places:
        if place.is_file():
            return place
    raise ConfigError(f"The notebook of the demo is missing: {places[0]}.", hint="Install the package again.")


def _furnish(folder: Path, provider: Provider) -> Path:
    """Write the profile, Jupyter's settings and the notebook; return the folder that JupyterLab shows."""
    origin = json.dumps(provider.api)  # a JSON string is a TOML string
    (folder / "nativeauth.toml").write_text(
        f"[profiles.demo]\nissuer = {json.dumps(provider.issuer)}\nclient_id = {json.dumps(provider.client_id)}\n"
        f"api = [{origin}]\n",
        encoding="utf-8",
    )
    work = folder / "notebooks"
    work.mkdir()
    shutil.copyfile(notebook(), work / NOTEBOOK)
    settings: dict[str, Any] = {
        "ServerApp": {
            "ip": "127.0.0.1",
            "root_dir": str(work),
            "open_browser": False,
            "allow_root": True,
            "jpserver_extensions": {"jupyter_nativeauth": True},
        },
        "LabApp": {"default_url": f"/lab/tree/{NOTEBOOK}"},
        "IdentityProvider": {"token": secrets.token_urlsafe(32)},
        "LanguageServerManager": {"autodetect": False},  # its search runs npm, which writes to the home folder
    }
    config = folder / "config"
    config.mkdir()
    (config / "jupyter_server_config.json").write_text(json.dumps(settings), encoding="utf-8")
    # Otherwise JupyterLab greets a new settings folder with the question whether it may fetch news.
    quiet = config / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}), encoding="utf-8")
    return work


def _environment_of_lab(environment: Mapping[str, str] | None, folder: Path) -> dict[str, str]:
    # A terminal of another Jupyter has variables of that server: its key agent, its address, its Hub.
    foreign = ("JUPYTER_NATIVEAUTH_", "JUPYTERHUB_", "JPY_")
    given = os.environ if environment is None else environment
    kept = {name: value for name, value in given.items() if not name.startswith(foreign)}
    if environment is None:
        from jupyter_core.paths import jupyter_data_dir

        places = [kept.get("JUPYTER_PATH", ""), jupyter_data_dir()]  # the user's kernels and themes
        kept["JUPYTER_PATH"] = os.pathsep.join(filter(None, places))
    return {
        **kept,
        "JUPYTER_NATIVEAUTH_CONFIG": str(folder / "nativeauth.toml"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }


def _wait_for_lab(lab: subprocess.Popen[bytes], folder: Path, log: Path) -> str:
    """Wait until JupyterLab has written where it listens; return the address of the notebook."""
    file = folder / "runtime" / f"jpserver-{lab.pid}.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and lab.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            server = json.loads(file.read_text(encoding="utf-8"))
            return f"{server['url']}lab/tree/{NOTEBOOK}?token={server['token']}"
        time.sleep(0.1)
    last_words = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    raise ConfigError("JupyterLab did not start. Its last words:\n" + "\n".join(last_words), code="demo_failed")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: at once
        process.kill()
        process.wait()
