"""What a new process costs: imports, the first session, and the first request with a login of another day."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from benchmarks.measure import Row, Spread, fresh, in_turns, ratios, spelled
from benchmarks.provider import Provider
from benchmarks.stage import sign_in, stage
from jupyter_nativeauth._accounts import Accounts, accounts
from jupyter_nativeauth.agent import KeyAgent
from tests.keyring_daemon import keyring_daemon

TIMED = "import time\nbegun = time.perf_counter()\n{}\nprint(time.perf_counter() - begun)"
OURS = "from jupyter_nativeauth import get_session\nget_session('acme').get('/v1/me').raise_for_status()"
SERVICE = "jupyter_nativeauth benchmark"


def imports(*, rounds: int) -> list[Row]:
    """The lines that every notebook has, to ``import httpx``."""
    with stage():
        found = _ratios(
            {
                "httpx": "import httpx",
                "package": "import jupyter_nativeauth",
                "name": "from jupyter_nativeauth import get_session",
                "session": "from jupyter_nativeauth import get_session\nget_session('acme')",
                "client": "import httpx\nhttpx.Client()",
                "authlib": "from authlib.integrations.httpx_client import OAuth2Client",
                "msal": "import msal",
                "google": "import google.oauth2.credentials, google.auth.transport.requests",
            },
            rounds,
            "httpx",
        )
    others = {
        "authlib": spelled(found["authlib"]),
        "msal": spelled(found["msal"]),
        "google-auth": spelled(found["google"]),
    }
    return [
        _row("`import jupyter_nativeauth`, to `import httpx`", found["package"], 0.15, others),
        _row("`from jupyter_nativeauth import get_session`", found["name"], 0.15, {}),
        _row(
            "that and the first `get_session()`, to `import httpx`",
            found["session"],
            1.5,
            {"`import httpx` and `httpx.Client()`": spelled(found["client"])},
        ),
    ]


def cold(*, rounds: int) -> list[Row]:
    """From the first import to the first answer of an API, with a login of another day; to the same with bare httpx."""
    with Provider() as provider:
        with_agent, with_keychain = _cold_with_agent(provider, rounds), _cold_with_keychain(provider, rounds)
    return [
        _row(
            "a new process's first request, key from the agent",
            with_agent["ours"],
            1.6,
            {"google-auth, plain file": spelled(with_agent["google"]), "msal, plain file": spelled(with_agent["msal"])},
            {
                "jupyter_nativeauth": with_agent["ours"].median,
                "jupyter_nativeauth, with the keychain": with_keychain["ours"].median,
                "httpx and keyring, by hand": with_keychain["keyring"].median,
                "google-auth, plain file": with_agent["google"].median,
                "msal, plain file": with_agent["msal"].median,
            },
        ),
        Row(
            "the same, key from the keychain",
            spelled(with_keychain["ours"]),
            "faster than whoever protects its store",
            with_keychain["ours"].median < with_keychain["keyring"].median,
            {"httpx and keyring, by hand": spelled(with_keychain["keyring"])},
        ),
    ]


def _cold_with_agent(provider: Provider, rounds: int) -> dict[str, Spread]:
    with stage(provider.origin) as home, _agent():
        google, msal = home.folder / "google.json", home.folder / "msal.json"
        google.write_text(
            json.dumps({"token": "x", "refresh_token": "y", "client_id": "cli", "client_secret": "z", "expiry": _LATER})
        )
        msal.write_text(json.dumps(_msal_cache()))
        return _ratios(
            {
                "bare": f"import httpx\nhttpx.get('{provider.origin}/v1/me', headers={_HEADERS}).raise_for_status()",
                "ours": OURS,
                "google": f"""
from google.oauth2.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession
found = Credentials.from_authorized_user_file({str(google)!r})
AuthorizedSession(found).get('{provider.origin}/v1/me').raise_for_status()""",
                "msal": f"""
import msal, msal_extensions, requests
cache = msal_extensions.PersistedTokenCache(msal_extensions.FilePersistence({str(msal)!r}))
found = next(iter(cache.search(msal.TokenCache.CredentialType.ACCESS_TOKEN, target=['s'])))
headers = {{'Authorization': 'Bearer ' + found['secret']}}
requests.get('{provider.origin}/v1/me', headers=headers).raise_for_status()""",
            },
            rounds,
            "bare",
        )


@contextmanager
def _agent() -> Iterator[None]:
    """Somebody is signed in, and the key comes from the agent of a Jupyter server, as in its kernels."""
    server = Accounts(server=True)
    sign_in(server.get("acme"))
    agent = KeyAgent(server.keys.answer, dict)
    path = os.environ.pop("JUPYTER_NATIVEAUTH_KEY_FILE")
    os.environ["JUPYTER_NATIVEAUTH_AGENT"] = agent.start()
    try:
        yield
    finally:
        del os.environ["JUPYTER_NATIVEAUTH_AGENT"]
        os.environ["JUPYTER_NATIVEAUTH_KEY_FILE"] = path
        agent.stop()


def _cold_with_keychain(provider: Provider, rounds: int) -> dict[str, Spread]:
    with keyring_daemon() as session, stage(provider.origin, **_of(session.variables)):
        sign_in(accounts().get("acme"))
        fresh(f"import keyring\nkeyring.set_password({SERVICE!r}, 'ada', 'x')")
        return _ratios(
            {
                "bare": f"import httpx\nhttpx.get('{provider.origin}/v1/me', headers={_HEADERS}).raise_for_status()",
                "ours": OURS,
                "keyring": f"""
import httpx, keyring
headers = {{'Authorization': 'Bearer ' + keyring.get_password({SERVICE!r}, 'ada')}}
httpx.get('{provider.origin}/v1/me', headers=headers).raise_for_status()""",
            },
            rounds,
            "bare",
        )


def _of(variables: Mapping[str, str]) -> dict[str, str]:
    return {"DBUS_SESSION_BUS_ADDRESS": variables["DBUS_SESSION_BUS_ADDRESS"], "JUPYTER_NATIVEAUTH_KEY_FILE": ""}


_HEADERS = {"Authorization": "Bearer x"}
_LATER = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400))


def _msal_cache() -> dict[str, object]:
    now = int(time.time())
    entry = {
        "credential_type": "AccessToken",
        "secret": "x",
        "home_account_id": "a",
        "environment": "login.example",
        "client_id": "cli",
        "target": "s",
        "realm": "r",
        "token_type": "Bearer",
        "cached_at": str(now),
        "expires_on": str(now + 3600),
        "extended_expires_on": str(now + 3600),
    }
    return {"AccessToken": {"a-login.example-accesstoken-cli-r-s": entry}}


def _ratios(programs: Mapping[str, str], rounds: int, limit: str) -> dict[str, Spread]:
    """Each program in new processes, in turns. Python's own start is not counted."""
    inside: dict[str, list[float]] = {name: [] for name in programs}

    def run(name: str, code: str) -> None:
        inside[name].append(float(fresh(TIMED.format(code))))

    in_turns({name: lambda name=name, code=code: run(name, code) for name, code in programs.items()}, rounds=rounds)  # type: ignore[misc]
    # The first run compiles; where it is the only one, it is enough to see that it works.
    return ratios({name: values[1:] or values for name, values in inside.items()}, limit)


def _row(
    what: str, found: Spread, target: float, peers: Mapping[str, str], bars: Mapping[str, float] | None = None
) -> Row:
    return Row(what, spelled(found), f"≤ {target}", found.median <= target, peers, bars=bars or {})
