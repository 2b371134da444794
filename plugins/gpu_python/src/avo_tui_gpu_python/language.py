"""What the shared front end needs to know of one GPU language inside Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avo_tui.domain.deployment import SingleSource


@dataclass(frozen=True)
class TracedLanguage:
    """One language: its compiler's package, and how its candidates are recorded and assembled."""

    name: str
    """In tasks, and that of the extra that installs it, such as `triton`."""
    title: str
    """In sentences, such as `Triton`."""
    package: str
    """The compiler's distribution, such as `triton`."""
    module: str
    """What its candidates import, such as `triton`."""
    folder: Path
    """Where `manual.md` describes launches, and `recorder.py` compiles and records them:
    `recording.py` loads it in the sandbox."""
    assembler: Callable[[str], Sequence[str]]
    """Architecture → the command that assembles PTX, such as ptxas with options.

    The front end adds the architecture, the files, `-v` and `-lineinfo`. Raises ToolkitError where
    the tool is not installed."""
    write_source: Callable[..., SingleSource] | None = None
    """Of (task, text, configurations, facts, function): the candidate as one Python file that needs
    no avo-tui; raises EvaluatorError. None where a kernel is not written as one file."""
    parts: tuple[str, ...] = ()
    """Further files of the folder that the recorder loads."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the process that runs the candidate's Python."""

    @property
    def extra(self) -> str:
        """The command that installs it."""
        return f"pip install './plugins/gpu_python[{self.name}]' in a clone of avo-tui"
