"""
Runs in: the tests. The canary sweep (INV-01): no secret of a test may be found anywhere outside of its allowed place.

Always on. While a test runs it records every logging record at DEBUG, and the arguments and environment of all child
processes; afterwards it reads what was printed and all files of the test. Providers tell it their secrets; tests hand
it whatever else they captured::

    canary.look("kernel's IOPub", raw_messages)

It finds a secret as it is, in base64, percent, JSON, HTML and hex notation, in UTF-16, and any 12 characters in a row
of its random part. Sealed files need no exemption: that nothing is found in them is part of the proof.
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.isolation import Home
from tests.needles import Finder
from tests.processes import descendants

KEY = pytest.StashKey["Canary"]()
LARGEST_FILE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Leak:
    """A secret of this *kind* was found on this *surface*."""

    kind: str
    surface: str

    def __str__(self) -> str:
        return f"{self.kind} found in {self.surface}"


class Canary:
    """What this test's secrets are, and where to look for them."""

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._folders = list(folders)
        self._spared: list[Path] = []
        self._secrets: dict[str, str] = {}
        self._sources: list[Callable[[], Iterable[tuple[str, str]]]] = []
        self._texts: dict[tuple[str, str], None] = {}
        self._allowed: list[tuple[str, frozenset[str]]] = []
        self._processes: dict[int, int] = {}
        self._restore: list[Callable[[], None]] = []
        self._stopping = threading.Event()

    # ---- what is secret -----------------------------------------------------------------------------------------

    def mint(self, kind: str) -> str:
        """A new secret for a test to use."""
        return self.secret(kind, f"NATK-{kind}-{secrets.token_urlsafe(24)}")

    def secret(self, kind: str, value: str) -> str:
        """From now on *value* must not be found anywhere."""
        if len(value) < 8:
            raise ValueError("too short to be told from chance")
        self._secrets[value] = kind
        return value

    def source(self, known: Callable[[], Iterable[tuple[str, str]]]) -> None:
        """Ask *known* for secrets, as (kind, value), at the end of the test and before it is gone."""
        self._sources.append(known)

    def drain(self) -> None:
        """Ask all sources now: they are about to go."""
        for known in self._sources:
            for kind, value in known():
                if len(value) >= 8:
                    self.secret(kind, value)
        self._sources.clear()

    # ---- where to look ------------------------------------------------------------------------------------------

    def look(self, surface: str, text: str | bytes | object) -> None:
        """Sweep *text* as well. Bytes are searched as they are; other things by their ``repr``."""
        if isinstance(text, bytes):
            text = text.decode("latin-1")
        elif not isinstance(text, str):
            text = repr(text)
        if text:
            self._texts[surface, text] = None

    def look_error(self, error: BaseException) -> None:
        """Sweep an exception as ``%xmode Verbose`` shows it: with the local variables of our own frames (TRP-29)."""
        seen: BaseException | None = error
        while seen is not None:
            self.look("exception", f"{seen} {seen!r} {vars(seen)!r}")
            for frame, _ in traceback.walk_tb(seen.__traceback__):
                if "jupyter_nativeauth" in Path(frame.f_code.co_filename).parts[:-1]:
                    self.look(f"local variables of {frame.f_code.co_qualname}", dict(frame.f_locals))
            seen = seen.__cause__ or seen.__context__

    def look_process(self, pid: int) -> None:
        """Sweep the arguments and the environment that this process has now."""
        try:
            process = psutil.Process(pid)
            self.look(f"argv of process {pid}", "\n".join(process.cmdline()))
            self.look(f"environment of process {pid}", "\n".join(f"{k}={v}" for k, v in process.environ().items()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass

    def folder(self, path: Path) -> None:
        """Sweep the files below *path* as well."""
        self._folders.append(path)

    def spare(self, path: Path) -> None:
        """Do not read files below *path*: a browser's own profile, whose history is the browser's business."""
        self._spared.append(path)

    def allow(self, surface: str, *kinds: str) -> None:
        """Secrets of these *kinds* (all, if none is given) may be on surfaces whose name begins like this."""
        self._allowed.append((surface, frozenset(kinds)))

    # ---- while the test runs ------------------------------------------------------------------------------------

    def start(self) -> None:
        self._record_logging()
        _watch_children(self)
        sampler = threading.Thread(target=self._sample, daemon=True, name="canary")
        sampler.start()
        self._restore.append(sampler.join)

    def stop(self) -> None:
        """The test is over: read what is left behind."""
        self._stopping.set()
        for undo in reversed(self._restore):
            undo()
        self._restore.clear()
        self.drain()
        self.look("environment of the test process", "\n".join(f"{k}={v}" for k, v in os.environ.items()))
        for folder in self._folders:
            self._read(folder)

    def leaks(self) -> list[Leak]:
        """Everything that was found where it must not be."""
        finder = Finder(self._secrets)
        found = {Leak(kind, surface) for surface, text in list(self._texts) for kind in finder.find(text)}
        return sorted((leak for leak in found if not self._is_allowed(leak)), key=str)

    def _is_allowed(self, leak: Leak) -> bool:
        return any(
            leak.surface.startswith(surface) and (not kinds or leak.kind in kinds) for surface, kinds in self._allowed
        )

    def _record_logging(self) -> None:
        # A record factory sees the records of every logger, also of those that do not propagate.
        make = logging.getLogRecordFactory()

        @functools.wraps(make)
        def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
            made = make(*args, **kwargs)
            self.look("log", _text_of(made))
            return made

        logging.setLogRecordFactory(record)
        self._restore.append(lambda: logging.setLogRecordFactory(make))
        loggers = [one for one in logging.Logger.manager.loggerDict.values() if isinstance(one, logging.Logger)]
        for logger in [logging.getLogger(), *loggers]:
            if logger.level > logging.DEBUG or logger is logging.getLogger():
                self._restore.append(functools.partial(logger.setLevel, logger.level))
                logger.setLevel(logging.DEBUG)
        self._restore.append(functools.partial(logging.disable, logging.root.manager.disable))
        logging.disable(logging.NOTSET)

    def _sample(self) -> None:
        parents: dict[int, int] = {}
        while True:
            for pid in descendants(parents):
                # Twice: a new process is the old program for a moment, until it calls exec.
                if self._processes.get(pid, 0) < 2:
                    self._processes[pid] = self._processes.get(pid, 0) + 1
                    self.look_process(pid)
            if self._stopping.wait(0.1):
                return

    def _read(self, folder: Path) -> None:
        for place, _, names in os.walk(folder):
            for name in names:
                path = Path(place, name)
                if any(path.is_relative_to(spared) for spared in self._spared) or not path.is_file():
                    continue
                short = path.relative_to(folder)
                self.look("the name of a file", str(short))
                with path.open("rb") as file:
                    data = file.read(LARGEST_FILE)
                self.look(f"file {short}", data)
                if b"\0" in data:  # UTF-16
                    self.look(f"file {short}", data.replace(b"\0", b""))


def _text_of(record: logging.LogRecord) -> str:
    try:
        text = f"{record.name}: {record.getMessage()}"
    except Exception as error:
        text = f"{record.msg!r} {record.args!r} {error!r}"
    if record.exc_info and record.exc_info[1] is not None:
        text += "".join(traceback.format_exception(record.exc_info[1]))
    return text


# ---- child processes of this very process: an audit hook misses none, however short it lives -------------------------

_active: weakref.WeakSet[Canary] = weakref.WeakSet()
_hooked = threading.Lock()


def _watch_children(canary: Canary) -> None:
    if _hooked.acquire(blocking=False):  # an audit hook cannot be taken back: one for all tests
        sys.addaudithook(_audit)
    _active.add(canary)
    canary._restore.append(lambda: _active.discard(canary))


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen":
        command, env = args[1], args[3]
    elif event == "os.posix_spawn":
        command, env = args[1], args[2]
    else:
        return
    variables = env.items() if isinstance(env, Mapping) else env or ()
    for canary in list(_active):
        canary.look("argv of a child process", [os.fsdecode(one) for one in command])
        canary.look("environment of a child process", list(variables))


# ---- pytest ----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def canary(request: pytest.FixtureRequest, home: Home, leftovers: None) -> Iterator[Canary]:
    """The sweep of this test; see :class:`Canary`."""
    made = Canary([home.folder])
    request.node.stash[KEY] = made
    made.start()
    yield made
    tmp_path = request.node.funcargs.get("tmp_path")
    if tmp_path is not None:
        made.folder(tmp_path)
    made.stop()


@pytest.fixture
def capfd(capfd: pytest.CaptureFixture[str], canary: Canary) -> pytest.CaptureFixture[str]:
    """pytest's own; what a test reads from it is swept too."""
    return _swept(capfd, canary)


@pytest.fixture
def capsys(capsys: pytest.CaptureFixture[str], canary: Canary) -> pytest.CaptureFixture[str]:
    """pytest's own; what a test reads from it is swept too."""
    return _swept(capsys, canary)


def _swept(capture: pytest.CaptureFixture[str], canary: Canary) -> pytest.CaptureFixture[str]:
    read = capture.readouterr

    def readouterr() -> Any:
        result = read()
        canary.look("stdout", result.out)
        canary.look("stderr", result.err)
        return result

    capture.readouterr = readouterr  # type: ignore[method-assign]
    return capture


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """The verdict, once everything is over: what was printed is complete only now."""
    report: pytest.TestReport = yield  # type: ignore[assignment]
    canary = item.stash.get(KEY, None)
    if report.when == "teardown" and canary is not None:
        canary.look("stdout", report.capstdout)
        canary.look("stderr", report.capstderr)
        leaks = canary.leaks()
        if leaks:
            report.outcome = "failed"
            report.longrepr = "\n".join(
                [*([str(report.longrepr)] if report.longrepr else []), "Secrets leaked (INV-01):", *map(str, leaks)]
            )
    return report  # type: ignore[return-value]
