"""
Runs in: kernels, scripts. What it means to send an access token along, whatever the HTTP client.

Only to the profile's own origins, only over https (http to this machine), in the header and nowhere else (RFC 6750,
section 2.1). A 401 renews the rejected token once and is tried once more; a 403 never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._account import Account
from ._accounts import accounts
from ._challenge import read_challenges
from ._grant import read_json
from ._origin import is_loopback, origin, spelled
from ._tokens import AccessToken
from .errors import OriginNotAllowed, StepUpRequired, clean
from .profiles import Profile
from .providers import PRESETS

__all__ = ["Bearer", "BearerAuth"]


class Bearer:
    """The rules for one account, for every client that sends its access token."""

    def __init__(self, account: Account) -> None:
        self.account = account
        profile = account.profile
        self._origins = frozenset(profile.api_origins)
        self._rejections = frozenset(PRESETS[profile.provider].rejections)

    def check(self, url: str) -> None:
        """
        Raises:
            OriginNotAllowed: The token must not go to *url*.
        """
        profile = self.account.profile
        try:
            target = origin(url)
        except ValueError:
            target = ("", "", 0)
        if target in self._origins and (target[0] == "https" or is_loopback(target[1])):
            return
        asked = spelled(*target) if target[1] else "this address"
        if not profile.api:
            raise OriginNotAllowed(
                f"The profile {profile.name!r} names no API, so its access token must not go to {asked}.",
                hint=f"Add the origin of the API to [profiles.{profile.name}] in nativeauth.toml, such as "
                'api = ["https://api.example.com"].',
            )
        raise OriginNotAllowed(
            f"The access token of {profile.name!r} must not go to {asked}; its `api` origins are: "
            f"{', '.join(profile.api)}.",
            hint="Add the origin to `api` in nativeauth.toml, or pass `auth=None` to send the request without it.",
        )

    def has_to_read(self, status: int) -> bool:
        """Whether only the body tells what an answer of this status means."""
        return status == 403 and bool(self._rejections)

    def wants_another(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> bool:
        """
        Whether an answer asks for a newer access token (RFC 6750, section 3.1), or says so in the service's own way.

        Raises:
            StepUpRequired: It asks for more than a newer one.
        """
        if self.has_to_read(status) and _errors_in(body) & self._rejections:
            return True
        if status not in (401, 403):
            return False
        challenges = read_challenges(headers.get("www-authenticate", ""))
        bearer = next((challenge.parameters for challenge in challenges if challenge.scheme == "bearer"), None)
        error = (bearer or {}).get("error", "")
        if bearer and error in ("insufficient_scope", "insufficient_user_authentication"):
            self._step_up(error, bearer)
        return status == 401 and (not challenges or (bearer is not None and error in ("", "invalid_token")))

    def _step_up(self, error: str, wanted: Mapping[str, str]) -> None:
        name = self.account.profile.name
        scopes = tuple(clean(wanted.get("scope", "")).split())
        acr_values = clean(wanted.get("acr_values", "")) or None
        max_age = int(wanted["max_age"][:9]) if wanted.get("max_age", "").isdecimal() else None
        call = [f'"{name}"']
        call += [f"scopes={scopes!r}"] if scopes else []
        call += [f"acr_values={acr_values!r}"] if acr_values else []
        call += [f"max_age={max_age}"] if max_age is not None else []
        raise StepUpRequired(
            f"The API wants more than this login to {name!r} has ({error}).",
            code=error,
            hint=f"Call login({', '.join(call)}) and try again.",
            scopes=scopes,
            acr_values=acr_values,
            max_age=max_age,
        )

    @staticmethod
    def header(token: AccessToken) -> str:
        """The value of the ``Authorization`` header."""
        return f"Bearer {token.reveal()}"


def _errors_in(body: bytes) -> set[str]:
    """What a JSON body gives as its ``error``, or as the ``code`` of it."""
    try:
        members = read_json(body)
    except ValueError:
        return set()
    error = members.get("error")
    return {str(error.get("code")) if isinstance(error, dict) else str(error), str(members.get("code"))}


class BearerAuth:
    """
    What each library's ``NativeAuth`` begins with.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.
    """

    def __init__(self, profile: str | Profile | None = None) -> None:
        self._bearer = Bearer(accounts().get(profile))

    def __repr__(self) -> str:
        return f"NativeAuth({self._bearer.account.profile.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        profile = self._bearer.account.profile
        return type(self), (profile if profile.source == "code" else profile.name,)
