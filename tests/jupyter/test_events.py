"""The open pages are nudged by whatever changes, over Jupyter's own event stream, from a real server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
import websocket

from jupyter_nativeauth._accounts import Accounts
from jupyter_nativeauth._attempt import ListenerAttempt
from jupyter_nativeauth._logout import sign_out
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._progress import read_progress
from jupyter_nativeauth._watch import SCHEMA_ID
from tests.canary import Canary
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.jupyter.site import Site, denied
from tests.jupyter.test_server import profiles, start, write_profile  # noqa: F401 - `start` is a fixture
from tests.jupyter.wire import sample
from tests.lab import Lab
from tests.oidc_provider import OidcProvider
from tests.person import outcome

PATIENCE = 30.0
"""Seconds; the server looks once a second."""


class Subscriber:
    """A page that listens to Jupyter's events, as JupyterLab does."""

    def __init__(self, lab: Lab) -> None:
        self.raw: list[str] = []
        self._socket = websocket.create_connection(
            f"{lab.url}api/events/subscribe".replace("http", "ws", 1),
            header={"Authorization": f"token {lab.token}"},
            timeout=PATIENCE,
        )

    def next(self) -> dict[str, Any]:
        """The next event of ours; those of kernels and files are not."""
        while True:
            self.raw.append(str(self._socket.recv()))
            event: dict[str, Any] = json.loads(self.raw[-1])
            if event["schema_id"] == SCHEMA_ID:
                return event

    def wait_for(self, profile: str, ready: Callable[[], Any]) -> None:
        """Return when a nudge for *profile* has come and what it is about is true."""
        end = time.monotonic() + PATIENCE
        while not (self.next()["profile"] == profile and ready()):
            assert time.monotonic() < end

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def lab(start: Callable[..., Lab]) -> Lab:  # noqa: F811
    return start("/a%40b/")


@pytest.fixture
def subscriber(lab: Lab, canary: Canary) -> Iterator[Subscriber]:
    listener = Subscriber(lab)
    yield listener
    listener.close()
    canary.look("Jupyter's events", "\n".join(listener.raw))


def test_whoever_changes_what(
    lab: Lab, subscriber: Subscriber, home: Home, oidc: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A page that has just opened is told to look; then another process signs in and out, and somebody edits the
    configuration, breaks and mends it, and nobody finishes a sign-in: each time there is a nudge, and the API tells
    what it was about. One that somebody has forged makes pages look, and changes nothing.
    """
    event = subscriber.next()
    assert event.pop("profile") == ""
    told = {name: value for name, value in event.items() if not name.startswith("__")}
    assert told | {"profile": "acme"} == sample("event")

    with lab.http() as http:
        begun = http.post("nativeauth/api/login", json={"profile": "acme"}).json()
        subscriber.wait_for("acme", lambda: profiles(lab)["pending"]["id"] == begun["id"])
        progress = read_progress(home.data / "nativeauth", "acme")
        assert progress is not None
        monkeypatch.setenv("JUPYTER_NATIVEAUTH_AGENT", progress.server)
        elsewhere, browser = Accounts().get("acme"), oidc.browser()
        outcome(ListenerAttempt(elsewhere, Ask(), 60, lambda url: Thread(target=browser.open, args=(url,)).start()))
        subscriber.wait_for("acme", lambda: profiles(lab)["state"] == "signed_in")
        sign_out(elsewhere)
        subscriber.wait_for("acme", lambda: profiles(lab)["state"] == "signed_out")

        write_profile(home, oidc, timeout=1)
        subscriber.wait_for("acme", lambda: True)
        (home.config / "nativeauth.toml").write_text("default = ")
        subscriber.wait_for("", lambda: http.get("nativeauth/api/profiles").status_code == 400)
        write_profile(home, oidc, timeout=1)
        subscriber.wait_for("", lambda: http.get("nativeauth/api/profiles").status_code == 200)

        http.post("nativeauth/api/login", json={"profile": "acme"}).raise_for_status()
        subscriber.wait_for("acme", lambda: (profiles(lab)["failed"] or {}).get("code") == "timeout")

        before = profiles(lab)
        forged = {"schema_id": SCHEMA_ID, "version": "1", "data": {"profile": "forged"}}
        assert http.post("api/events", json=forged).status_code == 204
        subscriber.wait_for("forged", lambda: profiles(lab) == before)
        assert http.post("api/events", json={**forged, "data": {"profile": "acme", "state": "x"}}).status_code == 400


async def test_what_happens_here_is_told_at_once(site: Site) -> None:
    """SEC-028: each step of a sign-in and of a sign-out at this server, by whichever route, names its profile."""
    heard = asyncio.Event()

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        if data["profile"] == "acme":
            heard.set()

    site.app.event_logger.add_listener(schema_id=SCHEMA_ID, listener=listen)
    site.extension.watch._every = 3600  # it would find it out by itself
    site.extension.watch.start()

    async def told() -> None:
        await heard.wait()
        heard.clear()

    async with asyncio.timeout(PATIENCE):
        begun = await site.login()
        await told()
        await site.api("DELETE", f"login/{begun['id']}")
        await told()
        browser = HttpBrowser()
        back = await site.answer_to((await site.login())["url"], browser)
        await told()
        await site.visit(denied(back), browser)
        await told()
        await site.api("DELETE", f"login/{(await site.row())['failed']['id']}")
        await told()
        begun = await site.login()
        await told()
        await site.visit(begun["url"])
        await told()
        await site.api("POST", "logout", {"profile": "acme"})
        await told()
