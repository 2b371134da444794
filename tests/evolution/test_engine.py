"""The loop: seed, steps, commits, budget, trouble."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import Remeasure, Resume, SetBudget, Stop, Submit
from avo_tui.domain.records import Author
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.verdict import Verdict
from avo_tui.operators.external import External
from avo_tui.operators.ports import StepOutcome, Workbench
from avo_tui.store import SessionLocked, SessionWriter
from tests.evolution.fake_evaluator import FakeEvaluator, seed, speed
from tests.evolution.laboratory import MakeLab


def capped(**caps: float) -> RunSettings:
    return RunSettings(budget=Budget(run=Caps.model_validate(caps)))


class Scripted:
    """An operator that does what a test says, step after step, then waits at a boundary."""

    author: Author = "agent"

    def __init__(self, *steps: Callable[[Workbench], Awaitable[StepOutcome]]) -> None:
        self.steps = list(steps)

    async def vary(self, bench: Workbench) -> StepOutcome:
        if self.steps:
            return await self.steps.pop(0)(bench)
        await bench.control.boundary("at the end of the script")
        await bench.control.interruptible(asyncio.sleep(60))
        return StepOutcome(outcome="nothing")


def with_values(**values: str) -> Candidate:
    from avo_tui.domain import tunables as tn

    return tn.apply(seed(), values)


async def test_tuner_climbs_and_the_budget_ends_the_run(make_lab: MakeLab) -> None:
    lab = make_lab(capped(evaluations=25))
    lab.start()
    assert await lab.ended() == "finished"
    state = lab.check_whole()
    assert state.session.state == "finished"
    assert "evaluations" in state.session.state_reason
    assert state.session.spend.evaluations == 25
    assert len(lab.evaluator.evaluations) == 25
    assert len(set(lab.evaluator.evaluations)) == 25, "no candidate is measured twice"
    assert len(state.versions) >= 4
    aggregates = [v.aggregate for v in state.versions.values()]
    assert aggregates == sorted(aggregates)
    assert aggregates[-1] > 4 * aggregates[0]
    assert state.versions[0].gate.gate == "seed"
    for version in list(state.versions.values())[1:]:
        assert version.gate.remeasured and version.gate.gate == "strict"
        assert version.author == "tuner" and version.plan
    assert lab.evaluator.closed
    warned = lab.of(ev.BudgetWarned)
    assert [(w.unit, w.exhausted) for w in warned] == [
        ("evaluations", False),
        ("evaluations", True),
    ]


async def test_the_same_seed_of_chance_gives_the_same_lineage(make_lab: MakeLab) -> None:
    lineages = []
    for name in ("one", "two"):
        lab = make_lab(capped(evaluations=10), name=name)
        lab.start()
        await lab.ended()
        lineages.append([v.candidate for v in lab.check_whole().versions.values()])
    assert lineages[0] == lineages[1]
    lab = make_lab(
        RunSettings(budget=Budget(run=Caps(evaluations=10)), random_seed=5), name="three"
    )
    lab.start()
    await lab.ended()
    assert [v.candidate for v in lab.state.versions.values()] != lineages[0]


async def test_steps_cap(make_lab: MakeLab) -> None:
    lab = make_lab(capped(steps=3))
    lab.start()
    assert await lab.ended() == "finished"
    assert lab.state.session.spend.steps == 3
    assert sorted(lab.state.steps) == [1, 2, 3]


async def test_raising_the_budget_of_a_finished_run_goes_on(make_lab: MakeLab) -> None:
    lab = make_lab(capped(steps=1))
    lab.start()
    await lab.ended()
    lab.start()
    assert await lab.ended() == "finished", "nothing is left of the budget"
    lab.start(brief=True)
    await lab.send(SetBudget(budget=Budget(run=Caps(steps=2))))
    await lab.ended()
    lab.start()
    assert await lab.ended() == "finished"
    assert lab.state.session.spend.steps == 2


async def test_per_step_cap_ends_the_step_only(make_lab: MakeLab) -> None:
    lab = make_lab(RunSettings(budget=Budget(run=Caps(steps=3), step=Caps(evaluations=1))))
    lab.start()
    await lab.ended()
    for step in lab.state.steps.values():
        assert step.attempts == 1


async def test_hours_cap_counts_running_time(make_lab: MakeLab) -> None:
    lab = make_lab(capped(hours=1))
    lab.evaluator.on_evaluate = lambda candidate: lab.pass_time(1000)
    lab.start()
    assert await lab.ended() == "finished"
    assert 3600 <= lab.state.session.spend.seconds < 5000
    assert len(lab.evaluator.evaluations) == 4


async def test_a_seed_that_fails_pauses_with_a_sentence_and_can_be_tried_again(
    make_lab: MakeLab,
) -> None:
    evaluator = FakeEvaluator()
    evaluator.verdict = Verdict.TIMEOUT
    lab = make_lab(capped(steps=1), evaluator)
    lab.start()
    await lab.in_state("paused")
    assert "seed" in lab.state.session.state_reason
    assert "pretended timeout" in lab.state.session.state_reason
    evaluator.verdict = None
    await lab.send(Resume())
    assert await lab.ended() == "finished"
    assert lab.state.versions[0].attempt == 2


async def test_an_evaluator_that_cannot_serve_pauses_the_run(make_lab: MakeLab) -> None:
    evaluator = FakeEvaluator()
    evaluator.broken = "there is no compiler; install g++"
    lab = make_lab(capped(steps=1), evaluator)
    lab.start()
    await lab.in_state("paused")
    assert lab.state.session.state_reason == "there is no compiler; install g++"
    evaluator.broken = None
    await lab.send(Resume())
    assert await lab.ended() == "finished"


async def test_an_evaluator_that_breaks_in_a_step_pauses_and_the_step_goes_on(
    make_lab: MakeLab,
) -> None:
    evaluator = FakeEvaluator()
    lab = make_lab(capped(steps=2), evaluator)

    def break_it(candidate: Candidate) -> None:
        if len(evaluator.evaluations) == 3:
            evaluator.broken = "the worker does not start"

    evaluator.on_evaluate = break_it
    lab.start()
    await lab.in_state("paused")
    assert lab.state.session.state_reason == "the worker does not start"
    assert lab.of(ev.TroubleNoted)
    evaluator.broken = None
    await lab.send(Resume())
    assert await lab.ended() == "finished"
    lab.check_whole()


async def test_a_harness_that_fails_again_and_again_pauses_the_run(make_lab: MakeLab) -> None:
    evaluator = FakeEvaluator()
    lab = make_lab(capped(steps=1), evaluator)

    def fail_after_the_seed(candidate: Candidate) -> None:
        evaluator.verdict = Verdict.HARNESS_ERROR if lab.state.versions else None

    evaluator.on_evaluate = fail_after_the_seed
    lab.start()
    await lab.in_state("paused")
    assert "3 times in a row" in lab.state.session.state_reason
    assert lab.state.session.spend.evaluations == 1 or evaluator.evaluations
    failed = [a for a in lab.state.attempts.values() if a.verdict is Verdict.HARNESS_ERROR]
    assert len(failed) == 3
    evaluator.verdict = evaluator.on_evaluate = None
    await lab.send(Resume())
    assert await lab.ended() == "finished"


async def test_no_device_pauses_the_run(make_lab: MakeLab) -> None:
    evaluator = FakeEvaluator()
    evaluator.verdict = Verdict.NO_DEVICE
    lab = make_lab(None, evaluator)
    lab.start()
    await lab.in_state("paused")
    assert "no_device" in lab.state.session.state_reason


async def test_an_operator_that_raises_is_trouble_and_pauses_after_three(make_lab: MakeLab) -> None:
    async def fail(bench: Workbench) -> StepOutcome:
        raise RuntimeError("the model speaks in tongues")

    lab = make_lab()
    lab.start(Scripted(fail, fail, fail))
    await lab.in_state("paused")
    assert "the model speaks in tongues" in lab.state.session.state_reason
    troubles = lab.of(ev.TroubleNoted)
    assert len(troubles) == 3
    assert troubles[0].ref is not None
    assert b"Traceback" in lab.writer.get(troubles[0].ref)
    assert [s.outcome for s in lab.state.steps.values()] == ["failed"] * 3


async def test_a_secret_never_reaches_the_record(
    make_lab: MakeLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "hunter2-hunter2-hunter2"
    monkeypatch.setenv("ANTHROPIC_API_KEY", secret)

    async def fail(bench: Workbench) -> StepOutcome:
        raise RuntimeError(f"bad key {secret}")

    lab = make_lab()
    lab.start(Scripted(fail))
    await lab.until(lambda: lab.of(ev.TroubleNoted))
    await lab.stop()
    for path in lab.folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    ref = lab.of(ev.TroubleNoted)[0].ref
    assert ref is not None and secret.encode() not in lab.writer.get(ref)


async def test_a_repeated_candidate_is_answered_from_the_record(make_lab: MakeLab) -> None:
    worse = with_values(UNROLL="8")

    async def repeat(bench: Workbench) -> StepOutcome:
        first = await bench.evaluating.evaluate(worse, "first")
        again = await bench.evaluating.evaluate(worse, "again")
        assert not first.report.cached and again.report.cached
        assert again.report.score == first.report.score
        assert again.number == 2
        return StepOutcome(outcome="nothing", reason="repeated")

    lab = make_lab()
    lab.start(Scripted(repeat))
    await lab.until(lambda: 1 in lab.state.steps and lab.state.steps[1].ended)
    assert lab.state.steps[1].outcome == "nothing"
    assert lab.evaluator.evaluations.count(worse.id) == 1
    assert lab.state.attempts[1, 2].cached
    assert lab.state.session.spend.evaluations == 2, "seed and first; the repeat is free"


async def test_submitting_twice_commits_once(make_lab: MakeLab) -> None:
    better = with_values(ALGORITHM="2")

    async def twice(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(better, "online softmax")
        first = await bench.evaluating.submit(attempt, "a plan", "a summary")
        second = await bench.evaluating.submit(attempt, "a plan", "a summary")
        assert first.version is not None and first.version == second.version
        repeat = await bench.evaluating.submit(
            await bench.evaluating.evaluate(better, "again"), "", ""
        )
        assert repeat.version is None and "v1 already" in repeat.reason
        return StepOutcome(outcome="committed")

    lab = make_lab()
    lab.start(Scripted(twice))
    await lab.until(lambda: 1 in lab.state.steps and lab.state.steps[1].ended)
    assert lab.state.steps[1].outcome == "committed", lab.state.steps[1].reason
    assert list(lab.state.versions) == [0, 1]
    assert lab.state.versions[1].plan == "a plan"
    assert lab.state.attempts[1, 1].version == 1


async def test_a_wrong_candidate_never_reaches_the_gate(make_lab: MakeLab) -> None:
    broken = seed().with_file("kernel.cpp", "#error no\n")

    async def wrong(bench: Workbench) -> StepOutcome:
        attempt = await bench.evaluating.evaluate(broken, "broken")
        word = await bench.evaluating.submit(attempt, "", "")
        assert word.decision is None and word.version is None
        assert "compile_error" in word.reason
        return StepOutcome(outcome="nothing")

    lab = make_lab()
    lab.start(Scripted(wrong))
    await lab.until(lambda: 1 in lab.state.steps and lab.state.steps[1].ended)
    assert lab.state.steps[1].outcome == "nothing", lab.state.steps[1].reason
    assert lab.evaluator.paired == []
    assert lab.state.attempts[1, 1].verdict is Verdict.COMPILE_ERROR


async def test_a_second_engine_is_refused(make_lab: MakeLab) -> None:
    lab = make_lab()
    lab.start()
    await lab.versions(1)
    with pytest.raises(SessionLocked):
        SessionWriter.open(lab.folder)
    await lab.stop()
    SessionWriter.open(lab.folder).close()


async def test_external_waits_and_makes_a_step_of_each_submission(make_lab: MakeLab) -> None:
    lab = make_lab(RunSettings(operator="external"))
    lab.start(External())
    await lab.versions(1)
    command = Submit(candidate=with_values(ALGORITHM="1"), plan="tile it", author="external")
    answer = await lab.send(command)
    assert answer.refused is None and "committed as v1" in answer.effect
    assert lab.state.versions[1].author == "external"
    assert lab.state.steps[1].outcome == "committed"
    worse = await lab.send(Submit(candidate=with_values(UNROLL="8"), author="external"))
    assert "not committed" in worse.effect
    assert lab.state.steps[2].outcome == "nothing"
    assert lab.state.current_step is None
    await lab.send(Stop())
    assert await lab.ended() == "stopped"


async def test_brief_engine_takes_the_inbox_and_keeps_the_state(make_lab: MakeLab) -> None:
    lab = make_lab(capped(steps=2))
    lab.start()
    await lab.ended()
    count = len(lab.state.versions)
    lab.start(brief=True)
    best = with_values(ALGORITHM="2", WIDTH="16", FAST_EXP="true", TILE_K="64", UNROLL="4")
    submitted, measured, refused = await asyncio.gather(
        lab.send(Submit(candidate=best, plan="by hand")),
        lab.send(Remeasure(version=0)),
        lab.send(Resume()),
    )
    assert await lab.ended() == "finished"
    assert f"committed as v{count}" in submitted.effect
    assert "v0 measured again" in measured.effect
    assert refused.refused is not None and "run --resume" in refused.refused
    state = lab.check_whole()
    assert state.session.state == "finished"
    assert state.versions[count].author == "person"
    assert state.versions[count].aggregate == pytest.approx(speed(best))
    assert len(state.versions[0].remeasurements) == 1
    assert list((lab.folder / "inbox").glob("*.json")) == []


async def test_failures_of_the_harness_count_in_a_row(make_lab: MakeLab) -> None:
    evaluator = FakeEvaluator()
    lab = make_lab(None, evaluator)
    ends = [*[Verdict.HARNESS_ERROR] * 2, None, *[Verdict.HARNESS_ERROR] * 2, None]
    texts = [f"// {n}\n{seed().files['kernel.cpp']}" for n in range(len(ends))]

    async def measure(bench: Workbench) -> StepOutcome:
        for text, verdict in zip(texts, ends, strict=True):
            evaluator.verdict = verdict
            await bench.evaluating.evaluate(Candidate(files={"kernel.cpp": text}), "a try")
            assert not bench.control.pause_wanted()
        return StepOutcome(outcome="nothing", reason="measured")

    lab.start(Scripted(measure))
    await lab.until(lambda: 1 in lab.state.steps and lab.state.steps[1].ended)
    assert lab.state.steps[1].reason == "measured"


async def test_a_time_out_is_measured_again_and_other_verdicts_are_not(make_lab: MakeLab) -> None:
    evaluator = FakeEvaluator()
    lab = make_lab(None, evaluator)
    told: list[tuple[Verdict, bool]] = []

    async def measure(bench: Workbench) -> StepOutcome:
        candidate = with_values(ALGORITHM="2")
        for verdict in (Verdict.TIMEOUT, None, Verdict.WRONG_RESULT):
            evaluator.verdict = verdict
            report = (await bench.evaluating.evaluate(candidate, "the same")).report
            told.append((report.verdict, report.cached))
        return StepOutcome(outcome="nothing")

    lab.start(Scripted(measure))
    await lab.until(lambda: len(told) == 3)
    assert told == [
        (Verdict.TIMEOUT, False),
        (Verdict.CORRECT, False),
        (Verdict.CORRECT, True),
    ]
