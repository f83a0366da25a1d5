"""
Runs in: the demo provider's process, after Django has been set up. Its pages, and a small protected API.

The pages of the protocol (sign in, allow, sign out, devices) are allauth's views with our templates; sign-up, e-mail
addresses, password resets and account management have no address here.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from allauth.account import views as account
from allauth.account.internal.flows.logout import logout
from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from allauth.idp.oidc.models import Token
from allauth.idp.oidc.views import authorization
from django.conf import settings
from django.http import HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import include, path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

STYLE = (Path(__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")

# No form-action: Chromium applies it to redirects after a form POST, and "Allow" leads to a port that we do not know.
POLICY = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"

View = Callable[[Any], Any]


class Adapter(DefaultOIDCAdapter):  # type: ignore[misc]
    """What differs from allauth's defaults."""

    scope_display = {  # noqa: RUF012
        "openid": "Know that it is you",
        "profile": "See your name",
        "email": "See your e-mail address",
    }

    def get_issuer(self) -> str:
        """Return the issuer, never from the request's Host header."""
        return str(settings.DEMO_ISSUER)

    def populate_server_metadata(self, data: dict[str, Any]) -> None:
        """Name what allauth does and leaves out, and leave out what this client may not use."""
        grants = ("authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code")
        data["grant_types_supported"] = list(grants)
        data["response_types_supported"] = ["code"]
        data["token_endpoint_auth_methods_supported"] = ["none"]
        data["prompt_values_supported"] = ["none", "login", "select_account"]


def guard(get_response: View) -> View:
    """Answer to our own name only, with the headers of pages that are nobody else's business (Django middleware)."""
    host = settings.DEMO_ISSUER.partition("//")[2]

    def respond(request: Any) -> Any:
        # Exactly: a page of another site whose name leads to 127.0.0.1 must not read what is here (DNS rebinding).
        ours = request.headers.get("Host") == host
        response = get_response(request) if ours else HttpResponse("Not this host.", status=400)
        response.setdefault("Content-Security-Policy", POLICY)
        response.setdefault("Cache-Control", "no-store")
        # Not "no-referrer": Django compares the Origin of a POST, and that would turn it into "null".
        response.setdefault("Referrer-Policy", "same-origin")
        response.setdefault("X-Content-Type-Options", "nosniff")
        response.setdefault("X-Frame-Options", "DENY")
        return response

    return respond


def people(request: Any) -> dict[str, Any]:
    """Give the templates the made-up people, and the one that the sign-in page is filled in for."""
    chosen = request.GET.get("person")
    known = settings.DEMO_PEOPLE
    return {"people": known, "person": next((one for one in known if one["key"] == chosen), known[0])}


def authorize(request: Any) -> Any:
    """Add ``prompt=select_account`` to allauth's endpoint (OpenID Connect Core, section 3.1.2.1): ask who it is."""
    prompts = request.GET.get("prompt", "").split()
    if request.method == "GET" and "select_account" in prompts:
        logout(request, show_message=False)
        query = request.GET.copy()
        query["prompt"] = " ".join(prompt for prompt in prompts if prompt != "select_account")
        if not query["prompt"]:
            del query["prompt"]
        return HttpResponseRedirect(f"{request.path}?{query.urlencode()}")
    return authorization(request)


_calls: Counter[int] = Counter()
_calls_lock = threading.Lock()


def me(request: Any) -> Any:
    """
    Serve ``GET /api/me``: who the access token belongs to, and how it is doing.

    Only the Authorization header counts, and only an access token: an ID token is not one (RFC 9068, section 1).
    """
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if not value:
        # "If the request lacks any authentication information [...], the resource server SHOULD NOT include an error
        # code" (RFC 6750, section 3.1).
        return _challenge(401)
    if scheme.lower() != "bearer":
        return _challenge(401)
    token: Any = Token.objects.lookup(Token.Type.ACCESS_TOKEN, value.strip())
    if token is None or token.user is None or not token.user.is_active:
        return _challenge(401, "invalid_token", "The access token is unknown, revoked or expired")
    if "openid" not in token.get_scopes():
        return _challenge(403, "insufficient_scope", "The access token needs the scope openid", scope="openid")
    with _calls_lock:
        _calls[token.user.pk] += 1
        calls = _calls[token.user.pk]
    issued = Token.objects.filter(type=Token.Type.ACCESS_TOKEN, client=token.client, user=token.user)
    return JsonResponse(
        {
            "name": token.user.get_full_name(),
            "email": token.user.email,
            "access_token": {
                "number": issued.filter(created_at__lte=token.created_at).count(),
                "seconds_left": max(0, round((token.expires_at - timezone.now()).total_seconds())),
            },
            "calls": calls,
        }
    )


def _challenge(status: int, error: str = "", description: str = "", scope: str = "") -> Any:
    parts = {"realm": "demo", "error": error, "error_description": description, "scope": scope}
    text = ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)
    body = {"error": error or "unauthorized", "error_description": description or "Send an access token."}
    return JsonResponse(body, status=status, headers={"WWW-Authenticate": f"Bearer {text}"})


def home(request: Any) -> Any:
    """Serve the front page: what this is, and who is signed in here."""
    return render(request, "demo/home.html")


def signed_out(request: Any) -> Any:
    """Serve the end of a sign-out that came from nowhere."""
    return render(request, "demo/signed_out.html")


def style(_: Any) -> Any:
    """Serve the one style sheet."""
    return HttpResponse(STYLE, content_type="text/css; charset=utf-8", headers={"Cache-Control": "max-age=600"})


def stale(request: Any, reason: str = "") -> Any:  # noqa: ARG001
    """Serve a form that came back too late, or without its cookie (Django's CSRF_FAILURE_VIEW)."""
    words = {"title": "This page was too old", "words": "Go back to your notebook and start again from its link."}
    return render(request, "demo/sorry.html", words, status=403)


def sorry(request: Any, exception: Exception) -> Any:  # noqa: ARG001
    """Serve an address that is not there."""
    return render(request, "demo/sorry.html", {"title": "Nothing here", "words": "Try the front page."}, status=404)


handler404 = sorry
urlpatterns = [
    path("", home, name="home"),
    path("style.css", style, name="style"),
    path("signed-out", signed_out, name="signed_out"),
    path("sign-in/", account.login, name="account_login"),
    path("sign-in/again/", account.reauthenticate, name="account_reauthenticate"),
    path("api/me", me, name="me"),
    # Before allauth's own, and like it without CSRF protection: allauth checks the form that it made itself.
    path("identity/o/authorize", csrf_exempt(authorize)),
    path("", include("allauth.idp.urls", namespace="idp")),
]
