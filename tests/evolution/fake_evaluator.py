"""A small evaluator for tests: no compiler, no process; its scores are computed from tunables.

It obeys the evaluator's port: progress, verdicts, cancellation. Its times are chosen by the test.
"""

import asyncio
import math
from collections.abc import Callable
from typing import Any, cast

from avo_tui.domain import tunables as tn
from avo_tui.domain.base import Value, now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceHealth, DeviceState
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import (
    Answer,
    BreadthQuestion,
    DescribeQuestion,
    EvaluateQuestion,
    MachineQuestion,
    Question,
    RemeasureQuestion,
    ReportQuestion,
    ScratchQuestion,
    ScratchReport,
    SeedQuestion,
)
from avo_tui.domain.report import EvaluationProgress, EvaluationReport, Seconds
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.task import Configuration, TaskInfo
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.evaluator import Evaluator

SEED = """\
// A pretend kernel.
constexpr int ALGORITHM = 0;  // tune: 0(naive) 1(tiled) 2(online)
constexpr int TILE_K = 16;  // tune: 16 32 64 128
constexpr int UNROLL = 1;  // tune: 1 2 4 8
constexpr int WIDTH = 1;  // tune: 1 4 8 16
constexpr bool FAST_EXP = false;  // tune: false true
"""

TASK = TaskInfo(
    name="pretend",
    title="Pretend kernel",
    language="cpp",
    description="Scores are computed from the tunables; nothing is compiled.",
    configurations=(
        Configuration(name="small", parameters={"n": 1}),
        Configuration(name="large", parameters={"n": 2}),
    ),
    baselines=("library",),
    reference_baseline="library",
    seed_files=("kernel.cpp",),
)


def seed() -> Candidate:
    return Candidate(files={"kernel.cpp": SEED})


def speed(candidate: Candidate) -> float:
    """Throughput over the baseline's: a smooth function with one interaction and one trap."""
    point = tn.point(tn.parse(candidate))
    value = 0.05 * {"0": 1.0, "1": 2.5, "2": 4.0}[point["ALGORITHM"]]
    value *= {"16": 1.0, "32": 1.1, "64": 1.25, "128": 1.05}[point["TILE_K"]]
    value *= {"1": 1.0, "2": 1.1, "4": 1.2, "8": 0.9}[point["UNROLL"]]
    value *= 1 + math.log2(int(point["WIDTH"])) * (0.4 if point["ALGORITHM"] != "0" else 0.02)
    return value * (1.3 if point["FAST_EXP"] == "true" else 1.0)


class FakeEvaluator(Evaluator):
    """Answers from `speed`, after `seconds`. Marks in the source ask for other verdicts."""

    def __init__(self, seconds: float = 0.0, paired_seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.paired_seconds = paired_seconds
        self.broken: str | None = None
        """While set, every request raises EvaluatorError with it."""
        self.verdict: Verdict | None = None
        """While set, every evaluation ends with it."""
        self.seed = seed()
        self.evaluations: list[str] = []
        self.paired: list[tuple[str, str]] = []
        self.cancelled = 0
        self.closed = False
        self.running: str | None = None
        self.paired_bias = 1.0
        """Factor on every paired gain, to make gates refuse."""
        self.replicate_bias: Callable[[int], float] = lambda _: 1.0
        """Further factor on a paired gain, by the number of the replicate: the machine's noise."""
        self.paired_without = 0
        """How many of the task's configurations are left out where two are timed in turn."""
        self.fails_beside: dict[str, list[Verdict]] = {}
        """Source → what it fails with, one a measurement beside a candidate, until used up."""
        self.fails_alone: dict[str, Verdict] = {}
        self.conditions = "pretend-1"
        self.pressure = 0.0
        """Share of the time that programs wait for a core, while pairs are measured and between."""
        self.score_bias = 1.0
        """Factor on every score."""
        self.elsewhere: dict[str, float] | Verdict = {}
        """Speed on other inputs than the scored ones, or what goes wrong on them."""
        self.hold_paired: int | None = None
        """The replicate of that number lasts until it is cancelled."""
        self.on_evaluate: Callable[[Candidate], None] | None = None
        self.hold: Callable[[], bool] = lambda: False
        """While it says yes, an evaluation that begins lasts until `let_go`."""
        self.held: str | None = None
        """The candidate of the evaluation that is held."""
        self._gone_on = asyncio.Event()

    def hold_no_more(self) -> None:
        """Evaluations that begin from now on are not held; one that is stays so."""
        self.hold = lambda: False

    def let_go(self) -> None:
        """Ends the evaluation that is held, and holds no more."""
        self.hold_no_more()
        self._gone_on.set()

    async def start(self) -> None: ...

    async def devices(self) -> tuple[DeviceState, ...]:
        state = DeviceState(name="cpu pretend", at=now(), pressure=self.pressure)
        return (state,) if self.pressure else ()

    async def close(self) -> None:
        self.closed = True

    async def request(self, body: dict[str, object], progress: ProgressSink | None = None) -> Any:
        raise NotImplementedError

    async def _work(self, candidate: Candidate, seconds: float, *, held: bool = False) -> None:
        self.running = candidate.id
        try:
            if held:
                self.held = candidate.id
                self._gone_on.clear()
                await self._gone_on.wait()
            else:
                await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running = self.held = None

    async def ask(
        self, task: str, question: Question[Answer], progress: ProgressSink | None = None
    ) -> Answer:
        heard = progress or (lambda _: None)
        asked = MachineQuestion | EvaluateQuestion | RemeasureQuestion
        if self.broken and isinstance(question, asked):
            raise EvaluatorError(self.broken)
        answer: Value | None
        match question:
            case DescribeQuestion():
                answer = TASK
            case SeedQuestion():
                answer = self.seed
            case MachineQuestion():
                answer = MachineInfo(
                    device="pretend", sandbox="none needed", conditions=self.conditions
                )
            case EvaluateQuestion(candidate=candidate):
                answer = await self._evaluate(candidate, heard)
            case RemeasureQuestion():
                answer = await self._remeasure(question, heard)
            case BreadthQuestion(candidate=candidate):
                answer = self._on_other_inputs(candidate)
            case ReportQuestion(candidate=candidate):
                answer = self._report(candidate, scored=False)
            case ScratchQuestion():
                answer = ScratchReport(compiled=True, exit_code=0, outcome="ended with exit code 0")
            case _:
                answer = question.unanswered(task, f"There is no {question.op} here.")
        return cast("Answer", answer)

    async def _evaluate(self, candidate: Candidate, progress: ProgressSink) -> EvaluationReport:
        self.evaluations.append(candidate.id)
        if self.on_evaluate is not None:
            self.on_evaluate(candidate)
        progress(EvaluationProgress(stage="compile", state="started"))
        progress(EvaluationProgress(stage="compile", state="finished", seconds=0.0))
        progress(EvaluationProgress(stage="benchmark", state="started"))
        await self._work(candidate, self.seconds, held=self.hold())
        return self._report(candidate, scored=True)

    async def _remeasure(
        self, question: RemeasureQuestion, progress: ProgressSink
    ) -> EvaluationReport:
        candidate, other = question.candidate, Candidate(files=question.other)
        self.paired.append((candidate.id, other.id))
        progress(EvaluationProgress(stage="remeasure", state="started"))
        endless = question.replicate == self.hold_paired
        await self._work(candidate, 3600.0 if endless else self.paired_seconds)
        if verdicts := self.fails_beside.get(other.id):
            words = Feedback(summary="the version it is measured beside failed")
            broken = {"verdict": Verdict.HARNESS_ERROR, "beside": verdicts.pop(0)}
            report = self._report(candidate, scored=False)
            return report.model_copy(update={**broken, "feedback": words})
        gain = speed(candidate) / speed(other) * self.paired_bias
        gain *= self.replicate_bias(question.replicate)
        names = [c.name for c in TASK.configurations][self.paired_without :]
        paired = PairedMeasurement(
            configurations=dict.fromkeys(names, (gain * 0.999, gain, gain * 1.001))
        )
        health = DeviceHealth(name="cpu pretend", pressure=self.pressure)
        told = {"paired": paired, "seconds": Seconds(benchmark=0.25), "health": health}
        return self._report(candidate, scored=False).model_copy(update=told)

    def _on_other_inputs(self, candidate: Candidate) -> EvaluationReport:
        report = self._report(candidate, scored=True)
        if isinstance(self.elsewhere, Verdict):
            words = Feedback(summary="as pretended")
            return report.replaced(verdict=self.elsewhere, feedback=words, score=None)
        if report.score is None or not self.elsewhere:
            return report.replaced(score=None)
        row = report.score.configurations[0]
        rows = (row.replaced(name=name, ratio=ratio) for name, ratio in self.elsewhere.items())
        return report.replaced(
            score=None, breadth=report.score.replaced(configurations=tuple(rows))
        )

    def _report(self, candidate: Candidate, *, scored: bool) -> EvaluationReport:
        text = "".join(candidate.files.values())
        verdict = self.verdict or self.fails_alone.get(candidate.id, Verdict.CORRECT)
        if "#error" in text:
            verdict = Verdict.COMPILE_ERROR
        if verdict is not Verdict.CORRECT:
            return EvaluationReport(
                task="pretend",
                candidate=candidate.id,
                verdict=verdict,
                feedback=Feedback(summary=f"pretended {verdict}"),
                at=now(),
            )
        ratio = speed(candidate) * self.score_bias
        score = Score(
            unit="GFLOP/s",
            reference_baseline="library",
            configurations=tuple(
                ConfigurationScore(
                    name=c.name,
                    throughput=100 * ratio,
                    p20=99.9 * ratio,
                    p80=100.1 * ratio,
                    ratio=ratio,
                    baselines={"library": 100.0},
                )
                for c in TASK.configurations
            ),
        )
        return EvaluationReport(
            task="pretend",
            candidate=candidate.id,
            verdict=Verdict.CORRECT,
            feedback=Feedback(summary="correct"),
            reached="benchmark",
            score=score if scored else None,
            seconds=Seconds(benchmark=self.seconds),
            at=now(),
        )
