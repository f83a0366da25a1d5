"""Runs in: the tests. The providers as fixtures: a certified one, and one that misbehaves on command."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.canary import Canary
from tests.hostile import Hostile
from tests.oidc_provider import OidcProvider


@pytest.fixture(scope="session")
def oidc_process() -> Iterator[OidcProvider]:
    """One provider process for all tests of this worker. Tests use `oidc`."""
    with OidcProvider() as provider:
        yield provider


@pytest.fixture
def oidc(oidc_process: OidcProvider, canary: Canary) -> Iterator[OidcProvider]:
    """
    The certified provider, as new, with all features on; ``oidc.reset(rotation=False)`` and the like change that.

    Afterwards: no refresh token was redeemed twice (INV-06), but for those whose answers were lost (``oidc.forgiven``).
    """
    oidc_process.reset()
    oidc_process.forgiven = 0
    canary.source(oidc_process.secrets)
    yield oidc_process
    canary.drain()
    # What its own pages tell each other is its own business, whichever of its names they are at.
    referers = [hit.referer for hit in oidc_process.journal() if hit.referer]
    own = urlsplit(oidc_process.issuer).port
    canary.look("Referer", [one for one in referers if urlsplit(one).port != own])
    reuse = oidc_process.reuse
    oidc_process.reset()  # lets go of whoever still waits there
    assert reuse <= oidc_process.forgiven, "INV-06"


@pytest.fixture
def hostile(canary: Canary) -> Iterator[Hostile]:
    """
    The adversarial provider. Afterwards: the client sent nothing that it must not send (INV-07), and redeemed no
    refresh token twice (INV-06). A test that provokes either empties ``violations`` or sets ``reuse`` to 0 itself.
    """
    with Hostile() as provider:
        canary.source(provider.secrets)
        yield provider
        canary.drain()
    assert provider.violations == []
    assert provider.reuse == 0
