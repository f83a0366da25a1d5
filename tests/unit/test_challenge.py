"""What an API wants: reading ``WWW-Authenticate``, whatever stands in it."""

from __future__ import annotations

from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth import _challenge
from jupyter_nativeauth._challenge import Challenge, read_challenges
from tests.tries import tries

GOOD: list[tuple[str, list[tuple[str, dict[str, str]]]]] = [
    # One challenge
    ('Bearer realm="api"', [("bearer", {"realm": "api"})]),
    ('BEARER REALM="Api"', [("bearer", {"realm": "Api"})]),
    ("Bearer realm=api", [("bearer", {"realm": "api"})]),
    ("Bearer realm='api'", [("bearer", {"realm": "'api'"})]),
    ('Bearer realm="a%20b"', [("bearer", {"realm": "a%20b"})]),
    ("Bearer", [("bearer", {})]),
    ("Bearer ", [("bearer", {})]),
    ("DPoP algs=ES256", [("dpop", {"algs": "ES256"})]),
    (
        'Bearer error="invalid_token", error_description="The access token expired"',
        [("bearer", {"error": "invalid_token", "error_description": "The access token expired"})],
    ),
    (
        'Bearer error="insufficient_user_authentication", acr_values="urn:a urn:b", max_age="5"',
        [("bearer", {"error": "insufficient_user_authentication", "acr_values": "urn:a urn:b", "max_age": "5"})],
    ),
    # Quoted strings
    (r'Bearer realm="say \"hi\""', [("bearer", {"realm": 'say "hi"'})]),
    (r'Bearer realm="a\\b"', [("bearer", {"realm": r"a\b"})]),
    (r'Bearer realm="\a\,"', [("bearer", {"realm": "a,"})]),
    ('Bearer realm=""', [("bearer", {"realm": ""})]),
    ('Bearer realm="a, Basic error=b"', [("bearer", {"realm": "a, Basic error=b"})]),
    ('Bearer x="error=no", error="yes"', [("bearer", {"x": "error=no", "error": "yes"})]),
    ('Bearer noterror="no", error="yes"', [("bearer", {"noterror": "no", "error": "yes"})]),
    # Blanks and commas
    ('Bearer   realm =   "a"   ,error="b" ,  c = " d "', [("bearer", {"realm": "a", "error": "b", "c": " d "})]),
    ('Bearer a="1",, b=2,,,c=3', [("bearer", {"a": "1", "b": "2", "c": "3"})]),
    (',Bearer realm="a"', [("bearer", {"realm": "a"})]),
    ('Bearer realm="a",', [("bearer", {"realm": "a"})]),
    ('Bearer , realm="a"', [("bearer", {"realm": "a"})]),
    ('\tBearer\trealm\t=\t"a"\t', [("bearer", {"realm": "a"})]),
    # Names twice: the first one counts, as with everything that a stranger adds at the end
    ('Bearer error="a", error="b"', [("bearer", {"error": "a"})]),
    ('Bearer error="a", ERROR="b"', [("bearer", {"error": "a"})]),
    # Several challenges
    (
        'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"',
        [("newauth", {"realm": "apps", "type": "1", "title": 'Login to "apps"'}), ("basic", {"realm": "simple"})],
    ),
    ('Basic, Bearer error="invalid_token"', [("basic", {}), ("bearer", {"error": "invalid_token"})]),
    ('Bearer error="a", Bearer error="b"', [("bearer", {"error": "a"}), ("bearer", {"error": "b"})]),
    # token68: not understood, and no reason to lose what follows
    ("Negotiate a87421==", [("negotiate", {})]),
    ("Negotiate YIIB/wYJ+Z==", [("negotiate", {})]),
    ('Negotiate a87421==, Bearer error="x"', [("negotiate", {}), ("bearer", {"error": "x"})]),
    ('Negotiate YIIB/wYJ, Bearer error="x"', [("negotiate", {}), ("bearer", {"error": "x"})]),
    (
        'Bearer realm="foo", Digest blah==, Basic realm="bar"',
        [("bearer", {"realm": "foo"}), ("digest", {}), ("basic", {"realm": "bar"})],
    ),
    # Nothing, and nonsense
    ("", []),
    (" ", []),
    (",", []),
    ("???", []),
    ('error="invalid_token"', []),
    ('"Bearer"', []),
    ("Bearer error=", [("bearer", {})]),
    ('Bearer error"invalid_token"', [("bearer", {})]),
    ('Bearer realm="unclosed', [("bearer", {})]),
    ('Bearer realm="stray\\"', [("bearer", {})]),
    ('Bearer a=1, ???, error="x"', [("bearer", {"a": "1", "error": "x"})]),
    ('Bearer error="x" ???', [("bearer", {"error": "x"})]),
    ("Bearer error=\N{LATIN SMALL LETTER E WITH ACUTE}, a=b", [("bearer", {"a": "b"})]),
]


@pytest.mark.parametrize(("header", "expected"), GOOD, ids=[header or "empty" for header, _ in GOOD])
def test_vectors(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    """LIB-071, NRM-117: the forms of RFC 9110, section 11.6.1 and RFC 6750, section 3, and what servers make of it."""
    assert read_challenges(header) == [Challenge(scheme, parameters) for scheme, parameters in expected]


TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=6)
VALUE = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=10)
PARAMETERS = st.dictionaries(TOKEN.map(str.lower), VALUE, max_size=4)


@tries(300)
@given(told=st.lists(st.tuples(TOKEN, PARAMETERS), max_size=3))
def test_what_is_written_by_the_rules_is_read(told: list[tuple[str, dict[str, str]]]) -> None:
    """FUZ-008: any challenges, written as RFC 9110 says, come back as they were."""
    header = ", ".join(
        f"{scheme} " + ", ".join(f'{name}="{escaped(value)}"' for name, value in parameters.items())
        for scheme, parameters in told
    )
    assert read_challenges(header) == [Challenge(scheme.lower(), parameters) for scheme, parameters in told]


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


PIECES = st.sampled_from(
    ["Bearer", "error", "=", '"', "\\", ",", " ", "\t", "a", "==", "/", "\0", "\N{BULLET}", "\ud800"]
)


@tries(500)
@given(header=st.text() | st.lists(PIECES, max_size=30).map("".join))
def test_any_text(header: str) -> None:
    """FUZ-008: it never raises, and what it finds stands in the text."""
    for challenge in read_challenges(header):
        assert challenge.scheme in header.lower()
        for name in challenge.parameters:
            assert name in header.lower()


@tries(200)
@given(first=st.lists(PIECES, max_size=20).map("".join), second=st.lists(PIECES, max_size=20).map("".join))
def test_what_follows_changes_nothing(first: str, second: str) -> None:
    """What was read from the beginning of a text stays the same, whatever stands behind the next comma."""
    first, second = first.replace('"', ""), second.replace('"', "")
    alone, both = read_challenges(first), read_challenges(f"{first},{second}")
    assert [one.scheme for one in both[: len(alone)]] == [one.scheme for one in alone]
    assert all(alone[at].parameters.items() <= both[at].parameters.items() for at in range(len(alone)))


def test_only_the_beginning_of_a_long_header_counts() -> None:
    """A header may be as long as the library lets it; 4096 letters are enough for any challenge."""
    long = 'Bearer error="x", ' + "a=b, " * 100_000 + "Basic realm=z"
    assert read_challenges(long) == [Challenge("bearer", {"error": "x", "a": "b"})]


def repeats(tree: Any) -> Iterator[tuple[Any, bool]]:
    """Every repeat in a parsed pattern, and whether it can match in more than one length."""
    for operation, argument in tree:
        if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT):
            least, most, _ = argument
            yield operation, least != most
        for part in argument if isinstance(argument, tuple | list) else (argument,):
            for inner in part if isinstance(part, list) else (part,):
                if isinstance(inner, _parser.SubPattern):
                    yield from repeats(inner)


@pytest.mark.parametrize("name", ["_PART", "_UNREADABLE"])
def test_no_letter_is_read_again_and_again(name: str) -> None:
    """FUZ-008: all repeats are possessive, so that no input makes the patterns try one letter in ever new ways."""
    found = list(repeats(_parser.parse(getattr(_challenge, name).pattern)))
    assert found
    assert all(operation is _constants.POSSESSIVE_REPEAT for operation, varies in found if varies)
