"""Runs in: the tests. The key in a real gnome-keyring: kept, guarded, and never waited for too long."""

from __future__ import annotations

import base64
import os
import socket
from contextlib import closing
from pathlib import Path

import pytest
from jeepney import DBusAddress, MessageType, new_method_call

from jupyter_nativeauth._backends import open_ring
from jupyter_nativeauth.errors import KeySourceUnavailable
from tests.keychain.conftest import OpenKeychain
from tests.keychain.find_key import find, folder, outcomes, start
from tests.keychain.witness import QUIET, watching
from tests.keyring_daemon import KeyringSession

CREATE = {"create": True}
SIGN_IN = {"create": True, "interactive": True}
STRICT = {"key_source": "keychain"}


def secret(session: KeyringSession) -> bytes:
    """What the keychain holds for us, read by somebody else."""
    with session.collection() as collection:
        (item,) = collection.search_items({"username": "vault-key"})
        return bytes(item.get_secret())


def traces(session: KeyringSession, needles: list[bytes]) -> list[str]:
    """The files below HOME that hold one of *needles*."""
    files = [path for path in session.home.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(needle in path.read_bytes() for needle in needles)]


# ---- kept ---------------------------------------------------------------------------------------------------------


def test_key_survives_logout_and_login(keychain: KeyringSession) -> None:
    """A key made at a sign-in is the same in the next process and after the keychain was restarted."""
    (made,) = find(keychain, CREATE)
    (again,) = find(keychain)
    keychain.restart()
    (later,) = find(keychain)
    assert (made.source, made.label) == ("keychain", "gnome-keyring")
    assert made.id == again.id == later.id != ""


def test_nothing_is_made_without_a_sign_in(keychain: KeyringSession) -> None:
    """Before anybody has signed in there is no key, and looking for it leaves neither an item nor a file."""
    (none,) = find(keychain)
    assert (none.id, none.error) == ("", "")
    assert not folder(keychain).exists()
    with keychain.collection() as collection:
        assert list(collection.get_all_items()) == []


def test_two_processes_agree_on_one_key(keychain: KeyringSession) -> None:
    """FLT-047: processes that make the key at the same moment end up with the same one."""
    racers = [start(keychain, SIGN_IN) for _ in range(4)]
    ids = {outcomes(racer)[0].id for racer in racers}
    assert len(ids) == 1
    assert base64.b64encode(base64.b64decode(secret(keychain))) == secret(keychain)


def test_two_homes_have_two_keys(keychain: KeyringSession) -> None:
    """Two data folders of one person on one keychain never overwrite each other's key."""
    (first,) = find(keychain, CREATE)
    folder(keychain).rename(keychain.home / "other")
    (second,) = find(keychain, CREATE)
    folder(keychain).rename(keychain.home / "third")
    (keychain.home / "other").rename(folder(keychain))
    assert find(keychain)[0].id == first.id != second.id


def test_a_key_can_be_taken_out_again(keychain: KeyringSession) -> None:
    """The demo leaves nothing in the person's keychain, and removing what is not there does no harm."""
    find(keychain, CREATE)
    code = f"""
from pathlib import Path
from jupyter_nativeauth._keychain import Keychain
Keychain(Path({str(folder(keychain))!r})).remove()
Keychain(Path({str(folder(keychain) / "nothing")!r})).remove()
"""
    out, err = keychain.spawn("-c", code).communicate(timeout=30)
    assert (out, err) == ("", "")
    with keychain.collection() as collection:
        assert list(collection.get_all_items()) == []


def test_deleted_item_means_signed_out(keychain: KeyringSession) -> None:
    """FLT-042: an item that was deleted behind our back is no key, not an error; the next sign-in makes a new one."""
    (made,) = find(keychain, CREATE)
    with keychain.collection() as collection:
        next(collection.search_items({"username": "vault-key"})).delete()
    before, after = find(keychain, {}, SIGN_IN)
    assert (before.id, before.error) == ("", "")
    assert after.id not in ("", made.id)


# ---- guarded ------------------------------------------------------------------------------------------------------


def test_key_is_nowhere_on_disk_in_plain_text(keychain: KeyringSession) -> None:
    """No file below HOME holds the key in any notation, neither ours nor the keychain's."""
    find(keychain, SIGN_IN)
    text = secret(keychain)
    value = base64.b64decode(text)[:32]
    keychain.stop()
    needles = [
        text,
        value,
        value[:12],
        value.hex().encode(),
        base64.b64encode(value)[:-4],
        base64.b64encode(value[1:31]),
    ]
    assert traces(keychain, needles) == []


def test_keychain_without_a_password_is_refused(open_keychain: OpenKeychain) -> None:
    """A gnome-keyring with an empty password is a text file: it gets no key, and the error names file and remedy."""
    session = open_keychain("plain")
    for outcome in find(session, {}, SIGN_IN, {**STRICT, **SIGN_IN}):
        assert (outcome.error, outcome.code) == ("KeySourceUnavailable", "keychain_plaintext")
        assert str(session.keyrings / "login.keyring") in outcome.message
        assert "memory" in outcome.message
    assert traces(session, [b"vault-key", b"jupyter_nativeauth"]) == []


def test_password_removed_later_is_noticed(keychain: KeyringSession) -> None:
    """A keychain that lost its password after the key was stored is refused from then on."""
    find(keychain, CREATE)
    keychain.change_password("correct horse battery staple", "")
    (outcome,) = find(keychain)
    assert outcome.code == "keychain_plaintext"


UNTRUSTED = [
    "keyring.backends.null.Keyring",
    "keyring.backends.fail.Keyring",
    "keyring.backends.chainer.ChainerBackend",
    "keyrings.alt.file.PlaintextKeyring",
    "keyrings.cryptfile.cryptfile.CryptFileKeyring",
    "evil_keyring.Keyring",
]


@pytest.mark.parametrize("name", UNTRUSTED)
@pytest.mark.parametrize("where", ["variable", "file"])
def test_untrusted_backend_is_refused_by_name(keychain: KeyringSession, name: str, where: str) -> None:
    """
    TRP-31, SEC-083: a backend that is not on our list is refused by name and never imported.

    Whether the variable or the file names it; ``auto`` goes on to memory and says why, ``keychain`` fails.
    """
    evil = keychain.home / "evil"
    evil.mkdir()
    (evil / "evil_keyring.py").write_text("raise SystemExit('imported')\n")
    config = keychain.home / ".config/python_keyring/keyringrc.cfg"
    if where == "file":
        config.parent.mkdir(parents=True)
        config.write_text(f"[backend]\ndefault-keyring={name}\nkeyring-path={evil}\n")
    variables = {"PYTHON_KEYRING_BACKEND": name} if where == "variable" else {}
    auto, strict = find(keychain, SIGN_IN, {**STRICT, **SIGN_IN}, variables={**variables, "PYTHONPATH": str(evil)})
    assert (auto.source, auto.error) == ("process", "")
    assert name in auto.reason
    assert (strict.error, strict.code) == ("KeySourceUnavailable", "keychain_refused")
    assert name in strict.message
    assert (str(config) if where == "file" else "PYTHON_KEYRING_BACKEND") in strict.message
    assert "evil_keyring" not in strict.loaded
    assert "keyring" not in strict.loaded


def test_trusted_backend_may_be_named(keychain: KeyringSession) -> None:
    """SEC-083: a setting that names the Secret Service itself, or KWallet, which speaks it too, changes nothing."""
    (made,) = find(keychain, CREATE, variables={"PYTHON_KEYRING_BACKEND": "keyring.backends.SecretService.Keyring"})
    (found,) = find(keychain, variables={"PYTHON_KEYRING_BACKEND": "keyring.backends.kwallet.DBusKeyring"})
    assert made.id == found.id != ""


def test_keyring_properties_do_not_reach_us(keychain: KeyringSession) -> None:
    """SEC-083: KEYRING_PROPERTY_* variables move our item neither to another collection nor under other attributes."""
    session_collection = "/org/freedesktop/secrets/collection/session"
    find(
        keychain,
        CREATE,
        variables={"KEYRING_PROPERTY_PREFERRED_COLLECTION": session_collection, "KEYRING_PROPERTY_SCHEME": "KeePassXC"},
    )
    with keychain.collection() as collection:
        (item,) = collection.get_all_items()
        attributes = item.get_attributes()
    assert attributes["username"] == "vault-key"
    assert attributes["service"].startswith("jupyter_nativeauth:key:")


DAMAGE = {
    "empty": b"",
    "truncated": b"QUJD",
    "not base64": b"!" * 56,
    "wrong checksum": base64.b64encode(bytes(40)),
    "not text": b"\xff\xfe" * 28,
    "a megabyte": b"A" * 2**20,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_item_is_left_alone(keychain: KeyringSession, damage: str) -> None:
    """FLT-043: an item that is not what we wrote is a typed error, also at a sign-in, and is not overwritten."""
    find(keychain, CREATE)
    with keychain.collection() as collection:
        next(collection.search_items({"username": "vault-key"})).set_secret(DAMAGE[damage])
    for outcome in find(keychain, {}, SIGN_IN):
        assert (outcome.error, outcome.code) == ("KeySourceUnavailable", "keychain_error")
        assert "damaged" in outcome.message
        assert "Delete that item" in outcome.message
    assert secret(keychain) == DAMAGE[damage]


# ---- not there ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (None, "There is no Secret Service on this machine."),
        ("", "This session has no D-Bus, so no Secret Service."),
        ("garbage", "No D-Bus answers at DBUS_SESSION_BUS_ADDRESS."),
        ("tcp:host=localhost,port=1", "No D-Bus answers at DBUS_SESSION_BUS_ADDRESS."),
        ("unix:path=/nonexistent/bus", "No D-Bus answers at DBUS_SESSION_BUS_ADDRESS."),
    ],
)
def test_missing_keychain_means_memory_and_says_so(
    open_keychain: OpenKeychain, address: str | None, reason: str
) -> None:
    """FLT-040, TRP-31: without a keychain the key is in memory only, with the reason; ``keychain`` is a typed error."""
    session = open_keychain("absent")
    variables = {} if address is None else {"DBUS_SESSION_BUS_ADDRESS": address}
    before, auto, strict = find(session, {}, SIGN_IN, {**STRICT, **SIGN_IN}, variables=variables)
    assert (before.id, before.error, before.reason) == ("", "", reason)
    assert (auto.source, auto.label, auto.reason) == ("process", "this process's memory", reason)
    assert (strict.error, strict.code) == ("KeySourceUnavailable", "keychain_missing")
    assert reason in strict.message
    assert "memory" in strict.message
    assert list(session.home.rglob("*.json")) == []
    assert not folder(session).exists()


def test_server_without_a_keychain_keeps_the_key_in_its_memory(open_keychain: OpenKeychain) -> None:
    """FLT-040: the server's key says that it is the server's, and is there only after a sign-in."""
    before, made, again = find(open_keychain("absent"), {}, SIGN_IN, {}, server=True)
    assert before.id == ""
    assert (made.source, made.label) == ("server", "server memory")
    assert again.id == made.id


def test_keyring_without_collection_cannot_be_made_without_a_desktop(open_keychain: OpenKeychain) -> None:
    """A Secret Service that has no keyring yet and cannot ask for a password counts as none, and nothing waits."""
    session = open_keychain("new", activatable=True)
    before, looked, auto, strict = find(session, {}, STRICT, SIGN_IN, {**STRICT, **SIGN_IN})
    assert [(one.id, one.error) for one in (before, looked)] == [("", "")] * 2
    assert (auto.source, auto.reason) == ("process", "The Secret Service made no default collection.")
    assert strict.code == "keychain_missing"


def test_silent_look_starts_no_keychain(open_keychain: OpenKeychain) -> None:
    """A keychain that D-Bus could start is not started by a look; it is by a sign-in."""
    session = open_keychain("absent", activatable=True)
    (silent,) = find(session)
    assert (silent.id, silent.error, silent.reason) == ("", "", "No keychain is running.")
    assert session.owner() == 0
    find(session, SIGN_IN)
    assert session.owner() != 0


def test_sleeping_keychain_that_holds_our_key_is_not_a_sign_out(open_keychain: OpenKeychain) -> None:
    """FLT-041: if the keychain has held our key and is not running, that is an error, not "nobody is signed in"."""
    session = open_keychain("unlocked", activatable=True)
    find(session, CREATE)
    session.stop()
    (outcome,) = find(session)
    assert (outcome.error, outcome.code) == ("KeySourceUnavailable", "keychain_locked")
    assert session.owner() == 0


# ---- locked, frozen -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_source", ["auto", "keychain"])
def test_locked_keychain_is_an_error_and_nobody_is_asked(keychain: KeyringSession, key_source: str) -> None:
    """FLT-041: a locked keychain is a typed error that names the remedy; it opens no prompt and is not a sign-out."""
    find(keychain, CREATE)
    keychain.lock()
    with watching(keychain) as witness:
        outcome, created = find(keychain, {"key_source": key_source}, {"key_source": key_source, "create": True})
        assert set(witness.calls()) <= QUIET
    for one in (outcome, created):
        assert (one.error, one.code) == ("KeySourceUnavailable", "keychain_locked")
        assert "Unlock it" in one.message
        assert 'key_source = "memory"' in one.message


def test_locked_keychain_asks_only_at_a_sign_in(open_keychain: OpenKeychain) -> None:
    """FLT-041: a sign-in does ask; where nobody can answer (no desktop) that ends at once with the same error."""
    session = open_keychain("locked", activatable=True)
    with watching(session) as witness:
        (outcome,) = find(session, SIGN_IN)
        assert "Prompt" in witness.calls()
    assert outcome.code == "keychain_locked"


def test_unlocked_keychain_is_read_quietly(keychain: KeyringSession) -> None:
    """Reading the key makes only calls that ask nobody and change nothing."""
    find(keychain, CREATE)
    with watching(keychain) as witness:
        (found,) = find(keychain)
        assert set(witness.calls()) <= QUIET
    assert found.source == "keychain"


def test_silent_calls_cannot_start_or_ask(open_keychain: OpenKeychain) -> None:
    """A silent connection forbids D-Bus to start what it calls, and refuses to open a prompt, whoever asks for it."""
    session = open_keychain("absent", activatable=True)
    ring = open_ring(session.environ, interactive=False, create=True, limit=5)
    with closing(ring._connect()) as bus:
        service = DBusAddress("/org/freedesktop/secrets", "org.freedesktop.secrets", "org.freedesktop.Secret.Service")
        answer = bus.send_and_get_reply(new_method_call(service, "ReadAlias", "s", ("default",)))
        assert answer.header.message_type is MessageType.error
        prompt = DBusAddress("/any/prompt", "org.freedesktop.secrets", "org.freedesktop.Secret.Prompt")
        with pytest.raises(KeySourceUnavailable) as raised:
            bus.send_and_get_reply(new_method_call(prompt, "Prompt", "s", ("",)))
    assert raised.value.code == "keychain_locked"
    assert session.owner() == 0


def test_silent_call_ends_by_itself(open_keychain: OpenKeychain) -> None:
    """A call to a frozen keychain gives up by itself, so that no thread and no connection stays behind."""
    session = open_keychain("frozen")
    with pytest.raises(TimeoutError):
        open_ring(session.environ, interactive=False, create=False, limit=0.2).get_password("service", "user")


def test_unlocking_is_noticed_at_once(keychain: KeyringSession) -> None:
    """A keychain that was locked a moment ago and is open now gives the key: that answer is never remembered."""
    (made,) = find(keychain, CREATE)
    keychain.restart(unlock=False)
    code = (
        "import sys, pathlib\n"
        "from jupyter_nativeauth.errors import KeySourceUnavailable\n"
        "from jupyter_nativeauth.keys import Keys\n"
        f"keys = Keys(pathlib.Path({str(folder(keychain))!r}))\n"
        "try: keys.find()\n"
        "except KeySourceUnavailable as error: print(error.code, flush=True)\n"
        "sys.stdin.readline()\n"
        "print(keys.find().id.hex())\n"
    )
    with keychain.spawn("-c", code) as process:
        assert process.stdout.readline().strip() == "keychain_locked"
        keychain.unlock()
        told, _ = process.communicate("go\n", timeout=20)
    assert told.strip() == made.id


def test_frozen_keychain_is_a_typed_error_within_its_limit(keychain: KeyringSession) -> None:
    """FLT-041: a keychain that does not answer is an error after 3 s, and does not keep the process from ending."""
    find(keychain, CREATE)
    with keychain.frozen():
        for outcome in find(keychain, {}, STRICT):  # that it returns: the process has ended
            assert (outcome.error, outcome.code) == ("KeySourceUnavailable", "keychain_timeout")
            assert "within 3 seconds" in outcome.message
            assert 'key_source = "memory"' in outcome.message


def test_frozen_keychain_is_asked_once_and_again_at_a_sign_in(keychain: KeyringSession) -> None:
    """FLT-041: after a look had to wait, the next ones fail at once; a sign-in asks anew, within its own limit."""
    find(keychain, CREATE)
    with keychain.frozen(), watching(keychain) as witness:
        silent = find(keychain, {}, {}, {}, silent_limit=0.3)
        assert witness.calls().count("ReadAlias") == 1
        both = find(keychain, {}, SIGN_IN, silent_limit=0.3, prompt_limit=0.4)
        assert witness.calls().count("ReadAlias") == 2
    assert [one.code for one in (*silent, *both)] == ["keychain_timeout"] * 5
    assert "within 0.4 seconds" in both[-1].message


def test_mute_bus_is_a_typed_error(open_keychain: OpenKeychain) -> None:
    """FLT-041: a session bus that accepts and says nothing is a keychain that is silent, not one that is missing."""
    session = open_keychain("absent")
    path = session.home / "mute"
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen(8)
        (outcome,) = find(session, variables={"DBUS_SESSION_BUS_ADDRESS": f"unix:path={path}"})
    assert outcome.code == "keychain_timeout"


def test_keychain_that_vanishes_is_typed(keychain: KeyringSession) -> None:
    """FLT-041: a D-Bus that is gone is the same typed answer as none; no raw exception of a library comes through."""
    find(keychain, CREATE)
    keychain.close()
    (outcome,) = find(keychain, STRICT)
    assert (outcome.error, outcome.code) == ("KeySourceUnavailable", "keychain_missing")


def test_pytest_itself_stays_clean(keychain: KeyringSession) -> None:
    """The session's variables are for child processes: this process does not see them."""
    assert os.environ.get("DBUS_SESSION_BUS_ADDRESS") != keychain.address
    assert Path(os.environ.get("HOME", "/")) != keychain.home
