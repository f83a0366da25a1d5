"""
Runs in: everywhere. The accounts of one process, one for each profile.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._account import Account
from ._configuration import load
from .profiles import Profile, Profiles
from .providers import PRESETS
from .vault import MemoryVault

__all__ = ["Accounts", "accounts", "use_accounts"]


class Accounts:
    """
    The accounts of one process, one for each profile.

    Args:
        server: Whether this is the Jupyter server, whose memory can serve its kernels as a key source.
        folder: Where the vaults are; by default ``nativeauth`` in Jupyter's data folder.
        environ: The environment to read the configuration from.
        profiles: The profiles, instead of those that are configured.
        transport: What the sessions send their requests through, instead of the network.
    """

    def __init__(
        self,
        *,
        server: bool = False,
        folder: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        profiles: Profiles | None = None,
        transport: Any = None,
    ) -> None:
        from ._agent_wire import AGENT_VARIABLE
        from ._presence import Presence
        from .keys import Keys

        self.folder = folder or _data_folder()
        self.transport = transport
        self._environ = environ
        self._profiles = profiles
        self.keys = Keys(self.folder, server=server, environ=environ)
        # In the server and in scripts it is their own; kernels ask the server, whose memory it is.
        self.presence = Presence(agent="" if server or sys.platform == "win32" else environ.get(AGENT_VARIABLE, ""))
        self._accounts: dict[str, Account] = {}
        self._memory: dict[tuple[str, bytes], MemoryVault] = {}

    def profiles(self) -> Profiles:
        """The profiles, as configured now."""
        return self._profiles if self._profiles is not None else load(self._environ)

    def get(self, profile: str | Profile | None = None) -> Account:
        """
        The account of a profile: by name, as a value, or ``None`` for the default one.

        Raises:
            ConfigError: There is no such profile, or its configuration is wrong.
        """
        wanted = profile if isinstance(profile, Profile) else self.profiles().get(profile)
        account = self._accounts.get(wanted.name)
        if account is None or account.profile != wanted:
            account = self._accounts[wanted.name] = self._made(wanted)
        return account

    def _made(self, profile: Profile) -> Account:
        if PRESETS[profile.provider].lender:
            from ._hub_account import HubAccount

            return HubAccount(profile, self.keys, self.folder, environ=self._environ)
        return Account(profile, self.keys, self.folder, memory=self._memory, presence=self.presence)


def _data_folder() -> Path:
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "nativeauth"


_accounts: Accounts | None = None


def accounts() -> Accounts:
    """This process's accounts."""
    global _accounts  # noqa: PLW0603 - one for each process, like the login itself
    if _accounts is None:
        _accounts = Accounts()
    return _accounts


def use_accounts(new: Accounts | None) -> Accounts | None:
    """Put *new* in the place of this process's accounts (the server extension does; tests do), and return the old."""
    global _accounts
    old, _accounts = _accounts, new
    return old
