"""
XU-13: sign requests over real HTTP and a real WebSocket, from a script: approved, rejected, expired, cancelled; lost
connections, lies on the socket, a login that ends. Nothing is reported signed on an event alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from jupyter_nativeauth import ConfigError, LoginRequired, NotSigned, ProviderError, ProviderUnavailable
from jupyter_nativeauth._payload_socket import Pace
from jupyter_nativeauth.xumm import Signed, SignRequest, sign_request
from tests.answers import Answer
from tests.canary import Canary
from tests.emulators.xumm import Xumm
from tests.emulators.xumm_payloads import ADA, BOB
from tests.person import Person
from tests.scanner import modules_of, scanned

PAYMENT = {"TransactionType": "Payment", "Destination": BOB, "Amount": "1500000"}
QUICK = Pace(ping=0.05, dead=0.4, pause=0.05)


@pytest.fixture
def person(xumm: Xumm, person_at: Callable[..., Person]) -> Iterator[Person]:
    """Somebody who is signed in with the app. Whatever is still followed afterwards is given up."""
    somebody = person_at(xumm)
    somebody.sign_in()
    yield somebody
    for request in followed:
        request._end(NotSigned("The test is over."))
        request._look_now()
    followed.clear()
    for thread in threading.enumerate():
        if thread.name == "nativeauth-sign":
            thread.join(10)


followed: list[SignRequest] = []


def until(ready: Callable[[], Any], seconds: float = 10) -> None:
    """Wait until *ready* says so."""
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def ask(xumm: Xumm, **options: Any) -> SignRequest:
    """A sign request whose socket is connected, and that has looked once."""
    before = xumm.payloads.connections
    request = sign_request("acme", PAYMENT, **{"show": False, **options})
    followed.append(request)
    until(lambda: xumm.payloads.connections > before and xumm.calls[-1:] == ["GET payload"])
    return request


def at_pace(request: SignRequest, pace: Pace) -> SignRequest:
    """Somebody else follows the same request, at another pace."""
    followed.append(SignRequest(request.account, request._asked, request._created, pace=pace))
    return followed[-1]


# ---- approved ------------------------------------------------------------------------------------------------------


def test_signed(xumm: Xumm, person: Person, canary: Canary) -> None:
    """Created over the session, told by the socket, believed from the record; what is sent is what was asked for."""
    request = ask(xumm, identifier="order-1", instruction="Two coffees", expire=3)
    assert (request.state, request.pushed, request.done()) == ("waiting", True, False)
    assert request.link == f"{xumm.api}/sign/{request.uuid}"
    assert 170 < request.seconds_left <= 180
    xumm.act("approve")
    signed = request.result(timeout=10)
    assert (signed.account, signed.network, signed.result) == (ADA, "MAINNET", "tesSUCCESS")
    assert (signed.txid, signed.identifier) == (xumm.newest().txid, "order-1")
    assert request.state == "signed"
    assert request.result(timeout=0) == signed, "whoever asks again gets the same"
    body = xumm.newest().body
    assert body["txjson"] == PAYMENT
    assert body["options"] == {"submit": True, "expire": 3, "signers": [ADA]}
    assert xumm.calls == ["POST payload", "GET payload", "GET payload"], "once when connected, once when told"
    assert "authorization" not in xumm.payloads.headers[-1], "the socket needs no token, and gets none"
    canary.look("what can be printed", f"{request!r} {request.link} {signed!r} {signed.record!r}")
    assert "PING" not in json.dumps(xumm.payloads.heard)


def test_signed_before_anybody_listens(xumm: Xumm, person: Person) -> None:
    """A phone can be faster than the socket; the first look sees it."""
    xumm.answer("api", lambda request: None)
    request = sign_request("acme", PAYMENT, show=False)
    xumm.act("approve")
    assert request.result(timeout=10).account == ADA


async def _two_at_once(xumm: Xumm) -> tuple[Signed, Signed]:
    first, second = (sign_request("acme", PAYMENT, show=False) for _ in range(2))
    waiting = asyncio.gather(first, second)
    for payload in list(xumm.payloads.all.values())[-2:]:
        await asyncio.to_thread(xumm.on_loop, lambda payload=payload: xumm.payloads.approve(payload, ADA))
    one, two = await waiting
    return one, two


def test_awaited(xumm: Xumm, person: Person) -> None:
    """``await`` gives the same; whoever stops waiting has not cancelled anything."""
    one, two = asyncio.run(_two_at_once(xumm))
    assert {one.uuid, two.uuid} == set(list(xumm.payloads.all)[-2:])

    async def impatient() -> SignRequest:
        request = sign_request("acme", PAYMENT, show=False)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(request, 0.05)
        return request

    request = asyncio.run(impatient())
    assert not request.done()
    xumm.act("approve")
    assert request.result(timeout=10).uuid == request.uuid


def test_a_sign_in_and_a_signature_that_is_not_sent(xumm: Xumm, person: Person) -> None:
    """``submit=False`` and a sign-in are never sent to a ledger; the signed transaction comes back."""
    xumm.phone = "approve"
    signed = sign_request("acme", {"TransactionType": "SignIn"}, show=False).result(timeout=10)
    assert (signed.result, signed.hex) == ("", "ABCDEF0123")
    signed = sign_request("acme", PAYMENT, submit=False, show=False).result(timeout=10)
    assert (signed.result, signed.network) == ("", "MAINNET")


# ---- not approved --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "code"), [("reject", "rejected"), ("expire", "expired")])
def test_not_signed(xumm: Xumm, person: Person, action: str, code: str) -> None:
    """Rejected or never opened: an error that says so, at once."""
    request = ask(xumm)
    xumm.act(action)
    with pytest.raises(NotSigned) as caught:
        request.result(timeout=10)
    assert caught.value.code == request.state == code


def test_a_request_that_is_open_outlives_its_time(xumm: Xumm, person: Person) -> None:
    """The time is for *opening* it; whoever has it open can still sign."""
    request = ask(xumm)
    xumm.act("open")
    until(lambda: request.state == "opened")
    looks = len(xumm.calls)
    xumm.act("expire")
    until(lambda: len(xumm.calls) > looks)
    assert not request.done()
    xumm.act("approve")
    assert request.result(timeout=10).account == ADA


def test_cancelled(xumm: Xumm, person: Person) -> None:
    """It is taken back at the service; a second time nothing is asked."""
    request = ask(xumm)
    assert request.cancel() is True
    with pytest.raises(NotSigned) as caught:
        request.result()
    assert (caught.value.code, xumm.newest().cancelled) == ("cancelled", True)
    assert request.cancel() is True
    assert xumm.calls.count("DELETE payload") == 1


def test_what_is_open_or_signed_cannot_be_cancelled(xumm: Xumm, person: Person) -> None:
    """The service says no, and the request goes on to the end that the phone gives it."""
    request = ask(xumm)
    xumm.act("open")
    assert request.cancel() is False
    assert not request.done()
    xumm.payloads.tell = lambda payload, message: None  # type: ignore[method-assign]  # nobody hears of it
    xumm.act("approve")
    assert request.cancel() is False
    assert request.result(timeout=10).account == ADA, "the answer to the cancellation made it look"


def test_cancelled_elsewhere(xumm: Xumm, person: Person) -> None:
    """By another kernel, or by the service: whoever waits learns it."""
    request = ask(xumm)
    other = at_pace(request, QUICK)
    assert other.cancel() is True
    with pytest.raises(NotSigned) as caught:
        request.result(timeout=10)
    assert caught.value.code == "cancelled"


def test_a_wait_that_is_over_leaves_it_open(xumm: Xumm, person: Person) -> None:
    """``result(timeout)`` bounds the wait, not the request; one can wait again."""
    request = ask(xumm)
    with pytest.raises(NotSigned, match="still open") as caught:
        request.result(timeout=0.05)
    assert (caught.value.code, request.done()) == ("timeout", False)
    xumm.act("approve")
    assert request.result(timeout=10).account == ADA


def test_an_interrupt_takes_it_back(xumm: Xumm, person: Person) -> None:
    """Ctrl-C, or the kernel's stop button: nobody shall sign afterwards what nobody waits for any more."""
    request = ask(xumm)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        request.result()
    assert xumm.newest().cancelled
    assert request.state == "cancelled"


# ---- lies ----------------------------------------------------------------------------------------------------------


def test_an_event_alone_is_no_signature(xumm: Xumm, person: Person) -> None:
    """Whoever can speak on the socket says that it was signed: the record says no, so nothing is reported."""
    request = ask(xumm)
    looks = len(xumm.calls)
    lie = xumm.payloads.final(xumm.newest(), signed=True, txid="AB" * 32)
    xumm.on_loop(lambda: xumm.payloads.tell(xumm.newest(), lie))
    until(lambda: len(xumm.calls) > looks)
    with pytest.raises(NotSigned, match="Nobody has signed yet"):
        request.result(timeout=0.1)
    xumm.act("reject")
    with pytest.raises(NotSigned, match="rejected"):
        request.result(timeout=10)


def test_somebody_else_scans_the_code(xumm: Xumm, person: Person) -> None:
    """The code is on a screen; a signature of another account does not count unless it was asked for."""
    request = ask(xumm)
    xumm.act("approve", BOB)
    with pytest.raises(NotSigned) as caught:
        request.result(timeout=10)
    assert (caught.value.code, request.state) == ("other_account", "other_account")
    request = ask(xumm, signers=[BOB])
    xumm.act("approve", BOB)
    assert request.result(timeout=10).account == BOB


def test_the_network_is_the_one_that_was_asked_for(xumm: Xumm, person: Person) -> None:
    """XU-14: sent as ``force_network``, and compared with what the record says: a test network has no value."""
    request = ask(xumm, force_network="testnet")
    assert xumm.newest().options["force_network"] == "TESTNET"
    xumm.act("approve", ADA, "MAINNET")
    with pytest.raises(NotSigned) as caught:
        request.result(timeout=10)
    assert caught.value.code == "other_network"


# ---- a bad connection ----------------------------------------------------------------------------------------------


def test_a_broken_connection_is_made_again(xumm: Xumm, person: Person) -> None:
    """What happened in between is seen by the look that follows each new connection."""
    request = at_pace(ask(xumm), QUICK)
    until(lambda: xumm.payloads.connections == 2)
    xumm.on_loop(xumm.payloads.drop)
    until(lambda: xumm.payloads.connections == 3)
    xumm.payloads.tell = lambda payload, message: None  # type: ignore[method-assign]
    xumm.act("approve")
    xumm.on_loop(xumm.payloads.drop)
    assert request.result(timeout=10).account == ADA


def test_a_dead_connection_is_noticed(xumm: Xumm, person: Person) -> None:
    """Signs of life go out; a socket that answers none of them is given up, and made anew."""
    request = at_pace(ask(xumm), QUICK)
    until(lambda: '{"ping":true}' in xumm.payloads.heard)
    xumm.payloads.silent = True
    connections = xumm.payloads.connections
    until(lambda: xumm.payloads.connections > connections)
    xumm.payloads.silent = False
    xumm.act("approve")
    assert request.result(timeout=10).account == ADA


def test_without_any_websocket_it_still_ends(xumm: Xumm, person: Person) -> None:
    """Some networks let none through: each failed try is followed by a look."""
    request = ask(xumm)
    request._created = replace(request._created, socket="ws://127.0.0.1:9/sign")
    other = at_pace(request, QUICK)
    xumm.act("approve")
    assert other.result(timeout=10).account == ADA


def test_a_look_that_fails_is_repeated(xumm: Xumm, person: Person) -> None:
    """The service has a bad moment just when it was signed: nothing is lost, and nothing is believed."""
    request = at_pace(ask(xumm), QUICK)
    until(lambda: xumm.calls.count("GET payload") == 2)
    xumm.answer("api", Answer(503), Answer(200, "<h1>Oops"), Answer(reset=True))
    xumm.act("approve")
    assert request.result(timeout=10).account == ADA


def test_a_request_that_is_gone(xumm: Xumm, person: Person) -> None:
    """The service no longer knows it: the socket closes, and the look says why."""
    request = ask(xumm)
    payload = xumm.payloads.all.pop(request.uuid)
    xumm.on_loop(lambda: xumm.payloads.tell(payload, {"expired": True}))
    with pytest.raises(ProviderError) as caught:
        request.result(timeout=10)
    assert (caught.value.code, request.state) == ("not_found", "not_found")


# ---- what stops it before it begins --------------------------------------------------------------------------------


def test_who_cannot_ask_for_signatures(xumm: Xumm, person_at: Callable[..., Person]) -> None:
    """Nobody who is not signed in, and no profile of another service; nothing is asked of anybody."""
    person = person_at(xumm)
    with pytest.raises(LoginRequired):
        sign_request("acme", PAYMENT, show=False)
    keys = {"issuer": "https://id.example", "client_id": "cli", "api": ["https://api.example"]}
    person.write(acme=keys)
    with pytest.raises(ConfigError, match='its provider must be "xumm"'):
        sign_request("acme", PAYMENT, show=False)
    assert xumm.calls == []


def test_the_service_takes_it_not(xumm: Xumm, person: Person, canary: Canary) -> None:
    """XU-8, XU-9: refused, over its limit, over with the login, or nobody there: an error each, and no thread left."""
    busy = Answer(429, json={"error": True, "message": "slow"}, headers={"Retry-After": "7"})
    for answer, kind in (
        (Answer(400, json={"error": {"code": 602, "reference": "r"}}), ProviderError),
        (busy, ProviderUnavailable),
        (Answer(200, "<h1>Oops"), ProviderUnavailable),
        (Answer(reset=True), ProviderUnavailable),
        (Answer(json={"uuid": "x"}), ProviderUnavailable),
    ):
        xumm.answer("api", answer)
        with pytest.raises(kind) as caught:
            sign_request("acme", PAYMENT, show=False)
        canary.look_error(caught.value)
        assert getattr(caught.value, "retry_after", None) == (7 if answer is busy else None)
    xumm.expire()
    with pytest.raises(LoginRequired, match="phone"):
        sign_request("acme", PAYMENT, show=False)
    assert not [one for one in threading.enumerate() if one.name == "nativeauth-sign"]


def test_a_login_that_ends_while_waiting(xumm: Xumm, person: Person) -> None:
    """The end is not known then; the error says to sign in again."""
    request = ask(xumm)
    xumm.expire()
    xumm.act("approve")
    with pytest.raises(LoginRequired, match="phone"):
        request.result(timeout=10)


# ---- a terminal ----------------------------------------------------------------------------------------------------


def test_what_a_script_says(xumm: Xumm, person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal: what is to be signed, and the link; no code of blocks in a log file."""
    xumm.phone = "approve"
    request = sign_request("acme", PAYMENT)
    said = capsys.readouterr().err
    assert f"Sign with the Xaman app: Payment, Amount 1.5 XRP, Destination {BOB}" in said
    assert request.link in said
    assert "also sent to your phone" in said
    assert "█" not in said
    request.result(timeout=10)
    assert capsys.readouterr().err == ""


def test_a_terminal(xumm: Xumm, person: Person) -> None:
    """A code that can be scanned off it, the time that is left in one line, and Ctrl-C that takes the request back."""
    code = (
        "from jupyter_nativeauth.xumm import sign_request\n"
        f"try:\n    sign_request('acme', {PAYMENT!r}).result()\nexcept KeyboardInterrupt:\n    raise SystemExit(7)"
    )
    mine, its = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stderr=its, stdout=subprocess.DEVNULL)
    os.close(its)
    shown, end, told = b"", time.monotonic() + 40, False
    try:
        while time.monotonic() < end:
            if select.select([mine], [], [], 0.2)[0]:
                try:
                    shown += os.read(mine, 4096)
                except OSError:  # the other end is closed
                    break
            if not told and shown.count(b"Waiting for your signature") == 2:
                told = True
                process.send_signal(signal.SIGINT)
        assert process.wait(10) == 7
    finally:
        process.kill()
        process.wait()
        os.close(mine)
    text = shown.decode()
    link = f"{xumm.api}/sign/{xumm.newest().uuid}"
    blocks = re.findall(r"\x1b\[40;97m(.+?)\x1b\[0m", text)
    assert scanned(modules_of(blocks)) == [link]
    assert f"\r\n  {link}\r\n" in text
    assert re.findall(r"Waiting for your signature: (\d:\d\d) left \(Ctrl-C cancels\)", text)[0] in ("5:00", "4:59")
    assert text.endswith("\r\x1b[KCancelled. Nobody can sign it now.\r\n")
    assert xumm.newest().cancelled
