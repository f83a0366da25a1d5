"""
Runs in: kernels, scripts. What the service says of a sign request, checked before anything believes it. No I/O.

The record counts, over the signed-in session. An event of the socket only says when to look at it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ._origin import is_secure
from ._payload import Asked
from .errors import NotSigned, ProviderError, ProviderUnavailable, clean

__all__ = [
    "Created",
    "Event",
    "Signed",
    "deep_links",
    "read_answer",
    "read_cancelled",
    "read_created",
    "read_event",
    "read_final",
]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# Tokens of the service for its push messages. They are of no use here, and open the person's phone to others.
_TOKENS = ("issued_user_token", "user_token", "user")


@dataclass(frozen=True)
class Created:
    """
    A sign request that the service has accepted.

    Attributes:
        uuid: Its name there.
        link: The page that shows it, and that a phone opens in the app.
        socket: Where its progress is told.
        pushed: Whether the phone was told of it.
    """

    uuid: str
    link: str
    socket: str
    pushed: bool


@dataclass(frozen=True)
class Event:
    """
    One message about a sign request. None is a proof of anything: each only says when to look.

    Attributes:
        seconds: How long it can still be opened; ``None`` if the message does not say.
        opened: Somebody has it on a phone.
        step: The next thing that happened: ``"opened"``, ``"signing"`` or ``"sent"``; empty if none did.
        look: It is worth asking the service how it stands.
    """

    seconds: float | None = None
    step: str = ""
    look: bool = False


@dataclass(frozen=True)
class Signed:
    """
    A sign request that was signed, as the service's own record has it.

    Signed is not paid: a transaction counts once a ledger that is validated holds it, with the amount that was really
    delivered. Check ``txid`` there before you rely on it (the service's page "Secure Payment Verification").

    Attributes:
        uuid: The sign request's name at the service.
        account: The account that signed.
        txid: The transaction's hash.
        hex: The signed transaction; what to submit when it was created with ``submit=False``.
        network: Where it was signed: ``"MAINNET"``, ``"TESTNET"`` ...
        result: What the ledger's node first said, such as ``"tesSUCCESS"``; empty if it was not submitted.
        resolved_at: When, in the service's words.
        identifier: Your own name for the sign request, as you gave it.
        record: All of the service's record, without the tokens in it.
    """

    uuid: str
    account: str
    txid: str
    hex: str = field(repr=False)
    network: str
    result: str
    resolved_at: str
    identifier: str
    record: Mapping[str, Any] = field(repr=False, compare=False)


def read_answer(status: int, body: bytes, *, who: str, retry_after: float | None = None) -> dict[str, Any]:
    """
    A JSON object of the API.

    Raises:
        ProviderError: The service said no; ``error`` is its number, ``code`` is ``refused`` or ``not_found``.
        ProviderUnavailable: It said nothing that can be used.
    """
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        members = None
    if status == 429 or status >= 500 or not isinstance(members, dict):
        raise ProviderUnavailable(
            f"The service of {who!r} gave no usable answer (HTTP {status}).",
            hint="The service allows about 30 sign requests a minute. Try again in a moment."
            if status == 429
            else "Try again in a moment.",
            retry_after=retry_after,
        )
    error = members.get("error")
    if error in (None, False) and status < 400:
        return members
    # Two forms: {"error": {"code", "reference"}}, and {"error": true, "code", "reference", "message"}.
    told = error if isinstance(error, dict) else members
    number, reference = told.get("code"), clean(told.get("reference"), 60)
    said = clean(told.get("message")) or (clean(error) if isinstance(error, str) else "")
    raise ProviderError(
        f"The service of {who!r} refused ({f'error {number}' if isinstance(number, int) else f'HTTP {status}'})."
        + (f' It said: "{said}".' if said else ""),
        code="not_found" if 404 in (number, status) else "refused",
        hint=f"The console at apps.xumm.dev has more on it under {reference}." if reference else "",
        error=str(number) if isinstance(number, int) else "",
        description=said,
    )


def read_created(answer: Mapping[str, Any], *, who: str) -> Created:
    """
    What the service made of a new sign request.

    Raises:
        ProviderUnavailable: A part that is needed is missing, or leads to where nothing of ours may go.
    """
    uuid, following, refs = answer.get("uuid"), answer.get("next"), answer.get("refs")
    link = following.get("always") if isinstance(following, dict) else None
    socket = refs.get("websocket_status") if isinstance(refs, dict) else None
    if (
        not (isinstance(uuid, str) and _UUID.fullmatch(uuid))
        or not (isinstance(link, str) and is_secure(link) and not re.search(r"[\s\"'<>`\\]", link))
        or not (isinstance(socket, str) and re.match(r"wss?://", socket) and is_secure(f"http{socket[2:]}"))
    ):
        raise ProviderUnavailable(
            f"The service of {who!r} answered with something that is not a sign request.", code="bad_answer"
        )
    return Created(uuid, link, socket, pushed=answer.get("pushed") is True)


def deep_links(created: Created) -> tuple[str, ...]:
    """
    The addresses that open a sign request in the app on this very device. There are no others: ``xaman://sign/...``
    and ``xumm://payload/...``, which are often seen, are not understood by the app.
    """
    uuid = created.uuid
    return (f"https://xaman.app/sign/{uuid}", f"https://xumm.app/sign/{uuid}", f"xaman://{uuid}", f"xumm://{uuid}")


def read_event(text: str | bytes) -> Event:
    """What a message of the socket means. Whatever is not understood means nothing."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return Event()
    if not isinstance(told, dict):
        return Event()
    seconds = told.get("expires_in_seconds")
    if isinstance(seconds, int | float) and not isinstance(seconds, bool):
        return Event(seconds=float(seconds))
    for name, step in (("opened", "opened"), ("pre_signed", "signing"), ("dispatched", "sent")):
        if told.get(name) is True:
            return Event(step=step)
    return Event(look="signed" in told or told.get("expired") is True)


def read_final(answer: Mapping[str, Any], uuid: str, asked: Asked, *, who: str) -> Signed | NotSigned | bool:
    """
    How a sign request stands, by the service's record.

    Returns:
        What was signed, or why it was not; while nothing is decided, whether somebody has it open on a phone.

    Raises:
        ProviderUnavailable: It is not the record of this sign request.
    """
    meta, told = answer.get("meta"), answer.get("response")
    if not isinstance(meta, dict) or str(meta.get("uuid", "")).lower() != uuid.lower():
        raise ProviderUnavailable(
            f"The service of {who!r} answered with something that is not this sign request.", code="bad_answer"
        )
    # `expired` and `cancelled` stay what they are when somebody signs what was open already: look at them last.
    if meta.get("resolved") is True and meta.get("signed") is True:
        return _signed(uuid, told if isinstance(told, dict) else {}, answer, asked)
    if meta.get("resolved") is True:
        return NotSigned("The request was rejected on the phone.", code="rejected")
    if meta.get("cancelled") is True:
        return NotSigned("The request was cancelled before anybody opened it.", code="cancelled")
    opened = meta.get("app_opened") is True
    if meta.get("expired") is True and not opened:
        return _expired()
    return opened


def _expired() -> NotSigned:
    return NotSigned(
        "Nobody opened the request in time.",
        code="expired",
        hint="Make a new one, and scan its code with the Xaman app before its time is over.",
    )


def _signed(uuid: str, told: Mapping[str, Any], answer: Mapping[str, Any], asked: Asked) -> Signed | NotSigned:
    def words(name: str, limit: int = 200) -> str:
        return clean(told.get(name), limit)

    account = words("account")
    if not ({account, words("signer"), words("multisign_account")} - {""} & set(asked.signers)):
        return NotSigned(
            f"The request was signed by another account ({account or 'none'}), so it does not count.",
            code="other_account",
            hint="Sign with the account that is signed in, or name those that may in `signers`.",
        )
    network = words("dispatched_nodetype") or words("environment_nodetype")
    if asked.network and network and network.upper() != asked.network:
        return NotSigned(
            f"The request was signed on {network}, and not on {asked.network}, so it does not count.",
            code="other_network",
            hint="Choose the network in the Xaman app.",
        )
    meta = answer.get("custom_meta")
    return Signed(
        uuid=uuid,
        account=account,
        txid=words("txid"),
        hex=words("hex", 1024 * 1024),
        network=network,
        result=words("dispatched_result"),
        resolved_at=words("resolved_at"),
        identifier=clean(meta.get("identifier")) if isinstance(meta, dict) else "",
        record=_without_tokens(answer),
    )


def _without_tokens(record: Any) -> Any:
    if isinstance(record, dict):
        return {name: _without_tokens(value) for name, value in record.items() if name not in _TOKENS}
    return [_without_tokens(value) for value in record] if isinstance(record, list) else record


def read_cancelled(answer: Mapping[str, Any]) -> str:
    """Why a sign request could not be cancelled; empty if it was."""
    result = answer.get("result")
    reason = clean(result.get("reason"), 40) if isinstance(result, dict) else ""
    if isinstance(result, dict) and result.get("cancelled") is True:
        return ""
    return reason or "UNKNOWN"
