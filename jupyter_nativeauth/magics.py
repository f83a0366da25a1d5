"""
Runs in: kernels, IPython. ``%login``, ``%logout`` and ``%whoami``.

They raise ordinary errors, wrong usage included: IPython's ``UsageError`` leaves no ``error`` output, and tools that
look for one take the notebook for a success.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from IPython import display as _display
from IPython.core import magic_arguments
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

from ._accounts import accounts
from ._front_end import front_end
from ._login import start, wait
from ._logout import logout
from ._markup import Shown, message, plain, table
from ._oauth import Ask
from ._status import ProfileStatus, status_of
from ._tokens import Identity
from ._words import describe, leaving
from .errors import ConfigError, clean

__all__ = ["NativeAuthMagics"]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{clean(text, 40)!r} is not a number of seconds from 1 to 3600")
    return seconds


_argument: Any = magic_arguments.argument  # these have no types
_parsed: Any = magic_arguments.magic_arguments
_parse: Any = magic_arguments.parse_argstring
display: Any = _display.display


def _magic(*arguments: Any) -> Callable[[Callable[[Any, str], None]], Any]:
    """A line magic for *arguments* and the profile."""
    profile: Any = _argument("profile", nargs="?", help="A profile of nativeauth.toml; the default one unless given.")

    def decorate(function: Any) -> Any:
        for add in (*arguments, profile):
            function = add(function)
        return line_magic(_parsed()(function))

    return decorate


@magics_class
class NativeAuthMagics(Magics):
    """What ``%load_ext jupyter_nativeauth`` adds."""

    @_magic(
        _argument("--switch", action="store_true", help="Choose another account."),
        _argument("--timeout", type=_seconds, metavar="S", help="Seconds to wait for you."),
        _argument(
            "--flow", default="auto", metavar="F", help="How it reaches your browser: auto, browser, paste or device."
        ),
    )
    def login(self, line: str) -> None:
        """
        Sign in, in your own browser, and wait for it.

        Every notebook and script of yours on this machine is then signed in. Interrupt the kernel to cancel.
        """
        given = _arguments(self.login, line)
        began = start(given.profile, Ask(switch=given.switch), timeout=given.timeout, flow=given.flow)
        if not isinstance(began, Identity):
            try:
                wait(began)
            except KeyboardInterrupt as interrupt:
                # The person who pressed stop knows why; IPython would show them our code.
                short = ["KeyboardInterrupt: the sign-in was cancelled."]
                interrupt._render_traceback_ = lambda: short  # type: ignore[attr-defined]
                raise
        elif front_end() == "notebook":
            from ._cell import panel_of

            display(panel_of(accounts().get(given.profile)))
        else:
            print(f"signed in to {began.profile} as {plain(began.name)}")  # noqa: T201

    @_magic()
    def logout(self, line: str) -> None:
        """Sign out: every notebook and script of yours on this machine, and your browser at the service."""
        report = logout(_arguments(self.logout, line).profile)
        display(message(str(report), leaving(report)))

    @_magic()
    def whoami(self, line: str) -> None:
        """Who is signed in, for how long, with which scopes, and where the key is."""
        account = accounts().get(_arguments(self.whoami, line).profile)
        display(_table_of(status_of(account), place="kernel" if front_end() else "process"))


def _table_of(status: ProfileStatus, place: str) -> Shown:
    words = describe(status, place=place)
    signed_in = status.state == "signed_in"
    token = words.time.removeprefix("access token ")
    if signed_in and status.expires_at is not None:
        token += time.strftime(" (until %H:%M:%S)", time.localtime(status.expires_at))
    todo = words.lines or (f"Run `%login {status.profile}` to sign in.",)
    return table(
        (
            ("Profile", words.title),
            ("Name" if signed_in else "State", status.name if signed_in else words.state),
            ("E-mail", status.email),
            ("Service", words.service),
            ("Access token", token),
            ("Scopes", " ".join(status.scopes)),
            ("Key", words.key),
            ("What to do", "" if signed_in else " ".join(todo)),
        )
    )


def _arguments(magic: Any, line: str) -> Any:
    try:
        return _parse(magic, line.partition("#")[0])  # IPython hands a comment over, too
    except (UsageError, ValueError) as error:
        name = magic.__name__
        raise ConfigError(f"%{name}: {clean(str(error))}.", code="usage", hint=f"See `%{name}?`.") from None
