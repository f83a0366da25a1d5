"""
Runs in: everywhere. Where a service is and what it can do: by its metadata, or by what its preset knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from ._grant import read_json
from ._http import ProviderClient
from ._jwks import read_keys
from ._metadata import Provider, metadata_urls, read_metadata
from ._tenant import Setup, read_setup
from .errors import ConfigError, ProviderUnavailable, clean
from .profiles import Profile
from .providers import PRESETS, Preset, filled, issuer_of, known_members

__all__ = ["discover", "fetch_keys", "look_up", "setup_of"]


def look_up(client: ProviderClient, profile: Profile, *, wanted: tuple[str, ...] = ()) -> tuple[Provider, Setup | None]:
    """
    All that a sign-in has to know of the service: see :func:`discover` and :func:`setup_of`.

    Raises:
        ConfigError: The profile cannot be right; the message says which key.
        ProviderUnavailable: It cannot be reached.
    """
    try:
        return discover(client, profile, wanted=wanted), setup_of(client, profile)
    except ProviderUnavailable as error:
        if error.code in ("network", "tls"):  # a mistyped host looks just like that
            key = f"`{PRESETS[profile.provider].issuer_key}` of [profiles.{profile.name}]"
            error.hint = f"{error.hint} If it stays so, check {key} in nativeauth.toml."
        raise


def discover(client: ProviderClient, profile: Profile, *, wanted: tuple[str, ...] = ()) -> Provider:
    """
    The provider's metadata, as of now (OpenID Connect Discovery 1.0, section 4; RFC 8414, section 3), and what the
    preset knows of it.

    Args:
        client: Asks for it.
        profile: Whose provider it is.
        wanted: Members that both documents are looked through for.

    Raises:
        ConfigError: There is none for this issuer, or it is no use.
        ProviderUnavailable: It cannot be reached.
    """
    preset = PRESETS[profile.provider]
    issuer, known = issuer_of(preset, profile.options), known_members(preset, profile.options)
    documents = _documents(client, issuer, preset, known, wanted) if preset.discovery != "none" else []
    if not documents and not _is_there(client, preset, known):
        known = {}
    provider = read_metadata(issuer, *documents, known=known, key=preset.issuer_key)
    if not preset.revokes:
        provider = replace(provider, revocation_endpoint="")
    if not preset.userinfo:
        provider = replace(provider, userinfo_endpoint="")
    page = preset.end_session
    if page is None or provider.end_session_endpoint:
        return provider
    endpoint = filled(page.endpoint, preset, profile.options)
    return replace(provider, end_session_endpoint=endpoint, end_session_parameters=dict(page.parameters))


def _is_there(client: ProviderClient, preset: Preset, known: Mapping[str, str]) -> bool:
    """Without metadata, whether the service is. A mistyped host is better found out before the browser goes there."""
    if preset.discovery != "optional":
        return preset.discovery == "none"
    try:
        return bool(fetch_keys(client, known["jwks_uri"]))
    except ProviderUnavailable as error:
        if error.code == "no_keys":
            return False
        raise


def _documents(
    client: ProviderClient, issuer: str, preset: Preset, known: Mapping[str, str], wanted: tuple[str, ...]
) -> list[dict[str, Any]]:
    """The metadata documents. Some services have only one of the two, some name an endpoint in only one."""
    first, second = metadata_urls(issuer)
    document = _metadata(client, first)
    useful = [
        *wanted,
        *(["revocation_endpoint"] if preset.revokes else []),
        *(["end_session_endpoint"] if preset.end_session is None else []),
    ]
    if document is not None and all(document.get(name) or known.get(name) for name in useful):
        return [document]
    try:
        other = _metadata(client, second)
    except ProviderUnavailable:
        if document is None:
            raise
        other = None
    return [each for each in (document, other) if each is not None]


def _metadata(client: ProviderClient, url: str) -> dict[str, Any] | None:
    answer = client.get(url)
    if answer.status >= 500 or answer.status == 429:
        raise ProviderUnavailable(f"The service answered HTTP {answer.status} at {url}.", hint="Try again in a moment.")
    try:
        return read_json(answer.body) if answer.status == 200 else None
    except ValueError:
        return None


def setup_of(client: ProviderClient, profile: Profile) -> Setup | None:
    """
    How the application is set up, with a service whose customers have hosts of their own; ``None`` with others.

    Raises:
        ConfigError: It says that there is no such client.
        ProviderUnavailable: It cannot be reached.
    """
    preset = PRESETS[profile.provider]
    hosts = preset.tenants
    if hosts is None:
        return None
    names = {**profile.options, "client_id": quote(profile.client_id, safe="")}
    answer = client.get(filled(hosts.configuration, preset, names))
    try:
        told = read_json(answer.body)
    except ValueError:
        told = None  # a page for people: this environment tells nothing
    if answer.status == 404 and told:
        raise ConfigError(
            f"There is no client {clean(profile.client_id, 80)!r} at {issuer_of(preset, profile.options)}.",
            code="unknown_client",
            hint=f"Check `client_id` and `{preset.issuer_key}` in nativeauth.toml: they belong together.",
        )
    return read_setup(hosts, profile.options, told if answer.status == 200 else None)


def fetch_keys(client: ProviderClient, jwks_uri: str) -> list[dict[str, Any]]:
    """
    The keys that the service signs with, as of now.

    Raises:
        ProviderUnavailable: It shows none, or cannot be reached.
    """
    answer = client.get(jwks_uri)
    try:
        keys = read_keys(read_json(answer.body)) if answer.status == 200 else []
    except ValueError:
        keys = []
    if not keys:
        raise ProviderUnavailable(
            "The service shows no keys to check its signature with.", code="no_keys", hint="Try again in a moment."
        )
    return keys
