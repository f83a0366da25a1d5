"""
Runs in: everywhere on macOS. The presence gate's door there: Touch ID, a watch, or the password of the account.

Written by Apple's documentation and PyObjC's; tried with a double of the framework, not on a Mac.

Sources:
    LAContext, LAPolicy.deviceOwnerAuthentication and LAError.Code in Apple's LocalAuthentication documentation.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Any, Final

from ._door import denied, unavailable, wait
from .errors import LoginFailed

__all__ = ["LocalAuthentication"]

_DEVICE_OWNER: Final = 2  # LAPolicyDeviceOwnerAuthentication: biometrics, and the password where there are none
_NO: Final = frozenset({-1, -2, -3, -4})  # LAErrorAuthenticationFailed, UserCancel, UserFallback, SystemCancel


class LocalAuthentication:
    """
    The question whether it is this person, as macOS asks it.

    Args:
        framework: Another ``LocalAuthentication`` than the system's, for tests.
    """

    label = "macOS"

    def __init__(self, framework: Any = None) -> None:
        self._framework = framework

    def check(self) -> None:
        """Whether macOS could ask."""
        self._context()

    def ask(self, *, limit: float, cancelled: Callable[[], bool]) -> None:
        """Ask; see :meth:`jupyter_nativeauth._door.Door.ask`."""
        context, over = self._context(), threading.Event()
        answers: list[tuple[bool, Any]] = []

        def reply(success: bool, error: Any) -> None:
            answers.append((bool(success), error))
            over.set()

        context.evaluatePolicy_localizedReason_reply_(_DEVICE_OWNER, "confirm that it is you, in Jupyter", reply)
        try:
            wait(over.wait, limit=limit, cancelled=cancelled)
        except BaseException:
            context.invalidate()  # the window closes
            raise
        success, error = answers[0]
        if not success:
            code = _code(error)
            raise denied() if code in _NO else _cannot_ask(code)

    def _context(self) -> Any:
        if self._framework is None:
            try:
                self._framework = importlib.import_module("LocalAuthentication")
            except ImportError:
                raise unavailable(
                    "The package that asks macOS is not installed.", 'Run: pip install "jupyter-nativeauth[presence]".'
                ) from None
        context = self._framework.LAContext.alloc().init()
        able, error = context.canEvaluatePolicy_error_(_DEVICE_OWNER, None)
        if not able:
            raise _cannot_ask(_code(error))
        return context


def _code(error: Any) -> int:
    return int(error.code()) if error is not None else 0


def _cannot_ask(code: int) -> LoginFailed:
    return unavailable(
        f"macOS cannot ask you here (LAError {code}).",
        "It needs your desktop session, not SSH, and an account with a password.",
    )
