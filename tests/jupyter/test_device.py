"""Signing in on another device from real kernels: what is on the channels, and when it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.canary import Canary
from tests.emulators.auth0 import DEVICE, Auth0
from tests.isolation import Home
from tests.jupyter.front_end import BareKernel, FrontEnd, tags_in
from tests.kernel import sockets
from tests.lab import Lab
from tests.person import Person

LOAD = "%load_ext jupyter_nativeauth"
CODE = "BCDF-GHJK"


@pytest.fixture
def kernel(auth0: Auth0, person_at: Callable[..., Person], canary: Canary) -> Iterator[BareKernel]:
    """A kernel without a Jupyter server, of somebody at a service that polls are welcome at each second."""
    auth0.device_interval = 1
    person_at(auth0)
    with BareKernel() as started:
        yield started
    canary.look("a kernel's messages", "\n".join(started.raw))


def test_a_whole_sign_in(auth0: Auth0, kernel: BareKernel) -> None:
    """
    NRM-135, NRM-136, A0-10: where no browser opens and no Jupyter page can host it, the panel shows why, the page, the
    code, a QR code that was drawn here, the care to take and the time left; afterwards the code is gone.
    """
    run = kernel.start(f"{LOAD}\n%login")
    panel = FrontEnd(kernel).panel(run)
    first = panel.wait_for("Waiting for you to sign in", CODE, "left", "Interrupt the kernel to cancel")
    assert panel.links == {"Sign in to acme": f"{auth0.origin}/activate"}
    assert "No browser opens here: " in first
    assert "show it to nobody" in first
    assert f"Code: {CODE}" in panel.first_text
    markup = "".join(panel.markup)
    assert "<svg" in markup
    assert "user_code=" not in markup
    assert not {"img", "script", "onclick"} & tags_in(markup)
    auth0.enter()
    assert run.wait().error is None
    panel.wait_for("Signed in as Ada Example")
    run.wait_for(lambda one: bool(one.of("update_display_data")))
    assert CODE not in run.of("update_display_data")[-1]["data"]["text/plain"]
    assert CODE not in "".join(panel.markup)
    assert auth0.early == 0


def test_stop_and_refusal(auth0: Auth0, kernel: BareKernel) -> None:
    """A0-10, FLT-054: the stop button ends it at once, and so does a no at the service; both are short errors."""
    run = kernel.start(f"{LOAD}\n%login --flow device")
    panel = FrontEnd(kernel).panel(run)
    assert "You asked for this way." in panel.wait_for(CODE)
    kernel.interrupt()
    assert (run.wait(10).error or ("",))[0] == "KeyboardInterrupt"
    assert CODE not in "".join(panel.markup)
    run = kernel.start("%login --flow device")
    panel = FrontEnd(kernel).panel(run)
    panel.wait_for(CODE)
    auth0.enter("denied")
    assert (run.wait().error or ("",))[0] == "LoginFailed"
    assert "Somebody said no at the service" in panel.wait_for("The sign-in failed")
    assert "File" not in run.traceback


def test_with_a_browser_there_is_no_code(auth0: Auth0, kernel: BareKernel) -> None:
    """NRM-136, TRP-11: where there is another way, the kernel's channels carry no code that nobody asked for."""
    kernel.run("import os; os.environ['BROWSER'] = 'true'")
    run = kernel.start(f"{LOAD}\n%login")
    FrontEnd(kernel).panel(run).wait_for("Waiting for you to sign in", "A tab opens by itself")
    kernel.interrupt()
    run.wait()
    assert auth0.hits("device") == []
    assert CODE not in "".join(kernel.raw)


def test_a_button_begins_it_where_the_profile_says_so(home: Home, auth0: Auth0, start_lab: Callable[..., Lab]) -> None:
    """
    A0-10, TRP-11: in a kernel of a Jupyter server it is the server's page as ever, and no code; with flow = "device" in
    the profile the panel has a button for it, and the login is in the server's keeping like any other.
    """
    auth0.device_interval = 1

    def write(**keys: str) -> None:
        lines = [f"{key} = {json.dumps(value)}" for key, value in auth0.profile(**keys).items()]
        (home.config / "nativeauth.toml").write_text("[profiles.acme]\n" + "\n".join(lines) + "\n")

    write()
    kernel = start_lab().kernel()
    show = f"{LOAD}\nfrom jupyter_nativeauth import LoginPanel\nfrom IPython.display import display\n"
    panel = FrontEnd(kernel).panel(kernel.run(f"{show}display(LoginPanel())"))
    assert panel.link("Sign in to acme") == "/nativeauth/login?profile=acme"
    write(flow="device")
    panel = FrontEnd(kernel).panel(kernel.run("display(LoginPanel())"))
    assert auth0.hits("device") == []
    panel.press("Sign in to acme")
    panel.wait_for(CODE, "[Cancel]")
    auth0.enter()
    panel.wait_for("Signed in as Ada Example", "Key: server memory")
    assert len(auth0.hits("token", DEVICE)) >= 1


def test_nbclient_does_not_wait(home: Home, auth0: Auth0, person_at: Callable[..., Person], canary: Canary) -> None:
    """FLT-053, TRP-11: with nobody to ask there is no code, also where profile and cell want one: LoginRequired."""
    person_at(auth0, flow="device")
    cells = [f"{LOAD}\n%login", "%login --flow device", "from jupyter_nativeauth import login\nlogin(flow='device')"]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(book, allow_errors=True, timeout=30, config=sockets()).execute()
    path = Path(home.home, "executed.ipynb")
    nbformat.write(book, path)
    for cell in book.cells:
        assert [one.get("ename") for one in cell.outputs] == ["LoginRequired"]
    assert CODE not in path.read_text(encoding="utf-8")
    assert auth0.journal == []
