"""Where the assembler for CuTe DSL's PTX is on this machine."""

from __future__ import annotations

from avo_tui.evaluation.backends.cuda.toolkit import ToolkitError, tool

EXTRA = "pip install 'avo-tui[cute]'"


def assembler(architecture: str) -> tuple[str, ...]:
    """CUDA's assembler, the same for every architecture. Raises ToolkitError."""
    path = tool("ptxas")
    if path is None:
        raise ToolkitError(f"CUDA's assembler ptxas is not installed: {EXTRA}")
    return (path,)
