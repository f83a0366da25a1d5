"""
Runs in: the server, scripts. What a browser sees of a sign-in: constant pages, the same from both hosts.

No page holds a script or anything that is loaded from elsewhere; only :func:`error_page` holds words that are not ours,
for the person who configured the profile, and escaped.
"""

from __future__ import annotations

import base64
import hashlib
import html
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ._tokens import Secret

__all__ = [
    "Cookie",
    "Page",
    "answer",
    "button_page",
    "done_page",
    "error_page",
    "forward_page",
    "paste_page",
    "redirect",
]


@dataclass(frozen=True)
class Cookie:
    """A cookie to set; without a value, one to delete."""

    name: str
    path: str
    value: Secret | None = None
    secure: bool = False

    @property
    def header(self) -> str:
        """
        The ``Set-Cookie`` header. Not with tornado's helper: it keeps one cookie of a name, and ours has two paths.

        Lax, not Strict: the provider's redirect back is a navigation from another site.
        """
        value, age = (self.value.reveal(), 600) if self.value else ("", 0)
        secure = "; Secure" if self.secure else ""
        return f"{self.name}={value}; Path={self.path}; Max-Age={age}; HttpOnly; SameSite=Lax{secure}"


@dataclass(frozen=True)
class Page:
    """An HTTP answer, whichever host gives it."""

    status: int
    body: str = field(default="", repr=False)
    location: Secret | None = None
    cookies: tuple[Cookie, ...] = ()
    form_action: str = "'none'"
    referrer: str = "no-referrer"

    def with_cookies(self, *cookies: Cookie) -> Page:
        """The same page, with cookies."""
        return replace(self, cookies=cookies)

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each answer: nothing is kept, framed, sniffed, loaded or told to the next page."""
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": (
                f"default-src 'none'; style-src '{_STYLE_HASH}'; base-uri 'none'; "
                f"form-action {self.form_action}; frame-ancestors 'none'"
            ),
            "Cache-Control": "no-store",
            "Referrer-Policy": self.referrer,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        return {**headers, "Location": self.location.reveal()} if self.location else headers


_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --paper: #f6f7f9; --card: #fff; --line: #d9dee3;
  --accent: #1a66c9; --on-accent: #fff; --good: #1a7f37; --bad: #b42318 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a5adb6; --paper: #16181b; --card: #1f2226;
  --line: #363b41; --accent: #7ab3ff; --on-accent: #0d1b2e; --good: #57c271; --bad: #ff8a80 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif }
main { width: 100%; max-width: 27rem; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 36px 32px 30px; text-align: center }
.mark { width: 56px; height: 56px; margin: 0 auto 18px; border-radius: 50%; border: 2px solid currentColor;
  font: 600 26px/52px system-ui, "DejaVu Sans", sans-serif; color: var(--soft) }
.good { color: var(--good) } .bad { color: var(--bad) }
h1 { margin: 0 0 10px; font-size: 1.35rem; line-height: 1.3; text-wrap: balance }
p { margin: 0 0 10px; color: var(--soft); overflow-wrap: anywhere; text-wrap: pretty }
b { color: var(--ink) }
.button { display: inline-block; margin-top: 14px; padding: 10px 26px; border: 0; border-radius: 8px; cursor: pointer;
  background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600; text-decoration: none }
.button:focus-visible { outline: 3px solid var(--ink); outline-offset: 3px }
ol { margin: 0; padding: 0 0 0 1.3em; text-align: left; color: var(--soft) }
li { margin-top: 14px }
ol + p, .other { margin-top: 20px }
.other a { color: var(--accent) }
label { display: block }
textarea { display: block; width: 100%; margin-top: 8px; padding: 8px 10px; border: 1px solid var(--soft);
  border-radius: 8px; background: var(--paper); color: var(--ink); font: inherit; resize: vertical }
textarea:focus-visible { outline: 3px solid var(--accent); outline-offset: 1px }
.alert { border-left: 4px solid var(--bad); padding: 2px 0 2px 12px; text-align: left }
footer { margin-top: 22px; font-size: .82rem; color: var(--soft) }
"""
_STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_FRAME = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">{head}
<style>{style}</style></head>
<body><main><div class="mark {tone}" aria-hidden="true">{mark}</div><h1>{title}</h1>
{body}
<footer>jupyter_nativeauth</footer></main></body></html>
"""


def _frame(title: str, body: str, *, tone: str = "", mark: str = "&#8594;", head: str = "") -> str:
    return _FRAME.format(title=title, body=body, tone=tone, mark=mark, head=head, style=_STYLE)


_GOOD, _BAD = ("good", "&#10003;"), ("bad", "!")

# outcome: (HTTP status, tone and mark, title, text)
_OUTCOMES = {
    "signed-in": (200, _GOOD, "You are signed in", "You can close this tab and go back to your work."),
    "signed-out": (200, _GOOD, "You are signed out", "You can close this tab."),
    "denied": (200, _BAD, "Access was not given", "The service did not give access, so nobody was signed in."),
    "failed": (
        200,
        _BAD,
        "The sign-in failed",
        "Nobody was signed in. Where you started, a message says what happened and what to do.",
    ),
    "cancelled": (200, _BAD, "The sign-in was cancelled", "Nobody was signed in. You can close this tab."),
    "expired": (410, _BAD, "This sign-in is over", "It was finished or cancelled, or it waited for too long."),
    "other-browser": (
        403,
        _BAD,
        "This sign-in was opened in another browser",
        "To be safe it was cancelled. Start again, and open the link in one browser only.",
    ),
    "unknown": (
        400,
        _BAD,
        "This is not an answer to a sign-in of yours",
        "Nothing was changed. If a sign-in is waiting, it still is: go on in the tab where you began it.",
    ),
}


def done_page(outcome: str, *, again: str = "") -> Page:
    """
    How it ended: one of a few constant pages. An unknown *outcome* gives the neutral one.

    Args:
        outcome: A key of the table above.
        again: The address of *Try again*, if it can be offered here.
    """
    status, (tone, mark), title, text = _OUTCOMES.get(outcome, _OUTCOMES["unknown"])
    body = f"<p>{text}</p>"
    if tone == "bad":
        body += (
            f'<a class="button" href="{html.escape(again)}">Try again</a>'
            if again
            else "<p>To try again, start the sign-in once more in Jupyter or in your terminal.</p>"
        )
    return Page(status, _frame(title, body, tone=tone, mark=mark))


def error_page(title: str, message: str, hint: str, *, again: str = "", paste: str = "") -> Page:
    """
    Why something could not even begin, for the person who configured it.

    Args:
        title: What it was.
        message: What is wrong.
        hint: What to do.
        again: The address of *Try again*, if it can be offered here.
        paste: That of the same without the browser coming back, if this is what does not work.
    """
    body = f"<p><b>{html.escape(message)}</b></p><p>{html.escape(hint)}</p>"
    if again:
        body += f'<a class="button" href="{html.escape(again)}">Try again</a>'
    if paste:
        body += f'<p class="other"><a href="{html.escape(paste)}">Paste the address back instead</a></p>'
    return Page(200, _frame(html.escape(title), body, tone="bad", mark="!"))


def button_page(*, title: str, text: str, button: str, action: str, fields: dict[str, str]) -> Page:
    """One button: what a page that arrived from anywhere must ask for before anything happens."""
    body = (
        f'<p>{html.escape(text)}</p><form method="post" action="{html.escape(action)}">{_hidden(fields)}'
        f'<button class="button" type="submit" autofocus>{html.escape(button)}</button></form>'
    )
    # Its address holds nothing secret. A page that hides its address posts with `Origin: null` (Fetch, section 3.1),
    # which says neither that the form is ours nor where the browser is.
    return Page(200, _frame(html.escape(title), body), form_action="'self'", referrer="same-origin")


def paste_page(
    *,
    title: str,
    link: str,
    button: str,
    text: str,
    care: str,
    action: str,
    fields: dict[str, str],
    problem: tuple[str, str] = ("", ""),
) -> Page:
    """
    A link to begin with, in a tab of its own, and a field for the address that this tab ends on.

    Args:
        title: What it is for.
        link: Where it begins.
        button: What the link is called.
        text: What to copy, and when.
        care: What not to paste.
        action: Where the field is posted to.
        fields: What is posted with it.
        problem: What was wrong with what was pasted before, and what to do. Never that itself.
    """
    message, hint = (html.escape(words) for words in problem)
    alert = f'<p class="alert" role="alert"><b>{message}</b> {hint}</p>' if message else ""
    body = (
        f'{alert}<ol><li><a class="button" href="{html.escape(link)}" target="_blank" rel="noopener noreferrer">'
        f"{html.escape(button)}</a></li><li>"
        f'<form method="post" action="{html.escape(action)}" autocomplete="off">{_hidden(fields)}'
        f'<label>{html.escape(text)}<textarea name="address" rows="3" required spellcheck="false" autocorrect="off" '
        'autocapitalize="off" autocomplete="off"></textarea></label>'
        f'<button class="button" type="submit">Finish the sign-in</button></form></li></ol><p>{html.escape(care)}</p>'
    )
    return Page(200, _frame(html.escape(title), body), form_action="'self'", referrer="same-origin")


def _hidden(fields: dict[str, str]) -> str:
    return "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in fields.items()
    )


def forward_page(*, title: str, text: str, button: str, url: str, by_itself: bool = True) -> Page:
    """
    On to *url*, by a link, and by itself unless somebody has to look first.

    Not a redirect: Chromium applies the form's ``form-action`` to redirects that follow its POST.
    """
    target = html.escape(url)
    return Page(
        200,
        _frame(
            html.escape(title),
            f'<p>{html.escape(text)}</p><a class="button" href="{target}">{html.escape(button)}</a>',
            head=f'<meta http-equiv="refresh" content="0; url={target}">' if by_itself else "",
        ),
    )


def redirect(url: str, *, status: int = 303) -> Page:
    """On to *url*, with an empty body, so that it stands nowhere but in the header."""
    return Page(status, location=Secret(url))


class Answering(Protocol):
    """What :func:`answer` needs of a tornado handler."""

    def set_status(self, status_code: int) -> None: ...
    def set_header(self, name: str, value: str) -> None: ...
    def clear_header(self, name: str) -> None: ...
    def add_header(self, name: str, value: str) -> None: ...
    def finish(self, chunk: str) -> Any: ...


def answer(handler: Answering, page: Page) -> None:
    """Give *page* as the answer of a tornado handler."""
    handler.set_status(page.status)
    for name, value in page.headers.items():
        handler.set_header(name, value)
    handler.clear_header("Etag")
    for cookie in page.cookies:
        handler.add_header("Set-Cookie", cookie.header)
    handler.finish(page.body)
