"""Runs in: the tests. The chain of key sources, and the keychain's rules over backends that misbehave."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth._agent_wire import AGENT_VARIABLE
from jupyter_nativeauth._backends import Asleep, refused_backend
from jupyter_nativeauth._keychain import Keychain
from jupyter_nativeauth._lock import FileLock
from jupyter_nativeauth.errors import ConfigError, KeySourceUnavailable, LockTimeout, StoreError
from jupyter_nativeauth.keys import KEY_SOURCES, Key, Keys

SECRET = hashlib.sha256(b"a key for these tests").digest()


class Ring:
    """
    A keyring backend that keeps its items in a dictionary, and does what a test tells it to.

    Attributes:
        items: What is stored, by service.
        asked: The names of the calls, in order.
        before: Called with each call's name before it is done; may raise or wait.
        seen: What a read gives instead of what is stored, first come first served.
    """

    label = "a ring"

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda call: None
        self.seen: list[Any] = []

    def __call__(self, environ: Mapping[str, str], *, interactive: bool, create: bool, limit: float) -> Ring:
        return self

    def get_password(self, service: str, username: str) -> str | None:
        self._do("get")
        if self.seen:
            what = self.seen.pop(0)
            if isinstance(what, Exception):
                raise what
            return what
        return self.items.get(service)

    def set_password(self, service: str, username: str, password: str) -> None:
        self._do("set")
        self.items[service] = password

    def delete_password(self, service: str, username: str) -> None:
        self._do("delete")
        del self.items[service]

    def _do(self, call: str) -> None:
        self.asked.append(call)
        self.before(call)


def raising(error: Exception) -> Callable[[str], None]:
    def before(call: str) -> None:
        raise error

    return before


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the vaults will be. It does not exist yet."""
    return tmp_path / "nativeauth"


@pytest.fixture
def ring() -> Ring:
    return Ring()


def keys_with(ring: Ring, folder: Path, *, server: bool = False, **options: Any) -> Keys:
    return Keys(folder, server=server, environ={}, keychain=Keychain(folder, {}, opener=ring, **options))


# ---- the key itself -----------------------------------------------------------------------------------------------


def test_key_does_not_print_its_value() -> None:
    """A key shows its source and label in every notation, never its value, and is not pickled."""
    key = Key(SECRET, "keychain", "gnome-keyring")
    shown = f"{key} {key!r} {key!s:>40} {[key]} {vars(keys_holding(key))}"
    assert "gnome-keyring" in shown
    for notation in (repr(SECRET)[2:20], SECRET.hex(), base64.b64encode(SECRET).decode()):
        assert notation not in shown
    with pytest.raises(TypeError, match="does not leave its process"):
        pickle.dumps(key)


def keys_holding(key: Key) -> Keys:
    keys = Keys(Path("unused"), environ={})
    keys._found["auto"] = key
    return keys


def test_key_id_is_the_one_in_the_vault_header() -> None:
    """The id is the first 8 bytes of a hash under its own name: it names the key, and tells nothing about it."""
    expected = hashlib.sha256(b"jupyter_nativeauth key id" + SECRET).digest()[:8]
    assert Key(SECRET, "server", "server memory").id == expected


@pytest.mark.parametrize("length", [0, 31, 33])
def test_key_has_32_bytes(length: int) -> None:
    """Anything that has not 32 bytes is no key."""
    with pytest.raises(ValueError, match="32 bytes"):
        Key(bytes(length), "server", "server memory")


# ---- memory -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "source", "label"), [(True, "server", "server memory"), (False, "process", "this process's memory")]
)
def test_memory_key_exists_from_the_first_sign_in_on(folder: Path, server: bool, source: str, label: str) -> None:
    """Key source ``memory``: nothing before the first sign-in, then one key while the process lives. No file."""
    keys = Keys(folder, server=server, environ={})
    assert keys.find("memory") is None
    made = keys.find("memory", create=True)
    assert made is not None
    assert (made.source, made.label) == (source, label)
    assert keys.find("memory") is keys.find("memory", create=True) is made
    keys.forget()
    assert keys.find("memory") is made
    assert not folder.exists()


def test_memory_key_is_one_key_for_all_threads(folder: Path) -> None:
    """Threads that sign in at the same moment get the same key in memory."""
    keys = Keys(folder, environ={})
    found = together(32, lambda: keys.find("memory", create=True))
    assert len({key.id for key in found if key}) == 1


def test_unknown_key_source_is_a_config_error(folder: Path) -> None:
    """A key source that does not exist is named, together with those that do."""
    with pytest.raises(ConfigError, match="no key source 'vault'") as raised:
        Keys(folder, environ={}).find("vault")
    assert all(name in raised.value.hint for name in KEY_SOURCES)


def test_read_only_home_still_has_memory(folder: Path) -> None:
    """Where there is no keychain, nothing is written at all: a home that cannot be written to is good enough."""
    folder.parent.chmod(0o500)
    key = Keys(folder, environ={}).find("auto", create=True, interactive=True)
    assert key is not None
    assert key.source == "process"
    assert not folder.exists()


def test_keychain_comes_before_memory_and_memory_once_used_stays(ring: Ring, folder: Path) -> None:
    """
    ``auto`` takes the keychain if there is one. A process that signed in with memory stays with it.

    Otherwise a keychain that appears later would hide the login from the process that has it.
    """
    keys = keys_with(ring, folder)
    ring.before = raising(named("NoKeyringError"))
    in_memory = keys.find(create=True)
    ring.before = lambda call: None
    assert in_memory is not None
    assert (in_memory.source, bool(keys.reason)) == ("process", True)
    assert keys.find(create=True) is in_memory
    fresh = keys_with(ring, folder)
    in_keychain = fresh.find(create=True)
    assert in_keychain is not None
    assert (in_keychain.source, in_keychain.label, fresh.reason) == ("keychain", "a ring", "")


# ---- the keychain's item ------------------------------------------------------------------------------------------


def test_item_is_small_and_named_after_the_install(ring: Ring, folder: Path) -> None:
    """FLT-045: the item fits Windows' 1,280 characters many times; its name holds the id of install.json."""
    keys_with(ring, folder).find(create=True)
    install_id = json.loads((folder / "install.json").read_text())["install_id"]
    ((service, text),) = ring.items.items()
    assert service == f"jupyter_nativeauth:key:{install_id}"
    assert len(text) == 56
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "install.json").stat().st_mode & 0o777 == 0o600


def test_item_is_written_once_and_read_once(ring: Ring, folder: Path) -> None:
    """The item is written at the first sign-in only, and a process reads it once."""
    keys = keys_with(ring, folder)
    made = keys.find(create=True)
    assert ring.asked.count("set") == 1
    ring.asked.clear()
    later = keys_with(ring, folder)
    assert later.find(create=True) == later.find() == later.find() == made
    assert ring.asked == ["get"]


def test_find_after_somebody_else_was_faster(ring: Ring, folder: Path) -> None:
    """FLT-047: what another process wrote while we waited for the lock is taken, not overwritten."""
    made = keys_with(ring, folder).find(create=True)
    ring.seen = [None]  # as it looked before we had the lock
    ring.asked.clear()
    assert keys_with(ring, folder).find(create=True) == made
    assert "set" not in ring.asked


def test_garbled_read_is_tried_again(ring: Ring, folder: Path) -> None:
    """KWallet gives one read in 200 garbled: two in a row are read over, three are an error that holds none of it."""
    made = keys_with(ring, folder).find(create=True)
    garbled = UnicodeDecodeError("utf-8", SECRET, 0, 1, "invalid start byte")
    ring.seen = [garbled, "A" * 56]
    assert keys_with(ring, folder).find() == made
    ring.seen = [garbled, "A" * 56, garbled]
    with pytest.raises(KeySourceUnavailable, match="damaged") as raised:
        keys_with(ring, folder).find()
    assert raised.value.code == "keychain_error"
    frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(raised.value.__traceback__)]
    assert "_read" not in frames  # its variables hold what was read


def test_lossy_keychain_is_found_out(ring: Ring, folder: Path) -> None:
    """FLT-046: a key that is not read back as it was written is no key: a typed error, and nothing is left of it."""
    for lost in (None, "A" * 56):
        ring.seen = [None, lost, lost, lost]  # before, and three tries after
        with pytest.raises(KeySourceUnavailable, match="did not give back") as raised:
            keys_with(ring, folder).find("keychain", create=True)
        ring.seen.clear()
        assert raised.value.code == "keychain_error"
        assert ring.items == {}
        assert not (folder / "install.json").exists()


def with_cause(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def named(kind: str, /, *arguments: object, **attributes: object) -> Exception:
    error: Exception = type(kind, (Exception,), attributes)(*arguments)
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (named("KeyringLocked", "locked"), "keychain_locked"),
        (named("LockedException"), "keychain_locked"),
        (named("PromptDismissedException"), "keychain_locked"),
        (with_cause(named("KeyringError"), named("Error", -25308, "Unknown Error")), "keychain_locked"),
        (with_cause(named("KeyringError"), named("Error", -67030, "codesign")), "keychain_error"),
        (TimeoutError(), "keychain_timeout"),
        (named("NoKeyringError"), "keychain_missing"),
        (named("SecretServiceNotAvailableException"), "keychain_missing"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "keychain_missing"),
        (ModuleNotFoundError("secretstorage"), "keychain_missing"),
        (
            named("error", 1312, "CredRead", "A specified logon session does not exist", winerror=1312),
            "keychain_missing",
        ),
        (named("error", 1783, "CredWrite", "The stub received bad data", winerror=1783), "keychain_error"),
        (RuntimeError(SECRET.hex()), "keychain_error"),
        (UnicodeDecodeError("utf-8", SECRET, 0, 1, "invalid"), "keychain_error"),
        (named("DBusErrorResponse", name="org.freedesktop.Secret.Error.NoSession"), "keychain_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_every_failure_is_typed_and_tells_no_secret(ring: Ring, folder: Path, error: Exception, code: str) -> None:
    """FLT-041, FLT-049, TRP-31: whatever a backend raises becomes our error, with a remedy and none of its words."""
    keys_with(ring, folder).find(create=True)
    ring.before = raising(error)
    with pytest.raises(KeySourceUnavailable) as raised:
        keys_with(ring, folder).find("keychain")
    assert raised.value.code == code
    assert raised.value.hint
    frames = [dict(frame.f_locals) for frame, _ in traceback.walk_tb(raised.value.__traceback__)]
    ours = [found for found in frames if "self" in found]
    for telling in (str(raised.value), repr(raised.value.__cause__), repr(ours)):
        assert SECRET.hex() not in telling
        assert repr(SECRET)[2:20] not in telling


def test_failing_keychain_never_becomes_memory(ring: Ring, folder: Path) -> None:
    """FLT-040, FLT-041: ``auto`` goes on to memory only if there is no keychain, never because it failed."""
    for error in (named("KeyringLocked"), TimeoutError(), RuntimeError()):
        ring.before = raising(error)
        keys = keys_with(ring, folder)
        with pytest.raises(KeySourceUnavailable):
            keys.find(create=True, interactive=True)
        assert keys.find("memory") is None


def test_slow_failure_is_remembered_for_half_a_minute(ring: Ring, folder: Path) -> None:
    """FLT-041: after the keychain kept us waiting it is left alone for 30 s; a sign-in asks it nevertheless."""
    now = [0.0]
    keys_with(ring, folder).find(create=True)
    keys = keys_with(ring, folder, clock=lambda: now[0])
    ring.before = raising(TimeoutError())
    ring.asked.clear()
    for at, asked in ((0.0, 1), (29.9, 1), (30.1, 2), (60.0, 2)):
        now[0] = at
        with pytest.raises(KeySourceUnavailable, match="did not answer"):
            keys.find()
        assert len(ring.asked) == asked
    ring.before = lambda call: None
    assert keys.find(interactive=True) is not None


def test_locked_keychain_is_asked_each_time(ring: Ring, folder: Path) -> None:
    """FLT-041: "locked" is a quick answer, and may have changed: it is not remembered."""
    made = keys_with(ring, folder).find(create=True)
    keys = keys_with(ring, folder)
    ring.before = raising(named("KeyringLocked"))
    with pytest.raises(KeySourceUnavailable):
        keys.find()
    ring.before = lambda call: None
    assert keys.find() == made


def test_sleeping_keychain_matters_only_if_it_held_our_key(ring: Ring, folder: Path) -> None:
    """FLT-041: a keychain that could be started counts as locked once it has held our key, and as missing before."""
    ring.before = raising(Asleep())
    keys = keys_with(ring, folder)
    assert keys.find() is None
    assert keys.reason == "No keychain is running."
    ring.before = lambda call: None
    keys_with(ring, folder).find(create=True)
    ring.before = raising(Asleep())
    with pytest.raises(KeySourceUnavailable) as raised:
        keys_with(ring, folder).find()
    assert raised.value.code == "keychain_locked"


def test_late_write_keeps_the_lock(ring: Ring, folder: Path) -> None:
    """A write that outlives its limit keeps the install lock: it must not overwrite the key of whoever comes next."""
    go_on, done = threading.Event(), threading.Event()

    def slow(call: str) -> None:
        if call == "set":
            go_on.wait(20)
        if call == "get" and go_on.is_set():
            done.set()

    ring.before = slow
    try:
        with pytest.raises(KeySourceUnavailable, match="within"):
            keys_with(ring, folder, silent_limit=0.1).find(create=True)
        with pytest.raises(LockTimeout), FileLock(folder / "install.lock").hold(limit=0.1):
            pass
    finally:
        go_on.set()
    assert done.wait(20)
    with FileLock(folder / "install.lock").hold(limit=20):
        (text,) = ring.items.values()
    found = keys_with(ring, folder).find(create=True)
    assert found is not None
    assert base64.b64decode(text)[:32] == found.value


def test_hanging_keychain_does_not_keep_python_alive(folder: Path) -> None:
    """FLT-041: a call that never comes back is given up after its limit, and the process can end all the same."""
    code = """
import pathlib, sys, threading
from jupyter_nativeauth._keychain import Keychain
from jupyter_nativeauth.errors import KeySourceUnavailable
from jupyter_nativeauth.keys import Keys

class Hanging:
    label = "a ring that hangs"
    def get_password(self, service, username):
        threading.Event().wait()

folder = pathlib.Path(sys.argv[1])
keychain = Keychain(folder, {}, opener=lambda environ, **how: Hanging(), silent_limit=0.1, prompt_limit=0.2)
for how in ({}, {"create": True, "interactive": True}):
    try:
        Keys(folder, environ={}, keychain=keychain).find(**how)
    except KeySourceUnavailable as error:
        print(error.code, error.args[0])
"""
    told = in_a_process(code, str(folder))
    assert told.split("\n") == [
        "keychain_timeout The keychain did not answer within 0.1 seconds.",
        "keychain_timeout The keychain did not answer within 0.2 seconds.",
    ]


# ---- threads and forks --------------------------------------------------------------------------------------------


def together(count: int, work: Callable[[], Any]) -> list[Any]:
    """What *work* gives in *count* threads that start at the same moment."""
    barrier, found = threading.Barrier(count), []

    def run() -> None:
        barrier.wait()
        found.append(work())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_many_threads_ask_the_keychain_once(ring: Ring, folder: Path) -> None:
    """64 threads that need the key at the same moment cause one call, whether it succeeds or times out."""
    made = keys_with(ring, folder).find(create=True)
    ring.asked.clear()
    keys = keys_with(ring, folder)
    assert set(together(64, lambda: keys.find().id)) == {made.id}
    assert ring.asked == ["get"]
    ring.before = raising(TimeoutError())
    ring.asked.clear()
    failing = keys_with(ring, folder)

    def code() -> str:
        with pytest.raises(KeySourceUnavailable) as raised:
            failing.find()
        return raised.value.code

    assert set(together(64, code)) == {"keychain_timeout"}
    assert ring.asked == ["get"]


def in_a_fork(work: Callable[[], int]) -> int:
    """The number that *work* gives in a forked child."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(work())
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_forked_child_has_the_key(ring: Ring, folder: Path) -> None:
    """A child that was forked after the key was found has it without asking the keychain."""
    keys = keys_with(ring, folder)
    made = keys.find(create=True)
    ring.before = raising(RuntimeError("asked"))
    assert in_a_fork(lambda: int(keys.find() == made)) == 1


def test_fork_while_a_thread_asks_does_not_hang(ring: Ring, folder: Path) -> None:
    """A child that was forked while another thread was asking the keychain can ask by itself."""
    made = keys_with(ring, folder).find(create=True)
    keys = keys_with(ring, folder)
    asking, go_on = threading.Event(), threading.Event()

    def wait(call: str) -> None:
        asking.set()
        go_on.wait(20)

    ring.before = wait
    thread = threading.Thread(target=keys.find)
    thread.start()
    assert asking.wait(20)
    ring.before = lambda call: None

    def child() -> int:
        owner = keys._turns[0]
        found = keys.find()
        return int(found == made and owner != keys._turns[0])

    try:
        assert in_a_fork(child) == 1
    finally:
        go_on.set()
        thread.join()


# ---- the folder ---------------------------------------------------------------------------------------------------


@pytest.mark.root
def test_folder_that_others_can_write_to_is_refused(ring: Ring, folder: Path) -> None:
    """SEC-085: a folder that is writable by others, a link, or somebody else's is refused; nothing is read from it."""
    keys_with(ring, folder).find(create=True)
    for mode in (0o770, 0o702):
        folder.chmod(mode)
        with pytest.raises(StoreError, match="Others can write"):
            keys_with(ring, folder).find()
    folder.chmod(0o700)
    os.chown(folder, 65534, 65534)
    with pytest.raises(StoreError, match="another user"):
        keys_with(ring, folder).find()
    os.chown(folder, os.getuid(), os.getgid())
    real = folder.rename(folder.parent / "elsewhere")
    folder.symlink_to(real)
    for create in (False, True):
        with pytest.raises(StoreError, match="not a folder"):
            keys_with(ring, folder).find(create=create)
    assert ring.asked.count("set") == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"install_id": 7}', '{"install_id": "../x"}', '{"install_id": ""}']
)
def test_damaged_install_file_is_typed(ring: Ring, folder: Path, text: str) -> None:
    """An install.json that we did not write is a typed error that says which file to delete; no key is made."""
    folder.mkdir(mode=0o700)
    (folder / "install.json").write_text(text)
    for create in (False, True):
        with pytest.raises(StoreError, match=r"install\.json is damaged") as raised:
            keys_with(ring, folder).find(create=create)
        assert raised.value.code == "install_damaged"
    assert ring.items == {}


# ---- keyring's settings -------------------------------------------------------------------------------------------


def test_settings_are_read_as_text(tmp_path: Path) -> None:
    """SEC-083: keyring's file is read without importing what it names; a file that cannot be read is a reason too."""
    config = tmp_path / "python_keyring" / "keyringrc.cfg"
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    assert refused_backend(environ) == ""
    config.parent.mkdir()
    for text, refused in [
        ("", False),
        ("[backend]\nkeyring-path=/evil\n", False),
        ("[backend]\ndefault-keyring = keyring.backends.SecretService.Keyring \n", False),
        ("[backend]\ndefault-keyring=keyring.backends.null.Keyring\n", True),
        ("[backend]\ndefault-keyring=keyring.backends.SecretService.Keyring.evil\n", True),
        ("default-keyring=x\n", True),
        ("\udcff", True),
    ]:
        config.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert bool(refused_backend(environ)) == refused, text
    # The variable wins over the file, as it does in keyring.
    assert refused_backend({**environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.macOS.Keyring"}) == ""


def test_name_of_a_backend_cannot_forge_the_message() -> None:
    """SEC-083: what the variable holds is shown cleaned: one line of printable characters."""
    said = refused_backend({"PYTHON_KEYRING_BACKEND": "evil\x1b[2J\nKeyring" + "x" * 500})
    assert said.isprintable()
    assert len(said) < 300


# ---- imports ------------------------------------------------------------------------------------------------------


def test_import_is_light(tmp_path: Path) -> None:
    """Importing keys, and finding a key in memory, brings in neither keyring nor anything else that is not needed."""
    heavy = ["keyring", "secretstorage", "jeepney", "cryptography", "jupyter_core", "subprocess", "tornado", "httpx"]
    code = (
        "import sys, pathlib\n"
        "from jupyter_nativeauth.keys import Keys\n"
        "Keys(pathlib.Path('x'), environ={}).find('memory', create=True)\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    assert in_a_process(code) == "[]"


def in_a_process(code: str, *arguments: str) -> str:
    """What this code prints in a new Python."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever these tests do, no key is in the log."""
    caplog.set_level(logging.DEBUG)
    yield
    assert SECRET.hex() not in caplog.text


def test_agent_variable_has_the_documented_name() -> None:
    """Kernels inherit the agent's address in JUPYTER_NATIVEAUTH_AGENT."""
    assert AGENT_VARIABLE == "JUPYTER_NATIVEAUTH_AGENT"
