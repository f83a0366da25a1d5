"""Profiles: nativeauth.toml and Profile(...) in code. Messages that a person reads are asserted word for word."""

from __future__ import annotations

import copy
import datetime as dt
import itertools
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth import profiles as profiles_module
from jupyter_nativeauth._configuration import load
from jupyter_nativeauth._settings import CHECKS, Table
from jupyter_nativeauth.errors import ConfigError
from jupyter_nativeauth.keys import KEY_SOURCES
from jupyter_nativeauth.profiles import Profile, Profiles
from jupyter_nativeauth.providers import PRESETS
from tests.isolation import Home
from tests.tries import tries

ISSUER = "https://id.example"
GOOD = '[profiles.acme]\nissuer = "https://id.example"\nclient_id = "cli"\n'
ALL_KEYS = f"The keys are: provider, issuer, {', '.join(CHECKS)}."
GOOD_KEYS: dict[str, Any] = {"issuer": ISSUER, "client_id": "cli"}

Write = Callable[..., Path]


@pytest.fixture
def write(home: Home) -> Write:
    """Write the user's nativeauth.toml, or the one in another folder."""

    def to(text: str | bytes, folder: Path | None = None) -> Path:
        path = (folder or home.config) / "nativeauth.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to


@pytest.fixture
def nearer(home: Home, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Jupyter's config path that is nearer than the user's own."""
    folder = home.folder / "project"
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(folder))
    return folder


def refusal(*args: Any, **keys: Any) -> str:
    """What Profile(...) says, with nothing behind it that could hold the value."""
    with pytest.raises(ConfigError) as caught:
        Profile(*args, **keys)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert caught.value.code == "config"
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    return str(caught.value)


def load_refusal() -> str:
    with pytest.raises(ConfigError) as caught:
        load()
    return str(caught.value)


# --- A profile in code --------------------------------------------------------------------------------------------


def test_a_profile_in_code() -> None:
    """Users write a profile with lists and the provider's own keys; it keeps tuples, and everything has its default."""
    acme = Profile("acme", issuer=ISSUER, client_id="cli", api=["https://API.example:443/", "http://127.0.0.1:8000"])
    assert acme.options == {"issuer": ISSUER}
    assert acme.api == ("https://api.example", "http://127.0.0.1:8000")
    assert acme.api_origins == (("https", "api.example", 443), ("http", "127.0.0.1", 8000))
    assert acme.base_url == "https://api.example"
    assert (acme.provider, acme.client_type, acme.flow, acme.timeout, acme.key_source) == (
        *("oidc", "native", "auto", 300, "auto"),
    )
    assert (acme.scopes, acme.resource, acme.redirect_ports, acme.authorize) == (None, (), (), {})
    assert acme.source == "code"


EVERYTHING: dict[str, Any] = {
    "provider": "oidc",
    "issuer": "http://127.0.0.1:9000/tenant/",
    "client_id": "https://metadata.example/client",
    "client_type": "native",
    "scopes": ["openid", "profile", "offline_access"],
    "api": ["https://api.example", "https://api.example:8443", "http://[::1]:8000", "http://localhost"],
    "audience": "https://api.example/v2",
    "resource": ["https://api.example/v2", "urn:example:api"],
    "organization": "org_1",
    "connection": "github",
    "login_hint": "ad\u00e4@example.com",
    "prompt": "login consent",
    "max_age": 0,
    "acr_values": "urn:mfa pwd",
    "authorize": {"ui_locales": "de en", "screen_hint": "signup"},
    "redirect_uri": "http://127.0.0.1:8888/lab/nativeauth/callback/acme",
    "redirect_ports": [8888, 8889, 65535],
    "redirect_path": "profile",
    "post_logout_redirect_uri": "https://hub.example/bye",
    "flow": "browser",
    "timeout": 3600,
    "key_source": "memory",
    "presence": "hourly",
    "ca_bundle": "/etc/ssl/acme.pem",
}


def toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(letter):08x}" for letter in value) + '"'
        case list():
            return f"[{', '.join(toml(entry) for entry in value)}]"
        case dict():
            return "{" + ", ".join(f"{toml(key)} = {toml(entry)}" for key, entry in value.items()) + "}"
        case _:
            return str(value)


def test_every_key(write: Write) -> None:
    """Each key that the documentation names can be set, in code and in a file, to the same effect."""
    assert {*EVERYTHING} == {"provider", "issuer", *CHECKS}
    in_code = Profile("acme", **EVERYTHING)
    path = write("[profiles.acme]\n" + "".join(f"{key} = {toml(value)}\n" for key, value in EVERYTHING.items()))
    in_file = load()["acme"]
    assert in_file == in_code
    assert in_file.fingerprint() == in_code.fingerprint()
    assert (in_file.source, in_code.source) == (str(path), "code")
    for key, value in EVERYTHING.items():
        kept = in_code.options["issuer"] if key == "issuer" else getattr(in_code, key)
        assert kept == (tuple(value) if isinstance(value, list) else value)
    assert {each.name for each in fields(Profile)} == {"name", "provider", "options", "source", *CHECKS}


def test_a_profile_is_a_value() -> None:
    """A profile cannot change, can be compared, hashed, copied, pickled and varied; its source makes no difference."""
    acme = Profile("acme", **EVERYTHING)
    for twin in (pickle.loads(pickle.dumps(acme)), copy.deepcopy(acme), replace(acme, source="/x/nativeauth.toml")):
        assert twin == acme
        assert hash(twin) == hash(acme)
    assert replace(acme, timeout=5).timeout == 5
    assert replace(acme, timeout=5) != acme
    assert refusal("acme", **{**EVERYTHING, "timeout": 0})
    with pytest.raises(FrozenInstanceError):
        acme.timeout = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        acme.options["issuer"] = "https://evil.example"  # type: ignore[index]
    assert repr(Table({"b": "1", "a": "2"})) == "{'a': '2', 'b': '1'}"


def test_lists_lose_repetitions() -> None:
    """What stands in a list twice counts once, in the order of the first."""
    acme = Profile("acme", **GOOD_KEYS, scopes=["b", "a", "b"], api=("https://x.example", "https://X.example/"))
    assert (acme.scopes, acme.api) == (("b", "a"), ("https://x.example",))


@pytest.mark.parametrize(
    ("audience", "api"),
    [
        ("https://api.example/v2?x#y", ("https://api.example",)),
        ("https://API.example:8443", ("https://api.example:8443",)),
        ("http://localhost:3000/", ("http://localhost:3000",)),
        ("http://api.example", ()),
        ("https://user@api.example", ()),
        ("api.example", ()),
        ("urn:example:api", ()),
        (None, ()),
    ],
)
def test_api_comes_from_the_audience(audience: str | None, api: tuple[str, ...]) -> None:
    """Without `api`, the origin of `audience` may see the token, if that is a URL that is fit for it."""
    acme = Profile("acme", **GOOD_KEYS, audience=audience)
    assert acme.api == api
    assert acme.base_url == (api[0] if api else "")
    assert Profile("acme", **GOOD_KEYS, audience=audience, api=[]).api == ()


PROVIDERS = " or ".join(", ".join(f'"{name}"' for name in PRESETS).rsplit(", ", 1))
OF_TYPE = [
    ("client_id", 5, "client_id must be a string, not the number 5."),
    ("client_id", True, "client_id must be a string, not true."),
    ("client_id", ["cli"], "client_id must be a string, not a list."),
    ("client_id", "", "client_id is missing; the service shows it where your application is registered."),
    ("client_id", None, "client_id is missing; the service shows it where your application is registered."),
    ("client_id", " cli", "client_id must be one line of text, not empty, without blanks at its ends."),
    ("client_id", "c\nli", "client_id must be one line of text, not empty, without blanks at its ends."),
    ("client_id", "cl\u00ef", 'client_id must be ASCII, not "cl?".'),
    ("provider", "okta", f'provider must be {PROVIDERS}, not "okta".'),
    ("provider", 5, f"provider must be {PROVIDERS}, not the number 5."),
    ("provider", ["oidc"], f"provider must be {PROVIDERS}, not a list."),
    ("client_type", "confidential", 'client_type must be "native", not "confidential".'),
    ("client_type", None, 'client_type must be "native", not nothing.'),
    ("issuer", 5, "issuer must be a string, not the number 5."),
    ("issuer", None, 'issuer is missing; the provider "oidc" needs it.'),
    ("issuer", "", "issuer must be one line of text, not empty, without blanks at its ends."),
    (
        *("issuer", "http://id.example"),
        "issuer must begin with https://; http:// is only for this machine (127.0.0.1, [::1], localhost).",
    ),
    ("issuer", "id.example", "issuer is not a URL that can be used here: it must begin with https://."),
    ("issuer", "https://", None),
    ("issuer", "ftp://id.example", "issuer is not a URL that can be used here: it must begin with https://."),
    (
        *("issuer", "https://ada:NATK-secret@id.example"),
        "issuer is not a URL that can be used here: it must not hold a user name or a password.",
    ),
    ("issuer", "https://id.example?tenant=1", "issuer must be a URL without a query, a fragment and backslashes."),
    ("issuer", "https://id.example/#a", "issuer must be a URL without a query, a fragment and backslashes."),
    ("issuer", "https://id.example/\\a", "issuer must be a URL without a query, a fragment and backslashes."),
    ("scopes", "openid profile", 'scopes must be a list such as ["openid", "profile"], not "openid profile".'),
    ("scopes", {"openid": 1}, 'scopes must be a list such as ["openid", "profile"], not a table.'),
    ("scopes", ["a b"], 'scopes must hold strings of one scope each, without blanks, not "a b".'),
    ("scopes", [""], 'scopes must hold strings of one scope each, without blanks, not "".'),
    ("scopes", [5], "scopes must hold strings of one scope each, without blanks, not the number 5."),
    ("scopes", ['a"b'], None),
    (
        "api",
        "https://api.example",
        'api must be a list such as ["https://api.example.com"], not "https://api.example".',
    ),
    ("api", ["https://api.example/v1"], "api must hold origins only: leave out the path after https://api.example."),
    ("api", ["https://api.example//"], "api must hold origins only: leave out the path after https://api.example."),
    ("api", ["https://api.example?x"], "api must be a URL without a query, a fragment and backslashes."),
    (
        *("api", ["http://api.example"]),
        "api must begin with https://; http:// is only for this machine (127.0.0.1, [::1], localhost).",
    ),
    ("api", ["*"], "api is not a URL that can be used here: it must begin with https://."),
    ("api", ["https://*.example"], None),
    ("api", [5], "api must be a string, not the number 5."),
    ("audience", 5.5, "audience must be a string, not the number 5.5."),
    ("audience", "", "audience must be one line of text, not empty, without blanks at its ends."),
    (
        "resource",
        "https://api.example",
        'resource must be a list such as ["https://api.example.com"], not "https://api.example".',
    ),
    ("resource", ["api"], 'resource must hold absolute URIs without a fragment (RFC 8707), not "api".'),
    ("resource", ["https://a.example/#b"], None),
    ("resource", ["urn:a b"], None),
    ("resource", ["urn:\u00e9"], None),
    ("resource", [5], None),
    ("organization", 7, "organization must be a string, not the number 7."),
    ("connection", [], "connection must be a string, not a list."),
    ("login_hint", {}, "login_hint must be a string, not a table."),
    ("prompt", False, "prompt must be a string, not false."),
    ("acr_values", ["mfa"], "acr_values must be a string, not a list."),
    ("max_age", "1h", 'max_age must be a whole number of seconds from 0 to 1000000000, not "1h".'),
    ("max_age", -1, "max_age must be a whole number of seconds from 0 to 1000000000, not the number -1."),
    ("max_age", 10**30, "max_age must be a whole number of seconds from 0 to 1000000000, not a huge number."),
    ("max_age", True, "max_age must be a whole number of seconds from 0 to 1000000000, not true."),
    ("authorize", "ui_locales=de", 'authorize must be a table, not "ui_locales=de".'),
    ("authorize", {"x": 5}, 'authorize must hold strings: "x" is the number 5.'),
    ("authorize", {"state": "x"}, 'authorize must not hold "state", which is not free to choose.'),
    ("authorize", {"scope": "x"}, 'authorize must not hold "scope", for which there is the key scopes.'),
    ("authorize", {"prompt": "x"}, 'authorize must not hold "prompt", for which there is the key prompt.'),
    (
        *("authorize", {"a b": "x"}),
        "authorize must be a table of parameters, whose names are letters, digits and _ . : -.",
    ),
    ("authorize", {5: "x"}, "authorize must be a table of parameters, whose names are letters, digits and _ . : -."),
    (
        *("redirect_uri", "http://127.0.0.1:8888/callback"),
        'redirect_uri must end in "/nativeauth/callback": this is where this machine listens.',
    ),
    ("redirect_uri", "http://127.0.0.1:8888/nativeauth/callback/a/b", None),
    ("redirect_uri", "http://127.0.0.1:8888/nativeauth/callback/", None),
    ("redirect_uri", "http://hub.example/nativeauth/callback", None),
    ("redirect_uri", "https://hub.example/cb?x=1", None),
    ("redirect_uri", "com.example.app:/callback", None),
    ("redirect_ports", 8888, "redirect_ports must be a list such as [8888, 8889], not the number 8888."),
    ("redirect_ports", ["8888"], 'redirect_ports must hold whole numbers from 1 to 65535, not "8888".'),
    ("redirect_ports", [0], "redirect_ports must hold whole numbers from 1 to 65535, not the number 0."),
    ("redirect_ports", [65536], "redirect_ports must hold whole numbers from 1 to 65535, not the number 65536."),
    ("redirect_ports", [True], "redirect_ports must hold whole numbers from 1 to 65535, not true."),
    ("redirect_path", "acme", 'redirect_path must be "profile", not "acme".'),
    ("redirect_path", True, 'redirect_path must be "profile", not true.'),
    ("post_logout_redirect_uri", "http://hub.example/", None),
    ("flow", "pasted", 'flow must be "auto", "browser", "paste" or "device", not "pasted".'),
    ("flow", None, 'flow must be "auto", "browser", "paste" or "device", not nothing.'),
    ("timeout", "5 min", 'timeout must be a whole number of seconds from 1 to 3600, not "5 min".'),
    ("timeout", 0, "timeout must be a whole number of seconds from 1 to 3600, not the number 0."),
    ("timeout", 3601, "timeout must be a whole number of seconds from 1 to 3600, not the number 3601."),
    ("timeout", 60.5, "timeout must be a whole number of seconds from 1 to 3600, not the number 60.5."),
    ("timeout", None, "timeout must be a whole number of seconds from 1 to 3600, not nothing."),
    ("key_source", "plaintext", None),
    ("presence", "always", 'presence must be "sign-in" or "hourly", not "always".'),
    ("presence", True, 'presence must be "sign-in" or "hourly", not true.'),
    ("ca_bundle", "acme.pem", 'ca_bundle must be a whole path, such as "/etc/ssl/acme.pem", not "acme.pem".'),
    ("ca_bundle", "~nobody-of-that-name/x", None),
    ("options", 5, "options must be a table, not the number 5."),
    ("clientid", "cli", 'there is no key "clientid". Did you mean "client_id"?'),
    ("issuers", "x", 'there is no key "issuers". Did you mean "issuer"?'),
    ("redirect_port", 8888, 'there is no key "redirect_port". Did you mean "redirect_ports"?'),
    (
        *("client_secret", "NATK-secret"),
        'there is no key "client_secret". Nothing secret may stand here; a native client needs no secret.',
    ),
    (
        *("zzz", 1),
        f'there is no key "zzz". {ALL_KEYS}',
    ),
]


@pytest.mark.parametrize(("key", "value", "message"), OF_TYPE, ids=lambda value: str(value)[:40])
def test_wrong_values(key: str, value: Any, message: str | None) -> None:
    """NRM-041: a wrong type, value or key is one clear sentence that names the key, and never a bare TypeError."""
    said = refusal("acme", **{**GOOD_KEYS, key: value})
    assert said.startswith(f'Profile("acme"): {key} ' if "there is no key" not in said else 'Profile("acme"): there is')
    if message is not None:
        assert said == f'Profile("acme"): {message}'
    assert "NATK-secret" not in said


def test_wrong_key_source() -> None:
    """The key sources are those that keys.py knows."""
    words = ", ".join(f'"{word}"' for word in list(KEY_SOURCES)[:-1])
    said = refusal("acme", **GOOD_KEYS, key_source="plaintext")
    assert said == f'Profile("acme"): key_source must be {words} or "{list(KEY_SOURCES)[-1]}", not "plaintext".'
    for source in KEY_SOURCES:
        assert Profile("acme", **GOOD_KEYS, key_source=source).key_source == source


@pytest.mark.parametrize("value", ["a", "0", "acme", "acme_2-x", "a" * 64])
def test_names(value: str) -> None:
    """A profile's name is 1 to 64 of a-z, 0-9, _ and -: it becomes part of file names, paths and cookies."""
    assert Profile(value, **GOOD_KEYS).name == value


@pytest.mark.parametrize(
    "value", ["", "Acme", "_a", "-a", "a.b", "a/b", "../a", "a b", "a\n", "\u00e4", "a" * 65, 5, None, ["a"]]
)
def test_wrong_names(value: Any) -> None:
    """LIB-081: any other name is refused."""
    assert "its name must be 1 to 64 of the characters a-z, 0-9, _ and -, and begin with" in refusal(value, **GOOD_KEYS)


def test_wrong_name_in_words() -> None:
    """The message for a wrong name says what a name may be."""
    assert refusal("Acme", **GOOD_KEYS) == (
        'Profile("Acme"): its name must be 1 to 64 of the characters a-z, 0-9, _ and -, and begin with a letter or a '
        'digit, not "Acme".'
    )


OURS = "client_id client_secret code_challenge code_challenge_method nonce redirect_uri request request_uri"
OWN_KEY = "acr_values audience connection login_hint max_age organization prompt resource"


@pytest.mark.parametrize("name", [*OURS.split(), "response_mode", "response_type", "state"])
def test_parameters_that_are_ours(name: str) -> None:
    """What protects a sign-in, or says what it is, cannot be set from a file."""
    said = refusal("acme", **GOOD_KEYS, authorize={"ui_locales": "de", name: "x"})
    assert said == f'Profile("acme"): authorize must not hold "{name}", which is not free to choose.'


@pytest.mark.parametrize("name", OWN_KEY.split())
def test_parameters_that_have_a_key(name: str) -> None:
    """There is one place to set a thing."""
    said = refusal("acme", **GOOD_KEYS, authorize={name: "x"})
    assert said == f'Profile("acme"): authorize must not hold "{name}", for which there is the key {name}.'


def test_https_redirect_uri() -> None:
    """An https redirect URI may have any path: a hub decides what it looks like."""
    assert (
        Profile("acme", **GOOD_KEYS, redirect_uri="HTTPS://hub.example/any").redirect_uri == "HTTPS://hub.example/any"
    )


def test_ca_bundle_in_the_home_folder(home: Home) -> None:
    """A path may begin with ~."""
    assert Profile("acme", **GOOD_KEYS, ca_bundle="~/ca.pem").ca_bundle == str(home.home / "ca.pem")


def test_options_of_other_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A key that another provider takes is refused with what this one takes; each option is checked by its name. A host is
    kept as an origin, however it was written: consoles show it in several ways (A0-1, SK-1).
    """
    host = replace(PRESETS["oidc"], needs=("domain",), takes=("environment_url", "tenant_name"), issuer="{domain}")
    both = {**PRESETS, "host": host}
    taken = frozenset({"issuer", "domain", "environment_url", "tenant_name"})
    settings = sys.modules["jupyter_nativeauth._settings"]
    monkeypatch.setattr(settings, "OPTIONS", taken)
    for module in (settings, profiles_module):
        monkeypatch.setattr(module, "PRESETS", both)
    assert refusal("acme", **GOOD_KEYS, domain="x.example") == (
        'Profile("acme"): domain is not a key of the provider "oidc", which takes issuer.'
    )
    here: dict[str, Any] = {"provider": "host", "client_id": "cli", "domain": "acme.example:8443"}
    acme = Profile("acme", **here, tenant_name="blue", environment_url="https://env.example")
    assert acme.options == {
        "domain": "https://acme.example:8443",
        "environment_url": "https://env.example",
        "tenant_name": "blue",
    }
    assert Profile("acme", **here, tenant_name=None).options == {"domain": "https://acme.example:8443"}  # type: ignore[arg-type]
    for spelt in ("https://acme.example:8443", "https://ACME.example:8443/", "ACME.Example:8443"):
        assert Profile("acme", **{**here, "domain": spelt}).options["domain"] == "https://acme.example:8443"
    for spelt in ("http://127.0.0.1:9000", "http://[::1]:9000", "http://app.localhost:9000"):
        assert Profile("acme", **{**here, "domain": spelt}).options["domain"] == spelt
    assert refusal("acme", provider="host", client_id="cli") == (
        'Profile("acme"): domain is missing; the provider "host" needs it.'
    )
    wrong = ("https://acme.example/x", "acme.example/x", "a b", "a@b", "acme.example?x", "127.1", "acme.example\\x")
    for domain in (*wrong, "ftp://acme.example", "https://ada:x@acme.example", "https://acme.example//"):
        assert refusal("acme", **{**here, "domain": domain}) == (
            'Profile("acme"): domain must be a host name such as "acme.example.com", or "https://acme.example.com", '
            "without a path."
        )
    assert "domain must begin with https://; http:// is only" in refusal(
        "acme", **{**here, "domain": "http://x.example"}
    )
    assert "environment_url must begin with https://" in refusal("acme", **here, environment_url="http://env.example")
    assert refusal("acme", **here, tenant_name=5) == 'Profile("acme"): tenant_name must be a string, not the number 5.'
    assert "which takes domain, environment_url, tenant_name." in refusal("acme", **here, issuer=ISSUER)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@tries(300)
@given(st.dictionaries(st.sampled_from([*EVERYTHING, "x"]) | st.text(max_size=6), JSON, max_size=4))
def test_any_values(keys: dict[str, Any]) -> None:
    """FUZ-016: whatever stands in a profile, it is one, or a ConfigError says why not."""
    for key in ("self", "name", "source"):
        keys.pop(key, None)
    try:
        profile = Profile("acme", **{**GOOD_KEYS, **keys})
    except ConfigError:
        return
    assert pickle.loads(pickle.dumps(profile)) == profile
    assert len(profile.fingerprint()) == 64


# --- Fingerprints -------------------------------------------------------------------------------------------------

OTHER: dict[str, Any] = {
    "issuer": "https://other.example",
    "client_id": "other",
    "scopes": ["openid"],
    "api": ["https://other.example"],
    "audience": "other",
    "resource": ["urn:other"],
    "organization": "other",
    "connection": "other",
    "login_hint": "other",
    "prompt": "login",
    "max_age": 5,
    "acr_values": "other",
    "authorize": {"ui_locales": "fr"},
    "redirect_uri": "https://other.example/cb",
    "redirect_ports": [9999],
    "redirect_path": None,
    "post_logout_redirect_uri": "https://other.example/bye",
    "key_source": "auto",
    "presence": "sign-in",
    "ca_bundle": "/other.pem",
}


def test_fingerprint_of_what_counts() -> None:
    """Two profiles differ if anything differs that decides how to sign in or where the login is kept."""
    acme = Profile("acme", **EVERYTHING)
    assert re.fullmatch("[0-9a-f]{64}", acme.fingerprint())
    for key, value in OTHER.items():
        assert Profile("acme", **{**EVERYTHING, key: value}).fingerprint() != acme.fingerprint(), key
    for key, value in {"name": "beta", "source": "/x", "flow": "auto", "timeout": 5}.items():
        assert replace(acme, **{key: value}).fingerprint() == acme.fingerprint(), key
    assert {*OTHER, "flow", "timeout", "provider", "client_type"} == {*EVERYTHING}  # the last two have one value yet


def test_fingerprint_of_equal_spellings() -> None:
    """The order of a table and the spelling of an origin make no other profile; two processes agree."""
    one = Profile("acme", **GOOD_KEYS, api=["https://X.example:443/"], authorize={"a": "1", "b": "2"})
    two = Profile("acme", **GOOD_KEYS, api=["https://x.example"], authorize={"b": "2", "a": "1"})
    assert one == two
    assert one.fingerprint() == two.fingerprint()
    assert one.fingerprint() != Profile("acme", **GOOD_KEYS, api=["https://x.example"]).fingerprint()
    program = (
        "from jupyter_nativeauth.profiles import Profile\n"
        f"print(Profile('acme', **{GOOD_KEYS!r}, api=['https://x.example'], authorize={{'b': '2', 'a': '1'}})"
        ".fingerprint())"
    )
    root = Path(profiles_module.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == one.fingerprint()


# --- Several profiles ---------------------------------------------------------------------------------------------


def some(**changes: dict[str, Any]) -> dict[str, Profile]:
    return {name: Profile(name, **{**GOOD_KEYS, "client_id": name, **keys}) for name, keys in changes.items()}


def test_get() -> None:
    """A profile is found by its name; without a name it is the default, or the only one."""
    book = Profiles(some(acme={}, beta={}), default="beta")
    assert book.get("acme") is book["acme"]
    assert book.get(None) is book.get() is book["beta"]
    assert (list(book), len(book), "acme" in book, "gamma" in book) == (["acme", "beta"], 2, True, False)
    assert Profiles(some(acme={})).default == "acme"
    assert Profiles(some(acme={})).get().name == "acme"
    assert Profiles(some(acme={}, beta={})).default is None
    assert Profiles({}).default is None


def test_profiles_do_not_change() -> None:
    """What happens to the mapping that it was made of does not reach the value."""
    made = some(acme={})
    book = Profiles(made)
    made.clear()
    assert list(book) == ["acme"]


@pytest.mark.parametrize(
    ("book", "name", "message", "code"),
    [
        (
            Profiles(some(acme={}, beta={})),
            "amce",
            'There is no profile "amce". Did you mean "acme"? The profiles are: acme, beta.',
            "no_profile",
        ),
        (
            Profiles(some(acme={}, beta={})),
            "xxxxx",
            'There is no profile "xxxxx". The profiles are: acme, beta.',
            "no_profile",
        ),
        (
            Profiles(some(acme={}, beta={})),
            None,
            "Which profile? There are several, and no default. Name one of: acme, beta.",
            "config",
        ),
        (
            Profiles({}, place="/home/ada/.jupyter/nativeauth.toml"),
            None,
            (
                "There is no profile yet. Write one to /home/ada/.jupyter/nativeauth.toml, such as:\n\n"
                '  [profiles.acme]\n  issuer = "https://id.acme.com"\n  client_id = "as the service shows it"\n'
                '  api = ["https://api.acme.com"]'
            ),
            "no_profile",
        ),
        (
            Profiles({}, place="/home/ada/.jupyter/nativeauth.toml"),
            "acme",
            (
                "There is no profile yet. Write one to /home/ada/.jupyter/nativeauth.toml, such as:\n\n"
                '  [profiles.acme]\n  issuer = "https://id.acme.com"\n  client_id = "as the service shows it"\n'
                '  api = ["https://api.acme.com"]'
            ),
            "no_profile",
        ),
        (Profiles(some(acme={})), "\x1b[31m", 'There is no profile "?[31m". The profiles are: acme.', "no_profile"),
    ],
)
def test_get_what_is_not_there(book: Profiles, name: str | None, message: str, code: str) -> None:
    """A name that is not there is answered with those that are, and the nearest."""
    with pytest.raises(ConfigError) as caught:
        book.get(name)
    assert (str(caught.value), caught.value.code) == (message, code)


def test_default_in_code() -> None:
    """A default that is not there is an error in code too."""
    with pytest.raises(ConfigError) as caught:
        Profiles(some(acme={}), default="amce")
    assert str(caught.value) == 'The default is "amce". Did you mean "acme"? The profiles are: acme.'


def test_equal_profiles_in_code() -> None:
    """Two profiles with equal issuer, client id, audience, organization and scopes are an error that names both."""
    with pytest.raises(ConfigError) as caught:
        Profiles(some(acme={"client_id": "x"}, beta={"client_id": "x"}))
    assert str(caught.value) == (
        'the program: the profiles "acme" and "beta" are the same: their service, client_id, audience, organization '
        "and scopes are equal. Remove one of them."
    )


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ({}, {}, True),
        ({"timeout": 5, "api": ["https://x.example"]}, {"flow": "browser"}, True),
        ({"scopes": ["a", "b"]}, {"scopes": ["b", "a"]}, True),
        ({"audience": "x"}, {"audience": "x"}, True),
        ({"scopes": ["a"]}, {}, False),
        ({"scopes": ["a"]}, {"scopes": ["b"]}, False),
        ({"audience": "x"}, {"audience": "y"}, False),
        ({"resource": ["urn:x"]}, {"resource": ["urn:y"]}, False),
        ({"organization": "x"}, {"organization": "y"}, False),
        ({"issuer": "https://x.example"}, {}, False),
        ({"client_id": "x2"}, {}, False),
    ],
)
def test_what_makes_profiles_equal(one: dict[str, Any], two: dict[str, Any], same: bool) -> None:
    """The same issuer alone is normal; what tells logins apart is issuer, client, audience, organization and scopes."""
    both = some(acme={"client_id": "x", **one}, beta={"client_id": "x", **two})
    if not same:
        assert len(Profiles(both)) == 2
        return
    with pytest.raises(ConfigError, match="are the same"):
        Profiles(both)


# --- nativeauth.toml ----------------------------------------------------------------------------------------------


def test_no_file(home: Home) -> None:
    """Without any file there are no profiles; asking for one says where to write it."""
    assert len(load()) == 0
    with pytest.raises(ConfigError) as caught:
        load().get()
    assert f"There is no profile yet. Write one to {home.config}/nativeauth.toml, such as:" in str(caught.value)
    example = str(caught.value).partition("such as:")[2]
    (home.config / "nativeauth.toml").write_text(example)
    assert load().default == "acme"


def test_a_file(write: Write) -> None:
    """The profiles of a file, in its order, and its default."""
    path = write(f'default = "acme"\n[profiles.zeta]\nissuer = "{ISSUER}/z"\nclient_id = "z"\n{GOOD}')
    book = load()
    assert list(book) == ["zeta", "acme"]
    assert book.default == "acme"
    assert book["acme"].source == str(path)


def test_the_only_profile_is_the_default(write: Write) -> None:
    """A single profile needs no `default`."""
    write(GOOD)
    assert load().default == "acme"


def test_the_nearer_file_wins_per_profile(write: Write, nearer: Path, home: Home) -> None:
    """Of two profiles of one name the nearer file's counts, whole; the others of the far file stay."""
    write(f'default = "beta"\n{GOOD}audience = "far"\n[profiles.beta]\nissuer = "{ISSUER}"\nclient_id = "b"\n')
    write('[profiles.acme]\nissuer = "https://near.example"\nclient_id = "near"\n', nearer)
    book = load()
    assert book["acme"].options == {"issuer": "https://near.example"}
    assert book["acme"].audience is None
    assert book["acme"].source == str(nearer / "nativeauth.toml")
    assert book["beta"].source == str(home.config / "nativeauth.toml")
    assert book.default == "beta"


def test_the_nearer_default_wins(write: Write, nearer: Path) -> None:
    """The nearest `default` counts, also for a profile of the far file."""
    write(f'default = "acme"\n{GOOD}[profiles.beta]\nissuer = "{ISSUER}"\nclient_id = "b"\n')
    write('default = "beta"\n', nearer)
    assert load().default == "beta"


def test_a_hidden_profile_does_no_harm(write: Write, nearer: Path) -> None:
    """A far profile that a nearer one replaces is not looked at."""
    write("[profiles.acme]\nnonsense = true\n")
    write(GOOD, nearer)
    assert load()["acme"].client_id == "cli"


def test_equal_profiles_in_two_files(write: Write, nearer: Path, home: Home) -> None:
    """Two equal profiles in two files: the error names both profiles and both files."""
    write(GOOD)
    write(GOOD.replace("acme", "beta"), nearer)
    assert load_refusal() == (
        f'{nearer}/nativeauth.toml and {home.config}/nativeauth.toml: the profiles "beta" and "acme" are the same: '
        "their service, client_id, audience, organization and scopes are equal. Remove one of them."
    )


def test_the_variable_names_one_file(write: Write, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """JUPYTER_NATIVEAUTH_CONFIG is the one file to read, whatever Jupyter's folders hold; empty means unset."""
    write(GOOD)
    other = home.folder / "other.toml"
    other.write_text('[profiles.only]\nissuer = "https://only.example"\nclient_id = "o"\n')
    assert list(load({"JUPYTER_NATIVEAUTH_CONFIG": str(other)})) == ["only"]
    assert list(load({"JUPYTER_NATIVEAUTH_CONFIG": ""})) == ["acme"]
    assert list(load({})) == ["acme"]
    monkeypatch.setenv("JUPYTER_NATIVEAUTH_CONFIG", str(other))
    assert list(load()) == ["only"]
    (home.home / "mine.toml").write_text(GOOD.replace("acme", "mine"))
    assert list(load({"JUPYTER_NATIVEAUTH_CONFIG": "~/mine.toml"})) == ["mine"]


def test_a_folder_that_is_none(write: Write, nearer: Path) -> None:
    """An entry of Jupyter's config path that is no folder holds no profiles."""
    write(GOOD)
    nearer.write_text("a file")
    assert list(load()) == ["acme"]


def test_the_variable_names_no_file(home: Home) -> None:
    """A file that the variable names must be there."""
    missing = home.folder / "missing.toml"
    with pytest.raises(ConfigError) as caught:
        load({"JUPYTER_NATIVEAUTH_CONFIG": str(missing)})
    assert str(caught.value) == (
        f"{missing}: there is no such file. JUPYTER_NATIVEAUTH_CONFIG names it: write the file, or unset the variable."
    )


def test_files_are_read_once(write: Write) -> None:
    """The same value comes back for as long as the file stays as it is."""
    path = write(GOOD)
    os.utime(path, (10**9, 10**9))
    first = load()
    assert load() is first
    os.utime(path, (10**9 + 1, 10**9 + 1))
    assert load() is not first
    assert load() == first
    second = load()
    path.write_text(GOOD + "# more")
    os.utime(path, (10**9 + 1, 10**9 + 1))
    assert load() is not second
    assert load() == second


def test_changes_are_seen(write: Write, nearer: Path) -> None:
    """A file that changes, comes or goes is read again, also when nothing but its content tells."""
    path = write(GOOD)
    assert load()["acme"].client_id == "cli"
    for client in ("abc", "def", "ghi"):
        content = GOOD.replace('"cli"', f'"{client}"')
        stamp = path.stat().st_mtime_ns
        path.write_text(content)
        os.utime(path, ns=(stamp, stamp))  # written within one tick of the clock
        assert load()["acme"].client_id == client
    write(GOOD.replace('"cli"', '"near"'), nearer)
    assert load()["acme"].client_id == "near"
    (nearer / "nativeauth.toml").unlink()
    assert load()["acme"].client_id == "ghi"
    write("broken")
    for _ in range(2):
        assert load_refusal().startswith(f"{path}, line 1, column ")
    write(GOOD)
    assert load()["acme"].client_id == "cli"


def test_a_replaced_file_is_seen(write: Write) -> None:
    """Another file of the same size and age in its place is read."""
    path = write(GOOD)
    other = path.with_suffix(".new")
    other.write_text(GOOD.replace('"cli"', '"xyz"'))
    for file in (path, other):
        os.utime(file, (10**9, 10**9))
    assert load()["acme"].client_id == "cli"
    other.replace(path)
    assert load()["acme"].client_id == "xyz"


FILES = [
    pytest.param("[profiles.acme", "line 1, column 15: Expected ']' at the end of a table declaration", id="cut off"),
    pytest.param("a = 1\nb = \n", "line 2, column 5: Invalid value", id="no value"),
    pytest.param("a = 1\r\nb = \r\n", "line 2, column 5: Invalid value", id="no value, Windows"),
    pytest.param('a = """\nx', "line 2, column 2: Unterminated string", id="end of document"),
    pytest.param("default = acme\n", "line 1, column 11: Invalid value", id="no quotes"),
    pytest.param("a = 1\na = 2\n", "line 2, column 6: Cannot overwrite a value", id="twice"),
    pytest.param(b"a = 1\nb\xff = 1", "line 2, column 2: it is not UTF-8", id="not UTF-8"),
    pytest.param("a = 1".encode("utf-16"), "line 1, column 1: it is not UTF-8", id="UTF-16"),
]


@pytest.mark.parametrize(("text", "message"), FILES)
def test_not_toml(write: Write, text: str | bytes, message: str) -> None:
    """A file that is not TOML: the error names the file, the line and the column."""
    path = write(text)
    assert load_refusal() == f"{path}, {message}."


WRONG = [
    ("defalt = 1\n", ': there is no key "defalt". Did you mean "default"?'),
    ("[profile.acme]\n", ': there is no key "profile". Did you mean "profiles"?'),
    ("zzz = 1\n", ': there is no key "zzz". The keys here are "default" and "profiles".'),
    (
        'issuer = "https://id.example"\n',
        ': there is no key "issuer". It belongs into the table of a profile, such as [profiles.acme].',
    ),
    ("profiles = 5\n", ": profiles must hold tables, such as [profiles.acme]."),
    ("[[profiles]]\n", ": profiles must hold tables, such as [profiles.acme]."),
    ("[profiles]\nacme = 5\n", ": [profiles.acme] must be a table of keys."),
    (f"default = 5\n{GOOD}", ": default must be a string, the name of a profile."),
    (
        f'default = "amce"\n{GOOD}',
        ': default names "amce", which is not there. Did you mean "acme"? The profiles are: acme.',
    ),
    ('default = "acme"\n', ': default names "acme", which is not there. The profiles are: none.'),
    (
        GOOD.replace("acme", "Acme"),
        (
            ": [profiles.Acme] its name must be 1 to 64 of the characters a-z, 0-9, _ and -, and begin with a letter "
            'or a digit, not "Acme".'
        ),
    ),
    (
        '[profiles.acme]\nissuer = "https://id.example"\n',
        ": [profiles.acme] client_id is missing; the service shows it where your application is registered.",
    ),
    ('[profiles.acme]\nclient_id = "cli"\n', ': [profiles.acme] issuer is missing; the provider "oidc" needs it.'),
    ("[profiles.acme]\n", ': [profiles.acme] issuer is missing; the provider "oidc" needs it.'),
    (
        GOOD.replace("https:", "http:"),
        (
            ": [profiles.acme] issuer must begin with https://; http:// is only for this machine (127.0.0.1, [::1], "
            "localhost)."
        ),
    ),
    (
        f'{GOOD}timeout = "long"\n',
        ': [profiles.acme] timeout must be a whole number of seconds from 1 to 3600, not "long".',
    ),
    (f"{GOOD}scope = []\n", ': [profiles.acme] there is no key "scope". Did you mean "scopes"?'),
    (
        f'{GOOD}name = "x"\n',
        f': [profiles.acme] there is no key "name". {ALL_KEYS}',
    ),
    (f"{GOOD}options = {{}}\n", f': [profiles.acme] there is no key "options". {ALL_KEYS}'),
    (f'{GOOD}source = "code"\n', ': [profiles.acme] there is no key "source". Did you mean "resource"?'),
    (f"{GOOD}self = 1\n", f': [profiles.acme] there is no key "self". {ALL_KEYS}'),
    (
        f"{GOOD}max_age = 2026-11-21\n",
        ": [profiles.acme] max_age must be a whole number of seconds from 0 to 1000000000, not a date.",
    ),
    (
        f'{GOOD}client_secret = "NATK-secret"\n',
        (
            ': [profiles.acme] there is no key "client_secret". Nothing secret may stand here; a native client needs '
            "no secret."
        ),
    ),
    (
        f"{GOOD}{GOOD.replace('acme', 'beta')}",
        (
            ': the profiles "acme" and "beta" are the same: their service, client_id, audience, organization and '
            "scopes are equal. Remove one of them."
        ),
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=itertools.count())
def test_wrong_files(write: Write, text: str, message: str) -> None:
    """A wrong type, an unknown key, an http issuer, a missing client id, two equal profiles: file and key, in words."""
    path = write(text)
    assert load_refusal() == f"{path}{message}"


def test_a_file_from_windows(write: Write) -> None:
    """A byte order mark and Windows line ends do no harm."""
    write(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load()["acme"].client_id == "cli"


def test_unreadable_files(write: Write, home: Home) -> None:
    """A folder in place of the file, a file that is too large or nested too deeply: words, and no traceback."""
    path = home.config / "nativeauth.toml"
    path.mkdir(parents=True)
    assert load_refusal() == f"{path}: the file cannot be read (Is a directory)."
    path.rmdir()
    write("#" * (1024 * 1024 + 1))
    assert load_refusal() == f"{path}: the file is larger than 1 MiB."
    write("a = " + "[" * 100_000)
    assert load_refusal() == f"{path}: its lists or tables are nested too deeply."
    with pytest.raises(ConfigError, match="cannot be read"):
        load({"JUPYTER_NATIVEAUTH_CONFIG": "/\0"})


def test_paths_are_shown_on_one_line(home: Home) -> None:
    """Control characters in the name of a file do not reach a terminal."""
    with pytest.raises(ConfigError) as caught:
        load({"JUPYTER_NATIVEAUTH_CONFIG": str(home.folder / "a\n\x1b[31mb")})
    assert str(caught.value).startswith(f"{home.folder}/a??[31mb: there is no such file.")


@tries(200)
@given(st.text(alphabet="[]profiles.acme=\"' \n{}#1tru\\"), st.sampled_from(["", GOOD]))
def test_any_file(text: str, before: str) -> None:
    """FUZ-016: any text at all is profiles, or a ConfigError that names the file."""
    folder = Path(os.environ["HOME"])
    path = folder / "any.toml"
    path.write_text(before + text)
    try:
        said = f"{path}: {len(load({'JUPYTER_NATIVEAUTH_CONFIG': str(path)}))} profiles"
    except ConfigError as error:
        said = str(error)
    assert said.startswith(str(path))


# --- Issuers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("issuer", ["http://127.0.0.1:9", "http://127.9.9.9", "http://[::1]:9/", "http://localhost/x"])
def test_http_on_this_machine(issuer: str) -> None:
    """http is allowed where it does not leave the machine; the issuer is kept to the letter."""
    assert Profile("acme", client_id="cli", issuer=issuer).options["issuer"] == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        *("https://", "https://user@id.example", "https://id.example?x=1", "https://id.example#x"),
        *("http://id.example", "http://0.0.0.0", "http://127.0.0.1.nip.io", "http://localhost.evil.example"),
        *("http://169.254.169.254", "//id.example", "https://id.example/\n", "https://id example"),
    ],
)
def test_wrong_issuers(issuer: str) -> None:
    """LIB-042, SEC-077, NRM-065, ADV-031: no https, no host, a user, a query or a fragment: no issuer."""
    assert refusal("acme", client_id="cli", issuer=issuer).startswith('Profile("acme"): issuer ')


# --- Imports ------------------------------------------------------------------------------------------------------


def test_cheap_import() -> None:
    """Every kernel imports profiles: what only reading a file or an error needs comes later."""
    program = f"import sys, {load.__module__}; print(*sys.modules)"
    root = Path(profiles_module.__file__).parents[1]
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert not {"tomllib", "difflib", "jupyter_core", "idna", "httpx", "tornado", "keyring"} & set(run.stdout.split())


def test_values_that_only_toml_has() -> None:
    """Dates and times of TOML are shown for what they are."""
    said = refusal("acme", **GOOD_KEYS, timeout=dt.time(5))
    assert said == 'Profile("acme"): timeout must be a whole number of seconds from 1 to 3600, not a time.'
