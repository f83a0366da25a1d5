"""Signing in from a notebook, in a real JupyterLab in a real Chromium with its popup blocker on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.browser import Chromium
from tests.canary import Canary
from tests.isolation import Home
from tests.lab import Lab
from tests.oidc_provider import OidcProvider

SCREENSHOT = Path(__file__).parents[2] / "docs" / "screenshot.png"
CALL = 'from jupyter_nativeauth import get_session\nget_session().get("/api/me").json()["name"]'


@pytest.fixture
def start(home: Home, oidc: OidcProvider, start_lab: Callable[..., Lab]) -> Callable[..., Lab]:
    """Start JupyterLab with the profile ``acme`` and a notebook of these cells."""

    def begin(*cells: str, base_url: str = "/", markdown: str = "", **options: Any) -> Lab:
        base = f"{base_url}nativeauth/"
        oidc.reset(redirect_paths=[f"{base}callback"], logout_paths=[f"{base}logout/callback"])
        lines = [f"{key} = {json.dumps(value)}" for key, value in oidc.profile().items()]
        (home.config / "nativeauth.toml").write_text("[profiles.acme]\n" + "\n".join(lines) + "\n")
        lab = start_lab(base_url=base_url, **options)
        book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
        book.cells = [nbformat.v4.new_markdown_cell(markdown)] if markdown else []
        book.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
        nbformat.write(book, lab.root / "work.ipynb")
        return lab

    return begin


def panel(page: Page) -> Any:
    """The newest panel of the notebook in front."""
    return page.locator(".jp-OutputArea-output .widget-vbox").last


def follow(chromium: Chromium, page: Page, name: str) -> Page:
    """Click a link of the panel, and go on in the tab that it opens."""
    with chromium.context.expect_page() as opened:
        page.get_by_role("link", name=name, exact=True).first.click()
    return opened.value


def outputs(page: Page) -> str:
    return "\n".join(page.locator(".jp-Notebook .jp-OutputArea-output").all_inner_texts())


@pytest.mark.parametrize(("host", "base_url"), [("127.0.0.1", "/"), ("localhost", "/a%40b/")])
def test_sign_in_use_and_sign_out(
    start: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider, canary: Canary, host: str, base_url: str
) -> None:
    """
    NRM-001, SEC-030, SEC-038, SEC-050, SEC-051, SEC-023: a link, a tab, the provider, and back; then the API
    answers, in a second kernel too; after a sign-out in one, the other is signed out. The saved notebook holds no
    secret.
    """
    lab = start("%load_ext jupyter_nativeauth", "%login", CALL, base_url=base_url)
    page = chromium.open_lab(lab, "tree/work.ipynb", host=host)
    chromium.run_all(page)
    tab = follow(chromium, page, "Sign in to acme")
    chromium.sign_in(tab)
    tab.wait_for_url("**/nativeauth/done/signed-in")
    expect(tab.get_by_role("heading")).to_have_text("You are signed in")
    assert urlsplit(tab.url).hostname == "127.0.0.1"
    assert (urlsplit(tab.url).query, tab.evaluate("document.referrer")) == ("", "")
    expect(page.get_by_text("'Ada Example'")).to_be_visible()
    expect(panel(page)).to_contain_text("Signed in as Ada Example")
    if base_url == "/":
        _take_screenshot(page)

    second = lab.kernel()
    assert "Ada Example" in (second.run(CALL).result or "")
    chromium.save(page)
    saved = (lab.root / "work.ipynb").read_text()
    canary.look("the saved notebook", saved)
    canary.look("the tab's address", tab.url)

    page.evaluate("() => window.jupyterapp.commands.execute('notebook:insert-cell-below')")
    page.keyboard.press("Enter")
    page.keyboard.type("%logout")
    page.keyboard.press("Shift+Enter")
    out = follow(chromium, page, "End the session at the service")
    out.get_by_role("button", name="Sign out").click()
    out.get_by_role("button", name="Yes, sign me out").click()
    expect(out.get_by_role("heading")).to_have_text("You are signed out")
    assert (second.run(CALL).error or ("",))[0] == "LoginRequired"
    ends = [hit.endpoint for hit in oidc.journal() if hit.endpoint in ("revocation", "end_session")]
    assert ends[:2] == ["revocation", "end_session"]


def _take_screenshot(page: Page) -> None:
    """The picture of the README, as this test has seen it; written only where it is asked for."""
    import os

    if os.environ.get("NATIVEAUTH_SCREENSHOT"):
        page.set_viewport_size({"width": 1120, "height": 560})
        page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        page.wait_for_timeout(500)
        page.screenshot(path=SCREENSHOT)


def test_denied_at_the_provider(start: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider) -> None:
    """The tab says so and offers *Try again*; the cell ends with a short error; trying again works."""
    lab = start("%load_ext jupyter_nativeauth", "%login")
    page = chromium.open_lab(lab, "tree/work.ipynb")
    chromium.run_all(page)
    tab = follow(chromium, page, "Sign in to acme")
    chromium.sign_in(tab, allow=False)
    tab.wait_for_url("**/nativeauth/done/denied*")
    expect(page.locator(".jp-OutputArea-output", has_text="access_denied").last).to_be_visible()
    assert "Traceback" not in outputs(page)
    tab.get_by_role("link", name="Try again").click()
    tab.get_by_role("button", name="Allow").click()
    tab.wait_for_url("**/nativeauth/done/signed-in")
    expect(panel(page)).to_contain_text("Signed in as Ada Example")


def test_a_hostile_notebook_can_show_images_only(
    start: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider
) -> None:
    """SEC-002, SEC-026, SEC-057: images in Markdown ask for our pages as the notebook opens; nothing happens."""
    images = "\n".join(
        f"![x](/nativeauth/{route})\n\n<img src='/nativeauth/{route}'>"
        for route in ("logout?profile=acme", "login?profile=acme", "go/abc", "callback?code=a&state=b")
    )
    lab = start("%load_ext jupyter_nativeauth", "%login", markdown=images)
    page = chromium.open_lab(lab, "tree/work.ipynb")
    chromium.run_all(page)
    tab = follow(chromium, page, "Sign in to acme")
    chromium.sign_in(tab)
    expect(panel(page)).to_contain_text("Signed in as Ada Example")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.reload()
    expect(page.locator(".jp-MarkdownOutput img").first).to_be_attached()
    page.wait_for_function("() => [...document.querySelectorAll('.jp-MarkdownOutput img')].every(img => img.complete)")
    assert {"/nativeauth/logout", "/nativeauth/login"} <= set(asked)
    with lab.http() as http:
        (row,) = http.get("nativeauth/api/profiles").json()["profiles"]
    assert (row["state"], row["pending"]) == ("signed_in", None)
    assert len(oidc.journal("token")) == 1
    assert oidc.journal("revocation") == []


def test_interrupting_the_kernel_ends_the_wait(start: Callable[..., Lab], chromium: Chromium) -> None:
    """FLT-054: the kernel's stop button cancels ``%login``; the panel says so, and another try shows a link again."""
    lab = start("%load_ext jupyter_nativeauth\n%login")
    page = chromium.open_lab(lab, "tree/work.ipynb")
    chromium.run_all(page)
    expect(page.get_by_role("link", name="Sign in to acme", exact=True)).to_be_visible()
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:interrupt-kernel'); }")
    expect(page.get_by_text("KeyboardInterrupt").first).to_be_visible()
    expect(panel(page)).to_contain_text("ancelled")
    chromium.run_all(page)
    expect(page.get_by_role("link", name="Sign in to acme", exact=True)).to_be_visible()
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:interrupt-kernel'); }")


def test_the_button_page_works_below_an_admin_strict_browser(
    start: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider
) -> None:
    """Typing the address begins nothing by itself: one button, one POST, and a page that leads on."""
    lab = start(CALL)
    chromium.open_lab(lab, host="localhost")
    tab = chromium.context.new_page()
    tab.goto(f"http://localhost:{lab.port}/nativeauth/login?profile=acme")
    expect(tab.get_by_role("heading")).to_have_text("Sign in to acme?")
    assert oidc.journal("authorization") == []
    tab.get_by_role("button", name="Sign in").click()
    chromium.sign_in(tab)
    tab.wait_for_url("**/nativeauth/done/signed-in")
    assert urlsplit(tab.url).hostname == "127.0.0.1"
