"""
Runs in: kernels, scripts. The HTTP client that stays signed in: ``get_session()``.

Nothing is imported before it is called: the line with the import is free, and each notebook and script has one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from ._accounts import Accounts
    from ._tokens import AccessToken
    from .profiles import Profile

__all__ = ["access_token", "get_async_session", "get_session", "session"]


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
    import httpx

    from ._native_auth import client_options

    return httpx.Client(**client_options(profile, options))


def get_async_session(profile: str | Profile | None = None, **options: Any) -> httpx.AsyncClient:
    """
    Like :func:`get_session`, for ``async`` code; it never blocks the event loop.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.
        options: Passed on to :class:`httpx.AsyncClient`.

    Raises:
        ConfigError: There is no such profile, or the configuration is wrong.
    """
    import httpx

    from ._native_auth import client_options

    return httpx.AsyncClient(**client_options(profile, options))


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
    from ._accounts import accounts

    return accounts().get(profile).access_token()


class _DefaultSession:
    """``get_session()`` of the default profile, made when it is first used; importing it never fails."""

    _made: tuple[Accounts, httpx.Client] | None = None

    def _client(self) -> httpx.Client:
        from ._accounts import accounts

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
        import httpx

        return dir(httpx.Client)

    def __repr__(self) -> str:
        return "<session of the default profile>"


session = _DefaultSession()
