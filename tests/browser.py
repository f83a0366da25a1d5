"""
Runs in: the tests. A real Chromium, driven by Playwright, with its popup blocker on.

The program is the system's own (``$CHROMIUM``, else the first ``chromium`` on the path): nothing is downloaded.

Example:
    >>> page = chromium.open_lab(lab, "tree/demo.ipynb")
    >>> chromium.run_all(page)
    >>> with chromium.context.expect_page() as popup:
    ...     page.get_by_role("link", name="Sign in").click()
    >>> chromium.sign_in(popup.value)
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    Request,
    WebSocket,
    expect,
    sync_playwright,
)

from tests.canary import Canary
from tests.isolation import Home
from tests.lab import Lab

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
SESSION_STORAGE = """() => {
    try {
        const names = Array.from({ length: sessionStorage.length }, (_, number) => sessionStorage.key(number));
        return JSON.stringify(names.map(name => [name, sessionStorage.getItem(name)]));
    } catch {
        return '';  // about:blank has none
    }
}"""
SLOW = 60_000
"""Milliseconds to wait for what must come. JupyterLab needs four seconds, on a busy machine five times that."""
expect.set_options(timeout=SLOW / 2)


@dataclass(frozen=True)
class Navigation:
    """A request that the browser sent for a document."""

    method: str
    url: str
    referer: str | None


class Chromium:
    """
    One browser window with a fresh profile.

    Attributes:
        context: Playwright's context: pages, cookies, events.
        page: The first tab.
        navigations: Every request for a document so far, in order.
        console: What pages wrote to their consoles.
    """

    def __init__(self, context: BrowserContext, canary: Canary) -> None:
        self.context = context
        self._canary = canary
        self._unread: set[Request] = set()
        self.page = context.pages[0]
        self.navigations: list[Navigation] = []
        self.console: list[str] = []
        context.set_default_timeout(SLOW)
        context.on("request", self._note_request)
        context.on("console", self._note_console)
        context.on("requestfinished", self._sweep_answer)
        context.on("page", self._watch)
        self._watch(self.page)

    def open_lab(self, lab: Lab, path: str = "", *, host: str = "127.0.0.1", page: Page | None = None) -> Page:
        """Open JupyterLab at *path* (``"tree/demo.ipynb"``) and wait until it can be used."""
        page = page or self.page
        page.goto(lab.lab_url(path, host=host))
        return self.ready(page)

    def ready(self, page: Page) -> Page:
        """Wait until the JupyterLab in this tab can be used."""
        page.wait_for_selector("#jupyterlab-splash", state="detached")
        page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)")
        # The launcher comes last, and takes the focus.
        page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.node.contains(document.activeElement)")
        return page

    def wait_for_kernel(self, page: Page) -> None:
        """Wait until the notebook in front has a kernel that answers."""
        page.wait_for_function(
            """() => {
                const session = window.jupyterapp.shell.currentWidget?.sessionContext?.session;
                return session?.kernel?.connectionStatus === 'connected' && session.kernel.status === 'idle';
            }"""
        )

    def run_all(self, page: Page) -> None:
        """Run all cells of the notebook in front, without waiting for their end."""
        self.wait_for_kernel(page)
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def save(self, page: Page) -> None:
        """Save the notebook in front."""
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def sign_in(self, page: Page, username: str = "ada", *, allow: bool = True) -> None:
        """Do at the test provider's pages what a person does there."""
        page.get_by_label("Username").fill(username)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Allow" if allow else "Deny").click()

    def sweep(self) -> None:
        """Look for secrets in all that a script of an open page could get hold of."""
        while self._unread:
            self.context.pages[0].wait_for_timeout(10)
        for page in self.context.pages:
            self._canary.look("a page in the browser", page.content())
            self._canary.look("a page's session storage", page.evaluate(SESSION_STORAGE))
        self._canary.look("the browser's cookies and storage", self.context.storage_state(indexed_db=True))
        self._canary.look("the browser's console", "\n".join(self.console))

    def _watch(self, page: Page) -> None:
        page.on("websocket", self._watch_socket)

    def _watch_socket(self, socket: WebSocket) -> None:
        for event in ("framereceived", "framesent"):
            socket.on(event, lambda message: self._canary.look("a page's websocket", message))

    def _sweep_answer(self, request: Request) -> None:
        # What a script may read: the bodies of documents, and of what it asked for. Redirects are out of its sight.
        if request.resource_type not in ("document", "fetch", "xhr"):
            return
        self._unread.add(request)
        with contextlib.suppress(Error):  # redirects have no body, nor has a tab that is closed
            if (answer := request.response()) is not None:
                if request.resource_type != "document":
                    self._canary.look("an address that a page asked for", f"{request.url} {answer.all_headers()}")
                self._canary.look("an answer that a page got", answer.body())
        self._unread.discard(request)

    def _note_request(self, request: Request) -> None:
        if request.is_navigation_request():
            self.navigations.append(Navigation(request.method, request.url, request.headers.get("referer")))

    def _note_console(self, message: ConsoleMessage) -> None:
        self.console.append(message.text)


def executable() -> str:
    """Where Chromium is."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        raise RuntimeError("There is no chromium on the path: run `make setup` first, or set CHROMIUM.")
    return found


@pytest.fixture
def chromium_flags() -> list[str]:
    """More of them, for a test that needs some."""
    return []


@pytest.fixture
def chromium(home: Home, canary: Canary, chromium_flags: list[str]) -> Iterator[Chromium]:
    """A Chromium window; see :class:`Chromium`. What its pages show, keep, write, ask for and get is swept."""
    profile: Path = home.folder / "chromium"
    canary.spare(profile)  # the history in there is the browser's own, with every address that it was sent to
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=executable(),
            headless=True,
            chromium_sandbox=False,
            viewport={"width": 1280, "height": 800},
            ignore_default_args=["--disable-popup-blocking"],
            args=FLAGS + chromium_flags,
        )
        window = Chromium(context, canary)
        try:
            yield window
            window.sweep()
        finally:
            context.close()
