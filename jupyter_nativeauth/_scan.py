"""
Runs in: the command line. ``jupyter nativeauth scan``: are there tokens in notebooks, and where? Never which.

What a token looks like is data, below. A find holds a place and a kind; the value stays where it is.
"""

from __future__ import annotations

import base64
import json
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Find", "Problem", "kinds_in", "scan"]

LARGEST = 200 * 1024 * 1024
_PASSED_BY = {".git", "node_modules", "__pycache__", ".venv"}


def _is_jose(value: str) -> bool:
    """Whether it begins with a JOSE header (RFC 7515, section 4; RFC 7516, section 4)."""
    head = value.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict) and "alg" in header


def _is_random(value: str) -> bool:
    """Whether it looks like a secret, and not like a word, a placeholder or an example."""
    lowered = value.lower()
    if any(
        word in lowered for word in ("example", "your", "xxxx", "placeholder", "redacted", "****", "0000", "1234567")
    ):
        return False
    counts = Counter(value)
    entropy = -sum(count / len(value) * math.log2(count / len(value)) for count in counts.values())
    return entropy > 3 and any(letter.isdigit() for letter in value) and any(letter.isalpha() for letter in value)


class _Kind(NamedTuple):
    name: str
    pattern: re.Pattern[str]  # group "value", if there is one, is the secret; else all of it
    check: Callable[[str], bool] = _is_random


def _kind(name: str, pattern: str, check: Callable[[str], bool] = _is_random) -> _Kind:
    return _Kind(name, re.compile(pattern), check)


def _always(value: str) -> bool:  # noqa: ARG001 - a check like the others
    return True


_URL_SAFE = r"[A-Za-z0-9_-]"
_MEMBERS = (
    r"access_token|refresh_token|id_token|device_code|client_secret|clientSecret|code_verifier|api_?[kK]ey|api_?[sS]ecret"
    r"|x-api-key|x-api-secret|secret_?[kK]ey|auth_token|bearer_token|password"
)

# The first kind that a place fits is the one that is told: the special ones come before those that go by a name.
_KINDS = (
    _kind("private key", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----\s*\\?n?\s*[A-Za-z0-9+/]{16}", _always),
    # RFC 7519, and the five parts of RFC 7516. Auth0, Scalekit, Wristband and Xaman all hand out such.
    _kind("JSON Web Token", rf"\beyJ{_URL_SAFE}{{8,}}(?:\.{_URL_SAFE}*){{2,4}}", _is_jose),
    _kind("Auth0 refresh token", rf"\bv1\.M{_URL_SAFE}{{40,}}"),  # as its documentation shows them
    _kind("Google access token", rf"\bya29\.{_URL_SAFE}{{20,}}"),
    _kind("Google refresh token", rf"(?<![\w/])1//0{_URL_SAFE}{{30,}}"),
    _kind("Google API key", rf"\bAIza{_URL_SAFE}{{35}}\b"),
    # docs.github.com, "About authentication to GitHub": prefixes of tokens
    _kind("GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{40,255})"),
    _kind("GitLab token", rf"\bgl(?:pat|oas|dt|rt|cbt|ptt|ft|soat)-{_URL_SAFE}{{20,}}"),
    _kind("Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}"),
    _kind("AWS access key", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b", lambda value: not value.endswith("EXAMPLE")),
    _kind("Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    _kind("Anthropic API key", rf"\bsk-ant-{_URL_SAFE}{{20,}}"),
    _kind("OpenAI API key", rf"\bsk-(?:proj-|svcacct-|admin-)?{_URL_SAFE}{{32,}}"),
    _kind("Stripe key", r"\b[rs]k_live_[A-Za-z0-9]{20,}"),
    _kind("npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _kind("PyPI token", rf"\bpypi-AgE{_URL_SAFE}{{50,}}"),
    _kind("Azure client secret", r"(?<![\w~.-])[\w~.-]{3}[78]Q~[\w~.-]{31,34}(?![\w~.-])"),
    _kind("Okta API token", rf"\bSSWS\s+(?P<value>00{_URL_SAFE}{{40}})\b"),
    # An authorization response (RFC 6749, section 4.1.2). Its code is over by now; the next one will not be.
    _kind("authorization code", r"[?&]code=(?P<value>[\w.~%+/-]{10,})&[^\s\"'<>]*\bstate="),
    _kind("authorization code", r"[?&]state=[^\s\"'<>&]+&(?:[^\s\"'<>]*&)?code=(?P<value>[\w.~%+/-]{10,})"),
    _kind("token in an address", r"[?&#](?:access_token|id_token|refresh_token)=(?P<value>[\w.~%+/-]{16,})"),
    _kind("Jupyter token", r"[?&]token=(?P<value>[0-9a-f]{32,64})\b"),
    _kind("sign-in link", rf"/nativeauth/go/(?P<value>{_URL_SAFE}{{16,64}})"),  # one of ours: it works once
    _kind("bearer token", r"(?i:\bbearer)\s+(?P<value>[\w.~+/-]{20,}=*)"),  # RFC 6750, section 2.1
    _kind("value of a secret", rf"\b(?:{_MEMBERS})\\?[\"']?\]?\s*[:=]\s*\\?[\"'](?P<value>[^\s\"'\\]{{16,}})\\?[\"']"),
)


def kinds_in(text: str) -> Iterator[tuple[int, str]]:
    """
    What looks like a token in *text*: where it begins, and its kind.

    Example:
        >>> [kind for _, kind in kinds_in("hf_" + "aB3dE5gH7jK9" * 3)]
        ['Hugging Face token']
    """
    taken: list[tuple[int, int]] = []
    for kind in _KINDS:
        for found in kind.pattern.finditer(text):
            group = "value" if "value" in kind.pattern.groupindex else 0
            start, end = found.span(group)
            if any(start < other_end and other_start < end for other_start, other_end in taken):
                continue
            if kind.check(found[group]):
                taken.append((start, end))
                yield start, kind.name


@dataclass(frozen=True)
class Find:
    """
    A place with a token.

    Attributes:
        path: The file.
        place: Where in it: ``cell 3, output``, ``metadata`` or ``line 12``.
        kind: What it looks like.
    """

    path: str
    place: str
    kind: str

    def __str__(self) -> str:
        return f"{self.path}: {self.place}: {self.kind}"

    def to_json(self) -> dict[str, str]:
        """A JSON object."""
        return asdict(self)


class Problem(NamedTuple):
    """A file that could not be looked at, and why."""

    path: str
    why: str


def scan(paths: Iterable[Path], *, everything: bool = False) -> Iterator[Find | Problem]:
    """
    Look for tokens.

    Args:
        paths: Files, each looked at; and folders, in which notebooks are, however deep, checkpoints too.
        everything: In folders, look at all text files.

    Returns:
        Each place once, in the order of the files.
    """
    for path in paths:
        if not path.is_dir():
            yield from _in_file(path)
            continue
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(one for one in folders if one not in _PASSED_BY)
            for name in sorted(files):
                if name.endswith(".ipynb"):
                    yield from _in_file(Path(folder, name))
                elif everything:
                    yield from _in_file(Path(folder, name), only_text=True)


def _in_file(path: Path, *, only_text: bool = False) -> Iterator[Find | Problem]:
    try:
        if path.stat().st_size > LARGEST:
            yield Problem(str(path), f"it is larger than {LARGEST // 2**20} MiB")
            return
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        if not only_text:
            yield Problem(str(path), "it is not text in UTF-8")
        return
    except OSError as error:
        yield Problem(str(path), str(error.strerror))
        return
    pieces = _lines(text)
    if path.suffix == ".ipynb":
        try:
            pieces = _parts(json.loads(text))
        except (ValueError, RecursionError):
            yield Problem(str(path), "it is not a notebook; it was looked at as text")
    found = ((place, kind) for place, piece in pieces for _, kind in kinds_in(piece))
    for place, kind in dict.fromkeys(found):
        yield Find(str(path), place, kind)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        yield f"line {number}", line


def _parts(notebook: Any) -> Iterator[tuple[str, str]]:
    """The texts of a notebook, and where each stands (nbformat 3 and 4)."""
    book = notebook if isinstance(notebook, dict) else {"metadata": notebook}
    sheets = book.get("worksheets")
    cells = [
        cell
        for one in (book, *(sheets if isinstance(sheets, list) else ()))
        if isinstance(one, dict) and isinstance(one.get("cells"), list)
        for cell in one["cells"]
    ]
    for number, cell in enumerate(cells, 1):
        members = cell if isinstance(cell, dict) else {"source": cell}
        for name, value in members.items():
            part = {"outputs": "output", "attachments": "attachment", "input": "source"}.get(name, name)
            part = part if part in ("output", "attachment", "source") else "metadata"
            for text in _texts({name: value}):
                yield f"cell {number}, {part}", text
    for text in _texts({name: value for name, value in book.items() if name not in ("cells", "worksheets")}):
        yield "metadata", text


def _texts(value: Any) -> Iterator[str]:
    """Each text in *value*; a list of lines is one text, and a name stands with its value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        if value and all(isinstance(one, str) for one in value):
            yield "".join(value)
        else:
            for one in value:
                yield from _texts(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if str(name).startswith(("image/", "audio/", "video/")) and "svg" not in str(name):
                continue  # pixels
            if isinstance(one, str) and len(str(name)) < 100:
                yield f'"{name}": "{one}"'
            else:
                yield str(name)
                yield from _texts(one)
