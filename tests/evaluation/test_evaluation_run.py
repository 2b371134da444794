"""Seconds of a report: exact, except those from which a hidden case's size could be read."""

import asyncio
import contextlib
from typing import cast

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceHealth
from avo_tui.domain.report import ConfigurationCheck, EvaluationProgress
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation import evaluation_run
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda.compiled import hidden_refusal
from avo_tui.evaluation.evaluation_run import EvaluationRun
from avo_tui.evaluation.task import Task


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class NamedTask:
    name = "rowsum"


CHECKS = (
    ConfigurationCheck(name="small", ok=True, error=0.1),
    ConfigurationCheck(name="hidden", ok=True),
)


class Told:
    """One evaluation, whose stages take the given seconds."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, check: float, *, hidden: bool, fails: bool = False
    ) -> None:
        self.progress: list[EvaluationProgress] = []
        clock = Clock()
        monkeypatch.setattr(evaluation_run, "time", clock)
        self.run = EvaluationRun(
            cast("Task", NamedTask()), Candidate(files={"k.cpp": ""}), self.progress.append, 100.0
        )
        asyncio.run(self._stages(clock, check, hidden, fails))
        clock.now += 0.25
        verdict = Verdict.WRONG_RESULT if fails else Verdict.CORRECT
        self.report = self.run.report(verdict, Feedback(summary=""), None)

    async def _stages(self, clock: Clock, check: float, hidden: bool, fails: bool) -> None:
        self.run.health = DeviceHealth(name="gpu", seconds=check + 3.0)
        try:
            async with self.run.stage("check"):
                self.run.watch.add("calls", check / 2)
                clock.now += check
                if fails:
                    rejection = Rejected(Verdict.WRONG_RESULT, Feedback(summary=""))
                    rejection.silent = hidden
                    raise rejection
                self.run.checks = CHECKS if hidden else CHECKS[:1]
        except Rejected:
            return
        async with self.run.stage("benchmark"):
            self.run.watch.add("samples", 3.0)
            clock.now += 3.5

    @property
    def everything(self) -> str:
        """All that the author may see, but the moment."""
        told = [self.report.replaced(at=None), *self.progress]
        return "".join(value.model_dump_json() for value in told)


@pytest.mark.parametrize(("fails", "told"), [(False, 2.0), (True, 5.0)])
def test_the_time_of_a_check_with_hidden_cases_is_rounded(
    monkeypatch: pytest.MonkeyPatch, fails: bool, told: float
) -> None:
    one = Told(monkeypatch, 1.0625, hidden=True, fails=fails)
    other = Told(monkeypatch, 1.9375, hidden=True, fails=fails)
    assert one.everything == other.everything
    seconds = one.report.seconds
    assert seconds.check == told and "check" not in seconds.phases
    assert seconds.other == pytest.approx(0.25)
    if not fails:
        assert seconds.benchmark == pytest.approx(3.5)
        assert seconds.phases["benchmark"]["samples"] == 3.0


@pytest.mark.parametrize("fails", [False, True])
def test_the_time_of_a_check_of_public_cases_is_exact(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    told = Told(monkeypatch, 1.0625, hidden=False, fails=fails)
    assert told.report.seconds.check == pytest.approx(1.0625)
    assert told.report.seconds.phases["check"]["calls"] == pytest.approx(0.53125)


@pytest.mark.parametrize(("refused", "seconds"), [(False, 2.0), (True, 5.0)])
def test_compiling_that_saw_hidden_cases_tells_no_exact_time(
    monkeypatch: pytest.MonkeyPatch, refused: bool, seconds: float
) -> None:
    """As where a candidate's own `launch` in Python runs on every configuration."""

    async def stages(run: EvaluationRun, clock: Clock, spent: float) -> None:
        with contextlib.suppress(Rejected):
            async with run.stage("compile"):
                clock.now += spent
                if refused:
                    raise hidden_refusal("kernel.py")
                run.compiling_saw_hidden = True

    told = []
    for spent in (1.0625, 1.9375):
        clock, progress = Clock(), list[EvaluationProgress]()
        monkeypatch.setattr(evaluation_run, "time", clock)
        candidate = Candidate(files={"kernel.py": ""})
        run = EvaluationRun(cast("Task", NamedTask()), candidate, progress.append, 100.0)
        asyncio.run(stages(run, clock, spent))
        assert run.seconds().compile == progress[-1].seconds == seconds
        told.append((run.seconds(), progress))
    assert told[0] == told[1]
