"""
Runs in: the command line. What secrets look like: one table. It knows no files.

Why not a library: those that know more formats (gitleaks, detect-secrets) read lines of files, and a notebook's secret
stands in a cell's output, in pieces of escaped JSON. Where there is more than Python and notebooks, use them as well.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["ALLOWED", "PATTERNS", "Pattern", "kinds"]

ALLOWED = "pragma: allowlist secret"
"""A line that says this is left out: the mark of detect-secrets, so that who uses both writes one."""

_NEAR = 2000  # characters

_PLACEHOLDERS = frozenset(
    ["changeme", "dummy", "example", "fake", "foo", "here", "insert", "placeholder", "redacted", "replace", "your"]
)
_EXAMPLES = (
    "eyJzdWIiOiIxMjM0NTY3ODkwIiw",  # the claims of jwt.io's token, which half of all tutorials show
    "eyJpc3MiOiJqb2UiLA0K",  # RFC 7519, section 3.1
)


def _varied(value: str) -> bool:
    """No ``xxxxxxxx``, no dots for what was left out."""
    return len(set(value)) >= 8 and "..." not in value and not value.upper().endswith("EXAMPLE")


def _random(value: str) -> bool:
    """Nobody would write it by hand: no words, no name of a variable."""
    words = [word for word in re.split(r"[^a-z0-9]+", value.lower()) if word]
    if not _varied(value) or _PLACEHOLDERS & {*words}:
        return False
    digits, letters = any(map(str.isdigit, value)), any(map(str.isalpha, value))
    mixed = not value.islower() and not value.isupper()
    return letters and (digits or (mixed and len(words) < 3))


def _jwt(value: str) -> bool:
    """RFC 7515, section 4, and RFC 7516: the header is a JSON object with an algorithm."""
    head = value.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return False
    return isinstance(header, dict) and "alg" in header and not any(known in value for known in _EXAMPLES)


@dataclass(frozen=True)
class Pattern:
    """
    One kind of secret.

    Attributes:
        kind: What a person calls it.
        signs: Without one of these words, in lower case, it is not there: most texts are not searched at all.
        regex: Where it stands; the group ``value`` is the secret itself.
        is_real: Tells a value from a placeholder.
        beside: What must stand near it.
    """

    kind: str
    signs: str
    regex: re.Pattern[str]
    is_real: Callable[[str], bool] = _varied
    beside: str = ""


def _format(kind: str, signs: str, regex: str) -> Pattern:
    """A format that is known by its beginning. Nothing is asked of what follows: texts are glued together."""
    return Pattern(kind, signs, re.compile(rf"(?<![A-Za-z0-9])(?P<value>{regex})"))


# Between a name and its value. JSON in a string has escaped quotes.
_TO = r"\\{0,8}[\"']?\]?\s{0,5}(?:[:=]|%3[aAdD])\s{0,5}[bfru]?\\{0,8}[\"']?"
_OPAQUE = r"(?P<value>[\w.~+/%-]{16,4096}=*)"


def _named(kind: str, signs: str, names: str) -> Pattern:
    """A value that says nothing about itself, and is known by its name: JSON, a form, Python."""
    return Pattern(kind, signs, re.compile(rf"(?i)(?<![a-z0-9])(?:{names}){_TO}{_OPAQUE}"), _random)


PATTERNS = (
    # RFC 7519; ID tokens, and the access tokens of Auth0, Scalekit, Wristband, Xaman and most others
    Pattern(
        "JSON Web Token",
        "eyj",
        # A word's beginning, also after an escape: one that starts at each "eyJ" would be slow on a text of them.
        re.compile(
            r"(?:(?<![\w-])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
            r"(?P<value>eyJ[\w-]{5,8192}\.[\w-]{0,65536}\.[\w-]{0,65536}(?:\.[\w-]{1,65536}\.[\w-]{1,65536})?)"
        ),
        _jwt,
    ),
    # vault.py: magic, schema, state. It opens only with its key, and yet is nobody else's business.
    _format("sealed login of jupyter_nativeauth", "sk5bvge", r"Sk5BVgE[AB][A-Za-z0-9+/_-]{40,}"),
    # agent.py
    Pattern(
        "key of jupyter_nativeauth",
        "source",
        re.compile(
            r"\\*\"key\\*\":\s{0,5}\\*\"(?P<value>[A-Za-z0-9+/]{43}=)\\*\",\s{0,5}\\*\"source\\*\"",
        ),
    ),
    # _tickets.py: it works once, for a minute
    Pattern("sign-in link of jupyter_nativeauth", "/go/", re.compile(r"/nativeauth/go/(?P<value>[\w-]{16,64})")),
    # Jupyter Server: what it prints at its start, and people paste
    Pattern("Jupyter token", "token=", re.compile(r"[?&]token=(?P<value>[0-9a-f]{40,64})(?![0-9A-Za-z])")),
    # docs.github.com, "GitHub's token formats"
    _format(
        "GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", r"gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_\w{22,251}"
    ),
    # docs.gitlab.com, "Token prefixes"
    _format(
        "GitLab token",
        "glpat- gloas- gldt- glrt- glcbt- glptt- glft- glsoat-",
        r"gl(?:pat|oas|dt|rt|cbt|ptt|ft|soat)-[\w.-]{20,300}",
    ),
    # cloud.google.com, "API keys" and "Token types"; seen: refresh tokens begin with 1//, client secrets with GOCSPX-
    _format("Google API key", "aiza", r"AIza[\w-]{35}"),
    _format("Google access token", "ya29.", r"ya29\.[\w-]{20,2048}"),
    _format("Google refresh token", "1//0", r"1//0[\w-]{20,512}"),
    _format("Google client secret", "gocspx-", r"GOCSPX-[\w-]{28}"),
    # docs.aws.amazon.com, "IAM identifiers": unique ID prefixes; the rest is base32
    _format("AWS access key", "akia asia", r"(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])"),
    # api.slack.com, "Token types"
    _format("Slack token", "xox xapp-", r"xox[abeoprs]-[\w-]{10,512}|xapp-\d-[\w-]{10,512}"),
    # gitleaks: openai-api-key, anthropic-api-key
    _format(
        "OpenAI API key", "sk-", r"sk-(?:(?:proj|svcacct|admin)-[\w-]{20,300}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20})"
    ),
    _format("Anthropic API key", "sk-ant-", r"sk-ant-[\w-]{20,300}"),
    # gitleaks: azure-ad-client-secret. Microsoft writes "Q~" into each, so that it can be found.
    _format("Azure client secret", "q~", r"[\w.~]{3}\dQ~[\w.~-]{31,34}"),
    _named("Azure storage key", "accountkey", "AccountKey"),
    # developer.okta.com, "Create an API token": sent as `Authorization: SSWS ...`
    Pattern("Okta API token", "ssws", re.compile(r"\bSSWS\s{1,5}(?P<value>[\w=-]{30,100})")),
    # huggingface.co/docs, "User access tokens"
    _format("Hugging Face token", "hf_", r"hf_[A-Za-z0-9]{30,100}"),
    # github.blog, "npm's new access token format"
    _format("npm token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    # pypi.org/help: a macaroon for pypi.org or test.pypi.org
    _format("PyPI token", "pypi-age", r"pypi-AgE[\w-]{50,2048}"),
    # docs.stripe.com, "API keys"
    _format("Stripe key", "k_live_ k_test_", r"[rs]k_(?:live|test)_[A-Za-z0-9]{20,250}"),
    # seen at Auth0: an opaque refresh token
    _format("Auth0 refresh token", "v1.m", r"v1\.M[\w-]{40,200}"),
    # RFC 7468
    Pattern(
        "private key",
        "private",
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY-----"
            r"(?:\\+[nr]|\s){1,4}(?P<value>[A-Za-z0-9+/=:, -]{30,80})"
        ),
    ),
    # docs.xaman.dev: the headers of its API. A native client has no secret, so nobody should hold one.
    _named("Xaman API secret", "secret", "x-api-secret|xumm_api_?secret|xaman_api_?secret"),
    # RFC 6749, section 5.1; OpenID Connect Core, section 3.1.3.3
    _named("access token", "access", "access_?token"),
    _named("refresh token", "refresh", "refresh_?token"),
    _named("ID token", "id_token idtoken", "id_?token"),
    # RFC 6749, section 2.3.1; RFC 7636, section 4.1; RFC 8628, section 3.2
    _named("client secret", "secret", "client_?secret"),
    _named("code verifier", "verifier", "code_?verifier"),
    _named("device code", "device", "device_?code"),
    _named("API key", "api", "(?:x-)?api[_-]?(?:key|secret|token)"),
    # RFC 6750, section 2.1; RFC 9449, section 7.1; RFC 7617
    Pattern(
        "Authorization header",
        "authorization",
        re.compile(rf"(?i)\bauthorization{_TO}(?:bearer|basic|dpop|token)(?:\s|%20|\+){{1,5}}{_OPAQUE}"),
        _random,
    ),
    Pattern("bearer token", "bearer", re.compile(rf"(?i)\bbearer\s{{1,5}}{_OPAQUE}"), _random),
    # RFC 6749, section 4.1.2: where a browser came back to
    Pattern(
        "authorization code",
        "code=",
        re.compile(r"(?:[?&#]|&amp;)code=(?P<value>[\w.~%+/=-]{8,2048})"),
        _random,
        beside="state=",
    ),
)


def kinds(text: str, *, marks: bool = False) -> Iterator[tuple[int, str]]:
    """
    What is in *text*, as (offset, kind), in the table's order. One value has one kind: the first that knows it.

    Args:
        text: Any text.
        marks: Whether a line with :data:`ALLOWED` is left out. Not for what a program printed: anything may be there.
    """
    taken = bytearray(len(text))
    lower = text.lower()
    for pattern in PATTERNS:
        if not any(sign in lower for sign in pattern.signs.split()):
            continue
        for match in pattern.regex.finditer(text):
            start, end = match.span("value")
            if not pattern.is_real(match["value"]) or taken.find(1, start, end) >= 0:
                continue
            if pattern.beside not in text[max(0, start - _NEAR) : end + _NEAR]:
                continue
            taken[start:end] = b"\1" * (end - start)
            if not (marks and ALLOWED in _line(text, start)):
                yield start, pattern.kind


def _line(text: str, offset: int) -> str:
    end = text.find("\n", offset)
    return text[text.rfind("\n", 0, offset) + 1 : end if end >= 0 else len(text)]
