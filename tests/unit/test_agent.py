"""Runs in: the tests. The key agent and its client: one person's processes, and nobody else's."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth._agent_wire import AGENT_VARIABLE, ANSWER_SIZE, ask_agent
from jupyter_nativeauth._keychain import Keychain
from jupyter_nativeauth.agent import AT_ONCE, PATH_SIZE, REQUEST_SIZE, KeyAgent
from jupyter_nativeauth.errors import KeySourceUnavailable, LoginRequired, StoreError
from jupyter_nativeauth.keys import Key, Keys

SECRET = hashlib.sha256(b"a key for these tests").digest()
KEY = Key(SECRET, "keychain", "gnome-keyring")
NOBODY = 65534
ASK = {"ask": "key", "source": "auto"}


class StartAgent:
    """Starts agents, and stops them when the test is over."""

    def __init__(self, stack: contextlib.ExitStack, runtime: Path) -> None:
        self._stack = stack
        self.runtime = runtime

    def __call__(
        self,
        answer: Callable[[str], Key | None] = lambda source: KEY,
        profiles: Mapping[str, str] | None = None,
        **environ: str,
    ) -> tuple[KeyAgent, str]:
        agent = KeyAgent(answer, lambda: profiles or {}, environ={"XDG_RUNTIME_DIR": str(self.runtime), **environ})
        self._stack.callback(agent.stop)
        return agent, agent.start()


@pytest.fixture
def start_agent() -> Iterator[StartAgent]:
    with tempfile.TemporaryDirectory(prefix="ag-", dir="/tmp") as runtime, contextlib.ExitStack() as stack:
        yield StartAgent(stack, Path(runtime))


@pytest.fixture(autouse=True)
def no_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever these tests do, no key is in the log."""
    caplog.set_level(logging.DEBUG)
    yield
    assert base64.b64encode(SECRET).decode() not in caplog.text
    assert repr(SECRET)[2:20] not in caplog.text


def kernel(path: str, folder: Path) -> Keys:
    """The keys of a kernel of that server, on a machine without a keychain."""
    return Keys(folder, environ={AGENT_VARIABLE: path})


# ---- questions and answers ----------------------------------------------------------------------------------------


def test_agent_hands_out_the_key_with_its_source(start_agent: StartAgent, tmp_path: Path) -> None:
    """A kernel's key is the server's, with the source and label that it has there; no keychain is touched."""
    _, path = start_agent()
    key = kernel(path, tmp_path).find()
    assert key == KEY
    assert key.id == KEY.id


def test_agent_knows_profiles(start_agent: StartAgent) -> None:
    """The second question: names and fingerprints of the server's profiles."""
    _, path = start_agent(profiles={"acme": "1f3a"})
    assert ask_agent(path, {"ask": "profiles"}) == {"profiles": {"acme": "1f3a"}}


def test_no_key_yet_is_no_error(start_agent: StartAgent, tmp_path: Path) -> None:
    """If nobody has signed in, the agent says so, and a kernel has no key either."""
    asked: list[str] = []
    _, path = start_agent(asked.append)
    keys = kernel(path, tmp_path)
    assert [keys.find("auto"), keys.find("keychain"), keys.find("memory")] == [None] * 3
    assert asked == ["auto", "keychain", "memory"]


def test_error_of_the_server_is_raised_in_the_kernel(start_agent: StartAgent, tmp_path: Path) -> None:
    """FLT-041: what the server cannot do is the same typed error in the kernel, with code and hint."""

    def locked(source: str) -> None:
        raise KeySourceUnavailable("The keychain is locked.", code="keychain_locked", hint="Unlock it.")

    _, path = start_agent(locked)
    with pytest.raises(KeySourceUnavailable) as raised:
        kernel(path, tmp_path).find()
    assert (raised.value.code, raised.value.hint) == ("keychain_locked", "Unlock it.")
    assert raised.value.args == ("The keychain is locked.",)


def test_unexpected_failure_tells_nothing(start_agent: StartAgent, caplog: pytest.LogCaptureFixture) -> None:
    """An exception inside of the server gets a constant answer: its words may hold anything."""

    def broken(source: str) -> None:
        raise RuntimeError(base64.b64encode(SECRET).decode())

    _, path = start_agent(broken)
    error = ask_agent(path, ASK)["error"]
    assert error == {"kind": "StoreError", "code": "agent", "message": "The key agent failed.", "hint": ""}
    assert "RuntimeError" in caplog.text


# ---- the chain in a kernel ----------------------------------------------------------------------------------------


def test_server_memory_serves_all_kernels(start_agent: StartAgent, tmp_path: Path) -> None:
    """FLT-040: without a keychain, kernels that sign in or look all get the one key in the server's memory."""
    server = Keys(tmp_path / "server", server=True, environ={})
    _, path = start_agent(server.answer)
    assert kernel(path, tmp_path).find() is None
    signed_in = kernel(path, tmp_path).find(create=True, interactive=True)
    assert signed_in is not None
    assert (signed_in.source, signed_in.label) == ("server", "server memory")
    assert kernel(path, tmp_path).find() == signed_in
    assert kernel(path, tmp_path).find("memory") == signed_in
    assert server.find() == signed_in
    assert list(tmp_path.iterdir()) == []


def test_keychain_only_means_keychain_only(start_agent: StartAgent, tmp_path: Path) -> None:
    """Key source ``keychain`` never takes another key from the agent; ``memory`` never takes a keychain's."""
    _, path = start_agent(lambda source: Key(SECRET, "server", "server memory"))
    with pytest.raises(KeySourceUnavailable) as raised:
        kernel(path, tmp_path).find("keychain")
    assert raised.value.code == "keychain_missing"
    _, path = start_agent()
    assert kernel(path, tmp_path).find("keychain") == KEY
    assert kernel(path, tmp_path).find("memory") is None
    own = kernel(path, tmp_path).find("memory", create=True)
    assert own is not None
    assert own.source == "process"


def test_kernel_with_an_agent_imports_no_keyring(start_agent: StartAgent, tmp_path: Path) -> None:
    """What a kernel needs for its key is the standard library: 100 kernels do not import keyring 100 times."""
    _, path = start_agent()
    code = (
        "import sys, pathlib\n"
        "from jupyter_nativeauth.keys import Keys\n"
        f"print(Keys(pathlib.Path({str(tmp_path)!r})).find().id.hex())\n"
        "print([name for name in ('keyring', 'secretstorage', 'jeepney', 'cryptography') if name in sys.modules])\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, AGENT_VARIABLE: path},
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split("\n") == [KEY.id.hex(), "[]", ""]


def test_server_itself_does_not_ask_an_agent(start_agent: StartAgent, tmp_path: Path) -> None:
    """A Jupyter server that was started from another one's terminal inherits its agent, and does not use it."""
    _, path = start_agent()
    assert Keys(tmp_path, server=True, environ={AGENT_VARIABLE: path}).find() is None


class OpenRing:
    """A keychain that opens only for a person."""

    label = "a ring"

    def __init__(self) -> None:
        self.items: dict[str, str] = {}
        self._locked = False

    def __call__(self, environ: Mapping[str, str], *, interactive: bool, create: bool, limit: float) -> OpenRing:
        self._locked = not interactive
        return self

    def get_password(self, service: str, username: str) -> str | None:
        if self._locked:
            raise type("KeyringLocked", (Exception,), {})
        return self.items.get(service)

    def set_password(self, service: str, username: str, password: str) -> None:
        self.items[service] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.items[service]


def test_sign_in_from_a_kernel_may_unlock_what_the_server_could_not(start_agent: StartAgent, tmp_path: Path) -> None:
    """FLT-041: the agent never prompts. A sign-in in a kernel does so itself, and the server finds the same key."""
    ring, folder = OpenRing(), tmp_path / "nativeauth"
    server = Keys(folder, server=True, environ={}, keychain=Keychain(folder, {}, opener=ring))
    _, path = start_agent(server.answer)
    keys = Keys(folder, environ={AGENT_VARIABLE: path}, keychain=Keychain(folder, {}, opener=ring))
    with pytest.raises(KeySourceUnavailable):
        keys.find()
    signed_in = keys.find(interactive=True, create=True)
    assert signed_in is not None
    assert signed_in.source == "keychain"
    assert server.find(interactive=True) == signed_in


def test_agent_that_is_gone_is_passed_over(start_agent: StartAgent, tmp_path: Path) -> None:
    """A kernel that outlives its server goes on to the keychain and memory, and asks the old address once in 30 s."""
    agent, path = start_agent()
    agent.stop()
    keys = kernel(path, tmp_path)
    assert keys.find() is None
    made = keys.find(create=True)
    assert made is not None
    assert made.source == "process"
    with pytest.raises(StoreError, match="does not answer") as raised:
        ask_agent(path, ASK)
    assert raised.value.code == "agent_silent"


def test_silent_agent_is_left_alone_for_a_while(start_agent: StartAgent, tmp_path: Path) -> None:
    """An agent that hangs up without an answer is not asked again for 30 s, except at a sign-in."""
    path, now = str(start_agent.runtime / "pretender"), [0.0]
    keys = Keys(tmp_path, environ={AGENT_VARIABLE: path}, clock=lambda: now[0])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(20)
        asked: list[float] = []
        over = threading.Event()

        def hang_up() -> None:
            while not over.is_set():
                connection, _ = listener.accept()
                asked.append(now[0])
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        for at in (0.0, 29.0, 31.0, 32.0):
            now[0] = at
            assert keys.find() is None
        now[0] = 33.0
        over.set()  # after the next one
        assert keys.find(interactive=True) is None
        thread.join()
    assert asked == [0.0, 31.0, 33.0]


# ---- nonsense from either side ------------------------------------------------------------------------------------


@contextlib.contextmanager
def pretender(folder: Path, answer: bytes) -> Iterator[str]:
    """A socket of this person that answers whatever it is asked with *answer*, and hangs up."""
    path = str(folder / "pretender")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.settimeout(20)

        def serve() -> None:
            with contextlib.suppress(OSError), listener.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield path
        finally:
            thread.join()


def said(**answer: object) -> bytes:
    return json.dumps(answer).encode() + b"\n"


NONSENSE = {
    "nothing": b"",
    "half a line": b'{"key": null',
    "no JSON": b"hello\n",
    "no object": b"[1]\n",
    "not UTF-8": b"\xff\xff\n",
    "nested": b"[" * 50_000 + b"\n",
    "too long": b" " * (ANSWER_SIZE + 5000) + b"{}\n",
    "short key": said(key="QUJD", source="keychain", label="x"),
    "key not base64": said(key="!" * 44, source="keychain", label="x"),
    "key not text": said(key=[1], source="keychain", label="x"),
    "source not text": said(key=base64.b64encode(SECRET).decode(), source=None, label="x"),
    "odd source": said(key=base64.b64encode(SECRET).decode(), source="../evil", label="x"),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_from_an_agent_is_no_key(start_agent: StartAgent, tmp_path: Path, kind: str) -> None:
    """An answer that is not what an agent says counts as none: the kernel goes on as if there were no agent."""
    with pretender(start_agent.runtime, NONSENSE[kind]) as path:
        assert kernel(path, tmp_path).find() is None


@pytest.mark.parametrize("kind", ["SystemExit", "clean", "__builtins__", None, {"a": 1}])
def test_error_names_only_classes_of_ours(start_agent: StartAgent, tmp_path: Path, kind: object) -> None:
    """The class in an agent's answer is looked up among our errors alone; its words are cleaned."""
    answer = said(error={"kind": kind, "code": 7, "message": "a\x1b[2Jb\nc", "hint": None})
    with pretender(start_agent.runtime, answer) as path, pytest.raises(StoreError) as raised:
        kernel(path, tmp_path).find()
    assert (type(raised.value), raised.value.args) == (StoreError, ("a?[2Jb?c",))


def test_any_error_of_ours_comes_through(start_agent: StartAgent, tmp_path: Path) -> None:
    """Each class of the tree survives the way through the agent."""

    def answer(source: str) -> None:
        raise LoginRequired("Nobody is signed in.", hint="Sign in.")

    _, path = start_agent(answer)
    with pytest.raises(LoginRequired, match="Nobody is signed in"):
        kernel(path, tmp_path).find()


REQUESTS = {
    "empty": b"\n",
    "no JSON": b"GET / HTTP/1.1\r\n\r\n",
    "no object": b"7\n",
    "not UTF-8": b"\xff\n",
    "nested": b"[" * 2000 + b"\n",
    "another question": b'{"ask": "tokens"}\n',
    "no source": b'{"ask": "key"}\n',
    "unknown source": b'{"ask": "key", "source": "file:/etc/shadow"}\n',
    "odd source": b'{"ask": "key", "source": {"a": []}}\n',
}


def exchange(path: str, request: bytes) -> bytes:
    """What the agent answers to these bytes, until it hangs up."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(request)
            return b"".join(iter(lambda: connection.recv(65536), b""))
        return b""


@pytest.mark.parametrize("kind", REQUESTS)
def test_malformed_request_gets_an_error(start_agent: StartAgent, kind: str) -> None:
    """A request that the agent does not understand gets a typed error, no key, and does no harm."""
    _, path = start_agent()
    assert json.loads(exchange(path, REQUESTS[kind]))["error"]["code"] == "agent_question"
    assert "key" in ask_agent(path, ASK)


def test_oversized_request_is_dropped(start_agent: StartAgent) -> None:
    """A request of more than 4 KiB gets no answer; the largest one allowed does."""
    _, path = start_agent()
    largest = json.dumps(ASK).encode().ljust(REQUEST_SIZE - 1) + b"\n"
    assert len(largest) == REQUEST_SIZE
    assert json.loads(exchange(path, largest))["source"] == "keychain"
    assert exchange(path, largest[:-1] + b" \n") == b""
    assert exchange(path, b"x" * 100_000) == b""
    assert ask_agent(path, ASK)["source"] == "keychain"


def test_idle_clients_do_not_keep_others_out(start_agent: StartAgent) -> None:
    """
    80 clients that connect and say nothing are hung up on after 5 s; somebody who asks meanwhile gets an answer.

    And never are more than 64 attended to at once.
    """
    attended: list[int] = []

    def answer(source: str) -> Key:
        attended.append(sum(thread.name == "nativeauth-agent-answer" for thread in threading.enumerate()))
        return KEY

    _, path = start_agent(answer)
    with contextlib.ExitStack() as idle:
        for _ in range(80):
            idle.enter_context(socket.socket(socket.AF_UNIX)).connect(path)
        assert json.loads(exchange(path, json.dumps(ASK).encode() + b"\n"))["source"] == "keychain"
    assert len(attended) == 1
    assert attended[0] <= AT_ONCE


def test_clients_that_hang_up_do_no_harm(start_agent: StartAgent) -> None:
    """Clients that go away before or in the middle of the answer leave the agent as it was."""
    _, path = start_agent()
    for request in (b"", b'{"ask"', json.dumps(ASK).encode() + b"\n") * 50:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(request)
    assert ask_agent(path, ASK)["source"] == "keychain"


def test_a_hundred_kernels_at_once(start_agent: StartAgent, tmp_path: Path) -> None:
    """100 kernels that start at the same moment all get the key."""
    _, path = start_agent()
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(kernel(path, tmp_path).find())) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [KEY] * 100


# ---- other users --------------------------------------------------------------------------------------------------


def as_nobody(work: Callable[[], bytes]) -> bytes:
    """What *work* gives in a process of another user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writing, work() or b"nothing")
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


@pytest.mark.root
def test_another_user_gets_no_answer(start_agent: StartAgent, caplog: pytest.LogCaptureFixture) -> None:
    """SEC-060: the agent hangs up on a process of another user, even where the folder would let it in."""
    _, path = start_agent()
    request = json.dumps(ASK).encode() + b"\n"

    def attempt() -> bytes:
        try:
            return exchange(path, request)
        except PermissionError:
            return b"kept out"

    assert as_nobody(attempt) == b"kept out"
    for opened in (start_agent.runtime, Path(path).parent):
        opened.chmod(0o711)
    Path(path).chmod(0o666)
    assert as_nobody(attempt) == b"nothing"
    assert "refused a process of another user" in caplog.text
    assert ask_agent(path, ASK)["source"] == "keychain"


@pytest.mark.root
def test_another_users_socket_is_told_nothing(start_agent: StartAgent, tmp_path: Path) -> None:
    """SEC-060: a kernel whose variable leads to another user's socket says nothing to it and takes no key from it."""
    os.chown(start_agent.runtime, NOBODY, NOBODY)
    path = str(start_agent.runtime / "pretender")
    listening = threading.Event()
    heard: list[bytes] = []

    def pretend() -> bytes:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            listener.settimeout(20)
            received = b""
            for _ in range(2):
                with contextlib.suppress(ConnectionResetError, BrokenPipeError), listener.accept()[0] as connection:
                    connection.settimeout(20)
                    connection.sendall(said(key=base64.b64encode(SECRET).decode(), source="keychain", label="x"))
                    received += connection.recv(4096)
        return received

    thread = threading.Thread(target=lambda: (heard.append(as_nobody(pretend)), listening.set()))
    thread.start()
    while not _accepts(path):
        assert not listening.wait(0.01)
    with pytest.raises(StoreError, match="another user") as raised:
        ask_agent(path, ASK)
    assert raised.value.code == "agent_refused"
    assert kernel(path, tmp_path).find() is None
    thread.join()
    assert heard == [b"nothing"]


def _accepts(path: str) -> bool:
    """Whether somebody listens there, from the kernel's table: to connect would be noticed."""
    return any(
        line.split()[-1] == path and line.split()[3] == "00010000"
        for line in Path("/proc/net/unix").read_text().splitlines()[1:]
    )


# ---- where the socket is ------------------------------------------------------------------------------------------


def test_socket_is_private_and_unguessable(start_agent: StartAgent) -> None:
    """SEC-085: servers share a 0700 folder below XDG_RUNTIME_DIR; each has a 0600 socket with a name of its own."""
    (_, one), (_, two) = start_agent(), start_agent()
    folder = start_agent.runtime / "jupyter_nativeauth"
    assert {Path(one).parent, Path(two).parent} == {folder}
    assert len({Path(one).stem, Path(two).stem}) == 2
    assert len(bytes.fromhex(Path(one).stem)) == 8
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(one).stat().st_mode) == 0o600


def link_elsewhere(runtime: Path) -> None:
    (runtime / "real").mkdir(mode=0o700)
    (runtime / "jupyter_nativeauth").symlink_to(runtime / "real")


def open_folder(runtime: Path) -> None:
    (runtime / "jupyter_nativeauth").mkdir()
    (runtime / "jupyter_nativeauth").chmod(0o755)


def others_folder(runtime: Path) -> None:
    (runtime / "jupyter_nativeauth").mkdir(mode=0o700)
    os.chown(runtime / "jupyter_nativeauth", NOBODY, NOBODY)


def others_runtime(runtime: Path) -> None:
    os.chown(runtime, NOBODY, NOBODY)


def open_runtime(runtime: Path) -> None:
    runtime.chmod(0o777)


@pytest.mark.parametrize(
    "spoil",
    [
        link_elsewhere,
        open_folder,
        open_runtime,
        *(pytest.param(other, marks=pytest.mark.root) for other in (others_folder, others_runtime)),
    ],
)
def test_unsafe_runtime_folder_is_not_used(start_agent: StartAgent, spoil: Callable[[Path], None]) -> None:
    """SEC-085: a link, a folder that is open to others, or somebody else's is passed over for a new private one."""
    spoil(start_agent.runtime)
    agent, path = start_agent()
    folder = Path(path).parent
    assert start_agent.runtime not in folder.parents
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert ask_agent(path, ASK)["source"] == "keychain"
    agent.stop()
    assert not folder.exists()


@pytest.mark.parametrize("runtime", ["", "relative/folder", "/nonexistent"])
def test_without_a_runtime_folder(start_agent: StartAgent, runtime: str) -> None:
    """No XDG_RUNTIME_DIR, or one that is not there: the socket is in a new private folder, gone after the stop."""
    agent, path = start_agent(XDG_RUNTIME_DIR=runtime)
    assert stat.S_IMODE(Path(path).parent.stat().st_mode) == 0o700
    agent.stop()
    assert not Path(path).parent.exists()


def test_long_paths_are_avoided(start_agent: StartAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket's path must be short: where XDG_RUNTIME_DIR and TMPDIR are not, the socket is in /tmp."""
    deep = start_agent.runtime / ("x" * 100)
    deep.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    _, path = start_agent(XDG_RUNTIME_DIR=str(deep))
    assert len(path) < PATH_SIZE
    assert ask_agent(path, ASK)["source"] == "keychain"
    assert [each for each in deep.iterdir() if each.name != "jupyter_nativeauth"] == []


def test_stop_removes_the_socket_and_may_be_repeated(start_agent: StartAgent) -> None:
    """After a stop nobody listens and nothing is left; the agent can be started again, at another address."""
    agent, first = start_agent()
    assert agent.start() == first
    agent.stop()
    agent.stop()
    assert not Path(first).exists()
    second = agent.start()
    assert second != first
    assert ask_agent(second, ASK)["source"] == "keychain"


def test_forked_child_stops_nothing(start_agent: StartAgent) -> None:
    """A child that was forked from the server and ends, running its clean-up, leaves the server's agent alone."""
    agent, path = start_agent()
    child = os.fork()
    if child == 0:
        agent.stop()
        os._exit(0)
    os.waitpid(child, 0)
    assert ask_agent(path, ASK)["source"] == "keychain"


def test_stop_with_a_forked_child_alive(start_agent: StartAgent) -> None:
    """The agent stops although a forked child still has copies of its sockets."""
    agent, path = start_agent()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    agent.stop()
    assert not Path(path).exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "nativeauth-agent"]
    os.close(writing)
    os.waitpid(child, 0)


def test_agent_does_not_print_secrets(start_agent: StartAgent) -> None:
    """An agent shows its address and nothing else."""
    agent, path = start_agent()
    assert repr(agent) == f"<KeyAgent {path}>"
