"""
Runs in: the tests. The demo starts for a person, says where to click, and goes away without a trace.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from jupyter_nativeauth.demo.lab import notebook


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    return tmp_path


@contextlib.contextmanager
def running(
    place: Path, *, open_browser: bool = False, **variables: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The demo in a terminal of its own, and what it says when it is ready."""
    places = {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp")}
    code = f"from jupyter_nativeauth.demo.run import run_demo; run_demo(open_browser={open_browser})"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code], env={**os.environ, **places, **variables}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        words = ""
        while "Ctrl-C" not in words:
            line = process.stdout.readline()
            assert line, words
            words += line
        yield process, words
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_it_ends_both_and_leaves_nothing(place: Path, how: str) -> None:
    """Ctrl-C, SIGTERM and a terminal that closes end provider and JupyterLab, and remove what they wrote."""
    # As in a terminal of another Jupyter: none of its variables may reach the demo's.
    elsewhere = {"JUPYTER_NATIVEAUTH_AGENT": "/nowhere", "JUPYTER_CONFIG_DIR": "/nowhere", "JPY_PARENT_PID": "1"}
    with running(place, **elsewhere) as (process, words):
        addresses = re.findall(r"http://127\.0\.0\.1:\d+\S*", words)
        for address in addresses:
            assert httpx.get(address).status_code == 200
        (folder,) = (place / "tmp").glob("nativeauth-demo-*")
        assert folder.stat().st_mode & 0o077 == 0
        children = psutil.Process(process.pid).children(recursive=True)
        (lab,) = (child for child in children if "jupyterlab" in child.cmdline())
        assert "/nowhere" not in lab.environ().values()
        process.send_signal(getattr(signal, how))
        assert process.wait(60) == 0
    assert len(addresses) == 2
    assert len(children) >= 2
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert list((place / "tmp").iterdir()) == []
    assert list((place / "home").iterdir()) == []


def test_the_browser_is_led_there_once(place: Path) -> None:
    """The browser's command line holds no token of Jupyter's, and the address in it works once."""
    seen, browser = place / "seen", place / "browser"
    browser.write_text(f'#!/bin/sh\necho "$@" > {seen}.part\nmv {seen}.part {seen}\n')
    browser.chmod(0o700)
    with running(place, open_browser=True, BROWSER=str(browser)) as (_, words):
        assert "open in your browser" in words
        (notebook_address,) = re.findall(r"http://\S+\?token=\S+", words)
        while not seen.exists():
            time.sleep(0.05)
        address = seen.read_text().strip()
        assert "token" not in address
        assert httpx.get(address).headers["Location"] == notebook_address
        assert httpx.get(address).status_code == 404


def test_where_there_is_no_browser_it_says_the_address(place: Path) -> None:
    """Over SSH no browser is opened, and nothing says that one was."""
    with running(place, open_browser=True, BROWSER="", SSH_CONNECTION="a b c d") as (_, words):
        assert "JupyterLab is ready at" in words


def test_missing_packages_are_named() -> None:
    """Without the extra, the error says which packages are missing and the command that brings them."""
    blocked = "import sys; sys.modules['allauth'] = None\nfrom jupyter_nativeauth.demo.run import run_demo; run_demo()"
    answer = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False)
    assert "ConfigError" in answer.stderr
    assert "not installed: allauth" in answer.stderr
    assert 'pip install "jupyter-nativeauth[demo]"' in answer.stderr


def test_the_notebook_is_clean() -> None:
    """The notebook that newcomers get has no outputs, no counters, and names no profile."""
    cells = json.loads(notebook().read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    source = ["".join(cell["source"]) for cell in code]
    assert source[:2] == ["%load_ext jupyter_nativeauth", "%login"]
    assert source[-1] == "%logout"
