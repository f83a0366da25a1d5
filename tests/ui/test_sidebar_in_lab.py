"""The sidebar as a part of JupyterLab and Notebook: commands, menu, status bar, settings, notifications, notebooks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect

from tests.browser import Chromium
from tests.isolation import Home
from tests.lab import Lab
from tests.oidc_provider import OidcProvider
from tests.ui.sidebar import SIGNED_IN, SIGNED_OUT, WAITING, Sidebar, command, finish, follow, opened_by, write_profiles

CALL = "from jupyter_nativeauth import get_session\nget_session().get('/api/me')"


@pytest.fixture
def lab(home: Home, oidc: OidcProvider, start_lab: Callable[..., Lab]) -> Lab:
    """A JupyterLab with the profile ``acme``, an empty notebook, and a handle on Notebook's pages too."""
    write_profiles(home, acme=oidc.profile())
    lab = start_lab(config={"JupyterNotebookApp": {"expose_app_in_browser": True}})
    write_notebook(lab.root / "work.ipynb")
    return lab


def write_notebook(path: Path) -> None:
    book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    book.cells = [nbformat.v4.new_markdown_cell("Work")]
    nbformat.write(book, path)


def test_commands_status_bar_settings_and_notifications(lab: Lab, chromium: Chromium, oidc: OidcProvider) -> None:
    """
    The palette signs in and out; the status bar says who and how long, opens the panel, and can be hidden; when the
    service ends the login, a notification says so, with a button that signs in, and then goes.
    """
    page = chromium.open_lab(lab)
    status = page.locator(".jp-NativeAuth-status").get_by_role("button")
    expect(status).to_contain_text("acme: signed out")

    tab = opened_by(chromium, lambda: command(page, "Sign in to acme"))
    sidebar = Sidebar(page)
    expect(sidebar.region).to_be_visible()
    sidebar.expect_state(WAITING)
    expect(status).to_contain_text("acme: waiting")
    chromium.sign_in(tab)
    finish(tab)
    expect(status).to_have_text(re.compile(r"^Ada Example · (60|59|58) min$"))

    sidebar.icon.click()
    expect(sidebar.region).to_be_hidden()
    status.click()
    expect(sidebar.region).to_be_visible()
    sidebar.icon.click()
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.get_by_role("menuitem", name="Show the sign-in panel").click()
    expect(sidebar.region).to_be_visible()

    page.evaluate("() => { window.jupyterapp.commands.execute('settingeditor:open', { query: 'sign-in' }); }")
    page.get_by_label("Show in the status bar").click()
    expect(status).to_be_hidden()

    # The service ends the login; a kernel finds out.
    oidc.expire("AccessToken")
    oidc.expire("RefreshToken")
    assert (lab.kernel().run(CALL).error or ("",))[0] == "LoginRequired"
    told = page.locator(".Toastify__toast")
    expect(told).to_contain_text("no longer accepts")
    expect(sidebar.icon).to_have_attribute("title", "Sign-in: needs your attention")
    tab = follow(chromium, told.get_by_role("button", name="Sign in"))
    tab.get_by_role("button", name="Allow").click()
    finish(tab)
    sidebar.expect_state(SIGNED_IN)
    expect(told).to_have_count(0)

    out = opened_by(chromium, lambda: command(page, "Sign out of acme"))
    out.get_by_role("button", name="Yes, sign me out").click()
    sidebar.expect_state(SIGNED_OUT)


def test_insert_code_in_jupyterlab_and_in_notebook(lab: Lab, chromium: Chromium, oidc: OidcProvider) -> None:
    """
    *Insert code* needs a notebook, puts the lines into it, and they run as they stand. In Notebook, which shows no
    icon, palette and menu open the panel, beside the files and beside a notebook, and it is the same there.
    """
    page = chromium.open_lab(lab)
    sidebar = Sidebar(page)
    sidebar.expect_state(SIGNED_OUT)
    expect(sidebar.button("Insert code for acme")).to_be_disabled()
    page.evaluate("() => { window.jupyterapp.commands.execute('docmanager:open', { path: 'work.ipynb' }); }")
    expect(sidebar.button("Insert code for acme")).to_be_enabled()
    sidebar.button("Insert code for acme").click()
    chromium.wait_for_kernel(page)
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    expect(cells).to_have_count(1)
    expect(cells.locator(".cm-content")).to_contain_text("get_session()")

    for path in ("tree", "notebooks/work.ipynb"):
        page.goto(lab.lab_url().replace("/lab/", f"/{path}"))
        page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)")
        expect(sidebar.region).to_be_hidden()
        command(page, "Show the sign-in panel")
        expect(sidebar.region).to_be_visible()
    sidebar.sign_in(chromium)
    sidebar.expect_state(SIGNED_IN)
    sidebar.button("Insert code for acme").click()
    expect(cells.last.locator(".cm-content")).to_contain_text("get_session()")
    page.keyboard.press("Control+Enter")
    expect(cells.last.locator(".jp-OutputArea-output")).to_contain_text("Response")
