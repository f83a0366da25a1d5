"""
Runs in: everywhere. Profiles: the named ways to sign in, from ``nativeauth.toml`` or built in code.

    Profile    one way to sign in; every key is checked, whoever writes it
    Profiles   all that are configured, and which of them is the default; ``_configuration.py`` reads them
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

from ._checks import one_of
from ._origin import api_of, api_origin, origin
from ._settings import Table, checked, checked_options, checks_of, fits, nearest, profile_name, where_of
from ._tomlfile import shown
from .errors import ConfigError, clean
from .providers import PRESETS, filled

__all__ = ["FILE", "Profile", "Profiles", "no_profile", "origin"]

FILE = "nativeauth.toml"


@dataclass(frozen=True, init=False)
class Profile:
    """
    A named way to sign in: provider, client id, scopes, and the origins that may see the access token.

    The provider's own keys are arguments too: ``issuer`` for OpenID Connect, ``domain`` and others for presets.

    Args:
        name: 1 to 64 of ``a-z 0-9 _ -``.
        provider: A preset of :data:`.providers.PRESETS`.
        client_id: As the service shows it. Not a secret.
        client_type: ``"native"``: a public client without a secret (RFC 8252, section 8.4).
        scopes: What to ask for; ``None`` leaves it to the provider's metadata.
        api: The only origins that ever see the access token. ``None``: the origin of *audience*, if that is a URL.
        max_age: Seconds since the person last had to sign in at the service.
        authorize: Further parameters of the authorization request.
        redirect_path: ``"profile"`` adds the profile's name to the redirect URI.
        timeout: Seconds to wait for a person.
        presence: What somebody at this device must confirm: ``"sign-in"``, each one; ``"hourly"``: going on, too.
        source: Where the profile comes from, for messages; two profiles are equal without it.

    Attributes:
        options: The provider's own keys.

    Raises:
        ConfigError: A value is wrong; it names the key and what was expected.

    Example:
        >>> acme = Profile("acme", issuer="https://id.example", client_id="cli", api=["https://api.example/"])
        >>> acme.base_url
        'https://api.example'
    """

    name: str
    provider: str
    client_id: str
    client_type: str
    scopes: tuple[str, ...] | None
    api: tuple[str, ...]
    audience: str | None
    resource: tuple[str, ...]
    organization: str | None
    connection: str | None
    login_hint: str | None
    prompt: str | None
    max_age: int | None
    acr_values: str | None
    authorize: Mapping[str, str]
    redirect_uri: str | None
    redirect_ports: tuple[int, ...]
    redirect_path: str | None
    post_logout_redirect_uri: str | None
    flow: str
    timeout: int
    key_source: str
    presence: str | None
    ca_bundle: str | None
    options: Mapping[str, str]
    source: str = field(compare=False)

    def __init__(
        self,
        name: str,
        *,
        provider: str = "oidc",
        client_id: str = "",
        client_type: str = "native",
        scopes: Sequence[str] | None = None,
        api: Sequence[str] | None = None,
        audience: str | None = None,
        resource: Sequence[str] = (),
        organization: str | None = None,
        connection: str | None = None,
        login_hint: str | None = None,
        prompt: str | None = None,
        max_age: int | None = None,
        acr_values: str | None = None,
        authorize: Mapping[str, str] = Table(),
        redirect_uri: str | None = None,
        redirect_ports: Sequence[int] = (),
        redirect_path: str | None = None,
        post_logout_redirect_uri: str | None = None,
        flow: str = "auto",
        timeout: int = 300,
        key_source: str = "auto",
        presence: str | None = None,
        ca_bundle: str | None = None,
        source: str = "code",
        options: Mapping[str, str] = Table(),
        **more: str,
    ) -> None:
        given = locals()
        where = where_of(source, name)
        keep = object.__setattr__  # frozen, for its own __init__ too
        keep(self, "source", source)
        keep(self, "name", checked(where, "its name", profile_name, name))
        keep(self, "provider", checked(where, "provider", one_of(*PRESETS), provider))
        keep(self, "options", checked_options(where, provider, options, more))
        preset = PRESETS[self.provider]
        for key, check in checks_of(preset).items():
            keep(self, key, checked(where, key, check, given[key]))
        fits(where, preset, self.scopes or (), self.redirect_uri)
        if api is None:
            known = (api_origin(filled(url, preset, self.options)) for url in preset.api)
            keep(self, "api", api_of(self.audience) or tuple(known))
        if not self.redirect_ports and self.redirect_uri is None:
            keep(self, "redirect_ports", preset.redirect.ports)

    @property
    def api_origins(self) -> tuple[tuple[str, str, int], ...]:
        """Scheme, host and port of each origin that may see the access token."""
        return tuple(origin(url) for url in self.api)

    @property
    def base_url(self) -> str:
        """The first of the API origins, or nothing."""
        return self.api[0] if self.api else ""

    @property
    def home(self) -> str:
        """The organization or tenant that it names, or nothing. A login of another one is not of this profile."""
        return self.organization or self.options.get("tenant_custom_domain") or self.options.get("tenant_name", "")

    def fingerprint(self) -> str:
        """
        A SHA-256 in hex, equal for profiles that sign in in the same way and keep the login in the same place.

        It leaves out the name, the file, and how long and by which way a person is waited for.
        """
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        for key in ("name", "source", "flow", "timeout"):
            del values[key]
        return hashlib.sha256(json.dumps(values, default=dict).encode()).hexdigest()


@dataclass(frozen=True, eq=False)  # equal as mappings are
class Profiles(Mapping[str, Profile]):
    """
    The configured profiles, by name.

    Attributes:
        default: The name of the profile that is meant when none is named, or ``None``.
        place: Where a profile can be written, for messages.

    Raises:
        ConfigError: The default is not among them, or two of them are one and the same way to sign in.
    """

    profiles: Mapping[str, Profile]
    default: str | None = None
    place: str = FILE

    def __post_init__(self) -> None:
        object.__setattr__(self, "profiles", dict(self.profiles))
        if self.default is None and len(self.profiles) == 1:
            object.__setattr__(self, "default", next(iter(self.profiles)))
        if self.default is not None and self.default not in self.profiles:
            raise no_profile(f'The default is "{self.default}".', self.default, self.profiles)
        seen: dict[object, Profile] = {}
        for profile in self.profiles.values():
            twin = seen.setdefault(_way_in(profile), profile)
            if twin is not profile:
                raise _twins(twin, profile)

    def __getitem__(self, name: str) -> Profile:
        return self.profiles[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.profiles)

    def __len__(self) -> int:
        return len(self.profiles)

    def get(self, name: str | None = None) -> Profile:  # type: ignore[override]  # no second argument: it never lacks
        """
        The profile of that name, or the default one.

        Raises:
            ConfigError: There is none; names those that there are, and the nearest.
        """
        wanted = self.default if name is None else name
        if not self.profiles:
            raise ConfigError(
                "There is no profile yet.",
                code="no_profile",
                hint=f'Write one to {self.place}, such as:\n\n  [profiles.acme]\n  issuer = "https://id.acme.com"\n'
                '  client_id = "as the service shows it"\n  api = ["https://api.acme.com"]',
            )
        if wanted is None:
            names = ", ".join(self.profiles)
            raise ConfigError("Which profile? There are several, and no default.", hint=f"Name one of: {names}.")
        if wanted not in self.profiles:
            raise no_profile(f'There is no profile "{clean(str(wanted), 64)}".', wanted, self.profiles)
        return self.profiles[wanted]


def no_profile(message: str, wanted: str, known: Mapping[str, Profile]) -> ConfigError:
    """There is no such profile: names those that there are, and the nearest."""
    hint = f"{nearest(wanted, known)} The profiles are: {', '.join(known) or 'none'}."
    return ConfigError(message, code="no_profile", hint=hint.strip())


def _way_in(profile: Profile) -> object:
    scopes = None if profile.scopes is None else frozenset(profile.scopes)
    access = profile.audience, profile.resource, profile.organization, scopes
    return profile.provider, profile.options, profile.client_id, access


def _twins(one: Profile, two: Profile) -> ConfigError:
    sources = dict.fromkeys(each.source for each in (one, two))
    files = " and ".join("the program" if source == "code" else shown(source) for source in sources)
    return ConfigError(
        f'{files}: the profiles "{one.name}" and "{two.name}" are the same: their service, client_id, audience, '
        "organization and scopes are equal.",
        hint="Remove one of them.",
    )
