"""The errors: one tree, stable codes, words that are safe to show, and the way to another process."""

from __future__ import annotations

import copy
import html
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth import errors
from jupyter_nativeauth.errors import (
    LoginRequired,
    NativeAuthError,
    ProviderError,
    ProviderUnavailable,
    StepUpRequired,
    clean,
)
from tests.tries import tries

# Part of the API: whoever catches an error may look at its code.
CODES = {
    "ConfigError": "config",
    "KeySourceUnavailable": "key_unavailable",
    "LockTimeout": "lock_timeout",
    "LoginFailed": "login_failed",
    "LoginRequired": "signed_out",
    "NativeAuthError": "error",
    "NotSigned": "not_signed",
    "OriginNotAllowed": "origin_not_allowed",
    "ProviderError": "provider_error",
    "ProviderUnavailable": "provider_unavailable",
    "StepUpRequired": "insufficient_scope",
    "StoreError": "store",
    "VaultDamaged": "damaged",
    "VaultTooNew": "too_new",
}
KINDS: list[type[NativeAuthError]] = [getattr(errors, name) for name in errors.__all__]


def test_the_codes_are_stable() -> None:
    """Programs decide by them: a code that changes breaks somebody's code."""
    assert {kind.__name__: kind.default_code for kind in KINDS} == CODES
    assert len(set(CODES.values())) == len(CODES)


def test_the_tree() -> None:
    """All are NativeAuthErrors, and what concerns the place where the login is kept is a StoreError."""
    of_the_store = {kind.__name__ for kind in KINDS if issubclass(kind, errors.StoreError)}
    assert of_the_store == {"StoreError", "KeySourceUnavailable", "VaultDamaged", "VaultTooNew", "LockTimeout"}
    assert all(issubclass(kind, NativeAuthError) for kind in KINDS)
    for kind in KINDS:
        assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_error_says(kind: type[NativeAuthError]) -> None:
    """The message and what to do, in this order; the code is the kind's own unless another one is given."""
    error = kind("It broke.", hint="Mend it.")
    assert (str(error), error.args, error.code, error.hint) == (
        "It broke. Mend it.",
        ("It broke.",),
        CODES[kind.__name__],
        "Mend it.",
    )
    assert (str(kind("It broke.")), kind("It broke.").hint, kind("x", code="mine").code) == ("It broke.", "", "mine")


def samples_of_all() -> list[NativeAuthError]:
    made = [kind("It broke.", code="mine", hint="Mend it.") for kind in KINDS]
    made.append(ProviderError("No.", error="invalid_grant", description="gone"))
    made.append(ProviderUnavailable("Later.", retry_after=12.5))
    made.append(StepUpRequired("More.", scopes=("a", "b"), acr_values="mfa", max_age=0))
    return made


@pytest.mark.parametrize("error", samples_of_all(), ids=lambda error: type(error).__name__)
def test_an_error_travels(error: NativeAuthError) -> None:
    """LIB-078: through process pools and copies an error keeps its kind, words, code, hint and attributes."""
    ways = [pickle.loads(pickle.dumps(error, version)) for version in range(pickle.HIGHEST_PROTOCOL + 1)]
    for other in (*ways, copy.copy(error), copy.deepcopy(error)):
        assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))


def test_an_error_in_a_notebook_is_short() -> None:
    """SEC-041: an uncaught one shows what happened and what to do: no frame, and so no variable of one."""
    try:
        secret = "NATK-access-frame0123"
        raise LoginRequired("Nobody is signed in to 'acme'.", hint="Run `%login acme`.")
    except LoginRequired as error:
        shown = error._render_traceback_()
        page = error._repr_html_()
        assert secret
    assert shown == ["LoginRequired: Nobody is signed in to 'acme'.", "", "Run `%login acme`."]
    assert page == "LoginRequired: Nobody is signed in to &#x27;acme&#x27;.<br><br>Run `%login acme`."
    assert LoginRequired("No.")._render_traceback_() == ["LoginRequired: No."]


def test_an_error_on_a_page_is_text() -> None:
    """SEC-012: whatever stands in a message or a hint is no markup in a notebook's output."""
    hostile = "<img src=x onerror=alert(1)>&\"'"
    page = LoginRequired(hostile, hint=hostile)._repr_html_()
    assert html.escape(hostile) in page
    assert page.replace("<br>", "").count("<") == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain words, 100 %.", "plain words, 100 %."),
        ("a\r\nb\tc\0d\x7fe\x85f", "a??b?c?d?e?f"),
        ("\x1b[31mred\x1b]0;title\x07", "?[31mred?]0;title?"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}gpj.exe\N{ZERO WIDTH SPACE}\ufeff", "?gpj.exe??"),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE} \N{SNOWMAN} \ud800", "caf? ? ?"),
        ("<script>alert('x')</script>", "<script>alert('x')</script>"),
        ("", ""),
        (None, ""),
        (7, ""),
        ([], ""),
        ({"error": "x"}, ""),
        (b"bytes", ""),
    ],
)
def test_foreign_words_are_cleaned(text: Any, expected: str) -> None:
    """NRM-116, LIB-030, SEC-012: nothing that a terminal, a log or a line would obey; markup is escaped where it is
    shown, not here."""
    assert clean(text) == expected


@tries(300)
@given(text=st.text(max_size=400), limit=st.integers(4, 350))
def test_cleaned_words_are_short_and_printable(text: str, limit: int) -> None:
    """FUZ-012: at most so many characters of printable ASCII, the same ones where they were, dots where it was cut."""
    cleaned = clean(text, limit)
    assert len(cleaned) <= limit
    assert all(" " <= letter <= "~" for letter in cleaned)
    if len(text) <= limit:
        assert len(cleaned) == len(text)
        assert all(new in (old, "?") for old, new in zip(text, cleaned, strict=True))
    else:
        assert cleaned.endswith("...")
    assert clean(cleaned, limit) == cleaned


def test_a_providers_words_are_cleaned_by_the_error_itself() -> None:
    """LIB-030: nobody can forget it, and what is no text is left out."""
    error = ProviderError("No.", error="a\nb", description={"x": 1})
    assert (error.error, error.description) == ("a?b", "")
    assert (
        len(ProviderError("No.", error="x" * 999).error),
        len(ProviderError("No.", description="x" * 999).description),
    ) == (80, 300)
