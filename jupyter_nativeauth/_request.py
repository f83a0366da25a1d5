"""
Runs in: the server, scripts. A new request to sign in: all that can be wrong is found before a browser goes anywhere.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ._device import DeviceRequest, device_request
from ._discovery import look_up
from ._oauth import Ask, AuthorizationRequest, authorization_request

if TYPE_CHECKING:
    from ._account import Account
    from ._tenant import Setup

__all__ = ["new_device_request", "new_request", "other_redirect_uri"]

_log = logging.getLogger("jupyter_nativeauth")


def new_request(account: Account, ask: Ask, redirect_uri: str) -> AuthorizationRequest:
    """
    Ask the service how it is, and say what it will be asked.

    Raises:
        ConfigError: The profile cannot be right; the message says which key.
        ProviderUnavailable: The service cannot be reached.
        StoreError: The client's secret cannot be read.
    """
    profile = account.profile
    if profile.client_type == "confidential":
        account.client_secret().read()
    provider, setup = look_up(account.client, profile)
    if (words := other_redirect_uri(setup, redirect_uri)) and not ask.again:
        _log.warning("%s: %s", profile.name, words)
    return authorization_request(profile, provider, redirect_uri, ask, setup)


def new_device_request(account: Account, ask: Ask) -> DeviceRequest | None:
    """
    The same for a sign-in on another device; ``None`` if the service has no such thing.

    Raises:
        ConfigError, ProviderUnavailable, StoreError: As for :func:`new_request`.
    """
    profile = account.profile
    if profile.client_type == "confidential":
        account.client_secret().read()
    provider, _ = look_up(account.client, profile, wanted=("device_authorization_endpoint",))
    return device_request(profile, provider, ask) if provider.device_authorization_endpoint else None


def other_redirect_uri(setup: Setup | None, redirect_uri: str) -> str:
    """What to look at where a service has another redirect URI than this one at the top of its list; else nothing."""
    known = setup.redirect_uri if setup is not None else ""
    if not known or "{" in known or known == redirect_uri:  # with braces it is a pattern, for hosts of tenants
        return ""
    return (
        f"The service has {known} registered as its callback URL, and this sign-in comes back to {redirect_uri}. "
        "It works only if that is registered as well."
    )
