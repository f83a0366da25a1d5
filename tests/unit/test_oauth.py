"""What goes out to a provider, and which of its answers count: each rule of the protocol by itself, without I/O."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth import LoginFailed, NativeAuthError
from jupyter_nativeauth._callback import Code, Mismatch, read_callback, read_query
from jupyter_nativeauth._metadata import RP_INITIATED
from jupyter_nativeauth._oauth import (
    Ask,
    AuthorizationRequest,
    code_request,
    end_session_url,
    refresh_request,
    requested_scopes,
    revocation_request,
)
from jupyter_nativeauth._tokens import Secret
from tests import samples
from tests.samples import CALLBACK, CLIENT, ISSUER, PROVIDER, assert_fit_to_show
from tests.tries import tries

OPENID = ("openid", "profile", "email")


def sent(request: AuthorizationRequest) -> dict[str, str]:
    """The parameters of the request, each of which must be there once."""
    pairs = parse_qsl(urlsplit(request.url.reveal()).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


# ---- the authorization request ---------------------------------------------------------------------------------------


def test_what_every_request_holds() -> None:
    """NRM-002, NRM-023, NRM-026, NRM-036, NRM-075, NRM-115, NRM-031, CNF-021: a code, with PKCE S256; each parameter
    once."""
    request = samples.request()
    query = sent(request)
    digest = hashlib.sha256(request.verifier.reveal().encode()).digest()
    assert query == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": CALLBACK,
        "scope": "openid profile email offline_access",
        "state": request.state.reveal(),
        "nonce": request.nonce.reveal(),
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        "prompt": "consent",
    }
    assert request.url.reveal().startswith(f"{ISSUER}/authorize?")


def test_secrets_are_new_each_time() -> None:
    """NRM-009, NRM-020 to NRM-022, NRM-112: state, nonce and verifier are 256 random bits of the unreserved letters."""
    values = [one.reveal() for _ in range(300) for one in _secrets(samples.request())]
    assert len(set(values)) == len(values)
    for value in values:
        assert len(value) == 43
        assert value.isascii()
        assert not set(value) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
    # OIDF measures the entropy of the text itself; a generator that only looks random would fail this too.
    assert all(len({value[at] for value in values}) > 50 for at in range(42))


def _secrets(request: AuthorizationRequest) -> tuple[Secret, Secret, Secret]:
    return request.state, request.nonce, request.verifier


def test_a_request_does_not_print() -> None:
    """TRP-29: neither the request nor the code nor the form shows a secret to a traceback or a debugger."""
    request = samples.request()
    code = read_callback(request, answer(request))
    shown = f"{request!r} {code!r} {code_request(code)!r} {refresh_request(samples.login(), samples.profile())!r}"
    assert not any(one.reveal() in shown for one in (*_secrets(request), code.value))
    assert "code_challenge" not in shown
    assert "NATK" not in shown


def test_an_endpoint_with_a_query_keeps_it() -> None:
    """RFC 6749, section 3.1: the endpoint may have a query of its own, which stays."""
    query = sent(samples.request(of=samples.provider(authorization_endpoint=f"{ISSUER}/authorize?tenant=a%20b")))
    assert (query["tenant"], query["response_type"]) == ("a b", "code")


def test_what_the_profile_adds() -> None:
    """Everything that a profile names is sent as the standards name it, and what it leaves empty is not sent."""
    request = samples.request(
        scopes=["openid"],
        audience="https://api.example",
        organization="org_1",
        connection="github",
        login_hint="ada@example.org",
        max_age=0,
        acr_values="mfa",
        prompt="login consent",
        authorize={"ui_locales": "de fr"},
    )
    known = {
        "scope": "openid",
        "audience": "https://api.example",
        "organization": "org_1",
        "connection": "github",
        "login_hint": "ada@example.org",
        "max_age": "0",
        "acr_values": "mfa",
        "prompt": "login consent",
        "ui_locales": "de fr",
    }
    query = sent(request)
    assert {name: query.pop(name) for name in known} == known
    assert {*query, "scope"} == sent(samples.request(scopes=["openid"])).keys()
    assert (request.max_age, request.acr_values, request.scopes) == (0, "mfa", ("openid",))


def test_what_one_sign_in_asks_for_wins() -> None:
    """``login(max_age=..., acr_values=...)`` counts more than the profile, and zero is an age."""
    request = samples.request(Ask(acr_values="hardware", max_age=0), max_age=60, acr_values="mfa")
    assert (sent(request)["max_age"], sent(request)["acr_values"]) == ("0", "hardware")
    assert (request.max_age, request.acr_values) == (0, "hardware")


@pytest.mark.parametrize(
    ("configured", "supported", "asked", "expected"),
    [
        (None, ("offline_access",), (), (*OPENID, "offline_access")),
        (None, ("openid",), (), OPENID),
        (None, (), (), OPENID),
        (None, ("offline_access",), ("address", "openid"), (*OPENID, "offline_access", "address")),
        (["openid", "b", "a"], ("offline_access",), (), ("openid", "b", "a")),
        (["openid", "offline_access"], (), (), ("openid", "offline_access")),
        (["openid", "a"], (), ("a", "b", "b"), ("openid", "a", "b")),
    ],
)
def test_scopes(configured: Any, supported: Any, asked: Any, expected: tuple[str, ...]) -> None:
    """NRM-038: the least that is needed; ``offline_access`` only where it is known or named; more is added, once."""
    profile, provider = samples.profile(scopes=configured), samples.provider(scopes_supported=supported)
    assert requested_scopes(profile, provider, Ask(scopes=asked)) == expected


@pytest.mark.parametrize(
    ("changes", "ask", "supported", "expected"),
    [
        ({}, Ask(), (), "consent"),
        ({"scopes": ["openid"]}, Ask(), (), None),
        ({"prompt": "login"}, Ask(), (), "login"),
        ({}, Ask(switch=True), (), "login consent"),
        ({}, Ask(switch=True), ("select_account",), "select_account consent"),
        ({"scopes": ["openid"]}, Ask(switch=True), ("none", "login"), "login"),
        ({"prompt": "login"}, Ask(switch=True), (), "login"),
        ({"prompt": "consent login"}, Ask(switch=True), ("select_account",), "select_account consent login"),
    ],
)
def test_prompt(changes: Any, ask: Ask, supported: Any, expected: str | None) -> None:
    """OIDC Core, section 11: offline access needs consent; another account needs a choice, where it is known."""
    query = sent(samples.request(ask, samples.provider(prompt_values_supported=supported), **changes))
    assert query.get("prompt") == expected


def test_another_account_is_not_hinted_at() -> None:
    """Whoever wants another account does not want the usual one filled in."""
    assert "login_hint" in sent(samples.request(login_hint="ada"))
    assert "login_hint" not in sent(samples.request(Ask(switch=True), login_hint="ada"))


# ---- forms -----------------------------------------------------------------------------------------------------------

RESOURCES = ["https://a.example/", "https://b.example/x?y=1&z=2"]
REPEATED = [("resource", RESOURCES[0]), ("resource", RESOURCES[1])]


def test_several_resources_are_all_sent() -> None:
    """TRP-18, NRM-140: with sign-in, code and refresh, each under the same name, and none of them is lost."""
    request = samples.request(resource=RESOURCES)
    assert parse_qs(urlsplit(request.url.reveal()).query)["resource"] == RESOURCES
    for post in (
        code_request(read_callback(request, answer(request))),
        refresh_request(samples.login(), samples.profile(resource=RESOURCES)),
    ):
        assert [pair for pair in post.form if pair[0] == "resource"] == REPEATED
        assert [pair for pair in parse_qsl(urlencode(post.form)) if pair[0] == "resource"] == REPEATED


def test_the_form_for_a_code() -> None:
    """NRM-025, NRM-033, NRM-100: the code, the same redirect URI and the verifier, to the endpoint of the start."""
    request = samples.request()
    post = code_request(read_callback(request, answer(request, code="c+/ ~".replace(" ", "%"))))
    assert post.url == PROVIDER.token_endpoint
    assert post.form == (
        ("grant_type", "authorization_code"),
        ("code", "c+/%~"),
        ("redirect_uri", CALLBACK),
        ("client_id", CLIENT),
        ("code_verifier", request.verifier.reveal()),
    )


def test_the_form_for_a_renewal() -> None:
    """NRM-105: never a ``scope``; the client id and the endpoint are those of the login, not of the profile."""
    login = samples.login(client_id="other", refresh_token=Secret("!&=+%~"))
    post = refresh_request(login, samples.profile(scopes=["openid", "more"]))
    assert post.url == PROVIDER.token_endpoint
    assert post.form == (("grant_type", "refresh_token"), ("refresh_token", "!&=+%~"), ("client_id", "other"))


def test_any_refresh_token_survives_the_form() -> None:
    """TRP-37: every letter that a refresh token may have comes back as it was."""
    every = "".join(map(chr, range(0x21, 0x7F)))
    post = refresh_request(samples.login(refresh_token=Secret(every)), samples.profile())
    assert dict(parse_qsl(urlencode(post.form)))["refresh_token"] == every


def test_the_form_for_a_revocation() -> None:
    """NRM-120, NRM-121: the refresh token, since it ends the grant; the access token only where there is no other."""
    login = samples.login()
    post = revocation_request(login)
    assert post is not None
    assert (post.url, dict(post.form)) == (
        PROVIDER.revocation_endpoint,
        {"token": login.refresh_token.reveal(), "token_type_hint": "refresh_token", "client_id": CLIENT},  # type: ignore[union-attr]
    )
    post = revocation_request(samples.login(refresh_token=None))
    assert post is not None
    assert dict(post.form)["token_type_hint"] == "access_token"
    assert revocation_request(samples.login(refresh_token=None, access_token=None)) is None
    assert revocation_request(samples.login(provider=samples.provider(revocation_endpoint=""))) is None


def test_the_end_of_a_session() -> None:
    """NRM-124, CNF-040: both the hint and the client id, where to come back to, and a state; and it does not print."""
    url = end_session_url(
        f"{ISSUER}/end?x=1",
        RP_INITIATED,
        id_token=Secret("NATK-id-hint"),
        client_id=CLIENT,
        post_logout_redirect_uri=CALLBACK,
        state="s",
    )
    assert dict(parse_qsl(urlsplit(url.reveal()).query)) == {
        "x": "1",
        "id_token_hint": "NATK-id-hint",
        "client_id": CLIENT,
        "post_logout_redirect_uri": CALLBACK,
        "state": "s",
    }
    assert "hint" not in f"{url} {url!r}"
    bare = end_session_url(
        f"{ISSUER}/end", RP_INITIATED, id_token=None, client_id=CLIENT, post_logout_redirect_uri=CALLBACK, state="s"
    )
    assert "id_token_hint" not in bare.reveal()


# ---- the answer ------------------------------------------------------------------------------------------------------


def answer(request: AuthorizationRequest, **changes: str | None) -> str:
    """The provider's right answer as a query; None removes a parameter."""
    right = {"code": "NATK-code-1234", "state": request.state.reveal(), "iss": ISSUER}
    return urlencode({name: value for name, value in {**right, **changes}.items() if value is not None})


def test_the_right_answer() -> None:
    """NRM-076, LIB-008: it gives the code, whatever else stands in it, however it is encoded."""
    request = samples.request()
    query = answer(request, session_state="x", scope="openid", authuser="0", empty="")
    code = read_callback(request, query + "&" + "&".join(f"u{n}={n}" for n in range(200)) + "&bare")
    assert (code.value.reveal(), code.request) == ("NATK-code-1234", request)
    spelt = "&".join(f"{name}={quote(value, safe='').replace('-', '%2d')}" for name, value in parse_qsl(query))
    assert read_callback(request, spelt).value.reveal() == "NATK-code-1234"
    assert read_callback(request, answer(request, code="a+b c".replace(" ", "/"))).value.reveal() == "a+b/c"


def test_no_issuer_where_none_is_promised() -> None:
    """NRM-058: a provider that promises no ``iss`` may leave it out; one that it sends all the same must be right."""
    request = samples.request(of=samples.provider(sends_iss=False))
    assert read_callback(request, answer(request, iss=None)).value.reveal() == "NATK-code-1234"
    with pytest.raises(Mismatch):
        read_callback(request, answer(request, iss="https://evil.example"))


def refuse(request: AuthorizationRequest, query: str) -> str:
    with pytest.raises(Mismatch) as caught:
        read_callback(request, query)
    assert request.state.reveal() not in str(caught.value)
    assert_fit_to_show(caught.value)
    return caught.value.code


@pytest.mark.parametrize(
    "state",
    [None, "", "x", "{state}1", "{state} ", " {state}", "{STATE}", "{state}\0", "\N{LATIN SMALL LETTER E WITH ACUTE}"],
)
def test_a_wrong_state(state: str | None) -> None:
    """CNF-064, CNF-065, LIB-004, SEC-013: the state must be there, to the letter; nothing else is even looked at."""
    request = samples.request()
    right = request.state.reveal()
    wrong = None if state is None else state.replace("{state}", right).replace("{STATE}", right.swapcase())
    assert refuse(request, answer(request, state=wrong)) == "state_mismatch"
    assert refuse(request, answer(request, state=wrong, error="access_denied", code=None)) == "state_mismatch"


def test_the_state_of_another_sign_in() -> None:
    """LIB-005, SEC-007: a state that another sign-in began with is nobody's here."""
    assert refuse(samples.request(), answer(samples.request())) == "state_mismatch"


@pytest.mark.parametrize(
    "iss",
    [
        "",
        f"{ISSUER}/",
        f"{ISSUER}1",
        ISSUER.upper(),
        ISSUER.replace("https", "http"),
        f"{ISSUER}:443",
        "https://id.example.",
        "https://id.examp1e",
        "https://\N{CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I}d.example",
        "https://id%2eexample",
        "https://other.example",
    ],
)
def test_a_wrong_issuer(iss: str) -> None:
    """CNF-062, NRM-055 to NRM-059, ADV-010: it is compared letter by letter, in answers that say no as well."""
    request = samples.request()
    assert refuse(request, answer(request, iss=iss)) == "issuer_mismatch"
    assert refuse(request, answer(request, iss=iss, code=None, error="access_denied")) == "issuer_mismatch"


def test_a_missing_issuer() -> None:
    """CNF-063, NRM-057: who promises an issuer and leaves it out was somebody else; a mere "no" may lack it."""
    request = samples.request()
    assert refuse(request, answer(request, iss=None)) == "issuer_missing"
    with pytest.raises(LoginFailed) as caught:
        read_callback(request, answer(request, iss=None, code=None, error="access_denied"))
    assert (type(caught.value), caught.value.code) == (LoginFailed, "access_denied")


@pytest.mark.parametrize("name", ["access_token", "id_token", "token_type", "response"])
def test_a_token_where_a_code_belongs(name: str) -> None:
    """TRP-12, LIB-006, NRM-036, CNF-069: a token in the front channel is refused, with a code beside it and without."""
    request = samples.request()
    assert refuse(request, answer(request, **{name: "x"})) == "unexpected_token"
    assert refuse(request, answer(request, code=None, **{name: "x"})) == "unexpected_token"


@pytest.mark.parametrize("name", ["code", "state", "iss", "error"])
def test_a_parameter_twice(name: str) -> None:
    """LIB-001, NRM-115: what decides may stand there once, even if both say the same."""
    request = samples.request()
    extra = {"code": "NATK-code-1234", "state": request.state.reveal(), "iss": ISSUER, "error": "x"}[name]
    query = answer(request, **({"error": "x", "code": None} if name == "error" else {}))
    assert refuse(request, f"{query}&{urlencode({name: extra})}") == "bad_callback"


@pytest.mark.parametrize(
    "code",
    [None, "", " ", "a b", "a\nb", "a\0b", "\x7f", "\N{LATIN SMALL LETTER E WITH ACUTE}", "x" * 8193],
)
def test_a_code_that_is_none(code: str | None) -> None:
    """SEC-011: a code is up to 8192 printable letters; whatever is not could break a form, a log or a header."""
    request = samples.request()
    assert refuse(request, answer(request, code=code)) == "bad_callback"


def test_a_long_code() -> None:
    """Codes of some kilobytes are normal."""
    request = samples.request()
    assert read_callback(request, answer(request, code="x" * 8192)).value.reveal() == "x" * 8192


@pytest.mark.parametrize(
    "query",
    ["x=" + "y" * 16384, "&".join(f"u{n}=1" for n in range(251)), "x=%ff", "x=%ed%a0%80", "%c3=1"],
    ids=["long", "many", "no UTF-8", "surrogate", "name no UTF-8"],
)
def test_a_malformed_query(query: str) -> None:
    """SEC-011, LIB-008: too long, too many, not UTF-8."""
    with pytest.raises(Mismatch) as caught:
        read_query(query)
    assert caught.value.code == "bad_callback"


def test_the_decoding_of_a_query() -> None:
    """LIB-008: form encoding, and nothing more: a fragment's sign, a semicolon and a broken percent are letters."""
    assert read_query("a=1+2&b=1%202&c=1%2B2&d=&e&f=%23x%3f&g=a;h=b&i=%zz&i=2&%6A=1") == {
        "a": "1 2",
        "b": "1 2",
        "c": "1+2",
        "d": "",
        "e": "",
        "f": "#x?",
        "g": "a;h=b",
        "i": "%zz",
        "j": "1",
    }


def test_yes_and_no_at_once() -> None:
    """LIB-002: an answer with both a code and an error is neither."""
    request = samples.request()
    assert refuse(request, answer(request, error="access_denied")) == "bad_callback"


@pytest.mark.parametrize(
    "error",
    [
        "access_denied",
        "login_required",
        "consent_required",
        "interaction_required",
        "account_selection_required",
        "temporarily_unavailable",
        "server_error",
        "invalid_scope",
        "invalid_request",
        "unauthorized_client",
        "invalid_target",
        "made_up",
    ],
)
def test_the_provider_says_no(error: str) -> None:
    """FLT-056, LIB-003: the code is the provider's own word, each known one has words of its own."""
    request = samples.request()
    with pytest.raises(LoginFailed) as caught:
        read_callback(request, answer(request, code=None, error=error, error_uri="javascript:alert(1)"))
    assert (type(caught.value), caught.value.code) == (LoginFailed, error)
    assert "acme" in str(caught.value)
    assert "javascript" not in str(caught.value)
    assert ("The service refused." in str(caught.value)) == (error == "made_up")


@pytest.mark.parametrize(
    ("error", "description"),
    [
        ("", ""),
        ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>"),
        ("a\r\nSet-Cookie: x=1", "a\r\nb\0c"),
        ("\x1b[31mred", "\x1b]0;title\x07 \N{RIGHT-TO-LEFT OVERRIDE}gpj.exe"),
        ("x" * 5000, "y" * 9000),
    ],
    ids=["empty", "HTML", "line breaks", "terminal", "long"],
)
def test_the_provider_says_no_in_hostile_words(error: str, description: str) -> None:
    """LIB-030, SEC-012, NRM-116: what reaches a person is one line of printable ASCII, and not long."""
    request = samples.request()
    with pytest.raises(LoginFailed) as caught:
        read_callback(request, answer(request, code=None, error=error, error_description=description))
    assert_fit_to_show(caught.value)


TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NAME = st.sampled_from(["code", "state", "iss", "error", "error_description", "access_token", "x"])
VALUE = st.sampled_from(["STATE", ISSUER, "abc", "", "access_denied"]) | TEXT


@tries(300)
@given(pairs=st.lists(st.tuples(NAME, VALUE), max_size=6), noise=st.text(max_size=10), promised=st.booleans())
def test_any_query(pairs: list[tuple[str, str]], noise: str, promised: bool) -> None:
    """FUZ-001, NRM-111: only our errors come out; what is accepted has one code, our state, no error and no foreign
    issuer."""
    request = samples.request(of=samples.provider(sends_iss=promised))
    values = [(name, value.replace("STATE", request.state.reveal())) for name, value in pairs]
    query = urlencode(values) + noise
    try:
        code = read_callback(request, query)
    except NativeAuthError as error:
        assert_fit_to_show(error)
        return
    assert isinstance(code, Code)
    told = parse_qs(query, keep_blank_values=True)
    assert told["state"] == [request.state.reveal()]
    assert told["code"] == [code.value.reveal()]
    assert told.get("iss") in ([ISSUER], *([] if promised else [None]))
    assert not {"error", "access_token"} & told.keys()
