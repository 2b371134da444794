"""The descriptor of the CuTe DSL backend."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.cuda.descriptor import DESCRIPTOR as CUDA
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.finding import Finding


def _make(options: BackendOptions) -> Backend:
    from avo_tui.evaluation.backends.cuda.backend import CudaBackend
    from avo_tui.evaluation.backends.cute.language import CUTE
    from avo_tui.evaluation.backends.traced.front import TracedFrontEnd

    return CudaBackend(
        architecture=options.architecture,
        front_end=lambda _, sandbox: TracedFrontEnd(CUTE, sandbox),
    )


def _examine() -> Sequence[Finding]:
    try:
        text = f"CuTe DSL {importlib.metadata.version('nvidia-cutlass-dsl')}"
    except importlib.metadata.PackageNotFoundError:
        text = "not installed; for CuTe DSL tasks: pip install 'avo-tui[cute]'"
        return [Finding(name="cute", state="warn", text=text)]
    return [Finding(name="cute", state="ok", text=text)]


def _describe(description: str) -> str:
    """A CUDA task's description with CuTe DSL's manual in place of the launch manifest's."""
    from avo_tui.evaluation.backends.cuda.manual import manual

    own = Path(__file__).with_name("manual.md").read_text(encoding="utf-8")
    other = manual()
    if other in description:
        return description.replace(other, own)
    return f"{description}\n\n{own}"


DESCRIPTOR = BackendDescriptor(
    language="cute",
    label="CuTe DSL, compiled in the sandbox, run on an NVIDIA GPU",
    make=_make,
    suffixes=(".py",),
    dtypes=CUDA.dtypes,
    cross_compiles=True,
    examine=_examine,
    describe=_describe,
)
