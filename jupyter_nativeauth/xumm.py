"""
Runs in: kernels, scripts. Sign requests for the Xaman app (formerly Xumm): the phone signs, and this waits for it.

>>> from jupyter_nativeauth.xumm import sign_request
>>> request = sign_request("wallet", {"TransactionType": "SignIn"})  # doctest: +SKIP
>>> request.result().account                                         # doctest: +SKIP
'rEXAMPLE...'
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ._accounts import accounts
from ._front_end import front_end
from ._markup import plain
from ._payload import payload_body, summary
from ._payload_api import address, call
from ._payload_record import Signed, read_created
from ._session import get_session
from ._sign_request import SignRequest
from .profiles import Profile

__all__ = ["SignRequest", "Signed", "sign_request"]


def sign_request(
    profile: str | Profile | None,
    transaction: Mapping[str, Any] | str,
    *,
    submit: bool = True,
    expire: int = 5,
    signers: Sequence[str] | None = None,
    force_network: str | None = None,
    multisign: bool = False,
    return_url: str | Mapping[str, str] | None = None,
    identifier: str | None = None,
    instruction: str | None = None,
    blob: Mapping[str, Any] | None = None,
    show: bool = True,
) -> SignRequest:
    """
    Ask the person to sign a transaction with the Xaman app.

    It is pushed to the phone of whoever is signed in. In a notebook a panel with a QR code shows how it stands, in a
    terminal a QR code of blocks. It comes back at once: wait with ``.result()`` or ``await``.

    Args:
        profile: A profile of the provider ``xumm``: its name, a :class:`Profile`, or ``None`` for the default one.
        transaction: A transaction's template, such as ``{"TransactionType": "SignIn"}``, or a serialised transaction
            in hex. The app fills in account, fee and sequence.
        submit: Whether the app sends the signed transaction to the ledger.
        expire: Minutes in which it must be opened on the phone.
        signers: The accounts that may sign; only the one that is signed in unless given.
        force_network: The network to sign on, such as ``"TESTNET"``; the profile's ``force_network`` unless given.
        multisign: Whether it is one of several signatures.
        return_url: Where the person goes on afterwards: an address, or ``{"web": ..., "app": ...}``. The service puts
            in ``{id}``, ``{cid}``, ``{txid}`` and ``{txblob}``. An address of this machine is for the browser only.
        identifier: Your own name for it, at most once; it comes back as ``Signed.identifier``.
        instruction: What the phone shows with it.
        blob: Data of yours that the service keeps with it.
        show: Whether to show the panel or the code.

    Raises:
        LoginRequired: Nobody is signed in, or the login is over.
        ConfigError: The profile cannot sign, or an argument is wrong.
        ProviderError: The service did not take it.
        ProviderUnavailable: The service gave no usable answer.

    Example:
        >>> payment = {"TransactionType": "Payment", "Destination": "rEXAMPLE...", "Amount": "1000000"}
        >>> sign_request("wallet", payment, expire=2).result(timeout=120)  # doctest: +SKIP
        Signed(uuid=..., account='rEXAMPLE...', txid=..., network='MAINNET', result='tesSUCCESS', ...)

    Sources:
        https://docs.xaman.dev/concepts/payloads-sign-requests
    """
    account = accounts().get(profile)
    api = address(account.profile)
    asked = payload_body(
        transaction,
        subject=account.identity().subject,
        submit=submit,
        minutes=expire,
        signers=signers,
        network=(force_network or account.profile.options.get("force_network", "")).upper(),
        multisign=multisign,
        return_url=return_url,
        identifier=identifier,
        instruction=instruction,
        blob=blob,
    )
    with get_session(account.profile) as session:
        created = read_created(call(session, "POST", api, account, json=asked.body), who=account.profile.name)
    request = SignRequest(account, asked, created)
    if show:
        says = (("Message", instruction),) if instruction else ()
        _show(request, (*summary(transaction), *says))
    return request


def _show(request: SignRequest, about: tuple[tuple[str, str], ...]) -> None:
    if front_end() == "notebook":
        from ._payload_panel import show_panel

        show_panel(request, about)
        return
    (_, kind), *rest = about
    what = plain(", ".join((kind, *(f"{label} {value}" for label, value in rest))))
    lines = [f"Sign with the Xaman app: {what}", "", f"  {request.link}", ""]
    if sys.stderr.isatty():
        from ._qr import qr_blocks

        lines[2:2] = [qr_blocks(request.link), ""]
    if request.pushed:
        lines.append("It was also sent to your phone.")
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()
