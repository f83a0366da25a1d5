"""
Runs in: the servers of a JupyterHub, their kernels. A profile that nobody signs in to here: the hub lends the token.

The hub has signed its person in, keeps the tokens of that in its ``auth_state``, and renews them. Each process asks the
hub with the token that it got from there. Nothing is stored, and of the hub's answer only the access token is taken.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ._account import Account
from ._current import SPACING, Current
from ._grant import printable, read_json
from ._metadata import Provider
from ._tokens import AccessToken, Identity, Login, Secret
from .errors import LoginFailed, LoginRequired, NativeAuthError, ProviderUnavailable, StoreError, clean

if TYPE_CHECKING:
    from ._http import Answer, ProviderClient
    from .keys import Key

__all__ = ["HubAccount"]

_AGAIN = (
    60.0  # seconds after which the hub is asked again: it does not say when a token ends, or that it has renewed it
)
_PAUSE = 10.0  # seconds after a failure


class HubAccount(Account):
    """
    The access token that the hub has, as an account like any other.

    Args:
        environ: What the hub has told this server, and the server its kernels.
        more: The arguments of :class:`Account`.
    """

    def __init__(self, *arguments: Any, environ: Mapping[str, str] = os.environ, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._environ = environ
        self._asking = threading.Lock()
        self._lent: Login | None = None
        self._failed: tuple[float, NativeAuthError] | None = None
        self._no_other_until = 0.0

    @property
    def issuer(self) -> str:
        """The hub's address."""
        return self._environ.get("JUPYTERHUB_API_URL", "").rstrip("/").removesuffix("/api")

    # Using it

    def ready_token(self) -> AccessToken | None:
        """The access token, if it can be had at once: no lock, no import, no thread."""
        current = self._current
        if current is not None and self.before(current.renew_wall, current.renew_at):
            return current.token
        return None

    def _usable(self, rejected: AccessToken | None) -> AccessToken:
        with self._asking:  # once, however many threads want it
            token = self.ready_token()
            if token is None or (token == rejected and self._clock.monotonic() >= self._no_other_until):
                token = self._ask()
                if token == rejected:  # the hub has no other yet, and asking at once again would not help it
                    self._no_other_until = self._clock.monotonic() + SPACING
            return token

    def login(self) -> Login:
        """What the hub says of its person. Raises what :meth:`access_token` raises."""
        self.access_token()
        assert self._lent is not None  # noqa: S101 - the token is from there
        return self._lent

    def login_id(self) -> str:
        """One for each process; empty until the hub has been asked."""
        return self._lent.login_id if self._lent is not None else ""

    # What is the hub's business

    def signs_in_here(self) -> None:
        """Nobody does."""
        raise LoginFailed(f"JupyterHub signs you in to {self.profile.name!r}.", code="lent", hint=_SIGN_IN_AGAIN)

    def sign_out(self) -> Login | None:
        """Nor out."""
        raise StoreError(
            f"Nobody was signed out: JupyterHub signs you in to {self.profile.name!r}.",
            code="lent",
            hint="Log out of JupyterHub: File > Log Out, or its control panel.",
        )

    def may_end_session(self) -> bool:
        """That ends with the hub's."""
        return False

    def is_sealed_elsewhere(self) -> bool:
        """There is no vault."""
        return False

    def key(self, *, interactive: bool = False, create: bool = False) -> Key | None:  # noqa: ARG002
        """It seals nothing, and says who keeps the tokens."""
        from .keys import Key

        return Key(bytes(32), "hub", "JupyterHub")

    # Asking the hub

    def _ask(self) -> AccessToken:
        if self._failed is not None and self._clock.monotonic() < self._failed[0]:
            raise self._failed[1]
        try:
            self._lent = login = self._login_in(self._answer())
        except NativeAuthError as error:
            self._lent = self._current = None
            self._failed = (self._clock.monotonic() + _PAUSE, error)
            raise
        self._failed = None
        wall, monotonic = self._clock.time(), self._clock.monotonic()
        ends = (wall + _AGAIN, monotonic + _AGAIN)
        token = AccessToken(login.access_token.reveal() if login.access_token is not None else "")
        self._current = Current(token, 0, *ends, *ends, renewed_at=wall)
        return token

    @property
    def client(self) -> ProviderClient:
        """The guarded client to the hub, made when it is first needed."""
        if self._client is None:
            from ._http import ProviderClient

            self._client = ProviderClient(ca_bundle=self.profile.ca_bundle, own_network=self.issuer)
        return self._client

    def _answer(self) -> Answer:
        """JupyterHub's REST API, ``GET /users/{name}``."""
        token, user = self._environ.get("JUPYTERHUB_API_TOKEN"), self._environ.get("JUPYTERHUB_USER")
        if not (self.issuer and token and user):
            raise self._not_lent("this is not a server of a JupyterHub", "Open the notebook at your JupyterHub.")
        return self.client.get(f"{self.issuer}/api/users/{quote(user, safe='')}", bearer=Secret(token))

    def _login_in(self, answer: Answer) -> Login:
        try:
            model = read_json(answer.body)
        except ValueError:
            model = None
        if answer.status in (401, 403, 404):
            raise self._not_lent(
                "it no longer knows this server", "Stop your server at JupyterHub, and start it again."
            )
        if model is None or answer.status != 200 or not isinstance(name := model.get("name"), str):
            raise ProviderUnavailable(
                f"JupyterHub's answer is of no use (HTTP {answer.status}).",
                hint="Nothing was lost. Try again in a moment.",
            )
        if "auth_state" not in model:
            raise self._not_lent("this server may not read it", _FOR_ADMINS)
        state = model["auth_state"]
        token = state.get("access_token") if isinstance(state, dict) else None
        if not isinstance(token, str) or not token or not printable(token):
            raise self._not_lent("it has none of yours", f"{_SIGN_IN_AGAIN} If that does not help: {_FOR_ADMINS}")
        return Login(
            login_id=self.login_id() or secrets.token_hex(16),
            identity=Identity(self.profile.name, self.issuer, name, clean(name, 200)),
            provider=Provider(self.issuer, "", "", ""),
            client_id="",
            audience="",
            organization="",
            scopes=(),
            access_token=Secret(token),
            expires_at=None,
            lifetime=None,
            refresh_token=None,
            id_token=None,
            signed_in_at=self._lent.signed_in_at if self._lent is not None else self._clock.time(),
        )

    def _not_lent(self, why: str, hint: str) -> LoginRequired:
        words = f"JupyterHub gives no access token for {self.profile.name!r}: {why}."
        return LoginRequired(words, code="not_lent", hint=hint)


_SIGN_IN_AGAIN = "To sign in anew, log out of JupyterHub (File > Log Out) and in again."
_FOR_ADMINS = "The hub's administrators find what to set in docs/jupyterhub.md."
