"""The presence gate: when somebody is asked, when nobody is, and what stands still until they have answered."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from jupyter_nativeauth import LoginFailed, LoginRequired, ProviderUnavailable, StoreError
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._accounts import Accounts, use_accounts
from jupyter_nativeauth._agent_wire import ask_agent
from jupyter_nativeauth._attempt import ListenerAttempt, OwnAttempt
from jupyter_nativeauth._device_attempt import DeviceAttempt
from jupyter_nativeauth._doctor import _presence as doctor_on_presence
from jupyter_nativeauth._host import Host
from jupyter_nativeauth._local_authentication import LocalAuthentication
from jupyter_nativeauth._login import start
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._polkit import install_command
from jupyter_nativeauth._presence import Presence
from jupyter_nativeauth._status import status_of
from jupyter_nativeauth._tokens import Identity
from jupyter_nativeauth._windows_hello import WindowsHello
from jupyter_nativeauth.agent import KeyAgent
from jupyter_nativeauth.cli import main
from jupyter_nativeauth.keys import Keys
from jupyter_nativeauth.profiles import Profiles
from jupyter_nativeauth.testing import Clock
from tests import samples
from tests.samples import Desk

NOW = 1_000_000.0


class Device:
    """A door of this test's: somebody sits behind it, and says yes unless told otherwise."""

    label = "this test"

    def __init__(self) -> None:
        self.says: LoginFailed | None = None
        self.asked = 0
        self.is_open, self.taken_back = threading.Event(), threading.Event()
        self.answers = threading.Event()
        self.answers.set()

    def check(self) -> None:
        if self.says is not None:
            raise self.says

    def ask(self, *, limit: float, cancelled: Callable[[], bool]) -> None:
        self.asked += 1
        self.is_open.set()
        while not self.answers.wait(0.01):
            if cancelled():
                self.taken_back.set()
                raise LoginFailed("cancelled", code="cancelled")
        if self.says is not None:
            raise self.says


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def presence(device: Device, clock: Clock) -> Presence:
    return Presence(opener=lambda: device, clock=clock)


def gated(folder: Path, presence: Presence, clock: Clock, desk: Any = None, mode: str = "hourly") -> Account:
    """An account behind the gate, with a login of two hours that nobody has confirmed yet."""
    profile = samples.profile(presence=mode)
    made = Account(profile, Keys(folder, server=True, environ={}), folder, client=desk, clock=clock, presence=presence)
    made.key(create=True)
    made.save(samples.login(expires_at=NOW + 7200, lifetime=7200.0))
    return made


def waits(work: Callable[[], object]) -> LoginRequired:
    with pytest.raises(LoginRequired) as caught:
        work()
    samples.assert_fit_to_show(caught.value)
    assert caught.value.code == "presence_required"
    return caught.value


def refused(work: Callable[[], object]) -> LoginFailed:
    with pytest.raises(LoginFailed) as caught:
        work()
    samples.assert_fit_to_show(caught.value)
    return caught.value


# ---- the rule --------------------------------------------------------------------------------------------------------


def test_a_confirmation_is_good_for_an_hour(presence: Presence, device: Device, clock: Clock) -> None:
    """To the second; and each confirmation asks, however short ago the last one was."""
    assert (presence.left(), device.asked) == (0, 0)
    presence.confirm()
    assert presence.left() == 3600
    clock.advance(3599)
    assert presence.left() == 1
    presence.confirm()
    assert (presence.left(), device.asked) == (3600, 2)
    clock.advance(3600)
    assert (presence.left(), device.asked) == (0, 2)


def test_a_clock_that_is_set_makes_no_hour_longer(presence: Presence, clock: Clock) -> None:
    """Forward it ends the hour, and so it does to set it back: then nobody knows how long ago it was."""
    presence.confirm()
    clock.set_wall(NOW + 3000)
    assert presence.left() == 600
    clock.set_wall(NOW - 1)
    assert presence.left() == 0
    clock.set_wall(NOW)
    clock.advance(3600)
    clock.set_wall(NOW)
    assert presence.left() == 0


@pytest.mark.parametrize("code", ["presence_denied", "presence_timeout", "presence_unavailable", "cancelled"])
def test_anything_but_a_yes_confirms_nothing(presence: Presence, device: Device, code: str) -> None:
    """And it is told as it is."""
    device.says = LoginFailed("no", code=code)
    assert refused(presence.confirm).code == code
    assert presence.left() == 0


def test_who_ends_takes_the_question_back(presence: Presence, device: Device) -> None:
    """A server that stops does not wait for a person."""
    device.answers.clear()
    found: list[LoginFailed] = []
    waiting = threading.Thread(target=lambda: found.append(refused(presence.confirm)), daemon=True)
    waiting.start()
    assert device.is_open.wait(20)
    presence.close()
    waiting.join(20)
    assert [error.code for error in found] == ["cancelled"]


# ---- what stands still -----------------------------------------------------------------------------------------------


def test_a_sign_in_begins_with_the_question(tmp_path: Path, presence: Presence, device: Device, clock: Clock) -> None:
    """Before the key is made and before the service is asked; without `presence` nobody is asked."""
    keys, callback = Keys(tmp_path, server=True, environ={}), samples.CALLBACK
    for asked, mode in enumerate(("sign-in", "hourly"), 1):
        made = Account(samples.profile(presence=mode), keys, tmp_path, client=Desk(), clock=clock, presence=presence)  # type: ignore[arg-type]
        device.says = LoginFailed("no", code="presence_denied")
        assert refused(lambda made=made: Host().begin(made, Ask(), callback)).code == "presence_denied"  # type: ignore[misc]
        assert (device.asked, made.key(), list(tmp_path.iterdir())) == (asked, None, [])
    device.says = None
    with pytest.raises(ProviderUnavailable):  # one step further
        Host().begin(made, Ask(), callback)
    plain = Account(samples.profile(), keys, tmp_path, client=Desk(), clock=clock, presence=presence)  # type: ignore[arg-type]
    with pytest.raises(ProviderUnavailable):
        Host().begin(plain, Ask(), callback)
    assert device.asked == 3


@pytest.mark.parametrize("way", [ListenerAttempt, DeviceAttempt])
def test_whatever_way_a_sign_in_goes(
    way: type[OwnAttempt], tmp_path: Path, presence: Presence, device: Device, clock: Clock
) -> None:
    """A no ends it before the service hears of it; whoever gives up waiting takes the question back."""
    desk = Desk()
    made = gated(tmp_path, presence, clock, desk, mode="sign-in")
    device.says = LoginFailed("no", code="presence_denied")
    attempt = way(made, Ask(), 60)
    assert attempt._over.wait(20)
    assert (refused(attempt.poll).code, device.asked, desk.gets, desk.posts) == ("presence_denied", 1, [], [])
    device.answers.clear()
    device.is_open.clear()
    attempt = way(made, Ask(), 60)
    assert device.is_open.wait(20)
    attempt.cancel()
    assert device.taken_back.wait(20)
    assert attempt._over.wait(20)
    assert desk.gets == []


def test_a_login_waits_for_somebody(tmp_path: Path, presence: Presence, device: Device, clock: Clock) -> None:
    """A request of a program asks nobody: it fails, and says what to do."""
    made = gated(tmp_path, presence, clock)
    fresh = Account(made.profile, made.store.keys, tmp_path, clock=clock, presence=presence)
    error = waits(fresh.access_token)
    assert (error.hint, device.asked) == (
        'Run `%login acme` in a notebook, or login("acme") in your script: this device then asks you.',
        0,
    )
    fresh.confirm_presence()
    assert fresh.access_token().reveal()
    assert device.asked == 1


def test_a_renewal_waits_for_somebody(tmp_path: Path, presence: Presence, device: Device, clock: Clock) -> None:
    """
    After the hour: a token that is in use stays good until its end, and then nothing is sent to the service, and the
    login is not over either. Once it is confirmed it goes on.
    """
    desk = Desk(samples.tokens())
    made = gated(tmp_path, presence, clock, desk)
    presence.confirm()
    old = made.access_token()
    clock.advance(3601)
    assert made.access_token() == old
    clock.advance(3600)
    waits(made.access_token)
    waits(lambda: made.access_token(rejected=old))
    assert (desk.posts, device.asked, made.is_over(made.login())) == ([], 1, False)
    presence.confirm()
    assert made.access_token() != old
    assert len(desk.posts) == 1


def test_each_sign_in_alone(tmp_path: Path, presence: Presence, device: Device, clock: Clock) -> None:
    """`presence = "sign-in"` is no matter of what goes on afterwards."""
    made = gated(tmp_path, presence, clock, mode="sign-in")
    fresh = Account(made.profile, made.store.keys, tmp_path, clock=clock, presence=presence)
    assert fresh.access_token().reveal()
    assert (device.asked, made.waits_for_presence()) == (0, False)


def test_nobody_has_to_confirm_a_sign_out(tmp_path: Path, presence: Presence, device: Device, clock: Clock) -> None:
    """To leave is always allowed."""
    made = gated(tmp_path, presence, clock)
    assert made.waits_for_presence()
    assert made.sign_out() is not None
    assert (made.login_id(), device.asked, made.waits_for_presence()) == ("", 0, False)


def test_how_it_stands(tmp_path: Path, presence: Presence, device: Device, clock: Clock) -> None:
    """Who is signed in is no secret, and the hint says what is asked next; looking asks nobody."""
    made = gated(tmp_path, presence, clock)
    assert (status_of(made).state, status_of(made).name) == ("signed_in", "Ada Example")
    assert status_of(made).hint.startswith("The login to 'acme' waits until you confirm that it is you. Run")
    presence.confirm()
    clock.advance(600)
    assert status_of(made).hint == "It was confirmed at this device that it is you; that is good for 50 min more."
    once = gated(tmp_path, presence, clock, mode="sign-in")
    each = "Each sign-in is confirmed at this device."
    assert status_of(once).hint == each
    once.sign_out()
    assert (status_of(once).state, status_of(once).hint) == ("signed_out", each)
    assert device.asked == 1


# ---- what a person has asked for -------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, presence: Presence, clock: Clock) -> Iterator[Accounts]:
    """This process's accounts: ``acme`` is behind the gate, and its login waits; ``plain`` has no gate and no login."""
    profiles = Profiles(
        {"acme": samples.profile(presence="hourly"), "plain": samples.profile("plain", client_id="2")}, "acme"
    )
    book = Accounts(server=True, folder=tmp_path, environ={}, profiles=profiles)
    book.presence = presence
    made = book.get("acme")
    made.key(create=True)
    made.save(samples.login(expires_at=None, lifetime=None))
    book._accounts.clear()
    use_accounts(book)
    yield book
    use_accounts(None)


def test_login_asks_before_it_says_who_is_signed_in(
    here: Accounts, device: Device, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once an hour, and only if somebody is here; who is told no gets no further. Nobody goes to the service again."""
    waits(lambda: start("acme", Ask()))  # this test has no terminal and no browser
    assert device.asked == 0
    monkeypatch.setenv("DISPLAY", ":0")
    device.says = LoginFailed("no", code="presence_denied")
    assert refused(lambda: start("acme", Ask())).code == "presence_denied"
    device.says = None
    for asked in (2, 2, 3):
        found = start("acme", Ask())
        assert isinstance(found, Identity)
        assert (found.name, device.asked) == ("Ada Example", asked)
        if device.asked == asked == 2:
            clock.advance(1800)
    assert "Confirm that it is you" in capsys.readouterr().err


def test_who_is_signed_out_is_asked_by_the_sign_in_alone(here: Accounts, device: Device) -> None:
    """Not twice: `login()` does not ask whether somebody may go on with a login that is not there."""
    here.get("acme").sign_out()
    with pytest.raises(LoginRequired) as caught:
        start("acme", Ask())
    assert (caught.value.code, device.asked) == ("signed_out", 0)


def test_on_the_command_line(here: Accounts, device: Device) -> None:
    """``presence`` asks now; ``token`` asks if the login waits for it, and prints nothing after a no."""
    device.says = LoginFailed("It was not confirmed.", code="presence_denied", hint="Try again.")
    done = CliRunner().invoke(main, ["token"])
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "Error: It was not confirmed.\nTry again.\n")
    assert CliRunner().invoke(main, ["presence"]).exit_code == 1
    device.says = None
    done = CliRunner().invoke(main, ["token"])
    assert (done.exit_code, done.stdout.strip()) == (0, here.get("acme").access_token().reveal())
    assert CliRunner().invoke(main, ["token"]).exit_code == 0
    assert device.asked == 3
    done = CliRunner().invoke(main, ["presence"])
    assert (done.exit_code, done.stdout, device.asked) == (0, "It was confirmed that it is you.\n", 4)
    done = CliRunner().invoke(main, ["presence", "plain"])
    assert (done.exit_code, done.stderr.splitlines()[0]) == (1, "Error: The profile 'plain' asks for no confirmation.")
    assert CliRunner().invoke(main, ["presence", "--policy"]).stdout == f"{install_command()}\n"


def test_the_doctor_asks_nobody(here: Accounts, device: Device) -> None:
    """It says what would ask, or why that cannot be; and nothing where there is no gate."""
    (good,) = doctor_on_presence(here.get("acme"))
    assert (good.level, good.message) == ("ok", "This device asks whether it is you: this test (hourly).")
    device.says = LoginFailed("There is no polkit.", code="presence_unavailable", hint="Install it.")
    (bad,) = doctor_on_presence(here.get("acme"))
    assert (bad.level, bad.message, bad.hint) == ("error", "There is no polkit.", "Install it.")
    assert (list(doctor_on_presence(here.get("plain"))), device.asked) == ([], 0)


# ---- kernels, which ask the server -----------------------------------------------------------------------------------


@pytest.fixture
def agent(presence: Presence) -> Iterator[str]:
    """The path of a server's key agent, which has no key for anybody before it is confirmed."""

    def answer(source: str) -> None:
        if not presence.left():
            raise LoginRequired("The login to 'other' waits.", code="presence_required", hint="Run `%login other`.")

    with tempfile.TemporaryDirectory(prefix="ag-", dir="/tmp") as runtime:
        served = KeyAgent(answer, dict, presence=presence, environ={"XDG_RUNTIME_DIR": runtime})
        yield served.start()
        served.stop()


def test_a_kernel_asks_the_server(agent: str, presence: Presence, device: Device) -> None:
    """What was confirmed is in the memory of the server; a kernel opens no door of its own, and hears why not."""
    kernel = Presence(agent=agent, opener=lambda: pytest.fail("a door of the kernel's own"))
    assert kernel.left() == 0
    device.says = LoginFailed("You said no.", code="presence_denied", hint="Try again.")
    error = refused(kernel.confirm)
    assert (type(error), error.code, str(error)) == (LoginFailed, "presence_denied", "You said no. Try again.")
    device.says = None
    kernel.confirm()
    assert (kernel.left(), presence.left(), device.asked) == (3600, 3600, 2)


def test_a_kernel_that_hangs_up_takes_its_question_back(agent: str, device: Device) -> None:
    """An interrupted cell does not leave a window open on the desk."""
    device.answers.clear()
    with closing(socket.socket(socket.AF_UNIX)) as kernel:
        kernel.connect(agent)
        kernel.sendall(b'{"ask": "confirm"}\n')
        assert device.is_open.wait(20)
        assert ask_agent(agent, {"ask": "confirm"})["error"]["code"] == "presence_busy"
    assert device.taken_back.wait(20)
    assert ask_agent(agent, {"ask": "presence"}) == {"left": 0}


def test_the_key_stays_with_the_server(agent: str, tmp_path: Path, presence: Presence) -> None:
    """Without it a kernel reads nothing, says so in its own profile's words, and never claims to have signed out."""
    environ = {"JUPYTER_NATIVEAUTH_AGENT": agent}
    profiles = Profiles({"acme": samples.profile(presence="hourly")})
    kernel = Accounts(folder=tmp_path, environ=environ, profiles=profiles).get("acme")
    assert "'acme'" in str(waits(kernel.access_token))  # whatever profile the server has thought of
    assert (status_of(kernel).state, status_of(kernel).message) == (
        "unavailable",
        "The login to 'acme' waits until you confirm that it is you.",
    )
    with pytest.raises(StoreError) as caught:
        kernel.sign_out()
    samples.assert_fit_to_show(caught.value)
    assert str(caught.value).startswith("Nobody was signed out.")
    presence.confirm()
    assert status_of(kernel).state == "signed_out"


def test_without_the_server_it_is_the_process(tmp_path: Path, device: Device) -> None:
    """Its agent is gone, or older and does not know the question: nothing is taken for confirmed; the door opens."""
    gone = Presence(agent=str(tmp_path / "none"), opener=lambda: device)
    assert gone.left() == 0
    gone.confirm()
    with tempfile.TemporaryDirectory(prefix="ag-", dir="/tmp") as runtime:
        older = KeyAgent(lambda _: None, dict, environ={"XDG_RUNTIME_DIR": runtime})
        kernel = Presence(agent=older.start(), opener=lambda: device)
        assert kernel.left() == 0
        kernel.confirm()
        older.stop()
    assert (device.asked, gone.left() > 3500, kernel.left() > 3500) == (2, True, True)


# ---- macOS and Windows: doubles, by their documentation --------------------------------------------------------------


class MacError:
    """An ``NSError``."""

    def __init__(self, code: int) -> None:
        self._code = code

    def code(self) -> int:
        return self._code


class Mac:
    """
    A ``LocalAuthentication`` framework: contexts that answer in a thread of their own.

    Args:
        able: The ``LAError`` for which it cannot ask, or 0.
        answer: 0 for a yes, an ``LAError`` for a no, ``None`` for no answer at all.
    """

    def __init__(self, able: int, answer: int | None) -> None:
        self.able, self.answer, self.invalidated = able, answer, False
        self.LAContext = self

    def alloc(self) -> Mac:
        return self

    def init(self) -> Mac:
        return self

    def canEvaluatePolicy_error_(  # noqa: N802
        self, policy: int, error: None
    ) -> tuple[bool, MacError | None]:
        assert (policy, error) == (2, None)
        return (False, MacError(self.able)) if self.able else (True, None)

    def evaluatePolicy_localizedReason_reply_(  # noqa: N802
        self, policy: int, reason: str, reply: Callable[..., None]
    ) -> None:
        assert policy == 2
        assert reason
        if self.answer is not None:
            error = MacError(self.answer) if self.answer else None
            threading.Thread(target=reply, args=(not self.answer, error), daemon=True).start()

    def invalidate(self) -> None:
        self.invalidated = True


class Operation:
    """A ``Windows.Foundation.IAsyncOperation``: what it finds, or ``None`` if it never ends."""

    def __init__(self, found: int | None, status: int = 1) -> None:
        self.found, self.status = found, 0 if found is None else status
        self.cancelled = False

    def wait(self, timeout: float, /) -> int:
        if not self.status:
            threading.Event().wait(timeout)
        return self.status

    def get_results(self) -> int:
        assert self.status == 1
        assert self.found is not None
        return self.found

    def cancel(self) -> None:
        self.cancelled = True


class Windows:
    """A ``UserConsentVerifier``."""

    def __init__(self, availability: int, result: int | None, status: int = 1) -> None:
        self.availability, self.question = availability, Operation(result, status)

    def check_availability_async(self) -> Operation:
        return Operation(self.availability)

    def request_verification_async(self, message: str, /) -> Operation:
        assert message
        return self.question


def never() -> bool:
    return False


@pytest.mark.parametrize(
    ("able", "answer", "code"),
    [
        (0, -1, "presence_denied"),
        (0, -2, "presence_denied"),
        (0, -4, "presence_denied"),
        (0, -8, "presence_unavailable"),
        (-5, 0, "presence_unavailable"),
        (-1004, 0, "presence_unavailable"),
        (0, None, "presence_timeout"),
    ],
)
def test_macos(able: int, answer: int | None, code: str) -> None:
    """Each answer that is not a yes, in our words; a question that nobody answers is taken back."""
    mac = Mac(able, answer)
    assert (
        refused(lambda: LocalAuthentication(mac).ask(limit=0.1 if answer is None else 20, cancelled=never)).code == code
    )
    assert mac.invalidated == (answer is None)


@pytest.mark.parametrize(
    ("availability", "result", "status", "code"),
    [
        *((0, result, 1, "presence_denied") for result in (5, 6)),
        *((0, result, 1, "presence_unavailable") for result in (1, 2, 3, 4)),
        *((availability, 0, 1, "presence_unavailable") for availability in (1, 2, 3, 4)),
        (0, 0, 3, "presence_unavailable"),
        (0, None, 0, "presence_timeout"),
    ],
)
def test_windows_hello(availability: int, result: int | None, status: int, code: str) -> None:
    """Each answer that is not a yes, in our words; a question that nobody answers is taken back."""
    windows = Windows(availability, result, status)
    error = refused(lambda: WindowsHello(windows).ask(limit=0.1 if result is None else 20, cancelled=never))
    assert error.code == code
    assert windows.question.cancelled == (result is None)


def test_macos_and_windows_say_yes() -> None:
    """And a question can be cancelled there, too."""
    doors = [LocalAuthentication(Mac(0, 0)), WindowsHello(Windows(0, 0))]
    silent = [LocalAuthentication(Mac(0, None)), WindowsHello(Windows(0, None))]
    for door in (*doors, *silent):
        door.check()
    for door in doors:
        door.ask(limit=20, cancelled=never)
    for door in silent:
        assert refused(lambda door=door: door.ask(limit=20, cancelled=lambda: True)).code == "cancelled"  # type: ignore[misc]


@pytest.mark.parametrize("door", [LocalAuthentication(), WindowsHello()], ids=lambda door: door.label)
def test_what_asks_is_not_installed(door: Any) -> None:
    """The extra that brings it is named."""
    error = refused(door.check)
    assert error.code == "presence_unavailable"
    assert 'pip install "jupyter-nativeauth[presence]"' in error.hint
    assert "remove `presence`" in error.hint


def test_the_gate_is_cheap() -> None:
    """What each kernel imports brings in no D-Bus; the doors are imported when one is opened."""
    code = (
        "import sys, jupyter_nativeauth._account\n"
        "print([name for name in sys.modules if 'jeepney' in name or name.endswith(('_polkit', '_windows_hello'))])"
    )
    said = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
