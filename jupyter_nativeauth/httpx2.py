"""
Runs in: kernels, scripts. The same auth for httpx2: ``httpx2.Client(auth=NativeAuth("acme"))``.
"""

from __future__ import annotations

import httpx2

from ._flow import Flow

__all__ = ["NativeAuth"]


class NativeAuth(Flow, httpx2.Auth):
    """
    Signs an httpx2 client's requests, as :class:`jupyter_nativeauth.NativeAuth` does for httpx.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.

    Raises:
        ConfigError: There is no such profile.

    Example:
        >>> httpx2.Client(auth=NativeAuth("acme"))  # doctest: +SKIP
    """

    replayable = httpx2.ByteStream
