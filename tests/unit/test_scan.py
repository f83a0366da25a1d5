"""``jupyter nativeauth scan``: secrets are found wherever they stand in a notebook, and never shown."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth import _scan
from jupyter_nativeauth._patterns import ALLOWED, kinds
from jupyter_nativeauth._scan import Found, Unread, scan_file
from jupyter_nativeauth.cli import main
from tests.isolation import Home
from tests.tries import tries

ROOT = Path(__file__).parents[2]
LETTERS = "aB3dE5gH1jK7mN9pQ2sT4vW6xY8zAcEeGgIiKk0LlMmNnOo1PpQqRr2SsTtUu3VvWwXx4YyZz5"


def jwt(header: str = '{"alg":"RS256"}') -> str:
    parts = (header.encode(), b'{"sub":"ada"}', LETTERS.encode())
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


# What is planted: the kind, the text, and the secret in it.
PLANTED = [
    ("JSON Web Token", jwt()),
    ("sign-in link of jupyter_nativeauth", f"http://127.0.0.1:8888/nativeauth/go/{LETTERS[:32]}"),
    ("Jupyter token", f"http://127.0.0.1:8888/lab?token={LETTERS.encode().hex()[:48]}"),
    ("GitHub token", f"ghp_{LETTERS[:36]}"),
    ("GitHub token", f"github_pat_{LETTERS[:22]}_{LETTERS[:59]}"),
    ("GitLab token", f"glpat-{LETTERS[:20]}"),
    ("Google API key", f"AIza{LETTERS[:35]}"),
    ("Google access token", f"ya29.{LETTERS}"),
    ("AWS access key", "AKIA" + "Q2W4E6R7T5Y3UZIO"),
    ("Slack token", f"xoxb-123456789012-{LETTERS[:24]}"),
    ("OpenAI API key", f"sk-proj-{LETTERS[:48]}"),
    ("Azure client secret", f"abc8Q~{LETTERS[:34]}"),
    ("Hugging Face token", f"hf_{LETTERS[:34]}"),
    ("npm token", f"npm_{LETTERS[:36]}"),
    ("PyPI token", f"pypi-AgEIcHlwaS5vcmc{LETTERS}"),
    ("Stripe key", f"sk_live_{LETTERS[:24]}"),
]
NAMED = [
    ("access token", 'access_token = "{}"'),
    ("access token", "https://x.example/#access_token={}&token_type=bearer"),
    ("refresh token", '{{"refresh_token": "{}"}}'),
    ("ID token", "{{'id_token': '{}'}}"),
    ("client secret", "client_secret={}"),
    ("API key", "X-API-Key: {}"),
    ("Xaman API secret", "x-api-secret: {}"),
    ("Xaman API secret", 'headers["x-api-secret"] = "{}"'),
    ("Authorization header", "Authorization: Bearer {}"),
    ("authorization code", "http://127.0.0.1/callback?code={}&state=xyz"),
    ("authorization code", "http://127.0.0.1/callback?state=xyz&amp;code={}"),
]
OPAQUE = LETTERS[5:37]
SECRETS = [(kind, text, text) for kind, text in PLANTED]
SECRETS += [(kind, text.format(OPAQUE), OPAQUE) for kind, text in NAMED]


def notebook(place: str, text: str) -> dict[str, Any]:
    """A notebook of two cells; the second one holds *text* at this place."""
    cell: dict[str, Any] = {"cell_type": "code", "source": "1", "metadata": {}, "outputs": []}
    book: dict[str, Any] = {"cells": [{"cell_type": "markdown", "source": ["# A\n", "b"], "metadata": {}}, cell]}
    outputs = {
        "stream": {"output_type": "stream", "name": "stdout", "text": ["so\n", text]},
        "html": {"output_type": "display_data", "data": {"text/html": text.replace('"', "&quot;")}},
        "json": {"output_type": "display_data", "data": {"application/json": {"x": [{"y": text}]}}},
        "error": {"output_type": "error", "ename": "E", "evalue": text, "traceback": []},
        "traceback": {"output_type": "error", "ename": "E", "evalue": "", "traceback": [f"\x1b[31m{text}\x1b[0m"]},
        "output metadata": {"output_type": "display_data", "data": {}, "metadata": {"x": text}},
    }
    if place in outputs:
        cell["outputs"].append(outputs[place])
    elif place == "source":
        cell["source"] = ["1\n", text]
    elif place == "metadata":
        cell["metadata"] = {"x": {"y": text}}
    elif place == "attachment":
        cell["attachments"] = {"a.txt": {"text/plain": base64.b64encode(text.encode()).decode()}}
    else:
        book["metadata"] = {"widgets": {"state": {"x": {"value": text}}}}
    return book


PLACES = {
    "source": "source", "stream": "output", "html": "output", "json": "output", "error": "output",
    "traceback": "output", "output metadata": "output", "metadata": "metadata", "attachment": "attachment",
    "notebook": "metadata",
}  # fmt: skip


def scan(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["scan", *map(str, arguments)])


@tries(100)
@given(
    secret=st.sampled_from(SECRETS),
    place=st.sampled_from(sorted(PLACES)),
    around=st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=20)] * 2),
)
def test_whatever_is_planted_is_found(
    tmp_path_factory: pytest.TempPathFactory, secret: tuple[str, str, str], place: str, around: tuple[str, str]
) -> None:
    """Wherever it stands and whatever stands around it, it is found at its place, and no line shows it."""
    kind, text, value = secret
    path = tmp_path_factory.mktemp("scan") / "work.ipynb"
    path.write_text(json.dumps(notebook(place, f"{around[0]}\n{text}\n{around[1]}")), encoding="utf-8")
    found = [one for one in scan_file(str(path)) if isinstance(one, Found)]
    cell = None if place == "notebook" else 2
    assert (cell, PLACES[place], kind) in [(one.cell, one.part, one.kind) for one in found]
    assert not any(value in f"{one}{one.to_json()}" for one in found)


@pytest.mark.parametrize(
    "text",
    [
        'access_token = "…"', '{"access_token": "..."}', "Authorization: Bearer <token>", "Authorization: Bearer $X",
        'client_secret = "your-client-secret-123"', "api_key: xxxxxxxxxxxxxxxxxxxx", "AKIAIOSFODNN7EXAMPLE",
        "f(access_token=session.get_access_token())", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0.abcdefghijklmnop",
        jwt('{"typ":"none of ours"}'), "https://x.example/?code=Ab12Cd34Ef56", "?error=access_denied&state=Ab12Cd34Ef",
    ],
)  # fmt: skip
def test_placeholders_are_left_alone(text: str) -> None:
    """What a tutorial shows is no secret; a scanner that cries wolf is switched off."""
    assert list(kinds(text)) == []


def test_the_notebooks_and_pages_of_this_project_are_clean() -> None:
    """Our own docs, code and notebooks talk of tokens all the time, and none is found."""
    for folder in ("jupyter_nativeauth", "notebooks", "docs", "README.md"):
        done = scan("--all", ROOT / folder)
        assert (done.exit_code, done.stdout) == (0, ""), done.stdout


def test_the_command(home: Home) -> None:
    """One line for each finding; the exit status tells a program; the value is nowhere."""
    folder = home.home / "work" / ".ipynb_checkpoints"
    folder.mkdir(parents=True)
    (folder / "a.ipynb").write_text(json.dumps(notebook("stream", jwt())))
    (folder.parent / "b.txt").write_text(f"x\n{jwt()}\n")
    (folder.parent / "node_modules").mkdir()
    (folder.parent / "node_modules" / "c.ipynb").write_text(json.dumps(notebook("stream", jwt())))
    done = scan(folder.parent)
    assert (done.exit_code, done.stdout) == (1, f"{folder / 'a.ipynb'}: cell 2, output: JSON Web Token\n")
    assert "Revoke each of them" in done.stderr
    assert len(scan("--all", folder.parent).stdout.splitlines()) == 2
    assert scan(folder.parent / "b.txt").stdout.endswith("b.txt: line 2: JSON Web Token\n")
    told = json.loads(scan("--json", folder).stdout)
    one = {"path": str(folder / "a.ipynb"), "cell": 2, "part": "output", "line": None, "kind": "JSON Web Token"}
    assert told == {"found": [one], "unread": []}


def test_what_cannot_be_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit status 2: missing, too large, or a damaged notebook, which is looked at as a text all the same."""
    missing = scan(home.home / "nothing.ipynb")
    assert (missing.exit_code, "No such file" in missing.stderr) == (2, True)
    assert scan().exit_code == 2
    path = home.home / "damaged.ipynb"
    for content in (
        f'{{"cells": [ "{jwt()}"',
        f'{{"cells": 7, "x": "{jwt()}"}}',
        "[" * 100_000 + jwt(),
        f'["{jwt()}"]',
    ):
        path.write_text(content)
        done = scan(path)
        assert (done.exit_code, done.stdout) == (2, f"{path}: line 1: JSON Web Token\n")
        assert "damaged" in done.stderr
    monkeypatch.setattr(_scan, "LARGEST", 100)
    (only,) = scan_file(str(path))
    assert isinstance(only, Unread)


def test_the_mark(home: Home) -> None:
    """A line of a source may say that this is no secret; an output may not, since anything may be printed."""
    path = home.home / "work.ipynb"
    path.write_text(json.dumps(notebook("source", f"x = '{jwt()}'  # {ALLOWED}")))
    assert scan(path).exit_code == 0
    path.write_text(json.dumps(notebook("stream", f"{jwt()} {ALLOWED}")))
    assert scan(path).exit_code == 1


def test_a_sealed_login(home: Home) -> None:
    """A vault's file does not belong into a project, as it is or in base64."""
    path = home.home / "x.bin"
    path.write_bytes(b"JNAV\x01\x01keychain" + bytes(range(90)))
    assert "sealed login" in scan(path).stdout
    path.with_suffix(".txt").write_text(base64.b64encode(path.read_bytes()).decode())
    assert "sealed login" in scan(path.with_suffix(".txt")).stdout


def test_the_hook(home: Home) -> None:
    """The hook's entry is our console script; called with file names, as pre-commit does, it fails if one is bad."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert {"id", "name", "entry", "language"} <= set(hook)
    assert (hook["language"], hook["types"]) == ("python", ["jupyter"])
    script, *arguments = hook["entry"].split()
    good, bad = home.home / "good.ipynb", home.home / "bad.ipynb"
    good.write_text(json.dumps(notebook("stream", "fine")))
    bad.write_text(json.dumps(notebook("stream", jwt())))
    call = [os.path.join(os.path.dirname(sys.executable), script), *arguments]
    assert subprocess.run([*call, good], capture_output=True, check=False).returncode == 0
    assert subprocess.run([*call, good, bad], capture_output=True, check=False).returncode == 1
