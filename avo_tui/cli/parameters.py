"""Parameters that many commands have, and what a shell completes them with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.folders import take_from_settings
from avo_tui.domain.state import SessionState
from avo_tui.store import SessionReader, StoreError, find_session, session_folders


def session_names(incomplete: str) -> list[str]:
    take_from_settings()
    return _beginning(incomplete, (folder.name for folder in session_folders()))


def task_names(incomplete: str) -> list[str]:
    from avo_tui.evaluation.tasks import find_tasks  # what no command with a session needs

    take_from_settings()
    return _beginning(incomplete, find_tasks().names)


def version_names(context: typer.Context, incomplete: str) -> list[str]:
    """The versions of the session that stands on the line already."""
    take_from_settings()
    try:
        state = SessionReader.open(find_session(context.params["name"])).state
    except (StoreError, KeyError):
        return []
    return _beginning(incomplete, ("best", "head", *(f"v{n}" for n in sorted(state.versions))))


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[
    str, typer.Argument(help="A session, by name or folder.", autocompletion=session_names)
]
TaskName = Annotated[
    str,
    typer.Argument(
        help="A task, or a repository's folder; `avo tasks` lists them.",
        autocompletion=task_names,
    ),
]
VersionName = Annotated[
    str,
    typer.Argument(help="A version: 12, v12, head or best.", autocompletion=version_names),
]


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
