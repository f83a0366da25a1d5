"""Which of a service's hosts a sign-in goes to: a table, and never what an address brings."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from jupyter_nativeauth import ConfigError, Profile
from jupyter_nativeauth._metadata import Provider
from jupyter_nativeauth._tenant import Setup, Tenant, answered_by, at_tenant, find_tenant, read_setup
from jupyter_nativeauth.providers import PRESETS

_HOSTS = PRESETS["wristband"].tenants
assert _HOSTS is not None
HOSTS = _HOSTS
APP = {"application_domain": "https://app-acme.us.wristband.dev"}
OWN = {"application_domain": "https://auth.acme.example"}
LISTED = {"tenant_custom_domains": "https://login.globex.example https://login.initech.example:8443"}
DEFAULTS = {"tenant_custom_domain": "https://x.example", "tenant_name": "b"}
GLOBEX = Tenant("https://globex-app-acme.us.wristband.dev", "globex")


@pytest.mark.parametrize(
    ("active", "options", "asked", "origin"),
    [
        (False, APP, {"name": "globex"}, "https://globex-app-acme.us.wristband.dev"),
        (True, OWN, {"name": "globex"}, "https://globex.auth.acme.example"),
        (False, APP | LISTED, {"domain": "login.globex.example"}, "https://login.globex.example"),
        (True, OWN | LISTED, {"domain": "Login.Initech.Example:8443"}, "https://login.initech.example:8443"),
    ],
)
def test_the_separator(active: bool, options: dict[str, str], asked: dict[str, str], origin: str) -> None:
    """WB-2: a dot before an application's custom domain, else a hyphen; a tenant's custom domain is taken verbatim."""
    told = {"isApplicationCustomDomainActive": active}
    found = find_tenant(HOSTS, options, read_setup(HOSTS, options, told).separator, **asked)
    assert found is not None
    assert found.origin == origin


@pytest.mark.parametrize("told", [None, {}, {"isApplicationCustomDomainActive": "true"}])
def test_a_setup_that_nobody_tells(told: dict[str, Any] | None) -> None:
    """WB-14: without the SDK configuration it works all the same, as the SDKs have it, or as the profile says."""
    assert read_setup(HOSTS, APP, told) == Setup("-", "https://app-acme.us.wristband.dev/login")
    assert read_setup(HOSTS, OWN | {"tenant_separator": "."}, told).separator == "."


@pytest.mark.parametrize(
    ("page", "used"),
    [
        ("https://acme.example/find", "https://acme.example/find"),
        ("http://acme.example/find", "https://app-acme.us.wristband.dev/login"),
        ("https://acme.example/find?client_id=other", "https://app-acme.us.wristband.dev/login"),
        (7, "https://app-acme.us.wristband.dev/login"),
        (None, "https://app-acme.us.wristband.dev/login"),
    ],
)
def test_a_login_page_of_one_s_own(page: object, used: str) -> None:
    """An application can have its own page that finds the tenant: https, and nothing but a place."""
    assert read_setup(HOSTS, APP, {"customApplicationLoginPageUrl": page}).login_page == used


@pytest.mark.parametrize(
    ("asked", "profile", "origin"),
    [
        ({"domain": "login.globex.example", "name": "a"}, DEFAULTS, "https://login.globex.example"),
        ({"name": "a"}, DEFAULTS, "https://a-app-acme.us.wristband.dev"),
        ({}, DEFAULTS, "https://x.example"),
        ({}, {"tenant_name": "b"}, "https://b-app-acme.us.wristband.dev"),
        ({}, {}, None),
    ],
)
def test_the_order(asked: dict[str, str], profile: dict[str, str], origin: str | None) -> None:
    """WB-3: custom domain, name, the profile's custom domain, the profile's name; else nobody knows yet."""
    found = find_tenant(HOSTS, APP | LISTED | profile, "-", **asked)
    assert (found.origin if found else None) == origin


@pytest.mark.parametrize(
    "asked",
    [
        {"domain": "evil.example"},
        {"domain": "login.globex.example.evil.example"},
        {"domain": "login.globex.example:8443"},
        {"domain": "login.globex.example/"},
        {"domain": "x@login.globex.example"},
        {"name": "evil.example/"},
        {"name": "evil.example"},
        {"name": "evil#"},
        {"name": "-a"},
        {"name": "a-"},
        {"name": "a" * 64},
        {"name": "ä"},
        {"name": "a b"},
        {"domain": "login.globex.example", "name": "evil.example"},
    ],
)
def test_an_address_brings_no_host(asked: dict[str, str]) -> None:
    """WB-4: a tenant's name is one label, and a custom domain counts only if the profile lists it."""
    with pytest.raises(ValueError, match=r"must be the name of a tenant|is not a domain that the profile lists"):
        find_tenant(HOSTS, APP | LISTED, "-", **asked)


def test_what_is_at_a_tenant_s_host() -> None:
    """WB-1: authorization and sign-out move to the tenant; tokens, keys, revocation and the issuer stay."""
    app = APP["application_domain"]
    provider = Provider(
        issuer=app,
        **{
            name: f"{app}/api/v1/{path}"
            for name, path in {
                "authorization_endpoint": "oauth2/authorize",
                "token_endpoint": "oauth2/token",
                "jwks_uri": "oauth2/jwks",
                "userinfo_endpoint": "oauth2/userinfo",
                "revocation_endpoint": "oauth2/revoke",
                "end_session_endpoint": "logout",
            }.items()
        },
    )
    moved = at_tenant(HOSTS, provider, GLOBEX)
    assert moved == replace(
        provider,
        tenant="globex",
        authorization_endpoint=f"{GLOBEX.origin}/api/v1/oauth2/authorize",
        end_session_endpoint=f"{GLOBEX.origin}/api/v1/logout",
    )


@pytest.mark.parametrize(
    ("asked", "answer", "tenant"),
    [
        (GLOBEX, {"tenant_name": "globex"}, GLOBEX),
        (GLOBEX, {"tenant_domain": "Globex"}, GLOBEX),
        (GLOBEX, {}, GLOBEX),
        (Tenant("https://x.example"), {"tenant_name": "globex"}, Tenant("https://x.example", "globex")),
        (None, {"tenant_name": "globex"}, GLOBEX),
        (
            None,
            {"tenant_name": "globex", "tenant_custom_domain": "login.globex.example"},
            Tenant("https://login.globex.example", "globex"),
        ),
        (GLOBEX, {"tenant_custom_domain": "evil.example"}, GLOBEX),
        (GLOBEX, {"tenant_custom_domain": "login.globex.example"}, Tenant("https://login.globex.example", "globex")),
    ],
)
def test_who_answers(asked: Tenant | None, answer: dict[str, str], tenant: Tenant) -> None:
    """WB-8: the answer may name its tenant by either word; a custom domain counts if the profile lists it."""
    assert answered_by(HOSTS, APP | LISTED, "-", asked, answer) == tenant


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (None, {}),
        (None, {"tenant_custom_domain": "login.globex.example"}),
        (GLOBEX, {"tenant_name": "initech"}),
        (GLOBEX, {"tenant_name": "globex", "tenant_domain": "initech"}),
        (GLOBEX, {"tenant_name": "evil.example/"}),
    ],
)
def test_who_must_not_answer(asked: Tenant | None, answer: dict[str, str]) -> None:
    """WB-8: another tenant, two at once, or none where none was chosen at the start."""
    with pytest.raises(ValueError, match="tenant"):
        answered_by(HOSTS, APP | LISTED, "-", asked, answer)


# ---- the profile's keys ----------------------------------------------------------------------------------------------


def profile(**keys: Any) -> Profile:
    return Profile("acme", provider="wristband", client_id="cli", **{"application_domain": "app.example", **keys})


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ({"application_domain": "App.Example"}, {"application_domain": "https://app.example"}),
        ({"application_domain": "http://app.localhost:9000/"}, {"application_domain": "http://app.localhost:9000"}),
        ({"tenant_name": "Globex"}, {"tenant_name": "globex"}),
        ({"tenant_custom_domain": "login.globex.example"}, {"tenant_custom_domain": "https://login.globex.example"}),
        (
            {"tenant_custom_domains": ["a.example", "https://b.example/"]},
            {"tenant_custom_domains": "https://a.example https://b.example"},
        ),
        ({"tenant_custom_domains": "a.example"}, {"tenant_custom_domains": "https://a.example"}),
    ],
)
def test_how_the_keys_are_kept(keys: dict[str, Any], kept: dict[str, str]) -> None:
    """Hosts become origins, names are spelled as in a host name; a profile survives being made again from its own."""
    made = profile(**keys)
    assert {key: made.options[key] for key in kept} == kept
    assert profile(**made.options).options == made.options


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"application_domain": "http://app.example"}, "application_domain must begin with https://"),
        ({"tenant_name": "globex.example"}, "tenant_name must be the name of a tenant"),
        ({"tenant_custom_domain": "evil/path"}, "tenant_custom_domain must be a host name"),
        ({"tenant_custom_domains": ["a.example", "b/c"]}, "tenant_custom_domains must be a host name"),
        ({"tenant_custom_domains": 7}, "tenant_custom_domains must be a list such as"),
        ({"tenant_separator": "_"}, 'tenant_separator must be "-" or "."'),
        ({"tenant_discovery": "dns"}, 'tenant_discovery must be "login_page" or "authorize"'),
        ({"client_secret": "x"}, "there is no key"),
    ],
)
def test_wrong_keys(keys: dict[str, Any], words: str) -> None:
    """A sentence names the key and what was expected; a secret has no key at all."""
    with pytest.raises(ConfigError, match=re.escape(words)):
        profile(**keys)


@pytest.mark.parametrize(
    ("keys", "whose"),
    [
        ({}, ""),
        ({"tenant_name": "globex"}, "globex"),
        ({"tenant_name": "globex", "tenant_custom_domain": "login.globex.example"}, "https://login.globex.example"),
    ],
)
def test_whose_logins_they_are(keys: dict[str, Any], whose: str) -> None:
    """WB-3: a login is bound to the tenant that the profile named; naming another one later asks for a new sign-in."""
    assert profile(**keys).home == whose


@pytest.mark.parametrize("key", ["api", "redirect_uri", "post_logout_redirect_uri"])
def test_no_token_and_no_code_by_such_a_name(key: str) -> None:
    """Not every program looks these names up as we do: an API's client or a browser may ask a name server."""
    url = "http://app.localhost:9000" + ("/nativeauth/callback" if key == "redirect_uri" else "")
    with pytest.raises(ConfigError, match=f"{key} must begin with https://"):
        profile(**{key: [url] if key == "api" else url})
    assert profile(audience="http://app.localhost:9000").api == ()
