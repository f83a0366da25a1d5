"""The values that a login is made of: none of them shows a secret, and a stored one comes back as it was."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import io
import json
import logging
import marshal
import pickle
import pprint
import reprlib
import string
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.lib.pretty import pretty

from jupyter_nativeauth import Identity
from jupyter_nativeauth._tokens import AccessToken, Body, Login, Members, Secret
from tests import samples
from tests.canary import Canary
from tests.tries import tries

BARE = "NATK-access-bare01234"
VALUES: dict[str, Any] = {
    "Secret": Secret(BARE),
    "AccessToken": AccessToken(BARE, 1.0),
    "Body": Body(BARE.encode()),
    "Members": Members(token=BARE, more={"token": BARE}),
    "Login": samples.login(access_token=Secret(BARE)),
}


def printed(value: object) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        print(value, [value])
    return out.getvalue()


def logged(value: object) -> str:
    record = logging.getLogger("x").makeRecord("x", 10, "f", 1, "%s %r", (value, value), None)
    return record.getMessage()


def verbose(value: object) -> str:
    def fail(token: object) -> None:
        raise ValueError("no")

    try:
        fail(value)
    except ValueError as error:
        return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    return ""


SHOWN: dict[str, Callable[[Any], Any]] = {
    "repr": repr,
    "str": str,
    "ascii": ascii,
    "format": format,
    "f-string": lambda value: f"{value}",
    "f-string with !r": lambda value: f"{value!r:>200}",
    "f-string with a width": lambda value: f"{value:>200}",
    "f-string with =": lambda value: f"{value=}",
    "percent": lambda value: "%s %r" % (value, value),  # noqa: UP031 - it is what is tried here
    "str.format": lambda value: f"{value} {value!r} {value!s:.50}",
    "template": lambda value: string.Template("$x").substitute(x=value),
    "join": lambda value: ", ".join(map(str, [value])),
    "in a list": lambda value: repr([value]),
    "in a dictionary": lambda value: repr({"token": value}),
    "in a named tuple": lambda value: repr(collections.namedtuple("T", "token")(value)),
    "in an exception": lambda value: f"{ValueError(value)} {ValueError(value)!r}",
    "pprint": pprint.pformat,
    "reprlib": reprlib.repr,
    "IPython": pretty,
    "IPython, in a dictionary": lambda value: pretty({"token": [value]}),  # type: ignore[no-untyped-call]
    "vars": lambda value: repr(vars(value)),
    "dir": lambda value: repr(dir(value)),
    "slots": lambda value: repr([getattr(type(value), "__slots__", ()), type(value).__dict__]),
    "asdict": lambda value: repr(dataclasses.asdict(value)),
    "astuple": lambda value: repr(dataclasses.astuple(value)),
    "replace": lambda value: repr(dataclasses.replace(value)),
    "copy": lambda value: repr(copy.copy(value)),
    "deepcopy": lambda value: repr(copy.deepcopy([value])),
    "JSON with a default": lambda value: json.dumps(value, default=repr) if not isinstance(value, dict) else "",
    "print": printed,
    "log": logged,
    "a traceback with its variables": verbose,
    "help": lambda value: type(value).__doc__,
    "hash": lambda value: str(hash(value)),
}


@pytest.mark.parametrize("name", VALUES)
def test_no_way_of_showing_shows_it(name: str) -> None:
    """SEC-040, TRP-29, PRM-001, LIB-079: whatever prints, formats, copies or lists a value that holds a secret shows
    none."""
    value = VALUES[name]
    tried = 0
    for way, show in SHOWN.items():
        try:
            shown = str(show(value))
        except TypeError as error:  # not everything has a format, a hash or fields
            shown = str(error)
        else:
            tried += 1
        assert "NATK" not in shown, way
        assert BARE[5:] not in shown, way
    assert tried > len(SHOWN) / 2


SERIALISERS: dict[str, Callable[[Any], Any]] = {
    **{f"pickle {version}": lambda value, v=version: pickle.dumps(value, v) for version in range(6)},  # type: ignore[misc]
    "pickle of a list": lambda value: pickle.dumps([value]),
    "JSON": json.dumps,
    "JSON of a dictionary": lambda value: json.dumps({"token": value}),
    "marshal": marshal.dumps,
    "__reduce__": lambda value: value.__reduce__(),
    "__reduce_ex__": lambda value: value.__reduce_ex__(4),
}


# The parts that a login's __reduce__ hands out go no further.
PAIRS = [(name, way) for name in ("Secret", "AccessToken") for way in SERIALISERS]
PAIRS += [("Login", way) for way in SERIALISERS if "reduce" not in way]


@pytest.mark.parametrize(("name", "way"), PAIRS)
def test_no_serialiser_takes_it(name: str, way: str) -> None:
    """SEC-042, LIB-078: tokens do not travel to other processes by themselves; the error says what does."""
    with pytest.raises((TypeError, ValueError)) as caught:
        SERIALISERS[way](VALUES[name])
    assert "NATK" not in str(caught.value)
    if "pickle" in way or "reduce" in way:
        assert "NativeAuth(profile)" in str(caught.value)


def test_a_secret_is_a_secret() -> None:
    """It reveals its text when asked to, equals another with the same text, and is nothing else."""
    secret = Secret(BARE)
    assert secret.reveal() == BARE
    assert secret == Secret(BARE)
    assert secret != Secret("other")
    assert secret != BARE
    assert copy.deepcopy(secret) is copy.copy(secret) is secret
    with pytest.raises(TypeError):
        vars(secret)
    with pytest.raises(AttributeError):
        secret.anything = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        _ = secret < Secret("other")  # type: ignore[operator]
    # A hash of the text would be one more thing to compare guesses with.
    assert hash(secret) != hash(Secret(BARE))


def test_an_access_token() -> None:
    """It knows when it ends, and equals a secret of the same text: that is how a rejected one is recognised."""
    token = AccessToken(BARE, 12.5)
    assert (token.expires_at, token.reveal(), AccessToken(BARE).expires_at) == (12.5, BARE, None)
    assert token == Secret(BARE)
    assert Secret(BARE) == token
    assert token != AccessToken("other", 12.5)


def test_what_bodies_and_members_are() -> None:
    """Only their looks are changed: bytes stay bytes, and a JSON object one that can be read, changed and written."""
    body, members = Body(b"abc"), Members(a=1)
    assert (bytes(body), body[1:], body.decode(), len(body)) == (b"abc", b"bc", "abc", 3)
    assert (members["a"], json.dumps(members), {**members}) == (1, '{"a": 1}', {"a": 1})
    assert (repr(body), repr(members)) == ("<3 bytes>", "<1 members>")


def test_an_identity() -> None:
    """ADV-036: who it is, is issuer and subject; its e-mail does not show, and it holds nothing secret."""
    ada = samples.login().identity
    assert repr(ada) == str(ada) == "<Identity 'Ada Example' on 'acme'>"
    assert "ada@example.org" not in f"{ada} {[ada]} {pretty(ada)}"  # type: ignore[no-untyped-call]
    assert pickle.loads(pickle.dumps(ada)) == ada
    assert dataclasses.replace(ada, claims={"other": 1}) == ada
    assert dataclasses.replace(ada, subject="user-2") != ada
    with pytest.raises(dataclasses.FrozenInstanceError):
        ada.subject = "user-2"  # type: ignore[misc]
    hostile = dataclasses.replace(ada, name="<img src=x>\n\x1b[31m")
    assert repr(hostile).isprintable()


# ---- stored and read again -------------------------------------------------------------------------------------------


def stored(login: Login) -> Any:
    return json.loads(json.dumps(login.to_record()))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"refresh_token": None, "id_token": None, "expires_at": None, "lifetime": None, "keys": ()},
        {"access_token": None},
        {"audience": "https://api.example", "organization": "org_1", "scopes": ()},
        {"identity": Identity("acme", "https://id.example", "1", "\N{SNOWMAN} \N{RIGHT-TO-LEFT MARK}", "", {})},
    ],
)
def test_a_login_survives_the_vault(changes: dict[str, Any]) -> None:
    """FUZ-006: what was stored comes back equal, its tokens being secrets again."""
    login = samples.login(**changes)
    again = Login.from_record(stored(login))
    assert again == login
    assert again.identity.claims == login.identity.claims
    assert "NATK" not in repr(again)
    assert {type(one) for one in (again.access_token, again.refresh_token)} <= {Secret, type(None)}


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@tries(100)
@given(claims=st.dictionaries(st.text(max_size=8), JSON, max_size=5), name=st.text(max_size=20))
def test_any_claims_survive_the_vault(claims: dict[str, Any], name: str) -> None:
    """FUZ-006, FLT-048: whatever a provider says about a person can be stored."""
    login = samples.login(identity=Identity("acme", "https://id.example", "1", name, claims=claims))
    again = Login.from_record(stored(login))
    assert (again, again.identity.claims) == (login, claims)


def test_a_record_of_a_newer_version(canary: Canary) -> None:
    """FLT-044: members that are not known are ignored; those that are missing are damage."""
    login = samples.login()
    assert Login.from_record({**stored(login), "of_a_newer_version": {"x": 1}}) == login
    optional = {"renewed_at", "ends_at"}  # which early versions did not write
    assert Login.from_record({name: value for name, value in stored(login).items() if name not in optional}) == login
    for name in stored(login).keys() - optional:
        record = stored(login)
        del record[name]
        with pytest.raises((KeyError, TypeError, ValueError)):
            Login.from_record(record)


@tries(300)
@given(changes=st.dictionaries(st.sampled_from([*samples.login().to_record(), "x"]), JSON, max_size=3))
def test_any_record(changes: dict[str, Any]) -> None:
    """FUZ-006, ADV-046: a record with anything in it is a login or one of four kinds of error, and nothing else."""
    record = {**stored(samples.login()), **changes}
    with contextlib.suppress(AttributeError, KeyError, TypeError, ValueError):
        login = Login.from_record(record)
        assert login.access_token is None or isinstance(login.access_token.reveal(), str)
        assert login.refresh_token is None or isinstance(login.refresh_token.reveal(), str)


def test_a_token_that_is_no_text_is_damage() -> None:
    """FUZ-006: a number or a list in the place of a token is not turned into text and sent."""
    for name in ("access_token", "refresh_token", "id_token"):
        for value in (7, True, [], ["x"], {"x": 1}):
            with pytest.raises(TypeError):
                Login.from_record({**stored(samples.login()), name: value})
