"""Runs in: kernels, scripts. ``login()``: sign in, once, and wait for it where somebody can see it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from ._accounts import accounts
from ._attempt import Attempt, ListenerAttempt
from ._device_attempt import DeviceAttempt
from ._front_end import front_end
from ._hosted_attempt import HostedAttempt, is_hosted
from ._oauth import Ask
from ._paste_attempt import PasteAttempt
from ._reasons import login_required
from ._settings import FLOWS
from ._terminal import TerminalView
from ._tokens import Identity
from ._way import can_open_browser
from .errors import ConfigError, KeySourceUnavailable, LoginRequired, NativeAuthError, ProviderError
from .profiles import Profile

if TYPE_CHECKING:
    from ._account import Account

__all__ = ["View", "login", "login_async", "start", "wait"]

_ASKS = {"keychain_locked", "passphrase_needed"}  # what a person can mend, by answering a question
_TICK = 0.2  # seconds; an interrupt ends the wait within one of them


def login(
    profile: str | Profile | None = None,
    *,
    scopes: Sequence[str] = (),
    acr_values: str | None = None,
    max_age: int | None = None,
    switch: bool = False,
    timeout: float | None = None,
    flow: str = "auto",
) -> Identity:
    """
    Sign in, in your own browser, and wait for it.

    Returns at once if somebody is signed in and nothing more is asked for. In a notebook it shows a panel with a link,
    in a terminal a line; both say how long they wait. Ctrl-C or interrupting the kernel ends the wait and changes
    nothing. Several kernels that ask at once wait for the same sign-in.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.
        scopes: Scopes to ask for beyond those of the profile.
        acr_values: How the person has to prove who they are, in the provider's words.
        max_age: How long ago the person may have signed in at the provider, in seconds.
        switch: Let the person choose another account.
        timeout: Seconds to wait; the profile's ``timeout`` (300) unless given.
        flow: ``"browser"``; ``"paste"`` if your browser cannot come back here: you paste the address that it ends on;
            ``"device"`` to enter a code in any browser, on any device; or ``"auto"``: what the profile says, and if
            that is "auto" too, a browser wherever there is a way to one.

    Raises:
        LoginRequired: Nobody is signed in, and nobody is here to do it (nbconvert, papermill, cron).
        LoginFailed: It was denied, cancelled, or not finished in time.
        ConfigError: There is no such profile, or the configuration is wrong.
        ProviderUnavailable: The provider does not answer.
        StoreError: The login could not be stored.

    Example:
        >>> login("acme")  # doctest: +SKIP
        <Identity 'Ada Lovelace' on 'acme'>

    Sources:
        RFC 8252 (native apps), RFC 7636 (PKCE), OpenID Connect Core, section 3.1.
    """
    ask = Ask(tuple(scopes), acr_values, max_age, switch)
    attempt = start(profile, ask, timeout=timeout, flow=flow)
    return attempt if isinstance(attempt, Identity) else wait(attempt)


def wait(attempt: Attempt) -> Identity:
    """Wait for *attempt*, where somebody can see it. Raises what :func:`login` raises."""
    with _seen(attempt) as view:
        while (identity := attempt.poll()) is None:
            view.tick()
            time.sleep(_TICK)
        view.signed_in(identity)
    return identity


@contextlib.contextmanager
def _seen(attempt: Attempt) -> Iterator[View]:
    """Show *attempt*; whatever ends the wait before somebody has signed in ends the attempt, and is shown too."""
    view: View | None = None
    try:
        view = _view(attempt)
        yield view
    except BaseException as error:
        attempt.cancel()
        if view is not None:
            view.failed(error)
        raise


async def login_async(
    profile: str | Profile | None = None,
    *,
    scopes: Sequence[str] = (),
    acr_values: str | None = None,
    max_age: int | None = None,
    switch: bool = False,
    timeout: float | None = None,  # noqa: ASYNC109 - it bounds a person's wait, not a task
    flow: str = "auto",
) -> Identity:
    """
    Like :func:`login`, for ``await``: the event loop goes on while it waits.

    The arguments and errors are those of :func:`login`.
    """
    ask = Ask(tuple(scopes), acr_values, max_age, switch)
    begun = asyncio.ensure_future(asyncio.to_thread(start, profile, ask, timeout=timeout, flow=flow))
    try:
        attempt = await asyncio.shield(begun)
    except asyncio.CancelledError:
        begun.add_done_callback(_cancel)  # its thread goes on: whatever it begins, nobody waits for it any more
        raise
    if isinstance(attempt, Identity):
        return attempt
    with _seen(attempt) as view:
        while (identity := await asyncio.to_thread(attempt.poll)) is None:  # it may ask the key agent
            view.tick()
            await asyncio.sleep(_TICK)
        view.signed_in(identity)
    return identity


def _cancel(begun: asyncio.Future[Attempt | Identity]) -> None:
    if not begun.cancelled() and begun.exception() is None:
        attempt = begun.result()
        if not isinstance(attempt, Identity):
            attempt.cancel()


def start(
    profile: str | Profile | None, ask: Ask, *, timeout: float | None = None, flow: str = "auto"
) -> Attempt | Identity:
    """
    Begin a sign-in, or find that none is needed.

    Raises:
        LoginRequired: None can be begun, because nobody is here to finish it.
        ConfigError: There is no such profile, or *flow* is unknown.
    """
    account = accounts().get(profile)
    if flow not in FLOWS:
        raise ConfigError(f"flow={flow!r} is not known; it is one of: {', '.join(FLOWS)}.")
    found = _found(account, ask)
    if isinstance(found, LoginRequired) and found.code == "presence_required":
        _somebody_is_here(account, found)
        _say("Confirm that it is you: your computer asks for your password, your fingerprint or a PIN.")
        account.confirm_presence()
        found = _found(account, ask)
    elif isinstance(found, KeySourceUnavailable) and found.code in _ASKS and not is_hosted(account):
        _somebody_is_here(account, found)
        if found.code == "keychain_locked":
            _say("Your keychain is locked: if it asks you for its password, answer it there.")
        account.key(interactive=True)  # whoever answers that may be signed in already
        found = _found(account, ask)
    if isinstance(found, Identity):
        return found
    if found.code == "not_lent":
        raise found  # nobody here can do anything about it
    account.signs_in_here()
    _somebody_is_here(account, found)
    if account.profile.key_source == "passphrase" and not is_hosted(account):
        account.key(interactive=True, create=True)  # not in the attempt's thread: Ctrl-C has to reach a hidden prompt
    wait = timeout if timeout is not None else float(account.profile.timeout)
    return _on_its_way(account, ask, wait, account.profile.flow if flow == "auto" else flow)


def _on_its_way(account: Account, ask: Ask, wait: float, flow: str) -> Attempt:
    """Begin it the best way that there is: the Jupyter server, a browser here, and at last one somewhere else."""
    if flow == "device":
        return DeviceAttempt(account, ask, wait)
    if flow == "paste":
        return HostedAttempt(account, ask, wait, flow=flow) if is_hosted(account) else PasteAttempt(account, ask, wait)
    if is_hosted(account):
        return HostedAttempt(account, ask, wait)
    if flow == "auto" and not can_open_browser():
        # The browser is on another machine, and may not reach a listener here.
        return DeviceAttempt(account, ask, wait, otherwise=PasteAttempt)
    return ListenerAttempt(account, ask, wait)


def _found(account: Account, ask: Ask) -> Identity | NativeAuthError:
    """Who is signed in, or what stands in the way of that."""
    if not ask.switch:
        try:
            if (identity := _signed_in(account, ask)) is not None:
                return identity
        except (LoginRequired, KeySourceUnavailable, ProviderError) as error:
            return error  # a sign-in is what helps, and only it may ask the keychain's question
    return login_required(account.profile, "signed_out")


def _say(words: str) -> None:
    print(words, file=sys.stdout if front_end() else sys.stderr, flush=True)


def _signed_in(account: Account, ask: Ask) -> Identity | None:
    """Who is signed in, if that is enough for *ask*."""
    if ask.acr_values or ask.max_age is not None:
        return None
    account.login()  # who has none to go on with need not confirm anything twice: the sign-in asks
    account.require_presence()
    account.access_token()
    login = account.login()
    return login.identity if set(ask.scopes) <= set(login.scopes) else None


def _somebody_is_here(account: Account, problem: NativeAuthError) -> None:
    watcher = front_end()
    if watcher == "notebook" or (not watcher and (can_open_browser() or sys.stderr.isatty())):
        return
    if not isinstance(problem, LoginRequired):
        raise problem
    raise LoginRequired(
        f"{problem.args[0]} Nobody is here to sign in.",
        code=problem.code,
        hint=f"Sign in before you run this: `jupyter nativeauth login {account.profile.name}` in a terminal.",
    )


class View(Protocol):
    """Where a waiting person looks."""

    def tick(self) -> None:
        """A moment has passed."""

    def signed_in(self, identity: Identity) -> None:
        """It is done."""

    def failed(self, error: BaseException) -> None:
        """It is over."""


def _view(attempt: Attempt) -> View:
    if front_end() == "notebook":
        from ._cell import show_attempt

        view: View = show_attempt(attempt)
        return view
    return TerminalView(attempt)
