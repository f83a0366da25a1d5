"""
Runs in: kernels, scripts. What a sign request (the service's "payload") asks for: checked, and as it is sent. No I/O.

Sources: https://docs.xaman.dev/concepts/payloads-sign-requests and the types of the service's own SDK.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._origin import is_loopback, is_secure, origin
from .errors import ConfigError

__all__ = ["ACCOUNT", "Asked", "payload_body", "summary"]

ACCOUNT = r"r[1-9A-HJ-NP-Za-km-z]{24,34}"  # an r-address, in the ledger's own Base58 alphabet
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_NETWORK = re.compile(r"[A-Z]+")  # what the service itself accepts
_CUSTOM = re.compile(r"[a-z0-9]{2,}:/")  # the app schemes that the service lets return addresses have
_LONGEST_EXPIRE = 24 * 60  # minutes; a signed-in session does not last longer either


@dataclass(frozen=True)
class Asked:
    """
    What a sign request asks for, and what its answer must agree with.

    Attributes:
        body: What is sent.
        signers: Who may sign.
        network: The network that it must be signed on; empty for any.
        minutes: How long it can be opened.
    """

    body: Mapping[str, Any] = field(repr=False)
    signers: tuple[str, ...]
    network: str
    minutes: int


def payload_body(
    transaction: Mapping[str, Any] | str,
    *,
    subject: str,
    submit: bool,
    minutes: int,
    signers: Sequence[str] | None,
    network: str,
    multisign: bool,
    return_url: str | Mapping[str, str] | None,
    identifier: str | None,
    instruction: str | None,
    blob: Mapping[str, Any] | None,
) -> Asked:
    """
    Compose a sign request.

    Args:
        transaction: The transaction's template, or a serialised transaction in hex.
        subject: The account that is signed in. Only it may sign unless *signers* says otherwise: the service ignores
            an ``Account`` in the template, and whoever scans the code could sign with another one.

    Raises:
        ConfigError: An argument is wrong; it says which and what was expected.
    """
    body = _transaction(transaction)
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= _LONGEST_EXPIRE:
        raise _wrong("expire", f"a whole number of minutes from 1 to {_LONGEST_EXPIRE}")
    if network and not _NETWORK.fullmatch(network):
        raise _wrong("force_network", 'a network in capitals, such as "TESTNET"')
    allowed = (subject,) if signers is None else _accounts(signers)
    is_transaction = body.get("txjson", {}).get("TransactionType") != "SignIn"  # a sign-in never goes to the ledger
    options = {
        "submit": submit and is_transaction,
        "expire": minutes,
        "signers": list(allowed),
        "force_network": network or None,
        "multisign": multisign or None,
        "return_url": None if return_url is None else _return_url(return_url),
    }
    meta = {"identifier": identifier, "instruction": instruction, "blob": dict(blob) if blob is not None else None}
    body["options"] = _present(options)
    if present := _present(meta):
        body["custom_meta"] = present
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError):
        raise _wrong("The sign request", "something that JSON can hold") from None
    return Asked(body, allowed, network, minutes)


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _transaction(given: Mapping[str, Any] | str) -> dict[str, Any]:
    if isinstance(given, str) and _HEX.fullmatch(given):
        return {"txblob": given}
    if isinstance(given, Mapping) and isinstance(given.get("TransactionType"), str):
        return {"txjson": dict(given)}
    raise _wrong(
        "The transaction", "a mapping with a TransactionType, such as {'TransactionType': 'SignIn'}, or a hex string"
    )


def _accounts(given: Sequence[str]) -> tuple[str, ...]:
    if (
        isinstance(given, str)
        or not given
        or not all(isinstance(one, str) and re.fullmatch(ACCOUNT, one) for one in given)
    ):
        raise _wrong("signers", 'a list of accounts, such as ["rEXAMPLE..."]')
    return tuple(given)


def _wrong(what: str, wanted: str) -> ConfigError:
    return ConfigError(f"{what} must be {wanted}.", code="bad_request")


def _return_url(wanted: str | Mapping[str, str]) -> dict[str, str]:
    """
    Where the person goes on after signing. The phone cannot reach this machine, so such an address is for the browser
    only; where both are the same, the browser's tab goes on if it is still open, and else the phone.
    """
    if isinstance(wanted, str):
        given = {"web": wanted} if _leads_here(wanted) else {"web": wanted, "app": wanted}
    else:
        given = dict(wanted)
    for place, url in given.items():
        if place not in ("web", "app") or not isinstance(url, str):
            raise _wrong("return_url", 'an address, or a mapping with "web" and "app"')
        own_app = place == "app" and bool(_CUSTOM.match(url)) and not url.startswith("http:")
        if not (own_app or is_secure(url)) or re.search(r"[\x00-\x20\x7f]", url):
            raise _wrong("return_url", "an https address, or for the app a scheme of letters and digits (yourapp://)")
        if place == "app" and _leads_here(url):
            raise ConfigError(
                "return_url leads the phone to this machine, which it cannot reach.",
                code="bad_request",
                hint='Give it as {"web": ...}: then only the browser goes there.',
            )
    return given


def _leads_here(url: str) -> bool:
    try:
        return is_loopback(origin(url)[1])
    except ValueError:
        return False


def summary(transaction: Mapping[str, Any] | str) -> tuple[tuple[str, str], ...]:
    """
    What is to be signed, in words, so that it can be compared with what the phone shows.

    Example:
        >>> summary({"TransactionType": "Payment", "Amount": "1500000", "Destination": "rDEST"})
        (('Type', 'Payment'), ('Amount', '1.5 XRP'), ('Destination', 'rDEST'))
    """
    if isinstance(transaction, str):
        return (("Type", f"a serialised transaction of {len(transaction) // 2} bytes"),)
    rows = [("Type", str(transaction.get("TransactionType", "")))]
    for name, label in _SHOWN.items():
        value = transaction.get(name)
        if value is not None:
            rows.append((label, _amount(value) if name in _AMOUNTS else str(value)))
    return tuple((label, value[:120]) for label, value in rows)


_AMOUNTS = ("Amount", "SendMax", "LimitAmount", "Fee")
_SHOWN = {
    "Amount": "Amount",
    "SendMax": "At most",
    "LimitAmount": "Limit",
    "Destination": "Destination",
    "DestinationTag": "Tag",
    "Fee": "Fee",
}


def _amount(value: Any) -> str:
    """An amount of the ledger: drops, a millionth of its native currency, or a value in a currency of somebody's."""
    if isinstance(value, Mapping):
        return f"{value.get('value')} {value.get('currency')} of {value.get('issuer')}"
    if isinstance(value, str | int) and str(value).isascii() and str(value).isdigit():
        whole, part = divmod(int(value), 1_000_000)
        return f"{whole}{f'.{part:06d}'.rstrip('0') if part else ''} XRP"
    return str(value)
