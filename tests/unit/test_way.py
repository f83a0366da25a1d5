"""Where this process is, and whether a browser that it opens would appear before the person who waits."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jupyter_nativeauth._way import PLACES, Evidence, place

ROOT = Path(__file__).parents[2]
LINUX = {"wslview": "/usr/bin/wslview", "rundll32.exe": "/mnt/c/Windows/system32/rundll32.exe"}


def seen(
    environ: dict[str, str], *, platform: str = "linux", files: tuple[str, ...] = (), programs: tuple[str, ...] = ()
) -> Evidence:
    return Evidence(
        environ, platform, lambda path: path in files, lambda name: LINUX[name] if name in programs else None
    )


@pytest.mark.parametrize(
    ("evidence", "name"),
    [
        (seen({}), "a machine without a display"),
        (seen({"DISPLAY": ":0"}), "a desktop"),
        (seen({"WAYLAND_DISPLAY": "wayland-0"}), "a desktop"),
        (seen({"DISPLAY": ""}), "a machine without a display"),
        (seen({}, platform="darwin"), "macOS or Windows"),
        (seen({}, platform="win32"), "macOS or Windows"),
        (seen({"SSH_CONNECTION": "x"}, platform="darwin"), "SSH"),
        (seen({"SSH_CONNECTION": "x", "DISPLAY": "localhost:10.0"}), "SSH"),
        (seen({"SSH_CONNECTION": "x", "BROWSER": "/remote/helper.sh"}), "a browser of your choice"),
        (seen({"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}), "JupyterHub"),
        (seen({"JUPYTERHUB_SERVICE_PREFIX": "/user/x/", "BINDER_SERVICE_HOST": "mybinder.org"}), "Binder"),
        (seen({"CODESPACES": "true", "BROWSER": "/vscode/helper.sh"}), "GitHub Codespaces"),
        (seen({"COLAB_RELEASE_TAG": "release"}, files=("/.dockerenv",)), "Google Colab"),
        (seen({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}), "Kaggle"),
        (seen({}, files=("/.dockerenv",)), "a container"),
        (seen({}, files=("/run/.containerenv",)), "a container"),
        (seen({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}), "a container"),
        (seen({"DISPLAY": ":0"}, files=("/run/.containerenv",)), "a desktop"),  # toolbox and distrobox have one
        (seen({"WSL_DISTRO_NAME": "Debian"}, programs=("wslview",)), "Linux in Windows (WSL)"),
        (seen({"WSL_DISTRO_NAME": "Debian"}, programs=("rundll32.exe",)), "Linux in Windows (WSL)"),
        (seen({"WSL_DISTRO_NAME": "Debian"}), "a machine without a display"),
        (seen({"WSL_DISTRO_NAME": "Debian", "DISPLAY": ":0"}), "a desktop"),
    ],
)
def test_where_it_is(evidence: Evidence, name: str) -> None:
    """Each place by its own signs, and the nearer one first where there are those of two."""
    assert place(evidence).name == name


def test_what_opens_windows_browser() -> None:
    """The package that is there for it, else Windows' own program; the address is an argument of its own."""
    wsl = {"WSL_DISTRO_NAME": "Debian"}
    assert seen(wsl, programs=("wslview", "rundll32.exe")).windows_opener() == ["/usr/bin/wslview"]
    assert seen(wsl, programs=("rundll32.exe",)).windows_opener()[1:] == ["url.dll,FileProtocolHandler"]
    assert seen({}, programs=("wslview",)).windows_opener() == []


def test_windows_browser_is_opened(tmp_path: Path) -> None:
    """In WSL the address goes to that program, and not to a Linux browser; what it says is not shown."""
    program, opened = tmp_path / "wslview", tmp_path / "opened"
    program.write_text(
        f'#!/bin/sh\necho noise; echo noise >&2\nprintf "%s" "$1" > {opened}.new; mv {opened}.new {opened}\n'
    )
    program.chmod(0o700)
    code = (
        "import pathlib, sys, time\n"
        "from jupyter_nativeauth._way import open_browser\n"
        "open_browser('http://127.0.0.1:1/nativeauth/go/x?a=1&b=2')\n"
        f"while not pathlib.Path({str(opened)!r}).exists(): time.sleep(0.01)\n"
    )
    env = {**os.environ, "WSL_DISTRO_NAME": "Debian", "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert opened.read_text() == "http://127.0.0.1:1/nativeauth/go/x?a=1&b=2"
    assert (done.stdout, done.stderr) == ("", "")


def test_the_docs_have_the_same_table() -> None:
    """Each place is a row in docs/environments.md, in this order, with what it means for a browser."""
    text = (ROOT / "docs" / "environments.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[?([^|\]]+?)(?:\]\(\S+\))? \| (yes|no) \|", text, re.MULTILINE)
    assert rows == [(row.name, "yes" if row.browser else "no") for row in PLACES]
