"""
Runs in: kernels, scripts. What httpx needs to stay signed in: the auth, and the options of a client that has it.
"""

from __future__ import annotations

import os
from typing import Any

import httpx

from ._accounts import accounts
from ._certificates import context
from ._flow import Flow
from ._origin import is_loopback
from ._proxy import unusable
from .errors import ConfigError
from .profiles import Profile

__all__ = ["NativeAuth", "client_options"]


class NativeAuth(Flow, httpx.Auth):
    """
    Signs an httpx client's requests with a profile's access token. Works in sync and async clients.

    The token goes to the profile's ``api`` origins only, and is taken off the request again once it was sent, so that
    ``response.request`` can be shown. A 401 renews it once and the request is sent once more, unless its body was a
    stream that is used up by then. A request that has an ``Authorization`` header already is left as it is. Pickles to
    the profile's name.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.

    Raises:
        ConfigError: There is no such profile.

    Example:
        >>> httpx.Client(auth=NativeAuth("acme"))  # doctest: +SKIP

    Sources:
        RFC 6750, sections 2.1 and 3.1.
    """

    replayable = httpx.ByteStream


def client_options(profile: str | Profile | None, chosen: dict[str, Any]) -> dict[str, Any]:
    """The options of httpx's clients: those that were *chosen*, and for the others our own."""
    book = accounts()
    account = book.get(profile)
    own = {"base_url": account.profile.base_url, "auth": NativeAuth(account.profile), "transport": book.transport}
    if "verify" not in chosen and chosen.get("transport", book.transport) is None:
        environ = os.environ if chosen.get("trust_env", True) else {}
        own["verify"] = context(account.profile.ca_bundle, environ)
    if "proxy" not in chosen:
        if chosen.get("trust_env", True) and (problem := unusable()) is not None:
            raise ConfigError(problem[0], code="proxy", hint=problem[1])
        own["mounts"] = _not_by_proxy(account.profile)
    return {**own, **chosen}


def _not_by_proxy(profile: Profile) -> dict[str, None]:
    """
    Which hosts no proxy of the environment is asked for: httpx would send it even what is meant for this machine, and
    plain http is allowed here only because it does not leave it.
    """
    hosts = {host for _, host, _ in profile.api_origins if is_loopback(host)}
    return {f"all://[{host}]" if ":" in host else f"all://{host}": None for host in hosts}
