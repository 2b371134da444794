"""What the shared front end needs to know of one GPU language inside Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from avo_tui.domain.deployment import SingleSource
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.resolve import DeviceFacts
from avo_tui.evaluation.backends.cuda.task import CudaTask


class SourceWriter(Protocol):
    """Writes a candidate as one Python file that needs no avo-tui. Raises EvaluatorError."""

    def __call__(
        self,
        task: CudaTask,
        text: str,
        configurations: Sequence[Configuration],
        facts: DeviceFacts,
        function: str,
    ) -> SingleSource: ...


class Assembler(Protocol):
    """The command that assembles PTX, such as ptxas with options.

    The front end adds the architecture, the files, `-v` and `-lineinfo`.

    Raises ToolkitError where the tool is not installed.
    """

    def __call__(self, architecture: str) -> Sequence[str]: ...


@dataclass(frozen=True)
class TracedLanguage:
    """One language: its compiler's package, and how its candidates are recorded and assembled."""

    title: str
    """Such as `Triton`."""
    package: str
    """The compiler's distribution, such as `triton`."""
    module: str
    """What its candidates import, such as `triton`."""
    extra: str
    """The command that installs it."""
    recorder: Path
    """A file that `recording.py` loads in the sandbox: it compiles and records launches."""
    assembler: Assembler
    write_source: SourceWriter | None
    """None where a kernel is not written as one file."""
    parts: tuple[Path, ...] = ()
    """Further files that the recorder loads."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the process that runs the candidate's Python."""
