"""Pasting back the address on which a browser has ended, in a real terminal, with a certified provider."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from jupyter_nativeauth import LoginFailed
from jupyter_nativeauth._attempt import ListenerAttempt
from jupyter_nativeauth._callback import Mismatch
from jupyter_nativeauth._device_attempt import DeviceAttempt
from jupyter_nativeauth._host import Host
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._paste_attempt import PasteAttempt
from jupyter_nativeauth._tokens import Secret
from tests.canary import Canary
from tests.emulators.auth0 import Auth0
from tests.flow.test_device import until
from tests.flow.test_script import LOGIN, in_a_terminal, run
from tests.http_browser import HttpBrowser
from tests.oidc_provider import OidcProvider
from tests.person import Person, outcome
from tests.terminal import Terminal

PASTE = LOGIN.replace("login())", "login(flow='paste'))")
PROMPT = "Paste it here, then Enter (hidden"


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine at which nobody can listen, and nobody does: a browser comes to nothing there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def ended_at(oidc: OidcProvider, link: str, press: tuple[str, ...] = ("Sign in", "Allow")) -> str:
    """Sign in, in a browser that cannot come back: the address that it shows in the end."""
    browser = oidc.browser(press=press)
    with pytest.raises(ConnectionRefusedError):
        browser.open(link)
    return str(browser.hops[-1].header("location"))


def link_in(terminal: Terminal, after: int = 0) -> str:
    """The address that a terminal shows."""
    terminal.wait_for(PROMPT, after)
    return str(re.findall(r"^ +(http://\S+)\r$", terminal.text[after:], re.MULTILINE)[0])


def secrets_of(link: str, address: str = "") -> list[str]:
    query = {**parse_qs(urlsplit(link).query), **parse_qs(urlsplit(address).query)}
    return [query[name][0] for name in ("code", "state") if name in query]


# ---- in a terminal -------------------------------------------------------------------------------------------------


def test_a_script_over_ssh(person: Person, oidc: OidcProvider, port: int, canary: Canary) -> None:
    """
    FLT-066, SEC-024, SEC-091: the address leads straight to the service; what is pasted is hidden, may have line
    breaks, and is asked for again, with the reason, if it is the wrong one. Then the script goes on, at a terminal that
    is as it was.
    """
    person.write(acme=oidc.profile(redirect_ports=[port]))
    env = {**os.environ, "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}
    with Terminal(PASTE, env) as terminal:
        link = link_in(terminal)
        assert link.startswith(f"{oidc.issuer}/auth?")
        assert not terminal.shows_what_is_typed
        shown = terminal.text.replace("\r\n", "\n")
        shown = shown.removeprefix("Preparing the sign-in (Ctrl-C cancels) ...\n")  # a slow machine
        assert shown.startswith(
            "Sign in to acme, in your browser on whichever machine that is (no browser opens here: you are here over "
            "SSH (SSH_CONNECTION), and your browser is on another machine).\nOpen this address:\n\n"
        )
        assert "copy the whole address of that page, and paste it here." in shown
        assert "Show this address to nobody." in shown
        address = ended_at(oidc, link)
        here = len(terminal.text)
        terminal.type("\n")
        here = terminal.wait_for("Nothing was pasted. Copy the whole address", here)
        terminal.type(f"{parse_qs(urlsplit(address).query)['code'][0]}\n")
        here = terminal.wait_for("This is only a part of the address. Copy the whole", here)
        terminal.type(f"{link}\n")
        here = terminal.wait_for("This is still a page of the service.", here)
        terminal.type("half of it\b\x7f")
        terminal.wait_for("(hidden, 8 typed)", here)
        terminal.type(f"\x15\x1b[200~{address[:90]}\n{address[90:]}\x1b[201~\n")
        here = terminal.wait_for("Thank you. Finishing the sign-in.", here)
        terminal.wait_for("Signed in to acme as Ada Example.\r\n<Identity 'Ada Example' on 'acme'>", here)
        assert terminal.end() == 0
        assert terminal.shows_what_is_typed
        code, state = secrets_of(link, address)
        assert code not in terminal.text
        assert terminal.text.count(state) == 1
    canary.look("the terminal", terminal.text)
    canary.allow("the terminal", "state", "nonce")


def test_a_browser_that_reaches_us_needs_no_paste(person: Person, oidc: OidcProvider) -> None:
    """FLT-066: a listener waits as well: through an SSH tunnel the browser ends it by itself, with one answer only."""
    with Terminal(PASTE, {**os.environ}) as terminal:
        link = link_in(terminal)
        page = oidc.browser().open(link)
        assert (page.title, urlsplit(page.url).query) == ("You are signed in", "")
        terminal.wait_for("Signed in to acme as Ada Example.")
        assert terminal.end() == 0
    assert len(oidc.journal("token")) == 1


def test_ctrl_c_at_the_prompt(person: Person, oidc: OidcProvider) -> None:
    """FLT-054: it ends the wait as ever, and the terminal shows again what is typed."""
    with Terminal(PASTE, {**os.environ}) as terminal:
        link_in(terminal)
        terminal.type("http://half-of-it\x03")
        terminal.wait_for("Cancelled. Nobody was signed in.")
        assert terminal.end() == -signal.SIGINT
        assert terminal.shows_what_is_typed
        assert "half-of-it" not in terminal.text


def test_the_end_of_what_can_be_typed(person: Person, oidc: OidcProvider) -> None:
    """LIB-086: Ctrl-D is a typed error, not a traceback of ours, and it ends the wait."""
    with Terminal(
        [sys.executable, "-m", "jupyter_nativeauth.cli", "login", "--flow", "paste"], {**os.environ}
    ) as terminal:
        link_in(terminal)
        terminal.type("\x04")
        terminal.wait_for("Error: The sign-in was cancelled.")
        assert terminal.end() == 1
        assert "Traceback" not in terminal.text


def test_a_no_at_the_service(person: Person, oidc: OidcProvider, port: int) -> None:
    """FLT-056: the address of a refusal ends the sign-in with the service's word."""
    person.write(acme=oidc.profile(redirect_ports=[port]))
    with Terminal(PASTE, {**os.environ}) as terminal:
        terminal.type(ended_at(oidc, link_in(terminal), ("Sign in", "Deny")) + "\n")
        terminal.wait_for("LoginFailed: Sign-in to 'acme' failed (access_denied).")
        assert terminal.end() == 1


def test_the_profile_may_say_so(person: Person, oidc: OidcProvider) -> None:
    """Its key, the argument, the magic's option and that of the command line have the same words; no tab opens."""
    person.write(acme=oidc.profile(flow="paste"))
    with Terminal(LOGIN, {**os.environ, "BROWSER": "false"}) as terminal:
        assert link_in(terminal).startswith(oidc.issuer)


def test_where_nobody_can_type(person: Person, oidc: OidcProvider) -> None:
    """Without a keyboard there is no prompt, and the terminal is left alone; without a terminal nobody waits at all."""
    text, _ = in_a_terminal(PASTE, {**os.environ}, "Waiting for", interrupt=True)
    assert "Nobody can paste anything here" in text
    assert PROMPT not in text
    assert "Cancelled. Nobody was signed in." in text
    done = run(PASTE, {**os.environ})
    assert "LoginRequired" in done.stderr
    assert "http" not in done.stderr


def test_in_the_background_of_a_shell(person: Person, oidc: OidcProvider, tmp_path: Path) -> None:
    """A program that the shell has sent to the background is not stopped for reading what is not its to read."""
    script = tmp_path / "script.py"
    script.write_text(PASTE)
    shell = f"set -m; {sys.executable} {script} & read line; kill -INT $!; wait $!; echo over"
    with Terminal(["/bin/bash", "-c", shell], {**os.environ}) as terminal:
        link_in(terminal)
        here = terminal.wait_for("4:5")
        terminal.wait_for("4:5", here)
        assert terminal.shows_what_is_typed
        terminal.type("\n")
        terminal.wait_for("Cancelled. Nobody was signed in.")
        terminal.wait_for("over")
        terminal.end()


# ---- by itself -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def begun(person: Person) -> Iterator[PasteAttempt]:
    attempt = PasteAttempt(person.account, Ask(), 60)
    try:
        until(lambda: bool(attempt.link))
        yield attempt
    finally:
        attempt.cancel()


def test_each_address_counts_once(person: Person, oidc: OidcProvider, port: int, canary: Canary) -> None:
    """ADV-009, RFC 9700: another sign-in's address is refused and changes nothing; the right one counts once."""
    person.write(acme=oidc.profile(redirect_ports=[port]))
    with begun(person) as mine, begun(person) as other:
        address = Secret(ended_at(oidc, other.link))
        with pytest.raises(Mismatch) as caught:
            mine.paste(address)
        assert caught.value.code == "state_mismatch"
        assert "If somebody has sent you an address, do not use it." in caught.value.hint
        assert mine.poll() is None
        canary.look_error(caught.value)
        other.paste(address)
        with pytest.raises(LoginFailed) as again:
            other.paste(address)
        assert again.value.code == "expired"
        until(lambda: other.poll() is not None)
        mine.paste(Secret(ended_at(oidc, mine.link)))
        assert outcome(mine).name == "Ada Example"
    assert len(oidc.journal("token")) == 2


def test_a_cancel_while_the_code_is_redeemed(person: Person, oidc: OidcProvider, port: int) -> None:
    """FLT-054: whoever leaves in that moment is not signed in, and what was granted is revoked."""
    person.write(acme=oidc.profile(redirect_ports=[port]))
    oidc.fault("token", action="hold")
    with begun(person) as attempt:
        attempt.paste(Secret(ended_at(oidc, attempt.link)))
        oidc.wait_held("token")
        attempt.cancel()
        with pytest.raises(LoginFailed) as caught:
            outcome(attempt)
        assert caught.value.code == "cancelled"
        oidc.release()
        oidc.wait_requests("revocation")
    assert person.account.login_id() == ""


def test_a_redirect_uri_of_another_machine(person: Person, oidc: OidcProvider) -> None:
    """SEC-024: where no listener can be, since the service sends browsers elsewhere, the address is all it needs."""
    elsewhere = "http://127.0.0.1:1/user/ada/nativeauth/callback"
    oidc.reset(redirect_paths=["/user/ada/nativeauth/callback"])
    person.write(acme=oidc.profile(redirect_uri=elsewhere))
    with begun(person) as attempt:
        address = ended_at(oidc, attempt.link)
        assert address.startswith(f"{elsewhere}?")
        attempt.paste(Secret(address))
        assert outcome(attempt).name == "Ada Example"


def test_an_attempt_that_takes_none_says_so(person: Person, oidc: OidcProvider) -> None:
    """A sign-in that ends in another way, or has not begun yet, refuses an address, in words."""
    attempt = person.begin()
    assert not attempt.takes_paste
    with pytest.raises(LoginFailed, match="Nothing has to be pasted") as caught:
        attempt.paste(Secret("x"))
    assert caught.value.code == "paste_unasked"
    attempt.cancel()
    with pytest.raises(LoginFailed):
        outcome(attempt)


def test_what_a_device_flow_falls_back_to(person: Person, oidc: OidcProvider, port: int) -> None:
    """NRM-136: where the service has no device flow, the attempt in its place takes the address."""
    oidc.reset(device=False)
    person.write(acme=oidc.profile(redirect_ports=[port]))
    attempt = DeviceAttempt(person.account, Ask(), 60, otherwise=PasteAttempt)
    try:
        until(lambda: bool(attempt.link))
        assert attempt.takes_paste
        assert attempt.why.startswith("no browser opens here: ")
        attempt.paste(Secret(ended_at(oidc, attempt.link)))
        assert outcome(attempt).name == "Ada Example"  # type: ignore[arg-type]
    finally:
        attempt.cancel()


def test_a_service_that_asks_something_first(auth0: Auth0, person_at: Callable[..., Person]) -> None:
    """A0-6: the sign-in begins once more, and the person is shown the new address; the old one is of no more use."""
    auth0.answer("authorize", lambda request: auth0.back(request, error="login_required"))
    with begun(person_at(auth0)) as attempt:
        first = attempt.link
        address = Secret(oidc_answer(first))
        attempt.paste(address)
        assert (attempt.link != first, attempt.poll()) == (True, None)
        with pytest.raises(Mismatch):
            attempt.paste(address)
        attempt.paste(Secret(oidc_answer(attempt.link)))
        assert outcome(attempt).name == "Ada Example"


def oidc_answer(link: str) -> str:
    """Where the provider sends a browser back to at once; it does not go there."""
    return str(HttpBrowser().request("GET", link).header("location"))


def test_only_a_sign_in_that_began_without_a_page_of_ours_does_without_the_cookie(
    person: Person, oidc: OidcProvider
) -> None:
    """SEC-005, SEC-037: the listener takes the answer of a browser that it has not bound for such a sign-in alone."""
    attempt = ListenerAttempt(person.account, Ask(), 60, browse=lambda url: None)
    until(lambda: bool(attempt.link))
    first = oidc.browser()
    hop = first.request("GET", attempt.link)
    stranger = oidc.browser().open(hop.header("location") or "")
    assert (stranger.status, attempt.poll()) == (400, None)
    attempt.cancel()
    with pytest.raises(LoginFailed):
        outcome(attempt)


def test_a_time_that_is_over(person: Person, oidc: OidcProvider, port: int) -> None:
    """FLT-055: what is pasted too late is refused in words; nothing is stored."""
    person.write(acme=oidc.profile(redirect_ports=[port]))
    host = Host()
    pending = host.begin(person.account, Ask(), f"http://127.0.0.1:{port}/nativeauth/callback")
    address = Secret(ended_at(oidc, pending.request.url.reveal()))
    host.pending.cancel(pending.id)
    with pytest.raises(LoginFailed) as caught:
        host.paste(pending, address)
    assert (caught.value.code, oidc.token_requests) == ("expired", 0)
