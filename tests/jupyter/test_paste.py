"""Pasting back, at a Jupyter server: the sidebar's route, and the page that kernels lead to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.answers import Answer
from tests.canary import Canary
from tests.emulators.auth0 import Auth0
from tests.hostile import Hostile
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.jupyter.front_end import BareKernel, FrontEnd
from tests.jupyter.site import Site, denied
from tests.jupyter.test_server import profiles, signed_in_to_jupyter, start, url, write_profile  # noqa: F401 - fixture
from tests.jupyter.wire import differences, sample
from tests.lab import Lab
from tests.oidc_provider import OidcProvider

# Behind a proxy at a name of its own: the usual way in which a Jupyter is on another machine than the browser.
REMOTE = {"Host": "backend", "X-Forwarded-Host": "jupyter.example", "Origin": "https://jupyter.example"}


def at_the_server(site: Site, address: str) -> str:
    """*address*, for a test that is on the server's own machine."""
    parts = urlsplit(address)
    return parts._replace(scheme="http", netloc=f"127.0.0.1:{site.port}").geturl()


async def paste(site: Site, pending_id: str, address: str) -> tuple[int, Any]:
    return await site.api("POST", "paste", {"id": pending_id, "url": address})


@pytest.fixture
def remote(site: Site) -> Site:
    site.app.web_app.settings["allow_remote_access"] = True
    site.app.web_app.settings["allow_origin"] = "https://jupyter.example"
    return site


# ---- the sidebar ---------------------------------------------------------------------------------------------------


async def test_a_browser_on_another_machine(remote: Site, hostile: Hostile) -> None:
    """
    FLT-066, SEC-024, ADV-062: without a redirect URI it is told what to do, and can do without one: it begins at
    Jupyter's own name, with a link that lives as long as the wait, and what it ends on is pasted. Its host counts not.
    """
    site = remote
    status, refused = await site.api("POST", "login", {"profile": "acme"}, **REMOTE)
    assert (status, refused["code"]) == (400, "no_redirect_uri")
    assert 'flow = "paste"' in refused["hint"]
    begun = await site.login(flow="paste", **REMOTE)
    assert begun["url"].startswith(f"https://jupyter.example{site.base}go/")
    assert begun["paste"] is True
    (pending,) = site.extension.host.pending.all()
    assert pending.ticket_until == pending.until
    assert (await site.row())["pending"]["paste"] is True

    browser = HttpBrowser()
    hop = await site.fetch(f"go/{begun['url'].rpartition('/')[2]}")
    cookies = [one.partition(";")[2] for one in hop.headers.get_list("Set-Cookie")]
    assert [one.partition(";")[0].strip() for one in cookies] == [
        f"Path={site.base}{name}" for name in ("callback", "go")
    ]
    assert all("Secure" in one for one in cookies)
    address = await site.answer_to_url(hop.headers["Location"], browser)
    assert address.startswith(f"http://127.0.0.1:{site.app.port}{site.base}callback?")
    # A browser that reaches something there is not believed: it has not the cookie.
    assert (await site.visit(at_the_server(site, address), browser)).status == 400
    assert await paste(site, begun["id"], address) == (200, {"accepted": True, "url": None})
    row = await site.row()
    assert (row["state"], row["name"], row["pending"], row["failed"]) == ("signed_in", "Ada Example", None, None)
    again = await paste(site, begun["id"], address)
    assert (again[0], again[1]["code"]) == (400, "expired")
    assert len(hostile.hits("token")) == 1


async def test_any_sign_in_can_be_ended_so(site: Site) -> None:
    """FLT-066: one that was begun as ever too, whose browser has got lost on its way back."""
    begun = await site.login()
    address = await site.answer_to(begun["url"], HttpBrowser())
    assert (await paste(site, begun["id"], f'"{address}"\n'))[0] == 200
    assert (await site.row())["state"] == "signed_in"


async def test_what_is_not_the_answer_changes_nothing(site: Site, hostile: Hostile) -> None:
    """
    SEC-091, ADV-009: an address of a sign-in that somebody else has begun, a wrong page, a bare code, an unknown id:
    refused in words, and the sign-in goes on waiting. Nobody can be signed in with what an attacker sends them.
    """
    site.write(acme={}, other={"client_id": "cli", "scopes": ["openid"]})
    begun, theirs = await site.login(), await site.login("other")
    mine = await site.answer_to(begun["url"], HttpBrowser())
    attackers = await site.answer_to(theirs["url"], HttpBrowser())
    code = parse_qs(urlsplit(mine).query)["code"][0]
    for pending_id, text, expected in (
        (begun["id"], attackers, "state_mismatch"),
        (theirs["id"], mine, "state_mismatch"),
        (begun["id"], mine.replace("state=", "state=x"), "state_mismatch"),
        (begun["id"], code, "paste_incomplete"),
        (begun["id"], begun["url"], "paste_first_page"),
        (begun["id"], "", "paste_empty"),
        (begun["id"], "x" * 100_000, "paste_too_long"),
        ("0123456789abcdef", mine, "expired"),
        ("", mine, "expired"),
    ):
        status, refused = await paste(site, pending_id, text)
        assert (status, refused["code"], differences(refused, [sample("error")])) == (400, expected, [])
        assert refused["hint"]
    assert hostile.hits("token") == []
    assert (await paste(site, begun["id"], mine))[0] == 200
    assert (await site.row("other"))["state"] == "signed_out"


async def test_bodies_that_are_none(site: Site, canary: Canary) -> None:
    """TRP-05, SEC-027: an address posted as it is, half of a JSON, a wrong type, too much: refused, and not logged."""
    address = f"http://127.0.0.1/nativeauth/callback?code={canary.mint('code')}"
    for body in (
        address,
        json.dumps({"id": "x", "url": address})[:-3],
        json.dumps([address]),
        json.dumps({"id": "x"}),
        json.dumps({"id": 7, "url": address}),
        json.dumps({"id": "x", "url": [address]}),
        json.dumps({"id": "x", "url": address + "x" * 300_000}),
    ):
        status, refused = await site.api("POST", "paste", body)
        assert (status, refused["code"]) == (400, "bad_request")


async def test_a_no_is_told_as_after_a_callback(site: Site) -> None:
    """FLT-056: the answer says that it was one; how it ended stands in the list, as ever."""
    begun = await site.login(flow="paste")
    address = denied(await site.answer_to(begun["url"], HttpBrowser()))
    assert await paste(site, begun["id"], address) == (200, {"accepted": True, "url": None})
    row = await site.row()
    assert (row["state"], row["pending"], row["failed"]["code"]) == ("signed_out", None, "access_denied")


async def test_a_token_endpoint_that_is_down(site: Site, hostile: Hostile) -> None:
    """FLT-002: the code is spent all the same; the list says why nobody is signed in."""
    begun = await site.login(flow="paste")
    hostile.answer("token", *[Answer(500, "<h1>Oops")] * 4)
    address = await site.answer_to(begun["url"], HttpBrowser())
    assert (await paste(site, begun["id"], address))[0] == 200
    row = await site.row()
    assert (row["pending"], row["failed"]["code"]) == (None, "provider_unavailable")


async def test_a_service_that_asks_something_first(site: Site, auth0: Auth0) -> None:
    """A0-6: the sign-in begins once more, and the answer says where; what is pasted next ends it."""
    auth0.redirect_uris.add(f"http://127.0.0.1:{auth0.redirect_port}{site.base}callback")
    keys = {**auth0.profile(), "key_source": "memory"}
    site.file.write_text("\n".join(["[profiles.acme]", *(f"{key} = {json.dumps(keys[key])}" for key in keys)]))
    auth0.answer("authorize", lambda request: auth0.back(request, error="login_required"))
    begun = await site.login(flow="paste")
    address = await site.answer_to(begun["url"], HttpBrowser())
    status, pasted = await paste(site, begun["id"], address)
    assert (status, pasted["accepted"]) == (200, True)
    assert pasted["url"].startswith(f"http://127.0.0.1:{site.port}{site.base}go/")
    assert pasted["url"] != begun["url"]
    assert (await site.row())["pending"]["id"] == begun["id"]
    assert (await paste(site, begun["id"], address))[1]["code"] == "state_mismatch"
    address = await site.answer_to(pasted["url"], HttpBrowser())
    assert await paste(site, begun["id"], address) == (200, {"accepted": True, "url": None})
    assert (await site.row())["state"] == "signed_in"


async def test_ports_that_the_service_knows(site: Site) -> None:
    """``redirect_ports``: the first of them is where the browser ends, and nobody has to listen there."""
    site.write(acme={"redirect_ports": [1, 2]})
    begun = await site.login(flow="paste")
    assert urlsplit(begun["url"]).port == site.port
    address = await site.answer_to(begun["url"], HttpBrowser())
    assert urlsplit(address).port == 1
    assert site.extension._listeners == []
    assert (await paste(site, begun["id"], address))[0] == 200
    assert (await site.row())["state"] == "signed_in"


async def test_a_redirect_uri_that_leads_nowhere(site: Site) -> None:
    """The profile's own is kept, to the letter, and the sign-in begins where this browser is; also if it says so."""
    elsewhere = "http://127.0.0.1:1/nativeauth/callback"
    site.write(acme={"redirect_uri": elsewhere, "flow": "paste"})
    for flow in ("", "auto", "paste"):
        begun = await site.login(flow=flow)
        assert begun["url"].startswith(f"http://127.0.0.1:{site.port}{site.base}go/")
        browser = HttpBrowser()
        address = await site.answer_to(begun["url"], browser)
        assert address.startswith(f"{elsewhere}?")
        # The same browser may go there again; another one ends it, as ever.
        assert (await site.answer_to(begun["url"], browser)).startswith(f"{elsewhere}?")
        assert (await paste(site, begun["id"], address))[0] == 200
    begun = await site.login(flow="browser")
    assert begun["url"].startswith("http://127.0.0.1:1/nativeauth/go/")
    begun = await site.login()
    assert (await site.answer_to(begun["url"], HttpBrowser())).startswith(elsewhere)
    assert (await site.visit(begun["url"])).status == 403
    assert (await site.row())["failed"]["code"] == "other_browser"


# ---- the page ------------------------------------------------------------------------------------------------------


def test_a_kernel_leads_to_a_page(
    start: Callable[..., Lab],  # noqa: F811
    home: Home,
    oidc: OidcProvider,
    canary: Canary,
) -> None:
    """
    FLT-066, TRP-11, SEC-025: in a hosted kernel nothing is pasted into the notebook, whose channels others can read:
    its panel leads to a page of the server, which asks for the Jupyter login and ``_xsrf``, and says what was wrong.
    """
    lab = start()
    elsewhere = "http://127.0.0.1:1/nativeauth/callback"
    write_profile(home, oidc, redirect_uri=elsewhere)
    browser, page = signed_in_to_jupyter(lab, oidc, press=())
    kernel = lab.kernel()
    run = kernel.start("%load_ext jupyter_nativeauth\n%login --flow paste")
    run.wait_for(lambda run: "/nativeauth/login?profile=acme&flow=paste" in repr(run.messages).replace("&amp;", "&"))
    assert "/nativeauth/paste?profile=acme" in repr(run.messages)
    form = browser.follow(url(lab, "login?profile=acme&flow=paste"), page)
    assert (form.status, urlsplit(form.url).path) == (200, "/nativeauth/paste")

    person = oidc.browser(press=("Sign in", "Allow"))
    with pytest.raises(ConnectionRefusedError):
        person.open(form.links["Open the service"])
    address = person.hops[-1].header("location") or ""
    browser.fill = {"address": address.replace("state=", "state=x")}
    form = browser.submit(form, "Finish the sign-in")
    assert "The answer belongs to another sign-in." in form.text
    assert profiles(lab)["pending"] is not None
    fields = urlencode({"profile": "acme", "id": profiles(lab)["pending"]["id"], "address": address})
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.request("POST", url(lab, "paste"), kind, fields).status == 403  # without _xsrf
    stranger = HttpBrowser(follow_refresh=False)
    assert "/login?next=" in (stranger.request("GET", url(lab, "paste?profile=acme")).header("location") or "")
    assert profiles(lab)["state"] == "signed_out"

    browser.fill = {"address": address}
    done = browser.submit(form, "Finish the sign-in")
    assert urlsplit(done.url).path == "/nativeauth/done/signed-in"
    assert run.wait().error is None
    assert "No sign-in to &#x27;acme&#x27; is waiting" in browser.open(url(lab, "paste?profile=acme")).text
    for text in (form.text, done.text, lab.log_text, repr(run.messages)):
        canary.look("what there was to see", text)


def test_a_kernel_without_a_server(bare_kernel: BareKernel, oidc: OidcProvider) -> None:
    """
    TRP-11: whoever listens to its channels could read what an address needs. So the panel shows a page of this machine
    as ever, nothing can be pasted, and it says where that can be done.
    """
    run = bare_kernel.start("%load_ext jupyter_nativeauth\n%login --flow paste")
    panel = FrontEnd(bare_kernel).panel(run)
    words = panel.wait_for("Waiting for you to sign in", "jupyter nativeauth login acme --flow paste", "terminal")
    assert oidc.issuer not in words
    link = panel.link("Sign in to acme")
    assert "/nativeauth/go/" in link
    assert oidc.browser().open(link).url.endswith("/done/signed-in")
    assert run.wait().error is None
