"""What holds for any input, beside the properties that stand with the tests of each file."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jupyter_nativeauth import NativeAuthError
from jupyter_nativeauth._callback import read_callback, read_query
from jupyter_nativeauth._grant import read_granted
from jupyter_nativeauth._http import ProviderClient
from jupyter_nativeauth._origin import api_origin, origin, spelled
from jupyter_nativeauth._tokens import Secret
from jupyter_nativeauth.errors import clean
from tests import samples
from tests.guided import properties
from tests.needles import Finder
from tests.tries import tries

TEXT = st.text(max_size=20)
NUMBER = st.integers() | st.floats() | st.booleans() | st.none() | st.integers().map(str) | st.text(max_size=8)
REQUEST = samples.request()


@tries(300)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=5, unique_by=lambda pair: pair[0]))
@example([("state", "a&b=c"), ("", ""), ("code", "+ %")])
def test_a_query_comes_back_as_it_was_sent(pairs: list[tuple[str, str]]) -> None:
    """FUZ-001: what a provider writes by the rules is read as it was meant, whatever it is."""
    assert read_query(urlencode(pairs)) == dict(pairs)


@tries(300)
@given(
    code=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
    place=st.integers(0, 80),
    letter=st.characters(max_codepoint=300),
)
@example(code="x", place=0, letter="&")
def test_one_letter_of_a_good_answer_is_another_one(code: str, place: int, letter: str) -> None:
    """FUZ-001: with one letter changed, the state and the issuer are still ours, or nothing is accepted."""
    sent = {"state": REQUEST.state.reveal(), "iss": REQUEST.provider.issuer, "code": code}
    query = urlencode(sent)
    assert read_callback(REQUEST, query).value.reveal() == code
    place %= len(query)
    changed = query[:place] + letter + query[place + 1 :]
    refused: NativeAuthError | None = None
    try:
        found = read_callback(REQUEST, changed)
    except NativeAuthError as error:
        refused = error
    if refused is not None:
        samples.assert_fit_to_show(refused)
        assert not Finder({REQUEST.state.reveal(): "state"}).find(f"{refused} {refused.hint}")
        return
    told = httpx.QueryParams(changed)  # a second reading
    assert [told.get_list(name) for name in ("state", "iss")] == [[sent["state"]], [sent["iss"]]]
    assert told.get_list("code") == [found.value.reveal()]


@tries(300)
@given(NUMBER, NUMBER, NUMBER)
@example("1e9", "0", -1)
@example(float("nan"), float("inf"), 1e300)
def test_any_number_of_seconds(expires: Any, refresh: Any, other: Any) -> None:
    """FUZ-009: a lifetime is unknown, or above 0 and at most 68 years, whatever stands in its place."""
    members = {"access_token": "a", "expires_in": expires, "refresh_token_expires_in": refresh}
    granted = read_granted({**members, "refresh_expires_in": other}, who="acme")
    for seconds in (granted.expires_in, granted.refresh_expires_in):
        assert seconds is None or 0 < seconds <= 2**31 - 1


@tries(300)
@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30) | st.integers().map(str),
    st.sampled_from([200, 429, 503]),
    st.integers().map(str) | st.just("Thu, 01 Jan 1970 00:00:00 GMT"),
)
@example("9" * 5000, 429, "-1")
@example("²", 429, "x")
def test_any_retry_after(said: str, status: int, date: str) -> None:
    """FUZ-009: the time to wait is unknown, or between nothing and an hour, whatever a header says."""
    client = ProviderClient(rate_limit_reset="x-reset")
    raw = [(b"retry-after", said.encode("latin-1")), (b"x-reset", said.encode("latin-1")), (b"date", date.encode())]
    seconds = client._retry_after(httpx.Response(status, headers=raw))
    assert seconds is None or 0 <= seconds <= 3600


HOSTS = st.from_regex(r"(https?|HTTPS)://[a-zA-Z0-9.\-\[\]:@%_]{1,20}(/|\?|#|\\)?[a-z]{0,3}", fullmatch=True)


@tries(400)
@given(HOSTS | st.text(max_size=20).map(lambda rest: f"https://{rest}"))
@example("https://good@evil/")
@example("https://127.1/")
@example("https://xn--/")
def test_an_origin_has_one_spelling(url: str) -> None:
    """FUZ-010: an origin, written down, is read as itself; a profile's is; and httpx connects to that host."""
    try:
        found = origin(url)
    except ValueError:
        return
    once = spelled(*found)
    assert origin(once) == found
    assert spelled(*origin(once)) == once
    if found[0] == "https":
        assert api_origin(once) == once
    seen = httpx.URL(once)
    assert (seen.scheme, seen.raw_host.decode(), seen.port or {"http": 80, "https": 443}[seen.scheme]) == found


@tries(200)
@given(st.text(max_size=60))
@example("\ud800")
def test_cleaned_twice(text: str) -> None:
    """FUZ-012: what was cleaned stays as it is."""
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize("show", [repr, str, "{}".format, lambda it: repr([it]), lambda it: repr({"a": it})])
@tries(60)
@given(st.text(min_size=12, max_size=40))
def test_a_secret_does_not_print(show: Any, value: str) -> None:
    """FUZ-012: whatever the secret is, what is shown of it is always the same."""
    assert show(Secret(value)) == show(Secret("another one"))


def test_properties_that_take_bytes() -> None:
    """FUZ-001, FUZ-002, FUZ-004: coverage-guided fuzzing finds the properties, and feeds them whatever it likes."""
    found = properties()
    assert len(found) > 30
    for name in ("unit.test_paste::test_nothing_that_is_typed_breaks_it", "unit.test_idtoken::test_any_text"):
        for raw in (b"", bytes(range(64)) * 4):
            found[name].hypothesis.fuzz_one_input(raw)
