"""The sidebar's JSON: what each answer says, when it changes, and that it is what the front end expects."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from jupyter_nativeauth._accounts import Accounts
from jupyter_nativeauth._logout import sign_out
from jupyter_nativeauth._progress import read_progress
from tests.answers import Answer
from tests.hostile import Hostile
from tests.http_browser import HttpBrowser
from tests.jupyter.site import Site, denied
from tests.jupyter.wire import differences, sample


async def test_the_answers_are_those_that_the_front_end_knows(site: Site) -> None:
    """Each member of each answer is in ``tests/wire`` with the same types, and each that is there comes."""
    _, nobody = await site.api("GET", "profiles")
    begun = await site.login()
    _, waiting = await site.api("GET", "profiles")
    browser = HttpBrowser()
    await site.visit(denied(await site.answer_to(begun["url"], browser)), browser)
    _, failed = await site.api("GET", "profiles")
    await site.visit((await site.login())["url"])
    _, signed_in = await site.api("GET", "profiles")
    for answer in (nobody, waiting, failed, signed_in):
        assert differences(answer, [sample("profiles")]) == []
    assert differences(begun, [sample("login")]) == []
    _, cancelled = await site.api("DELETE", f"login/{begun['id']}")
    assert differences(cancelled, [sample("cancel")]) == []
    begun = await site.login(flow="paste")
    _, waiting = await site.api("GET", "profiles")
    assert differences(waiting, [sample("profiles")]) == []
    _, pasted = await site.api("POST", "paste", {"id": begun["id"], "url": await site.answer_to(begun["url"], browser)})
    assert differences(pasted, [sample("paste")]) == []
    status, error = await site.api("POST", "login", {"profile": "acne"})
    assert (status, differences(error, [sample("error")])) == (400, [])
    nothing = {"revoked": None, "url": None}  # nobody was signed in, or the service has no such page
    for _ in range(2):
        _, out = await site.api("POST", "logout", {"profile": "acme"})
        assert differences(out, [sample("logout"), {**sample("logout"), **nothing}]) == []


async def test_what_is_said_of_a_login(site: Site, hostile: Hostile) -> None:
    """Who, until when, and whether a sign-out goes on in the browser; the clock is the server's, nothing is a token."""
    hostile.answer("token", lambda _: Answer(json=hostile.tokens(id_token=hostile.id_token(), refresh_expires_in=1800)))
    before = time.time()
    await site.visit((await site.login())["url"])
    _, answer = await site.api("GET", "profiles")
    (row,) = answer["profiles"]
    assert before < answer["now"] < time.time()
    assert (row["state"], row["name"], row["email"]) == ("signed_in", "Ada Example", "ada@example.org")
    assert row["expires_at"] == row["signed_in_at"] + 3600
    assert row["ends_at"] == row["signed_in_at"] + 1800
    assert (row["renews"], row["key_source"], row["ends_session"]) == (True, "server", True)
    assert (row["pending"], row["failed"]) == (None, None)
    assert not any(secret in json.dumps(answer) for _, secret in hostile.secrets())


async def test_a_service_without_a_page_for_it(site: Site, hostile: Hostile) -> None:
    """``ends_session`` is false, and a sign-out has no page to go on to."""
    del hostile.metadata["end_session_endpoint"]
    await site.visit((await site.login())["url"])
    assert (await site.row())["ends_session"] is False
    _, out = await site.api("POST", "logout", {"profile": "acme"})
    assert (out["local"], out["revoked"], out["url"]) == (True, True, None)


async def test_sign_out_goes_on_with_one_link(site: Site, hostile: Hostile) -> None:
    """It leads the browser straight to the service's page and back, once; what a kernel left undone is finished too."""
    await site.visit((await site.login())["url"])
    _, out = await site.api("POST", "logout", {"profile": "acme"})
    assert urlsplit(out["url"]).path.startswith(f"{site.base}go/")
    assert (await site.row())["state"] == "signed_out"
    browser = HttpBrowser()
    back = await site.visit(out["url"], browser)
    assert urlsplit(back.url).path == f"{site.base}logout/callback"
    (asked,) = hostile.hits("end_session")
    assert {name for name, _ in asked.params} == {"id_token_hint", "client_id", "post_logout_redirect_uri", "state"}
    assert (await site.visit(out["url"], browser)).status == 410
    _, again = await site.api("POST", "logout", {"profile": "acme"})
    assert (again["revoked"], again["url"]) == (None, None)

    await site.visit((await site.login())["url"])
    sign_out(site.extension.accounts.get("acme"))
    _, out = await site.api("POST", "logout", {"profile": "acme"})
    assert urlsplit((await site.visit(out["url"])).url).path == f"{site.base}logout/callback"


# ---- under way -----------------------------------------------------------------------------------------------------


async def test_a_sign_in_under_way(site: Site) -> None:
    """It has the id and the end that its beginning was answered with, for the time that the profile says."""
    site.write(acme={"timeout": 5})
    begun = await site.login()
    _, answer = await site.api("GET", "profiles")
    assert answer["profiles"][0]["pending"] == {"id": begun["id"], "until": begun["until"], "paste": False}
    assert 0 < begun["until"] - answer["now"] <= 5
    progress = read_progress(site.extension.accounts.folder, "acme")
    assert progress is not None
    assert (progress.attempt, progress.until) == (begun["id"], begun["until"])


async def test_cancelled_is_not_failed(site: Site) -> None:
    """Once cancelled there is nothing to see of it, nor a second time to cancel it; its page says that it is over."""
    begun = await site.login()
    assert await site.api("DELETE", f"login/{begun['id']}") == (200, {"cancelled": True})
    assert ((await site.row())["pending"], (await site.row())["failed"]) == (None, None)
    for unknown in (begun["id"], "0123456789abcdef", "%2e%2e", "x" * 64):
        assert await site.api("DELETE", f"login/{unknown}") == (200, {"cancelled": False})
    assert (await site.visit(begun["url"])).status == 410


async def test_a_newer_one_takes_the_place(site: Site) -> None:
    """The older one's page is over, of what is under way the newer is told, and whoever waits goes on waiting."""
    site.write(acme={}, other={"client_id": "two"})
    older, apart = await site.login(), await site.login("other")
    newer = await site.login()
    assert (await site.row())["pending"]["id"] == newer["id"]
    assert (await site.row())["failed"] is None
    assert (await site.row("other"))["pending"]["id"] == apart["id"]
    progress = read_progress(site.extension.accounts.folder, "acme")
    assert progress is not None
    assert (progress.attempt, progress.phase) == (newer["id"], "waiting")
    assert (await site.visit(older["url"])).status == 410
    assert (await site.visit(newer["url"])).url.endswith("/done/signed-in")


# ---- failed --------------------------------------------------------------------------------------------------------


async def fail(site: Site) -> dict[str, Any]:
    """A sign-in to ``acme`` that its person denies; how the profile stands then."""
    browser = HttpBrowser()
    await site.visit(denied(await site.answer_to((await site.login())["url"], browser)), browser)
    return await site.row()


async def test_how_a_sign_in_failed_is_told_until_somebody_has_read_it(site: Site) -> None:
    """With its code and words; dismissed by its id, or gone when the next one begins."""
    row = await fail(site)
    assert (row["state"], row["pending"], row["failed"]["code"]) == ("signed_out", None, "access_denied")
    assert row["failed"]["message"]
    assert await site.api("DELETE", f"login/{row['failed']['id']}") == (200, {"cancelled": True})
    assert (await site.row())["failed"] is None
    assert await site.api("DELETE", f"login/{row['failed']['id']}") == (200, {"cancelled": False})
    assert (await fail(site))["failed"] is not None
    await site.login()
    assert (await site.row())["failed"] is None


async def test_a_sign_in_elsewhere_is_the_next_one_too(site: Site) -> None:
    """A kernel or a script that has signed in since: nobody cares any more how it failed before."""
    await site.visit((await site.login())["url"])
    row = await fail(site)
    assert (row["state"], row["failed"]["code"]) == ("signed_in", "access_denied")
    account = Accounts(server=True, folder=site.extension.accounts.folder).get("acme")
    account.store.open(site.extension.accounts.get("acme").key())
    account.save(replace(account.login(), signed_in_at=time.time()))
    assert (await site.row())["failed"] is None


async def test_nobody_came_in_time(site: Site) -> None:
    """It fails by itself, with words that say so."""
    await site.login()
    (pending,) = site.extension.host.pending.all()
    pending.until = 0.0
    row = await site.row()
    assert (row["pending"], row["failed"]["code"]) == (None, "timeout")


# ---- the configuration ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "environ", "expected"),
    [
        ({}, {}, "http://127.0.0.1"),
        ({"Host": "localhost:9999"}, {}, "http://127.0.0.1"),
        ({"Host": "[::1]:9999"}, {}, "http://[::1]"),
        (
            {"Host": "backend:80", "X-Forwarded-For": "1.2.3.4", "Referer": "http://localhost:9/lab"},
            {},
            "http://127.0.0.1",
        ),
        ({"Referer": "https://jupyter.example:8443/lab?x"}, {}, "https://jupyter.example:8443"),
        ({}, {"JUPYTERHUB_PUBLIC_URL": "https://hub.example/user/ada/"}, None),
    ],
)
async def test_what_to_write_and_to_register(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    environ: dict[str, str],
    expected: str | None,
) -> None:
    """Without a profile too: the file, and the addresses as this browser needs them; any port does on this machine."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    site.app.web_app.settings["allow_remote_access"] = True
    site.file.write_text("")
    status, answer = await site.api("GET", "profiles", **headers)
    assert (status, answer["profiles"]) == (200, [])
    base = f"{expected}{site.base}" if expected else "https://hub.example/user/ada/nativeauth/"
    assert answer["config"] == {
        "file": str(site.file),
        "redirect_uris": [f"{base}callback", f"{base}logout/callback"],
    }


async def test_the_usual_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the person's own, whether it is there yet or not."""
    monkeypatch.delenv("JUPYTER_NATIVEAUTH_CONFIG")
    _, answer = await site.api("GET", "profiles")
    assert answer["config"]["file"] == str(Path(os.environ["JUPYTER_CONFIG_DIR"], "nativeauth.toml"))


async def test_a_wrong_configuration_is_said_in_words(site: Site) -> None:
    """400, with what is wrong and where; and it is fine again when it is mended."""
    site.write(acme={"client_idd": "cli"})
    for method, route in (("GET", "profiles"), ("POST", "login"), ("POST", "logout")):
        status, error = await site.api(method, route, {"profile": "acme"})
        assert (status, error["code"]) == (400, "config")
        assert str(site.file) in error["message"]
        assert "client_id" in error["hint"]
    site.write(acme={})
    assert (await site.row())["state"] == "signed_out"


async def test_one_that_is_broken_hides_no_other(site: Site) -> None:
    """A vault that is no file, one that is damaged, one of a newer version: each says so, and the others are told."""
    names = ("acme", "folder", "garbage", "newer")
    site.write(**{name: {} if name == "acme" else {"client_id": name} for name in names})
    for name in names:
        site.extension.accounts.get(name).key(create=True)
    await site.visit((await site.login())["url"])
    (vault,) = site.extension.accounts.folder.glob("acme.*.vault")
    whole = vault.read_bytes()
    (vault.parent / vault.name.replace("acme", "folder")).mkdir()
    (vault.parent / vault.name.replace("acme", "garbage")).write_bytes(whole[:-1])
    (vault.parent / vault.name.replace("acme", "newer")).write_bytes(whole[:4] + b"\xff" + whole[5:])
    _, answer = await site.api("GET", "profiles")
    states = {row["profile"]: row["state"] for row in answer["profiles"]}
    assert states == {"acme": "signed_in", "folder": "unavailable", "garbage": "damaged", "newer": "unavailable"}
    assert [bool(row["message"]) for row in answer["profiles"]] == [False, True, True, True]


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "route", "body", "status"),
    [
        ("GET", "login", None, 405),
        ("PUT", "profiles", None, 405),
        ("POST", "login", "{", 400),
        ("POST", "login", '{"profile": 7}', 400),
        ("POST", "login", '{"profile": "nobody"}', 400),
    ],
)
async def test_each_refusal_has_words(site: Site, method: str, route: str, body: Any, status: int) -> None:
    """Also those that are Jupyter's or tornado's own: JSON with a code, a sentence and what to do."""
    got, error = await site.api(method, route, body)
    assert (got, differences(error, [sample("error")])) == (status, [])
    assert error["message"].endswith(".")


async def test_strangers_are_refused_in_words_too(site: Site) -> None:
    """Without Jupyter's login, or without the XSRF cookie's value, nothing is done; the answer is JSON all the same."""
    for method, route in (
        ("GET", "profiles"),
        ("POST", "login"),
        ("POST", "logout"),
        ("POST", "paste"),
        ("DELETE", "login/abc"),
    ):
        answer = await site.fetch(f"api/{route}", method)
        assert answer.code == 403
        assert differences(json.loads(answer.body), [sample("error")]) == []
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_service_that_is_down(site: Site, hostile: Hostile) -> None:
    """503, and nothing is under way."""
    hostile.answer("discovery", *[Answer(500, "<h1>Oops")] * 4)
    status, error = await site.api("POST", "login", {"profile": "acme"})
    assert (status, differences(error, [sample("error")])) == (503, [])
    assert (await site.row())["pending"] is None


def test_a_member_more_or_less_is_noticed() -> None:
    """What compares the two ends sees each difference, in either of them and at any depth."""
    known = sample("profiles")
    assert differences(known, [known]) == []
    for change in (
        lambda real: real.pop("now"),
        lambda real: real.update(more=1),
        lambda real: real.update(now="1"),
        lambda real: real["config"].update(redirect_uris=[7]),
        lambda real: real["profiles"][0].pop("hint"),
        lambda real: real["profiles"][0].update(more=None),
        lambda real: real["profiles"][0].update(pending={"id": "x"}),
        lambda real: real["profiles"][0].update(default=None),
    ):
        real = sample("profiles")
        change(real)
        assert differences(real, [known])
