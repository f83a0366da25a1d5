"""
Runs in: the tests. A real KWallet on a D-Bus session of its own, which answers as a Secret Service; without a desktop.

Needs the program ``kwalletd5`` with QCA's plug-in for OpenSSL. The wallet is opened as a login does it (PAM), so that
no window asks for its password.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, new_method_call

from tests.keyring_daemon import LIMIT, PASSWORD, KeyringSession

NAME = "kdewallet"
SETTINGS = f"""[Wallet]
First Use=false
Default Wallet={NAME}
[org.freedesktop.secrets]
apiEnabled=true
"""
_DAEMON = DBusAddress("/modules/kwalletd5", "org.kde.kwalletd5", "org.kde.KWallet")


class KWalletSession(KeyringSession):
    """A D-Bus session with a KWallet on it."""

    def start(self, *, unlock: bool = True, password: str = PASSWORD) -> None:
        """Start it. With *unlock*, its wallet is there and open. A new wallet is shown from the next start on."""
        Path(self.variables["XDG_CONFIG_HOME"], "kwalletrc").write_text(SETTINGS)
        for is_new in (True, False) if not list(self.home.rglob("*.kwl")) else (False,):
            self._daemon = subprocess.Popen(
                ["kwalletd5"],
                env={**self.environ, "QT_QPA_PLATFORM": "offscreen"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            end = time.monotonic() + LIMIT
            while not self.owner():
                if time.monotonic() > end or self._daemon.poll() is not None:
                    raise RuntimeError("kwalletd5 did not start")
                time.sleep(0.01)
            if unlock or is_new:
                # As pam_kwallet derives it; any salt will do, since nobody types the password here.
                key = hashlib.pbkdf2_hmac("sha512", password.encode(), b"salt" * 14, 1000, 56)
                self.ask("pamOpen", "sayi", NAME, key, 0)
            if is_new:
                self.stop()

    def ask(self, method: str, signature: str, *values: Any) -> Any:
        """Call KWallet's own interface."""
        with self.connect() as bus:
            reply = bus.send_and_get_reply(new_method_call(_DAEMON, method, signature, values), timeout=LIMIT)
            return reply.body[0] if reply.body else None

    def lock(self) -> None:
        """Close the wallet, as its window does."""
        self.ask("closeAllWallets", "")


@contextlib.contextmanager
def kwallet_daemon(*, base: Mapping[str, str] = os.environ) -> Iterator[KWalletSession]:
    """A private D-Bus session, and a real KWallet on it, whose wallet is open."""
    folder = Path(tempfile.mkdtemp(prefix="kw-"))
    session = KWalletSession(folder, folder / "home", base)
    try:
        session.start_bus(activatable=False)
        session.start()
        yield session
    finally:
        session.close()
        shutil.rmtree(folder, ignore_errors=True)
