"""What a backend does, and how it says that a candidate failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Deployment, SingleSource
from avo_tui.domain.score import PairedMeasurement, Score
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import (
    ConfigurationCheck,
    EvaluationProgress,
    Feedback,
    MachineInfo,
    Resources,
    ScratchReport,
    Verdict,
    Window,
)
from avo_tui.evaluation.measurement.stopwatch import Stopwatch
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task


class Rejected(Exception):  # noqa: N818  a verdict, not an error of ours
    """The candidate failed: the verdict and what to tell about it."""

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
        """Identity of the candidate that failed, where two are run beside each other."""
        self.private = ""
        """What only the person's own log is told, also where hidden inputs were at work."""
        self.silent = False
        """True where hidden inputs were at work: then not even exact times are told."""


@dataclass(frozen=True)
class Context:
    """What one evaluation is given: the sandbox, and where signs of life go."""

    sandbox: Sandbox
    progress: Callable[[EvaluationProgress], None]
    quick: bool = False
    """Check only what is cheap: the small configurations."""
    target: Mapping[str, float] = field(default_factory=dict)
    """Configuration → ratio to the reference baseline that the candidate must beat. A benchmark may
    stop a configuration early that is clearly below; empty where every sample is wanted."""
    watch: Stopwatch = field(default_factory=Stopwatch)
    """Where the time of the stage that runs goes."""


@dataclass(frozen=True)
class Compiled:
    """A candidate that compiled. Backends subclass it with what their later stages need."""

    candidate: Candidate
    resources: Resources
    log: str


@runtime_checkable
class OnGpu(Protocol):
    """A backend that measures on a GPU whose clocks and temperature are to be watched."""

    def gpu_uuid(self, task: Task) -> str:
        """The GPU's UUID, with or without `GPU-` before it; empty where there is no GPU."""


@runtime_checkable
class Profiling(Protocol):
    """A backend with a profiler."""

    async def profile(
        self, task: Task, compiled: Compiled, context: Context, configuration: Configuration
    ) -> str:
        """Figures of one run on a configuration; the caller holds the device's lock."""


@runtime_checkable
class Deploying(Protocol):
    """A backend whose kernels can be made a package that runs without avo-tui."""

    async def deploy(
        self,
        task: Task,
        candidate: Candidate,
        configurations: Sequence[Configuration],
        architectures: Sequence[str],
        context: Context,
    ) -> Deployment:
        """What the package needs, for these configurations; function and sample are left out.

        `architectures` may be empty, and means nothing where code is compiled on installation.
        Raises Rejected where the candidate does not compile, EvaluatorError for an architecture
        or a configuration that is not possible.
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
        """The code of a function, by a part of its name; the longest one without."""


@runtime_checkable
class Sanitizing(Protocol):
    """A backend with sanitizers, such as for races and reads out of bounds."""

    async def sanitize(self, task: Task, compiled: Compiled, tools: Sequence[str]) -> str:
        """What the named sanitizers find; the caller holds the device's lock."""


@runtime_checkable
class ExaminingFinalists(Protocol):
    """A backend that looks once more at a candidate which is about to become a version."""

    async def finalist(self, task: Task, compiled: Compiled) -> str:
        """Remarks for the report; the caller holds the device's lock."""


class Backend(Protocol):
    """One language. Methods raise `Rejected` for whatever a candidate can do wrong.

    All are coroutines that may be cancelled; nothing of the candidate is left running then.
    `check`, `benchmark` and `paired` report progress per configuration; the pipeline reports the
    beginning and the end of stages.
    """

    check_needs_device: bool
    """True if the check uses the device that the lock is for, so that it would disturb a benchmark
    of another session."""

    async def machine(self, task: Task, sandbox: Sandbox) -> MachineInfo:
        """Device, compiler and conditions."""

    def device_lock(self, task: Task) -> str:
        """Name of the device for the benchmark's lock, such as `cpu`, `gpu-0`, or `cpu:0+1` for
        parts of one (see `locks.device_lock`)."""

    async def warm(self, task: Task, sandbox: Sandbox) -> None:
        """Does once what the first evaluation would otherwise wait for: imports, calibration.

        Called before the clock of an evaluation starts; returns at once where it was done, and
        where there is no device.
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
        """Times two candidates A B B A; the caller holds the device's lock."""

    async def scratch(
        self, task: Task, files: dict[str, str], seconds: float, context: Context
    ) -> ScratchReport:
        """Compiles and runs a small program of the language."""

    async def close(self) -> None:
        """Ends whatever is kept ready; the backend is not used afterwards."""
