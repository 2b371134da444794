"""Answers the tools that need no engine once a run has ended: those that read, and `remember`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from avo_tui.domain.commands import EditMemory
from avo_tui.domain.events import Event, ToolReturned
from avo_tui.domain.records import Note, NoteCategory
from avo_tui.operators.knowledge_port import Knowledge
from avo_tui.operators.ports import Workbench
from avo_tui.operators.reading import Reading
from avo_tui.operators.seat.step import UNOPENED
from avo_tui.operators.seat.wire import Answer, Letter
from avo_tui.operators.toolbox import Toolbox, Workspace
from avo_tui.store import SessionReader

Leave = Callable[[EditMemory], None]
"""Has a note written into the memory of a run that has no engine. Raises ValueError, with the
reason, where it is refused, and ToolError where it waits for an engine."""


def is_over(reader: SessionReader) -> bool:
    """Whether a run has ended for good, as far as an agent is concerned."""
    reader.poll()
    return reader.state.session.state in {"finished", "stopped"} and not reader.engine().alive


def ended_text(reader: SessionReader) -> str:
    """That a run has ended, why, and whose decision it is whether it goes on."""
    session = reader.state.session
    return (
        f"{reader.name} is {session.state} ({session.state_reason}). Whether it goes on is"
        f" decided by the person, with avo run --resume {reader.name}; an agent ends its work here"
    )


async def read_record(
    reader: SessionReader,
    knowledge: Knowledge,
    tool: str,
    arguments: Mapping[str, Any],
    leave: Leave,
    *,
    whole: bool = False,
) -> Answer:
    """The answer of one of the tools in `UNOPENED`; of these only `remember` writes."""
    assert tool in UNOPENED
    head = reader.state.head
    if head is None:
        return Answer(id=0, ok=False, text="The run has ended before it had a version.")
    reading = _Reading(reader, reader.state.session.step, head)
    bench = cast("Workbench", _Bench(reading, knowledge, _Notes(reader, leave)))
    space = Workspace(bench, reading.candidate(head.candidate))
    result = await Toolbox(bench, space).call(tool, arguments)
    return Answer(
        id=0,
        ok=result.ok,
        text=result.whole if whole else result.text,
        characters=len(result.whole),
        step=reader.state.session.step,
        letters=(Letter(sender="run", text=f"{ended_text(reader)}."),),
        run_ended=True,
        run_state=reader.state.session.state,
    )


class _Reading(Reading):
    """The record of a run that has ended."""

    def step_events(self) -> Sequence[Event]:
        """Those of the last step in which a tool was called; the one after it has none."""
        for step in range(self.state.session.step, 0, -1):
            events = self._record.step_events(step)
            if any(isinstance(event, ToolReturned) for event in events):
                return events
        return ()


class _Notes:
    """Of what tools record, keeps the notes."""

    def __init__(self, reader: SessionReader, leave: Leave) -> None:
        self._reader = reader
        self._leave = leave

    def record(self, event: Event) -> None:
        """Forget the event."""

    def write_note(self, category: NoteCategory, text: str, replaces: Sequence[str] = ()) -> Note:
        """Have a note written. Raises ValueError where the memory has no room for it."""
        author = self._reader.state.session.settings.operator
        before = set(self._reader.state.memory)
        self._leave(EditMemory(category=category, text=text, author=author))
        self._reader.poll()
        # not by its text, which is recorded without secrets
        notes = reversed(self._reader.state.memory.values())
        return next(note for note in notes if note.id not in before)


@dataclass(frozen=True)
class _Bench:
    """The parts of a workbench that are there without an engine."""

    reading: _Reading
    knowledge: Knowledge
    recording: _Notes
