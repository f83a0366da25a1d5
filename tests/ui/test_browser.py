"""The browser of the tests: its sweep finds a secret wherever a script of a page could get hold of it (INV-01)."""

from __future__ import annotations

import secrets

from playwright.sync_api import Route

from tests.browser import Chromium
from tests.canary import Canary, Leak

LEAKS = [
    ("a page in the browser", "document.body.append(secret)"),
    ("a page's session storage", "sessionStorage.setItem('key', secret)"),
    ("the browser's console", "console.log(secret)"),
    ("the browser's cookies and storage", "document.cookie = 'name=' + secret"),
    ("the browser's cookies and storage", "localStorage.setItem('key', secret)"),
    (
        "the browser's cookies and storage",
        """await new Promise(resolve => {
            const asked = indexedDB.open('base');
            asked.onupgradeneeded = () => asked.result.createObjectStore('store').add({ deep: [secret] }, 'key');
            asked.onsuccess = () => { asked.result.close(); resolve(); };
        })""",
    ),
    ("an answer that a page got", "await (await fetch('/echo', { method: 'POST', body: secret })).text()"),
    ("an address that a page asked for", "await (await fetch('/search?for=' + secret)).text()"),
]


def test_the_sweep_finds_what_a_page_can_reach(chromium: Chromium, canary: Canary) -> None:
    """One leak, one finding, and on the surface that is meant."""

    def serve(route: Route) -> None:
        route.fulfill(body=route.request.post_data or "<title>a page</title>", content_type="text/html")

    chromium.context.route("http://page.test/**", serve)
    chromium.page.goto("http://page.test/")
    expected = []
    for place, leak in LEAKS:
        secret = canary.secret(leak, secrets.token_urlsafe(24))
        chromium.page.evaluate(f"async secret => {{ {leak} }}", secret)
        expected.append(Leak(leak, place))
    chromium.sweep()
    assert canary.leaks() == sorted(expected, key=str)
    canary.allow("")  # it was on purpose
