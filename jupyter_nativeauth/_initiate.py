"""
Runs in: the server, scripts. Checks what a service sends along when a sign-in begins there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ._clock import Clock
from ._discovery import discover, fetch_keys
from ._hints import Hints, hints_in, read_initiation
from ._http import ProviderClient
from ._jwt import TokenInvalid, audiences, check_times, open_jwt
from ._tenant import find_tenant
from ._tokens import Secret
from .errors import ConfigError, LoginFailed, NativeAuthError, clean
from .profiles import Profile
from .providers import PRESETS, issuer_of, words_for

__all__ = ["initiated"]

_WHAT = "sign-in request"


def initiated(client: ProviderClient, profile: Profile, query: str, *, clock: Clock = time) -> Hints:
    """
    What a sign-in that began at the service asks for.

    Args:
        client: Fetches the service's keys, where it signs what it sends.
        profile: The profile that the address names.
        query: The address's query, from anybody.
        clock: For a token's times.

    Raises:
        LoginFailed: The service reports an error, or it is not from this service, or it cannot be read.
        ConfigError: It is for another organization than the profile's.
        ProviderUnavailable: A token cannot be checked just now.
    """
    preset, issuer = PRESETS[profile.provider], issuer_of(PRESETS[profile.provider], profile.options)
    try:
        told: Mapping[str, Any] = read_initiation(preset.initiation, query)
    except ValueError as problem:
        raise _unreadable(str(problem)) from None
    if "error" in told:
        raise _reported(profile, told["error"], told.get("error_description", ""))
    if told.get("iss", issuer) != issuer:
        raise LoginFailed(
            f"The link is for another service than that of {profile.name!r}.",
            code="issuer_mismatch",
            hint=f"It names {clean(told['iss'], 200)}; ask whoever sent it.",
        )
    if preset.initiation.signed in told:
        told = _proven(client, profile, issuer, Secret(told[preset.initiation.signed]), clock.time())
    try:
        hints = hints_in(preset.initiation, told)
    except ValueError as problem:
        raise _unreadable(str(problem)) from None
    _check_fits(profile, dict(hints))
    return hints


def _proven(client: ProviderClient, profile: Profile, issuer: str, token: Secret, now: float) -> dict[str, Any]:
    """The claims of a token that the service has signed just now, and for this client if it says for whom."""
    keys = fetch_keys(client, discover(client, profile).jwks_uri)
    try:
        return _checked(token, keys, issuer, profile.client_id, now)
    except TokenInvalid as error:
        problem = error.with_traceback(None)  # whose frames hold the token
    raise LoginFailed(
        f"The {_WHAT} for {profile.name!r} cannot be believed: {problem}",
        code="initiation_invalid",
        hint="Nothing has begun. Open the link again where you found it; a link like this is good for minutes only.",
    )


def _checked(token: Secret, keys: list[dict[str, Any]], issuer: str, client_id: str, now: float) -> dict[str, Any]:
    _, claims = open_jwt(token.reveal(), keys, ("RS256",), what=_WHAT)
    check_times({"iat": now, **claims}, 60, now, what=_WHAT)
    if claims.get("iss") != issuer:
        raise TokenInvalid("issuer", f"The {_WHAT} is not from {clean(issuer)}, to the letter.")
    if "aud" in claims and client_id not in audiences(claims["aud"]):
        raise TokenInvalid("audience", f"The {_WHAT} is not for this client id.")
    return claims


def _check_fits(profile: Profile, told: Mapping[str, str]) -> None:
    """A person who follows a link must not end up where the link never led, or the profile never leads."""
    hosts = PRESETS[profile.provider].tenants
    if hosts is not None:
        name, domain = told.get("tenant_name", ""), told.get("tenant_custom_domain", "")
        try:
            find_tenant(hosts, profile.options, hosts.separators[0], name=name, domain=domain)
        except ValueError as problem:
            raise LoginFailed(
                f"The link leads elsewhere: {clean(domain or name, 100)!r} {problem}.",
                code="other_tenant",
                hint=f"Nothing has begun. If it is right, add it to [profiles.{profile.name}] in nativeauth.toml.",
            ) from None
    for name in ("organization", "connection"):
        mine, asked = getattr(profile, name), told.get(name)
        if mine is not None and asked is not None and mine not in (asked, told.get(f"{name}_name")):
            raise ConfigError(
                f"The link is for the {name} {clean(asked, 100)!r}, and the profile {profile.name!r} is for {mine!r}.",
                code="other_organization",
                hint=f"Write a profile without `{name}`, or with that one, and let the link lead to it.",
            )


def _reported(profile: Profile, error: str, description: str) -> NativeAuthError:
    code, said = clean(error, 60), clean(description)
    words = words_for(PRESETS[profile.provider].callback_words, code, said)
    told = f' It said: "{said}".' if said else ""
    return LoginFailed(f"The service of {profile.name!r} reports an error ({code}).{told}", code=code, hint=words)


def _unreadable(problem: str) -> LoginFailed:
    hint = "Nothing has begun. Open the link again where you found it."
    return LoginFailed(f"The link cannot be used. {problem}", code="bad_initiation", hint=hint)
