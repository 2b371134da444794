"""The interface of a backend, and the exception by which it rejects a candidate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Deployment, Domain, SingleSource
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import ProfileWanted, QuickComparison, ScratchReport, Window
from avo_tui.domain.report import ConfigurationCheck, EvaluationProgress, Resources
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation.input_files import DrawnInputs
from avo_tui.evaluation.measurement import verdicts
from avo_tui.evaluation.measurement.cases import CheckCase
from avo_tui.evaluation.measurement.stopwatch import Stopwatch
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task


class Rejected(Exception):  # noqa: N818  a verdict, not an error of ours
    """The candidate failed; holds the verdict and the feedback."""

    def __init__(
        self,
        verdict: Verdict,
        feedback: Feedback,
        *,
        resources: Resources | None = None,
        checks: tuple[ConfigurationCheck, ...] = (),
    ) -> None:
        super().__init__(f"{verdict}: {feedback.summary}")
        self.verdict = verdict
        self.feedback = feedback
        self.resources = resources
        self.checks = checks
        self.whose: str | None = None
        """Id of the candidate that failed, if two were run together."""
        self.private = ""
        """Details for the person's log only; they may concern hidden inputs."""
        self.silent = False
        """True if hidden inputs were in use; then not even exact times are reported."""

    def hushed(self, cases: Iterable[CheckCase]) -> Rejected:
        """What may be told of it where a hidden case failed; the rest is for the person's log."""
        if not self.verdict.judges_candidate:
            return self
        told = Rejected(*verdicts.failed_hidden(cases), checks=self.checks)
        told.silent, told.whose, told.resources = True, self.whose, self.resources
        told.private = self.private or f"{self}. {self.feedback.detail}"
        return told


def refused(
    verdict: Verdict, summary: str, resources: Resources | None = None, **told: str | None
) -> Rejected:
    """A rejection with these words; `told` are further fields of its feedback."""
    feedback = Feedback.model_validate({"summary": summary, **told})
    return Rejected(verdict, feedback, resources=resources)


@dataclass(frozen=True)
class Context:
    """The environment of one evaluation: the sandbox, and the receiver of progress."""

    sandbox: Sandbox
    progress: Callable[[EvaluationProgress], None]
    quick: bool = False
    """Check only the cheap cases, that is, the small configurations."""
    watch: Stopwatch = field(default_factory=Stopwatch)
    """Stopwatch that records the phases of the running stage."""

    def scored(self, task: Task, scores: Sequence[ConfigurationScore], count: int) -> None:
        """Tells of the configuration that was timed last, of so many."""
        last = scores[-1]
        self.progress(
            EvaluationProgress(
                stage="benchmark", state="configuration", index=len(scores),
                count=count, configuration=last.name,
                throughput=last.throughput, p20=last.p20, p80=last.p80, ratio=last.ratio,
                unit=task.unit, baselines=last.baselines, detail=", ".join(last.flags),
            )
        )  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """A small program of the operator's own, to be compiled and run."""

    files: dict[str, str]
    seconds: float
    """How long it may run."""
    inputs: DrawnInputs | None = None
    """Inputs that it works on; None if it needs none."""


@dataclass(frozen=True)
class Compiled:
    """A compiled candidate. Backends subclass it to add what their later stages need."""

    candidate: Candidate
    resources: Resources
    log: str
    saw_hidden: bool = field(default=False, kw_only=True)
    """Whether code of the candidate ran on hidden configurations while it was compiled, so that the
    time of that could tell their sizes."""


@runtime_checkable
class OnGpu(Protocol):
    """A backend that measures on a GPU, whose clocks and temperature can then be sampled."""

    def gpu_uuid(self, task: Task) -> str:
        """The GPU's UUID, with or without the prefix `GPU-`; empty if there is no GPU."""


@runtime_checkable
class Profiling(Protocol):
    """A backend with a profiler."""

    async def profile(
        self, task: Task, compiled: Compiled, context: Context, wanted: ProfileWanted
    ) -> str:
        """A report on one run; the caller holds the device's lock.

        `wanted` names a scored configuration and a kind of inputs that is timed.
        """


@runtime_checkable
class TimingBreadth(Protocol):
    """A backend that can time a candidate on other inputs than the scored ones."""

    async def breadth(
        self, task: Task, compiled: Compiled, context: Context, cases: Sequence[CheckCase]
    ) -> Score:
        """Each case in turn beside the baselines; the caller holds the device's lock."""


@runtime_checkable
class ComparingQuickly(Protocol):
    """A backend that can call two candidates in turn within one process."""

    async def compare_quickly(
        self,
        task: Task,
        compiled: Compiled,
        other: Compiled,
        context: Context,
        configurations: Sequence[Configuration],
        seconds: float,
    ) -> QuickComparison:
        """Speeds over `other`, from calls for about `seconds`; the caller holds the device's
        lock."""


@runtime_checkable
class Deploying(Protocol):
    """A backend that can package its kernels to run without avo-tui."""

    async def deploy(
        self,
        task: Task,
        candidate: Candidate,
        configurations: Sequence[Configuration],
        architectures: Sequence[str],
        domain: Domain | None,
        context: Context,
    ) -> Deployment:
        """The data of a package for these configurations and, where the language's launcher can
        work out further shapes, for the domain; without function name and sample.

        `architectures` may be empty, and is ignored if the code is compiled at installation. Raises
        Rejected if the candidate does not compile, EvaluatorError for an impossible architecture or
        configuration.
        """


@runtime_checkable
class WritingSource(Protocol):
    """A backend whose kernels can be written as one file for an ordinary compiler."""

    async def single_source(
        self,
        task: Task,
        candidate: Candidate,
        configurations: Sequence[Configuration],
        architectures: Sequence[str],
        function: str,
        context: Context,
    ) -> SingleSource:
        """The file, with functions whose names begin with `function` for these configurations.

        Raises as `Deploying.deploy` does.
        """


@runtime_checkable
class Disassembling(Protocol):
    """A backend that can show the machine code of a candidate."""

    async def disassemble(
        self, compiled: Compiled, context: Context, function: str | None, window: Window
    ) -> str:
        """Machine code of the function whose name contains `function`; by default the longest
        one."""


@runtime_checkable
class Sanitizing(Protocol):
    """A backend with sanitizers, such as for races and reads out of bounds."""

    async def sanitize(self, task: Task, compiled: Compiled, tools: Sequence[str]) -> str:
        """The findings of the named sanitizers; the caller holds the device's lock."""


@runtime_checkable
class ExaminingFinalists(Protocol):
    """A backend that inspects a candidate once more before it becomes a version."""

    async def finalist(self, task: Task, compiled: Compiled) -> str:
        """Remarks for the report; the caller holds the device's lock."""


class Backend(Protocol):
    """The backend of one language. Methods raise `Rejected` for every failure of a candidate.

    All methods are coroutines that may be cancelled; no process of the candidate is left running
    then. `check`, `benchmark` and `paired` report progress per configuration; the pipeline reports
    the beginning and end of stages.
    """

    check_needs_device: bool
    """True if the check uses the locked device, so that it would disturb a benchmark of another
    session."""

    async def machine(self, task: Task, sandbox: Sandbox) -> MachineInfo:
        """Device, compiler and conditions."""

    def device_lock(self, task: Task) -> str:
        """Name of the device for the benchmark's lock, such as `cpu`, `gpu-0`, or `cpu:0+1` for
        parts of one (see `locks.device_lock`)."""

    async def warm(self, task: Task, sandbox: Sandbox) -> None:
        """Do once what the first evaluation would otherwise wait for: imports and calibration.

        Called before the clock of an evaluation starts. Returns at once if it was done before, or
        if there is no device.
        """

    async def compile(self, task: Task, candidate: Candidate, context: Context) -> Compiled:
        """Compiles, from the cache where the same was compiled before."""

    async def check(
        self, task: Task, compiled: Compiled, context: Context
    ) -> tuple[ConfigurationCheck, ...]:
        """Judges outputs on every case of the task."""

    async def benchmark(self, task: Task, compiled: Compiled, context: Context) -> Score:
        """Times it beside the baselines; the caller holds the device's lock."""

    async def paired(
        self, task: Task, compiled: Compiled, other: Compiled, context: Context
    ) -> PairedMeasurement:
        """Times two candidates alternately (A B B A); the caller holds the device's lock."""

    async def scratch(self, task: Task, experiment: Experiment, context: Context) -> ScratchReport:
        """Compiles and runs a small program of the language."""

    async def close(self) -> None:
        """End all processes that are kept running; the backend is not used afterwards."""
