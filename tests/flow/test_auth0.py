"""Auth0: a whole life of a login, and what is special."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from jupyter_nativeauth import ConfigError, LoginRequired, ProviderUnavailable, get_session, status
from jupyter_nativeauth._accounts import Accounts
from tests.answers import Answer
from tests.emulators.auth0 import DEVICE, Auth0
from tests.person import Person, failure, given_up, me, outcome

PersonAt = Callable[..., Person]
ME = "/api/me"
SIGN_IN = ["discovery", "authorize", "authorization_code", "jwks", "userinfo"]


# ---- a whole life --------------------------------------------------------------------------------------------------


def test_a_whole_life(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-1, A0-2, A0-12, A0-15: sign in, call the API, renew, sign out; each endpoint asked once, in this order."""
    person = person_at(auth0)
    identity = person.sign_in()
    assert (identity.name, identity.issuer) == ("Ada Example", auth0.issuer)
    assert auth0.issuer.endswith("/")
    assert auth0.steps() == SIGN_IN
    (asked,) = auth0.hits("authorize")
    assert (asked.get("audience"), asked.get("scope")) == (auth0.api, "openid profile email offline_access")
    assert asked.get("prompt") is None
    assert me(person)["token"] == 0
    auth0.expire()
    assert me(person)["token"] == 1
    report, page = person.sign_out()
    assert (report.revoked, page is not None and page.title) == (True, "You are signed out")
    assert auth0.steps()[len(SIGN_IN) :] == ["api", "api", "refresh_token", "api", "revoke", "end_session"]
    (left,) = auth0.hits("end_session")
    assert left.names == {"id_token_hint", "client_id", "post_logout_redirect_uri", "state"}


def test_sign_out_where_discovery_names_no_page(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-12: with the tenant's toggle off it is ``/v2/logout``, with Auth0's own names, and no token in the address."""
    auth0.end_session = False
    person, browser = person_at(auth0), auth0.browser()
    person.sign_in(browser)
    assert auth0.sessions != {}
    report, page = person.sign_out(browser)
    assert (report.revoked, page is not None and page.title) == (True, "You are signed out")
    (left,) = auth0.hits("v2_logout")
    back = f"http://127.0.0.1:{auth0.redirect_port}/nativeauth/logout/callback"
    assert dict(left.request.query) == {"client_id": auth0.client_id, "returnTo": back}
    assert auth0.sessions == {}


def test_a_revocation_that_fails_stops_nothing(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-12: the report says so, and the browser ends the session all the same."""
    person = person_at(auth0)
    person.sign_in()
    auth0.answer("revoke", Answer(500, "<h1>Oops</h1>"))
    report, page = person.sign_out()
    assert (report.local, report.revoked, page is not None and page.title) == (True, False, "You are signed out")


# ---- the request ---------------------------------------------------------------------------------------------------


def test_what_the_profile_says_is_asked(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-2: organization, connection, hints and limits go out under Auth0's names; the response is always a code."""
    keys = {"organization": "acme", "connection": "google-oauth2", "login_hint": "bob", "max_age": 600}
    person = person_at(auth0, **keys)
    person.sign_in()
    (asked,) = auth0.hits("authorize")
    assert {name: asked.get(name) for name in keys} == {name: str(value) for name, value in keys.items()}
    assert (asked.get("response_type"), asked.get("code_challenge_method")) == ("code", "S256")


def test_the_sign_in_without_a_screen_is_refused_on_loopback(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-6: Auth0 rejects ``prompt=none`` for loopback redirects, so the profile is refused before anybody waits."""
    person = person_at(auth0, prompt="none")
    with pytest.raises(ConfigError, match="prompt"):
        outcome(person.begin(auth0.browser()))
    assert auth0.hits("authorize") == []


@pytest.mark.parametrize("error", ["login_required", "consent_required", "interaction_required"])
def test_the_service_wants_to_ask_something(auth0: Auth0, person_at: PersonAt, error: str) -> None:
    """A0-6: the sign-in begins once more by itself, so that the service can ask; the person sees one sign-in."""
    person = person_at(auth0)
    auth0.answer("authorize", lambda request: auth0.back(request, error=error))
    assert person.sign_in().name == "Ada Example"
    first, second = auth0.hits("authorize")
    assert first.get("state") != second.get("state")


def test_a_service_that_goes_on_wanting_is_no_loop(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-6: once more, and not again: then the error is what it says."""
    person = person_at(auth0)
    auth0.answer("authorize", *[lambda request: auth0.back(request, error="login_required")] * 9)
    assert failure(person).code == "login_required"
    assert len(auth0.hits("authorize")) == 2


def test_the_callback_url_is_not_registered(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-5: Auth0 shows a page of its own and never comes back, so the wait ends with what to look at."""
    auth0.redirect_uris.clear()
    attempt = person_at(auth0).begin(auth0.browser())
    error = given_up(attempt, lambda: auth0.wait("authorize"))
    assert error.code == "timeout"
    assert "Allowed Callback URLs" in error.hint


def test_the_ports_are_fixed(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-5: Auth0 compares the port on loopback too: the listener takes one of ``redirect_ports``, and no other."""
    person = person_at(auth0)
    person.sign_in()
    (asked,) = auth0.hits("authorize")
    assert urlsplit(asked.get("redirect_uri") or "").port == auth0.redirect_port


# ---- what is wrong is said in a sentence ----------------------------------------------------------------------------


def test_an_unknown_audience(auth0: Auth0, person_at: PersonAt) -> None:
    """The service's ``access_denied`` means here that the API is not known; the message names the key to change."""
    error = failure(person_at(auth0, audience="https://wrong.example/", api=[auth0.api]))
    assert error.code == "access_denied"
    assert "audience" in str(error)
    assert "https://wrong.example/" in str(error)


def test_a_wrong_client_id(auth0: Auth0, person_at: PersonAt) -> None:
    """Auth0 shows a page of its own; the wait ends with a hint at the client id too."""
    attempt = person_at(auth0, client_id="somebody-else").begin(auth0.browser())
    assert "client_id" in given_up(attempt, lambda: auth0.wait("authorize")).hint


def test_a_client_that_is_not_native(auth0: Auth0, person_at: PersonAt) -> None:
    """401 ``Unauthorized`` at the token endpoint: the application's type is wrong, and the message says which it is."""
    auth0.token_endpoint_auth_method = "client_secret_post"
    assert "Native" in str(failure(person_at(auth0)))


def test_a_wrong_domain(auth0: Auth0, person_at: PersonAt) -> None:
    """A domain without a tenant: the message names the key."""
    person = person_at(auth0)
    for _ in range(2):
        auth0.answer("discovery", Answer(404, "<h1>Not found</h1>"))
        auth0.answer("other", Answer(404, "<h1>Not found</h1>"))
    with pytest.raises(ConfigError, match="`domain`"):
        outcome(person.begin(auth0.browser()))


@pytest.mark.parametrize("keys", [{"organization": "org_unknown"}, {"organization": "acme", "invitation": "inv_old"}])
def test_an_unknown_organization_and_an_old_invitation(auth0: Auth0, person_at: PersonAt, keys: dict[str, str]) -> None:
    """Both come back as ``invalid_request``: the service's own words are shown, with what to check."""
    invitation = {"authorize": {"invitation": keys["invitation"]}} if "invitation" in keys else {}
    error = failure(person_at(auth0, organization=keys["organization"], **invitation))
    assert error.code == "invalid_request"
    assert ("invitation" if invitation else "organization") in str(error)


# ---- tokens --------------------------------------------------------------------------------------------------------


def test_without_an_audience_the_access_token_is_opaque(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-3: it is taken as it is; a person learns that it opens nothing but ``/userinfo``."""
    person = person_at(auth0, audience=None)
    assert person.sign_in().name == "Ada Example"
    with get_session("acme") as api:
        assert api.get(ME).status_code == 401
    (found,) = status()
    assert "audience" in found.message + found.hint


def test_an_api_without_offline_access(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-4: no refresh token came though it was asked for, without an error: the status says why, and what to do."""
    auth0.offline_audiences.clear()
    person = person_at(auth0)
    person.sign_in()
    (found,) = status()
    assert found.renews is False
    assert "Allow Offline Access" in found.message + found.hint
    auth0.expire()
    with pytest.raises(LoginRequired) as caught, get_session("acme") as api:
        api.get(ME)
    assert caught.value.code == "no_refresh_token"
    assert "Allow Offline Access" in str(caught.value)


@pytest.mark.parametrize("rotation", [False, True])
def test_rotation_on_and_off(auth0: Auth0, person_at: PersonAt, rotation: bool) -> None:
    """A0-7: without rotation the answer has no refresh token and the old one is kept; with it, the new one counts."""
    auth0.rotation = rotation
    person = person_at(auth0)
    person.sign_in()
    for number in (1, 2, 3):
        person.expire()
        assert me(person)["token"] == number
    sent = [hit.get("refresh_token") for hit in auth0.hits("token", "refresh_token")]
    assert len(set(sent)) == (3 if rotation else 1)


def test_an_answer_that_got_lost_within_the_overlap(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-7: the service rotated and the connection broke: asked once more at once, and the overlap forgives it."""
    auth0.rotation, auth0.overlap = True, 30.0
    person = person_at(auth0)
    person.sign_in()
    auth0.expire()
    auth0.answer("token", Answer(reset=True, work=True))
    assert me(person)["name"] == "Ada Example"
    assert auth0.refreshes == 2


def test_reuse_ends_the_login(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-8: beyond the overlap the whole family is revoked, as 403 ``invalid_grant``: signed out, and nobody loops."""
    auth0.rotation = True
    person = person_at(auth0)
    person.sign_in()
    auth0.expire()
    auth0.answer("token", Answer(reset=True, work=True))
    with get_session("acme") as api:
        for _ in range(3):
            with pytest.raises(LoginRequired) as caught:
                api.get(ME)
    assert caught.value.code in ("expired", "signed_out")
    assert auth0.refreshes == 2
    assert person.account.login_id() == ""


def test_the_organization_is_checked(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-9: the ID token must name the organization that was asked for, by id or by name in small letters."""
    for organization in ("org_Acme0123456789ab", "acme"):
        person = person_at(auth0, organization=organization)
        assert person.sign_in().claims["org_name"] == "acme"
        person.sign_out()


@pytest.mark.parametrize(
    "change",
    [
        {"org_id": "org_Other0123456789a"},
        {"org_id": None, "org_name": None},
        {"aud": "somebody-else"},
        {"iss": "https://evil.example/"},
        {"nonce": "another"},
        {"azp": "somebody-else", "aud": ["AuthZeroNativeClientId0123456789", "two"]},
        {"exp": 1},
        {"auth_time": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_id_token_that_is_wrong(auth0: Auth0, person_at: PersonAt, change: dict[str, Any]) -> None:
    """A0-9: each claim that Auth0's page lists is checked; nobody is signed in."""
    person = person_at(auth0, organization="org_Acme0123456789ab", max_age=600)

    def changed(kind: str, claims: dict[str, Any]) -> dict[str, Any]:
        made = claims | (change if kind == "id" else {})
        return {name: value for name, value in made.items() if value is not None}

    auth0.claims = changed
    error = failure(person)
    assert error.code in ("id_token_invalid", "organization_mismatch")
    assert len(auth0.hits("token")) == 1


def test_everybody_shares_one_login(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-14: a service that keeps 200 refresh tokens for each person and drops the oldest is asked for one."""
    person = person_at(auth0)
    person.sign_in()
    for accounts in (Accounts(), Accounts(), Accounts()):
        assert Person.of(accounts, person).account.access_token() == person.account.access_token()
    assert len(auth0.grants) == 1


@pytest.mark.parametrize("key", ["audience", "organization", "client_id"])
def test_a_login_belongs_to_what_it_was_asked_for(auth0: Auth0, person_at: PersonAt, key: str) -> None:
    """A0-14: with another audience, organization or client the stored login is not used, and its token not sent."""
    person = person_at(auth0)
    person.sign_in()
    person.write(acme=auth0.profile(**{key: "another", "api": [auth0.api]}))
    with pytest.raises(LoginRequired) as caught, get_session("acme") as api:
        api.get(ME)
    assert caught.value.code == "profile_changed"
    assert auth0.refreshes == 0


def test_userinfo_is_not_asked_for_each_look(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-15: ten requests a minute is all that ``/userinfo`` allows: the claims come from the ID token."""
    auth0.userinfo_burst = 0
    person = person_at(auth0)
    assert person.sign_in().email == "ada@example.org"
    for _ in range(5):
        assert status()[0].name == "Ada Example"
    assert len(auth0.hits("userinfo")) <= 1


def test_too_many_requests(auth0: Auth0, person_at: PersonAt) -> None:
    """A0-13: a 429 names the second at which it ends; until then nobody asks again, and nothing is lost."""
    person = person_at(auth0)
    person.sign_in()
    auth0.expire()
    auth0.answer("token", auth0.too_many(40))
    with get_session("acme") as api:
        for _ in range(2):
            with pytest.raises(ProviderUnavailable) as caught:
                api.get(ME)
    assert auth0.refreshes == 1
    assert 30 <= (caught.value.retry_after or 0) <= 41
    assert person.account.login_id() != ""


def test_the_statuses_of_the_device_flow(auth0: Auth0) -> None:
    """A0-10: the emulator says what Auth0 says, for whoever builds on it: 403 and 429, and ``expired_token`` once."""
    code = httpx.post(f"{auth0.origin}/oauth/device/code", data={"client_id": auth0.client_id}).json()["device_code"]
    headers = {"Accept": "application/json"}

    def poll() -> tuple[int, str]:
        form = {"grant_type": DEVICE, "device_code": code, "client_id": auth0.client_id}
        answer = httpx.post(f"{auth0.origin}/oauth/token", data=form, headers=headers)
        return answer.status_code, answer.json()["error"]

    assert poll() == (403, "authorization_pending")
    auth0.device[code] = "slow"
    assert poll() == (429, "slow_down")
    auth0.device[code] = "expired"
    assert [poll(), poll()] == [(403, "expired_token"), (403, "invalid_grant")]
