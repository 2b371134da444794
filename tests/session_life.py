"""A session to test with: its record, its values, and what an engine records in its life."""

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps, Spend
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import (
    Attempt,
    EngineRecord,
    Hint,
    Intervention,
    Note,
    Remeasurement,
    SessionRecord,
    Version,
)
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.state import SessionState
from avo_tui.domain.task import Configuration, TaskInfo
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.store import SessionReader, SessionWriter

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def task(configurations: int = 2) -> TaskInfo:
    return TaskInfo(
        name="attention_cpu",
        title="Attention",
        language="cpp",
        description="Forward attention.",
        configurations=tuple(
            Configuration(name=f"c{i}", parameters={"seq": 128 << i, "causal": bool(i % 2)})
            for i in range(configurations)
        ),
        baselines=("torch",),
        reference_baseline="torch",
    )


def session_record(name: str = "one", configurations: int = 2) -> SessionRecord:
    return SessionRecord(
        name=name,
        task=task(configurations),
        created=AT,
        settings=RunSettings(),
        budget=Budget(run=Caps(evaluations=1000)),
    )


def score(ratio: float, configurations: int = 2) -> Score:
    return Score(
        unit="GFLOP/s",
        reference_baseline="torch",
        configurations=tuple(
            ConfigurationScore(
                name=f"c{i}",
                parameters={"seq": 128 << i, "causal": bool(i % 2)},
                throughput=100 * ratio,
                p20=99 * ratio,
                p80=101 * ratio,
                ratio=ratio,
                baselines={"torch": 100.0},
                samples=20,
                milliseconds=1.25,
            )
            for i in range(configurations)
        ),
    )


def gate(accepted: bool = True) -> GateDecision:
    return GateDecision(gate="strict", accepted=accepted, reason="+2.00% against v0", gain=0.02)


def identity(n: int) -> str:
    return f"{n:064x}"


def attempt(step: int, number: int) -> Attempt:
    return Attempt(
        step=step,
        number=number,
        parent=0,
        candidate=identity(step * 1000 + number),
        title=f"tile {number}",
        at=AT,
    )


def report(correct: bool, ratio: float = 1.0, configurations: int = 2) -> EvaluationReport:
    return EvaluationReport(
        task="attention_cpu",
        candidate=identity(1),
        verdict=Verdict.CORRECT if correct else Verdict.WRONG_RESULT,
        feedback=Feedback(summary="right" if correct else "wrong at c1"),
        reached="benchmark" if correct else "check",
        score=score(ratio, configurations) if correct else None,
    )


def version(number: int, step: int, number_of_attempt: int, ratio: float, n: int = 2) -> Version:
    return Version(
        number=number,
        parent=number - 1 if number else None,
        step=step,
        attempt=number_of_attempt,
        candidate=identity(step * 1000 + number_of_attempt),
        score=score(ratio, n),
        gate=gate(),
        plan="Tile the keys.",
        author="seed" if number == 0 else "tuner",
        created=AT,
    )


def engine_started() -> ev.EngineStarted:
    return ev.EngineStarted(engine=EngineRecord(pid=1, host="here", started=AT))


def life(
    steps: int,
    *,
    attempts: int = 3,
    commit_every: int = 2,
    seed: int = 0,
    configurations: int = 2,
    chatter: int = 2,
    refs: int = 1,
) -> Iterator[ev.Event]:
    """What an engine records, SessionCreated apart: the seed, then steps with attempts.

    With `refs`, attempts name an object with their report, as in sessions of older versions; their
    progress is in the journal too.
    """
    chance = random.Random(seed)
    yield engine_started()
    yield ev.StateChanged(state="running")
    committed = 0
    for step in range(steps + 1):
        yield ev.StepStarted(step=step, parent=max(0, committed - 1))
        yield ev.PlanSet(title=f"step {step}")
        for number in range(1, attempts + 1):
            last = number == attempts
            yield ev.ToolCalled(call=f"{step}.{number}", tool="evaluate", arguments={"n": number})
            yield ev.AttemptStarted(attempt=attempt(step, number))
            for i in range(chatter):
                yield ev.AgentText(block="b", text=f"text {i} é \x1b[31m [bold]")
                yield ev.EvaluationProgressed(
                    attempt=number, progress=EvaluationProgress(stage="check", state="started")
                )
            good = last and step % commit_every == 0
            ratio = 0.05 + committed * 0.01 + chance.random() * 0.001
            yield ev.AttemptFinished(
                attempt=number,
                report=report(good, ratio, configurations),
                ref=identity(7) if refs else None,
            )
            yield ev.Spent(spend=Spend(evaluations=1, seconds=1.5))
            if good:
                yield ev.GateDecided(attempt=number, decision=gate())
                new = version(committed, step, number, ratio, configurations)
                yield ev.VersionCommitted(version=new)
                committed += 1
            else:
                yield ev.AttemptRejected(attempt=number, reason="wrong at c1")
        if step % 3 == 1:
            hint = Hint(id=f"h{step}", text="TILE_K=64", queued_at=AT)
            yield ev.HintQueued(hint=hint)
            yield ev.HintDelivered(hint=hint.id, where=f"step {step}")
            yield ev.NoteWritten(note=Note(id=f"n{step}", text="a note", at=AT))
            yield ev.NoteRemoved(note=f"n{step - 3}")
        yield ev.StepFinished(outcome="committed" if step % commit_every == 0 else "nothing")


def as_an_older_avo_tui_wrote_it(folder: Path) -> None:
    """Put all records into session.json and attempts.jsonl, in place of records.pages."""
    state = SessionReader.open(folder).state
    rows: dict[str, Any] = json.loads((folder / "session.json").read_text())
    rows["versions"] = {str(n): v.model_dump(mode="json") for n, v in state.versions.items()}
    rows["steps"] = {str(n): s.model_dump(mode="json") for n, s in state.steps.items()}
    *earlier, newest = state.attempts.values()
    rows["attempts"] = {"1": newest.model_dump(mode="json")}
    session = rows["session"]["1"]
    session.pop("pages", None)
    session |= {"format": 1, "attempts_kept": len(earlier)}
    (folder / "session.json").write_text(json.dumps(rows, separators=(",", ":")))
    (folder / "attempts.jsonl").write_text("".join(a.model_dump_json() + "\n" for a in earlier))
    for name in ("session.json.previous", "records.pages"):
        (folder / name).unlink(missing_ok=True)


def build(folder: Path, steps: int = 3, **how: int) -> Path:
    """A closed session with `steps` steps behind it."""
    with SessionWriter.create(folder, session_record(folder.name)) as session:
        for event in life(steps, **how):
            session.record(event)
    return folder


# -- any life that the rules allow, for hypothesis


TEXT = st.text(max_size=20)


@st.composite
def lives(draw: st.DrawFn, most: int = 30) -> list[ev.Event]:
    """Any sequence of events that an engine may record after SessionCreated."""
    state = SessionState(session=session_record())
    life: list[ev.Event] = []
    for _ in range(draw(st.integers(0, most))):
        event = draw(st.sampled_from(_possible(state)))(draw, state)
        numbered = event.model_copy(update={"step": _step_of(event, state)})
        state.apply(numbered)
        life.append(event)
    return life


def _step_of(event: ev.Event, state: SessionState) -> int:
    return event.step if isinstance(event, ev.StepStarted) else state.session.step


Maker = Callable[[st.DrawFn, SessionState], ev.Event]


def _possible(state: SessionState) -> list[Maker]:
    """What may come next."""
    makers: list[Maker] = [
        lambda draw, _: ev.AgentText(block="b", text=draw(TEXT)),
        lambda draw, _: ev.ToolCalled(call="1", tool="t", arguments={"a": draw(TEXT)}),
        lambda draw, _: ev.Spent(spend=Spend(usd=draw(st.floats(0, 10)), requests=1)),
        lambda draw, _: ev.StateChanged(
            state=draw(st.sampled_from(["running", "paused", "parked"])), reason=draw(TEXT)
        ),
        lambda draw, _: ev.BudgetChanged(
            budget=Budget(run=Caps(evaluations=draw(st.integers(0, 9))))
        ),
        lambda draw, _: ev.OptionsChanged(
            options={
                draw(st.sampled_from(["agent.effort", "tuner.model", "x"])): draw(
                    st.one_of(st.none(), st.booleans(), st.integers(0, 9), TEXT)
                )
            }
        ),
        lambda draw, _: ev.NoteWritten(
            note=Note(id=draw(st.sampled_from("abc")), text=draw(TEXT), at=AT)
        ),
        lambda draw, _: ev.NoteRemoved(note=draw(st.sampled_from("abc"))),
        lambda draw, _: ev.CommandTaken(id=draw(TEXT), command="pause", summary=draw(TEXT)),
        lambda draw, state: ev.HintQueued(
            hint=Hint(
                id=f"h{len(state.hints)}",
                text=draw(TEXT),
                queued_at=AT,
                scope=draw(st.sampled_from(["once", "step", "until_cleared"])),
            )
        ),
        lambda draw, state: ev.SupervisorIntervened(
            intervention=Intervention(
                id=f"i{len(state.supervision)}",
                at=AT,
                step=state.session.step,
                level="redirect",
                trigger=draw(TEXT),
            )
        ),
    ]
    if state.current_step is None:
        makers.append(
            lambda draw, state: ev.StepStarted(
                step=state.session.step + 1 if state.steps else 0, parent=state.session.head or 0
            )
        )
    else:
        makers += [_start_attempt, _start_attempt, _finish_step]
        numbers = [a.number for a in state.attempts.values() if a.step == state.session.step]
        if numbers:
            makers += _with_attempt(max(numbers))
    if state.versions:
        makers += _with_versions()
    if state.hints:
        makers += [
            lambda draw, state: ev.HintDelivered(
                hint=draw(st.sampled_from(sorted(state.hints))), where=draw(TEXT)
            ),
            lambda draw, state: ev.HintClosed(
                hint=draw(st.sampled_from(sorted(state.hints))), state="cleared"
            ),
        ]
    if state.supervision:
        makers.append(
            lambda draw, state: ev.InterventionChanged(
                intervention=draw(st.sampled_from(sorted(state.supervision))), state="dismissed"
            )
        )
    return makers


def _start_attempt(draw: st.DrawFn, state: SessionState) -> ev.Event:
    step = state.session.step
    numbers = [a.number for a in state.attempts.values() if a.step == step]
    return ev.AttemptStarted(attempt=attempt(step, max(numbers, default=0) + 1))


def _finish_step(draw: st.DrawFn, state: SessionState) -> ev.Event:
    return ev.StepFinished(outcome=draw(st.sampled_from(["committed", "nothing", "aborted"])))


def _with_attempt(number: int) -> list[Maker]:
    return [
        lambda draw, _: ev.EvaluationProgressed(
            attempt=number, progress=EvaluationProgress(stage="benchmark", state="started")
        ),
        lambda draw, _: ev.AttemptFinished(attempt=number, report=report(draw(st.booleans()))),
        lambda draw, _: ev.AttemptRejected(attempt=number, reason=draw(TEXT)),
        lambda draw, _: ev.ApprovalRequested(attempt=number, decision=gate()),
        lambda draw, _: ev.ApprovalGiven(attempt=number, approved=True),
        lambda draw, state: ev.VersionCommitted(
            version=version(
                len(state.versions), state.session.step, number, draw(st.floats(0.01, 2))
            ),
            becomes_head=True if not state.versions else draw(st.booleans()),
        ),
    ]


def _with_versions() -> list[Maker]:
    return [
        lambda draw, state: ev.Rewound(
            origin=state.session.head or 0, target=draw(st.sampled_from(sorted(state.versions)))
        ),
        lambda draw, state: ev.VersionAnnotated(
            number=draw(st.sampled_from(sorted(state.versions))), bookmark=draw(TEXT)
        ),
        lambda draw, state: ev.VersionRemeasured(
            number=draw(st.sampled_from(sorted(state.versions))),
            measurement=Remeasurement(at=AT, score=score(draw(st.floats(0.01, 2)))),
        ),
    ]
