"""Creates new sessions."""

from __future__ import annotations

from pathlib import Path

from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import MEMORY_LIMIT, SessionRecord
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.task import TaskInfo
from avo_tui.evaluation.candidates import read_candidate
from avo_tui.evolution.lifecycle.seeding import ORIGIN_OPTION
from avo_tui.evolution.options import disk_patience
from avo_tui.operators import registry
from avo_tui.operators.toolbox.switched_off import REPOSITORY_OPTION
from avo_tui.store import (
    SessionReader,
    SessionWriter,
    StoreError,
    find_session,
    known_sessions,
    new_session_folder,
)

MEMORY_OPTION = "memory.limit"


def create_session(
    name: str, task: TaskInfo, settings: RunSettings, origin: str | None = None
) -> Path:
    """Create the folder of a new session, without starting an engine; returns its path.

    `origin` replaces the task's seed as the source of the first version: `SESSION:VERSION`, or the
    path of a file or folder. Raises StoreError and OSError, and ValueError for an unknown operator,
    an unusable option or an invalid origin.
    """
    disk_patience(settings)  # else noticed only when the disk fails
    traits = registry.descriptor(settings.operator).traits
    settings = settings.model_copy(update={"traits": traits})
    if task.tree:
        options = {**settings.options, REPOSITORY_OPTION: True}
        settings = settings.model_copy(update={"options": options})
    first: Candidate | None = None
    if origin is not None:
        first = carried_over(origin, task)
        options = {**settings.options, ORIGIN_OPTION: first.id}
        settings = settings.model_copy(update={"origin": origin, "options": options})
    folder = new_session_folder(name)
    session = SessionRecord(
        name=name,
        task=task,
        created=now(),
        settings=settings,
        budget=settings.budget,
        memory_limit=int(settings.options.get(MEMORY_OPTION, MEMORY_LIMIT)),
    )
    objects = () if first is None else (first.canonical(),)
    SessionWriter.create(folder, session, *objects).close()
    known_sessions.remember_own(folder)
    return folder


def carried_over(origin: str, task: TaskInfo) -> Candidate:
    """The candidate named by `SESSION:VERSION` or a path. Raises StoreError, ValueError and
    OSError."""
    path = Path(origin)
    if path.exists():
        return read_candidate(path, task)
    name, _, number = origin.rpartition(":")
    number = number.removeprefix("v")
    if not name or not number.isdigit():
        raise StoreError(f"{origin!r} is not SESSION:VERSION, such as my-run:12, nor a path")
    reader = SessionReader.open(find_session(name))
    version = reader.state.versions.get(int(number))
    if version is None:
        last = max(reader.state.versions, default=0)
        raise StoreError(f"{name} has no v{number}; its versions are v0 to v{last}")
    language = reader.state.session.task.language
    if language != task.language:
        raise StoreError(f"{origin} is {language}, and {task.name} takes {task.language}")
    return reader.candidate(version.candidate)
