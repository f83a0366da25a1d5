"""
Runs in: the tests. The certified OpenID provider (npm ``oidc-provider``) as a child process, with a small API.

One process serves many tests: ``reset()`` builds a fresh provider at the same address within milliseconds, with the
switches that the test wants (``tests/provider/provider.mjs`` lists them all in DEFAULTS).
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlencode

from tests.http_browser import HttpBrowser

HERE = Path(__file__).parent / "provider"


@dataclass(frozen=True)
class Hit:
    """One request that reached the provider or the API. Names of parameters, never their values."""

    endpoint: str
    method: str
    path: str
    params: tuple[str, ...]
    query: tuple[str, ...]
    grant_type: str | None
    status: int | None
    accept: str | None
    content_type: str | None
    authorization: str | None
    cookie: bool
    referer: str | None
    user_agent: str | None
    origin: str | None = None
    bearer: int | None = None
    """For the API: which of the access tokens that were ever issued came along; 0 is the first, None none of them."""


class OidcProvider(AbstractContextManager["OidcProvider"]):
    """
    A real OpenID provider on loopback, and what it saw.

    Attributes:
        issuer: Its address.
        api: The address of a resource that its access tokens open; ``f"{api}/api/me"`` answers who you are.
        other_api: The same resource at another origin.
        forgiven: How often a spent refresh token may come again in this test (INV-06).

    Example:
        >>> with OidcProvider() as oidc:
        ...     oidc.reset(rotation=False)
        ...     oidc.fault("token", status=503)
    """

    def __init__(self, **defaults: Any) -> None:
        self._defaults = defaults
        self._switches: dict[str, Any] = {}
        self.forgiven = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        node = shutil.which("node")
        if node is None or not (HERE / "node_modules" / "oidc-provider").is_dir():
            raise RuntimeError("The test provider is not installed: run `make setup` first.")
        # Its standard input is its lifeline: when this process dies in any way, the provider ends with it.
        self._process = subprocess.Popen(
            [node, "server.mjs", json.dumps({"defaults": self._defaults})],
            cwd=HERE,
            env={"PATH": os.environ.get("PATH", ""), "NODE_NO_WARNINGS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The test provider did not start: run `node server.mjs` in {HERE} to see why.")
        ports = json.loads(line)
        self.issuer = f"http://127.0.0.1:{ports['provider']}"
        self.api = f"http://127.0.0.1:{ports['api']}"
        self.other_api = f"http://127.0.0.1:{ports['other']}"
        self._control = ports["control"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._process = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # ---- what it does -------------------------------------------------------------------------------------------

    def reset(self, **switches: Any) -> None:
        """Start anew: nobody signed in, nothing issued, empty journal, no faults. *switches* replace the defaults."""
        self._call("POST", "/reset", switches)
        self._switches = switches

    def fault(
        self,
        endpoint: str,
        *,
        when: Literal["before", "after"] = "before",
        action: Literal["answer", "drop", "hold", "delay"] = "answer",
        status: int = 200,
        body: str | dict[str, Any] = "",
        headers: dict[str, str] | None = None,
        seconds: float = 0,
        times: int = 1,
    ) -> None:
        """
        Make the next *times* requests to *endpoint* fail.

        Args:
            endpoint: "discovery", "authorization", "token", "revocation", "userinfo", "jwks", "end_session" or "api".
            when: "after" lets the provider do its work (a refresh token is then spent) and loses only the answer.
            action: "answer" gives *status*, *headers* and *body* instead; "drop" closes the connection; "hold" waits
                for ``release()``; "delay" waits for *seconds*. The last two then go on as if nothing had happened.
        """
        fault = {
            "endpoint": endpoint,
            "when": when,
            "action": action,
            "status": status,
            "body": body,
            "headers": {name.lower(): value for name, value in (headers or {}).items()},
            "seconds": seconds,
            "times": times,
        }
        self._call("POST", "/fault", fault)

    def release(self) -> None:
        """Let all requests go on that a fault holds."""
        self._call("POST", "/release")

    def expire(self, model: Literal["AccessToken", "RefreshToken", "AuthorizationCode"] = "AccessToken") -> None:
        """Everything of this *model* that was issued so far is over, though the client cannot know it."""
        self._call("POST", "/expire", {"model": model})

    def wait_held(self, endpoint: str, count: int = 1, seconds: float = 20) -> None:
        """Return as soon as *count* requests are held at *endpoint*."""
        self._wait("holding", endpoint, count, seconds)

    def wait_requests(self, endpoint: str, count: int = 1, seconds: float = 20) -> None:
        """Return as soon as *endpoint* has been asked *count* times."""
        self._wait("requests", endpoint, count, seconds)

    # ---- what it saw --------------------------------------------------------------------------------------------

    def journal(self, endpoint: str | None = None, grant_type: str | None = None) -> list[Hit]:
        """The requests so far, in order; only those to *endpoint* or with *grant_type* where given."""
        requests = self._call("GET", "/state")["requests"]
        hits = [Hit(**{**one, "params": tuple(one["params"]), "query": tuple(one["query"])}) for one in requests]
        return [
            hit
            for hit in hits
            if (endpoint is None or hit.endpoint == endpoint) and (grant_type is None or hit.grant_type == grant_type)
        ]

    @property
    def refreshes(self) -> int:
        """How many refresh requests have reached the token endpoint."""
        return len(self.journal("token", "refresh_token"))

    @property
    def token_requests(self) -> int:
        return len(self.journal("token"))

    @property
    def reuse(self) -> int:
        """How often a refresh token came again after it had been exchanged for a new one (INV-06)."""
        return int(self._call("GET", "/state")["reuse"])

    def secrets(self) -> list[tuple[str, str]]:
        """All secrets so far, as (kind, value): what it issued, and the state, nonce and verifier it was sent."""
        return [(kind, value) for kind, value in self._call("GET", "/state")["secrets"]]

    # ---- for the client's side ----------------------------------------------------------------------------------

    @property
    def client_id(self) -> str:
        return str({"client_id": "cli", **self._defaults, **self._switches}["client_id"])

    def profile(self, **extra: Any) -> dict[str, Any]:
        """The keys of a profile for nativeauth.toml that signs in here and may call the API."""
        known = {
            "issuer": self.issuer,
            "client_id": self.client_id,
            "scopes": ["openid", "profile", "email", "offline_access"],
            "prompt": "consent",  # OpenID Connect Core, section 11: without it there is no offline_access
            "api": [self.api],
        }
        return {**known, **extra}

    def browser(self, **options: Any) -> HttpBrowser:
        """A browser without a screen whose person signs in here and allows everything; see :class:`HttpBrowser`."""
        habits = {"fill": {"username": "ada"}, "press": ("Sign in", "Allow", "Yes, sign me out")}
        return HttpBrowser(**{**habits, **options})

    # ---- the control port ---------------------------------------------------------------------------------------

    def _wait(self, what: str, endpoint: str, count: int, seconds: float) -> None:
        query = urlencode({"for": what, "endpoint": endpoint, "count": count, "seconds": seconds})
        answer = self._call("GET", f"/wait?{query}", seconds=seconds + 10)
        if not answer["reached"]:
            raise AssertionError(f"{endpoint}: {answer['number']} {what} instead of {count} within {seconds} s")

    def _call(self, method: str, path: str, body: object = None, seconds: float = 30) -> dict[str, Any]:
        # http.client, since it logs nothing: the answers hold every secret there is.
        connection = http.client.HTTPConnection("127.0.0.1", self._control, timeout=seconds)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise RuntimeError(f"The test provider's control port says: {answer['error']}")
        return answer
