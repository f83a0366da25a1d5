"""The JupyterLab sidebar when something goes wrong: words in the card, what to do, and a way on that works."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser import Chromium
from tests.isolation import Home
from tests.lab import Lab
from tests.oidc_provider import OidcProvider
from tests.ui.sidebar import SIGNED_IN, SIGNED_OUT, WAITING, Sidebar, finish, sign_in_elsewhere, write_profiles


def test_a_sign_in_that_fails_says_why_and_can_be_tried_again(
    home: Home, start_lab: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider
) -> None:
    """Denied, cancelled, too late, or the service is down: the card says so until it is dismissed or tried again."""
    write_profiles(home, acme=oidc.profile(), slow=oidc.profile(timeout=1, scopes=["openid"]))
    lab = start_lab()
    page = chromium.open_lab(lab)
    sidebar = Sidebar(page)

    # Denied. Another page sees it too; dismissed in one, it is gone in both.
    tab = sidebar.begin(chromium)
    chromium.sign_in(tab, allow=False)
    tab.wait_for_url("**/nativeauth/done/denied*")
    tab.close()
    sidebar.expect_state(SIGNED_OUT)
    sidebar.expect_problem("access_denied")
    expect(sidebar.icon).to_have_attribute("title", "Sign-in: needs your attention")
    page.reload()
    sidebar = Sidebar(chromium.ready(page))
    sidebar.expect_problem("access_denied")
    sidebar.button("Dismiss").click()
    sidebar.expect_no_problem()
    expect(sidebar.icon).to_have_attribute("title", "Sign-in: signed out")

    # Cancelled. That is no problem; the tab, where the person may still be, comes to nothing.
    tab = sidebar.begin(chromium)
    sidebar.expect_state(WAITING)
    sidebar.button("Cancel signing in to acme").click()
    sidebar.expect_state(SIGNED_OUT)
    sidebar.expect_no_problem()
    tab.get_by_role("button", name="Allow").click()
    tab.wait_for_url(re.compile(r"/nativeauth/done/(?!signed-in)"))
    tab.close()
    sidebar.expect_state(SIGNED_OUT)
    assert oidc.journal("token") == []

    # Too late.
    tab = sidebar.begin(chromium, "Sign in to slow", "slow")
    sidebar.expect_problem("time", "slow")
    tab.close()
    sidebar.expect_state(SIGNED_OUT, "slow")
    sidebar.button("Dismiss", "slow").click()
    sidebar.expect_no_problem("slow")

    # Nobody answers: no tab stays open. As soon as somebody does, it works.
    oidc.reset()
    oidc.fault("discovery", action="drop", times=20)
    sidebar.button("Sign in to acme").click()
    sidebar.expect_problem("could not be reached")
    sidebar.expect_state(SIGNED_OUT)
    assert len(chromium.context.pages) == 1
    oidc.reset()
    tab = sidebar.begin(chromium, "Try again")
    sidebar.expect_no_problem()
    chromium.sign_in(tab)
    finish(tab)
    sidebar.expect_state(SIGNED_IN)


def test_a_login_that_waits_for_the_presence_gate(
    home: Home, start_lab: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider
) -> None:
    """The card says so and has a button for it, which says why nobody can be asked; without the gate all is as ever."""
    write_profiles(home, acme=oidc.profile())
    lab = start_lab(env={"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent/bus"})
    sign_in_elsewhere(lab, oidc)
    sidebar = Sidebar(chromium.open_lab(lab))
    sidebar.expect_state(SIGNED_IN)
    confirm = sidebar.button("Confirm that it is you, for acme")
    expect(confirm).to_have_count(0)
    write_profiles(home, acme=oidc.profile(presence="hourly"))
    sidebar.expect_state("The login of Ada Example waits until you confirm that it is you")
    expect(sidebar.icon).to_have_attribute("title", "Sign-in: needs your attention")
    confirm.click()
    sidebar.expect_problem("no D-Bus system bus here")
    sidebar.button("Dismiss").click()
    sidebar.expect_no_problem()
    write_profiles(home, acme=oidc.profile())
    sidebar.expect_state(SIGNED_IN)
    expect(confirm).to_have_count(0)
