"""
Runs in: everywhere. Who watches this process: a notebook's person, or nobody.
"""

from __future__ import annotations

import sys

__all__ = ["front_end"]


def front_end() -> str:
    """Who watches: ``"notebook"``, ``"headless"`` (a kernel with nobody to ask), or ``""`` outside of a kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return ""
    # nbclient, papermill and nbconvert say with each cell that nobody can answer a question.
    return "notebook" if getattr(kernel, "_allow_stdin", False) else "headless"
