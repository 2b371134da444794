"""GPU languages inside Python: a candidate's `launch` is run once, and its launches recorded."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.cuda.descriptor import DESCRIPTOR as CUDA
from avo_tui.evaluation.backends.cuda.manual import manual as manifest
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.finding import Finding
from avo_tui_gpu_python.language import TracedLanguage


def descriptor_of(language: TracedLanguage) -> BackendDescriptor:
    """The descriptor of a language's backend."""
    name, title = language.name, language.title

    def make(options: BackendOptions) -> Backend:
        from avo_tui.evaluation.backends.cuda.backend import CudaBackend
        from avo_tui_gpu_python.front import TracedFrontEnd

        return CudaBackend(
            architecture=options.architecture,
            front_end=lambda _, sandbox: TracedFrontEnd(language, sandbox),
        )

    def examine() -> Sequence[Finding]:
        try:
            text = f"{title} {importlib.metadata.version(language.package)}"
        except importlib.metadata.PackageNotFoundError:
            text = f"not installed; for {title} tasks: {language.extra}"
            return [Finding(name=name, state="warn", text=text)]
        return [Finding(name=name, state="ok", text=text)]

    def describe(description: str) -> str:
        """A CUDA task's description with this manual in place of the launch manifest's."""
        own, other = (language.folder / "manual.md").read_text(encoding="utf-8"), manifest()
        if other in description:
            return description.replace(other, own)
        return f"{description}\n\n{own}"

    return BackendDescriptor(
        language=name,
        label=f"{title}, compiled in the sandbox, run on an NVIDIA GPU",
        make=make,
        suffixes=(".py",),
        dtypes=CUDA.dtypes,
        cross_compiles=True,
        examine=examine,
        describe=describe,
    )
