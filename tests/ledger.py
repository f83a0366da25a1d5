"""
Runs in: the tests. The ledger: what each test's process said in errors of ours, and how each login of it went.

Always on. It only looks: what it wraps does what it does. At the end of a test it fails it

* for an error of ours that is not fit to show (INV-03), whether anybody saw it or not;
* for a refresh token that went away otherwise than by a sign-out, by a new login or a renewed one that has a refresh
  token, or because the provider answered ``invalid_grant`` to this very one (INV-05);
* for a lock that is still held, or a sign-in that somebody still waits for, which :mod:`tests.isolation` asks (INV-08).
"""

from __future__ import annotations

import functools
import gc
import json
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jupyter_nativeauth import NativeAuthError
from jupyter_nativeauth._host import Host
from jupyter_nativeauth._http import ProviderClient
from jupyter_nativeauth._lock import _held
from jupyter_nativeauth._pending import fingerprint
from jupyter_nativeauth.vault import FileVault, MemoryVault, VaultDamaged, VaultTooNew
from tests import samples

_vaults: dict[str | int, FileVault | MemoryVault] = {}  # that this test has written to
_hosts: weakref.WeakSet[Host] = weakref.WeakSet()
_ended: set[str] = set()  # fingerprints of refresh tokens that a provider has called invalid
_breaches: list[str] = []


def under_way() -> set[str]:
    """The locks of files that are held, and the sign-ins that are not over, in this process."""
    found = {f"lock {descriptor}" for descriptor in list(_held)}
    if any(not host.pending.is_idle for host in _hosts):
        gc.collect()  # a server that has stopped may be waiting for it
        found |= {f"sign-in {one.id}" for host in list(_hosts) for one in list(host.pending._open.values())}
    return found


def kept() -> dict[str | int, object]:
    """What is in each vault that this test has written to: of a file its bytes."""
    return {
        name: Path(one.path).read_bytes() if isinstance(one, FileVault) else one.read()
        for name, one in list(_vaults.items())
        if isinstance(one, MemoryVault) or Path(one.path).exists()
    }


@pytest.fixture(autouse=True)
def ledger() -> Iterator[list[str]]:
    """What is wrong so far. A test that provokes a breach empties it."""
    for seen in (_ended, _vaults, _breaches):
        seen.clear()
    yield _breaches
    assert not _breaches, "\n".join(_breaches)


def _watch(owner: Any, name: str, look: Callable[..., None], *, before: bool = False) -> None:
    """Let *look* see each call of *owner*'s method: the arguments, and what came back if it is asked afterwards."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if before:
            look(*args, **kwargs)
            return method(*args, **kwargs)
        result = method(*args, **kwargs)
        look(result, *args, **kwargs)
        return result

    setattr(owner, name, watched)


def _error(_: None, error: NativeAuthError, *args: Any, **kwargs: Any) -> None:
    try:
        samples.assert_fit_to_show(error)
    except AssertionError:
        _breaches.append(f"INV-03: not fit to show: {type(error).__name__} {error.code!r} {str(error)[:200]!r}")


def watch_answers(desk: type, method: str = "post") -> None:
    """Note which refresh tokens *desk*'s answers call invalid."""
    _watch(desk, method, _answer)


def _answer(answer: Any, desk: Any, post: Any, **kwargs: Any) -> None:
    """A provider's answer, read without any code of ours."""
    token = dict(post.form).get("refresh_token")
    try:
        said = json.loads(bytes(answer.body)).get("error")
    except (ValueError, AttributeError, RecursionError):
        return
    if token and said == "invalid_grant" and 400 <= answer.status < 500:
        _ended.add(fingerprint(token))


def _write(vault: Any, record: dict[str, Any], *, login_id: str, signed_in: bool) -> None:
    _vaults[getattr(vault, "path", id(vault))] = vault
    try:
        old = vault.read()
    except (VaultDamaged, VaultTooNew):
        return
    token = old.record.get("refresh_token") if old is not None and old.header.signed_in else None
    if not token:
        return
    if signed_in:
        fine = bool(record.get("refresh_token")) or login_id != old.header.login_id
    else:
        reason = record.get("reason")
        fine = reason == "signed_out" or (reason == "expired" and fingerprint(token) in _ended)
    if not fine:
        _breaches.append(f"INV-05: a refresh token is gone: signed_in={signed_in}, reason={record.get('reason')!r}")


def _forget(vault: MemoryVault, *, generation: int | None = None) -> None:
    contents = vault.read()
    if contents is not None and contents.header.generation == generation and contents.header.signed_in:
        try:
            contents.login()
        except VaultDamaged:
            return
        _breaches.append("INV-05: a whole login in memory is set aside")


def pytest_configure() -> None:
    """Once per process."""
    _watch(NativeAuthError, "__init__", _error)
    _watch(Host, "__init__", lambda _, host, **kwargs: _hosts.add(host))
    watch_answers(ProviderClient)
    watch_answers(samples.Desk)
    for vault in (FileVault, MemoryVault):
        _watch(vault, "write", _write, before=True)
    _watch(MemoryVault, "set_aside", _forget, before=True)
