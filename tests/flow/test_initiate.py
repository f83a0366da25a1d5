"""Sign-ins that begin at the service: what its links may bring along, and what is refused before anything begins."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from jupyter_nativeauth import ConfigError, LoginFailed, NativeAuthError
from jupyter_nativeauth._initiate import initiated
from jupyter_nativeauth._oauth import Ask
from tests.canary import Canary
from tests.emulators.auth0 import Auth0
from tests.emulators.scalekit import Scalekit
from tests.emulators.wristband import Wristband
from tests.oidc_provider import OidcProvider
from tests.person import Person
from tests.samples import assert_fit_to_show

PersonAt = Callable[..., Person]
ORG = "org_Acme0123456789ab"


def hints(person: Person, **query: str) -> dict[str, str]:
    account = person.account
    return dict(initiated(account.client, account.profile, urlencode(query)))


def refusal(person: Person, **query: str) -> NativeAuthError:
    with pytest.raises((ConfigError, LoginFailed)) as caught:
        hints(person, **query)
    assert_fit_to_show(caught.value)
    return caught.value


# ---- Scalekit signs what it sends ----------------------------------------------------------------------------------


def test_an_identity_provider_begins(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-12: the token's claims become a sign-in of our own, with a state of our own; its relay state is nobody's."""
    person = person_at(scalekit)
    told = initiated(
        person.account.client,
        person.account.profile,
        urlencode({"idp_initiated_login": scalekit.idp_initiated(), "organization_id": "org_evil", "state": "evil"}),
    )
    assert dict(told) == {"organization": "org_1", "connection": "conn_1", "login_hint": "ada@example.org"}
    person.sign_in(ask=Ask(hints=told))
    (asked,) = scalekit.hits("authorize")
    assert (asked.get("organization_id"), asked.get("connection_id")) == ("org_1", "conn_1")
    assert asked.get("login_hint") == "ada@example.org"
    assert asked.get("state") not in (None, "/reports", "evil")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": True}, "signature"),
        ({"exp": 1_000_000_000}, "ended"),
        ({"exp": None}, "exp"),
        ({"nbf": 4_000_000_000}, "will be valid"),
        ({"iss": "https://evil.example"}, "is not from"),
        ({"iss": None}, "is not from"),
        ({"aud": "another"}, "not for this client"),
    ],
)
def test_a_request_that_cannot_be_believed(
    scalekit: Scalekit, person_at: PersonAt, changes: dict[str, Any], reason: str
) -> None:
    """SK-12: forged, over, of another environment or for another client: a sentence, and nothing begins."""
    error = refusal(person_at(scalekit), idp_initiated_login=scalekit.idp_initiated(**changes))
    assert error.code == "initiation_invalid"
    assert reason in str(error) or "key that the service does not list" in str(error)
    assert scalekit.hits("authorize") == []


def test_a_request_without_an_audience(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-12: ``aud`` counts if it is there; nobody says that it always is."""
    assert hints(person_at(scalekit), idp_initiated_login=scalekit.idp_initiated(aud=None))["connection"] == "conn_1"


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "x" * 70_000])
def test_a_request_that_is_none(scalekit: Scalekit, person_at: PersonAt, token: str) -> None:
    """SK-12: nonsense is refused; an empty parameter is as good as none, and asks for nothing."""
    person = person_at(scalekit)
    if token:
        assert refusal(person, idp_initiated_login=token).code in ("initiation_invalid", "bad_initiation")
    else:
        assert hints(person, idp_initiated_login=token) == {}


def test_the_service_reports_an_error(scalekit: Scalekit, person_at: PersonAt) -> None:
    """SK-12, SK-14: in the service's own words, and what they mean; the address is not repeated."""
    error = refusal(person_at(scalekit), error="connection_not_active", error_description="Connection is disabled")
    assert error.code == "connection_not_active"
    assert 'It said: "Connection is disabled".' in str(error)
    assert "`connection`" in error.hint


# ---- Auth0 ---------------------------------------------------------------------------------------------------------


def test_an_invitation(auth0: Auth0, person_at: PersonAt, canary: Canary) -> None:
    """A0-2: the ticket and its organization go out with the sign-in; whoever signs in must be of that organization."""
    person = person_at(auth0)
    link = {"invitation": "inv_0123456789abcdef", "organization": ORG, "organization_name": "acme"}
    told = hints(person, iss=auth0.issuer, **link)
    assert told == link
    person.sign_in(ask=Ask(hints=tuple(told.items())))
    (asked,) = auth0.hits("authorize")
    assert (asked.get("invitation"), asked.get("organization")) == (link["invitation"], ORG)
    assert "organization_name" not in asked.names


def test_an_invitation_of_somebody_else(auth0: Auth0, person_at: PersonAt) -> None:
    """A link for another service, or for another organization than the profile's, does not begin anything."""
    person = person_at(auth0, organization=ORG)
    assert refusal(person, iss="https://evil.example/", invitation="x").code == "issuer_mismatch"
    error = refusal(person, invitation="x", organization="org_other")
    assert error.code == "other_organization"
    assert re.search(r"organization 'org_other', and the profile 'acme' is for", str(error))
    assert hints(person_at(auth0, organization="acme"), organization=ORG, organization_name="acme")["organization"]


# ---- Wristband, and everybody else ---------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["tenant_name", "tenant_domain"])
def test_an_invitation_to_a_tenant(wristband: Wristband, person_at: PersonAt, word: str) -> None:
    """WB-4, WB-15: a link names its tenant by either word, and counts before the profile."""
    person = person_at(wristband)
    told = hints(person, **{word: "initech", "login_hint": "ada@example.org", "return_url": "https://evil.example"})
    assert told == {"tenant_name": "initech", "login_hint": "ada@example.org"}
    person.sign_in(ask=Ask(hints=tuple(told.items())))
    (asked,) = wristband.hits("authorize")
    assert (asked.host, asked.get("login_hint")) == (wristband.host_of("initech"), "ada@example.org")


def test_a_domain_that_is_not_listed(wristband: Wristband, person_at: PersonAt) -> None:
    """WB-4: the sentence says where it would have to stand."""
    error = refusal(person_at(wristband), tenant_custom_domain="evil.example")
    assert error.code == "other_tenant"
    assert "`tenant_custom_domains`" in str(error)
    assert "[profiles.acme]" in error.hint


def test_any_openid_provider(oidc: OidcProvider, person: Person) -> None:
    """CNF-030: OpenID Connect Core, section 4: the issuer must be ours, and a login hint may come along. Nothing else
    may."""
    told = hints(person, iss=oidc.issuer, login_hint="ada", target_link_uri="https://evil.example", organization="x")
    assert told == {"login_hint": "ada"}
    assert refusal(person, iss="https://evil.example", login_hint="ada").code == "issuer_mismatch"
