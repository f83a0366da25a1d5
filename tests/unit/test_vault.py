"""The vault: what is in the file, who can open it, and what happens when it is not as we wrote it."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth import StoreError, VaultDamaged, VaultTooNew
from jupyter_nativeauth._files import private_folder
from jupyter_nativeauth.keys import Key
from jupyter_nativeauth.testing import VaultContract
from jupyter_nativeauth.vault import FileVault, MemoryVault, Vault, sealed_with_other_keys
from tests import samples
from tests.canary import Canary
from tests.isolation import Home
from tests.tries import tries

LOGIN_ID = "0123456789abcdef" * 2
HEAD = struct.Struct(">4sBB16sQ16s8s")  # magic, schema, state, key source, generation, login id, key id


class TestFileVault(VaultContract):
    """A vault on disk keeps to the contract."""

    def make_vault(self, folder: Path, key: Key) -> Vault:
        return FileVault(folder, "acme", key)


class TestMemoryVault(VaultContract):
    """A vault in memory keeps to the same contract."""

    def make_vault(self, folder: Path, key: Key) -> Vault:
        return MemoryVault("acme", key)


@pytest.fixture(params=[FileVault, MemoryVault])
def any_vault(request: pytest.FixtureRequest, tmp_path: Path) -> Vault:
    """An empty vault of each kind."""
    key = samples.key()
    return MemoryVault("acme", key) if request.param is MemoryVault else FileVault(tmp_path, "acme", key)


def put(vault: Vault, record: dict[str, Any], *, signed_in: bool = True) -> None:
    with vault.write_lock.hold(limit=5):
        vault.write(record, login_id=LOGIN_ID, signed_in=signed_in)


@pytest.fixture(autouse=True)
def _any_record(ledger: list[str]) -> Iterator[None]:
    """A vault keeps what it is given; what may take a login's place is for accounts to know."""
    yield
    ledger.clear()


@pytest.fixture
def vault(tmp_path: Path) -> FileVault:
    """A vault with a login in it."""
    made = FileVault(tmp_path, "acme", samples.key())
    put(made, samples.login().to_record())
    return made


def damaged(vault: Vault) -> str:
    with pytest.raises(VaultDamaged) as caught:
        vault.read()
    return str(caught.value)


# ---- the file --------------------------------------------------------------------------------------------------------


def test_the_head_is_readable_and_the_body_is_not(vault: FileVault) -> None:
    """PRM-006: whoever reads the file learns which key, which login by its random name, in or out; and no token."""
    sealed = Path(vault.path).read_bytes()
    magic, schema, state, source, generation, login_id, key_id = HEAD.unpack(sealed[: HEAD.size])
    assert (magic, schema, state, source.rstrip(b"\0")) == (b"JNAV", 1, 1, b"server")
    assert (generation, login_id.hex(), key_id) == (vault.generation(), LOGIN_ID, vault._key.id)
    header = vault.header()
    assert header is not None
    assert (header.signed_in, header.key_source, header.login_id) == (True, "server", LOGIN_ID)
    body = sealed[HEAD.size :]
    assert not any(word in body for word in (b"access_token", b"NATK-", b"Ada Example", vault._key.value[:8]))


def test_the_name_of_the_file(vault: FileVault) -> None:
    """LIB-080, ADV-061: one file for each profile and key, so that a server's key in memory never overwrites what the
    keychain sealed."""
    assert Path(vault.path).name == f"acme.{vault._key.id.hex()[:8]}.vault"
    other = FileVault(Path(vault.path).parent, "acme", samples.key())
    assert other.path != vault.path
    assert other.read() is None


def test_only_its_owner_can_read_it(home: Home) -> None:
    """SEC-085: 0600 in a folder of 0700, whatever the umask was, and whatever the folder was before."""
    before = os.umask(0)
    try:
        folder = home.data / "nativeauth"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        vault = FileVault(private_folder(folder), "acme", samples.key())
        put(vault, {})
        with vault.refresh_lock.hold(limit=1):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3


def test_the_file_is_as_the_first_version_wrote_it(vault: FileVault) -> None:
    """PRM-004: a login stays readable after an upgrade: head, nonce of 12 bytes, body; bound to the name."""
    _seal(vault, b'{"who":"Ada"}')
    contents = vault.read()
    assert contents is not None
    assert contents.record == {"who": "Ada"}


def test_the_largest_file(vault: FileVault) -> None:
    """FLT-043: a file has at most 4 MiB; what goes on after that is damage, and is not read into memory."""
    room = 4 * 1024 * 1024 - HEAD.size - 12 - 16
    _seal(vault, b'{"x":"%s"}' % (b"x" * (room - 8)))
    assert Path(vault.path).stat().st_size == 4 * 1024 * 1024
    assert vault.read() is not None
    _seal(vault, b'{"x":"%s"}' % (b"x" * (room - 7)))
    damaged(vault)


def test_the_same_is_never_sealed_twice_alike(vault: FileVault) -> None:
    """AES-GCM breaks when a nonce comes again: each write has a new one, and nothing in the body repeats."""
    seen = set()
    for _ in range(50):
        put(vault, {"a": 1})
        body = Path(vault.path).read_bytes()[HEAD.size :]
        seen.add(body[:12])
        seen.add(body[12:])
    assert len(seen) == 100


def test_generations_do_not_come_back(vault: FileVault) -> None:
    """FLT-042: somebody who deletes the file and signs in again cannot bring back a number that was seen before."""
    seen = {vault.generation()}
    for _ in range(5):
        os.unlink(vault.path)
        assert vault.generation() == 0
        put(vault, {})
        assert vault.generation() not in seen
        seen.add(vault.generation())


def test_a_generation_that_the_clock_has_not_reached(vault: FileVault) -> None:
    """FLT-042: a clock that was set back brings no number back either."""
    later = time.time_ns() + 10**18
    _seal(vault, b"{}", generation=later)
    put(vault, {})
    assert vault.generation() > later


def test_generations_do_not_come_back_after_setting_aside(any_vault: Vault) -> None:
    """FLT-042: who has seen the login that made no sense sees that the next one is another."""
    seen = set()
    for _ in range(3):
        put(any_vault, {})
        seen.add(any_vault.generation())
        any_vault.set_aside(generation=any_vault.generation())
        assert any_vault.generation() == 0
    assert len(seen) == 3


def test_a_vault_that_was_deleted_is_empty(vault: FileVault) -> None:
    """FLT-042: a deleted file means that nobody is signed in, and nothing crashes."""
    os.unlink(vault.path)
    assert (vault.generation(), vault.header(), vault.read(), vault.was_damaged()) == (0, None, None, False)


def test_neither_vault_nor_lock_prints_anything_secret(vault: FileVault) -> None:
    """TRP-29: what a debugger shows of a vault, and of what was read from it, is no token and no key."""
    contents = vault.read()
    shown = f"{vault!r} {contents!r} {vars(vault)!r} {contents.record if contents else ''!r}"
    assert "NATK" not in shown
    assert vault._key.value.hex() not in shown
    assert repr(vault._key.value) not in shown


def test_an_error_while_writing_shows_nothing(tmp_path: Path, canary: Canary) -> None:
    """TRP-29: the frames of a failed write hold the whole login; none of their variables shows it."""
    vault = FileVault(tmp_path, "a" * 230, samples.key())  # the temporary file's name is too long for any disk
    with pytest.raises(StoreError) as caught, vault.write_lock.hold(limit=1):
        vault.write(dict(samples.login().to_record()), login_id=LOGIN_ID, signed_in=True)
    assert caught.value.code == "unwritable"
    canary.look_error(caught.value)


# ---- tampering -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["magic", "state", "key source", "generation", "login id", "key id"])
def test_no_field_of_the_head_can_be_changed(vault: FileVault, field: str) -> None:
    """FLT-043: the readable head is authenticated with the body: in cannot become out, nor another login's."""
    sealed = Path(vault.path).read_bytes()
    values = list(HEAD.unpack(sealed[: HEAD.size]))
    at = ["magic", "schema", "state", "key source", "generation", "login id", "key id"].index(field)
    values[at] = {
        "magic": b"JNAW",
        "state": 0,
        "key source": b"keychain".ljust(16, b"\0"),
        "generation": values[4] + 1,
        "login id": bytes(16),
        "key id": samples.key().id,
    }[field]
    Path(vault.path).write_bytes(HEAD.pack(*values) + sealed[HEAD.size :])
    assert vault.path in damaged(vault)


def test_files_of_two_profiles_cannot_be_swapped(tmp_path: Path) -> None:
    """A login of one profile put in the place of another one's does not open, though the key is the same."""
    key = samples.key()
    one, two = FileVault(tmp_path, "one", key), FileVault(tmp_path, "two", key)
    put(one, {"who": "one"})
    put(two, {"who": "two"})
    os.replace(one.path, two.path)
    damaged(two)
    # Nor does a name that is the other one with something in front: the name is bound as a whole.
    longer = FileVault(tmp_path, "wo", key)
    Path(longer.path).write_bytes(Path(two.path).read_bytes())
    damaged(longer)


def test_another_key_does_not_open_it(vault: FileVault) -> None:
    """A file of that name that another key has sealed is not ours, and says so."""
    stranger = FileVault(Path(vault.path).parent, "acme", samples.key())
    Path(stranger.path).write_bytes(Path(vault.path).read_bytes())
    assert "another key" in damaged(stranger)
    header = stranger.header()
    assert header is not None
    assert header.key_id == vault._key.id


def test_vaults_of_other_keys_are_found(vault: FileVault) -> None:
    """A server that has stopped leaves a vault behind; its head tells why nobody can open it."""
    folder = Path(vault.path).parent
    FileVault(folder, "acme-2", samples.key())  # another profile, whose name begins alike
    put(FileVault(folder, "acme-2", samples.key()), {})
    (folder / "acme.00000000.vault").write_bytes(b"nonsense")
    assert [one.key_id for one in sealed_with_other_keys(folder, "acme", None)] == [vault._key.id]
    assert [one.key_id for one in sealed_with_other_keys(folder, "acme", samples.key())] == [vault._key.id]
    assert sealed_with_other_keys(folder, "acme", vault._key) == []
    assert sealed_with_other_keys(folder / "nowhere", "acme", None) == []


def test_a_truncated_file_is_damaged(vault: FileVault) -> None:
    """FLT-043: a file that ends anywhere too early does not open, and an empty one is not "signed out"."""
    sealed, numbers = Path(vault.path).read_bytes(), set()
    for size in {0, 1, 4, HEAD.size - 1, HEAD.size, HEAD.size + 1, HEAD.size + 12, len(sealed) - 16, len(sealed) - 1}:
        Path(vault.path).write_bytes(sealed[:size])
        damaged(vault)
        if size < HEAD.size:
            assert vault.header() is None
            numbers.add(vault.generation())
    assert len(numbers) == 4
    assert max(numbers) < 0  # whoever watches the number sees a change, and never "nothing was written"
    Path(vault.path).write_bytes(sealed + b"\0")
    damaged(vault)
    Path(vault.path).write_bytes(bytes(10 * 1024 * 1024))
    damaged(vault)


@pytest.fixture(scope="module")
def sealed() -> Iterator[tuple[FileVault, bytes]]:
    """A vault for the tests below, which write to its file again and again, and what was in it."""
    with tempfile.TemporaryDirectory() as folder:
        made = FileVault(Path(folder), "acme", samples.key())
        put(made, {"who": "Ada"})
        yield made, Path(made.path).read_bytes()


@tries(300)
@given(data=st.data())
def test_a_flipped_bit_is_found(sealed: tuple[FileVault, bytes], data: st.DataObject) -> None:
    """FLT-043, FUZ-006: not one bit of the file can be another one; it is damage, or the schema of a newer version."""
    vault, original = sealed
    flips = data.draw(st.lists(st.integers(0, len(original) * 8 - 1), min_size=1, max_size=3, unique=True))
    changed = bytearray(original)
    for flip in flips:
        changed[flip // 8] ^= 1 << flip % 8
    Path(vault.path).write_bytes(changed)
    with pytest.raises((VaultDamaged, VaultTooNew)):
        vault.read()


@tries(200)
@given(text=st.binary(max_size=200) | st.binary(max_size=120).map(lambda tail: b"JNAV\1\1" + tail))
def test_any_bytes_are_damage(sealed: tuple[FileVault, bytes], text: bytes) -> None:
    """FUZ-006: any file gives our own error, and all that only look at its head survive."""
    vault, _ = sealed
    Path(vault.path).write_bytes(text)
    vault.generation()
    for look in (vault.header, vault.read):
        try:
            look()
        except (VaultDamaged, VaultTooNew):
            continue
    sealed_with_other_keys(Path(vault.path).parent, "acme", None)


def test_a_head_with_the_largest_generation_can_be_written_over(vault: FileVault) -> None:
    """FLT-043: whatever number a damaged head holds, a new sign-in finds a next one."""
    values = list(HEAD.unpack(Path(vault.path).read_bytes()[: HEAD.size]))
    values[4] = 2**64 - 1
    Path(vault.path).write_bytes(HEAD.pack(*values) + bytes(40))
    put(vault, {"who": "Ada"})
    contents = vault.read()
    assert contents is not None
    assert contents.record == {"who": "Ada"}
    assert contents.header.generation != 2**64 - 1


def test_what_is_sealed_and_no_record(vault: FileVault) -> None:
    """FUZ-006: our own key around something that is not a JSON object is damage too."""
    for body in (b"[]", b"null", b"{", b"\xff", b"[" * 5000):
        _seal(vault, body)
        damaged(vault)


def _seal(vault: FileVault, body: bytes, generation: int = 1) -> None:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key_id, login_id = vault._key.id, bytes.fromhex(LOGIN_ID)
    head = HEAD.pack(b"JNAV", 1, 1, b"server", generation, login_id, key_id)
    nonce = os.urandom(12)
    sealed = AESGCM(vault._key.value).encrypt(nonce, body, head + b"acme")
    Path(vault.path).write_bytes(head + nonce + sealed)


# ---- damaged, newer, in the way --------------------------------------------------------------------------------------


def test_a_newer_schema_is_left_alone(vault: FileVault) -> None:
    """FLT-044, LIB-080: a file of a newer version is not damage: it is neither read, nor set aside, nor written
    over."""
    sealed = bytearray(Path(vault.path).read_bytes())
    sealed[4] = 2
    Path(vault.path).write_bytes(sealed)
    for refused in (vault.read, vault.header, vault.set_aside):
        with pytest.raises(VaultTooNew, match="newer version"):
            refused()
    with pytest.raises(VaultTooNew):
        put(vault, {})
    assert Path(vault.path).read_bytes() == bytes(sealed)
    assert not vault.was_damaged()
    assert sealed_with_other_keys(Path(vault.path).parent, "acme", None) == []


def test_a_damaged_file_is_kept(vault: FileVault) -> None:
    """FLT-043, PRM-004: it is moved aside byte for byte, nobody is signed in, and a new sign-in writes a new file."""
    broken = Path(vault.path).read_bytes()[:-1]
    Path(vault.path).write_bytes(broken)
    vault.set_aside()
    aside = Path(f"{vault.path}.damaged")
    assert (aside.read_bytes(), vault.read(), vault.was_damaged()) == (broken, None, True)
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    put(vault, {"who": "Ada"})
    assert not vault.was_damaged()
    assert aside.read_bytes() == broken


def test_a_sound_file_is_not_set_aside(vault: FileVault) -> None:
    """Somebody else may have signed in since the damage was seen: their login stays."""
    vault.set_aside()
    contents = vault.read()
    assert contents is not None
    assert not vault.was_damaged()


def test_what_makes_no_sense_is_set_aside(any_vault: Vault) -> None:
    """FLT-044: only if it is still what made no sense: a login that somebody has stored since stays."""
    any_vault.set_aside(generation=0)
    assert any_vault.read() is None
    put(any_vault, {"who": "Ada"})
    for other in (None, 0, any_vault.generation() - 1):
        any_vault.set_aside(generation=other)
        assert any_vault.read() is not None
    any_vault.set_aside(generation=any_vault.generation())
    assert any_vault.read() is None
    assert any_vault.was_damaged() is isinstance(any_vault, FileVault)


def test_each_damaged_file_is_kept(vault: FileVault) -> None:
    """FLT-043: the second one too, and the first one with it."""
    for number in range(3):
        Path(vault.path).write_bytes(b"%d" % number)
        vault.set_aside()
    kept = {path.read_bytes() for path in Path(vault.path).parent.glob("*.damaged")}
    assert kept == {b"0", b"1", b"2"}


def test_a_damaged_file_that_cannot_be_kept(tmp_path: Path) -> None:
    """FLT-043: it is then not written over either, and the error is ours."""
    # With ".damaged" at its end, this name is too long for any disk.
    vault = FileVault(tmp_path, "a" * 233, samples.key())
    Path(vault.path).write_bytes(b"broken")
    for refused in (vault.set_aside, lambda: put(vault, {})):
        with pytest.raises(StoreError) as caught:
            refused()
        assert caught.value.code == "unwritable"
    assert Path(vault.path).read_bytes() == b"broken"


def test_a_damaged_file_is_not_written_over(vault: FileVault) -> None:
    """FLT-043: a sign-in over a damaged file keeps what was there, so that nothing is lost that could be mended."""
    broken = Path(vault.path).read_bytes()[:-1]
    Path(vault.path).write_bytes(broken)
    put(vault, {"who": "Ada"})
    assert Path(f"{vault.path}.damaged").read_bytes() == broken
    contents = vault.read()
    assert contents is not None
    assert contents.record == {"who": "Ada"}


def test_a_link_in_the_place_of_the_file(vault: FileVault, tmp_path: Path) -> None:
    """SEC-085, ADV-045: a symbolic link is neither read nor written through; the error is ours."""
    elsewhere = tmp_path / "elsewhere"
    os.replace(vault.path, elsewhere)
    before = elsewhere.read_bytes()
    os.symlink(elsewhere, vault.path)
    for refused in (vault.read, vault.generation, vault.header):
        with pytest.raises(StoreError):
            refused()
    with pytest.raises(StoreError):
        put(vault, {})
    assert elsewhere.read_bytes() == before


def test_a_folder_in_the_place_of_the_file(vault: FileVault) -> None:
    """Whatever stands there instead of a file gives our own error."""
    os.unlink(vault.path)
    os.mkdir(vault.path)
    for refused in (vault.read, vault.generation, vault.header):
        with pytest.raises(StoreError):
            refused()
    with pytest.raises(StoreError):
        put(vault, {})


def test_a_folder_that_is_a_link(tmp_path: Path) -> None:
    """SEC-085: the folder itself must be one; a link could lead anywhere."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(StoreError) as caught:
        private_folder(tmp_path / "link")
    assert caught.value.code == "folder"
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "real" / ("x" * 300)):
        with pytest.raises(StoreError) as caught:
            private_folder(wrong)
        assert caught.value.code == "folder"


@pytest.mark.root
def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    """SEC-085: a folder that another user has made for us is not used, since its owner can swap what is in it."""
    if os.geteuid() == 0:
        theirs = tmp_path / "theirs"
        theirs.mkdir(mode=0o700)
        os.chown(theirs, 65534, 65534)
    else:
        theirs = Path("/etc")  # whoever is not root does not own it
    with pytest.raises(StoreError, match="another user"):
        private_folder(theirs)


def test_stale_files_are_swept(vault: FileVault) -> None:
    """FLT-021: what a process that was killed while writing has left goes with the next write; other files stay."""
    folder = Path(vault.path).parent
    stale = [folder / f"{Path(vault.path).name}.{n:012x}.tmp" for n in range(3)]
    keep = [folder / f"other.{vault._key.id.hex()[:8]}.vault.000000000000.tmp", folder / "acme.status"]
    for path in (*stale, *keep):
        path.touch()
    put(vault, {})
    assert not any(path.exists() for path in stale)
    assert all(path.exists() for path in keep)


def test_a_write_leaves_nothing_behind(vault: FileVault) -> None:
    """A file, its lock, and nothing else."""
    put(vault, {})
    assert sorted(path.suffix for path in Path(vault.path).parent.iterdir()) == [".lock", ".vault"]


def test_reading_leaves_nothing_open(vault: FileVault) -> None:
    """FLT-071: neither reading nor failing to keeps a descriptor."""
    for _ in range(20):
        vault.read()
        vault.generation()
        put(vault, {})
    Path(vault.path).write_bytes(b"JNAV")
    for _ in range(20):
        damaged(vault)
        vault.generation()
    assert samples.open_files(Path(vault.path).parent) == []


# ---- other processes -------------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from jupyter_nativeauth.keys import Key
from jupyter_nativeauth.vault import FileVault
vault = FileVault(Path(sys.argv[1]), "acme", Key(bytes.fromhex(sys.stdin.readline()), "server", "x"))
"""


@contextmanager
def child(vault: FileVault, code: str) -> Iterator[subprocess.Popen[str]]:
    """A process with the same vault, whose key comes in by a pipe."""
    command = [sys.executable, "-c", CHILD + code, str(Path(vault.path).parent)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdin is not None
        process.stdin.write(vault._key.value.hex() + "\n")
        process.stdin.flush()
        yield process
    finally:
        process.kill()
        process.communicate()


def test_readers_never_see_half_a_file(vault: FileVault) -> None:
    """PRM-004: processes that read while another one writes see one whole login or another whole one."""
    write = """
number = 0
while True:
    number += 1
    with vault.write_lock.hold(limit=10):
        vault.write({"number": number, "fill": [number] * (number % 50) * 40}, login_id="00" * 16, signed_in=True)
"""
    read = """
seen, count = set(), 0
while len(seen) < 40 or count < 300:
    count += 1
    contents = vault.read()
    if contents.header.login_id == "00" * 16:
        number = contents.record["number"]
        assert contents.record["fill"] == [number] * (number % 50) * 40
        seen.add(contents.header.generation)
print("whole")
"""
    with child(vault, write), child(vault, read) as one, child(vault, read) as two:
        assert [process.communicate(timeout=60)[0] for process in (one, two)] == ["whole\n", "whole\n"]


def test_two_writers_lose_nothing(vault: FileVault) -> None:
    """FLT-047: writers that read, change and write under the lock count to the right sum, in threads and processes."""
    put(vault, {"count": 0})
    add = """
for _ in range(40):
    with vault.write_lock.hold(limit=30):
        count = vault.read().record["count"]
        vault.write({"count": count + 1}, login_id="00" * 16, signed_in=True)
"""

    def add_here() -> None:
        for _ in range(40):
            with vault.write_lock.hold(limit=30):
                contents = vault.read()
                assert contents is not None
                vault.write({"count": contents.record["count"] + 1}, login_id="00" * 16, signed_in=True)

    threads = [threading.Thread(target=add_here) for _ in range(2)]
    with child(vault, add) as one, child(vault, add) as two:
        for thread in threads:
            thread.start()
        for process in (one, two):
            assert process.communicate(timeout=60) == ("", "")
        for thread in threads:
            thread.join()
    contents = vault.read()
    assert contents is not None
    assert contents.record == {"count": 160}


def test_a_full_disk(vault: FileVault) -> None:
    """FLT-022: what does not fit is not written; the old login is still there, whole, and nothing lies about."""
    before = Path(vault.path).read_bytes()
    code = """
import resource, signal
from jupyter_nativeauth import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40, resource.RLIM_INFINITY))
try:
    with vault.write_lock.hold(limit=10):
        vault.write({"x": "y" * 500}, login_id="00" * 16, signed_in=True)
except StoreError as error:
    print(error.code, vault.path in str(error), error.__cause__)
"""
    with child(vault, code) as process:
        assert process.communicate(timeout=30) == ("unwritable True None\n", "")
    assert Path(vault.path).read_bytes() == before
    assert not list(Path(vault.path).parent.glob("*.tmp"))


def test_a_writer_that_is_killed(vault: FileVault) -> None:
    """FLT-021: SIGKILL in the middle of writing leaves the old or the new login; the next writer sweeps and goes on."""
    code = """
import itertools
print("ready", flush=True)
for number in itertools.count():
    with vault.write_lock.hold(limit=10):
        vault.write({"number": number, "fill": "x" * 100_000}, login_id="00" * 16, signed_in=True)
"""
    for number in range(4):
        with child(vault, code) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            threading.Event().wait(0.011 * number)
            process.send_signal(signal.SIGKILL)
            process.wait()
        contents = vault.read()
        assert contents is not None
    put(vault, {"who": "Ada"})
    assert not list(Path(vault.path).parent.glob("*.tmp"))


def test_a_folder_that_is_gone(vault: FileVault) -> None:
    """FLT-017: a folder that somebody deletes while we work means signed out; the new one is private again."""
    folder = Path(vault.path).parent
    shutil.rmtree(folder)
    assert (vault.read(), vault.generation()) == (None, 0)
    put(vault, {"who": "Ada"})
    assert vault.read() is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
