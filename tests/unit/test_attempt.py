"""The kernel's side of a sign-in that the Jupyter server runs: which of its ends are an end here."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from jupyter_nativeauth._account import Account
from jupyter_nativeauth._files import private_folder
from jupyter_nativeauth._hosted_attempt import HostedAttempt
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._progress import Progress, write_progress
from jupyter_nativeauth.errors import LoginFailed
from jupyter_nativeauth.keys import Keys
from tests import samples

SERVER = "/run/agent.sock"


def ended(folder: Path, code: str, *, started: float, server: str = SERVER) -> None:
    """What the server writes beside the vault when a sign-in has failed."""
    progress = Progress(
        attempt="a",
        server=server,
        phase="failed",
        started=started,
        until=started + 300,
        code=code,
        message=code,
        hint="",
    )
    write_progress(folder, "acme", progress)


@pytest.fixture
def attempt(tmp_path: Path) -> HostedAttempt:
    folder = private_folder(tmp_path / "nativeauth")
    account = Account(samples.profile(), Keys(folder, environ={}), folder)
    return HostedAttempt(account, Ask(), 900, environ={"JUPYTER_NATIVEAUTH_AGENT": SERVER})


def test_a_denial_ends_the_wait(attempt: HostedAttempt) -> None:
    """The person has said no: nobody has to wait any longer."""
    ended(attempt.account.folder, "access_denied", started=time.time() + 1)
    with pytest.raises(LoginFailed) as caught:
        attempt.poll()
    assert caught.value.code == "access_denied"


@pytest.mark.parametrize(
    ("code", "started", "server"),
    [("timeout", 1, SERVER), ("access_denied", -60, SERVER), ("access_denied", 1, "/run/other.sock")],
)
def test_what_does_not_end_the_wait(attempt: HostedAttempt, code: str, started: float, server: str) -> None:
    """The server's own patience, which may be shorter than what was asked for here; what was before; another server."""
    ended(attempt.account.folder, code, started=time.time() + started, server=server)
    assert attempt.poll() is None
