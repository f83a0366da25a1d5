"""The server extension as Jupyter loads it: each route says who may use it, and nothing listens in on a sign-in."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_server.serverapp import JupyterServerAuthWarning, ServerApp

from jupyter_nativeauth import __version__
from jupyter_nativeauth._api import API_ROUTES
from jupyter_nativeauth._handlers import ROUTES
from jupyter_nativeauth._paste_page import PASTE_ROUTES
from tests.canary import Canary
from tests.jupyter.test_server import signed_in_to_jupyter, start, url  # noqa: F401 - `start` is a fixture
from tests.lab import Lab
from tests.oidc_provider import OidcProvider

VERBS = ("get", "head", "post", "put", "patch", "delete", "options")


@pytest.mark.parametrize(
    "handler", [handler for _, handler in [*ROUTES, *PASTE_ROUTES, *API_ROUTES]], ids=lambda one: one.__name__
)
def test_each_verb_says_who_may_use_it(handler: type[Any]) -> None:
    """TRP-06: ``@web.authenticated`` with ``@authorized``, or ``@allow_unauthenticated``; never neither."""
    verbs = [verb for verb in VERBS if verb in vars(handler)]
    assert verbs
    assert {verb.upper() for verb in verbs} == set(handler.methods)
    for verb in verbs:
        rules = set(_decorators(vars(handler)[verb]))
        assert rules in ({"authenticated", "authorized"}, {"allow_unauthenticated"})


def _decorators(method: Any) -> Iterator[str]:
    while hasattr(method, "__wrapped__"):
        yield method.__code__.co_qualname.partition(".")[0]
        method = method.__wrapped__


def test_jupyter_has_nothing_to_warn_of() -> None:
    """With ``allow_unauthenticated_access=False`` Jupyter Server warns of each handler without a rule: none is ours."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        server = ServerApp(
            allow_unauthenticated_access=False,
            jpserver_extensions={"jupyter_nativeauth": True},
            reraise_server_extension_failures=True,
        )
        try:
            server.initialize(argv=["--allow-root"], find_extensions=False, new_httpserver=False)
            assert os.environ["JUPYTER_NATIVEAUTH_BASE_URL"] == "/"
            assert os.environ["JUPYTER_NATIVEAUTH_VERSION"] == __version__
            agent = os.environ["JUPYTER_NATIVEAUTH_AGENT"]
        finally:
            server.io_loop.run_sync(server.cleanup_extensions)
    ours = [str(one.message) for one in caught if issubclass(one.category, JupyterServerAuthWarning)]
    assert [message for message in ours if "nativeauth" in message.lower()] == []
    assert "JUPYTER_NATIVEAUTH_AGENT" not in os.environ
    assert "JUPYTER_NATIVEAUTH_BASE_URL" not in os.environ
    assert "JUPYTER_NATIVEAUTH_VERSION" not in os.environ
    assert not os.path.exists(agent)


def test_whoever_listens_to_a_kernel_learns_nothing(
    start: Callable[..., Lab],  # noqa: F811
    oidc: OidcProvider,
    canary: Canary,
) -> None:
    """
    TRP-11, SEC-050: any local user can read a TCP kernel's output channel. During a whole sign-in, use and sign-out it
    carries no token, code, verifier, state or nonce, and no address of the provider's with any of them.
    """
    lab = start()
    browser, page = signed_in_to_jupyter(lab, oidc)
    kernel = lab.kernel()
    with kernel.eavesdrop() as spy:
        run = kernel.start("%load_ext jupyter_nativeauth\n%login")
        run.wait_for(lambda run: "/nativeauth/login?profile=acme" in repr(run.messages))
        browser.follow(url(lab, "login?profile=acme"), page)
        run.wait()
        for code in (
            "from jupyter_nativeauth import *\napi = get_session()\nanswer = api.get('/api/me')",
            "api, api.auth, vars(api.auth), answer, answer.request, answer.request.headers.raw, access_token()",
            "%xmode Verbose\napi.get('http://127.0.0.1:9/')",
            "%whoami",
            "%logout",
            "%xmode Verbose\nget_session().get('/api/me')",
        ):
            kernel.run(code)
        heard = b"".join(spy.heard)
    assert b"Ada Example" in heard
    canary.look("what an eavesdropper heard", heard)
    for _, secret in oidc.secrets():
        assert secret.encode() not in heard
