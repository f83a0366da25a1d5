"""What Jupyter's server and tornado log by themselves: whatever goes wrong in our handlers, no code is in it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from jupyter_server.base.handlers import JupyterHandler
from tornado.httpclient import HTTPResponse

from jupyter_nativeauth._api import API_ROUTES
from jupyter_nativeauth._handlers import ROUTES
from jupyter_nativeauth._host import Host
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._pending import Pending
from tests.canary import Canary
from tests.faults import Faults
from tests.hostile import Hostile
from tests.http_browser import HttpBrowser

PUBLIC = ["callback", "callback/acme", "go/abc", "done/failed", "logout/callback"]


@contextlib.asynccontextmanager
async def new_threads(faults: Faults) -> AsyncIterator[None]:
    """The work of one request is done in threads of its own, which are watched too."""
    loop = asyncio.get_running_loop()
    with faults.watching(), ThreadPoolExecutor(2) as pool:
        loop.set_default_executor(pool)
        try:
            yield
        finally:
            loop.set_default_executor(ThreadPoolExecutor(4))


class Site:
    """A Jupyter server in this process, whose profile ``acme`` is the adversary's."""

    def __init__(self, app: Any, client: Any, base_url: str, hostile: Hostile, canary: Canary) -> None:
        self.extension = app.web_app.settings["nativeauth_extension"]
        self.port = int(urlsplit(client.get_url("/")).port or 0)
        self.base = f"{base_url}nativeauth/"
        self.faults = Faults()
        self._client, self._hostile, self._canary = client, hostile, canary

    async def fetch(self, route: str, method: str = "GET", **options: Any) -> HTTPResponse:
        if method in ("POST", "PUT", "PATCH"):
            options.setdefault("body", "")
        answer: HTTPResponse = await self._client.fetch(
            f"{self.base}{route}",
            method=method,
            follow_redirects=False,
            raise_error=False,
            allow_nonstandard_methods=True,
            **options,
        )
        self._canary.look("a page", answer.body or b"")
        return answer

    async def begin(self) -> tuple[Pending, str, dict[str, str]]:
        """A sign-in that a browser has gone through: it, the query of the answer, and the browser's cookie."""
        account = self.extension.accounts.get("acme")
        uri = f"http://127.0.0.1:{self.port}{self.base}callback"
        pending = await asyncio.to_thread(self.extension.host.begin, account, Ask(), uri)
        went = await self.fetch(f"go/{pending.ticket}")
        cookie = went.headers.get_list("Set-Cookie")[0].partition(";")[0]
        hop = await asyncio.to_thread(HttpBrowser().request, "GET", went.headers["Location"])
        return pending, urlsplit(hop.header("location") or "").query, {"Cookie": cookie}

    async def watched(self, request: Callable[[], Awaitable[HTTPResponse]], *targets: CodeType) -> HTTPResponse:
        """Make a request, during which *targets* fail."""
        self.faults.targets = set(targets)
        # Should what tells of a failure fail itself, then tornado logs the errors' texts, though not the address.
        self.faults.text = self._canary.mint("code") if len(targets) == 1 else "broken"
        async with new_threads(self.faults):
            return await request()


@pytest.fixture
def site(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hostile: Hostile,
    canary: Canary,
    request: pytest.FixtureRequest,
    jp_base_url: str,
) -> Site:
    """See :class:`Site`."""
    keys = {"issuer": hostile.issuer, "client_id": "cli", "api": ["https://api.example"], "key_source": "memory"}
    file = tmp_path / "nativeauth.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in keys.items()]
    file.write_text("[profiles.acme]\n" + "\n".join(lines))
    monkeypatch.setenv("JUPYTER_NATIVEAUTH_CONFIG", str(file))
    app = request.getfixturevalue("jp_serverapp")
    return Site(app, request.getfixturevalue("http_server_client"), jp_base_url, hostile, canary)


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
