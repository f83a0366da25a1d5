"""What a token endpoint says: which answers give tokens, which say no, and which say nothing at all. No I/O."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth import NativeAuthError, ProviderError, ProviderUnavailable
from jupyter_nativeauth._grant import Granted, printable, read_json, read_tokens
from jupyter_nativeauth._tokens import Secret
from tests.canary import Canary
from tests.samples import assert_fit_to_show
from tests.tries import tries

ACCESS, REFRESH = "NATK-access-grant0123", "NATK-refresh-grant0123"
GOOD = {"access_token": ACCESS, "token_type": "Bearer", "expires_in": 3600, "refresh_token": REFRESH, "scope": "a b"}


def read(members: object, status: int = 200, content_type: str = "application/json") -> Granted:
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    return read_tokens(status, content_type, body, who="acme")


def change(**changes: Any) -> dict[str, Any]:
    """The good answer, changed; ``...`` removes a member."""
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}


def refuse(
    canary: Canary, members: object, status: int = 200, content_type: str = "application/json"
) -> NativeAuthError:
    """INV-03: our own error, with nothing of the answer in it, nor in what led to it, nor in any frame of ours."""
    with pytest.raises(NativeAuthError) as caught:
        read(members, status, content_type)
    canary.look_error(caught.value)
    assert_fit_to_show(caught.value)
    return caught.value


def test_a_good_answer() -> None:
    """NRM-100, NRM-101: every member is read as what it is; what is not known is ignored; nothing of it prints."""
    granted = read({**GOOD, "id_token": "NATK-id-grant01234", "x": {"y": [1]}, "expires_at": 1} | _many(500))
    assert granted.access_token.reveal() == ACCESS
    assert granted.refresh_token is not None
    assert granted.refresh_token.reveal() == REFRESH
    assert granted.id_token is not None
    assert granted.id_token.reveal() == "NATK-id-grant01234"
    assert (granted.expires_in, granted.scopes) == (3600.0, ("a", "b"))
    assert "NATK" not in f"{granted} {granted!r} {vars(granted)}"


def _many(count: int) -> dict[str, Any]:
    return {f"member{n}": n for n in range(count)}


def test_the_least_that_is_an_answer() -> None:
    """CNF-054, CNF-060, LIB-016, NRM-103: an access token alone will do, its kind being a bearer token unless said."""
    assert read({"access_token": ACCESS}) == Granted(Secret(ACCESS), None, None, None, None, None)


def test_long_tokens() -> None:
    """NRM-101: there is no limit on the size of a token but that of the answer."""
    assert len(read(change(access_token="x" * 65536, refresh_token="y" * 65536)).access_token.reveal()) == 65536


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", "bEARER"])
def test_token_type_in_any_case(kind: str) -> None:
    """CNF-053, NRM-102: the kind of token is named in any case."""
    assert read(change(token_type=kind)).access_token == Secret(ACCESS)


@pytest.mark.parametrize("kind", [None, "", "mac", "N_A", "DPoP", "Bearer ", 1, ["Bearer"], {}, True])
def test_other_kinds_of_token(canary: Canary, kind: Any) -> None:
    """NRM-102, LIB-016, TRP-16: a token that we cannot use as a bearer token is not used as one."""
    assert refuse(canary, change(token_type=kind)).code == "bad_answer"


@pytest.mark.parametrize(
    "value",
    [
        ...,
        None,
        "",
        7,
        True,
        [ACCESS],
        {"value": ACCESS},
        "a b",
        "a\r\nX-Evil: 1",
        "a\tb",
        "a\0",
        "a\x7f",
        "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
        "\ud800",
    ],
)
def test_an_access_token_that_is_none(canary: Canary, value: Any) -> None:
    """TRP-14, TRP-16, TRP-34, LIB-014, LIB-015: text of %x21-7E, or nothing was granted; it goes into a header."""
    error = refuse(canary, change(access_token=value))
    assert (type(error), error.code) == (ProviderUnavailable, "bad_answer")


@pytest.mark.parametrize("value", [..., None, "", 7, [REFRESH], {}, False, "a b", "a\n", "\N{BULLET}"])
@pytest.mark.parametrize("name", ["refresh_token", "id_token"])
def test_an_absent_token(name: str, value: Any) -> None:
    """TRP-15, LIB-022, LIB-023: null, empty, of another type: read as absent, so that the old one is kept."""
    assert getattr(read(change(**{name: value})), name) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (3600, 3600.0),
        (1, 1.0),
        (0.5, 0.5),
        (3600.7, 3600.7),
        ("3600", 3600.0),
        (" 60 ", 60.0),
        (2**31 - 1, 2**31 - 1),
        (2**31, 2**31 - 1),
        (10**30, 2**31 - 1),
        ("9" * 30, 2**31 - 1),
        (..., None),
        (None, None),
        (0, None),
        (-5, None),
        ("0", None),
        ("-5", None),
        (True, None),
        (False, None),
        ("", None),
        ("zzz", None),
        ("3600.9", None),
        ("1e3", None),
        ("\N{SUPERSCRIPT TWO}", None),
        ("\N{CIRCLED DIGIT ONE}", None),
        ([], None),
        ({}, None),
        ([3600], None),
    ],
)
def test_lifetimes(value: Any, seconds: float | None) -> None:
    """LIB-017 to LIB-019, TRP-16: a number of seconds, clamped; whatever is none means "did not say", and no crash."""
    assert read(change(expires_in=value)).expires_in == seconds


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1E+999"])
def test_an_endless_lifetime(number: bytes) -> None:
    """TRP-16, LIB-019: a number that is too large for a number is not a lifetime."""
    assert read(b'{"access_token":"x","expires_in":' + number + b"}").expires_in is None


@pytest.mark.parametrize(
    ("members", "seconds"),
    [
        ({}, None),
        ({"refresh_token_expires_in": 1800}, 1800.0),
        ({"refresh_expires_in": "1800"}, 1800.0),
        ({"refresh_token_expires_in": 60, "refresh_expires_in": 1800}, 60.0),
        ({"refresh_expires_in": 0}, None),  # Keycloak's offline tokens
        ({"refresh_token_expires_in": 0, "refresh_expires_in": 1800}, 1800.0),
        ({"refresh_token_expires_in": -1}, None),
        ({"refresh_token_expires_in": True}, None),
        ({"refresh_expires_in": "never"}, None),
        ({"refresh_expires_in": 10**30}, 2**31 - 1),
    ],
)
def test_how_long_the_login_lasts(members: dict[str, Any], seconds: float | None) -> None:
    """By either name; zero and nonsense mean "did not say", since a login that never ends must not look over."""
    assert read({**GOOD, **members}).refresh_expires_in == seconds


def test_the_moment_of_expiry_is_ours_to_compute() -> None:
    """LIB-020: a server's ``expires_at`` says nothing, with whatever clock it was made."""
    assert read({"access_token": ACCESS, "expires_at": 1}).expires_in is None


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (..., None),
        (None, None),
        ("", None),
        ("  ", None),
        (["a"], None),
        (7, None),
        ("a", ("a",)),
        (" b  a ", ("b", "a")),
        ("a a", ("a",)),
        ("a \x1b[31m \N{RIGHT-TO-LEFT OVERRIDE}b c", ("a", "c")),
    ],
)
def test_scopes(scope: Any, expected: tuple[str, ...] | None) -> None:
    """LIB-021, NRM-103: absent or nonsense means "as asked for"; what cannot be a scope is left out."""
    assert read(change(scope=scope)).scopes == expected


# ---- no --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404])
def test_invalid_grant(canary: Canary, status: int) -> None:
    """LIB-011: the grant is dead, whatever the status; nothing else is called dead."""
    error = refuse(canary, {"error": "invalid_grant", "error_description": "gone"}, status)
    assert isinstance(error, ProviderError)
    assert (error.code, error.error, error.description) == ("invalid_grant", "invalid_grant", "gone")
    assert '"gone"' in str(error)


@pytest.mark.parametrize(
    ("status", "members"),
    [
        (400, {"error": "invalid_request"}),
        (400, {"error": "INVALID_GRANT"}),
        (400, {"error": " invalid_grant"}),
        (401, {"error": "invalid_client"}),
        (401, {"message": "Unauthorized"}),
        (403, {}),
        (400, b""),
        (403, b" \n"),
        (400, GOOD),
        (418, {"access_token": ACCESS}),
        (200, {"error": "slow_down"}),
        (200, {**GOOD, "error": "server_error"}),
        (200, {**GOOD, "error": {"code": 7}}),
        (200, {**GOOD, "error": ["x"]}),
        (200, {**GOOD, "error": 7}),
        (200, {**GOOD, "error": False}),
    ],
)
def test_other_refusals(canary: Canary, status: int, members: Any) -> None:
    """TRP-13, LIB-010, LIB-030: any other "no" in JSON or without a body is a refusal, and never a token."""
    error = refuse(canary, members, status)
    assert (type(error), error.code) == (ProviderError, "refused")


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_empty_error_is_none(nothing: Any) -> None:
    """LIB-030: a provider that fills in what it does not need has granted all the same."""
    assert read(change(error=nothing, error_description=nothing)).access_token == Secret(ACCESS)


@pytest.mark.parametrize(
    ("error", "description"),
    [
        ({"code": "x"}, None),
        (7, 7),
        ([], []),
        ("a\r\nb", "c\x1b[2Jd\N{RIGHT-TO-LEFT OVERRIDE}e"),
        ("<script>", "<img src=x>"),
        ("x" * 9000, "y" * 9000),
        ("\ud800", "\udfff"),
    ],
    ids=["object", "number", "list", "control", "HTML", "long", "surrogate"],
)
def test_hostile_words(canary: Canary, error: Any, description: Any) -> None:
    """LIB-030, NRM-116, TRP-16: the provider's words are made one short line of printable ASCII, or are left out."""
    caught = refuse(canary, {"error": error, "error_description": description}, 400)
    assert isinstance(caught, ProviderError)
    for words in (caught.error, caught.description):
        assert words.isascii()
        assert not words or words.isprintable()
        assert len(words) <= 300


# ---- nothing at all --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", [201, 202, 204, 206, 300, 301, 302, 303, 304, 307, 308, 407, 408, 425, 429, 500, 503]
)
def test_statuses_that_say_nothing(canary: Canary, status: int) -> None:
    """TRP-13, LIB-027: a token beside such a status is no token, and ``invalid_grant`` beside it ends nothing."""
    assert isinstance(refuse(canary, GOOD, status), ProviderUnavailable)
    if status >= 400:
        assert isinstance(refuse(canary, {"error": "invalid_grant"}, status), ProviderUnavailable)
    assert isinstance(refuse(canary, b"", status), ProviderUnavailable)


@pytest.mark.parametrize("status", [100, 199, 600, 999])
def test_statuses_that_do_not_exist(canary: Canary, status: int) -> None:
    """What is no answer of HTTP says nothing."""
    assert isinstance(refuse(canary, GOOD, status), ProviderUnavailable)


@pytest.mark.parametrize("content_type", ["text/html", "text/HTML; charset=utf-8", "application/xhtml+xml"])
@pytest.mark.parametrize("status", [200, 400, 403])
def test_a_page_is_no_answer(canary: Canary, status: int, content_type: str) -> None:
    """LIB-013, FLT-009: a portal, a proxy or a firewall speaks HTML; whatever it says, the provider has not said it."""
    for body in (GOOD, {"error": "invalid_grant"}, b"<h1>Welcome</h1>", b""):
        assert isinstance(refuse(canary, body, status, content_type), ProviderUnavailable)


@pytest.mark.parametrize("content_type", ["", "application/json", "application/problem+json", "text/plain", "x"])
def test_other_kinds_of_content(content_type: str) -> None:
    """LIB-013: many servers name another kind, or none; what reads as JSON is JSON."""
    assert read(GOOD, content_type=content_type).access_token == Secret(ACCESS)


NONSENSE = {
    "empty": b"",
    "blanks": b" \n",
    "null": b"null",
    "list": b"[]",
    "list of one": b'[{"access_token":"NATK-access-grant0123"}]',
    "string": b'"NATK-access-grant0123"',
    "number": b"7",
    "truncated": b'{"access_token":"NATK-access-grant0123","refresh_tok',
    "form": b"access_token=NATK-access-grant0123&token_type=bearer",
    "two": b'{"access_token":"NATK-access-grant0123"}{}',
    "HTML": b"<html>NATK-access-grant0123</html>",
    "Latin-1": b'{"access_token":"NATK-access-grant0123","n":"\xe9"}',
    "UTF-16": '{"access_token":"NATK-access-grant0123"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"access_token":"NATK-access-grant0123"}'.encode("utf-16-le"),
    "UTF-32": '{"access_token":"NATK-access-grant0123"}'.encode("utf-32"),
    "a bare control character": b'{"access_token":"NATK-access-grant0123\n"}',
    "a zero byte": b'{"access_token":"NATK-access-grant0123"}\0',
    "two marks": b'\xef\xbb\xbf\xef\xbb\xbf{"access_token":"NATK-access-grant0123"}',
    "one member twice": b'{"access_token":"NATK-access-grant0123","access_token":"x"}',
    "the same twice": b'{"access_token":"x","access_token":"x"}',
    "twice, spelt differently": b'{"access_token":"NATK-access-grant0123","\\u0061ccess_token":"x"}',
    "twice, further in": b'{"access_token":"NATK-access-grant0123","x":[{"y":1,"y":2}]}',
    "NaN": b'{"access_token":"NATK-access-grant0123","expires_in":NaN}',
    "Infinity": b'{"access_token":"NATK-access-grant0123","expires_in":Infinity}',
    "-Infinity": b'{"access_token":"NATK-access-grant0123","expires_in":-Infinity}',
    "a number of 5000 digits": b'{"access_token":"NATK-access-grant0123","expires_in":' + b"9" * 5000 + b"}",
    "deep lists": b'{"access_token":"NATK-access-grant0123","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"access_token":"NATK-access-grant0123","x":' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001,
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense(canary: Canary, case: str) -> None:
    """LIB-012, LIB-024, LIB-025, LIB-028, TRP-16, TRP-30: what is not one JSON object with each member once."""
    body = NONSENSE[case]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - ValueError is all that it promises
        read_json(body)
    canary.look_error(caught.value)
    assert isinstance(refuse(canary, body), ProviderUnavailable)


def test_a_byte_order_mark() -> None:
    """LIB-025: one mark before the text does no harm."""
    assert read_json(b"\xef\xbb\xbf" + b'{"a": "\xc3\xa9"}') == {"a": "\N{LATIN SMALL LETTER E WITH ACUTE}"}


def test_the_largest_number() -> None:
    """4300 digits are still a number to Python, and a lifetime is clamped whatever it is."""
    assert read(b'{"access_token":"x","expires_in":' + b"9" * 4300 + b"}").expires_in == 2**31 - 1


def test_what_was_read_does_not_print() -> None:
    """TRP-29: the members of an answer are a variable of frames that can raise; showing it shows nothing."""
    members = read_json(json.dumps({**GOOD, "more": {"token": ACCESS}}).encode())
    assert members["access_token"] == ACCESS
    assert "NATK" not in f"{members} {members!r} {members['more']!r}"


@tries(300)
@given(text=st.text(max_size=30))
def test_what_is_printable(text: str) -> None:
    """TRP-34: exactly the letters of RFC 6749's VSCHAR without the space."""
    assert printable(text) == all(0x21 <= ord(letter) <= 0x7E for letter in text)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.dictionaries(st.sampled_from([*GOOD, "id_token", "error", "error_description", "x"]), JSON, max_size=6)


@tries(400)
@given(
    members=MEMBERS | MEMBERS.map(lambda changes: {**GOOD, **changes}),
    edit=st.none() | st.tuples(st.integers(0, 400), st.binary(max_size=3)),
    status=st.sampled_from([200, 200, 200, 400, 401, 429, 500, 302]),
    kind=st.sampled_from(["application/json", "", "text/html"]),
)
def test_any_answer(members: dict[str, Any], edit: tuple[int, bytes] | None, status: int, kind: str) -> None:
    """FUZ-003: our own errors only; what is accepted has a printable token, and a lifetime between 0 and the cap."""
    body = json.dumps(members).encode()
    if edit:
        body = body[: edit[0]] + edit[1] + body[edit[0] + 1 :]
    try:
        granted = read(body, status, kind)
    except NativeAuthError as error:
        assert_fit_to_show(error)
        return
    assert (status, kind) in ((200, "application/json"), (200, ""))
    for token in (granted.access_token, granted.refresh_token, granted.id_token):
        assert token is None or (token.reveal() and printable(token.reveal()))
    assert granted.expires_in is None or (0 < granted.expires_in <= 2**31 - 1 and math.isfinite(granted.expires_in))
    assert granted.scopes is None or all(map(printable, granted.scopes))


@tries(300)
@given(body=st.binary(max_size=60))
def test_any_bytes(body: bytes) -> None:
    """FUZ-003: any bytes give our own error or a grant, and nothing else."""
    with contextlib.suppress(ProviderUnavailable, ProviderError):
        read(body)
