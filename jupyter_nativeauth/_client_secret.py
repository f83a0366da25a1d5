"""
Runs in: everywhere. The secret of a confidential client (RFC 6749, section 2.3.1), sealed beside the login it serves.

It never stands in a file that opens without the vault's key, nor in an argument, a variable of the environment or a
log. A sign-out leaves it; it goes to the client and service that it was set for, and to nobody else.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from ._files import private_folder
from ._tokens import Members, Secret
from .errors import ConfigError, VaultDamaged
from .profiles import Profile
from .providers import PRESETS, issuer_of
from .vault import FileVault

if TYPE_CHECKING:
    from .keys import Key, Keys

__all__ = ["ClientSecret"]


class ClientSecret:
    """
    Where one profile's client secret is kept. Making one does no disk and no prompt.

    Args:
        profile: Whose client it is.
        keys: Where the vault's key comes from.
        folder: The folder of the vaults.
    """

    def __init__(self, profile: Profile, keys: Keys, folder: Path) -> None:
        self._profile = profile
        self._keys = keys
        self._folder = folder

    def __repr__(self) -> str:
        return f"<ClientSecret of {self._profile.name!r}>"

    def read(self) -> Secret:
        """
        The secret.

        Raises:
            ConfigError: There is none, or it is that of another client.
            StoreError: It cannot be read just now.
        """
        key = self._keys.find(self._profile.key_source)
        record = self._record(key) if key is not None else Members()
        if not record.get("secret") or (record.get("issuer"), record.get("client_id")) != self._client():
            raise self._missing()
        return Secret(record["secret"])

    def set(self, secret: Secret, key: Key) -> None:
        """Keep *secret*, sealed with *key*, in the place of any other."""
        issuer, client_id = self._client()
        self._write(key, Members(secret=secret.reveal(), issuer=issuer, client_id=client_id))

    def remove(self) -> bool:
        """Forget the secret. Returns whether there was one."""
        key = self._keys.find(self._profile.key_source)
        if key is None or not self._record(key).get("secret"):
            return False
        self._write(key, Members())
        return True

    def _client(self) -> tuple[str, str]:
        profile = self._profile
        return issuer_of(PRESETS[profile.provider], profile.options), profile.client_id

    def _vault(self, key: Key) -> FileVault:
        # No profile's name has a dot, so no login is ever kept under this one. "Nobody signed in" stands in its head.
        return FileVault(private_folder(self._folder), f"{self._profile.name}.client", key)

    def _record(self, key: Key) -> Members:
        try:
            contents = self._vault(key).read()
        except VaultDamaged:
            return Members()
        return Members() if contents is None else contents.record

    def _write(self, key: Key, record: Members) -> None:
        vault = self._vault(key)
        with vault.write_lock.hold(limit=10):
            vault.write(record, login_id=secrets.token_hex(16), signed_in=False)

    def _missing(self) -> ConfigError:
        name = self._profile.name
        return ConfigError(
            f"The client of {name!r} is a confidential one, and its secret is not here.",
            code="client_secret_missing",
            hint=f"Run `jupyter nativeauth secret set {name}` in a terminal; the service shows the secret where your "
            'application is registered. Or use a native client, which needs none: client_type = "native".',
        )
