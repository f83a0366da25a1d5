"""
Runs in: ``make mutants``. Breaks a file in one small way after the other: a test near it has to notice each.

It works on a copy, so that the working tree is never touched. A mutant that survives shows a test that is missing, or
code that makes no difference. Each mutant is a file on disk, so the processes that tests start run it too.
"""

from __future__ import annotations

import ast
import copy
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEAR = {
    "_callback": "tests/unit/test_callback.py tests/unit/test_oauth.py",
    "_idtoken": "tests/unit/test_idtoken.py",
    "_jwt": "tests/unit/test_idtoken.py tests/unit/test_accesstoken.py",
    "_lock": "tests/unit/test_lock.py",
    "_origin": "tests/unit/test_profiles.py tests/unit/test_providers.py tests/unit/test_tenant.py",
    "vault": "tests/unit/test_vault.py tests/unit/test_account.py",
}
LONGEST = 120  # seconds for one mutant; one that hangs was noticed
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
    for number, node in enumerate(ast.walk(tree)):
        for broken, what in _breaks(node):
            whole = copy.deepcopy(tree)
            target = list(ast.walk(whole))[number]
            target.__dict__.clear()
            target.__class__ = type(broken)
            target.__dict__.update(broken.__dict__)
            yield f"{getattr(node, 'lineno', 0)}: {what}", ast.unparse(ast.fix_missing_locations(whole))


def _breaks(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(node, ast.Compare | ast.BoolOp | ast.BinOp):
        old = node.ops[0] if isinstance(node, ast.Compare) else node.op
        if type(old) in SWAPS and not _is_type(node):
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


def _is_type(node: ast.AST) -> bool:
    """``str | None``: an annotation, which nobody runs."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and "None" in ast.unparse(node)


def survives(where: Path, tests: str) -> bool:
    """Whether the tests pass, in a child that has imported all but our own package already."""
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        os.setsid()
        os.chdir(where)
        sys.path.insert(0, str(where))
        import pytest

        options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--timeout", str(LONGEST)]
        os._exit(int(pytest.main([*options, *tests.split()])))
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def main(files: list[str]) -> int:
    import pytest  # noqa: F401 - so that no child has to import them

    os.environ.update(PYTHONDONTWRITEBYTECODE="1", HYPOTHESIS_STORAGE_DIRECTORY=tempfile.mkdtemp())
    sys.dont_write_bytecode = True
    left = 0
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder, "copy")
        ignored = shutil.ignore_patterns("node_modules", "__pycache__", "labextension", ".*")
        shutil.copytree(ROOT, where, ignore=ignored)
        for name in files:
            path = where / "jupyter_nativeauth" / f"{name}.py"
            source = path.read_text()
            assert survives(where, NEAR[name]), f"the tests near {name}.py fail without any mutant"
            found, alive = list(mutants(source)), 0
            for what, broken in found:
                path.write_text(broken)
                if survives(where, NEAR[name]):
                    alive += 1
                    print(f"  {name}.py:{what}", flush=True)
            path.write_text(source)
            print(f"{name}.py: {len(found) - alive} of {len(found)} mutants noticed", flush=True)
            left += alive
    return left


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [*NEAR]) > 0)
