"""Runs in: the tests. The emulated services as fixtures, and people who have a profile at one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import pytest

from tests.canary import Canary
from tests.emulators.auth0 import Auth0
from tests.emulators.base import Emulator
from tests.emulators.oauth import OAuthEmulator
from tests.emulators.scalekit import Scalekit
from tests.emulators.wristband import Wristband
from tests.emulators.xumm import Xumm
from tests.isolation import Home
from tests.person import Person, working

Played = TypeVar("Played", bound=Emulator)


@contextmanager
def playing(service: Played, canary: Canary) -> Iterator[Played]:
    """
    Run *service* for a test. Afterwards: the client sent nothing that it must not send (INV-07), and redeemed no
    refresh token twice (INV-06). A test that provokes either empties ``violations`` or sets ``reuse`` to 0 itself.
    """
    with service:
        canary.source(service.secrets)
        yield service
        canary.drain()
    assert service.violations == []
    assert not isinstance(service, OAuthEmulator) or service.reuse == 0


@pytest.fixture
def auth0(canary: Canary) -> Iterator[Auth0]:
    """Auth0, with one native application and one API; see :class:`tests.emulators.auth0.Auth0`."""
    with playing(Auth0(), canary) as service:
        yield service


@pytest.fixture
def scalekit(canary: Canary) -> Iterator[Scalekit]:
    """A Scalekit environment with one native application; see :class:`tests.emulators.scalekit.Scalekit`."""
    with playing(Scalekit(), canary) as service:
        yield service


@pytest.fixture
def wristband(canary: Canary) -> Iterator[Wristband]:
    """A Wristband application with two tenants; see :class:`tests.emulators.wristband.Wristband`."""
    with playing(Wristband(), canary) as service:
        yield service


@pytest.fixture
def xumm(canary: Canary) -> Iterator[Xumm]:
    """Xumm (Xaman), with one application, and a phone; see :class:`tests.emulators.xumm.Xumm`."""
    with playing(Xumm(), canary) as service:
        yield service


@pytest.fixture
def person_at(home: Home) -> Iterator[Callable[..., Person]]:
    """``person_at(service, organization="...")``: a person whose profile ``acme`` is at *service*, with these keys."""
    with ExitStack() as stack:
        yield lambda service, **keys: stack.enter_context(working(home, service, **keys))
