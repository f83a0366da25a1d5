"""``jupyter nativeauth``: the words that a newcomer reads, the exit statuses that a program reads, and no token."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import jupyter_nativeauth
from jupyter_nativeauth._status import ProfileStatus
from jupyter_nativeauth.testing import Clock
from tests.isolation import Home
from tests.keyring_daemon import keyring_daemon
from tests.oidc_provider import OidcProvider
from tests.person import Person
from tests.system_browser import SystemBrowser

COMMANDS = ["login", "logout", "status", "profiles", "doctor", "scan", "token", "presence", "secret", "demo"]
CLI = [sys.executable, "-m", "jupyter_nativeauth.cli"]


@pytest.fixture
def browser(tmp_path: Path) -> SystemBrowser:
    return SystemBrowser(tmp_path / "browser")


@pytest.fixture
def alone(home: Home, oidc: OidcProvider) -> Person:
    """Somebody in a terminal, without a Jupyter server and without a keychain."""
    return Person(home, oidc)


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command line from beginning to end; it never shows a traceback."""
    done = subprocess.run(
        [*CLI, *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done


def refused(*arguments: str, env: dict[str, str] | None = None) -> list[str]:
    """The lines with which it says what is wrong; nothing else is printed, and the exit status is 1."""
    done = run(*arguments, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("Error: ")
    return lines


# ---- finding one's way ---------------------------------------------------------------------------------------------


def test_jupyter_knows_the_command(home: Home) -> None:
    """`jupyter nativeauth` works as soon as the package is installed, and `jupyter --help` lists it."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["jupyter", "nativeauth", "--version"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == f"jupyter nativeauth, version {jupyter_nativeauth.__version__}\n"
    listed = subprocess.run(["jupyter", "--help"], env=env, capture_output=True, text=True, check=True)
    assert "nativeauth" in listed.stdout.split("Available subcommands:")[1].split()


def test_the_help_is_for_people(home: Home) -> None:
    """Each command is listed with one whole sentence, has a page of its own, and is called as it is typed."""
    top = run("--help")
    assert top.stdout.startswith("Usage: jupyter nativeauth ")
    listed = dict(re.findall(r"^  (\w+)  +(.+)$", top.stdout.split("Commands:")[1], re.MULTILINE))
    assert sorted(listed) == sorted(COMMANDS)
    assert all(re.fullmatch(r"[A-Z].*\w\.", sentence) for sentence in listed.values()), listed
    for command in COMMANDS:
        page = run(command, "-h")
        assert page.returncode == 0
        assert page.stdout.startswith(f"Usage: jupyter nativeauth {command} ")
        assert listed[command].rstrip(".").split(",")[0] in " ".join(page.stdout.split())


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["login", "--nonsense"], ["login", "--timeout", "0"], ["login", "--flow", "x"], ["token", "a", "b"]],
    ids=" ".join,
)
def test_a_wrong_call(home: Home, arguments: list[str]) -> None:
    """Exit status 2, how it is called, and where the help is."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: jupyter nativeauth")
    assert "--help' for help." in done.stderr


@pytest.mark.parametrize("command", ["login", "logout", "status", "profiles", "token"])
def test_without_any_configuration(home: Home, command: str) -> None:
    """The first thing that a newcomer sees: which file is missing, and what to write into it."""
    first, *rest = refused(command)
    assert first == "Error: There is no profile yet."
    assert rest[0].startswith(f"Write one to {home.config}/nativeauth.toml")
    assert "client_id" in "\n".join(rest)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[profiles.acme\n", "nativeauth.toml"),
        ("[profiles.acme]\nissuer = 'https://id.example'\nclientid = 'x'\n", "client_id"),
        ("[profiles.acme]\nissuer = 'http://id.example'\nclient_id = 'x'\n", "https"),
    ],
)
def test_a_wrong_configuration(home: Home, text: str, words: str) -> None:
    """One sentence with the file and the key, and at most one more; no traceback."""
    (home.config / "nativeauth.toml").write_text(text)
    for command in ("status", "login", "token"):
        lines = refused(command)
        assert len(lines) <= 2
        assert "nativeauth.toml" in lines[0]
        assert words in " ".join(lines)


# ---- signing in ----------------------------------------------------------------------------------------------------


def test_login_and_logout(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """In Jupyter's own terminal: one command to sign in, one to sign out, and each says what it did."""
    done = run("login", env=browser.env)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-1] == "Signed in to acme as Ada Example."
    again = run("login", "acme", env=browser.env)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == "Already signed in to acme as Ada Example. To choose another account, add --switch.\n"
    browser.be(press=("Sign in", "Allow"), username="grace")
    other = run("login", "--switch", "--timeout", "30", env=browser.env)
    assert other.stderr.splitlines()[-1] == "Signed in to acme as Grace Example."
    browser.be(press=("Yes, sign me out",))
    out = run("logout", env=browser.env)
    assert (out.returncode, out.stdout, out.stderr) == (0, "Signed out of acme.\n", "")
    assert browser.visits[-1].title == "You are signed out"
    twice = run("logout", "acme", "--no-browser", env=browser.env)
    assert (twice.returncode, twice.stdout, twice.stderr) == (0, "Signed out of acme.\n", "")


def test_more_scopes(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """``--scope`` asks for more, also of somebody who is signed in."""
    run("login", env=browser.env)
    before = len(browser.visits)
    done = run("login", "--scope", "address", "--scope", "phone", env=browser.env)
    assert done.returncode == 0
    assert any("scope" in visit.query for visit in browser.visits[before:])


def test_no_keychain_is_told_before_the_browser_opens(
    alone: Person, oidc: OidcProvider, browser: SystemBrowser
) -> None:
    """The login would end with the command: better to say so before a person goes through all of it."""
    lines = refused("login", env=browser.env)
    assert lines == [
        "Error: There is no keychain here to keep the login in. It would be over as soon as this command ends.",
        (
            "Start JupyterLab and run `%login acme` there, or let your script call login() itself."
            " Or keep it longer, with a key file: set JUPYTER_NATIVEAUTH_KEY_FILE to its path."
        ),
    ]
    alone.write(acme=oidc.profile(key_source="memory"))
    assert "keeps its login in memory only" in refused("login", env=browser.env)[0]
    alone.write(acme=oidc.profile(key_source="keychain"))
    assert len(refused("login", env=browser.env)) == 2
    assert (browser.visits, oidc.journal()) == ([], [])


def test_all_of_it_with_a_keychain(alone: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """In a plain terminal: each command is a process of its own, and the keychain joins them."""
    with keyring_daemon() as keychain:

        def cli(*arguments: str) -> tuple[str, str]:
            process = keychain.spawn("-m", "jupyter_nativeauth.cli", *arguments, BROWSER=str(browser.program))
            out, err = process.communicate(timeout=60)
            return out, err

        assert cli("login")[1].splitlines()[-1] == "Signed in to acme as Ada Example."
        out, err = cli("status")
        assert "\n  key:    gnome-keyring\n" in out
        assert err == ""
        token, err = cli("token")
        assert token.strip() in [value for kind, value in oidc.secrets() if kind == "access"]
        assert cli("logout") == ("Signed out of acme.\n", "")
        assert cli("status") == ("acme (default): signed out\n  key:    gnome-keyring\n", "")


def test_all_of_it_with_a_key_file(alone: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """FLT-040: without a keychain a key file keeps the login. Without the file it is not opened, and that is said."""
    file = alone.home.home / "key"
    file.touch(0o600)
    file.write_bytes(secrets.token_bytes(32))
    env = {**browser.env, "JUPYTER_NATIVEAUTH_KEY_FILE": str(file)}
    assert run("login", env=env).stderr.splitlines()[-1] == "Signed in to acme as Ada Example."
    assert f"\n  key:    file {file}\n" in run("status", env=env).stdout
    assert run("token", env=env).stdout.strip() in [value for kind, value in oidc.secrets() if kind == "access"]
    first, hint = run("status").stdout.splitlines()
    assert "another key" in first
    assert "JUPYTER_NATIVEAUTH_KEY_FILE does not name here" in hint
    file.chmod(0o644)
    assert "Others may read or change" in refused("token", env=env)[0]
    file.chmod(0o600)
    assert run("logout", env=env).stdout == "Signed out of acme.\n"


def test_what_goes_wrong_is_two_lines(person: Person, oidc: OidcProvider, browser: SystemBrowser) -> None:
    """FLT-002, FLT-055, FLT-056: denied, too late, a provider that is down, a name that does not exist."""
    (first, second) = refused("login", "acne", env=browser.env)
    assert ("acne" in first, "acme" in second) == (True, True)
    browser.be(press=("Sign in", "Deny"))
    denied = run("login", env=browser.env)
    assert denied.returncode == 1
    assert denied.stderr.splitlines()[-1].startswith("Error: Sign-in to 'acme' failed (access_denied).")
    browser.be(press=())
    late = run("login", "--timeout", "1", env=browser.env)
    assert late.returncode == 1
    assert late.stderr.splitlines()[-2:] == [
        "Error: Nobody finished the sign-in to 'acme' in time.",
        "Try again, and go on in the tab that opens.",
    ]
    oidc.fault("discovery", status=503, body="down", times=9)
    assert len(refused("login", env=browser.env)) == 2
    alone = refused("login")
    assert "Nobody is here to sign in" in alone[0]


def test_ctrl_c(person: Person, oidc: OidcProvider) -> None:
    """FLT-054: exit status 130, one line, no traceback."""
    pipe = subprocess.PIPE
    env = {**os.environ, "BROWSER": "true"}
    with subprocess.Popen(
        [*CLI, "login"], env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("Waiting"):
                break
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (130, "", "Cancelled. Nobody was signed in.\n")


# ---- asking --------------------------------------------------------------------------------------------------------


def test_the_token_stands_alone_on_stdout(person: Person, oidc: OidcProvider) -> None:
    """``TOKEN=$(jupyter nativeauth token)`` works; it is fresh; nothing else ever prints one."""
    lines = refused("token")
    assert lines[0] == "Error: Nobody is signed in to 'acme'."
    assert "jupyter nativeauth login acme" in lines[1]
    person.sign_in()
    done = run("token")
    issued = [value for kind, value in oidc.secrets() if kind == "access"]
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{issued[-1]}\n", "")
    login = person.account.login()
    from dataclasses import replace

    person.account.store.replace(login, replace(login, expires_at=1.0))
    newer = run("token", "acme").stdout.strip()
    issued = [value for kind, value in oidc.secrets() if kind == "access"]
    assert (newer, len(issued), oidc.refreshes) == (issued[-1], 2, 1)
    for command in (["status"], ["status", "--json"], ["profiles"], ["login"], ["logout", "--no-browser"]):
        shown = run(*command)
        assert not [value for _, value in oidc.secrets() if value in shown.stdout + shown.stderr]


def test_status(person: Person, oidc: OidcProvider) -> None:
    """Who, for how long, and where the key is; the same as JSON for programs."""
    person.write(acme=oidc.profile(), other=oidc.profile(client_id="another"))
    assert run("status").stdout == "acme: signed out\nother: signed out\n"
    person.sign_in()
    lines = run("status").stdout.splitlines()
    assert re.fullmatch(r"acme: signed in as Ada Example; access token: (60|59) min left, renewed by itself", lines[0])
    assert lines[1:] == ["  e-mail: ada@example.org", "  key:    server memory", "other: signed out", lines[-1]]
    rows = json.loads(run("status", "--json").stdout)
    assert [sorted(row) for row in rows] == [sorted(field.name for field in fields(ProfileStatus))] * 2
    told = {key: rows[0][key] for key in ("profile", "state", "name", "email", "issuer", "api", "renews", "key_source")}
    assert told == {
        "profile": "acme",
        "state": "signed_in",
        "name": "Ada Example",
        "email": "ada@example.org",
        "issuer": oidc.issuer,
        "api": [oidc.api],
        "renews": True,
        "key_source": "server",
    }
    assert oidc.refreshes == 0


def test_status_says_what_is_wrong_and_what_helps(person: Person, oidc: OidcProvider) -> None:
    """A login that cannot be used is neither hidden nor an error: the sentence says why, the next line what to do."""
    person.sign_in()
    agent = os.environ.pop("JUPYTER_NATIVEAUTH_AGENT")
    first, hint = run("status").stdout.splitlines()
    assert first == "acme (default): The login to 'acme' was sealed by a server that has stopped, or with another key."
    assert hint == "  Run `%login acme` in a notebook, or `jupyter nativeauth login acme` in a terminal."
    os.environ["JUPYTER_NATIVEAUTH_AGENT"] = agent
    person.write(acme=oidc.profile(client_id="another"))
    assert "has changed since the last sign-in" in run("status").stdout
    person.write(acme=oidc.profile(key_source="keychain"))
    done = run("status")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)
    assert json.loads(run("status", "--json").stdout)[0]["state"] == "unavailable"


@pytest.mark.parametrize(
    ("left", "renews", "words"),
    [
        (3600, True, "; access token: 60 min left, renewed by itself"),
        (42, True, "; access token: 42 s left, renewed by itself"),
        (20 * 3600, False, "; access token: 20 h left"),
        (-5, True, "; access token: over, renewed with the next request"),
        (-5, False, "; access token: over"),
        (None, True, ""),
    ],
)
def test_the_time_that_is_left_in_words(left: float | None, renews: bool, words: str) -> None:
    """Seconds, minutes or hours; and what happens when it is over."""
    clock = Clock(1_000_000.0)
    row = ProfileStatus(
        profile="acme",
        default=True,
        service="OpenID Connect",
        issuer="https://id.example",
        api=(),
        state="signed_in",
        name="Ada",
        expires_at=None if left is None else clock.time() + left,
        renews=renews,
    )
    assert row.sentence(clock=clock) == f"signed in as Ada{words}"


def test_profiles(alone: Person, oidc: OidcProvider) -> None:
    """What is configured, where, and which is the default; a profile without an API says what that means."""
    config = alone.home.config / "nativeauth.toml"
    alone.write(acme=oidc.profile(), other=oidc.profile(client_id="two", api=[]))
    config.write_text(f'default = "other"\n{config.read_text()}')
    shown = run("profiles").stdout
    assert shown.splitlines() == [
        "acme",
        f"  service:   {oidc.issuer}",
        "  client id: cli",
        f"  api:       {oidc.api}",
        f"  from:      {config}",
        "other (default)",
        f"  service:   {oidc.issuer}",
        "  client id: two",
        "  api:       none: the access token goes nowhere",
        f"  from:      {config}",
    ]


def test_no_profile_but_a_program_asks(home: Home) -> None:
    """For a program an empty list is an answer, not an error."""
    done: Any = run("status", "--json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
