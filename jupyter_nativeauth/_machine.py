"""
Runs in: the command line. The doctor's local half: this computer, whatever the profile. It changes and creates nothing.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_core.paths import jupyter_config_path, jupyter_path
from packaging.requirements import Requirement

from . import __version__
from ._finding import Finding
from ._way import Evidence, place
from .errors import VaultTooNew
from .vault import header_of

__all__ = ["FileSystem", "file_system", "machine", "way"]

_NAME = "jupyter-nativeauth"
_SHOWN = (
    "jupyter-server",
    "jupyterlab",
    "notebook",
    "ipywidgets",
    "httpx",
    "authlib",
    "joserfc",
    "keyring",
    "cryptography",
)
_OLD = 7 * 86_400  # seconds
_REMOTE = frozenset(
    ["9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "smb3", "smbfs"]
)
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.ntfs-3g"})


class FileSystem(NamedTuple):
    """Where a folder lies. *remote*: other computers may use it too, or its locks may be a program's own idea."""

    kind: str
    mount: str

    @property
    def remote(self) -> bool:
        return self.kind in _REMOTE or (self.kind.startswith("fuse.") and self.kind not in _LOCAL_FUSE)


def machine(folder: Path) -> Iterator[Finding]:
    """What there is to say of this computer; *folder* is where the logins are."""
    yield from _versions()
    yield from _of_the_server(os.environ)
    yield from _extensions()
    yield from _folder_of(folder)
    yield from _locks(folder)
    yield from _leftovers(folder)


def way(flow: str, environ: Mapping[str, str] = os.environ) -> Finding:
    """Which way a sign-in takes that begins here, in a terminal, and why."""
    if flow == "device":
        return Finding("ok", 'A sign-in shows a code for any browser: the profile says flow = "device".')
    if flow == "paste":
        return Finding("ok", 'A sign-in shows an address, and takes one back: the profile says flow = "paste".')
    here = place(Evidence(environ))
    if here.browser:
        return Finding("ok", f"A sign-in from here opens your browser, and hears the answer on 127.0.0.1: {here.why}.")
    if flow == "browser":
        return Finding(
            "warning",
            f'No browser opens here ({here.why}), and the profile says flow = "browser".',
            "A sign-in shows an address; open it on this machine, or sign in from a notebook.",
        )
    return Finding(
        "note",
        f"No browser opens here ({here.why}): a sign-in shows a code for any browser, where the service has that, and "
        "else an address to open in any browser; the address that it ends on is then pasted back.",
        "From a notebook it goes through the Jupyter server, wherever your browser is.",
    )


def file_system(folder: Path, mounts: str) -> FileSystem | None:
    """
    Where *folder* lies, by the text of /proc/self/mounts (proc_pid_mounts(5)); ``None`` if it does not say.

    Example:
        >>> file_system(Path("/home/ada/x"), "disk / ext4 rw 0 0\\nnas:/home /home nfs4 rw 0 0\\n")
        FileSystem(kind='nfs4', mount='/home')
    """
    best = None
    for line in mounts.splitlines():
        parts = line.split(" ")
        if len(parts) < 3:
            continue
        # Blanks and such are written as octal numbers: getmntent(3).
        mount = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), parts[1])
        inside = folder == Path(mount) or Path(mount) in folder.parents
        if inside and (best is None or len(mount) >= len(best.mount)):  # what is mounted later hides what was there
            best = FileSystem(parts[2], mount)
    return best


def _versions() -> Iterator[Finding]:
    try:
        needs = importlib.metadata.requires(_NAME) or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("warning", f"{_NAME} is not installed, only found.", f"Install it: pip install {_NAME}")
        needs = []
    shown = [f"{name} {version}" for name in (_NAME, *_SHOWN) if (version := _version(name))]
    yield Finding("ok", f"Python {platform.python_version()}, {', '.join(shown)}.")
    yield from outdated(needs)


def outdated(needs: list[str]) -> Iterator[Finding]:
    """Requirements that the installed packages do not meet."""
    for need in map(Requirement, needs):
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        version = _version(need.name)
        if not version or not need.specifier.contains(version, prereleases=True):
            yield Finding(
                "error",
                f"{need.name} {version or 'is missing'}: {need.name}{need.specifier} is needed.",
                f'Install it: pip install -U "{need.name}{need.specifier}"',
            )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _of_the_server(environ: Mapping[str, str]) -> Iterator[Finding]:
    """A kernel can have an environment of its own, with another version of us than the Jupyter server has."""
    theirs = environ.get("JUPYTER_NATIVEAUTH_VERSION")
    if theirs and theirs != __version__:
        yield Finding(
            "warning",
            f"The Jupyter server has jupyter-nativeauth {theirs}, and here it is {__version__}.",
            "Install the same version in both environments, and restart the server and its kernels.",
        )


def _extensions() -> Iterator[Finding]:
    from jupyter_server.extension.config import ExtensionConfigManager

    manager: Any = ExtensionConfigManager(read_config_path=jupyter_config_path())
    enabled = manager.get_jpserver_extensions()
    if enabled.get("jupyter_nativeauth") is not True:
        yield Finding(
            "warning",
            "The Jupyter server does not load jupyter_nativeauth, so notebooks cannot sign in through it.",
            "Switch it on: jupyter server extension enable jupyter_nativeauth",
        )
    places = [Path(folder, _NAME, "package.json") for folder in jupyter_path("labextensions")]
    package = next((_json(path) for path in places if path.exists()), None)
    ours = _version(_NAME)
    if package is None:
        yield Finding("note", "The sidebar is not installed here; sign in with %login.", f"pip install {_NAME}")
    elif ours and package.get("version") != ours:
        yield Finding(
            "warning",
            f"The sidebar is of version {package.get('version')}, the package of version {ours}.",
            f"Install them anew: pip install --force-reinstall {_NAME}",
        )
    elif _is_off():
        yield Finding("warning", "The sidebar is switched off.", f"Switch it on: jupyter labextension enable {_NAME}")
    elif enabled.get("jupyter_nativeauth") is True:
        yield Finding("ok", "The Jupyter server's part and the sidebar are installed and switched on.")


def _is_off() -> bool:
    for folder in jupyter_config_path():  # the nearer one comes first
        off = _json(Path(folder, "labconfig", "page_config.json")).get("disabledExtensions")
        if isinstance(off, list) and _NAME in off:
            return True
        if isinstance(off, dict) and _NAME in off:
            return bool(off[_NAME])
    return False


def _json(path: Path) -> dict[str, object]:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _folder_of(folder: Path) -> Iterator[Finding]:
    try:
        facts = folder.lstat()
    except FileNotFoundError:
        yield Finding("ok", f"The first sign-in will make {folder}, for you alone.")
        return
    except OSError as error:
        yield Finding("error", f"Cannot use the folder {folder}: {error.strerror}.")
        return
    if not stat.S_ISDIR(facts.st_mode):
        yield Finding("error", f"{folder} is not a folder.", "Move it away.")
    elif sys.platform != "win32" and facts.st_uid != os.getuid():
        yield Finding("error", f"{folder} belongs to another user.", "Move it away.")
    elif sys.platform != "win32" and facts.st_mode & 0o022:
        yield Finding("error", f"Others can write to {folder}.", "Look into it, then chmod it to 700.")
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("error", f"You cannot write to {folder}.", "Chmod it to 700.")
    elif sys.platform != "win32" and facts.st_mode & 0o077:
        yield Finding("note", f"Others can look into {folder}.", "The next sign-in will change that.")
    else:
        yield Finding("ok", f"The logins are in {folder}, for you alone.")


def _locks(folder: Path) -> Iterator[Finding]:
    try:
        where = file_system(folder.resolve(), Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return  # no Linux: nothing to read that would say
    if where is None:
        return
    if where.remote:
        yield Finding(
            "warning",
            f"The logins are on a file system ({where.kind} at {where.mount}) whose locks may not hold: two processes "
            "could renew a login at once and lose it.",
            "Set JUPYTER_DATA_DIR to a folder on a local disk, for Jupyter and for scripts alike.",
        )
    else:
        yield Finding("ok", f"They are on a local file system ({where.kind}), whose locks hold.")


def _leftovers(folder: Path) -> Iterator[Finding]:
    """
    Logins that were sealed by a server's memory long ago.

    Which servers still run, on whatever computer shares the folder, cannot be known for sure: so nothing is deleted.
    """
    left = []
    for path in folder.glob("*.vault"):
        try:
            header = header_of(path)
            old = time.time() - path.stat().st_mtime > _OLD
        except (OSError, VaultTooNew):
            continue
        if old and header is not None and header.key_source == "server":
            left.append(path.name)
    if left:
        count = f"{len(left)} login{'s' if len(left) > 1 else ''}"
        yield Finding(
            "note",
            f"{count} of a Jupyter server's memory lie untouched for a week: {', '.join(sorted(left)[:5])}"
            f"{', ...' if len(left) > 5 else ''}.",
            "Once that server has stopped nobody can open them. If no Jupyter server of yours runs, you can delete "
            f"them in {folder}.",
        )
