"""Parameters that many commands have, and what a shell completes them with."""

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

from typer import Argument, Context, Option

from avo_tui.cli.errors import Failure
from avo_tui.cli.folders import take_from_settings
from avo_tui.cli.terminal import tell
from avo_tui.domain.plain import safe
from avo_tui.domain.state import SessionState
from avo_tui.store import SessionReader, StoreError, find_session, session_folders

Complete = Callable[[Context, str], list[str]]


def completing(names: Callable[[Context], Iterable[str]]) -> Complete:
    """Offers a shell those of the names that begin as what is typed; none that cannot be told."""

    def complete(context: Context, incomplete: str) -> list[str]:
        take_from_settings()
        try:
            return [name for name in names(context) if name.startswith(incomplete)]
        except (StoreError, ValueError, KeyError):
            return []

    return complete


def _tasks(context: Context) -> Iterable[str]:
    from avo_tui.evaluation.tasks import find_tasks  # what no command with a session needs

    return find_tasks().names


def _versions(context: Context) -> Iterator[str]:
    yield from ("best", "head")
    reader = SessionReader.open(find_session(context.params["name"]))
    yield from (f"v{n}" for n in sorted(reader.state.versions))


def _operators(context: Context) -> Iterable[str]:
    from avo_tui.operators.registry import names  # what no command with a session needs

    return names()


session_names = completing(lambda _: (folder.name for folder in session_folders()))
task_names = completing(_tasks)
operator_names = completing(_operators)
version_names = completing(_versions)
"""Versions of the session that stands on the line already."""

# The caps of a budget, called the same wherever one is given.
Usd = Annotated[float | None, Option("--budget-usd", "--usd", min=0, help="Most dollars to spend.")]
Hours = Annotated[
    float | None, Option("--budget-hours", "--hours", min=0, help="Most hours of running.")
]
Evaluations = Annotated[
    int | None, Option("--budget-evaluations", "--evaluations", min=0, help="Most evaluations.")
]
Tokens = Annotated[int | None, Option("--budget-tokens", "--tokens", min=0, help="Most tokens.")]
Steps = Annotated[int | None, Option("--budget-steps", "--steps", min=0, help="Most steps.")]

Json = Annotated[bool, Option("--json", help="Print one JSON document.")]
Name = Annotated[str, Argument(help="A session, by name or folder.", autocompletion=session_names)]
_TASK = Argument(
    help="A task, or a repository's folder; `avo tasks` lists them.", autocompletion=task_names
)
TaskName = Annotated[str, _TASK]
AnyTaskName = Annotated[str | None, _TASK]
VersionName = Annotated[
    str, Argument(help="A version: 12, v12, head or best.", autocompletion=version_names)
]


def opened(name: str) -> SessionReader:
    """The session of that name, or in that folder; what is damaged is said. Raises StoreError."""
    reader = SessionReader.open(find_session(name))
    if reader.damage:
        tell(f"avo: warning: {safe(reader.damage)}")
    return reader


def pick(state: SessionState, name: str) -> int:
    """The number of a version named as 12, v12, head or best. Raises Failure."""
    if name == "head" and state.session.head is not None:
        return state.session.head
    if name == "best" and state.best is not None:
        return state.best.number
    digits = name.removeprefix("v")
    if digits.isdigit() and int(digits) in state.versions:
        return int(digits)
    if not state.versions:
        raise Failure("the session has no versions yet")
    most = max(state.versions)
    raise Failure(f"there is no version {name}; there are v0 to v{most}, head and best")
