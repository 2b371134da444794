"""Audits: what was committed is measured again, and loses its place where it does not hold."""

from collections.abc import Awaitable, Callable

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain import lineage
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.verdict import Verdict
from avo_tui.operators.ports import StepOutcome, Workbench
from tests.evolution.laboratory import Laboratory, MakeLab
from tests.evolution.test_engine import Scripted, with_values


def commits(**values: str) -> Callable[[Workbench], Awaitable[StepOutcome]]:
    async def step(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(with_values(**values), "a try")
        await bench.evaluating.submit(attempt, "", "")
        return StepOutcome(outcome="committed")

    return step


async def committed(lab: Laboratory) -> None:
    """v1 beats v0, v2 beats v1; the engine is then stopped."""
    lab.start(Scripted(commits(ALGORITHM="1"), commits(ALGORITHM="2")))
    await lab.versions(3)
    await lab.until(lambda: lab.state.session.step == 3)
    await lab.stop()


async def audited(lab: Laboratory, operator: Scripted) -> ev.VersionAudited:
    """The first audit of an engine that goes on with the session."""
    lab.start(operator)
    await lab.until(lambda: lab.of(ev.VersionAudited))
    return lab.of(ev.VersionAudited)[0]


async def resting(lab: Laboratory) -> Laboratory:
    """A session with three versions whose open step is over, so that audits can take place."""
    await committed(lab)
    assert not lab.of(ev.VersionAudited), "nothing is due yet"
    return lab


async def over(bench: Workbench) -> StepOutcome:
    return StepOutcome(outcome="nothing")


async def test_another_harness_has_head_and_best_measured_again(make_lab: MakeLab) -> None:
    lab = await resting(make_lab())
    lab.evaluator.conditions = "pretend-2"
    first = await audited(lab, Scripted(over))
    assert (first.number, first.audit.outcome, first.audit.reference) == (2, "holds", 1)
    assert first.audit.conditions == "pretend-2" and first.head is None
    version = lab.state.versions[2]
    assert version.holds and len(version.remeasurements) == 1
    assert version.score_under("pretend-2") == version.remeasurements[0].score
    assert lab.state.session.head == 2
    await lab.until(lambda: lab.state.current_step)
    await lab.stop()
    lab.start(Scripted(over))
    await lab.until(lambda: lab.state.session.step == 5)
    assert len(lab.of(ev.VersionAudited)) == 1, "once under the same conditions"


async def test_what_does_not_hold_loses_the_head_and_stays(make_lab: MakeLab) -> None:
    """The measurements of the commit were a fluke: now it is no faster than what it had beaten."""
    lab = await resting(make_lab())
    lab.evaluator.conditions = "pretend-2"
    lab.evaluator.paired_bias = 0.9 / 1.6
    first = await audited(lab, Scripted(over))
    assert first.audit.outcome == "fails" and first.head == 1
    state = lab.state
    assert state.session.head == 1 and 2 in state.versions and not state.versions[2].holds
    assert state.best is not None and state.best.number == 1
    assert [v.number for v in lineage.best_so_far(state.versions.values())] == [0, 1, 1]
    assert lineage.line_best(state.versions, 2).number == 1
    assert any("does not hold" in t.message for t in lab.of(ev.TroubleNoted))
    await lab.until(lambda: lab.state.current_step)
    assert lab.state.current_step is not None and lab.state.current_step.parent == 1
    lab.check_whole()


async def test_times_of_a_busy_machine_take_no_head(make_lab: MakeLab) -> None:
    lab = await resting(make_lab())
    lab.evaluator.conditions, lab.evaluator.pressure = "pretend-2", 0.9
    lab.evaluator.paired_bias = 0.9 / 1.6
    first = await audited(lab, Scripted(over))
    assert first.audit.outcome == "unclear" and "take no head" in first.audit.reason
    assert lab.state.session.head == 2 and lab.state.versions[2].holds
    await lab.until(lambda: lab.state.current_step)
    await lab.stop()
    lab.evaluator.pressure = 0.0
    lab.start(Scripted(commits(ALGORITHM="1"), over))
    await lab.until(lambda: len(lab.of(ev.VersionAudited)) > 1)
    again = lab.of(ev.VersionAudited)[1]
    assert (again.audit.outcome, again.head) == ("fails", 1), "when it is quiet"


async def test_a_version_that_is_wrong_now_fails(make_lab: MakeLab) -> None:
    lab = await resting(make_lab())
    lab.evaluator.conditions = "pretend-2"
    lab.evaluator.verdict = Verdict.WRONG_RESULT
    first = await audited(lab, Scripted(over))
    assert first.audit.outcome == "fails" and "wrong_result" in first.audit.reason


async def test_a_machine_that_fails_says_nothing_about_a_version(make_lab: MakeLab) -> None:
    lab = await resting(make_lab())
    lab.evaluator.conditions = "pretend-2"
    lab.evaluator.verdict = Verdict.NO_DEVICE
    lab.start(Scripted(over))
    await lab.until(lambda: lab.state.session.step == 4)
    assert not lab.of(ev.VersionAudited) and lab.state.versions[2].holds
    (put_off,) = [t.message for t in lab.of(ev.TroubleNoted) if t.where == "audit"]
    assert "v2 could not be measured again (the harness or the machine has changed)" in put_off
    assert "once the run has made 43 evaluations (3 by now)" in put_off


async def test_the_seed_is_never_audited(make_lab: MakeLab) -> None:
    lab = make_lab(RunSettings(options={"audit.every": 1}))
    lab.start(Scripted(over, over))
    await lab.until(lambda: lab.state.session.step == 3)
    await lab.stop()
    assert lab.state.session.spend.evaluations >= 1 and not lab.of(ev.VersionAudited)


async def test_an_audit_is_due_after_so_many_evaluations(make_lab: MakeLab) -> None:
    lab = make_lab(RunSettings(options={"audit.every": 3}))
    await committed(lab)
    first, *more = lab.of(ev.VersionAudited)
    assert first.number == 2 and not more
    assert first.audit.evaluations == lab.state.session.spend.evaluations == 3


async def test_what_was_committed_under_load_is_measured_again_when_it_is_quiet(
    make_lab: MakeLab,
) -> None:
    lab = make_lab()
    lab.evaluator.pressure = 0.9
    lab.start(Scripted(commits(ALGORITHM="1"), over))
    await lab.until(lambda: lab.state.session.step == 3)
    version = lab.state.versions[1]
    assert "waited for a core 90% of the time in 2 of 2 pairs" in version.under_load
    assert version.under_load in version.gate.basis and version.star == "☆"
    assert lab.state.best is not None and lab.state.best.number == 1, "the best, with another sign"
    assert not lab.of(ev.VersionAudited), "the machine is still busy"
    await lab.stop()
    lab.evaluator.pressure = 0.0
    first = await audited(lab, Scripted(over))
    assert (first.number, first.audit.outcome, first.audit.busy) == (1, "holds", "")
    assert lab.state.versions[1].star == "★" and not lab.state.versions[1].under_load
    lab.check_whole()


async def test_an_audit_under_load_settles_nothing(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.evaluator.pressure = 0.9
    await committed(lab)
    lab.evaluator.conditions = "pretend-2"
    first = await audited(lab, Scripted(over))
    assert first.audit.outcome == "holds" and first.audit.busy in first.audit.line
    assert first.audit.busy and lab.state.versions[2].star == "☆"


@pytest.mark.parametrize(
    ("beside", "alone", "loses"),
    [
        ([Verdict.SUSPICIOUS], Verdict.SUSPICIOUS, True),  # it fails alone, too
        ([Verdict.SUSPICIOUS] * 2, None, True),  # twice beside another
        ([Verdict.SUSPICIOUS], None, False),  # once, and never again
    ],
)
async def test_a_rival_that_fails_does_not_stand_in_the_way_of_an_honest_candidate(
    make_lab: MakeLab, beside: list[Verdict], alone: Verdict | None, loses: bool
) -> None:
    lab = await resting(make_lab())
    rival = lab.state.versions[2].candidate
    lab.evaluator.fails_beside[rival] = list(beside)
    if alone is not None:
        lab.evaluator.fails_alone[rival] = alone
    lab.start(Scripted(commits(ALGORITHM="2", TILE_K="64")))
    await lab.versions(4)
    version = lab.state.versions[3]
    assert version.gate.reference == (1 if loses else 2)
    assert lab.state.versions[2].holds is not loses
    assert lab.state.session.head == 3
    told = [t.message for t in lab.of(ev.TroubleNoted) if "does not hold" in t.message]
    assert len(told) == loses


async def test_a_rival_that_only_took_too_long_keeps_its_place(make_lab: MakeLab) -> None:
    lab = await resting(make_lab())
    lab.evaluator.fails_beside[lab.state.versions[2].candidate] = [Verdict.TIMEOUT]
    lab.start(Scripted(commits(ALGORITHM="2", TILE_K="64")))
    await lab.until(lambda: any(a.reason for a in lab.state.attempts.values()))
    assert lab.state.versions[2].holds and len(lab.state.versions) == 3


async def test_a_pair_timed_on_other_configurations_decides_nothing(make_lab: MakeLab) -> None:
    """As by a worker that has another version of the task."""
    lab = await resting(make_lab())
    lab.evaluator.paired_without = 1
    lab.start(Scripted(commits(ALGORITHM="2", TILE_K="64")))
    await lab.until(lambda: any(a.reason for a in lab.state.attempts.values()))
    (reason,) = {a.reason for a in lab.state.attempts.values() if a.reason}
    assert "other configurations" in reason and len(lab.state.versions) == 3
