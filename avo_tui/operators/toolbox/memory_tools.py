"""Tools for the memory: the operator's notes, kept across steps, within a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from avo_tui.domain import memory
from avo_tui.domain.records import Note, NoteCategory
from avo_tui.operators.toolbox.errors import ToolError
from avo_tui.operators.toolbox.tool import first_lines, tool
from avo_tui.operators.toolbox.workspace import Workspace

LONGEST = 5
"""Number of notes that the error of a full memory names as candidates for condensing."""

_CATEGORY = (
    "worked/failed: what was tried and why it came out so; idea: worth trying; "
    "fact: something learned about the machine or the task."
)


@tool("self")
async def remember(
    space: Workspace,
    category: NoteCategory = Field(description=_CATEGORY),
    text: str = Field(
        min_length=5, max_length=800, description="One self-contained note with its numbers."
    ),
) -> str:
    """Write a note into the memory that every later step opens with. Short, self-contained, with
    numbers; failures and their causes are worth as much as successes."""
    bench = space.bench
    for note in bench.reading.notes():
        if note.text.strip() == text.strip():
            return f"The memory holds this already, as note {note.id}."
    try:
        note = bench.recording.write_note(category, text)
    except ValueError as error:
        raise ToolError(_full(bench.reading.notes(), str(error))) from None
    return f"Kept as note {note.id}; every later step will see it.{_crowded(space)}"


@tool("self")
async def recall(
    space: Workspace,
    category: Literal["worked", "failed", "idea", "fact"] | None = Field(default=None),
    containing: str = Field(default="", max_length=100, description="Only notes with this text."),
) -> str:
    """Read the notes of the memory, with their ids and the versions that were built on them."""
    wanted = containing.lower()
    notes = [
        n
        for n in space.bench.reading.notes()
        if (category is None or n.category == category) and wanted in n.text.lower()
    ]
    if not notes:
        return "No notes match."
    owing = memory.owing(space.bench.reading.versions())
    return "\n".join(_line(n, owing.get(n.id, ())) for n in notes)


def _line(note: Note, versions: Sequence[int]) -> str:
    owed = memory.owed_text(versions)
    about = f"step {note.step}, by {note.author}" + (f"; {owed}" if owed else "")
    return f"[{note.id}] {note.category} ({about}): {note.text}"


@tool("self")
async def condense(
    space: Workspace,
    notes: list[str] = Field(
        min_length=1, max_length=40, description="Ids of the notes that go, as recall shows them."
    ),
    category: NoteCategory = Field(description=_CATEGORY),
    text: str = Field(
        min_length=5, max_length=1600, description="What of them is worth keeping, with numbers."
    ),
) -> str:
    """Put one note in the place of several: say in fewer words what of them is worth keeping. The
    memory has a limit; do this when it gets crowded."""
    bench = space.bench
    replaced = notes_named(space, notes)
    if kept := [n.id for n in replaced if n.author == "person"]:
        raise ToolError(_of_the_person(kept))
    before = memory.size(bench.reading.notes())
    try:
        note = bench.recording.write_note(category, text, [n.id for n in replaced])
    except ValueError as error:
        raise ToolError(_full(bench.reading.notes(), str(error))) from None
    space.forgotten.update(n.id for n in replaced)
    after = memory.size(bench.reading.notes())
    return (
        f"Note {note.id} stands in the place of {', '.join(n.id for n in replaced)};"
        f" the memory went from {before} to {after} of {bench.reading.memory_limit} characters."
    )


@tool("self")
async def forget(
    space: Workspace,
    note: str = Field(description="Id of the note, as recall shows it."),
) -> str:
    """Remove a note that is wrong or no longer helps."""
    (named,) = notes_named(space, [note])
    if named.author == "person":
        raise ToolError(_of_the_person([named.id]))
    space.bench.recording.forget_note(named.id)
    space.forgotten.add(named.id)
    return "Forgotten."


def notes_named(space: Workspace, names: Sequence[str]) -> list[Note]:
    """The notes with these ids. Raises ToolError for one that is not there."""
    held = {note.id: note for note in space.bench.reading.notes()}
    wanted = list(dict.fromkeys(name.strip().strip("[]") for name in names))
    if strangers := [name for name in wanted if name not in held]:
        raise ToolError(f"There is no note {', '.join(strangers)}; recall shows the ids.")
    return [held[name] for name in wanted]


def _of_the_person(ids: Sequence[str]) -> str:
    return f"The person wrote or edited {', '.join(ids)}; only the person removes such a note."


def _crowded(space: Workspace) -> str:
    bench = space.bench
    held = memory.size(bench.reading.notes())
    if not memory.crowded(held, bench.reading.memory_limit):
        return ""
    return (
        f" The memory holds {held} of {bench.reading.memory_limit} characters: condense what"
        " belongs together and forget what no longer helps before it is full."
    )


def _full(notes: Sequence[Note], why: str) -> str:
    own = sorted((n for n in notes if n.author != "person"), key=lambda n: -len(n.text))
    longest = "\n".join(
        f"[{n.id}] {len(n.text)} characters, {n.category}: {first_lines(n.text, 1, 100)}"
        for n in own[:LONGEST]
    )
    return (
        f"Nothing was written: {why}. `condense` merges notes into a shorter one that keeps what"
        " matters, `forget` drops one that no longer helps; then write this note again. The"
        f" longest are:\n{longest}"
    )
