"""LoginPanel in real kernels: what it shows, what its links and buttons do, and that it follows by itself."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from jupyter_nativeauth._logout import sign_out
from jupyter_nativeauth._markup import Link, Words, button, plain, table
from jupyter_nativeauth._status import ProfileStatus
from jupyter_nativeauth._words import describe, ended, left, minutes, note_of_error, waiting
from jupyter_nativeauth.errors import LoginFailed
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.jupyter.front_end import BareKernel, FrontEnd, Panel, tags_in
from tests.kernel import Kernel
from tests.lab import Lab
from tests.oidc_provider import OidcProvider
from tests.person import Person

LOGIN = "%load_ext jupyter_nativeauth\n%login"
PANEL = "from jupyter_nativeauth import LoginPanel\npanel = LoginPanel()\npanel"
SHOW = "from IPython.display import display\nfrom jupyter_nativeauth import LoginPanel\ndisplay(LoginPanel())"
BLOCK = "import time\nwhile True:\n    time.sleep(0.1)"


@pytest.fixture
def lab(home: Home, oidc: OidcProvider, start_lab: Callable[..., Lab]) -> Lab:
    """A JupyterLab that knows the profile ``acme``."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in oidc.profile().items()]
    (home.config / "nativeauth.toml").write_text("[profiles.acme]\n" + "\n".join(lines) + "\n")
    return start_lab()


def follow(lab: Lab, oidc: OidcProvider, link: str) -> HttpBrowser:
    """Click *link* in a browser in which this Lab is open, and do there what a person does."""
    browser = oidc.browser()
    habits, browser.press = browser.press, ()
    page = browser.open(lab.lab_url())
    browser.press = habits
    done = browser.follow(f"http://127.0.0.1:{lab.port}{link}", page)
    assert done.status == 200
    return browser


def show(kernel: Kernel | BareKernel) -> Panel:
    run = kernel.run(SHOW)
    assert run.error is None
    return FrontEnd(kernel).panel(run)


def printed(kernel: Kernel | BareKernel) -> list[str]:
    """All that the kernel wrote to stdout and stderr."""
    messages = [json.loads(raw) for raw in kernel.raw if isinstance(raw, str)]
    return [one["content"]["text"] for one in messages if one.get("header", {}).get("msg_type") == "stream"]


# ---- in a kernel of a Jupyter server --------------------------------------------------------------------------------


def test_the_panel_lives_while_the_cell_waits(lab: Lab, oidc: OidcProvider) -> None:
    """
    TRP-11, SEC-050: the link is a path of this Jupyter and holds nothing but the profile's name; the time left runs
    while the cell blocks; when the browser is done, the panel says so before the cell ends.
    """
    kernel = lab.kernel()
    with kernel.eavesdrop() as stranger:
        run = kernel.start(LOGIN)
        panel = FrontEnd(kernel).panel(run)
        first = panel.wait_for("Waiting for you to sign in", "Interrupt the kernel to cancel")
        assert panel.links == {
            "Sign in to acme": "/nativeauth/login?profile=acme",
            "The page does not open?": "/nativeauth/paste?profile=acme",
        }
        assert "or open this page of your Jupyter" in first
        assert "Sign in to acme: /nativeauth/login?profile=acme" in panel.first_text
        assert "[" not in first, "a button would not work while a cell runs"
        (clock,) = re.findall(r"\d:\d\d left", first)
        panel.wait_until(lambda text: clock not in text)
        assert not run.done.is_set()
        follow(lab, oidc, panel.link("Sign in to acme"))
        run.wait()
    assert run.error is None
    now = panel.text
    assert "Signed in as Ada Example" in now
    assert "Key: server memory (ends when the server stops)" in now
    assert panel.links == {"Switch account": "/nativeauth/login?profile=acme&switch=1"}
    kinds = [one["header"]["msg_type"] for one in run.messages]
    assert "update_display_data" in kinds, "what is saved with the notebook says how it ended"
    last = [one["content"] for one in run.messages if one["header"]["msg_type"] == "update_display_data"][-1]
    assert last["data"]["text/plain"].startswith("acme: Signed in as Ada Example")
    assert stranger.heard
    assert b"ada@example.org" not in b"".join(stranger.heard), "an e-mail address is nobody's business"


def test_the_panel_follows_other_processes_while_a_cell_runs(lab: Lab, oidc: OidcProvider) -> None:
    """A sign-in and a sign-out of another kernel show by themselves, also while a cell runs; and nothing is printed."""
    one, two = lab.kernel(), lab.kernel()
    panel = show(one)
    panel.wait_for("Signed out")
    busy = one.start(BLOCK)
    other = two.start(LOGIN)
    follow(lab, oidc, FrontEnd(two).panel(other).link("Sign in to acme"))
    panel.wait_for("Signed in as Ada Example", "[Sign out]")
    assert other.wait().error is None
    assert two.run("from jupyter_nativeauth import logout\nlogout()").error is None
    panel.wait_for("Signed out")
    assert panel.link("Sign in to acme") == "/nativeauth/login?profile=acme"
    assert not busy.done.is_set()
    one.interrupt()
    busy.wait()
    assert printed(one) == printed(two) == []


def test_sign_out_by_button_and_finish_at_the_service(lab: Lab, oidc: OidcProvider) -> None:
    """The button signs out here and revokes; the link that then shows ends the session at the service."""
    kernel = lab.kernel()
    panel = show(kernel)
    browser = follow(lab, oidc, panel.link("Sign in to acme"))
    panel.wait_for("Signed in as Ada Example")
    panel.press("Sign out")
    panel.wait_for("Signed out of acme", "may still be open")
    assert panel.links == {
        "End the session at the service": "/nativeauth/logout?profile=acme",
        "Sign in to acme": "/nativeauth/login?profile=acme",
    }
    assert len(oidc.journal("revocation")) == 1
    asked = browser.open(f"http://127.0.0.1:{lab.port}{panel.link('End the session at the service')}")
    browser.submit(asked, "Sign out")
    assert oidc.journal("end_session") != []


def test_a_login_that_is_over_says_why_and_what_to_do(lab: Lab, oidc: OidcProvider) -> None:
    """NRM-001: when the service no longer accepts the login, the panel says so, with a link to sign in again."""
    oidc.reset(access_token_ttl=1)
    kernel = lab.kernel()
    panel = show(kernel)
    follow(lab, oidc, panel.link("Sign in to acme"))
    panel.wait_for("access token has run out, the next request renews it")
    oidc.expire("RefreshToken")
    run = kernel.run("from jupyter_nativeauth import get_session\nget_session().get('/api/me')")
    assert (run.error or ("",))[0] == "LoginRequired"
    panel.wait_for("Signed out", "the service no longer accepts it", "%login acme")
    assert panel.link("Sign in to acme") == "/nativeauth/login?profile=acme"


def test_a_restarted_kernel_takes_the_sign_in_up_again(lab: Lab, oidc: OidcProvider) -> None:
    """FLT-053: a restart while ``%login`` waits loses nothing: the link that was shown before serves the next wait."""
    kernel = lab.kernel()
    link = FrontEnd(kernel).panel(kernel.start(LOGIN)).link("Sign in to acme")
    kernel.restart()
    run = kernel.start(LOGIN)
    FrontEnd(kernel).panel(run).wait_for("Waiting for you to sign in")
    follow(lab, oidc, link)
    assert run.wait().error is None


def test_an_interrupted_kernel_has_the_sign_in_too(lab: Lab, oidc: OidcProvider) -> None:
    """FLT-053: the sign-in belongs to the server: who finishes it after the kernel was interrupted is signed in."""
    kernel = lab.kernel()
    run = kernel.start(LOGIN)
    panel = FrontEnd(kernel).panel(run)
    kernel.interrupt()
    assert (run.wait().error or ("",))[0] == "KeyboardInterrupt"
    assert "Cancelled. Nobody was signed in." in panel.text
    link = panel.link("Sign in to acme")
    follow(lab, oidc, link)
    panel.wait_for("Signed in as Ada Example")
    again = kernel.run("%login")
    assert again.error is None
    assert len(oidc.journal("token")) == 1, "it was signed in already"
    assert FrontEnd(kernel).panel(again).model == panel.model, "one panel, however often it is shown"


def test_what_a_front_end_sends_does_no_harm(lab: Lab, oidc: OidcProvider) -> None:
    """SEC-052: forged messages about our widgets print nothing, sign nobody in, and their words do not stay."""
    kernel = lab.kernel()
    panel = show(kernel)
    follow(lab, oidc, panel.link("Sign in to acme"))
    panel.wait_for("Signed in as Ada Example")
    front = FrontEnd(kernel)
    html = [one for one, state in front.models.items() if "Signed in as" in str(state.get("value"))]
    for data in (
        {"method": "update", "state": {"value": "<b>forged</b>"}, "buffer_paths": []},
        {"method": "custom", "content": {"event": "nonsense", "profile": "x"}},
        {"method": "custom", "content": None},
        {"method": "nonsense"},
    ):
        for model in (*html, panel.model):
            panel.message(model, data)
    panel.wait_for("Signed in as Ada Example")
    assert "Ada Example" in (kernel.run("from jupyter_nativeauth import status\nstatus()[0].name").result or "")
    assert "forged" not in panel.text
    assert len(oidc.journal("token")) == 1


# ---- in a kernel without a server -----------------------------------------------------------------------------------


def test_buttons_where_there_is_no_server(bare_kernel: BareKernel, oidc: OidcProvider) -> None:
    """
    Without a server the panel's button begins the sign-in and shows its link; Cancel ends it and closes the port; a
    second try signs in. SEC-050: the link leads to this machine and holds no state, nonce or challenge.
    """
    bare_kernel.run("import os\ndel os.environ['JUPYTER_NATIVEAUTH_AGENT']")
    panel = show(bare_kernel)
    assert "[Sign in to acme]" in panel.wait_for("Signed out")
    panel.press("Sign in to acme")
    panel.wait_for("Waiting for you to sign in", "or copy this address", "[Cancel]")
    first = panel.link("Sign in to acme")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/nativeauth/go/[\w-]+", first)
    panel.press("Cancel")
    panel.wait_for("Cancelled. Nobody was signed in.", "[Sign in to acme]")
    assert first not in panel.text
    until_closed(first)
    panel.press("Sign in to acme")
    panel.wait_for("Waiting for you to sign in")
    oidc.browser().open(panel.link("Sign in to acme"))
    panel.wait_for("Signed in as Ada Example", "[Sign out]", "[Switch account]")
    assert "Key: this process's memory (ends with this kernel)" in panel.text
    panel.press("Sign out")
    panel.wait_for("Signed out of acme", "[Sign in to acme]")
    assert printed(bare_kernel) == []


def until_closed(link: str) -> None:
    import socket

    parts = urlsplit(link)
    end = time.monotonic() + 20
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((str(parts.hostname), int(parts.port or 0))) != 0:
                return
        assert time.monotonic() < end, "the listener still listens"
        time.sleep(0.05)


def test_switching_the_account_by_button(person: Person, bare_kernel: BareKernel, oidc: OidcProvider) -> None:
    """LIB-082, SEC-093: whoever is signed in stays so until somebody else is: a cancelled switch changes nothing, a
    finished one does."""
    person.sign_in()
    panel = show(bare_kernel)
    panel.wait_for("Signed in as Ada Example")
    panel.press("Switch account")
    panel.wait_for("Waiting for you to sign in", "Until then you stay signed in as Ada Example.")
    panel.press("Cancel")
    panel.wait_for("Signed in as Ada Example", "Cancelled. Nothing has changed.")
    panel.press("Switch account")
    panel.wait_for("Waiting for you to sign in")
    oidc.browser(fill={"username": "grace"}).open(panel.link("Sign in to acme"))
    panel.wait_for("Signed in as Grace Example")
    assert person.account.identity().name == "Grace Example"


def test_a_sign_out_of_another_process_and_a_failed_sign_in(
    person: Person, bare_kernel: BareKernel, oidc: OidcProvider
) -> None:
    """The panel follows this test's own process; and a sign-in that is denied says why, in the panel."""
    person.sign_in()
    panel = show(bare_kernel)
    panel.wait_for("Signed in as Ada Example", "Key: server memory")
    sign_out(person.account)
    panel.wait_for("Signed out", "[Sign in to acme]")
    panel.press("Sign in to acme")
    panel.wait_for("Waiting for you to sign in")
    oidc.browser(press=("Sign in", "Deny")).open(panel.link("Sign in to acme"))
    panel.wait_for("The sign-in failed", "access_denied", "[Sign in to acme]")


def test_a_panel_that_is_closed_leaves_nothing_behind(bare_kernel: BareKernel) -> None:
    """Closing a panel ends its thread and closes all of its widgets; its text can still be read."""
    bare_kernel.run("from ipywidgets.widgets.widget import _instances\nbefore = set(_instances)")
    panel = FrontEnd(bare_kernel).panel(
        bare_kernel.run(f"{PANEL}\nfrom IPython.display import display\ndisplay(panel)")
    )
    panel.wait_for("Signed out")
    code = (
        "import threading, time\npanel.close()\n"
        "while any(one.name == 'nativeauth-panel' for one in threading.enumerate()): time.sleep(0.05)\n"
        "print(len(set(_instances) - before), repr(panel).splitlines()[0])"
    )
    assert bare_kernel.run(code).stdout == "0 acme: Signed out\n"
    assert panel.text == ""


def test_a_wrong_profile_is_an_error_and_no_panel(bare_kernel: BareKernel) -> None:
    """A profile that is not there raises ConfigError, which says so; nothing half-made is left."""
    run = bare_kernel.run(PANEL.replace("LoginPanel()", "LoginPanel('amce')"))
    assert run.error is not None
    assert run.error[0] == "ConfigError"
    assert "acme" in run.error[1]
    assert printed(bare_kernel) == []
    assert FrontEnd(bare_kernel).models == {}


def test_a_hostile_name_is_only_text(bare_kernel: BareKernel, oidc: OidcProvider, person: Person) -> None:
    """SEC-053: a display name with markup is shown as it is, and brings no tag, no attribute and no link with it."""
    oidc.reset(interaction="auto", username="<img src=x onerror=alert(1)>\"'&[a](javascript:b)")
    person.sign_in()
    panel = show(bare_kernel)
    panel.wait_for("Signed in as <img src=x onerror=alert(1)>\"'&[a](javascript:b)")
    whole = "".join(panel.markup)
    assert tags_in(whole) <= {"div", "span", "strong", "a", "code", "br", *ATTRIBUTES}
    run = bare_kernel.run("%load_ext jupyter_nativeauth\n%whoami")
    (shown,) = run.of("display_data")
    assert tags_in(shown["data"]["text/html"]) <= {"table", "tr", "th", "td", "code", "scope", "style"}


ATTRIBUTES = {"style", "class", "href", "target", "rel", "role", "aria-live", "aria-hidden"}


# ---- the words themselves -------------------------------------------------------------------------------------------

STATUS = ProfileStatus(
    profile="acme",
    default=True,
    service="OpenID Connect",
    issuer="https://id.example/x",
    api=(),
    state="signed_in",
)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "//evil.example/",
        "/\\evil.example/",
        "http://evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "http://localhost:1/",
        "https://",
        "https://[bad/",
        "file:///etc/passwd",
        "nativeauth/login",
        "",
    ],
)
def test_only_our_own_addresses_become_links(url: str) -> None:
    """SEC-053: a link is a path of this Jupyter, an address on this machine, or https; anything else is no link."""
    assert button(Link("x", url)) == ""
    words = Words("acme", "s", "idle", "Signed out", link=Link("Sign in", url))
    assert "href" not in words.body
    assert "Sign in" not in words.text


@pytest.mark.parametrize(
    "url", ["/nativeauth/login?profile=a", "http://127.0.0.1:1/x", "http://[::1]:1/x", "https://a.b/"]
)
def test_a_link_opens_a_tab_that_cannot_reach_back(url: str) -> None:
    """A link opens in a new tab, without a way back to this page, and its address is escaped."""
    markup = button(Link('<b>"', f"{url}&q=\"'<"))
    assert 'target="_blank" rel="noopener noreferrer"' in markup
    assert f'href="{url}&amp;q=&quot;&#x27;&lt;"' in markup
    assert "<b>" not in markup


def test_text_for_a_console_holds_no_escape_sequences() -> None:
    """A name cannot colour, move or reverse what a terminal shows, and letters of all languages stay."""
    assert plain("a\x1b[31m\n\u202eb\u200b") == "a?[31m??b?"
    assert plain("Zoë 李 Łukasz") == "Zoë 李 Łukasz"
    shown = table([("Name", "a\x1b[2J\u202e<b>"), ("Empty", "")])
    assert repr(shown) == "Name  a?[2J?<b>"
    assert "&lt;b&gt;" in shown._repr_html_()


@pytest.mark.parametrize(
    ("seconds", "renews", "words"),
    [
        (None, True, "the service does not say how long the access token is good"),
        (-1, True, "access token has run out, the next request renews it"),
        (-1, False, "access token has run out, sign in again"),
        (30, True, "access token less than a minute left, renewed by itself"),
        (61, False, "access token 2 min left, not renewed"),
        (3600, True, "access token 60 min left, renewed by itself"),
        (86400, True, "access token 24 h left, renewed by itself"),
    ],
)
def test_how_long_the_access_token_lasts(seconds: float | None, renews: bool, words: str) -> None:
    """The time left is in minutes, and says what happens at its end."""
    expires_at = None if seconds is None else 1000 + seconds
    assert minutes(ProfileStatus(**{**vars(STATUS), "expires_at": expires_at, "renews": renews}), 1000) == words


@pytest.mark.parametrize(
    ("source", "label", "words"),
    [
        ("keychain", "gnome-keyring", "gnome-keyring"),
        ("server", "server memory", "server memory (ends when the server stops)"),
        ("process", "this process's memory", "this process's memory (ends with this kernel)"),
        ("", "", ""),
    ],
)
def test_where_the_key_is(source: str, label: str, words: str) -> None:
    """The panel says which key source is in use, and how long it lasts if it does not last."""
    shown = describe(ProfileStatus(**{**vars(STATUS), "key_source": source, "key_label": label}))
    assert shown.key == words
    assert (f"Key: {words}" in shown.text) is bool(words)


def test_what_is_wrong_and_what_to_do_are_both_shown() -> None:
    """A state that needs the person says what is wrong and what helps, commands as code."""
    status = ProfileStatus(**{**vars(STATUS), "state": "unavailable", "message": "It is locked.", "hint": "Run `x`."})
    shown = describe(status)
    assert (shown.tone, shown.state) == ("bad", "The login cannot be used")
    assert "It is locked." in shown.body
    assert re.search(r"Run <code[^>]*>x</code>\.", shown.body)
    assert shown.text.splitlines()[:3] == ["acme: The login cannot be used", "It is locked.", "Run `x`."]


def test_an_outcome_stands_beside_who_is_signed_in() -> None:
    """A failed try does not hide that somebody is signed in; without anybody, the failure is the state."""
    words, note = describe(STATUS), note_of_error(LoginFailed("Denied.", hint="Ask."))
    assert (ended(words, note, signed_in=True).state, ended(words, note, signed_in=True).lines[0]) == (
        words.state,
        "The sign-in failed",
    )
    out = describe(ProfileStatus(**{**vars(STATUS), "state": "signed_out"}))
    assert ended(out, note, signed_in=False).text.splitlines()[:3] == ["acme: The sign-in failed", "Denied.", "Ask."]
    assert note_of_error(KeyboardInterrupt()).state == "Cancelled. Nobody was signed in."


def test_before_the_link_is_there() -> None:
    """While the keychain may be asking for its password, the panel says so, and how to cancel."""
    out = describe(ProfileStatus(**{**vars(STATUS), "state": "signed_out"}))
    known: dict[str, Any] = {"why": "because", "seconds": 5.9, "in_cell": True, "opens": True}
    early, late = waiting(out, link="", **known), waiting(out, link="https://a.b/", **known)
    assert "keychain" in early.text
    assert "Interrupt the kernel to cancel." in early.text
    assert (late.time, left(-1)) == ("0:05 left", "0:00 left")
    assert "A tab opens by itself" in late.text
    assert "Because." in late.text
    assert parse_qs(urlsplit(late.address).query) == {}


def test_the_state_is_read_aloud_and_the_clock_is_not() -> None:
    """The state line is a polite live region, the dot is hidden from screen readers, and the clock is outside of it."""
    shown = waiting(describe(STATUS), link="/x", why="y", seconds=60, in_cell=True, opens=False)
    assert 'role="status" aria-live="polite"' in shown.status
    assert 'aria-hidden="true"' in shown.status
    assert "1:00" not in shown.status
    assert "1:00 left" in shown.clock
