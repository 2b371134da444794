"""Makes the descriptor of a GPU language inside Python; each such language calls it once."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.evaluation.backends.base import Backend
from avo_tui.evaluation.backends.cuda.descriptor import DESCRIPTOR as CUDA
from avo_tui.evaluation.backends.descriptor import BackendDescriptor, BackendOptions
from avo_tui.evaluation.finding import Finding

if TYPE_CHECKING:
    from avo_tui.evaluation.backends.traced.language import TracedLanguage


def traced_descriptor(
    name: str, title: str, package: str, manual: Path, language: Callable[[], TracedLanguage]
) -> BackendDescriptor:
    """The descriptor of a language whose candidates are traced in the compiler's sandbox.

    `name` is the language's name in tasks and that of the extra that installs it, `title` its name
    in sentences, `package` the compiler's distribution, `manual` the file that describes launches.
    `language` imports the language; it is called when a backend is made, and not before.
    """

    def make(options: BackendOptions) -> Backend:
        from avo_tui.evaluation.backends.cuda.backend import CudaBackend
        from avo_tui.evaluation.backends.traced.front import TracedFrontEnd

        return CudaBackend(
            architecture=options.architecture,
            front_end=lambda _, sandbox: TracedFrontEnd(language(), sandbox),
        )

    def examine() -> Sequence[Finding]:
        try:
            text = f"{title} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            text = f"not installed; for {title} tasks: pip install 'avo-tui[{name}]'"
            return [Finding(name=name, state="warn", text=text)]
        return [Finding(name=name, state="ok", text=text)]

    def describe(description: str) -> str:
        """A CUDA task's description with this manual in place of the launch manifest's."""
        from avo_tui.evaluation.backends.cuda.manual import manual as manifest

        own, other = manual.read_text(encoding="utf-8"), manifest()
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
