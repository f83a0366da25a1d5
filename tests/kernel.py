"""Runs in: the tests. A real kernel, talked to as a notebook does it: over the Jupyter server's websocket."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import websocket
import zmq
from traitlets.config import Config

TRANSPORT = "ipc"
"""
How every kernel of the tests is reached: by unix sockets. For TCP, jupyter_client looks for free ports and lets go of
them; they may be somebody else's by the time the kernel wants them.
"""


def sockets() -> Config:
    """What a KernelManager or a NotebookClient of this process needs for that: one new folder, for one kernel."""
    return Config({"KernelManager": {"transport": TRANSPORT, "ip": str(Path(tempfile.mkdtemp(), "kernel"))}})


@dataclass
class Run:
    """
    One execution of a cell, while it goes on and afterwards.

    Attributes:
        messages: All messages that belong to it, in order, from all channels.
        done: Set when the kernel has answered and is idle again.
    """

    id: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)
    _seen: set[str] = field(default_factory=set)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The contents of all messages of this *kind*, such as ``"display_data"``."""
        return [one["content"] for one in list(self.messages) if one["header"]["msg_type"] == kind]

    @property
    def stdout(self) -> str:
        return "".join(one["text"] for one in self.of("stream") if one["name"] == "stdout")

    @property
    def stderr(self) -> str:
        return "".join(one["text"] for one in self.of("stream") if one["name"] == "stderr")

    @property
    def result(self) -> str | None:
        """The text of what the cell evaluated to."""
        results = self.of("execute_result")
        return str(results[-1]["data"].get("text/plain")) if results else None

    @property
    def error(self) -> tuple[str, str] | None:
        """Name and text of the exception that ended it."""
        errors = self.of("error")
        return (errors[-1]["ename"], errors[-1]["evalue"]) if errors else None

    @property
    def traceback(self) -> str:
        return "\n".join(line for one in self.of("error") for line in one["traceback"])

    def wait(self, seconds: float = 60) -> Self:
        """Return when the cell has ended."""
        if not self.done.wait(seconds):
            raise AssertionError(f"the cell still runs after {seconds} s; so far: {self.stdout[-500:]!r}")
        return self

    def wait_for(self, ready: Callable[[Run], Any], seconds: float = 60) -> Self:
        """Return when *ready* finds in the messages what it looks for."""
        end = time.monotonic() + seconds
        while not ready(self):
            if time.monotonic() > end:
                raise AssertionError(f"never came: {[one['header']['msg_type'] for one in self.messages]}")
            time.sleep(0.02)
        return self


class Kernel:
    """
    A kernel of a running server.

    Attributes:
        raw: Every message as it came over the websocket: IOPub, shell, stdin, control.
        id: The kernel's id.
        connection_file: Where its sockets are, for those who want to talk to it directly.
    """

    def __init__(self, url: str, token: str, kernel_id: str, runtime: Path) -> None:
        self.id = kernel_id
        self.raw: list[str | bytes] = []
        self.connection_file = runtime / f"kernel-{kernel_id}.json"
        self._runtime = runtime
        self._address = f"{url}api/kernels/{kernel_id}"
        self._http = httpx.Client(headers={"Authorization": f"token {token}"}, timeout=60)
        self._session = uuid.uuid4().hex
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()
        self._closed = False
        # The address goes with a header, not with ?token=: it would stand in the server's log.
        self._socket = websocket.create_connection(
            f"{self._address}/channels?session_id={self._session}".replace("http", "ws", 1),
            header={"Authorization": f"token {token}"},
            timeout=None,
        )
        self._reader = threading.Thread(target=self._read, daemon=True, name=f"kernel {kernel_id[:8]}")
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, code: str, *, seconds: float = 60, allow_stdin: bool = True) -> Run:
        """Run a cell to its end. *allow_stdin* is what JupyterLab says and nbclient does not."""
        return self.start(code, allow_stdin=allow_stdin).wait(seconds)

    def start(self, code: str, *, allow_stdin: bool = True) -> Run:
        """Begin to run a cell."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": True,
        }
        run = Run(uuid.uuid4().hex)
        self._runs[run.id] = run
        self.send("execute_request", content, msg_id=run.id)
        return run

    def send(self, kind: str, content: dict[str, Any], *, channel: str = "shell", msg_id: str | None = None) -> str:
        """Send any message, such as a ``comm_msg``; returns its id."""
        header = {
            "msg_id": msg_id or uuid.uuid4().hex,
            "msg_type": kind,
            "session": self._session,
            "username": "test",
            "version": "5.4",
            "date": "",
        }
        message = {"channel": channel, "header": header, "parent_header": {}, "metadata": {}, "content": content}
        with self._lock:
            self._socket.send(json.dumps({**message, "buffers": []}))
        return str(header["msg_id"])

    def interrupt(self) -> None:
        """What the stop button does."""
        self._http.post(f"{self._address}/interrupt").raise_for_status()

    def restart(self) -> None:
        self._http.post(f"{self._address}/restart").raise_for_status()

    def eavesdrop(self) -> Eavesdropper:
        """TRP-11: what any process on this machine can hear of a kernel, without its key."""
        return Eavesdropper(self.connection_file)

    def close(self) -> None:
        """End the kernel."""
        if self._closed:
            return
        self._closed = True
        self._socket.close()
        self._reader.join(5)
        with contextlib.suppress(httpx.TransportError):  # the server is gone, and took its kernels along
            self._http.delete(self._address)
        self._http.close()

    def _read(self) -> None:
        while True:
            try:
                raw = self._socket.recv()
            except (OSError, websocket.WebSocketException, TypeError):
                return
            if not raw:
                return
            self.raw.append(raw)
            if isinstance(raw, str):
                self._take(json.loads(raw))

    def _take(self, message: dict[str, Any]) -> None:
        run = self._runs.get(message.get("parent_header", {}).get("msg_id", ""))
        if run is None:
            return
        run.messages.append(message)
        kind = message["header"]["msg_type"]
        if kind == "execute_reply":
            run._seen.add("reply")
        elif kind == "status" and message["content"]["execution_state"] == "idle":
            run._seen.add("idle")
        if run._seen == {"reply", "idle"}:
            run.done.set()


class Eavesdropper:
    """A foreign subscriber on a kernel's IOPub socket. ``heard`` is all that it got, frame by frame."""

    def __init__(self, connection_file: Path) -> None:
        info = json.loads(connection_file.read_text(encoding="utf-8"))
        self.heard: list[bytes] = []
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.SUBSCRIBE, b"")
        self._socket.setsockopt(zmq.RCVTIMEO, 100)
        assert info["transport"] == TRANSPORT
        self._socket.connect(f"{TRANSPORT}://{info['ip']}-{info['iopub_port']}")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True, name="eavesdropper")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(5)
        self._socket.close(0)
        self._context.term()

    def _listen(self) -> None:
        while not self._stopping.is_set():
            try:
                self.heard += self._socket.recv_multipart()
            except zmq.Again:
                continue
