"""Commits that a person approves or rejects."""

from avo_tui.domain import commands as cmd
from avo_tui.domain import events as ev
from avo_tui.domain.run_settings import RunSettings
from avo_tui.operators.ports import Interrupted, StepOutcome, SubmitResult, Workbench
from tests.evolution.laboratory import Laboratory, MakeLab
from tests.evolution.test_engine import Scripted, with_values


async def approving(make_lab: MakeLab) -> Laboratory:
    async def commit(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(ALGORITHM="2"), "better")
        while True:  # ends: the gate answers
            try:
                word = await bench.evaluating.submit(attempt, "a plan", "")
            except Interrupted:
                await bench.control.boundary("before the gate")
                continue
            return StepOutcome(
                outcome="committed" if word.version else "nothing", reason=word.reason
            )

    lab = make_lab(RunSettings(approve_commits=True))
    lab.start(Scripted(commit))
    await lab.until(lambda: lab.state.pending_approval)
    return lab


async def test_approve(make_lab: MakeLab) -> None:
    lab = await approving(make_lab)
    assert len(lab.state.versions) == 1
    answer = await lab.send(cmd.Approve())
    assert answer.effect == "attempt 1.1 is committed"
    await lab.versions(2)
    assert (await lab.send(cmd.Approve())).refused == "no commit waits for approval"


async def test_reject(make_lab: MakeLab) -> None:
    lab = await approving(make_lab)
    await lab.send(cmd.Reject(reason="unreadable"))
    await lab.until(lambda: lab.state.steps[1].ended)
    assert len(lab.state.versions) == 1
    assert lab.state.attempts[1, 1].reason == "rejected by the person: unreadable"


async def test_a_person_is_not_asked_twice_about_the_same_source(make_lab: MakeLab) -> None:
    lab = await approving(make_lab)
    await lab.send(cmd.Reject(reason="unreadable"))
    await lab.until(lambda: lab.state.steps[1].ended)
    await lab.stop()
    words: list[SubmitResult] = []

    async def once_more(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(ALGORITHM="2"), "the same again")
        words.append(await bench.evaluating.submit(attempt, "a plan", ""))
        return StepOutcome(outcome="nothing")

    lab.start(Scripted(once_more))
    await lab.until(lambda: words)
    assert words[0].version is None
    assert words[0].reason == (
        "the same source was refused in attempt 1 of step 1: rejected by the person: unreadable"
    )
    assert len(lab.of(ev.ApprovalRequested)) == 1


async def test_approval_survives_a_pause_and_a_crash(make_lab: MakeLab) -> None:
    lab = await approving(make_lab)
    measured = len(lab.evaluator.paired)
    await lab.send(cmd.Pause(mode="now"))
    await lab.in_state("paused")
    await lab.send(cmd.Resume())
    await lab.until(lambda: lab.state.session.state == "running")
    assert lab.state.pending_approval is not None
    assert len(lab.evaluator.paired) == measured, "what is on record is not measured again"
    await lab.killed()

    async def go_on(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(ALGORITHM="2"), "better, again")
        await bench.control.boundary("looking")
        return StepOutcome(outcome="nothing", reason=str(attempt.report.cached))

    lab.start(Scripted(go_on))
    await lab.until(lambda: lab.state.steps[1].ended)
    assert lab.state.pending_approval is None
