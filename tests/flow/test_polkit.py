"""The presence gate on Linux: what a real polkitd says, and what becomes of it. Nobody but root can start one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_nativeauth import LoginFailed
from jupyter_nativeauth._polkit import ACTION, POLICY, Polkit, install_command
from jupyter_nativeauth._presence import Presence
from tests.polkit_daemon import agent, polkit_daemon


def never() -> bool:
    return False


def refused(work: Callable[[], object]) -> LoginFailed:
    with pytest.raises(LoginFailed) as caught:
        work()
    return caught.value


@pytest.mark.root
def test_somebody_says_yes_or_no() -> None:
    """
    Each question is asked anew, of this person and of nobody else. No, and a closed window, are said in words; then
    what was confirmed before still is.
    """
    with polkit_daemon() as daemon:
        presence = Presence(opener=daemon.door)
        assert presence.check() == "polkit"
        with agent(daemon, "no") as somebody:
            assert refused(presence.confirm).code == "presence_denied"
            assert (somebody.actions, presence.left()) == ([ACTION], 0)
        with agent(daemon, "yes") as somebody:
            presence.confirm()
            presence.confirm()
            assert somebody.actions == [ACTION, ACTION]
            assert presence.left() > 3500
        with agent(daemon, "close"):
            error = refused(presence.confirm)
            assert (error.code, str(error.args[0])) == ("presence_denied", "You closed the question whether it is you.")
            assert presence.left() > 3500


@pytest.mark.root
def test_nobody_answers() -> None:
    """The wait has a limit and can be cancelled; in both cases the window closes. A second question waits for none."""
    with polkit_daemon() as daemon, agent(daemon, "never") as somebody:
        error = refused(lambda: daemon.door().ask(limit=0.3, cancelled=never))
        assert (error.code, somebody.taken_back.wait(20)) == ("presence_timeout", True)

    with polkit_daemon() as daemon, agent(daemon, "never") as somebody:
        presence, stop, found = Presence(opener=daemon.door), threading.Event(), list[LoginFailed]()
        waiting = threading.Thread(
            target=lambda: found.append(refused(lambda: presence.confirm(cancelled=stop.is_set))), daemon=True
        )
        waiting.start()
        assert somebody.asked.wait(20)
        assert refused(presence.confirm).code == "presence_busy"
        stop.set()
        waiting.join(20)
        assert ([error.code for error in found], somebody.taken_back.wait(20)) == (["cancelled"], True)
        assert presence.left() == 0


@pytest.mark.root
@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("ready", "no authentication agent"),
        ("no action", install_command()),
        ("lax", "without asking anybody"),
        ("absent", "no polkit on this machine"),
    ],
)
def test_no_way_to_ask(state: str, words: str) -> None:
    """Never a yes: an error says what is missing, and how to do without the gate."""
    with polkit_daemon(state) as daemon:
        error = refused(lambda: daemon.door().ask(limit=20, cancelled=never))
        assert error.code == "presence_unavailable"
        assert words in str(error)
        assert "remove `presence`" in error.hint
        if state != "ready":  # whether somebody could answer shows only when they are asked
            assert refused(daemon.door().check).code == "presence_unavailable"


@pytest.mark.root
def test_root_is_never_asked_so_it_is_refused() -> None:
    """polkit says yes to root whatever the question is."""
    with polkit_daemon() as daemon, agent(daemon, "yes") as somebody:
        error = refused(lambda: Polkit(daemon.address).ask(limit=20, cancelled=never))
        assert (error.code, somebody.actions) == ("presence_unavailable", [])


def test_without_a_system_bus(tmp_path: Path) -> None:
    """A container, mostly: what is missing is said, and nobody is let through."""
    door = Polkit(f"unix:path={tmp_path / 'none'}")
    for work in (door.check, lambda: door.ask(limit=20, cancelled=never)):
        error = refused(work)
        assert error.code == "presence_unavailable"
        assert "no D-Bus system bus here" in str(error)


def test_what_root_installs() -> None:
    """The file is in the package, and asks each time, and this very person."""
    policy = POLICY.read_text("utf-8")
    assert f'<action id="{ACTION}">' in policy
    assert policy.count(">auth_self<") == 3
    assert install_command() == f"sudo install -m 644 {POLICY} /usr/share/polkit-1/actions/"
