"""
Runs in: everywhere. One profile's login: who uses it, renews it and ends it. The only writer of the vault.

The same code runs in the server, in each kernel and in each script; they meet in the vault. Whoever needs a newer
access token takes the refresh lock, reads again, and asks the provider only if nobody else has.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ._current import SPACING, Current
from ._files import private_folder
from ._presence import Presence
from ._refresh import Refresher
from ._tokens import AccessToken, Identity, Login
from ._tombstone import EndSession, bury, ending_in, is_stale, take_ending
from .errors import LoginRequired, NativeAuthError, ProviderUnavailable, StoreError, VaultDamaged
from .profiles import Profile
from .providers import PRESETS, issuer_of
from .vault import Contents, FileVault, MemoryVault, Vault, sealed_with_other_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._callback import Code
    from ._client_secret import ClientSecret
    from ._clock import Clock
    from ._device import DeviceRequest
    from ._grant import Granted
    from ._http import ProviderClient
    from .keys import Key, Keys

__all__ = ["Account"]

_log = logging.getLogger("jupyter_nativeauth")

_WRITE_WAIT = 10.0


class Account:
    """
    One profile's login. Making one does no network, no disk and no prompt.

    Args:
        profile: The way to sign in.
        keys: Where the vault's key comes from.
        folder: The folder of the vaults.
        client: The guarded client to the provider.
        clock: Both clocks.
        memory: This process's vaults in memory, for all of its accounts.
        presence: Whether somebody has confirmed that it is them, for all of its accounts.
    """

    def __init__(
        self,
        profile: Profile,
        keys: Keys,
        folder: Path,
        *,
        client: ProviderClient | None = None,
        clock: Clock = time,
        memory: dict[tuple[str, bytes], MemoryVault] | None = None,
        presence: Presence | None = None,
    ) -> None:
        self.profile = profile
        self._keys = keys
        self.folder = folder
        self._client = client
        self._clock = clock
        self._memory = {} if memory is None else memory
        self.presence = presence or Presence()
        self._vault: Vault | None = None
        self._key_id = b""
        self._current: Current | None = None
        self._refresher = Refresher(self, clock)

    def __repr__(self) -> str:
        return f"<Account {self.profile.name!r}>"

    @property
    def lender(self) -> str:
        """Who signs people in, if nobody does here."""
        return PRESETS[self.profile.provider].lender

    @property
    def issuer(self) -> str:
        """Who signs people in to it."""
        return issuer_of(PRESETS[self.profile.provider], self.profile.options)

    # Whether it is them

    def signs_in_here(self) -> None:
        """
        Asked before each sign-in.

        Raises:
            LoginFailed: Nobody signs in to this profile here.
        """

    def confirm_presence(self, *, cancelled: Callable[[], bool] = lambda: False) -> None:
        """
        Let the person at the device confirm that it is them, if the profile says so. Only what they have just asked
        for may call this.

        Args:
            cancelled: Whether nobody waits for it any more.

        Raises:
            LoginFailed: They did not, or there is no way to ask them here.
        """
        if self.profile.presence is not None:
            self.presence.confirm(cancelled=cancelled)

    def require_presence(self) -> None:
        """
        Nobody is asked anything here.

        Raises:
            LoginRequired: ``presence_required``: the last confirmation is too old for this profile.
        """
        if self.profile.presence == "hourly" and not self.presence.left():
            raise self.required("presence_required")

    def presence_left(self) -> float:
        """Seconds for which the last confirmation is good; 0 if there is none."""
        return self.presence.left()

    def waits_for_presence(self) -> bool:
        """Whether there is a login that goes on only once somebody has confirmed that it is them."""
        return self.profile.presence == "hourly" and not self.presence.left() and bool(self._sealed_elsewhere(None))

    # Using it

    def access_token(self, *, rejected: AccessToken | None = None) -> AccessToken:
        """
        An access token that is not known to be over.

        Without *rejected*, and with time left, it costs two clock readings and one small read. Inside the margin before
        the end it returns the old token at once and renews it in the background. It never opens a browser.

        Args:
            rejected: The token that the API has just refused: it is renewed once, by whoever comes first.

        Raises:
            LoginRequired: Nobody is signed in, or the login is over.
            ProviderUnavailable: It has to be renewed, and the provider does not answer.
            StoreError: The vault or its key cannot be used.
        """
        if rejected is None and (token := self.ready_token()) is not None:
            return token
        return self._usable(rejected)

    def ready_token(self) -> AccessToken | None:
        """The access token, if it can be had at once: no lock, no import, no thread, three system calls."""
        current, vault = self._current, self._vault
        if (
            current is not None
            and vault is not None
            and self._clock.monotonic() < current.renew_at
            and self._clock.time() < current.renew_wall
            and vault.generation() == current.generation
        ):
            return current.token
        return None

    def _usable(self, rejected: AccessToken | None) -> AccessToken:
        for _ in range(8):
            current = self.load()
            token = current.token
            if token is not None and token != rejected and self.before(current.end_wall, current.end_at):
                if not self.before(current.renew_wall, current.renew_at):
                    self._refresher.start_unless_paused(rejected)
                return token
            if rejected is not None and token == rejected and 0 <= self._clock.time() - current.renewed_at < SPACING:
                # The API refuses even what the provider has just made, for whichever process. Asking again would only
                # make a storm.
                return token
            token = self._refresher.wait(rejected)
            if token != rejected:
                return token
        raise ProviderUnavailable(f"The service of {self.profile.name!r} keeps handing out the token that was refused.")

    def before(self, wall: float, monotonic: float) -> bool:
        """Whether neither clock has reached its time."""
        return self._clock.time() < wall and self._clock.monotonic() < monotonic

    @property
    def client(self) -> ProviderClient:
        """The guarded client to the provider, made when it is first needed."""
        if self._client is None:
            from ._http import ProviderClient

            secret = self.client_secret().read if self.profile.client_type == "confidential" else None
            self._client = ProviderClient(
                ca_bundle=self.profile.ca_bundle,
                client_secret=secret,
                rate_limit_reset=PRESETS[self.profile.provider].rate_limit_reset,
            )
        return self._client

    def client_secret(self) -> ClientSecret:
        """Where the secret of a confidential client is kept."""
        from ._client_secret import ClientSecret

        return ClientSecret(self.profile, self._keys, self.folder)

    def identity(self) -> Identity:
        """Who is signed in. Raises what :meth:`access_token` raises, but asks the provider nothing."""
        return self.login().identity

    def login(self) -> Login:
        """The stored login, as it stands."""
        return self._read(self.open())

    def login_id(self) -> str:
        """A new one for each sign-in; empty when nobody is signed in or the key cannot be had silently."""
        try:
            header = self.open().header()
        except NativeAuthError:
            return ""
        return header.login_id if header is not None and header.signed_in else ""

    def generation(self) -> int:
        """Differs after each write, for who watches; -1 until a key has been found. It asks for none."""
        return -1 if self._vault is None else self._vault.generation()

    # Reading the vault

    def key(self, *, interactive: bool = False, create: bool = False) -> Key | None:
        """The vault's key. Only an explicit sign-in is *interactive*: it may prompt, and it makes the key."""
        try:
            return self._keys.find(self.profile.key_source, interactive=interactive, create=create)
        except LoginRequired as refused:  # by the key agent, which does not know for which profile it was asked
            raise self.required(refused.code) from None

    def open(self, key: Key | None = None) -> Vault:
        """The vault; with *key* that of this key, should it be another one than until now."""
        if self._vault is None or (key is not None and key.id != self._key_id):
            key = key or self.key()
            if key is None:
                raise self._nobody(None)
            self._vault, self._key_id = self._vault_of(key), key.id
        return self._vault

    def _vault_of(self, key: Key) -> Vault:
        name = self.profile.name
        if key.source == "process":
            # Not this account's own: a profile that was edited makes a new account, which has to find the login.
            return self._memory.setdefault((name, key.id), MemoryVault(name, key))
        return FileVault(private_folder(self.folder), name, key)

    def _nobody(self, key: Key | None) -> LoginRequired:
        """Nobody is signed in, as far as *key* can tell: it may not open what there is."""
        source = self._sealed_elsewhere(key)
        return self.required("other_key", _OTHER_KEYS.get(source, "")) if source else self.required("signed_out")

    def _sealed_elsewhere(self, key: Key | None) -> str:
        """The key source of a login that *key* does not open; empty if there is none."""
        headers = sealed_with_other_keys(self.folder, self.profile.name, key)
        return next((header.key_source for header in headers if header.signed_in), "")

    def load(self) -> Current:
        vault = self.open()
        current = self._current
        if current is None or vault.generation() != current.generation:
            contents = self._contents(vault)
            login = self._checked(contents)
            self.require_presence()
            current = self.adopt(login, contents.header.generation if contents else 0)
        return current

    def adopt(self, login: Login, generation: int) -> Current:
        self._current = Current.of(login, generation, self._clock)
        return self._current

    def _contents(self, vault: Vault) -> Contents | None:
        try:
            return vault.read()
        except VaultDamaged as damage:
            self._set_aside(vault, damage)
            return None

    def _set_aside(self, vault: Vault, damage: VaultDamaged, generation: int | None = None) -> None:
        _log.warning("%s", damage)
        vault.set_aside(generation=generation)

    def _read(self, vault: Vault) -> Login:
        return self._checked(self._contents(vault))

    def _checked(self, contents: Contents | None) -> Login:
        """The login in *contents*, if it is one, and one of this profile."""
        if contents is None:
            vault = self.open()
            if vault.was_damaged():
                raise self.required("damaged")
            raise self._nobody(self.key())
        if not contents.header.signed_in:
            if is_stale(contents, now=self._clock.time()):
                with contextlib.suppress(StoreError):
                    self.take_end_session()  # too late for it: the ID token need not be kept any longer
            raise self.required(str(contents.record.get("reason", "signed_out")))
        try:
            login = contents.login()
        except VaultDamaged as damage:
            self._set_aside(self.open(), damage, contents.header.generation)
            raise self.required("damaged") from None
        if not self._matches(login):
            raise self.required("profile_changed")
        return login

    def _matches(self, login: Login) -> bool:
        """A login is bound to what it was made with; its refresh token never goes anywhere else."""
        profile = self.profile
        return (login.provider.issuer, login.client_id, login.audience, login.organization) == (
            issuer_of(PRESETS[profile.provider], profile.options),
            profile.client_id,
            profile.audience or "",
            profile.home,
        )

    def required(self, code: str, hint: str = "") -> LoginRequired:
        name, preset = self.profile.name, PRESETS[self.profile.provider]
        words = _REASONS.get(code, _REASONS["signed_out"]).format(name=name)
        more = preset.over_words.get(code) or (preset.no_offline_words if code == "no_refresh_token" else hint)
        way = f"Run `%login {name}` in a notebook, or `jupyter nativeauth login {name}` in a terminal."
        if code == "presence_required":
            way = f'Run `%login {name}` in a notebook, or login("{name}") in your script: this device then asks you.'
        return LoginRequired(words, code=code, hint=f"{more} {way}".strip())

    # Writing it

    def save(self, login: Login) -> None:
        """Store a new sign-in; it takes the place of whatever was there."""
        vault = self.open()
        with vault.write_lock.hold(limit=_WRITE_WAIT):
            header = vault.write(login.to_record(), login_id=login.login_id, signed_in=True)
        self._refresher.forget()
        self.adopt(login, header.generation)

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

    def is_over(self, login: Login) -> bool:
        """
        Whether nobody here goes on with *login*'s grant at the provider: signed out, or somebody else signed in.

        The same person's new sign-in may share the grant, and revoking one refresh token of it would end both
        (RFC 7009, section 2.1).
        """
        try:
            now = self.login().identity
        except NativeAuthError:
            return True
        return (now.issuer, now.subject) != (login.identity.issuer, login.identity.subject)

    def end(self, sent: Login, reason: str) -> bool:
        """Leave a tombstone, only if the vault still holds the login and the refresh token that was sent."""
        vault = self.open()
        with vault.write_lock.hold(limit=_WRITE_WAIT):
            if not _still(vault, sent):
                return False
            vault.write({"reason": reason}, login_id=sent.login_id, signed_in=False)
            return True

    def redeem(self, code: Code) -> Login:
        """
        Redeem the code, and check who it is. Nothing is stored yet.

        Raises:
            LoginFailed, ProviderUnavailable: There is no login; the code is spent.
        """
        from ._exchange import redeem

        return redeem(self.client, code, login_id=secrets.token_hex(16), clock=self._clock)

    def believe(self, asked: DeviceRequest, granted: Granted) -> Login:
        """
        Check who it is that signed in on another device. Nothing is stored yet.

        Raises:
            LoginFailed, ProviderUnavailable: There is no login; what was granted is lost.
        """
        from ._exchange import believe

        return believe(self.client, asked, granted, login_id=secrets.token_hex(16), clock=self._clock)

    def drop(self, unwanted: Login) -> None:
        """Revoke a login that nobody wants any more, unless the same person goes on with its grant."""
        from ._exchange import revoke

        if self.is_over(unwanted):
            revoke(self.client, unwanted)

    def sign_out(self) -> Login | None:
        """
        End the login here, at once, whatever the provider does: a tombstone takes its place.

        For ten minutes the tombstone keeps, sealed, what a browser page needs to end the provider's session too.

        Returns:
            The login that was, so that it can be revoked; ``None`` if there was none.
        """
        try:
            vault = self.open()
        except LoginRequired as error:
            if error.code == "presence_required":
                hint = f"Sign out in the sidebar; or run `%login {self.profile.name}` first, and confirm it."
                raise StoreError(f"Nobody was signed out. {error.args[0]}", code=error.code, hint=hint) from None
            return None
        login = bury(vault, now=self._clock.time())
        self._refresher.forget()
        return login

    def may_end_session(self) -> bool:
        """Whether the last sign-out left something for the browser to do at the provider."""
        try:
            return ending_in(self.open(), now=self._clock.time()) is not None
        except LoginRequired:
            return False

    def take_end_session(self) -> EndSession | None:
        """What the last sign-out left for the browser; once, and for ten minutes."""
        try:
            return take_ending(self.open(), now=self._clock.time())
        except LoginRequired:
            return None

    def is_sealed_elsewhere(self) -> bool:
        """Whether there is a login that only another Jupyter server, or a person with another key, could open."""
        try:
            return bool(self._sealed_elsewhere(self.key()))
        except NativeAuthError:
            return bool(self._sealed_elsewhere(None))


def _still(vault: Vault, sent: Login) -> bool:
    try:
        contents = vault.read()
        if contents is None or not contents.header.signed_in:
            return False
        stored = contents.login()
    except VaultDamaged:
        return False
    return stored.login_id == sent.login_id and stored.refresh_token == sent.refresh_token


_REASONS = {
    "signed_out": "Nobody is signed in to {name!r}.",
    "expired": "The login to {name!r} is over: the service no longer accepts it.",
    "no_refresh_token": "The login to {name!r} is over, and the service gave nothing to renew it with.",
    "refused": "The login to {name!r} could not be renewed.",
    "profile_changed": "The profile {name!r} has changed since the last sign-in.",
    "other_key": "The login to {name!r} was sealed by a server that has stopped, or with another key.",
    "presence_required": "The login to {name!r} waits until you confirm that it is you.",
    "damaged": "The stored login to {name!r} was damaged and has been set aside.",
}
_OTHER_KEYS = {
    "keychain": "Its key is in the OS keychain, which is not in use here.",
    "file": "Its key is in a file, which JUPYTER_NATIVEAUTH_KEY_FILE does not name here.",
    "passphrase": 'Its key is made from a passphrase: set key_source = "passphrase" to be asked for it.',
}
