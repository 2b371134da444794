"""What the app may ask of the rest of the program. The command line gives these callables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from avo_tui.domain.budget import Budget
from avo_tui.domain.records import OperatorName, OptionValue, RunSettings
from avo_tui.domain.task import TaskInfo


@dataclass(frozen=True)
class NewSession:
    """The filled form of a new session."""

    name: str
    task: str
    operator: OperatorName
    model: str | None
    budget: Budget
    approve_commits: bool = False


@dataclass(frozen=True)
class OperatorChoice:
    """A variation operator that a new session may have."""

    name: str
    label: str = ""
    """One line: what it is, what it needs, what it costs."""
    unavailable: str = ""
    """Why it cannot be chosen here; "" where it can."""
    models: tuple[str, ...] = ()
    """Models that it may be run with, the default first; () where it has none."""


@dataclass(frozen=True)
class ExportChoice:
    """One thing that a session can be written as."""

    name: str
    label: str = ""
    of_version: bool = False
    """Whether it is made of one version."""


class Hit(Protocol):
    """A section of K that answers a query."""

    @property
    def id(self) -> str: ...
    @property
    def document(self) -> str: ...
    @property
    def section(self) -> str: ...
    @property
    def snippet(self) -> str: ...


class Option(Protocol):
    """An option of a run that can be changed."""

    @property
    def name(self) -> str: ...
    @property
    def default(self) -> str: ...
    @property
    def meaning(self) -> str: ...


@dataclass(frozen=True)
class Services:
    """Callables; None where something is not to be had. They may block: the app uses threads.

    A callable that fails raises an exception whose text is one sentence for the person.
    """

    start_engine: Callable[[Path], object] | None = None
    """Start the engine of a session folder; returns once it holds the session."""
    take_inbox: Callable[[Path], object] | None = None
    """Have the commands in the inbox of a session without an engine carried out."""
    create_session: Callable[[NewSession], Path] | None = None
    """Create a session and start its engine; returns its folder."""
    exports: tuple[ExportChoice, ...] = ()
    export: Callable[[Path, str, int | None, Path], str] | None = None
    """Write a session (folder, form, version or None for the best, target folder); returns one
    sentence that says what was written."""
    tasks: Callable[[], Sequence[TaskInfo]] | None = None
    """Tasks that load."""
    estimate: Callable[[NewSession], str] | None = None
    """What the budget will buy, in one sentence."""
    operators: tuple[OperatorChoice, ...] = ()
    """Operators that can be chosen, the default one first."""
    search_knowledge: Callable[[str], Sequence[Hit]] | None = None
    read_knowledge: Callable[[str], str] | None = None
    documents: Callable[[], Sequence[tuple[str, str]]] | None = None
    """(identifier, title) of every document of K."""
    options: Callable[[RunSettings], Sequence[Option]] | None = None
    """Options that the person may change in a run with these settings."""
    check_options: Callable[[RunSettings, Mapping[str, OptionValue | None]], object] | None = None
    """Fails for changes of options that the run cannot have."""
