"""The public part of a task; inputs, reference and everything hidden are not in it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from avo_tui.domain.base import Name, Value

TaskName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(@[a-z][a-z0-9_-]{0,39})?$")
]
"""Name of a task; `NAME@LANGUAGE` for a task that is offered in a further language."""
Language = Annotated[str, Field(max_length=40, pattern=r"^[a-z][a-z0-9_-]*$")]
"""Language of a candidate's source files, such as `cpp`; the backend of that name compiles them."""


class Configuration(Value):
    """One set of shapes and flags that a task is scored on."""

    name: Name
    parameters: dict[str, int | bool | float | str] = Field(default_factory=dict)


class TaskInfo(Value):
    """The public part of a task: what lists, prompts and screens show."""

    name: TaskName
    title: str
    language: Language
    description: str
    """Markdown: what the kernel computes, its signature and layouts, what is allowed."""
    configurations: tuple[Configuration, ...]
    baselines: tuple[str, ...]
    reference_baseline: str
    """Name of the baseline that `ratio` is relative to."""
    unit: str = "GFLOP/s"
    """Unit of all throughputs of this task."""
    seed_files: tuple[str, ...] = ()
    """Names of the seed's files, relative to the candidate's root."""
    seedless: bool = False
    """True where the seed computes nothing yet: the first correct candidate becomes v0."""
    device: str = "cpu"
    """Device kind the candidate runs on: `cpu` or `cuda`."""
    tree: str = ""
    """Of a repository: the folder of its base on this machine, which may be read."""
    editable: tuple[str, ...] = ()
    """Of a repository: patterns of the files that a candidate may change."""
    least_breadth: float | None = None
    """Speed relative to the reference baseline that a new version reaches at least on each of the
    inputs that are not scored; None: whatever it is."""
    measured_by: str = ""
    """Whose clock the scores are from, where it is not ours."""
    work: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Configuration → (operations of one run, bytes that must cross the memory at least once); 0
    where the task does not say."""
