"""
Runs in: the Jupyter server. Notices what anybody has changed, and nudges the pages that are open: look again.

Kernels and scripts write to the same vaults. So once a second, while somebody is subscribed to Jupyter's events, it
looks whether a file is another one than before: in a thread, without a key, a lock or the network.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._tomlfile import Stamp, stamp
from .errors import ConfigError, NativeAuthError

if TYPE_CHECKING:
    from jupyter_events import EventLogger

    from ._accounts import Accounts
    from ._pending import PendingLogins

__all__ = ["SCHEMA", "SCHEMA_ID", "Watch", "stamps"]

_log = logging.getLogger("jupyter_nativeauth")

SCHEMA_ID = "https://events.jupyter.org/jupyter_nativeauth/session/v1"
SCHEMA = Path(__file__).parent / "events" / "session.v1.yaml"
ANY = ""  # in the place of a profile's name


class Watch:
    """
    Tells Jupyter's event stream which profile has changed, and nothing else of it.

    It also ends sign-ins whose time is over, so that whoever waits for one learns of it without asking.

    Args:
        events: The server's event stream.
        look: What differs when something has changed, by profile. Called in a thread.
        pending: The sign-ins under way at this server.
        every: Seconds between two looks.
    """

    def __init__(
        self,
        events: EventLogger,
        look: Callable[[], Mapping[str, object]],
        pending: PendingLogins,
        *,
        every: float = 1.0,
    ) -> None:
        self._every = every
        self._events = events
        self._look = look
        self._pending = pending
        self._named: set[str] = set()
        self._wake = asyncio.Event()
        self._subscribers: frozenset[Any] = frozenset()
        self._seen: Mapping[str, object] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        """Watch no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def nudge(self, profile: str) -> None:
        """Something of *profile* has just changed here. From any thread; without a loop nobody listens either."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._note, profile)

    def _note(self, profile: str) -> None:
        self._named.add(profile)
        self._wake.set()

    async def _run(self) -> None:
        trouble = ""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._every)
            self._wake.clear()
            before, trouble = trouble, ""
            try:
                await self._round()
            except Exception as error:  # noqa: BLE001 - whatever a listener of the events does, the watch goes on
                trouble = type(error).__name__
                if trouble != before:
                    _log.error("Cannot tell the open pages what has changed: %s", trouble)

    async def _round(self) -> None:
        if not self._pending.is_idle:
            await asyncio.to_thread(self._pending.drop_expired)
        subscribers = self._listening()
        changed = await self._changed() if subscribers else set()
        changed, self._named = changed | self._named, set()
        if subscribers - self._subscribers:
            changed.add(ANY)
        self._subscribers = subscribers
        for profile in sorted(changed):
            self._events.emit(schema_id=SCHEMA_ID, data={"profile": profile})

    def _listening(self) -> frozenset[Any]:
        """Who is subscribed; jupyter_events has no other way to ask."""
        kinds = (self._events._modified_listeners, self._events._unmodified_listeners)  # noqa: SLF001
        return frozenset().union(*(kind.get(SCHEMA_ID, ()) for kind in kinds))

    async def _changed(self) -> set[str]:
        before, self._seen = self._seen, await asyncio.to_thread(self._look)
        if before is None:
            return set()
        return {name for name in {*before, *self._seen} if before.get(name) != self._seen.get(name)}


def stamps(accounts: Accounts) -> dict[str, object]:
    """What differs when a profile, its login or its sign-in has changed. A broken configuration has no name."""
    try:
        profiles = accounts.profiles()
    except NativeAuthError as error:
        return {ANY: str(error)}
    files: dict[str, set[Stamp | None]] = defaultdict(set)
    with contextlib.suppress(OSError):
        for name in os.listdir(accounts.folder):  # noqa: PTH208 - names are all that is needed of most
            profile, _, kind = name.partition(".")
            if profile in profiles and kind.endswith(("vault", "status")):
                with contextlib.suppress(ConfigError):
                    files[profile].add(stamp(os.path.join(accounts.folder, name)))  # noqa: PTH118
    return {name: (profile, name == profiles.default, frozenset(files[name])) for name, profile in profiles.items()}
