"""Triton as the shared front end sees it; Triton itself is not imported."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path

from avo_tui.evaluation.backends.cuda.toolkit import ToolkitError, architecture_number
from avo_tui_gpu_python import descriptor_of
from avo_tui_gpu_python.language import TracedLanguage
from avo_tui_gpu_python.triton.single_source import single_source

FIRST_OF_NEW_ASSEMBLER = 90
"""From sm_90 on Triton takes the newer of the two assemblers that it brings."""


@cache
def folder() -> Path:
    """Triton's package. Raises ToolkitError where it is not installed."""
    spec = importlib.util.find_spec("triton")
    if spec is None or spec.origin is None:
        raise ToolkitError(f"Triton is not installed: {TRITON.extra}")
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
    raise ToolkitError(f"Triton's assembler is missing in {tools}; install it anew: {TRITON.extra}")


TRITON = TracedLanguage(
    name="triton",
    title="Triton",
    package="triton",
    module="triton",
    folder=Path(__file__).parent,
    assembler=assembler,
    write_source=single_source,
    environment={
        "TRITON_CACHE_DIR": "cache",
        "TRITON_DEFAULT_FP_FUSION": "1",
        "TRITON_HOME": ".",
    },
)
DESCRIPTOR = descriptor_of(TRITON)
