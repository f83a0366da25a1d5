"""
Runs in: the command line. ``jupyter nativeauth doctor``: is everything right, and what must be set where?

It asks the service what a sign-in would ask, and changes nothing, here or there.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ._accounts import accounts
from ._clock import LEEWAY, apart
from ._device_attempt import no_device_flow
from ._diagnosis import Diagnosis, Report
from ._discovery import fetch_keys, look_up
from ._finding import Finding
from ._host import address
from ._hub import is_at_hub
from ._jwks import ALGORITHMS
from ._listener import own_literal
from ._machine import machine, way
from ._oauth import Ask, authorization_request
from ._origin import IPV6_ONLY, stays_here
from ._proxy import proxy_to
from ._request import other_redirect_uri
from ._status import status_of
from .errors import ConfigError, NativeAuthError
from .profiles import Profile
from .providers import PRESETS, issuer_of

if TYPE_CHECKING:
    from ._account import Account
    from ._clock import Clock
    from ._metadata import Provider
    from ._status import ProfileStatus

__all__ = ["diagnose", "examine", "places"]

_LASTS = {
    "keychain": "It lasts until you sign out.",
    "dpapi": "It lasts until you sign out.",
    "file": "It lasts as long as that file.",
    "passphrase": "It lasts as long as you know the passphrase.",
    "server": "It lasts until the Jupyter server stops.",
    "process": "It ends with this process.",
}


def examine(profile: str | None = None, *, clock: Clock = time) -> Report:
    """
    Look at this computer, and at a profile: the default one, or all if there is none.

    Raises:
        ConfigError: There is no profile of that name.
    """
    here = list(machine(accounts().folder))
    try:
        book = accounts().profiles()
        chosen = [profile or book.default] if profile or book.default or not book else list(book)
        if len(book) > len(chosen):
            here.append(
                Finding("note", f"There are {len(book)} profiles: {', '.join(book)}.", "Name another to see it.")
            )
        found = tuple(diagnose(name or None, clock=clock) for name in chosen)
    except ConfigError as error:
        if profile:
            raise
        return Report((*here, Finding.of(error)), ())
    return Report(tuple(here), found)


def diagnose(profile: str | Profile | None = None, *, clock: Clock = time) -> Diagnosis:
    """
    Look at a profile, at this machine and at the service.

    Raises:
        ConfigError: There is no such profile, or a key of it is wrong.
    """
    account = accounts().get(profile)
    found = account.profile
    preset = PRESETS[found.provider]
    if preset.lender:
        lent = tuple(_lent(account))
        return Diagnosis(found.name, preset.label, account.issuer, lent, (), False, (), "", preset.console)  # noqa: FBT003
    uris = redirect_uris(found, places())
    findings = [*_at_the_service(account, uris, clock), *_of_the_profile(found, uris), *_here(account, clock)]
    logouts, begin = uris, ""
    try:
        begin = address(uris[0], f"initiate/{found.name}")
        logouts = tuple(dict.fromkeys(address(uri, "logout/callback") for uri in uris))
    except ConfigError as error:
        findings.insert(0, Finding.of(error))
    if found.post_logout_redirect_uri is not None:
        logouts = (found.post_logout_redirect_uri,)
    return Diagnosis(
        profile=found.name,
        service=preset.label,
        issuer=issuer_of(preset, found.options),
        findings=tuple(findings),
        redirect_uris=uris,
        any_port=not preset.redirect.exact_port and not found.redirect_ports and found.redirect_uri is None,
        logout_uris=logouts,
        initiate_uri=begin,
        console=preset.console,
    )


def places(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """
    Where our pages are, without the port: on the hub's public address, or below the base URLs of the Jupyter servers
    that run here; and, for scripts, right on this machine.
    """
    from jupyter_server.serverapp import list_running_servers

    if public := environ.get("JUPYTERHUB_PUBLIC_URL"):
        return (f"{public.rstrip('/')}/",)
    literal = own_literal()
    here = [f"http://{literal}{environ.get('JUPYTER_NATIVEAUTH_BASE_URL', '/')}"]
    for server in list_running_servers():
        parts = urlsplit(server["url"])
        if parts.scheme in ("http", "https"):  # one on a unix socket has no such address
            at = "[::1]" if parts.hostname in IPV6_ONLY else literal
            here.append(f"{parts.scheme}://{at}{server['base_url']}")
    return tuple(dict.fromkeys([*here, f"http://{literal}/"]))


def redirect_uris(profile: Profile, bases: Sequence[str]) -> tuple[str, ...]:
    """The redirect URIs that sign-ins of *profile* may come with, for the server and for scripts."""
    if profile.redirect_uri is not None:
        return (profile.redirect_uri,)
    tail = f"/{profile.name}" if profile.redirect_path == "profile" else ""
    whole = [f"{base}nativeauth/callback{tail}" for base in bases]
    if not profile.redirect_ports:
        return tuple(whole)
    bare = re.compile(r"://(127\.0\.0\.1|\[::1\])/")
    uris = (bare.sub(rf"://\1:{port}/", uri) for uri in whole for port in profile.redirect_ports)
    return tuple(dict.fromkeys(uris))


def _at_the_service(account: Account, uris: Sequence[str], clock: Clock) -> Iterator[Finding]:
    profile, client = account.profile, account.client
    host = urlsplit(account.issuer).hostname or ""
    if not stays_here(host) and (proxy := proxy_to(host)) is not None:
        yield Finding("note", f"Requests for {host} go through the proxy {proxy.place} ({proxy.variable}).")
    try:
        wanted = ("device_authorization_endpoint",) if profile.flow == "device" else ()
        provider, setup = look_up(client, profile, wanted=wanted)
        yield Finding("ok", f"The service is there; the browser goes to {provider.authorization_endpoint}.")
        keys = fetch_keys(client, provider.jwks_uri)
        yield Finding("ok", f"It shows {len(keys)} {'key' if len(keys) == 1 else 'keys'} to check its signatures with.")
        yield from _clocks(client.date, clock)
        requests = [authorization_request(profile, provider, uri, Ask(), setup) for uri in uris]
    except NativeAuthError as error:
        yield Finding.of(error)
        return
    others = [words for uri in uris if (words := other_redirect_uri(setup, uri))]
    if len(others) == len(uris):  # the service shows one of them only
        yield Finding("warning", others[0])
    yield from _abilities(provider, requests[0].scopes, profile)
    yield from _mixed_up(provider, profile)


def _clocks(date: float | None, clock: Clock) -> Iterator[Finding]:
    if date is None:
        return
    ahead = clock.time() - date
    if abs(ahead) <= LEEWAY / 2:
        yield Finding("ok", "This computer's clock agrees with the service's.")
        return
    level = "error" if abs(ahead) > LEEWAY else "warning"
    yield Finding(level, apart(ahead), "Set it; best of all, let it set itself.")


def _abilities(provider: Provider, scopes: Sequence[str], profile: Profile) -> Iterator[Finding]:
    preset = PRESETS[profile.provider]
    if not {*provider.id_token_algorithms} & {*ALGORITHMS}:
        yield Finding(
            "error",
            f"The service signs with {', '.join(provider.id_token_algorithms)} only, which a client without a secret "
            "cannot check.",
            "At the service, let this application's ID tokens be signed with RS256.",
        )
    unknown = [scope for scope in scopes if provider.scopes_supported and scope not in provider.scopes_supported]
    if unknown:
        yield Finding(
            "note",
            f"The service's metadata does not list these scopes: {' '.join(unknown)}.",
            "An API's own scopes are often not listed. If a sign-in fails with invalid_scope, check `scopes`.",
        )
    if "openid" not in scopes and preset.identity_from == "id_token":
        yield Finding("error", "Nobody would know who signed in.", '`scopes` in nativeauth.toml must hold "openid".')
    if preset.renewable and "offline_access" not in scopes:
        yield Finding(
            "note",
            "No refresh token is asked for, so a login may be over when its access token is.",
            'If the service knows it, add "offline_access" to `scopes` in nativeauth.toml.',
        )
    if profile.flow == "device" and not provider.device_authorization_endpoint:
        yield Finding.of(no_device_flow(profile))
    if not provider.revocation_endpoint:
        yield Finding("note", "A sign-out cannot revoke the tokens; they end by themselves when their time is over.")
    if not provider.end_session_endpoint:
        yield Finding("note", "A sign-out cannot end the service's own session in the browser.")


def _mixed_up(provider: Provider, profile: Profile) -> Iterator[Finding]:
    """RFC 9700, section 4.4: who has several services needs to know which of them an answer is from."""
    if provider.sends_iss or profile.redirect_path is not None:
        return
    for other in accounts().profiles().values():
        apart = other.redirect_path is not None or other.redirect_uri != profile.redirect_uri
        if not apart and issuer_of(PRESETS[other.provider], other.options) != provider.issuer:
            yield Finding(
                "note",
                f"The profile {other.name!r} has another service and the same redirect URI, and this service's "
                "answers do not say whom they are from (RFC 9207).",
                f'If you do not trust both alike, add redirect_path = "profile" to [profiles.{profile.name}], and '
                "register the redirect URI that it then has.",
            )
            return


def _of_the_profile(profile: Profile, uris: Sequence[str]) -> Iterator[Finding]:
    preset = PRESETS[profile.provider]
    rules = preset.redirect
    if not profile.api:
        yield Finding(
            "warning",
            "The profile names no API, so its access token goes nowhere.",
            f'Add the API\'s origin to [profiles.{profile.name}]: api = ["https://api.example.com"].',
        )
    if preset.no_audience_words and profile.audience is None:
        yield Finding("warning", "The profile names no `audience`.", preset.no_audience_words)
    if "insecure_implicit_flow" in profile.options:
        yield Finding(
            "warning",
            "The access token comes in the browser's address, and no PKCE guards it.",
            "Remove `insecure_implicit_flow` if the service lets this client do without.",
        )
    yield from _elsewhere(profile, places())
    for uri in uris:
        if 0 < rules.longest < len(uri):
            yield Finding("error", f"{uri} is longer than the {rules.longest} characters that {preset.label} allows.")
    issuer = issuer_of(preset, profile.options)
    if any(uri.startswith("http:") for uri in uris) and not any(fnmatchcase(issuer, known) for known in rules.http_at):
        yield Finding("warning", rules.http_words)


def _elsewhere(profile: Profile, bases: Sequence[str]) -> Iterator[Finding]:
    """A redirect URI below another path than all that is here: a proxy that takes a path off breaks Jupyter itself."""
    path, found, _ = urlsplit(profile.redirect_uri or "").path.partition("nativeauth/callback")
    here = {urlsplit(base).path for base in bases}
    if found and path not in here and not is_at_hub(os.environ):
        yield Finding(
            "note",
            f"`redirect_uri` leads to the path {path}, and the Jupyter servers that run here are below "
            f"{', '.join(sorted(here))}.",
            f'If a proxy stands between, let it keep the path, and start Jupyter with --ServerApp.base_url="{path}".',
        )


def _lent(account: Account) -> Iterator[Finding]:
    """Somebody else signs people in."""
    try:
        name = account.identity().name
    except NativeAuthError as error:
        yield Finding.of(error)
    else:
        yield Finding("ok", f"Now: {account.lender} lends the access token of {name}, and renews it.")


def _presence(account: Account) -> Iterator[Finding]:
    with_presence = account.profile.presence
    if with_presence is None:
        return
    try:
        yield Finding("ok", f"This device asks whether it is you: {account.presence.check()} ({with_presence}).")
    except NativeAuthError as error:
        yield Finding.of(error)


def _here(account: Account, clock: Clock) -> Iterator[Finding]:
    status = status_of(account)
    yield from _presence(account)
    if status.state == "unavailable":
        yield Finding("error", status.message, status.hint)
        return
    if account.profile.client_type == "confidential":
        try:
            account.client_secret().read()
        except NativeAuthError as error:
            yield Finding.of(error)
    yield way(account.profile.flow)
    yield _key(account, status)
    yield Finding("ok" if status.state == "signed_in" else "note", f"Now: {status.sentence(clock=clock)}.", status.hint)


def _key(account: Account, status: ProfileStatus) -> Finding:
    """Where the key is, or would be, and how long it lasts. Nothing is made, and nobody is asked."""
    if status.key_label:
        return Finding("ok", f"The login's key is in: {status.key_label}. {_LASTS.get(status.key_source, '')}".strip())
    why = accounts().keys.reason  # of the search that has just found none
    if accounts().keys.explicit(account.profile.key_source) == "passphrase":
        return Finding("ok", "The first sign-in chooses a passphrase, from which the login's key is made.")
    if account.profile.key_source == "memory":
        why = 'The profile says key_source = "memory".'
    if why:
        return Finding(
            "note",
            f"A login's key would be in memory only. {why}",
            "It lasts until the Jupyter server stops; outside of Jupyter, until the process ends.",
        )
    return Finding("ok", f"The first sign-in will make a key in the OS keychain. {_LASTS['keychain']}")
