"""
Runs in: a terminal. The demo for a person: starts it, opens the browser, says where to click, and cleans up.
"""

from __future__ import annotations

import contextlib
import secrets
import signal
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import click

from .._keychain import Keychain
from .._way import can_open_browser
from .._way import open_browser as open_in_browser
from ..errors import NativeAuthError
from .lab import demo

WORDS = """
  A provider for trying out runs at   {issuer}
  JupyterLab is {where}  {url}

    1  In the notebook, run the cells from the top: Shift+Enter.
    2  %login shows a panel: click "Sign in", then "Sign in" and "Allow" in the tab that opens.
    3  Come back to the notebook. It is signed in, and stays signed in.
    4  The person icon on the right of JupyterLab shows who is signed in, and signs in and out too.

  Ctrl-C here ends both and removes what they wrote.
"""


def run_demo(*, open_browser: bool = True) -> None:
    """
    Start the demo, say where to click, and wait for Ctrl-C.

    Args:
        open_browser: Open JupyterLab in the browser, if this machine has one. Otherwise its address is only printed.

    Raises:
        ConfigError: The packages of the extra ``demo`` are missing, or something did not start.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_signals_end_it())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="nativeauth-demo-", ignore_cleanup_errors=True))
        stack.callback(_forget_key, Path(folder))  # each demo is an installation of its own, and has a key of its own
        running = stack.enter_context(demo(Path(folder)))
        opens = open_browser and can_open_browser()
        if opens:
            _lead_browser_to(running.url)
        where = "open in your browser" if opens else "ready at            "
        click.echo(WORDS.format(issuer=running.provider.issuer, where=where, url=running.url))
        with contextlib.suppress(KeyboardInterrupt):
            while running.lab.poll() is None:
                time.sleep(0.2)
        with contextlib.suppress(OSError):  # the terminal may be gone
            click.echo("\n  Ending the demo ...")


def _forget_key(folder: Path) -> None:
    with contextlib.suppress(NativeAuthError):
        Keychain(folder / "data" / "nativeauth").remove()


def _lead_browser_to(url: str) -> None:
    """
    Open *url*, which holds Jupyter's token, by way of an address that works once.

    Everybody on this machine can read the browser's command line. Jupyter's own way around that, a file in its runtime
    folder, fails with browsers that are locked into a sandbox (snap, flatpak).
    """
    tickets = {f"/{secrets.token_urlsafe(32)}"}
    (address,) = tickets

    class Once(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                tickets.remove(self.path)
            except KeyError:
                self.send_error(404)
                return
            self.send_response(302)
            for name, value in (("Location", url), ("Cache-Control", "no-store"), ("Referrer-Policy", "no-referrer")):
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Once)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    open_in_browser(f"http://127.0.0.1:{server.server_address[1]}{address}")


@contextlib.contextmanager
def _signals_end_it() -> Iterator[None]:
    """Let SIGTERM, and SIGHUP of a terminal that closes, end the demo in order, as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:  # nohup stays nohup
            before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
