"""The HTTP clients of a script's author: who gets the access token, what an answer leads to, and what stays behind."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import pickle
import re
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx
import httpx2
import pytest
import requests
from IPython.core.ultratb import FormattedTB

from jupyter_nativeauth import (
    ConfigError,
    LoginRequired,
    NativeAuth,
    OriginNotAllowed,
    Profile,
    StepUpRequired,
    access_token,
    get_async_session,
    get_session,
    login,
    session,
)
from jupyter_nativeauth import httpx2 as for_httpx2
from jupyter_nativeauth import requests as for_requests
from jupyter_nativeauth._accounts import Accounts, use_accounts
from jupyter_nativeauth.agent import KeyAgent
from jupyter_nativeauth.keys import Key
from tests.canary import Canary
from tests.oidc_provider import Hit, OidcProvider
from tests.person import Person

ME = "/api/me"
INVALID = 'Bearer realm="api", error="invalid_token"'


# ---- the same rules for all of them: one way of calling for each library, sync and async ---------------------------


def with_session(method: str, url: str, **options: Any) -> Any:
    with get_session("acme", follow_redirects=True) as api:
        return api.request(method, url, **options)


def with_async_session(method: str, url: str, **options: Any) -> Any:
    async def main() -> httpx.Response:
        async with get_async_session("acme", follow_redirects=True) as api:
            return await api.request(method, url, **options)

    return asyncio.run(main())


def with_own_client(method: str, url: str, **options: Any) -> Any:
    with httpx.Client(auth=NativeAuth("acme"), follow_redirects=True) as client:
        return client.request(method, url, **options)


def with_async_httpx2(method: str, url: str, **options: Any) -> Any:
    async def main() -> httpx2.Response:
        async with httpx2.AsyncClient(auth=for_httpx2.NativeAuth("acme"), follow_redirects=True) as client:
            return await client.request(method, url, **options)

    return asyncio.run(main())


def with_requests(method: str, url: str, **options: Any) -> Any:
    if "content" in options:
        options["data"] = options.pop("content")
    with requests.Session() as client:
        return client.request(method, url, auth=for_requests.NativeAuth("acme"), timeout=30, **options)


Call = Callable[..., Any]
EVERY = [with_session, with_async_session, with_own_client, with_async_httpx2, with_requests]
EACH_KIND = [with_session, with_async_session, with_requests]  # one for each code path of ours

every_client = pytest.mark.parametrize("call", EVERY, ids=lambda call: call.__name__[5:])
each_kind = pytest.mark.parametrize("call", EACH_KIND, ids=lambda call: call.__name__[5:])


@pytest.fixture
def ada(person: Person) -> Person:
    """Somebody who has signed in."""
    person.sign_in()
    return person


def calls(oidc: OidcProvider) -> list[tuple[str | None, int | None]]:
    """What reached the API: which access token came along, and what was answered."""
    return [(hit.authorization and str(hit.bearer), hit.status) for hit in oidc.journal("api")]


def bare_tokens(oidc: OidcProvider) -> list[str]:
    return [value for kind, value in oidc.secrets() if kind in ("access", "refresh", "id")]


def verbose(error: BaseException) -> str:
    """What ``%xmode Verbose`` and other tools that print local variables show of *error*."""
    show: Any = FormattedTB(mode="Verbose")  # type: ignore[no-untyped-call]
    lines = [*traceback.TracebackException.from_exception(error, capture_locals=True).format()]
    return "".join(lines) + str(show.text(type(error), error, error.__traceback__))


def remains(response: Any) -> str:
    """All that can be read off a response, its requests and its history."""
    words = []
    for each in (*response.history, response):
        for request in (each.request, getattr(each, "next_request", None), getattr(each, "next", None)):
            if request is not None:
                raw = getattr(request.headers, "raw", None)
                words.append(f"{request!r} {request.headers!r} {dict(request.headers)!r} {raw!r} {vars(request)!r}")
        words.append(f"{each!r} {each.headers!r} {vars(each)!r}")
        words.append(pickle.dumps(each).decode("latin-1"))
    return "\n".join(words)


def assert_no_token(oidc: OidcProvider, text: str) -> None:
    assert text
    assert not [token for token in bare_tokens(oidc) if token in text]


# ---- where the access token goes -----------------------------------------------------------------------------------


@every_client
def test_it_signs_requests_to_the_api(ada: Person, oidc: OidcProvider, call: Call) -> None:
    """SEC-040, SEC-045, LIB-078, NRM-106: each client sends the token, and nothing of it is left on the response."""
    response = call("GET", oidc.api + ME)
    assert (response.status_code, response.json()["name"]) == (200, "Ada Example")
    assert calls(oidc) == [("0", 200)]
    assert_no_token(oidc, remains(response))


@every_client
def test_another_origin_is_refused_before_connecting(ada: Person, oidc: OidcProvider, call: Call) -> None:
    """TRP-17, SEC-070, NRM-047, NRM-108, PRM-005: the error names both sides and the way out, and nothing was sent."""
    with pytest.raises(OriginNotAllowed) as caught:
        call("GET", oidc.other_api + ME)
    assert oidc.journal("api") == []
    assert oidc.other_api in str(caught.value)
    assert oidc.api in str(caught.value)
    assert "auth=None" in caught.value.hint


@every_client
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_another_origin_carries_nothing(ada: Person, oidc: OidcProvider, call: Call, status: int) -> None:
    """TRP-37, SEC-071: nor does the other side's 401 renew anything, or bring the request there again."""
    response = call("POST", f"{oidc.api}/api/redirect?status={status}&to={oidc.other_api}{ME}", content=b"body")
    assert response.status_code == 401
    assert calls(oidc) == [("0", status), (None, 401)]
    assert oidc.journal("api")[1].origin == oidc.other_api
    assert oidc.refreshes == 0
    assert_no_token(oidc, remains(response))


@every_client
def test_a_redirect_to_the_same_origin_keeps_it(ada: Person, oidc: OidcProvider, call: Call) -> None:
    """SEC-071, SEC-045: and the whole history forgets it afterwards."""
    response = call("GET", f"{oidc.api}/api/redirect?to={ME}")
    assert response.status_code == 200
    assert calls(oidc) == [("0", 302), ("0", 200)]
    assert len(response.history) == 1
    assert_no_token(oidc, remains(response))


@every_client
def test_a_redirect_that_is_not_followed_holds_no_token(ada: Person, oidc: OidcProvider, call: Call) -> None:
    """SEC-045: the request that would come next does not show it either."""
    option = "allow_redirects" if call is with_requests else "follow_redirects"
    response = call("GET", f"{oidc.api}/api/redirect?to={ME}", **{option: False})
    assert calls(oidc) == [("0", 302)]
    assert_no_token(oidc, remains(response).replace(pickle.dumps(response).decode("latin-1"), ""))


def test_another_name_of_the_same_machine_is_another_origin(ada: Person, oidc: OidcProvider) -> None:
    """SEC-071: a redirect from 127.0.0.1 to localhost leaves the origin, whatever the name leads to."""
    elsewhere = oidc.api.replace("127.0.0.1", "localhost")
    with get_session(follow_redirects=True) as api:
        assert api.get("/api/redirect", params={"to": elsewhere + ME}).status_code == 401
        with pytest.raises(OriginNotAllowed):
            api.get(elsewhere + ME)
    assert calls(oidc) == [("0", 302), (None, 401)]


SAME = [
    "https://api.example/v1",
    "HTTPS://API.EXAMPLE:443/v1",
    "https://api.example:0443/v1",
    "https://api.example?x=https://evil.example/",
    "https://api.example/@evil.example/",
    "https://api.example/#@evil.example",
    "https://xn--bcher-kva.example:8443/",
    "https://bücher.example:8443/",
    "http://[::1]:9000/",
    "http://[0:0:0:0:0:0:0:1]:9000/",
]
OTHER = [
    "http://api.example/",
    "https://api.example:8443/",
    "https://api.example.evil.example/",
    "https://evil.example/?https://api.example/",
    "https://evil.example/https://api.example/",
    "https://evil.example#https://api.example/",
    "https://api.example@evil.example/",
    "https://api.example:443@evil.example/",
    "https://ada:secret@api.example/",
    "https://api.example./",
    "https://.api.example/",
    "https://api.example\\.evil.example/",
    "https://evil.example\\@api.example/",
    "https://api%2eexample/",
    "https://%61pi.example/",
    "https://api.example%00.evil.example/",
    "https://\N{CYRILLIC SMALL LETTER A}pi.example/",
    "https://api\N{IDEOGRAPHIC FULL STOP}example.evil.example/",
    "https://b%C3%BCcher.example:8443/",
    "https://bücher.example/",
    "https://bu\N{COMBINING DIAERESIS}cher.example:9443/",
    "http://[::1]/",
    "http://[::1]:9001/",
    "http://[::ffff:127.0.0.1]:9000/",
    "http://127.0.0.1:9000/",
    "http://localhost:9000/",
    "https://[::1]:9000/",
    "ftp://api.example/",
    "wss://api.example/",
]
# requests itself leads these to the API, and nowhere else.
STRAIGHTENED = ["https://api.example\\.evil.example/", "https://api%2eexample/", "https://%61pi.example/"]


@each_kind
def test_what_an_origin_is(person: Person, call: Call) -> None:
    """SEC-070, NRM-107, ADV-027: scheme, host and port decide, in every spelling of them; what could be read in two
    ways is refused."""
    known = ["https://api.example", "https://bücher.example:8443", "http://[::1]:9000"]
    person.write(acme=person.service.profile(api=known))
    # Nobody is signed in: an origin that is allowed ends with that, and no address is ever looked up.
    for url in SAME:
        with pytest.raises(LoginRequired):
            call("GET", url)
    refused = (OriginNotAllowed, httpx.InvalidURL, requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)
    for url in OTHER:
        straightened = call is with_requests and url in STRAIGHTENED
        with pytest.raises(LoginRequired if straightened else refused):
            call("GET", url)
        assert not straightened or urlsplit(str(requests.Request("GET", url).prepare().url)).hostname == "api.example"


def test_relative_and_strange_addresses_stay_at_the_api(person: Person) -> None:
    """SEC-072: what follows ``base_url`` cannot lead away from it."""
    person.write(acme=person.service.profile(api=["https://api.example"]))
    for path in ("v1", "/v1", "?q", "/\\evil.example", "../x"):
        with get_session() as api, pytest.raises(LoginRequired):
            api.get(path)
    for path in ("//evil.example/", "https:evil.example", "https:///evil.example"):
        with (
            get_session() as api,
            pytest.raises((LoginRequired, OriginNotAllowed, httpx.InvalidURL, httpx.UnsupportedProtocol)) as caught,
        ):
            api.get(path)
        if caught.type is LoginRequired:
            assert api.build_request("GET", path).url.host == "api.example"


def test_one_profile_s_token_never_reaches_another_s_api(ada: Person, oidc: OidcProvider) -> None:
    """SEC-073, NRM-141, SEC-056, ADV-061: each profile has its own tokens and its own origins."""
    both = {"acme": oidc.profile(), "other": oidc.profile(api=[oidc.other_api], scopes=["openid", "offline_access"])}
    ada.write(**both)
    with pytest.raises(LoginRequired):
        get_session("other").get(ME)
    from jupyter_nativeauth._attempt import ListenerAttempt
    from jupyter_nativeauth._oauth import Ask
    from tests.person import outcome

    browser = oidc.browser()
    outcome(
        ListenerAttempt(
            ada.accounts.get("other"),
            Ask(),
            30,
            lambda url: threading.Thread(target=browser.open, args=(url,), daemon=True).start(),
        )
    )
    with get_session("acme") as acme, get_session("other") as other:
        assert acme.get(ME).status_code == other.get(ME).status_code == 200
        for client, url in ((acme, oidc.other_api), (other, oidc.api)):
            with pytest.raises(OriginNotAllowed):
                client.get(url + ME)
    assert [(hit.origin, hit.bearer) for hit in oidc.journal("api")] == [(oidc.api, 0), (oidc.other_api, 1)]


def test_without_auth_it_may_go_anywhere(ada: Person, oidc: OidcProvider) -> None:
    """SEC-072: ``auth=None``, for a request or for the client, sends no token and asks for no login."""
    with get_session() as api:
        assert api.get(oidc.other_api + ME, auth=None).status_code == 401
        assert api.get(ME, auth=None).status_code == 401
        api.auth = None  # type: ignore[assignment]  # httpx takes it, and says otherwise
        assert api.get(ME).status_code == 401
    assert calls(oidc) == [(None, 401)] * 3
    assert oidc.refreshes == 0


@every_client
def test_the_caller_s_own_authorization_counts(ada: Person, oidc: OidcProvider, canary: Canary, call: Call) -> None:
    """SEC-072: a header of one's own is sent as it is, anywhere; ours stays out of it, also after a 401."""
    for url in (oidc.api + ME, oidc.other_api + ME):
        response = call("GET", url, headers={"Authorization": "Bearer my-own"})
        assert response.status_code == 401
        assert response.request.headers["Authorization"] == "Bearer my-own"
    assert [(hit.authorization, hit.bearer) for hit in oidc.journal("api")] == [("Bearer", None)] * 2
    assert oidc.refreshes == 0


def test_a_profile_without_an_api_says_what_to_add(person: Person, oidc: OidcProvider) -> None:
    """Nobody guesses which API a token is for: the error says which line of the configuration is missing."""
    person.write(acme=oidc.profile(api=[]))
    with get_session() as api:
        for url in (ME, oidc.api + ME):
            with pytest.raises(OriginNotAllowed, match="names no API") as caught:
                api.get(url)
            assert 'api = ["https://' in caught.value.hint
            assert "[profiles.acme]" in caught.value.hint


# ---- what an answer leads to ---------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize(
    ("status", "challenge", "renews"),
    [
        (401, INVALID, True),
        (401, None, True),
        (401, "Bearer", True),
        (401, f'Basic realm="a, b", {INVALID}', True),
        (401, 'Basic realm="api"', False),
        (401, "Negotiate", False),
        (401, 'Bearer error="invalid_request"', False),
        (403, None, False),
        (403, INVALID, False),
        (400, INVALID, False),
        (500, INVALID, False),
    ],
)
def test_which_answers_renew_the_token(
    ada: Person, oidc: OidcProvider, call: Call, status: int, challenge: str | None, renews: bool
) -> None:
    """LIB-070, LIB-071: a 401 that is about the token renews it once and repeats the request once; no other does."""
    oidc.fault("api", status=status, headers={"www-authenticate": challenge} if challenge else {}, body="no")
    response = call("GET", oidc.api + ME)
    assert response.status_code == (200 if renews else status)
    assert calls(oidc) == ([("0", status), ("1", 200)] if renews else [("0", status)])
    assert oidc.refreshes == (1 if renews else 0)
    assert_no_token(oidc, remains(response))


@every_client
def test_a_second_401_is_returned(ada: Person, oidc: OidcProvider, call: Call) -> None:
    """LIB-070, FLT-006: two requests, one renewal; and an API that refuses everything causes no storm of renewals."""
    oidc.fault("api", status=401, headers={"www-authenticate": INVALID}, body="no", times=6)
    response = call("GET", oidc.api + ME)
    assert (response.status_code, response.text) == (401, "no")
    assert [len(response.history), oidc.refreshes] == [1, 1]
    assert calls(oidc) == [("0", 401), ("1", 401)]
    assert call("GET", oidc.api + ME).status_code == 401
    assert oidc.refreshes == 1
    assert_no_token(oidc, remains(response))


@each_kind
@pytest.mark.parametrize(
    ("status", "challenge", "asks"),
    [
        (
            403,
            'Bearer error="insufficient_scope", scope="items:read items:write"',
            {"scopes": ("items:read", "items:write")},
        ),
        (
            401,
            'Bearer error="insufficient_user_authentication", acr_values="urn:gold silver", max_age="60"',
            {"acr_values": "urn:gold silver", "max_age": 60},
        ),
        (403, 'Basic realm="x", Bearer error="insufficient_scope"', {}),
        (
            403,
            'Bearer error="insufficient_scope", scope="a\\"); import os #", max_age="1e9"',
            {"scopes": ('a");', "import", "os", "#")},
        ),
    ],
)
def test_an_api_that_wants_more(
    ada: Person, oidc: OidcProvider, call: Call, status: int, challenge: str, asks: dict[str, Any]
) -> None:
    """LIB-071, NRM-155, RFC 9470: it renews nothing, and the hint holds the very login() call that gives what is
    missing."""
    oidc.fault("api", status=status, headers={"www-authenticate": challenge})
    with pytest.raises(StepUpRequired) as caught:
        call("GET", oidc.api + ME)
    error = caught.value
    assert error.code in challenge
    assert {"scopes": error.scopes, "acr_values": error.acr_values, "max_age": error.max_age} == {
        "scopes": (),
        "acr_values": None,
        "max_age": None,
        **asks,
    }
    (written,) = re.findall(r"login\(.*\)", error.hint)
    wanted = ast.parse(written, mode="eval").body
    assert isinstance(wanted, ast.Call)
    given = {str(word.arg): ast.literal_eval(word.value) for word in wanted.keywords}
    assert ([ast.literal_eval(one) for one in wanted.args], given) == (["acme"], asks)
    inspect.signature(login).bind("acme", **given)
    assert (len(calls(oidc)), oidc.refreshes) == (1, 0)


@each_kind
def test_an_api_that_wants_more_after_a_renewal(ada: Person, oidc: OidcProvider, call: Call) -> None:
    """LIB-071: the answer to the repeated request is read in the same way."""
    oidc.fault("api", status=401, headers={"www-authenticate": INVALID})
    oidc.fault("api", status=403, headers={"www-authenticate": 'Bearer error="insufficient_scope", scope="more"'})
    with pytest.raises(StepUpRequired, match="more"):
        call("GET", oidc.api + ME)
    assert (len(calls(oidc)), oidc.refreshes) == (2, 1)


@every_client
def test_bodies_are_sent_again_in_full(ada: Person, oidc: OidcProvider, call: Call) -> None:
    """LIB-072: bytes, JSON and forms go out a second time as they were."""
    bodies: list[dict[str, Any]] = [{"content": b"x" * 70_000}, {"json": {"a": ["é"]}}, {"data": {"a": "b c"}}]
    for number, body in enumerate(bodies):
        ada.sign_in()  # what was renewed a moment ago is not renewed again
        first = call("POST", oidc.api + ME, **body).json()["received"]
        assert first > 0
        oidc.expire("AccessToken")
        again = call("POST", oidc.api + ME, **body)
        assert (again.status_code, again.json()["received"], again.json()["method"]) == (200, first, "POST")
        assert oidc.refreshes == number + 1


def pieces() -> Iterator[bytes]:
    yield b"one "
    yield b"two"


async def async_pieces() -> AsyncIterator[bytes]:
    for piece in pieces():
        yield piece


STREAMS: dict[str, Callable[[], dict[str, Any]]] = {
    "generator": lambda: {"content": pieces()},
    "file": lambda: {"content": io.BytesIO(b"one two")},
    "upload": lambda: {"files": {"file": ("a.txt", io.BytesIO(b"one two"))}},
}


@pytest.mark.parametrize("call", [with_session, with_requests], ids=lambda call: call.__name__[5:])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_streamed_body_is_not_sent_again(ada: Person, oidc: OidcProvider, call: Call, kind: str) -> None:
    """LIB-072: it is used up, so the 401 is returned rather than half a body sent; the next request has a new token."""
    if call is with_requests and kind == "upload":
        return  # requests reads all of a form into memory: it can be sent again
    oidc.expire("AccessToken")
    refused = call("POST", oidc.api + ME, **STREAMS[kind]())
    assert refused.status_code == 401
    assert (calls(oidc), oidc.refreshes) == ([("0", 401)], 1)
    sent = call("POST", oidc.api + ME, **STREAMS[kind]()).json()["received"]
    assert sent >= len(b"one two")
    assert (calls(oidc), oidc.refreshes) == ([("0", 401), ("1", 200)], 1)


def test_an_async_stream_is_not_sent_again(ada: Person, oidc: OidcProvider) -> None:
    """LIB-072: the same for async clients and async generators."""
    oidc.expire("AccessToken")
    assert with_async_session("POST", oidc.api + ME, content=async_pieces()).status_code == 401
    assert with_async_session("POST", oidc.api + ME, content=async_pieces()).json()["received"] == 7
    assert (calls(oidc), oidc.refreshes) == ([("0", 401), ("1", 200)], 1)


def test_a_form_of_requests_is_sent_again_in_full(ada: Person, oidc: OidcProvider) -> None:
    """LIB-072: requests has read the file into memory before the first time."""
    first = with_requests("POST", oidc.api + ME, **STREAMS["upload"]()).json()["received"]
    oidc.expire("AccessToken")
    again = with_requests("POST", oidc.api + ME, **STREAMS["upload"]())
    assert (again.status_code, again.json()["received"]) == (200, first)


@each_kind
def test_a_redirect_after_a_renewal_is_followed(ada: Person, oidc: OidcProvider, call: Call) -> None:
    """LIB-070, SEC-071: the repeated request may lead on, with the new token, and leaves nothing behind."""
    oidc.fault("api", status=401, headers={"www-authenticate": INVALID})
    response = call("GET", f"{oidc.api}/api/redirect?to={ME}")
    assert response.status_code == 200
    assert calls(oidc) == [("0", 401), ("1", 302), ("1", 200)]
    assert_no_token(oidc, remains(response))


@pytest.mark.parametrize("call", [with_session, with_async_session], ids=lambda call: call.__name__[5:])
def test_only_what_was_refused_is_sent_again(ada: Person, oidc: OidcProvider, call: Call) -> None:
    """LIB-070: a 401 after a redirect repeats the last request, not the POST that was already accepted."""
    oidc.expire("AccessToken")
    response = call("POST", f"{oidc.api}/api/redirect?status=303&to={ME}", content=b"once")
    assert (response.status_code, response.json()["method"]) == (200, "GET")
    assert [hit.method for hit in oidc.journal("api")] == ["POST", "GET", "GET"]


def test_an_answer_can_be_streamed(ada: Person, oidc: OidcProvider) -> None:
    """SEC-075: ``stream()`` goes by the same rules: the token, the origins, one renewal."""
    with get_session() as api:
        oidc.expire("AccessToken")
        with api.stream("GET", ME) as response:
            assert (response.status_code, response.read()[:1]) == (200, b"{")
        with pytest.raises(OriginNotAllowed), api.stream("GET", oidc.other_api + ME):
            pass
    assert calls(oidc) == [("0", 401), ("1", 200)]


# ---- what stays behind when it fails -------------------------------------------------------------------------------


@every_client
def test_a_broken_connection_shows_no_token(ada: Person, oidc: OidcProvider, call: Call) -> None:
    """TRP-29, SEC-041, SEC-045: neither on the error's request nor among the variables of its traceback."""
    oidc.fault("api", action="drop")
    with pytest.raises((httpx.TransportError, httpx2.TransportError, requests.ConnectionError)) as caught:
        call("GET", oidc.api + ME)
    error: Any = caught.value
    request = error.request
    raw = getattr(request.headers, "raw", None)
    assert_no_token(oidc, f"{request.headers!r} {dict(request.headers)!r} {raw!r}")
    header = request.headers.get("Authorization")
    assert_no_token(oidc, f"{header} {header!s} {header!r}" + str(header))
    assert_no_token(oidc, verbose(caught.value))


@pytest.mark.parametrize("call", EVERY[:-1], ids=lambda call: call.__name__[5:])
def test_a_request_that_cannot_be_written_shows_no_token(ada: Person, oidc: OidcProvider, call: Call) -> None:
    """TRP-29, TRP-34: where the library puts the header together, its variables hold the bare token."""
    with pytest.raises((httpx.LocalProtocolError, httpx2.LocalProtocolError)) as caught:
        call("GET", oidc.api + ME, headers={"X-Name": "a\nb"})
    assert "in request" in verbose(caught.value)  # the caller's own way there is still to be seen
    assert_no_token(oidc, verbose(caught.value))
    error: Any = caught.value
    assert_no_token(oidc, repr(error.request.headers.raw))


class Interrupted(httpcore.MockStream):
    """A connection during which the person presses Ctrl-C, just as the request is written."""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        raise KeyboardInterrupt


class Network(httpcore.MockBackend):
    def connect_tcp(self, *_: Any, **__: Any) -> httpcore.NetworkStream:
        return Interrupted([])


def test_an_interrupt_while_the_request_is_written_shows_no_token(ada: Person, oidc: OidcProvider) -> None:
    """TRP-29: nor does an error that is none of the library's, at the moment when the bytes are in a variable."""
    transport = httpx.HTTPTransport()
    transport._pool = httpcore.ConnectionPool(network_backend=Network([]))
    with get_session(transport=transport) as api, pytest.raises(KeyboardInterrupt) as caught:
        api.get(ME)
    assert "in send" in verbose(caught.value)
    assert_no_token(oidc, verbose(caught.value))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_connection_that_breaks_after_a_redirect_shows_no_token(ada: Person, oidc: OidcProvider, kind: str) -> None:
    """SEC-045: the library made that request itself; it forgets the token all the same."""

    def break_it(_: httpx.Response) -> None:
        oidc.fault("api", action="drop")

    async def break_it_async(response: httpx.Response) -> None:
        break_it(response)

    def go() -> Any:
        if kind == "sync":
            hooks: dict[str, list[Any]] = {"response": [break_it]}
            with httpx.Client(auth=NativeAuth(), follow_redirects=True, event_hooks=hooks) as client:
                return client.get(f"{oidc.api}/api/redirect?to={ME}")

        async def main() -> Any:
            hooks: dict[str, list[Any]] = {"response": [break_it_async]}
            async with httpx.AsyncClient(auth=NativeAuth(), follow_redirects=True, event_hooks=hooks) as client:
                return await client.get(f"{oidc.api}/api/redirect?to={ME}")

        return asyncio.run(main())

    with pytest.raises(httpx.RemoteProtocolError) as caught:
        go()
    assert [bearer for bearer, _ in calls(oidc)] == ["0", "0"]
    assert caught.value.request.url.path == ME
    assert_no_token(oidc, repr(caught.value.request.headers.raw) + verbose(caught.value))


def test_event_hooks_are_called_and_keep_nothing(ada: Person, oidc: OidcProvider) -> None:
    """SEC-045: what a hook has kept, or has raised, holds no token afterwards."""
    kept: list[Any] = []
    with get_session(event_hooks={"request": [kept.append], "response": [kept.append]}) as api:
        assert api.get(ME).status_code == 200
    assert [type(one) for one in kept] == [httpx.Request, httpx.Response]
    assert_no_token(oidc, repr(kept[0].headers.raw) + repr(kept[1].request.headers.raw))

    hooks = {"response": [_complain]}
    with get_session(follow_redirects=True, event_hooks=hooks) as api, pytest.raises(Complaint) as caught:
        api.get("/api/redirect", params={"to": "/api/nothing"})
    error = caught.value
    assert (error.response.status_code, len(calls(oidc))) == (404, 3)
    assert_no_token(oidc, repr(error.response.request.headers.raw) + verbose(error))


class Complaint(Exception):
    """As libraries on top of httpx have them: with the response, and without the request."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response


def _complain(response: httpx.Response) -> None:
    if response.is_client_error:
        raise Complaint(response)


def test_errors_of_others_are_left_alone(ada: Person, oidc: OidcProvider) -> None:
    """An error that is being handled while a request goes well keeps its request and its traceback."""
    with get_session() as api, httpx.Client() as mine:
        oidc.fault("api", action="drop")
        with pytest.raises(httpx.TransportError) as caught:
            mine.get(oidc.api + ME, headers={"Authorization": "Bearer my-own"})
        error, length = caught.value, len(traceback.extract_tb(caught.value.__traceback__))
        with contextlib.suppress(httpx.TransportError):
            try:
                raise error
            finally:
                assert api.get(ME).status_code == 200
    assert error.request.headers["Authorization"] == "Bearer my-own"
    assert len(traceback.extract_tb(error.__traceback__)) > length


# ---- as a value: what it prints, where it can be sent, when it needs what ------------------------------------------


def test_nothing_prints_a_token(ada: Person, oidc: OidcProvider) -> None:
    """SEC-040, SEC-041: whatever a person looks at in a notebook."""
    with get_session() as api:
        api.get(ME)
        token = access_token("acme")
        mine = NativeAuth("acme")
        theirs = for_requests.NativeAuth("acme")
        shown = [f"{token} {token!r} {token!s:>40} %s" % token, repr([token]), repr(mine), repr(theirs)]
        shown += [repr(api), repr(vars(api)), repr(api.auth), repr(dict(api.headers)), repr(vars(api.auth))]
        shown += [repr(vars(mine)), repr(vars(theirs)), repr(vars(vars(mine)["_bearer"])), repr(session)]
        shown += [repr(vars(ada.account)), repr(ada.account.login()), repr(for_httpx2.NativeAuth("acme"))]
    assert (repr(mine), repr(theirs), repr(token)) == ("NativeAuth('acme')",) * 2 + ("<AccessToken [secret]>",)
    assert_no_token(oidc, "\n".join(shown))


def test_the_one_way_to_the_bare_token(ada: Person, oidc: OidcProvider) -> None:
    """``access_token().reveal()`` is a fresh one, for clients that are not httpx, and says when it ends."""
    token = access_token()
    header = {"Authorization": f"Bearer {token.reveal()}"}
    assert httpx.get(oidc.api + ME, headers=header).status_code == 200
    assert token.expires_at is not None
    assert 3500 < token.expires_at - time.time() < 3601
    assert access_token("acme") == token
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(token)


def ask(auth: NativeAuth, url: str) -> tuple[int, str]:
    with httpx.Client(auth=auth) as client:
        return client.get(url).status_code, repr(auth)


def test_it_can_be_sent_to_other_processes(ada: Person, oidc: OidcProvider) -> None:
    """SEC-042, FLT-019: NativeAuth pickles to its profile's name; the worker has the same login, and no token went."""
    for auth in (NativeAuth("acme"), for_httpx2.NativeAuth("acme"), for_requests.NativeAuth("acme")):
        sent = pickle.dumps(auth)
        assert b"acme" in sent
        assert oidc.issuer.encode() not in sent
        assert repr(pickle.loads(sent)) == "NativeAuth('acme')"
        assert_no_token(oidc, sent.decode("latin-1"))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(ask, NativeAuth("acme"), oidc.api + ME).result(60) == (200, "NativeAuth('acme')")
        answer = pool.submit(requests.get, oidc.api + ME, auth=for_requests.NativeAuth("acme"), timeout=30).result(60)
        assert answer.json()["name"] == "Ada Example"
    own = Profile("mine", issuer="https://id.example", client_id="cli", api=["https://api.example"])
    assert pickle.loads(pickle.dumps(NativeAuth(own)))._bearer.account.profile == own


@every_client
def test_a_login_is_needed_at_the_first_request_only(person: Person, oidc: OidcProvider, call: Call) -> None:
    """A client can be made before anybody has signed in; the request says what to do, and never opens a browser."""
    with pytest.raises(LoginRequired) as caught:
        call("GET", oidc.api + ME)
    assert caught.value.code == "signed_out"
    assert "jupyter nativeauth login acme" in caught.value.hint
    assert oidc.journal() == []
    person.sign_in()
    assert call("GET", oidc.api + ME).status_code == 200


def test_a_wrong_profile_is_told_at_once() -> None:
    """A client for a profile that does not exist, or without any configuration, cannot be made."""
    for make in (get_session, get_async_session, NativeAuth, for_httpx2.NativeAuth, for_requests.NativeAuth):
        with pytest.raises(ConfigError, match="no profile yet"):
            make()


def test_options_are_passed_on(ada: Person, oidc: OidcProvider) -> None:
    """All options of httpx.Client work, and ``base_url`` is the first API origin unless given."""
    ada.write(acme=oidc.profile(api=[oidc.api, oidc.other_api]))
    with get_session() as api:
        assert (str(api.base_url), type(api)) == (oidc.api, httpx.Client)
    seen: list[str] = []
    hooks = {"request": [lambda request: seen.append(request.headers["X-Name"])]}
    with get_session(base_url=f"{oidc.other_api}/api/", headers={"X-Name": "yes"}, timeout=7, event_hooks=hooks) as api:
        assert api.get("me").status_code == 200
        assert api.timeout == httpx.Timeout(7)
    assert seen == ["yes"]
    assert [hit.origin for hit in oidc.journal("api")] == [oidc.other_api]
    with get_session(auth=None) as api:
        assert api.get(ME).status_code == 401
    with get_session(Profile("code", **oidc.profile())) as api, pytest.raises(LoginRequired):
        api.get(ME)


def test_the_session_of_the_default_profile(ada: Person, oidc: OidcProvider) -> None:
    """``session`` is made when it is first used, once; after ``close()`` it opens again; settings reach the client."""
    code = "from jupyter_nativeauth import session; print(session)"
    plain = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert plain.stdout == "<session of the default profile>\n"
    assert session.get(ME).status_code == 200
    client = session._client()
    assert session._client() is client
    session.headers["X-Name"] = "yes"
    session.timeout = 7
    assert client.timeout == httpx.Timeout(7)
    assert (client.headers["X-Name"], "get" in dir(session)) == ("yes", True)
    session.close()
    assert client.is_closed
    assert session.get(ME).status_code == 200
    assert session._client() is not client
    session.close()


def test_the_session_follows_the_tests_of_its_user(ada: Person, oidc: OidcProvider) -> None:
    """``testing.signed_in()`` is for ``session`` too: inside it answers from the table, afterwards from the API."""
    from jupyter_nativeauth.testing import signed_in

    assert session.get(ME).json()["name"] == "Ada Example"
    for name in ("Grace", "Edsger"):
        with signed_in("acme", {ME: {"name": name}}):
            assert session.get(ME).json() == {"name": name}
    assert session.get(ME).json()["name"] == "Ada Example"
    session.close()


def test_a_closed_session_says_so(ada: Person, oidc: OidcProvider) -> None:
    """A client that was closed sends nothing, and says what is wrong in httpx's own words."""
    with get_session() as api:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        api.get(ME)
    assert oidc.journal("api") == []


# ---- async ---------------------------------------------------------------------------------------------------------


def test_the_loop_goes_on_while_the_key_is_looked_for(ada: Person, oidc: OidcProvider) -> None:
    """The very first request of a process asks for the key, which can take seconds: other tasks run meanwhile."""
    gate = threading.Event()

    def slowly(source: str) -> Key | None:
        assert gate.wait(5), "the event loop stood still"
        return ada.accounts.keys.answer(source)

    agent = KeyAgent(slowly, dict)
    os.environ["JUPYTER_NATIVEAUTH_AGENT"] = agent.start()
    before = use_accounts(Accounts())

    async def main() -> int:
        async with get_async_session("acme") as api:
            request = asyncio.create_task(api.get(ME))
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert not request.done()
            gate.set()
            return (await request).status_code

    try:
        assert asyncio.run(main()) == 200
    finally:
        use_accounts(before)
        agent.stop()


def test_a_cancelled_request_shows_no_token_and_harms_nothing(ada: Person, oidc: OidcProvider) -> None:
    """TRP-29: a task that is cancelled while the API thinks ends at once; the client works on."""

    async def main() -> BaseException:
        async with get_async_session("acme") as api:
            oidc.fault("api", action="hold")
            request = api.build_request("GET", ME)
            task = asyncio.create_task(api.send(request))
            await asyncio.to_thread(oidc.wait_held, "api")
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            assert "authorization" not in request.headers
            oidc.release()
            assert (await api.get(ME)).status_code == 200
            return caught.value

    assert_no_token(oidc, verbose(asyncio.run(main())))


def test_hits_tell_tokens_apart(ada: Person, oidc: OidcProvider) -> None:
    """What these tests look at: a request without a token, one with a foreign one, and one with ours differ."""
    httpx.get(oidc.api + ME)
    httpx.get(oidc.api + ME, headers={"Authorization": "Bearer foreign"})
    with_session("GET", oidc.api + ME)
    hits: list[Hit] = oidc.journal("api")
    assert [(hit.authorization, hit.bearer) for hit in hits] == [(None, None), ("Bearer", None), ("Bearer", 0)]
