"""
Runs in: kernels, scripts. The same auth for requests: ``requests.get(url, auth=NativeAuth("acme"))``.
"""

from __future__ import annotations

from typing import Any

import requests
from requests.auth import AuthBase

from ._bearer import Bearer, BearerAuth
from ._tokens import AccessToken

__all__ = ["NativeAuth"]


class NativeAuth(BearerAuth, AuthBase):
    """
    Signs the requests of the *requests* library, as :class:`jupyter_nativeauth.NativeAuth` does for httpx.

    Args:
        profile: A profile's name, a :class:`Profile`, or ``None`` for the default one.

    Raises:
        ConfigError: There is no such profile.

    Example:
        >>> requests.get("https://api.acme.com/v1/me", auth=NativeAuth("acme"))  # doctest: +SKIP
    """

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """What requests calls with each request."""
        if "Authorization" in request.headers:
            return request  # the caller's own counts, and ours stays out of it
        self._bearer.check(request.url or "")
        return self._signed(request, self._bearer.account.access_token())

    def _signed(self, request: requests.PreparedRequest, token: AccessToken) -> requests.PreparedRequest:
        def answered(response: requests.Response, **options: Any) -> requests.Response:
            return self._answered(token, response, **options)

        request.headers["Authorization"] = _Header(Bearer.header(token))
        request.register_hook("response", answered)  # type: ignore[no-untyped-call]
        return request

    def _answered(self, token: AccessToken, response: requests.Response, **options: Any) -> requests.Response:
        request = response.request
        response.request = _plain(request)
        if request.headers.get("Authorization") != Bearer.header(token):
            return response  # whoever never saw it, after a redirect, cannot refuse it
        if not self._is_rejected(response):
            return response
        newer = self._bearer.account.access_token(rejected=token)
        if newer == token or not isinstance(request.body, str | bytes | None):
            return response  # a stream that is used up cannot be sent again
        response.content  # noqa: B018 - read to the end, so that the connection can be used again
        response.close()
        again = request.copy()
        again.headers["Authorization"] = _Header(Bearer.header(newer))
        answer: requests.Response = response.connection.send(again, **options)
        answer.request = _plain(again)
        answer.history.append(response)
        if answer.is_redirect:
            self._signed(request, newer)  # the library builds the next request from this one
        self._is_rejected(answer)
        return answer

    def _is_rejected(self, response: requests.Response) -> bool:
        body = response.content if self._bearer.has_to_read(response.status_code) else b""
        return self._bearer.wants_another(response.status_code, response.headers, body)


def _plain(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """A response is often shown, logged, pickled or stored; its request holds no token and no hook of ours."""
    copy = request.copy()
    if isinstance(copy.headers.get("Authorization"), _Header):
        del copy.headers["Authorization"]
    copy.hooks = requests.hooks.default_hooks()
    return copy


class _Header(str):
    """The header's value. A request that was never answered keeps it, and so do errors: it shows itself to nobody."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'[secret]'"

    def __str__(self) -> str:
        return "[secret]"

    def __format__(self, spec: str) -> str:
        return "[secret]"
