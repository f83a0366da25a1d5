"""
Runs in: ``make mutants``. Breaks a file in one small way after the other: a test near it has to notice each.

It works on a copy, so that the working tree is never touched. A mutant that survives shows a test that is missing, or
code that makes no difference. Each mutant is a file on disk, so the processes that tests start run it too.
"""

from __future__ import annotations

import ast
import compileall
import copy
import gc
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import Phase, settings

ROOT = Path(__file__).parents[1]
NEAR = {
    "_callback": "tests/unit/test_callback.py tests/unit/test_oauth.py",
    "_grant": "tests/unit/test_grant.py",
    "_idtoken": "tests/unit/test_idtoken.py",
    "_jwks": "tests/unit/test_idtoken.py",
    "_jwt": "tests/unit/test_idtoken.py tests/unit/test_accesstoken.py",
    "_lock": "tests/unit/test_lock.py",
    "_origin": "tests/unit/test_origin.py",
    "_paste": "tests/unit/test_paste.py",
    "vault": "tests/unit/test_vault.py tests/unit/test_account.py",
}
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitOr: ast.BitAnd,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
}


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Each broken version of *source*, after the line and what is broken there."""
    tree = ast.parse(source)
    idle = {inner for outer in _idle(tree) for inner in ast.walk(outer)}
    for number, node in enumerate(ast.walk(tree)):
        for broken, what in _breaks(node) if node not in idle else ():
            whole = copy.deepcopy(tree)
            target = list(ast.walk(whole))[number]
            target.__dict__.clear()
            target.__class__ = type(broken)
            target.__dict__.update(broken.__dict__)
            yield f"{getattr(node, 'lineno', 0)}: {what}", ast.unparse(ast.fix_missing_locations(whole))


def _breaks(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(node, ast.Compare | ast.BoolOp | ast.BinOp):
        old = node.ops[0] if isinstance(node, ast.Compare) else node.op
        if type(old) in SWAPS:
            broken = copy.deepcopy(node)
            new = SWAPS[type(old)]()
            if isinstance(broken, ast.Compare):
                broken.ops[0] = new  # type: ignore[call-overload]
            else:
                broken.op = new  # type: ignore[assignment]
            yield broken, f"{type(old).__name__} is {type(new).__name__}"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield copy.deepcopy(node.operand), "`not` is gone"
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.copy_location(ast.Constant(not node.value), node), f"{node.value} is {not node.value}"
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield ast.copy_location(ast.Constant(node.value + 1), node), f"{node.value} is {node.value + 1}"
    elif isinstance(node, ast.Return) and node.value is not None and not isinstance(node.value, ast.Constant):
        yield ast.copy_location(ast.Return(ast.Constant(None)), node), "None is returned"
    elif isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield ast.copy_location(ast.Pass(), node), f"{ast.unparse(node)[:60]!r} is gone"


def _idle(tree: ast.AST) -> Iterator[ast.AST]:
    """What nobody runs here: annotations, and what is for Windows only."""
    for node in ast.walk(tree):
        yield from (part for name in ("annotation", "returns") if (part := getattr(node, name, None)))
        if isinstance(node, ast.If) and sys.platform != "win32" and ast.unparse(node.test) == "sys.platform == 'win32'":
            yield from node.body


class SharpestFirst:
    """A plugin for pytest: tests that have noticed a mutant run first, so that most mutants are noticed at once."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        sharp = set(self._memory.read_text().splitlines()) if self._memory.exists() else set()
        items.sort(key=lambda item: ascii(item.nodeid) not in sharp)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            with self._memory.open("a") as file:
                print(ascii(report.nodeid), file=file)


def survives(where: Path, tests: str, limit: float) -> bool:
    """Whether the tests pass within *limit* seconds, in a child; see :func:`load`. One that hangs has noticed."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os._exit(run(where, tests, "-x", "--timeout", "0"))
    until = time.monotonic() + limit
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.1)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def run(where: Path, tests: str, *options: str) -> int:
    """pytest's answer, without a word; what it imports of ours, here and in processes that tests start, is the copy."""
    import pytest

    with Path(os.devnull).open("w", encoding="utf-8") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
    quick = ["-n", "0", "-p", "no:cacheprovider", "--assert", "plain", "--tb", "no"]
    command = [*quick, *options, *(str(where / name) for name in tests.split())]
    return int(pytest.main(command, plugins=[SharpestFirst(where / "noticed")]))


def load(where: Path, tests: str) -> None:
    """Import what the tests import, and forget what is ours: so that no child has to import the rest."""
    words = [os.dup(1), os.dup(2)]
    run(where, tests, "--collect-only")
    os.dup2(words[0], 1)
    os.dup2(words[1], 2)
    for name in list(sys.modules):
        if name.partition(".")[0] in ("jupyter_nativeauth", "tests", "conftest"):
            del sys.modules[name]
    gc.freeze()  # so that no child looks through all of that for garbage


def main(files: list[str]) -> int:
    left = 0
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder, "copy")
        ignored = shutil.ignore_patterns("node_modules", "__pycache__", "labextension", ".*")
        shutil.copytree(ROOT, where, ignore=ignored)
        for part in ("jupyter_nativeauth", "tests"):
            compileall.compile_dir(where / part, quiet=1)
        # From here on nobody writes bytecode: that of one mutant could pass for that of the next.
        sys.dont_write_bytecode = True
        os.environ.update(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=str(where), HYPOTHESIS_STORAGE_DIRECTORY=folder)
        settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate])  # a smaller example helps nobody
        settings.load_profile("mutants")
        sys.path.insert(0, str(where))
        os.chdir(where)
        for name in files:
            load(where, NEAR[name])
            path = where / "jupyter_nativeauth" / f"{name}.py"
            source = path.read_text()
            begun = time.monotonic()
            assert survives(where, NEAR[name], 3600), f"the tests near {name}.py fail without any mutant"
            limit = 60 + 4 * (time.monotonic() - begun)
            found, alive = list(mutants(source)), 0
            for what, broken in found:
                path.write_text(broken)
                if survives(where, NEAR[name], limit):
                    alive += 1
                    print(f"  {name}.py:{what}", flush=True)
            path.write_text(source)
            print(f"{name}.py: {len(found) - alive} of {len(found)} mutants noticed", flush=True)
            left += alive
        os.chdir(ROOT)
    return left


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [*NEAR]) > 0)
