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

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, sync_playwright

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
SLOW = 60_000
"""Milliseconds to wait for what must come. JupyterLab needs four seconds, on a busy machine five times that."""


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

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.page = context.pages[0]
        self.navigations: list[Navigation] = []
        self.console: list[str] = []
        context.set_default_timeout(SLOW)
        context.on("request", self._note_request)
        context.on("console", self._note_console)

    def open_lab(self, lab: Lab, path: str = "", *, host: str = "127.0.0.1", page: Page | None = None) -> Page:
        """Open JupyterLab at *path* (``"tree/demo.ipynb"``) and wait until it can be used."""
        page = page or self.page
        page.goto(lab.lab_url(path, host=host))
        page.wait_for_selector("#jupyterlab-splash", state="detached")
        page.wait_for_function("() => window.jupyterapp && window.jupyterapp.restored")
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
def chromium(home: Home, canary: Canary) -> Iterator[Chromium]:
    """A Chromium window; see :class:`Chromium`. What its pages show and write to the console is swept."""
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
            args=FLAGS,
        )
        window = Chromium(context)
        try:
            yield window
            for page in context.pages:
                canary.look("a page in the browser", page.content())
        finally:
            context.close()
    canary.look("the browser's console", "\n".join(window.console))
