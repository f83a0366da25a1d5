"""
Runs in: everywhere. What a sign-out leaves in the vault in the place of a login.

For ten minutes it keeps, sealed, what a browser page needs to end the provider's session too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ._metadata import RP_INITIATED
from ._tokens import Login, Members, Secret
from .errors import VaultDamaged

if TYPE_CHECKING:
    from .vault import Contents, Vault

__all__ = ["EndSession", "bury", "ending_in", "is_stale", "take_ending"]

_LIFE = 600.0  # seconds
_WRITE_WAIT = 10.0


class EndSession(NamedTuple):
    """What the browser needs to end the session at the provider itself."""

    endpoint: str
    names: Mapping[str, str]  # the service's own for the standard's parameters
    client_id: str
    id_token: Secret | None


def bury(vault: Vault, *, now: float) -> Login | None:
    """
    Put a tombstone in the place of the login. What makes no sense is set aside.

    Returns:
        The login that was; ``None`` if there was none.
    """
    with vault.write_lock.hold(limit=_WRITE_WAIT):
        generation = None
        try:
            contents = vault.read()
            if contents is None or not contents.header.signed_in:
                return None
            generation = contents.header.generation
            login = contents.login()
        except VaultDamaged:
            login = None
        if login is not None:
            record = Members(
                reason="signed_out",
                until=now + _LIFE,
                endpoint=login.provider.end_session_endpoint,
                names=dict(login.provider.end_session_parameters),
                client_id=login.client_id,
                id_token=login.id_token.reveal() if login.id_token else None,
            )
            vault.write(record, login_id=login.login_id, signed_in=False)
    if login is None:
        vault.set_aside(generation=generation)
    return login


def ending_in(vault: Vault, *, now: float) -> EndSession | None:
    """What the tombstone still keeps for the browser, if there is one."""
    contents = _tombstone(vault)
    return _ending(contents, now) if contents is not None else None


def take_ending(vault: Vault, *, now: float) -> EndSession | None:
    """The same, once: the tombstone does not keep it any longer."""
    with vault.write_lock.hold(limit=_WRITE_WAIT):
        contents = _tombstone(vault)
        if contents is None:
            return None
        vault.write({"reason": "signed_out"}, login_id=contents.header.login_id, signed_in=False)
    return _ending(contents, now)


def is_stale(contents: Contents, *, now: float) -> bool:
    """Whether this is a tombstone that keeps an ID token for no use any more."""
    return _keeps(contents) and now > contents.record["until"]


def _tombstone(vault: Vault) -> Contents | None:
    """The contents, if they are a tombstone that keeps something."""
    try:
        contents = vault.read()
    except VaultDamaged:
        return None
    return contents if contents is not None and _keeps(contents) else None


def _keeps(contents: Contents) -> bool:
    return not contents.header.signed_in and bool(contents.record.get("endpoint"))


def _ending(contents: Contents, now: float) -> EndSession | None:
    if is_stale(contents, now=now):
        return None
    record = contents.record
    id_token = Secret(record["id_token"]) if record["id_token"] else None
    return EndSession(record["endpoint"], record.get("names", RP_INITIATED), record["client_id"], id_token)
