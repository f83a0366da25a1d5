"""The presence gate in a real Jupyter server, with a real polkitd: the sidebar's sign-in, and the kernels' key."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from jupyter_nativeauth import LoginRequired
from jupyter_nativeauth._accounts import Accounts
from jupyter_nativeauth._agent_wire import ask_agent
from jupyter_nativeauth._login import start
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._polkit import ACTION
from jupyter_nativeauth._tokens import Identity
from jupyter_nativeauth._watch import SCHEMA_ID
from jupyter_nativeauth.testing import Clock
from tests.hostile import Hostile
from tests.jupyter.site import Site
from tests.jupyter.wire import differences, sample
from tests.polkit_daemon import PolkitDaemon, agent, polkit_daemon


def behind(site: Site, daemon: PolkitDaemon) -> Clock:
    """Let the server ask as a user whom polkit asks, and go by this clock."""
    site.write(acme={"presence": "hourly"})
    presence = site.extension.accounts.presence
    presence._opener, presence._clock = daemon.door, Clock()
    clock: Clock = presence._clock
    return clock


@pytest.mark.root
async def test_no_and_yes(site: Site, hostile: Hostile) -> None:
    """After a no there is an error in words and no sign-in; after a yes it goes on, and the kernels have an hour."""
    with polkit_daemon() as daemon:
        clock = behind(site, daemon)
        with agent(daemon, "no"):
            status, error = await site.api("POST", "login", {"profile": "acme"})
        assert (status, error["code"], differences(error, [sample("error")])) == (400, "presence_denied", [])
        assert error["message"] == "It was not confirmed that it is you."
        row = await site.row()
        assert (row["state"], row["pending"], hostile.hits("authorize")) == ("signed_out", None, [])

        with agent(daemon, "yes") as somebody:
            await site.visit((await site.login())["url"])
            assert somebody.actions == [ACTION]
        row = await site.row()
        assert (row["state"], "good for 60 min more" in row["hint"]) == ("signed_in", True)
        first = Accounts(environ=os.environ).get("acme")  # a kernel, as far as this package can tell
        assert await asyncio.to_thread(lambda: first.access_token().reveal())

        clock.advance(3600)
        key = {"ask": "key", "source": "memory"}
        told = await asyncio.to_thread(ask_agent, os.environ["JUPYTER_NATIVEAUTH_AGENT"], key)
        assert told["error"]["code"] == "presence_required"
        site.write(acme={"presence": "hourly"}, beta={"client_id": "2"})  # which needs the key
        assert "key" in await asyncio.to_thread(ask_agent, os.environ["JUPYTER_NATIVEAUTH_AGENT"], key)
        kernel = Accounts(environ=os.environ)
        with pytest.raises(LoginRequired) as caught:
            await asyncio.to_thread(kernel.get("acme").access_token)
        assert caught.value.code == "presence_required"
        assert "waits until you confirm" in (await site.row())["hint"]
        with agent(daemon, "yes") as somebody:
            await asyncio.to_thread(kernel.get("acme").confirm_presence)
            assert await asyncio.to_thread(lambda: kernel.get("acme").access_token().reveal())
            assert somebody.actions == [ACTION]


@pytest.mark.root
async def test_the_sidebar_can_confirm(site: Site, hostile: Hostile) -> None:
    """A login that waits goes on after a click, with no sign-in; the list says when that ends, or that it has ended."""
    with polkit_daemon() as daemon:
        clock = behind(site, daemon)
        with agent(daemon, "yes"):
            await site.visit((await site.login())["url"])
        assert (await site.row())["confirm_by"] == pytest.approx(time.time() + 3600, abs=60)
        clock.advance(3600)
        row = await site.row()
        assert (row["state"], row["confirm_by"]) == ("signed_in", 0)
        with agent(daemon, "no"):
            status, error = await site.api("POST", "confirm", {"profile": "acme"})
        assert (status, error["code"], (await site.row())["confirm_by"]) == (400, "presence_denied", 0)
        with agent(daemon, "yes") as somebody:
            status, told = await site.api("POST", "confirm", {"profile": "acme"})
            assert (status, differences(told, [sample("confirm")]), somebody.actions) == (200, [], [ACTION])
        assert (await site.row())["confirm_by"] == pytest.approx(time.time() + 3600, abs=60)
        kernel = Accounts(environ=os.environ).get("acme")
        assert await asyncio.to_thread(lambda: kernel.access_token().reveal())
        assert len(hostile.hits("authorize")) == 1
    site.write(acme={})
    assert (await site.row())["confirm_by"] is None


@pytest.mark.root
async def test_a_confirmation_is_told_to_the_open_pages(site: Site) -> None:
    """Also that of a kernel: they would show that the login waits until somebody reloads them."""
    heard = asyncio.Event()

    async def listen(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        if data["profile"] == "acme":
            heard.set()

    with polkit_daemon() as daemon, agent(daemon, "yes"):
        behind(site, daemon)
        site.app.event_logger.add_listener(schema_id=SCHEMA_ID, listener=listen)
        site.extension.watch.start()
        kernel = Accounts(environ=os.environ).get("acme")
        await asyncio.to_thread(kernel.confirm_presence)
        await asyncio.wait_for(heard.wait(), 20)


@pytest.mark.root
async def test_what_a_cell_asks_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """``login()`` while a login waits: the person confirms, and goes to the service no second time."""
    with polkit_daemon() as daemon, agent(daemon, "yes") as somebody:
        clock = behind(site, daemon)
        await site.visit((await site.login())["url"])
        clock.advance(3600)
        monkeypatch.setenv("DISPLAY", ":0")  # somebody is here
        found = await asyncio.to_thread(start, "acme", Ask())
        assert isinstance(found, Identity)
        assert (found.name, somebody.actions) == ("Ada Example", [ACTION, ACTION])


@pytest.mark.root
async def test_the_server_goes_on_while_somebody_is_asked(site: Site) -> None:
    """Other requests are answered meanwhile, and a server that stops takes the question back."""
    with polkit_daemon() as daemon, agent(daemon, "never") as somebody:
        behind(site, daemon)
        login = asyncio.ensure_future(site.api("POST", "login", {"profile": "acme"}))
        assert await asyncio.to_thread(somebody.asked.wait, 20)
        assert (await site.row())["state"] == "signed_out"
        status, error = await site.api("POST", "login", {"profile": "acme"})
        assert (status, error["code"]) == (400, "presence_busy")
        await site.extension.stop_extension()
        status, error = await login
        assert (status, error["code"], somebody.taken_back.wait(20)) == (400, "cancelled", True)


async def test_without_polkit(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate is never passed over: the sign-in fails, and says what to do."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    site.write(acme={"presence": "sign-in"})
    status, error = await site.api("POST", "login", {"profile": "acme"})
    assert (status, error["code"]) == (400, "presence_unavailable")
    assert "no D-Bus system bus here" in error["message"]
    assert "remove `presence`" in error["hint"]
    assert (await site.row())["pending"] is None
