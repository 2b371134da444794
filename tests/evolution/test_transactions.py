"""Every command of the person, killed after every append: its effect comes exactly once."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from avo_tui.domain import commands as cmd
from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import Author
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution.commands.registry import SPECS
from avo_tui.operators.ports import AttemptResult, StepOutcome, Workbench
from avo_tui.store import SessionReader, send_command
from tests.evolution.fake_evaluator import SEED
from tests.evolution.laboratory import Killed, Laboratory

FASTER = Candidate(files={"kernel.cpp": SEED.replace("ALGORITHM = 0", "ALGORITHM = 1")})
BY_HAND = Candidate(files={"kernel.cpp": SEED.replace("ALGORITHM = 0", "ALGORITHM = 2")})
OPTIONS = {"supervisor.attempts": 0, "supervisor.seconds": 0, "crash_loop": 0}


class Idle:
    """Submits one faster candidate in the first step, then only stands at boundaries."""

    author: Author = "agent"

    async def vary(self, bench: Workbench) -> StepOutcome:
        if not any(v.candidate == FASTER.id for v in bench.reading.versions()):
            attempts = bench.reading.attempts(bench.reading.step)
            undecided = next((a for a in attempts if a.undecided), None)
            if undecided is None:
                result = await bench.evaluating.evaluate(FASTER, "faster")
            else:
                report = bench.reading.report(undecided.step, undecided.number)
                assert report is not None
                result = AttemptResult(
                    step=undecided.step,
                    number=undecided.number,
                    candidate=undecided.candidate,
                    report=report,
                )
            await bench.evaluating.submit(result, "plan", "summary")
            return StepOutcome(outcome="committed")
        while True:  # ends: the engine ends the step
            await bench.control.boundary("waiting")
            await asyncio.sleep(0.005)


def count(kind: type, **fields: object) -> Callable[[ev.Event], bool]:
    """Says of an event whether it is of a kind and has these values."""
    return lambda e: isinstance(e, kind) and all(getattr(e, k) == v for k, v in fields.items())


def found_correct(event: ev.Event) -> bool:
    return isinstance(event, ev.AttemptFinished) and event.report.verdict == "correct"


@dataclass
class Case:
    """A command, what has to be there before it, and the events that are its effect."""

    name: str
    command: Callable[[Laboratory], cmd.Command]
    effects: Sequence[Callable[[ev.Event], bool]]
    before: Sequence[Callable[[Laboratory], cmd.Command]] = ()
    settings: dict[str, object] = field(default_factory=dict)
    until: Callable[[Laboratory], object] = lambda lab: True


def note_of(lab: Laboratory) -> str:
    return next(iter(lab.state.memory))


CASES = [
    Case("pause", lambda lab: cmd.Pause(), [count(ev.StateChanged, state="pausing")]),
    Case(
        "resume",
        lambda lab: cmd.Resume(),
        [],
        before=[lambda lab: cmd.Pause()],
        until=lambda lab: lab.state.session.state == "running",
    ),
    Case(
        "abort",
        lambda lab: cmd.AbortStep(reason="why not"),
        [count(ev.StepFinished, outcome="aborted")],
        until=lambda lab: any(s.outcome == "aborted" for s in lab.state.steps.values()),
    ),
    Case(
        "rewind",
        lambda lab: cmd.Rewind(version=0, reason="again"),
        [count(ev.Rewound, target=0), count(ev.StepFinished, outcome="rewound")],
        until=lambda lab: any(s.outcome == "rewound" for s in lab.state.steps.values()),
    ),
    Case(
        "approve",
        lambda lab: cmd.Approve(),
        [count(ev.ApprovalGiven, approved=True), count(ev.VersionCommitted)],
        settings={"approve_commits": True},
        until=lambda lab: len(lab.state.versions) == 2,
    ),
    Case(
        "reject",
        lambda lab: cmd.Reject(reason="unreadable"),
        [count(ev.ApprovalGiven, approved=False)],
        settings={"approve_commits": True},
    ),
    Case(
        "budget",
        lambda lab: cmd.SetBudget(budget=Budget(run=Caps(steps=500))),
        [count(ev.BudgetChanged)],
    ),
    Case(
        "set",
        lambda lab: cmd.SetOptions(options={"supervisor.usd": 5, "disk.patience_hours": "9"}),
        [count(ev.OptionsChanged)],
    ),
    Case(
        "hint",
        lambda lab: cmd.SendHint(text="unroll"),
        [count(ev.HintQueued), count(ev.HintDelivered)],
        until=lambda lab: all(h.state == "delivered" for h in lab.state.hints.values()),
    ),
    Case(
        "clear_hint",
        lambda lab: cmd.ClearHint(hint=next(iter(lab.state.hints))),
        [count(ev.HintClosed)],
        before=[lambda lab: cmd.SendHint(text="unroll", scope="until_cleared")],
    ),
    Case(
        "bookmark", lambda lab: cmd.SetBookmark(version=1, label="b"), [count(ev.VersionAnnotated)]
    ),
    Case("note", lambda lab: cmd.Annotate(version=1, text="n"), [count(ev.VersionAnnotated)]),
    Case(
        "submit",
        lambda lab: cmd.Submit(candidate=BY_HAND, plan="by hand"),
        [count(ev.VersionCommitted), count(ev.CandidateEdited), found_correct],
    ),
    Case(
        "submit",
        lambda lab: cmd.Submit(candidate=BY_HAND, plan="by hand", author="external"),
        [
            count(ev.VersionCommitted),
            found_correct,
            count(ev.StepStarted),
            count(ev.StepFinished, outcome="committed"),
        ],
        settings={"operator": "external"},
    ),
    Case("remeasure", lambda lab: cmd.Remeasure(version=0), [count(ev.VersionRemeasured)]),
    Case("memory", lambda lab: cmd.EditMemory(text="a fact"), [count(ev.NoteWritten)]),
    Case(
        "memory",
        lambda lab: cmd.EditMemory(note=note_of(lab), text=None),
        [count(ev.NoteRemoved)],
        before=[lambda lab: cmd.EditMemory(text="a fact")],
    ),
    Case(
        "supervise",
        lambda lab: cmd.Supervise(level="stop_step"),
        [count(ev.SupervisorIntervened), count(ev.StepFinished, outcome="nothing")],
        until=lambda lab: any(s.outcome == "nothing" for s in lab.state.steps.values()),
    ),
    Case(
        "intervention",
        lambda lab: cmd.EditIntervention(
            intervention=next(iter(lab.state.supervision)), directions=("this way",)
        ),
        [count(ev.InterventionChanged, state="active")],
        before=[lambda lab: cmd.Supervise(level="nudge")],
    ),
]


def test_every_command_is_in_the_matrix() -> None:
    kinds = {spec.kind.model_fields["kind"].default for spec in SPECS}
    assert kinds == {case.name for case in CASES} | {"stop"}


def settings_of(case: Case) -> RunSettings:
    return RunSettings.model_validate({"operator": "agent", "options": OPTIONS, **case.settings})


async def at_work(lab: Laboratory, case: Case) -> None:
    """Start an engine and wait until the command of the case has something to work on."""
    lab.start(Idle())
    if case.settings.get("approve_commits"):
        await lab.until(lambda: lab.state.pending_approval or len(lab.state.versions) > 1)
    elif case.settings.get("operator") == "external":
        await lab.versions(1)
    else:
        await lab.versions(2)
        await lab.until(lambda: (step := lab.state.current_step) and step.version is None)


def fall_before(lab: Laboratory, appends: int) -> None:
    """The engine dies instead of making its next append but `appends`."""
    record_all = lab.writer.record_all
    left = appends

    def record_or_die(events: Sequence[ev.Event]) -> list[ev.Event]:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        return record_all(events)

    lab.writer.record_all = record_or_die  # type: ignore[method-assign]


async def prepared(case: Case, folder: Path) -> Path:
    """A session that is ready for the command; its engine was killed."""
    lab = Laboratory(folder, settings_of(case))
    await at_work(lab, case)
    for command in case.before:
        assert (await lab.send(command(lab))).refused is None
    if case.name == "resume":
        await lab.in_state("paused")
    await lab.killed()
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.name}-{CASES.index(c)}")
async def test_killed_after_any_append_the_effect_comes_once(case: Case, tmp_path: Path) -> None:
    origin = await prepared(case, tmp_path / "origin")
    for appends in range(40):
        folder = tmp_path / f"at-{appends}"
        shutil.copytree(origin, folder)
        lab = Laboratory(folder, settings_of(case))
        if await runs_through(lab, case, appends):
            break
    else:
        raise AssertionError("the command never came to its end")
    assert appends > 0, "nothing was killed"


async def runs_through(lab: Laboratory, case: Case, appends: int) -> bool:
    """Whether the command came to its end within so many appends; else it is killed, and again."""
    earlier = SessionReader.open(lab.folder).state.session.applied
    lab.start(Idle())
    if case.name != "resume":
        await lab.until(lambda: lab.state.current_step or case.settings.get("operator"))
    await asyncio.sleep(0)
    identity = send_command(lab.folder, case.command(lab))
    fall_before(lab, appends)

    def over() -> bool:
        return identity in lab.state.commands and bool(case.until(lab))

    assert lab.task is not None
    await lab.until(lambda: over() or lab.has_ended)
    done = over() and not lab.task.done()
    await (lab.killed() if not lab.task.done() else lab.fell())
    if not done:
        lab.start(Idle())
        await lab.until(over)
        await lab.killed()
    reader = SessionReader.open(lab.folder)
    record = reader.state.commands[identity]
    assert record.refused is None, record.refused
    events = [e for e in reader.events() if e.seq > earlier]
    answers = [e for e in events if isinstance(e, ev.CommandTaken) and e.id == identity]
    assert len(answers) == 1
    for effect in case.effects:
        assert sum(map(effect, events)) == 1, [e.kind for e in events]
    assert not list((lab.folder / "inbox").glob("*.json")) or not done
    return done


async def test_a_stop_that_was_taken_holds_though_the_engine_is_killed(tmp_path: Path) -> None:
    lab = Laboratory(tmp_path / "s", RunSettings.model_validate({"options": OPTIONS}))
    lab.start(Idle())
    await lab.versions(2)
    identity = send_command(lab.folder, cmd.Stop())
    await lab.engine.inbox.take_all()  # type: ignore[union-attr]
    assert identity in lab.state.commands
    await lab.killed()
    reader = SessionReader.open(lab.folder)
    assert reader.run_state() == "stopped", "it is not lost: nobody starts it again by itself"
