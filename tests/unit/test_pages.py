"""The pages of a sign-in: constant, without scripts, kept by nobody, and nothing on them came from outside."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jupyter_nativeauth._pages import (
    _OUTCOMES,
    Cookie,
    Page,
    answer,
    button_page,
    done_page,
    error_page,
    forward_page,
    paste_page,
    redirect,
)
from jupyter_nativeauth._tokens import Secret
from tests.tries import tries

HOSTILE = "\"'></title><script>alert(1)</script><img src=x onerror=alert(1)>&amp;{body}{0}"
PAGES: dict[str, Page] = {
    **{outcome: done_page(outcome) for outcome in _OUTCOMES},
    **{f"{outcome}, again": done_page(outcome, again=f"/nativeauth/go/x{HOSTILE}") for outcome in _OUTCOMES},
    "error": error_page(HOSTILE, HOSTILE, HOSTILE, again=HOSTILE, paste=HOSTILE),
    "button": button_page(title=HOSTILE, text=HOSTILE, button=HOSTILE, action=HOSTILE, fields={HOSTILE: HOSTILE}),
    "paste": paste_page(
        title=HOSTILE,
        link=HOSTILE,
        button=HOSTILE,
        text=HOSTILE,
        care=HOSTILE,
        action=HOSTILE,
        fields={HOSTILE: HOSTILE},
        problem=(HOSTILE, HOSTILE),
    ),
    "forward": forward_page(title=HOSTILE, text=HOSTILE, button=HOSTILE, url=HOSTILE),
    "redirect": redirect("http://127.0.0.1:1/nativeauth/done/signed-in"),
    "method": Page(405),
}


class Tree(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.body)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def names(self) -> list[str]:
        return [name for name, _ in self.elements]

    def only(self, tag: str) -> dict[str, str | None]:
        (attributes,) = (attributes for name, attributes in self.elements if name == tag)
        return attributes


@pytest.mark.parametrize("name", PAGES)
def test_the_headers_of_each_page(name: str) -> None:
    """SEC-030 to SEC-036, TRP-09, NRM-042, NRM-048, NRM-113: no page is kept, framed, sniffed or opened into, runs or
    loads anything, or tells the next page where one came from; only the page with a button may post, and only to
    ourselves."""
    page = PAGES[name]
    headers = dict(page.headers)
    style = headers.pop("Content-Security-Policy").split("; ")
    assert style == [
        "default-src 'none'",
        f"style-src '{style_hash(PAGES['signed-in'])}'",
        "base-uri 'none'",
        "form-action 'self'" if name in ("button", "paste") else "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    location = {"Location": "http://127.0.0.1:1/nativeauth/done/signed-in"} if name == "redirect" else {}
    assert headers == {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin" if name in ("button", "paste") else "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        **location,
    }


def style_hash(page: Page) -> str:
    (style,) = re.findall(r"<style>(.*?)</style>", page.body, re.DOTALL)
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if page.body])
def test_what_is_on_each_page(name: str) -> None:
    """SEC-012, SEC-031, SEC-034: one style that the policy knows, no script, no handler, nothing loaded."""
    page = PAGES[name]
    tree = Tree(page)
    allowed = {"html", "head", "meta", "title", "style", "body", "main", "div", "h1", "p", "b", "a", "form", "input"}
    steps = {"ol", "li", "label", "textarea"} if name == "paste" else set()
    assert set(tree.names()) <= allowed | {"button", "footer"} | steps
    assert page.body.startswith("<!DOCTYPE html>")
    assert style_hash(page) in page.headers["Content-Security-Policy"]
    for tag, attributes in tree.elements:
        assert not any(name.startswith("on") or name in ("style", "src", "srcset", "background") for name in attributes)
        assert tag == "a" or "href" not in attributes
    assert [attributes["lang"] for tag, attributes in tree.elements if tag == "html"] == ["en"]
    assert "url(" not in page.body
    assert "@import" not in page.body


@pytest.mark.parametrize("outcome", _OUTCOMES)
def test_pages_are_constant(outcome: str) -> None:
    """SEC-034, LIB-009: what a page says depends on the outcome alone; a failure offers another try."""
    page = done_page(outcome)
    assert page == done_page(outcome)
    assert (page.location, page.cookies) == (None, ())
    tree = Tree(page)
    assert tree.names().count("h1") == 1
    failed = outcome not in ("signed-in", "signed-out")
    assert ("start the sign-in once more" in tree.text) == failed
    again = Tree(done_page(outcome, again="/nativeauth/go/abc"))
    links = [attributes["href"] for name, attributes in again.elements if name == "a"]
    assert links == (["/nativeauth/go/abc"] if failed else [])


def test_statuses() -> None:
    """A page that a stranger may reach says no with its status, too; the ends of a sign-in are pages like any other."""
    assert {outcome: done_page(outcome).status for outcome in _OUTCOMES} == {
        "signed-in": 200,
        "signed-out": 200,
        "denied": 200,
        "failed": 200,
        "cancelled": 200,
        "expired": 410,
        "other-browser": 403,
        "unknown": 400,
    }


@pytest.mark.parametrize("outcome", ["", "nonsense", "signed-in ", "<script>", "Signed-In", "__class__"])
def test_an_unknown_outcome(outcome: str) -> None:
    """LIB-007: an address that somebody made up gives the neutral page, and nothing of itself."""
    assert done_page(outcome) == done_page("unknown")


def test_what_went_wrong_is_text() -> None:
    """SEC-012: the message and the hint of an error are shown to the letter, as text."""
    tree = Tree(error_page("No", HOSTILE, "Add `redirect_uri`."))
    assert HOSTILE in tree.text
    assert "Add `redirect_uri`." in tree.text
    assert tree.names().count("a") == 0
    assert Tree(error_page("w", "x", "y", again=f"/go/{HOSTILE}")).only("a")["href"] == f"/go/{HOSTILE}"


def test_the_button() -> None:
    """SEC-002, SEC-025: a form that posts to ourselves, with what it was given and nothing else."""
    page = button_page(
        title="Sign in?",
        text="You go on.",
        button="Sign in",
        action="/x/nativeauth/login",
        fields={"_xsrf": "2|a|b|1", "p": HOSTILE},
    )
    tree = Tree(page)
    assert tree.only("form") == {"method": "post", "action": "/x/nativeauth/login"}
    inputs = [attributes for name, attributes in tree.elements if name == "input"]
    assert inputs == [
        {"type": "hidden", "name": "_xsrf", "value": "2|a|b|1"},
        {"type": "hidden", "name": "p", "value": HOSTILE},
    ]
    assert (tree.only("button")["type"], page.status) == ("submit", 200)


def test_the_way_back() -> None:
    """FLT-066: the link opens a tab that knows nothing of this one; the field is empty, and no browser keeps it."""
    page = paste_page(
        title="Sign in",
        link="http://127.0.0.1:8888/nativeauth/go/abc",
        button="Open",
        text="Paste it:",
        care="Only your own.",
        action="/x/nativeauth/paste",
        fields={"id": "1"},
        problem=("Nothing was pasted.", "Copy it."),
    )
    tree = Tree(page)
    link = tree.only("a")
    assert (link["href"], link["target"], link["rel"]) == (
        "http://127.0.0.1:8888/nativeauth/go/abc",
        "_blank",
        "noopener noreferrer",
    )
    assert tree.only("form") == {"method": "post", "action": "/x/nativeauth/paste", "autocomplete": "off"}
    field = tree.only("textarea")
    assert (field["name"], field["autocomplete"], field["spellcheck"]) == ("address", "off", "false")
    assert [attributes["role"] for _, attributes in tree.elements if "role" in attributes] == ["alert"]
    assert "Nothing was pasted. Copy it." in tree.text


def test_the_way_on() -> None:
    """A link and a refresh to the same address: Chromium applies ``form-action`` to redirects after a POST."""
    url = "http://127.0.0.1:8888/nativeauth/go/abc?x=1&lt=2"
    tree = Tree(forward_page(title="Signing in", text="Go on.", button="Go on", url=url))
    assert tree.only("a")["href"] == url
    (refresh,) = (attributes for name, attributes in tree.elements if attributes.get("http-equiv") == "refresh")
    assert refresh["content"] == f"0; url={url}"


def test_a_redirect_says_it_once() -> None:
    """SEC-030, TRP-29: where it leads stands in the header alone: not in a body, not in a log of the page."""
    page = redirect("https://id.example/authorize?state=NATK-state-redirect01", status=302)
    assert (page.status, page.body) == (302, "")
    assert page.headers["Location"].endswith("NATK-state-redirect01")
    assert "NATK" not in repr(page)


@pytest.mark.parametrize(
    ("cookie", "header"),
    [
        (Cookie("n-1", "/x/callback", Secret("v")), "n-1=v; Path=/x/callback; Max-Age=600; HttpOnly; SameSite=Lax"),
        (Cookie("n-1", "/x", Secret("v"), secure=True), "n-1=v; Path=/x; Max-Age=600; HttpOnly; SameSite=Lax; Secure"),
        (Cookie("n-1", "/x"), "n-1=; Path=/x; Max-Age=0; HttpOnly; SameSite=Lax"),
        (Cookie("n-1", "/x", None, secure=True), "n-1=; Path=/x; Max-Age=0; HttpOnly; SameSite=Lax; Secure"),
    ],
)
def test_cookies(cookie: Cookie, header: str) -> None:
    """SEC-005, SEC-006: for this host and path only, out of reach of scripts, and gone in ten minutes or at once."""
    assert cookie.header == header
    assert "=v;" not in repr(cookie)


class Recorder:
    """What a page is answered to; it has the methods of a tornado handler that are needed."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = [("Server", "x"), ("Etag", '"x"')]
        self.body: Any = None

    def set_status(self, status_code: int) -> None:
        self.status = status_code

    def set_header(self, name: str, value: str) -> None:
        self.headers = [*(pair for pair in self.headers if pair[0] != name), (name, value)]

    def clear_header(self, name: str) -> None:
        self.headers = [pair for pair in self.headers if pair[0] != name]

    def add_header(self, name: str, value: str) -> None:
        self.headers.append((name, value))

    def finish(self, chunk: str) -> None:
        self.body = chunk


def test_how_a_page_is_answered() -> None:
    """SEC-033: with all of its headers and both cookies, and without a tag to recognise it by."""
    cookies = [Cookie("nativeauth-1", f"/nativeauth/{route}", Secret("v")) for route in ("callback", "go")]
    page = redirect("http://127.0.0.1:1/x").with_cookies(*cookies)
    recorder = Recorder()
    answer(recorder, page)
    assert (recorder.status, recorder.body) == (303, "")
    assert dict(recorder.headers).items() >= page.headers.items()
    assert [value for name, value in recorder.headers if name == "Set-Cookie"] == [one.header for one in cookies]
    assert "Etag" not in dict(recorder.headers)


WORDS = st.text(st.sampled_from("<>&\"'{}ab/=; \n\0\N{BULLET}") | st.characters(codec="utf-8"), max_size=30)


@tries(200)
@given(words=st.lists(WORDS, min_size=6, max_size=6))
def test_any_words_are_only_words(words: list[str]) -> None:
    """FUZ-011: whatever is put into a page, a parser finds the same elements in the same order, and words."""
    title, text, button, action, name, value = words
    made = button_page(title=title, text=text, button=button, action=action, fields={name: value})
    plain = button_page(title="a", text="b", button="c", action="d", fields={"e": "f"})
    assert Tree(made).names() == Tree(plain).names()
    assert [*map(_keys, Tree(made).elements)] == [*map(_keys, Tree(plain).elements)]
    assert html.escape(text) in made.body
    forward = forward_page(title=title, text=text, button=button, url=action)
    assert Tree(forward).names() == Tree(forward_page(title="a", text="b", button="c", url="d")).names()
    error = error_page(title, text, title, again=action or "x")
    assert Tree(error).names() == Tree(error_page("z", "a", "b", again="c")).names()


def _keys(element: tuple[str, dict[str, str | None]]) -> tuple[str, tuple[str, ...]]:
    return element[0], tuple(element[1])
