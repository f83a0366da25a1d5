"""
Runs in: everywhere. What each key of a profile may hold: a small check per key, with words for a person.

Each check (``_checks.py``) returns the value as a :class:`~jupyter_nativeauth.profiles.Profile` keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ._checks import (
    Check,
    as_written,
    flag,
    list_of,
    mapping,
    matches,
    maybe,
    number,
    one_of,
    text,
    url,
    whole_path,
)
from ._origin import api_origin, https_url, redirect_uri, service_origin
from ._payload import ACCOUNT
from ._tenant import tenant_label
from ._tomlfile import shown
from .errors import ConfigError, clean
from .providers import PRESETS, Preset

__all__ = [
    "CHECKS",
    "FLOWS",
    "OPTIONS",
    "PRESENCE",
    "Table",
    "checked",
    "checked_options",
    "checks_of",
    "fits",
    "nearest",
    "profile_name",
    "where_of",
]

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749, section 3.3
# These are made anew for each sign-in, or decide what an answer means; a fixed one would undo a check.
_OURS = (
    *("client_id", "client_secret", "code_challenge", "code_challenge_method", "nonce", "redirect_uri", "request"),
    *("request_uri", "response_mode", "response_type", "state"),
)
_OWN_KEY = ("acr_values", "audience", "connection", "login_hint", "max_age", "organization", "prompt", "resource")


class Table(Mapping[str, str]):
    """A mapping that cannot change, so that a profile can be compared, hashed, copied and sent to another process."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._items = dict(sorted(dict(items).items()))

    def __getitem__(self, key: str) -> str:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


def where_of(source: str, name: object) -> str:
    """How a message about a profile begins."""
    title = clean(str(name), 64)
    return f'Profile("{title}"):' if source == "code" else f"{shown(source)}: [profiles.{title}]"


def checked(where: str, key: str, check: Check, value: object) -> Any:
    """
    The value, as a profile keeps it.

    Raises:
        ConfigError: It is wrong.
    """
    try:
        return check(value)
    except (TypeError, ValueError) as error:
        problem = str(error)
    raise ConfigError(f"{where} {key} {problem}.")


def checked_options(where: str, provider: str, options: object, more: Mapping[str, object]) -> Table:
    """
    The keys that only some providers take, all of them known to this one and checked.

    Raises:
        ConfigError: One is unknown, missing or wrong.
    """
    given = {**checked(where, "options", mapping, options), **more}
    preset = PRESETS[provider]
    takes = (*preset.needs, *preset.takes)
    for key in given:
        if key not in takes and key in OPTIONS:
            known = ", ".join(takes)
            raise ConfigError(f'{where} {key} is not a key of the provider "{provider}", which takes {known}.')
        if key not in takes:
            raise ConfigError(f'{where} there is no key "{clean(str(key), 60)}".', hint=_near(str(key), takes))
    for key in preset.needs:
        if given.get(key) is None:
            raise ConfigError(f'{where} {key} is missing; the provider "{provider}" needs it.')
    kept = {key: checked(where, key, _option(key), value) for key, value in given.items()}
    return Table({key: value for key, value in kept.items() if value is not None})


def _option(key: str) -> Check:
    """The check for an option, whose name tells what it holds, with whichever provider."""
    return maybe(_OPTIONS.get(key, text))


def fits(where: str, preset: Preset, scopes: Iterable[str], redirect_uri: str | None) -> None:
    """
    What is right in itself, and not with this provider.

    Raises:
        ConfigError: A value is such.
    """
    for scope in scopes:
        if scope.lower() in preset.refused_scopes:
            raise ConfigError(f'{where} scopes must not hold "{scope}": {preset.refused_scopes[scope.lower()]}.')
    longest = preset.redirect.longest
    if redirect_uri is not None and 0 < longest < len(redirect_uri):
        raise ConfigError(
            f"{where} redirect_uri must have at most {longest} characters with {preset.label}, not {len(redirect_uri)}."
        )


def _near(key: str, takes: tuple[str, ...]) -> str:
    if any(word in key.lower() for word in ("secret", "token", "password")):
        return "Nothing secret may stand here; a native client needs no secret."
    known = ("provider", *takes, *CHECKS)
    return nearest(key, known) or f"The keys are: {', '.join(known)}."


def nearest(word: object, known: Iterable[str]) -> str:
    """``Did you mean "…"?``, or nothing if no known word is near."""
    from difflib import get_close_matches

    found = get_close_matches(str(word), list(known), n=1)
    return f'Did you mean "{found[0]}"?' if found else ""


def profile_name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", value):
        raise ValueError(
            "must be 1 to 64 of the characters a-z, 0-9, _ and -, and begin with a letter or a digit, "
            f"not {as_written(value)}"
        )
    return value


def _key_source(value: Any) -> str:
    from .keys import KEY_SOURCES

    return str(one_of(*KEY_SOURCES)(value))


def _client_id(value: Any) -> str:
    if not value and isinstance(value, str | None):
        raise ValueError("is missing; the service shows it where your application is registered")
    if not text(value).isascii():  # RFC 6749, appendix A.1
        raise ValueError(f"must be ASCII, not {as_written(value)}")
    return str(value)


def _scope(value: Any) -> str:
    if not isinstance(value, str) or not _SCOPE.fullmatch(value):
        raise ValueError(f"must hold strings of one scope each, without blanks, not {as_written(value)}")
    return value


def _resource(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+", value) or "#" in value:
        raise ValueError(f"must hold absolute URIs without a fragment (RFC 8707), not {as_written(value)}")
    return value


def _parameters(value: Any) -> Table:
    for name, content in mapping(value).items():
        if not isinstance(content, str):
            raise TypeError(f'must hold strings: "{clean(str(name), 60)}" is {as_written(content)}')
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", name):
            raise ValueError("must be a table of parameters, whose names are letters, digits and _ . : -")
        if name in _OURS:
            raise ValueError(f'must not hold "{name}", which is not free to choose')
        if name in _OWN_KEY or name == "scope":
            raise ValueError(
                f'must not hold "{name}", for which there is the key {"scopes" if name == "scope" else name}'
            )
    return Table(value)


# How a sign-in reaches a browser.
FLOWS = ("auto", "browser", "paste", "device")

# What somebody at this device has to confirm (docs/presence.md).
PRESENCE = ("sign-in", "hourly")

_SECONDS = "be a whole number of seconds"
_URLS = '["https://api.example.com"]'

# In the order in which they are checked, and in which a list of known keys names them.
CHECKS: Mapping[str, Check] = {
    "client_id": _client_id,
    "client_type": text,  # and one of the preset's `client_types`
    "scopes": maybe(list_of(_scope, '["openid", "profile"]')),
    "api": maybe(list_of(url(api_origin), _URLS)),
    "audience": maybe(text),
    "resource": list_of(_resource, _URLS),
    "organization": maybe(text),
    "connection": maybe(text),
    "login_hint": maybe(text),
    "prompt": maybe(text),
    "max_age": maybe(number(_SECONDS, 0, 10**9)),
    "acr_values": maybe(text),
    "authorize": _parameters,
    "redirect_uri": maybe(url(redirect_uri)),
    "redirect_ports": list_of(number("hold whole numbers", 1, 65535), "[8888, 8889]"),
    "redirect_path": maybe(one_of("profile")),
    "post_logout_redirect_uri": maybe(url(https_url)),
    "flow": one_of(*FLOWS),
    "timeout": number(_SECONDS, 1, 3600),
    "key_source": _key_source,
    "presence": maybe(one_of(*PRESENCE)),
    "ca_bundle": maybe(whole_path),
}


def checks_of(preset: Preset) -> Mapping[str, Check]:
    """What each key of a profile may hold with this provider."""
    if not preset.lender:
        return {**CHECKS, "client_type": one_of(*preset.client_types)}
    own = {"api": _lent_to, "ca_bundle": CHECKS["ca_bundle"]}
    return {key: own.get(key) or _not_with(preset.lender) for key in CHECKS}


def _lent_to(value: Any) -> Any:
    if not value:
        raise ValueError(f"is missing: nobody else may see the access token; it is a list such as {_URLS}")
    return CHECKS["api"](value)


def _not_with(lender: str) -> Check:
    def check(value: Any) -> Any:
        if value not in (None, "", (), {}, "native", "auto", 300):  # what it is if nobody writes it
            raise ValueError(f"has no meaning here: {lender} signs people in, as its administrators have set it up")
        return value

    return check


def _origins(value: Any) -> str:
    """Origins, with blanks between: an option is a string, also where the file has a list."""
    listed = value.split() if isinstance(value, str) else value
    return " ".join(list_of(url(service_origin), '["login.customer.com"]')(listed))


_OPTIONS: Mapping[str, Check] = {
    "issuer": url(https_url),
    "force_network": matches(r"[A-Z]+", 'be a network in capitals, such as "TESTNET"'),
    "insecure_implicit_flow": flag,
    "signers": matches(f"{ACCOUNT}(,{ACCOUNT})*", "be accounts (r...), with commas between"),
    # Kept as origins, "https://host" without a slash.
    **dict.fromkeys(("application_domain", "domain", "environment_url", "tenant_custom_domain"), url(service_origin)),
    "tenant_custom_domains": _origins,
    "tenant_discovery": one_of("login_page", "authorize"),
    "tenant_name": url(tenant_label),
    "tenant_separator": one_of("-", "."),
}
OPTIONS = frozenset(key for preset in PRESETS.values() for key in (*preset.needs, *preset.takes))
