"""Nobody is led anywhere by our pages but to the service, and to pages of our own."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import pytest

from tests.jupyter.site import Site

PUBLIC = ("callback", "callback/acme", "go/abc", "done/failed", "done/signed-in", "logout/callback", "initiate/acme")
PRIVATE = ("login", "logout", "paste")
NAMES = ("next", "return_to", "return", "redirect", "redirect_uri", "post_logout_redirect_uri", "url", "again", "link")
ELSEWHERE = (
    "//evil.example",
    "//evil.example/tree",
    "https://evil.example",
    "https:evil.example",
    "https:///evil.example/a%40b",
    "///evil.example",
    "/\\evil.example",
    "/%5cevil.example",
    "\\\\evil.example",
    "/@evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/nativeauth/../..//evil.example",
    "javascript:alert('evil.example')",
    "data:text/html,evil.example",
)


@pytest.mark.parametrize("where", ELSEWHERE)
async def test_no_parameter_leads_elsewhere(site: Site, where: str) -> None:
    """SEC-020, NRM-030, ADV-026, NRM-126: each of the names that others use for it, on each page, for strangers and for
    the person: no redirect, no link, no refresh and no form goes to what it says."""
    query = "&".join(f"{name}={quote(where, safe='')}" for name in NAMES)
    token = {"Authorization": f"token {site.app.identity_provider.token}"}
    for route, headers in [*((one, {}) for one in PUBLIC), *((one, token) for one in PRIVATE)]:
        answer = await site.fetch(f"{route}?profile=acme&{query}", headers=headers)
        assert answer.code in (200, 302, 303, 400, 404, 410), route
        to = urlsplit(answer.headers.get("Location", ""))
        assert (to.scheme, to.netloc) == ("", ""), route
        assert "evil.example" not in to.path, route
        page = (answer.body or b"").decode()
        for leads in re.findall(r"""(?:href|action|src)="([^"]*)"|url=([^"']*)""", page):
            assert "evil.example" not in urlsplit("".join(leads))._replace(query="").geturl(), route


async def test_there_is_no_way_in_for_other_logouts(site: Site) -> None:
    """CNF-043, CNF-044: no back channel, no front channel, no session management: those paths are not there."""
    token = {"Authorization": f"token {site.app.identity_provider.token}"}
    for route in ("backchannel_logout", "logout/backchannel", "frontchannel_logout", "logout/frontchannel", "session"):
        for method in ("GET", "POST"):
            answer = await site.fetch(f"{route}?sid=1&iss={quote(site.base)}", method, headers=token)
            assert answer.code == 404, route
