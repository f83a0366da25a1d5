"""
Runs in: the tests. What the sidebar and the server say to each other: the samples that both ends are tested with.

The front end's tests read the same files, so neither end can change what it says without the other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[1] / "wire"


def sample(name: str) -> Any:
    """The sample ``tests/wire/<name>.json``."""
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def differences(real: Any, samples: Sequence[Any], where: str = "") -> list[str]:
    """
    How *real* differs from the samples in its kind: members more or less, and types that no sample has.

    Example:
        >>> differences({"a": 1, "b": None}, [{"a": 2.5, "c": ""}])
        ['b: only the server has it', 'c: only the sample has it']
        >>> differences([{"a": None}, {"a": "x"}], [[{"a": None}, {"a": 1}]])
        ['[].a: string, in the sample null or number']
    """
    kinds = sorted({kind(one) for one in samples})
    if kind(real) not in kinds:
        return [f"{where}: {kind(real)}, in the sample {' or '.join(kinds)}"]
    if isinstance(real, list):
        known = [one for each in samples if isinstance(each, list) for one in each]
        found = [words for one in real for words in differences(one, known, f"{where}[]")] if known else []
        return list(dict.fromkeys(found))
    if not isinstance(real, dict):
        return []
    objects = [one for one in samples if isinstance(one, dict)]
    found = []
    for name in sorted({*real, *(name for one in objects for name in one)}):
        path = f"{where}.{name}".removeprefix(".")
        if name not in real:
            found.append(f"{path}: only the sample has it")
        elif not all(name in one for one in objects):
            found.append(f"{path}: only the server has it")
        else:
            found += differences(real[name], [one[name] for one in objects], path)
    return found


def kind(value: Any) -> str:
    """JSON's own word for the type of *value*."""
    if value is None:
        return "null"
    for word, types in _KINDS.items():
        if isinstance(value, types):
            return word
    raise TypeError(type(value))


_KINDS: dict[str, type | tuple[type, ...]] = {
    "boolean": bool,
    "number": (int, float),
    "string": str,
    "array": list,
    "object": dict,
}
