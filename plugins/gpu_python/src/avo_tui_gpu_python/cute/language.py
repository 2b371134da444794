"""CuTe DSL as the shared front end sees it."""

from __future__ import annotations

from pathlib import Path

from avo_tui.evaluation.backends.cuda.toolkit import ToolkitError, tool
from avo_tui_gpu_python import descriptor_of
from avo_tui_gpu_python.language import TracedLanguage


def assembler(architecture: str) -> tuple[str, ...]:
    """CUDA's assembler, the same for every architecture. Raises ToolkitError."""
    path = tool("ptxas")
    if path is None:
        raise ToolkitError(f"CUDA's assembler ptxas is not installed: {CUTE.extra}")
    return (path,)


CUTE = TracedLanguage(
    name="cute",
    title="CuTe DSL",
    package="nvidia-cutlass-dsl",
    module="cutlass",
    folder=Path(__file__).parent,
    parts=("host_types.py", "host_values.py", "host_code.py"),
    assembler=assembler,
    environment={
        "CUTE_DSL_CACHE_DIR": "cache",
        "CUTE_DSL_DUMP_DIR": "dump",
        "CUTE_DSL_KEEP": "ptx",
        "CUTE_DSL_LINEINFO": "1",
        "CUTE_DSL_NO_CACHE": "1",
    },
)
DESCRIPTOR = descriptor_of(CUTE)
