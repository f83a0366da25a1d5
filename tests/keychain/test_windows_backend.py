"""
Runs in: the tests. keyring's own Windows backend, unmodified, over a stand-in for the Credential Manager.

It shows that we use that backend rightly, not that Windows does what the stand-in does: the limit of 2,560 bytes of
UTF-16 and the error codes are those of its documentation.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """
import json, sys, types
from pathlib import Path

class error(Exception):
    def __init__(self, winerror, funcname, strerror):
        super().__init__(winerror, funcname, strerror)
        self.winerror, self.funcname = winerror, funcname

store, persisted, logon = {}, set(), True

def read(TargetName, Type, Flags=0):
    if not logon:
        raise error(1312, "CredRead", "A specified logon session does not exist")
    if TargetName not in store:
        raise error(1168, "CredRead", "Element not found")
    return dict(store[TargetName])

def write(credential, flags=0):
    blob = credential["CredentialBlob"].encode("utf-16-le")
    if len(blob) > 2560:
        raise error(1783, "CredWrite", "The stub received bad data")
    store[credential["TargetName"]] = {**credential, "CredentialBlob": blob}
    persisted.add(credential["Persist"])

def delete(Type, TargetName, Flags=0):
    del store[TargetName]

names = ["win32ctypes", "win32ctypes.pywin32", "win32ctypes.pywin32.pywintypes", "win32ctypes.pywin32.win32cred"]
for name in names:
    sys.modules[name] = types.ModuleType(name)
sys.modules[names[1]].pywintypes, sys.modules[names[1]].win32cred = sys.modules[names[2]], sys.modules[names[3]]
sys.modules[names[2]].error = error
vars(sys.modules[names[3]]).update(
    CRED_TYPE_GENERIC=1, CRED_PERSIST_SESSION=1, CRED_PERSIST_LOCAL_MACHINE=2, CRED_PERSIST_ENTERPRISE=3,
    CredRead=read, CredWrite=write, CredDelete=delete,
)

from jupyter_nativeauth import _backends
from jupyter_nativeauth._keychain import Keychain
from jupyter_nativeauth.errors import NativeAuthError
from jupyter_nativeauth.keys import Keys

folder = Path(sys.argv[1])

def keys():
    return Keys(folder, environ={}, keychain=Keychain(folder, {}, opener=lambda environ, **how: _backends._windows()))

"""


def run(folder: Path, code: str) -> str:
    """What this code prints in a process that believes to have a Credential Manager."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, str(folder)],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_key_is_kept_on_this_machine_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLT-045, SEC-083: the item fits, does not roam, and no KEYRING_PROPERTY_* variable changes that."""
    monkeypatch.setenv("KEYRING_PROPERTY_PERSIST", "enterprise")
    code = """
made = keys().find(create=True)
found = keys().find()
sizes = [len(one["CredentialBlob"]) for one in store.values()]
print(made == found, made.label, sizes, persisted, {one["UserName"] for one in store.values()})
"""
    told = run(tmp_path / "nativeauth", code)
    assert told == "True Windows Credential Manager [112] {2} {'vault-key'}"


def test_logon_without_credential_manager_counts_as_missing(tmp_path: Path) -> None:
    """FLT-049: over SSH Windows has no Credential Manager (error 1312): memory with the reason, or a typed error."""
    code = """
logon = False
some = keys()
print(some.find(create=True).source, some.reason)
try:
    keys().find("keychain", create=True)
except NativeAuthError as problem:
    print(problem.code)
"""
    source, code = run(tmp_path / "nativeauth", code).split("\n")
    assert source == "process Windows has no Credential Manager for this kind of logon (1312)."
    assert code == "keychain_missing"
