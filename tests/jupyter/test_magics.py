"""%login, %logout and %whoami in real kernels, with a front end and without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from jupyter_nativeauth.errors import LoginRequired
from tests.canary import Canary
from tests.isolation import Home
from tests.jupyter.front_end import VIEW, BareKernel, FrontEnd
from tests.jupyter.test_panel import until_closed
from tests.kernel import sockets
from tests.lab import Lab
from tests.oidc_provider import OidcProvider
from tests.person import Person

LOAD = "%load_ext jupyter_nativeauth"
LOGIN = f"{LOAD}\n%login"
CALL = 'from jupyter_nativeauth import get_session\nget_session().get("/api/me").status_code'


@pytest.fixture
def execute(home: Home, canary: Canary) -> Callable[..., nbformat.NotebookNode]:
    """Run a notebook of these cells as nbconvert, papermill and nbmake do, save it, and sweep what was saved."""

    def run(*cells: str) -> nbformat.NotebookNode:
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        NotebookClient(book, allow_errors=True, timeout=60, config=sockets()).execute()
        path = Path(home.home, "executed.ipynb")
        nbformat.write(book, path)
        canary.look("the saved notebook", path.read_text(encoding="utf-8"))
        return book

    return run


# ---- with nobody to ask ----------------------------------------------------------------------------------------------


def test_nbclient_never_waits(
    person: Person, oidc: OidcProvider, execute: Callable[..., nbformat.NotebookNode]
) -> None:
    """
    FLT-053, TRP-11: where nobody can sign in, ``%login`` and a request both raise LoginRequired at once. What is saved
    is an ``error`` output of a few lines that says what to do, without a frame of ours, and no widget.
    """
    book = execute(LOGIN, "%xmode Verbose", "%login --switch", CALL)
    for cell in (book.cells[0], book.cells[2], book.cells[3]):
        (output,) = cell.outputs
        assert (output.output_type, output.ename) == ("error", "LoginRequired")
        assert len(output.traceback) <= 3
        assert "jupyter nativeauth login acme" in "\n".join(output.traceback)
        assert "File" not in "\n".join(output.traceback)
    assert oidc.journal("authorization") == []
    assert "widgets" not in book.metadata


def test_nbclient_uses_a_stored_login(
    person: Person, oidc: OidcProvider, execute: Callable[..., nbformat.NotebookNode]
) -> None:
    """INV-01, SEC-051: a stored login is used, with one line and no panel. Saved widget state holds nothing secret."""
    person.sign_in()
    book = execute(LOGIN, CALL, "from jupyter_nativeauth import LoginPanel\nLoginPanel()", "%login acme  # a comment")
    for cell in (book.cells[0], book.cells[3]):
        told = [(one.output_type, one.text) for one in cell.outputs]
        assert told == [("stream", "signed in to acme as Ada Example\n")]
    assert book.cells[1].outputs[0].data["text/plain"] == "200"
    shown = book.cells[2].outputs[0].data
    assert shown["text/plain"].startswith("acme: Signed in as Ada Example")
    assert VIEW in shown
    saved = json.dumps(book.metadata["widgets"])
    assert "Signed in as Ada Example" in saved
    assert "ada@example.org" not in saved


# ---- in a notebook ---------------------------------------------------------------------------------------------------


def test_login_blocks_until_it_is_done(bare_kernel: BareKernel, oidc: OidcProvider) -> None:
    """
    TRP-11, SEC-050: ``%login`` waits, with a link to this machine, and ends when the browser is done; the next cell of
    the same kernel calls the API. On IOPub there is neither the provider's address for the sign-in nor an e-mail.
    """
    run = bare_kernel.start(LOGIN)
    panel = FrontEnd(bare_kernel).panel(run)
    panel.wait_for("Waiting for you to sign in", "4:5")
    assert not run.done.is_set()
    link = panel.link("Sign in to acme")
    assert f'href="{link}"' in "".join(panel.first_markup), "the link is there when the panel appears"
    assert f"Sign in to acme: {link}\n" in panel.first_text, "all of it, for consoles"
    oidc.browser().open(link)
    run.wait()
    assert run.error is None
    assert run.of("execute_result") == [], "nothing that would be kept in Out[]"
    assert "Signed in as Ada Example" in panel.text
    assert bare_kernel.run(CALL).result == "200"
    heard = "".join(bare_kernel.raw)
    assert "code_challenge" not in heard
    assert "ada@example.org" not in heard


def test_login_shows_the_panel_at_once_when_signed_in(
    person: Person, bare_kernel: BareKernel, oidc: OidcProvider
) -> None:
    """With somebody signed in, ``%login`` shows who, asks the service nothing, and shows the same panel each time."""
    person.sign_in()
    asked = len(oidc.journal())
    front = FrontEnd(bare_kernel)
    first, second = (front.panel(bare_kernel.run(code)) for code in (LOGIN, "%login acme"))
    assert first.first_text.startswith("acme: Signed in as Ada Example (access token 60 min left, renewed by itself)")
    assert "Key: server memory (ends when the server stops)" in first.first_text
    assert first.model == second.model
    assert len(oidc.journal()) == asked


def test_an_interrupt_ends_the_wait(person: Person, bare_kernel: BareKernel, oidc: OidcProvider) -> None:
    """FLT-054: the stop button ends ``%login``, with a short KeyboardInterrupt; the panel says so, the port closes."""
    run = bare_kernel.start(LOGIN)
    panel = FrontEnd(bare_kernel).panel(run)
    link = panel.link("Sign in to acme")
    bare_kernel.interrupt()
    run.wait()
    assert (run.error or ("",))[0] == "KeyboardInterrupt"
    assert run.traceback == "KeyboardInterrupt: the sign-in was cancelled."
    assert "Cancelled. Nobody was signed in." in panel.text
    assert link not in "".join(panel.markup)
    until_closed(link)
    assert oidc.journal("token") == []
    with pytest.raises(LoginRequired):
        person.account.access_token()


def test_what_went_wrong_is_short(bare_kernel: BareKernel, oidc: OidcProvider) -> None:
    """A sign-in that is denied, and one that nobody finishes, end as short errors that say why; so does the panel."""
    run = bare_kernel.start(f"%xmode Verbose\n{LOGIN}")
    panel = FrontEnd(bare_kernel).panel(run)
    oidc.browser(press=("Sign in", "Deny")).open(panel.link("Sign in to acme"))
    assert (run.wait().error or ("",))[0] == "LoginFailed"
    assert "access_denied" in run.traceback
    assert "File" not in run.traceback
    assert "access_denied" in panel.wait_for("The sign-in failed")
    late = bare_kernel.run("%login --timeout 1")
    assert (late.error or ("",))[0] == "LoginFailed"
    assert "in time" in FrontEnd(bare_kernel).panel(late).text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("%login --bogus", "unrecognized arguments: --bogus"),
        ("%login one two", "unrecognized arguments: two"),
        ("%login --timeout", "expected one argument"),
        ("%login --timeout soon", "'soon' is not a number of seconds from 1 to 3600"),
        ("%login --timeout nan", "'nan' is not a number of seconds from 1 to 3600"),
        ("%login --timeout 0", "'0' is not a number of seconds"),
        ("%login --flow carrier-pigeon", "carrier-pigeon"),
        ("%login 'acme", "No closing quotation"),
        ("%login amce", "acme"),
        ("%logout --all", "unrecognized arguments: --all"),
        ("%whoami --json", "unrecognized arguments: --json"),
    ],
)
def test_wrong_usage_is_an_error_output(session_kernel: BareKernel, line: str, says: str) -> None:
    """Wrong usage raises ConfigError: a UsageError would leave no ``error`` output, and tools would see a success."""
    run = session_kernel.run(line)
    assert run.error is not None
    assert run.error[0] == "ConfigError"
    assert says in run.error[1]
    assert "File" not in run.traceback
    assert run.stderr == ""


@pytest.fixture
def session_kernel(bare_kernel: BareKernel) -> BareKernel:
    """A kernel with the magics."""
    assert bare_kernel.run(LOAD).error is None
    return bare_kernel


def test_whoami_and_logout(person: Person, bare_kernel: BareKernel, oidc: OidcProvider) -> None:
    """``%whoami`` names the person, the service, the scopes and the key; after ``%logout`` it says what to do."""
    person.sign_in()
    (shown,) = bare_kernel.run(f"{LOAD}\n%whoami").of("display_data")
    text = dict(line.split("  ", 1) for line in shown["data"]["text/plain"].splitlines())
    text = {name: value.strip() for name, value in text.items()}
    assert text["Name"] == "Ada Example"
    assert text["E-mail"] == "ada@example.org"
    assert text["Service"] == f"OpenID Connect, {oidc.issuer.removeprefix('http://')}"
    assert text["Access token"].startswith("60 min left, renewed by itself (until ")
    assert "offline_access" in text["Scopes"]
    assert text["Key"] == "server memory (ends when the server stops)"
    assert "ada@example.org" in shown["data"]["text/html"]

    (shown,) = bare_kernel.run("%logout acme").of("display_data")
    assert shown["data"]["text/plain"].startswith("Signed out of acme.")
    with pytest.raises(LoginRequired):
        person.account.access_token()
    assert len(oidc.journal("revocation")) == 1
    (shown,) = bare_kernel.run("%whoami").of("display_data")
    assert "Signed out" in shown["data"]["text/plain"]
    assert "Run `%login acme` to sign in." in shown["data"]["text/plain"]
    assert (bare_kernel.run(CALL).error or ("",))[0] == "LoginRequired"


def test_logout_in_jupyter_leads_on_to_the_service(
    home: Home, oidc: OidcProvider, start_lab: Callable[..., Lab]
) -> None:
    """In a kernel of a Jupyter server, ``%logout`` shows a link that ends the session at the service, too."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in oidc.profile().items()]
    (home.config / "nativeauth.toml").write_text("[profiles.acme]\n" + "\n".join(lines) + "\n")
    lab = start_lab()
    kernel = lab.kernel()
    browser = oidc.browser()
    browser.open(f"{lab.lab_url()}")
    browser.open(f"http://127.0.0.1:{lab.port}/nativeauth/login?profile=acme")
    (shown,) = kernel.run(f"{LOAD}\n%logout").of("display_data")
    assert 'href="/nativeauth/logout?profile=acme"' in shown["data"]["text/html"]
    assert "/nativeauth/logout?profile=acme" in shown["data"]["text/plain"]
    (shown,) = kernel.run("%logout").of("display_data")
    assert shown["data"]["text/plain"] != ""


def test_help_names_all_arguments(session_kernel: BareKernel) -> None:
    """``%login?`` shows how to use it."""
    run = session_kernel.run("print(get_ipython().find_line_magic('login').__doc__)")
    for word in ("%login", "profile", "--switch", "--timeout", "--flow", "Interrupt the kernel to cancel"):
        assert word in run.stdout


def test_the_magics_work_in_a_terminal(person: Person, oidc: OidcProvider, canary: Canary) -> None:
    """In IPython without a kernel, ``%login`` and ``%whoami`` are plain text."""
    import subprocess
    import sys

    person.sign_in()
    code = "%load_ext jupyter_nativeauth\n%login\n%whoami\n"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"],
        input=code,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    canary.look("IPython's output", done.stdout + done.stderr)
    assert "signed in to acme as Ada Example" in done.stdout
    assert "Name          Ada Example" in done.stdout
    assert "Panel" not in done.stdout + done.stderr
