"""``jupyter nativeauth doctor``: what it finds at a service that runs, and the addresses that it tells to register."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jupyter_nativeauth._diagnosis import Diagnosis
from jupyter_nativeauth._doctor import _abilities, _of_the_profile, diagnose, examine, places, redirect_uris
from jupyter_nativeauth.cli import main
from jupyter_nativeauth.profiles import Profile
from jupyter_nativeauth.testing import Clock
from tests.answers import Answer
from tests.emulators.auth0 import Auth0
from tests.emulators.scalekit import Scalekit
from tests.emulators.wristband import Wristband
from tests.isolation import Home
from tests.oidc_provider import OidcProvider
from tests.person import Person
from tests.samples import PROVIDER, profile

PersonAt = Callable[..., Person]


def doctor(*arguments: str, check: bool = True) -> Result:
    done = CliRunner().invoke(main, ["doctor", *arguments])
    assert not check or (done.stderr, "Traceback" in done.stdout) == ("", False)
    return done


def levels(found: Diagnosis, level: str) -> list[str]:
    """What was found, at this level, with what to do."""
    return [f"{one.message} {one.hint}".strip() for one in found.findings if one.level == level]


def test_nothing_is_wrong(auth0: Auth0, person_at: PersonAt) -> None:
    """It asks the service what a sign-in would ask, begins none, and tells what to set where, to the letter."""
    person_at(auth0)
    done = doctor()
    assert done.exit_code == 0, done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "This computer:"
    first = lines.index(f"acme: Auth0, {auth0.issuer}")
    found = [line for line in lines[first + 1 : lines.index("At the service:")] if line[2] != " "]
    assert {line.split()[0] for line in found} == {"ok", "note"}
    callbacks = lines.index("  - Settings > Allowed Callback URLs, to the letter:")
    here = f"      http://127.0.0.1:{auth0.redirect_port}/nativeauth"
    assert lines[callbacks + 1] == f"{here}/callback"
    assert f"{here}/logout/callback" in lines
    assert f"{here}/initiate/acme" in lines
    assert set(auth0.steps()) == {"discovery", "jwks"}


@pytest.mark.parametrize("name", ["auth0", "scalekit", "wristband", "xumm"])
def test_every_service(name: str, request: pytest.FixtureRequest, person_at: PersonAt) -> None:
    """Whatever a service knows of itself, with its profile as its page shows it a sign-in can succeed."""
    service = request.getfixturevalue(name)
    person_at(service)
    found = diagnose("acme")
    assert levels(found, "error") == []
    assert levels(found, "ok")
    assert found.redirect_uris[0] in "\n".join(found.lines())
    assert not {"authorize", "token"} & set(service.steps())


def test_for_programs(scalekit: Scalekit, person_at: PersonAt) -> None:
    """The same as JSON; the addresses stand there as such."""
    person_at(scalekit)
    whole = json.loads(doctor("acme", "--json").stdout)
    assert sorted(whole) == ["healthy", "machine", "profiles"]
    assert whole["healthy"]
    assert {tuple(sorted(one)) for one in whole["machine"]} == {("hint", "level", "message")}
    (told,) = whole["profiles"]
    assert sorted(told) == [
        "any_port", "console", "findings", "healthy", "initiate_uri", "issuer", "logout_uris", "profile",
        "redirect_uris", "service",
    ]  # fmt: skip
    assert (told["healthy"], told["service"], told["any_port"]) == (True, "Scalekit", False)
    assert told["redirect_uris"] == [f"http://127.0.0.1:{scalekit.redirect_port}/nativeauth/callback"]
    assert {one["level"] for one in told["findings"]} <= {"ok", "note"}


def test_any_provider(oidc: OidcProvider, person_at: PersonAt) -> None:
    """With a provider that follows RFC 8252 one address without a port will do, and it says so."""
    person_at(oidc)
    done = doctor()
    assert done.exit_code == 0
    assert "      http://127.0.0.1/nativeauth/callback" in done.stdout.splitlines()
    assert "any port will do" in done.stdout


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"environment_url": "http://127.0.0.1:1"}, "check `environment_url` of [profiles.acme] in"),
        ({"redirect_uri": "https://hub.example/elsewhere"}, "it must end in /nativeauth/callback"),
        ({"scopes": ["email"]}, '`scopes` in nativeauth.toml must hold "openid"'),
    ],
    ids=["host", "redirect", "scopes"],
)
def test_what_stands_in_the_way(scalekit: Scalekit, person_at: PersonAt, keys: dict[str, Any], words: str) -> None:
    """SK-1: one sentence says what to change and where; the exit status tells a program."""
    person_at(scalekit, **keys)
    done = doctor()
    assert done.exit_code == 1
    assert words in done.stdout


def test_a_service_that_is_somebody_else(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-1: a mistyped environment answers with something, but neither with metadata nor with keys."""
    person_at(scalekit)
    scalekit.discovery = False
    scalekit.answer("jwks", Answer(404, "<h1>Not found</h1>"))
    (problem,) = levels(diagnose("acme"), "error")
    assert "shows no OpenID Connect metadata" in problem
    assert "Check `environment_url` in nativeauth.toml" in problem


def test_a_secret_that_is_missing(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-7: a confidential client without its secret cannot sign in; it says how to give it."""
    person_at(wristband, client_type="confidential")
    assert any("jupyter nativeauth secret set" in line for line in levels(diagnose("acme"), "error"))


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [(0, "ok", "agrees"), (45, "warning", "ahead of"), (-45, "warning", "behind"), (90, "error", "ahead of")],
)
def test_the_clock(auth0: Auth0, person_at: PersonAt, ahead: int, level: str, words: str) -> None:
    """A clock that is wrong by more than a minute lets every ID token fail, so it is looked at first."""
    person_at(auth0)
    found = diagnose("acme", clock=Clock(time.time() + ahead))
    assert any("clock" in line and words in line for line in levels(found, level))
    assert found.healthy == (level != "error")


def test_a_path_that_no_server_here_has(auth0: Auth0, person_at: PersonAt) -> None:
    """Behind a proxy that takes a path off Jupyter itself does not work; whoever set that up learns what to do."""
    person_at(auth0, redirect_uri="https://lab.example/jupyter/nativeauth/callback")
    (note,) = [line for line in levels(diagnose("acme"), "note") if "/jupyter/" in line]
    assert "are below /." in note
    assert '--ServerApp.base_url="/jupyter/"' in note
    person_at(auth0, redirect_uri="https://lab.example/nativeauth/callback")
    assert not any("base_url" in line for line in levels(diagnose("acme"), "note"))


def test_a_proxy_on_the_way(auth0: Auth0, person_at: PersonAt, monkeypatch: pytest.MonkeyPatch) -> None:
    """SEC-049: it is named without the password in its address; what stays on this machine goes through none."""
    monkeypatch.setenv("HTTPS_PROXY", "http://ada:open-sesame@127.0.0.1:9")
    person_at(auth0)
    assert not any("go through the proxy" in line for line in levels(diagnose("acme"), "note"))
    elsewhere = Profile("acme", issuer="https://id.invalid", client_id="cli")
    (note,) = [line for line in levels(diagnose(elsewhere), "note") if "go through the proxy" in line]
    assert "127.0.0.1:9 (HTTPS_PROXY)" in note
    assert "open-sesame" not in str(diagnose(elsewhere).to_json())


def test_what_the_profile_lacks(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-3, A0-4: without an audience, an API or a refresh token a sign-in works, and then disappoints."""
    person_at(auth0, audience=None, api=[], scopes=["openid"])
    found = diagnose("acme")
    assert found.healthy
    first, second = levels(found, "warning")
    assert "names no API" in first
    assert "opaque access token" in second
    assert any("offline_access" in line for line in levels(found, "note"))


def test_a_login_that_is_there(auth0: Auth0, person_at: PersonAt) -> None:
    """SEC-049: it says who is signed in; nothing of it is secret (the sweep looks)."""
    person = person_at(auth0)
    person.sign_in()
    assert any("signed in as Ada Example" in line for line in levels(diagnose("acme"), "ok"))
    assert "signed in as Ada Example" in doctor("--json").stdout


def test_two_services_at_one_redirect_uri(auth0: Auth0, scalekit: Scalekit, person_at: PersonAt) -> None:
    """RFC 9700, section 4.4: who has two services is told how to keep their answers apart."""
    person = person_at(auth0)
    person.write(acme=auth0.profile(), other=scalekit.profile())
    assert any("'other' has another service" in line for line in levels(diagnose("acme"), "note"))
    person.write(acme=auth0.profile(redirect_path="profile"), other=scalekit.profile())
    found = diagnose("acme")
    assert not any("another service" in line for line in levels(found, "note"))
    assert found.redirect_uris == (f"http://127.0.0.1:{auth0.redirect_port}/nativeauth/callback/acme",)


def test_without_a_profile(home: Home) -> None:
    """What there is to say of this computer is said also before the first profile; then how to write one."""
    done = doctor()
    assert done.exit_code == 1
    assert "This computer:" in done.stdout
    assert "There is no profile yet." in done.stdout
    assert not home.data.joinpath("nativeauth").exists()


def test_several_profiles(auth0: Auth0, scalekit: Scalekit, person_at: PersonAt) -> None:
    """Without a default all of them are looked at; a name chooses one, and the others are mentioned."""
    person = person_at(auth0)
    person.write(acme=auth0.profile(), other=scalekit.profile())
    whole = examine("other")
    assert [one.profile for one in whole.profiles] == ["other"]
    assert any("2 profiles: acme, other" in one.message for one in whole.machine)
    assert doctor("nobody-has-this", check=False).exit_code == 1


def test_the_way_and_the_key(auth0: Auth0, person_at: PersonAt) -> None:
    """It says how a sign-in would reach a browser and where its key would be; it makes neither."""
    person_at(auth0)
    said = [f"{one.message} {one.hint}" for one in diagnose("acme").findings]
    assert any("No browser opens here (" in line for line in said)
    assert any("key would be in memory only" in line and "until the Jupyter server stops" in line for line in said)


# ---- the addresses -------------------------------------------------------------------------------------------------


def test_where_our_pages_are(home: Home) -> None:
    """Below the base URLs of the Jupyter servers that run, and where scripts listen; a hub has one public address."""
    assert places({}) == ("http://127.0.0.1/",)
    assert places({"JUPYTERHUB_PUBLIC_URL": "https://hub.example/user/ada/"}) == ("https://hub.example/user/ada/",)
    folder = Path(os.environ["JUPYTER_RUNTIME_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    server = {"pid": os.getpid(), "url": "http://localhost:8890/lab-7/", "base_url": "/lab-7/"}
    (folder / f"jpserver-{os.getpid()}.json").write_text(json.dumps(server))
    assert places({"JUPYTER_NATIVEAUTH_BASE_URL": "/x/"}) == (
        "http://127.0.0.1/x/",
        "http://127.0.0.1/lab-7/",
        "http://127.0.0.1/",
    )


@pytest.mark.parametrize(
    ("keys", "bases", "uris"),
    [
        ({}, ["http://127.0.0.1/"], ["http://127.0.0.1/nativeauth/callback"]),
        (
            {"redirect_ports": [1, 2]},
            ["http://127.0.0.1/lab/", "http://127.0.0.1/"],
            [f"http://127.0.0.1:{port}{base}nativeauth/callback" for base in ("/lab/", "/") for port in (1, 2)],
        ),
        ({"redirect_ports": [1]}, ["http://[::1]/"], ["http://[::1]:1/nativeauth/callback"]),
        ({"redirect_path": "profile"}, ["http://127.0.0.1/"], ["http://127.0.0.1/nativeauth/callback/acme"]),
        ({"redirect_ports": [1]}, ["https://hub.example/u/"], ["https://hub.example/u/nativeauth/callback"]),
        (
            {"redirect_uri": "https://hub.example/nativeauth/callback", "redirect_ports": [1]},
            ["http://127.0.0.1/"],
            ["https://hub.example/nativeauth/callback"],
        ),
    ],
    ids=["any port", "ports", "IPv6", "path", "hub", "given"],
)
def test_what_to_register(keys: dict[str, Any], bases: list[str], uris: list[str]) -> None:
    """SK-5, A0-5: the strings that a sign-in will really send."""
    assert redirect_uris(profile(**keys), bases) == tuple(uris)


@pytest.mark.parametrize(
    ("url", "warned"),
    [("https://acme.scalekit.com", True), ("https://auth.acme.com", True), ("https://acme.scalekit.dev", False)],
)
def test_http_in_production(url: str, warned: bool) -> None:
    """SK-5: in a production environment, and a custom domain is one, plain http may be refused; in others it is not."""
    made = Profile("acme", provider="scalekit", environment_url=url, client_id="x", api=["https://api.example"])
    found = list(_of_the_profile(made, redirect_uris(made, ["http://127.0.0.1/"])))
    assert [one.level for one in found] == (["warning"] if warned else [])
    assert list(_of_the_profile(made, ["https://hub.example/nativeauth/callback"])) == []


def test_signatures_that_cannot_be_checked() -> None:
    """A service that signs with a shared secret only cannot prove anything to a client that has none."""
    only = replace(PROVIDER, id_token_algorithms=("HS256",))
    (error,) = [one for one in _abilities(only, ["openid", "offline_access"], profile()) if one.level == "error"]
    assert "HS256" in error.message


def test_scopes_that_nobody_lists() -> None:
    """A scope that the metadata does not list may be an API's own, so it is a note; none is, if none is listed."""
    asked = ["openid", "offline_access", "read:all"]
    (note,) = _abilities(PROVIDER, asked, profile())
    assert (note.level, "these scopes: read:all." in note.message) == ("note", True)
    assert list(_abilities(replace(PROVIDER, scopes_supported=()), asked, profile())) == []
