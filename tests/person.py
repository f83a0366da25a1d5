"""Runs in: the tests. A person with a profile at the certified provider, whose key is in a server's memory."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jupyter_nativeauth._account import Account
from jupyter_nativeauth._accounts import Accounts, use_accounts
from jupyter_nativeauth._attempt import ListenerAttempt
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._tokens import Identity
from jupyter_nativeauth.agent import KeyAgent
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.oidc_provider import OidcProvider


class Person:
    """
    Somebody who has written a nativeauth.toml, and works in one process that lends its key to child processes.

    Attributes:
        oidc: The provider of the profile ``acme``.
        accounts: This process's accounts.
    """

    def __init__(self, home: Home, oidc: OidcProvider) -> None:
        self.home = home
        self.oidc = oidc
        self.write(acme=oidc.profile())
        self.accounts = Accounts(server=True)

    @classmethod
    def of(cls, accounts: Accounts, somebody: Person) -> Person:
        """The same person in another process, as far as this package can tell."""
        other = cls.__new__(cls)
        other.home, other.oidc, other.accounts = somebody.home, somebody.oidc, accounts
        return other

    def write(self, **profiles: dict[str, Any]) -> None:
        """Write nativeauth.toml anew."""
        lines = []
        for name, keys in profiles.items():
            lines.append(f"[profiles.{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        (self.home.config / "nativeauth.toml").write_text("\n".join(lines) + "\n")

    @property
    def account(self) -> Account:
        return self.accounts.get("acme")

    def begin(self, browser: HttpBrowser | None = None, ask: Ask | None = None, timeout: float = 60) -> ListenerAttempt:
        """Begin a sign-in; *browser* goes through it by itself (none: nobody opens the link)."""

        def browse(url: str) -> None:
            if browser is not None:
                threading.Thread(target=browser.open, args=(url,), daemon=True).start()

        return ListenerAttempt(self.account, ask or Ask(), timeout, browse)

    def sign_in(self, browser: HttpBrowser | None = None, ask: Ask | None = None) -> Identity:
        """Sign in at the provider through the loopback listener, as ``login()`` in a script does."""
        return outcome(self.begin(browser or self.oidc.browser(), ask))


def outcome(attempt: ListenerAttempt) -> Identity:
    """Wait for the end of *attempt*: who signed in, or why nobody did."""
    pause = threading.Event()
    try:
        while (identity := attempt.poll()) is None:
            pause.wait(0.02)
        return identity
    finally:
        for thread in threading.enumerate():
            if thread.name in ("nativeauth-login", "nativeauth-listener"):
                thread.join(10)


@pytest.fixture
def person(home: Home, oidc: OidcProvider) -> Iterator[Person]:
    """A person who is not signed in yet; child processes find the key through the agent, as kernels do."""
    somebody = Person(home, oidc)
    use_accounts(somebody.accounts)
    agent = KeyAgent(somebody.accounts.keys.answer, dict)
    os.environ["JUPYTER_NATIVEAUTH_AGENT"] = agent.start()
    try:
        yield somebody
    finally:
        os.environ.pop("JUPYTER_NATIVEAUTH_AGENT", None)
        agent.stop()
        use_accounts(None)
