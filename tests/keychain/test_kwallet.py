"""The key in a real KWallet, whose answers are sometimes garbled, and which asks by a window that nobody may see."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator

import pytest

from tests.keychain.find_key import find, outcomes, start
from tests.keychain.test_keychain import CREATE, SIGN_IN, STRICT, secret, traces
from tests.kwallet_daemon import KWalletSession, kwallet_daemon


@pytest.fixture
def kwallet() -> Iterator[KWalletSession]:
    if shutil.which("kwalletd5") is None:
        pytest.skip("no KWallet here: apt-get install libkf5wallet-bin libqca-qt5-2-plugins")
    with kwallet_daemon() as session:
        yield session


def test_the_key_is_kept(kwallet: KWalletSession) -> None:
    """FLT-046: what a sign-in made, the next process finds; and it is nowhere on disk in plain text."""
    (made,) = find(kwallet, SIGN_IN)
    (again,) = find(kwallet)
    assert (made.source, made.label) == ("keychain", "KWallet")
    assert made.id == again.id != ""
    text = secret(kwallet)
    value = base64.b64decode(text)[:32]
    kwallet.lock()
    kwallet.stop()
    assert traces(kwallet, [text, value, value[:12], value.hex().encode()]) == []


def test_after_a_logout_the_first_click_opens_it(kwallet: KWalletSession) -> None:
    """
    FLT-041: a new KWallet shows its wallet as locked until somebody asks for it, though a login has opened it. A kernel
    never asks; a click on "Sign in" does, without a window, and finds the key that was there; then kernels find it too.
    """
    (made,) = find(kwallet, SIGN_IN)
    kwallet.lock()  # which writes it: by itself KWallet does so five seconds later
    kwallet.restart()
    quiet, asked, afterwards = find(kwallet, STRICT, {**STRICT, "interactive": True}, STRICT)
    assert quiet.code == "keychain_locked"
    assert asked.id == afterwards.id == made.id != ""
    assert find(kwallet)[0].id == made.id


def test_each_of_many_reads_gives_the_key(kwallet: KWalletSession) -> None:
    """FLT-043: KWallet garbles about one read in two hundred; the key checks itself, and is read again."""
    (made,) = find(kwallet, SIGN_IN)
    code = f"""
from pathlib import Path
from jupyter_nativeauth._keychain import Keychain
folder = Path({str(kwallet.home / "nativeauth")!r})
print(len({{Keychain(folder).find(interactive=False, create=False).value for _ in range(150)}}))
"""
    out, err = kwallet.spawn("-c", code).communicate(timeout=60)
    assert (out, err) == ("1\n", "")
    assert find(kwallet)[0].id == made.id


def test_processes_that_make_the_key_at_once_agree(kwallet: KWalletSession) -> None:
    """FLT-047: KWallet's replacing is not all or nothing, so the key is written once, under our own lock."""
    racers = [start(kwallet, SIGN_IN) for _ in range(4)]
    found = [outcomes(racer)[0] for racer in racers]
    assert len({one.id for one in found}) == 1
    assert found[0].id != ""


def test_a_wallet_that_is_closed_keeps_nobody_waiting(kwallet: KWalletSession) -> None:
    """FLT-041: a kernel does not ask and does not hang; a sign-in waits for the window, and then says what to do."""
    find(kwallet, CREATE)
    kwallet.lock()
    quiet, asking = find(kwallet, STRICT, {**STRICT, **SIGN_IN}, silent_limit=2, prompt_limit=2)
    for outcome in (quiet, asking):
        assert outcome.error == "KeySourceUnavailable"
        assert outcome.code in ("keychain_locked", "keychain_timeout")
        assert "KWallet" in outcome.message or "keychain" in outcome.message
        assert "memory" in outcome.message
