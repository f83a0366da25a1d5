"""Runs in: the tests. What ``ssh -L`` makes, by a real ssh and a real sshd, whose machine is this one too."""

from __future__ import annotations

import contextlib
import os
import pwd
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


@contextlib.contextmanager
def ssh_tunnel(folder: Path, target: int) -> Iterator[int]:
    """
    ``ssh -L PORT:127.0.0.1:target``, with keys that nobody has seen before, and without a session or a shell.

    Args:
        folder: A new one, for keys and settings.
        target: The port of the server at the other end.

    Yields:
        The port at the near end.
    """
    folder.mkdir()
    for name in ("host", "person"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    server = folder / "sshd_config"
    server.write_text(SERVER.format(folder=folder), encoding="utf-8")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # an empty folder, which root's sshd locks itself in
    port = free_port()
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
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    place = f"{pwd.getpwuid(os.geteuid()).pw_name}@elsewhere.example"
    process = subprocess.Popen(
        ["ssh", "-F", "none", "-N", "-L", f"{port}:127.0.0.1:{target}", *words, place],
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
