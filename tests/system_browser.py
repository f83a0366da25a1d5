"""
Runs in: the tests, and as the program that ``BROWSER`` names. A person's system browser, for scripts that open one.

Unlike :class:`tests.http_browser.HttpBrowser` alone it is a program, as real ones are, and keeps its cookies in a file:
who signed in with it is still signed in at the provider when a later program opens it again.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.html_page import Hop
from tests.http_browser import Cookie, HttpBrowser

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Visit:
    """
    A page that was asked for. Names of parameters, never their values.

    Attributes:
        origin, path: Where.
        query: The names of its parameters, in order.
        title: Of the page that came; empty for a redirect.
    """

    method: str
    origin: str
    path: str
    query: tuple[str, ...]
    status: int
    title: str


class SystemBrowser:
    """
    A browser for child processes; ``env`` leads them to it.

    Args:
        folder: Where the program and its cookies are kept.
        press: Labels of buttons that the person presses; none leaves the first page as it is.
        username: Whom the person signs in as.
    """

    def __init__(
        self, folder: Path, *, press: tuple[str, ...] = ("Sign in", "Allow", "Yes, sign me out"), username: str = "ada"
    ) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700)
        self.program = folder / "browser"
        self.program.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
            f"from tests.system_browser import main\nmain({str(folder)!r}, sys.argv[1])\n"
        )
        self.program.chmod(0o700)
        self.be(press=press, username=username)

    def be(self, *, press: tuple[str, ...], username: str = "ada") -> None:
        """From now on the person does this."""
        (self._folder / "habits.json").write_text(json.dumps({"press": press, "fill": {"username": username}}))

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "BROWSER": str(self.program)}

    @property
    def visits(self) -> list[Visit]:
        """What it has asked for, in order, as soon as no page is on its way any more."""
        end = time.monotonic() + 20
        while any(self._folder.glob("open.*")) and time.monotonic() < end:
            time.sleep(0.02)
        return self._so_far()

    def _so_far(self) -> list[Visit]:
        try:
            lines = (self._folder / "visits").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [Visit(**{**one, "query": tuple(one["query"])}) for one in map(json.loads, lines)]

    def wait(self, path: str, seconds: float = 20) -> Visit:
        """The visit of the page with this *path*, as soon as there is one."""
        end = time.monotonic() + seconds
        while True:
            found = [visit for visit in self._so_far() if visit.path == path]
            if found:
                return found[0]
            assert time.monotonic() < end, [visit.path for visit in self._so_far()]
            time.sleep(0.02)


class _Remembering(HttpBrowser):
    def __init__(self, folder: Path, **habits: Any) -> None:
        super().__init__(**habits)
        self._folder = folder
        self._cookies = folder / "cookies.json"
        if self._cookies.exists():
            self.cookies = [Cookie(**one) for one in json.loads(self._cookies.read_text())]

    def _send(
        self, method: str, url: str, headers: dict[str, str], body: str | None, *, lax: bool, strict: bool
    ) -> Hop:
        hop = super()._send(method, url, headers, body, lax=lax, strict=strict)
        # In one step: another page may be opened, and read them, at this moment.
        draft = self._cookies.with_name(f"cookies.{os.getpid()}")
        draft.write_text(json.dumps([asdict(one) for one in self.cookies]))
        draft.replace(self._cookies)
        parts = urlsplit(hop.url)
        title = hop.text.partition("<title>")[2].partition("</title>")[0]
        names = tuple(name for name, _ in parse_qsl(parts.query, keep_blank_values=True))
        visit = Visit(hop.method, f"{parts.scheme}://{parts.netloc}", parts.path, names, hop.status, title)
        with (self._folder / "visits").open("a") as file:
            file.write(json.dumps(asdict(visit)) + "\n")
        return hop


def main(folder: str, url: str) -> None:
    """Open *url*, as the program."""
    habits = json.loads((Path(folder) / "habits.json").read_text())
    mark = Path(folder) / f"open.{os.getpid()}"
    mark.touch()
    try:
        # A server that has ended meanwhile is an error page, and nothing that a browser writes into a terminal.
        with contextlib.suppress(OSError, http.client.HTTPException):
            _Remembering(Path(folder), **habits).open(url)
    finally:
        mark.unlink()
