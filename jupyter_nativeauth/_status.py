"""
Runs in: everywhere. What is signed in, for people and programs to read. Nothing secret, and no request to anybody.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ._accounts import accounts
from ._reasons import login_required
from .errors import KeySourceUnavailable, LoginRequired, NativeAuthError
from .providers import PRESETS

if TYPE_CHECKING:
    from ._account import Account
    from ._clock import Clock
    from ._tokens import Login
    from .profiles import Profile

__all__ = ["ProfileStatus", "status", "status_of"]


@dataclass(frozen=True)
class ProfileStatus:
    """
    How a profile stands.

    Attributes:
        profile: Its name.
        default: Whether it is the one that is meant when none is named.
        service: What a person calls the provider's kind.
        issuer: The provider.
        api: The origins that the access token may go to.
        state: ``signed_in``, ``signed_out``, ``expired``, ``refused``, ``no_refresh_token``, ``profile_changed``,
            ``other_key``, ``damaged`` or ``unavailable``: the login cannot be had, or (``presence_required``) waits for
            somebody to confirm that it is them.
        name: Who is signed in, or an empty string.
        email: Their e-mail address, if the provider gave one.
        scopes: What was granted.
        signed_in_at: Seconds since the epoch, or ``None``.
        expires_at: When the access token ends, in seconds since the epoch; ``None`` if the provider did not say.
        ends_at: When the login itself ends, renewed or not, in seconds since the epoch; ``None`` if the provider did
            not say.
        renews: Whether it is renewed by itself.
        key_source: ``keychain``, ``server``, ``process``, ``hub`` ...; empty if there is no key yet.
        key_label: The same, for people.
        message: What is wrong, if something is.
        hint: What to do about it; for a login that works, what it lacks.
    """

    profile: str
    default: bool
    service: str
    issuer: str
    api: tuple[str, ...]
    state: str
    name: str = ""
    email: str = ""
    scopes: tuple[str, ...] = ()
    signed_in_at: float | None = None
    expires_at: float | None = None
    ends_at: float | None = None
    renews: bool = False
    key_source: str = ""
    key_label: str = ""
    message: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object, the same on the command line and on the server's API."""
        return asdict(self)

    def sentence(self, *, clock: Clock = time) -> str:
        """The state in words."""
        if self.state != "signed_in":
            return self.message or "signed out"
        words = f"signed in as {self.name}"
        if self.expires_at is not None:
            left = self.expires_at - clock.time()
            token = f"{_span(left)} left" if left > 0 else "over"
            if self.renews:
                token += ", renewed by itself" if left > 0 else ", renewed with the next request"
            words += f"; access token: {token}"
        if self.ends_at is not None:
            left = self.ends_at - clock.time()
            words += f"; login: {_span(left)} left" if left > 0 else "; login: over, sign in again"
        return words


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 129_600:
        return f"{round(seconds / 60)} min" if seconds < 5400 else f"{round(seconds / 3600)} h"
    return f"{round(seconds / 86400)} days"


def status() -> list[ProfileStatus]:
    """
    How each profile stands.

    Raises:
        ConfigError: The configuration is wrong.

    Example:
        >>> [profile.state for profile in status()]  # doctest: +SKIP
        ['signed_in']
    """
    book = accounts()
    profiles = book.profiles()
    return [status_of(book.get(profile), default=name == profiles.default) for name, profile in profiles.items()]


def status_of(account: Account, *, default: bool = False) -> ProfileStatus:
    """How one account stands. Never raises for what a person can mend: it says so instead."""
    profile = account.profile
    preset = PRESETS[profile.provider]
    facts: dict[str, Any] = {
        "profile": profile.name,
        "default": default,
        "service": preset.label,
        "issuer": account.issuer,
        "api": tuple(profile.api),
    }
    try:
        key = account.key()
        facts |= {"key_source": key.source, "key_label": key.label} if key is not None else {}
        login = account.login()
        if _is_over(account, login):
            raise login_required(account.profile, "no_refresh_token")  # as the next request would find
    except LoginRequired as error:
        # Somebody is signed in, and the key agent waits for them; or is to be, by somebody else.
        if error.code in ("presence_required", "not_lent"):
            return ProfileStatus(**facts, state="unavailable", message=str(error.args[0]), hint=error.hint)
        told: dict[str, Any] = {"message": str(error.args[0]), "hint": error.hint}
        if error.code == "signed_out":
            told = {"hint": _EACH if profile.presence is not None else ""}
        return ProfileStatus(**facts, state=error.code, **told)
    except NativeAuthError as error:
        source = profile.key_source if isinstance(error, KeySourceUnavailable) else ""
        return ProfileStatus(
            **{"key_source": source, **facts}, state="unavailable", message=str(error.args[0]), hint=error.hint
        )
    return ProfileStatus(
        **facts,
        state="signed_in",
        name=login.identity.name,
        email=login.identity.email,
        scopes=login.scopes,
        signed_in_at=login.signed_in_at,
        expires_at=login.expires_at,
        ends_at=login.ends_at,
        renews=login.refresh_token is not None,
        hint=" ".join(words for words in (_notice(profile, login), _presence(account)) if words),
    )


def _is_over(account: Account, login: Login) -> bool:
    never_renewed = login.refresh_token is None and login.expires_at is not None
    return never_renewed and not account.before(login.expires_at or 0.0, math.inf)


_EACH = "Each sign-in is confirmed at this device."


def _presence(account: Account) -> str:
    """What the presence gate will ask next."""
    if account.profile.presence is None:
        return ""
    if account.profile.presence == "sign-in":
        return _EACH
    if left := account.presence_left():
        return f"It was confirmed at this device that it is you; that is good for {_span(left)} more."
    return str(login_required(account.profile, "presence_required"))


def _notice(profile: Profile, login: Login) -> str:
    """What a person should know who is signed in, and gets less of the service than they may expect."""
    preset, notices = PRESETS[profile.provider], []
    if login.refresh_token is None and (profile.scopes is None or "offline_access" in profile.scopes):
        notices.append(preset.no_offline_words)
    # An API's access token is a JWT there; what is in it is the API's business.
    token = login.access_token
    if profile.audience is None and token is not None and token.reveal().count(".") != 2:
        notices.append(preset.no_audience_words)
    return " ".join(words for words in notices if words)
