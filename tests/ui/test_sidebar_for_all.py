"""The sidebar for everybody: by the keyboard alone, with a screen reader, in light and dark; and quiet when idle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, Request, expect

from tests.browser import Chromium
from tests.isolation import Home
from tests.lab import Lab
from tests.oidc_provider import OidcProvider
from tests.ui.sidebar import (
    PANEL,
    SIGNED_IN,
    SIGNED_OUT,
    WAITING,
    Sidebar,
    begin_elsewhere,
    sign_in_elsewhere,
    use_theme,
    write_profiles,
)

AXE = Path(__file__).parents[2] / "labextension" / "node_modules" / "axe-core" / "axe.min.js"
THEMES = ("JupyterLab Light", "JupyterLab Dark")


def findings(page: Page) -> list[str]:
    """What axe-core finds in the panel and the status bar item that is serious or critical."""
    if not page.evaluate("() => 'axe' in window"):
        page.add_script_tag(path=AXE)
        # JupyterLab's body has no height, and axe-core takes all that is in it for unseen.
        page.evaluate("() => { document.body.style.height = '100vh'; }")
    result: dict[str, list[dict[str, Any]]] = page.evaluate(
        "include => axe.run({ include })", [f"#{PANEL}", ".jp-NativeAuth-status"]
    )
    seen = {one["id"] for one in result["passes"] + result["violations"]}
    assert {"button-name", "color-contrast", "heading-order"} <= seen, "it has not looked at anything"
    return [
        f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes']]}"
        for one in result["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def test_each_state_in_light_and_in_dark(
    home: Home, start_lab: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider
) -> None:
    """
    axe-core finds nothing serious in any state. No profile: what to register, what to write, and where. Written
    wrongly: what is wrong. Written well: a card for each, without a reload; one signed in, one waiting, one denied.
    """
    lab = start_lab()
    page = chromium.open_lab(lab)
    sidebar = Sidebar(page)
    file = home.config / "nativeauth.toml"
    for words in (str(file), "[profiles.acme]", "issuer = ", "client_id = ", "api = "):
        expect(sidebar.region).to_contain_text(words)
    for path in ("callback", "logout/callback"):
        expect(sidebar.region).to_contain_text(f"http://127.0.0.1/nativeauth/{path}")
    expect(sidebar.icon).to_have_attribute("title", "Sign-in: signed out")
    for theme in THEMES:
        use_theme(page, theme)
        assert findings(page) == []

    file.write_text("[profiles.acme]\nissuer = 'https://id.acme.example'\n", encoding="utf-8")
    expect(sidebar.region.get_by_role("alert")).to_contain_text("client_id")
    expect(sidebar.icon).to_have_attribute("title", "Sign-in: needs your attention")
    assert findings(page) == []

    scopes = [["openid"], ["openid", "email"], ["openid", "profile"]]
    others = [oidc.profile(scopes=one) for one in scopes]
    write_profiles(home, acme=oidc.profile(), out=others[0], waits=others[1], denied=others[2])
    sidebar.expect_state(SIGNED_OUT, "denied")
    expect(sidebar.region.get_by_role("alert")).to_have_count(0)
    sign_in_elsewhere(lab, oidc)
    begin_elsewhere(lab, "waits")
    sign_in_elsewhere(lab, oidc, "denied", press=("Sign in", "Deny"))
    sidebar.expect_state(SIGNED_IN)
    sidebar.expect_state(SIGNED_OUT, "out")
    sidebar.expect_state(WAITING, "waits")
    sidebar.expect_problem("access_denied", "denied")
    for theme in THEMES:
        use_theme(page, theme)
        assert findings(page) == []


def test_the_keyboard_is_enough(
    home: Home, start_lab: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider
) -> None:
    """Tab and Enter lead to the panel, through a sign-in and out of it; what has the focus shows it, and keeps it."""
    write_profiles(home, acme=oidc.profile())
    page = chromium.open_lab(start_lab())
    page.keyboard.press("Control+Shift+C")
    expect(page.locator(".lm-CommandPalette-input")).to_be_focused()
    page.keyboard.type("show the sign-in panel")
    expect(page.locator(".lm-CommandPalette-item.lm-mod-active")).to_contain_text("Show the sign-in panel")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Sign-in", exact=True)).to_be_visible()
    sidebar = Sidebar(page)
    sidebar.expect_state(SIGNED_OUT)

    tab_to(page, sidebar.button("Sign in to acme"))
    with chromium.context.expect_page() as opened:
        page.keyboard.press("Enter")
    sidebar.expect_state(WAITING)
    page.bring_to_front()
    tab_to(page, sidebar.button("Cancel signing in to acme"))
    page.keyboard.press("Space")
    sidebar.expect_state(SIGNED_OUT)
    expect(sidebar.button("Sign in to acme")).to_be_focused()
    opened.value.close()


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until *target* has the focus, and see that it shows it."""
    for _ in range(60):
        if target.evaluate("node => node === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(target).to_be_focused()
    shown = target.evaluate("node => node.matches(':focus-visible') && getComputedStyle(node).outlineStyle")
    assert shown not in (False, "none")


def test_an_idle_panel_is_quiet(
    home: Home, start_lab: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider
) -> None:
    """Nothing asks the server more than once a minute; with the panel closed or the tab hidden, nobody asks at all."""
    write_profiles(home, acme=oidc.profile())
    lab = start_lab()
    sign_in_elsewhere(lab, oidc)
    page = chromium.page
    page.clock.install()
    chromium.open_lab(lab)
    sidebar = Sidebar(page)
    sidebar.expect_state(SIGNED_IN)
    asked: set[Request] = set()
    answered: set[Request] = set()

    def minutes(number: int) -> int:
        """How often the server is asked within so many minutes."""
        asked.clear()
        for _ in range(number):
            page.clock.run_for(60_000)
            page.wait_for_timeout(50)
            while not asked <= answered:
                page.wait_for_timeout(50)
        return len(asked)

    page.on("request", lambda request: asked.add(request) if "/nativeauth/" in request.url else None)
    page.on("requestfinished", lambda request: answered.add(request))  # noqa: PLW0108 - Playwright marks what it gets
    assert 1 <= minutes(5) <= 5
    page.evaluate(HIDE)
    assert minutes(5) == 0
    page.evaluate(SHOW)
    sidebar.icon.click()
    expect(sidebar.region).to_be_hidden()
    minutes(1)
    assert minutes(5) == 0


HIDE = """() => {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' });
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
    document.dispatchEvent(new Event('visibilitychange'));
}"""
SHOW = """() => {
    delete document.visibilityState;
    delete document.hidden;
    document.dispatchEvent(new Event('visibilitychange'));
}"""
