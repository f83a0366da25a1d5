"""What is installed: the wheel that is built from this tree, with the sidebar that stands built in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

from tests.isolation import Home

ROOT = Path(__file__).parents[2]
LIMIT = 40_000
"""Bytes of JavaScript, built for production."""
EXTENSION = "share/jupyter/labextensions/jupyter-nativeauth"


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of the wheel; those that are data by where they go."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert len(names) == len(set(names)), "a file is in it twice"
        return {re.sub(r"^[^/]+\.data/data/", "", name): archive.read(name) for name in names}


def test_the_wheel_is_complete(wheel: Path) -> None:
    """Server extension, sidebar, settings, event schema and notebook are in it, once, and nothing of the workshop."""
    files = contents(wheel)
    assert {
        "etc/jupyter/jupyter_server_config.d/jupyter_nativeauth.json",
        "jupyter_nativeauth/demo/quickstart.ipynb",
        "jupyter_nativeauth/events/session.v1.yaml",
        "jupyter_nativeauth/py.typed",
        f"{EXTENSION}/install.json",
        f"{EXTENSION}/package.json",
        f"{EXTENSION}/schemas/jupyter-nativeauth/plugin.json",
        f"{EXTENSION}/static/style.js",
    } <= set(files)
    entry = json.loads(files[f"{EXTENSION}/package.json"])["jupyterlab"]["_build"]["load"]
    assert f"{EXTENSION}/{entry}" in files
    homes = ("jupyter_nativeauth/", "jupyter_nativeauth-", "etc/jupyter/", EXTENSION)
    assert [name for name in files if not name.startswith(homes)] == []
    workshop = ("jupyter_nativeauth/labextension", "node_modules", "tests/", ".tsx")
    assert [name for name in files if any(part in name for part in workshop)] == []


def test_the_wheel_works_without_node(wheel: Path, home: Home) -> None:
    """Installed with nothing but pip, JupyterLab lists the sidebar as enabled and OK, and as this package's."""
    prefix = home.folder / "prefix"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--prefix", str(prefix)]
    bare = {**os.environ, "PATH": "/nowhere"}
    subprocess.run([*install, "--ignore-installed", str(wheel)], env=bare, check=True, capture_output=True)
    listed = subprocess.run(
        [sys.executable, "-m", "jupyterlab.labextensions", "list"],
        env={**bare, "JUPYTER_PATH": str(prefix / "share" / "jupyter")},
        check=True,
        capture_output=True,
        text=True,
    )
    words = re.sub(r"\x1b\[\d+m", "", listed.stdout + listed.stderr)
    (ours,) = re.findall(rf"^{re.escape(str(prefix))}\S*\n((?: .+\n)+)", words, re.MULTILINE)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert ours.split() == f"jupyter-nativeauth v{version} enabled OK (python, jupyter-nativeauth)".split()


def test_the_sidebar_is_small(wheel: Path) -> None:
    """React and JupyterLab are shared. The entry is the loader that the builder gives to every extension."""
    scripts = {Path(name).name: len(data) for name, data in contents(wheel).items() if name.endswith(".js")}
    ours = {name: size for name, size in scripts.items() if not name.startswith("remoteEntry.")}
    assert len(ours) < len(scripts)
    assert sum(ours.values()) <= LIMIT, f"{ours}: is this a build for development? Run: make setup"


def test_one_version() -> None:
    """The npm package has the version of the Python package, in its source and as it was built."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    for folder in (ROOT / "labextension", ROOT / "jupyter_nativeauth" / "labextension"):
        assert json.loads((folder / "package.json").read_text(encoding="utf-8"))["version"] == version


def test_the_lock_file_of_the_sidebar_names_no_address() -> None:
    """Who builds uses the registry that they have set up: the lock holds versions and checksums only."""
    lock = (ROOT / "labextension" / "yarn.lock").read_text(encoding="utf-8")
    assert lock.count("checksum:") > 100
    assert "://" not in lock
    assert "__archiveUrl" not in lock
