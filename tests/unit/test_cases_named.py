"""The traps and oddities that were found before this package was begun: each is named by a test that shows it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGES = TESTS.parent / "docs" / "providers"
ODDITIES = {"A0": 15, "SK": 14, "WB": 15, "XU": 16}
ODDITY = re.compile(r"\b(A0|SK|WB|XU)-(\d+)(?: to \1-(\d+))?\b")
NAME = re.compile(r"\bTRP-(\d\d)(?: to TRP-(\d\d))?\b")


def docstrings() -> Iterator[tuple[str, str]]:
    """Each test's name and docstring."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                yield f"{path.relative_to(TESTS)}::{node.name}", ast.get_docstring(node) or ""


def test_each_trap_is_named() -> None:
    """TRP-01 to TRP-37 each stand in the docstring of a test other than this one."""
    named: set[int] = set()
    for name, doc in docstrings():
        if not name.endswith("::test_each_trap_is_named"):
            for first, last in NAME.findall(doc):
                named |= set(range(int(first), int(last or first) + 1))
    assert sorted(set(range(1, 38)) - named) == []


def test_each_oddity_of_a_service_is_named() -> None:
    """Each numbered requirement of a service stands in a test's docstring, or in its page with the reason why not."""
    texts = [doc for name, doc in docstrings()]
    texts += [page.read_text(encoding="utf-8") for page in sorted(PAGES.glob("*.md"))]
    named: set[str] = set()
    for text in texts:
        for service, first, last in ODDITY.findall(text):
            named |= {f"{service}-{number}" for number in range(int(first), int(last or first) + 1)}
    known = {f"{service}-{number}" for service, count in ODDITIES.items() for number in range(1, count + 1)}
    assert sorted(known - named) == []
    assert sorted(named - known) == []


def test_each_test_states_a_rule() -> None:
    """Whoever reads a failure reads first what should have been: every test has a docstring that says it."""
    assert [name for name, doc in docstrings() if len(doc.split()) < 4] == []
