"""The JupyterLab sidebar in a real Chromium with its popup blocker on: signing in, using it, signing out."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser import Chromium
from tests.isolation import Home
from tests.kernel import Kernel
from tests.lab import Lab
from tests.oidc_provider import OidcProvider
from tests.ui.sidebar import SIGNED_IN, SIGNED_OUT, WAITING, Sidebar, finish, follow, sign_in_elsewhere, write_profiles

CALL = 'from jupyter_nativeauth import get_session\nget_session().get("/api/me").json()["name"]'
LOGOUT = "from jupyter_nativeauth import logout; logout()"
SCRIPT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {LOGOUT!r}], check=True)"


@pytest.fixture
def start(home: Home, oidc: OidcProvider, start_lab: Callable[..., Lab]) -> Callable[..., Lab]:
    """Start JupyterLab with the profile ``acme``."""

    def begin(base_url: str = "/") -> Lab:
        base = f"{base_url}nativeauth/"
        oidc.reset(redirect_paths=[f"{base}callback"], logout_paths=[f"{base}logout/callback"])
        write_profiles(home, acme=oidc.profile())
        return start_lab(base_url=base_url)

    return begin


def outcome(kernel: Kernel) -> str:
    """What a call of the API comes to: a name, or an error's."""
    run = kernel.run(CALL)
    return run.error[0] if run.error else str(run.result)


def test_sign_in_here_and_sign_out_anywhere(start: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider) -> None:
    """
    NRM-001: one click opens the service in a tab of its own, which knows nothing of Jupyter; then all kernels are
    signed in. Who signs in or out elsewhere, in a kernel, a script or another browser, is seen in the panel at once.
    """
    lab = start()
    sidebar = Sidebar(chromium.open_lab(lab))
    sidebar.expect_state(SIGNED_OUT)
    expect(sidebar.icon).to_have_attribute("title", "Sign-in: signed out")
    tab = sidebar.begin(chromium)
    sidebar.expect_state(WAITING)
    expect(sidebar.card().get_by_role("timer")).to_contain_text("4:5")
    expect(tab.get_by_label("Username")).to_be_visible()
    assert tab.evaluate("[window.opener, document.referrer]") == [None, ""]
    chromium.sign_in(tab)
    finish(tab)

    sidebar.expect_state(SIGNED_IN)
    expect(sidebar.icon).to_have_attribute("title", "Sign-in: signed in")
    for fact in ("ada@example.org", "openid", oidc.api, "renewed", "Server memory: lost when the server stops"):
        expect(sidebar.card()).to_contain_text(fact)
    one, two = lab.kernel(), lab.kernel()
    assert outcome(one) == outcome(two) == "'Ada Example'"

    one.run(SCRIPT)
    sidebar.expect_state(SIGNED_OUT)
    assert outcome(two) == "LoginRequired"
    sign_in_elsewhere(lab, oidc)
    sidebar.expect_state(SIGNED_IN)
    two.run(LOGOUT)
    sidebar.expect_state(SIGNED_OUT)

    # The provider still knows the person, in this browser: it asks for nothing but a yes.
    tab = sidebar.begin(chromium)
    tab.get_by_role("button", name="Allow").click()
    finish(tab)
    sidebar.expect_state(SIGNED_IN)
    assert outcome(one) == "'Ada Example'"
    out = sidebar.begin(chromium, "Sign out of acme")
    out.get_by_role("button", name="Yes, sign me out").click()
    expect(out.get_by_role("heading")).to_have_text("You are signed out")
    sidebar.expect_state(SIGNED_OUT)
    assert outcome(one) == outcome(two) == "LoginRequired"
    ends = [hit.endpoint for hit in oidc.journal() if hit.endpoint in ("revocation", "end_session")]
    assert ends[:3] == ["revocation"] * 3
    assert set(ends[3:]) == {"end_session"}


def test_a_blocked_tab_leaves_a_link(start: Callable[..., Lab], chromium: Chromium) -> None:
    """
    SEC-038: where the browser opens no tab for us, or the person has lost it, a link in the card leads on, in and out;
    also from localhost, and below any base URL.
    """
    lab = start("/a%40b/")
    page = chromium.open_lab(lab, host="localhost")
    sidebar = Sidebar(page)
    page.evaluate("() => { window.open = () => null; }")
    sidebar.button("Sign in to acme").click()
    sidebar.expect_state(WAITING)
    assert len(chromium.context.pages) == 1
    tab = follow(chromium, sidebar.link())
    expect(tab.get_by_label("Username")).to_be_visible()
    assert tab.evaluate("[window.opener, document.referrer]") == [None, ""]
    chromium.sign_in(tab)
    tab.wait_for_url("**/nativeauth/done/signed-in")
    assert (urlsplit(tab.url).hostname, urlsplit(tab.url).query) == ("127.0.0.1", "")
    finish(tab)
    sidebar.expect_state(SIGNED_IN)
    expect(sidebar.link()).to_have_count(0)
    assert outcome(lab.kernel()) == "'Ada Example'"

    sidebar.button("Sign out of acme").click()
    sidebar.expect_state(SIGNED_OUT)
    expect(sidebar.card()).to_contain_text("Signed out of acme")
    out = follow(chromium, sidebar.link("End the session at the service"))
    out.get_by_role("button", name="Yes, sign me out").click()
    expect(out.get_by_role("heading")).to_have_text("You are signed out")


def test_what_was_going_on_survives_a_reload_and_a_restart(start: Callable[..., Lab], chromium: Chromium) -> None:
    """FLT-068: a reload in the middle of a sign-in loses nothing. After a restart of the server the panel comes right
    alone."""
    lab = start()
    page = chromium.open_lab(lab)
    sidebar = Sidebar(page)
    tab = sidebar.begin(chromium)
    sidebar.expect_state(WAITING)
    page.reload()
    sidebar = Sidebar(chromium.ready(page))
    sidebar.expect_state(WAITING)
    expect(sidebar.button("Cancel signing in to acme")).to_be_visible()
    chromium.sign_in(tab)
    finish(tab)
    sidebar.expect_state(SIGNED_IN)

    # JupyterLab's own words, in the way of everything; how soon they come is its own business.
    page.add_locator_handler(page.get_by_role("dialog"), lambda dialog: dialog.press("Escape"))
    lab.restart()  # its memory, which held the key, is gone
    expect(sidebar.card().get_by_role("status")).to_contain_text("server that has stopped")
    expect(sidebar.icon).to_have_attribute("title", "Sign-in: needs your attention")
    tab = sidebar.begin(chromium)
    tab.get_by_role("button", name="Allow").click()
    finish(tab)
    sidebar.expect_state(SIGNED_IN)
