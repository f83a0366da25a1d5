"""
Runs in: everywhere. What people paste: the address on which a browser ended that could not come back to us. No I/O.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ._callback import Code, Mismatch, read_callback
from ._tokens import Secret
from .errors import LoginFailed

if TYPE_CHECKING:
    from ._oauth import AuthorizationRequest

__all__ = ["PASTE_CARE", "read_pasted"]

_LONGEST = 32768  # characters; the query in it may have half of them

# What no address holds (RFC 3986, section 2), and what terminals, mails and chats put around and into one: line breaks,
# quotes, brackets, marks of a quoted line, a shell's backslashes, colours.
_NOISE = re.compile(
    r"\x1b\[[0-9;?]*[@-~]|[\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff"
    '"<>`\\\\^{|}\u2018\u2019\u201a-\u201e\xab\xbb\u2039\u203a]+'
)
_AROUND = {"'": "'", "(": ")", "[": "]"}  # these may stand in an address, so only a pair around it is taken off

# RFC 8252 has no word on this; the trap is somebody who asks for the address, or sends one.
PASTE_CARE = "Paste only an address from your own browser, and send it to nobody."

_WHOLE = "Copy the whole address of the page that did not open: it has /nativeauth/callback? in it. Paste that."
_REFUSALS = {
    "paste_empty": ("Nothing was pasted.", _WHOLE),
    "paste_too_long": ("This is too long to be the address.", _WHOLE),
    "paste_incomplete": ("This is only a part of the address.", _WHOLE),
    "paste_first_page": (
        "This is the address of the page that begins the sign-in, not of the one that ends it.",
        "Open it in your browser, sign in, and paste the address of the page that does not open then.",
    ),
    "paste_service": (
        "This is still a page of the service.",
        "Sign in there, and go on until the browser shows a page that does not open. Paste the address of that page.",
    ),
    "paste_elsewhere": ("This is the address of another page.", _WHOLE),
    "unexpected_token": ("The answer holds a token where only a code may stand.", "Start the sign-in again."),
}
_OTHER = (
    "Paste the address on which the tab of this very sign-in has ended. "
    "If somebody has sent you an address, do not use it."
)


def read_pasted(request: AuthorizationRequest, text: Secret) -> Code:
    """
    Find the provider's answer in what a person has pasted, and check it as one that came to the callback.

    Neither the host nor the port counts, since a forwarded one differs: what makes it ours is its ``state``.

    Args:
        request: The sign-in that we began.
        text: What was pasted, as it came. No error ever repeats any of it.

    Raises:
        Mismatch: It is not the address that ends this sign-in, which goes on waiting. The hint says what to paste.
        LoginFailed: The provider said no, in its own word for ``code``.

    See Also:
        :func:`jupyter_nativeauth._callback.read_callback`, which has all of the checks.
    """
    try:
        return read_callback(request, _query_of(request, text.reveal()))
    except LoginFailed as error:
        refused = error
    if isinstance(refused, Mismatch) and not refused.hint:
        refused.hint = _OTHER
    refused.__cause__ = refused.__context__ = None
    raise refused.with_traceback(None)  # the frames that it came through hold the address


def _query_of(request: AuthorizationRequest, text: str) -> str:
    """The query of the callback's address in *text*."""
    if len(text) > _LONGEST:
        raise _refusal("paste_too_long")
    address, _, fragment = _tidy(text).partition("#")
    if "access_token=" in fragment or "id_token=" in fragment:
        raise _refusal("unexpected_token")  # the implicit flow (RFC 9700, section 2.1.2); nothing is read from there
    place, mark, query = address.partition("?")
    if not mark and "/" not in place and "=" in place:
        place, query = "", place  # only what stood behind the question mark
    if place:
        route = place.partition("/nativeauth/")[2].rstrip("/")
        if route.startswith("go/"):
            raise _refusal("paste_first_page")
        if route.partition("/")[0] != "callback":
            raise _refusal(_elsewhere(request, address) if "/" in place else "paste_incomplete")
        if route != request.redirect_uri.partition("/nativeauth/")[2]:
            raise Mismatch("The answer belongs to another sign-in.")
    if not re.search(r"(^|&)state=.", query):
        raise _refusal("paste_incomplete" if query or place else "paste_empty")
    return query


def _tidy(text: str) -> str:
    address = _NOISE.sub("", text).replace("&amp;", "&")
    while address[:1] in _AROUND and address[-1:] == _AROUND[address[:1]] and len(address) > 1:
        address = address[1:-1]
    half = len(address) // 2
    return address[half:] if address[:half] == address[half:] else address  # where it is hidden, people paste it twice


def _elsewhere(request: AuthorizationRequest, address: str) -> str:
    try:
        hosts = {urlsplit(one).hostname for one in (request.provider.authorization_endpoint, request.provider.issuer)}
        return "paste_service" if urlsplit(address).hostname in hosts else "paste_elsewhere"
    except ValueError:
        return "paste_elsewhere"


def _refusal(code: str) -> Mismatch:
    message, hint = _REFUSALS[code]
    return Mismatch(message, code=code, hint=hint)
