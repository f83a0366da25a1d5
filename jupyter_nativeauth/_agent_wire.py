"""
Runs in: everywhere. The wire between the Jupyter server's key agent (``agent.py``) and whoever asks it.

Kernels import this module with each session: it brings in nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from collections.abc import Mapping
from typing import Any

from . import errors
from .errors import NativeAuthError, StoreError, clean

__all__ = ["AGENT_VARIABLE", "ANSWER_LIMIT", "ANSWER_SIZE", "ask_agent", "peer_uid", "read_line", "same_error"]

AGENT_VARIABLE = "JUPYTER_NATIVEAUTH_AGENT"

CONNECT_LIMIT, ANSWER_LIMIT, ANSWER_SIZE = 2.0, 6.0, 64 * 1024  # seconds, seconds, bytes


def ask_agent(path: str, question: Mapping[str, object], *, limit: float = ANSWER_LIMIT) -> dict[str, Any]:
    """
    Ask the Jupyter server's key agent: one line of JSON out, one line back.

    Args:
        path: Its socket, from :data:`AGENT_VARIABLE`.
        question: ``{"ask": "key", "source": ...}``, ``{"ask": "profiles"}`` or one of the presence gate's.
        limit: Seconds that the answer may take.

    Raises:
        StoreError: Nobody answers there within 2 s to connect and *limit* to answer (``agent_silent``), or somebody who
            is not this person (``agent_refused``), who then has not been told a word.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            _connect(connection, path)
            if peer_uid(connection) != os.geteuid():
                raise StoreError("The key agent's socket belongs to another user.", code="agent_refused")
            connection.settimeout(CONNECT_LIMIT)
            connection.sendall(json.dumps(question).encode("ascii") + b"\n")
            answer = json.loads(read_line(connection, size=ANSWER_SIZE, limit=limit))
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"The key agent does not answer ({type(error).__name__}).", code="agent_silent") from None
    if not isinstance(answer, dict):
        raise StoreError("The key agent answers nonsense.", code="agent_silent")
    return answer


def peer_uid(connection: socket.socket) -> int:
    """The user id of whoever is at the other end of a unix socket, from the kernel: nobody can lie about it."""
    if sys.platform == "linux":
        _pid, uid, _gid = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(uid)
    # macOS and FreeBSD: LOCAL_PEERCRED (option 1 of level 0, unix(4)). struct xucred: a version, the uid, groups.
    return int(struct.unpack_from("2I", connection.getsockopt(0, 1, 128))[1])


def read_line(connection: socket.socket, *, size: int, limit: float) -> bytes:
    """
    One line of at most *size* bytes, within *limit* seconds in all.

    Raises:
        ValueError: It is longer.
        OSError: It did not come in time, or the other end hung up.
    """
    until = time.monotonic() + limit
    line = b""
    while b"\n" not in line:
        if (left := until - time.monotonic()) <= 0:
            raise TimeoutError
        connection.settimeout(left)
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionResetError
        line += piece
        if len(line) > size:
            raise ValueError("too long")
    return line[: line.index(b"\n")]


def _connect(connection: socket.socket, path: str) -> None:
    until = time.monotonic() + CONNECT_LIMIT
    connection.settimeout(CONNECT_LIMIT)
    while True:
        try:
            connection.connect(path)
            return
        except BlockingIOError:  # a hundred kernels start at once: the queue is full for a moment (Linux, unix(7))
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def same_error(told: Mapping[str, Any]) -> NativeAuthError:
    """The error that the server met, as if it had happened here."""
    name = told.get("kind")
    kind = getattr(errors, name) if isinstance(name, str) and name in errors.__all__ else StoreError
    words = {part: clean(told.get(part), 500) for part in ("message", "code", "hint")}
    error: NativeAuthError = kind(words["message"], code=words["code"] or None, hint=words["hint"])
    return error
