"""
Runs in: everywhere. A key that is made from a passphrase, for machines without a keychain: scrypt (RFC 7914).

Beside the vaults lies ``passphrase.json``, with the salt, the cost and the key's id: a wrong passphrase is told from
the right one, and never makes a second key. Nothing in that file opens anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from ._files import private_folder, replace_file
from ._keyfile import private_bytes
from ._lock import FileLock
from .errors import KeySourceUnavailable, StoreError

__all__ = ["PASSPHRASE_VARIABLE", "Passphrase", "ask_in_terminal"]

PASSPHRASE_VARIABLE = "JUPYTER_NATIVEAUTH_PASSPHRASE_FILE"  # noqa: S105 - a name
COST: Final = {"n": 2**17, "r": 8, "p": 1}
"""128 MiB of memory and about half a second, once per process (OWASP's recommendation for scrypt)."""
SHORTEST = 12
_NAME = "passphrase.json"
_MOST_COSTLY = 2**22  # of n * r * p: what a file may ask of us, about 500 MiB


class _Recipe(NamedTuple):
    """What turns the passphrase into the key."""

    salt: bytes
    n: int
    r: int
    p: int
    key_id: str

    def derive(self, passphrase: str) -> bytes:
        import unicodedata

        # The same letters can be typed as different code points (Unicode Standard Annex #15).
        text = unicodedata.normalize("NFC", passphrase).encode()
        limit = 256 * self.n * self.r + 2**20
        return hashlib.scrypt(text, salt=self.salt, n=self.n, r=self.r, p=self.p, maxmem=limit, dklen=32)


def ask_in_terminal(question: str) -> str | None:
    """What somebody types at a terminal without it being shown; ``None`` if nobody is at one."""
    # In a kernel getpass would ask over its message channels, where others may listen; a kernel has no terminal.
    if sys.stdin is None or not sys.stdin.isatty() or not sys.stderr.isatty():
        return None
    import getpass

    try:
        return getpass.getpass(question)
    except EOFError:
        return None


class Passphrase:
    """
    The key that a passphrase makes. It is derived once, and kept.

    Args:
        folder: The folder of the vaults.
        key_id: Names a key without telling anything about it.
        environ: The environment, for the file that holds the passphrase.
        ask: Asks the person who is at the terminal; ``None`` where there can be nobody, as in the Jupyter server.
        cost: Of a new key.
    """

    def __init__(
        self,
        folder: Path,
        key_id: Callable[[bytes], str],
        environ: Mapping[str, str] = os.environ,
        *,
        ask: Callable[[str], str | None] | None = ask_in_terminal,
        cost: Mapping[str, int] = COST,
    ) -> None:
        self._folder = folder
        self._key_id = key_id
        self._path = environ.get(PASSPHRASE_VARIABLE, "")
        self._ask = ask
        self._cost = cost
        self._value: bytes | None = None
        self._turn = threading.Lock()

    def __repr__(self) -> str:
        return "<Passphrase>"

    @property
    def named(self) -> bool:
        """Whether the environment names a file with the passphrase."""
        return bool(self._path)

    def find(self, *, interactive: bool, create: bool) -> bytes | None:
        """
        The key; ``None`` if no passphrase has ever been chosen.

        Args:
            interactive: A person has just asked to sign in, and may be asked at the terminal.
            create: Whether a passphrase may be chosen now.

        Raises:
            KeySourceUnavailable: ``passphrase_needed`` (nobody can be asked), ``passphrase_wrong``,
                ``passphrase_short``; or the file is not there, or others may read it.
            StoreError: ``passphrase.json`` is damaged.
        """
        with self._turn:
            if self._value is None:
                recipe = self._recipe()
                if recipe is not None:
                    self._value = self._checked(recipe, self._given(interactive, new=False))
                elif create:
                    self._value = self._chosen(interactive)
            return self._value

    def _checked(self, recipe: _Recipe, passphrase: str) -> bytes:
        value = recipe.derive(passphrase)
        if self._key_id(value) != recipe.key_id:
            raise KeySourceUnavailable(
                "That is not the passphrase that the logins here are sealed with.",
                code="passphrase_wrong",
                hint=f"Try again. If it is lost, so are the logins: delete {self._folder / _NAME}, and sign in again.",
            )
        return value

    def _chosen(self, interactive: bool) -> bytes:
        passphrase = self._given(interactive, new=True)
        if len(passphrase) < SHORTEST:
            raise KeySourceUnavailable(
                f"The passphrase is too short: it needs {SHORTEST} characters or more.",
                code="passphrase_short",
                hint="Several words are easy to keep in mind, and hard to guess.",
            )
        recipe = _Recipe(secrets.token_bytes(16), **self._cost, key_id="")
        value = recipe.derive(passphrase)
        with FileLock(private_folder(self._folder) / "install.lock").hold(limit=10):
            if (other := self._recipe()) is not None:  # somebody else was faster
                return self._checked(other, passphrase)
            told = {**recipe._asdict(), "salt": recipe.salt.hex(), "key_id": self._key_id(value)}
            replace_file(str(self._folder / _NAME), json.dumps(told).encode("ascii"))
        return value

    def _given(self, interactive: bool, *, new: bool) -> str:
        if self._path:
            missing = f"{PASSPHRASE_VARIABLE} names it: write the passphrase into it, with mode 600, or unset that."
            content = private_bytes(self._path, what="The file with the passphrase", missing=missing)
            try:
                return content.decode().rstrip("\r\n")
            except UnicodeDecodeError:
                raise KeySourceUnavailable(
                    f"The passphrase in {self._path} is not text in UTF-8.",
                    code="passphrase_wrong",
                    hint="Write it anew, as plain text.",
                ) from None
        ask = self._ask if interactive else None
        question = "A new passphrase, to seal your logins with: " if new else "Passphrase of your logins: "
        said = ask(question) if ask else None
        if ask is None or not said:
            raise KeySourceUnavailable(
                "The logins here are sealed with a passphrase, and nobody is at a terminal to give it.",
                code="passphrase_needed",
                hint=f"Sign in from a terminal (`jupyter nativeauth login`), or set {PASSPHRASE_VARIABLE} to a file "
                "with the passphrase, readable by you alone, before you start Jupyter.",
            )
        if new and ask("The same once more: ") != said:
            raise KeySourceUnavailable("The two are not the same.", code="passphrase_wrong", hint="Try again.")
        return said

    def _recipe(self) -> _Recipe | None:
        path = self._folder / _NAME
        try:
            told: dict[str, Any] = json.loads(path.read_bytes()[:4096])
            n, r, p = (int(told[name]) for name in "nrp")
            recipe = _Recipe(bytes.fromhex(told["salt"]), n, r, p, str(told["key_id"]))
            if len(recipe.salt) >= 16 and min(n, r, p) > 0 and n * r * p <= _MOST_COSTLY:
                return recipe
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            pass
        raise StoreError(
            f"{path} is damaged.", code="install_damaged", hint="Restore it, or delete it and sign in again."
        )
