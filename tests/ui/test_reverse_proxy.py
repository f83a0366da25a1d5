"""JupyterLab behind an nginx where TLS ends, in Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser import Chromium
from tests.hostile import Hostile
from tests.isolation import Home
from tests.jupyter.site import write
from tests.lab import Lab
from tests.reverse_proxy import reverse_proxy
from tests.ui.sidebar import SIGNED_IN, Sidebar, finish


@pytest.fixture
def chromium_flags() -> list[str]:
    return ["--ignore-certificate-errors"]


def test_the_sidebar_behind_tls_and_a_path(
    start_lab: Callable[..., Lab], chromium: Chromium, hostile: Hostile, home: Home, tmp_path: Path
) -> None:
    """SEC-022, SEC-038: one click, and the browser comes back to where it sees Jupyter, with nothing configured."""
    write(home.config / "nativeauth.toml", hostile, {"acme": {}})
    lab = start_lab(base_url="/jupyter/")
    with reverse_proxy(tmp_path / "nginx", lab.port) as (port, _):
        origin = f"https://127.0.0.1:{port}"
        chromium.page.goto(lab.lab_url().replace(f"http://127.0.0.1:{lab.port}", origin))
        sidebar = Sidebar(chromium.ready(chromium.page))
        tab = sidebar.begin(chromium)
        finish(tab)
        (asked,) = hostile.hits("authorize")
        assert asked.get("redirect_uri") == f"{origin}/jupyter/nativeauth/callback"
        sidebar.expect_state(SIGNED_IN)
