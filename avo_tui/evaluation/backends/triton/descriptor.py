"""The descriptor of the Triton backend."""

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
    from avo_tui.evaluation.backends.traced.front import TracedFrontEnd
    from avo_tui.evaluation.backends.triton.language import TRITON

    return CudaBackend(
        architecture=options.architecture,
        front_end=lambda _, sandbox: TracedFrontEnd(TRITON, sandbox),
    )


def _examine() -> Sequence[Finding]:
    try:
        text = f"Triton {importlib.metadata.version('triton')}"
    except importlib.metadata.PackageNotFoundError:
        text = "not installed; for Triton tasks: pip install 'avo-tui[triton]'"
        return [Finding(name="triton", state="warn", text=text)]
    return [Finding(name="triton", state="ok", text=text)]


def _describe(description: str) -> str:
    """A CUDA task's description with Triton's manual in place of the launch manifest's."""
    from avo_tui.evaluation.backends.cuda.manual import manual

    own = Path(__file__).with_name("manual.md").read_text(encoding="utf-8")
    other = manual()
    if other in description:
        return description.replace(other, own)
    return f"{description}\n\n{own}"


DESCRIPTOR = BackendDescriptor(
    language="triton",
    label="Triton, compiled in the sandbox, run on an NVIDIA GPU",
    make=_make,
    suffixes=(".py",),
    dtypes=CUDA.dtypes,
    cross_compiles=True,
    examine=_examine,
    describe=_describe,
)
