"""From here to the service: certificates, clocks, addresses. Each works, or one sentence says why not."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from jupyter_nativeauth import ConfigError, LoginFailed, ProviderUnavailable, get_session
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._accounts import Accounts, use_accounts
from jupyter_nativeauth._callback import read_callback
from jupyter_nativeauth._discovery import discover
from jupyter_nativeauth._http import ProviderClient
from jupyter_nativeauth._oauth import Ask, authorization_request
from jupyter_nativeauth.keys import Keys
from jupyter_nativeauth.profiles import Profile, Profiles
from jupyter_nativeauth.testing import Clock
from tests.answers import Answer
from tests.certificates import Authority
from tests.hostile import Hostile
from tests.http_browser import HttpBrowser
from tests.samples import CALLBACK

ROOT = Path(__file__).parents[2]


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that has issued nothing that is shown here."""
    authority = Authority(tmp_path_factory.mktemp("elsewhere"))
    authority.server_context()
    return authority


def hashed(authority: Authority) -> str:
    """What OpenSSL wants a certificate in a folder to be called."""
    command = ["openssl", "x509", "-noout", "-hash", "-in", str(authority.ca_file)]
    return f"{subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()}.0"


def asked(provider: Hostile, **options: str) -> str:
    """Ask *provider* for its keys: what is said when that fails."""
    with pytest.raises(ProviderUnavailable) as caught:
        ProviderClient(**options).get(f"{provider.issuer}/jwks")  # type: ignore[arg-type]
    assert caught.value.code == "tls"
    assert provider.journal == []
    return f"{caught.value.args[0]} {caught.value.hint}"


@pytest.mark.parametrize(
    ("options", "words", "cure"),
    [
        ({}, "this computer does not know who has issued it", "`ca_bundle` in nativeauth.toml, or with SSL_CERT_FILE"),
        (
            {"names": ("other.example",)},
            "it is for other.example, not for 127.0.0.1",
            "Is the address in nativeauth.toml",
        ),
        ({"days": -1}, "a certificate that is over", "If not, set this computer's clock."),
        ({"begins": 2, "days": 3}, "a certificate that is not valid yet", "If not, set this computer's clock."),
    ],
    ids=["issuer", "name", "over", "not yet"],
)
def test_what_is_wrong_with_a_certificate(
    tmp_path: Path, elsewhere: Authority, options: dict[str, object], words: str, cure: str
) -> None:
    """FLT-008, SEC-081: each kind has a sentence and a cure of its own, and nothing of ours was sent."""
    authority = Authority(tmp_path, **options)  # type: ignore[arg-type]
    with Hostile(tls=authority.server_context()) as provider:
        said = asked(provider, ca_bundle=str(authority.ca_file)) if options else asked(provider)
        assert words in said
        assert cure in said
        assert "Nothing was lost." in said
        if not options:
            assert f"`ca_bundle` ({elsewhere.ca_file}) does not hold it." in asked(
                provider, ca_bundle=str(elsewhere.ca_file)
            )
            assert time.strftime("%Y") not in said  # a clock has nothing to do with it


@pytest.mark.parametrize("content", [None, b"not a certificate"])
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, content: bytes | None
) -> None:
    """SEC-081: the variable and the path are named; the usual certificates do not take their place unasked."""
    path = tmp_path / "certificates"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(ConfigError) as caught:
        ProviderClient().get("https://id.example/keys")
    assert caught.value.code == "ca_bundle"
    assert f"{variable} names {path}, which is not a readable" in str(caught.value)
    assert f"Correct {variable} in the environment" in caught.value.hint


def test_a_path_that_no_file_can_have(tmp_path: Path) -> None:
    """The same sentence, and no error of Python's own."""
    with pytest.raises(ConfigError, match=r"`ca_bundle` names .*, which is not a readable file"):
        ProviderClient(ca_bundle=f"{tmp_path}/a\0b").get("https://id.example/keys")


def test_several_folders_of_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """OpenSSL takes them as PATH has them; one that is not there is passed over, as long as another is."""
    authority = Authority(tmp_path)
    with Hostile(tls=authority.server_context()) as provider:
        folder = tmp_path / "certificates"
        folder.mkdir()
        (folder / hashed(authority)).write_bytes(authority.ca_file.read_bytes())
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
        gone = [str(tmp_path / "gone"), str(tmp_path / "gone too")]
        monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join([gone[0], str(folder)]))
        assert ProviderClient().get(f"{provider.issuer}/jwks").status == 200
        monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join(gone))
        with pytest.raises(ConfigError, match="SSL_CERT_DIR names"):
            ProviderClient().get(f"{provider.issuer}/jwks")


def test_a_login_outlives_its_certificates(tmp_path: Path) -> None:
    """FLT-008: while the file is gone the access token serves; once it is back, the renewal goes on where it was."""
    authority = Authority(tmp_path)
    with Hostile(tls=authority.server_context()) as provider:
        keys = Keys(tmp_path, server=True, environ={})
        keys.find("memory", create=True)
        bundle = tmp_path / "company.pem"
        bundle.write_bytes(authority.ca_file.read_bytes())
        profile = Profile("acme", issuer=provider.issuer, client_id="cli", key_source="memory", ca_bundle=str(bundle))
        clock = Clock()
        account = Account(profile, keys, tmp_path, clock=clock)
        sign_in(account)
        first = account.access_token().reveal()
        bundle.unlink()
        clock.advance(3590)  # so late that it is renewed
        assert account.access_token().reveal() == first
        clock.advance(20)  # and now it is over
        with pytest.raises(ConfigError, match=r"company\.pem"):
            account.access_token()
        bundle.write_bytes(authority.ca_file.read_bytes())
        assert account.access_token().reveal() != first
        assert provider.violations == []


@pytest.mark.parametrize("way", ["ca_bundle", "SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_company_s_certificates_count_as_soon_as_they_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, elsewhere: Authority, way: str
) -> None:
    """FLT-008: whichever names them; a file that is replaced is read again, without a restart."""
    authority = Authority(tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with Hostile(tls=authority.server_context()) as provider:
        folder = tmp_path / "certificates"
        folder.mkdir()
        bundle = folder / "company.pem"
        bundle.write_bytes(elsewhere.ca_file.read_bytes())
        if way != "ca_bundle":
            monkeypatch.setenv(way, str(folder if way.endswith("DIR") else bundle))
        client = ProviderClient(ca_bundle=str(bundle) if way == "ca_bundle" else None)
        with pytest.raises(ProviderUnavailable):
            client.get(f"{provider.issuer}/jwks")
        bundle.unlink()
        if way == "SSL_CERT_DIR":
            bundle = folder / hashed(authority)
        bundle.write_bytes(authority.ca_file.read_bytes())
        assert client.get(f"{provider.issuer}/jwks").status == 200


def test_the_api_is_trusted_by_the_same_certificates(tmp_path: Path, home: object) -> None:
    """A company has one authority for its service and its APIs: ``ca_bundle`` counts for both, ``verify`` before it."""
    authority = Authority(tmp_path)
    with Hostile(tls=authority.server_context()) as provider:
        known = {"issuer": provider.issuer, "client_id": "cli", "api": [provider.issuer], "key_source": "memory"}
        profile = Profile("acme", **known, ca_bundle=str(authority.ca_file))  # type: ignore[arg-type]
        book = Accounts(folder=tmp_path, environ={}, profiles=Profiles({"acme": profile}, default="acme"))
        before = use_accounts(book)
        try:
            account = book.get("acme")
            account.key(create=True)
            sign_in(account)
            with get_session() as api:
                assert api.get("/userinfo").json()["name"] == "Ada Example"
            bad = Profile("acme", **known, ca_bundle=str(tmp_path / "gone.pem"))  # type: ignore[arg-type]
            with pytest.raises(ConfigError, match=r"gone\.pem"):
                get_session(bad)
            with get_session(bad, verify=ssl.create_default_context(cafile=authority.ca_file)) as api:
                assert api.get("/userinfo").status_code == 200
        finally:
            use_accounts(before)


# ---- clocks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def wrong_clock(hostile: Hostile, tmp_path: Path) -> Callable[[float], Account]:
    """An account on a computer whose clock is so many seconds ahead of the service's."""

    def made(ahead: float) -> Account:
        keys = Keys(tmp_path, server=True, environ={})
        keys.find("memory", create=True)
        profile = Profile("acme", issuer=hostile.issuer, client_id="cli", key_source="memory")
        return Account(profile, keys, tmp_path, client=ProviderClient(), clock=Clock(time.time() + ahead))

    return made


def sign_in(account: Account) -> None:
    provider = discover(account.client, account.profile)
    request = authorization_request(account.profile, provider, CALLBACK, Ask())
    browser = HttpBrowser(ca_file=account.profile.ca_bundle)
    hop = browser.request("GET", request.url.reveal())
    account.save(account.redeem(read_callback(request, urlsplit(hop.header("location") or "").query)))


@pytest.mark.parametrize(("ahead", "words"), [(-300, "5 minutes behind"), (4200, "70 minutes ahead of")])
def test_a_clock_that_is_wrong_is_named(
    wrong_clock: Callable[[float], Account], hostile: Hostile, ahead: float, words: str
) -> None:
    """FLT-030, NRM-083: the service itself is fine; what helps is to set this computer's clock."""
    account = wrong_clock(ahead)
    with pytest.raises(LoginFailed) as caught:
        sign_in(account)
    assert caught.value.code == "id_token_invalid"
    assert f"This computer's clock is {words} the service's. Set it, and try again." in caught.value.hint
    assert account.login_id() == ""


def test_a_service_whose_token_is_wrong_is_not_our_clock(
    wrong_clock: Callable[[float], Account], hostile: Hostile
) -> None:
    """Where the clocks agree, whoever runs the service has to be told."""
    hostile.claims = lambda claims: claims | {"iat": claims["iat"] + 300}
    with pytest.raises(LoginFailed) as caught:
        sign_in(wrong_clock(0))
    assert "tell the people who run the service" in caught.value.hint
    assert "clock is" not in caught.value.hint


def test_an_answer_that_a_cache_has_kept_says_for_how_long(hostile: Hostile) -> None:
    """RFC 9111, section 5.1: its Date is old, and the service's clock all the same right."""
    hostile.answer("jwks", Answer(json={"keys": []}, headers={"Age": "3600"}))
    client = ProviderClient()
    assert client.get(f"{hostile.issuer}/jwks").status == 200
    kept = client.date
    assert client.get(f"{hostile.issuer}/jwks").status == 200
    assert kept is not None
    assert client.date is not None
    assert 3500 < kept - client.date <= 3600


def test_a_clock_that_is_a_little_wrong_does_not_matter(wrong_clock: Callable[[float], Account]) -> None:
    """FLT-033, NRM-083: less than a minute is leeway; and a login goes on: it counts from when it came here."""
    account = wrong_clock(45)
    sign_in(account)
    assert account.access_token().reveal()


# ---- networks --------------------------------------------------------------------------------------------------------

# The cable ends nowhere: whoever asks for a neighbour on it waits for three seconds.
DEAD_IPV6 = """
ip link set lo up
ip link add gone type veth peer name nowhere
ip address add 2001:db8::2/64 dev gone nodad
ip link set gone up
ip link set nowhere up
"""
TWO_ADDRESSES = """
import socket, threading, time
from jupyter_nativeauth._http import ProviderClient
from tests.answers import Answer, AnswerServer

class Service:
    def respond(self, request): return Answer(json={})
    def lost(self, request): pass

server = AnswerServer(Service())
threading.Thread(target=server.serve_forever, daemon=True).start()
port = server.server_address[1]

def both(host, *rest, **more):  # what a name server would say
    kind = (socket.SOCK_STREAM, 6, "")
    return [(socket.AF_INET6, *kind, ("2001:db8::1", port, 0, 0)), (socket.AF_INET, *kind, ("127.0.0.1", port))]

socket.getaddrinfo = both
print(ProviderClient(deadline=2).get(f"http://two.localhost:{port}/").status)
"""


ONLY_IPV6 = """
ip link set lo up
ip address del 127.0.0.1/8 dev lo
"""
COMES_BACK = """
from pathlib import Path
from urllib.request import urlopen
from jupyter_nativeauth._host import Host
from jupyter_nativeauth._listener import Listener
from jupyter_nativeauth.profiles import Profile
profile = Profile("acme", issuer="https://id.example", client_id="cli")
with Listener.of(Host(), profile) as listener:
    place, found, path = listener.redirect_uri.partition("/nativeauth/")
    print(place.rpartition(":")[0], found + path, urlopen(f"{place}/nativeauth/done/signed-in").status)
"""


IN_JUPYTER = """
import os, threading
from pathlib import Path
from jupyter_server.serverapp import ServerApp
from jupyter_nativeauth._doctor import places
from tests.hostile import Hostile
from tests.http_browser import HttpBrowser
from tests.jupyter.site import write

os.environ["JUPYTER_TOKEN"] = "of-jupyter"  # one of its own it would print
with Hostile(host="::1") as service:
    write(Path("nativeauth.toml"), service, {"acme": {}})
    extensions = {"jupyter_nativeauth": True}
    app = ServerApp.instance(ip="::", open_browser=False, allow_root=True, log_level=40, jpserver_extensions=extensions)
    app.initialize(argv=[])

    def person():
        login = f"http://localhost:{app.port}/nativeauth/login?profile=acme&token=of-jupyter"
        try:
            done = HttpBrowser(press=["Sign in", "Go on"], localhost="::1").open(login)
            (asked,) = service.hits("authorize")
            for url in (done.url, asked.get("redirect_uri")):
                print(url.replace(f":{app.port}", ""))
            print(*places())
        finally:
            app.io_loop.add_callback(app.io_loop.stop)

    app.io_loop.call_later(0, threading.Thread(target=person).start)
    app.start()
"""


def in_a_network(lines: str, code: str, cwd: Path = ROOT) -> str:
    """What *code* prints in a network of its own, which *lines* set up."""
    network = [shutil.which("unshare") or "false", "--net", "sh", "-e", "-c"]
    if subprocess.run([*network, "true"], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces cannot be made here")
    command = [*network, f'{lines}\nexec "$0" -c "$1"', sys.executable, code]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JUPYTER_NATIVEAUTH_CONFIG": str(cwd / "nativeauth.toml")}
    env["JUPYTER_NO_CONFIG"] = "1"  # no extension but those that are named
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.root
def test_a_dead_ipv6_address_costs_no_sign_in() -> None:
    """FLT-063, RFC 8305: where a service's first address does not answer, the second is tried a moment later."""
    assert in_a_network(DEAD_IPV6, TWO_ADDRESSES) == "200\n"


@pytest.mark.root
def test_a_machine_without_ipv4() -> None:
    """NRM-004, FLT-063: the browser comes back to ``[::1]`` where there is no ``127.0.0.1`` (RFC 8252, section 7.3)."""
    assert in_a_network(ONLY_IPV6, COMES_BACK) == "http://[::1] /nativeauth/callback 200\n"


@pytest.mark.root
def test_jupyter_on_a_machine_without_ipv4(tmp_path: Path) -> None:
    """NRM-004, FLT-063: the browser comes back to ``[::1]``, also from ``localhost``; the doctor names it."""
    assert in_a_network(ONLY_IPV6, IN_JUPYTER, cwd=tmp_path).split() == [
        "http://[::1]/nativeauth/done/signed-in",
        "http://[::1]/nativeauth/callback",
        "http://[::1]/",
    ]
