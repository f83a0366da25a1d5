"""The device authorization grant, without a network: what is sent, which answers are usable, when to ask again."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from jupyter_nativeauth._device import Rhythm, device_request, poll_request, raise_ended, read_device_code, said
from jupyter_nativeauth._markup import Link, Words
from jupyter_nativeauth._metadata import Provider, read_metadata
from jupyter_nativeauth._oauth import Ask
from jupyter_nativeauth._qr import qr_blocks
from jupyter_nativeauth._tokens import Body, Members
from jupyter_nativeauth._words import DEVICE_CARE, waiting
from jupyter_nativeauth.errors import LoginFailed
from jupyter_nativeauth.profiles import Profile
from tests.canary import Canary
from tests.jupyter.front_end import tags_in

ISSUER = "https://id.example"
PROVIDER = Provider(
    ISSUER,
    f"{ISSUER}/authorize",
    f"{ISSUER}/token",
    f"{ISSUER}/keys",
    device_authorization_endpoint=f"{ISSUER}/device",
    scopes_supported=("openid", "offline_access"),
)
ANSWER = {
    "device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://id.example/device",
    "verification_uri_complete": "https://id.example/device?user_code=WDJB-MJHT",
    "expires_in": 1800,
    "interval": 5,
}
SHOWN = {"why": "because", "seconds": 60, "in_cell": True, "opens": False}


def profile(**keys: Any) -> Profile:
    return Profile("acme", issuer=ISSUER, client_id="cli", **keys)


def read(**changes: Any) -> Any:
    members = {name: value for name, value in {**ANSWER, **changes}.items() if value is not ...}
    return read_device_code(Members(members), who="acme")


# ---- what is sent --------------------------------------------------------------------------------------------------


def test_what_is_asked_for() -> None:
    """A0-10: scopes, audience, resources and the rest are those of a sign-in in a browser; nothing of its way back."""
    keys = {"audience": "https://api.example", "resource": ["https://a.example", "https://b.example"]}
    asked = device_request(profile(**keys, max_age=60, prompt="none login"), PROVIDER, Ask(scopes=("write",)))
    assert asked.post.url == f"{ISSUER}/device"
    assert parse_qs(urlencode(asked.post.form)) == {
        "client_id": ["cli"],
        "scope": ["openid profile email offline_access write"],
        "audience": ["https://api.example"],
        "prompt": ["login"],
        "max_age": ["60"],
        "resource": ["https://a.example", "https://b.example"],
    }
    assert (asked.nonce, asked.max_age) == (None, 60)
    poll = poll_request(asked, read())
    assert poll.url == f"{ISSUER}/token"
    assert parse_qs(urlencode(poll.form)) == {
        "grant_type": ["urn:ietf:params:oauth:grant-type:device_code"],
        "device_code": [ANSWER["device_code"]],
        "client_id": ["cli"],
        "resource": ["https://a.example", "https://b.example"],
    }


@pytest.mark.parametrize("url", ["http://id.example/device", "javascript:alert(1)", 7, "https://good@evil.example/"])
def test_an_endpoint_that_cannot_be_trusted_is_none(url: object) -> None:
    """NRM-138: the device code goes to nobody over plain http; the service then counts as one without device flow."""
    known = {
        name: getattr(PROVIDER, name) for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
    }
    made = read_metadata(ISSUER, {**known, "device_authorization_endpoint": url})
    assert made.device_authorization_endpoint == ""


# ---- the answer ----------------------------------------------------------------------------------------------------


def test_a_good_answer() -> None:
    """NRM-130, NRM-137: all members; without an interval it is five seconds, and extra members do no harm."""
    code = read(interval=..., verification_uri_complete=..., extra=[1])
    assert (code.user_code, code.verification_uri, code.scan) == ("WDJB-MJHT", "https://id.example/device", "")
    assert (code.expires_in, code.interval) == (1800, 5)
    assert read().scan == ANSWER["verification_uri_complete"]
    assert (read(interval=0.1).interval, read(interval="7", expires_in="90").interval) == (1, 7)


@pytest.mark.parametrize("name", ["device_code", "user_code", "verification_uri", "expires_in", "interval"])
@pytest.mark.parametrize("value", [..., None, [], ["a"], {}, True, "", -1, 0, float("inf"), "soon"])
def test_members_of_another_type(name: str, value: Any, canary: Canary) -> None:
    """NRM-137: a member that is missing, null, or of another type or range is an error that names it, and no secret."""
    fine = {"device_code": ["soon"], "user_code": ["soon"], "interval": [..., None]}
    if any(value is one or value == one for one in fine.get(name, [])):
        assert read(**{name: value})
        return
    canary.secret("device", ANSWER["device_code"])
    with pytest.raises(LoginFailed) as caught:
        read(**{name: value})
    assert caught.value.code == "bad_answer"
    assert f"`{name}`" in str(caught.value)
    canary.look_error(caught.value)


BAD_ADDRESSES = [
    "http://id.example/device",
    "javascript:alert(1)",
    "data:text/html,x",
    "//id.example/device",
    "https://good.example@evil.example/",
    "https://id.example/\u202edevice",
    "https://id.example/\x1b[2Jdevice",
    "https://id.example/a b",
    "https://id.example/\n",
    'https://id.example/"><b>',
    "https://bücher.example/",
    "https://",
    f"https://id.example/{'a' * 2000}",
]


@pytest.mark.parametrize("url", BAD_ADDRESSES)
def test_addresses_that_nobody_may_be_sent_to(url: str) -> None:
    """NRM-135: only https, or this machine, and nothing that a terminal or an eye could misread; else it ends."""
    with pytest.raises(LoginFailed, match="verification_uri"):
        read(verification_uri=url)
    assert read(verification_uri_complete=url).scan == "", "it is only a convenience"


@pytest.mark.parametrize("code", ["\x1b[31mA", "A\u202eB", "A\nB", " A", "A" * 65, "caf\xe9", "A\u200bB"])
def test_user_codes_that_cannot_be_typed(code: str) -> None:
    """NRM-135: a code of printable ASCII, as a person can read it out; no escapes and no invisible marks."""
    with pytest.raises(LoginFailed, match="user_code"):
        read(user_code=code)
    assert read(user_code="WDJB MJHT").user_code == "WDJB MJHT"


def test_the_codes_do_not_print() -> None:
    """NRM-138: neither the device code nor the user code is in the ``repr`` of what holds it."""
    assert "WDJB" not in repr(read())
    assert ANSWER["device_code"] not in repr(read())
    assert ANSWER["device_code"] not in repr(poll_request(device_request(profile(), PROVIDER, Ask()), read()))


# ---- polling -------------------------------------------------------------------------------------------------------


def test_when_to_ask_again() -> None:
    """NRM-131, NRM-133: slow_down adds five seconds for good; lost answers double the pause until one comes."""
    rhythm = Rhythm(5)
    assert rhythm.pause == 5
    for _ in range(2):
        rhythm.answered("slow_down")
    assert rhythm.pause == 15
    rhythm.answered("authorization_pending")
    assert rhythm.pause == 15
    pauses = []
    for _ in range(4):
        rhythm.lost(None)
        pauses.append(rhythm.pause)
    assert pauses == [30, 60, 60, 60]
    rhythm.answered("slow_down")
    assert rhythm.pause == 20
    rhythm.lost(200)
    assert rhythm.pause == 200
    slow = Rhythm(90)
    slow.lost(None)
    assert slow.pause == 90, "never less than the service asked for"


def body(**members: Any) -> Body:
    return Body(json.dumps(members).encode())


def test_what_a_poll_says() -> None:
    """NRM-132: only the ``error`` counts; what is no JSON object, or no word, says nothing."""
    assert said(body(error="slow_down")) == "slow_down"
    assert [said(one) for one in (body(error=7), body(a=1), Body(b"<html>"), Body(b""), Body(b"[]"))] == [""] * 5
    for error in ("expired_token", "access_denied"):
        with pytest.raises(LoginFailed) as caught:
            raise_ended(error, body(error=error, error_description="No\x1b[2J"), who="acme")
        assert caught.value.code == error
        assert "\x1b" not in str(caught.value)
    raise_ended("authorization_pending", body(), who="acme")


# ---- what is shown -------------------------------------------------------------------------------------------------

OUT = Words("acme", "OpenID Connect, id.example", "idle", "Signed out", key="gnome-keyring")


def test_what_the_person_reads() -> None:
    """NRM-136, SEC-090, ADV-070: who asks, where to go, the code, and when to stop; the time left, and how to
    cancel."""
    link = ANSWER["verification_uri"]
    words = waiting(OUT, link=str(link), user_code="WDJB-MJHT", scan="", **SHOWN)
    assert DEVICE_CARE.startswith("Enter it only if you have just started this yourself, and show it to nobody")
    assert words.text.splitlines() == [
        "acme: Waiting for you to sign in (1:00 left)",
        "Open this page in any browser, on any device, and enter the code.",
        DEVICE_CARE,
        "Code: WDJB-MJHT",
        "Sign in to acme: https://id.example/device",
        "Interrupt the kernel to cancel. Because.",
        "Service: OpenID Connect, id.example",
        "Key: gnome-keyring",
    ]
    assert "<svg" not in words.body


def test_the_code_to_scan() -> None:
    """NRM-136: it is drawn here, is a picture and no link, and stands beside the plain address."""
    scan = str(ANSWER["verification_uri_complete"])
    words = waiting(OUT, link=str(ANSWER["verification_uri"]), user_code="<b>A", scan=scan, **SHOWN)
    assert "<svg" in words.body
    assert scan not in words.body
    assert scan not in words.text
    assert words.body.count("href=") == 1
    assert "&lt;b&gt;A" in words.body
    assert "b" not in tags_in(words.body)


def test_an_address_of_this_machine_by_name_is_text_only() -> None:
    """NRM-135: what may not become a link is shown as it was given."""
    words = waiting(OUT, link="http://localhost:1/device", user_code="A", scan="", **SHOWN)
    assert "href" not in words.body
    assert "http://localhost:1/device" in words.body
    assert "http://localhost:1/device" in words.text
    assert words.link == Link("Sign in to acme", "http://localhost:1/device")


def test_a_code_that_does_not_fit_is_not_drawn() -> None:
    """What a terminal would wrap, nobody could scan."""
    drawn = qr_blocks(str(ANSWER["verification_uri_complete"]))
    width = len(drawn.splitlines()[0].removeprefix("\x1b[40;97m").removesuffix("\x1b[0m"))
    assert qr_blocks(str(ANSWER["verification_uri_complete"]), widest=width) == drawn
    assert qr_blocks(str(ANSWER["verification_uri_complete"]), widest=width - 1) == ""
