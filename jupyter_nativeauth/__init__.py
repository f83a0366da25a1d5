"""
Runs in: everywhere. Sign in once, from anywhere in Jupyter.

>>> from jupyter_nativeauth import get_session, login  # doctest: +SKIP
>>> login()                                            # your own browser opens, once
>>> get_session().get("/v1/me")                        # an httpx client that stays signed in

Importing this package is cheap: each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ._login import login, login_async
    from ._logout import logout
    from ._native_auth import NativeAuth
    from ._session import access_token, get_async_session, get_session, session
    from ._status import status
    from ._tokens import Identity
    from .errors import (
        ConfigError,
        KeySourceUnavailable,
        LockTimeout,
        LoginFailed,
        LoginRequired,
        NativeAuthError,
        NotSigned,
        OriginNotAllowed,
        ProviderError,
        ProviderUnavailable,
        StepUpRequired,
        StoreError,
        VaultDamaged,
        VaultTooNew,
    )
    from .panel import LoginPanel
    from .profiles import Profile

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "Identity",
    "KeySourceUnavailable",
    "LockTimeout",
    "LoginFailed",
    "LoginPanel",
    "LoginRequired",
    "NativeAuth",
    "NativeAuthError",
    "NotSigned",
    "OriginNotAllowed",
    "Profile",
    "ProviderError",
    "ProviderUnavailable",
    "StepUpRequired",
    "StoreError",
    "VaultDamaged",
    "VaultTooNew",
    "access_token",
    "get_async_session",
    "get_session",
    "login",
    "login_async",
    "logout",
    "session",
    "status",
]

_HOMES = {
    "Identity": "_tokens",
    "LoginPanel": "panel",
    "NativeAuth": "_native_auth",
    "Profile": "profiles",
    "access_token": "_session",
    "get_async_session": "_session",
    "get_session": "_session",
    "login": "_login",
    "login_async": "_login",
    "logout": "_logout",
    "session": "_session",
    "status": "_status",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: InteractiveShell) -> None:
    """What ``%load_ext jupyter_nativeauth`` calls."""
    from .magics import NativeAuthMagics

    shell.register_magics(NativeAuthMagics)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Where Jupyter Server finds the extension (kernels import this package too, and need none of it)."""
    from .extension import NativeAuthExtension

    return [{"module": "jupyter_nativeauth.extension", "app": NativeAuthExtension}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    """Where the sidebar is built in a clone, and its name; JupyterLab's tools for developers ask."""
    return [{"src": "labextension", "dest": "jupyter-nativeauth"}]
