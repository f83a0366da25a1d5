"""
Runs in: the Jupyter server. The extension: puts the pieces together, and serves the ``/nativeauth/`` routes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jupyter_server.extension.application import ExtensionApp

from . import __version__
from ._accounts import Accounts, use_accounts
from ._api import API_ROUTES
from ._files import private_folder
from ._handlers import ROUTES
from ._host import Host
from ._hub import onward
from ._origin import IPV6_ONLY, is_loopback
from ._paste_page import PASTE_ROUTES
from ._pending import Pending
from ._progress import Progress, write_progress
from ._reasons import login_required
from ._watch import SCHEMA, Watch, stamps
from .errors import ConfigError, LoginFailed, NativeAuthError

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

    from ._account import Account
    from ._listener import Listener
    from ._oauth import Ask
    from ._tokens import Secret
    from .keys import Key

__all__ = ["NativeAuthExtension"]


class NativeAuthExtension(ExtensionApp):
    """
    Signs in from the browser that shows Jupyter, and lends the vault's key to the kernels.

    It touches neither the network nor the keychain until somebody asks it to.
    """

    name = "jupyter_nativeauth"
    extension_url = "/nativeauth/login"
    description = "Sign in once, from anywhere in Jupyter."

    def initialize_settings(self) -> None:
        """What Jupyter Server calls before it starts."""
        self.accounts = Accounts(server=True)
        use_accounts(self.accounts)
        self.host = Host(retry=True, on_change=self._tell, onward=functools.partial(onward, environ=os.environ))
        events = self._server.event_logger
        assert events is not None  # noqa: S101 - Jupyter Server makes it before it loads extensions
        events.register_event_schema(SCHEMA)
        self.watch = Watch(events, functools.partial(stamps, self.accounts), self.host.pending)
        self.accounts.presence.on_confirm = self._tell_confirmed
        self._agent: Any = None
        self._agent_path = ""
        self._listeners: list[Listener] = []
        self._ports_guard = threading.Lock()
        self._ports_used = 0
        self.settings.update(nativeauth_extension=self)
        self._lend_key()

    def initialize_handlers(self) -> None:
        """What Jupyter Server calls to learn our routes."""
        self.handlers.extend([*ROUTES, *PASTE_ROUTES, *API_ROUTES])

    async def _start_jupyter_server_extension(self, _: ServerApp) -> None:
        """What Jupyter Server calls once its event loop runs."""
        self.watch.start()

    @property
    def _server(self) -> ServerApp:
        assert self.serverapp is not None  # noqa: S101 - Jupyter Server sets it before it calls anything here
        return self.serverapp

    def _lend_key(self) -> None:
        """Kernels and Jupyter's terminals inherit the environment, and so find the key agent and the server's pages."""
        os.environ.update(JUPYTER_NATIVEAUTH_BASE_URL=self._server.base_url, JUPYTER_NATIVEAUTH_VERSION=__version__)
        if sys.platform == "win32":
            return
        from .agent import KeyAgent

        try:
            self._agent = KeyAgent(self._answer_key, self._fingerprints, presence=self.accounts.presence)
            self._agent_path = os.environ["JUPYTER_NATIVEAUTH_AGENT"] = self._agent.start()
        except (NativeAuthError, OSError) as error:
            self._agent = None
            os.environ.pop("JUPYTER_NATIVEAUTH_AGENT", None)  # that of a Jupyter around this one knows other keys
            self.log.warning("Kernels will ask the keychain themselves: the key agent cannot start (%s).", error)

    def _answer_key(self, key_source: str) -> Key | None:
        """The key, unless all profiles are behind the presence gate, and a login of theirs waits for somebody."""
        try:
            profiles = [*self.accounts.profiles().values()]
        except NativeAuthError:
            profiles = []  # then no kernel finds one either
        if all(profile.presence == "hourly" for profile in profiles):
            for account in map(self.accounts.get, profiles):
                if account.waits_for_presence():
                    raise login_required(account.profile, "presence_required")
        return self.accounts.keys.answer(key_source)

    def _tell_confirmed(self) -> None:
        """Somebody has confirmed that it is them, in the sidebar or in a kernel: pages that show a wait look again."""
        for name in self._fingerprints():
            self.watch.nudge(name)

    def _fingerprints(self) -> dict[str, str]:
        try:
            return {name: profile.fingerprint() for name, profile in self.accounts.profiles().items()}
        except NativeAuthError:
            return {}

    def _tell(self, pending: Pending) -> None:
        """Called in whatever thread a sign-in begins or ends in."""
        if pending.outcome.done():
            self._close_ports_later()
        error = pending.outcome.exception() if pending.outcome.done() else None
        if error is None or not self.host.pending.is_superseded(pending):
            self._tell_kernels(pending, error)
        self.watch.nudge(pending.account.profile.name)

    def _tell_kernels(self, pending: Pending, error: BaseException | None) -> None:
        progress = Progress(
            attempt=pending.id,
            server=self._agent_path,
            phase="failed" if error else "signed_in" if pending.outcome.done() else "waiting",
            started=pending.started,
            until=pending.ends,
            code=error.code if isinstance(error, NativeAuthError) else "",
            message=str(error.args[0]) if isinstance(error, NativeAuthError) else "",
            hint=error.hint if isinstance(error, NativeAuthError) else "",
        )
        with contextlib.suppress(NativeAuthError):
            write_progress(private_folder(self.accounts.folder), pending.account.profile.name, progress)

    def redirect_base(self, host: str, *, forwarded: bool, origin: str = "") -> str | None:
        """
        Where the browser that asks finds this server on its own machine: the callback's scheme, host, port and path.

        Not from ``X-Forwarded-*`` or a foreign ``Host``, which anybody can set (RFC 8252, section 7.3; jupyter.md). A
        loopback name becomes the IP literal, since ``localhost`` may be another machine's idea (section 8.3).

        Args:
            host: The ``Host`` header.
            forwarded: Whether a proxy says that it stands between.
            origin: The ``Origin`` header of a POST, which the browser itself sets.

        Returns:
            ``None`` if the browser is on another machine, or nothing can be said.
        """
        public = os.environ.get("JUPYTERHUB_PUBLIC_URL")
        if public:
            return public.rstrip("/") + "/nativeauth/callback"
        scheme = "https" if self._server.certfile else "http"
        with contextlib.suppress(ValueError):
            # An Origin counts alone, whatever Host says: a proxy's usual Host is its own idea of where we are.
            parts = urlsplit(origin or ("" if forwarded else f"{scheme}://{host}"))
            if parts.hostname and is_loopback(parts.hostname):
                literal = {"localhost": self._literal, "::1": "[::1]"}.get(parts.hostname, "127.0.0.1")
                port = f":{parts.port}" if parts.port else ""
                return f"{parts.scheme}://{literal}{port}{self._server.base_url}nativeauth/callback"
        return None

    @property
    def port(self) -> int:
        """Jupyter's own, on this machine."""
        return int(self._server.port)

    @property
    def _literal(self) -> str:
        """The loopback address at which we listen."""
        return "[::1]" if self._server.ip in IPV6_ONLY else "127.0.0.1"

    @property
    def own_redirect_uri(self) -> str:
        """Where a browser on this machine would find us; one elsewhere ends at this address, and finds nobody."""
        return f"http://{self._literal}:{self._server.port}{self._server.base_url}nativeauth/callback"

    def begin(self, account: Account, ask: Ask, redirect_uri: str, home: str, entry: str = "") -> Pending:
        """
        Begin a sign-in, on a port that the service knows. With *entry* (see :meth:`Host.begin`) nobody has to listen
        there.

        Raises:
            NativeAuthError: It cannot begin; what to do is in the message.
        """
        if entry:
            return self.host.begin(account, ask, _on_a_known_port(account, redirect_uri), home, entry)
        with self._port_in_use(account, redirect_uri) as uri:
            return self.host.begin(account, ask, uri, home)

    def paste(self, pending_id: str, text: Secret) -> Pending:
        """
        The sign-in with this id, which *text* has ended, or let begin once more.

        Raises:
            LoginFailed: *text* is not the answer to it, or it is over; the hint says what to do.
        """
        pending = self.host.pending.of_id(pending_id)
        if pending is None:
            raise LoginFailed("This sign-in is over.", code="expired", hint="Start it again.")
        code = self.host.paste(pending, text)
        if code is not None:
            self.host.redeem(pending, code)
        return pending

    def leave_address(self, account: Account, redirect_uri: str) -> str | None:
        """Where the browser finishes a sign-out at the provider, coming back on a port that the service knows."""
        with self._port_in_use(account, redirect_uri) as uri:
            return self.host.leave_address(account, uri)

    @contextlib.contextmanager
    def _port_in_use(self, account: Account, redirect_uri: str) -> Iterator[str]:
        """The redirect URI on a port that the service knows: *redirect_uri* itself, or that of a listener of ours."""
        ports, parts = account.profile.redirect_ports, urlsplit(redirect_uri)
        if _on_a_known_port(account, redirect_uri) == redirect_uri:
            yield redirect_uri
            return
        if parts.port != self._server.port:
            known = ", ".join(str(port) for port in ports)
            raise ConfigError(
                f"The service of {account.profile.name!r} sends browsers to the ports {known} of their machine only.",
                code="port_not_allowed",
                hint=f"Open Jupyter at one of them, such as with ssh -L {ports[0]}:localhost:{self._server.port}. Or "
                'paste the address back on which the browser ends: flow = "paste".',
            )
        with self._ports_guard:
            self._ports_used += 1
            try:
                listener = self._listener_on(ports)
            except BaseException:
                self._ports_used -= 1
                raise
        try:
            yield listener.redirect_uri + redirect_uri.partition("/nativeauth/callback")[2]
        finally:
            with self._ports_guard:
                self._ports_used -= 1
            self._close_ports_later()

    def _listener_on(self, ports: Sequence[int]) -> Listener:
        from ._listener import Listener

        for listener in self._listeners:
            if listener.port in ports:
                return listener
        self._listeners.append(Listener(self.host, ports).__enter__())
        return self._listeners[-1]

    def _close_ports_later(self) -> None:
        """A port is open only while it is needed, and a minute more for *Try again* (RFC 8252, section 8.3)."""
        if self._listeners:
            timer = threading.Timer(60, self._close_ports)
            timer.daemon = True
            timer.start()

    def _close_ports(self, *, at_once: bool = False) -> None:
        with self._ports_guard:
            idle = not self._ports_used and not self.host.pending.all()
            while self._listeners and (idle or at_once):
                self._listeners.pop().__exit__()

    async def stop_extension(self) -> None:
        """What Jupyter Server calls when it stops."""
        self.accounts.presence.close()
        await self.watch.stop()
        for pending in self.host.pending.all():
            await asyncio.to_thread(self.host.pending.cancel, pending.id)
        for name in ("JUPYTER_NATIVEAUTH_AGENT", "JUPYTER_NATIVEAUTH_BASE_URL", "JUPYTER_NATIVEAUTH_VERSION"):
            os.environ.pop(name, None)
        await asyncio.to_thread(self._close_ports, at_once=True)
        if self._agent is not None:
            await asyncio.to_thread(self._agent.stop)
        use_accounts(None)


def _on_a_known_port(account: Account, redirect_uri: str) -> str:
    """*redirect_uri* where the service knows its port, else with the first one that it knows."""
    ports, parts = account.profile.redirect_ports, urlsplit(redirect_uri)
    if account.profile.redirect_uri or not ports or parts.port in ports or not is_loopback(parts.hostname or ""):
        return redirect_uri  # on a hub there is one public address, and `redirect_ports` are of this machine
    return parts._replace(netloc=f"{parts.netloc.removesuffix(f':{parts.port}')}:{ports[0]}").geturl()
