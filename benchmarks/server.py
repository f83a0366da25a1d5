"""What the extension costs a Jupyter server: to load, to end a sign-in, and while keychain or provider hang."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.measure import Row, Spread, fresh, in_turns, spelled
from benchmarks.stage import sign_in, stage
from jupyter_nativeauth._accounts import accounts
from tests.answers import Answer, Request
from tests.hostile import Hostile
from tests.http_browser import HttpBrowser
from tests.isolation import Home
from tests.keyring_daemon import keyring_daemon
from tests.lab import Lab

ROOT = Path(__file__).parent.parent
STATIC = ROOT / "jupyter_nativeauth" / "labextension" / "static"
LOAD = """
import sys, time
begun = time.perf_counter()
from jupyter_server.serverapp import ServerApp
app = ServerApp()
app.initialize(argv=["--allow-root", "--no-browser", "--port=0", *sys.argv[1:]], find_extensions=False)
print(time.perf_counter() - begun)
"""
CONFIG = {
    "ServerApp": {
        "jpserver_extensions": {"jupyter_nativeauth": True, "benchmarks.heartbeat": True},
        "log_level": "INFO",
    }
}


def load(*, rounds: int) -> Row:
    """How much longer a Jupyter server takes to start."""
    inside: dict[str, list[float]] = {"bare": [], "ours": []}
    arguments = {"bare": "{}", "ours": '{"jupyter_nativeauth": True}'}

    def start(name: str) -> None:
        inside[name].append(float(fresh(LOAD, f"--ServerApp.jpserver_extensions={arguments[name]}")))

    with stage():
        in_turns({name: lambda name=name: start(name) for name in arguments}, rounds=rounds)  # type: ignore[misc]
    pairs = list(zip(inside["bare"], inside["ours"], strict=True))
    pairs = pairs[1:] or pairs  # the first run compiles
    found = Spread.of([(ours - bare) * 1000 for bare, ours in pairs])
    bare = Spread.of([bare * 1000 for bare, _ in pairs])
    return Row(
        "the extension's part in the start of a Jupyter server",
        spelled(found, "ms", 0),
        "≤ 60 ms",
        found.median <= 60,
        {"the server itself": f"{bare.median:.0f} ms"},
    )


def bundle() -> Row:
    """What JupyterLab loads for the sidebar."""
    sizes = {path.name: path.stat().st_size for path in STATIC.glob("*.js")}
    loader = sum(size for name, size in sizes.items() if name.startswith("remoteEntry"))
    own = sum(sizes.values()) - loader
    return Row(
        "the sidebar's bundle",
        f"{own / 1000:.1f} kB, and {loader / 1000:.1f} kB of webpack's loader",
        "≤ 40 kB",
        own <= 40_000,
        counts={"files": len(sizes)},
    )


class _Timed(Hostile):
    """A correct provider that knows how long it has worked."""

    worked = 0.0

    def respond(self, request: Request) -> Answer:
        begun = time.perf_counter()
        try:
            return super().respond(request)
        finally:
            self.worked += time.perf_counter() - begun


def server(*, sign_ins: int, hangs: int) -> list[Row]:
    """One server for all that is measured in a running one."""
    seconds: dict[str, list[float]] = {"callback": [], "requests": []}
    with ExitStack() as stack:
        session = stack.enter_context(keyring_daemon())
        provider = stack.enter_context(_Timed())
        home = stack.enter_context(_home(provider, session.variables))
        sign_in(accounts().get("acme"))
        with session.frozen():  # so the server cannot get its key when it starts
            lab = stack.enter_context(Lab(home, config=CONFIG))
            api = stack.enter_context(lab.http())
            keychain_hangs = _stall(api, lambda: _state(api), hangs)
            waiting = _state(api)
        for _ in range(sign_ins + 1):
            seconds["callback"].append(_callback(api, provider))
            seconds["requests"].append(_bare_requests(provider))
        at_rest = _stall(api, lambda: time.sleep(0.5), hangs)
        provider_hangs = _stall(api, lambda: _begin_while_it_hangs(api, provider), hangs)
        signed_in = _state(api)
    pairs = list(zip(seconds["callback"], seconds["requests"], strict=True))
    pairs = pairs[1:] or pairs
    found = Spread.of([(all_in_all - requests) * 1000 for all_in_all, requests in pairs])
    whole = Spread.of([all_in_all * 1000 for all_in_all, _ in pairs])
    return [
        Row(
            "callback received → login stored → page sent, the provider's three answers taken off",
            spelled(found, "ms", 1),
            "≤ 15 ms",
            found.median <= 15,
            {"with the three": spelled(whole, "ms", 1)},
            {"signed in": int(signed_in == "signed_in"), "violations": len(provider.violations)},
        ),
        Row(
            "longest stall of the server's event loop while the keychain or the provider hangs",
            f"{keychain_hangs * 1000:.1f} ms and {provider_hangs * 1000:.1f} ms",
            "≤ 10 ms",
            max(keychain_hangs, provider_hangs) <= 0.010,
            {"the same server at rest": f"{at_rest * 1000:.1f} ms"},
            {"the key was asked for": int(waiting != "signed_in")},
        ),
    ]


@contextmanager
def _home(provider: Hostile, variables: Mapping[str, str]) -> Iterator[Home]:
    """A home with two profiles, whose keys are in the keychain."""
    session = {"DBUS_SESSION_BUS_ADDRESS": variables["DBUS_SESSION_BUS_ADDRESS"], "PYTHONPATH": str(ROOT)}
    with stage(provider.issuer, profiles=2, JUPYTER_NATIVEAUTH_KEY_FILE="", **session) as home:
        file = home.config / "nativeauth.toml"
        file.write_text(file.read_text().replace('"cli0"', f'"{provider.client_id}"'))
        yield home


def _callback(api: httpx.Client, provider: _Timed) -> float:
    """Seconds from the callback's request to its answer, without what the provider has worked."""
    begun = api.post("nativeauth/api/login", json={"profile": "acme"}).raise_for_status().json()
    browser = HttpBrowser()
    hop = browser.request("GET", begun["url"])
    answer = browser.request("GET", hop.header("location") or "")
    callback = answer.header("location") or ""
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies)
    parts = urlsplit(callback)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.connect()
    provider.worked, start = 0.0, time.perf_counter()
    connection.request("GET", f"{parts.path}?{parts.query}", headers={"Cookie": cookies})
    with connection.getresponse() as page:
        page.read()
    took = time.perf_counter() - start - provider.worked
    connection.close()
    if page.status != 303:
        raise RuntimeError(f"The callback answered {page.status}.")
    return took


def _bare_requests(provider: _Timed) -> float:
    """Seconds that httpx needs for as many requests as a sign-in makes, without what the provider has worked."""
    with httpx.Client() as bare:
        provider.worked, start = 0.0, time.perf_counter()
        for route in ("jwks", "jwks", "userinfo"):  # in place of the token request: a code can be used once
            bare.get(f"{provider.issuer}/{route}").raise_for_status()
        return time.perf_counter() - start - provider.worked


def _state(api: httpx.Client) -> str:
    rows = api.get("nativeauth/api/profiles").raise_for_status().json()["profiles"]
    return str(next(row["state"] for row in rows if row["profile"] == "acme"))


def _stall(api: httpx.Client, meanwhile: Callable[[], object], times: int) -> float:
    """The longest stall of the server's loop while *meanwhile* goes on."""
    api.get("heartbeat").raise_for_status()
    for _ in range(times):
        meanwhile()
    return float(api.get("heartbeat").raise_for_status().json()["longest"])


def _begin_while_it_hangs(api: httpx.Client, provider: Hostile) -> None:
    event = threading.Event()
    provider.answer("discovery", Answer(wait=event))
    # Another profile: what is known of the first one's provider need not be asked for again.
    waiting = threading.Thread(target=lambda: api.post("nativeauth/api/login", json={"profile": "acme1"}))
    waiting.start()
    time.sleep(1)
    event.set()
    waiting.join()
