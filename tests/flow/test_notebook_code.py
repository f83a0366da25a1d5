"""Code in a notebook runs as the person, and can do what they can; what it gains from this package is kept small."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import jupyter_nativeauth
from jupyter_nativeauth import NativeAuth, access_token, get_async_session, get_session, login, session, status
from tests.canary import Canary
from tests.isolation import Home
from tests.oidc_provider import OidcProvider
from tests.person import Person

GETTERS = ("reveal", "to_dict", "to_json", "json", "copy", "items", "keys", "values", "read")


def reachable(value: Any, depth: int = 4) -> Iterator[str]:
    """What *value* shows, and what its public attributes lead to."""
    yield f"{value!s} {value!r}"
    if depth == 0 or isinstance(value, str | bytes | int | float | type(None)) or inspect.ismodule(value):
        return
    members = list(value.values()) if isinstance(value, dict) else []
    members += list(value) if isinstance(value, list | tuple | set | frozenset) else []
    for name in dir(value):
        if not name.startswith("_") and name != "raw":
            try:
                member = getattr(value, name)
                members.append(member() if name in GETTERS and callable(member) else member)
            except Exception as error:
                members.append(str(error))
    for member in members:
        if not callable(member) or isinstance(member, NativeAuth):
            yield from reachable(member, depth - 1)


def test_no_public_name_gives_out_a_refresh_token(person: Person, oidc: OidcProvider) -> None:
    """SEC-055, PRM-009: whatever the public functions return, its attributes lead to no more than the
    access token and what the ID token says."""
    person.sign_in()
    with get_session() as api:
        api.get("/api/me")
        found = [login(), access_token(), api, get_async_session(), NativeAuth("acme"), status(), session]
        shown = "\n".join(text for value in found for text in reachable(value))
    kinds = {kind for kind, secret in oidc.secrets() if secret in shown}
    assert kinds == {"access", "nonce"}  # which is spent, and one of the ID token's claims
    assert not [name for name in jupyter_nativeauth.__all__ if "refresh" in name.lower()]


SHELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for line in (
    "from jupyter_nativeauth import *",
    "api = get_session(); answer = api.get('/api/me'); token = access_token(); mine = NativeAuth('acme')",
    "answer.json()['name']",
    "%whos",
    "%who_ls",
    "%load_ext storemagic",
    "%store token",
    "%store api",
    "%store mine",
    "%store",
    "%history -o",
    "%save -f everything.py 1-11",
    "In, Out",
):
    shell.run_cell(line, store_history=True)
shell.history_manager.end_session()
"""


def test_what_ipython_writes_down(person: Person, oidc: OidcProvider, canary: Canary, home: Home) -> None:
    """SEC-043: lists of variables, the history and its database, stored and saved variables: none of them holds a
    token, since no plain variable of the person's does."""
    person.sign_in()
    done = subprocess.run(
        [sys.executable, "-c", SHELL],
        cwd=home.home,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    canary.look("what IPython shows", done.stdout + done.stderr)
    assert "Ada Example" in done.stdout
    assert "AccessToken" in done.stdout
    written = [path for path in home.home.rglob("*") if path.is_file()]
    assert {"history.sqlite", "everything.py"} <= {path.name for path in written}
    for kind, secret in oidc.secrets():
        assert secret not in done.stdout + done.stderr, kind
        assert not [path for path in written if secret.encode() in path.read_bytes()], kind
