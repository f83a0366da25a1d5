"""
Runs in: everywhere on Linux. The presence gate's door there: polkit, which asks for a password or a fingerprint.

The desktop's own authentication agent shows the question; in a terminal that is ``pkttyagent``. What may be asked is
an *action*, which root has to install once: ``org.jupyter.nativeauth.policy``, beside this file. polkit's own actions
would ask for an administrator instead of this person, or let some people through. Nothing of the profile goes along:
polkit takes details from trusted programs only.

Sources:
    The polkit reference manual, org.freedesktop.PolicyKit1.Authority; the D-Bus specification.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from ._door import denied, unavailable, wait
from .errors import clean

__all__ = ["ACTION", "POLICY", "Polkit", "install_command"]

ACTION: Final = "org.jupyter.nativeauth.confirm"
POLICY: Final = Path(__file__).with_name("org.jupyter.nativeauth.policy")
_PLACE = "/usr/share/polkit-1/actions/"  # the one place that all versions of polkit read

_SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
_INTERACTIVE = 1  # AllowUserInteraction
_QUICK = 10.0  # seconds for answers that nobody has to think about


def install_command() -> str:
    """What root has to do once for each machine."""
    return f"sudo install -m 644 {POLICY} {_PLACE}"


class Polkit:
    """
    The question whether it is this person, as polkit asks it.

    Args:
        address: The D-Bus address of the system bus; else that of ``DBUS_SYSTEM_BUS_ADDRESS``, or the usual one.
    """

    label = "polkit"

    def __init__(self, address: str = "") -> None:
        self._address = address or os.environ.get("DBUS_SYSTEM_BUS_ADDRESS", "") or _SYSTEM_BUS

    def check(self) -> None:
        """Whether polkit knows the action, and would ask. Whether an agent could show it only shows when it is used."""
        with self._authority() as authority:
            authority.would_ask()

    def ask(self, *, limit: float, cancelled: Callable[[], bool]) -> None:
        """Ask; see :meth:`jupyter_nativeauth._door.Door.ask`."""
        with self._authority() as authority:
            authority.would_ask()
            authorized, challenge, details = authority.answer(limit, cancelled)
        if authorized:
            return
        if challenge:
            raise unavailable(
                "Nothing here can show you polkit's question: this session has no authentication agent.",
                "Run Jupyter in your desktop session, or leave `pkttyagent --process` with the process id of Jupyter "
                "running in a terminal of yours.",
            )
        raise denied("You closed the question whether it is you.") if "polkit.dismissed" in details else denied()

    @contextlib.contextmanager
    def _authority(self) -> Iterator[_Authority]:
        from jeepney.io.blocking import open_dbus_connection

        try:
            bus = open_dbus_connection(self._address)
        except Exception as error:  # noqa: BLE001 - jeepney says it in half a dozen ways
            raise unavailable(
                f"There is no D-Bus system bus here, so no polkit ({type(error).__name__}).",
                "On a desktop, install polkit (Debian: polkitd). A container usually has no such thing.",
            ) from None
        try:
            yield _Authority(bus)
        except (OSError, ValueError, KeyError, TypeError) as error:  # also when the bus ends, or says nonsense
            raise unavailable(
                f"polkit does not answer ({type(error).__name__}).", "Look whether it is running."
            ) from None
        finally:
            bus.close()


class _Authority:
    """polkit, on an open connection, whose name on the bus is the subject: the bus knows whose process it is."""

    def __init__(self, bus: Any) -> None:
        self._bus = bus

    def would_ask(self) -> None:
        """
        Raises:
            LoginFailed: polkit is not there, does not know the action, or would say yes without asking anybody.
        """
        authorized, _, _ = _read(self._bus.send_and_get_reply(self._check(0), timeout=_QUICK))
        if authorized:
            raise unavailable(
                "polkit says yes without asking anybody: this is root, or a rule of this machine allows it.",
                "Run Jupyter as yourself, or let the machine's administrator change the rule.",
            )

    def answer(self, limit: float, cancelled: Callable[[], bool]) -> tuple[bool, bool, dict[str, str]]:
        """Ask, and wait for what the person says. polkit takes the question back when the connection is closed."""
        from jeepney import HeaderFields

        serial = next(self._bus.outgoing_serial)
        replies: list[Any] = []

        def look(seconds: float) -> bool:
            with contextlib.suppress(TimeoutError):
                message = self._bus.receive(timeout=seconds)
                if message.header.fields.get(HeaderFields.reply_serial) == serial:
                    replies.append(message)
            return bool(replies)

        self._bus.send(self._check(_INTERACTIVE), serial=serial)
        wait(look, limit=limit, cancelled=cancelled)
        return _read(replies[0])

    def _check(self, flags: int) -> Any:
        from jeepney import DBusAddress, new_method_call

        path, name = "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1"
        subject = ("system-bus-name", {"name": ("s", self._bus.unique_name)})
        body = (subject, ACTION, dict[str, str](), flags, "")
        return new_method_call(
            DBusAddress(path, name, f"{name}.Authority"), "CheckAuthorization", "(sa{sv})sa{ss}us", body
        )


def _read(message: Any) -> tuple[bool, bool, dict[str, str]]:
    """
    Authorized, *challenge* (somebody would have to be asked), and details.

    Raises:
        LoginFailed: It is an error.
    """
    from jeepney import HeaderFields, MessageType

    if message.header.message_type == MessageType.method_return:
        authorized, challenge, details = message.body[0]
        return bool(authorized), bool(challenge), dict(details)
    name = str(message.header.fields.get(HeaderFields.error_name, ""))
    words = clean(message.body[0] if message.body else "", 120)
    if "not registered" in words:
        raise unavailable(
            "polkit does not know yet what it should ask.",
            f"Install the file that says so, once for each machine: `{install_command()}`.",
        )
    if name.startswith("org.freedesktop.DBus.Error.ServiceUnknown"):
        raise unavailable("There is no polkit on this machine.", "Install it (Debian: polkitd).")
    raise unavailable(f"polkit refuses to ask ({words or clean(name, 80)}).", "Look into its log.")
