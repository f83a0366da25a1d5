"""
Runs in: everywhere on Windows. The presence gate's door there: Windows Hello, a face, a fingerprint or a PIN.

Written by Microsoft's documentation and the types of the winrt packages; tried with a double, not on Windows.

Sources:
    Windows.Security.Credentials.UI.UserConsentVerifier, UserConsentVerificationResult, UserConsentVerifierAvailability.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

from ._door import denied, unavailable, wait
from .errors import LoginFailed

__all__ = ["WindowsHello"]

_YES: Final = 0  # UserConsentVerifierAvailability.Available, UserConsentVerificationResult.Verified
_NO: Final = frozenset({5, 6})  # UserConsentVerificationResult: RetriesExhausted, Canceled
_WHY: Final = {  # the same in both
    1: "this device has no Windows Hello",
    2: "Windows Hello is not set up",
    3: "a policy forbids it",
    4: "the device is busy",
}
_STARTED, _COMPLETED = 0, 1  # Windows.Foundation.AsyncStatus
_QUICK = 10.0  # seconds for an answer that nobody has to think about


class WindowsHello:
    """
    The question whether it is this person, as Windows Hello asks it.

    Args:
        verifier: Another ``UserConsentVerifier`` than the system's, for tests.
    """

    label = "Windows Hello"

    def __init__(self, verifier: Any = None) -> None:
        self._verifier = verifier

    def check(self) -> None:
        """Whether Windows Hello could ask."""
        found = _result(self._known().check_availability_async(), _QUICK, lambda: False)
        if found != _YES:
            raise _cannot_ask(found)

    def ask(self, *, limit: float, cancelled: Callable[[], bool]) -> None:
        """Ask; see :meth:`jupyter_nativeauth._door.Door.ask`."""
        self.check()
        question = self._known().request_verification_async("Confirm that it is you, in Jupyter.")
        found = _result(question, limit, cancelled)
        if found != _YES:
            raise denied() if found in _NO else _cannot_ask(found)

    def _known(self) -> Any:
        if self._verifier is None:
            try:
                self._verifier = importlib.import_module("winrt.windows.security.credentials.ui").UserConsentVerifier
            except ImportError:
                raise unavailable(
                    "The package that asks Windows Hello is not installed.",
                    'Run: pip install "jupyter-nativeauth[presence]".',
                ) from None
        return self._verifier


def _result(operation: Any, limit: float, cancelled: Callable[[], bool]) -> int:
    """What a WinRT operation has found; -1 if it failed."""
    try:
        wait(lambda seconds: operation.wait(seconds) != _STARTED, limit=limit, cancelled=cancelled)
    except BaseException:
        operation.cancel()  # the window closes
        raise
    return int(operation.get_results()) if operation.status == _COMPLETED else -1


def _cannot_ask(found: int) -> LoginFailed:
    return unavailable(
        f"Windows cannot ask you here: {_WHY.get(found, 'Windows Hello failed')}.",
        "Set it up in Settings, Accounts, Sign-in options.",
    )
