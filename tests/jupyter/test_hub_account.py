"""A real JupyterHub whose OAuthenticator signs people in at the certified provider, and lends the access token."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest

from tests.canary import Canary
from tests.http_browser import HttpBrowser
from tests.hub import Hub
from tests.kernel import Kernel
from tests.oidc_provider import OidcProvider

pytestmark = pytest.mark.timeout(400)  # a Hub, its proxy and two servers start on a machine that may be busy

ADA, BOB = "user-ada", "bob"
CALL = "from jupyter_nativeauth import get_session\nprint(get_session().get('/api/me').status_code)"
SHELL = "import subprocess\nprint(subprocess.run({line!r}.split(), capture_output=True, text=True).stdout)"
SAID = {
    "jupyter nativeauth doctor": "JupyterHub lends the access token of user-ada, and renews it.",
    "jupyter nativeauth login": "JupyterHub has signed you in to acme, as user-ada.",
    "jupyter nativeauth status": "acme (default): signed in as user-ada",
    "jupyter nativeauth profiles": "service:   JupyterHub",
}
SECRET = secrets.token_hex(24)


@pytest.fixture(scope="module")
def service() -> Iterator[OidcProvider]:
    """The provider at which the Hub is a client with a secret."""
    with OidcProvider(client_secret=SECRET, redirect_paths=["/hub/oauth_callback"], interaction="auto") as provider:
        yield provider


@pytest.fixture(scope="module")
def running_hub(service: OidcProvider) -> Iterator[Hub]:
    """A Hub at which the servers of two people run. Only the first has signed in by herself."""
    traits = {
        "JupyterHub": {"authenticator_class": "generic-oauth"},
        "GenericOAuthenticator": {
            "client_id": service.client_id,
            "client_secret": SECRET,
            "authorize_url": f"{service.issuer}/auth",
            "token_url": f"{service.issuer}/token",
            "userdata_url": f"{service.issuer}/me",
            "username_claim": "sub",
            "scope": ["openid", "profile", "email", "offline_access"],
            "extra_authorize_params": {"prompt": "consent"},
            "allow_all": True,
            "auth_refresh_age": 1,  # counts more than the one in the documentation, and nobody here waits a minute
        },
    }
    with Hub(traits, advice=1) as hub:
        hub.configure(provider="jupyterhub", api=[service.api])
        page = HttpBrowser().open(f"{hub.url}hub/oauth_login")
        assert (page.status, page.url.startswith(hub.url)) == (200, True), page.text
        hub.start([ADA, BOB])
        yield hub


@pytest.fixture
def hub(running_hub: Hub, service: OidcProvider, canary: Canary) -> Iterator[Hub]:
    """It, watched. What the Hub itself writes of its own sign-in is not ours."""
    canary.source(service.secrets)
    canary.folder(running_hub.folder)
    canary.allow("file hub.log", "code", "state")
    yield running_hub
    canary.drain()


def run(kernel: Kernel, code: str) -> str:
    found = kernel.run(code)
    assert found.error is None, found.error
    return found.stdout


def error(kernel: Kernel, code: str) -> tuple[str, str]:
    found = kernel.run(code).error
    assert found is not None
    return found


def test_who_is_signed_in_to_the_hub_is_signed_in(hub: Hub, service: OidcProvider) -> None:
    """No click. A token that the API refuses is renewed by the Hub, which redeems its refresh token once."""
    with hub.kernel(ADA) as kernel, hub.kernel(ADA) as other:
        assert run(kernel, CALL) == "200\n"
        assert run(kernel, "from jupyter_nativeauth import login\nprint(repr(login()))") == (
            "<Identity 'user-ada' on 'acme'>\n"
        )
        row = hub.row(ADA)
        assert (row["state"], row["name"], row["key_source"]) == ("signed_in", ADA, "hub")
        assert not [*hub.folder.rglob("*.vault")]
        for line, said in SAID.items():
            assert said in run(kernel, SHELL.format(line=line)), line
        service.expire()
        time.sleep(1.1)  # the Hub looks after its tokens once a second at most, by its configuration above
        assert [run(each, CALL) for each in (kernel, other)] == ["200\n", "200\n"]
        assert (service.refreshes, service.reuse) == (1, 0)


def test_nobody_signs_in_or_out_of_it_in_jupyter(hub: Hub) -> None:
    """That is the Hub's business, in the API of the sidebar and in a kernel; nothing changes."""
    with hub.http() as http, hub.kernel(ADA) as kernel:
        begun = http.post(hub.at(ADA, "api/login"), json={"profile": "acme"})
        assert (begun.status_code, begun.json()["code"]) == (400, "lent")
        ended = http.post(hub.at(ADA, "api/logout"), json={"profile": "acme"})
        assert (ended.status_code, ended.json()["code"]) == (503, "lent")
        name, words = error(kernel, "from jupyter_nativeauth import login\nlogin(switch=True)")
        assert (name, "JupyterHub signs you in to 'acme'" in words) == ("LoginFailed", True)
        name, words = error(kernel, "from jupyter_nativeauth import logout\nlogout()")
        assert (name, "Log out of JupyterHub" in words) == ("StoreError", True)
        assert run(kernel, CALL) == "200\n"


def test_who_has_no_token_at_the_hub_is_told_so(hub: Hub) -> None:
    """An admin has started this person's server, and the Hub has no token of theirs."""
    with hub.kernel(BOB) as kernel:
        for call in (CALL, "from jupyter_nativeauth import login\nlogin()"):
            name, words = error(kernel, call)
            assert name == "LoginRequired"
            assert "JupyterHub gives no access token for 'acme': it has none of yours." in words
        row = hub.row(BOB)
        assert (row["state"], "it has none of yours" in row["message"]) == ("unavailable", True)
