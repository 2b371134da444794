"""Operators that do nothing, as fast as they can: the engine stays in charge of its run."""

from collections.abc import Awaitable, Callable

import pytest

from avo_tui.domain import commands as cmd
from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import Author
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evolution.lifecycle import idling
from avo_tui.operators.ports import Interrupted, StepOutcome, Workbench
from avo_tui.store import send_command
from tests.evolution.fake_evaluator import SEED
from tests.evolution.laboratory import Laboratory, MakeLab

FASTER = Candidate(files={"kernel.cpp": SEED.replace("ALGORITHM = 0", "ALGORITHM = 1")})
PROMPTLY = 20.0
"""Seconds that a busy machine may take for what is to be answered at once."""


class AtOnce:
    """An operator that does the same in each of its steps."""

    author: Author = "agent"

    def __init__(self, act: Callable[[Workbench], Awaitable[object]]) -> None:
        self.act = act
        self.steps = 0

    async def vary(self, bench: Workbench) -> StepOutcome:
        self.steps += 1
        assert self.steps < 1000, "nothing holds it back"
        await self.act(bench)
        return StepOutcome(outcome="nothing", reason="no idea")


async def nothing(bench: Workbench) -> None:
    pass


async def the_seed_again(bench: Workbench) -> None:
    await bench.evaluating.evaluate(bench.reading.candidate(bench.reading.head.candidate), "again")


async def the_seed_to_the_gate(bench: Workbench) -> None:
    head = bench.reading.candidate(bench.reading.head.candidate)
    await bench.evaluating.submit(await bench.evaluating.evaluate(head, "again"), "plan", "summary")


async def interrupted_by_nobody(bench: Workbench) -> None:
    raise Interrupted("a whim")


async def now_and_then_an_error(bench: Workbench) -> None:
    if bench.reading.step % 2:
        raise RuntimeError("half of the time")


ACTS = [nothing, the_seed_again, the_seed_to_the_gate, interrupted_by_nobody, now_and_then_an_error]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Much shorter waits; steps take no time at all, however busy the machine is."""
    monkeypatch.setattr(idling, "FIRST_SECONDS", 0.002)
    monkeypatch.setattr(idling, "monotonic", lambda: 0.0)


def unsupervised() -> RunSettings:
    limits = dict.fromkeys(["supervisor.attempts", "supervisor.repeats", "supervisor.seconds"], 0)
    return RunSettings.model_validate({"operator": "agent", "options": limits})


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
async def test_steps_without_effect_are_slowed_and_then_pause_the_run(
    make_lab: MakeLab, quick: None, act: Callable[[Workbench], Awaitable[object]]
) -> None:
    lab = make_lab(unsupervised())
    operator = AtOnce(act)
    lab.start(operator)
    await lab.in_state("paused")
    assert operator.steps == idling.LIMIT
    assert lab.state.session.state_reason.startswith(
        f"{idling.LIMIT} steps in a row by the agent changed nothing and took no time, the last: "
    )
    waits = [e for e in lab.of(ev.StateChanged) if e.state == "parked"]
    assert len(waits) == idling.LIMIT - 1
    assert "1 step in a row" in waits[0].reason
    held = len(list(lab.events))
    assert held < 20 * idling.LIMIT
    assert (await lab.send(cmd.Resume())).refused is None
    await lab.until(lambda: operator.steps == 2 * idling.LIMIT)
    await lab.in_state("paused")
    assert len(lab.events) < 2 * held


@pytest.mark.parametrize("act", ACTS[:4], ids=lambda act: act.__name__)
async def test_commands_are_served_while_an_operator_returns_at_once(
    make_lab: MakeLab, act: Callable[[Workbench], Awaitable[object]]
) -> None:
    lab = make_lab(unsupervised())
    operator = AtOnce(act)
    lab.start(operator)
    await lab.until(lambda: operator.steps >= 2, PROMPTLY)
    for number in range(3):
        await lab.send(cmd.EditMemory(text=f"fact {number}"), PROMPTLY)
    assert operator.steps < 10
    assert len(lab.events) < 200
    lab.engine.stop("enough")  # type: ignore[union-attr]
    assert await lab.ended(PROMPTLY) == "stopped"


async def again_and_again(bench: Workbench) -> None:
    result = await bench.evaluating.evaluate(FASTER, "faster")
    while True:  # ends: the engine ends the step
        await bench.evaluating.evaluate(FASTER, "faster")
        await bench.evaluating.submit(result, "plan", "summary")


async def sweep_after_sweep(bench: Workbench) -> None:
    while True:  # ends: the engine ends the step
        await bench.evaluating.evaluate_many([(FASTER, "one"), (FASTER, "the same")])


async def boundary_after_boundary(bench: Workbench) -> None:
    while True:  # ends: the engine ends the step
        await bench.control.boundary("here")


@pytest.mark.parametrize("act", [again_and_again, sweep_after_sweep, boundary_after_boundary])
async def test_a_step_that_never_ends_and_does_nothing_is_held_back(
    make_lab: MakeLab, act: Callable[[Workbench], Awaitable[object]]
) -> None:
    lab = make_lab(unsupervised())
    lab.start(AtOnce(act))
    await lab.until(lambda: lab.state.current_step is not None, PROMPTLY)
    for _ in range(3):
        await lab.send(cmd.EditMemory(text="a fact"), PROMPTLY)
    assert len(lab.events) < 20 * idling.REPEATS
    lab.engine.stop("enough")  # type: ignore[union-attr]
    assert await lab.ended(PROMPTLY) == "stopped"


async def test_steps_that_measure_something_are_not_held_back(make_lab: MakeLab) -> None:
    lab: Laboratory = make_lab(unsupervised())

    async def another(bench: Workbench) -> None:
        candidate = Candidate(files={"kernel.cpp": f"// {bench.reading.step}\n{SEED}"})
        await bench.evaluating.evaluate(candidate, "another comment")

    operator = AtOnce(another)
    lab.start(operator)
    await lab.until(lambda: operator.steps > 4 * idling.LIMIT, PROMPTLY)
    assert not [e for e in lab.of(ev.StateChanged) if e.state in {"parked", "paused"}]


async def test_a_thousand_commands_do_not_keep_the_heartbeat_waiting(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avo_tui.evolution.engine.HEARTBEAT_SECONDS", 0.01)
    lab = make_lab(RunSettings(operator="external"))
    lab.start()
    await lab.versions(1)
    answered_at_beat: list[int] = []
    heartbeat = lab.writer.heartbeat

    def note() -> None:
        answered_at_beat.append(len(lab.state.commands))
        heartbeat()

    monkeypatch.setattr(lab.writer, "heartbeat", note)
    last = [send_command(lab.folder, cmd.EditMemory(text=f"fact {n}")) for n in range(300)][-1]
    await lab.until(lambda: last in lab.state.commands)
    assert len({n for n in answered_at_beat if 0 < n < 300}) > 5, answered_at_beat
    texts = [e.note.text for e in lab.of(ev.NoteWritten)]
    assert texts == [f"fact {n}" for n in range(300)]


async def test_an_engine_asked_to_stop_leaves_a_full_inbox_to_the_next(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avo_tui.evolution.commands.inbox.STOP_SECONDS", 0.0)
    lab = make_lab(RunSettings(operator="external"))
    lab.start()
    await lab.versions(1)
    for number in range(200):
        send_command(lab.folder, cmd.EditMemory(text=f"fact {number}"))
    await lab.until(lambda: lab.state.commands)
    lab.engine.stop("enough")  # type: ignore[union-attr]
    assert await lab.ended(PROMPTLY) == "stopped"
    assert 0 < len(lab.of(ev.NoteWritten)) < 200
    lab.start()
    await lab.until(lambda: len(lab.of(ev.NoteWritten)) == 200)
