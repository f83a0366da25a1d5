"""Runs in: the tests. Somebody who listens on the bus: which calls reached the Secret Service, in order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call
from jeepney.bus_messages import Monitoring
from jeepney.io.blocking import DBusConnection, Proxy

from tests.keyring_daemon import KeyringSession

QUIET = {"Hello", "NameHasOwner", "ListActivatableNames", "AddMatch", "GetConnectionUnixProcessID"} | {
    "ReadAlias",
    "Get",
    "SearchItems",
    "OpenSession",
    "GetSecret",
}
"""The calls that neither ask a person, nor start, unlock or create anything."""

_END = "ThatIsAll"


class Witness:
    """Every method call on the bus since it began to listen."""

    def __init__(self, session: KeyringSession, monitor: DBusConnection) -> None:
        self._session = session
        self._monitor = monitor

    def calls(self) -> list[str]:
        """The names of the methods that were called until now."""
        with self._session.connect() as bus:
            # A call of our own marks the end: the monitor sees everything in the bus's order.
            bus.send(new_method_call(DBusAddress("/", bus.unique_name), _END))
            called = []
            while True:
                message = self._monitor.receive(timeout=10)
                if message.header.message_type is MessageType.method_call:
                    name = message.header.fields[HeaderFields.member]
                    if name == _END:
                        return called[:-1]  # without the Hello of that connection
                    called.append(name)


@contextlib.contextmanager
def watching(session: KeyringSession) -> Iterator[Witness]:
    """Listen to what is said on this session's bus."""
    with session.connect() as monitor:
        Proxy(Monitoring(), monitor).BecomeMonitor([])
        yield Witness(session, monitor)
