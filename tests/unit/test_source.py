"""What must not be in the source, wherever it would stand."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import jupyter_nativeauth

PACKAGE = Path(jupyter_nativeauth.__file__).parent
FRONT_END = PACKAGE.parent / "labextension" / "src"
# The demo's provider is somebody else's program, that has pages with passwords of its own.
PYTHON = [path for path in sorted(PACKAGE.rglob("*.py")) if "demo" not in path.relative_to(PACKAGE).parts]
TYPESCRIPT = sorted(FRONT_END.glob("*.ts*"))


@functools.cache
def nodes() -> list[ast.AST]:
    return [node for path in PYTHON for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


def texts() -> Iterator[str]:
    return (node.value for node in nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str))


def test_the_grants_are_these_three() -> None:
    """NRM-039: a code, a refresh token and a device code are all that is ever exchanged: no password of anybody's."""
    pairs = (node.elts for node in nodes() if isinstance(node, ast.Tuple) and len(node.elts) == 2)
    kinds = {
        value.value
        for name, value in pairs
        if isinstance(name, ast.Constant) and name.value == "grant_type" and isinstance(value, ast.Constant)
    }
    kinds |= {text for text in texts() if text.startswith("urn:ietf:params:oauth:grant-type:")}
    assert kinds == {"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"}


def test_no_variable_of_the_environment_is_a_token() -> None:
    """SEC-047: each one that is ours names a place, or a version: child processes inherit them all."""
    ours = {text for text in texts() if re.fullmatch(r"(JUPYTER_)?NATIVEAUTH_\w+", text)}
    named = {name.rpartition("NATIVEAUTH_")[2] for name in ours}
    assert named == {"AGENT", "BASE_URL", "CONFIG", "KEY_FILE", "PASSPHRASE_FILE", "VERSION"}


def test_nothing_is_unpickled() -> None:
    """ADV-046: whatever is read from a disk, a socket or a service is JSON or TOML, and cannot run."""
    imported = {
        alias.name.partition(".")[0] for node in nodes() if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {str(node.module).partition(".")[0] for node in nodes() if isinstance(node, ast.ImportFrom)}
    assert "json" in imported
    assert imported.isdisjoint({"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "yaml"})


def test_no_page_and_no_panel_asks_for_a_password() -> None:
    """SEC-092: people can be told that whatever does is not ours: passwords belong into the service's own page."""
    found = [
        path.name
        for path in [*PYTHON, *TYPESCRIPT]
        if re.search(r"""type=["']password|\bPassword\(""", path.read_text())
    ]
    assert found == []
    assert len(TYPESCRIPT) > 10


def test_no_tab_talks_to_another() -> None:
    """NRM-049, SEC-035: neither messages nor channels between windows; who was opened learns how it went from the
    server, and a tab that we open has no opener."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*PYTHON, *TYPESCRIPT])
    assert not re.search(r"postMessage|BroadcastChannel|addEventListener\(\s*['\"](message|storage)['\"]", text)
    assert re.findall(r"\.opener\b.*", text) == [".opener = null;"]
