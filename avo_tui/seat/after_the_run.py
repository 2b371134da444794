"""Answers the tools that only read the record once a run has ended and no engine is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from avo_tui.domain.events import Event, ToolReturned
from avo_tui.operators.knowledge_port import Knowledge
from avo_tui.operators.ports import Workbench
from avo_tui.operators.reading import Reading
from avo_tui.operators.seat.step import READING
from avo_tui.operators.seat.wire import Answer
from avo_tui.operators.toolbox import Toolbox, Workspace
from avo_tui.store import SessionReader


def is_over(reader: SessionReader) -> bool:
    """Whether a run has ended for good, as far as an agent is concerned."""
    reader.poll()
    return reader.state.session.state in {"finished", "stopped"} and not reader.engine().alive


async def read_record(
    reader: SessionReader,
    knowledge: Knowledge,
    tool: str,
    arguments: Mapping[str, Any],
    *,
    whole: bool = False,
) -> Answer:
    """The answer of one of the tools in `READING`; nothing is recorded."""
    assert tool in READING
    head = reader.state.head
    if head is None:
        return Answer(id=0, ok=False, text="The run has ended before it had a version.")
    reading = _Reading(reader, reader.state.session.step, head)
    bench = cast("Workbench", _Bench(reading, knowledge, _Unrecorded()))
    space = Workspace(bench, reading.candidate(head.candidate))
    result = await Toolbox(bench, space).call(tool, arguments)
    return Answer(
        id=0,
        ok=result.ok,
        text=result.whole if whole else result.text,
        characters=len(result.whole),
        step=reader.state.session.step,
        run_ended=True,
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


class _Unrecorded:
    """Takes what a tool would record: nobody writes the journal of a run that has ended."""

    def record(self, event: Event) -> None:
        """Forget the event."""


@dataclass(frozen=True)
class _Bench:
    """The parts of a workbench that are there without an engine."""

    reading: _Reading
    knowledge: Knowledge
    recording: _Unrecorded
