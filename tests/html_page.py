"""
Runs in: the tests. What a person would see of an HTML page: its title, buttons, forms and links, and how it came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit


@dataclass
class Hop:
    """One request and its answer."""

    method: str
    url: str
    request_headers: dict[str, str]
    status: int
    headers: list[tuple[str, str]]
    text: str

    def header(self, name: str) -> str | None:
        """The last header of this *name*, or None."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[-1] if found else None


@dataclass
class Control:
    """An input or a button of a form."""

    name: str | None
    value: str
    kind: str
    form: str


@dataclass
class Form:
    action: str
    method: str
    controls: list[Control] = field(default_factory=list)


class Reader(HTMLParser):
    """Finds forms, buttons, links, the title and a refresh in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: dict[str, Form] = {}
        self.buttons: list[tuple[str, Control]] = []
        self.links: list[tuple[str, str]] = []
        self.title = ""
        self.refresh: str | None = None
        self._form = ""
        self._text: list[str] = []
        self._open: Control | str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = known.get("id") or f"#{len(self.forms)}"
            self.forms[self._form] = Form(known.get("action", ""), known.get("method", "get").upper())
        elif tag in ("input", "button", "textarea"):
            control = Control(
                known.get("name"), known.get("value", ""), known.get("type", ""), known.get("form", self._form)
            )
            if tag == "button":
                self._open, self._text = control, []
            elif control.kind == "submit":
                self.buttons.append((control.value, control))
            elif control.form in self.forms:
                self.forms[control.form].controls.append(control)
        elif tag == "a" and "href" in known:
            self._open, self._text = known["href"], []
        elif tag == "title":
            self._text = []
        elif tag == "meta" and known.get("http-equiv", "").lower() == "refresh":
            match = re.match(r"\s*[\d.]+\s*[;,]\s*url\s*=\s*['\"]?(.*?)['\"]?\s*$", known.get("content", ""), re.I)
            self.refresh = match[1] if match else None

    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        text = " ".join("".join(self._text).split())
        if tag == "form":
            self._form = ""
        elif tag == "title":
            self.title = text
        elif tag == "button" and isinstance(self._open, Control):
            self.buttons.append((text, self._open))
        elif tag == "a" and isinstance(self._open, str):
            self.links.append((text, self._open))


@dataclass
class Page:
    """Where a navigation ended."""

    hops: list[Hop]

    def __post_init__(self) -> None:
        self.read = Reader()
        if "html" in (self.last.header("content-type") or ""):
            self.read.feed(self.text)

    @property
    def last(self) -> Hop:
        return self.hops[-1]

    @property
    def url(self) -> str:
        return self.last.url

    @property
    def status(self) -> int:
        return self.last.status

    @property
    def text(self) -> str:
        return self.last.text

    @property
    def title(self) -> str:
        return self.read.title

    @property
    def buttons(self) -> list[str]:
        """What stands on the buttons."""
        return [label for label, _ in self.read.buttons]

    @property
    def links(self) -> dict[str, str]:
        """The links, as text -> absolute address."""
        return {text: urljoin(self.url, href) for text, href in self.read.links}

    def hop(self, path: str) -> Hop:
        """The first hop whose path ends in *path*."""
        for hop in self.hops:
            if urlsplit(hop.url).path.endswith(path):
                return hop
        raise LookupError(f"never came by {path}: {[urlsplit(hop.url).path for hop in self.hops]}")
