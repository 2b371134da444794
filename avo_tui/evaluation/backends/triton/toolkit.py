"""Where Triton and its assembler are on this machine; Triton itself is not imported."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path

from avo_tui.evaluation.backends.cuda.toolkit import ToolkitError, architecture_number

EXTRA = "pip install 'avo-tui[triton]'"
FIRST_OF_NEW_ASSEMBLER = 90
"""From sm_90 on Triton takes the newer of the two assemblers that it brings."""


@cache
def folder() -> Path:
    """Triton's package. Raises ToolkitError where it is not installed."""
    spec = importlib.util.find_spec("triton")
    if spec is None or spec.origin is None:
        raise ToolkitError(f"Triton is not installed: {EXTRA}")
    return Path(spec.origin).parent


def assembler(architecture: str) -> tuple[str, ...]:
    """The assembler for an architecture, such as sm_90a, and its options. Raises ToolkitError."""
    tools = folder() / "backends" / "nvidia" / "bin"
    wanted = ["ptxas-blackwell", "ptxas"]
    if architecture_number(architecture) < FIRST_OF_NEW_ASSEMBLER:
        wanted.reverse()
    for name in wanted:
        path = tools / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path), "--regAllocOptLevel=2"
    raise ToolkitError(f"Triton's assembler is missing in {tools}; install it anew: {EXTRA}")
