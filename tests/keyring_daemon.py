"""
Runs in: the tests and the check of the demo. A real gnome-keyring on a D-Bus session of its own, without a desktop.

The process that uses it stays clean: hand ``KeyringSession.environ`` to child processes, which then find this keychain
and no other. Needs the programs ``dbus-daemon`` and ``gnome-keyring-daemon``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LIMIT = 10.0
PASSWORD = "correct horse battery staple"
ROOT = Path(__file__).parent.parent

_BUS = """<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  {services}
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""
_FOREIGN = ("DBUS_", "XDG_", "PYTHON_KEYRING", "KEYRING_PROPERTY_", "GNOME_KEYRING")
_DESKTOP = ("DISPLAY", "WAYLAND_DISPLAY")


class KeyringSession:
    """
    A D-Bus session with or without a gnome-keyring on it.

    Attributes:
        variables: What leads a process here: HOME, the XDG folders and DBUS_SESSION_BUS_ADDRESS.
        environ: The environment for a child process: ours, without a desktop, with ``variables``.
        home: Its HOME.
        keyrings: The folder where gnome-keyring keeps its files.
    """

    def __init__(self, folder: Path, home: Path, base: Mapping[str, str]) -> None:
        self.home = home
        self.keyrings = home / ".local/share/keyrings"
        self.variables = {
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / ".local/share"),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "XDG_STATE_HOME": str(home / ".local/state"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
        }
        kept = {k: v for k, v in base.items() if not k.startswith(_FOREIGN) and k not in _DESKTOP}
        self.environ = {**kept, **self.variables}
        self._folder = folder
        self._bus: subprocess.Popen[str] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        for path in self.variables.values():
            Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        return self.variables["DBUS_SESSION_BUS_ADDRESS"]

    def start_bus(self, *, activatable: bool) -> None:
        """Start the bus. With *activatable*, it starts the services that are installed on this machine on demand."""
        services = "<standard_session_servicedirs/>" if activatable else ""
        config = self._folder / "bus.conf"
        config.write_text(_BUS.format(socket=self._folder / "bus", services=services))
        self._bus = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address=1"],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._bus.stdout is not None
        self.variables["DBUS_SESSION_BUS_ADDRESS"] = self._bus.stdout.readline().strip()
        self.environ.update(self.variables)

    def start(self, *, unlock: bool = True, password: str = PASSWORD) -> None:
        """Start gnome-keyring. With *unlock*, its login keyring is there and open, with *password*."""
        self._daemon = subprocess.Popen(
            ["gnome-keyring-daemon", "--foreground", "--components=secrets", *(["--unlock"] if unlock else [])],
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert self._daemon.stdin is not None
        self._daemon.stdin.write(password.encode() if unlock else b"")
        self._daemon.stdin.close()
        end = time.monotonic() + LIMIT
        while not self.owner():
            if time.monotonic() > end or self._daemon.poll() is not None:
                raise RuntimeError("gnome-keyring-daemon did not start")
            time.sleep(0.01)

    def stop(self) -> None:
        """End gnome-keyring, as a logout does. Its files stay."""
        if self._daemon is not None:
            _end(self._daemon)
            self._daemon = None

    def restart(self, *, unlock: bool = True, password: str = PASSWORD) -> None:
        """A logout and a login."""
        self.stop()
        self.start(unlock=unlock, password=password)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """For the length of the block, gnome-keyring answers nothing (SIGSTOP)."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._daemon.send_signal(signal.SIGCONT)

    def owner(self) -> int:
        """The process id of the Secret Service, or 0 if there is none. Starts nothing."""
        from jeepney.bus_messages import message_bus
        from jeepney.io.blocking import Proxy

        with self.connect() as bus:
            broker = Proxy(message_bus, bus, timeout=LIMIT)
            if not broker.NameHasOwner("org.freedesktop.secrets")[0]:
                return 0
            return int(broker.GetConnectionUnixProcessID("org.freedesktop.secrets")[0])

    @contextlib.contextmanager
    def connect(self) -> Iterator[Any]:
        """A connection to this bus, for ``secretstorage``."""
        from jeepney.io.blocking import open_dbus_connection

        bus = open_dbus_connection(self.address)
        try:
            yield bus
        finally:
            bus.close()

    @contextlib.contextmanager
    def collection(self) -> Iterator[Any]:
        """The default keyring, as a ``secretstorage.Collection``."""
        import secretstorage

        with self.connect() as bus:
            yield secretstorage.get_collection_by_alias(bus, "default")

    def lock(self) -> None:
        """Lock the default keyring."""
        with self.collection() as collection:
            collection.lock()

    def unlock(self, password: str = PASSWORD) -> None:
        """Unlock the default keyring without a prompt."""
        self._master("UnlockWithMasterPassword", "o(oayays)", password)

    def change_password(self, old: str, new: str) -> None:
        """Change the default keyring's password without a prompt. An empty one makes its file plain text."""
        self._master("ChangeWithMasterPassword", "o(oayays)(oayays)", old, new)

    def _master(self, method: str, signature: str, *passwords: str) -> None:
        # gnome-keyring's own interface for what its daemon does at login.
        from secretstorage.util import DBusAddressWrapper, format_secret, open_session

        interface = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"
        with self.collection() as collection:
            bus = collection.connection
            session = open_session(bus)
            secrets = [format_secret(session, word.encode(), "text/plain") for word in passwords]
            service = DBusAddressWrapper("/org/freedesktop/secrets", interface, bus)
            service.call(method, signature, collection.collection_path, *secrets)

    def spawn(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start this Python in this session, from the project's folder, with pipes to talk to it."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            env={**self.environ, "PYTHONPATH": str(ROOT), **variables},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End everything that was started here, by its process id."""
        if self._bus is not None:
            self.stop()
            with contextlib.suppress(Exception):
                if activated := self.owner():
                    os.kill(activated, signal.SIGTERM)
            _end(self._bus)


@contextlib.contextmanager
def keyring_daemon(
    *,
    state: str = "unlocked",
    home: Path | None = None,
    activatable: bool = False,
    base: Mapping[str, str] = os.environ,
) -> Iterator[KeyringSession]:
    """
    A private D-Bus session, and a real gnome-keyring on it.

    Args:
        state: ``"unlocked"``, ``"locked"`` (a login keyring exists), ``"new"`` (running, no keyring yet), ``"frozen"``
            (unlocked and stopped), ``"plain"`` (with an empty password) or ``"absent"`` (not running).
        home: HOME of the session. Default: a temporary one.
        activatable: Whether D-Bus starts what is installed on this machine, gnome-keyring among it, on demand.
        base: The environment that the session's is made from.

    Example:
        >>> with keyring_daemon() as session:
        ...     session.spawn("-c", "import keyring; print(keyring.get_keyring().name)").communicate()[0]
        'SecretService Keyring\\n'
    """
    folder = Path(tempfile.mkdtemp(prefix="kr-"))
    session = KeyringSession(folder, home or folder / "home", base)
    try:
        session.start_bus(activatable=activatable)
        if state != "absent":
            session.start(unlock=state != "new")
        if state == "locked":
            session.lock()
        if state == "plain":
            session.change_password(PASSWORD, "")
        with session.frozen() if state == "frozen" else contextlib.nullcontext():
            yield session
    finally:
        session.close()
        shutil.rmtree(folder, ignore_errors=True)


def _end(process: subprocess.Popen[Any]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(LIMIT)
    if process.stdout is not None:
        process.stdout.close()
