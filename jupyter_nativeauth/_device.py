"""
Runs in: kernels, scripts. The device authorization grant (RFC 8628): what is asked, what an answer means, and when to
ask again. No I/O.

The person enters a short code at the service, in whichever browser they have; this process asks until they are done.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ._grant import printable, read_json
from ._oauth import Ask, Post, asked_for, requested_scopes, resources, wanted_age, wishes
from ._origin import is_secure
from ._tokens import Body, Secret
from .errors import LoginFailed, clean

if TYPE_CHECKING:
    from ._metadata import Provider
    from .profiles import Profile

__all__ = [
    "DeviceCode",
    "DeviceRequest",
    "Rhythm",
    "device_request",
    "poll_request",
    "raise_ended",
    "read_device_code",
    "said",
]

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
PENDING = ("authorization_pending", "slow_down")

_INTERVAL = 5.0  # seconds between two polls if the service names none (RFC 8628, section 3.2), and what slow_down adds
_LONGEST_PAUSE = 60.0  # seconds: beyond that, backing off saves the service nothing and costs the person a lot

# As a browser takes it, and as nobody can misread it: no blanks, no controls, nothing beyond ASCII.
_ADDRESS = re.compile(r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&()*+,;=%]{1,1024}")
_USER_CODE = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")
_LONGEST_SCANNED = 400  # characters; a QR code of more has too many dots for a terminal


@dataclass(frozen=True)
class DeviceRequest:
    """
    A device authorization request (RFC 8628, section 3.1), and what the tokens are compared with in the end.

    Attributes:
        nonce: None: there is no parameter for it, so an ID token that holds one belongs to another sign-in.
    """

    profile: Profile
    provider: Provider
    scopes: tuple[str, ...]
    max_age: int | None
    acr_values: str | None
    organization: str | None
    post: Post
    nonce: Secret | None = None


@dataclass(frozen=True)
class DeviceCode:
    """
    What the service has answered (RFC 8628, section 3.2).

    Attributes:
        device_code: What this process asks with.
        user_code: What the person enters.
        verification_uri: Where.
        scan: The same address with the code in it, to be scanned by a phone; empty if the service gave none.
        expires_in: Seconds in which it must be entered.
        interval: Seconds between two polls.
    """

    device_code: Secret
    user_code: str = field(repr=False)
    verification_uri: str
    scan: str = field(repr=False)
    expires_in: float
    interval: float


def device_request(profile: Profile, provider: Provider, ask: Ask) -> DeviceRequest:
    """What a sign-in asks for on another device: the same as in a browser here, but for what leads a browser back."""
    # There is nobody yet whom the service could sign in without asking.
    parameters = asked_for(profile, provider, replace(ask, again=True), redirect_uri="")
    form = [("client_id", profile.client_id), *((name, value) for name, value in parameters.items() if value)]
    return DeviceRequest(
        profile=profile,
        provider=provider,
        scopes=requested_scopes(profile, provider, ask),
        max_age=wanted_age(profile, ask),
        acr_values=ask.acr_values or profile.acr_values,
        organization=wishes(profile, ask).get("organization"),
        post=Post(provider.device_authorization_endpoint, (*form, *resources(profile))),
    )


def poll_request(request: DeviceRequest, code: DeviceCode) -> Post:
    """Ask whether the person is done (RFC 8628, section 3.4)."""
    form = (
        ("grant_type", GRANT),
        ("device_code", code.device_code.reveal()),
        ("client_id", request.profile.client_id),
    )
    return Post(request.provider.token_endpoint, (*form, *resources(request.profile)))


def read_device_code(members: Mapping[str, Any], *, who: str) -> DeviceCode:
    """
    Check a device authorization answer (RFC 8628, section 3.2).

    Raises:
        LoginFailed: A member is missing, or is something else than it must be.
    """
    device_code, user_code = _secret(members.get("device_code")), members.get("user_code")
    place, scan = members.get("verification_uri"), members.get("verification_uri_complete")
    wrong = [
        name
        for name, fits in (
            ("device_code", device_code),
            ("user_code", isinstance(user_code, str) and _USER_CODE.fullmatch(user_code)),
            ("verification_uri", _is_address(place)),
            ("expires_in", _seconds(members.get("expires_in"), None)),
            ("interval", _seconds(members.get("interval"), _INTERVAL)),
        )
        if not fits
    ]
    if wrong or device_code is None:
        raise LoginFailed(
            f"The service of {who!r} has begun a sign-in on another device with an unusable `{wrong[0]}`.",
            code="bad_answer",
            hint="Nothing was lost. If it stays so, tell the people who run the service.",
        )
    return DeviceCode(
        device_code=device_code,
        user_code=str(user_code),
        verification_uri=str(place),
        scan=str(scan) if _is_address(scan) and len(str(scan)) <= _LONGEST_SCANNED else "",
        expires_in=_seconds(members.get("expires_in"), None) or 0.0,
        interval=max(1.0, _seconds(members.get("interval"), _INTERVAL) or 0.0),
    )


def _secret(value: object) -> Secret | None:
    return Secret(value) if isinstance(value, str) and 0 < len(value) <= 8192 and printable(value) else None


def _is_address(value: object) -> bool:
    """A page that may be shown and opened: https, or on this very machine."""
    return isinstance(value, str) and bool(_ADDRESS.fullmatch(value)) and is_secure(value)


def _seconds(value: object, default: float | None) -> float | None:
    """A positive number, also in the decimals that some services write; ``None`` for nonsense."""
    if value is None:
        return default
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:12])
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        return None
    return float(value)


def said(body: Body) -> str:
    """
    The ``error`` in the answer to a poll, whatever its HTTP status; empty if there is none.

    Services use 400 (RFC 8628, section 3.5), 403, 428 and 429 for the same words. A 429 with ``slow_down`` is no rate
    limit, but a part of the conversation.
    """
    try:
        error = read_json(body).get("error")
    except ValueError:
        return ""
    return error if isinstance(error, str) else ""


def raise_ended(error: str, body: Body, *, who: str) -> None:
    """
    Raise how a sign-in has ended if *error* is one of the two words for it (RFC 8628, section 3.5).

    Raises:
        LoginFailed: Somebody said no, or nobody came in time.
    """
    if error == "expired_token":
        raise too_late(who, code=error)
    if error == "access_denied":
        words = clean(read_json(body).get("error_description"))
        raise LoginFailed(
            f"Sign-in to {who!r} failed (access_denied). Somebody said no at the service."
            + (f' It said: "{words}".' if words else ""),
            code=error,
        )


def too_late(who: str, *, code: str = "timeout") -> LoginFailed:
    """Nobody has entered the code. A new one is for the person to ask for (RFC 8628, section 3.5)."""
    return LoginFailed(
        f"Nobody entered the code for {who!r} in time.", code=code, hint="Start again to get a new code."
    )


class Rhythm:
    """
    When to poll (RFC 8628, section 3.5).

    Args:
        interval: Seconds between two polls, as the service wants it.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._lost = 0
        self._at_least = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next poll."""
        backed_off = min(self._interval * 2.0**self._lost, max(self._interval, _LONGEST_PAUSE))
        return max(backed_off, self._at_least)

    def answered(self, error: str) -> None:
        """The service said that it has to be asked again; with ``slow_down``, less often from now on."""
        self._lost, self._at_least = 0, 0.0
        if error == "slow_down":
            self._interval += _INTERVAL

    def lost(self, retry_after: float | None) -> None:
        """There was no answer, or none that means anything: twice the pause each time, or what the service asks for."""
        self._lost = min(self._lost + 1, 16)
        self._at_least = retry_after or 0.0
