"""
Runs in: the tests. A Jupyter server in the process of the test, whose profile ``acme`` is at a provider of the test's.

It starts within a tenth of a second, so what needs neither a kernel nor a browser window is tried here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from tornado.httpclient import HTTPResponse

from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._pending import Pending
from tests.canary import Canary
from tests.faults import Faults
from tests.hostile import Hostile
from tests.html_page import Page
from tests.http_browser import HttpBrowser


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
    """
    A Jupyter server in this process, whose profile ``acme`` is the adversary's.

    Attributes:
        extension: Ours, as Jupyter has loaded it.
        base: The path of our routes.
        file: The nativeauth.toml.
    """

    def __init__(self, app: Any, client: Any, base_url: str, hostile: Hostile, canary: Canary, file: Path) -> None:
        self.app, self.file = app, file
        self.extension = app.web_app.settings["nativeauth_extension"]
        self.port = int(urlsplit(client.get_url("/")).port or 0)
        self.base = f"{base_url}nativeauth/"
        self.faults = Faults()
        self._client, self._hostile, self._canary = client, hostile, canary

    def write(self, **profiles: dict[str, Any]) -> None:
        """Write the configuration anew; what a profile does not say is as in ``acme``."""
        write(self.file, self._hostile, profiles)

    async def api(self, method: str, route: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One request of the sidebar's, with Jupyter's token: status and JSON."""
        headers["Authorization"] = f"token {self.app.identity_provider.token}"
        sent = body if isinstance(body, str) else json.dumps(body)
        answer = await self.fetch(
            f"api/{route}", method, headers=headers, **({"body": sent} if method == "POST" else {})
        )
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        return answer.code, json.loads(answer.body)

    async def row(self, profile: str = "acme") -> dict[str, Any]:
        """How a profile stands."""
        _, answer = await self.api("GET", "profiles")
        return next(dict(row) for row in answer["profiles"] if row["profile"] == profile)

    async def login(self, profile: str = "acme", *, flow: str = "", **headers: str) -> dict[str, Any]:
        """Begin a sign-in, as the sidebar does."""
        status, begun = await self.api("POST", "login", {"profile": profile, "flow": flow}, **headers)
        assert status == 200, begun
        return dict(begun)

    async def visit(self, url: str, browser: HttpBrowser | None = None) -> Page:
        """Open *url* in a browser, whose person does all that is asked for."""
        page = await asyncio.to_thread((browser or HttpBrowser()).open, url)
        self._canary.look("a page", page.text)
        return page

    async def answer_to(self, url: str, browser: HttpBrowser) -> str:
        """Go to the provider, and stop where it sends *browser* back: the address of the callback."""
        hop = await asyncio.to_thread(browser.request, "GET", url)
        assert hop.status == 302
        return await self.answer_to_url(hop.header("location") or "", browser)

    async def answer_to_url(self, url: str, browser: HttpBrowser) -> str:
        """The same from the provider's first page on."""
        hop = await asyncio.to_thread(browser.request, "GET", url)
        return hop.header("location") or ""

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
    file = tmp_path / "nativeauth.toml"
    write(file, hostile, {"acme": {}})
    monkeypatch.setenv("JUPYTER_NATIVEAUTH_CONFIG", str(file))
    app = request.getfixturevalue("jp_serverapp")
    return Site(app, request.getfixturevalue("http_server_client"), jp_base_url, hostile, canary, file)


def write(file: Path, hostile: Hostile, profiles: dict[str, dict[str, Any]]) -> None:
    usual = {"issuer": hostile.issuer, "client_id": "cli", "api": ["https://api.example"], "key_source": "memory"}
    lines = []
    for name, keys in profiles.items():
        lines.append(f"[profiles.{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in {**usual, **keys}.items()]
    file.write_text("\n".join(lines) + "\n")


def denied(callback: str) -> str:
    """The address of a callback, as if the person had said no."""
    parts = urlsplit(callback)
    query = {name: value for name, value in parse_qsl(parts.query) if name != "code"}
    return parts._replace(query=urlencode({**query, "error": "access_denied"})).geturl()
