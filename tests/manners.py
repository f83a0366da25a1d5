"""
Runs in: the tests. What a client must never do at a provider (INV-07), for all providers of the tests.

A parameter that does not belong there, or comes twice; a secret in an address; a header that gives something away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.answers import Request

OF_THE_CLIENT = {"state": "state", "nonce": "nonce", "code_verifier": "verifier"}
"""Parameters whose values are secrets that the client has made, and what kind of secret."""

REPEATABLE = {"resource"}  # RFC 8707, section 2


@dataclass(frozen=True)
class Rule:
    """The parameters that a request must have, and may have besides. *basic*: it may name its client in a header."""

    needs: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    basic: bool = False

    def __or__(self, more: Collection[str]) -> Rule:
        return Rule(self.needs, self.may | frozenset(more), self.basic)


def rule(needs: str, may: str = "", *, basic: bool = False) -> Rule:
    return Rule(frozenset(needs.split()), frozenset(may.split()), basic)


RULES: Mapping[str, Rule] = {
    "authorize": rule(
        "response_type client_id redirect_uri scope state nonce code_challenge code_challenge_method",
        "prompt max_age acr_values login_hint",
    ),
    "authorization_code": rule("grant_type code redirect_uri code_verifier client_id"),
    # A refresh never names scopes: some services narrow the grant for good, others refuse.
    "refresh_token": rule("grant_type refresh_token client_id"),
    "revoke": rule("token client_id", "token_type_hint"),
    "end_session": rule("", "id_token_hint client_id post_logout_redirect_uri state"),
}
"""What the standards' endpoints are asked; the token endpoint by its grant type."""


def bad_manners(endpoint: str, request: Request, rules: Mapping[str, Rule]) -> Iterable[str]:
    """What is wrong with *request*, in words. An endpoint without a rule takes no parameters at all."""
    known = rules.get(str(request.get("grant_type")) if endpoint == "token" else endpoint)
    names = Counter(name for name, _ in request.params)
    if known is None:
        if names:
            yield f"{endpoint}: parameters: {list(names)}"
    else:
        yield from (f"{endpoint}: unexpected {name}" for name in names if name not in known.needs | known.may)
        yield from (f"{endpoint}: missing {name}" for name in sorted(known.needs) if name not in names)
    yield from (f"{endpoint}: {name} comes {n} times" for name, n in names.items() if n > 1 and name not in REPEATABLE)
    if endpoint in ("token", "revoke", "device"):
        yield from (f"{endpoint}: {what}" for what in _of_a_post(endpoint, request, known))


def _of_a_post(endpoint: str, request: Request, known: Rule | None) -> Iterable[str]:
    if known is None:
        yield "no known grant_type"
    if request.method != "POST" or request.query:
        yield "not a plain POST"
    if request.headers.get("content-type", "").split(";")[0] != "application/x-www-form-urlencoded":
        yield "content type"
    if endpoint == "token" and request.headers.get("accept") != "application/json":
        yield "accept is not application/json"
    for name in ("authorization", "cookie", "referer", "origin"):
        if name in request.headers and not (name == "authorization" and known is not None and known.basic):
            yield f"sends {name}"


def secrets_in_address(request: Request, secrets: Iterable[tuple[str, str]]) -> Iterable[str]:
    """
    The kinds of the *secrets* that stand in the address, but where the protocol puts them, or in the referrer, but in
    that of the provider's own pages.
    """
    allowed = {"id_token_hint", "state", "nonce"}  # the browser's own navigation to the provider
    held = [value for name, value in request.query if name not in allowed]
    referer = request.headers.get("referer", "")
    held += [request.path, referer if urlsplit(referer).netloc != request.headers.get("host") else ""]
    for kind, secret in secrets:
        if any(secret in text for text in held):
            yield f"{kind} in an address"
