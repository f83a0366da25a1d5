"""
Runs in: everywhere. OAuth 2.0 and OpenID Connect for a native app: what is sent. No I/O.

Written by us, on Authlib's PKCE and URL helpers: its client accepts any JSON as a token answer, lets ``null`` replace
a refresh token, and reads a token out of a URL's fragment.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from ._tenant import at_tenant, find_tenant
from ._tokens import Login, Secret
from .errors import ConfigError, clean
from .providers import PRESETS

if TYPE_CHECKING:
    from ._callback import Code
    from ._metadata import Provider
    from ._tenant import Setup, Tenant
    from .profiles import Profile

__all__ = [
    "Ask",
    "AuthorizationRequest",
    "Post",
    "asked_for",
    "authorization_request",
    "code_request",
    "end_session_url",
    "for_tenant",
    "once_more",
    "refresh_request",
    "requested_scopes",
    "resources",
    "revocation_request",
    "wanted_age",
    "wishes",
]

Form = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ask:
    """
    What one sign-in asks for beyond its profile.

    Attributes:
        hints: Parameters that a link of the service itself brought along, by the profile's names for them. They never
            replace what the profile says.
        again: Whether it takes the place of one that ended with :exc:`AskAgain`.
    """

    scopes: tuple[str, ...] = ()
    acr_values: str | None = None
    max_age: int | None = None
    switch: bool = False
    hints: Form = ()
    again: bool = False

    def __bool__(self) -> bool:
        return bool(self.scopes or self.acr_values or self.switch or self.max_age is not None or self.hints)


@dataclass(frozen=True)
class AuthorizationRequest:
    """
    A sign-in that has begun: what was sent, and what the answer must match (RFC 9700, section 2.1).

    Attributes:
        implicit: Whether the token itself was asked for, and not a code. Only where a profile insists on it.
        url: Where the browser goes first.
        query: What the authorization endpoint is asked, wherever it turns out to be.
        setup: How the application is set up, with a service whose customers have hosts of their own.
        tenant: The customer whose host is asked, as soon as that is known.
    """

    profile: Profile
    provider: Provider
    redirect_uri: str
    scopes: tuple[str, ...]
    max_age: int | None
    acr_values: str | None
    organization: str | None
    again: bool
    implicit: bool
    state: Secret
    nonce: Secret
    verifier: Secret
    url: Secret
    query: Secret
    setup: Setup | None = None
    tenant: Tenant | None = None


@dataclass(frozen=True)
class Post:
    """A form to post to a provider. Repeated names are allowed (RFC 8707, section 2)."""

    url: str
    form: Form = field(repr=False)


def authorization_request(
    profile: Profile, provider: Provider, redirect_uri: str, ask: Ask, setup: Setup | None = None
) -> AuthorizationRequest:
    """
    Begin a sign-in: Authorization Code with PKCE (RFC 8252, section 6; RFC 7636, section 4).

    Args:
        profile: Who asks, and for what.
        provider: The metadata as of now; the sign-in ends with the same.
        redirect_uri: Where the answer must arrive, to the letter.
        ask: What this sign-in wants beyond the profile.
        setup: How the application is set up, with a service whose customers have hosts of their own.
    """
    from authlib.common.urls import add_params_to_uri
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    scopes = requested_scopes(profile, provider, ask)
    implicit = "insecure_implicit_flow" in profile.options
    parameters = {
        **profile.authorize,
        **asked_for(profile, provider, ask, redirect_uri),
        "response_type": "token" if implicit else "code",
        "client_id": profile.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "nonce": nonce,
        "code_challenge": None if implicit else create_s256_code_challenge(verifier),
        "code_challenge_method": None if implicit else "S256",
    }
    pairs = [(name, value) for name, value in parameters.items() if value]
    pairs += resources(profile)
    url = add_params_to_uri(provider.authorization_endpoint, pairs)
    request = AuthorizationRequest(
        profile=profile,
        provider=provider,
        redirect_uri=redirect_uri,
        scopes=scopes,
        max_age=wanted_age(profile, ask),
        acr_values=ask.acr_values or profile.acr_values,
        organization=wishes(profile, ask).get("organization"),
        again=ask.again,
        implicit=implicit,
        state=Secret(state),
        nonce=Secret(nonce),
        verifier=Secret(verifier),
        url=Secret(url),
        query=Secret(urlencode(pairs)),
        setup=setup,
    )
    return for_tenant(request, dict(ask.hints))


def asked_for(profile: Profile, provider: Provider, ask: Ask, redirect_uri: str) -> dict[str, str | None]:
    """What a sign-in asks for, by the service's names, whichever way it goes; ``resource`` comes on top of it."""
    names = PRESETS[profile.provider].parameters
    scopes, max_age = requested_scopes(profile, provider, ask), wanted_age(profile, ask)
    return {
        **{name: value for key, value in wishes(profile, ask).items() for name in names.get(key, key).split()},
        "scope": " ".join(scopes),
        "prompt": _prompt(profile, provider, scopes, ask, redirect_uri),
        "max_age": None if max_age is None else str(max_age),
        "acr_values": ask.acr_values or profile.acr_values,
    }


def for_tenant(request: AuthorizationRequest, hints: Mapping[str, str]) -> AuthorizationRequest:
    """
    The same sign-in at the host of the customer that *hints* or the profile name, with a service that has such hosts.

    Where nobody says which, the browser goes first to the page that finds it out.

    Raises:
        ValueError: *hints* name a host that the profile does not know.
    """
    profile, setup = request.profile, request.setup
    hosts = PRESETS[profile.provider].tenants
    if hosts is None or setup is None:
        return request
    asked = {"name": hints.get("tenant_name", ""), "domain": hints.get("tenant_custom_domain", "")}
    tenant = find_tenant(hosts, profile.options, setup.separator, **asked)
    if tenant is not None:
        return _at(request, tenant, hints.get("login_hint", ""))
    if profile.options.get("tenant_discovery") == "authorize":
        return request
    return replace(request, url=Secret(f"{setup.login_page}?{urlencode({'client_id': profile.client_id})}"))


def _at(request: AuthorizationRequest, tenant: Tenant, login_hint: str = "") -> AuthorizationRequest:
    hosts = PRESETS[request.profile.provider].tenants
    assert hosts is not None  # noqa: S101 - there is a tenant
    provider = at_tenant(hosts, request.provider, tenant)
    pairs = parse_qsl(request.query.reveal())
    if login_hint and "login_hint" not in dict(pairs):
        pairs.append(("login_hint", login_hint))
    url = Secret(f"{provider.authorization_endpoint}?{urlencode(pairs)}")
    return replace(request, provider=provider, tenant=tenant, url=url)


def once_more(request: AuthorizationRequest, ask: Ask) -> AuthorizationRequest:
    """A new sign-in in the place of one that ended with :exc:`AskAgain`, at the same host."""
    again = replace(ask, again=True)
    newer = authorization_request(request.profile, request.provider, request.redirect_uri, again, request.setup)
    return newer if request.tenant is None else _at(newer, request.tenant)


_WISHES = ("audience", "organization", "connection", "login_hint")


def wanted_age(profile: Profile, ask: Ask) -> int | None:
    """How long ago the person may have signed in at the service, in seconds."""
    return ask.max_age if ask.max_age is not None else profile.max_age


def wishes(profile: Profile, ask: Ask) -> dict[str, str]:
    """What the service is to know, by the profile's names: what the profile says, or else a link of the service."""
    known = (*_WISHES, *PRESETS[profile.provider].parameters)
    wanted = {name: value for name, value in ask.hints if name in known}
    wanted |= {name: value for name, value in profile.options.items() if name in known}
    wanted |= {name: value for name in _WISHES if (value := getattr(profile, name))}
    if ask.switch:
        wanted.pop("login_hint", None)
    return wanted


def requested_scopes(profile: Profile, provider: Provider, ask: Ask) -> tuple[str, ...]:
    """The profile's scopes (or the usual ones) and those asked for; ``offline_access`` only where it is known."""
    preset, scopes = PRESETS[profile.provider], profile.scopes
    if scopes is None:
        listed = preset.offline_access == "listed" and "offline_access" in provider.scopes_supported
        offline = ("offline_access",) if listed or preset.offline_access == "always" else ()
        scopes = (*preset.default_scopes, *offline)
    for scope in ask.scopes:
        if scope.lower() in preset.refused_scopes:
            raise ConfigError(f'The scope "{clean(scope)}" cannot be used: {preset.refused_scopes[scope.lower()]}.')
    return tuple(dict.fromkeys((*scopes, *ask.scopes)))


def _prompt(profile: Profile, provider: Provider, scopes: Sequence[str], ask: Ask, redirect_uri: str) -> str:
    preset = PRESETS[profile.provider]
    if profile.prompt is not None:
        # The service has just refused to answer without asking.
        wanted = [word for word in profile.prompt.split() if not (ask.again and word == "none")]
    else:
        wanted = preset.offline_access_prompt.split() if "offline_access" in scopes else []
    for word in wanted:
        if redirect_uri.startswith("http:") and word in preset.refused_prompts:
            raise ConfigError(
                f'The profile {profile.name!r} has prompt = "{word}", which cannot work here: '
                f"{preset.refused_prompts[word]}.",
                hint="Remove it from nativeauth.toml.",
            )
    if ask.switch:
        # `login` is known to every provider; `select_account` is refused by those that do not list it.
        wanted.insert(0, "select_account" if "select_account" in provider.prompt_values_supported else "login")
    return " ".join(dict.fromkeys(wanted))


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
    return Post(request.provider.token_endpoint, (*form, *resources(request.profile)))


def refresh_request(login: Login, profile: Profile) -> Post:
    """Renew *login* (RFC 6749, section 6). Never with a ``scope``: some providers then narrow or refuse the grant."""
    assert login.refresh_token is not None  # noqa: S101 - the caller has looked
    form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", login.refresh_token.reveal()),
        ("client_id", login.client_id),
    ]
    return Post(login.provider.token_endpoint, (*form, *resources(profile)))


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
    endpoint: str,
    names: Mapping[str, str],
    *,
    id_token: Secret | None,
    client_id: str,
    post_logout_redirect_uri: str,
    state: str,
) -> Secret:
    """
    Where the browser goes to end the provider's own session (OpenID Connect RP-Initiated Logout 1.0, section 2).

    *names* are the service's own for the parameters; what has none is not sent.
    """
    from authlib.common.urls import add_params_to_uri

    parameters = {
        "id_token_hint": id_token.reveal() if id_token else "",
        "client_id": client_id,
        "post_logout_redirect_uri": post_logout_redirect_uri,
        "state": state,
    }
    pairs = [(names[name], value) for name, value in parameters.items() if value and name in names]
    return Secret(add_params_to_uri(endpoint, pairs))


def resources(profile: Profile) -> tuple[tuple[str, str], ...]:
    return tuple(("resource", resource) for resource in profile.resource)
