"""
Runs in: everywhere. What comes back to the redirect URI, checked before anything believes it. No I/O.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qsl

from ._grant import Granted, printable, read_granted
from ._tenant import answered_by, at_tenant
from ._tokens import Secret
from .errors import LoginFailed, ProviderUnavailable, clean
from .providers import PRESETS, words_for

if TYPE_CHECKING:
    from ._oauth import AuthorizationRequest

__all__ = ["AskAgain", "Code", "Mismatch", "read_callback", "read_query"]


@dataclass(frozen=True)
class Code:
    """An authorization code that was checked. Only :func:`read_callback` makes one."""

    value: Secret
    request: AuthorizationRequest
    granted: Granted | None = None  # what a code is exchanged for, where the profile insists on the implicit flow


class Mismatch(LoginFailed):
    """The answer is not one to this request. It changes nothing: the sign-in goes on waiting."""

    default_code = "state_mismatch"


class AskAgain(LoginFailed):
    """The service wants to ask something first. The sign-in starts once more by itself, and then lets it."""


def read_callback(request: AuthorizationRequest, query: str) -> Code:
    """
    Check the provider's answer to a sign-in, and take the code out of it.

    The checks come in the order of the attacks that they stop: is this the answer to *our* request (``state``), does
    it come from the provider that was asked (``iss``), and only then what it says.

    Args:
        request: The sign-in that we began.
        query: The callback's query string, as it came.

    Raises:
        Mismatch: It is not an answer to this request; the sign-in goes on waiting.
        LoginFailed: The provider said no, in its own word for ``code``.

    See Also:
        RFC 6749, sections 4.1.2 and 10.12; RFC 9207, section 2.4; RFC 9700, section 4.4.2.
    """
    answer = read_query(query)
    if not hmac.compare_digest(answer.get("state", "").encode(), request.state.reveal().encode()):
        raise Mismatch("The answer belongs to another sign-in.")
    issuer = answer.get("iss")
    if issuer is not None and issuer != request.provider.issuer:
        raise Mismatch("The answer comes from another provider than the one that was asked.", code="issuer_mismatch")
    if {"access_token", "id_token", "response", "token_type"} & answer.keys() and not request.implicit:
        # A code was asked for. Tokens in the front channel are the implicit flow (RFC 9700, section 2.1.2).
        raise Mismatch("The answer holds a token where only a code may stand.", code="unexpected_token")
    request = _from_tenant(request, answer)
    names = PRESETS[request.profile.provider].code_names
    codes = {answer[name] for name in names if name in answer}
    if "error" in answer:
        if codes:
            raise Mismatch("The answer says both yes and no.", code="bad_callback")
        _raise_denied(request, answer)
    if issuer is None and request.provider.sends_iss:
        # Demanded on success only: known providers leave it out of errors, though they advertise it.
        raise Mismatch("The answer does not name its provider, though the provider promises to.", code="issuer_missing")
    if request.implicit:
        return Code(Secret(""), request, _delivered(request, answer))
    code = codes.pop() if len(codes) == 1 else ""
    if not 0 < len(code) <= 8192 or not printable(code):
        raise Mismatch("The answer holds no usable code.", code="bad_callback")
    return Code(Secret(code), request)


def _delivered(request: AuthorizationRequest, answer: Mapping[str, str]) -> Granted:
    """The token in an answer of the implicit flow, which no proof of possession guards (RFC 9700, section 2.1.2)."""
    try:
        return read_granted(answer, who=request.profile.name)
    except ProviderUnavailable:
        pass
    raise Mismatch("The answer holds no usable token.", code="bad_callback")


def _from_tenant(request: AuthorizationRequest, answer: Mapping[str, str]) -> AuthorizationRequest:
    """The request at the host that the answer comes from: that of the customer who was asked, or who was found."""
    hosts, setup = PRESETS[request.profile.provider].tenants, request.setup
    if hosts is None or setup is None:
        return request
    try:
        tenant = answered_by(hosts, request.profile.options, setup.separator, request.tenant, answer)
    except ValueError as problem:
        raise Mismatch(str(problem), code="tenant_mismatch") from None
    return replace(request, provider=at_tenant(hosts, request.provider, tenant), tenant=tenant)


def read_query(query: str) -> dict[str, str]:
    """
    The parameters of a query string.

    Raises:
        Mismatch: It is too long, malformed, or names one of the parameters that decide twice (RFC 6749, section 3.1).
    """
    if len(query) > 16384:
        raise Mismatch("The answer is too long.", code="bad_callback")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=250)
    except ValueError:
        raise Mismatch("The answer is not a well-formed query.", code="bad_callback") from None
    answer: dict[str, str] = {}
    for name, value in pairs:
        if name in answer and name in _ONCE:
            raise Mismatch("The answer names a parameter twice.", code="bad_callback")
        answer.setdefault(name, value)
    return answer


_ONCE = {"state", "iss", "error", *(name for preset in PRESETS.values() for name in preset.code_names)}
_ONCE |= {
    name
    for preset in PRESETS.values()
    if preset.tenants is not None
    for name in (*preset.tenants.names, preset.tenants.domain)
}


_DENIED = {
    "access_denied": "The service did not give access: somebody said no, or an administrator has to allow it first.",
    "login_required": "The service wants a fresh sign-in.",
    "consent_required": "The service wants consent first.",
    "interaction_required": "The service wants to ask something first.",
    "account_selection_required": "The service wants an account to be chosen first.",
    "temporarily_unavailable": "The service is busy just now. Try again in a minute.",
    "server_error": "The service had an error. Try again.",
    "invalid_scope": "The service does not know one of the scopes. Check `scopes` in nativeauth.toml.",
    "invalid_request": "The service did not accept the request. Check the profile in nativeauth.toml.",
    "unauthorized_client": "The service does not let this client sign in this way. Check its settings there.",
    "invalid_target": "The service does not know the audience or resource. Check them in nativeauth.toml.",
}


def _raise_denied(request: AuthorizationRequest, answer: Mapping[str, str]) -> NoReturn:
    code = clean(answer["error"], 60) or "error"
    said = clean(answer.get("error_description", ""))
    preset = PRESETS[request.profile.provider]
    words = words_for(preset.callback_words, code, said) or _DENIED.get(code, "The service refused.")
    kind = AskAgain if code in preset.restart_once and not request.again else LoginFailed
    raise kind(
        f"Sign-in to {request.profile.name!r} failed ({code}). {words}" + (f' It said: "{said}".' if said else ""),
        code=code,
    )
