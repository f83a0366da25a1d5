"""Where the Hub leads a browser on to, by what it has told the server."""

from __future__ import annotations

import pytest

from jupyter_nativeauth._hub import onward

ADA = {"JUPYTERHUB_BASE_URL": "/", "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/", "JUPYTERHUB_PUBLIC_URL": ""}
SHARED = "https://hub.example/hub/user-redirect/nativeauth/"


@pytest.mark.parametrize(
    ("address", "told", "expected"),
    [
        (f"{SHARED}go/x", ADA, "https://hub.example/user/ada/nativeauth/go/x"),
        (f"{SHARED}done/failed?again=x", ADA, "https://hub.example/user/ada/nativeauth/done/failed?again=x"),
        (
            "https://hub.example/lab/hub/user-redirect/nativeauth/callback",
            {"JUPYTERHUB_BASE_URL": "/lab/", "JUPYTERHUB_SERVICE_PREFIX": "/lab/user/a%40b/"},
            "https://hub.example/lab/user/a%40b/nativeauth/callback",
        ),
        (
            f"{SHARED}callback",
            {**ADA, "JUPYTERHUB_PUBLIC_URL": "https://ada.hub.example/user/ada/"},
            "https://ada.hub.example/user/ada/nativeauth/callback",
        ),
        (
            f"{SHARED}callback",
            {**ADA, "JUPYTERHUB_HOST": "https://ada.hub.example"},
            "https://ada.hub.example/user/ada/nativeauth/callback",
        ),
        ("https://hub.example/user/ada/nativeauth/callback", ADA, "https://hub.example/user/ada/nativeauth/callback"),
        (f"{SHARED}callback", {}, f"{SHARED}callback"),
    ],
)
def test_a_browser_ends_up_at_the_persons_own_server(address: str, told: dict[str, str], expected: str) -> None:
    """Whatever the Hub's base URL, hosts and escaping; other addresses, and those of no hub, stay what they are."""
    assert onward(address, told) == expected
