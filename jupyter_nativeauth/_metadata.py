"""
Runs in: everywhere. A provider's endpoints and abilities, as its metadata tells them (RFC 8414, section 2). No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from ._origin import is_secure
from .errors import ConfigError, clean

__all__ = ["RP_INITIATED", "Provider", "metadata_urls", "read_metadata"]

# Everything that RFC 3986 allows in a URL, less the quotes that a shell or a page could take for its own.
_URL = re.compile(r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&()*+,;=%]{1,2048}")

# What the browser takes along to the end-session page (OpenID Connect RP-Initiated Logout 1.0, section 2).
RP_INITIATED = {name: name for name in ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")}


@dataclass(frozen=True)
class Provider:
    """A provider's endpoints and abilities, as its metadata told them when the login began (RFC 8414, section 2)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    revocation_endpoint: str = ""
    device_authorization_endpoint: str = ""  # RFC 8628, section 4
    end_session_endpoint: str = ""
    # The standard's names of what that page is given, and the service's own.
    end_session_parameters: Mapping[str, str] = field(default_factory=lambda: dict(RP_INITIATED))
    scopes_supported: tuple[str, ...] = ()
    prompt_values_supported: tuple[str, ...] = ()
    id_token_algorithms: tuple[str, ...] = ("RS256",)
    sends_iss: bool = False
    tenant: str = ""  # whose host the endpoints are at, with a service that has one for each of its customers

    def to_record(self) -> dict[str, Any]:
        """A JSON object that :meth:`from_record` reads."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Provider:
        """Read what :meth:`to_record` wrote; members of newer versions are ignored."""
        known = {field.name for field in fields(cls)}
        plain: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in record.items()
        }
        return cls(**{key: value for key, value in plain.items() if key in known})


def metadata_urls(issuer: str) -> tuple[str, str]:
    """
    Where the metadata of *issuer* stands: OpenID Connect Discovery 1.0, section 4, and RFC 8414, section 3.

    Example:
        >>> metadata_urls("https://id.example/tenant/")[1]
        'https://id.example/.well-known/oauth-authorization-server/tenant'
    """
    parts = urlsplit(issuer)
    path = parts.path.removesuffix("/")
    base = f"{parts.scheme}://{parts.netloc}"
    return f"{base}{path}/.well-known/openid-configuration", f"{base}/.well-known/oauth-authorization-server{path}"


def read_metadata(
    issuer: str, *documents: object, known: Mapping[str, str] = MappingProxyType({}), key: str = "issuer"
) -> Provider:
    """
    Make a :class:`Provider` of metadata documents; where both have a member, the first one counts.

    A document whose ``issuer`` differs from *issuer* in a single character is not used (RFC 8414, section 3.3).

    Args:
        issuer: Who is asked.
        documents: What was found there.
        known: Members that the documents may lack. They do not help against a document of somebody else.
        key: The key of a profile that says who is asked, for messages.

    Raises:
        ConfigError: No document is for this issuer, or one that is lacks what a sign-in needs.
    """
    members: dict[str, Any] = {}
    strangers = []
    for document in documents:
        if not isinstance(document, dict):
            continue
        if document.get("issuer") == issuer:
            members = {**document, **members}
        else:
            strangers.append(clean(document.get("issuer")))
    if not members and (strangers or not known):
        told = f' The metadata there is for "{strangers[0]}".' if strangers else ""
        raise ConfigError(
            f"The service at {issuer} shows no OpenID Connect metadata for this issuer.{told}",
            code="issuer_mismatch" if strangers else "no_metadata",
            hint="Set `issuer` in nativeauth.toml to exactly what the service's metadata says, slash included."
            if key == "issuer"
            else f"Check `{key}` in nativeauth.toml: the service shows it where your application is registered.",
        )
    members = {"issuer": issuer, **known, **{name: value for name, value in members.items() if value is not None}}
    return Provider(
        issuer=issuer,
        authorization_endpoint=_endpoint(members, "authorization_endpoint", needed=True),
        token_endpoint=_endpoint(members, "token_endpoint", needed=True),
        jwks_uri=_endpoint(members, "jwks_uri", needed=True),
        userinfo_endpoint=_endpoint(members, "userinfo_endpoint"),
        revocation_endpoint=_endpoint(members, "revocation_endpoint"),
        device_authorization_endpoint=_endpoint(members, "device_authorization_endpoint"),
        end_session_endpoint=_endpoint(members, "end_session_endpoint"),
        scopes_supported=_words(members, "scopes_supported"),
        prompt_values_supported=_words(members, "prompt_values_supported"),
        id_token_algorithms=_words(members, "id_token_signing_alg_values_supported") or ("RS256",),
        sends_iss=members.get("authorization_response_iss_parameter_supported") is True,  # RFC 9207, section 3
    )


def _endpoint(members: Mapping[str, Any], name: str, *, needed: bool = False) -> str:
    url = members.get(name)
    if url is None and not needed:
        return ""
    if isinstance(url, str) and _URL.fullmatch(url) and "#" not in url and is_secure(url):
        return url
    if not needed:
        return ""  # an ability that we can do without, at an address that we cannot trust
    raise ConfigError(
        f"The metadata of {members['issuer']} has no usable `{name}`: an https URL is needed.",
        code="bad_metadata",
        hint="Ask the people who run the service, or check that `issuer` is right.",
    )


def _words(members: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = members.get(name)
    return tuple(word for word in value if isinstance(word, str)) if isinstance(value, list) else ()
