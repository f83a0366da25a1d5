"""Sign requests without a network: what is sent, what answers and events mean, and codes that scanners can read."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth._payload import Asked, payload_body, summary
from jupyter_nativeauth._payload_record import (
    Created,
    Event,
    Signed,
    deep_links,
    read_answer,
    read_cancelled,
    read_created,
    read_event,
    read_final,
)
from jupyter_nativeauth._qr import qr_blocks, qr_svg
from jupyter_nativeauth.errors import ConfigError, NotSigned, ProviderError, ProviderUnavailable
from tests.scanner import modules_of, scanned

ADA, BOB = "rPEPPER7kfTD9w2To4CQk6UCfuHM9c6GDY", "rwietsevLFg8XSmG3bEZzFein1g8RBqWDZ"
UUID = "00000000-0000-4839-af2f-f794874a80b0"
LINK = f"https://xumm.app/sign/{UUID}"
SIGN_IN = {"TransactionType": "SignIn"}
PAYMENT = {"TransactionType": "Payment", "Destination": BOB, "Amount": "1500000"}


def asked(transaction: Any = PAYMENT, **changes: Any) -> Asked:
    known: dict[str, Any] = {
        "subject": ADA,
        "submit": True,
        "minutes": 5,
        "signers": None,
        "network": "",
        "multisign": False,
        "return_url": None,
        "identifier": None,
        "instruction": None,
        "blob": None,
    }
    return payload_body(transaction, **(known | changes))


# ---- what is sent --------------------------------------------------------------------------------------------------


def test_only_the_one_who_is_signed_in_may_sign() -> None:
    """XU-13: the service ignores an ``Account`` in the template, so the signers are named, and an end is always set."""
    assert asked().body == {"txjson": PAYMENT, "options": {"submit": True, "expire": 5, "signers": [ADA]}}
    assert asked(signers=[BOB]).body["options"]["signers"] == [BOB]


def test_all_that_can_be_asked_for() -> None:
    """XU-13, XU-14: options and metadata have the service's names; the network is passed on, and checked later."""
    made = asked(
        "12000322",
        submit=False,
        network="TESTNET",
        multisign=True,
        identifier="order-1",
        instruction="Two coffees",
        blob={"table": 4},
        return_url={"web": "http://127.0.0.1:8888/lab", "app": "yourapp://signed/{id}"},
    )
    assert made.body == {
        "txblob": "12000322",
        "custom_meta": {"identifier": "order-1", "instruction": "Two coffees", "blob": {"table": 4}},
        "options": {
            "submit": False,
            "expire": 5,
            "signers": [ADA],
            "force_network": "TESTNET",
            "multisign": True,
            "return_url": {"web": "http://127.0.0.1:8888/lab", "app": "yourapp://signed/{id}"},
        },
    }
    assert (made.network, made.signers) == ("TESTNET", (ADA,))
    assert asked(SIGN_IN).body["options"]["submit"] is False, "a sign-in is no transaction of the ledger"


def test_the_phone_is_never_sent_to_this_machine() -> None:
    """An address that is only here is for the browser; others are for both, so that the service can choose."""
    here, there = "http://127.0.0.1:8888/lab", "https://shop.example/thanks?{txid}"
    assert asked(return_url=here).body["options"]["return_url"] == {"web": here}
    assert asked(return_url=there).body["options"]["return_url"] == {"web": there, "app": there}
    with pytest.raises(ConfigError, match="leads the phone to this machine"):
        asked(return_url={"app": here})


@pytest.mark.parametrize(
    ("transaction", "changes", "words"),
    [
        ({}, {}, "TransactionType"),
        ({"TransactionType": 7}, {}, "TransactionType"),
        ("not hex", {}, "hex string"),
        ("ABC", {}, "hex string"),
        (7, {}, "hex string"),
        ({**PAYMENT, "Memos": {1, 2}}, {}, "JSON"),
        ({**PAYMENT, "Amount": float("nan")}, {}, "JSON"),
        (PAYMENT, {"minutes": 0}, "expire must be a whole number of minutes from 1 to 1440"),
        (PAYMENT, {"minutes": 1.5}, "expire must"),
        (PAYMENT, {"minutes": True}, "expire must"),
        (PAYMENT, {"signers": []}, "signers must"),
        (PAYMENT, {"signers": ADA}, "signers must"),
        (PAYMENT, {"signers": ["rTooShort"]}, "signers must"),
        (PAYMENT, {"network": "test-net"}, "force_network must"),
        (PAYMENT, {"return_url": "http://shop.example/"}, "return_url must"),
        (PAYMENT, {"return_url": "javascript:alert(1)"}, "return_url must"),
        (PAYMENT, {"return_url": {"phone": "https://shop.example/"}}, "return_url must"),
        (PAYMENT, {"return_url": {"app": "com.example.app://x"}}, "return_url must"),
        (PAYMENT, {"return_url": "https://shop.example/\r\nX: y"}, "return_url must"),
    ],
)
def test_what_cannot_be_asked_for_says_why(transaction: Any, changes: dict[str, Any], words: str) -> None:
    """XU-15: each argument says what it must be. An app's own scheme has letters and digits only, as the service's."""
    with pytest.raises(ConfigError, match=words):
        asked(transaction, **changes)


# ---- what comes back -----------------------------------------------------------------------------------------------


CREATED = {
    "uuid": UUID,
    "next": {"always": LINK},
    "refs": {"qr_png": f"{LINK}_q.png", "websocket_status": f"wss://xumm.app/sign/{UUID}"},
    "pushed": True,
}


def test_a_new_request() -> None:
    """XU-13: its name, its page, its socket, and whether the phone was told."""
    made = read_created(CREATED, who="wallet")
    assert made == Created(UUID, LINK, f"wss://xumm.app/sign/{UUID}", pushed=True)
    assert deep_links(made) == (f"https://xaman.app/sign/{UUID}", LINK, f"xaman://{UUID}", f"xumm://{UUID}")


@pytest.mark.parametrize(
    "changes",
    [
        {"uuid": "../../etc"},
        {"uuid": None},
        {"next": {}},
        {"next": {"always": "http://evil.example/"}},
        {"next": {"always": "javascript:alert(1)"}},
        {"next": {"always": 'https://xumm.app/"onclick'}},
        {"refs": None},
        {"refs": {"websocket_status": "ws://evil.example/x"}},
        {"refs": {"websocket_status": LINK}},
    ],
)
def test_a_strange_new_request_is_refused(changes: dict[str, Any]) -> None:
    """Its name goes into addresses, its page into a panel, its socket is connected to: all of them are looked at."""
    with pytest.raises(ProviderUnavailable, match="not a sign request"):
        read_created(CREATED | changes, who="wallet")


def test_the_services_two_forms_of_an_error() -> None:
    """XU-9: ``{"error": {"code", "reference"}}`` and ``{"error": true, "code", "message"}``; both name a reference."""
    first = b'{"error": {"reference": "26279bfe", "code": 602}}'
    with pytest.raises(ProviderError, match="error 602") as caught:
        read_answer(400, first, who="wallet")
    assert (caught.value.error, caught.value.code) == ("602", "refused")
    assert "26279bfe" in caught.value.hint
    second = b'{"error": true, "message": "No such\\u001b thing", "reference": "", "code": 404, "req": "/x"}'
    with pytest.raises(ProviderError, match=r'It said: "No such\? thing"') as caught:
        read_answer(200, second, who="wallet")
    assert caught.value.code == "not_found"


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"{}"), (429, b"{}"), (200, b"<h1>Oops"), (200, b"[]"), (200, b"[" * 100_000), (403, b"")],
)
def test_nonsense_is_no_answer(status: int, body: bytes) -> None:
    """XU-9: a page, a half answer or a busy service says nothing about the sign request."""
    with pytest.raises(ProviderUnavailable, match=f"HTTP {status}"):
        read_answer(status, body, who="wallet")


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"message": f"Welcome {UUID}"}, Event()),
        ({"message": "Right back at you!"}, Event()),
        ({"expires_in_seconds": 51}, Event(seconds=51)),
        ({"expires_in_seconds": -4}, Event(seconds=-4)),
        ({"expires_in_seconds": True}, Event()),
        ({"opened": True}, Event(step="opened")),
        ({"pre_signed": True}, Event(step="signing")),
        ({"dispatched": True}, Event(step="sent")),
        ({"devapp_fetched": True}, Event()),
        ({"expired": True}, Event(look=True)),
        ({"signed": True, "txid": "AB"}, Event(look=True)),
        ({"signed": False}, Event(look=True)),
        (["signed"], Event()),
        ("signed", Event()),
    ],
)
def test_an_event_only_says_when_to_look(message: Any, event: Event) -> None:
    """XU-13: none of them holds a result that anything could believe."""
    assert read_event(json.dumps(message)) == event


@given(st.binary() | st.text())
def test_any_message_means_at_most_nothing(message: str | bytes) -> None:
    """FUZ: whatever comes on the socket, it is an event."""
    assert isinstance(read_event(message), Event)


def record(*, response: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    base = {"uuid": UUID, "resolved": False, "signed": False, "cancelled": False, "expired": False, "app_opened": False}
    told = {"account": ADA, "signer": ADA, "txid": "AB12", "hex": "1200", "dispatched_nodetype": "MAINNET"}
    told |= {"dispatched_result": "tesSUCCESS", "resolved_at": "2026-05-03T17:28:40.000Z", "user": "user-token"}
    return {
        "meta": base | meta,
        "application": {"issued_user_token": "issued-token", "name": "Notebook"},
        "response": told if response is None else told | response,
        "custom_meta": {"identifier": "order-1"},
    }


def test_what_was_signed() -> None:
    """XU-13: who, what, where; and none of the service's own tokens for the person's phone."""
    signed = read_final(record(resolved=True, signed=True, expired=True), UUID, asked(), who="wallet")
    assert isinstance(signed, Signed)
    assert (signed.account, signed.txid, signed.hex) == (ADA, "AB12", "1200")
    assert (signed.network, signed.result, signed.identifier) == ("MAINNET", "tesSUCCESS", "order-1")
    assert "token" not in json.dumps(signed.record)
    assert "1200" not in repr(signed)


@pytest.mark.parametrize(
    ("meta", "code"),
    [
        ({"resolved": True, "signed": False}, "rejected"),
        ({"expired": True}, "expired"),
        ({"cancelled": True, "expired": True}, "cancelled"),
        ({}, False),
        ({"app_opened": True}, True),
        ({"app_opened": True, "expired": True}, True),  # whoever has it open may still sign
        ({"signed": True}, False),  # nothing is signed that is not resolved
        ({"resolved": "true", "signed": "true"}, False),
    ],
)
def test_how_a_request_stands(meta: dict[str, Any], code: str | bool) -> None:
    """XU-13: only ``resolved`` and ``signed`` together are a signature; there is more time to sign than to open."""
    found = read_final(record(**meta), UUID, asked(), who="wallet")
    assert (found.code if isinstance(found, NotSigned) else found) == code


@pytest.mark.parametrize(
    ("asks", "response", "code"),
    [
        ({}, {"account": BOB, "signer": BOB}, "other_account"),
        ({}, {"account": None, "signer": None}, "other_account"),
        ({"signers": [BOB]}, {}, "other_account"),
        ({"network": "TESTNET"}, {}, "other_network"),
        ({"network": "TESTNET"}, {"dispatched_nodetype": None, "environment_nodetype": "MAINNET"}, "other_network"),
    ],
)
def test_a_signature_that_does_not_count(asks: dict[str, Any], response: dict[str, Any], code: str) -> None:
    """Whoever sees the code can scan it, and sign with another account or on a network without value."""
    found = read_final(record(response=response, resolved=True, signed=True), UUID, asked(**asks), who="wallet")
    assert isinstance(found, NotSigned)
    assert found.code == code


def test_a_regular_key_or_a_signer_of_many_counts() -> None:
    """The account is then not the one that signed; one of them must be one that may."""
    done = record(response={"account": BOB, "signer": ADA}, resolved=True, signed=True)
    assert isinstance(read_final(done, UUID, asked(), who="wallet"), Signed)


def test_the_record_of_another_request_is_none() -> None:
    """An answer that belongs elsewhere decides nothing."""
    for strange in ({}, {"meta": []}, record(uuid="11111111-0000-4839-af2f-f794874a80b0", resolved=True, signed=True)):
        with pytest.raises(ProviderUnavailable, match="not this sign request"):
            read_final(strange, UUID, asked(), who="wallet")


def test_what_cancelling_says() -> None:
    """XU-13: gone, or why not."""
    assert read_cancelled({"result": {"cancelled": True, "reason": "OK"}}) == ""
    assert read_cancelled({"result": {"cancelled": False, "reason": "ALREADY_OPENED"}}) == "ALREADY_OPENED"
    assert read_cancelled({}) == read_cancelled({"result": {"cancelled": "yes"}}) == "UNKNOWN"


def test_what_is_to_be_signed_in_words() -> None:
    """The same that the phone shows: amounts in whole units of the ledger's own currency, or with their issuer."""
    assert dict(summary(PAYMENT)) == {"Type": "Payment", "Amount": "1.5 XRP", "Destination": BOB}
    issued = {"value": "3.50", "currency": "USD", "issuer": BOB}
    assert dict(summary({**PAYMENT, "Amount": issued}))["Amount"] == f"3.50 USD of {BOB}"
    assert summary("12000322") == (("Type", "a serialised transaction of 4 bytes"),)


# ---- codes ---------------------------------------------------------------------------------------------------------


def test_the_code_on_a_page_can_be_scanned() -> None:
    """XU-13: black on white with its quiet zone, whatever the page's colours; nothing in it is fetched."""
    drawn = qr_svg(LINK, label='A "code"')
    assert 'aria-label="A &quot;code&quot;"' in drawn
    assert "http" not in drawn
    (size,) = re.findall(r'fill="#ffffff" d="M0 0h(\d+)v\1h-\1z"', drawn.replace('#fff"', '#ffffff"'))
    (path,) = re.findall(r'stroke="#000(?:000)?" d="([^"]+)"', drawn)
    rows = [[False] * int(size) for _ in range(int(size))]
    x = y = 0.0
    for kind, numbers in re.findall(r"([Mmh])([-\d. ]+)", path):
        values = [float(value) for value in re.findall(r"-?[\d.]+", numbers)]
        if kind == "h":
            for step in range(int(values[0])):
                rows[int(y)][int(x) + step] = True
            x += values[0]
        else:
            x, y = (values[0], values[1]) if kind == "M" else (x + values[0], y + values[1])
    assert not any(rows[3]), "four rows of white"
    assert scanned(rows) == [LINK]


def test_the_code_in_a_terminal_can_be_scanned() -> None:
    """XU-13: two rows to a line, in colours of its own, so that it is black on white on any background."""
    lines = qr_blocks(LINK).splitlines()
    assert all(line.startswith("\x1b[40;97m") and line.endswith("\x1b[0m") for line in lines)
    assert scanned(modules_of(re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines)) == [LINK]
