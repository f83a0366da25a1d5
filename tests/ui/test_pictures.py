"""The README's pictures of the sidebar, after a real sign-in. conftest.py leaves them out unless they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
from playwright.sync_api import expect

from tests.browser import Chromium
from tests.isolation import Home
from tests.lab import Lab
from tests.oidc_provider import OidcProvider
from tests.ui.sidebar import SIGNED_IN, SIGNED_OUT, Sidebar, use_theme, write_profiles

DOCS = Path(__file__).parents[2] / "docs"
CODE = """\
from jupyter_nativeauth import get_session

api = get_session()
api.get("/api/me").json()"""


def test_draw(home: Home, start_lab: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider) -> None:
    """One profile signed in and used, one signed out; in light and in dark."""
    write_profiles(home, acme=oidc.profile(), files=oidc.profile(scopes=["openid"]))
    toml = home.config / "nativeauth.toml"
    toml.write_text('default = "acme"\n' + toml.read_text())
    lab = start_lab()
    book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    book.cells = [nbformat.v4.new_code_cell(CODE)]
    nbformat.write(book, lab.root / "work.ipynb")
    page = chromium.open_lab(lab, "tree/work.ipynb")
    page.set_viewport_size({"width": 1120, "height": 680})
    page.evaluate("() => { window.jupyterapp.shell.collapseLeft(); }")
    sidebar = Sidebar(page)
    sidebar.sign_in(chromium)
    sidebar.expect_state(SIGNED_IN)
    sidebar.expect_state(SIGNED_OUT, "files")
    chromium.run_all(page)
    expect(page.locator(".jp-OutputArea-output")).to_contain_text("Ada Example")
    for theme in ("Light", "Dark"):
        use_theme(page, f"JupyterLab {theme}")
        page.mouse.move(400, 500)
        page.wait_for_timeout(500)  # until what fades has faded
        page.screenshot(path=DOCS / f"sidebar-{theme.lower()}.png")
