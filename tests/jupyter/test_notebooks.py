"""The notebooks that come with the package: they run from top to bottom, alone, and are saved without a secret."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from jupyter_nativeauth._account import Account
from jupyter_nativeauth._accounts import Accounts, use_accounts
from jupyter_nativeauth._attempt import ListenerAttempt
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth.agent import KeyAgent
from jupyter_nativeauth.demo.lab import start_provider
from tests.canary import Canary
from tests.emulators.oauth import OAuthEmulator
from tests.emulators.xumm import Xumm
from tests.emulators.xumm_payloads import ADA
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.kernel import sockets
from tests.oidc_provider import OidcProvider
from tests.person import Person, outcome

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture
def account(home: Home, tmp_path: Path) -> Iterator[Account]:
    """The demo's profile, as the only and so the default one, at the demo's provider; kernels get the key as usual."""
    (tmp_path / "provider").mkdir()
    with start_provider(tmp_path / "provider", access_token_seconds=6) as provider:
        (home.config / "nativeauth.toml").write_text(
            f"[profiles.demo]\nissuer = {json.dumps(provider.issuer)}\nclient_id = {json.dumps(provider.client_id)}\n"
            f"api = [{json.dumps(provider.api)}]\n"
        )
        accounts = Accounts(server=True)
        use_accounts(accounts)
        agent = KeyAgent(accounts.keys.answer, dict)
        os.environ["JUPYTER_NATIVEAUTH_AGENT"] = agent.start()
        try:
            yield accounts.get()
        finally:
            os.environ.pop("JUPYTER_NATIVEAUTH_AGENT", None)
            agent.stop()
            use_accounts(None)


def tell(canary: Canary, account: Account) -> None:
    """This provider does not say what it has issued: what the vault holds must be found nowhere else."""
    login = account.login()
    for kind, secret in (("access", login.access_token), ("refresh", login.refresh_token), ("id", login.id_token)):
        if secret is not None:
            canary.secret(kind, secret.reveal())


def read(path: Path) -> nbformat.NotebookNode:
    book: nbformat.NotebookNode = nbformat.read(path, as_version=nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
    return book


def texts(cell: nbformat.NotebookNode) -> str:
    """All that a cell has shown, as text."""
    words = []
    for output in cell.outputs:
        words += [output.get("text", ""), *output.get("traceback", [])]
        words += [str(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(words)


def saved(book: nbformat.NotebookNode, home: Home, canary: Canary) -> str:
    """The notebook as it is written to the disk."""
    path = home.home / "executed.ipynb"
    nbformat.write(book, path)  # type: ignore[no-untyped-call]
    text = path.read_text(encoding="utf-8")
    canary.look("the saved notebook", text)
    return text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_is_valid_and_clean(path: Path) -> None:
    """Notebook format 4.5, no output, no counter, no widget state, no personal metadata; all of it is Python."""
    book = read(path)
    nbformat.validate(book)
    assert (book.nbformat, book.nbformat_minor >= 5) == (4, True)
    assert set(book.metadata) <= {"kernelspec", "language_info"}
    assert book.metadata.kernelspec.name == "python3"
    for cell in book.cells:
        if cell.cell_type == "code":
            assert (list(cell.outputs), cell.execution_count) == ([], None)
            plain = TransformerManager().transform_cell(cell.source)  # type: ignore[no-untyped-call]
            compile(plain, path.name, "exec")


def test_quickstart_runs(account: Account, home: Home, canary: Canary) -> None:
    """SEC-051, INV-01: with a stored login it needs nobody: it calls the API, outlives its access token, signs out."""
    browser = HttpBrowser(press=("Sign in", "Allow"))

    def browse(url: str) -> None:
        threading.Thread(target=browser.open, args=(url,), daemon=True).start()

    assert outcome(ListenerAttempt(account, Ask(), 60, browse)).name == "Ada Lovelace"
    tell(canary, account)
    book = read(ROOT / "notebooks" / "quickstart.ipynb")

    def after(**_: object) -> None:
        if account.login_id():
            tell(canary, account)

    NotebookClient(book, timeout=60, config=sockets(), on_cell_executed=after).execute()
    text = saved(book, home, canary)
    shown = {cell.source.splitlines()[0]: texts(cell) for cell in book.cells if cell.cell_type == "code"}
    assert shown["%login"] == "signed in to demo as Ada Lovelace\n"
    assert "**Ada Lovelace**" in shown["from IPython.display import Markdown"]
    assert "| Access token | number 1," in shown["from IPython.display import Markdown"]
    assert "| Access token | number 2," in shown["from time import sleep"]
    assert "Ada Lovelace" in shown["%whoami"]
    assert "Signed out of demo." in shown["%logout"]
    assert account.login_id() == ""
    assert "traceback" not in text


@pytest.mark.parametrize("name", ["auth0", "scalekit", "wristband"])
def test_a_service_s_notebook_runs(
    name: str, request: pytest.FixtureRequest, person_at: Callable[..., Person], home: Home, canary: Canary
) -> None:
    """At the service's emulator it says who signed in, calls the API, outlives its access token, and signs out."""
    service: OAuthEmulator = request.getfixturevalue(name)
    person = person_at(service)
    person.sign_in()
    book = read(ROOT / "notebooks" / f"{name}.ipynb")

    def after(cell: nbformat.NotebookNode, **_: object) -> None:
        if cell.source.startswith("PATH"):
            person.expire()

    NotebookClient(book, timeout=60, config=sockets(), on_cell_executed=after).execute()
    text = saved(book, home, canary)
    shown = {cell.source.splitlines()[0]: texts(cell) for cell in book.cells if cell.cell_type == "code"}
    assert shown["%login"] == "signed in to acme as Ada Example\n"
    assert "'token': 1" in shown["from jupyter_nativeauth import get_session"]
    assert "Ada Example" in shown["from jupyter_nativeauth import login"]
    assert "renewed by itself" in shown["from jupyter_nativeauth import status"]
    assert "Signed out of acme." in shown["%logout"]
    assert (service.refreshes, person.account.login_id()) == (1, "")
    assert "traceback" not in text


def test_xumm_signs(xumm: Xumm, person_at: Callable[..., Person], home: Home, canary: Canary) -> None:
    """XU-13: signed in by phone it calls the API, has two requests signed, and signs out; there is nothing to renew."""
    xumm.phone = "approve"
    person_at(xumm).sign_in()
    book = read(ROOT / "notebooks" / "xumm.ipynb")
    NotebookClient(book, timeout=60, config=sockets()).execute()
    text = saved(book, home, canary)
    shown = {cell.source.splitlines()[0]: texts(cell) for cell in book.cells if cell.cell_type == "code"}
    assert shown["from jupyter_nativeauth import get_session"] == f"Signed in as {ADA}\n"
    assert shown["signed = request.result()"] == f"Signed by {ADA}\n"
    assert "tesSUCCESS on TESTNET for my-order-1\n" in shown["payment = {"]
    assert "Signed out of acme." in shown["%logout"]
    assert xumm.calls.count("POST payload") == 2
    assert "traceback" not in text


def test_quickstart_without_a_login(person: Person, oidc: OidcProvider, home: Home, canary: Canary) -> None:
    """FLT-053: run by a machine it fails at once, in the cell that signs in, with a few words that say what to do."""
    book = read(ROOT / "notebooks" / "quickstart.ipynb")
    with pytest.raises(CellExecutionError, match="LoginRequired"):
        NotebookClient(book, timeout=60, config=sockets()).execute()
    saved(book, home, canary)
    run = [cell for cell in book.cells if cell.cell_type == "code" and cell.execution_count]
    assert [cell.source for cell in run] == ["%load_ext jupyter_nativeauth", "%login"]
    (output,) = run[-1].outputs
    assert (output.output_type, output.ename) == ("error", "LoginRequired")
    assert output.traceback == [
        "LoginRequired: Nobody is signed in to 'acme'. Nobody is here to sign in.",
        "",
        "Sign in before you run this: `jupyter nativeauth login acme` in a terminal.",
    ]
    assert oidc.journal() == []
