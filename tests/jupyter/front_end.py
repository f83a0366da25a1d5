"""
Runs in: the tests. What a notebook's front end knows of widgets, without a screen; and a kernel without a server.

The models are rebuilt from the kernel's messages, as JupyterLab's widget manager does it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from queue import Empty
from typing import Any, Self

from jupyter_client.manager import KernelManager

from tests.kernel import Kernel, Run, sockets

VIEW = "application/vnd.jupyter.widget-view+json"


class BareKernel:
    """
    A kernel that this process started, as VS Code, nbclient or a plain console do: there is no Jupyter server.

    Attributes:
        raw: All messages on IOPub, as JSON.
    """

    def __init__(self) -> None:
        self.raw: list[str] = []
        self._manager = KernelManager(config=sockets())
        self._runs: dict[str, Run] = {}
        self._stopping = threading.Event()

    def __enter__(self) -> Self:
        self._manager.start_kernel()
        self._client = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=60)
        self._reader = threading.Thread(target=self._read, daemon=True, name="iopub")
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._reader.join(10)
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()
        self._client.context.destroy(0)

    def run(self, code: str, *, seconds: float = 60, allow_stdin: bool = True) -> Run:
        """Run a cell to its end."""
        return self.start(code, allow_stdin=allow_stdin).wait(seconds)

    def start(self, code: str, *, allow_stdin: bool = True) -> Run:
        """Begin to run a cell."""
        # Known before it is sent: the reader may be faster than we are.
        message = self._client.session.msg(
            "execute_request",
            {
                "code": code,
                "silent": False,
                "store_history": True,
                "user_expressions": {},
                "allow_stdin": allow_stdin,
                "stop_on_error": True,
            },
        )
        run = self._runs[message["header"]["msg_id"]] = Run(message["header"]["msg_id"])
        self._client.shell_channel.send(message)
        return run

    def send(self, kind: str, content: dict[str, Any]) -> None:
        self._client.shell_channel.send(self._client.session.msg(kind, content))

    def interrupt(self) -> None:
        """What the stop button does."""
        self._manager.interrupt_kernel()

    def _read(self) -> None:
        while not self._stopping.is_set():
            try:
                message = self._client.get_iopub_msg(timeout=0.1)
            except Empty:
                continue
            self.raw.append(json.dumps(message, default=str))
            run = self._runs.get(message.get("parent_header", {}).get("msg_id", ""))
            if run is not None:
                run.messages.append(message)
                if message["header"]["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                    run.done.set()


class FrontEnd:
    """The widgets of a kernel, as they are shown now."""

    def __init__(self, kernel: Kernel | BareKernel) -> None:
        self.kernel = kernel

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """The state of each widget that is open, by its id."""
        return self.models_until("")

    def models_until(self, message_id: str) -> dict[str, dict[str, Any]]:
        """The same, as it was when this message came."""
        models: dict[str, dict[str, Any]] = {}
        for raw in list(self.kernel.raw):
            message = json.loads(raw) if isinstance(raw, str) else {}
            if message_id and message.get("header", {}).get("msg_id") == message_id:
                break
            kind, content = message.get("header", {}).get("msg_type"), message.get("content", {})
            if kind == "comm_open" and content["target_name"] == "jupyter.widget":
                models[content["comm_id"]] = dict(content["data"]["state"])
            elif kind == "comm_msg" and content["data"].get("method") == "update":
                models.get(content["comm_id"], {}).update(content["data"]["state"])
            elif kind == "comm_close":
                models.pop(content["comm_id"], None)
        return models

    def panel(self, run: Run) -> Panel:
        """The panel that a cell shows, as soon as it does."""
        run.wait_for(lambda one: any(VIEW in shown["data"] for shown in one.of("display_data")))
        shown = [
            one
            for one in run.messages
            if one["header"]["msg_type"] == "display_data" and VIEW in one["content"]["data"]
        ]
        return Panel(self, shown[-1])


class Panel:
    """
    A panel on the page.

    Attributes:
        first_text: What consoles show in its place.
        first_markup: The HTML that was there when it appeared.
    """

    def __init__(self, front: FrontEnd, shown: Mapping[str, Any]) -> None:
        data = shown["content"]["data"]
        self._front = front
        self.model: str = data[VIEW]["model_id"]
        self.first_text: str = data["text/plain"]
        models = front.models_until(shown["header"]["msg_id"])
        self.first_markup = [models[one]["value"] for one in _below(models, self.model) if "value" in models[one]]

    @property
    def markup(self) -> list[str]:
        """The HTML on the page, in order."""
        models = self._front.models
        return [models[one]["value"] for one in _below(models, self.model) if "value" in models[one]]

    @property
    def text(self) -> str:
        """What can be read, buttons in brackets."""
        models = self._front.models
        words = []
        for one in _below(models, self.model):
            state = models[one]
            if state.get("_model_name") == "ButtonModel":
                words.append(f"[{state['description']}]")
            elif "value" in state:
                words.append(_read(state["value"]).text)
        return "\n".join(words)

    @property
    def links(self) -> dict[str, str]:
        """The links on the page: words and address."""
        return {words: href for markup in self.markup for words, href in _read(markup).links}

    def link(self, words: str) -> str:
        """The address of a link, as soon as it is there."""
        self.wait_until(lambda _: words in self.links)
        return self.links[words]

    def wait_for(self, *words: str, seconds: float = 30) -> str:
        """Return what can be read as soon as all *words* are in it."""
        return self.wait_until(lambda text: all(word in text for word in words), seconds)

    def wait_until(self, ready: Callable[[str], bool], seconds: float = 30) -> str:
        """Return what can be read as soon as *ready* says so."""
        end = time.monotonic() + seconds
        while not ready(text := self.text):
            assert time.monotonic() < end, f"never came; the panel says:\n{text}"
            time.sleep(0.05)
        return text

    def press(self, label: str) -> None:
        """Click a button of the panel, as soon as it is there."""
        self.wait_for(f"[{label}]")
        models = self._front.models
        buttons = [one for one in _below(models, self.model) if models[one].get("description") == label]
        self.message(buttons[0], {"method": "custom", "content": {"event": "click"}})

    def message(self, model: str, data: Mapping[str, Any]) -> None:
        """Send any message about a widget to the kernel."""
        self._front.kernel.send("comm_msg", {"comm_id": model, "data": dict(data)})


def _below(models: Mapping[str, Mapping[str, Any]], model: str) -> list[str]:
    """The widget and all below it, in the order in which they are shown."""
    found = [model] if model in models else []
    for child in models.get(model, {}).get("children", ()):
        found += _below(models, child.removeprefix("IPY_MODEL_"))
    return found


class _read(HTMLParser):  # noqa: N801 - read as a function
    """The text and the links of a piece of HTML, and which tags and attributes it has."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.text = ""
        self.links: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self._href: str | None = None
        self._since = 0
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags |= {tag, *(name for name, _ in attrs)}
        if tag == "a":
            self._href, self._since = dict(attrs).get("href"), len(self.text)
        if tag == "br":
            self.text += " "

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._href is not None:
            self.links.append((self.text[self._since :], self._href))
        if tag == "div":
            self.text += "\n"

    def handle_data(self, data: str) -> None:
        self.text += data


def tags_in(markup: str) -> set[str]:
    """The names of all tags and attributes in a piece of HTML."""
    return _read(markup).tags
