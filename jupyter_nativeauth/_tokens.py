"""
Runs in: everywhere. The values that a login is made of: frozen, and unable to print a secret.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self

from ._metadata import Provider

__all__ = ["AccessToken", "Body", "Identity", "Login", "Members", "Secret"]


class Secret:
    """
    A string that shows itself only to :meth:`reveal`.

    Not to ``repr``, ``str``, ``format``, ``vars``, ``dataclasses.asdict``, pickle or a debugger's list of locals.
    """

    __slots__ = ("__weakref__", "_value")

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The bare string. Do not keep it in a variable of a frame that can raise: tracebacks show variables."""
        return self._value

    def __repr__(self) -> str:
        return "[secret]"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = object.__hash__

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "Secrets are not pickled. Pass the profile's name, or NativeAuth(profile), and ask again over there."
        )


class AccessToken(Secret):
    """
    What opens the API. :meth:`reveal` gives the bare string.

    Attributes:
        expires_at: Seconds since the epoch at which the provider said that it ends; ``None`` if it did not say.
    """

    __slots__ = ("expires_at",)

    def __init__(self, value: str, expires_at: float | None = None) -> None:
        super().__init__(value)
        self.expires_at = expires_at

    def __repr__(self) -> str:
        return "<AccessToken [secret]>"


class Body(bytes):
    """Bytes that hold secrets: a form that is sent, an answer that came. They do not print."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__


class Members(dict[str, Any]):
    """A JSON object that holds secrets. It does not print: tracebacks show the variables of their frames."""

    def __repr__(self) -> str:
        return f"<{len(self)} members>"


@dataclass(frozen=True)
class Identity:
    """
    Who is signed in, by the provider's own word (OpenID Connect Core, sections 2 and 5.1).

    Attributes:
        profile: The profile's name.
        issuer: The provider.
        subject: The provider's own, never reused name of the person. Compare people by (issuer, subject) only.
        name: What to call them; the subject if the provider gave no name.
        email: As given; empty if not. The provider may not have checked it.
        claims: All verified claims of the ID token, with those of the userinfo endpoint.
    """

    profile: str
    issuer: str
    subject: str
    name: str = ""
    email: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        # An e-mail address is nobody's business in a notebook that gets shared.
        return f"<Identity {self.name!r} on {self.profile!r}>"


@dataclass(frozen=True)
class Login:
    """The stored result of signing in: who, the tokens, and what they are bound to."""

    login_id: str
    identity: Identity
    provider: Provider
    client_id: str
    audience: str
    organization: str
    scopes: tuple[str, ...]
    access_token: Secret | None
    expires_at: float | None  # seconds since the epoch
    lifetime: float | None  # seconds
    refresh_token: Secret | None
    id_token: Secret | None
    keys: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    signed_in_at: float = 0.0
    ends_at: float | None = None  # seconds since the epoch at which the refresh token ends, if the provider said so
    renewed_at: float = 0.0  # seconds since the epoch; 0 if it never was

    def to_record(self) -> Members:
        """A JSON object with the bare tokens in it: for the inside of the vault only."""
        record = Members(
            identity={**self.identity.__dict__, "claims": dict(self.identity.claims)},
            provider=self.provider.to_record(),
        )
        for key, value in self.__dict__.items():
            record.setdefault(key, value.reveal() if isinstance(value, Secret) else value)
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Login:
        """
        Read what :meth:`to_record` wrote.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: It is something else.
        """

        def secret(name: str) -> Secret | None:
            value = record[name]
            if value is not None and not isinstance(value, str):
                raise TypeError(name)
            return Secret(value) if value else None

        return cls(
            login_id=str(record["login_id"]),
            identity=Identity(**record["identity"]),
            provider=Provider.from_record(record["provider"]),
            client_id=str(record["client_id"]),
            audience=str(record["audience"]),
            organization=str(record["organization"]),
            scopes=tuple(record["scopes"]),
            access_token=secret("access_token"),
            expires_at=None if record["expires_at"] is None else float(record["expires_at"]),
            lifetime=None if record["lifetime"] is None else float(record["lifetime"]),
            refresh_token=secret("refresh_token"),
            id_token=secret("id_token"),
            keys=tuple(record["keys"]),
            signed_in_at=float(record["signed_in_at"]),
            ends_at=None if record.get("ends_at") is None else float(record["ends_at"]),
            renewed_at=float(record.get("renewed_at", 0.0)),
        )
