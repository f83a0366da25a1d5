"""
Runs in: everywhere. keyring's backends: which ones we trust, how to open them quietly, and what their failures mean.

The only file that imports keyring, and only inside functions. ``keyring.get_password`` is never called: it loads
whatever class ``PYTHON_KEYRING_BACKEND`` or ``keyringrc.cfg`` names, and gives two Pythons of one person two stores.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from .errors import KeySourceUnavailable, StoreError, clean

__all__ = ["Asleep", "OpenRing", "Ring", "open_ring", "refused_backend", "translated", "unavailable"]

_TRUSTED = frozenset(
    {
        "keyring.backends.SecretService.Keyring",
        "keyring.backends.Windows.WinVaultKeyring",
        "keyring.backends.kwallet.DBusKeyring",  # KWallet and libsecret: the same stores, through the Secret Service
        "keyring.backends.kwallet.DBusKeyringKWallet4",
        "keyring.backends.libsecret.Keyring",
        "keyring.backends.macOS.Keyring",
    }
)

_MEMORY = 'set `key_source = "memory"` in nativeauth.toml to keep logins in memory only'
_HINTS: Final[Mapping[str, str]] = {
    "keychain_locked": "Unlock it: sign in again and answer its question, or log in to the desktop"
    f" (over SSH: `gnome-keyring-daemon --unlock`, macOS `security unlock-keychain`). Or {_MEMORY}.",
    "keychain_timeout": f"Answer its question if one is open; else restart it (log out and in again). Or {_MEMORY}.",
    "keychain_plaintext": "Give it a password (Passwords and Keys, Login, Change Password;"
    f" automatic login makes it empty). Or {_MEMORY}.",
    "keychain_missing": f"Install and start one (gnome-keyring, KWallet, KeePassXC). Or {_MEMORY}.",
    "keychain_refused": f"Remove that setting. Or {_MEMORY}.",
    "keychain_error": f"Sign in again. Or {_MEMORY}.",
}
_BUS_NAME = "org.freedesktop.secrets"
_PROGRAMS = {"gnome-keyring": "gnome-keyring", "kwalletd": "KWallet", "ksecretd": "KWallet", "keepassxc": "KeePassXC"}


class Ring(Protocol):
    """What :class:`Keychain` needs of a keyring backend. Any exception is translated."""

    label: str

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


class OpenRing(Protocol):
    """How a keychain is opened: quietly, or with a person at hand; only to look, or to create what is missing."""

    def __call__(self, environ: Mapping[str, str], *, interactive: bool, create: bool, limit: float) -> Ring: ...


class Asleep(Exception):
    """The Secret Service is not running, and D-Bus would start it for a sign-in."""


def unavailable(code: str, message: str, hint: str = "") -> KeySourceUnavailable:
    """The error for *code*, with the remedy that belongs to it."""
    return KeySourceUnavailable(message, code=code, hint=hint or _HINTS[code])


def open_ring(environ: Mapping[str, str], *, interactive: bool, create: bool, limit: float) -> Ring:
    """This machine's keychain. What is wrong with it shows when it is used."""
    if sys.platform == "darwin":
        return _MacKeychain(interactive=interactive)
    if sys.platform == "win32":
        return _windows()
    return _SecretService(environ, interactive=interactive, create=create, limit=limit)


def _bare(backend: Any) -> Any:
    # Not through __init__, which sets any attribute that a variable KEYRING_PROPERTY_* names.
    return backend.__new__(backend)


def _windows() -> Ring:
    from keyring.backends.Windows import WinVaultKeyring

    ring = _bare(WinVaultKeyring)
    ring.persist = "local machine"  # the default roams to the other machines of a domain
    ring.label = "Windows Credential Manager"
    chosen: Ring = ring
    return chosen


class _MacKeychain:
    label = "macOS Keychain"

    def __init__(self, *, interactive: bool) -> None:
        from keyring.backends.macOS import Keyring

        self._ring = _bare(Keyring)
        self._ring.keychain = None
        self._interactive = interactive

    def get_password(self, service: str, username: str) -> str | None:
        with self._quiet():
            password: str | None = self._ring.get_password(service, username)
            return password

    def set_password(self, service: str, username: str, password: str) -> None:
        with self._quiet():
            self._ring.set_password(service, username, password)

    def delete_password(self, service: str, username: str) -> None:
        with self._quiet():
            self._ring.delete_password(service, username)

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        # A new Python binary would make macOS ask; with this it answers errSecInteractionNotAllowed instead.
        import ctypes

        try:
            security = ctypes.CDLL("/System/Library/Frameworks/Security.framework/Security")
            allow = security.SecKeychainSetUserInteractionAllowed
        except (OSError, AttributeError):  # deprecated since macOS 10.10, so it may go
            yield
            return
        allow.argtypes = [ctypes.c_ubyte]
        allow(int(self._interactive))
        try:
            yield
        finally:
            allow(1)


class _SecretService:
    """
    keyring's Secret Service backend over a connection of our own.

    Unless *interactive*, it starts no service, creates no collection and opens no prompt; each answer has a limit.
    """

    def __init__(self, environ: Mapping[str, str], *, interactive: bool, create: bool, limit: float) -> None:
        from keyring.backends.SecretService import Keyring

        self.label = "Secret Service"
        self._environ, self._interactive, self._create, self._limit = environ, interactive, create, limit
        ring = _bare(Keyring)
        ring.get_preferred_collection, ring.unlock = self._collection, self._unlock
        self.set_password, self.delete_password = ring.set_password, ring.delete_password
        self._ring = ring

    def get_password(self, service: str, username: str) -> str | None:
        with contextlib.suppress(_NoCollection):
            password: str | None = self._ring.get_password(service, username)
            return password
        return None

    def _collection(self) -> Any:
        bus = self._connect()
        try:
            return self._default(bus)
        except BaseException:
            bus.close()
            raise

    def _unlock(self, lockable: Any) -> None:
        """Unlock a collection or an item if need be, asking this person only if one is there."""
        if lockable.is_locked() and (not self._interactive or lockable.unlock() or lockable.is_locked()):
            raise unavailable("keychain_locked", "The keychain is locked.")

    def _connect(self) -> Any:
        from jeepney import HeaderFields, MessageFlag
        from jeepney.io.blocking import open_dbus_connection

        address = self._environ.get("DBUS_SESSION_BUS_ADDRESS", "")
        if not address:
            raise unavailable("keychain_missing", "This session has no D-Bus, so no Secret Service.")
        try:
            bus = open_dbus_connection(address)
        except TimeoutError:
            raise
        except (OSError, ValueError, RuntimeError, StopIteration):
            raise unavailable("keychain_missing", "No D-Bus answers at DBUS_SESSION_BUS_ADDRESS.") from None
        send = bus.send_and_get_reply

        def bounded(message: Any, *, timeout: float | None = None) -> Any:  # noqa: ARG001 - ours is the shorter one
            if not self._interactive:
                if message.header.fields.get(HeaderFields.interface) == "org.freedesktop.Secret.Prompt":
                    raise unavailable("keychain_locked", "The keychain wants to ask a question.")
                message.header.flags |= MessageFlag.no_auto_start
            return send(message, timeout=self._limit)

        bus.send_and_get_reply = bounded
        return bus

    def _default(self, bus: Any) -> Any:
        import secretstorage
        from jeepney.bus_messages import message_bus
        from jeepney.io.blocking import Proxy
        from secretstorage.exceptions import ItemNotFoundException, PromptDismissedException
        from secretstorage.util import add_match_rules

        broker = Proxy(message_bus, bus)
        if not broker.NameHasOwner(_BUS_NAME)[0]:
            if _BUS_NAME not in broker.ListActivatableNames()[0]:
                raise unavailable("keychain_missing", "There is no Secret Service on this machine.")
            if not self._interactive:
                raise Asleep
        add_match_rules(bus)
        try:
            collection = secretstorage.get_collection_by_alias(bus, "default")
        except ItemNotFoundException:
            if not self._create:
                raise _NoCollection from None
            if not self._interactive:
                raise unavailable("keychain_missing", "The Secret Service has no default collection.") from None
            try:
                collection = secretstorage.create_collection(bus, "Default", "default")
            except PromptDismissedException:
                raise unavailable("keychain_missing", "The Secret Service made no default collection.") from None
        self._unlock(collection)
        self.label = _program(broker)
        if self.label in ("gnome-keyring", "Secret Service") and (path := _plain_text(self._environ, collection)):
            raise unavailable("keychain_plaintext", f"The keychain has an empty password: {path} is plain text.")
        return collection


class _NoCollection(Exception):
    """A Secret Service without a default collection, so without anything of ours."""


def _program(broker: Any) -> str:
    """Which program the Secret Service is, as well as one can know."""
    with contextlib.suppress(Exception):
        pid = broker.GetConnectionUnixProcessID(_BUS_NAME)[0]
        name = Path(f"/proc/{pid}/comm").read_text("ascii")  # the first 15 letters
        return next(label for start, label in _PROGRAMS.items() if name.startswith(start))
    return "Secret Service"


def _plain_text(environ: Mapping[str, str], collection: Any) -> str:
    """The file of this gnome-keyring collection if it is not encrypted: a keyring with an empty password, or ``""``."""
    # The path's last part is the file's name, with the bytes that D-Bus does not allow in a path as _xx.
    coded = str(collection.collection_path).rpartition("/")[2].encode()
    name = os.fsdecode(re.sub(rb"_([0-9a-f]{2})", lambda code: bytes([int(code[1], 16)]), coded))
    home = _home(environ)
    for data in {environ.get("XDG_DATA_HOME") or home / ".local/share", home / ".local/share"}:
        path = Path(data, "keyrings", f"{Path(name).name}.keyring")
        with contextlib.suppress(OSError), path.open("rb") as file:
            if file.read(9) == b"[keyring]":
                return str(path)
    return ""


def translated(error: BaseException, limit: float) -> BaseException:
    """What a backend's exception means. Errors of ours come back as they are, and so does an interrupt."""
    if isinstance(error, StoreError) or not isinstance(error, Exception):
        return error
    # By name: to ask with isinstance would import keyring, secretstorage and pywin32 on every machine.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(error.__cause__, "args", ())[:1]
    if kinds & {"KeyringLocked", "LockedException", "PromptDismissedException"} or status == (-25308,):
        return unavailable("keychain_locked", "The keychain is locked.")  # -25308: errSecInteractionNotAllowed
    if "TimeoutError" in kinds:
        return unavailable("keychain_timeout", f"The keychain did not answer within {limit:g} seconds.")
    if kinds & {"NoKeyringError", "SecretServiceNotAvailableException", "ConnectionError", "ImportError"}:
        return unavailable("keychain_missing", "The keychain is not there (any more).")
    if getattr(error, "winerror", None) == 1312:  # ERROR_NO_SUCH_LOGON_SESSION
        return unavailable("keychain_missing", "Windows has no Credential Manager for this kind of logon (1312).")
    # Not its words: those of a UnicodeDecodeError, for one, hold what was read.
    name = clean(getattr(error, "name", ""), 80) if "DBusErrorResponse" in kinds else ""
    return unavailable("keychain_error", f"The keychain failed ({f'{type(error).__name__} {name}'.strip()}).")


def refused_backend(environ: Mapping[str, str]) -> str:
    """Why keyring's settings keep us off the keychain, or ``""``. They are read as text; nothing is imported."""
    name, where = environ.get("PYTHON_KEYRING_BACKEND", "").strip(), "PYTHON_KEYRING_BACKEND"
    if not name:
        import configparser

        path = _keyringrc(environ)
        where = str(path)
        settings = configparser.RawConfigParser()
        try:
            settings.read_string(path.read_text("utf-8"))
            name = settings.get("backend", "default-keyring", fallback="").strip()
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except (OSError, ValueError, configparser.Error) as error:
            return f"keyring's settings in {where} cannot be read ({type(error).__name__})."
    if not name or name in _TRUSTED:
        return ""
    return f"keyring is set to {clean(name, 100)} ({where}), which is no keychain that can be trusted with a key."


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path.home() can fail


def _keyringrc(environ: Mapping[str, str]) -> Path:
    home = _home(environ)
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or environ.get("ProgramData", ".")) / "Python Keyring" / "keyringrc.cfg"
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "python_keyring" / "keyringrc.cfg"
