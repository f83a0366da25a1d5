"""
Runs in: the Jupyter server (POSIX). The key agent: hands the vaults' key to this person's kernels, over a unix socket.

So kernels import no keyring and never prompt, and where a machine has no keychain the server's memory serves them all.
The kernel of the operating system says who is asking; whoever is not this person gets no answer. One line of JSON in,
one line out:

    {"ask": "key", "source": "auto"}    {"key": base64 or null, "source": "keychain", "label": "gnome-keyring"}
    {"ask": "profiles"}                 {"profiles": {name: fingerprint}}
    {"ask": "presence"}                 {"left": seconds for which the last confirmation is good}
    {"ask": "confirm"}                  the same, after the person at the device has been asked; for the presence gate

or ``{"error": {"kind", "code", "message", "hint"}}``. ``_agent_wire.py`` asks it.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import logging
import os
import secrets
import selectors
import shutil
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._agent_wire import peer_uid, read_line
from .errors import NativeAuthError, StoreError
from .keys import KEY_SOURCES, Key

if TYPE_CHECKING:
    from ._presence import Presence

__all__ = ["KeyAgent"]

REQUEST_SIZE, REQUEST_LIMIT = 4096, 5.0  # bytes, seconds
AT_ONCE = 64  # askers that are served at the same time; more wait in the socket's queue
PATH_SIZE = 104  # bytes of sun_path with its closing zero: 108 on Linux, 104 on macOS

_log = logging.getLogger(__name__)


class KeyAgent:
    """
    A unix socket that answers two questions. It runs in threads of its own.

    Args:
        answer_key: The key for a key source, as :meth:`jupyter_nativeauth.keys.Keys.answer` gives it.
        profiles: The profiles that the server knows, with their fingerprints.
        presence: Whether somebody has confirmed that it is them; without it those questions are not known.
        environ: The environment, for ``XDG_RUNTIME_DIR``.

    Example:
        >>> from jupyter_nativeauth._agent_wire import ask_agent
        >>> agent = KeyAgent(lambda source: None, lambda: {"acme": "1f3a"}, environ={})
        >>> ask_agent(agent.start(), {"ask": "profiles"})
        {'profiles': {'acme': '1f3a'}}
        >>> agent.stop()
    """

    def __init__(
        self,
        answer_key: Callable[[str], Key | None],
        profiles: Callable[[], Mapping[str, str]],
        *,
        presence: Presence | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._answer_key = answer_key
        self._profiles = profiles
        self._presence = presence
        self._environ = environ
        self._path: Path | None = None
        self._folder: Path | None = None  # only if it is ours alone, and so to be removed
        self._listener: socket.socket | None = None
        self._wake: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._process = 0
        self._seats = threading.Semaphore(AT_ONCE)

    def __repr__(self) -> str:
        return f"<KeyAgent {self._path or 'stopped'}>"

    def start(self) -> str:
        """
        Listen, and return the socket's path: what ``JUPYTER_NATIVEAUTH_AGENT`` tells the kernels. It is not a secret.

        Raises:
            StoreError: There is no folder for the socket.
        """
        if self._listener is not None:
            return str(self._path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._path = self._bind(listener)
            listener.listen(512)
            listener.setblocking(False)  # noqa: FBT003 - that is how sockets say it
        except OSError as error:
            listener.close()
            self._remove()
            raise StoreError(f"The key agent has no place for its socket: {error.strerror}.", code="agent") from None
        self._listener, self._process = listener, os.getpid()
        woken, self._wake = socket.socketpair()
        self._thread = threading.Thread(
            target=self._serve, args=(listener, woken), name="nativeauth-agent", daemon=True
        )
        self._thread.start()
        return str(self._path)

    def stop(self) -> None:
        """Stop listening and remove the socket, and its folder if it is ours alone. In a forked child: do nothing."""
        if self._listener is None or self._wake is None or self._thread is None or self._process != os.getpid():
            return
        self._wake.send(b"!")  # closing alone would not do: a forked child may hold a copy
        self._wake.close()
        self._thread.join(REQUEST_LIMIT)
        self._listener = self._wake = self._thread = None
        self._remove()

    def _remove(self) -> None:
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._path = self._folder = None

    def _bind(self, listener: socket.socket) -> Path:
        name = f"{secrets.token_hex(8)}.sock"
        shared = _runtime_folder(self._environ.get("XDG_RUNTIME_DIR", ""))
        if shared is not None and len(os.fsencode(shared / name)) < PATH_SIZE:
            path = shared / name
        else:
            self._folder = Path(tempfile.mkdtemp(prefix="nativeauth-"))
            if len(os.fsencode(self._folder / name)) >= PATH_SIZE:
                self._folder.rmdir()
                self._folder = Path(tempfile.mkdtemp(prefix="nativeauth-", dir="/tmp"))
            path = self._folder / name
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        return path

    def _serve(self, listener: socket.socket, woken: socket.socket) -> None:
        with listener, woken, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if woken in ready:
                    return
                if not self._seats.acquire(timeout=0.1):
                    continue
                try:
                    connection, _ = listener.accept()
                    threading.Thread(
                        target=self._attend, args=(connection,), name="nativeauth-agent-answer", daemon=True
                    ).start()
                except (OSError, RuntimeError) as error:  # hung up meanwhile; or no descriptor or thread is left
                    self._seats.release()
                    if not isinstance(error, (BlockingIOError, ConnectionError)):
                        woken.settimeout(0.1)
                        with contextlib.suppress(TimeoutError):
                            woken.recv(1)
                            return

    def _attend(self, connection: socket.socket) -> None:
        try:
            with connection:
                if peer_uid(connection) != os.geteuid():
                    _log.warning("The key agent refused a process of another user.")
                    return
                line = read_line(connection, size=REQUEST_SIZE, limit=REQUEST_LIMIT)
                connection.settimeout(REQUEST_LIMIT)
                answer = self._answer(line, functools.partial(_has_left, connection))
                connection.sendall(json.dumps(answer).encode("ascii") + b"\n")
        except (OSError, ValueError) as error:
            _log.debug("The key agent gave up on somebody who asked: %s", type(error).__name__)
        finally:
            self._seats.release()

    def _answer(self, line: bytes, has_left: Callable[[], bool]) -> dict[str, Any]:
        try:
            return self._reply(json.loads(line), has_left)
        except NativeAuthError as error:
            return _error(type(error).__name__, error.code, str(error.args[0]), error.hint)
        except (ValueError, RecursionError):
            return _error("StoreError", "agent_question", "The key agent does not understand this question.")
        except Exception as error:  # noqa: BLE001 - the asker gets an answer whatever happens here
            _log.warning("The key agent failed to answer: %s", type(error).__name__)
            return _error("StoreError", "agent", "The key agent failed.")

    def _reply(self, question: object, has_left: Callable[[], bool]) -> dict[str, Any]:
        match question:
            case {"ask": "profiles"}:
                return {"profiles": dict(self._profiles())}
            case {"ask": "presence"} if self._presence is not None:
                return {"left": self._presence.left()}
            case {"ask": "confirm"} if self._presence is not None:
                self._presence.confirm(cancelled=has_left)
                return {"left": self._presence.left()}
            case {"ask": "key", "source": str(source)} if source in KEY_SOURCES:
                key = self._answer_key(source)
                if key is None:
                    return {"key": None, "source": None, "label": None}
                return {"key": base64.b64encode(key.value).decode("ascii"), "source": key.source, "label": key.label}
        return _error("StoreError", "agent_question", "The key agent does not know this question.")


def _error(kind: str, code: str, message: str, hint: str = "") -> dict[str, Any]:
    return {"error": {"kind": kind, "code": code, "message": message, "hint": hint}}


def _has_left(connection: socket.socket) -> bool:
    """Whether whoever asked has hung up. What they may still say is left to be read."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _runtime_folder(runtime: str) -> Path | None:
    """Our folder below ``XDG_RUNTIME_DIR``, or ``None`` unless both are this person's alone."""
    if not os.path.isabs(runtime):  # noqa: PTH117 - "" is not a path yet
        return None
    folder = Path(runtime, "jupyter_nativeauth")
    with contextlib.suppress(OSError):
        # Whoever may write to the parent could swap the folder after we looked at it.
        if _ours(Path(runtime), others=0o022):
            folder.mkdir(mode=0o700, exist_ok=True)
            if _ours(folder, others=0o077):
                return folder
    return None


def _ours(folder: Path, *, others: int) -> bool:
    facts = folder.lstat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & others
