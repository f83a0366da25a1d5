"""
Runs in: everywhere. What the provider is asked for: a login for a code, a newer one for an old one, its end.

Nothing here reads or writes the vault; :class:`jupyter_nativeauth._store.Store` does, before and after.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._accesstoken import check_access_token
from ._callback import Code
from ._clock import cure
from ._discovery import fetch_keys
from ._grant import Granted, read_granted, read_json, read_members
from ._http import Answer, AnswerLost, ProviderClient
from ._idtoken import Expected, check, check_refreshed
from ._jwks import ALGORITHMS, prepare
from ._jwt import TokenInvalid
from ._metadata import Provider
from ._oauth import code_request, refresh_request, revocation_request
from ._tokens import Identity, Login, Members, Secret
from .errors import LoginFailed, NativeAuthError, ProviderError, ProviderUnavailable, clean
from .profiles import Profile
from .providers import PRESETS, Preset, words_for

if TYPE_CHECKING:
    from ._clock import Clock
    from ._device import DeviceRequest
    from ._oauth import AuthorizationRequest

__all__ = ["believe", "members_in", "redeem", "renew", "revoke"]

_log = logging.getLogger("jupyter_nativeauth")


def _granted(answer: Answer, profile: Profile) -> Granted:
    return read_granted(members_in(answer, profile), who=profile.name)


def members_in(answer: Answer, profile: Profile) -> Members:
    """What an endpoint said to a form; its errors with the service's own words, and with the time to wait."""
    page = PRESETS[profile.provider].error_page
    try:
        return read_members(answer.status, answer.content_type, answer.body, who=profile.name, error_page=page)
    except ProviderUnavailable as error:
        error.retry_after = answer.retry_after
        raise
    except ProviderError as error:
        error.hint = words_for(PRESETS[profile.provider].token_words, error.error, error.description)
        raise


def redeem(client: ProviderClient, code: Code, *, login_id: str, clock: Clock = time) -> Login:
    """
    Exchange a checked code for a login, and check who it is for (OpenID Connect Core, section 3.1.3).

    Raises:
        LoginFailed: The provider refused the code, or the ID token is not ours to believe.
        ProviderUnavailable: No usable answer; the code is spent, so the person has to sign in again.
    """
    try:
        granted = code.granted or _granted(client.post(code_request(code)), code.request.profile)
    except ProviderError as error:
        # Here it is no person's no (RFC 6749, section 5.2), but some services' only word for whatever is wrong.
        reason = error.code if error.error == "access_denied" else error.error or error.code
        raise LoginFailed(error.args[0], code=reason, hint=error.hint or "Try again.") from None
    return believe(client, code.request, granted, login_id=login_id, clock=clock)


def believe(
    client: ProviderClient,
    asked: AuthorizationRequest | DeviceRequest,
    granted: Granted,
    *,
    login_id: str,
    clock: Clock = time,
) -> Login:
    """
    Make a login of what was granted, once it is sure who it is for (OpenID Connect Core, section 3.1.3.7).

    Raises:
        LoginFailed: The ID token is not ours to believe, or not what was asked for.
        ProviderUnavailable: The service does not show its keys; what it granted is lost.
    """
    profile, provider = asked.profile, asked.provider
    preset = PRESETS[profile.provider]
    now = clock.time()
    proof = granted.access_token if preset.identity_from == "access_token" else granted.id_token
    if proof is None:
        raise LoginFailed(
            f"The service of {profile.name!r} did not say who signed in: there is no ID token.",
            code="id_token_missing",
            hint='`scopes` in nativeauth.toml must hold "openid".',
        )
    expected = Expected(
        issuer=provider.issuer,
        client_id=profile.client_id,
        nonce=asked.nonce.reveal() if asked.nonce is not None else None,
        algorithms=_algorithms(provider),
        max_age=asked.max_age,
        acr_values=asked.acr_values,
        access_token=granted.access_token.reveal(),
        organization=asked.organization,
        organization_claims=preset.organization_claims,
    )
    keys, claims = _verify(client, profile, provider, proof, expected, now)
    if (doubt := _doubt(preset, provider, profile.client_id, granted.access_token, keys, now)) is not None:
        raise LoginFailed(
            f"The access token of {profile.name!r} cannot be believed: {doubt}",
            code="access_token_invalid",
            hint=_cure(client, doubt, now),
        )
    told = {**_userinfo(client, provider, granted, str(claims["sub"])), **claims}
    claims = {name: value for name, value in told.items() if name not in preset.false_claims}
    return Login(
        login_id=login_id,
        identity=_identity(profile.name, provider.issuer, claims),
        provider=provider,
        client_id=profile.client_id,
        audience=profile.audience or "",
        organization=profile.home,
        scopes=granted.scopes if granted.scopes is not None else asked.scopes,
        access_token=granted.access_token,
        expires_at=None if granted.expires_in is None else now + granted.expires_in,
        lifetime=granted.expires_in,
        refresh_token=granted.refresh_token if preset.renewable else None,
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
    client: ProviderClient, profile: Profile, provider: Provider, id_token: Secret, expected: Expected, now: float
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Check with the provider's keys; fetch them once more if the token names one that they did not hold."""
    problem = None
    for _ in range(2):
        keys = fetch_keys(client, provider.jwks_uri)
        try:
            return keys, check(id_token.reveal(), keys, expected, now=now)
        except TokenInvalid as error:
            problem = error.with_traceback(None)  # whose frames hold the token
        if problem.reason != "unknown_key":
            break
    raise LoginFailed(
        f"The ID token of {profile.name!r} cannot be believed: {problem}",
        code="id_token_invalid",
        hint=_cure(client, problem, now),
    )


def _cure(client: ProviderClient, problem: TokenInvalid | None, now: float) -> str:
    clock = cure(problem, client.date, now) if problem is not None else ""
    return f"Nobody was signed in. {clock or 'If it stays so, tell the people who run the service.'}"


def _doubt(
    preset: Preset, provider: Provider, client_id: str, token: Secret, keys: Sequence[Mapping[str, Any]], now: float
) -> TokenInvalid | None:
    """Why the access token is not to be believed, with a service that asks its clients to look at it."""
    if preset.access_token_jwt is None:
        return None
    try:
        check_access_token(
            token.reveal(),
            keys,
            issuer=provider.issuer,
            client_id=client_id,
            algorithms=preset.access_token_jwt.algorithms,
            now=now,
        )
    except TokenInvalid as error:
        return error.with_traceback(None)  # whose frames hold the token
    return None


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
        The newer login, and what is wrong with it: then it holds the new refresh token and no access token. After
        ``keys_rotated`` it is worth trying once more at once: the keys are then fetched first.

    Raises:
        ProviderError: Refused; ``code`` is ``invalid_grant`` or ``refused``.
        ProviderUnavailable: No usable answer. ``retry_after`` may say when to ask again.
    """
    preset, provider = PRESETS[profile.provider], login.provider
    keys: Sequence[Mapping[str, Any]] = login.keys
    if preset.access_token_jwt is not None and not keys:
        keys = fetch_keys(client, provider.jwks_uri)
    post = refresh_request(login, profile)
    prepare()
    try:
        answer = client.post(post)
    except AnswerLost as lost:
        if lost.code == "timeout":
            raise
        answer = client.post(post)
    now = clock.time()
    granted = _granted(answer, profile)
    newer = replace(
        login,
        access_token=granted.access_token,
        expires_at=None if granted.expires_in is None else now + granted.expires_in,
        lifetime=granted.expires_in,
        refresh_token=granted.refresh_token or login.refresh_token,
        scopes=granted.scopes if granted.scopes is not None else login.scopes,
        keys=tuple(keys),
        renewed_at=now,
        # Left unsaid, a refresh token that stays keeps its time; that of a new one is not known.
        ends_at=_ends_at(granted, now)
        or (login.ends_at if granted.refresh_token in (None, login.refresh_token) else None),
    )
    # With the keys that are here: between the answer and the save there is no network, and no import.
    doubt = _doubt(preset, provider, login.client_id, granted.access_token, keys, now)
    if doubt is not None and doubt.reason == "unknown_key" and login.keys:
        return _unusable(client, newer, "access token", doubt, code="keys_rotated", keys=())
    if doubt is not None:
        return _unusable(client, newer, "access token", doubt, code="access_token_invalid")
    if granted.id_token is None:
        return newer, None
    expected = Expected(
        issuer=provider.issuer,
        client_id=login.client_id,
        nonce=None,
        algorithms=_algorithms(provider),
        access_token=granted.access_token.reveal(),
        organization_claims=preset.organization_claims,
    )
    try:
        check_refreshed(granted.id_token.reveal(), keys, expected, now=now, before=dict(login.identity.claims))
    except TokenInvalid as error:
        if error.reason == "unknown_key":
            return newer, None  # keys rotate; the identity stays the one that was proven
        return _unusable(client, newer, "ID token", error, code="id_token_invalid")
    return replace(newer, id_token=granted.id_token), None


def _unusable(
    client: ProviderClient, newer: Login, what: str, why: TokenInvalid, *, code: str, **changes: Any
) -> tuple[Login, ProviderError]:
    problem = ProviderError(
        f"The renewed {what} of {newer.identity.profile!r} cannot be believed: {why}",
        code=code,
        hint=cure(why, client.date, newer.renewed_at)
        or "The access token that came with it is not used. Sign in again if it stays so.",
    )
    return replace(newer, access_token=None, expires_at=None, lifetime=None, **changes), problem


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
