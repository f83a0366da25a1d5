"""
Runs in: kernels, scripts. Where the API of sign requests is, and how it is called: over the profile's own session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from ._payload_record import read_answer
from .errors import ConfigError, ProviderUnavailable
from .profiles import Profile
from .providers import PRESETS

if TYPE_CHECKING:
    from ._account import Account

__all__ = ["address", "call", "read", "unreachable"]


def address(profile: Profile) -> str:
    """The address of the API that takes sign requests: the service's own, wherever it stands in the profile's list."""
    preset = PRESETS[profile.provider]
    if not preset.sign_requests:
        able = " or ".join(f'"{name}"' for name, preset in PRESETS.items() if preset.sign_requests)
        raise ConfigError(
            f"The profile {profile.name!r} cannot ask for signatures: its provider must be {able}.", code="no_signing"
        )
    own = preset.api[0] if preset.api[0] in profile.api else profile.base_url
    return f"{own}{preset.sign_requests}"


def call(session: httpx.Client, method: str, url: str, account: Account, **content: Any) -> dict[str, Any]:
    try:
        response = session.request(method, url, **content)
    except httpx.HTTPError as error:
        failure = unreachable(account, error)
    else:
        return read(response, account)
    raise failure


def read(response: httpx.Response, account: Account) -> dict[str, Any]:
    wait = response.headers.get("retry-after", "")
    return read_answer(
        response.status_code,
        response.content,
        who=account.profile.name,
        retry_after=float(wait[:9]) if wait.isdecimal() else None,
    )


def unreachable(account: Account, error: Exception) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"The service of {account.profile.name!r} could not be reached ({type(error).__name__}).",
        code="network",
        hint="Try again in a moment.",
    )
