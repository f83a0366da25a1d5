"""
Runs in: the Jupyter server. What all of its routes share: they log nothing, and know how the browser gets back here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from ._hosted_attempt import login_link
from ._hub import is_at_hub, shared_path
from ._logout import LogoutReport, sign_out
from ._pages import Page, answer, done_page
from ._pending import address
from .errors import ConfigError, NativeAuthError

if TYPE_CHECKING:
    from ._account import Account
    from ._oauth import Ask
    from ._pending import Pending
    from ._tokens import Secret
    from .extension import NativeAuthExtension

__all__ = ["Quiet"]


class Quiet(JupyterHandler):
    """What all of our handlers share."""

    auth_resource = "nativeauth"
    methods: tuple[str, ...] = ("GET",)

    @property
    def extension(self) -> NativeAuthExtension:
        return cast("NativeAuthExtension", self.settings["nativeauth_extension"])

    async def prepare(self, **options: Any) -> Awaitable[None] | None:  # type: ignore[override]
        if self.request.method not in self.methods:
            # Before Jupyter's own checks: those log the whole address of what they refuse.
            self.set_status(405)
            self.set_header("Allow", ", ".join(self.methods))
            self.write_error(405)
            return None
        return await super().prepare(**options)

    def log_exception(self, typ: Any, value: Any, *_: Any) -> None:
        if not isinstance(value, web.HTTPError):
            self.log.error("%s in %s", getattr(typ, "__name__", "error"), type(self).__name__)

    def write_error(self, status_code: int, **_: Any) -> None:
        answer(self, Page(status_code, done_page("unknown" if status_code < 500 else "failed").body))

    def compute_etag(self) -> None:
        """None: nothing here is to be kept."""

    @staticmethod
    async def work(task: Callable[[], Any]) -> Any:
        """Run *task* in a thread: it may talk to the provider or the keychain."""
        return await asyncio.get_running_loop().run_in_executor(None, task)

    @property
    def _base(self) -> str:
        return f"{self.base_url}nativeauth/"

    def page_link(self, route: str) -> str:
        """
        From this page to another of ours, relative to it: so it leads there below whatever path the browser sees us.

        Args:
            route: What stands behind ``nativeauth/``, with its query.
        """
        deep = self.request.path.rpartition("/nativeauth/")[2].count("/")
        return f"{'../' * deep or './'}{route}"

    @property
    def is_foreign(self) -> bool:
        """Whether the browser says that another site sent it. Jupyter's own check may be switched off."""
        return self.request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none")

    @property
    def is_forwarded(self) -> bool:
        """Whether a proxy says that it stands between."""
        return any(name.lower().startswith(("forwarded", "x-forwarded-")) for name in self.request.headers)

    @property
    def origin(self) -> str:
        """The origin of the page that posts, by the browser's own word; empty if it says none."""
        return str(self.request.headers.get("Origin", "")) if self.request.method == "POST" else ""

    @property
    def here(self) -> str:
        """The name by which this browser has reached Jupyter."""
        origin = self.origin if self.origin.startswith(("http://", "https://")) else ""
        return origin or f"{self.request.protocol}://{self.request.host}"

    def home(self, account: Account, ask: Ask, flow: str = "") -> str:
        """Our page that begins the same sign-in anew, for this browser."""
        base, named = self.base_url, account.profile.redirect_uri or ""
        if named.startswith(f"{self.here}/") and not is_at_hub(os.environ):
            base = urlsplit(named).path.partition("nativeauth/callback")[0]
        return self.here + login_link(account.profile.name, ask, {"JUPYTER_NATIVEAUTH_BASE_URL": base}, flow=flow)

    @property
    def lost_path(self) -> str:
        """
        The path below which the browser sees us, if a proxy takes it off; else empty.

        Known from the page that posts, by the browser's own word. It is only ever shown.
        """
        page = urlsplit(self.request.headers.get("Referer", ""))
        if not self.origin or f"{page.scheme}://{page.netloc}" != self.origin:
            return ""
        seen, ours = (unquote(path).rpartition("nativeauth/")[0] for path in (page.path, self.request.path))
        return page.path.rpartition("nativeauth/")[0] if seen != ours else ""

    def entry(self) -> str:
        """Where our pages are for this browser: at the name that an answer can come back to, if there is such a one."""
        uri = self.extension.redirect_base(self.request.host, forwarded=self.is_forwarded, origin=self.origin)
        return address(uri, "") if uri else f"{self.here}{self._base}"

    @staticmethod
    def pastes(account: Account, flow: str) -> bool:
        """Whether the address that the browser ends on is to be pasted: asked for now, or by the profile."""
        return (account.profile.flow if flow in ("", "auto") else flow) == "paste"

    async def begin(self, account: Account, ask: Ask, flow: str = "") -> Pending:
        """
        Begin a sign-in for this browser.

        Raises:
            NativeAuthError: It cannot begin; what to do is in the message.
        """
        account.signs_in_here()
        pastes = self.pastes(account, flow)
        uri, home = self.redirect_uri(account, pastes=pastes), self.home(account, ask, flow)
        entry = self.entry() if pastes else ""
        pending: Pending = await self.work(functools.partial(self.extension.begin, account, ask, uri, home, entry))
        return pending

    async def paste(self, pending_id: str, text: Secret) -> Pending:
        """
        End the sign-in with this id with what its person has pasted, or let it begin once more; its outcome says which.

        Raises:
            LoginFailed: It was not the answer to that; the hint says what to paste.
        """
        pending: Pending = await self.work(functools.partial(self.extension.paste, pending_id, text))
        return pending

    async def sign_out(self, account: Account) -> tuple[LogoutReport, str | None]:
        """
        Sign out, also of what was signed out in a kernel and is still to be ended at the service.

        Returns:
            What was achieved, and the page that ends the service's own session, if the browser can get back from it.

        Raises:
            NativeAuthError: The login here could not be ended; it still stands.
        """
        report, link = await self.work(functools.partial(sign_out, account)), None
        if report.local:
            # Without a way back for the browser it is over here all the same.
            with contextlib.suppress(NativeAuthError):
                task = functools.partial(self.extension.leave_address, account, self.redirect_uri(account))
                link = await self.work(task)
        self.extension.watch.nudge(account.profile.name)
        return report, link

    def redirect_uri(self, account: Account, *, pastes: bool = False) -> str:
        """
        Args:
            account: Whose.
            pastes: Whether it does without the browser coming back.

        Raises:
            ConfigError: The browser is not on this machine, and nothing says how it gets back here; or a proxy takes
                the path off that it would need for that.
        """
        profile = account.profile
        if profile.redirect_uri:
            return str(profile.redirect_uri)
        if path := self.lost_path:
            raise ConfigError(
                f"A proxy takes the path {path} off, so neither Jupyter's pages nor the service would find back here.",
                code="path_taken_off",
                hint=f'Let the proxy keep it, and start Jupyter with --ServerApp.base_url="{path}".',
            )
        uri = self.extension.redirect_base(self.request.host, forwarded=self.is_forwarded, origin=self.origin)
        if uri is None and pastes:
            uri = self.extension.own_redirect_uri
        if uri is None:
            hub = is_at_hub(os.environ)
            path = f"{shared_path(os.environ)}nativeauth/" if hub else self._base
            # Only a browser's own word is repeated: what a Host header says may be anybody's.
            place = self.origin if self.origin.startswith("https://") else "<address of this Jupyter>"
            if self.origin.startswith("http://") and not hub:
                port = self.extension.port
                raise ConfigError(
                    "A service sends a browser back over plain http only to the browser's own machine, and Jupyter is "
                    "on another.",
                    code="no_redirect_uri",
                    hint=f"Open it at http://localhost:{port}, through ssh -L {port}:localhost:{port}. Or put TLS in "
                    f'front of it, and add redirect_uri = "https://<name of this Jupyter>{path}callback" to the '
                    f'profile {profile.name!r}. Or paste the address back on which the browser ends: flow = "paste".',
                )
            raise ConfigError(
                "The browser is not on this machine, so the service cannot send it back here by itself.",
                code="no_redirect_uri",
                hint=f'Add redirect_uri = "{place}{path}callback" to the profile '
                f"{profile.name!r} in nativeauth.toml, and register the same at the service. Or paste the address back "
                'on which the browser ends: flow = "paste".',
            )
        return f"{uri}/{profile.name}" if profile.redirect_path == "profile" else uri
