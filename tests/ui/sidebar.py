"""
Runs in: the tests. The sidebar's panel in a real JupyterLab, as a person sees and uses it.

Example:
    >>> sidebar = Sidebar(chromium.open_lab(lab))
    >>> sidebar.sign_in(chromium)
    >>> sidebar.expect_state("Signed in as Ada Example")
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Error, Locator, Page, expect

from tests.browser import Chromium
from tests.isolation import Home
from tests.lab import Lab
from tests.oidc_provider import OidcProvider

SIGNED_OUT = "Signed out"
SIGNED_IN = "Signed in as Ada Example"
WAITING = "Waiting for you in the browser"
PANEL = "jp-nativeauth-panel"


class Sidebar:
    """
    The panel, opened by its icon.

    Attributes:
        region: All of it.
        icon: The icon in JupyterLab's right sidebar.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.icon = page.locator(f'[data-id="{PANEL}"]')
        self.region = page.get_by_role("region", name="Sign-in", exact=True)
        if not self.region.is_visible():
            self.icon.click()

    def card(self, profile: str = "acme") -> Locator:
        return self.region.get_by_role("region", name=profile, exact=True)

    def button(self, name: str, profile: str = "acme") -> Locator:
        return self.card(profile).get_by_role("button", name=name, exact=True)

    def link(self, name: str = "Open the sign-in page", profile: str = "acme") -> Locator:
        return self.card(profile).get_by_role("link", name=name, exact=True)

    def expect_state(self, words: str, profile: str = "acme") -> None:
        """The line that says how it stands says this, sooner or later."""
        expect(self.card(profile).get_by_role("status")).to_have_text(words)

    def expect_problem(self, words: str, profile: str = "acme") -> None:
        expect(self.card(profile).get_by_role("alert")).to_contain_text(words)

    def expect_no_problem(self, profile: str = "acme") -> None:
        expect(self.card(profile).get_by_role("alert")).to_have_count(0)

    def begin(self, chromium: Chromium, button: str = "Sign in to acme", profile: str = "acme") -> Page:
        """Click a button that opens a tab; return that tab."""
        return follow(chromium, self.button(button, profile))

    def sign_in(self, chromium: Chromium, profile: str = "acme") -> None:
        """All of a sign-in by somebody whom the provider does not know yet."""
        tab = self.begin(chromium, f"Sign in to {profile}", profile)
        chromium.sign_in(tab)
        finish(tab)


def follow(chromium: Chromium, target: Locator) -> Page:
    """Click what opens a tab; return that tab."""
    return opened_by(chromium, target.click)


def opened_by(chromium: Chromium, act: Callable[[], None]) -> Page:
    """Do what opens a tab; return that tab."""
    with chromium.context.expect_page() as opened:
        act()
    return opened.value


def command(page: Page, label: str) -> None:
    """Choose this command in the palette."""
    item = page.locator(".lm-CommandPalette-itemLabel").get_by_text(label, exact=True)
    for last in (False, False, False, True):
        page.keyboard.press("Control+Shift+C")
        try:
            page.locator(".lm-CommandPalette-input").fill(label, timeout=5000)
            item.click(timeout=5000)
        except Error:  # what JupyterLab still starts has taken the focus, which closes the palette
            if last:
                raise
        else:
            return


def finish(tab: Page) -> None:
    """Wait for the page that ends a sign-in, and close it, as it says."""
    tab.wait_for_url("**/nativeauth/done/signed-in")
    expect(tab.get_by_role("heading")).to_have_text("You are signed in")
    expect(tab.get_by_text("close this tab")).to_be_visible()
    tab.close()


def use_theme(page: Page, theme: str) -> None:
    """Change JupyterLab's theme, such as to ``"JupyterLab Dark"``."""
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    page.wait_for_selector(f'body[data-jp-theme-name="{theme}"]', state="attached")
    page.wait_for_selector("#jupyterlab-splash", state="detached")


def write_profiles(home: Home, **profiles: dict[str, Any]) -> None:
    """Write nativeauth.toml anew."""
    lines = []
    for name, keys in profiles.items():
        lines += [f"[profiles.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    (home.config / "nativeauth.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def sign_in_elsewhere(lab: Lab, oidc: OidcProvider, profile: str = "acme", **habits: Any) -> None:
    """Sign in through the server, but not by this browser."""
    oidc.browser(**habits).open(begin_elsewhere(lab, profile))


def begin_elsewhere(lab: Lab, profile: str = "acme") -> str:
    """Begin a sign-in, not by this browser; return the address of its first page."""
    with lab.http() as http:
        answer = http.post("nativeauth/api/login", json={"profile": profile})
        answer.raise_for_status()
    return str(answer.json()["url"])
