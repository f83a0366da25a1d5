"""
Runs in: a process of its own, on this machine only. An OpenID Connect provider for trying out.

``python -m jupyter_nativeauth.demo.provider`` prints one JSON line when it is ready::

    {"issuer": "http://127.0.0.1:41233", "client_id": "jupyter-nativeauth-demo", "api": "http://127.0.0.1:41233"}

and ends on SIGTERM or when its standard input closes, so that it never outlives the program that started it. The
protocol is django-allauth's (``allauth.idp.oidc``); this file only sets it up: one native client without a secret
(RFC 8252), PKCE with S256 (RFC 7636), refresh tokens that rotate (RFC 9700, section 4.14.2), revocation (RFC 7009) and
sign-out (OpenID Connect RP-Initiated Logout). The people in it are made up, and their passwords stand on its pages.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import signal
import socketserver
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

CLIENT_ID = "jupyter-nativeauth-demo"

# Ports vary, paths do not (RFC 8252, section 7.3). allauth compares the path to the letter, so a Jupyter server that
# runs below a base_url has to name its own with --path.
PATH = "/nativeauth/callback"
LOOPBACK = ("http://127.0.0.1", "http://[::1]")

PEOPLE = (
    {"key": "ada", "first": "Ada", "last": "Lovelace", "email": "ada@example.org", "password": "analytical-engine"},
    {"key": "grace", "first": "Grace", "last": "Hopper", "email": "grace@example.org", "password": "nanoseconds"},
)


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """A WSGI server with a thread for each request: a renewal must not wait behind a browser's idle connection."""

    daemon_threads = True
    request_queue_size = 128  # five, the default, resets connections when many kernels call at once

    def server_bind(self) -> None:
        # Not HTTPServer's: it looks up the host's name, which takes seconds where the resolver is slow.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]  # type: ignore[assignment]
        self.setup_environ()


class QuietHandler(WSGIRequestHandler):
    """Log no requests: their query strings hold codes, states and ID tokens."""

    def log_message(self, *_: Any) -> None:
        return

    def address_string(self) -> str:
        return str(self.client_address[0])


def configure(folder: Path, issuer: str, access_token_seconds: int) -> None:
    """Set Django up in this process: everything in memory or in *folder*, nothing from the user's environment."""
    import django
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from django.conf import settings

    signing_key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    port = issuer.rpartition(":")[2]
    settings.configure(
        DEBUG=False,
        SECRET_KEY=secrets.token_urlsafe(48),
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF="jupyter_nativeauth.demo.pages",
        CSRF_FAILURE_VIEW="jupyter_nativeauth.demo.pages.stale",
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "allauth",
            "allauth.account",
            "allauth.idp.oidc",
        ],
        MIDDLEWARE=[
            "jupyter_nativeauth.demo.pages.guard",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [Path(__file__).parent / "templates"],
                "APP_DIRS": True,  # after ours: allauth's own, and the widgets of Django's forms
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "jupyter_nativeauth.demo.pages.people",
                    ]
                },
            }
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": folder / "provider.sqlite3",
                # Two renewals with the same refresh token must meet in line, not in "database is locked".
                "OPTIONS": {
                    "transaction_mode": "IMMEDIATE",
                    "timeout": 20,
                    "init_command": "PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF;",
                },
            }
        },
        # A new database each time: create the tables at once, without replaying their history.
        MIGRATION_MODULES=dict.fromkeys(("account", "auth", "contenttypes", "allauth_idp_oidc")),
        SESSION_ENGINE="django.contrib.sessions.backends.cache",  # the default cache: this process's memory
        AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
        USE_TZ=True,
        # Cookies ignore ports (RFC 6265, section 8.5): two demos on one machine must not take each other's.
        SESSION_COOKIE_NAME=f"nativeauth-demo-session-{port}",
        CSRF_COOKIE_NAME=f"nativeauth-demo-csrf-{port}",
        CSRF_COOKIE_HTTPONLY=True,
        LOGIN_URL="/sign-in/",
        LOGIN_REDIRECT_URL="/",
        EMAIL_BACKEND="django.core.mail.backends.dummy.EmailBackend",
        LOGGING={
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"stderr": {"class": "logging.StreamHandler", "level": "ERROR"}},
            "root": {"handlers": ["stderr"]},
        },
        ACCOUNT_LOGIN_METHODS={"email"},
        ACCOUNT_SIGNUP_FIELDS=["email*", "password1*"],
        ACCOUNT_EMAIL_VERIFICATION="none",
        ACCOUNT_LOGOUT_REDIRECT_URL="/signed-out",
        ACCOUNT_SESSION_REMEMBER=False,
        ACCOUNT_RATE_LIMITS=False,  # there is nothing to guess: the passwords stand on the page
        IDP_OIDC_ADAPTER="jupyter_nativeauth.demo.pages.Adapter",
        IDP_OIDC_PRIVATE_KEY=signing_key.decode(),
        IDP_OIDC_ACCESS_TOKEN_EXPIRES_IN=access_token_seconds,
        IDP_OIDC_ROTATE_REFRESH_TOKEN=True,
        IDP_OIDC_DEVICE_CODE_INTERVAL=2,
        # With an ID token that names the person, sign-out asks nothing; without one, it asks.
        IDP_OIDC_RP_INITIATED_LOGOUT_ASKS_FOR_OP_LOGOUT=False,
        IDP_OIDC_RATE_LIMITS=False,
        DEMO_ISSUER=issuer,
        DEMO_PEOPLE=PEOPLE,
    )
    django.setup()


def fill(path: str) -> None:
    """Create the tables, the people and the client."""
    from allauth.account.models import EmailAddress
    from allauth.idp.oidc.models import Client
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from oauthlib.oauth2.rfc6749.grant_types.authorization_code import AuthorizationCodeGrant  # type: ignore[import-untyped]

    call_command("migrate", run_syncdb=True, verbosity=0)
    for person in PEOPLE:
        user: Any = get_user_model().objects.create_user(
            username=person["key"],
            email=person["email"],
            password=person["password"],
            first_name=person["first"],
            last_name=person["last"],
        )
        EmailAddress.objects.create(user=user, email=person["email"], primary=True, verified=True)
    client: Any = Client(id=CLIENT_ID, name="Jupyter on this machine", type=Client.Type.PUBLIC, secret="")
    client.set_redirect_uris([host + path for host in LOOPBACK])
    client.set_post_logout_redirect_uris([host + path.replace("callback", "logout/callback") for host in LOOPBACK])
    client.set_scopes(["openid", "profile", "email"])
    client.set_response_types(["code"])
    grants = Client.GrantType
    client.set_grant_types([grants.AUTHORIZATION_CODE, grants.REFRESH_TOKEN, grants.DEVICE_CODE])
    client.save()
    # "Servers SHOULD NOT" take "plain" from clients that can hash (RFC 7636, section 7.2). oauthlib has no setting.
    AuthorizationCodeGrant._code_challenge_methods.pop("plain", None)  # noqa: SLF001


def serve(folder: Path, *, port: int = 0, access_token_seconds: int = 60, path: str = PATH) -> None:
    """
    Serve until SIGTERM, or until standard input closes.

    Args:
        folder: An empty private folder for the database.
        port: A port of 127.0.0.1; 0 takes a free one.
        access_token_seconds: How long an access token lives.
        path: The path of the client's redirect URI.
    """
    ended = threading.Event()
    for name in ("SIGTERM", "SIGHUP", "SIGINT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: ended.set())

    with Server(("127.0.0.1", port), QuietHandler) as server:
        issuer = f"http://127.0.0.1:{server.server_address[1]}"
        configure(folder, issuer, access_token_seconds)
        fill(path)
        from django.core.handlers.wsgi import WSGIHandler

        server.set_app(WSGIHandler())
        threading.Thread(target=server.serve_forever, daemon=True).start()
        threading.Thread(target=_wait_for_end_of_input, args=(ended,), daemon=True).start()
        sys.stdout.write(json.dumps({"issuer": issuer, "client_id": CLIENT_ID, "api": issuer}) + "\n")
        sys.stdout.flush()
        ended.wait()
        server.shutdown()


def _wait_for_end_of_input(ended: threading.Event) -> None:
    # Not sys.stdin.read: its lock, held by a thread that waits, is a fatal error when the interpreter ends.
    with contextlib.suppress(OSError, AttributeError, ValueError):
        while os.read(sys.stdin.fileno(), 1024):
            pass
    ended.set()


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, serve, and remove the database at the end."""
    parser = argparse.ArgumentParser(prog="python -m jupyter_nativeauth.demo.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a port of 127.0.0.1; 0 (the default) takes a free one")
    parser.add_argument("--folder", type=Path, help="where its temporary folder goes; default: the system's place")
    parser.add_argument("--access-token-seconds", type=int, default=60, help="how long an access token lives")
    parser.add_argument("--path", default=PATH, help=f"the path of the redirect URI; default: {PATH}")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="provider-", dir=given.folder, ignore_cleanup_errors=True) as folder:
        serve(Path(folder), port=given.port, access_token_seconds=given.access_token_seconds, path=given.path)


if __name__ == "__main__":
    main()
