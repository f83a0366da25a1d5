"""*Try again* on the pages of a sign-in that is over: for its own browser at once, for any other after a login."""

from __future__ import annotations

import asyncio
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.answers import Answer
from tests.hostile import Hostile
from tests.html_page import Page
from tests.http_browser import HttpBrowser
from tests.jupyter.site import Site

SIGNED_IN = "You are signed in"


async def again(page: Page, browser: HttpBrowser) -> Page:
    """Follow the link of that name."""
    return await asyncio.to_thread(browser.click, page, "Try again")


def make_late(site: Site) -> None:
    """Nobody has finished the sign-in in time."""
    (pending,) = site.extension.host.pending.all()
    pending.until = 0.0


async def cancel(site: Site) -> None:
    (pending,) = site.extension.host.pending.all()
    await site.api("DELETE", f"login/{pending.id}")


@pytest.mark.parametrize("ended", ["late", "cancelled", "replaced", "other browser"])
async def test_the_answer_comes_too_late(site: Site, ended: str) -> None:
    """Whoever typed a password for nothing is told so on a clean page, and may begin once more from there."""
    begun, browser = await site.login(), HttpBrowser()
    callback = await site.answer_to(begun["url"], browser)
    if ended == "late":
        make_late(site)
    elif ended == "cancelled":
        await cancel(site)
    elif ended == "replaced":
        await site.login()
    else:
        assert (await site.visit(begun["url"])).status == 403
    page = await site.visit(callback, browser)
    assert (page.status, urlsplit(page.url).path) == (410, f"{site.base}done/expired")
    assert "code=" not in page.url
    assert SIGNED_IN in (await again(page, browser)).text
    row = await site.row()
    assert (row["state"], row["failed"], row["pending"]) == ("signed_in", None, None)
    assert (await site.visit(callback, browser)).status == 400


async def test_only_its_own_browser_learns_that_it_is_over(site: Site) -> None:
    """A forged answer, or the right one in another browser, gets the neutral page, as ever; and no way on."""
    begun, browser = await site.login(), HttpBrowser()
    callback = await site.answer_to(begun["url"], browser)
    make_late(site)
    stranger = HttpBrowser()
    for address in (callback, callback.replace("state=", "state=x"), callback.partition("?")[0]):
        page = await site.visit(address, stranger)
        assert (page.status, "Try again" in page.links) == (400, False)
    assert (await site.row())["pending"] is None


async def test_a_link_that_is_over(site: Site) -> None:
    """
    Its own browser begins anew at once. Any other is led to a page that asks for the Jupyter login: somebody who has
    seen an old link must not be able to sign in with an account of his own.
    """
    begun, browser = await site.login(), HttpBrowser()
    await site.answer_to(begun["url"], browser)
    await cancel(site)
    page = await site.visit(begun["url"], stranger := HttpBrowser())
    assert page.status == 410
    assert page.links["Try again"] == f"http://127.0.0.1:{site.port}{site.base}login?profile=acme"
    assert urlsplit((await again(page, stranger)).url).path == f"{site.base.removesuffix('nativeauth/')}login"
    assert (await site.row())["pending"] is None
    assert SIGNED_IN in (await again(await site.visit(begun["url"], browser), browser)).text
    assert (await site.visit(begun["url"].rpartition("/")[0] + "/unknown")).links == {}


async def test_a_link_that_was_not_opened_in_time(site: Site) -> None:
    """After its minute it opens nothing, though the sign-in goes on for who has opened it before."""
    begun, browser = await site.login(), HttpBrowser()
    (pending,) = site.extension.host.pending.all()
    pending.ticket_until = 0.0
    page = await site.visit(begun["url"], browser)
    assert (page.status, urlsplit(page.links["Try again"]).path) == (410, f"{site.base}login")
    assert (await site.row())["pending"]["id"] == begun["id"]


async def test_another_browser(site: Site) -> None:
    """It ends the sign-in. Whoever it was has to show the Jupyter login to begin another one."""
    begun = await site.login()
    await site.answer_to(begun["url"], HttpBrowser())
    page = await site.visit(begun["url"])
    assert (page.status, urlsplit(page.links["Try again"]).path) == (403, f"{site.base}login")
    assert (await site.row())["failed"]["code"] == "other_browser"


async def test_the_page_leads_back_to_where_jupyter_is_open(site: Site) -> None:
    """Jupyter's login is of one host name: the one that the sidebar's page had when it asked."""
    origin = {"Origin": f"http://localhost:{site.port}"}
    _, begun = await site.api("POST", "login", {"profile": "acme", "switch": True}, **origin)
    await cancel(site)
    page = await site.visit(begun["url"])
    assert page.links["Try again"] == f"{origin['Origin']}{site.base}login?profile=acme&switch=1"


async def test_cancelled_while_the_service_was_asked(site: Site, hostile: Hostile) -> None:
    """The person who changed his mind in Jupyter may change it again in the tab."""
    reached, go_on = threading.Event(), threading.Event()

    def slow(_: Any) -> None:
        reached.set()
        go_on.wait(20)

    browser = HttpBrowser()
    callback = await site.answer_to((await site.login())["url"], browser)
    hostile.answer("token", slow)
    visit = asyncio.create_task(site.visit(callback, browser))
    await asyncio.to_thread(reached.wait, 20)
    assert (await site.row())["pending"] is not None
    await cancel(site)
    go_on.set()
    page = await visit
    assert urlsplit(page.url).path == f"{site.base}done/cancelled"
    assert ((await site.row())["state"], (await site.row())["failed"]) == ("signed_out", None)
    assert len(hostile.hits("revoke")) == 1
    assert SIGNED_IN in (await again(page, browser)).text


async def test_it_cannot_even_begin(site: Site, hostile: Hostile) -> None:
    """The service is down: the page says so, and *Try again* asks it again, as often as one likes."""
    browser = HttpBrowser()
    callback = await site.answer_to((await site.login())["url"], browser)
    await cancel(site)
    page = await site.visit(callback, browser)
    for _ in range(2):
        hostile.answer("discovery", *[Answer(500)] * 2)
        page = await again(page, browser)
        assert "could not begin" in page.text
    assert SIGNED_IN in (await again(page, browser)).text


async def test_the_login_page_can_be_tried_again(site: Site, hostile: Hostile) -> None:
    """What `%login` leads to offers the same, with all that was asked for."""
    hostile.answer("discovery", *[Answer(500)] * 2)
    headers = {"Authorization": f"token {site.app.identity_provider.token}"}
    click = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    answer = await site.fetch("login?profile=acme&switch=1&other=x", headers=headers | click)
    assert 'href="./login?profile=acme&amp;switch=1"' in answer.body.decode()
