"""Runs in: the tests. A real ssh, and a real sshd whose machine is this one too."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.hub import free_port

SERVER = """
HostKey {folder}/host
AuthorizedKeysFile {folder}/person.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
"""


class Ssh:
    """
    The way to another machine, with keys that nobody has seen before.

    Args:
        folder: A new one, for keys and settings.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        for name in ("host", "person"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
        server = folder / "sshd_config"
        server.write_text(SERVER.format(folder=folder), encoding="utf-8")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # an empty folder, which root's sshd locks itself in
        options = {
            # The server speaks on its standard streams (-i): nobody else can reach it, and it ends with the client.
            "ProxyCommand": f"/usr/sbin/sshd -i -f {server}",
            "IdentityFile": folder / "person",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": folder / "known_hosts",
            "StrictHostKeyChecking": "accept-new",
            "BatchMode": "yes",
            "ExitOnForwardFailure": "yes",
            "LogLevel": "ERROR",
        }
        self._command = [shutil.which("ssh") or "ssh", "-F", "none"]
        self._command += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        self._place = f"{pwd.getpwuid(os.geteuid()).pw_name}@elsewhere.example"

    def at_a_terminal(self, program: str) -> list[str]:
        """The command that runs *program* at a terminal over there."""
        return [*self._command, "-tt", self._place, program]

    @contextlib.contextmanager
    def tunnel(self, target: int) -> Iterator[int]:
        """``ssh -L PORT:127.0.0.1:target``, without a session or a shell: the port at the near end."""
        port = free_port()
        process = subprocess.Popen(
            [*self._command, "-N", "-L", f"{port}:127.0.0.1:{target}", self._place],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            until = time.monotonic() + 20
            while True:
                with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                    break
                assert process.poll() is None, process.stderr and process.stderr.read()
                assert time.monotonic() < until
                time.sleep(0.02)
            yield port
        finally:
            process.terminate()
            process.communicate(timeout=20)
