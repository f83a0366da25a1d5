"""
Runs in: ``make guided``. Coverage-guided fuzzing: atheris looks for inputs that lead where none has led yet.

The properties are those of ``make fuzz`` that need nothing but their inputs. What atheris finds is kept in ``.corpus``,
and the next run goes on from there. Input that breaks a property is printed by hypothesis, to become an ``@example``.

    python -m tests.guided                              every property, for a minute each
    python -m tests.guided --minutes 30 unit.test_paste::test_nothing_that_is_typed_breaks_it
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / ".corpus"


def properties() -> dict[str, Any]:
    """The properties by their names, such as ``unit.test_paste::test_noise_around_noise``."""
    found = {}
    for path in sorted([*ROOT.glob("tests/unit/test_*.py"), *ROOT.glob("tests/fuzz/test_*.py")]):
        if "@tries" not in path.read_text(encoding="utf-8"):
            continue
        module = importlib.import_module(f"tests.{path.parent.name}.{path.stem}")
        for name, test in vars(module).items():
            if hasattr(test, "hypothesis") and test.__module__ == module.__name__ and not _needs_more(test):
                found[f"{path.parent.name}.{path.stem}::{name}"] = test
    return found


def _needs_more(test: Any) -> bool:
    """Whether it takes fixtures or parameters as well."""
    return bool(inspect.signature(test).parameters)


def fuzz(name: str, seconds: int) -> None:
    """Until the time is over, or the property is broken; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["jupyter_nativeauth"]):
        test = properties()[name]
    folder = CORPUS / name.replace("::", ".")
    folder.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", "-print_final_stats=1", f"-artifact_prefix={folder}-"]
    atheris.Setup([sys.argv[0], str(folder), *options], test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guided")
    parser.add_argument("names", nargs="*", metavar="property")
    parser.add_argument("--minutes", type=float, default=1.0, help="for each property")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # in this very process
    asked = parser.parse_args()
    if asked.one:
        fuzz(asked.names[0], int(60 * asked.minutes))
    known = [*properties()]
    if unknown := set(asked.names) - set(known):
        parser.error(f"there is no {', '.join(unknown)}; there are:\n  " + "\n  ".join(known))
    broken = []
    for name in asked.names or known:
        command = [sys.executable, "-m", "tests.guided", "--one", "--minutes", str(asked.minutes), name]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
        tried = re.search(r"^stat::number_of_executed_units: +(\d+)", run.stderr, re.MULTILINE)
        print(f"{int(tried[1]) if tried else 0:>12,}  {name}", flush=True)
        if run.returncode:
            broken.append(name)
            print(run.stdout[-4000:], run.stderr[-4000:], file=sys.stderr)
    return len(broken)


if __name__ == "__main__":
    sys.exit(main())
