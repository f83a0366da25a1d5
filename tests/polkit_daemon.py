"""
Runs in: the tests, as root. A real polkitd on a system bus of its own, and somebody who answers its questions.

polkit reads its actions from one folder of the system. The tests' own is laid over it for polkitd alone (a mount
namespace), so that nothing of the machine changes. Where even root may not do that, as in many containers, what the
test needs lies in that folder while polkitd runs, one at a time. polkit never asks root, so whoever asks here is
*nobody*, by the word of the kernel: :class:`AsNobody`. The agent is root, as polkit's own helper is that checks
passwords.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_call, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection

from jupyter_nativeauth._lock import FileLock
from jupyter_nativeauth._polkit import POLICY, Polkit

LIMIT = 20.0
NOBODY = 65534
POLKITD = "/usr/lib/polkit-1/polkitd"
ACTIONS = Path("/usr/share/polkit-1/actions")
NAME = "org.freedesktop.PolicyKit1"
AUTHORITY = DBusAddress("/org/freedesktop/PolicyKit1/Authority", NAME, f"{NAME}.Authority")
_SETRESUID = {"x86_64": 117, "aarch64": 147}

_BUS = """<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""


class PolkitDaemon:
    """
    A system bus, with or without a polkitd.

    Attributes:
        address: The bus's address, for ``DBUS_SYSTEM_BUS_ADDRESS``.
        actions: The folder of polkitd's actions.
    """

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:path={folder / 'bus'}"
        self.actions = folder / "actions"
        self.actions.mkdir()
        self._folder = folder
        self._started: list[subprocess.Popen[Any]] = []
        self._ends = contextlib.ExitStack()

    def start_bus(self) -> None:
        config = self._folder / "bus.conf"
        config.write_text(_BUS.format(socket=self._folder / "bus"))
        self._start("dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile", "--print-address=1")
        out = self._started[-1].stdout
        assert out is not None
        assert out.readline()

    def start(self) -> None:
        """Start polkitd, which knows the actions that are in the folder now."""
        lay = f'mount --bind "{self.actions}" {ACTIONS} && exec {POLKITD} --no-debug'
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0:
            self._start("unshare", "--mount", "sh", "-c", lay, DBUS_SYSTEM_BUS_ADDRESS=self.address)
        else:
            self._borrow()
            self._start(POLKITD, "--no-debug", DBUS_SYSTEM_BUS_ADDRESS=self.address)
        end = time.monotonic() + LIMIT
        with contextlib.closing(open_dbus_connection(self.address)) as bus:
            while not Proxy(message_bus, bus, timeout=LIMIT).NameHasOwner(NAME)[0]:
                if time.monotonic() > end or self._started[-1].poll() is not None:
                    raise RuntimeError("polkitd did not start")
                time.sleep(0.01)

    def _borrow(self) -> None:
        self._ends.enter_context(FileLock(Path("/tmp/nativeauth-tests-polkit.lock")).hold(limit=120))
        for action in self.actions.iterdir():
            there = ACTIONS / action.name
            there.write_bytes(action.read_bytes())
            self._ends.callback(there.unlink)

    def _start(self, *command: str, **variables: str) -> None:
        process = subprocess.Popen(
            command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._started.append(process)

    def door(self) -> AsNobody:
        """The door under test, as somebody whom polkit asks."""
        return AsNobody(Polkit(self.address))

    def close(self) -> None:
        """End what was started here."""
        while self._started:
            process = self._started.pop()
            process.terminate()
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(LIMIT)
            assert process.stdout is not None
            process.stdout.close()
        self._ends.close()


@contextlib.contextmanager
def polkit_daemon(state: str = "ready") -> Iterator[PolkitDaemon]:
    """
    A system bus of the test's own.

    Args:
        state: ``"ready"``; ``"no action"``: polkitd, without what root has to install; ``"lax"``: with an action that
            it allows unasked; ``"absent"``: a bus without polkitd.
    """
    folder = Path(tempfile.mkdtemp(prefix="pk-", dir="/tmp"))
    folder.chmod(0o755)  # polkitd is a user of its own
    daemon = PolkitDaemon(folder)
    try:
        daemon.start_bus()
        if state != "no action":
            policy = POLICY.read_text("utf-8")
            (daemon.actions / POLICY.name).write_text(policy.replace("auth_self", "yes") if state == "lax" else policy)
        if state != "absent":
            daemon.start()
        yield daemon
    finally:
        daemon.close()
        shutil.rmtree(folder, ignore_errors=True)


class AsNobody:
    """A door that is used by another user: a thread of its own becomes *nobody*, for the kernel and so for the bus."""

    label = "polkit"

    def __init__(self, door: Polkit) -> None:
        self._door = door

    def check(self) -> None:
        self._do(self._door.check)

    def ask(self, *, limit: float, cancelled: Callable[[], bool]) -> None:
        self._do(lambda: self._door.ask(limit=limit, cancelled=cancelled))

    @staticmethod
    def _do(work: Callable[[], None]) -> None:
        failed: list[BaseException] = []

        def run() -> None:
            try:
                # The system call itself is of this thread alone; the C library's function is of the whole process.
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.syscall(_SETRESUID[platform.machine()], NOBODY, NOBODY, NOBODY):
                    raise OSError(ctypes.get_errno(), "setresuid")
                work()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run, name="nobody", daemon=True)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]


class Agent:
    """
    Who answers polkit's questions to this process, in the place of a desktop and a person.

    Args:
        address: The bus.
        answer: ``"yes"``, ``"no"`` (a wrong password), ``"close"`` (they close the window) or ``"never"``.

    Attributes:
        asked: Set once there is a question.
        actions: What was asked, in order.
        taken_back: Set once a question was taken back.
    """

    def __init__(self, address: str, answer: str) -> None:
        self.asked, self.taken_back = threading.Event(), threading.Event()
        self.actions: list[str] = []
        self._answer = answer
        self._bus, self._helper = open_dbus_connection(address), open_dbus_connection(address)
        self._stopping = threading.Event()
        pid = os.getpid()
        started = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        subject = ("unix-process", {"pid": ("u", pid), "start-time": ("t", started)})
        told = self._bus.send_and_get_reply(
            new_method_call(AUTHORITY, "RegisterAuthenticationAgent", "(sa{sv})ss", (subject, "C", "/agent")),
            timeout=LIMIT,
        )
        assert told.header.message_type == MessageType.method_return, told.body
        self._thread = threading.Thread(target=self._serve, name="polkit-agent", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._bus.close()
        self._helper.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                message = self._bus.receive(timeout=0.05)
                method = message.header.fields.get(HeaderFields.member)
                if message.header.message_type != MessageType.method_call:
                    continue
                if method == "BeginAuthentication":
                    self._begin(message)
                else:
                    self.taken_back.set()
                    self._bus.send(new_method_return(message))

    def _begin(self, message: Any) -> None:
        action, _, _, _, cookie, identities = message.body
        self.actions.append(action)
        assert identities == [("unix-user", {"uid": ("u", NOBODY)})]  # themselves, and no administrator
        if self._answer == "yes":
            body = (os.geteuid(), cookie, identities[0])  # whose agent it is, and who has answered
            call = new_method_call(AUTHORITY, "AuthenticationAgentResponse2", "us(sa{sv})", body)
            told = self._helper.send_and_get_reply(call, timeout=LIMIT)
            assert told.header.message_type == MessageType.method_return, told.body
        if self._answer == "close":
            self._bus.send(new_error(message, f"{NAME}.Error.Cancelled", "s", ("closed",)))
        elif self._answer != "never":
            self._bus.send(new_method_return(message))
        self.asked.set()


@contextlib.contextmanager
def agent(daemon: PolkitDaemon, answer: str) -> Iterator[Agent]:
    """Somebody at the device, for the length of the block."""
    somebody = Agent(daemon.address, answer)
    try:
        yield somebody
    finally:
        somebody.close()
