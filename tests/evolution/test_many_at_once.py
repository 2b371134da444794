"""Several devices in one session: what runs at once, in which order it counts, and what is left."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from functools import partial

from avo_tui.domain import events as ev
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.workers import WorkerStatus
from avo_tui.evaluation.ports import ProgressSink
from avo_tui.operators.ports import AttemptResult, StepOutcome, Workbench
from avo_tui.store import SessionReader
from tests.evolution.fake_evaluator import SEED, FakeEvaluator
from tests.evolution.laboratory import MakeLab
from tests.evolution.test_engine import Scripted, capped


class ManyDevices(FakeEvaluator):
    """Serves several at once; each evaluation takes a turn of the loop for each that is longer."""

    width: int = 3

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.width = width
        self.at_once = 0
        self.most = 0

    def workers(self) -> tuple[WorkerStatus, ...]:
        return ()

    async def _evaluate(self, candidate: Candidate, progress: ProgressSink) -> EvaluationReport:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            for _ in range(int(candidate.id[:2], 16) % 7):  # so that later ones end earlier
                await asyncio.sleep(0)
            return await super()._evaluate(candidate, progress)
        finally:
            self.at_once -= 1


def sources(count: int) -> list[Candidate]:
    return [Candidate(files={"kernel.cpp": f"{SEED}// number {n}\n"}) for n in range(count)]


async def test_the_tuner_uses_all_devices_and_keeps_to_its_cap(make_lab: MakeLab) -> None:
    lab = make_lab(capped(evaluations=30), evaluator=ManyDevices())
    lab.start()
    assert await lab.ended() == "finished"
    assert isinstance(lab.evaluator, ManyDevices) and lab.evaluator.most == 3
    assert lab.state.session.spend.evaluations == 30
    assert max(Counter(lab.evaluator.evaluations).values()) == 1
    assert not [a for a in lab.state.attempts.values() if a.verdict is None or a.undecided]
    best = lab.state.best
    assert best is not None and best.number > 0
    # what a reader folds from the journal is what the engine had
    assert SessionReader.open(lab.folder).state.attempts == lab.state.attempts


async def test_the_same_records_lead_to_the_same_proposals(make_lab: MakeLab) -> None:
    tried = []
    for name in ("one", "two"):
        lab = make_lab(capped(evaluations=20), evaluator=ManyDevices(), name=name)
        lab.start()
        await lab.ended()
        tried.append([(e.attempt.title, e.attempt.candidate) for e in lab.events
                      if isinstance(e, ev.AttemptStarted)])  # fmt: skip
    assert tried[0] == tried[1] and len(tried[0]) >= 20


async def test_a_kill_in_the_middle_of_a_batch_loses_and_doubles_nothing(
    make_lab: MakeLab,
) -> None:
    lab = make_lab(capped(evaluations=25), evaluator=ManyDevices())
    lab.start()
    assert isinstance(lab.evaluator, ManyDevices)
    devices = lab.evaluator

    def in_a_batch(versions: int) -> bool:
        return len(lab.state.versions) >= versions and devices.at_once > 1

    for versions in (2, 3):
        await lab.until(partial(in_a_batch, versions))
        await lab.killed()
        lab.start()
    assert await lab.ended() == "finished"
    judged = [
        a.candidate for a in lab.state.attempts.values()
        if a.verdict is not None and a.verdict.judges_candidate and not a.cached
    ]  # fmt: skip
    assert len(judged) == len(set(judged)) == lab.state.session.spend.evaluations == 25
    assert not [a for a in lab.state.attempts.values() if a.verdict is None]


async def test_results_come_in_the_order_given_and_twins_are_measured_once(
    make_lab: MakeLab,
) -> None:
    results: list[AttemptResult] = []
    given = [*sources(5), sources(1)[0]]

    async def step(bench: Workbench) -> StepOutcome:
        assert bench.evaluating.width == 3
        results.extend(await bench.evaluating.evaluate_many((c, "one of many") for c in given))
        return StepOutcome(outcome="nothing")

    lab = make_lab(capped(steps=1), evaluator=ManyDevices())
    lab.start(Scripted(step))
    await lab.ended()
    assert [r.candidate for r in results] == [c.id for c in given]
    assert results[-1].report.cached and not results[0].report.cached
    assert Counter(lab.evaluator.evaluations)[given[0].id] == 1
    assert sorted(r.number for r in results) == list(range(1, 7))


async def test_a_pause_takes_no_more_candidates_and_lets_those_at_work_end(
    make_lab: MakeLab,
) -> None:
    taken: list[str] = []
    results: list[AttemptResult] = []

    async def step(bench: Workbench) -> StepOutcome:
        def candidates() -> Iterator[tuple[Candidate, str]]:
            for number, candidate in enumerate(sources(9)):
                taken.append(candidate.id)
                if number == 2:
                    lab.run.control.ask_pause("the test asks for it")
                yield candidate, "one of many"

        results.extend(await bench.evaluating.evaluate_many(candidates()))
        lab.run.control.pause = None
        return StepOutcome(outcome="nothing")

    lab = make_lab(capped(steps=1), evaluator=ManyDevices())
    lab.start(Scripted(step))
    await lab.ended()
    assert len(taken) == len(results) == 3
    assert all(r.report.correct for r in results)


async def test_the_gate_is_asked_about_the_fastest_first(make_lab: MakeLab) -> None:
    lab = make_lab(capped(evaluations=30), evaluator=ManyDevices())
    lab.start()
    assert await lab.ended() == "finished"
    waiting: dict[int, float] = {}
    choices = 0
    for event in lab.events:
        match event:
            case ev.StepStarted():
                waiting = {}
            case ev.AttemptFinished() if event.report.score is not None and event.step:
                waiting[event.attempt] = event.report.score.aggregate
            case ev.AttemptRejected():
                waiting.pop(event.attempt, None)
            case ev.GateDecided():
                choices += len(waiting) > 1
                assert waiting.pop(event.attempt) >= max(waiting.values(), default=0.0)
            case _:
                pass
    assert choices, "there was nothing to choose from"
