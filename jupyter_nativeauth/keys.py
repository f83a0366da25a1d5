"""
Runs in: everywhere. Where the 32 bytes come from that open the vaults: a chain of sources, the first usable one wins.

    Keys.find
    ├── explicit       a key file or a passphrase, if profile or environment name one (_keyfile.py, _passphrase.py)
    ├── key agent      the Jupyter server's (agent.py): kernels import no keyring and never prompt
    ├── OS keychain    one item, written once (_keychain.py)
    ├── DPAPI          on a Windows without a Credential Manager (_dpapi.py)
    └── memory         the server's, which serves all its kernels, or this process's. Never a file

Kernels import this module with each session: it brings in nothing but the standard library.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from ._agent_wire import AGENT_VARIABLE, ANSWER_LIMIT, ask_agent, same_error
from ._dpapi import Dpapi
from ._keychain import MISSING, SILENT_LIMIT, Keychain
from ._keyfile import key_in_file, named_key_file
from ._passphrase import Passphrase, ask_in_terminal
from .errors import ConfigError, KeySourceUnavailable, StoreError, clean

__all__ = ["KEY_SOURCES", "Key", "Keys"]

KEY_SOURCES: Final[Mapping[str, str]] = {
    "auto": "a key file or passphrase that the environment names, else the key agent of the Jupyter server, else the "
    "OS keychain, else memory",
    "keychain": "the OS keychain, or an error",
    "file": "the key file that the environment names, or an error",
    "passphrase": "made from a passphrase",
    "memory": "memory only: the login ends with the Jupyter server, or with this process",
}

AGENT_REST = 30.0  # seconds for which an agent that did not answer is left alone

# Which of the agent's keys do for a key source; else any.
_FITS = {"keychain": {"keychain"}, "memory": {"server"}, "file": {"file"}, "passphrase": {"passphrase"}}


@dataclass(frozen=True)
class Key:
    """
    What opens a vault. It prints without its value, and is never pickled.

    Attributes:
        value: 32 random bytes.
        source: ``"keychain"``, ``"file"``, ``"passphrase"``, ``"dpapi"``, ``"server"`` or ``"process"``: goes into the
            vault's header.
        label: The same for people, such as ``"gnome-keyring"`` or ``"server memory"``.
    """

    value: bytes = field(repr=False)
    source: str
    label: str

    def __post_init__(self) -> None:
        if len(self.value) != 32:
            raise ValueError("a key has 32 bytes")

    @functools.cached_property
    def id(self) -> bytes:
        """8 bytes that name the key and tell nothing about it."""
        return _key_id(self.value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key does not leave its process")


class Keys:
    """
    The key sources of one process. Make one and share it: the key in memory is this object's.

    Args:
        folder: Where the vaults are; ``install.json`` there names the keychain's item.
        server: Whether this is the Jupyter server, whose memory outlives its kernels.
        environ: The environment, for key file, passphrase, the agent's address, the session bus and keyring's settings.
        keychain: Another keychain than this machine's, for tests.
        passphrase: Another way to be asked for a passphrase, for tests.
        dpapi: Another user's data protection, for tests; ``None`` where there is none.
        clock: Seconds, for how long a failure is remembered.

    Attributes:
        reason: Why the keychain is not in use, in a sentence for people; empty if it is.

    Example:
        >>> from pathlib import Path
        >>> keys = Keys(Path("unused"), environ={})
        >>> keys.find("memory") is None              # nobody has signed in yet
        True
        >>> keys.find("memory", create=True)
        Key(source='process', label="this process's memory")
    """

    def __init__(
        self,
        folder: Path,
        *,
        server: bool = False,
        environ: Mapping[str, str] = os.environ,
        keychain: Keychain | None = None,
        passphrase: Passphrase | None = None,
        dpapi: Dpapi | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.reason = ""
        self._server = server
        self._environ = environ
        self._keychain = keychain or Keychain(folder, environ, clock=clock)
        # A server has no terminal to ask at, even if it was started in one: it would block whoever waits for it.
        ask = None if server else ask_in_terminal
        self._passphrase = passphrase or Passphrase(folder, lambda value: _key_id(value).hex(), environ, ask=ask)
        self._dpapi = dpapi or (Dpapi(folder) if sys.platform == "win32" else None)
        self._agent = "" if server or sys.platform == "win32" else environ.get(AGENT_VARIABLE, "")
        self._agent_quiet_until = -1.0
        self._clock = clock
        self._found: dict[str, Key] = {}
        self._own: dict[str, Key] = {}  # at most one: the key in this object's memory
        self._turns = (os.getpid(), threading.Lock())

    def __repr__(self) -> str:
        return f"<Keys found={sorted(self._found)}>"

    def find(self, key_source: str = "auto", *, interactive: bool = False, create: bool = False) -> Key | None:
        """
        The key, or ``None`` if none has been made yet: nobody has ever signed in with this source.

        It is found once per process. It never prompts, never starts a keychain and never creates anything, unless
        the arguments say so.

        Args:
            key_source: One of :data:`KEY_SOURCES`.
            interactive: A person has just asked to sign in: the keychain may ask for its password, for up to 60 s.
                Otherwise it has 3 s and must not ask.
            create: This is a sign-in: make the key if there is none.

        Raises:
            KeySourceUnavailable: The keychain is locked, silent, kept in plain text or damaged; with
                ``"keychain"``, also if there is none. The hint names the remedy. ``"auto"`` goes on to memory only
                where there is no keychain, never because it failed.
            StoreError: The folder is not this person's alone, or its ``install.json`` is damaged.
            ConfigError: There is no such key source.
        """
        if key_source not in KEY_SOURCES:
            raise ConfigError(
                f"There is no key source {clean(key_source, 40)!r}.", hint=f"Use one of: {', '.join(KEY_SOURCES)}."
            )
        found = self._found.get(key_source)
        if found is not None and (not create or found in self._own.values()):
            return found
        if interactive or create:
            self._agent_quiet_until = -1.0
            key = self._search(key_source, interactive=interactive, create=create)
        else:
            with self._turn():  # 64 threads ask the keychain once
                key = self._found.get(key_source) or self._search(key_source, interactive=False, create=False)
        if key is not None:
            self._found[key_source] = key
        return key

    def answer(self, key_source: str) -> Key | None:
        """
        What the server's key agent answers to kernels: :meth:`find`, and the server's memory without a sign-in.

        A kernel asks for ``"memory"`` when it signs in and finds no keychain. A key in memory costs nothing to make.
        """
        return self.find(key_source, create=key_source == "memory")

    def explicit(self, key_source: str) -> str:
        """The source that the profile names, else one that the environment names."""
        if key_source != "auto":
            return key_source
        if named_key_file(self._environ):
            return "file"
        return "passphrase" if self._passphrase.named else "auto"

    def forget(self) -> None:
        """Look again next time, except for the key in memory: after somebody deleted the keychain's item, say."""
        self._found.clear()

    def _search(self, key_source: str, *, interactive: bool, create: bool) -> Key | None:
        key_source = self.explicit(key_source)
        if key_source == "file" and (path := named_key_file(self._environ)):
            return Key(key_in_file(path), "file", f"file {path}")
        answered, key = self._ask(key_source, patient=not (interactive or create))
        if key is not None or (answered and not create and not interactive):
            return key
        if key_source == "file":
            key_in_file("")  # says how to name one
        if key_source == "passphrase":
            made = self._passphrase.find(interactive=interactive, create=create)
            return Key(made, "passphrase", "passphrase") if made is not None else None
        return self._search_here(key_source, interactive=interactive, create=create)

    def _search_here(self, key_source: str, *, interactive: bool, create: bool) -> Key | None:
        """The OS keychain, and what takes its place where there is none."""
        if key_source != "memory":
            try:
                item = self._keychain.find(interactive=interactive, create=create)
            except KeySourceUnavailable as error:
                if key_source == "keychain" or error.code not in MISSING:
                    raise
                self.reason = str(error.args[0])
            else:
                self.reason = ""
                if item is not None:
                    return Key(item[0], "keychain", item[1])
                if key_source == "keychain":
                    return None
            if self._dpapi is not None and (value := self._dpapi.find(create=create)) is not None:
                return Key(value, "dpapi", "Windows data protection (DPAPI)")
        asked = self._ask("memory", patient=False)[1] if create and key_source == "auto" else None
        return asked or self._memory(create=create)

    def _memory(self, *, create: bool) -> Key | None:
        if create:
            names = ("server", "server memory") if self._server else ("process", "this process's memory")
            self._own.setdefault("key", Key(secrets.token_bytes(32), *names))  # atomic: two threads get the same key
        return self._own.get("key")

    def _ask(self, key_source: str, *, patient: bool) -> tuple[bool, Key | None]:
        """Whether the agent answered, and the key. With *patient*, its errors are ours."""
        if not self._agent or self._clock() < self._agent_quiet_until:
            return False, None
        try:
            answer = ask_agent(self._agent, {"ask": "key", "source": key_source})
            key = _key_of(answer)
        except StoreError:
            self._agent_quiet_until = self._clock() + AGENT_REST
            return False, None
        if patient and isinstance(error := answer.get("error"), dict):
            raise same_error(error)
        if key is not None and key.source not in _FITS.get(key_source, {key.source}):
            return False, None
        return "key" in answer, key

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        # A lock that another thread held at the time of a fork stays locked in the child: the child makes its own.
        if self._turns[0] != os.getpid():
            self._turns = (os.getpid(), threading.Lock())
        lock = self._turns[1]
        mine = lock.acquire(timeout=ANSWER_LIMIT + SILENT_LIMIT)
        try:
            yield
        finally:
            if mine:
                lock.release()


def _key_id(value: bytes) -> bytes:
    return hashlib.sha256(b"jupyter_nativeauth key id" + value).digest()[:8]


def _key_of(answer: Mapping[str, Any]) -> Key | None:
    value, source = answer.get("key"), answer.get("source")
    if value is None:
        return None
    with contextlib.suppress(TypeError, ValueError):
        if isinstance(source, str) and re.fullmatch(r"[a-z]{1,16}", source):
            return Key(base64.b64decode(value, validate=True), source, clean(answer.get("label"), 80))
    raise StoreError("The key agent answers nonsense.", code="agent_silent")
