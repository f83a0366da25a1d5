"""Runs in: the tests. Kernels and a server of this process itself; those of a JupyterLab are the ``lab`` fixture's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.canary import Canary
from tests.jupyter.front_end import BareKernel
from tests.jupyter.site import site
from tests.person import Person

__all__ = ["bare_kernel", "site"]


@pytest.fixture
def bare_kernel(person: Person, canary: Canary) -> Iterator[BareKernel]:
    """A kernel of the person's, without a server; all that it says is swept."""
    with BareKernel() as kernel:
        yield kernel
    canary.look("a kernel's messages", "\n".join(kernel.raw))
