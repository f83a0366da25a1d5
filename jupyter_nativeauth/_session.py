"""
Runs in: kernels, scripts. The HTTP client that stays signed in: ``get_session()`` and the auth that does it.
"""

from __future__ import annotations

from typing import Any

import httpx

from ._accounts import Accounts, accounts
from ._flow import Flow
from ._origin import is_loopback
from ._tokens import AccessToken
from .profiles import Profile

__all__ = ["NativeAuth", "access_token", "get_async_session", "get_session", "session"]


class NativeAuth(Flow, httpx.Auth):
    """
    Signs an httpx client's requests with a profile's access token. Works in sync and async clients.

    The token goes to the profile's ``api`` origins only, and is taken off the request again once it was sent, so that
    ``response.request`` can be shown. A 401 renews it once and the request is sent once more, unless its body was a
    stream that is used up by then. A request that has an ``Authorization`` header already is left as it is. Pickles to
    the profile's name.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.

    Raises:
        ConfigError: There is no such profile.

    Example:
        >>> httpx.Client(auth=NativeAuth("acme"))  # doctest: +SKIP

    Sources:
        RFC 6750, sections 2.1 and 3.1.
    """

    replayable = httpx.ByteStream


def _options(profile: str | Profile | None, chosen: dict[str, Any]) -> dict[str, Any]:
    book = accounts()
    account = book.get(profile)
    own = {"base_url": account.profile.base_url, "auth": NativeAuth(account.profile), "transport": book.transport}
    if "proxy" not in chosen:
        own["mounts"] = _not_by_proxy(account.profile)
    return {**own, **chosen}


def _not_by_proxy(profile: Profile) -> dict[str, None]:
    """
    Which hosts no proxy of the environment is asked for: httpx would send it even what is meant for this machine, and
    plain http is allowed here only because it does not leave it.
    """
    hosts = {host for _, host, _ in profile.api_origins if is_loopback(host)}
    return {f"all://[{host}]" if ":" in host else f"all://{host}": None for host in hosts}


def get_session(profile: str | Profile | None = None, **options: Any) -> httpx.Client:
    """
    An HTTP client that stays signed in.

    It adds a fresh access token to each request to the profile's ``api`` origins and sends it nowhere else. Nobody has
    to be signed in yet; a request without a login raises :exc:`LoginRequired`, and none ever opens a browser.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.
        options: Passed on to :class:`httpx.Client`. ``base_url`` is the profile's first API origin unless given.

    Raises:
        ConfigError: There is no such profile, or the configuration is wrong.

    Example:
        >>> from jupyter_nativeauth.testing import signed_in
        >>> with signed_in("demo", {"/v1/me": {"name": "Ada"}}):
        ...     with get_session("demo") as api:
        ...         api.get("/v1/me").json()
        {'name': 'Ada'}

    Sources:
        RFC 6750, section 2.1 (the header); RFC 6749, section 6 (the renewal).
    """
    return httpx.Client(**_options(profile, options))


def get_async_session(profile: str | Profile | None = None, **options: Any) -> httpx.AsyncClient:
    """
    Like :func:`get_session`, for ``async`` code; it never blocks the event loop.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.
        options: Passed on to :class:`httpx.AsyncClient`.

    Raises:
        ConfigError: There is no such profile, or the configuration is wrong.
    """
    return httpx.AsyncClient(**_options(profile, options))


def access_token(profile: str | Profile | None = None) -> AccessToken:
    """
    A fresh access token, for clients that are not httpx. ``.reveal()`` gives the bare string.

    Whoever has the bare string can call the API as you until it expires: pass it on, do not print or keep it.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.

    Raises:
        LoginRequired: Nobody is signed in.
        ProviderUnavailable: It has to be renewed, and the provider does not answer.
    """
    return accounts().get(profile).access_token()


class _DefaultSession:
    """``get_session()`` of the default profile, made when it is first used; importing it never fails."""

    _made: tuple[Accounts, httpx.Client] | None = None

    def _client(self) -> httpx.Client:
        book = accounts()
        made = self._made
        if made is None or made[0] is not book or made[1].is_closed:
            made = book, get_session()
            object.__setattr__(self, "_made", made)
        return made[1]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._client(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._client(), name, value)

    def __dir__(self) -> list[str]:
        return dir(httpx.Client)

    def __repr__(self) -> str:
        return "<session of the default profile>"


session = _DefaultSession()
