"""The report of an evaluation: verdict, checks, resources, score, seconds; and its progress."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from avo_tui.domain.base import Moment, Value
from avo_tui.domain.device import DeviceHealth
from avo_tui.domain.plain import Safe
from avo_tui.domain.score import PairedMeasurement, Score
from avo_tui.domain.verdict import Feedback, Verdict

Stage = Literal["waiting", "compile", "check", "benchmark", "remeasure"]
"""`waiting`: waiting for the lock of the device. This time counts neither as evaluation time nor as
a stall."""


class Resources(Value):
    """Properties of the compiled candidate, as far as the backend knows them."""

    registers: int | None = None
    """Registers per thread, the largest over the kernels."""
    spill_bytes: int | None = None
    """Spill stores plus spill loads, in bytes."""
    stack_bytes: int | None = None
    shared_memory: int | None = None
    """Static plus dynamic shared memory, bytes per block, the largest over the stages."""
    code_bytes: int | None = None
    instructions: dict[str, int] = Field(default_factory=dict)
    """Number of instructions by class, such as HGMMA or `fma 256-bit`."""
    kernels: dict[str, dict[str, int]] = Field(default_factory=dict)
    """Per kernel: registers, spills, shared memory."""
    warnings: tuple[Safe, ...] = ()

    def summary(self) -> str:
        """The line a screen shows, such as `168 registers · 0 spills · 232 KB shared memory`."""
        parts = []
        if self.registers is not None:
            parts.append(f"{self.registers} registers")
        if self.spill_bytes is not None:
            parts.append(f"{self.spill_bytes} B spilled" if self.spill_bytes else "0 spills")
        if self.shared_memory:
            parts.append(f"{self.shared_memory / 1024:.0f} KB shared memory")
        if self.code_bytes:
            parts.append(f"{self.code_bytes / 1024:.1f} KB code")
        parts.extend(f"{n} {name}" for name, n in self.instructions.items())
        return " · ".join(parts)


class Seconds(Value):
    """How the time of one evaluation was spent; `waiting` for the lock is not part of `total`."""

    compile: float = 0.0
    check: float = 0.0
    benchmark: float = 0.0
    other: float = 0.0
    waiting: float = 0.0
    phases: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Stage → phase → seconds, where the backend measures it; the rest of a stage is `idle`. Those
    of a check with hidden cases are left out, and its seconds are rounded up."""
    start_up: float = 0.0
    """Time of the worker's preparation before its first evaluation of a task: measuring the
    machine, loading the baselines, a trial run of the task's methods. Not part of `total`; 0 in old
    reports."""

    @property
    def total(self) -> float:
        """Seconds of the evaluation, without the wait for the lock and the start-up of the
        worker."""
        return self.compile + self.check + self.benchmark + self.other

    def parts(self) -> dict[str, float]:
        """The parts that add up to `total`, such as `benchmark samples` → seconds; the longest
        first."""
        parts = {
            f"{stage} {phase}": seconds
            for stage, phases in self.phases.items()
            for phase, seconds in phases.items()
        }
        known = {stage: sum(phases.values()) for stage, phases in self.phases.items()}
        measured = {
            "compile": self.compile - known.get("compile", 0.0),
            "check": self.check - known.get("check", 0.0),
            "benchmark": self.benchmark - known.get("benchmark", 0.0) - known.get("remeasure", 0.0),
            "other": self.other,
        }
        parts |= {name: seconds for name, seconds in measured.items() if seconds > 1e-9}
        return dict(sorted(parts.items(), key=lambda part: -part[1]))

    def lines(self) -> list[str]:
        """The times as text lines: the total, the times outside it, and every part."""
        apart = {"waiting for the device": self.waiting, "start-up of the worker": self.start_up}
        beside = "".join(f"; {n} {s:.2f} s more" for n, s in apart.items() if s >= 0.005)
        parts = [f"{name} {seconds:.2f}" for name, seconds in self.parts().items()]
        return [f"{self.total:.2f} s{beside}", *(["  " + ", ".join(parts)] if parts else [])]


HIDDEN = "hidden"
"""What every hidden configuration is called in a report."""


class ConfigurationCheck(Value):
    name: str
    """Name of the configuration; HIDDEN for every hidden one."""
    ok: bool
    error: float | None = None
    """Largest error as a multiple of the tolerance: up to 1 passes."""
    error_ratio: float | None = None
    """Root mean square error over that of the library whose error is the measure, the largest of
    several outputs. None where that makes no error, where outputs are compared exactly, where the
    configuration is hidden, and in old records."""
    detail: Safe = ""
    distribution: Safe = ""
    """Kind of the inputs, such as `peaked`; "" where it is hidden or the only one."""


def error_ratios(checks: Iterable[ConfigurationCheck]) -> dict[str, float]:
    """Kind of inputs → largest `error_ratio` of its checks, the largest first."""
    worst: dict[str, float] = {}
    for check in checks:
        if check.error_ratio is not None:
            kind = check.distribution
            worst[kind] = max(worst.get(kind, 0.0), check.error_ratio)
    return dict(sorted(worst.items(), key=lambda item: -item[1]))


class EvaluationReport(Value):
    task: str
    candidate: str
    """Id of the candidate."""
    verdict: Verdict
    feedback: Feedback
    reached: Stage = "compile"
    """The last stage that was started."""
    checks: tuple[ConfigurationCheck, ...] = ()
    resources: Resources = Field(default_factory=Resources)
    score: Score | None = None
    """Set if and only if the verdict is `correct` and the benchmark ran."""
    breadth: Score | None = None
    """Speed on inputs that are not scored, a row for each; set where that was asked for."""
    paired: PairedMeasurement | None = None
    """Set by a re-measurement against another candidate."""
    beside: Verdict | None = None
    """Verdict on the other candidate, if that one failed during a comparison. `verdict` is then
    `harness_error`, and the feedback is about the other candidate."""
    seconds: Seconds = Field(default_factory=Seconds)
    device: str = ""
    """Name of the device, such as `cpu AMD EPYC 9654 · 1 thread` or `NVIDIA H200`."""
    worker: str = ""
    """Which of the run's devices it was measured on, such as `local:1`; empty if there is only
    one."""
    architecture: str = ""
    sandbox: str = ""
    """What isolated the candidate, such as `namespaces + landlock + seccomp`."""
    sandbox_warning: str = ""
    """One sentence if the candidate ran without isolation (which was allowed); empty otherwise."""
    cached: bool = False
    """True if the result was taken from an earlier evaluation of the same source."""
    conditions: str = ""
    """`MachineInfo.conditions` of the measurement; only reports with equal conditions are
    comparable."""
    at: Moment | None = None
    stages_done: tuple[Stage, ...] = ()
    health: DeviceHealth | None = None
    """Condition of the device during the measurement; None if nothing was measured, if the device
    cannot be queried, and in old records."""

    @property
    def correct(self) -> bool:
        """Whether the candidate was correct on every configuration that was checked."""
        return self.verdict is Verdict.CORRECT

    def with_breadth(self, timed: EvaluationReport) -> EvaluationReport:
        """This report with what another one tells of the speed on other inputs, or why not."""
        why, score = timed.feedback, self.score
        told = why.detail if timed.correct else f"{timed.verdict}: {why.summary}"
        if score is not None and timed.breadth is not None:
            return self.replaced(breadth=timed.breadth, score=score.with_breadth(timed.breadth))
        detail = "\n".join(filter(None, [self.feedback.detail, f"on other inputs: {told}"]))
        return self.replaced(feedback=self.feedback.replaced(detail=detail))


class EvaluationProgress(Value):
    """Progress of a running evaluation, for the screen's output pane."""

    stage: Stage
    state: Literal["started", "configuration", "finished"]
    ok: bool = True
    index: int = 0
    """1-based number of the configuration within the stage; 0 for the stage as a whole."""
    count: int = 0
    configuration: str | None = None
    pair: Safe = ""
    """Of a pair at the gate: which it is, with what those before showed, as `pair_text` says it."""
    throughput: float | None = None
    p20: float | None = None
    p80: float | None = None
    ratio: float | None = None
    unit: str | None = None
    baselines: dict[str, float] = Field(default_factory=dict)
    error: float | None = None
    """In the check stage: largest error as a multiple of the tolerance."""
    seconds: float | None = None
    detail: Safe = ""
    """One line of detail, such as which process holds the lock that is waited for."""
    log: Safe = ""
    """Compiler output, shortened to a limit."""
    resources: Resources | None = None
