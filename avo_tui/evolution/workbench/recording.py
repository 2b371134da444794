"""Recording from the workbench: events, objects, spend, and the notes of the memory."""

from __future__ import annotations

from collections.abc import Sequence

from avo_tui.domain import events as ev
from avo_tui.domain import memory
from avo_tui.domain.base import ObjectId, now
from avo_tui.domain.budget import Spend
from avo_tui.domain.records import Note, NoteCategory
from avo_tui.evolution.run import Run


class StepRecording:
    """Records what happens in a step; implements `avo_tui.operators.ports.Recording`."""

    def __init__(self, run: Run, step: int) -> None:
        self._run = run
        self._step = step

    def record(self, event: ev.Event) -> None:
        self._run.record(event)

    def keep(self, text: str | bytes) -> ObjectId:
        return self._run.writer.put(text)

    def spent(self, spend: Spend) -> None:
        self._run.record(ev.Spent(spend=spend))

    def hint_effect(self, hint: str, effect: str) -> None:
        where = self._run.state.hints[hint].where
        self._run.record(ev.HintDelivered(hint=hint, where=where, effect=effect))

    def write_note(self, category: NoteCategory, text: str, replaces: Sequence[str] = ()) -> Note:
        session, notes = self._run.state.session, self._run.state.memory
        replaced = {notes[identity].id for identity in replaces}
        held = memory.size(n for n in notes.values() if n.id not in replaced)
        if held + len(text) > session.memory_limit:
            raise ValueError(
                f"the memory would hold {held + len(text)} of {session.memory_limit} characters"
            )
        note = Note(
            id=memory.new_id(category, text, notes),
            category=category,
            text=text,
            step=self._step,
            at=now(),
            author=self._run.author,
        )
        removed = (ev.NoteRemoved(note=i, author=self._run.author) for i in sorted(replaced))
        self._run.record(ev.NoteWritten(note=note), *removed)
        return note

    def forget_note(self, note: str) -> None:
        if note not in self._run.state.memory:
            raise KeyError(note)
        self._run.record(ev.NoteRemoved(note=note, author=self._run.author))
