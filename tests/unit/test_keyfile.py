"""A key that somebody else provides: what is a key file, who may read it, and what is said about one that is wrong."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jupyter_nativeauth._keychain import Keychain
from jupyter_nativeauth._keyfile import CREDENTIAL, KEY_FILE_VARIABLE
from jupyter_nativeauth.errors import KeySourceUnavailable
from jupyter_nativeauth.keys import Key, Keys

SECRET = hashlib.sha256(b"a key in a file").digest()
FORMS = {
    "raw": SECRET,
    "base64": base64.b64encode(SECRET),
    "base64 with a line end": base64.b64encode(SECRET) + b"\r\n",
    "hex": SECRET.hex().encode(),
    "hex, in capitals, with a line end": SECRET.hex().upper().encode() + b"\n",
    "raw, ending in what looks like a line end": SECRET[:31] + b"\n",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    return path


def keys(folder: Path, **environ: str) -> Keys:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the keychain is not asked")

    return Keys(folder / "nativeauth", environ=environ, keychain=Keychain(folder, {}, opener=never))  # type: ignore[arg-type]


def refused(tmp_path: Path, named: Path, key_source: str = "auto") -> KeySourceUnavailable:
    """What is said about a key file, whether somebody looks or signs in."""
    wrong = [pytest.raises(KeySourceUnavailable) for _ in range(2)]
    for one, create in zip(wrong, (False, True), strict=True):
        with one:
            keys(tmp_path, **{KEY_FILE_VARIABLE: str(named)}).find(key_source, interactive=create, create=create)
    first, second = (one.excinfo.value for one in wrong if one.excinfo is not None)
    assert (first.args, first.code, first.hint) == (second.args, second.code, second.hint)
    assert str(named) in str(first)
    return first


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key_source", ["auto", "file"])
def test_a_key_file_is_the_key(path: Path, tmp_path: Path, form: str, key_source: str) -> None:
    """As it is, or in Base64 or hex; nothing else is asked, and nothing is written."""
    path.write_bytes(FORMS[form])
    found = keys(tmp_path, **{KEY_FILE_VARIABLE: str(path)}).find(key_source)
    expected = FORMS[form] if form.startswith("raw") else SECRET
    assert found == Key(expected, "file", f"file {path}")
    assert os.listdir(tmp_path) == ["key"]


def test_a_key_file_prints_no_key(path: Path, tmp_path: Path) -> None:
    """Neither the key nor the errors about a wrong one hold what is in the file."""
    path.write_bytes(base64.b64encode(SECRET))
    shown = repr(keys(tmp_path, **{KEY_FILE_VARIABLE: str(path)}).find())
    assert "file" in shown
    path.write_bytes(base64.b64encode(SECRET) + b"=")
    error = refused(tmp_path, path)
    shown += f"{error!r} {error} {error.hint} {error.__context__!r}"
    for form in (SECRET.hex(), base64.b64encode(SECRET).decode(), repr(SECRET)[2:20]):
        assert form not in shown


def test_a_credential_of_systemd_is_a_key_file(tmp_path: Path) -> None:
    """``LoadCredential=jupyter_nativeauth.key:...``; a file that is named comes first. Other credentials are none."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    environ = {"CREDENTIALS_DIRECTORY": str(folder)}
    assert Keys(tmp_path, environ=environ).find("memory") is None
    (folder / "another").write_bytes(SECRET)
    with pytest.raises(KeySourceUnavailable, match="No key file is named"):
        keys(tmp_path, **environ).find("file")
    (folder / CREDENTIAL).write_bytes(SECRET)
    (folder / CREDENTIAL).chmod(0o400)
    found = keys(tmp_path, **environ).find()
    assert found == Key(SECRET, "file", f"file {folder / CREDENTIAL}")
    with pytest.raises(KeySourceUnavailable, match="is not there"):
        keys(tmp_path, **environ, **{KEY_FILE_VARIABLE: str(tmp_path / "gone")}).find()


def test_links_are_followed(path: Path, tmp_path: Path) -> None:
    """That is how containers mount secrets."""
    link = tmp_path / "link"
    link.symlink_to(path)
    found = keys(tmp_path, **{KEY_FILE_VARIABLE: str(link)}).find()
    assert found is not None
    assert found.value == SECRET


WRONG: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "not there": (Path.unlink, "key_file_missing", "is not there"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "key_file_malformed", "is not a file"),
    "a pipe": (lambda path: (path.unlink(), os.mkfifo(path, 0o600)), "key_file_malformed", "is not a file"),
    "empty": (lambda path: path.write_bytes(b""), "key_file_malformed", "does not hold a key"),
    "short": (lambda path: path.write_bytes(SECRET[:16]), "key_file_malformed", "does not hold a key"),
    "a password": (lambda path: path.write_bytes(b"correct horse battery staple"), "key_file_malformed", "not hold"),
    "large": (lambda path: path.write_bytes(SECRET * 200), "key_file_malformed", "is too large"),
    "zeros": (lambda path: path.write_bytes(bytes(32)), "key_file_malformed", "is not random"),
    "read by others": (lambda path: path.chmod(0o644), "key_file_open", "(its mode is 644)"),
    "read by its group": (lambda path: path.chmod(0o640), "key_file_open", "(its mode is 640)"),
    "written by others": (lambda path: path.chmod(0o602), "key_file_open", "(its mode is 602)"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_key_file_is_an_error_and_never_another_key(path: Path, tmp_path: Path, what: str) -> None:
    """The error names the file and what to do; there is no step down to a keychain or to memory."""
    spoil, code, words = WRONG[what]
    spoil(path)
    error = refused(tmp_path, path)
    assert error.code == code
    assert words in str(error)
    assert error.hint


@pytest.mark.root
def test_whose_key_file_it_may_be(path: Path, tmp_path: Path) -> None:
    """Another user's is refused. One that root mounts may be read by a group, as secrets of containers are."""
    os.chown(path, 65534, 65534)
    assert refused(tmp_path, path).code == "key_file_open"
    path.chmod(0o440)
    os.chown(path, 0, 65534)
    tmp_path.chmod(0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o001)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            found = Keys(tmp_path / "none", environ={KEY_FILE_VARIABLE: str(path)}).find("file")
            status = 0 if found is not None and found.value == SECRET else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_no_file_is_named(tmp_path: Path) -> None:
    """Where a profile wants one and the environment names none: how to make and name one."""
    with pytest.raises(KeySourceUnavailable) as raised:
        keys(tmp_path).find("file", create=True)
    assert raised.value.code == "key_file_missing"
    assert KEY_FILE_VARIABLE in raised.value.hint
    assert "umask 077" in raised.value.hint
