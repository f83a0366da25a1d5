"""The package as a whole: what it exports, what importing it costs, how its parts may use each other."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import jupyter_nativeauth
from jupyter_nativeauth import errors
from tests.isolation import Home

ROOT = Path(__file__).parents[2]

PUBLIC = {
    "Identity",
    "LoginPanel",
    "NativeAuth",
    "Profile",
    "access_token",
    "get_async_session",
    "get_session",
    "login",
    "login_async",
    "logout",
    "session",
    "status",
}
ERRORS = {
    "ConfigError",
    "KeySourceUnavailable",
    "LockTimeout",
    "LoginFailed",
    "LoginRequired",
    "NativeAuthError",
    "NotSigned",
    "OriginNotAllowed",
    "ProviderError",
    "ProviderUnavailable",
    "StepUpRequired",
    "StoreError",
    "VaultDamaged",
    "VaultTooNew",
}
INTERNAL = {
    "_jwt.TokenInvalid",  # says which check failed; the exchange turns it into LoginFailed or ProviderError
    "_backends.Asleep",  # the Secret Service is not running; the keychain knows what that means
}

HEAVY = {"httpx", "httpx2", "keyring", "authlib", "joserfc", "cryptography", "tornado", "ipywidgets", "jupyter_server"}
HEAVY |= {"IPython", "ipykernel", "zmq", "anyio", "asyncio"}


def test_exported_members() -> None:
    """`__all__` is exactly the public API, sorted; each name can be imported, and `dir()` shows it."""
    assert jupyter_nativeauth.__all__ == sorted(PUBLIC | ERRORS)
    assert set(errors.__all__) == ERRORS
    for name in jupyter_nativeauth.__all__:
        assert getattr(jupyter_nativeauth, name) is not None
        assert name in dir(jupyter_nativeauth)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = jupyter_nativeauth.nonsense


def modules() -> list[str]:
    """Every module of the package but the demo's, which needs its own extra and a configured Django."""
    found = pkgutil.walk_packages(jupyter_nativeauth.__path__, "jupyter_nativeauth.")
    return [one.name for one in found if not one.name.startswith("jupyter_nativeauth.demo.")]


def test_every_exception_is_in_the_tree() -> None:
    """Whoever catches NativeAuthError catches all of ours; each has a stable code. A few never get that far."""
    strangers = set()
    for name in modules():
        module = importlib.import_module(name)
        for member in vars(module).values():
            if isinstance(member, type) and issubclass(member, BaseException) and member.__module__ == name:
                if issubclass(member, errors.NativeAuthError):
                    assert member.default_code
                elif not member.__name__.startswith("_"):  # such a one does not leave its module
                    strangers.add(f"{name.removeprefix('jupyter_nativeauth.')}.{member.__name__}")
    assert strangers == INTERNAL


def test_every_module_says_where_it_runs() -> None:
    """The first line of each module's docstring begins with "Runs in:"."""
    for name in modules():
        doc = importlib.import_module(name).__doc__ or ""
        assert doc.strip().startswith("Runs in: "), name


def loaded_by(code: str, **env: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after *code*."""
    probe = f"{code}\nimport sys, json\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    run = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_import_brings_in_nothing_heavy() -> None:
    """Kernels, servers and tools import the package at their start: it must not cost them anything."""
    assert not HEAVY & loaded_by("import jupyter_nativeauth")
    assert not HEAVY & loaded_by("from jupyter_nativeauth import LoginRequired, ConfigError")


def test_get_session_brings_in_no_server_and_no_widgets(home: Home) -> None:
    """A script that only calls an API pays for httpx, and for neither tornado, ipywidgets nor jupyter_server."""
    (home.config / "nativeauth.toml").write_text(
        '[profiles.acme]\nissuer = "https://id.example"\nclient_id = "cli"\napi = ["https://api.example"]\n'
    )
    code = "from jupyter_nativeauth import get_session\nassert get_session() is not None"
    loaded = loaded_by(code)
    assert "httpx" in loaded
    assert not {"tornado", "ipywidgets", "jupyter_server", "IPython", "keyring", "asyncio"} & loaded


def test_a_request_without_a_login_brings_in_no_server_and_no_widgets(home: Home) -> None:
    """The same holds once the session is used: looking for the login takes no server either."""
    (home.config / "nativeauth.toml").write_text(
        '[profiles.acme]\nissuer = "https://id.example"\nclient_id = "cli"\napi = ["https://api.example"]\n'
    )
    code = (
        "from jupyter_nativeauth import LoginRequired, get_session\n"
        "try:\n    get_session().get('/me')\nexcept LoginRequired:\n    pass\nelse:\n    raise SystemExit('no error')"
    )
    assert not {"tornado", "ipywidgets", "jupyter_server"} & loaded_by(code)


def test_import_contracts() -> None:
    """import-linter's contracts (pyproject.toml): layers, no I/O in the protocol, independent steps, cheap imports."""
    # As a process of its own: it sets up logging anew, and silences every logger that is there.
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_version_is_the_same_everywhere() -> None:
    """pyproject.toml, the module and the installed metadata name one version."""
    written = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert jupyter_nativeauth.__version__ == written
    assert importlib.metadata.version("jupyter-nativeauth") == written


def test_the_server_extension_is_found_and_enabled() -> None:
    """Jupyter finds the extension by itself once the package is installed."""
    points = jupyter_nativeauth._jupyter_server_extension_points()
    assert [point["module"] for point in points] == ["jupyter_nativeauth.extension"]
    enabled = ROOT / "jupyter-config" / "server-config" / "jupyter_nativeauth.json"
    assert json.loads(enabled.read_text())["ServerApp"]["jpserver_extensions"] == {"jupyter_nativeauth": True}


def test_the_lock_file_of_the_test_provider_names_no_address() -> None:
    """Who installs uses the registry that they have set up: the lock holds versions and checksums only."""
    lock = (ROOT / "tests" / "provider" / "package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in lock
    assert "https://registry" not in lock
