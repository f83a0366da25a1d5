"""
Runs in: everywhere. What a preset can say of a service: one named field for each thing that sets one apart. No I/O.

Each field says who needs it; its default is what the standards say. :mod:`.providers` holds the services themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from string import Formatter
from typing import Literal

from ._hints import Initiation
from ._tenant import TenantHosts

__all__ = [
    "AccessTokenJwt",
    "LogoutPage",
    "Preset",
    "RedirectRules",
    "filled",
    "issuer_of",
    "known_members",
    "words_for",
]

Words = Mapping[str, str]


@dataclass(frozen=True)
class LogoutPage:
    """
    A page that ends the service's own session in the browser, other than that of OpenID Connect.

    Attributes:
        endpoint: Its address, with the profile's options in braces.
        parameters: The standard's names of what it is given (``id_token_hint``, ``client_id``, ``state``,
            ``post_logout_redirect_uri``), and its own names for them.
    """

    endpoint: str
    parameters: Words


@dataclass(frozen=True)
class AccessTokenJwt:
    """An access token that is a JWT, and that the service's documents ask the client to check."""

    algorithms: tuple[str, ...] = ("RS256",)


@dataclass(frozen=True)
class RedirectRules:
    """
    What a service demands of a redirect URI, beyond being registered.

    Attributes:
        exact_port: Whether the port counts on this machine too. RFC 8252, section 7.3 says that it must not.
        ports: The ports for ``redirect_ports`` where a profile names none: Jupyter's own and those that it tries next.
        longest: The most characters that one may have; 0 if nobody says.
        http_at: The issuers, as patterns, that take plain http for this machine.
        http_words: What a person reads where it is not sure that they do.
    """

    exact_port: bool = False
    ports: tuple[int, ...] = ()
    longest: int = 0
    http_at: tuple[str, ...] = ("*",)
    http_words: str = ""


@dataclass(frozen=True)
class Preset:
    """A way to sign in that profiles can name as their ``provider``."""

    label: str  # what a person reads

    # --- The profile's keys ---
    needs: tuple[str, ...]  # options that a profile must have
    takes: tuple[str, ...] = ()  # further ones that it may have
    defaults: Words = field(default_factory=dict)  # what they are if it has them not
    api: tuple[str, ...] = ()  # the API that the access token is for, where the service has one of its own
    client_types: tuple[str, ...] = ("native",)
    # Who signs people in and lends the access token; nobody signs in here, and no other key of a profile has a meaning.
    lender: str = ""

    # --- Where the service is; options stand in braces ---
    issuer: str = "{issuer}"
    # "optional": sign-in works without metadata, by `endpoints`; "none": the service has none, and is not asked.
    discovery: Literal["required", "optional", "none"] = "required"
    endpoints: Words = field(default_factory=dict)  # members of RFC 8414, section 2, that the metadata may lack
    end_session: LogoutPage | None = None  # where the metadata names no page of OpenID Connect
    userinfo: bool = True  # whether claims may be asked for there, once for each sign-in
    # Whether a public client can revoke. Where it cannot, it is not tried.
    revokes: bool = True
    tenants: TenantHosts | None = None  # where each customer has a host of its own
    initiation: Initiation = field(
        default_factory=Initiation
    )  # what may come along when a sign-in begins at the service

    # --- The authorization request ---
    # A profile's key, and the name or names (with blanks between) under which the service wants it.
    parameters: Words = field(default_factory=dict)
    default_scopes: tuple[str, ...] = ("openid", "profile", "email")
    # Whether `offline_access` is among them: where the metadata lists it, in any case, or never.
    offline_access: Literal["listed", "always", "never"] = "listed"
    # OpenID Connect Core, section 11: offline access needs prompt=consent; certified providers drop it without.
    offline_access_prompt: str = "consent"
    refused_scopes: Words = field(default_factory=dict)  # in small letters; and why not
    # Values of `prompt` that cannot work where the browser comes back to this machine over http; and why not.
    refused_prompts: Words = field(default_factory=dict)
    redirect: RedirectRules = RedirectRules()

    # --- The answer in the browser ---
    code_names: tuple[str, ...] = ("code",)  # where several are there, they must be equal
    # A service's own words for an `error`. Patterns of "error" or "error: description"; the first that fits counts.
    callback_words: Words = field(default_factory=dict)
    # Errors after which the sign-in starts once more by itself, now with all that the service wants to ask.
    restart_once: tuple[str, ...] = ()
    lost_words: str = ""  # what to look at when no answer came at all: some services end on a page of their own

    # --- Tokens ---
    token_words: Words = field(default_factory=dict)  # as `callback_words`, for the token endpoint
    # A regular expression with the groups `error` and `description`, for a token endpoint that says no with a page.
    error_page: str = ""
    identity_from: Literal["id_token", "access_token"] = "id_token"
    false_claims: tuple[str, ...] = ()  # claims that are not what their names say: nobody gets to see them
    access_token_jwt: AccessTokenJwt | None = None  # None: it is opaque, whatever it looks like
    # The claim that must be the profile's `organization`, and how a value begins that it is for; the first counts.
    organization_claims: tuple[tuple[str, str], ...] = ()
    renewable: bool = True  # whether there is such a thing as a refresh token
    no_offline_words: str = ""  # why there may be no refresh token though `offline_access` was asked for
    no_audience_words: str = ""  # what an access token without `audience` is good for
    over_words: Words = field(default_factory=dict)  # by LoginRequired's code: why a login may be over
    # A header with the time, in seconds since the epoch, at which a client that got a 429 may ask again.
    rate_limit_reset: str = ""

    # --- The API ---
    # What stands as `error` or as its `code` in a 403 that means what RFC 6750, section 3.1 says with a 401.
    rejections: tuple[str, ...] = ()
    sign_requests: str = ""  # the path of an API that lets a phone sign transactions

    # --- What a person must set at the service; {redirect_uris}, {logout_uris} and {initiate_uri} are filled in ---
    console: tuple[str, ...] = ()

    @property
    def issuer_key(self) -> str:
        """The key of a profile that says where the service is."""
        return next((name for _, name, _, _ in Formatter().parse(self.issuer) if name), "issuer")


def issuer_of(preset: Preset, options: Mapping[str, str]) -> str:
    """The issuer identifier of a profile with these options, exactly as it must stand in metadata and ID tokens."""
    return filled(preset.issuer, preset, options)


def known_members(preset: Preset, options: Mapping[str, str]) -> dict[str, str]:
    """What the preset knows of the service's metadata without asking."""
    return {name: filled(url, preset, options) for name, url in preset.endpoints.items()}


def filled(template: str, preset: Preset, options: Mapping[str, str]) -> str:
    """*template* with a profile's options, or what they are by default, in the place of their names."""
    return template.format_map({**preset.defaults, **options})


def words_for(words: Words, error: str, description: str) -> str:
    """
    The service's own words for an error, or nothing.

    Example:
        >>> words_for({"denied: no such *": "Check it."}, "denied", "no such API")
        'Check it.'
    """
    said = f"{error}: {description}"
    return next((text for key, text in words.items() if fnmatchcase(error, key) or fnmatchcase(said, key)), "")
