"""Runs in: the tests. A real SSH server on a free loopback port, with keys that live for one test."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.hub import free_port

LIMIT = 20.0
SSHD = "/usr/sbin/sshd"
CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
"""


class SshServer:
    """
    It, and how to get in.

    Attributes:
        command: ``ssh``, up to and with the host; more options go before the last part.
    """

    def __init__(self, folder: Path, port: int) -> None:
        options = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR"}
        set_ = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        self.command = [shutil.which("ssh") or "ssh", "-F", "none", "-i", str(folder / "key"), "-p", str(port), *set_]

    def terminal(self, program: str) -> list[str]:
        """The command that runs *program* at a terminal over there."""
        return [*self.command, "-tt", "127.0.0.1", program]

    @contextlib.contextmanager
    def tunnel(self, target: int) -> Iterator[int]:
        """``ssh -L PORT:localhost:TARGET``: the port."""
        port = free_port()
        client = subprocess.Popen([*self.command, "-N", "-L", f"127.0.0.1:{port}:127.0.0.1:{target}", "127.0.0.1"])
        try:
            _until_open(port, client)
            yield port
        finally:
            _end(client)


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """An SSH server into which whoever runs the tests can log in as themselves."""
    folder.mkdir()
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    port, config = free_port(), folder / "sshd_config"
    config.write_text(CONFIG.format(port=port, folder=folder), encoding="utf-8")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # root's sshd locks itself into it; it stays empty
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=subprocess.DEVNULL)
    try:
        _until_open(port, server)
        yield SshServer(folder, port)
    finally:
        _end(server)


def _until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + LIMIT
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(LIMIT)
