"""
Runs in: everywhere. Where this process is, and so which way a sign-in reaches the person's browser: one table.

The first row whose signs are there counts. docs/environments.md shows the same rows, and how each was tried.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["PLACES", "Evidence", "Place", "can_open_browser", "open_browser", "place"]


class Evidence(NamedTuple):
    """
    What can be seen from in here.

    Attributes:
        environ: The environment.
        platform: As ``sys.platform``.
        exists: Whether there is a file.
        program: Where a program is, or ``None``.
    """

    environ: Mapping[str, str] = os.environ
    platform: str = sys.platform
    exists: Callable[[str], bool] = lambda path: Path(path).exists()
    program: Callable[[str], str | None] = shutil.which

    def has(self, *names: str) -> bool:
        """Whether one of these variables is set."""
        return any(self.environ.get(name) for name in names)

    def windows_opener(self) -> list[str]:
        """What opens an address in Windows' browser, from Linux in it; empty if nothing does."""
        if not self.has("WSL_DISTRO_NAME", "WSL_INTEROP"):
            return []
        if wslview := self.program("wslview"):  # of the package wslu
            return [wslview]
        rundll = self.program("rundll32.exe")
        return [rundll, "url.dll,FileProtocolHandler"] if rundll else []


class Place(NamedTuple):
    """
    A kind of place.

    Attributes:
        name: What people call it.
        browser: Whether a browser that is opened from here appears before the person, and can come back to 127.0.0.1.
        why: The reason, as it goes on after "a browser opens here: " or "no browser opens here: ".
        here: Whether this is it.
    """

    name: str
    browser: bool
    why: str
    here: Callable[[Evidence], bool]


PLACES = (
    Place(
        "GitHub Codespaces",
        browser=False,
        why="this is a Codespace, and your browser is on another machine",
        here=lambda seen: seen.has("CODESPACES"),
    ),
    Place(
        "Google Colab",
        browser=False,
        why="this is Colab, and your browser is on another machine",
        here=lambda seen: seen.has("COLAB_RELEASE_TAG", "COLAB_JUPYTER_IP"),
    ),
    Place(
        "Kaggle",
        browser=False,
        why="this is Kaggle, and your browser is on another machine",
        here=lambda seen: seen.has("KAGGLE_KERNEL_RUN_TYPE"),
    ),
    Place(
        "a browser of your choice",
        browser=True,
        why="the variable BROWSER names one",
        here=lambda seen: seen.has("BROWSER"),
    ),
    Place(
        "Binder",
        browser=False,
        why="this is Binder, and your browser is on another machine",
        here=lambda seen: seen.has("BINDER_SERVICE_HOST", "BINDER_LAUNCH_HOST"),
    ),
    Place(
        "JupyterHub",
        browser=False,
        why="this is a JupyterHub, and your browser is on another machine",
        here=lambda seen: seen.has("JUPYTERHUB_SERVICE_PREFIX"),
    ),
    Place(
        "SSH",
        browser=False,
        why="you are here over SSH (SSH_CONNECTION), and your browser is on another machine",
        here=lambda seen: seen.has("SSH_CONNECTION"),
    ),
    Place(
        "Linux in Windows (WSL)",
        browser=True,
        why="this is WSL, which opens Windows' browser",
        here=lambda seen: bool(seen.windows_opener()),
    ),
    Place(
        "macOS or Windows",
        browser=True,
        why="this is a desktop",
        here=lambda seen: seen.platform in ("darwin", "win32"),
    ),
    Place(
        "a desktop",
        browser=True,
        why="there is a display",
        here=lambda seen: seen.has("DISPLAY", "WAYLAND_DISPLAY"),
    ),
    Place(
        "a container",
        browser=False,
        why="this is a container without a display",
        here=lambda seen: (
            seen.has("KUBERNETES_SERVICE_HOST") or seen.exists("/.dockerenv") or seen.exists("/run/.containerenv")
        ),
    ),
    Place("a machine without a display", browser=False, why="there is no display", here=lambda _: True),
)


def place(seen: Evidence | None = None) -> Place:
    """
    Where this process is.

    Example:
        >>> place(Evidence({"SSH_CONNECTION": "192.0.2.1 5000 192.0.2.2 22", "DISPLAY": ":0"})).name
        'SSH'
    """
    seen = seen or Evidence()
    return next(row for row in PLACES if row.here(seen))


def can_open_browser(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a browser opened by this process would appear before the person who waits."""
    return place(Evidence(environ)).browser


def open_browser(url: str) -> None:
    """Open the system browser (RFC 8252, section 6), without waiting for it: a text browser would block."""
    seen = Evidence()
    if not place(seen).browser:
        return
    opener = [] if seen.has("BROWSER") else seen.windows_opener()
    open_it = functools.partial(_run, [*opener, url]) if opener else functools.partial(webbrowser.open, url)
    threading.Thread(target=open_it, name="nativeauth-browser", daemon=True).start()


def _run(command: list[str]) -> None:
    quiet = subprocess.DEVNULL
    subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, check=False)  # noqa: S603 - our own address
