"""
Runs in: the tests, on both ends. Ask for the key in a process of its own, and tell what came of it.

The tests call :func:`find`; it runs this file as a script inside of a session, and that prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.keyring_daemon import KeyringSession

HEAVY = ("keyring", "secretstorage", "jeepney", "cryptography", "keyrings", "evil_keyring")


@dataclass(frozen=True)
class Outcome:
    """
    What one call of ``Keys.find`` gave.

    Attributes:
        id: The key's id in hex, or ``""`` for ``None`` or an error.
        source: The key's source.
        label: The key's label.
        error: The class of the error, or ``""``.
        code: The error's code.
        message: What it says, with its hint.
        reason: ``Keys.reason`` afterwards.
        loaded: Which of :data:`HEAVY` the process had imported by then.
    """

    id: str = ""
    source: str = ""
    label: str = ""
    error: str = ""
    code: str = ""
    message: str = ""
    reason: str = ""
    loaded: tuple[str, ...] = ()


def start(session: KeyringSession, *calls: dict[str, Any], **options: Any) -> subprocess.Popen[str]:
    """Begin what :func:`find` does, for several processes at once."""
    variables = options.pop("variables", {})
    return session.spawn("-m", __name__, json.dumps({"calls": calls or ({},), **options}), **variables)


def outcomes(process: subprocess.Popen[str]) -> list[Outcome]:
    """Wait for the end of the process, and read what it told."""
    try:
        told, problems = process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    assert (process.returncode, problems) == (0, "")
    return [Outcome(**{**one, "loaded": tuple(one["loaded"])}) for one in json.loads(told)]


def find(session: KeyringSession, *calls: dict[str, Any], **options: Any) -> list[Outcome]:
    """
    Call ``Keys.find`` in a new process, once for each of *calls*.

    Args:
        session: Where the process lives.
        calls: The keyword arguments of each call. Default: one call without arguments.
        options: ``server``; ``silent_limit`` and ``prompt_limit`` of the keychain; ``variables`` of the environment.
    """
    return outcomes(start(session, *calls, **options))


def folder(session: KeyringSession) -> Path:
    """Where the processes keep ``install.json``."""
    return session.home / "nativeauth"


def main(order: dict[str, Any]) -> None:
    """The other end: obey, and print."""
    from jupyter_nativeauth._keychain import Keychain
    from jupyter_nativeauth.errors import NativeAuthError
    from jupyter_nativeauth.keys import Keys

    home = Path(os.environ["HOME"], "nativeauth")
    limits = {name: order[name] for name in ("silent_limit", "prompt_limit") if name in order}
    keys = Keys(home, server=order.get("server", False), keychain=Keychain(home, **limits))
    told = []
    for call in order["calls"]:
        one: dict[str, Any] = {}
        try:
            key = keys.find(**call)
            if key is not None:
                one = {"id": key.id.hex(), "source": key.source, "label": key.label}
        except NativeAuthError as error:
            one = {"error": type(error).__name__, "code": error.code, "message": str(error)}
        told.append({**one, "reason": keys.reason, "loaded": [name for name in HEAVY if name in sys.modules]})
    print(json.dumps(told))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
