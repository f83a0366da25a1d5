"""The locks: one holder among all threads and processes, whoever forks, dies, deletes or gives up waiting."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth import LockTimeout, StoreError
from jupyter_nativeauth._lock import FileLock, MemoryLock
from tests.isolation import Home
from tests.samples import open_files

ROOT = Path(__file__).parents[2]
HOLD = "with lock.hold(limit=5):\n    print('held', flush=True)\n    sys.stdin.read()\nprint('released', flush=True)\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme.lock"


@contextmanager
def child(path: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs *code* with a ``lock`` of its own on *path*."""
    begin = (
        f"import os, signal, sys, time\nfrom jupyter_nativeauth._lock import FileLock\nlock = FileLock({str(path)!r})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", begin + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def is_free(path: Path) -> bool:
    try:
        with FileLock(path).hold(limit=0.05) as held:
            return held
    except LockTimeout:
        return False


# ---- between processes -----------------------------------------------------------------------------------------------


def test_one_holder_among_processes(path: Path) -> None:
    """FLT-011: what another process holds is held; once it lets go, somebody else has it."""
    with child(path, HOLD) as process:
        assert line(process) == "held"
        with pytest.raises(LockTimeout, match=r"acme\.lock") as caught, FileLock(path).hold(limit=0.1):
            pytest.fail("two holders")
        assert caught.value.code == "lock_timeout"
        assert caught.value.hint
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        with FileLock(path).hold(limit=10) as held:
            assert held
        assert line(process) == "released"


def test_a_holder_that_is_killed(path: Path) -> None:
    """FLT-016: SIGKILL of the holder frees the lock at once; there is nothing to clean up."""
    with child(path, HOLD) as process:
        assert line(process) == "held"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert is_free(path)


def test_a_waiter_leaves_when_its_work_is_done(path: Path) -> None:
    """A waiter that is told to leave goes on without the lock, long before its limit, and the holder keeps it."""
    asked = []

    def leave() -> bool:
        asked.append(True)
        return len(asked) == 5

    with child(path, HOLD) as process:
        assert line(process) == "held"
        with FileLock(path).hold(limit=60, leave=leave) as held:
            assert held is False
            assert not is_free(path)
    assert len(asked) == 5


def test_a_waiter_sleeps(path: Path) -> None:
    """FLT-011: it tries a hundred times a second or so, and does not keep a processor busy meanwhile."""
    asked = []

    def look() -> bool:
        asked.append(True)
        return False

    lock = FileLock(path)
    with lock.hold(limit=1), pytest.raises(LockTimeout), lock.hold(limit=0.5, leave=look):
        pytest.fail("two holders")
    assert len(asked) <= 0.5 / 0.005 + 1  # on a slow machine it is fewer


def test_nobody_is_asked_to_leave_a_free_lock(path: Path) -> None:
    """Whoever can have the lock gets it, even if there may be nothing left to do: it looks again under the lock."""
    with FileLock(path).hold(limit=1, leave=lambda: pytest.fail("asked")) as held:
        assert held


def test_one_holder_among_threads(path: Path) -> None:
    """The lock belongs to an open file, not to a process: threads of one process exclude each other as well."""
    inside, most = 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            with FileLock(path).hold(limit=30):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_no_thread_waits_for_itself(path: Path) -> None:
    """Asking twice ends with a typed error within the limit, not with a deadlock."""
    lock = FileLock(path)
    with lock.hold(limit=1), pytest.raises(LockTimeout), lock.hold(limit=0.05):
        pytest.fail("two holders")


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_error_inside_lets_go(path: Path, error: type[BaseException]) -> None:
    """FLT-054: an interrupt while the lock is held lets go of it."""
    with pytest.raises(error), FileLock(path).hold(limit=1):
        raise error
    assert is_free(path)


# ---- the file --------------------------------------------------------------------------------------------------------


def test_the_file_stays(path: Path) -> None:
    """It is never deleted: whoever has it open would hold a lock that nobody else sees. It is private and empty."""
    for _ in range(2):
        with FileLock(path).hold(limit=1):
            inode = path.stat().st_ino
    assert path.stat().st_ino == inode
    assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (0o600, b"")


class AfterOpen:
    """Does something each time that this thread has opened a file, or failed to, before the next step."""

    def __init__(self, do: Callable[[], None], times: int) -> None:
        self._do, self._left = do, times

    def __enter__(self) -> None:
        sys.setprofile(self._watch)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _watch(self, frame: Any, event: str, function: Any) -> None:
        if event in ("c_return", "c_exception") and function is os.open and self._left:
            self._left -= 1
            self._do()


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_file_that_is_deleted_between_opening_and_locking(path: Path, made_anew: bool) -> None:
    """FLT-017: the lock that counts is on the file of that name: it is compared after locking, and taken again."""

    def delete() -> None:
        path.unlink()
        if made_anew:
            path.touch(0o600)

    with AfterOpen(delete, times=2):
        holding = FileLock(path).hold(limit=5)
        held = holding.__enter__()
    assert held
    assert path.exists()
    assert not is_free(path)
    holding.__exit__(None, None, None)
    assert is_free(path)
    assert open_files(path.parent) == []


def test_a_folder_that_is_deleted(tmp_path: Path) -> None:
    """FLT-017: a folder that is gone is made anew, with what it was in, and is private."""
    path = tmp_path / "gone" / "too" / "acme.lock"
    with FileLock(path).hold(limit=5) as held:
        assert held
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_somebody_else_makes_anew(tmp_path: Path) -> None:
    """FLT-017: two processes miss the folder at once: whoever comes second takes the other one's."""
    path = tmp_path / "gone" / "acme.lock"
    with AfterOpen(path.parent.mkdir, times=1):
        holding = FileLock(path).hold(limit=5)
        held = holding.__enter__()
    assert held
    holding.__exit__(None, None, None)


def test_a_file_system_without_locks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLT-017: that is an error at once, as some network disks give it; never a wait, and never work without a lock."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(StoreError, match="No locks available") as caught, FileLock(path).hold(limit=60):
        pytest.fail("locked")
    assert caught.value.code == "lock_failed"
    assert open_files(path.parent) == []


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    """SEC-085, ADV-045: a link in the place of the lock file could make us create or lock a file elsewhere."""
    target = tmp_path / "target"
    path.symlink_to(target)
    with pytest.raises(StoreError) as caught, FileLock(path).hold(limit=5):
        pytest.fail("locked")
    assert caught.value.code == "lock_failed"
    assert not target.exists()


def test_a_folder_in_the_place_of_the_file(path: Path) -> None:
    """Whatever stands there gives our own error at once, not a wait."""
    path.mkdir()
    with pytest.raises(StoreError) as caught, FileLock(path).hold(limit=60):
        pytest.fail("locked")
    assert caught.value.code == "lock_failed"
    (path / "file").touch()
    with pytest.raises(StoreError) as caught, FileLock(path / "file" / "acme.lock").hold(limit=60):
        pytest.fail("locked")
    assert caught.value.code == "lock_failed"


def test_a_folder_that_cannot_be_written(home: Home) -> None:
    """FLT-017: no permission is an error that says so, at once; never a wait, and never work without a lock."""
    folder = home.folder / "read-only"
    folder.mkdir()
    home.folder.chmod(0o755)
    folder.chmod(0o555)
    code = """
from jupyter_nativeauth import LockTimeout, StoreError
if os.geteuid() == 0:  # root may write anywhere
    os.setgid(65534)
    os.setuid(65534)
for path in (lock._path, lock._path + "/deeper"):
    try:
        with FileLock(path).hold(limit=60):
            print("locked")
    except StoreError as error:
        print(error.code, error.args[0].endswith("Permission denied."), flush=True)
"""
    with child(folder / "below" / "acme.lock", code) as process:
        assert process.communicate(timeout=30) == ("lock_failed True\n" * 2, "")
    with child(folder / "acme.lock", code.replace(', lock._path + "/deeper"', ",")) as process:
        assert process.communicate(timeout=30) == ("lock_failed True\n", "")


def test_no_descriptors_left(path: Path) -> None:
    """FLT-017: a process that has too many files open gets our own error, at once."""
    code = """
import resource
from jupyter_nativeauth import StoreError
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    with lock.hold(limit=60):
        os.write(1, b"locked")
except StoreError as error:
    os.write(1, error.code.encode())
"""
    with child(path, code) as process:
        assert process.communicate(timeout=30)[0] == "lock_failed"


def test_nothing_stays_open(path: Path, tmp_path: Path) -> None:
    """FLT-071: neither holding, nor waiting, leaving, timing out or failing keeps a descriptor."""
    with child(path, HOLD) as process:
        assert line(process) == "held"
        for _ in range(5):
            assert not is_free(path)
            with FileLock(path).hold(limit=5, leave=lambda: True):
                pass
        (tmp_path / "folder").mkdir()
        for _ in range(5):
            with pytest.raises(StoreError), FileLock(tmp_path / "folder").hold(limit=1):
                pass
        assert open_files(tmp_path) == []
    for _ in range(20):
        assert is_free(path)
    with FileLock(path).hold(limit=1):
        assert open_files(tmp_path) == [str(path)]
    assert open_files(tmp_path) == []


# ---- forks -----------------------------------------------------------------------------------------------------------


def test_a_forked_child_does_not_unlock_its_parents_lock(path: Path) -> None:
    """TRP-32, FLT-018: flock belongs to the open file; a child that leaves the block drops nothing."""
    code = """
from jupyter_nativeauth import LockTimeout

def is_free():
    try:
        with FileLock(lock._path).hold(limit=0.05):
            return True
    except LockTimeout:
        return False

with lock.hold(limit=5):
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        print("parent", is_free(), flush=True)
    else:
        print("child inside", is_free(), flush=True)
if not pid:
    print("child outside", is_free(), flush=True)
    os._exit(0)
print("after", is_free(), flush=True)
"""
    with child(path, code) as process:
        output, errors = process.communicate(timeout=30)
    assert output.splitlines() == ["child inside False", "child outside False", "parent False", "after True"]
    assert errors == ""


def test_a_forked_child_closes_nothing_else(path: Path) -> None:
    """TRP-32: the number of a lock's file may be another file's by the time of the fork, and that stays open."""
    code = """
reading, before = os.pipe()
with lock.hold(limit=5):
    pass
writing = os.dup(before)
os.close(before)
pid = os.fork()
if not pid:
    os.write(writing, b"still open")
    os._exit(0)
os.waitpid(pid, 0)
os.close(writing)
print(os.read(reading, 100).decode(), flush=True)
"""
    with child(path, code) as process:
        assert process.communicate(timeout=30) == ("still open\n", "")


def test_a_forked_child_does_not_keep_its_parents_lock(path: Path) -> None:
    """TRP-32: a child that lives on holds nothing: once the parent lets go or dies, the lock is free."""
    code = """
with lock.hold(limit=5):
    pid = os.fork()
    if not pid:
        os.close(1)
        sys.stdin.read()
        os._exit(0)
    print("forked", flush=True)
    if sys.argv[1:] == ["die"]:
        os.kill(os.getpid(), signal.SIGKILL)
print("let go", flush=True)
sys.stdin.read()
os.waitpid(pid, 0)
"""
    with child(path, code) as process:
        assert [line(process), line(process)] == ["forked", "let go"]
        assert is_free(path)
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        process.wait(30)
    with child(path, code.replace('sys.argv[1:] == ["die"]', "True")) as process:
        assert line(process) == "forked"
        process.wait(30)
        assert is_free(path)
        assert process.stdin is not None
        process.stdin.close()  # the orphan ends with its standard input
        process.stdin = None


def test_a_child_that_python_does_not_know_of(path: Path) -> None:
    """TRP-32: a library that forks by itself runs none of Python's hooks, and its child has the lock file open. The
    parent's lock ends all the same when the parent lets go, since it says so instead of just closing the file."""
    code = """
import ctypes
libc = ctypes.CDLL(None)
with lock.hold(limit=5):
    pid = libc.fork()
    if pid == 0:
        libc.sleep(30)
        libc._exit(0)
print("let go", flush=True)
sys.stdin.read()
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
"""
    with child(path, code) as process:
        assert line(process) == "let go"
        free = is_free(path)
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        process.wait(30)
    assert free


def test_programs_that_are_started_inherit_nothing(path: Path) -> None:
    """TRP-32: the descriptor closes when another program takes over (PEP 446), with ``close_fds=False`` too."""
    with FileLock(path).hold(limit=5):
        code = "import sys\nfrom pathlib import Path\nfrom tests.samples import open_files\n"
        code += "print(open_files(Path(sys.argv[1])))"
        run = subprocess.run(
            [sys.executable, "-c", code, str(path.parent)],
            cwd=ROOT,
            close_fds=False,
            capture_output=True,
            text=True,
            check=True,
        )
    assert run.stdout == "[]\n"


# ---- the lock of a login in memory -----------------------------------------------------------------------------------


def test_a_thread_waits_for_the_memory_s_lock_as_for_a_file_s() -> None:
    """While another thread holds it, and as long as the limit says; then it has it."""
    lock, held, waiting = MemoryLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock.hold(limit=20):
            held.set()
            assert waiting.wait(20)

    def look() -> bool:
        waiting.set()
        return False

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(20)
    with lock.hold(limit=20, leave=look) as mine:
        assert mine
    holder.join(20)


def test_the_lock_in_memory(path: Path) -> None:
    """A login in this process's memory has the same lock, between threads: held, waited for, left, timed out."""
    lock = MemoryLock()
    with lock.hold(limit=1) as held:
        assert held
        with pytest.raises(LockTimeout), lock.hold(limit=0.05):
            pytest.fail("two holders")
        with lock.hold(limit=60, leave=lambda: True) as again:
            assert again is False
    with pytest.raises(KeyboardInterrupt), lock.hold(limit=1):
        raise KeyboardInterrupt
    with lock.hold(limit=1) as held:
        assert held


def test_a_forked_child_never_gets_the_lock_in_memory(path: Path) -> None:
    """FLT-018: parent and child have a copy of one refresh token each, and no lock in common: it may not renew."""
    code = """
from jupyter_nativeauth import StoreError
from jupyter_nativeauth._lock import MemoryLock
memory = MemoryLock()
pid = os.fork()
if pid:
    os.waitpid(pid, 0)
    with memory.hold(limit=1) as held:
        print("parent", held)
else:
    try:
        with memory.hold(limit=1):
            print("held", flush=True)
    except StoreError as error:
        print("child", error.code, bool(error.hint), flush=True)
    os._exit(0)
"""
    with child(path, code) as process:
        assert process.communicate(timeout=30) == ("child forked True\nparent True\n", "")
