"""
Runs in: everywhere on Windows. A key that Windows' data protection (DPAPI) seals with this person's logon.

For logons that have no Credential Manager, such as those over SSH or of scheduled tasks (error 1312). What is sealed
lies in a file beside the vaults; only the same person on the same machine can open it.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from ._files import private_folder, replace_file
from ._lock import FileLock
from .errors import KeySourceUnavailable

__all__ = ["Dpapi"]

_NAME = "dpapi.key"
_ENTROPY = b"jupyter_nativeauth"  # not secret: it keeps what other programs sealed apart from ours


def _crypt32(function: str, data: bytes) -> bytes:
    """``CryptProtectData`` or ``CryptUnprotectData`` (dpapi.h): no prompt, this person's keys."""
    if sys.platform != "win32":
        raise OSError("there is no DPAPI here")
    import ctypes
    from ctypes import wintypes

    class Blob(ctypes.Structure):
        _fields_ = (("size", wintypes.DWORD), ("data", ctypes.POINTER(ctypes.c_char)))

    def blob(content: bytes) -> Blob:
        return Blob(len(content), ctypes.cast(ctypes.create_string_buffer(content, len(content)), Blob._fields_[1][1]))

    forbid_questions, result = 0x1, Blob()
    given, entropy = blob(data), blob(_ENTROPY)
    call = getattr(ctypes.WinDLL("crypt32", use_last_error=True), function)
    if not call(ctypes.byref(given), None, ctypes.byref(entropy), None, None, forbid_questions, ctypes.byref(result)):
        raise ctypes.WinError(ctypes.get_last_error())
    try:
        return ctypes.string_at(result.data, result.size)
    finally:
        ctypes.WinDLL("kernel32").LocalFree(result.data)


class Dpapi:
    """
    The key that Windows seals for this person.

    Args:
        folder: The folder of the vaults.
        call: ``CryptProtectData`` and ``CryptUnprotectData`` by name, for tests.
    """

    def __init__(self, folder: Path, call: Callable[[str, bytes], bytes] = _crypt32) -> None:
        self._folder = folder
        self._call = call

    def find(self, *, create: bool) -> bytes | None:
        """
        The key; ``None`` if there is none.

        Raises:
            KeySourceUnavailable: ``dpapi_error``: Windows does not open it, as after a reset password, or for another
                person or machine.
        """
        value = self._read()
        if value is None and create:
            with FileLock(private_folder(self._folder) / "install.lock").hold(limit=10):
                value = self._read()  # somebody else may have been faster
                if value is None:
                    value = secrets.token_bytes(32)
                    replace_file(str(self._folder / _NAME), self._do("CryptProtectData", value))
        return value

    def _read(self) -> bytes | None:
        try:
            sealed = (self._folder / _NAME).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed(str(error.strerror)) from None
        value = self._do("CryptUnprotectData", sealed)
        if len(value) != 32:
            raise self._failed("it holds something else")
        return value

    def _do(self, function: str, data: bytes) -> bytes:
        try:
            return self._call(function, data)
        except OSError as error:
            raise self._failed(f"error {getattr(error, 'winerror', None) or error.errno}") from None

    def _failed(self, why: str) -> KeySourceUnavailable:
        return KeySourceUnavailable(
            f"Windows does not open the key in {self._folder / _NAME} ({why}).",
            code="dpapi_error",
            hint="Only the person and the machine that made it can. Delete that file, and sign in again.",
        )
