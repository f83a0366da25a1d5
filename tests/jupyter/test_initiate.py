"""The route where a service sends people to begin: anybody may come there, and nothing begins without a click."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.canary import Canary
from tests.emulators.wristband import Wristband
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.jupyter.test_server import profiles, url
from tests.lab import Lab


def test_a_service_sends_people(
    wristband: Wristband, start_lab: Callable[..., Lab], home: Home, canary: Canary
) -> None:
    """
    WB-4, WB-5, WB-15, SEC-002, SEC-004, CNF-030: a stranger begins nothing; an invitation shows what it asks for,
    and a button; a sign-in of Jupyter's own that waits for its tenant goes on in its browser, with one more click.
    """
    lab = start_lab()
    wristband.register(f"http://127.0.0.1:{lab.port}")
    wristband.login_url = url(lab, "initiate/acme")
    known = wristband.profile(redirect_ports=[lab.port])
    del known["tenant_name"]
    lines = [f"{key} = {json.dumps(value)}" for key, value in known.items()]
    (home.config / "nativeauth.toml").write_text("[profiles.acme]\n" + "\n".join(lines) + "\n")
    browser = wristband.browser(press=())
    jupyter = browser.open(lab.lab_url())

    # Not without a Jupyter login, not from a notebook's link, not with a host of its own, not with an image, not with a
    # link that is over.
    assert browser.follow(wristband.invite("globex"), jupyter).title == "Sign in to acme?"
    assert "/login?next=" in HttpBrowser().open(wristband.invite("globex")).url
    page = browser.open(f"{wristband.login_url}?tenant_custom_domain=evil.example")
    assert page.title == "The sign-in could not begin"
    assert "not a domain that the profile lists" in page.text
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert browser.request("GET", wristband.invite("globex"), image).status == 400
    assert browser.request("POST", wristband.invite("globex")).status == 405
    assert "opened too long ago" in browser.open(url(lab, "login?profile=acme&link=made-up")).text
    assert browser.open(url(lab, "initiate/nobody?tenant_name=globex")).title == "The sign-in could not begin"

    hint = canary.mint("hint")  # what such an address holds can be a ticket: no log shows it
    page = browser.open(f"{wristband.invite('initech', login_hint=hint)}&state=evil")
    assert page.title == "Sign in to acme?"
    assert "tenant name &quot;initech&quot;" in page.text
    assert hint not in page.url
    assert (wristband.steps(), profiles(lab)["pending"]) == ([], None)
    page = browser.submit(page, "Sign in")
    assert page.url.endswith("/nativeauth/done/signed-in")
    (asked,) = wristband.hits("authorize")
    assert (asked.host, asked.get("login_hint")) == (wristband.host_of("initech"), hint)
    assert asked.get("state") != "evil"
    assert profiles(lab)["state"] == "signed_in"

    page = browser.follow(url(lab, "login?profile=acme"), jupyter)
    assert (page.title, wristband.steps()[-1]) == ("Sign in to acme at globex?", "app_login")
    page = browser.click(page, "Go on")
    assert page.url.endswith("/nativeauth/done/signed-in")
    assert wristband.hits("authorize")[-1].host == wristband.host_of("globex")
