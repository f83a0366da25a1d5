"""``jupyter nativeauth scan``: it finds tokens wherever they stand in a notebook, and never shows one."""

from __future__ import annotations

import base64
import json
import random
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jupyter_nativeauth._scan import Find, Problem, kinds_in, scan

ROOT = Path(__file__).parents[2]
LETTERS = string.ascii_letters + string.digits


def letters(count: int, seed: str, alphabet: str = LETTERS) -> str:
    """Random ones, the same for the same *seed*, with a digit among them."""
    return "7" + "".join(random.Random(seed).choices(alphabet, k=count - 2)) + "k"


def b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


JWT = f"{b64({'alg': 'RS256', 'kid': 'a'})}.{b64({'sub': 'ada', 'exp': 1})}.{letters(86, 'signature')}"
JWE = f"{b64({'alg': 'dir', 'enc': 'A256GCM'})}..{letters(16, 'iv')}.{letters(40, 'text')}.{letters(22, 'tag')}"
TOKENS = {
    "private key": "-----BEGIN RSA PRIVATE KEY-----\n" + letters(60, "pem"),
    "JSON Web Token": JWT,
    "Auth0 refresh token": f"v1.M{letters(60, 'auth0')}",
    "Google access token": f"ya29.{letters(60, 'google')}",
    "Google refresh token": f"1//0{letters(60, 'google refresh')}",
    "Google API key": f"AIza{letters(35, 'google key')}",
    "GitHub token": f"ghp_{letters(36, 'github')}",
    "GitLab token": f"glpat-{letters(20, 'gitlab')}",
    "Hugging Face token": f"hf_{letters(34, 'hf')}",
    "AWS access key": f"AKIA{letters(16, 'aws', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567').upper()}",
    "Slack token": f"xoxb-{letters(30, 'slack')}",
    "Anthropic API key": f"sk-ant-api03-{letters(60, 'anthropic')}",
    "OpenAI API key": f"sk-proj-{letters(60, 'openai')}",
    "Stripe key": f"sk_live_{letters(24, 'stripe')}",
    "npm token": f"npm_{letters(36, 'npm')}",
    "PyPI token": f"pypi-AgE{letters(80, 'pypi')}",
    "Azure client secret": f"{letters(3, 'azure')}8Q~{letters(34, 'azure secret')}",
    "Okta API token": f"SSWS 00{letters(40, 'okta')}",
    "authorization code": f"http://127.0.0.1/nativeauth/callback?code={letters(40, 'code')}&state={letters(43, 's')}",
    "token in an address": f"https://api.acme.com/me?access_token={letters(40, 'query')}",
    "Jupyter token": f"http://127.0.0.1:8888/lab?token={letters(48, 'jupyter', '0123456789abcdef').replace('k', 'a')}",
    "sign-in link": f"http://127.0.0.1:8888/nativeauth/go/{letters(32, 'ticket')}",
    "bearer token": f"Authorization: Bearer {letters(40, 'bearer')}",
    "value of a secret": f'{{"refresh_token": "{letters(40, "member")}"}}',
}
MORE = {
    "JSON Web Token": [JWE, f"Bearer {JWT}", f'access_token = "{JWT}"', f"callback?id_token={JWT}"],
    "GitHub token": [f"github_pat_{letters(22, 'a')}_{letters(59, 'b')}", f"gho_{letters(36, 'c')}"],
    "authorization code": [
        f"/nativeauth/callback?state={letters(43, 's')}&iss=https%3A%2F%2Fa.b&code={letters(40, 'code')}"
    ],
    "value of a secret": [
        f"client_secret = '{letters(40, 'one')}'",
        f'os.environ["API_KEY".lower()]; api_key="{letters(32, "two")}"',
        f'headers["x-api-secret"] = "{letters(36, "three")}"',
        f'{{\\"access_token\\": \\"{letters(36, "four")}\\"}}',
    ],
}
HARMLESS = [
    'access_token = "…"',
    'access_token = "<your token here, please>"',
    'api_key = "YOUR_API_KEY_GOES_HERE_12345678"',
    'client_secret = os.environ["CLIENT_SECRET"]',
    'password = "correct horse battery staple"',
    '"refresh_token": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1"',
    "AKIAIOSFODNN7EXAMPLE",
    "Bearer tokens are described in section 2.1 of the document",
    f"eyJ{letters(40, 'no header')}.{letters(40, 'body')}.{letters(40, 'signature')}",
    "a commit: 5f1d3a7be4c90d2e8a6b7c1f0e9d8c7b6a594837",
    "https://example.com/?code=200&page=2",
    "an id: 47fdfcb7-8362-47fe-9a89-a2efc55e86d5",
    "sk-learn and hf_hub_download are names",
]


def book(*cells: Any, **metadata: Any) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=list(cells), metadata=metadata)


def found(path: Path, **options: Any) -> list[str]:
    """Each find, as a line without the path."""
    return [str(one).removeprefix(f"{one.path}: ") for one in scan([path], **options) if isinstance(one, Find)]


@pytest.mark.parametrize("kind", TOKENS)
def test_each_kind(kind: str) -> None:
    """One find, of its own kind, also when it stands in a sentence."""
    for text in [TOKENS[kind], *MORE.get(kind, [])]:
        assert [one for _, one in kinds_in(f"see: {text} and so on")] == [kind], text


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_token(text: str) -> None:
    """Placeholders, names, ids and prose: who is warned for nothing soon reads no warning."""
    assert list(kinds_in(text)) == []


PLACES: dict[str, Callable[[str], nbformat.NotebookNode]] = {
    "cell 1, source": lambda token: book(nbformat.v4.new_code_cell(f"x = 1\nfetch('{token}')")),
    "cell 2, source": lambda token: book(nbformat.v4.new_code_cell("1"), nbformat.v4.new_markdown_cell(f"Use {token}")),
    "cell 1, output": lambda token: book(
        nbformat.v4.new_code_cell("", outputs=[nbformat.v4.new_output("stream", text=f"got\n{token}\n")])
    ),
    "cell 1, output ": lambda token: book(
        nbformat.v4.new_code_cell(
            "", outputs=[nbformat.v4.new_output("display_data", {"text/html": f"<b>{token}</b>"})]
        )
    ),
    "cell 1, output  ": lambda token: book(
        nbformat.v4.new_code_cell(
            "", outputs=[nbformat.v4.new_output("error", traceback=["", f"at {token}"], evalue="x")]
        )
    ),
    "cell 1, output   ": lambda token: book(
        nbformat.v4.new_code_cell(
            "", outputs=[nbformat.v4.new_output("display_data", {"application/json": {"deep": [{"in": token}]}})]
        )
    ),
    "cell 1, metadata": lambda token: book(nbformat.v4.new_code_cell("", metadata={"note": {"by": token}})),
    "cell 1, attachment": lambda token: book(
        nbformat.v4.new_markdown_cell("", attachments={"a.svg": {"image/svg+xml": f"<svg>{token}</svg>"}})
    ),
    "metadata": lambda token: book(widgets={"state": {"1": {"value": f"({token})"}}}),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("split", [False, True])
def test_it_is_found_wherever_it_stands(tmp_path: Path, place: str, *, split: bool) -> None:
    """File, cell, part and kind; whether the file holds texts whole or in lines, as nbformat writes them."""
    path = tmp_path / "work.ipynb"
    notebook = PLACES[place](JWT)
    path.write_text(nbformat.writes(notebook) if split else json.dumps(notebook))
    assert found(path) == [f"{place.rstrip()}: JSON Web Token"]


def test_an_old_notebook(tmp_path: Path) -> None:
    """Version 3 of the format keeps its cells in worksheets, and the source under another name."""
    path = tmp_path / "old.ipynb"
    cells = [{"cell_type": "code", "input": ["a\n", f"b = '{JWT}'"], "outputs": []}]
    path.write_text(json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}))
    assert found(path) == ["cell 1, source: JSON Web Token"]


def test_pictures_are_passed_by(tmp_path: Path) -> None:
    """They are long, and random."""
    pixels = nbformat.v4.new_output("display_data", {"image/png": JWT, "text/plain": "<Figure>"})
    path = tmp_path / "plot.ipynb"
    path.write_text(nbformat.writes(book(nbformat.v4.new_code_cell("", outputs=[pixels]))))
    assert found(path) == []


def test_folders(tmp_path: Path) -> None:
    """Notebooks at any depth, checkpoints too; other text files if asked, or named; not what belongs to tools."""
    for name in ("a.ipynb", "deep/er/b.ipynb", ".ipynb_checkpoints/c.ipynb", ".git/d.ipynb", "node_modules/e.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(nbformat.writes(book(nbformat.v4.new_code_cell(JWT))))
    (tmp_path / "f.py").write_text(f"# one\nx = '{JWT}'\n")
    (tmp_path / "g.bin").write_bytes(b"\xff\xfe" + JWT.encode())
    names = [Path(one.path).name for one in scan([tmp_path]) if isinstance(one, Find)]
    assert sorted(names) == ["a.ipynb", "b.ipynb", "c.ipynb"]
    everything = list(scan([tmp_path], everything=True))
    assert sorted(Path(one.path).name for one in everything) == ["a.ipynb", "b.ipynb", "c.ipynb", "f.py"]
    assert found(tmp_path / "f.py") == ["line 2: JSON Web Token"]


@pytest.mark.parametrize(
    ("content", "finds", "why"),
    [
        (b"", 0, "not a notebook"),
        (b"{", 0, "not a notebook"),
        (f'{{"cells": [{{"source": "{JWT}"'.encode(), 1, "not a notebook"),
        (b"[" * 100_000, 0, "not a notebook"),
        (b"\xff\xff", 0, "not text"),
        (b"[]", 0, None),
        (b"17", 0, None),
        (b'{"cells": [5, null, {"source": 7, "outputs": {"a": null}}], "worksheets": 5}', 0, None),
        (json.dumps({"cells": [JWT]}).encode(), 1, None),
        (b"\xef\xbb\xbf" + json.dumps({"cells": [JWT]}).encode(), 1, None),
    ],
)
def test_damaged_notebooks(tmp_path: Path, content: bytes, finds: int, why: str | None) -> None:
    """What is no notebook is looked at as text, and told; nothing crashes."""
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)
    told = list(scan([path]))
    assert len([one for one in told if isinstance(one, Find)]) == finds
    problems = [one.why for one in told if isinstance(one, Problem)]
    assert len(problems) == (why is not None)
    assert all(str(why) in problem for problem in problems)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(TOKENS)),
    before=st.text(max_size=40),
    after=st.text(max_size=40),
    depth=st.integers(0, 4),
)
def test_a_token_is_found_and_never_shown(tmp_path: Path, kind: str, before: str, after: str, depth: int) -> None:
    """Whatever stands around it, and however deep: at least one find, and no piece of the token in what is told."""
    value: Any = f"{before} {TOKENS[kind]} {after}"
    for _ in range(depth):
        value = [{"inner": value}]
    path = tmp_path / "any.ipynb"
    path.write_text(json.dumps({"cells": [{"outputs": [value], "source": ""}], "metadata": {}, "nbformat": 4}))
    told = list(scan([path]))
    assert any(isinstance(one, Find) and one.kind == kind for one in told)
    shown = "".join(f"{one} {one!r}" for one in told)
    secret = TOKENS[kind][-12:]
    assert secret not in shown


def command(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "jupyter_nativeauth.cli", "scan", *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_the_command(tmp_path: Path) -> None:
    """Lines for people, JSON for programs, and an exit status for both."""
    clean, leaky, broken = (tmp_path / name for name in ("clean.ipynb", "leaky.ipynb", "broken.ipynb"))
    clean.write_text(nbformat.writes(book(nbformat.v4.new_code_cell("get_session()"))))
    leaky.write_text(nbformat.writes(book(nbformat.v4.new_code_cell("1"), nbformat.v4.new_code_cell(f"t = '{JWT}'"))))
    broken.write_text("{")
    assert (command(clean).returncode, command(clean, broken).returncode) == (0, 2)
    done = command(clean, leaky, broken)
    assert (done.returncode, done.stdout) == (1, f"{leaky}: cell 2, source: JSON Web Token\n")
    assert "Revoke" in done.stderr
    assert "not a notebook" in done.stderr
    told = json.loads(command("--json", tmp_path).stdout)
    assert told == [{"path": str(leaky), "place": "cell 2, source", "kind": "JSON Web Token"}]
    assert command(tmp_path / "nowhere").returncode == 2
    assert command().returncode == 2


def test_our_own_notebooks_hold_none() -> None:
    """What this project asks of others."""
    assert list(scan([ROOT / "notebooks"])) == []


def test_the_pre_commit_hook(tmp_path: Path) -> None:
    """It is what pre-commit takes, and its command does what it says with the files that it is given."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert {"id", "name", "entry", "language"} <= set(hook)
    assert hook["types"] == ["jupyter"]  # what pre-commit calls *.ipynb
    path = tmp_path / "leaky.ipynb"
    path.write_text(nbformat.writes(book(nbformat.v4.new_code_cell(JWT))))
    program, *arguments = hook["entry"].split()
    done = subprocess.run(
        [Path(sys.executable).parent / program, *arguments, path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, f"{path}: cell 1, source: JSON Web Token\n")
