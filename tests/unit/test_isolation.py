"""Every test runs in a home of its own, and what it leaves behind fails it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from jupyter_core.paths import jupyter_config_dir, jupyter_data_dir, jupyter_runtime_dir

from tests.isolation import Home

ROOT = Path(__file__).parents[2]

MESSY = """
import socket, subprocess, tempfile, threading, pytest

def test_clean():
    pass

def test_process(request):
    process = subprocess.Popen(["sleep", "60"])
    request.config.add_cleanup(lambda: (process.kill(), process.wait()))

def test_thread(request):
    end = threading.Event()
    threading.Thread(target=end.wait, name="forgotten").start()
    request.config.add_cleanup(end.set)

def test_port(request):
    listener = socket.create_server(("127.0.0.1", 0))
    request.config.add_cleanup(listener.close)

def test_unix_socket(request, home):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(home.runtime / "agent.sock"))
    request.config.add_cleanup(listener.close)

def test_unfinished_file(home):
    (home.data / "nativeauth").mkdir()
    (home.data / "nativeauth" / "acme.vault.0123.tmp").touch()

def test_temporary_folder(tmp_path_factory):
    tempfile.mkdtemp(prefix="nativeauth-")
"""


def test_all_folders_are_the_tests_own(home: Home) -> None:
    """Nothing of the developer's own Jupyter, keyring or desktop is seen by a test."""
    assert Path.home() == home.home
    for folder in (jupyter_config_dir(), jupyter_data_dir(), jupyter_runtime_dir(), tempfile.gettempdir()):
        assert Path(folder).is_relative_to(home.folder)
    assert not {"DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "JUPYTER_PATH"} & set(os.environ)
    assert home.runtime.stat().st_mode & 0o777 == 0o700
    assert len(str(home.runtime)) < 40  # a socket in there must stay under 108 characters


def test_what_a_test_leaves_behind_fails_it(tmp_path: Path) -> None:
    """INV-08, SEC-048: processes, threads, sockets and temporary files end with the test that made them."""
    file = tmp_path / "test_messy.py"
    file.write_text(MESSY)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.isolation", "-rA", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, "-c", os.devnull, f"--rootdir={tmp_path}", str(file)],
        cwd=ROOT,
        env={**os.environ, "NATIVEAUTH_TEST_PATIENCE": "0.2"},
        capture_output=True,
        text=True,
        check=False,
    )
    failed = {line.split("::")[1].split(" ")[0] for line in run.stdout.splitlines() if line.startswith("ERROR ")}
    names = {line.removeprefix("def ").split("(")[0] for line in MESSY.splitlines() if line.startswith("def test")}
    assert failed == names - {"test_clean"}, run.stdout


def test_no_kernel_of_the_tests_takes_a_tcp_port() -> None:
    """Jupyter picks free ports and lets go of them before a kernel binds them; another process can be faster."""
    calls = re.compile(r"(?:NotebookClient|KernelManager)\([^\n]*")
    made = [call for file in (ROOT / "tests").rglob("*.py") for call in calls.findall(file.read_text(encoding="utf-8"))]
    assert len(made) > 3
    assert [call for call in made if "sockets()" not in call] == []
