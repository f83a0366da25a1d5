"""Signing in on another device (RFC 8628): at Auth0, at a certified provider, and in a terminal."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from jupyter_nativeauth import ConfigError, LoginFailed, LoginRequired, ProviderUnavailable, get_session, login
from jupyter_nativeauth._attempt import ListenerAttempt
from jupyter_nativeauth._device_attempt import DeviceAttempt
from jupyter_nativeauth._doctor import diagnose
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth.errors import NativeAuthError
from tests.answers import Answer, Request, redirect
from tests.canary import Canary
from tests.emulators.auth0 import DEVICE, Auth0
from tests.emulators.scalekit import Scalekit
from tests.flow.test_script import LOGIN, in_a_terminal, run
from tests.oidc_provider import OidcProvider
from tests.person import Person, outcome

PersonAt = Callable[..., Person]


@dataclass
class Waiting:
    """
    A clock that stands still but for the pauses between two polls, and moves the service's clock along.

    Attributes:
        then: What happens during the pauses, in order.
        pauses: How long they were.
    """

    service: Auth0
    then: list[Callable[[], object]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return time.time()

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.now += seconds
        self.service.clock += seconds
        if self.then:
            self.then.pop(0)()
        return False


def begin(
    person: Person, clock: Waiting, *, ask: Ask | None = None, timeout: float = 300, **options: Any
) -> DeviceAttempt:
    return DeviceAttempt(person.account, ask or Ask(), timeout, clock=clock, pause=clock.pause, **options)


def failure(attempt: DeviceAttempt) -> NativeAuthError:
    with pytest.raises(NativeAuthError) as caught:
        outcome(attempt)  # type: ignore[arg-type]
    assert attempt.account.login_id() == ""
    return caught.value


def nothing() -> None:
    """A pause in which nothing happens."""


def polls(auth0: Auth0) -> int:
    return len(auth0.hits("token", DEVICE))


# ---- a whole life --------------------------------------------------------------------------------------------------


def test_a_whole_life(auth0: Auth0, person_at: PersonAt) -> None:
    """
    A0-10, NRM-130, FLT-067: the code is shown, and polled for at the interval that the service wants and never sooner,
    until the person is done; the login is like any other: it is renewed, and revoked in the end.
    """
    person, clock = person_at(auth0), Waiting(auth0, [nothing, nothing, auth0.enter])
    attempt = begin(person, clock)
    assert outcome(attempt).name == "Ada Example"  # type: ignore[arg-type]
    assert (attempt.user_code, attempt.link) == ("BCDF-GHJK", f"{auth0.origin}/activate")
    assert attempt.scan == f"{auth0.origin}/activate?user_code=BCDF-GHJK"
    assert (clock.pauses, auth0.early) == ([5, 5, 5], 0)
    assert auth0.steps() == ["discovery", "device", DEVICE, DEVICE, DEVICE, "jwks", "userinfo"]
    (asked,) = auth0.hits("device")
    assert (asked.get("audience"), asked.get("scope")) == (auth0.api, "openid profile email offline_access")
    with get_session("acme") as api:
        assert api.get("/api/me").json()["name"] == "Ada Example"
        auth0.expire()
        assert api.get("/api/me").json()["token"] == 1
    report, _ = person.sign_out()
    assert report.revoked is True


def test_at_the_certified_provider(oidc: OidcProvider, person: Person, canary: Canary) -> None:
    """NRM-130, NRM-137: a whole life at a provider that we did not write: its pages, its codes, its ID token."""
    oidc.reset(device=True)
    ticks = threading.Event()
    attempt = DeviceAttempt(person.account, Ask(), 60, pause=lambda seconds: ticks.wait(0.2))
    try:
        until(lambda: bool(attempt.link))
        browser = oidc.browser(
            fill={"username": "ada", "user_code": attempt.user_code}, press=("Continue", "Sign in", "Allow")
        )
        browser.open(attempt.link)
        assert outcome(attempt).name == "Ada Example"  # type: ignore[arg-type]
    finally:
        attempt.cancel()
    with get_session("acme") as api:
        assert api.get("/api/me").json()["name"] == "Ada Example"
    before = person.account.access_token()
    assert person.account.access_token(rejected=before) != before
    report, _ = person.sign_out()
    assert (report.revoked, oidc.reuse) == (True, 0)
    assert [hit for hit in oidc.journal("authorization") if hit.params] == []


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


# ---- polling -------------------------------------------------------------------------------------------------------


def test_slow_down(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-10, NRM-131: a 429 with slow_down is no rate limit: five seconds more, from then on; the sign-in goes on."""
    steps: list[Callable[[], object]] = [
        lambda: auth0.enter("slow"),
        nothing,
        lambda: auth0.enter("pending"),
        nothing,
        auth0.enter,
    ]
    clock = Waiting(auth0, steps)
    assert outcome(begin(person_at(auth0), clock)).name == "Ada Example"  # type: ignore[arg-type]
    assert clock.pauses == [5, 10, 15, 15, 15]


@pytest.mark.parametrize("status", [200, 400, 403, 428, 429, 500])
def test_the_words_count_and_not_the_status(auth0: Auth0, person_at: PersonAt, status: int) -> None:
    """A0-10, NRM-132: authorization_pending is the same with any status, also with those that mean something else."""
    auth0.answer("token", Answer(status, json={"error": "authorization_pending"}, headers={"Retry-After": "900"}))
    clock = Waiting(auth0, [nothing, auth0.enter])
    assert outcome(begin(person_at(auth0), clock)).name == "Ada Example"  # type: ignore[arg-type]
    assert clock.pauses == [5, 5]


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        ("denied", "access_denied", "Somebody said no at the service"),
        ("expired", "expired_token", "Nobody entered the code"),
        ("", "invalid_grant", "refused (invalid_grant)"),
    ],
)
def test_the_ends(auth0: Auth0, person_at: PersonAt, state: str, code: str, words: str) -> None:
    """A0-10, NRM-132, NRM-134: each other error ends it, with words; nothing is asked again and no new code begun."""
    error = failure(begin(person_at(auth0), Waiting(auth0, [nothing, lambda: auth0.enter(state)])))
    assert error.code == code
    assert words in str(error)
    assert "Native" not in str(error), "that is about another access_denied"
    assert (polls(auth0), len(auth0.hits("device"))) == (2, 1)


def test_an_error_that_nobody_knows(auth0: Auth0, person_at: PersonAt) -> None:
    """NRM-132: it ends with the service's own word, cleaned."""
    auth0.answer("token", Answer(400, json={"error": "odd\x1b[2J", "error_description": "why"}))
    error = failure(begin(person_at(auth0), Waiting(auth0)))
    assert error.code == "odd?[2J"
    assert polls(auth0) == 1


def test_answers_that_get_lost(auth0: Auth0, person_at: PersonAt) -> None:
    """NRM-133: connections that break, pages and 5xx: twice the pause each time, then the old one; it goes on."""
    auth0.claims = lambda kind, known: known | ({"iat": int(time.time())} if kind == "id" else {})  # 80 seconds later
    auth0.answer("token", Answer(reset=True), Answer(503, "<h1>Oops</h1>"), redirect("https://evil.example/"))
    clock = Waiting(auth0, [nothing, nothing, nothing, nothing, auth0.enter])
    assert outcome(begin(person_at(auth0), clock)).name == "Ada Example"  # type: ignore[arg-type]
    assert clock.pauses == [5, 10, 20, 40, 5]


def test_a_rate_limit_is_waited_out(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-10, A0-13: a 429 without slow_down is a rate limit: no poll before the time that it names."""
    auth0.answer("token", auth0.too_many(40))
    clock = Waiting(auth0, [nothing, auth0.enter])
    assert outcome(begin(person_at(auth0), clock)).name == "Ada Example"  # type: ignore[arg-type]
    assert 30 <= clock.pauses[1] <= 41


def test_nobody_comes(auth0: Auth0, person_at: PersonAt) -> None:
    """NRM-134, FLT-067: it ends at the person's time-out, or with the code if that is sooner, and begins no other."""
    person = person_at(auth0)
    clock = Waiting(auth0)
    error = failure(begin(person, clock, timeout=52))
    assert (error.code, sum(clock.pauses), polls(auth0)) == ("timeout", 52, 10)
    assert "Start again to get a new code." in str(error)

    def short(request: Request) -> Answer:
        members = auth0.do_device(request).json
        return Answer(json={**members, "expires_in": 12, "interval": 5})

    auth0.answer("device", short)
    clock = Waiting(auth0)
    assert failure(begin(person, clock)).code == "timeout"
    assert sum(clock.pauses) == 12
    assert len(auth0.hits("device")) == 2


def test_at_the_last_second(auth0: Auth0, person_at: PersonAt) -> None:
    """FLT-067: whoever enters the code in the last pause is signed in."""
    clock = Waiting(auth0, [nothing, nothing, auth0.enter])
    assert outcome(begin(person_at(auth0), clock, timeout=15)).name == "Ada Example"  # type: ignore[arg-type]


def test_a_cancel_ends_it_at_once(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-10: no further poll, though the interval is long; nothing is stored."""
    auth0.device_interval = 300
    attempt = DeviceAttempt(person_at(auth0).account, Ask(), 900)
    until(lambda: bool(attempt.link))
    attempt.cancel()
    assert failure(attempt).code == "cancelled"
    assert polls(auth0) == 0


def test_a_cancel_while_the_tokens_come(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-10: what was granted to somebody who has left is revoked, and not stored."""
    person, clock = person_at(auth0), Waiting(auth0, [auth0.enter])
    gate = threading.Event()
    auth0.answer(
        "jwks", Answer(wait=gate, work=True, json={"keys": [key.as_dict(private=False) for key in auth0.keys]})
    )
    attempt = begin(person, clock)
    auth0.wait("jwks")
    attempt.cancel()
    gate.set()
    assert failure(attempt).code == "cancelled"
    assert [hit.endpoint for hit in auth0.hits()][-1] == "revoke"


# ---- whose login it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"nonce": "NATK-nonce-of-another-sign-in"}, "nonce"),
        ({"iss": "https://evil.example/"}, "not from"),
        ({"aud": "somebody-else"}, "not for this client id"),
        ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "at_hash"),
        ({"exp": 1}, "ended"),
    ],
)
def test_the_id_token_is_checked(auth0: Auth0, person_at: PersonAt, claims: dict[str, Any], words: str) -> None:
    """TRP-24, NRM-132: the same checks as for a code; and no nonce may be in it, since none was sent."""
    auth0.claims = lambda kind, known: known | claims if kind == "id" else known
    error = failure(begin(person_at(auth0), Waiting(auth0, [auth0.enter])))
    assert error.code == "id_token_invalid"
    assert words in str(error)


def test_an_answer_without_tokens(auth0: Auth0, person_at: PersonAt) -> None:
    """NRM-132: a yes that brings nothing is no reason to ask again: the device code is spent."""
    auth0.answer("token", Answer(200, json={"token_type": "Bearer"}))
    error = failure(begin(person_at(auth0), Waiting(auth0)))
    assert isinstance(error, ProviderUnavailable)
    assert polls(auth0) == 1


# ---- how it begins -------------------------------------------------------------------------------------------------


def test_an_application_of_the_wrong_type(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-10: an error instead of a code comes with what to set at the service."""
    auth0.token_endpoint_auth_method = "client_secret_post"
    error = failure(begin(person_at(auth0), Waiting(auth0)))
    assert isinstance(error, LoginFailed)
    assert "must be Native" in error.hint


def test_a_code_that_is_no_use(auth0: Auth0, person_at: PersonAt) -> None:
    """NRM-135, NRM-137: nothing is shown of an answer that nobody may be sent on with, and it is not polled for."""
    auth0.answer("device", Answer(json={"device_code": "x", "user_code": "A", "verification_uri": "javascript:1"}))
    attempt = begin(person_at(auth0), Waiting(auth0))
    assert failure(attempt).code == "bad_answer"
    assert (attempt.link, attempt.user_code, polls(auth0)) == ("", "", 0)


def test_a_redirect_gets_nothing(auth0: Auth0, person_at: PersonAt) -> None:
    """LIB-027, NRM-138: the endpoint's redirect is not followed, and the sign-in does not begin."""
    auth0.answer("device", redirect(f"{auth0.api}/elsewhere", status=307))
    assert isinstance(failure(begin(person_at(auth0), Waiting(auth0))), ProviderUnavailable)
    assert auth0.hits("api") == []


def test_a_service_without_it(scalekit: Scalekit, person_at: PersonAt) -> None:
    """A0-10: who asks for it where there is none learns so, in a sentence."""
    person = person_at(scalekit)
    attempt = DeviceAttempt(person.account, Ask(), 60)
    error = failure(attempt)
    assert isinstance(error, ConfigError)
    assert (error.code, 'flow = "auto"' in error.hint) == ("no_device_flow", True)
    assert "has no sign-in on another device" in str(error)


def test_the_preset_knows_the_endpoint(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-10: a tenant whose metadata does not name it has it all the same."""

    def silent(request: Request) -> Answer:
        members = dict(auth0.do_discovery(request).json)
        del members["device_authorization_endpoint"]
        return Answer(json=members)

    auth0.answer("discovery", silent)
    clock = Waiting(auth0, [auth0.enter])
    assert outcome(begin(person_at(auth0), clock)).name == "Ada Example"  # type: ignore[arg-type]


# ---- which way -----------------------------------------------------------------------------------------------------

DEVICE_LOGIN, BROWSER_LOGIN = (LOGIN.replace("login())", f"login(flow={flow!r}))") for flow in ("device", "browser"))
OVER_SSH = {"SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22", "DISPLAY": ":99"}


def test_the_last_way_in_a_terminal(auth0: Auth0, person_at: PersonAt) -> None:
    """
    FLT-054, FLT-065, SEC-024: where no browser opens, and the service has it, the terminal shows the code, a QR code,
    the reason and the time that is left; an interrupt ends it.
    """
    person_at(auth0)
    text, status = in_a_terminal(
        LOGIN, {**os.environ, **OVER_SSH, "COLUMNS": "100", "LINES": "60"}, "Waiting for", interrupt=True
    )
    shown = text.replace("\r\n", "\n").removeprefix("Preparing the sign-in (Ctrl-C cancels) ...\n")  # a slow machine
    assert shown.startswith(
        "Sign in to acme, in any browser on any device (no browser opens here: you are here over SSH (SSH_CONNECTION), "
        "and your browser is on another machine).\n"
        f"Open this address, and enter the code:\n\n  {auth0.origin}/activate\n\n  BCDF-GHJK\n\n"
        "Or scan this:\n"
    )
    assert "\x1b[40;97m" in shown
    assert "show it to nobody: whoever enters it signs in here" in shown
    assert re.search(r"\rWaiting for [45]:\d\d more \(Ctrl-C cancels\)", text)
    assert "Cancelled. Nobody was signed in." in text
    assert (status != 0, "/nativeauth/go/" in text, auth0.hits("authorize")) == (True, False, [])


def test_a_narrow_terminal_has_no_picture(auth0: Auth0, person_at: PersonAt) -> None:
    """The address and the code are enough."""
    person_at(auth0, flow="device")
    text, _ = in_a_terminal(LOGIN, {**os.environ, "COLUMNS": "30", "LINES": "60"}, "Waiting for", interrupt=True)
    assert "BCDF-GHJK" in text
    assert "\x1b[40;97m" not in text
    assert "(you asked for this way)" in text


def test_a_browser_comes_first(auth0: Auth0, person_at: PersonAt) -> None:
    """NRM-136: with a browser here it is no way that is chosen by itself; who asks for it gets it, and no tab opens."""
    person_at(auth0)
    there = {**os.environ, "BROWSER": "true"}
    text, _ = in_a_terminal(LOGIN, there, "Waiting for", interrupt=True)
    assert "/nativeauth/go/" in text
    assert auth0.hits("device") == []
    text, _ = in_a_terminal(DEVICE_LOGIN, there, "Waiting for", interrupt=True)
    assert "BCDF-GHJK" in text
    assert "/nativeauth/go/" not in text


def test_browser_means_browser(auth0: Auth0, person_at: PersonAt) -> None:
    """An argument beats the profile, and "browser" beats what would be chosen by itself."""
    person_at(auth0, flow="device")
    text, _ = in_a_terminal(BROWSER_LOGIN, {**os.environ}, "Waiting for", interrupt=True)
    assert "/nativeauth/go/" in text
    assert auth0.hits("device") == []


def test_where_nobody_is_there(auth0: Auth0, person_at: PersonAt) -> None:
    """FLT-065: without a terminal nobody sees the code: LoginRequired at once, also where a profile asks for this."""
    person_at(auth0, flow="device")
    done = run(LOGIN, {**os.environ})
    assert "LoginRequired" in done.stderr
    assert "BCDF" not in done.stderr
    assert auth0.journal == []
    with pytest.raises(LoginRequired):
        login("acme", flow="device")


def test_the_doctor_looks_for_it(auth0: Auth0, scalekit: Scalekit, person_at: PersonAt) -> None:
    """A0-10: with flow = "device" in a profile, a service that has none is an error before anybody waits."""
    person = person_at(scalekit, flow="device")
    found = diagnose("acme")
    assert not found.healthy
    assert "device_authorization_endpoint" in " ".join(one.message for one in found.findings)
    person.write(acme=auth0.profile(flow="device"))
    assert diagnose("acme").healthy


def test_where_the_service_has_none(scalekit: Scalekit, person_at: PersonAt) -> None:
    """Without a browser and without device flow the address of the listener is shown, as ever; it may be forwarded."""
    person = person_at(scalekit)
    attempt = DeviceAttempt(person.account, Ask(), 60, otherwise=ListenerAttempt)
    until(lambda: bool(attempt.link))
    assert attempt.why == ListenerAttempt.why
    scalekit.browser().open(attempt.link)
    assert outcome(attempt).name == "Ada Example"  # type: ignore[arg-type]
    other = DeviceAttempt(person.account, Ask(), 60, otherwise=ListenerAttempt)
    until(lambda: bool(other.link))
    other.cancel()
    with pytest.raises(LoginFailed) as caught:
        outcome(other)  # type: ignore[arg-type]
    assert caught.value.code == "cancelled"
