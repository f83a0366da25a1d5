"""Runs in: the tests. Kernels of this process itself; those of a Jupyter server are the ``lab`` fixture's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.canary import Canary
from tests.jupyter.front_end import BareKernel
from tests.person import Person


@pytest.fixture
def bare_kernel(person: Person, canary: Canary) -> Iterator[BareKernel]:
    """A kernel of the person's, without a server; all that it says is swept."""
    with BareKernel() as kernel:
        yield kernel
    canary.look("a kernel's messages", "\n".join(kernel.raw))
