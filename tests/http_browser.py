"""
Runs in: the tests. A browser without a screen: it follows redirects, keeps cookies, presses the buttons it is told to.

It sends what a real browser sends with a navigation, since our pages decide by it: cookies by host, path and SameSite
(RFC 6265bis; ports do not matter), Sec-Fetch-*, Origin, and Referer by Referrer-Policy. It logs nothing, so that the
codes in its address line cannot be mistaken for a leak of ours, and it remembers every hop, so that tests can look
for leaks themselves.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from tests.html_page import Control, Hop, Page

LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@dataclass
class Cookie:
    host: str
    path: str
    name: str
    value: str
    same_site: str
    secure: bool
    http_only: bool
    attributes: str
    """The Set-Cookie header as it came, for tests that look at it."""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _site(url: str) -> tuple[str, str]:
    # Our hosts are addresses and "localhost": each is a site of its own. Ports do not count.
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or ""


class HttpBrowser:
    """
    A person with a browser, as far as HTTP can tell.

    Args:
        fill: What the person types, by the name of the input.
        press: Labels of buttons that the person presses as soon as one is there, in this order of preference.
        follow_refresh: Obey ``<meta http-equiv="refresh">``.
        ca_file: Trust this CA as well.
        localhost: The address of that name, and of all below it.

    Example:
        >>> page = oidc.browser().open(go_url)
        >>> page.status, page.url
    """

    def __init__(
        self,
        fill: Mapping[str, str] | None = None,
        press: Iterable[str] = (),
        *,
        follow_refresh: bool = True,
        ca_file: str | None = None,
        max_hops: int = 40,
        localhost: str = "127.0.0.1",
    ) -> None:
        self.fill = dict(fill or {})
        self.press = tuple(press)
        self.follow_refresh = follow_refresh
        self.cookies: list[Cookie] = []
        self.hops: list[Hop] = []
        self._max_hops = max_hops
        self._localhost = localhost
        self._tls = ssl.create_default_context(cafile=ca_file) if ca_file else None

    # ---- what a person does -------------------------------------------------------------------------------------

    def open(self, url: str) -> Page:
        """Type *url* into the address line, and go on until there is nothing left to press."""
        return self._walk(self._navigate("GET", url, None, None))

    def click(self, page: Page, text: str) -> Page:
        """Follow the link with this *text*."""
        return self._walk(self._navigate("GET", page.links[text], None, page.last))

    def submit(self, page: Page, label: str) -> Page:
        """Press the button *label* and go on from there."""
        return self._walk(self._press(page, label))

    def follow(self, url: str, page: Page) -> Page:
        """Go to *url* as if *page* (anybody's) had led there: by a link, a script or a refresh."""
        return self._walk(self._navigate("GET", url, None, page.last))

    def request(self, method: str, url: str, headers: Mapping[str, str] | None = None, body: str | None = None) -> Hop:
        """One bare request with this browser's cookies: a stray hit, a HEAD, a prefetch. Nothing is followed."""
        return self._send(method, url, dict(headers or {}), body, lax=True, strict=True)

    # ---- navigation ---------------------------------------------------------------------------------------------

    def _walk(self, hops: list[Hop]) -> Page:
        trail = list(hops)
        while len(trail) < self._max_hops:
            page = Page(trail)
            label = next((label for label in self.press if label in page.buttons), None)
            if label is not None:
                trail = trail + self._press(page, label)
            elif ".forms[0].submit()" in page.text and page.read.forms:
                trail = trail + self._submit(page, next(iter(page.read.forms)), None)
            elif page.read.refresh and self.follow_refresh:
                trail = trail + self._navigate("GET", urljoin(page.url, page.read.refresh), None, page.last)
            else:
                return page
        raise AssertionError(f"no end after {len(trail)} hops: {[urlsplit(hop.url).path for hop in trail]}")

    def _press(self, page: Page, label: str) -> list[Hop]:
        button = next(control for text, control in page.read.buttons if text == label)
        return self._submit(page, button.form, button)

    def _submit(self, page: Page, name: str, button: Control | None) -> list[Hop]:
        form = page.read.forms[name]
        values = [(one.name, self.fill.get(one.name, one.value)) for one in form.controls if one.name]
        if button is not None and button.name:
            values.append((button.name, button.value))
        target = urljoin(page.url, form.action)
        if form.method == "POST":
            return self._navigate("POST", target, urlencode(values), page.last)
        return self._navigate("GET", f"{target}?{urlencode(values)}", None, page.last)

    def _navigate(self, method: str, url: str, body: str | None, source: Hop | None) -> list[Hop]:
        """Follow one navigation through its redirects. *source* is the page that began it; None is the person."""
        hops: list[Hop] = []
        relation = "none" if source is None else "same-origin"
        policy = (source.header("referrer-policy") if source else None) or "strict-origin-when-cross-origin"
        while len(hops) < self._max_hops:
            if source is not None:
                relation = self._worst(relation, source.url, url)
            headers = {
                "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
                "Sec-Fetch-Site": relation,
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
                "Sec-Fetch-User": "?1",
                "Upgrade-Insecure-Requests": "1",
            }
            if source is not None:
                referer = self._referer(policy, source.url, url)
                if referer:
                    headers["Referer"] = referer
                if method == "POST":
                    # Fetch, "append a request Origin header": a page that hides its address hides its origin too.
                    hidden = policy == "no-referrer" or (policy == "same-origin" and relation != "same-origin")
                    headers["Origin"] = "null" if hidden else _origin(source.url)
                    headers["Content-Type"] = "application/x-www-form-urlencoded"
            cross = relation == "cross-site"
            hop = self._send(method, url, headers, body, lax=not cross or method == "GET", strict=not cross)
            hops.append(hop)
            location = hop.header("location")
            if hop.status not in (301, 302, 303, 307, 308) or location is None:
                return hops
            url = urljoin(url, location)
            policy = hop.header("referrer-policy") or policy
            if hop.status in (301, 302, 303):
                method, body = "GET", None
        raise AssertionError("too many redirects")

    @staticmethod
    def _worst(relation: str, source: str, target: str) -> str:
        now = "cross-site" if _site(source) != _site(target) else "same-site"
        if _origin(source) == _origin(target):
            now = "same-origin"
        order = ["same-origin", "same-site", "cross-site"]
        return max(relation, now, key=order.index)

    @staticmethod
    def _referer(policy: str, source: str, target: str) -> str | None:
        same = _origin(source) == _origin(target)
        whole = source.split("#", maxsplit=1)[0]
        if policy == "no-referrer" or (policy == "same-origin" and not same):
            return None
        if policy in ("origin", "strict-origin") or (policy.endswith("origin-when-cross-origin") and not same):
            return _origin(source) + "/"
        return whole

    # ---- HTTP and cookies ---------------------------------------------------------------------------------------

    def _send(
        self, method: str, url: str, headers: dict[str, str], body: str | None, *, lax: bool, strict: bool
    ) -> Hop:
        parts = urlsplit(url)
        allowed = {"none", *(["lax", ""] if lax else []), *(["strict"] if strict else [])}
        cookies = [one for one in self._matching(url) if one.same_site in allowed]
        if cookies:
            headers = {**headers, "Cookie": "; ".join(f"{one.name}={one.value}" for one in cookies)}
        kinds: dict[str, Any] = {"timeout": 60}
        connection: http.client.HTTPConnection
        host = parts.hostname or ""
        if f".{host}".endswith(".localhost"):  # loopback, in browsers without asking anybody (RFC 6761, section 6.3)
            host, headers = self._localhost, {**headers, "Host": parts.netloc}
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, parts.port, context=self._tls, **kinds)
        else:
            connection = http.client.HTTPConnection(host, parts.port, **kinds)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        finally:
            connection.close()
        hop = Hop(method, url, headers, response.status, response.getheaders(), text)
        for name, value in hop.headers:
            if name.lower() == "set-cookie":
                self._keep(url, value)
        self.hops.append(hop)
        return hop

    def _matching(self, url: str) -> list[Cookie]:
        parts = urlsplit(url)
        path = parts.path or "/"
        return [
            one
            for one in self.cookies
            if one.host == parts.hostname
            and (path == one.path or path.startswith(one.path.rstrip("/") + "/"))
            and (not one.secure or parts.scheme == "https" or parts.hostname in LOOPBACK)
        ]

    def _keep(self, url: str, header: str) -> None:
        pair, *rest = header.split(";")
        name, _, value = pair.strip().partition("=")
        known = {key.strip().lower(): text.strip() for key, _, text in (part.partition("=") for part in rest)}
        parts = urlsplit(url)
        path = known.get("path") or parts.path.rsplit("/", 1)[0] or "/"
        same = (parts.hostname or "", path, name)
        self.cookies = [one for one in self.cookies if (one.host, one.path, one.name) != same]
        if known.get("max-age", "1").lstrip("-0") == "" or known.get("max-age", "1").startswith("-"):
            return
        if re.search(r"\b(19[67]\d|200\d|201\d)\b", known.get("expires", "")):
            return
        self.cookies.append(
            Cookie(*same, value, known.get("samesite", "").lower(), "secure" in known, "httponly" in known, header)
        )
