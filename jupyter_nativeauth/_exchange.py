"""
Runs in: everywhere. What the provider is asked for: a login for a code, a newer one for an old one, its end.

Nothing here reads or writes the vault; :class:`jupyter_nativeauth._account.Account` does, before and after.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

from ._grant import Granted, read_json, read_tokens
from ._http import AnswerLost, ProviderClient
from ._idtoken import ALGORITHMS, Expected, IdTokenInvalid, check, check_refreshed, read_keys
from ._oauth import Code, code_request, refresh_request, revocation_request
from ._tokens import Identity, Login, Secret
from .errors import ConfigError, LoginFailed, NativeAuthError, ProviderError, ProviderUnavailable, clean
from .profiles import Profile
from .providers import PRESETS, Provider, issuer_of, metadata_urls, read_metadata

__all__ = ["Clock", "discover", "redeem", "renew", "revoke"]

_log = logging.getLogger("jupyter_nativeauth")


class Clock(Protocol):
    """Both clocks; the module :mod:`time` is one."""

    def time(self) -> float: ...
    def monotonic(self) -> float: ...


def discover(client: ProviderClient, profile: Profile) -> Provider:
    """
    The provider's metadata, as of now (OpenID Connect Discovery 1.0, section 4; RFC 8414, section 3).

    Raises:
        ConfigError: There is none for this issuer, or it is no use.
        ProviderUnavailable: It cannot be reached.
    """
    issuer = issuer_of(PRESETS[profile.provider], profile.options)
    first, second = metadata_urls(issuer)
    document = _metadata(client, first)
    if document is None or not document.get("revocation_endpoint") or not document.get("end_session_endpoint"):
        # Some have only one of the two documents, some name an endpoint in only one.
        try:
            return read_metadata(issuer, document, _metadata(client, second))
        except (ConfigError, ProviderUnavailable):
            if document is None:
                raise
    return read_metadata(issuer, document)


def _metadata(client: ProviderClient, url: str) -> dict[str, Any] | None:
    answer = client.get(url)
    if answer.status >= 500 or answer.status == 429:
        raise ProviderUnavailable(f"The service answered HTTP {answer.status} at {url}.", hint="Try again in a moment.")
    try:
        return read_json(answer.body) if answer.status == 200 else None
    except ValueError:
        return None


def redeem(client: ProviderClient, code: Code, *, login_id: str, clock: Clock = time) -> Login:
    """
    Exchange a checked code for a login, and check who it is for (OpenID Connect Core, section 3.1.3).

    Raises:
        LoginFailed: The provider refused the code, or the ID token is not ours to believe.
        ProviderUnavailable: No usable answer; the code is spent, so the person has to sign in again.
    """
    request = code.request
    profile, provider = request.profile, request.provider
    answer = client.post(code_request(code))
    try:
        granted = read_tokens(answer.status, answer.content_type, answer.body, who=profile.name)
    except ProviderError as error:
        raise LoginFailed(error.args[0], code=error.error or error.code, hint="Try again.") from None
    now = clock.time()
    if granted.id_token is None:
        raise LoginFailed(
            f"The service of {profile.name!r} did not say who signed in: there is no ID token.",
            code="id_token_missing",
            hint='`scopes` in nativeauth.toml must hold "openid".',
        )
    expected = Expected(
        issuer=provider.issuer,
        client_id=profile.client_id,
        nonce=request.nonce.reveal(),
        algorithms=_algorithms(provider),
        max_age=request.max_age,
        acr_values=request.acr_values,
        access_token=granted.access_token.reveal(),
    )
    keys, claims = _verify(client, provider, granted.id_token, expected, now, profile.name)
    claims = {**_userinfo(client, provider, granted, str(claims["sub"])), **claims}
    return Login(
        login_id=login_id,
        identity=_identity(profile.name, provider.issuer, claims),
        provider=provider,
        client_id=profile.client_id,
        audience=profile.audience or "",
        organization=profile.organization or "",
        scopes=granted.scopes if granted.scopes is not None else request.scopes,
        access_token=granted.access_token,
        expires_at=None if granted.expires_in is None else now + granted.expires_in,
        lifetime=granted.expires_in,
        refresh_token=granted.refresh_token,
        id_token=granted.id_token,
        keys=tuple(keys),
        signed_in_at=now,
        ends_at=_ends_at(granted, now) if granted.refresh_token is not None else None,
    )


def _ends_at(granted: Granted, now: float) -> float | None:
    return None if granted.refresh_expires_in is None else now + granted.refresh_expires_in


def _algorithms(provider: Provider) -> tuple[str, ...]:
    """What the provider says that it signs with, as far as we allow it; never ``none``, never a shared secret."""
    return tuple(name for name in provider.id_token_algorithms if name in ALGORITHMS) or ("RS256",)


def _verify(
    client: ProviderClient, provider: Provider, id_token: Secret, expected: Expected, now: float, who: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Check with the provider's keys; fetch them once more if the token names one that they did not hold."""
    problem = None
    for _ in range(2):
        keys = _fetch_keys(client, provider)
        try:
            return keys, check(id_token.reveal(), keys, expected, now=now)
        except IdTokenInvalid as error:
            problem = error.with_traceback(None)  # whose frames hold the token
        if problem.reason != "unknown_key":
            break
    raise LoginFailed(
        f"The ID token of {who!r} cannot be believed: {problem}",
        code="id_token_invalid",
        hint="Nobody was signed in. If it stays so, tell the people who run the service.",
    )


def _fetch_keys(client: ProviderClient, provider: Provider) -> list[dict[str, Any]]:
    answer = client.get(provider.jwks_uri)
    try:
        keys = read_keys(read_json(answer.body)) if answer.status == 200 else []
    except ValueError:
        keys = []
    if not keys:
        raise ProviderUnavailable(
            "The service shows no keys to check its signature with.", code="no_keys", hint="Try again in a moment."
        )
    return keys


def _userinfo(client: ProviderClient, provider: Provider, granted: Granted, subject: str) -> dict[str, Any]:
    """
    What the userinfo endpoint adds (OpenID Connect Core, section 5.3); nothing, when anything is wrong with it.

    It is for display only, so a sign-in never fails on it. A foreign ``sub`` makes all of it worthless (5.3.2).
    """
    if not provider.userinfo_endpoint:
        return {}
    try:
        answer = client.get(provider.userinfo_endpoint, bearer=granted.access_token)
        claims = read_json(answer.body) if answer.status == 200 else {}
    except (ProviderUnavailable, ValueError):
        return {}
    if claims.get("sub") != subject:
        return {}
    return {name: value for name, value in claims.items() if name not in _ABOUT_THE_TOKEN}


# What an ID token says of itself. A renewed one is compared with it, so it must not come from anywhere else.
_ABOUT_THE_TOKEN = {"iss", "aud", "exp", "nbf", "iat", "jti", "azp", "nonce", "auth_time", "acr", "amr", "at_hash"}


def _identity(profile: str, issuer: str, claims: Mapping[str, Any]) -> Identity:
    def words(name: str) -> str:
        value = claims.get(name)
        text = value if isinstance(value, str) else ""
        return "".join(letter for letter in text if letter.isprintable())[:200]

    subject = str(claims["sub"])
    name = words("name") or words("preferred_username") or words("nickname") or clean(subject, 60)
    return Identity(profile, issuer, subject, name, words("email"), dict(claims))


def renew(
    client: ProviderClient, profile: Profile, login: Login, *, clock: Clock = time
) -> tuple[Login, NativeAuthError | None]:
    """
    Redeem the refresh token of *login* (RFC 6749, section 6).

    An answer that got lost is asked for once more at once, under the same lock: if the provider rotated, the token
    that we did not see is lost either way, and providers with a grace period answer the repetition.

    Returns:
        The newer login, and what is wrong with it: then it holds the new refresh token and no access token.

    Raises:
        ProviderError: Refused; ``code`` is ``invalid_grant`` or ``refused``.
        ProviderUnavailable: No usable answer. ``retry_after`` may say when to ask again.
    """
    post = refresh_request(login, profile)
    try:
        answer = client.post(post)
    except AnswerLost as lost:
        if lost.code == "timeout":
            raise
        answer = client.post(post)
    now = clock.time()
    try:
        granted = read_tokens(answer.status, answer.content_type, answer.body, who=profile.name)
    except ProviderUnavailable as error:
        error.retry_after = answer.retry_after
        raise
    newer = replace(
        login,
        access_token=granted.access_token,
        expires_at=None if granted.expires_in is None else now + granted.expires_in,
        lifetime=granted.expires_in,
        refresh_token=granted.refresh_token or login.refresh_token,
        scopes=granted.scopes if granted.scopes is not None else login.scopes,
        renewed_at=now,
        # Left unsaid, a refresh token that stays keeps its time; that of a new one is not known.
        ends_at=_ends_at(granted, now)
        or (login.ends_at if granted.refresh_token in (None, login.refresh_token) else None),
    )
    if granted.id_token is None:
        return newer, None
    expected = Expected(
        issuer=login.provider.issuer,
        client_id=login.client_id,
        nonce=None,
        algorithms=_algorithms(login.provider),
        access_token=granted.access_token.reveal(),
    )
    try:
        # With the keys that were stored at sign-in: between the answer and the save there is no network.
        check_refreshed(
            granted.id_token.reveal(), list(login.keys), expected, now=now, before=dict(login.identity.claims)
        )
    except IdTokenInvalid as error:
        if error.reason == "unknown_key":
            return newer, None  # keys rotate; the identity stays the one that was proven
        problem = ProviderError(
            f"The renewed ID token of {profile.name!r} cannot be believed: {error}",
            code="id_token_invalid",
            hint="The access token that came with it is not used. Sign in again if it stays so.",
        )
        return replace(newer, access_token=None, expires_at=None, lifetime=None), problem
    return replace(newer, id_token=granted.id_token), None


def revoke(client: ProviderClient, login: Login) -> bool | None:
    """
    Revoke the login at the provider (RFC 7009).

    Returns:
        Whether the provider confirmed it; ``None`` if it has no way to.
    """
    post = revocation_request(login)
    if post is None:
        return None
    try:
        answer = client.post(post)
        if answer.status == 401 and login.access_token is not None:
            # Some providers take a public client's word only with the access token.
            answer = client.post(post, bearer=login.access_token)
    except NativeAuthError as error:  # also a `ca_bundle` that is gone: nothing stops a sign-out
        _log.info("The refresh token of %s could not be revoked (%s).", login.identity.profile, error.code)
        return False
    return 200 <= answer.status < 300
