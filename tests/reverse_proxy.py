"""Runs in: the tests. A real nginx in front of a Jupyter server: TLS ends there, and Jupyter is below a path."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.certificates import Authority
from tests.hub import free_port

DOCS = Path(__file__).parents[1] / "docs" / "network.md"
CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.pem;
        {location}
    }}
}}
"""


@contextlib.contextmanager
def reverse_proxy(folder: Path, backend: int, *, strip: bool = False) -> Iterator[tuple[int, str]]:
    """
    nginx with the lines from docs/network.md, in front of a Jupyter server.

    Args:
        folder: A new one, for all that it writes.
        backend: Jupyter's port.
        strip: Do the very thing that those lines warn of: take the path off.

    Yields:
        Its port, and the file with the authority of its certificate.
    """
    folder.mkdir()
    authority = Authority(folder)
    authority.server_context()
    (lines,) = re.findall(r"```nginx\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    port, config = free_port(), folder / "nginx.conf"
    assert ":8888;" in lines
    location = lines.replace(":8888;", f":{backend}{'/' if strip else ''};")
    config.write_text(CONFIG.format(folder=folder, port=port, location=location), encoding="utf-8")
    process = subprocess.Popen(
        ["/usr/sbin/nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)],
        stderr=subprocess.PIPE,
    )
    try:
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"https://127.0.0.1:{port}/", verify=False)
                break
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.02)
        yield port, str(authority.ca_file)
    finally:
        process.terminate()
        process.communicate(timeout=20)
