"""
Runs in: everywhere. Where one profile's login is kept: the vault, found by its key, read with every check, and replaced
only if it still holds what the writer has seen.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from ._files import private_folder
from ._reasons import OTHER_KEYS, login_required
from ._tombstone import is_stale, take_ending
from .errors import LoginRequired, NativeAuthError, StoreError, VaultDamaged
from .providers import PRESETS, issuer_of
from .vault import FileVault, MemoryVault, Vault, sealed_with_other_keys

if TYPE_CHECKING:
    from pathlib import Path

    from ._clock import Clock
    from ._tokens import Login
    from .keys import Key, Keys
    from .profiles import Profile

__all__ = ["Store"]

_log = logging.getLogger("jupyter_nativeauth")

_WRITE_WAIT = 10.0


class Store:
    """
    Where one profile's login is kept. Making one does no disk and no prompt.

    Args:
        profile: The way to sign in.
        keys: Where the vault's key comes from.
        folder: The folder of the vaults.
        memory: This process's vaults in memory, for all of its accounts.
        clock: Both clocks.

    Attributes:
        vault: The vault, once a key has been found.
    """

    def __init__(
        self, profile: Profile, keys: Keys, folder: Path, memory: dict[tuple[str, bytes], MemoryVault], clock: Clock
    ) -> None:
        self.keys = keys
        self.vault: Vault | None = None
        self._profile = profile
        self._folder = folder
        self._memory = memory
        self._clock = clock
        self._key_id = b""

    # Finding the vault

    def key(self, *, interactive: bool = False, create: bool = False) -> Key | None:
        """The vault's key. Only an explicit sign-in is *interactive*: it may prompt, and it makes the key."""
        try:
            return self.keys.find(self._profile.key_source, interactive=interactive, create=create)
        except LoginRequired as refused:  # by the key agent, which does not know for which profile it was asked
            raise login_required(self._profile, refused.code) from None

    def open(self, key: Key | None = None) -> Vault:
        """The vault; with *key* that of this key, should it be another one than until now."""
        if self.vault is None or (key is not None and key.id != self._key_id):
            key = key or self.key()
            if key is None:
                raise self._nobody(None)
            self.vault, self._key_id = self._vault_of(key), key.id
        return self.vault

    def _vault_of(self, key: Key) -> Vault:
        name = self._profile.name
        if key.source == "process":
            # Not this store's own: a profile that was edited makes a new account, which has to find the login.
            return self._memory.setdefault((name, key.id), MemoryVault(name, key))
        return FileVault(private_folder(self._folder), name, key)

    def _nobody(self, key: Key | None) -> LoginRequired:
        """Nobody is signed in, as far as *key* can tell: it may not open what there is."""
        source = self.sealed_elsewhere(key)
        if source:
            return login_required(self._profile, "other_key", OTHER_KEYS.get(source, ""))
        return login_required(self._profile, "signed_out")

    def sealed_elsewhere(self, key: Key | None) -> str:
        """The key source of a login that *key* does not open; empty if there is none."""
        headers = sealed_with_other_keys(self._folder, self._profile.name, key)
        return next((header.key_source for header in headers if header.signed_in), "")

    # Reading it

    def generation(self) -> int:
        """Differs after each write, for who watches; -1 until a key has been found. It asks for none."""
        return -1 if self.vault is None else self.vault.generation()

    def login_id(self) -> str:
        """A new one for each sign-in; empty when nobody is signed in or the key cannot be had silently."""
        try:
            header = self.open().header()
        except NativeAuthError:
            return ""
        return header.login_id if header is not None and header.signed_in else ""

    def read(self) -> tuple[Login, int]:
        """
        The login, if there is one and it is of this profile, and its generation.

        Raises:
            LoginRequired: There is none; the code says why.
            StoreError: The vault or its key cannot be used.
        """
        vault = self.open()
        try:
            contents = vault.read()
        except VaultDamaged as damage:
            self._set_aside(vault, damage)
            contents = None
        if contents is None:
            if vault.was_damaged():
                raise login_required(self._profile, "damaged")
            raise self._nobody(self.key())
        if not contents.header.signed_in:
            if is_stale(contents, now=self._clock.time()):
                with contextlib.suppress(StoreError):
                    take_ending(vault, now=self._clock.time())  # the ID token need not be kept any longer
            raise login_required(self._profile, str(contents.record.get("reason", "signed_out")))
        try:
            login = contents.login()
        except VaultDamaged as damage:
            self._set_aside(vault, damage, contents.header.generation)
            raise login_required(self._profile, "damaged") from None
        if not self._matches(login):
            raise login_required(self._profile, "profile_changed")
        return login, contents.header.generation

    def _set_aside(self, vault: Vault, damage: VaultDamaged, generation: int | None = None) -> None:
        _log.warning("%s", damage)
        vault.set_aside(generation=generation)

    def _matches(self, login: Login) -> bool:
        """A login is bound to what it was made with; its refresh token never goes anywhere else."""
        profile = self._profile
        return (login.provider.issuer, login.client_id, login.audience, login.organization) == (
            issuer_of(PRESETS[profile.provider], profile.options),
            profile.client_id,
            profile.audience or "",
            profile.home,
        )

    # Writing it

    def save(self, login: Login) -> int:
        """Store a new sign-in; it takes the place of whatever was there. Returns the generation."""
        vault = self.open()
        with vault.write_lock.hold(limit=_WRITE_WAIT):
            return vault.write(login.to_record(), login_id=login.login_id, signed_in=True).generation

    def replace(self, sent: Login, newer: Login) -> int:
        """
        Store a renewal, only if the vault still holds the login and the refresh token that was sent.

        Returns:
            The generation of what was written; 0 if something else is in the vault by now.
        """
        vault = self.open()
        with vault.write_lock.hold(limit=_WRITE_WAIT):
            if not _still(vault, sent):
                return 0
            return vault.write(newer.to_record(), login_id=newer.login_id, signed_in=True).generation

    def end(self, sent: Login, reason: str) -> bool:
        """Leave a tombstone, only if the vault still holds the login and the refresh token that was sent."""
        vault = self.open()
        with vault.write_lock.hold(limit=_WRITE_WAIT):
            if not _still(vault, sent):
                return False
            vault.write({"reason": reason}, login_id=sent.login_id, signed_in=False)
            return True


def _still(vault: Vault, sent: Login) -> bool:
    try:
        contents = vault.read()
        if contents is None or not contents.header.signed_in:
            return False
        stored = contents.login()
    except VaultDamaged:
        return False
    return stored.login_id == sent.login_id and stored.refresh_token == sent.refresh_token
