"""Sessions for tests and benchmarks of the screens. Invented: no kernel was run for these numbers.

`events(...)` yields a whole run of an agent or tuner as events; `MemorySource` holds them without a
folder, at fixed times, so that pictures of screens are the same on every machine; `write` puts
them through a `SessionWriter` into a real session folder.
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Command
from avo_tui.domain.records import Attempt, Direction, Intervention, Note, RunState
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.state import SessionState
from tests.ui.invented_run import Maker, Put


def events(
    put: Put,
    *,
    name: str = "mha-study",
    steps: int = 24,
    rewinds: bool = True,
    live: bool = True,
    attempts: int | None = None,
    chatty: bool = True,
    operator: str = "agent",
    seed: int = 7,
    stalled: int = 0,
) -> Iterator[ev.Event]:
    """A whole run: `steps` steps, some without a version, two rewinds, and a step in the middle.

    `stalled` steps of eight attempts and without a version come before that.
    """
    maker = Maker(put, seed=seed, operator=operator)
    yield maker.created(name)
    yield from maker.engine()
    yield from maker.seed_step()
    for step in range(1, steps + 1):
        tries = attempts if attempts is not None else maker.turn.choice((1, 2, 2, 3, 4, 6))
        yield from maker.step(
            step, tries, commit=step == 1 or maker.turn.random() < 0.82, chatty=chatty
        )
        if step == 9:
            note = Note(
                id="n1",
                category="failed",
                text="Tiles of 128 keys spill the accumulators: 6 % slower on every configuration.",
                step=step,
                at=maker.now,
            )
            yield ev.NoteWritten(step=step, note=note, at=maker.now)
            idea = Note(
                id="n2",
                category="idea",
                text="The row sums could be shared between two query rows.",
                step=step,
                at=maker.now,
            )
            yield ev.NoteWritten(step=step, note=idea, at=maker.now)
        if rewinds and step in {10, 17} and maker.head is not None and maker.head > 4:
            yield from maker.rewind(step, maker.head - 3, "the transposed tiles led nowhere")
        if step == 14:
            yield ev.SupervisorIntervened(
                step=step,
                at=maker.later(1),
                intervention=Intervention(
                    id="i1",
                    at=maker.now,
                    step=step,
                    level="redirect",
                    trigger="8 attempts since the last commit (limit 8)",
                    diagnosis="Three attempts in a row changed the tile only.",
                    directions=(
                        Direction(text="Look at the exponential"),
                        Direction(text="Start again from v5 with two rows at a time", parent=5),
                    ),
                ),
            )
        if step == 7:
            yield ev.VersionAnnotated(
                step=step,
                number=min(3, maker.number),
                bookmark="first online softmax",
                note="worth a second look",
                at=maker.later(1),
            )
    for step in range(steps + 1, steps + stalled + 1):
        yield from maker.step(step, 8, commit=False, chatty=chatty)
    if live:
        yield from maker.running(steps + stalled + 1)


def _identity(text: str) -> str:
    return sha256(text.encode()).hexdigest()


class MemorySource:
    """A source without a folder, at fixed times. `waiting` holds events for later polls."""

    def __init__(
        self, *, name: str = "mha-study", state: RunState | None = None, **options: Any
    ) -> None:
        self.objects: dict[str, bytes] = {}
        self.journal: list[ev.Event] = []
        self.sent: list[Command] = []
        self.waiting: list[ev.Event] = []
        self.folder = Path("/nonexistent") / name
        self.name = name
        self._run_state = state
        self.reloads = 0
        self._state: SessionState | None = None
        for event in events(self.put, name=name, **options):
            self.add(event)

    def put(self, text: str) -> str:
        identity = _identity(text)
        self.objects[identity] = text.encode()
        return identity

    def add(self, event: ev.Event) -> ev.Event:
        step = event.step or (self._state.session.step if self._state else 0)
        stamped = event.model_copy(update={"seq": len(self.journal) + 1, "step": step})
        self.journal.append(stamped)
        if self._state is None:
            assert isinstance(stamped, ev.SessionCreated)
            self._state = SessionState.begin(stamped)
        else:
            self._state.apply(stamped)
        return stamped

    @property
    def state(self) -> SessionState:
        assert self._state is not None
        return self._state

    def poll(self, limit: int = 5000) -> list[ev.Event]:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return [self.add(event) for event in taken]

    def events(self, step: int | None = None, after: int = 0) -> Iterator[ev.Event]:
        return iter([e for e in self.journal if e.seq > after and (step is None or e.step == step)])

    def get(self, identity: str) -> bytes:
        return self.objects[identity]

    def chunks(self, identity: str) -> Iterator[bytes]:
        yield self.objects[identity]

    def text(self, identity: str) -> str:
        return self.objects[identity].decode()

    def candidate(self, identity: str) -> Candidate:
        return Candidate.model_validate_json(self.get(identity))

    def report(self, attempt: Attempt) -> EvaluationReport | None:
        if attempt.report is None:
            return None
        return EvaluationReport.model_validate_json(self.get(attempt.report))

    def run_state(self) -> RunState:
        return self._run_state or self.state.session.state

    def standing(self) -> tuple[RunState, str]:
        return self.run_state(), self.state.session.state_reason

    def send(self, command: Command) -> str:
        self.sent.append(command)
        return f"command-{len(self.sent)}"


def write(folder: Path, **options: Any) -> None:
    """The same run in a real session folder, through the store."""
    from avo_tui.store import SessionWriter

    pending: list[str] = []

    def put(text: str) -> str:
        if writer is None:
            pending.append(text)
            return _identity(text)
        return writer.put(text)

    writer: SessionWriter | None = None
    for event in events(put, name=folder.name, **options):
        if isinstance(event, ev.SessionCreated):
            writer = SessionWriter.create(folder, event.session)
            continue
        assert writer is not None
        writer.record(event)
    assert writer is not None
    writer.close()


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(
        description="Write an invented session for looking at screens."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--attempts", type=int)
    parser.add_argument("--quiet", action="store_true", help="no prose, no progress: for size")
    given = parser.parse_args()
    write(given.folder, steps=given.steps, attempts=given.attempts, chatty=not given.quiet)
