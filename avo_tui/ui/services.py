"""The services that the app needs from the rest of the program, as callables.

The command line provides them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from avo_tui.domain.budget import Budget
from avo_tui.domain.run_settings import OperatorName, OptionValue, RunSettings
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
    """One line: what the operator is, what it needs, what it costs."""
    unavailable: str = ""
    """Why the operator cannot be used on this machine; empty if it can."""
    models: tuple[str, ...] = ()
    """Models that it may be run with, the default first; empty if it uses none."""


@dataclass(frozen=True)
class ExportChoice:
    """One format that a session can be exported to."""

    name: str
    label: str = ""
    of_version: bool = False
    """Whether the export is made from a single version."""
    repository: bool | None = None
    """Whether it is for repositories alone (True) or for kernels alone (False)."""


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
    """The services, as callables; None if one is not available. They may block, so the app calls
    them in threads.

    A callable that fails raises an exception whose message is one sentence for the person.
    """

    is_own: Callable[[Path], bool] | None = None
    """Whether the person made the session, or has agreed to go on with it; None if none is asked
    about."""
    agree: Callable[[Path], object] = lambda folder: None
    """Remember that the person agrees to go on with a session that was made elsewhere."""
    starts: Callable[[RunSettings], Sequence[str]] = lambda settings: ()
    """What going on with a session of these settings runs on this machine, one line each."""
    start_engine: Callable[[Path], object] | None = None
    """Start the engine of a session folder; returns once it holds the session."""
    take_inbox: Callable[[Path], object] | None = None
    """Have the commands in the inbox of a session without an engine carried out."""
    create_session: Callable[[NewSession], Path] | None = None
    """Create a session and start its engine; returns its folder."""
    start_demo: Callable[[], Path] | None = None
    """The same for the demo, which asks nothing."""
    page: Callable[[str], str] = lambda name: ""
    """The text of a page of the documentation."""
    exports: tuple[ExportChoice, ...] = ()
    export: Callable[[Path, str, int | None, Path], str] | None = None
    """Write a session (folder, form, version or None for the best, target folder); returns one
    sentence that says what was written."""
    tasks: Callable[[], Sequence[TaskInfo]] | None = None
    """Tasks that load."""
    estimate: Callable[[NewSession], str] | None = None
    """Describes in one sentence what the budget will buy."""
    operators: Callable[[], Sequence[OperatorChoice]] = tuple
    """Operators that can be chosen, the default one first."""
    search_knowledge: Callable[[str], Sequence[Hit]] | None = None
    read_knowledge: Callable[[str], str] | None = None
    documents: Callable[[], Sequence[tuple[str, str]]] | None = None
    """(identifier, title) of every document of K."""
    options: Callable[[RunSettings], Sequence[Option]] | None = None
    """Options that the person may change in a run with these settings."""
    check_options: Callable[[RunSettings, Mapping[str, OptionValue | None]], object] | None = None
    """Raises an exception for changes of options that the run cannot accept."""
