"""
Runs in: everywhere. One profile's login: who uses it, renews it and ends it.

The same code runs in the server, in each kernel and in each script; they meet in the vault. Whoever needs a newer
access token takes the refresh lock, reads again, and asks the provider only if nobody else has.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ._current import SPACING, Current
from ._presence import Presence
from ._reasons import login_required
from ._refresh import Refresher
from ._store import Store
from ._tokens import AccessToken, Identity, Login
from ._tombstone import EndSession, bury, ending_in, take_ending
from .errors import LoginRequired, NativeAuthError, ProviderUnavailable, StoreError
from .profiles import Profile
from .providers import PRESETS, issuer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._callback import Code
    from ._client_secret import ClientSecret
    from ._clock import Clock
    from ._device import DeviceRequest
    from ._grant import Granted
    from ._http import ProviderClient
    from .keys import Key, Keys
    from .vault import MemoryVault

__all__ = ["Account"]


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

    Attributes:
        store: Where the login is kept.
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
        self.folder = folder
        self.store = Store(profile, keys, folder, {} if memory is None else memory, clock)
        self.presence = presence or Presence()
        self._client = client
        self._clock = clock
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
            raise login_required(self.profile, "presence_required")

    def presence_left(self) -> float:
        """Seconds for which the last confirmation is good; 0 if there is none."""
        return self.presence.left()

    def waits_for_presence(self) -> bool:
        """Whether there is a login that goes on only once somebody has confirmed that it is them."""
        is_due = self.profile.presence == "hourly" and not self.presence.left()
        return is_due and bool(self.store.sealed_elsewhere(None))

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
        current, vault = self._current, self.store.vault
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

        return ClientSecret(self.profile, self.store.keys, self.folder)

    def identity(self) -> Identity:
        """Who is signed in. Raises what :meth:`access_token` raises, but asks the provider nothing."""
        return self.login().identity

    def login(self) -> Login:
        """The stored login, as it stands."""
        return self.store.read()[0]

    def login_id(self) -> str:
        """A new one for each sign-in; empty when nobody is signed in or the key cannot be had silently."""
        return self.store.login_id()

    def key(self, *, interactive: bool = False, create: bool = False) -> Key | None:
        """The vault's key. Only an explicit sign-in is *interactive*: it may prompt, and it makes the key."""
        return self.store.key(interactive=interactive, create=create)

    def load(self) -> Current:
        """What is in use, read again if anybody has written since."""
        current = self._current
        if current is None or self.store.open().generation() != current.generation:
            login, generation = self.store.read()
            self.require_presence()
            current = self.adopt(login, generation)
        return current

    def adopt(self, login: Login, generation: int) -> Current:
        """Use *login*, as it is in the vault since *generation*."""
        self._current = Current.of(login, generation, self._clock)
        return self._current

    # Beginning and ending it

    def save(self, login: Login) -> None:
        """Store a new sign-in; it takes the place of whatever was there."""
        generation = self.store.save(login)
        self._refresher.forget()
        self.adopt(login, generation)

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
            vault = self.store.open()
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
            return ending_in(self.store.open(), now=self._clock.time()) is not None
        except LoginRequired:
            return False

    def take_end_session(self) -> EndSession | None:
        """What the last sign-out left for the browser; once, and for ten minutes."""
        try:
            return take_ending(self.store.open(), now=self._clock.time())
        except LoginRequired:
            return None

    def is_sealed_elsewhere(self) -> bool:
        """Whether there is a login that only another Jupyter server, or a person with another key, could open."""
        try:
            key = self.key()
        except NativeAuthError:
            key = None
        return bool(self.store.sealed_elsewhere(key))
