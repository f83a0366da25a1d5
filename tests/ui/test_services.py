"""The four services, in a real JupyterLab in a real Chromium: one server, one window, one notebook."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable

import nbformat
import pytest
from playwright.sync_api import Page, expect

from tests.browser import SLOW, Chromium
from tests.canary import Canary
from tests.emulators.base import free_port
from tests.emulators.lives import LIVES
from tests.emulators.oauth import OAuthEmulator
from tests.isolation import Home
from tests.kernel import Kernel
from tests.lab import Lab

IMPORT = "from jupyter_nativeauth import get_session\n"


def run(page: Page, cell: int, *, wait: bool = True) -> None:
    """Run one cell of the notebook in front. (A click into an output makes another cell the active one.)"""
    page.evaluate(
        """([cell, wait]) => {
            window.jupyterapp.shell.currentWidget.content.activeCellIndex = cell;
            const end = window.jupyterapp.commands.execute('notebook:run-cell');
            return wait ? end.then(() => true) : true;
        }""",
        [cell, wait],
    )


def follow(chromium: Chromium, page: Page, name: str) -> Page:
    """Click a link of the newest panel, and go on in the tab that it opens."""
    with chromium.context.expect_page() as opened:
        page.get_by_role("link", name=name, exact=True).last.click()
    return opened.value


def failure(kernel: Kernel, call: str) -> str:
    """The error that a call of the API ends with in another kernel; empty if it does not."""
    return (kernel.run(IMPORT + call).error or ("",))[0]


def test_sign_in_call_renew_and_sign_out(
    home: Home,
    start_lab: Callable[..., Lab],
    chromium: Chromium,
    canary: Canary,
    request: pytest.FixtureRequest,
) -> None:
    """
    A0-2, A0-12, SK-2, SK-13, WB-1, WB-13, XU-1, XU-5: a link, a tab, the service's page, and back; then the API
    answers, in another kernel too, and past the end of the access token; a sign-out ends all of it. Each request is
    made once, and in this order.
    """
    services: dict[str, OAuthEmulator] = {name: request.getfixturevalue(name) for name in LIVES}
    port, lines, cells = free_port(), [], ["%load_ext jupyter_nativeauth"]
    for name, service in services.items():
        service.login = "page"
        service.register(f"http://127.0.0.1:{port}")
        keys = service.profile(redirect_ports=[port], **LIVES[name].keys)
        lines += [f"[profiles.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
        cells += [f"%login {name}", IMPORT + LIVES[name].call(name), f"%logout {name}"]
    (home.config / "nativeauth.toml").write_text("\n".join(lines) + "\n")
    lab = start_lab(config={"ServerApp": {"port": port, "port_retries": 0}})
    book = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
    book.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(book, lab.root / "work.ipynb")
    other = lab.kernel()
    page = chromium.open_lab(lab, "tree/work.ipynb")
    chromium.wait_for_kernel(page)
    run(page, 0)
    cell = itertools.count(1)

    for name, life in LIVES.items():
        service, call = services[name], life.call(name)
        run(page, next(cell), wait=False)  # %login, which waits for the person
        tab = follow(chromium, page, f"Sign in to {name}")
        tab.get_by_role("button", name=life.press, exact=True).click()
        tab.wait_for_url("**/nativeauth/done/signed-in")
        expect(tab.get_by_role("heading")).to_have_text("You are signed in")
        tab.close()
        run(page, next(cell))
        assert failure(other, call) == ""
        service.expire()
        assert failure(other, call) == ("" if life.renews else "LoginRequired")

        run(page, next(cell))  # %logout
        expect(page.get_by_text(f"Signed out of {name}").first).to_be_visible(timeout=SLOW)
        if life.ends:
            out = follow(chromium, page, "End the session at the service")
            out.get_by_role("button", name="Sign out").click()
            expect(out.get_by_role("heading")).to_have_text("You are signed out")
            out.close()
        assert failure(other, call) == "LoginRequired"
        assert life.taken(service) == life.steps()
    chromium.save(page)
    saved = (lab.root / "work.ipynb").read_text()
    canary.look("the saved notebook", saved)
    assert saved.count('"execute_result"') == len(LIVES)
