"""The answers that only some services give to a sign-in: a token in the address, and a customer who was not asked."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any
from urllib.parse import urlencode

import pytest

from jupyter_nativeauth import LoginFailed, Profile
from jupyter_nativeauth._callback import AskAgain, Code, Mismatch, read_callback, read_query
from jupyter_nativeauth._oauth import Ask, AuthorizationRequest, authorization_request
from jupyter_nativeauth._tenant import Setup
from tests import samples


def answer(request: AuthorizationRequest, **members: str) -> str:
    return urlencode({"state": request.state.reveal(), **members})


def implicit() -> AuthorizationRequest:
    return replace(samples.request(of=samples.provider(sends_iss=False)), implicit=True)


def at_wristband(**hints: str) -> AuthorizationRequest:
    """A sign-in at a service whose customers have hosts of their own."""
    profile = Profile("acme", provider="wristband", client_id="cli", application_domain="app-acme.us.wristband.dev")
    ask, setup = Ask(hints=tuple(hints.items())), Setup("-", "https://app-acme.us.wristband.dev/login")
    return authorization_request(profile, samples.provider(sends_iss=False), samples.CALLBACK, ask, setup)


def refused(request: AuthorizationRequest, query: str) -> str:
    with pytest.raises(Mismatch) as caught:
        read_callback(request, query)
    samples.assert_fit_to_show(caught.value)
    return caught.value.code


def test_a_token_in_the_address() -> None:
    """Where a profile insists on the implicit flow, the token itself is taken, and there is no code to redeem."""
    request, token = implicit(), samples.secret("access")
    code = read_callback(request, answer(request, access_token=token.reveal(), token_type="bearer"))
    assert (code.value.reveal(), code.request) == ("", request)
    assert code.granted is not None
    assert code.granted.access_token == token


@pytest.mark.parametrize(
    "members", [{}, {"code": "x"}, {"access_token": ""}, {"access_token": "a", "token_type": "mac"}]
)
def test_no_usable_token_in_the_address(members: dict[str, str]) -> None:
    """An answer of the implicit flow without a bearer token is none; the sign-in goes on waiting."""
    request = implicit()
    assert refused(request, answer(request, **members)) == "bad_callback"


@pytest.mark.parametrize(("hints", "name"), [({}, "globex"), ({"tenant_name": "globex"}, "globex")])
def test_the_customer_who_answers(hints: dict[str, Any], name: str) -> None:
    """WB-8: the code goes to the host of the customer who was asked, or who was found on the way."""
    request = at_wristband(**hints)
    code = read_callback(request, answer(request, code="x", tenant_name=name))
    assert code.request.tenant is not None
    assert code.request.tenant.name == name
    assert code.request.provider.tenant == name


def test_a_customer_who_was_not_asked() -> None:
    """WB-8: the answer of another customer, or of nobody, is no answer."""
    request = at_wristband(tenant_name="globex")
    assert refused(request, answer(request, code="x", tenant_name="initech")) == "tenant_mismatch"
    assert refused(at_wristband(), answer(request, code="x", tenant_name="globex")) == "state_mismatch"
    nobody = at_wristband()
    assert refused(nobody, answer(nobody, code="x")) == "tenant_mismatch"


def test_a_name_of_a_customer_where_there_are_none() -> None:
    """A service without such hosts may say what it likes by that name."""
    request = samples.request()
    query = answer(request, code="x", iss=samples.ISSUER, tenant_name="globex")
    assert read_callback(request, query).request is request


def test_a_setup_that_is_not_known() -> None:
    """Where nobody has said how the application is set up, the answer stays at the host that was asked."""
    request = replace(at_wristband(), setup=None)
    assert read_callback(request, answer(request, code="x", tenant_name="globex")).request is request


def test_the_longest_query() -> None:
    """SEC-011: 16 KiB are read, and not one letter more."""
    longest = "x=" + "y" * 16382
    assert read_query(longest) == {"x": "y" * 16382}
    with pytest.raises(Mismatch):
        read_query(longest + "y")


def test_a_checked_code_stays_as_it_was_checked() -> None:
    """Nobody can put another code, or another sign-in, into it."""
    code = Code(samples.secret("code"), samples.request())
    with pytest.raises(FrozenInstanceError):
        code.value = samples.secret("code")  # type: ignore[misc]


def at_auth0(*, again: bool) -> AuthorizationRequest:
    profile = Profile("acme", provider="auth0", client_id="cli", domain="acme.eu.auth0.com")
    return authorization_request(profile, samples.provider(), samples.CALLBACK, Ask(again=again))


@pytest.mark.parametrize(("again", "kind"), [(False, AskAgain), (True, LoginFailed)])
def test_a_service_that_asks_something_first_is_asked_once_more(again: bool, kind: type[LoginFailed]) -> None:
    """A0-6: once, and no more than that: else a browser would go to and fro for ever."""
    request = at_auth0(again=again)
    with pytest.raises(LoginFailed) as caught:
        read_callback(request, answer(request, error="login_required", iss=request.provider.issuer))
    assert type(caught.value) is kind


def test_a_long_code_of_an_error_is_cut() -> None:
    """It stands in a sentence, and has up to sixty characters there."""
    request = at_auth0(again=False)
    with pytest.raises(LoginFailed) as caught:
        read_callback(request, answer(request, error="e" * 200, iss=request.provider.issuer))
    assert caught.value.code.rstrip("….") == "e" * len(caught.value.code.rstrip("…."))
    assert len(caught.value.code) == 60
