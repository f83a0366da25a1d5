"""What Jupyter's server and tornado log by themselves: whatever goes wrong in our handlers, no code is in it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from jupyter_server.base.handlers import JupyterHandler
from tornado.httpclient import HTTPResponse

from jupyter_nativeauth._api import API_ROUTES
from jupyter_nativeauth._handlers import ROUTES
from jupyter_nativeauth._host import Host
from tests.canary import Canary
from tests.hostile import Hostile
from tests.jupyter.site import Site

PUBLIC = ["callback", "callback/acme", "go/abc", "done/failed", "logout/callback"]


async def test_whatever_breaks_behind_the_callback(site: Site, hostile: Hostile, canary: Canary) -> None:
    """
    TRP-01, SEC-044, ADV-025: each of our functions on the way of a callback fails once, with the code in its error's
    text; and each of those that tell of a failure fails on top of it. tornado's "Uncaught exception GET /...?code="
    is never written: neither log nor page holds the code or the state, whoever waits gets an error, and the next
    sign-in works.
    """

    async def callback() -> HTTPResponse:
        return await site.fetch(f"callback?{query}", headers=cookie)

    pending, query, cookie = await site.begin()
    site.faults.seen.clear()
    answer = await site.watched(callback)
    assert answer.headers["Location"].endswith("/nativeauth/done/signed-in")
    on_the_way = site.faults.functions()
    assert len(on_the_way) > 80

    first = Host.callback.__code__
    pending, query, cookie = await site.begin()
    site.faults.seen.clear()
    answer = await site.watched(callback, first)
    assert answer.code == 500
    telling = [code for code in site.faults.seen if code not in on_the_way]
    assert {code.co_name for code in telling} >= {"write_error", "log_exception"}

    for targets in [*((code,) for code in on_the_way), *((first, code) for code in telling)]:
        pending, query, cookie = await site.begin()
        answer = await site.watched(callback, *targets)
        assert answer.code in (200, 303, 400, 500), targets
        assert "code=" not in str(answer.headers)
        if not pending.outcome.done():
            site.extension.host.pending.cancel(pending.id)
        hostile.reuse = 0

    pending, query, cookie = await site.begin()
    assert (await callback()).headers["Location"].endswith("/nativeauth/done/signed-in")
    assert pending.outcome.result().name == "Ada Example"


async def test_requests_that_tornado_itself_refuses(site: Site, canary: Canary) -> None:
    """TRP-02: what cannot be decoded makes tornado raise HTTPError with the whole address in its text; ours stays
    silent about it, and answers with a page."""
    secret = urlencode({"code": canary.mint("code"), "state": canary.mint("state")})
    for route in PUBLIC:
        for broken in ("again=%ff", "profile=%ff", "%ff=%ff", "x=%ed%a0%80", "a" * 3000):
            answer = await site.fetch(f"{route}?{secret}&{broken}")
            assert answer.code in (200, 400, 410), (route, broken)
            assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"])
async def test_other_methods_are_refused_in_silence(site: Site, canary: Canary, method: str) -> None:
    """TRP-03, SEC-016: Jupyter's check for cross-site requests would log the whole address; ours comes before it."""
    secret = urlencode({"code": canary.mint("code"), "state": canary.mint("state")})
    for route in PUBLIC:
        answer = await site.fetch(f"{route}?{secret}", method)
        assert answer.code == 405
        assert "code=" not in str(answer.headers)


async def test_an_answer_by_post_is_none(site: Site, hostile: Hostile) -> None:
    """TRP-10, CNF-028, CNF-029: ``form_post`` is not asked for, and the callback takes no POST, with the cookie and all
    that is right in its body either; nothing is used up by it, and the real answer counts."""
    pending, query, cookie = await site.begin()
    form = {**cookie, "Content-Type": "application/x-www-form-urlencoded", "Origin": hostile.issuer}
    answer = await site.fetch("callback", "POST", body=query, headers=form)
    assert answer.code == 405
    assert hostile.hits("token") == []
    assert "response_mode" not in dict(hostile.hits("authorize")[0].params)
    answer = await site.fetch(f"callback?{query}", headers=cookie)
    assert answer.headers["Location"].endswith("/nativeauth/done/signed-in")
    assert pending.outcome.result().name == "Ada Example"


@pytest.mark.parametrize("handler", [handler for _, handler in [*ROUTES, *API_ROUTES]], ids=lambda one: one.__name__)
def test_no_handler_goes_without_the_check(handler: type[Any]) -> None:
    """TRP-10, SEC-025: Jupyter's own check against cross-site requests is in force for each POST of ours."""
    assert handler.check_xsrf_cookie is JupyterHandler.check_xsrf_cookie
