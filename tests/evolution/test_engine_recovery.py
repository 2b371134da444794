"""What survives: engines that end in the middle of something, full disks, crash loops."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from avo_tui.domain import commands as cmd
from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.verdict import Verdict
from avo_tui.evolution.lifecycle import seeding
from avo_tui.operators.ports import StepOutcome, Workbench
from avo_tui.store import NoSpace, SessionReader, send_command
from tests.evolution.fake_evaluator import FakeEvaluator
from tests.evolution.laboratory import Killed, Laboratory, MakeLab
from tests.evolution.test_control import slow_lab
from tests.evolution.test_engine import Scripted, capped, with_values
from tests.waiting import wait_for

PROCESS = Path(__file__).parent / "engine_process.py"


async def test_killed_in_an_evaluation_the_same_step_goes_on_with_the_same_candidate(
    make_lab: MakeLab,
) -> None:
    lab = await slow_lab(make_lab)
    step, running = lab.state.current_step, await lab.held()
    assert step is not None
    await lab.killed()
    lab.evaluator.hold_no_more()
    before = len(lab.evaluator.evaluations)
    lab.start()
    await lab.until(lambda: lab.state.steps[step.number].ended)
    assert lab.evaluator.evaluations[before] == running
    interrupted = [a for a in lab.state.attempts.values() if a.verdict is Verdict.CANCELLED]
    assert [a.candidate for a in interrupted] == [running]
    recovered = lab.of(ev.Recovered)
    assert any("interrupted" in action for action in recovered[-1].actions)
    await lab.stop()
    lab.check_whole()


async def test_killed_between_the_decision_and_the_commit(make_lab: MakeLab) -> None:
    lab = make_lab(capped(steps=3))
    lab.start()
    record = lab.writer.record_all

    def record_until_commit(events: Sequence[ev.Event]) -> list[ev.Event]:
        if any(isinstance(e, ev.VersionCommitted) and e.version.number == 1 for e in events):
            raise Killed
        return record(events)

    lab.writer.record_all = record_until_commit  # type: ignore[method-assign]
    await lab.fell()
    assert lab.of(ev.GateDecided)[-1].decision.accepted
    paired = len(lab.evaluator.paired)
    lab.start()
    await lab.versions(2)
    assert len(lab.evaluator.paired) == paired, "the decision on record holds"
    assert await lab.ended() == "finished"
    lab.check_whole()


async def test_killed_between_the_commit_and_the_end_of_the_step(make_lab: MakeLab) -> None:
    lab = make_lab(capped(steps=4))
    lab.start()
    record = lab.writer.record_all

    def record_until_end(events: Sequence[ev.Event]) -> list[ev.Event]:
        if isinstance(events[-1], ev.StepFinished) and len(lab.state.versions) == 2:
            raise Killed
        return record(events)

    lab.writer.record_all = record_until_end  # type: ignore[method-assign]
    await lab.fell()
    assert len(lab.state.versions) == 2
    step = lab.state.session.step
    lab.start()
    await lab.until(lambda: lab.state.steps[step].ended)
    assert lab.state.steps[step].outcome == "committed" and lab.state.steps[step].version == 1
    await lab.ended()
    lab.check_whole()


@pytest.mark.parametrize(
    ("command", "outcome"),
    [(cmd.Rewind(version=0, reason="why not"), "rewound"), (cmd.AbortStep(), "aborted")],
)
async def test_killed_after_a_command_was_taken(
    make_lab: MakeLab, command: cmd.Command, outcome: str
) -> None:
    lab = await slow_lab(make_lab, versions=2)
    step = lab.state.current_step
    assert step is not None
    identity = send_command(lab.folder, command)
    await lab.engine.inbox.take_all()  # type: ignore[union-attr]
    assert identity in lab.state.commands
    await lab.killed()
    lab.evaluator.hold_no_more()
    lab.start()
    await lab.until(lambda: lab.state.steps[step.number].ended)
    assert lab.state.steps[step.number].outcome == outcome
    if outcome == "rewound":
        await lab.until(lambda: step.number + 1 in lab.state.steps)
        assert lab.state.steps[step.number + 1].parent == 0


async def test_a_rewind_without_a_run_ends_the_step_that_a_crash_cut_off(
    make_lab: MakeLab,
) -> None:
    lab = await slow_lab(make_lab, versions=2)
    step = lab.state.current_step
    assert step is not None
    await lab.killed()
    lab.evaluator.hold_no_more()
    identity = send_command(lab.folder, cmd.Rewind(version=0, reason="why not"))
    lab.start(brief=True)
    await lab.ended()
    assert lab.state.commands[identity].effect.endswith(f"; step {step.number} ends")
    assert lab.state.steps[step.number].outcome == "rewound" and lab.state.session.head == 0


async def test_a_job_that_a_crash_cut_off_is_done_by_the_next_engine(make_lab: MakeLab) -> None:
    lab = make_lab(None, FakeEvaluator(seconds=0.01))
    lab.start()
    await lab.versions(1)
    await lab.send(cmd.Pause(mode="after_step"))
    await lab.in_state("paused")
    lab.hold_from(0)
    best = with_values(ALGORITHM="2", WIDTH="16", FAST_EXP="true")
    identity = send_command(lab.folder, cmd.Submit(candidate=best, plan="by hand"))
    assert await lab.held() == best.id
    await lab.killed()
    lab.evaluator.hold_no_more()
    lab.start()
    await lab.until(lambda: identity in lab.state.commands)
    assert "committed" in lab.state.commands[identity].effect
    await lab.stop()
    state = lab.check_whole()
    assert [v.candidate for v in state.versions.values()].count(best.id) == 1


async def test_a_pause_outlives_its_engine(make_lab: MakeLab) -> None:
    lab = await slow_lab(make_lab)
    await lab.send(cmd.Pause(mode="now"))
    await lab.in_state("paused")
    await lab.killed()
    evaluations = len(lab.evaluator.evaluations)
    lab.evaluator.hold_no_more()
    lab.start()
    await lab.in_state("paused")
    await asyncio.sleep(0.2)  # nothing may happen
    assert len(lab.evaluator.evaluations) == evaluations
    await lab.send(cmd.Resume())
    await lab.until(lambda: len(lab.evaluator.evaluations) > evaluations)


async def test_a_crash_loop_becomes_a_pause(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make_lab(RunSettings(options={"crash_loop": 3}))
    pids = iter(range(1000, 2000))
    for _ in range(3):
        pid = next(pids)
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        lab.hold_from(0)
        lab.start()
        await lab.held()
        await lab.killed()
    monkeypatch.setattr("os.getpid", lambda: next(pids))
    lab.evaluator.hold_no_more()
    lab.start()
    await lab.in_state("paused")
    assert "ended unexpectedly 3 times" in lab.state.session.state_reason
    await lab.send(cmd.Resume())
    await lab.versions(2)


async def test_a_full_disk_parks_the_run_and_it_goes_on(make_lab: MakeLab) -> None:
    lab = make_lab(capped(steps=3))
    lab.start()
    record, flush = lab.writer.record_all, lab.writer.flush
    full = True

    def no_room(events: Sequence[ev.Event]) -> list[ev.Event]:
        spared = ev.StateChanged | ev.TroubleNoted | ev.CommandTaken
        if full and lab.state.versions and not any(isinstance(e, spared) for e in events):
            raise NoSpace("no room to write: free some disk space")
        return record(events)

    def no_flush() -> None:
        if full and lab.state.versions:
            raise NoSpace("no room to write: free some disk space")
        flush()

    lab.writer.record_all = no_room  # type: ignore[method-assign]
    lab.writer.flush = no_flush  # type: ignore[method-assign]
    await lab.in_state("parked")
    assert "free some disk space" in lab.state.session.state_reason
    full = False
    assert await lab.ended() == "finished"
    lab.check_whole()


async def test_a_full_disk_does_not_keep_the_engine_from_stopping(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    record = lab.writer.record_all

    def no_room(events: Sequence[ev.Event]) -> list[ev.Event]:
        spared = ev.StateChanged | ev.EngineStopped | ev.CommandTaken
        if lab.state.versions and not any(isinstance(e, spared) for e in events):
            raise NoSpace("no room")
        return record(events)

    lab.writer.record_all = no_room  # type: ignore[method-assign]
    await lab.in_state("parked")
    await lab.send(cmd.Stop())
    assert await lab.ended() == "stopped"


def start(folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(PROCESS), str(folder), str(seconds)], stderr=subprocess.PIPE
    )


def test_sigkill_at_random_instants_loses_nothing(tmp_path: Path) -> None:
    settings = RunSettings(
        budget=Budget(run=Caps(evaluations=40)), options={"crash_loop": 0}, random_seed=3
    )
    lab = Laboratory(tmp_path / "s", settings)
    rng = random.Random(8)
    committed: dict[int, str] = {}
    for _ in range(4):
        process = start(lab.folder, 0.02)
        reader = SessionReader.open(lab.folder)
        seq = reader.state.session.applied

        def moved(reader: SessionReader = reader, seq: int = seq) -> bool:
            reader.poll()
            return reader.state.session.applied > seq

        wait_for(moved)
        time.sleep(rng.uniform(0.0, 0.35))  # the instant of the kill is meant to be random
        process.send_signal(signal.SIGKILL)
        process.communicate()
        state = SessionReader.open(lab.folder).state
        now = {n: v.candidate for n, v in state.versions.items()}
        assert committed.items() <= now.items(), "a committed version was lost"
        committed = now
    process = start(lab.folder, 0.0)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()
    state = lab.check_whole()
    assert state.session.state == "finished"
    assert committed.items() <= {n: v.candidate for n, v in state.versions.items()}.items()
    assert all(a.verdict is not None for a in state.attempts.values())
    assert all(s.ended is not None for s in state.steps.values())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_engine_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    lab = Laboratory(tmp_path / "s")
    process = start(lab.folder, 0.2)
    reader = SessionReader.open(lab.folder)
    wait_for(lambda: reader.poll() is not None and reader.state.versions)
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == 0
    state = lab.check_whole()
    assert state.session.state == "stopped"
    assert number.name in state.session.state_reason
    assert not reader.engine().alive


def test_a_second_engine_says_who_holds_the_session(tmp_path: Path) -> None:
    lab = Laboratory(tmp_path / "s")
    first = start(lab.folder, 0.2)
    reader = SessionReader.open(lab.folder)
    wait_for(lambda: reader.engine().alive)
    second = start(lab.folder, 0.2)
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 1
    assert f"process {first.pid} on" in errors.decode()
    assert len(errors.decode().strip().splitlines()) == 1
    first.terminate()
    first.communicate(timeout=120)


async def test_closing_the_terminal_does_not_end_the_engine(make_lab: MakeLab) -> None:
    """SIGHUP is ignored by an engine."""
    lab = make_lab()
    process = start(lab.folder, 0.1)
    reader = SessionReader.open(lab.folder)
    await asyncio.to_thread(wait_for, lambda: reader.poll() is not None and reader.state.versions)
    process.send_signal(signal.SIGHUP)
    count = reader.state.session.applied
    await asyncio.to_thread(
        wait_for, lambda: reader.poll() is not None and reader.state.session.applied > count + 5
    )
    assert process.poll() is None
    process.terminate()
    await asyncio.to_thread(process.communicate)


async def test_operator_goes_on_with_what_was_recorded(make_lab: MakeLab) -> None:
    """A resumed step shows its operator everything that it recorded before."""
    seen: list[int] = []

    async def first(bench: Workbench) -> StepOutcome:
        await bench.evaluating.evaluate(with_values(UNROLL="8"), "before the crash")
        await bench.control.interruptible(asyncio.sleep(60))
        return StepOutcome(outcome="nothing")

    async def second(bench: Workbench) -> StepOutcome:
        seen.append(
            len([e for e in bench.reading.step_events() if isinstance(e, ev.AttemptFinished)])
        )
        return StepOutcome(outcome="nothing")

    lab = make_lab()
    lab.start(Scripted(first))
    await lab.until(lambda: (1, 1) in lab.state.attempts and lab.state.attempts[1, 1].verdict)
    await lab.killed()
    lab.start(Scripted(second))
    await lab.until(lambda: seen)
    assert seen == [1]


def test_a_reader_that_leaves_ends_a_run_in_the_foreground(tmp_path: Path) -> None:
    """`avo run --headless | head -1`: in good order, without a traceback."""
    lab = Laboratory(tmp_path / "s")
    process = subprocess.Popen(
        [sys.executable, str(PROCESS), str(lab.folder), "0.05", "--print"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    assert b"engine" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(120) == 0
    assert process.stderr.read() == b""
    process.stderr.close()
    state = lab.check_whole()
    assert state.session.state == "stopped" and "nobody reads" in state.session.state_reason


async def test_a_run_that_is_resumed_waits_for_an_evaluator_that_is_not_back_yet(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeding, "RETRY_SECONDS", (0.02, 3600.0))
    lab = make_lab(capped(steps=2))
    lab.start()
    await lab.versions(2)
    await lab.killed()
    lab.evaluator.broken = "there is no Dask scheduler at tcp://node1:8786"
    lab.start()

    def waits() -> list[str]:
        return [s.reason for s in lab.of(ev.StateChanged) if s.state == "parked"]

    await lab.until(lambda: len(waits()) == 2)
    assert set(waits()) == {f"{lab.evaluator.broken}; it is tried again"}
    lab.evaluator.broken = None
    await lab.send(cmd.Resume())
    assert await lab.ended() == "finished"
    lab.check_whole()
