"""What others send, with anything in it: what is believed keeps to the rules, and all else is an error of ours."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from hypothesis import example, given
from hypothesis import strategies as st

from jupyter_nativeauth import LoginFailed, NotSigned, ProviderError, ProviderUnavailable
from jupyter_nativeauth._callback import AskAgain, Mismatch, read_callback
from jupyter_nativeauth._clock import LEEWAY, apart, cure
from jupyter_nativeauth._device import Rhythm, raise_ended, read_device_code, said
from jupyter_nativeauth._idtoken import Expected, check, check_refreshed
from jupyter_nativeauth._jwt import TokenInvalid
from jupyter_nativeauth._oauth import AuthorizationRequest
from jupyter_nativeauth._origin import api_of, https_url, is_secure, origin, redirect_uri, service_origin
from jupyter_nativeauth._payload_record import (
    Signed,
    deep_links,
    read_answer,
    read_cancelled,
    read_created,
    read_event,
    read_final,
)
from jupyter_nativeauth._tokens import Body
from jupyter_nativeauth.vault import MemoryVault
from tests import samples
from tests.tries import tries
from tests.unit import test_accesstoken, test_callback, test_device, test_idtoken, test_payload

LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
JSON = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def changed(members: dict[str, Any], *values: Any) -> st.SearchStrategy[dict[str, Any]]:
    """*members*, of which some are missing and some are something else."""
    odd = JSON | st.sampled_from([..., *values, *members.values()])
    return st.dictionaries(st.sampled_from(sorted(members)), odd, max_size=3).map(
        lambda changes: {name: value for name, value in {**members, **changes}.items() if value is not ...}
    )


# ---- the callback ----------------------------------------------------------------------------------------------------

REQUESTS: list[AuthorizationRequest] = [
    samples.request(),
    test_callback.implicit(),
    test_callback.at_wristband(),
    test_callback.at_wristband(tenant_name="globex"),
]
NAMES = ["code", "error", "error_description", "iss", "access_token", "token_type", "tenant_name", "tenant_domain"]
WORDS = st.text(max_size=10) | st.sampled_from(
    ["access_denied", "bearer", "globex", "globex-app-acme.us.wristband.dev", samples.ISSUER, "login_required"]
)


@tries(300)
@given(st.sampled_from(REQUESTS), st.lists(st.tuples(st.sampled_from(NAMES), WORDS), max_size=5), st.booleans())
def test_any_answer_of_a_browser(request_: AuthorizationRequest, pairs: list[tuple[str, str]], ours: bool) -> None:
    """FUZ-001: at each kind of service: ours by its state, and no error in it, or nothing is believed."""
    state = request_.state.reveal() if ours else "guess"
    try:
        code = read_callback(request_, urlencode([("state", state), *pairs]))
    except (Mismatch, LoginFailed, AskAgain) as error:
        samples.assert_fit_to_show(error)
        return
    told = dict(reversed(pairs))
    assert ours
    assert "error" not in told
    assert told.get("iss", request_.provider.issuer) == request_.provider.issuer
    given_ = code.granted.access_token if code.granted else code.value
    assert given_ is not None
    assert given_.reveal() == told["access_token" if code.granted else "code"]
    assert code.request.tenant is None or code.request.tenant.origin.endswith(".us.wristband.dev")


# ---- tokens ----------------------------------------------------------------------------------------------------------

REFRESHED = Expected(
    test_idtoken.ISSUER,
    test_idtoken.CLIENT,
    nonce=None,
    access_token=test_idtoken.ACCESS,
    organization_claims=(("org_id", "org_"), ("org_name", "")),
)
MORE = [(name, value) for name in ("org_id", "org_name") for value in ("org_1", "acme")]


@tries(300)
@given(
    before=st.lists(test_idtoken.CLAIM | st.sampled_from(MORE), max_size=2),
    after=st.lists(test_idtoken.CLAIM | st.sampled_from(MORE), max_size=3),
    shift=st.sampled_from([0, 0, 30, 700]),
)
def test_any_renewed_id_token(before: list[tuple[str, Any]], after: list[tuple[str, Any]], shift: int) -> None:
    """FUZ-004, NRM-091: what is accepted is about the same person, from the same issuer, for the same client."""
    first = {**test_idtoken.claims(), **dict(before)}
    first = {name: value for name, value in first.items() if value is not test_idtoken.DROP}
    renewed = test_idtoken.token(test_idtoken.claims(**dict(after)))
    try:
        claims = check_refreshed(renewed, test_idtoken.KEYS, REFRESHED, now=test_idtoken.NOW + shift, before=first)
    except TokenInvalid:
        return
    except ValueError:
        assert not (first.get("iss") and first.get("sub") and first.get("aud"))
        return
    assert (claims["iss"], claims["sub"]) == (first["iss"], first["sub"])
    assert test_idtoken.CLIENT in claims["aud"]
    assert claims.get("azp") == first.get("azp")
    assert claims.get("nonce", first.get("nonce")) == first.get("nonce")
    for name in ("org_id", "org_name"):
        assert claims.get(name, first.get(name)) == first.get(name)


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


@tries(300)
@given(
    asked=st.tuples(one_of(None, 30), one_of(None, "gold silver"), one_of(None, "org_1", "Acme"), one_of(None, "x")),
    told=st.fixed_dictionaries(
        {
            "auth_time": one_of(test_idtoken.NOW, test_idtoken.NOW - 80, test_idtoken.NOW - 1000, test_idtoken.DROP),
            "acr": one_of("gold", "gold", "lead", test_idtoken.DROP),
            "org_id": one_of("org_1", "org_1", "org_2", test_idtoken.DROP),
            "org_name": one_of("acme", "acme", "Acme", test_idtoken.DROP),
            "iat": one_of(test_idtoken.NOW, test_idtoken.NOW, test_idtoken.NOW - 661),
            "nonce": one_of(test_idtoken.NONCE, test_idtoken.NONCE, None, 7),
            "at_hash": one_of(test_idtoken.at_hash(), test_idtoken.DROP, 7, "x"),
        }
    ),
)
def test_any_wish(asked: tuple[Any, ...], told: dict[str, Any]) -> None:
    """FUZ-004, CNF-001: who was asked for something gets it, or nothing: a fresh, a strong sign-in, an organization."""
    max_age, acr, organization, access = asked
    expected = replace(
        REFRESHED,
        nonce=test_idtoken.NONCE,
        max_age=max_age,
        acr_values=acr,
        organization=organization,
        access_token=access and test_idtoken.ACCESS,
    )
    token = test_idtoken.token(test_idtoken.claims(**told))
    fits = (
        told["nonce"] == test_idtoken.NONCE
        and told["iat"] == test_idtoken.NOW
        and (max_age is None or told["auth_time"] in (test_idtoken.NOW, test_idtoken.NOW - 80))
        and (acr is None or told["acr"] == "gold")
        and (organization != "org_1" or told["org_id"] == "org_1")
        and (organization != "Acme" or told["org_name"] == "acme")
        and (
            told["at_hash"] in (test_idtoken.at_hash(), test_idtoken.DROP)
            or (access is None and told["at_hash"] == "x")
        )
    )
    try:
        check(token, test_idtoken.KEYS, expected, now=test_idtoken.NOW)
    except TokenInvalid:
        assert not fits
    else:
        assert fits


@tries(100)
@given(changed(test_accesstoken.CLAIMS, test_accesstoken.NOW - 61, test_accesstoken.NOW + 61, test_accesstoken.CLIENT))
def test_any_access_token_that_is_to_be_checked(claims: dict[str, Any]) -> None:
    """FUZ-004: from the issuer, for this client, and not over; or it is refused."""
    missing = dict.fromkeys(test_accesstoken.CLAIMS.keys() - claims.keys())
    try:
        token = test_accesstoken.token(**missing, **claims)
    except ValueError:  # which no service could sign
        return
    try:
        test_accesstoken.check(token)
    except TokenInvalid:
        return
    assert claims["iss"] == test_accesstoken.ISSUER
    assert test_accesstoken.CLIENT in claims["aud"]
    assert claims["exp"] > test_accesstoken.NOW - 60


@tries(100)
@given(st.sampled_from(["expired", "issued_at", "issuer"]), st.none() | st.floats(0, 4e9), st.floats(0, 4e9))
def test_any_two_clocks(reason: str, date: float | None, now: float) -> None:
    """FUZ-009: a clock is blamed only for a time, and only if it is wrong; and by a whole sentence."""
    words = cure(TokenInvalid(reason, "It is wrong."), date, now)
    assert bool(words) == (reason != "issuer" and date is not None and abs(now - date) > LEEWAY)
    assert date is None or not words or apart(now - date) in words
    assert words.isascii()


# ---- sign-ins on another device --------------------------------------------------------------------------------------


@tries(300)
@given(changed(test_device.ANSWER, "http://evil.example", "javascript:alert(1)", "0.5", -1, 1e400))
def test_any_device_code(members: dict[str, Any]) -> None:
    """FUZ-003, FUZ-009: each part is what it must be, or the sign-in does not begin."""
    try:
        code = read_device_code(members, who="acme")
    except LoginFailed as error:
        samples.assert_fit_to_show(error)
        return
    assert code.device_code.reveal() == members["device_code"]
    assert code.user_code.isprintable()
    assert code.verification_uri.startswith("https://")
    assert code.scan in ("", members.get("verification_uri_complete"))
    assert code.expires_in > 0
    assert code.interval >= 1


@tries(200)
@given(
    st.binary(max_size=60)
    | changed({"error": "access_denied", "error_description": "No."}, "expired_token").map(
        lambda members: json.dumps(members).encode()
    )
)
def test_any_answer_to_a_poll(raw: bytes) -> None:
    """FUZ-003: it ends the wait for two words only."""
    body = Body(raw)
    word = said(body)
    try:
        raise_ended(word, body, who="acme")
    except LoginFailed as error:
        samples.assert_fit_to_show(error)
        assert word in ("access_denied", "expired_token")
    else:
        assert word not in ("access_denied", "expired_token")


@tries(100)
@given(
    st.floats(1, 300),
    st.lists(st.sampled_from(["slow_down", "authorization_pending"]) | st.none() | st.floats(0, 3600), max_size=40),
)
def test_any_course_of_polls(interval: float, told: list[str | float | None]) -> None:
    """FUZ-009, NRM-135: never faster than the service said, nor slower than it asks for and a minute or two."""
    rhythm, slower = Rhythm(interval), 0
    for one in told:
        if isinstance(one, str):
            rhythm.answered(one)
            slower += one == "slow_down"
        else:
            rhythm.lost(one)
        least = interval + 5 * slower
        most = max(least, 60, one if isinstance(one, float) else 0)
        assert least - 1e-6 <= rhythm.pause <= most + 1e-6  # sums of numbers that are not whole


# ---- sign requests ---------------------------------------------------------------------------------------------------

CREATED = {
    "uuid": test_payload.UUID,
    "next": {"always": test_payload.LINK},
    "refs": {"websocket_status": "wss://xumm.app/sign/1"},
    "pushed": True,
}
RECORD: dict[str, Any] = {
    "meta": {"uuid": test_payload.UUID, "resolved": True, "signed": True},
    "response": {"account": test_payload.ADA, "txid": "A" * 64, "dispatched_nodetype": "MAINNET", "user_token": "x"},
    "custom_meta": {"identifier": "order-1"},
    "application": {"issued_user_token": "NATK-push-token-of-the-phone"},
}
META = changed({"uuid": test_payload.UUID, "resolved": True, "signed": True, "cancelled": False, "expired": False})


@tries(200)
@given(st.integers(100, 599), st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_answer_of_the_sign_request_api(status: int, body: bytes) -> None:
    """FUZ-003: an object, or one of two errors."""
    try:
        members = read_answer(status, body, who="acme")
    except (ProviderError, ProviderUnavailable) as error:
        samples.assert_fit_to_show(error)
        return
    assert status < 400
    assert members == json.loads(body)
    assert read_cancelled(members)


@tries(200)
@given(changed(CREATED, {"always": "http://evil.example"}, {"websocket_status": "ws://evil.example"}))
@example({**CREATED, "next": {"always": "http://evil.example/"}})
@example({**CREATED, "refs": {"websocket_status": "ws://evil.example/"}})
def test_any_new_sign_request(answer: dict[str, Any]) -> None:
    """FUZ-003: it leads nowhere but over TLS, or it is refused."""
    try:
        created = read_created(answer, who="acme")
    except ProviderUnavailable as error:
        samples.assert_fit_to_show(error)
        return
    assert created.link.startswith("https://")
    assert created.socket.startswith("wss://")
    assert all(link.endswith(created.uuid) for link in deep_links(created))


@tries(200)
@given(changed(RECORD).flatmap(lambda record: META.map(lambda meta: {"meta": meta, **record} | {"meta": meta})))
def test_any_record_of_a_sign_request(record: dict[str, Any]) -> None:
    """FUZ-003: signed, and by whom it must be; or not; and the phone's tokens are in neither."""
    try:
        found = read_final(record, test_payload.UUID, test_payload.asked(network="MAINNET"), who="acme")
    except ProviderUnavailable as error:
        samples.assert_fit_to_show(error)
        return
    if isinstance(found, NotSigned):
        samples.assert_fit_to_show(found)
    if isinstance(found, Signed):
        assert record["meta"]["signed"] is record["meta"]["resolved"] is True
        assert found.account == test_payload.ADA
        assert "user_token" not in json.dumps(found.record)


@tries(200)
@given(
    st.text(max_size=40)
    | JSON.map(json.dumps)
    | changed({"opened": True, "signed": True, "expired": True}).map(json.dumps)
)
def test_any_message_of_the_socket(text: str) -> None:
    """FUZ-003: it proves nothing: at most it says when to look."""
    event = read_event(text)
    assert event.step in ("", "opened", "signing", "sent")
    assert not (event.look and event.step)


# ---- places ----------------------------------------------------------------------------------------------------------

URLS = st.from_regex(
    r"(https?://)?(127\.0\.0\.1|localhost|\[::1\]|[a-z]{1,8}\.example|a\.localhost)(:[0-9]{1,5})?(/nativeauth/callback|/[a-z]{0,4})?[?#\\]?",
    fullmatch=True,
) | st.text(max_size=20)


@tries(400)
@given(URLS)
def test_any_place(url: str) -> None:
    """FUZ-010: whatever a profile may name, a token and a browser go over TLS, or do not leave this machine."""
    for read in (https_url, redirect_uri, service_origin):
        try:
            found = read(url)
        except ValueError:
            continue
        scheme, host, _ = origin(found)
        assert scheme == "https" or host in ("127.0.0.1", "localhost", "::1") or host.endswith(".localhost")
    assert all(is_secure(one) and origin(one) for one in api_of(url))


# ---- the vault in memory ---------------------------------------------------------------------------------------------


@tries(100)
@given(st.lists(st.tuples(st.dictionaries(st.text(max_size=5), JSON, max_size=3), st.booleans()), max_size=6))
def test_any_records_in_memory(records: list[tuple[dict[str, Any], bool]]) -> None:
    """FUZ-006: what was written last is what is read, and each write is seen."""
    vault, seen = MemoryVault("acme", samples.key("process")), {0}
    for record, signed_in in records:
        header = vault.write(
            json.loads(json.dumps(record).replace("NaN", "0")), login_id="11" * 16, signed_in=signed_in
        )
        seen.add(header.generation)
        contents = vault.read()
        assert contents is not None
        assert contents.header == vault.header() == header
        assert contents.record == json.loads(json.dumps(record).replace("NaN", "0"))
    assert len(seen) == len(records) + 1
