"""Answers the tools that only read the record once a run has ended and no engine is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from avo_tui.domain import lineage
from avo_tui.domain.base import ObjectId
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.events import Event, ToolReturned
from avo_tui.domain.evidence import PairedGains
from avo_tui.domain.outlook import paired_gains
from avo_tui.domain.records import Attempt, Note, Version
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.state import SessionState
from avo_tui.operators.knowledge_port import Knowledge
from avo_tui.operators.ports import Workbench
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
    reading = _Reading(reader)
    if reader.state.head is None:
        return Answer(id=0, ok=False, text="The run has ended before it had a version.")
    bench = cast("Workbench", _Bench(reading, knowledge, _Unrecorded()))
    space = Workspace(bench, reading.candidate(reading.head.candidate))
    result = await Toolbox(bench, space).call(tool, arguments)
    return Answer(
        id=0,
        ok=result.ok,
        text=result.whole if whole else result.text,
        characters=len(result.whole),
        step=reader.state.session.step,
        run_ended=True,
    )


class _Reading:
    """The part of `Reading` that the tools in `READING` need, from a session's files."""

    def __init__(self, reader: SessionReader) -> None:
        self._reader = reader

    @property
    def _state(self) -> SessionState:
        return self._reader.state

    @property
    def settings(self) -> RunSettings:
        return self._state.session.settings

    @property
    def head(self) -> Version:
        head = self._state.head
        assert head is not None
        return head

    def best(self) -> Version:
        return lineage.line_best(self._state.versions, self.head.number)

    def versions(self) -> Sequence[Version]:
        return [self._state.versions[n] for n in sorted(self._state.versions)]

    def candidate(self, identity: ObjectId) -> Candidate:
        return self._reader.candidate(identity)

    def paired(self, candidate: ObjectId) -> PairedGains | None:
        return paired_gains(self._state, candidate)

    def attempts(self, step: int | None = None) -> Sequence[Attempt]:
        return [a for a in self._state.attempts.values() if step is None or a.step == step]

    def report(self, step: int, number: int) -> EvaluationReport | None:
        attempt = self._state.attempts.get((step, number))
        return self._reader.report(attempt) if attempt is not None else None

    def step_events(self) -> Sequence[Event]:
        """Those of the last step in which a tool was called; the one after it has none."""
        for step in range(self._state.session.step, 0, -1):
            events = list(self._reader.events(step=step))
            if any(isinstance(event, ToolReturned) for event in events):
                return events
        return ()

    def notes(self) -> Sequence[Note]:
        return list(self._state.memory.values())

    def fetch(self, identity: ObjectId) -> bytes:
        return self._reader.get(identity)


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
