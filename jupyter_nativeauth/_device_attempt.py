"""
Runs in: kernels, scripts. A sign-in on another device, for where no browser can come back to: the last way.

It never opens a browser, and it ends by itself when nobody comes: a new code is for the person to ask for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ._attempt import Attempt, OwnAttempt, cancelled
from ._device import (
    PENDING,
    DeviceCode,
    DeviceRequest,
    Rhythm,
    poll_request,
    raise_ended,
    read_device_code,
    said,
    too_late,
)
from ._exchange import members_in
from ._grant import Granted, read_granted
from ._request import new_device_request
from ._tokens import Identity, Secret
from ._way import place
from .errors import ConfigError, LoginFailed, ProviderError, ProviderUnavailable
from .providers import PRESETS

if TYPE_CHECKING:
    from ._account import Account
    from ._clock import Clock
    from ._oauth import Ask
    from .profiles import Profile

__all__ = ["DeviceAttempt", "no_device_flow"]


class DeviceAttempt(OwnAttempt):
    """
    A sign-in with the device authorization grant (RFC 8628).

    Args:
        account: Whose.
        ask: What it asks for beyond the profile.
        timeout: Seconds until it is given up. The service's own limit counts too.
        otherwise: Begins another attempt if the service has no such thing; without it, that is an error.
        clock: Both clocks.
        pause: Waits for seconds, and returns whether the attempt was cancelled meanwhile.
    """

    why = "you asked for this way"

    def __init__(
        self,
        account: Account,
        ask: Ask,
        timeout: float,
        *,
        otherwise: Callable[[Account, Ask, float], Attempt] | None = None,
        clock: Clock = time,
        pause: Callable[[float], bool] | None = None,
    ) -> None:
        super().__init__(account, ask, timeout, clock)
        self._otherwise = otherwise
        self._other: Attempt | None = None
        self._pause = pause or self._cancelled.wait
        if otherwise is not None:
            self.why = f"no browser opens here: {place().why}"
        self._start()

    def _sign_in(self) -> Identity:
        account = self.account
        account.signs_in_here()
        account.confirm_presence(cancelled=self._cancelled.is_set)
        key = account.key(interactive=True, create=True)  # before anybody takes the trouble of signing in
        account.store.open(key).header()
        request = new_device_request(account, self._ask)
        if request is None:
            if self._otherwise is None:
                raise no_device_flow(account.profile)
            return self._follow(self._otherwise)
        with self._turn() as identity:
            return identity or self._ask_for_a_code(request)

    def _ask_for_a_code(self, request: DeviceRequest) -> Identity:
        account = self.account
        try:
            code = read_device_code(
                members_in(account.client.post(request.post), account.profile), who=account.profile.name
            )
            self.until = min(self.until, self._clock.monotonic() + code.expires_in)
            self.user_code, self.scan = code.user_code, code.scan
            self.link = code.verification_uri  # last: whoever waits for it shows them together
            granted = self._granted(request, code)
        except ProviderError as error:
            raise LoginFailed(error.args[0], code=error.error or error.code, hint=error.hint or "Try again.") from None
        login = account.believe(request, granted)
        if self._cancelled.is_set():
            account.drop(login)
            raise cancelled()
        account.save(login)
        return login.identity

    def _follow(self, otherwise: Callable[[Account, Ask, float], Attempt]) -> Identity:
        """Let another attempt do it, as if it were this one."""
        other = self._other = otherwise(self.account, self._ask, self.until - self._clock.monotonic())
        self.why = other.why
        while (identity := other.poll()) is None:
            link = other.link
            self.takes_paste, self.busy = other.takes_paste, other.busy
            self.link = link  # last: whoever waits for it shows them together
            if self._cancelled.wait(0.1 if self.link else 0.02):
                other.cancel()
                raise cancelled()
        return identity

    def paste(self, text: Secret) -> None:
        if self._other is None:
            super().paste(text)
        else:
            self._other.paste(text)

    def _granted(self, request: DeviceRequest, code: DeviceCode) -> Granted:
        """Ask until the person is done (RFC 8628, section 3.5)."""
        who, rhythm = self.account.profile.name, Rhythm(code.interval)
        while self._clock.monotonic() + rhythm.pause <= self.until:
            if self._pause(rhythm.pause):
                raise cancelled()
            try:
                answer = self.account.client.post(poll_request(request, code))
            except ProviderUnavailable:  # also a connection that timed out
                rhythm.lost(None)
                continue
            error = said(answer.body)
            if error in PENDING:
                rhythm.answered(error)
                continue
            raise_ended(error, answer.body, who=who)
            try:
                return read_granted(members_in(answer, request.profile), who=who)
            except ProviderUnavailable as unclear:
                if 200 <= answer.status < 300:
                    raise  # it was a yes, and there is no second one
                rhythm.lost(unclear.retry_after)
        self._pause(max(0.0, self.until - self._clock.monotonic()))  # the next poll would come too late
        raise too_late(who)

    def _too_late(self) -> LoginFailed:
        return super()._too_late() if self._other is not None else too_late(self.account.profile.name)


def no_device_flow(profile: Profile) -> ConfigError:
    """What to do where a service has no such thing."""
    return ConfigError(
        f"The service of {profile.name!r} ({PRESETS[profile.provider].label}) has no sign-in on another device: its "
        "metadata names no device_authorization_endpoint.",
        code="no_device_flow",
        hint='Use flow = "auto", or leave `flow` out.',
    )
