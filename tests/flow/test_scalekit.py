"""Scalekit: a whole life of a login, and what is special."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from jupyter_nativeauth import LoginRequired, ProviderError, ProviderUnavailable, get_session, status
from jupyter_nativeauth.providers import PRESETS
from tests.answers import Answer
from tests.emulators.scalekit import Scalekit
from tests.person import Person, failure, given_up, me

PersonAt = Callable[..., Person]
ME = "/api/me"
SIGN_IN = ["discovery", "authorize", "authorization_code", "jwks"]

# Scalekit's list of what can go wrong at a single sign-on.
SSO_ERRORS = (
    *("invalid_redirect_uri", "invalid_connection_selector", "no_active_connections", "connection_not_active"),
    *("no_configured_connections", "invalid_organization_id", "invalid_connection_id", "domain_not_found"),
    *("invalid_user_domain", "invalid_client", "application_not_active", "unauthorized", "user_not_active"),
    *("mandatory_attribute_missing", "invalid_id_token", "failed_to_exchange_token", "user_info_retrieve_failed"),
    *("invalid_saml_response", "signature_validation_failed", "assertion_expired", "response_expired"),
    *("authentication_not_completed", "user_login_required"),
)


# ---- a whole life --------------------------------------------------------------------------------------------------


def test_a_whole_life(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-2, SK-4, SK-13: sign in, call the API, renew, sign out; nothing is asked twice, and revocation not at all."""
    person = person_at(scalekit)
    identity = person.sign_in()
    assert (identity.name, identity.issuer) == ("Ada Example", scalekit.origin)
    assert scalekit.steps() == SIGN_IN
    (asked,) = scalekit.hits("authorize")
    assert asked.get("scope") == "openid profile email offline_access"
    assert asked.get("prompt") is None
    assert me(person)["token"] == 0
    scalekit.expire()
    assert me(person)["token"] == 1
    login = person.account.login()
    report, page = person.sign_out()
    assert (report.local, report.revoked, page is not None and page.title) == (True, None, "You are signed out")
    assert scalekit.steps()[len(SIGN_IN) :] == ["api", "api", "refresh_token", "api", "end_session"]
    (left,) = scalekit.hits("end_session")
    assert login.id_token is not None
    assert left.get("id_token_hint") == login.id_token.reveal()


def test_without_discovery(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-1: an environment that shows no document is used by the paths of its pages, sign-out included."""
    scalekit.discovery = False
    person = person_at(scalekit)
    person.sign_in()
    person.expire()
    assert me(person)["token"] == 1
    _, page = person.sign_out()
    assert page is not None
    assert page.title == "You are signed out"


@pytest.mark.parametrize("ending", ["", "/"])
def test_the_environment_url_with_and_without_a_slash(scalekit: Scalekit, person_at: PersonAt, ending: str) -> None:
    """SK-1: a slash at its end makes no difference; the issuer has none."""
    assert person_at(scalekit, environment_url=scalekit.origin + ending).sign_in().issuer == scalekit.origin


def test_whose_sign_in_it_is(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-3: each selector goes out under Scalekit's name; the domain under both that its page and its SDKs know."""
    keys = {
        "organization": "org_1",
        "connection": "conn_1",
        "identity_provider": "google",
        "domain_hint": "acme.example",
        "login_hint": "bob",
        "prompt": "create",
    }
    person_at(scalekit, **keys).sign_in()
    (asked,) = scalekit.hits("authorize")
    names = ("organization_id", "connection_id", "provider", "domain", "domain_hint", "login_hint", "prompt")
    told = ["org_1", "conn_1", "google", "acme.example", "acme.example", "bob", "create"]
    assert [asked.get(name) for name in names] == told


# ---- the tokens are checked -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("listed", [True, False])
def test_the_audience_in_both_forms(scalekit: Scalekit, person_at: PersonAt, listed: bool) -> None:
    """SK-6: the access token names its audience in a list or as a string; both are read."""
    scalekit.audience_list = listed
    person = person_at(scalekit)
    person.sign_in()
    scalekit.expire()
    assert me(person)["token"] == 1


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("access", {"iss": "https://evil.scalekit.com"}),
        ("access", {"aud": ["ntvc_other"]}),
        ("access", {"exp": 1}),
        ("access", {"nbf": 32503680000}),
        ("id", {"nonce": "another"}),
        ("id", {"aud": ["ntvc_other"]}),
        ("id", {"azp": "ntvc_other"}),
        ("id", {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
        ("id", {"iss": "https://evil.scalekit.com"}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_token_that_is_wrong(scalekit: Scalekit, person_at: PersonAt, kind: str, change: dict[str, Any]) -> None:
    """SK-6, SK-7: Scalekit's page asks to check both tokens; one that is not right signs nobody in."""
    person = person_at(scalekit)
    scalekit.claims = lambda made, claims: claims | (change if made == kind else {})
    assert failure(person).code == f"{kind if kind == 'id' else 'access'}_token_invalid"
    assert scalekit.hits("api") == []


def test_a_renewed_access_token_that_is_wrong(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-6: it is not used; the refresh token that came with it is kept, so the login is not lost."""
    person = person_at(scalekit)
    person.sign_in()
    scalekit.expire()
    scalekit.claims = lambda kind, claims: claims | ({"aud": ["ntvc_other"]} if kind == "access" else {})
    with get_session("acme") as api, pytest.raises(Exception) as caught:  # noqa: PT011 - which, is the next line
        api.get(ME)
    assert getattr(caught.value, "code", "") == "access_token_invalid"
    scalekit.claims = lambda kind, claims: claims
    assert person.account.login().refresh_token is not None


def test_keys_rotate(scalekit: Scalekit, person_at: PersonAt) -> None:
    """
    SK-6: signed with a key that is new since the sign-in: the refresh token is saved, the keys are read again, and
    the token that comes next is believed. One answer is never held back for a request to somewhere else.
    """
    person = person_at(scalekit)
    person.sign_in()
    scalekit.rotate_keys()
    scalekit.expire()
    assert me(person)["token"] == 2
    assert scalekit.steps()[len(SIGN_IN) :] == ["api", "refresh_token", "jwks", "refresh_token", "api"]


def test_a_key_that_nobody_lists(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-6: the keys are read again once, and not for ever; the login is kept, and may recover by itself."""
    person = person_at(scalekit)
    person.sign_in()
    before = scalekit.keys[:]
    scalekit.rotate_keys()
    listed = {"keys": [key.as_dict(private=False) for key in before]}
    scalekit.answer("jwks", *[Answer(json=listed)] * 9)
    scalekit.expire()
    with get_session("acme") as api, pytest.raises(ProviderError) as caught:
        api.get(ME)
    assert (caught.value.code, scalekit.refreshes) == ("access_token_invalid", 2)
    assert person.account.login().refresh_token is not None


# ---- staying signed in ----------------------------------------------------------------------------------------------


def test_renewal_comes_before_the_end_but_not_with_each_call(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-8: of 299 seconds the last fifth, at most a minute, is for the renewal."""
    person = person_at(scalekit)
    person.sign_in()
    current = person.account.load()
    assert 30 <= current.end_wall - current.renew_wall <= 60
    for _ in range(20):
        me(person)
    assert scalekit.refreshes == 0


def test_two_processes_renew_once(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-9: two processes with twenty requests each at the end of a token: one refresh, and nobody is signed out."""
    person = person_at(scalekit)
    person.sign_in()
    scalekit.expire()
    code = (
        "import sys\nfrom jupyter_nativeauth import get_session\napi = get_session('acme')\nsys.stdin.read()\n"
        f"print({{api.get({ME!r}).status_code for _ in range(20)}})"
    )
    pipe = subprocess.PIPE
    both = [subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0] for process in both] == ["{200}\n"] * 2
    assert (scalekit.refreshes, scalekit.reuse) == (1, 0)


@pytest.mark.parametrize(
    "fault",
    [
        Answer(500, "<h1>Oops</h1>"),
        Answer(503, headers={"Retry-After": "1"}),
        Answer(429, json={"code": 8, "message": "Rate limit exceeded"}),
        Answer(429, json={"code": 8, "message": "Rate limit exceeded"}, headers={"Retry-After": "1"}),
        Answer(body="<html>maintenance</html>"),
    ],
    ids=["500", "503", "429", "429-retry-after", "html"],
)
def test_a_service_in_trouble_ends_no_login(scalekit: Scalekit, person_at: PersonAt, fault: Answer) -> None:
    """SK-10: nothing but ``invalid_grant`` ends a login; the refresh token was not even spent."""
    person = person_at(scalekit)
    person.sign_in()
    scalekit.expire()
    scalekit.answer("token", fault)
    with get_session("acme") as api, pytest.raises(ProviderUnavailable):
        api.get(ME)
    assert person.account.login().refresh_token is not None
    assert scalekit.refreshes == 1


@pytest.mark.parametrize("why", ["ended elsewhere", "idle"])
def test_a_session_that_ended(scalekit: Scalekit, person_at: PersonAt, why: str) -> None:
    """SK-10, SK-11: signed out in another application, or left alone for too long: said in words, once, and no loop."""
    person = person_at(scalekit)
    person.sign_in()
    scalekit.expire()
    if why == "idle":
        scalekit.clock += scalekit.idle + 1
    else:
        scalekit.end_sessions()
    with get_session("acme") as api:
        for _ in range(2):
            with pytest.raises(LoginRequired) as caught:
                api.get(ME)
    assert scalekit.refreshes == 1
    assert "session" in str(caught.value)
    assert "Traceback" not in "\n".join(caught.value._render_traceback_())
    scalekit.clock = 0
    assert person.sign_in().name == "Ada Example"


# ---- what is wrong is said in a sentence ----------------------------------------------------------------------------


@pytest.mark.parametrize("error", SSO_ERRORS)
def test_each_error_of_a_single_sign_on_has_its_words(error: str) -> None:
    """SK-14: no code of Scalekit's list is left to the general sentence."""
    from jupyter_nativeauth.providers import words_for

    assert words_for(PRESETS["scalekit"].callback_words, error, "").endswith(".")


@pytest.mark.parametrize("error", ["invalid_connection_selector", "user_not_active", "server_error"])
def test_an_error_of_a_single_sign_on(scalekit: Scalekit, person_at: PersonAt, error: str) -> None:
    """SK-14: the code, the words for it, and what the service said; never the address that it came in."""
    scalekit.answer("authorize", lambda request: scalekit.back(request, error=error, error_description="Because"))
    failed = failure(person_at(scalekit))
    assert failed.code == error
    assert error in str(failed)
    assert "Because" in str(failed)
    assert "http" not in str(failed).replace("https://docs", "")


def test_denied(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-14: as the native page shows it: ``error=access_denied&error_description=User+denied+access&state=...``."""
    scalekit.login = "deny"
    error = failure(person_at(scalekit))
    assert error.code == "access_denied"
    assert "User denied access" in str(error)


def test_the_redirect_uri_is_not_registered(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-5: Scalekit shows a page of its own; the wait ends with what to look at in the dashboard."""
    scalekit.redirect_uris.clear()
    error = given_up(person_at(scalekit).begin(scalekit.browser()), lambda: scalekit.wait("authorize"))
    assert error.code == "timeout"
    assert "Redirects" in error.hint


def test_a_client_of_another_environment(scalekit: Scalekit, person_at: PersonAt) -> None:
    """A client id that was copied from another environment: the hint names it."""
    attempt = person_at(scalekit, client_id="ntvc_other").begin(scalekit.browser())
    assert "client_id" in given_up(attempt, lambda: scalekit.wait("authorize")).hint


def test_a_client_that_is_not_native(scalekit: Scalekit, person_at: PersonAt) -> None:
    """``invalid_client`` at the token endpoint: an application that has a secret is not a native one."""
    scalekit.answer("token", Answer(401, json={"error": "invalid_client"}))
    assert "native" in str(failure(person_at(scalekit)))


def test_an_unknown_organization(scalekit: Scalekit, person_at: PersonAt) -> None:
    """``invalid_organization_id``: the message names the key of the profile."""
    error = failure(person_at(scalekit, organization="org_unknown"))
    assert error.code == "invalid_organization_id"
    assert "organization" in str(error)


def test_the_organization_is_checked(scalekit: Scalekit, person_at: PersonAt) -> None:
    """The ID token's ``oid`` must be the organization that was asked for."""
    person = person_at(scalekit, organization="org_1")
    scalekit.claims = lambda kind, claims: claims | ({"oid": "org_2"} if kind == "id" else {})
    failure(person)
    scalekit.claims = lambda kind, claims: claims
    assert person.sign_in().claims["oid"] == "org_1"
    assert status()[0].state == "signed_in"
