"""
Runs in: everywhere. OAuth 2.0 and OpenID Connect for a native app: requests out, checked answers in. No I/O.

Written by us, on Authlib's PKCE and URL helpers: its client accepts any JSON as a token answer, lets ``null`` replace
a refresh token, and reads a token out of a URL's fragment.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl

from ._grant import printable
from ._tokens import Login, Secret
from .errors import LoginFailed, clean
from .providers import PRESETS, Provider

if TYPE_CHECKING:
    from .profiles import Profile

__all__ = [
    "Ask",
    "AuthorizationRequest",
    "Code",
    "Mismatch",
    "Post",
    "authorization_request",
    "code_request",
    "end_session_url",
    "read_callback",
    "refresh_request",
    "revocation_request",
]

Form = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ask:
    """What one sign-in asks for beyond its profile."""

    scopes: tuple[str, ...] = ()
    acr_values: str | None = None
    max_age: int | None = None
    switch: bool = False

    def __bool__(self) -> bool:
        return bool(self.scopes or self.acr_values or self.switch or self.max_age is not None)


@dataclass(frozen=True)
class AuthorizationRequest:
    """A sign-in that has begun: what was sent, and what the answer must match (RFC 9700, section 2.1)."""

    profile: Profile
    provider: Provider
    redirect_uri: str
    scopes: tuple[str, ...]
    max_age: int | None
    acr_values: str | None
    state: Secret
    nonce: Secret
    verifier: Secret
    url: Secret


@dataclass(frozen=True)
class Code:
    """An authorization code that was checked. Only :func:`read_callback` makes one."""

    value: Secret
    request: AuthorizationRequest


@dataclass(frozen=True)
class Post:
    """A form to post to a provider. Repeated names are allowed (RFC 8707, section 2)."""

    url: str
    form: Form = field(repr=False)


class Mismatch(LoginFailed):
    """The answer is not one to this request. It changes nothing: the sign-in goes on waiting."""

    default_code = "state_mismatch"


def authorization_request(profile: Profile, provider: Provider, redirect_uri: str, ask: Ask) -> AuthorizationRequest:
    """
    Begin a sign-in: Authorization Code with PKCE (RFC 8252, section 6; RFC 7636, section 4).

    Args:
        profile: Who asks, and for what.
        provider: The metadata as of now; the sign-in ends with the same.
        redirect_uri: Where the answer must arrive, to the letter.
        ask: What this sign-in wants beyond the profile.
    """
    from authlib.common.urls import add_params_to_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    scopes = requested_scopes(profile, provider, ask)
    max_age = ask.max_age if ask.max_age is not None else profile.max_age
    acr_values = ask.acr_values or profile.acr_values
    parameters = {
        **profile.authorize,
        "response_type": "code",
        "client_id": profile.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(scopes),
        "state": state,
        "nonce": nonce,
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
        "prompt": _prompt(profile, provider, scopes, ask),
        "audience": profile.audience,
        "organization": profile.organization,
        "connection": profile.connection,
        "login_hint": None if ask.switch else profile.login_hint,
        "max_age": None if max_age is None else str(max_age),
        "acr_values": acr_values,
    }
    pairs = [(name, value) for name, value in parameters.items() if value]
    pairs += [("resource", resource) for resource in profile.resource]
    url = add_params_to_uri(provider.authorization_endpoint, pairs)
    return AuthorizationRequest(
        profile=profile,
        provider=provider,
        redirect_uri=redirect_uri,
        scopes=scopes,
        max_age=max_age,
        acr_values=acr_values,
        state=Secret(state),
        nonce=Secret(nonce),
        verifier=Secret(verifier),
        url=Secret(url),
    )


def requested_scopes(profile: Profile, provider: Provider, ask: Ask) -> tuple[str, ...]:
    """The profile's scopes (or the usual ones) and those asked for; ``offline_access`` only where it is known."""
    scopes = profile.scopes
    if scopes is None:
        offline = ("offline_access",) if "offline_access" in provider.scopes_supported else ()
        scopes = ("openid", "profile", "email", *offline)
    return tuple(dict.fromkeys((*scopes, *ask.scopes)))


def _prompt(profile: Profile, provider: Provider, scopes: Sequence[str], ask: Ask) -> str:
    if profile.prompt is not None:
        wanted = [*profile.prompt.split()]
    else:
        wanted = PRESETS[profile.provider].offline_access_prompt.split() if "offline_access" in scopes else []
    if ask.switch:
        # `login` is known to every provider; `select_account` is refused by those that do not list it.
        wanted.insert(0, "select_account" if "select_account" in provider.prompt_values_supported else "login")
    return " ".join(dict.fromkeys(wanted))


def read_callback(request: AuthorizationRequest, query: str) -> Code:
    """
    Check the provider's answer to a sign-in, and take the code out of it.

    The checks come in the order of the attacks that they stop: is this the answer to *our* request (``state``), does
    it come from the provider that was asked (``iss``), and only then what it says.

    Args:
        request: The sign-in that we began.
        query: The callback's query string, as it came.

    Raises:
        Mismatch: It is not an answer to this request; the sign-in goes on waiting.
        LoginFailed: The provider said no, in its own word for ``code``.

    See Also:
        RFC 6749, sections 4.1.2 and 10.12; RFC 9207, section 2.4; RFC 9700, section 4.4.2.
    """
    answer = read_query(query)
    if not hmac.compare_digest(answer.get("state", "").encode(), request.state.reveal().encode()):
        raise Mismatch("The answer belongs to another sign-in.")
    issuer = answer.get("iss")
    if issuer is not None and issuer != request.provider.issuer:
        raise Mismatch("The answer comes from another provider than the one that was asked.", code="issuer_mismatch")
    if {"access_token", "id_token", "response", "token_type"} & answer.keys():
        # A code was asked for. Tokens in the front channel are the implicit flow (RFC 9700, section 2.1.2).
        raise Mismatch("The answer holds a token where only a code may stand.", code="unexpected_token")
    if "error" in answer:
        if "code" in answer:
            raise Mismatch("The answer says both yes and no.", code="bad_callback")
        _raise_denied(request, answer)
    if issuer is None and request.provider.sends_iss:
        # Demanded on success only: known providers leave it out of errors, though they advertise it.
        raise Mismatch("The answer does not name its provider, though the provider promises to.", code="issuer_missing")
    code = answer.get("code", "")
    if not 0 < len(code) <= 8192 or not printable(code):
        raise Mismatch("The answer holds no usable code.", code="bad_callback")
    return Code(Secret(code), request)


def read_query(query: str) -> dict[str, str]:
    """
    The parameters of a query string.

    Raises:
        Mismatch: It is too long, malformed, or names one of the parameters that decide twice (RFC 6749, section 3.1).
    """
    if len(query) > 16384:
        raise Mismatch("The answer is too long.", code="bad_callback")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=250)
    except ValueError:
        raise Mismatch("The answer is not a well-formed query.", code="bad_callback") from None
    answer: dict[str, str] = {}
    for name, value in pairs:
        if name in answer and name in ("code", "state", "iss", "error"):
            raise Mismatch("The answer names a parameter twice.", code="bad_callback")
        answer.setdefault(name, value)
    return answer


_DENIED = {
    "access_denied": "The service did not give access: somebody said no, or an administrator has to allow it first.",
    "login_required": "The service wants a fresh sign-in.",
    "consent_required": "The service wants consent first.",
    "interaction_required": "The service wants to ask something first.",
    "account_selection_required": "The service wants an account to be chosen first.",
    "temporarily_unavailable": "The service is busy just now. Try again in a minute.",
    "server_error": "The service had an error. Try again.",
    "invalid_scope": "The service does not know one of the scopes. Check `scopes` in nativeauth.toml.",
    "invalid_request": "The service did not accept the request. Check the profile in nativeauth.toml.",
    "unauthorized_client": "The service does not let this client sign in this way. Check its settings there.",
    "invalid_target": "The service does not know the audience or resource. Check them in nativeauth.toml.",
}


def _raise_denied(request: AuthorizationRequest, answer: Mapping[str, str]) -> NoReturn:
    code = clean(answer["error"], 60) or "error"
    words = _DENIED.get(code, "The service refused.")
    said = clean(answer.get("error_description", ""))
    raise LoginFailed(
        f"Sign-in to {request.profile.name!r} failed ({code}). {words}" + (f' It said: "{said}".' if said else ""),
        code=code,
    )


def code_request(code: Code) -> Post:
    """Redeem *code* (RFC 6749, section 4.1.3; RFC 7636, section 4.5)."""
    request = code.request
    form = [
        ("grant_type", "authorization_code"),
        ("code", code.value.reveal()),
        ("redirect_uri", request.redirect_uri),
        ("client_id", request.profile.client_id),
        ("code_verifier", request.verifier.reveal()),
    ]
    return Post(request.provider.token_endpoint, (*form, *_resources(request.profile)))


def refresh_request(login: Login, profile: Profile) -> Post:
    """Renew *login* (RFC 6749, section 6). Never with a ``scope``: some providers then narrow or refuse the grant."""
    assert login.refresh_token is not None  # noqa: S101 - the caller has looked
    form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", login.refresh_token.reveal()),
        ("client_id", login.client_id),
    ]
    return Post(login.provider.token_endpoint, (*form, *_resources(profile)))


def revocation_request(login: Login) -> Post | None:
    """Revoke *login*'s refresh token, and with it the grant (RFC 7009, section 2.1); ``None`` where none can be."""
    token, kind = (
        (login.refresh_token, "refresh_token") if login.refresh_token else (login.access_token, "access_token")
    )
    if not login.provider.revocation_endpoint or token is None:
        return None
    form = (("token", token.reveal()), ("token_type_hint", kind), ("client_id", login.client_id))
    return Post(login.provider.revocation_endpoint, form)


def end_session_url(
    endpoint: str, *, id_token: Secret | None, client_id: str, post_logout_redirect_uri: str, state: str
) -> Secret:
    """Where the browser goes to end the provider's own session (OpenID Connect RP-Initiated Logout 1.0, section 2)."""
    from authlib.common.urls import add_params_to_uri

    parameters = {
        "id_token_hint": id_token.reveal() if id_token else "",
        "client_id": client_id,
        "post_logout_redirect_uri": post_logout_redirect_uri,
        "state": state,
    }
    return Secret(add_params_to_uri(endpoint, [(name, value) for name, value in parameters.items() if value]))


def _resources(profile: Profile) -> tuple[tuple[str, str], ...]:
    return tuple(("resource", resource) for resource in profile.resource)
