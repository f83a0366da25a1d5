"""
Runs in: a terminal. The demo without a person: a headless browser does what a newcomer would do, and says how it went.

``python -m jupyter_nativeauth.demo.check`` does it twice, each time in a new home folder: with a private gnome-keyring
that it starts itself, and with no keychain at all. It needs Playwright's Python package and a Chromium that is already
installed; it never downloads a browser.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError, NativeAuthError
from .lab import Demo, demo

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Locator, Page

# Short, so that the check need not wait a minute; long enough for two kernels to call with the same one.
ACCESS_TOKEN_SECONDS = 20
PATIENCE = 60  # seconds for any one thing to show up in the browser

OTHER_NOTEBOOK = f"""\
from jupyter_nativeauth import get_session

def call():
    me = get_session().get("/api/me").raise_for_status().json()
    print("number", me["access_token"]["number"])

call()
---
from time import sleep

sleep({ACCESS_TOKEN_SECONDS})  # the quickstart notebook waits as long: both call at about the same time
call()
---
call()
"""


def main() -> None:
    """Check with a keychain and without, print one line for each step, and exit with 0, or 1 and what failed."""
    for keychain in (True, False):
        click.echo(f"\n  With {'a private gnome-keyring' if keychain else 'no keychain at all'}")
        try:
            check(keychain=keychain)
        except NativeAuthError as error:
            click.echo(f"    FAILED  {error}")
            sys.exit(1)
    click.echo("\n  All of it works.")


def check(*, keychain: bool) -> None:
    """
    Sign in, call from two kernels, stay signed in past an expiry and sign out, in a real JupyterLab and browser.

    Args:
        keychain: Start a private gnome-keyring for it. Otherwise there is no session bus, so no keychain.

    Raises:
        ConfigError: A program that it needs is missing.
        NativeAuthError: A step failed; the message says which, and where the picture of the browser is.
    """
    if importlib.util.find_spec("playwright") is None:
        raise ConfigError("Playwright is not installed.", code="demo_missing", hint="Try: pip install playwright")
    chromium = os.environ.get("CHROMIUM") or _program("chromium", "chromium-browser", "google-chrome")
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nativeauth-check-")))
        environment = _bare_environment(home)
        if keychain:
            environment = stack.enter_context(_private_keyring(environment))
        folder = home / "demo"
        folder.mkdir()
        running = stack.enter_context(demo(folder, access_token_seconds=ACCESS_TOKEN_SECONDS, environment=environment))
        _write_other_notebook(running.work / "other.ipynb")
        browser = stack.enter_context(_browser(chromium, environment))
        _Check(running, browser, "gnome-keyring" if keychain else "server memory").run()


@dataclass
class _Check:
    """One run through the demo. ``key_source`` is how the panel must name where the key lives."""

    demo: Demo
    browser: BrowserContext
    key_source: str
    page: Page | None = None  # what the picture shows if a step fails

    def run(self) -> None:
        with self.step("JupyterLab opens the quickstart notebook"):
            lab = self.open(self.demo.url)
            self.run_cell(lab, "%load_ext")
        with self.step("%login shows a panel with a link"):
            cell = self.press(lab, "%login")
            link = cell.locator('a[href*="/nativeauth/login?profile=demo"]', has_text="Sign in")
            failure = cell.locator('[data-mime-type="application/vnd.jupyter.error"]')
            link.or_(failure).first.wait_for()
            assert not failure.count(), failure.inner_text().strip().splitlines()[-1]  # noqa: S101
        with self.step("the provider's page signs Ada in with two clicks"):
            with self.browser.expect_page() as opened:
                link.click()
            popup = self.look_at(opened.value)
            popup.get_by_role("button", name="Sign in").click()
            popup.get_by_role("button", name="Allow").click()
            popup.wait_for_url("**/nativeauth/done/**")
            popup.close()
            self.look_at(lab)
        with self.step(f"the panel says who is signed in, and that the key is in {self.key_source}"):
            self.wait_for_end(cell)
            self.expect(cell, "Ada Lovelace")
            self.expect(cell, self.key_source)
        with self.step("the first kernel calls the API"):
            self.expect(self.run_cell(lab, "who_am_i():"), r"number 1, good for")
        with self.step("a second kernel calls it too, without signing in"):
            other = self.open(self.demo.url.replace("quickstart.ipynb", "other.ipynb"))
            self.expect(self.run_cell(other, "def call():"), "number 1$")
        with self.step("the access token expires; both go on, with one renewal"):
            waiting = [self.press(page, "sleep(") for page in (lab, other)]
            for cell, words in zip(waiting, ("number 2, good for", "number 2$"), strict=True):
                self.wait_for_end(cell)
                self.expect(cell, words)
        with self.step("%whoami says who it is"):
            self.look_at(lab)
            self.expect(self.run_cell(lab, "%whoami"), "ada@example.org")
        with self.step("%logout ends the login here"):
            farewell = self.run_cell(lab, "%logout")
            self.expect(farewell, "[Ss]igned out")
        with self.step("the second kernel's next call raises LoginRequired"):
            self.look_at(other)
            self.expect(self.run_cell(other, "call()", -1), "LoginRequired")
        with self.step("the provider has ended its session too"):
            self.look_at(lab)
            self.end_session(farewell)
            page = self.look_at(self.browser.new_page())
            page.goto(self.demo.provider.issuer)
            page.get_by_text("Nobody is signed in here").wait_for()

    def end_session(self, farewell: Locator) -> None:
        """Follow the panel's link to the page that ends the provider's session."""
        with self.browser.expect_page() as opened:
            farewell.locator('a[href*="/nativeauth/logout?profile=demo"]').click()
        popup = self.look_at(opened.value)
        popup.get_by_role("button", name="Sign out").click()
        popup.wait_for_url("**/nativeauth/logout/callback**")

    @contextlib.contextmanager
    def step(self, words: str) -> Iterator[None]:
        """Print *words* when the block is done; if it fails, say so, with a picture of the browser."""
        from playwright.sync_api import Error

        begun = time.monotonic()
        try:
            yield
        except (Error, AssertionError) as error:
            picture = Path(tempfile.mkdtemp(prefix="nativeauth-check-")) / "browser.png"
            with contextlib.suppress(Error):
                if self.page:
                    self.page.screenshot(path=picture)
            why = str(error).partition("Call log:")[0].strip()
            raise NativeAuthError(f"{words}: {why}", code="demo_check", hint=f"Picture: {picture}") from None
        click.echo(f"    ok  {words}  ({time.monotonic() - begun:.1f} s)")

    def look_at(self, page: Page) -> Page:
        page.set_default_timeout(PATIENCE * 1000)
        page.bring_to_front()
        self.page = page
        return page

    def open(self, address: str) -> Page:
        """Open a notebook in a new tab and wait for its kernel."""
        page = self.look_at(self.browser.new_page())
        page.goto(address)
        # Not the toolbar's sign: that is "idle" already before there is a kernel.
        page.locator("#jp-main-statusbar").get_by_text("(ipykernel) | Idle").wait_for()
        return page

    def press(self, page: Page, text: str, which: int = 0) -> Locator:
        """Run the cell that contains *text* with Shift+Enter, and do not wait for it."""
        source = page.locator(".jp-InputArea", has_text=text)
        cell = page.locator(".jp-Notebook .jp-CodeCell").filter(has=source).nth(which)
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        return cell

    def run_cell(self, page: Page, text: str, which: int = 0) -> Locator:
        cell = self.press(page, text, which)
        self.wait_for_end(cell)
        return cell

    def wait_for_end(self, cell: Locator) -> None:
        from playwright.sync_api import expect

        expect(cell.locator(".jp-InputPrompt")).to_have_text(re.compile(r"^\[\d+\]:$"), timeout=PATIENCE * 1000)

    def expect(self, cell: Locator, words: str) -> None:
        """See that the output of the cell, which has ended, shows *words* (a regular expression)."""
        from playwright.sync_api import expect

        output = cell.locator(".jp-Cell-outputArea")
        try:
            expect(output).to_contain_text(re.compile(words, re.M), timeout=10_000)
        except AssertionError:
            seen = output.inner_text().strip().splitlines()
            raise AssertionError(f"expected {words!r}, saw: {' / '.join(seen[-3:])}") from None


def _write_other_notebook(path: Path) -> None:
    blank: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    sources = OTHER_NOTEBOOK.split("---\n")
    cells = [{**blank, "id": f"cell-{number}", "source": source} for number, source in enumerate(sources)]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    book = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(book), encoding="utf-8")


@contextlib.contextmanager
def _browser(chromium: str, environment: Mapping[str, str]) -> Iterator[BrowserContext]:
    from playwright.sync_api import Error, sync_playwright

    switches = ["--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        try:
            # Playwright leaves Chromium's sandbox off, which containers often lack; the only pages are our own.
            browser = playwright.chromium.launch(executable_path=chromium, args=switches, env=dict(environment))
        except Error as error:
            why = error.message.splitlines()[0]
            raise NativeAuthError(f"{chromium} does not start: {why}", code="demo_check") from None
        try:
            # High enough that JupyterLab keeps all cells of the notebook in the page.
            yield browser.new_context(viewport={"width": 1280, "height": 2400})
        finally:
            browser.close()


def _bare_environment(home: Path) -> dict[str, str]:
    """Return an environment with a new home, no session bus, no display and no settings of Jupyter's or keyring's."""
    foreign = ("DBUS_", "XDG_", "GNOME_", "JUPYTER", "JPY_", "PYTHON_KEYRING", "DISPLAY", "WAYLAND_", "CREDENTIALS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    # Packages that were installed for this user alone are found from the home folder.
    packages = {"PYTHONUSERBASE": site.getuserbase()}
    return {**environment, **packages, "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}


@contextlib.contextmanager
def _private_keyring(environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run a session bus of our own with an unlocked gnome-keyring on it; yield the environment that reaches it."""
    dbus, keyring = _program("dbus-daemon"), _program("gnome-keyring-daemon")
    bus = subprocess.Popen(  # noqa: S603
        [dbus, "--session", "--nofork", "--print-address=1"],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert bus.stdout is not None  # noqa: S101
        inside = {**environment, "DBUS_SESSION_BUS_ADDRESS": bus.stdout.readline().decode().strip()}
        # It goes into the background when it is ready, and ends with its bus.
        subprocess.run(  # noqa: S603
            [keyring, "--unlock", "--components=secrets"],
            env=inside,
            input=b"a password\n",
            stdout=subprocess.DEVNULL,
            check=True,
        )
        yield inside
    finally:
        bus.terminate()
        bus.wait()
        if bus.stdout:
            bus.stdout.close()


def _program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    package = {"dbus-daemon": "dbus", "gnome-keyring-daemon": "gnome-keyring"}.get(names[0], names[0])
    raise ConfigError(
        f"{names[0]} is not installed.", code="demo_missing", hint=f"On Debian: apt-get install {package}"
    )


if __name__ == "__main__":
    main()
