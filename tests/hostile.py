"""
Runs in: the tests. A provider that does whatever a test tells it to, and takes note of everything that it is told.

Left alone it is a correct OpenID provider with rotating refresh tokens and one person, and it signs its ID tokens.
``answer()`` puts scripted answers in front of an endpoint: any status, header, byte, and any way of breaking off.
It is strict (INV-07): a parameter that does not belong there, or comes twice, or a secret in an address, is written
into ``violations``, and the fixture fails the test. Every secret that it makes contains ``NATK-<kind>-<random>``.

Example:
    >>> hostile.answer("token", Answer(500, b"<h1>Oops"), Answer(json={"access_token": 7}))
    >>> hostile.claims = lambda claims: claims | {"iss": "https://evil.example"}
"""

from __future__ import annotations

import base64
import functools
import hashlib
import secrets
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from tests.answers import Answer, AnswerServer, Request, Script, redirect
from tests.manners import OF_THE_CLIENT, RULES, bad_manners, secrets_in_address

EXPECTED = RULES | {
    "authorize": RULES["authorize"] | {"audience", "organization", "connection", "ui_locales", "resource"},
    "authorization_code": RULES["authorization_code"] | {"resource"},
    "refresh_token": RULES["refresh_token"] | {"resource"},
}
PATHS = {
    "/.well-known/openid-configuration": "discovery",
    "/.well-known/oauth-authorization-server": "metadata",
    **{f"/{name}": name for name in ("jwks", "authorize", "token", "revoke", "userinfo", "end_session")},
}

RUNNING: list[Hostile] = []


def endpoint_of(request: Request) -> str:
    return PATHS.get(request.path, "other")


@functools.cache
def default_key() -> RSAKey:
    """Made once: it takes a tenth of a second."""
    return RSAKey.generate_key(2048, {"kid": "one", "alg": "RS256", "use": "sig"})


class Hostile:
    """
    The adversarial provider, on a free loopback port.

    Attributes:
        journal: Every request.
        violations: What the client must never do, and did.
        reuse: How often a spent refresh token came again, but for one retry after an answer that was never delivered.
        metadata: The metadata document; change it at will.
        keys: The keys in the JWKS; the first one signs.
        grace: Exchange a refresh token once more if the answer to the first exchange got lost.
        claims, header: Change the claims and the header of ID tokens before they are signed.
        allowed: More parameter names that the authorization endpoint accepts.
    """

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, keys: Sequence[Key] | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.journal: list[Request] = []
        self.violations: list[str] = []
        self.reuse = 0
        self.client_id = "cli"
        self.subject = "user-1"
        self.grace = False
        self.lifetime: int | None = 3600
        self.keys: list[Key] = list(keys or [default_key()])
        self.claims: Callable[[dict[str, Any]], dict[str, Any]] = lambda claims: claims
        self.header: Callable[[dict[str, Any]], dict[str, Any]] = lambda header: header
        self.allowed: set[str] = set()
        self._secrets: list[tuple[str, str]] = []
        self._scripts: dict[str, deque[Script]] = {}
        self._codes: dict[str, Request] = {}
        self._spent: Counter[str] = Counter()
        self._lost: set[str] = set()
        self._nonce: str | None = None
        self._lock = threading.RLock()
        self._server = AnswerServer(self, host)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self.issuer = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            **{
                name: f"{self.issuer}/{path}"
                for name, path in {
                    "authorization_endpoint": "authorize",
                    "token_endpoint": "token",
                    "revocation_endpoint": "revoke",
                    "userinfo_endpoint": "userinfo",
                    "end_session_endpoint": "end_session",
                    "jwks_uri": "jwks",
                }.items()
            },
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "code_challenge_methods_supported": ["S256"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA", "Ed25519"],
            "authorization_response_iss_parameter_supported": True,
        }

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="hostile").start()
        RUNNING.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        RUNNING.remove(self)
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()

    # ---- what tests use -----------------------------------------------------------------------------------------

    def answer(self, endpoint: str, *scripts: Script) -> None:
        """
        Answer the next requests to *endpoint* with these, in order; afterwards it behaves again.

        A function gets the request; if it returns None, the endpoint answers as usual.
        """
        with self._lock:
            self._scripts.setdefault(endpoint, deque()).extend(scripts)

    def hits(self, endpoint: str, grant_type: str | None = None) -> list[Request]:
        with self._lock:
            return [
                one
                for one in self.journal
                if endpoint_of(one) == endpoint and (grant_type is None or one.get("grant_type") == grant_type)
            ]

    @property
    def refreshes(self) -> int:
        return len(self.hits("token", "refresh_token"))

    def secrets(self) -> list[tuple[str, str]]:
        with self._lock:
            return list(self._secrets)

    def mint(self, kind: str, value: str | None = None) -> str:
        """A new secret that the sweep will look for; or declare *value* to be one."""
        made = value if value is not None else f"NATK-{kind}-{secrets.token_urlsafe(24)}"
        with self._lock:
            if (kind, made) not in self._secrets:
                self._secrets.append((kind, made))
        return made

    def id_token(self, **changes: Any) -> str:
        """A signed ID token for the last sign-in. *changes* replace claims; None removes one."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": self.subject,
            "aud": self.client_id,
            "iat": now,
            "exp": now + 3600,
            "nonce": self._nonce,
            "name": "Ada Example",
            "email": "ada@example.org",
            "jti": f"NATK-id-{secrets.token_urlsafe(24)}",
        } | changes
        claims = self.claims({name: value for name, value in claims.items() if value is not None})
        key = self.keys[0]
        alg = str(key.get("alg") or {RSAKey: "RS256", ECKey: "ES256", OKPKey: "EdDSA"}[type(key)])
        header = self.header({"alg": alg, "typ": "JWT", "kid": key.kid})
        registry = jws.JWSRegistry(algorithms=[str(header["alg"])])
        return self.mint("id", jwt.encode(header, claims, key, registry=registry))

    def tokens(self, **changes: Any) -> dict[str, Any]:
        """A correct token answer. *changes* replace members; None removes one."""
        known = {
            "access_token": self.mint("access"),
            "token_type": "Bearer",
            "expires_in": self.lifetime,
            "refresh_token": self.mint("refresh"),
            "scope": "openid profile email offline_access",
        } | changes
        return {name: value for name, value in known.items() if value is not None}

    # ---- the endpoints ------------------------------------------------------------------------------------------

    def respond(self, request: Request) -> Answer:
        with self._lock:
            self.journal.append(request)
            self._inspect(request)
            queue = self._scripts.get(endpoint_of(request))
            script = queue.popleft() if queue else None
        if callable(script):
            script = script(request)
        if script is not None and not script.work:
            return script
        usual = self._usual(request)
        return script or usual

    def lost(self, request: Request) -> None:
        """The answer to this request never arrived whole: the client may send the same once more (FLT-020)."""
        token = request.get("refresh_token")
        if token is not None:
            with self._lock:
                self._lost.add(token)

    def _usual(self, request: Request) -> Answer:
        match endpoint_of(request):
            case "discovery" | "metadata":
                return Answer(json=self.metadata)
            case "jwks":
                return Answer(json={"keys": [key.as_dict(private=False) for key in self.keys]})
            case "authorize":
                return self._authorize(request)
            case "token":
                return self._token(request)
            case "revoke":
                return Answer(200)
            case "userinfo":
                return Answer(json={"sub": self.subject, "name": "Ada Example", "email": "ada@example.org"})
            case "end_session":
                back = request.get("post_logout_redirect_uri")
                state = {"state": request.get("state") or ""}
                return redirect(f"{back}?{urlencode(state)}") if back else Answer(body="<h1>Signed out</h1>")
        return Answer(404, "<h1>Not found</h1>")

    def _authorize(self, request: Request) -> Answer:
        code = self.mint("code")
        with self._lock:
            self._codes[code] = request
            self._nonce = request.get("nonce")
        answer = {"code": code, "state": request.get("state") or ""}
        if self.metadata.get("authorization_response_iss_parameter_supported"):
            answer["iss"] = self.issuer
        return redirect(f"{request.get('redirect_uri')}?{urlencode(answer)}")

    def _token(self, request: Request) -> Answer:
        grant = request.get("grant_type")
        if grant == "authorization_code":
            begun = self._codes.pop(request.get("code") or "", None)
            digest = hashlib.sha256((request.get("code_verifier") or "").encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if begun is None or begun.get("code_challenge") != challenge:
                return Answer(400, json={"error": "invalid_grant"})
            if begun.get("redirect_uri") != request.get("redirect_uri"):
                return Answer(400, json={"error": "invalid_grant", "error_description": "redirect_uri"})
            return Answer(json=self.tokens(id_token=self.id_token()))
        token = request.get("refresh_token") or ""
        with self._lock:
            known = ("refresh", token) in self._secrets
            self._spent[token] += 1
            if self._spent[token] > 1:
                allowed = 2 if token in self._lost else 1
                self.reuse += self._spent[token] > allowed
                known = known and self.grace and self._spent[token] <= allowed
        return Answer(json=self.tokens()) if known else Answer(400, json={"error": "invalid_grant"})

    # ---- INV-07 -------------------------------------------------------------------------------------------------

    def _inspect(self, request: Request) -> None:
        endpoint = endpoint_of(request)
        rules = EXPECTED | {"authorize": EXPECTED["authorize"] | self.allowed}
        self.violations += bad_manners(endpoint, request, rules)
        code = request.get("code") if endpoint == "token" else None
        if code and any(code == one.get("code") for one in self.journal[:-1] if endpoint_of(one) == "token"):
            self.violations.append("token: a code comes again")
        for name, kind in OF_THE_CLIENT.items():
            value = request.get(name)
            if value and len(value) >= 8:
                self.mint(kind, value)
        self.violations += [f"{endpoint}: {what}" for what in secrets_in_address(request, self._secrets)]
