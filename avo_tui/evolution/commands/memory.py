"""`memory`: the person adds, edits or removes a note of the agent's memory."""

from __future__ import annotations

from avo_tui.domain import memory
from avo_tui.domain.base import now
from avo_tui.domain.commands import Command, EditMemory
from avo_tui.domain.events import NoteRemoved, NoteWritten
from avo_tui.domain.records import Note
from avo_tui.domain.state import SessionState
from avo_tui.evolution.commands.base import CommandAnswer, CommandSpec, Desk, Refused, short


def _handle(desk: Desk, command: EditMemory) -> CommandAnswer:
    state = desk.run.state
    notes = state.memory
    if command.note is not None and command.note not in notes:
        raise Refused(f"there is no note {command.note}")
    if command.text is None:
        if command.note is None:
            raise Refused("name a note to remove, or give a text to write")
        return CommandAnswer(
            "the note is removed", (NoteRemoved(note=command.note, author=command.author),)
        )
    if not command.text.strip():
        raise Refused("the note is empty")
    identity = _note_id(command)
    held = memory.size(n for n in notes.values() if n.id != identity) + len(command.text)
    limit = state.session.memory_limit
    if held > limit:
        raise Refused(f"the memory would hold {held} characters; the limit is {limit}")
    note = Note(
        id=identity,
        category=command.category,
        text=command.text,
        step=state.session.step,
        at=now(),
        author=command.author,
    )
    return CommandAnswer("the note is written", (NoteWritten(note=note),))


def _note_id(command: EditMemory) -> str:
    """The id of the note that is edited or added."""
    return command.note or command.id[-8:]


def _undo(state: SessionState, command: EditMemory) -> Command | None:
    """The command that undoes an edit: restores the old text, or removes or adds the note again."""
    if command.note is None:
        return EditMemory(note=_note_id(command), text=None)
    old = state.memory.get(command.note)
    if old is None:
        return None
    identity = None if command.text is None else old.id
    return EditMemory(note=identity, category=old.category, text=old.text)


SPEC = CommandSpec(
    EditMemory,
    _handle,
    summary=lambda command: short(command.text or "remove a note"),
    undo=_undo,
)
