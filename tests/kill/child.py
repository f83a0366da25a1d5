"""
Runs in: the tests, as ``python -m tests.kill.child``. A warm process that forks children to be killed.

Each line on its standard input names what a child is to do; the child's process id, then what came of it, come back as
lines of JSON. Each child has accounts of its own, that have read no vault before.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import sys
from typing import Any

import httpx

from jupyter_nativeauth import NativeAuthError
from jupyter_nativeauth._account import Account
from jupyter_nativeauth._accounts import Accounts
from jupyter_nativeauth._callback import read_callback
from jupyter_nativeauth._discovery import discover
from jupyter_nativeauth._jwks import prepare
from jupyter_nativeauth._logout import sign_out
from jupyter_nativeauth._oauth import Ask, authorization_request

# What the deeds import when they need it. Here it is done once: that saves most of the time that a kill takes, and the
# kill points are those of the deed, not those of Python's imports.
LATE = (
    "anyio._backends._asyncio",
    "authlib.oauth2.rfc6749",
    "cryptography.hazmat.primitives.ciphers.aead",
    "httpcore",
    "jupyter_nativeauth._accesstoken",
    "jupyter_nativeauth._certificates",
    "jupyter_nativeauth._clock",
    "jupyter_nativeauth._exchange",
    "jupyter_nativeauth._idtoken",
)
PR_SET_PTRACER, ANY = 0x59616D61, -1  # Yama lets only parents trace, unless one says otherwise


def renew(account: Account) -> None:
    account.access_token()


def sign_in(account: Account) -> None:
    """What the callback does with an answer: read it, redeem the code, store the login."""
    account.key(interactive=False, create=True)
    provider = discover(account.client, account.profile)
    port = account.profile.redirect_ports[0]
    request = authorization_request(
        account.profile, provider, f"http://127.0.0.1:{port}/nativeauth/callback", Ask(switch=False)
    )
    back = httpx.get(request.url.reveal(), trust_env=False).headers["location"]
    account.save(account.redeem(read_callback(request, back.partition("?")[2])))


def sign_out_here(account: Account) -> None:
    signal.sigwait({signal.SIGUSR1})  # no provider is asked first, so there is nothing else to hold it by
    sign_out(account)


DEEDS = {"renew": renew, "sign_in": sign_in, "sign_out": sign_out_here}


def act(deed: str) -> dict[str, Any]:
    try:
        DEEDS[deed](Accounts().get("acme"))
    except NativeAuthError as error:
        return {"code": error.code}
    return {"code": "done"}


def main() -> None:
    Accounts().get("acme").key()
    for name in LATE:
        importlib.import_module(name)
    prepare()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(AttributeError, OSError):
                ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
            said = act(line.strip())
            os.write(1, (json.dumps(said) + "\n").encode())
            os._exit(0)
        os.write(1, (json.dumps({"pid": pid}) + "\n").encode())
        status = os.waitpid(pid, 0)[1]
        if os.WIFSIGNALED(status):
            os.write(1, (json.dumps({"killed": os.WTERMSIG(status)}) + "\n").encode())


if __name__ == "__main__":
    main()
