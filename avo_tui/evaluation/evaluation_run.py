"""One evaluation while it goes on: its stages, their times, and the report that comes of it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceHealth
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.report import (
    HIDDEN,
    ConfigurationCheck,
    EvaluationProgress,
    EvaluationReport,
    Resources,
    Seconds,
    Stage,
)
from avo_tui.domain.score import PairedMeasurement, Score
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.measurement.stopwatch import Stopwatch
from avo_tui.evaluation.task import Task

LOG_LIMIT = 16_000
"""Characters of a compiler's log that are kept."""
_MEASURED_ON = {"device", "architecture", "sandbox", "sandbox_warning"}
"""Fields of a machine that its reports have."""
_NOTES = 600
"""Characters of the notes that progress shows."""
_WHOLE, _COARSE = 1.0, 5.0
"""The time of a check with hidden cases is rounded up to a multiple of so many seconds: `_WHOLE` of
one that passed, `_COARSE` of one that failed on them. Its author could read their sizes from it."""

person = logging.getLogger("avo_tui.evaluation.person")
"""Log for the person only, not for a candidate's author: a worker sends it to the engine's log, and
no report contains it."""


@dataclass
class EvaluationRun:
    """How far one evaluation got, what was learnt by then, and how long each stage took."""

    task: Task
    candidate: Candidate
    progress: Callable[[EvaluationProgress], None]
    began: float
    """Time of `time.monotonic` at its beginning, without the worker's own start-up."""
    reached: Stage = "compile"
    spent: dict[str, float] = field(default_factory=dict)
    """Stage, or "waiting" for the device → seconds."""
    done: list[Stage] = field(default_factory=list)
    checks: tuple[ConfigurationCheck, ...] = ()
    resources: Resources = field(default_factory=Resources)
    log: str = ""
    score: Score | None = None
    breadth: Score | None = None
    paired: PairedMeasurement | None = None
    beside: Verdict | None = None
    """Verdict on the other version of a paired measurement, where that one failed."""
    notes: str = ""
    """Further remarks that do not affect the verdict, one a line."""
    watch: Stopwatch = field(default_factory=Stopwatch)
    phases: dict[str, dict[str, float]] = field(default_factory=dict)
    """Stage → part of it → seconds."""
    start_up: float = 0.0
    """Seconds that the worker spent on its own start-up."""
    compiling_saw_hidden: bool = False
    """Whether code of the candidate ran on hidden configurations while it was compiled."""
    silent: bool = False
    """True if a candidate that has seen hidden inputs could reveal them by its run time."""
    health: DeviceHealth | None = None
    """State of the device while its lock was held."""

    @asynccontextmanager
    async def stage(self, name: Stage) -> AsyncIterator[None]:
        """Times a stage, and tells `progress` that it began, ended, and whether it succeeded."""
        self.reached = name
        self.watch.seconds = {}
        self.progress(EvaluationProgress(stage=name, state="started"))
        began = time.monotonic()
        ok = False
        try:
            yield
            ok = True
            self.done.append(name)
        except Rejected as rejection:
            self.silent = rejection.silent
            raise
        finally:
            seconds = time.monotonic() - began
            self.spent[name] = self.spent.get(name, 0.0) + seconds
            if phases := self.watch.seconds:
                idle = max(0.0, seconds - sum(phases.values()))
                self.phases[name] = {**phases, "idle": idle}
            compiled = name == "compile"
            if name == "check":
                person.debug("%s check: %.3f s, %s", self.task.name, seconds, self.phases.get(name))
                seconds = self._told(seconds)
            elif compiled:
                seconds = self._compile_told(seconds)
            self.progress(
                EvaluationProgress(
                    stage=name, state="finished", ok=ok, seconds=seconds,
                    log=self.log[:LOG_LIMIT] if compiled else "",
                    resources=self.resources if compiled and ok else None,
                    detail="; ".join(self.notes.splitlines())[:_NOTES],
                )
            )  # fmt: skip

    def seconds(self) -> Seconds:
        """The time so far, by stage; whatever is in none of them is `other`."""
        total = time.monotonic() - self.began
        waiting = self.spent.get("waiting", 0.0)
        compile_ = self.spent.get("compile", 0.0)
        check = self.spent.get("check", 0.0)
        benchmark = self.spent.get("benchmark", 0.0) + self.spent.get("remeasure", 0.0)
        other = max(0.0, total - waiting - compile_ - check - benchmark)
        phases = dict(self.phases)
        if self._saw_hidden:
            check = self._told(check)
            phases.pop("check", None)
        return Seconds(
            compile=self._compile_told(compile_), check=check, benchmark=benchmark,
            other=other, waiting=waiting, phases=phases, start_up=self.start_up,
        )  # fmt: skip

    @property
    def _saw_hidden(self) -> bool:
        """Whether the candidate has run on hidden inputs."""
        return self.silent or any(c.name == HIDDEN for c in self.checks)

    def _compile_told(self, seconds: float) -> float:
        """Seconds of compiling as they are told, rounded up where that saw hidden cases."""
        refused = self.silent and self.reached == "compile"
        if not (self.compiling_saw_hidden or refused):
            return seconds
        step = _COARSE if refused else _WHOLE
        return step * math.ceil(seconds / step)

    def _told(self, seconds: float) -> float:
        """Seconds of what includes the check, as they are told: rounded up after hidden cases."""
        if not self._saw_hidden:
            return seconds
        step = _COARSE if self.silent else _WHOLE
        return step * math.ceil(seconds / step)

    def started_up(self, seconds: float) -> None:
        """Exclude from the evaluation the seconds that the worker spent on its own start-up."""
        self.start_up += seconds
        self.began += seconds

    def summary(self) -> str:
        """What the report of a correct candidate says first, such as "it compiles"."""
        if self.score is not None:
            ratio = self.score.aggregate
            return f"correct; {ratio:.3f}× {self.task.reference_baseline} in the geometric mean"
        if self.paired is not None:
            return f"{(self.paired.gain - 1) * 100:+.1f}% against the other version"
        return "correct" if self.checks else "it compiles"

    def report(
        self, verdict: Verdict, feedback: Feedback, machine: MachineInfo | None
    ) -> EvaluationReport:
        """The report of the evaluation, which has ended; `machine` is None where it is unknown.

        Measurements are only in the report of a correct candidate.
        """
        return EvaluationReport(
            task=self.task.name,
            candidate=self.candidate.id,
            verdict=verdict,
            feedback=feedback,
            reached=self.reached,
            checks=self.checks,
            resources=self.resources,
            score=self.score if verdict is Verdict.CORRECT else None,
            breadth=self.breadth if verdict is Verdict.CORRECT else None,
            paired=self.paired if verdict is Verdict.CORRECT else None,
            beside=self.beside,
            seconds=self.seconds(),
            **(machine.model_dump(include=_MEASURED_ON) if machine is not None else {}),
            at=now(),
            stages_done=tuple(self.done),
            health=self._health_told(),
        )

    def _health_told(self) -> DeviceHealth | None:
        """The state of the device; where a check ran under its lock, its time is in there, too."""
        if self.health is None:
            return None
        return self.health.replaced(seconds=self._told(self.health.seconds))
