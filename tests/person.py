"""Runs in: the tests. A person with a profile at a provider of the tests, whose key is in a server's memory."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

import pytest

from jupyter_nativeauth import LoginFailed, get_session
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._accounts import Accounts, use_accounts
from jupyter_nativeauth._attempt import ListenerAttempt
from jupyter_nativeauth._host import Host
from jupyter_nativeauth._listener import Listener
from jupyter_nativeauth._logout import LogoutReport, sign_out
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._tokens import Identity
from jupyter_nativeauth.agent import KeyAgent
from tests.html_page import Page
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.oidc_provider import OidcProvider


class Service(Protocol):
    """A provider of the tests: it knows the keys of a profile that signs in there, and a person who does."""

    def profile(self, **extra: Any) -> dict[str, Any]: ...
    def browser(self, **options: Any) -> HttpBrowser: ...


class Person:
    """
    Somebody who has written a nativeauth.toml, and works in one process that lends its key to child processes.

    Attributes:
        service: The provider of the profile ``acme``.
        accounts: This process's accounts.
    """

    def __init__(self, home: Home, service: Service, **keys: Any) -> None:
        self.home = home
        self.service = service
        self.write(acme=service.profile(**keys))
        self.accounts = Accounts(server=True)

    @classmethod
    def of(cls, accounts: Accounts, somebody: Person) -> Person:
        """The same person in another process, as far as this package can tell."""
        other = cls.__new__(cls)
        other.home, other.service, other.accounts = somebody.home, somebody.service, accounts
        return other

    def write(self, **profiles: dict[str, Any]) -> None:
        """Write nativeauth.toml anew. A key that is None is left out."""
        lines = []
        for name, keys in profiles.items():
            lines.append(f"[profiles.{name}]")
            lines += [f"{key} = {_toml(value)}" for key, value in keys.items() if value is not None]
        (self.home.config / "nativeauth.toml").write_text("\n".join(lines) + "\n")

    @property
    def account(self) -> Account:
        return self.accounts.get("acme")

    def begin(self, browser: HttpBrowser | None = None, ask: Ask | None = None, timeout: float = 60) -> ListenerAttempt:
        """Begin a sign-in; *browser* goes through it by itself (none: nobody opens the link)."""

        def browse(url: str) -> None:
            if browser is not None:
                threading.Thread(target=browser.open, args=(url,), name="a person's browser", daemon=True).start()

        return ListenerAttempt(self.account, ask or Ask(), timeout, browse)

    def sign_in(self, browser: HttpBrowser | None = None, ask: Ask | None = None) -> Identity:
        """Sign in at the provider through the loopback listener, as ``login()`` in a script does."""
        return outcome(self.begin(browser or self.service.browser(), ask))

    def expire(self) -> None:
        """The access token's time is over, as the vault tells it: everybody who reads it has to renew."""
        login = self.account.login()
        self.account.store.replace(login, replace(login, expires_at=time.time() - 1))

    def sign_out(self, browser: HttpBrowser | None = None) -> tuple[LogoutReport, Page | None]:
        """Sign out, and let the browser end the session at the provider; the page that it ends on, if it has to."""
        report = sign_out(self.account)
        host = Host()
        with Listener.of(host, self.account.profile) as listener:
            link = host.leave_address(self.account, listener.redirect_uri)
            return report, (browser or self.service.browser()).open(link) if link else None


def me(person: Person) -> dict[str, Any]:
    """What the service's API says of who is signed in, over a session of the profile."""
    with get_session(person.account.profile.name) as api:
        answer = api.get("/api/me")
        answer.raise_for_status()
        return dict(answer.json())


def failure(person: Person) -> LoginFailed:
    """Why nobody was signed in."""
    with pytest.raises(LoginFailed) as caught:
        outcome(person.begin(person.service.browser()))
    assert person.account.login_id() == ""
    return caught.value


def given_up(attempt: ListenerAttempt, page_seen: Callable[[], object]) -> LoginFailed:
    """How *attempt* ends when its time is over, as soon as *page_seen* returns: nobody has to wait for that."""
    page_seen()
    attempt.until = time.monotonic()
    with pytest.raises(LoginFailed) as caught:
        outcome(attempt)
    return caught.value


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


def outcome(attempt: ListenerAttempt) -> Identity:
    """Wait for the end of *attempt*: who signed in, or why nobody did."""
    pause = threading.Event()
    try:
        while (identity := attempt.poll()) is None:
            pause.wait(0.02)
        return identity
    finally:
        for thread in threading.enumerate():
            # The browser too: it may not have read its last page yet.
            if thread.name in ("nativeauth-login", "nativeauth-listener", "a person's browser"):
                thread.join(10)


@contextmanager
def working(home: Home, service: Service, **keys: Any) -> Iterator[Person]:
    """
    A person at *service* who is not signed in yet, with these further *keys* in the profile ``acme``; child processes
    find the key through the agent, as kernels do.
    """
    somebody = Person(home, service, **keys)
    use_accounts(somebody.accounts)
    agent = KeyAgent(somebody.accounts.keys.answer, dict)
    os.environ["JUPYTER_NATIVEAUTH_AGENT"] = agent.start()
    try:
        yield somebody
    finally:
        os.environ.pop("JUPYTER_NATIVEAUTH_AGENT", None)
        agent.stop()
        use_accounts(None)


@pytest.fixture
def person(home: Home, oidc: OidcProvider) -> Iterator[Person]:
    """A person at the certified provider who is not signed in yet; see :func:`working`."""
    with working(home, oidc) as somebody:
        yield somebody
