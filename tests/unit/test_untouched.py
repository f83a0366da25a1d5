"""The watchers of the invariants see a breach: whoever relies on them must know that they can fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from jupyter_nativeauth import LoginFailed, NativeAuthError
from tests.hostile import Hostile
from tests.samples import assert_fit_to_show
from tests.untouched import untouched


def ask(hostile: Hostile, path: str = "jwks", times: int = 1) -> None:
    for _ in range(times):
        httpx.get(f"{hostile.issuer}/{path}", trust_env=False)


@pytest.mark.parametrize(
    ("breach", "words"),
    [
        (lambda hostile, folder: ask(hostile, "other"), "INV-02: asked for"),
        (lambda hostile, folder: ask(hostile, times=5), "INV-04: 5 requests"),
        (lambda hostile, folder: (folder / "acme.vault").unlink(), "INV-05: gone"),
        (lambda hostile, folder: (folder / "acme.vault").write_bytes(b"seale"), "INV-02: what is stored"),
        (lambda hostile, folder: (folder / "acme.vault.1.tmp").touch(), "INV-02: what is stored"),
    ],
    ids=["another request", "too many requests", "a login that is gone", "a byte less", "another file"],
)
def test_a_change_or_a_request_is_seen(
    hostile: Hostile, tmp_path: Path, breach: Callable[[Hostile, Path], object], words: str
) -> None:
    """INV-02, INV-04, INV-05: a byte, a file, or one request more than was allowed."""
    (tmp_path / "acme.vault").write_bytes(b"sealed")
    with pytest.raises(AssertionError, match=words), untouched(hostile, tmp_path, "jwks"):
        breach(hostile, tmp_path)
    with untouched(hostile, tmp_path, "jwks"):
        ask(hostile)
        (tmp_path / "acme.lock").touch()


@pytest.mark.parametrize(
    "error",
    [
        NativeAuthError("two\nlines"),
        NativeAuthError("a letter: \N{LATIN SMALL LETTER E WITH ACUTE}"),
        LoginFailed("an escape: \x1b[31m"),
        LoginFailed("a secret", hint="NATK-code-abc"),
        LoginFailed("x" * 2000),
    ],
    ids=["two lines", "not ASCII", "control", "a secret", "a page"],
)
def test_an_error_that_is_not_fit_to_show_is_seen(error: NativeAuthError) -> None:
    """INV-03: each thing that an error must not be."""
    with pytest.raises(AssertionError):
        assert_fit_to_show(error)
    assert_fit_to_show(LoginFailed("A sentence.", hint="What to do."))


def test_a_code_that_is_sent_twice_is_seen(hostile: Hostile) -> None:
    """INV-02, INV-07: a code serves once, whatever was answered (RFC 6749, section 4.1.2)."""
    form = {"grant_type": "authorization_code", "code": "NATK-code-once", "client_id": "cli"}
    more = {"redirect_uri": "http://127.0.0.1/", "code_verifier": "NATK-verifier-x"}
    for _ in range(2):
        httpx.post(f"{hostile.issuer}/token", data=form | more, headers={"Accept": "application/json"}, trust_env=False)
    assert hostile.violations == ["token: a code comes again"]
    hostile.violations.clear()
