"""The doctor's local half: what it says of this computer, without changing anything."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from jupyter_nativeauth import __version__
from jupyter_nativeauth._machine import _extensions, _folder_of, _leftovers, file_system, machine, outdated, way
from jupyter_nativeauth.vault import FileVault
from tests.isolation import Home
from tests.samples import key

MOUNTS = "disk / ext4 rw 0 0\nnas:/home /home nfs4 rw 0 0\nx /home/ada/a\\040b fuse.sshfs rw 0 0\ny /ho 9p rw 0 0\n"


@pytest.mark.parametrize(
    ("folder", "kind", "remote"),
    [
        ("/srv/x", "ext4", False), ("/home/ada/x", "nfs4", True), ("/home/ada/a b/c", "fuse.sshfs", True),
        ("/ho", "9p", True), ("/homes", "ext4", False),
    ],
)  # fmt: skip
def test_the_file_system(folder: str, kind: str, remote: bool) -> None:
    """The nearest mount counts, with its blanks; a name that only begins alike does not."""
    found = file_system(Path(folder), MOUNTS)
    assert found is not None
    assert (found.kind, found.remote) == (kind, remote)


@pytest.mark.parametrize(
    ("flow", "environ", "level", "words"),
    [
        ("auto", {"DISPLAY": ":0"}, "ok", "opens your browser"),
        ("auto", {"DISPLAY": ":0", "SSH_CONNECTION": "x"}, "note", "over SSH"),
        ("browser", {"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/"}, "warning", "this is a JupyterHub"),
        ("paste", {"DISPLAY": ":0"}, "ok", "takes one back"),
        ("device", {"DISPLAY": ":0"}, "ok", "code for any browser"),
    ],
)
def test_the_way(flow: str, environ: dict[str, str], level: str, words: str) -> None:
    """Which way a sign-in takes, and why."""
    found = way(flow, environ)
    assert (found.level, words in found.message) == (level, True)


def test_versions() -> None:
    """A package below the floor, or one that is missing, is an error with the command that mends it."""
    needs = ["httpx>=999", "click>=1", "no-such-package>=1", "x>1; extra == 'demo'"]
    first, second = outdated(needs)
    assert (first.level, "httpx>=999 is needed" in first.message) == ("error", True)
    assert "no-such-package is missing" in second.message
    assert 'pip install -U "no-such-package>=1"' in second.hint


def test_the_folder(home: Home) -> None:
    """Whose it is and who may use it; it is not made, and not changed."""
    folder = home.data / "nativeauth"
    assert [one.level for one in _folder_of(folder)] == ["ok"]
    assert not folder.exists()
    for mode, level in ((0o700, "ok"), (0o755, "note"), (0o722, "error")):
        folder.mkdir(exist_ok=True)
        folder.chmod(mode)
        assert [one.level for one in _folder_of(folder)] == [level]
        assert folder.stat().st_mode & 0o777 == mode
    folder.rmdir()
    folder.write_text("")
    assert [one.level for one in _folder_of(folder)] == ["error"]


def test_the_extensions(home: Home) -> None:
    """Both parts are on where the package is installed; who has switched one off is told how to switch it on."""
    assert [one.level for one in _extensions()] == ["ok"]
    labconfig = home.config / "labconfig"
    labconfig.mkdir()
    (labconfig / "page_config.json").write_text('{"disabledExtensions": {"jupyter-nativeauth": true}}')
    assert ["switched off" in one.message for one in _extensions()] == [True]


def test_leftovers(home: Home) -> None:
    """A server's login that lies there for a week is mentioned; the keychain's, and a fresh one, are not."""
    folder = home.data / "nativeauth"
    folder.mkdir(mode=0o700)
    vaults = [FileVault(folder, "acme", key(source)) for source in ("server", "server", "keychain")]
    for vault in vaults:
        with vault.write_lock.hold(limit=5):
            vault.write({}, login_id="0" * 32, signed_in=False)
    assert list(_leftovers(folder)) == []
    for vault in vaults[1:]:
        os.utime(vault.path, (time.time() - 8 * 86_400,) * 2)
    (note,) = _leftovers(folder)
    assert note.message.startswith("1 login of")
    assert Path(vaults[1].path).name in note.message


def test_nothing_is_changed(home: Home) -> None:
    """All of it together makes no file, and finds nothing that would stop a sign-in."""
    before = sorted(home.folder.rglob("*"))
    assert "error" not in {one.level for one in machine(home.data / "nativeauth")}
    assert sorted(home.folder.rglob("*")) == before


def test_another_version_than_the_server_s_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A kernel with an environment of its own may have an older one; the same, or none at all, is nothing to tell."""

    def told() -> list[str]:
        return [
            finding.message for finding in machine(tmp_path) if finding.message.startswith("The Jupyter server has")
        ]

    monkeypatch.delenv("JUPYTER_NATIVEAUTH_VERSION", raising=False)
    assert told() == []
    monkeypatch.setenv("JUPYTER_NATIVEAUTH_VERSION", __version__)
    assert told() == []
    monkeypatch.setenv("JUPYTER_NATIVEAUTH_VERSION", "99.0")
    assert told() == [f"The Jupyter server has jupyter-nativeauth 99.0, and here it is {__version__}."]
