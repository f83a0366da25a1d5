"""Ctrl-C at what comes before a sign-in: the question for the key, and another program's turn. Nothing is left."""

from __future__ import annotations

import os
import signal

import pytest
from jeepney import HeaderFields
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy

from tests.flow.test_script import LOGIN, link_from, running, until_it_waits
from tests.isolation import Home
from tests.keyring_daemon import keyring_daemon
from tests.oidc_provider import OidcProvider
from tests.person import Person
from tests.terminal import Terminal

LIMIT = 20
"""Seconds. Each of these waits would last a minute or more if an interrupt did not end it."""


def test_whoever_waits_for_another_program_can_leave(person: Person, oidc: OidcProvider) -> None:
    """FLT-054: one script waits for the sign-in of another: Ctrl-C ends the one, and the other goes on."""
    env = {**os.environ, "BROWSER": "true"}
    with running(LOGIN, env) as first:
        link = link_from(first)
        with running(LOGIN, env) as second:
            until_it_waits(second)
            second.send_signal(signal.SIGINT)
            _, err = second.communicate(timeout=LIMIT)
        assert second.returncode in (-signal.SIGINT, 130)
        assert err.rstrip().endswith("KeyboardInterrupt")
        assert oidc.browser().open(link).url.endswith("/done/signed-in")
        assert first.communicate(timeout=60)[0] == "<Identity 'Ada Example' on 'acme'>\n"


@pytest.mark.parametrize("question", ["A new passphrase", "The same once more"])
def test_a_passphrase(home: Home, oidc: OidcProvider, question: str) -> None:
    """FLT-054: the terminal shows again what is typed, no passphrase was chosen, and nobody was sent to the service."""
    Person(home, oidc, key_source="passphrase")  # who has no Jupyter server
    with Terminal(LOGIN, {**os.environ, "BROWSER": "true"}) as terminal:
        terminal.wait_for("A new passphrase")
        if question != "A new passphrase":
            terminal.type("correct horse battery\n")
            terminal.wait_for(question)
        terminal.type("half-of-it\x03")
        assert terminal.end() == -signal.SIGINT
        assert terminal.shows_what_is_typed
        assert "half-of-it" not in terminal.text
    assert list(home.data.rglob("passphrase.json")) == []
    assert oidc.journal("authorization") == []


def test_a_keychain_that_asks_for_its_password(home: Home, oidc: OidcProvider) -> None:
    """FLT-054: a window of the keychain is open, and nobody answers it: Ctrl-C ends the wait, and the process."""
    Person(home, oidc, key_source="keychain")
    with keyring_daemon(state="locked", home=home.home) as keychain, keychain.connect() as window:
        Proxy(message_bus, window, timeout=LIMIT).RequestName("org.gnome.keyring.SystemPrompter")
        script = keychain.spawn("-c", LOGIN, BROWSER="true")
        while window.receive(timeout=LIMIT).header.fields.get(HeaderFields.member) != "BeginPrompting":
            pass
        script.send_signal(signal.SIGINT)
        out, err = script.communicate(timeout=LIMIT)
        assert script.returncode in (-signal.SIGINT, 130)
        assert (out, err.rstrip().endswith("KeyboardInterrupt")) == ("", True)
    assert oidc.journal("authorization") == []
