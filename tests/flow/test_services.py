"""The four services from a script: a process of its own, the system browser, and what the service was asked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.emulators.lives import LIVES
from tests.emulators.oauth import OAuthEmulator
from tests.person import Person
from tests.system_browser import SystemBrowser

SCRIPT = """
from jupyter_nativeauth import LoginRequired, get_session, login, logout
login()
print({call}, flush=True)
input()
try:
    print({call}, flush=True)
except LoginRequired as error:
    print(error.code)
report = logout()
print(report.local, report.provider_session)
"""


@pytest.mark.parametrize("name", LIVES)
def test_a_script_from_sign_in_to_sign_out(
    name: str, request: pytest.FixtureRequest, person_at: Callable[..., Person], tmp_path: Path
) -> None:
    """
    A0-2, A0-12, SK-2, SK-13, WB-1, WB-13, XU-1, XU-5: it signs in, calls the API, goes on when the access token is
    over (or says that somebody has to sign in), and signs out. Each request is made once, and in this order.
    """
    service: OAuthEmulator = request.getfixturevalue(name)
    life = LIVES[name]
    person_at(service, **life.keys)
    browser = SystemBrowser(tmp_path / "browser", press=(life.press, "Go on"))
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(call=life.call("acme"))],
        env=browser.env,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )
    try:
        assert process.stdout is not None
        who = process.stdout.readline()
        service.expire()
        out, err = process.communicate("\n", timeout=60)
    finally:
        process.kill()
        process.wait()
    again = who if life.renews else "no_refresh_token\n"
    assert (who + out, len(who) > 1) == (f"{who}{again}True {'ended' if life.ends else 'none'}\n", True), err
    assert life.taken(service) == life.steps()
