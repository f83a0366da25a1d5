"""The JupyterLab sidebar where a browser cannot come back: the address that it ends on is pasted there."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser import Chromium
from tests.isolation import Home
from tests.lab import Lab
from tests.oidc_provider import OidcProvider
from tests.ui.sidebar import SIGNED_IN, SIGNED_OUT, WAITING, Sidebar, follow, use_theme, write_profiles
from tests.ui.test_sidebar_for_all import THEMES, findings, tab_to

FIELD = "If the tab ends on a page that does not open"


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A redirect URI at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/nativeauth/callback"


def address_of(chromium: Chromium, tab: Page, redirect_uri: str) -> str:
    """What stands in the address line of a tab that has ended on a page which does not open; the tab is closed."""
    while not (found := [one.url for one in chromium.navigations if one.url.startswith(f"{redirect_uri}?")]):
        tab.wait_for_timeout(20)
    tab.close()
    return found[-1]


def test_a_tab_that_cannot_come_back(
    home: Home, start_lab: Callable[..., Lab], chromium: Chromium, oidc: OidcProvider, nowhere: str
) -> None:
    """
    FLT-066, SEC-024: where the page does not open, the card says what to do: start from here, paste the address, all by
    the keyboard too. A wrong address is refused with the reason, and the field is empty at once, in any case.
    """
    write_profiles(home, acme=oidc.profile(redirect_uri=nowhere))
    page = chromium.open_lab(start_lab())
    sidebar = Sidebar(page)
    sidebar.expect_state(SIGNED_OUT)
    with chromium.context.expect_page() as opened:
        sidebar.button("Sign in to acme").click()
    sidebar.expect_state(WAITING)
    opened.value.close()  # it shows that it cannot be reached, for not even our first page is there
    field = sidebar.card().get_by_label(FIELD)
    expect(field).to_be_hidden()
    more = sidebar.card().get_by_text("Does the page not open?")
    tab_to(page, more)
    page.keyboard.press("Enter")
    expect(field).to_be_visible()
    for theme in THEMES:
        use_theme(page, theme)
        assert findings(page) == []

    tab = follow(chromium, sidebar.button("Start from here: sign in to acme"))
    expect(more).to_have_count(0)
    chromium.sign_in(tab)
    address = address_of(chromium, tab, nowhere)
    page.bring_to_front()
    tab_to(page, field)
    page.keyboard.insert_text(address.replace("state=", "state=x"))
    page.keyboard.press("Enter")
    sidebar.expect_problem("The answer belongs to another sign-in.")
    expect(field).to_be_focused()
    expect(field).to_have_value("")
    for theme in THEMES:
        use_theme(page, theme)
        assert findings(page) == []
    field.fill(f'"{address}"')
    sidebar.button("Finish the sign-in").click()
    sidebar.expect_state(SIGNED_IN)
    expect(field).to_have_count(0)
    sidebar.expect_no_problem()
    assert address.partition("?")[2] not in page.content()
