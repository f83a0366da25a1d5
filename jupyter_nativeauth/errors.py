"""
Runs in: everywhere. The errors of this package: one tree, each with a stable ``code`` and a ``hint``.

NativeAuthError
├── ConfigError            the profile or its file is wrong; names the file, the key and what was expected
├── LoginRequired          nobody is signed in, or the login is over; says the command that helps
├── LoginFailed            this attempt failed: access_denied, timeout, cancelled, state_mismatch ...
├── ProviderError          the provider said no, in its own (cleaned) words
├── ProviderUnavailable    network, 5xx, 429 or nonsense: nothing was lost, try later
├── OriginNotAllowed       the request goes to an origin that must not see this profile's access token
├── StepUpRequired         the API wants more than this login has; says which login() call gives it
├── NotSigned              a sign request was rejected, cancelled, or not opened in time
└── StoreError             the place where the login is kept
    ├── KeySourceUnavailable   the key cannot be had: keychain locked, missing, refused, silent
    ├── VaultDamaged           the file is not what we wrote; it was set aside
    ├── VaultTooNew            a newer version of this package wrote the file
    └── LockTimeout            somebody else holds the lock for too long
"""

from __future__ import annotations

import html
from typing import Any, ClassVar

__all__ = [
    "ConfigError",
    "KeySourceUnavailable",
    "LockTimeout",
    "LoginFailed",
    "LoginRequired",
    "NativeAuthError",
    "NotSigned",
    "OriginNotAllowed",
    "ProviderError",
    "ProviderUnavailable",
    "StepUpRequired",
    "StoreError",
    "VaultDamaged",
    "VaultTooNew",
]


def clean(text: object, limit: int = 300) -> str:
    """
    Make somebody else's words safe to show: printable ASCII, one line, at most *limit* characters.

    RFC 6749, section 5.2 allows no other characters in ``error`` and ``error_description``; a terminal, a log and a
    page would each obey some of those that it forbids (escape sequences, line breaks, right-to-left marks).
    """
    words = text if isinstance(text, str) else ""
    kept = "".join(letter if " " <= letter <= "~" else "?" for letter in words[: limit + 1])
    return kept if len(kept) <= limit else kept[: limit - 3] + "..."


class NativeAuthError(Exception):
    """
    The base of all errors of this package.

    Attributes:
        code: A stable word for programs, such as ``"access_denied"``. Part of the API.
        hint: What the reader can do about it, in a sentence. May be empty.
    """

    default_code: ClassVar[str] = "error"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.hint = hint

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        return f"{message} {self.hint}".strip()

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword arguments do not survive pickling by themselves (process pools, dask).
        return _rebuild, (type(self), dict(self.__dict__), self.args)

    def _render_traceback_(self) -> list[str]:
        """
        What IPython shows for an uncaught error of ours: what happened and what to do, not a page of frames.

        It also keeps the values of local variables out of the notebook under ``%xmode Verbose``.
        """
        lines = [f"{type(self).__name__}: {self.args[0] if self.args else self.code}"]
        return [*lines, "", self.hint] if self.hint else lines

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in self._render_traceback_())


def _rebuild(kind: type[NativeAuthError], state: dict[str, Any], args: tuple[Any, ...]) -> NativeAuthError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(NativeAuthError):
    """The profile or its file is wrong. The message names the file, the key and what was expected."""

    default_code = "config"


class LoginRequired(NativeAuthError):
    """
    Nobody is signed in, or the login is over.

    ``code`` says why: ``signed_out``, ``expired``, ``no_refresh_token``, ``refused``, ``profile_changed``,
    ``other_key``, ``damaged``; or ``presence_required``: somebody is, and has to confirm that it is still them.
    """

    default_code = "signed_out"


class LoginFailed(NativeAuthError):
    """
    This attempt to sign in failed; whatever was stored before is untouched.

    ``code`` is one of ours (``timeout``, ``cancelled``, ``id_token_invalid``, ``other_browser`` ...; of the presence
    gate ``presence_denied``, ``presence_timeout``, ``presence_busy``, ``presence_unavailable``) or the provider's
    (``access_denied``, ``login_required`` ...: RFC 6749, section 4.1.2.1; OpenID Connect Core, section 3.1.2.6).
    """

    default_code = "login_failed"


class ProviderError(NativeAuthError):
    """
    The provider said no.

    Attributes:
        error: The provider's ``error``, cleaned.
        description: The provider's ``error_description``, cleaned.
    """

    default_code = "provider_error"

    def __init__(
        self, message: str, *, code: str | None = None, hint: str = "", error: object = "", description: object = ""
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.error = clean(error, 80)
        self.description = clean(description)


class ProviderUnavailable(NativeAuthError):
    """
    The provider could not be reached, or answered nonsense. Nothing was lost: try again later.

    Attributes:
        retry_after: Seconds to wait before it makes sense to try again, or ``None``.
    """

    default_code = "provider_unavailable"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "", retry_after: float | None = None):
        super().__init__(message, code=code, hint=hint)
        self.retry_after = retry_after


class OriginNotAllowed(NativeAuthError):
    """The request goes to an origin that is not among the profile's ``api`` origins."""

    default_code = "origin_not_allowed"


class StepUpRequired(NativeAuthError):
    """
    The API wants more than this login has (RFC 6750, section 3.1; RFC 9470). The hint holds the ``login()`` call.

    Attributes:
        scopes: The scopes that the API asked for.
        acr_values: The authentication contexts that it asked for, or ``None``.
        max_age: The age of the sign-in that it tolerates, in seconds, or ``None``.
    """

    default_code = "insufficient_scope"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str = "",
        scopes: tuple[str, ...] = (),
        acr_values: str | None = None,
        max_age: int | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.scopes, self.acr_values, self.max_age = scopes, acr_values, max_age


class NotSigned(NativeAuthError):
    """
    Nobody has signed what a sign request asked for, or not in a way that counts.

    ``code`` is ``rejected``, ``expired``, ``cancelled``, ``timeout`` (it may still be open), ``other_account``,
    ``other_network`` or ``failed``.
    """

    default_code = "not_signed"


class StoreError(NativeAuthError):
    """The place where the login is kept failed."""

    default_code = "store"


class KeySourceUnavailable(StoreError):
    """
    The key that opens the login cannot be had.

    ``code``: ``keychain_locked``, ``keychain_timeout``, ``keychain_plaintext``, ``keychain_missing``,
    ``keychain_refused`` or ``keychain_error``.
    """

    default_code = "key_unavailable"


class VaultDamaged(StoreError):
    """The stored login is not what we wrote. It was set aside, not overwritten."""

    default_code = "damaged"


class VaultTooNew(StoreError):
    """A newer version of this package wrote the stored login. It was left alone."""

    default_code = "too_new"


class LockTimeout(StoreError):
    """Another process held the lock for longer than we wait."""

    default_code = "lock_timeout"
