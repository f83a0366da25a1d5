"""A real script, as a process of its own: ``login()`` in the system browser, what the terminal shows, how it ends."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from jupyter_nativeauth import (
    ConfigError,
    Identity,
    LoginFailed,
    LoginRequired,
    ProviderUnavailable,
    login,
    login_async,
)
from tests.canary import Canary
from tests.isolation import Home
from tests.keyring_daemon import keyring_daemon
from tests.oidc_provider import OidcProvider
from tests.person import Person
from tests.ssh import Ssh
from tests.system_browser import SystemBrowser
from tests.terminal import Terminal

LOGIN = "from jupyter_nativeauth import login\nprint(login())\n"
ALL = LOGIN + "from jupyter_nativeauth import get_session\nprint(get_session().get('/api/me').json()['name'])\n"
ME = "from jupyter_nativeauth import get_session\nprint(get_session().get('/api/me').json()['name'])\n"


@pytest.fixture
def browser(tmp_path: Path) -> SystemBrowser:
    return SystemBrowser(tmp_path / "browser")


def run(code: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A script from beginning to end."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def running(code: str, env: dict[str, str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    process = subprocess.Popen([sys.executable, "-c", code], env=env, text=True, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def link_from(process: subprocess.Popen[str]) -> str:
    """The address that a waiting script shows."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http://127\.0\.0\.1:\d+/\S+", line):
            return found[0]
    raise AssertionError("it ended without a link")


def until_it_waits(process: subprocess.Popen[str]) -> None:
    """Return when this script says that another one is signing in."""
    assert process.stderr is not None
    said = process.stderr.readline()
    assert said == "Another program of yours is signing in: waiting for it (Ctrl-C cancels) ...\n"


def assert_closed(link: str) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(link).port or 0))


# ---- all of it -----------------------------------------------------------------------------------------------------


def test_a_script_signs_in_and_calls_the_api(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """FLT-058, SEC-046, SEC-093: one call opens the browser, waits, and goes on; stderr says what happens, stdout is
    the script's own."""
    done = run(ALL, browser.env)
    assert (done.returncode, done.stdout) == (0, "<Identity 'Ada Example' on 'acme'>\nAda Example\n")
    lines = done.stderr.splitlines()
    assert lines[0] == "Sign in to acme. Your browser opens by itself; if not, open this address in your browser:"
    assert re.fullmatch(r"  http://127\.0\.0\.1:\d+/nativeauth/go/[A-Za-z0-9_-]{20,}", lines[2])
    assert re.fullmatch(r"Waiting for up to (300|299) seconds \(Ctrl-C cancels\)\.", lines[4])
    assert lines[5:] == ["Signed in to acme as Ada Example."]
    last = browser.visits[-1]
    assert (urlsplit(last.path).path, last.title) == ("/nativeauth/done/signed-in", "You are signed in")
    assert_closed(lines[2].strip())


def test_one_tab_for_all_who_ask_at_once(person: Person, oidc: OidcProvider, tmp_path: Path) -> None:
    """Scripts that ask while another one waits for the person wait with it: one tab, one sign-in for all."""
    tabs, program = tmp_path / "tabs", tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" >> {tabs}\n')
    program.chmod(0o700)
    env = {**os.environ, "BROWSER": str(program)}
    with running(LOGIN, env) as first:
        link = link_from(first)
        with running(LOGIN, env) as second, running(LOGIN, env) as third:
            until_it_waits(second)
            until_it_waits(third)
            oidc.browser().open(link)
            said = [process.communicate(timeout=60) for process in (first, second, third)]
    assert [out for out, _ in said] == ["<Identity 'Ada Example' on 'acme'>\n"] * 3
    assert [err for _, err in said[1:]] == ["Signed in to acme as Ada Example.\n"] * 2
    assert len(oidc.journal("token")) == 1
    assert tabs.read_text() == f"{link}\n"


def test_the_next_one_has_its_turn(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """A script that is killed while it waits for the person leaves nothing behind that keeps others waiting."""
    with running(LOGIN, {**os.environ, "BROWSER": "true"}) as first:
        link_from(first)
        with running(ALL, browser.env) as second:
            until_it_waits(second)
            first.kill()
            out, _ = second.communicate(timeout=60)
    assert out == "<Identity 'Ada Example' on 'acme'>\nAda Example\n"


def test_it_returns_at_once_when_signed_in(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """No link, no browser, no request to the provider: it takes the login that is there."""
    run(LOGIN, browser.env)
    before = len(oidc.journal()), len(browser.visits)
    again = run(LOGIN, browser.env)
    assert (again.stdout, again.stderr) == ("<Identity 'Ada Example' on 'acme'>\n", "")
    assert (len(oidc.journal()), len(browser.visits)) == before
    # Nor does it need anybody to be there.
    alone = run(LOGIN, {**os.environ})
    assert (alone.stdout, alone.stderr) == ("<Identity 'Ada Example' on 'acme'>\n", "")


def test_asking_for_more_signs_in_again(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """More scopes, a fresher sign-in, another account: each goes through the browser although one is signed in."""
    run(LOGIN, browser.env)
    for more in ("scopes=['address']", "max_age=0", "acr_values='urn:gold'", "switch=True"):
        before = len([visit for visit in browser.visits if visit.path == "/auth"])
        done = run(LOGIN.replace("login())", f"login({more}, timeout=20))"), browser.env)
        assert len([visit for visit in browser.visits if visit.path == "/auth"]) > before, (more, done.stderr)
    # Scopes that were granted are no longer a reason.
    run(LOGIN.replace("login())", "login(scopes=['email']))"), browser.env)
    quiet = run(LOGIN.replace("login())", "login(scopes=['email']))"), browser.env)
    assert quiet.stderr == ""


def test_a_person_who_says_no(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """FLT-056: the script ends with the provider's code in words, and the browser's page agrees."""
    browser.be(press=("Sign in", "Deny"))
    done = run(LOGIN, browser.env)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("jupyter_nativeauth.errors.LoginFailed: Sign-in to 'acme' failed (access_denied).")
    assert browser.visits[-1].title == "Access was not given"


# ---- who watches ---------------------------------------------------------------------------------------------------


def in_a_terminal(code: str, env: dict[str, str], until: str, *, interrupt: bool = False) -> tuple[str, int]:
    """Run *code* with a terminal as its stderr; what was to be read there, and its exit status."""
    decoder = codecs.getincrementaldecoder("utf-8")()  # a letter can be cut in two
    mine, its = pty.openpty()
    with running(code, env, stderr=its, stdout=subprocess.DEVNULL) as process:
        os.close(its)
        text, end = "", time.monotonic() + 40
        while time.monotonic() < end:
            readable, _, _ = select.select([mine], [], [], 0.2)
            if readable:
                try:
                    text += decoder.decode(os.read(mine, 4096))
                except OSError:  # the other end is closed: Linux says EIO
                    break
            if interrupt and until in text:
                process.send_signal(signal.SIGINT)
                interrupt = False
        os.close(mine)
        code_of_exit = process.wait(30)
    assert until in text
    return text, code_of_exit


def test_a_terminal_shows_the_time_that_is_left(person: Person, oidc: OidcProvider) -> None:
    """LIB-084: it counts down in one line, and takes the line away at the end; without a browser it says *Open*."""
    code = LOGIN.replace("login())", "login(timeout=4, flow='browser'))")
    text, status = in_a_terminal(code, {**os.environ}, "Waiting for")
    assert "Sign in to acme. Open this address in your browser:" in text
    assert "opens by itself" not in text
    left = re.findall(r"\rWaiting for (\d+:\d\d) more \(Ctrl-C cancels\) ", text)
    assert list(dict.fromkeys(left)) == sorted(set(left), reverse=True)
    assert len(set(left)) > 1
    assert "\r\x1b[K" in text
    assert status == 1
    assert "Nobody finished the sign-in to 'acme' in time. Try again" in text


def test_ctrl_c_in_a_terminal(person: Person, oidc: OidcProvider) -> None:
    """FLT-054: one Ctrl-C ends the wait, says so, closes the port, and is a KeyboardInterrupt to the script."""
    code = (
        "from jupyter_nativeauth import login\n"
        "try:\n    login(flow='browser')\n"
        "except KeyboardInterrupt:\n    import sys; sys.stderr.write('caught\\n'); sys.exit(7)\n"
    )
    text, status = in_a_terminal(code, {**os.environ}, "Waiting for", interrupt=True)
    assert status == 7
    assert text.rstrip().endswith("\r\x1b[KCancelled. Nobody was signed in.\r\ncaught")
    assert_closed(re.findall(r"http://\S+", text)[0])


def test_ctrl_c_without_a_terminal(person: Person, oidc: OidcProvider) -> None:
    """FLT-054: an interrupted script ends as Python scripts do; nothing was stored, and the next try works."""
    env = {**os.environ, "BROWSER": "true"}
    with running(LOGIN, env) as process:
        link = link_from(process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode in (-signal.SIGINT, 130)
    assert "Cancelled. Nobody was signed in." in err
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert_closed(link)
    assert person.account.login_id() == ""
    assert person.sign_in().name == "Ada Example"


def test_where_nobody_is_there(person: Person, oidc: OidcProvider) -> None:
    """Without display, terminal and BROWSER nothing waits: LoginRequired, at once, with the command that helps."""
    done = run(LOGIN, {**os.environ})
    assert done.returncode == 1
    assert done.stdout == ""
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("jupyter_nativeauth.errors.LoginRequired: Nobody is signed in to 'acme'. Nobody is here")
    assert "`jupyter nativeauth login acme`" in last
    assert oidc.journal() == []


def test_over_ssh_no_browser_opens_on_the_far_machine(
    person: Person, home: Home, oidc: OidcProvider, tmp_path: Path
) -> None:
    """
    FLT-054, FLT-065: a display that is set does not help over SSH; a person at the terminal gets an address, and the
    reason. Ctrl-C travels there, and ends the wait.
    """
    there = {**home.env, "DISPLAY": ":99", "JUPYTER_NATIVEAUTH_AGENT": os.environ["JUPYTER_NATIVEAUTH_AGENT"]}
    program = ["env", *(f"{name}={value}" for name, value in there.items()), sys.executable, "-c", LOGIN]
    command = Ssh(tmp_path / "ssh").at_a_terminal(shlex.join(program))
    with Terminal(command, dict(os.environ)) as terminal:
        terminal.wait_for("Open this address")
        terminal.type("\x03")
        terminal.wait_for("Nobody was signed in.")
        text = terminal.text
    assert "you are here over SSH" in " ".join(text.split())
    assert "opens by itself" not in text
    assert "Cancelled. Nobody was signed in." in text


def test_in_a_container_no_browser_opens(person: Person, oidc: OidcProvider) -> None:
    """FLT-065: the file that Podman puts into each container, at its place, is seen; the person gets an address."""
    alike = [shutil.which("unshare") or "false", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    if subprocess.run([*alike, "mount -t tmpfs none /run"], capture_output=True, check=False).returncode:
        pytest.skip("mount namespaces cannot be made here")
    inside = [*alike, 'mount -t tmpfs none /run; : > /run/.containerenv; exec "$@"', "sh", sys.executable, "-c", LOGIN]
    with Terminal(inside, {**os.environ}) as terminal:
        terminal.wait_for("Open this address")
        terminal.type("\x03")
        terminal.end()
    assert "this is a container without a display" in " ".join(terminal.text.split())


@pytest.mark.parametrize("program", ["false", "nothing-of-that-name"])
def test_a_browser_that_fails_is_no_end(person: Person, oidc: OidcProvider, program: str) -> None:
    """FLT-065: it does not start, or says no: the address is there, and whoever opens it signs in."""
    with running(LOGIN, {**os.environ, "BROWSER": program}) as process:
        assert oidc.browser().open(link_from(process)).url.endswith("/done/signed-in")
        out, err = process.communicate(timeout=30)
    assert out == "<Identity 'Ada Example' on 'acme'>\n"
    assert err.rstrip().endswith("Signed in to acme as Ada Example.")


def test_a_browser_that_never_ends_is_not_waited_for(person: Person, oidc: OidcProvider, tmp_path: Path) -> None:
    """FLT-065: a text browser stays in the foreground as long as it is open."""
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 120 >/dev/null 2>&1\n")
    slow.chmod(0o700)
    with running(LOGIN, {**os.environ, "BROWSER": str(slow)}) as process:
        oidc.browser().open(link_from(process))
        out, _ = process.communicate(timeout=30)
    assert out == "<Identity 'Ada Example' on 'acme'>\n"
    left = psutil.Process(int((tmp_path / "pid").read_text()))
    left.kill()


# ---- limits --------------------------------------------------------------------------------------------------------


def test_the_wait_has_an_end(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """FLT-055: the argument, else the profile's ``timeout``, in seconds; then a typed error, and the port is closed."""
    browser.be(press=())
    done = run(LOGIN.replace("login())", "login(timeout=5))"), browser.env)
    assert "Waiting for up to" in done.stderr
    assert "LoginFailed: Nobody finished the sign-in to 'acme' in time." in done.stderr
    person.write(acme=oidc.profile(timeout=4))
    own = run(LOGIN, browser.env)
    assert re.search(r"up to [0-4] seconds", own.stderr)
    assert "LoginFailed: Nobody finished the sign-in to 'acme' in time." in own.stderr
    for answer in (done, own):
        assert_closed(re.findall(r"http://\S+", answer.stderr)[0])
    assert {visit.title for visit in browser.visits if visit.title} == {"Sign in to the test provider"}


def test_a_provider_that_is_down(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """FLT-002: told at once, without a link to nowhere."""
    oidc.fault("discovery", status=503, body="down", times=9)
    done = run(LOGIN, browser.env)
    assert ProviderUnavailable.__name__ in done.stderr
    assert "http://127.0.0.1" not in done.stderr.split("Traceback")[0]
    assert browser.visits == []


def test_wrong_arguments_are_told_at_once(person: Person) -> None:
    """Nothing is begun with them."""
    with pytest.raises(ConfigError, match="auto, browser"):
        login("acme", flow="telepathy")
    with pytest.raises(ConfigError, match='no profile "acne"') as caught:
        login("acne")
    assert "acme" in caught.value.hint


# ---- async ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is here, with a browser that does nothing: the test's own browser opens the link."""
    monkeypatch.setenv("BROWSER", "true")


def link_of(capsys: pytest.CaptureFixture[str], text: list[str]) -> str:
    text[0] += capsys.readouterr().err
    found = re.search(r"http://127\.0\.0\.1:\d+/\S+", text[0])
    return found[0] if found else ""


def test_login_async(person: Person, oidc: OidcProvider, there: None, capsys: pytest.CaptureFixture[str]) -> None:
    """The loop goes on while it waits for the person, and the result is the same."""

    async def main() -> Identity:
        text = [""]
        task = asyncio.create_task(login_async("acme"))
        while not (link := link_of(capsys, text)):  # noqa: ASYNC110 - printed, not signalled
            await asyncio.sleep(0.02)
        await asyncio.to_thread(oidc.browser().open, link)
        return await task

    identity = asyncio.run(main())
    assert (identity.name, repr(identity)) == ("Ada Example", "<Identity 'Ada Example' on 'acme'>")
    assert asyncio.run(login_async("acme")) == identity


def test_a_cancelled_login_async(
    person: Person, oidc: OidcProvider, there: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task that is cancelled ends at once; the port closes, nothing is stored, and the browser's answer is late."""

    async def main() -> str:
        text = [""]
        task = asyncio.create_task(login_async("acme"))
        while not (link := link_of(capsys, text)):  # noqa: ASYNC110 - printed, not signalled
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return link

    link = asyncio.run(main())
    for thread in threading.enumerate():
        if thread.name in ("nativeauth-login", "nativeauth-listener"):
            thread.join(10)
    assert_closed(link)
    assert "Cancelled. Nobody was signed in." in capsys.readouterr().err
    with pytest.raises(LoginRequired):
        person.account.access_token()
    assert oidc.journal("token") == []


def test_login_async_has_an_end(person: Person, there: None, capsys: pytest.CaptureFixture[str]) -> None:
    """FLT-055: the same time-out, with the same error."""
    with pytest.raises(LoginFailed) as caught:
        asyncio.run(login_async("acme", timeout=0.5))
    assert caught.value.code == "timeout"


# ---- where the login is kept ---------------------------------------------------------------------------------------


@pytest.fixture
def alone(home: Home, oidc: OidcProvider) -> Home:
    """A person without a Jupyter server: there is no key agent."""
    Person(home, oidc)  # writes the profile
    return home


def test_without_a_keychain_the_login_ends_with_the_script(
    alone: Home, oidc: OidcProvider, browser: SystemBrowser
) -> None:
    """FLT-044: the login works for the length of the script, no file is written, and the next one has to ask again."""
    assert run(ALL, browser.env).stdout == "<Identity 'Ada Example' on 'acme'>\nAda Example\n"
    assert list(alone.data.rglob("*.vault")) == []
    after = run(ME, browser.env)
    assert (after.returncode, after.stdout) == (1, "")
    assert "LoginRequired: Nobody is signed in to 'acme'." in after.stderr


def test_with_a_keychain_every_script_is_signed_in(
    alone: Home, oidc: OidcProvider, browser: SystemBrowser, canary: Canary
) -> None:
    """FLT-021: the second script needs no browser, the third renews, and after a sign-out the fourth is signed out."""
    with keyring_daemon() as keychain:
        variables = {"BROWSER": str(browser.program)}

        def script(code: str, **more: str) -> tuple[str, str]:
            process = keychain.spawn("-c", code, **more)
            out, err = process.communicate(timeout=60)
            return out, err

        assert script(ALL, **variables)[0] == "<Identity 'Ada Example' on 'acme'>\nAda Example\n"
        (vault,) = alone.data.rglob("*.vault")
        before, visits = vault.read_bytes(), len(browser.visits)
        assert script(ME) == ("Ada Example\n", "")
        assert (vault.read_bytes() == before, oidc.token_requests) == (True, 1)

        oidc.expire("AccessToken")
        assert script(ME) == ("Ada Example\n", "")
        assert (oidc.refreshes, oidc.reuse) == (1, 0)
        assert vault.read_bytes() != before
        assert len(browser.visits) == visits

        label = "from jupyter_nativeauth import status\nprint(status()[0].key_label, status()[0].state)\n"
        assert script(label) == ("gnome-keyring signed_in\n", "")
        assert script("from jupyter_nativeauth import logout\nprint(logout(browser=False))\n")[0].startswith(
            "Signed out"
        )
        out, err = script(ME)
        assert out == ""
        assert "LoginRequired: Nobody is signed in to 'acme'." in err
        for file in keychain.home.rglob("*"):
            if file.is_file():
                canary.look(f"file {file.name} of the keychain", file.read_bytes())


def test_two_scripts_that_ask_at_once(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """Each has its own listener and its own browser tab; both end signed in, with one login in the vault."""
    with running(ALL, browser.env) as one, running(ALL, browser.env) as two:
        answers = [process.communicate(timeout=60)[0] for process in (one, two)]
    assert answers == ["<Identity 'Ada Example' on 'acme'>\nAda Example\n"] * 2
    assert len(list(person.home.data.rglob("*.vault"))) == 1
