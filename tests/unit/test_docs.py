"""README, docs and docstrings: what they show runs, what they name exists, what exists is named."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest
from nbclient import NotebookClient

import jupyter_nativeauth
from jupyter_nativeauth import _reasons, errors
from jupyter_nativeauth._configuration import load
from jupyter_nativeauth._logout import LogoutReport
from jupyter_nativeauth._settings import CHECKS, OPTIONS
from jupyter_nativeauth._status import ProfileStatus
from jupyter_nativeauth.cli import main
from jupyter_nativeauth.keys import KEY_SOURCES
from jupyter_nativeauth.magics import NativeAuthMagics
from jupyter_nativeauth.profiles import Profile
from jupyter_nativeauth.providers import PRESETS
from jupyter_nativeauth.testing import signed_in
from tests import capabilities
from tests.isolation import Home
from tests.kernel import sockets
from tests.person import Person

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGE = Path(jupyter_nativeauth.__file__).parent
MODULES = [one.name for one in pkgutil.walk_packages([str(PACKAGE)], "jupyter_nativeauth.") if ".demo." not in one.name]

page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks in this language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(path), re.MULTILINE | re.DOTALL)


# ---- README --------------------------------------------------------------------------------------------------------


def test_the_first_lines_of_the_readme_run(person: Person) -> None:
    """What a newcomer copies runs in a real kernel as it stands, with a login that is there, and says what it shows."""
    first, *_ = blocks(README, "python")
    assert len([line for line in first.splitlines() if line.strip()]) <= 10
    person.sign_in()
    book: Any = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[nbformat.v4.new_code_cell(first)]  # type: ignore[no-untyped-call]
    )
    NotebookClient(book, timeout=60, config=sockets()).execute()
    said = "".join(output.get("text", "") for output in book.cells[0].outputs)
    assert "Hello, Ada Example\n" in said
    assert "Signed out of acme." in repr(book.cells[0].outputs)
    assert person.account.login_id() == ""


@pytest.mark.parametrize("code", blocks(README, "python")[1:], ids=lambda code: code.splitlines()[0][:30])
def test_the_scripts_of_the_readme_run(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each block is a script of its own that works for somebody who is signed in."""
    with signed_in("acme", {"/api/me": {"name": "Ada"}}):
        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(code, "README.md", "exec"), scope)
        assert "print" not in code or capsys.readouterr().out == "{'name': 'Ada'}\n"
        for client in scope.values():
            if hasattr(client, "base_url") and hasattr(client, "get"):
                assert client.auth is not None


def test_the_profile_of_the_readme_is_valid(home: Home) -> None:
    """With a client id put in, it is a configuration that is read without a complaint."""
    (written,) = blocks(README, "toml")
    assert written.count("…") == 1
    (home.config / "nativeauth.toml").write_text(written.replace("…", "my-client"), encoding="utf-8")
    profile = load().get()
    assert (profile.name, profile.client_id, profile.api) == ("acme", "my-client", ("https://api.acme.com",))


def key_table() -> dict[str, tuple[str, str]]:
    """The README's table: default and meaning by key. Keys that share a row may share a default."""
    rows = re.findall(r"^\| (`.+?`) \| (.+?) \| (.+?) \|$", text_of(README).split("## All keys")[1], re.MULTILINE)
    found = {}
    for names, default, meaning in rows:
        keys = re.findall(r"`(\w+)`", names)
        defaults = default.split(", ")
        for number, key in enumerate(keys):
            assert key not in found
            found[key] = (defaults[number] if len(defaults) == len(keys) else default, meaning)
    return found


def test_every_key_of_a_profile_is_in_the_readme() -> None:
    """No key without an explanation, no explanation without a key, and each default is the real one."""
    table = key_table()
    assert set(table) == {"provider", *CHECKS, *OPTIONS}
    parameters = inspect.signature(Profile).parameters
    for key, (default, _) in table.items():
        if default == "required":
            assert key in OPTIONS or not parameters[key].default
        elif key in OPTIONS:
            assert default == "\N{EN DASH}"
        elif re.fullmatch(r'`?("\w+"|\d+)`?', default):
            assert ast.literal_eval(default.strip("`")) == parameters[key].default, key
        else:
            assert not parameters[key].default, key
    for source in KEY_SOURCES:
        assert f'"{source}"' in " ".join(table["key_source"])


def test_every_key_of_a_profile_is_an_argument() -> None:
    """What nativeauth.toml takes, Profile(...) takes too, and the other way round."""
    arguments = {
        name for name, one in inspect.signature(Profile).parameters.items() if one.kind is one.KEYWORD_ONLY
    } - {"source", "options"}
    assert arguments == {"provider", *CHECKS}


def test_the_commands_that_are_named_exist() -> None:
    """Subcommands, make targets, extras and variables of the README are those of the code."""
    text = text_of(README)
    named = set(re.findall(r"jupyter nativeauth (\w+)", text))
    for group in re.findall(r"`jupyter nativeauth (\w+(?: \| \w+)+)`", text):
        named |= set(group.split(" | "))
    assert named
    assert named <= set(main.commands)
    targets = set(re.findall(r"^(\w+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"`?make (\w+)", text)) <= targets
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    assert set(re.findall(r"jupyter-nativeauth\[(\w+)\]", text)) <= set(extras)
    code = "".join(text_of(path) for path in PACKAGE.rglob("*.py"))
    for variable in re.findall(r"`(JUPYTER_\w+)`", text):
        assert f'"{variable}"' in code


def test_the_magics_that_are_named_exist() -> None:
    """Each ``%magic`` of README and docs is one of ours, or loads them."""
    ours = set(NativeAuthMagics.magics["line"])
    named = {name for path in PAGES for name in re.findall(r"(?<![\w%])%([a-z_]+)", text_of(path))}
    assert ours <= named <= ours | {"load_ext"}


# ---- the services --------------------------------------------------------------------------------------------------

NAMED = [name for name, preset in PRESETS.items() if name != "oidc" and not preset.lender]


def test_the_table_of_services_is_that_of_the_presets() -> None:
    """What the README says that a service can do is what its preset says; `python -m tests.capabilities` writes it."""
    assert capabilities.table() in text_of(README)


@pytest.mark.parametrize("name", NAMED)
def test_each_service_has_a_page(name: str) -> None:
    """Its page names all that has to be set at the service, in the words that the doctor says it in."""
    text = " ".join(text_of(ROOT / "docs" / "providers" / f"{name}.md").split())
    for line in PRESETS[name].console:
        said = re.split(r"[:,]? *\{", line)[0]
        assert said in text, said


@pytest.mark.parametrize("name", NAMED)
def test_the_five_lines_of_a_service_are_valid(name: str, home: Home) -> None:
    """With a client id put in, the first profile of its page is read without a complaint, and is five lines long."""
    written = blocks(ROOT / "docs" / "providers" / f"{name}.md", "toml")[0]
    assert len([line for line in written.splitlines() if line.strip()]) <= 5
    (home.config / "nativeauth.toml").write_text(written.replace("…", "my-client"), encoding="utf-8")
    profile = load().get()
    assert profile.provider == name
    assert profile.api


# ---- all pages -----------------------------------------------------------------------------------------------------


@page
def test_no_link_is_dead(path: Path) -> None:
    """Files and headings that a page links to are there; pictures are pictures."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(path)):
        place, _, heading = unquote(target).partition("#")
        if re.match(r"[a-z]+:", place):
            assert place.startswith("https:")
            continue
        file = path.parent / place if place else path
        assert file.exists(), target
        assert file.resolve().is_relative_to(ROOT), target
        if heading:
            titles = re.findall(r"^#+ (.+)$", text_of(file), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target
        if file.suffix == ".png":
            assert file.read_bytes()[:4] == b"\x89PNG"


@page
def test_every_file_that_is_named_exists(path: Path) -> None:
    """Modules and folders that a page names by their name are there, so a rename cannot leave it behind."""
    here = {file.name for folder in (PACKAGE, ROOT / "tests") for file in folder.rglob("*.py")}
    for word in re.findall(r"`([^`\s]+)`", text_of(path)):
        if word.endswith(".py") and "/" not in word:
            assert word in here, word
        elif re.match(r"(tests|docs|jupyter_nativeauth|notebooks)/", word):
            assert (ROOT / word).exists(), word
        elif re.fullmatch(r"_[a-z]+", word):
            assert f"{word}.py" in here, word


@page
def test_code_blocks_are_python(path: Path) -> None:
    """What stands in a block of Python or TOML can be read as such."""
    for code in blocks(path, "python"):
        ast.parse(re.sub(r"^%.*$", "", code, flags=re.MULTILINE))
    for code in blocks(path, "toml"):
        tomllib.loads(code)


# ---- docstrings ----------------------------------------------------------------------------------------------------


def described() -> list[tuple[str, Any]]:
    """The public names, and those that they lead to."""
    names = [(name, getattr(jupyter_nativeauth, name)) for name in jupyter_nativeauth.__all__]
    names += [("LogoutReport", LogoutReport), ("ProfileStatus", ProfileStatus)]
    for module in ("testing", "httpx2", "requests", "xumm"):
        loaded = importlib.import_module(f"jupyter_nativeauth.{module}")
        names += [(f"{module}.{name}", getattr(loaded, name)) for name in loaded.__all__]
    return names


@pytest.mark.parametrize(("name", "value"), described(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_public_name_is_described(name: str, value: Any) -> None:
    """A docstring of its own; for a function each argument and what it raises; for a class each public method."""
    doc = inspect.getdoc(value) or ""
    assert doc.strip(), name
    if inspect.isfunction(value):
        elsewhere = "The arguments and errors are those of" in doc
        for argument in inspect.signature(value).parameters:
            assert elsewhere or re.search(rf"\b{argument}\b[^:\n]*: ", doc.split("Args:")[-1]), argument
        assert elsewhere or "Raises:" in doc or name in ("session", "testing.signed_in")
    if inspect.isclass(value):
        for member, made in vars(value).items():
            if not member.startswith("_") and (inspect.isfunction(made) or isinstance(made, property)):
                assert inspect.getdoc(made), f"{name}.{member}"
    for field in getattr(value, "__dataclass_fields__", {}) if value is not Profile else ():  # the README has a table
        assert re.search(rf"^ *(\w+, )*{field}\b", doc, re.MULTILINE), field


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings_work(module: str, home: Home) -> None:
    """Every module's doctests, those of optional libraries included. One that is skipped needs a person."""
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_the_examples_are_found() -> None:
    """The check above does look at something: at least a dozen modules show how they are used."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [name for name in MODULES if any(one.examples for one in finder.find(importlib.import_module(name)))]
    assert len(found) > 12


# ---- errors --------------------------------------------------------------------------------------------------------


def test_the_drawing_of_the_error_tree_is_true() -> None:
    """Each class stands in it once, below its parent, with its meaning; and each can be imported from the package."""
    drawn, above = {}, {0: errors.NativeAuthError}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.fullmatch(r"((?:│   |    )*)[├└]── (\w+) {2,}(\S.+)", line):
            depth = len(found[1]) // 4 + 1
            above[depth] = getattr(jupyter_nativeauth, found[2])
            drawn[found[2]] = above[depth - 1]
    assert set(drawn) | {"NativeAuthError"} == set(errors.__all__) <= set(jupyter_nativeauth.__all__)
    for name, parent in drawn.items():
        assert getattr(jupyter_nativeauth, name).__bases__ == (parent,), name


def test_the_reasons_of_a_missing_login_are_documented() -> None:
    """``LoginRequired.code`` and ``ProfileStatus.state`` are part of the API: each of them is named there."""
    for code in _reasons.REASONS:
        assert f"``{code}``" in (errors.LoginRequired.__doc__ or ""), code
        assert f"``{code}``" in (ProfileStatus.__doc__ or ""), code
