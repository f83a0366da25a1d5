"""
Runs in: your own tests. A signed-in person without a provider, a clock to turn, and what every store must keep to.
"""

from __future__ import annotations

import abc
import contextlib
import json
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._metadata import Provider
from ._tokens import Identity, Login, Secret

if TYPE_CHECKING:
    from ._account import Account
    from .keys import Key, Keys
    from .vault import Vault

__all__ = ["Clock", "KeySourceContract", "VaultContract", "signed_in"]

_API = "https://api.example"
_ISSUER = "https://id.example"


class Clock:
    """
    A clock that stands still until a test turns it. It has the two methods of :mod:`time` that this package reads.

    Example:
        >>> clock = Clock(1000.0)
        >>> clock.advance(60)
        >>> clock.time()
        1060.0
    """

    def __init__(self, now: float | None = None) -> None:
        self._wall = time.time() if now is None else now
        self._monotonic = 1000.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._wall

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass on both clocks."""
        self._wall += seconds
        self._monotonic += seconds

    def set_wall(self, now: float) -> None:
        """Set the wall clock alone, as a person or a time server would."""
        self._wall = now


@contextlib.contextmanager
def signed_in(
    profile: str = "demo",
    answers: Mapping[str, Any] | None = None,
    *,
    name: str = "Ada Lovelace",
    email: str = "ada@example.org",
    scopes: tuple[str, ...] = ("openid", "profile", "email"),
) -> Iterator[Account]:
    """
    Somebody is signed in, for the length of a ``with`` block: no provider, no network, no keychain, no file that stays.

    Inside, sessions, ``status()``, ``logout()`` and ``access_token()`` work as ever, and the API answers from a table.

    Args:
        profile: The profile's name; it is the default one, too.
        answers: What the API at ``https://api.example`` answers, by path; anything else is a 404. An API's check of
            the access token is played as well: without one the answer is a 401.
        name, email: Who is signed in.
        scopes: What was granted.

    Example:
        >>> from jupyter_nativeauth import get_session
        >>> with signed_in("demo", {"/me": {"name": "Ada"}}):
        ...     with get_session("demo") as api:
        ...         api.get("/me").json()
        {'name': 'Ada'}
    """
    import httpx

    from ._accounts import Accounts, use_accounts
    from .profiles import Profile, Profiles

    token = secrets.token_urlsafe(24)
    table = dict(answers or {})

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != f"Bearer {token}":
            return httpx.Response(401, headers={"www-authenticate": 'Bearer error="invalid_token"'})
        if request.url.path not in table:
            return httpx.Response(404)
        return httpx.Response(200, content=json.dumps(table[request.url.path]), headers=_JSON)

    made = Profile(profile, issuer=_ISSUER, client_id="testing", api=(_API,), key_source="memory", scopes=scopes)
    with tempfile.TemporaryDirectory() as folder:
        book = Accounts(
            folder=Path(folder),
            environ={},
            profiles=Profiles({profile: made}, default=profile),
            transport=httpx.MockTransport(answer),
        )
        before = use_accounts(book)
        try:
            account = book.get(profile)
            account.key(create=True)
            account.save(_login(token, Identity(profile, _ISSUER, "testing", name, email), scopes))
            yield account
        finally:
            use_accounts(before)


_JSON = {"content-type": "application/json"}


def _login(token: str, identity: Identity, scopes: tuple[str, ...]) -> Login:
    return Login(
        login_id=secrets.token_hex(16),
        identity=identity,
        provider=Provider(_ISSUER, f"{_ISSUER}/authorize", f"{_ISSUER}/token", f"{_ISSUER}/keys"),
        client_id="testing",
        audience="",
        organization="",
        scopes=scopes,
        access_token=Secret(token),
        expires_at=None,
        lifetime=None,
        refresh_token=None,
        id_token=None,
        signed_in_at=time.time(),
    )


class VaultContract(abc.ABC):
    """
    What every vault must keep to. Inherit from it in a test class, and say how one is made.

    Example:
        >>> class TestMemoryVault(VaultContract):
        ...     def make_vault(self, folder, key):
        ...         return MemoryVault("acme", key)
    """

    @abc.abstractmethod
    def make_vault(self, folder: Path, key: Key) -> Vault:
        """A new, empty vault that *key* seals."""

    def _vault(self, folder: Path) -> Vault:
        from .keys import Key

        return self.make_vault(folder, Key(secrets.token_bytes(32), "process", "testing"))

    def test_an_empty_vault_says_so(self, tmp_path: Path) -> None:
        """Nothing was written: no header, no contents, generation 0."""
        vault = self._vault(tmp_path)
        assert (vault.generation(), vault.header(), vault.read()) == (0, None, None)

    def test_what_was_written_is_read(self, tmp_path: Path) -> None:
        """The record and the header come back as they were."""
        vault, login_id = self._vault(tmp_path), "ab" * 16
        with vault.write_lock.hold(limit=1):
            header = vault.write({"a": ["é", 1, None]}, login_id=login_id, signed_in=True)
        contents = vault.read()
        assert contents is not None
        assert (contents.record, contents.header) == ({"a": ["é", 1, None]}, header)
        assert vault.header() == header
        assert (header.login_id, header.signed_in) == (login_id, True)

    def test_each_write_changes_the_generation(self, tmp_path: Path) -> None:
        """Readers compare generations to learn that something changed, so no two may be alike."""
        vault, seen = self._vault(tmp_path), set()
        with vault.write_lock.hold(limit=1):
            for number in range(20):
                vault.write({"number": number}, login_id="00" * 16, signed_in=number % 2 == 0)
                seen.add(vault.generation())
        assert len(seen) == 20

    def test_the_write_lock_keeps_others_out(self, tmp_path: Path) -> None:
        """A second holder waits, and leaves when it is told to."""
        vault = self._vault(tmp_path)
        with vault.write_lock.hold(limit=1), vault.write_lock.hold(limit=5, leave=lambda: True) as held:
            assert held is False


class KeySourceContract(abc.ABC):
    """
    What every chain of key sources must keep to. Inherit from it in a test class, and say how one is made.
    """

    key_source = "auto"

    @abc.abstractmethod
    def make_keys(self, folder: Path) -> Keys:
        """Keys that have found nothing yet."""

    def test_no_key_before_the_first_sign_in(self, tmp_path: Path) -> None:
        """Asking makes nothing."""
        assert self.make_keys(tmp_path).find(self.key_source) is None

    def test_a_sign_in_makes_a_key_that_is_found_again(self, tmp_path: Path) -> None:
        """The key is made once, and stays the same."""
        keys = self.make_keys(tmp_path)
        made = keys.find(self.key_source, create=True)
        assert made is not None
        assert keys.find(self.key_source) == made
        assert keys.find(self.key_source, create=True) == made

    def test_a_key_does_not_print(self, tmp_path: Path) -> None:
        """Neither bytes nor hex nor Base64 of it stand in its repr."""
        import base64

        key = self.make_keys(tmp_path).find(self.key_source, create=True)
        assert key is not None
        shown = f"{key} {key!r}"
        assert not any(
            form in shown for form in (repr(key.value), key.value.hex(), base64.b64encode(key.value).decode())
        )
