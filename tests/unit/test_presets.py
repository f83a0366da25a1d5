"""The services as data: what a profile of each becomes, what its request holds, what its errors say. No I/O."""

from __future__ import annotations

import time
from dataclasses import fields
from email.utils import formatdate
from string import Formatter
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from jupyter_nativeauth import ConfigError, LoginFailed
from jupyter_nativeauth._callback import AskAgain, read_callback
from jupyter_nativeauth._http import ProviderClient
from jupyter_nativeauth._metadata import RP_INITIATED, Provider, read_metadata
from jupyter_nativeauth._oauth import Ask, AuthorizationRequest, authorization_request
from jupyter_nativeauth._status import _notice
from jupyter_nativeauth._tokens import Secret
from jupyter_nativeauth.profiles import Profile
from jupyter_nativeauth.providers import PRESETS, Preset, issuer_of, known_members, words_for
from tests import samples
from tests.samples import CALLBACK, CLIENT, PROVIDER, assert_fit_to_show

HUB = "https://hub.example/user/ada/nativeauth/callback"
HOSTS: dict[str, dict[str, str]] = {
    "oidc": {"issuer": "https://id.example"},
    "auth0": {"domain": "acme.eu.auth0.com"},
    "scalekit": {"environment_url": "https://acme.scalekit.dev"},
}


def profile(provider: str, **keys: Any) -> Profile:
    return Profile("acme", **{"provider": provider, "client_id": CLIENT, **HOSTS[provider], **keys})


def request(provider: str, ask: Ask | None = None, redirect_uri: str = CALLBACK, **keys: Any) -> AuthorizationRequest:
    """A sign-in at this service that has begun."""
    made = profile(provider, **keys)
    where = Provider(
        issuer_of(PRESETS[provider], made.options), "https://a.example/authorize", "https://a.example/token", ""
    )
    return authorization_request(made, where, redirect_uri, Ask() if ask is None else ask)


def sent(begun: AuthorizationRequest) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(begun.url.reveal()).query, strict_parsing=True))


def denied(begun: AuthorizationRequest, error: str, description: str = "") -> LoginFailed:
    """What a person reads when the service says no."""
    said = {"state": begun.state.reveal(), "error": error, "error_description": description}
    with pytest.raises(LoginFailed) as caught:
        read_callback(begun, urlencode(said))
    assert_fit_to_show(caught.value)
    assert begun.state.reveal() not in str(caught.value)
    assert "https://a.example" not in str(caught.value)
    return caught.value


def all_words(preset: Preset) -> list[str]:
    """Everything that a person may read of a service, whole sentences only."""
    tables = [preset.callback_words, preset.token_words, preset.over_words]
    alone = [preset.lost_words, preset.no_offline_words, preset.no_audience_words, preset.redirect.http_words]
    return [*(words for table in tables for words in table.values()), *(words for words in alone if words)]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_whole(name: str) -> None:
    """Templates name options that a profile has, words are sentences, and what the console is told can be filled in."""
    preset = PRESETS[name]
    options = dict.fromkeys((*preset.needs, *preset.takes), "https://x.example")
    members = {"issuer": issuer_of(preset, options), **known_members(preset, options)}
    here = ("https://x.example", *preset.defaults.values())
    assert preset.lender or all(url.startswith(here) for url in members.values())
    assert preset.lender or preset.issuer_key in options or preset.issuer_key in preset.defaults
    for words in all_words(preset):
        assert words.isascii()
        assert words.endswith(".")
    assert preset.console
    for line in preset.console:
        places = {place for _, place, _, _ in Formatter().parse(line) if place is not None}
        assert places <= {"redirect_uris", "logout_uris", "initiate_uri"}
        assert not places or line.endswith("}")
    assert preset.lender or any("{redirect_uris}" in line for line in preset.console)


def test_every_field_serves_somebody() -> None:
    """A field that no service sets is a branch that nobody has tried."""
    idle = {
        field.name
        for field in fields(Preset)
        if all(getattr(preset, field.name) == getattr(PRESETS["oidc"], field.name) for preset in PRESETS.values())
    }
    assert idle == set()


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ({"denied": "yes"}, True),
        ({"deny": "no"}, False),
        ({"deni": "no"}, False),
        ({"den*": "yes"}, True),
        ({"denied: no such *": "yes"}, True),
        ({"*: *such API*": "yes"}, True),
        ({"denied: other*": "no", "denied": "yes"}, True),
        ({}, False),
    ],
)
def test_which_words_fit(patterns: dict[str, str], found: bool) -> None:
    """A pattern fits the whole error, or the error with its description; the first one counts."""
    assert words_for(patterns, "denied", "no such API: x") == ("yes" if found else "")


def test_a_provider_of_an_older_version() -> None:
    """A login that was stored before services had names of their own for the end of a session has the standard's."""
    record = PROVIDER.to_record()
    del record["end_session_parameters"]
    assert Provider.from_record(record).end_session_parameters == RP_INITIATED


@pytest.mark.parametrize("found", [None, "", 7])
def test_what_is_known_fills_gaps_only(found: Any) -> None:
    """What a preset knows stands in for a member that is missing or null, and never for metadata of somebody else."""
    known = {name: f"https://x.example/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
    document = {"issuer": "https://x.example", "token_endpoint": "https://x.example/other", "jwks_uri": None}
    told = read_metadata("https://x.example", document, known=known)
    assert (told.token_endpoint, told.jwks_uri) == ("https://x.example/other", known["jwks_uri"])
    assert read_metadata("https://x.example", known=known).authorization_endpoint == known["authorization_endpoint"]
    with pytest.raises(ConfigError) as caught:
        read_metadata("https://x.example", {"issuer": found}, known=known, key="domain")
    assert caught.value.code == "issuer_mismatch"
    assert "`domain`" in caught.value.hint


# ---- Auth0 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "domain", ["acme.eu.auth0.com", "ACME.eu.auth0.com/", "https://acme.eu.auth0.com", "https://Acme.EU.auth0.com/"]
)
def test_the_issuer_has_its_slash(domain: str) -> None:
    """A0-1: however the domain is written, the issuer is what Auth0's tokens say: with https and a slash."""
    made = profile("auth0", domain=domain)
    assert issuer_of(PRESETS["auth0"], made.options) == "https://acme.eu.auth0.com/"
    with pytest.raises(ConfigError) as caught:
        read_metadata("https://acme.eu.auth0.com/", {"issuer": "https://acme.eu.auth0.com"}, key="domain")
    assert "`domain`" in caught.value.hint


def test_what_auth0_is_asked() -> None:
    """A0-2: each key under Auth0's name; a code with S256; a refresh token, without asking for consent each time."""
    keys = {"audience": "https://api.acme.com", "organization": "org_1", "connection": "github", "login_hint": "ada"}
    query = sent(request("auth0", **keys, max_age=60, prompt="login", authorize={"screen_hint": "signup"}))
    own = {"max_age": "60", "prompt": "login", "screen_hint": "signup", "scope": "openid profile email offline_access"}
    assert keys.items() | own.items() <= query.items()
    assert (query["response_type"], query["code_challenge_method"]) == ("code", "S256")
    assert "prompt" not in sent(request("auth0"))
    assert profile("auth0", audience="https://api.acme.com/v2").api == ("https://api.acme.com",)


def test_a_link_of_the_service() -> None:
    """A0-2: an invitation goes along for one sign-in; it brings nothing else, and the profile comes first."""
    hints = (
        ("invitation", "ticket"),
        ("organization", "org_2"),
        ("login_hint", "bob"),
        ("redirect_uri", "https://evil.example"),
    )
    query = sent(request("auth0", Ask(hints=hints)))
    assert (query["invitation"], query["organization"], query["login_hint"]) == ("ticket", "org_2", "bob")
    assert query["redirect_uri"] == CALLBACK
    assert request("auth0", Ask(hints=hints)).organization == "org_2"
    assert sent(request("auth0", Ask(hints=hints), organization="org_1"))["organization"] == "org_1"
    assert "login_hint" not in sent(request("auth0", Ask(hints=hints, switch=True)))
    assert "invitation" not in sent(request("oidc", Ask(hints=hints)))


def test_ports_that_can_be_registered() -> None:
    """A0-5: where the port counts, a profile that names none has the few that Jupyter takes; the person's own win."""
    assert profile("auth0").redirect_ports == (8888, 8889, 8890)
    assert profile("auth0", redirect_ports=[9999]).redirect_ports == (9999,)
    assert profile("auth0", redirect_uri=CALLBACK).redirect_ports == ()
    assert profile("oidc").redirect_ports == ()


def test_a_silent_sign_in() -> None:
    """A0-6: not with a redirect to this machine; on a hub it may be tried, and then what Auth0 wants is asked once."""
    with pytest.raises(ConfigError, match="confirmation") as caught:
        request("auth0", prompt="none")
    assert_fit_to_show(caught.value)
    silent = request("auth0", redirect_uri=HUB, prompt="none")
    assert sent(silent)["prompt"] == "none"
    for error in ("login_required", "consent_required", "interaction_required"):
        assert type(denied(silent, error)) is AskAgain
    again = request("auth0", Ask(again=True), redirect_uri=HUB, prompt="none")
    assert "prompt" not in sent(again)
    assert type(denied(again, "login_required")) is LoginFailed
    assert type(denied(silent, "access_denied")) is LoginFailed
    assert type(denied(request("oidc", prompt="none"), "login_required")) is LoginFailed


@pytest.mark.parametrize(
    ("error", "description", "word"),
    [
        ("access_denied", "Service not found: https://api.acme.com", "`audience`"),
        ("invalid_request", "parameter organization is invalid", "`organization`"),
        ("invalid_request", "user is not part of the org_1 organization", "no member"),
        ("invalid_request", "invitation not found or already used", "invitation"),
        ("unauthorized_client", "Grant type 'authorization_code' not allowed", "grant types"),
        ("access_denied", "User did not authorize the request", "somebody said no"),
    ],
)
def test_what_auth0_says(error: str, description: str, word: str) -> None:
    """An error of Auth0's is a sentence that says what to change and where; what is not its own has the usual words."""
    assert word in str(denied(request("auth0"), error, description))


@pytest.mark.parametrize(
    ("keys", "login", "words"),
    [
        ({}, {}, []),
        ({}, {"access_token": Secret("opaque")}, ["`audience`"]),
        ({"audience": "https://api.acme.com"}, {"access_token": Secret("opaque")}, []),
        ({}, {"refresh_token": None}, ["Allow Offline Access"]),
        ({"scopes": ["openid", "offline_access"]}, {"refresh_token": None}, ["Allow Offline Access"]),
        ({"scopes": ["openid"]}, {"refresh_token": None}, []),
        ({}, {"access_token": None, "refresh_token": None}, ["Allow Offline Access"]),
    ],
)
def test_what_a_login_lacks(keys: dict[str, Any], login: dict[str, Any], words: list[str]) -> None:
    """A0-3, A0-4: who is signed in learns what the login is no good for, and nothing where all is well."""
    made = samples.login(**{"access_token": Secret("a.b.c"), **login})
    notice = _notice(profile("auth0", **keys), made)
    assert all(word in notice for word in words)
    assert bool(notice) == bool(words)
    assert _notice(profile("oidc"), made) == ""


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"X-RateLimit-Reset": "{+40}"}, 40),
        (429, {"X-RateLimit-Reset": "{+40}", "Retry-After": "7"}, 7),
        (429, {"X-RateLimit-Reset": "{-40}"}, 0),
        (429, {"X-RateLimit-Reset": "99999999999999"}, None),
        (429, {"X-RateLimit-Reset": "{+99999}"}, 3600),
        (429, {"X-RateLimit-Reset": "soon"}, None),
        (429, {"Retry-After": "99999"}, 3600),
        (429, {}, None),
        (200, {"X-RateLimit-Reset": "{+40}"}, None),
        (503, {"X-RateLimit-Reset": "{+40}", "Retry-After": "3"}, 3),
    ],
)
def test_when_the_limit_ends(status: int, headers: dict[str, str], seconds: float | None) -> None:
    """A0-13: a moment, by the service's own clock, which may be years from this computer's; at most an hour away."""
    now = 2_000_000_000
    told = {"Date": formatdate(now, usegmt=True)}
    for name, value in headers.items():
        told[name] = str(now + int(value.strip("{}"))) if value.startswith("{") else value
    client = ProviderClient(rate_limit_reset=PRESETS["auth0"].rate_limit_reset)
    assert client._retry_after(httpx.Response(status, headers=told)) == seconds
    assert ProviderClient()._retry_after(httpx.Response(429, headers={"X-RateLimit-Reset": str(now)})) is None


def test_a_limit_without_a_date() -> None:
    """A0-13: a service that does not say what time it is means ours."""
    client = ProviderClient(rate_limit_reset="X-RateLimit-Reset")
    left = client._retry_after(httpx.Response(429, headers={"X-RateLimit-Reset": str(int(time.time()) + 100)}))
    assert left is not None
    assert 90 < left <= 100


# ---- Scalekit ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://acme.scalekit.dev", "https://ACME.scalekit.dev/", "acme.scalekit.dev"])
def test_the_environment(url: str) -> None:
    """SK-1: with or without a slash; the issuer has none; the endpoints are known without asking."""
    made = profile("scalekit", environment_url=url)
    assert issuer_of(PRESETS["scalekit"], made.options) == "https://acme.scalekit.dev"
    known = known_members(PRESETS["scalekit"], made.options)
    assert known["jwks_uri"] == "https://acme.scalekit.dev/keys"
    assert known["end_session_endpoint"] == "https://acme.scalekit.dev/oidc/logout"


@pytest.mark.parametrize(
    ("key", "value", "names"),
    [
        ("organization", "org_1", ["organization_id"]),
        ("connection", "conn_1", ["connection_id"]),
        ("identity_provider", "github", ["provider"]),
        ("domain_hint", "acme.com", ["domain", "domain_hint"]),
        ("login_hint", "ada@acme.com", ["login_hint"]),
        ("prompt", "select_account", ["prompt"]),
    ],
)
def test_whose_sign_in_it_is(key: str, value: str, names: list[str]) -> None:
    """SK-2, SK-3: each selector under Scalekit's name, alone; the usual ones without any."""
    usual = sent(request("scalekit"))
    assert usual["scope"] == "openid profile email offline_access"
    assert {"state", "nonce", "code_challenge"} < usual.keys()
    query = sent(request("scalekit", **{key: value}))
    assert {name: query[name] for name in query.keys() - usual.keys()} == dict.fromkeys(names, value)


def test_a_redirect_uri_that_is_too_long() -> None:
    """SK-5: 256 characters; a query and a fragment no service may have here."""
    long = (
        "https://hub.example/" + "u" * (256 - len("https://hub.example//nativeauth/callback")) + "/nativeauth/callback"
    )
    assert profile("scalekit", redirect_uri=long).redirect_uri == long
    with pytest.raises(ConfigError, match="at most 256 characters with Scalekit, not 257"):
        profile("scalekit", redirect_uri=long.replace("hub", "hubs"))
    for more in ("?x=1", "#x"):
        with pytest.raises(ConfigError, match="without a query, a fragment"):
            profile("scalekit", redirect_uri=f"https://hub.example/nativeauth/callback{more}")


SSO = (
    "invalid_redirect_uri invalid_connection_selector no_active_connections connection_not_active "
    "no_configured_connections invalid_organization_id invalid_connection_id domain_not_found invalid_user_domain "
    "invalid_client application_not_active unauthorized user_not_active mandatory_attribute_missing invalid_id_token "
    "failed_to_exchange_token user_info_retrieve_failed invalid_saml_response invalid_saml_request "
    "signature_validation_failed assertion_expired response_expired authentication_not_completed user_login_required "
    "access_denied invalid_request server_error"
)


@pytest.mark.parametrize("error", SSO.split())
def test_the_errors_of_single_sign_on(error: str) -> None:
    """SK-14: each has words, its code and what Scalekit said; never an address."""
    failed = denied(request("scalekit"), error, "User+denied <access>")
    assert failed.code == error
    assert "The service refused." not in str(failed)
    assert 'It said: "User+denied <access>"' in str(failed)
