"""
The cases of the security checklist, and the oddities of the services: a test that shows it names it, or a page says
why it does not apply. And what the security pages say of tests and versions is so.
"""

from __future__ import annotations

import ast
import functools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
DOCS = ROOT / "docs"
ODDITIES = {"A0": 15, "SK": 14, "WB": 15, "XU": 16}
ODDITY = re.compile(r"\b(A0|SK|WB|XU)-(\d+)(?: to \1-(\d+))?\b")
CASE = re.compile(r"\b([A-Z]{3})-(\d+[ab]?)(?: to \1-(\d+))?\b")
TEST = re.compile(r"`([\w/]+\.py::test_\w+)`")


@functools.cache
def cases() -> dict[str, str]:
    """Titles by id."""
    tables = tomllib.loads((TESTS / "cases.toml").read_text(encoding="utf-8"))
    return {f"{kind}-{number}": title for kind, table in tables.items() for number, title in table.items()}


def named_in(text: str) -> Iterator[str]:
    """The ids in *text*, of the kinds that are listed. A range names what lies in it."""
    kinds = {name.partition("-")[0] for name in cases()}
    for kind, first, last in CASE.findall(text):
        if kind in kinds and last:
            yield from (f"{kind}-{number:0{len(last)}}" for number in range(int(first.rstrip("ab")), int(last) + 1))
        elif kind in kinds:
            yield f"{kind}-{first}"


@functools.cache
def sources() -> dict[str, str]:
    """Each file of tests but this one, by its name."""
    files = [path for path in sorted(TESTS.rglob("test_*.py")) if path != Path(__file__)]
    return {str(path.relative_to(TESTS)): path.read_text(encoding="utf-8") for path in files}


@functools.cache
def docstrings() -> dict[str, str]:
    """Each test's docstring, by its name."""
    mine = {f"unit/{Path(__file__).name}": Path(__file__).read_text(encoding="utf-8")}
    return {
        f"{file}::{node.name}": ast.get_docstring(node) or ""
        for file, source in (sources() | mine).items()
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


@functools.cache
def parameters() -> dict[str, set[str]]:
    """The ids that strings begin with, as those of parameters do: ``"CNF-006 iss"``; by file."""
    found = {file: re.findall(r"""["']([A-Z]{3}-\d+[ab]?) [^"'\s]""", source) for file, source in sources().items()}
    return {file: {name for text in texts for name in named_in(text)} for file, texts in found.items()}


def shown() -> set[str]:
    """The ids that tests name."""
    found = {name for test, doc in docstrings().items() if "test_cases_named" not in test for name in named_in(doc)}
    return found.union(*parameters().values())


def section(page: str, heading: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]


def rows(page: str, heading: str) -> list[list[str]]:
    """The rows of all tables below *heading*, as cells, without the heads."""
    lines = [line.strip("| ").split(" | ") for line in re.findall(r"^\|.*\|$", section(page, heading), re.MULTILINE)]
    return [cells for cells in lines if re.match(r"[A-Z]{3}-\d|[a-z]", cells[0])]


def excused() -> set[str]:
    """The ids that do not apply, for a reason."""
    found = rows("security-cases.md", "Cases that do not apply")
    assert all(len(cells) == 3 and len(cells[2].split()) >= 2 for cells in found)
    return {cells[0] for cells in found}


# ---- the cases -----------------------------------------------------------------------------------------------------


def test_each_case_is_named_or_does_not_apply() -> None:
    """A case that no test names and no page excuses is one that nobody has looked at. Promises have their own table."""
    promised = {name for name in cases() if name.startswith("PRM-")}
    assert sorted(cases().keys() - shown() - excused() - promised) == []
    assert len(cases()) >= 480


def test_nothing_else_is_named() -> None:
    """A case that is named but not listed is a slip of the pen; one with a reason why not is not tested too."""
    pages = " ".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    assert sorted((shown() | set(named_in(pages))) - cases().keys()) == []
    assert sorted(shown() & excused()) == []


def test_the_titles_are_short_and_each_its_own() -> None:
    """Whoever reads an id in a failure finds out what it is about."""
    assert [name for name, title in cases().items() if not 1 <= len(title.split()) <= 14] == []
    assert len(set(cases().values())) == len(cases())


def test_what_counts_as_named() -> None:
    """A range names all that lies in it, a letter belongs to the number, and other words that look alike are none."""
    assert list(named_in("CNF-003 to CNF-005, CNF-020a: UTF-8, FUZZ-1, RFC-12, XCNF-001")) == [
        *("CNF-003", "CNF-004", "CNF-005", "CNF-020a"),
    ]


# ---- the security pages --------------------------------------------------------------------------------------------


def test_each_module_is_re_enacted() -> None:
    """PRM-007: each row of the OpenID Foundation's modules leads to a test that names its case."""
    modules = rows("security-cases.md", "OpenID Foundation modules, re-enacted")
    assert {cells[0] for cells in modules} == {name for name in cases() if name.startswith("CNF-")} - excused()
    for case, module, _, answer, test in modules:
        (name,) = TEST.findall(test)
        assert case in {*named_in(docstrings()[name]), *parameters().get(name.partition("::")[0], ())}, case
        assert module, case
        for code in re.findall(r"`(\w+_\w+)`", answer):
            assert any(
                f'"{code}"' in path.read_text(encoding="utf-8") for path in (ROOT / "jupyter_nativeauth").glob("*.py")
            )


def test_each_promise_has_its_tests() -> None:
    """What is promised is a list of cases too, and each is proven by tests that are there."""
    promises = [cells[0] for cells in rows("security.md", "What is promised, and how it is tested")]
    assert promises == [name for name in cases() if name.startswith("PRM-")]
    proofs = section("security-cases.md", "What proves each promise").split("\n* ")[1:]
    assert [proof[2:9] for proof in proofs] == promises
    for proof in proofs:
        assert len(TEST.findall(proof)) >= 2, proof


def test_each_test_that_is_mentioned_exists() -> None:
    """A test that was renamed is renamed there too."""
    named = TEST.findall((DOCS / "security-cases.md").read_text(encoding="utf-8"))
    assert len(named) > 50
    assert sorted(set(named) - docstrings().keys()) == []


def test_each_invariant_has_a_watcher_that_can_fail() -> None:
    """Each is listed with the test in which its watcher finds a breach, and that test names it."""
    text = (DOCS / "security-cases.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| (INV-\d\d): .* \| `([^`]+)` \|$", text, re.MULTILINE)
    assert [name for name, _ in found] == [name for name in cases() if name.startswith("INV-")]
    for name, test in found:
        assert name in docstrings()[test], name


def test_no_floor_is_below_an_advisory() -> None:
    """pyproject.toml asks for at least the versions that the page gives, and the page knows each that we ship with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [
        Requirement(line) for line in [*project["dependencies"], *extras["demo"], *extras["bench"], *extras["test"]]
    ]
    floors: dict[str, Version] = {}
    for one in asked:
        for part in one.specifier:
            if part.operator in (">=", "=="):
                floors[one.name] = min(Version(part.version), floors.get(one.name, Version(part.version)))
    known = {name: version for name, version, _ in rows("security.md", "The oldest versions that will do")}
    assert len(known) > 10
    for name, version in known.items():
        assert floors[name] >= Version(version), f"{name}>={floors[name]}"
    network = {"authlib", "cryptography", "h11", "httpx", "idna", "joserfc", "jupyter-server", "keyring", "tornado"}
    assert network <= known.keys()


# ---- the services --------------------------------------------------------------------------------------------------


def test_each_oddity_of_a_service_is_named() -> None:
    """Each numbered requirement of a service stands in a test's docstring, or in its page with the reason why not."""
    texts = [doc for test, doc in docstrings().items() if "test_cases_named" not in test]
    texts += [page.read_text(encoding="utf-8") for page in sorted((DOCS / "providers").glob("*.md"))]
    named: set[str] = set()
    for text in texts:
        for service, first, last in ODDITY.findall(text):
            named |= {f"{service}-{number}" for number in range(int(first), int(last or first) + 1)}
    known = {f"{service}-{number}" for service, count in ODDITIES.items() for number in range(1, count + 1)}
    assert sorted(known - named) == []
    assert sorted(named - known) == []


def test_each_test_states_a_rule() -> None:
    """Whoever reads a failure reads first what should have been: every test has a docstring that says it."""
    assert [name for name, doc in docstrings().items() if len(doc.split()) < 4] == []


def test_the_figures_count_the_cases() -> None:
    """The page of figures says how many cases there are, how many have a test, and how many do not apply."""
    told = re.search(r"\| Numbered cases \| (\d+) \| (\d+) [^|,]*, (\d+) ", section("security.md", "Figures"))
    assert told is not None
    assert [int(number) for number in told.groups()] == [len(cases()), len(shown() & cases().keys()), len(excused())]
