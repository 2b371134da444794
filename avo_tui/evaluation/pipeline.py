"""The scoring function f: compile, check and benchmark, in this order, resulting in one report."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from avo_tui.devices import Sensor, gpu_sensor, processor_sensor, watched
from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.device import DeviceHealth
from avo_tui.domain.score import PairedMeasurement, Score
from avo_tui.domain.verdict import (
    ConfigurationCheck,
    EvaluationProgress,
    EvaluationReport,
    Feedback,
    MachineInfo,
    Resources,
    ScratchReport,
    Seconds,
    Stage,
    Verdict,
    Window,
)
from avo_tui.evaluation import task_dynamic_checks
from avo_tui.evaluation.backends.base import (
    Backend,
    Compiled,
    Context,
    Disassembling,
    ExaminingFinalists,
    OnGpu,
    Profiling,
    Rejected,
    Sanitizing,
)
from avo_tui.evaluation.backends.descriptor import BackendOptions
from avo_tui.evaluation.backends.registry import make_backend
from avo_tui.evaluation.locks import device_lock
from avo_tui.evaluation.measurement.stopwatch import Stopwatch
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.sandbox.policy import SandboxError
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task
from avo_tui.evaluation.task_static_checks import line_in
from avo_tui.evaluation.tasks import Tasks, find_tasks, roots

person = logging.getLogger("avo_tui.evaluation.person")
"""Log for the person only, not for a candidate's author: a worker sends it to the engine's log, and
no report contains it."""

_LOG = 16_000
_NOTES = 600
_COARSE = 5.0
"""The time of a check that failed on hidden inputs is rounded up to a multiple of this many
seconds."""


@dataclass
class _Course:
    """The intermediate state of an evaluation."""

    task: Task
    candidate: Candidate
    progress: Callable[[EvaluationProgress], None]
    began: float
    reached: Stage = "compile"
    spent: dict[str, float] = field(default_factory=dict)
    done: list[Stage] = field(default_factory=list)
    checks: tuple[ConfigurationCheck, ...] = ()
    resources: Resources = field(default_factory=Resources)
    log: str = ""
    score: Score | None = None
    paired: PairedMeasurement | None = None
    beside: Verdict | None = None
    notes: str = ""
    """Further remarks that do not affect the verdict."""
    watch: Stopwatch = field(default_factory=Stopwatch)
    phases: dict[str, dict[str, float]] = field(default_factory=dict)
    start_up: float = 0.0
    """Seconds that the worker spent on its own start-up."""
    silent: bool = False
    """True if a candidate that has seen hidden inputs could reveal them by its run time."""
    health: DeviceHealth | None = None
    """State of the device while its lock was held."""

    @asynccontextmanager
    async def stage(self, name: Stage) -> AsyncIterator[None]:
        """Times a stage and reports its beginning; `finish` reports its successful end."""
        self.reached = name
        self.watch.seconds = {}
        self.progress(EvaluationProgress(stage=name, state="started"))
        began = time.monotonic()
        ok = False
        try:
            yield
            ok = True
            self.done.append(name)
        finally:
            seconds = time.monotonic() - began
            self.spent[name] = self.spent.get(name, 0.0) + seconds
            if phases := self.watch.seconds:
                idle = max(0.0, seconds - sum(phases.values()))
                self.phases[name] = {**phases, "idle": idle}
            compiled = name == "compile"
            self.progress(
                EvaluationProgress(
                    stage=name, state="finished", ok=ok, seconds=seconds,
                    log=self.log[:_LOG] if compiled else "",
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
        if self.silent:
            check = _COARSE * math.ceil(check / _COARSE)
            self.phases.pop("check", None)
        benchmark = self.spent.get("benchmark", 0.0) + self.spent.get("remeasure", 0.0)
        other = max(0.0, total - waiting - compile_ - check - benchmark)
        return Seconds(
            compile=compile_, check=check, benchmark=benchmark, other=other, waiting=waiting,
            phases=self.phases, start_up=self.start_up,
        )  # fmt: skip

    def started_up(self, seconds: float) -> None:
        """Exclude from the evaluation the seconds that the worker spent on its own start-up."""
        self.start_up += seconds
        self.began += seconds


class Pipeline:
    """Evaluates candidates on this machine, one after the other."""

    def __init__(
        self,
        kernels: Path | None = None,
        allow_weak_sandbox: bool = False,
        architecture: str | None = None,
    ) -> None:
        """`allow_weak_sandbox`: evaluate also where this machine cannot confine a candidate."""
        self.sandbox = Sandbox(allow_weak_sandbox)
        self._architecture = architecture
        self._kernels = kernels
        self._tasks: Tasks | None = None
        self._backends: dict[str, Backend] = {}
        self._looked_at: set[str] = set()
        """Names of tasks whose methods were run once, with correct results."""

    @property
    def tasks(self) -> Tasks:
        """The tasks, looked for once."""
        if self._tasks is None:
            self._tasks = find_tasks(self._kernels)
            folders = (os.path.realpath(root.folder) for root in roots(self._kernels))
            self.sandbox.hidden = tuple(dict.fromkeys((*self.sandbox.hidden, *folders)))
        return self._tasks

    def look_first(self, kernels: Path) -> None:
        """From now on, look for tasks in this folder first."""
        self._kernels = kernels
        self._tasks = None

    def backend(self, task: Task) -> Backend:
        """The backend of a task's language."""
        if task.language not in self._backends:
            self._backends[task.language] = make_backend(
                task.language, BackendOptions(self._architecture)
            )
        return self._backends[task.language]

    async def machine(self, name: str) -> MachineInfo:
        """What a task's candidates are measured on."""
        task = self.tasks.get(name)
        return await self.backend(task).machine(task, self.sandbox)

    async def close(self) -> None:
        """End the processes that the backends keep ready."""
        for backend in self._backends.values():
            await backend.close()

    async def warm(self, name: str) -> None:
        """Prepare what the first evaluation of a task would otherwise wait for."""
        task = self.tasks.get(name)
        await self.backend(task).warm(task, self.sandbox)

    async def evaluate(
        self,
        name: str,
        candidate: Candidate,
        upto: Stage,
        progress: ProgressSink,
        *,
        quick: bool = False,
        target: Mapping[str, float] | None = None,
    ) -> EvaluationReport:
        """Compiles, checks and benchmarks, as far as `upto` and the candidate let it.

        `target` is what must be beaten: see `Context.target`.
        `quick` checks only what is cheap. Raises EvaluatorError for an unknown task; everything
        else is in the report.
        """
        task = self.tasks.get(name)

        async def work(course: _Course, context: Context) -> None:
            compiled = await self._compile(course, candidate, context)
            if upto == "compile":
                return
            await self._warm(course)
            backend = self.backend(task)
            async with AsyncExitStack() as held:
                if backend.check_needs_device:
                    await held.enter_async_context(self._device(course))
                async with course.stage("check"):
                    course.checks = await backend.check(task, compiled, context)
                if upto == "check":
                    return
                if not backend.check_needs_device:
                    await held.enter_async_context(self._device(course))
                async with course.stage("benchmark"):
                    course.score = await backend.benchmark(task, compiled, context)

        return await self._report(task, candidate, progress, work, quick=quick, target=target or {})

    async def remeasure(
        self,
        name: str,
        candidate: Candidate,
        other: Candidate,
        progress: ProgressSink,
        *,
        replicate: int = 0,
    ) -> EvaluationReport:
        """Times a candidate interleaved with another one, in fresh processes.

        The two change places with every replicate, so that what the harness does first or second
        favours neither. Only what is about to be committed comes here: in replicate 0 the backend
        may look at it more closely.
        """
        task = self.tasks.get(name)
        backend = self.backend(task)

        async def work(course: _Course, context: Context) -> None:
            try:
                beside = await backend.compile(task, other, context)
            except Rejected as rejection:
                rejection.whose = other.id
                raise
            compiled = await self._compile(course, candidate, context)
            await self._warm(course)
            async with self._device(course), course.stage("remeasure"):
                if replicate % 2 == 0:
                    course.paired = await backend.paired(task, compiled, beside, context)
                else:
                    swapped = await backend.paired(task, beside, compiled, context)
                    course.paired = swapped.reversed()
                if replicate == 0 and isinstance(backend, ExaminingFinalists):
                    course.notes = await backend.finalist(task, compiled)

        return await self._report(task, candidate, progress, work)

    async def profile(
        self, name: str, candidate: Candidate, configuration: str | None = None
    ) -> str:
        """What a profiler says of one run of the candidate; a sentence where there is none.

        Raises EvaluatorError for an unknown task.
        """
        task = self.tasks.get(name)
        backend = self.backend(task)
        if not isinstance(backend, Profiling):
            return f"There is no profiler for {task.language}; disassemble shows the machine code."
        scored = {c.name: c for c in task.configurations}
        if configuration is not None and configuration not in scored:
            return f"There is no configuration {configuration!r}. There are: {', '.join(scored)}."
        chosen = scored[configuration] if configuration else task.configurations[0]
        context = Context(self.sandbox, lambda _: None)
        try:
            compiled = await backend.compile(task, candidate, context)
            async with device_lock(backend.device_lock(task), context.progress):
                return await backend.profile(task, compiled, context, chosen)
        except Rejected as rejection:
            return f"{rejection.verdict}: {rejection.feedback.summary}"

    async def disassemble(
        self,
        name: str,
        candidate: Candidate,
        function: str | None = None,
        window: Window | None = None,
    ) -> str:
        """The machine code of a candidate's function; a sentence where it cannot be shown.

        Raises EvaluatorError for an unknown task.
        """
        task = self.tasks.get(name)
        backend = self.backend(task)
        if not isinstance(backend, Disassembling):
            return f"There is no disassembler for {task.language}."
        context = Context(self.sandbox, lambda _: None)
        try:
            compiled = await backend.compile(task, candidate, context)
            return await backend.disassemble(compiled, context, function, window or Window())
        except Rejected as rejection:
            return f"{rejection.verdict}: {rejection.feedback.summary}"

    async def sanitize(self, name: str, candidate: Candidate, tools: Sequence[str]) -> str:
        """What the language's sanitizers find in a candidate; a sentence where there are none.

        Raises EvaluatorError for an unknown task.
        """
        task = self.tasks.get(name)
        backend = self.backend(task)
        if not isinstance(backend, Sanitizing):
            return f"There is no sanitizer for {task.language}."
        context = Context(self.sandbox, lambda _: None)
        try:
            compiled = await backend.compile(task, candidate, context)
            async with device_lock(backend.device_lock(task), context.progress):
                return await backend.sanitize(task, compiled, tools)
        except Rejected as rejection:
            feedback = rejection.feedback
            return "\n".join(
                filter(None, [f"{rejection.verdict}: {feedback.summary}", feedback.detail])
            )

    async def scratch(self, name: str, files: dict[str, str], seconds: float) -> ScratchReport:
        """Runs a small program in the sandbox."""
        task = self.tasks.get(name)
        context = Context(self.sandbox, lambda _: None)
        return await self.backend(task).scratch(task, files, seconds, context)

    @asynccontextmanager
    async def _device(self, course: _Course) -> AsyncIterator[None]:
        device = self.backend(course.task).device_lock(course.task)
        async with device_lock(device, course.progress) as waited:
            course.spent["waiting"] = waited.seconds
            async with watched(lambda: self._sensor(course.task)) as watch:
                yield
            course.health = watch.health

    def _sensor(self, task: Task) -> Sensor | None:
        """A sensor for the state of the device that a task is measured on; None if there is
        none."""
        if task.device == "cpu":
            return processor_sensor()
        backend = self.backend(task)
        return gpu_sensor(backend.gpu_uuid(task)) if isinstance(backend, OnGpu) else None

    async def _warm(self, course: _Course) -> None:
        """Prepare the worker; the time counts as start-up, not as part of an evaluation."""
        began = time.monotonic()
        await self.backend(course.task).warm(course.task, self.sandbox)
        if course.task.device == "cpu" and course.task.name not in self._looked_at:
            # an error in the task must not be blamed on a candidate
            await asyncio.to_thread(task_dynamic_checks.first_look, course.task)
            self._looked_at.add(course.task.name)
        course.started_up(time.monotonic() - began)

    async def _compile(self, course: _Course, candidate: Candidate, context: Context) -> Compiled:
        async with course.stage("compile"):
            compiled = await self.backend(course.task).compile(course.task, candidate, context)
            course.resources, course.log = compiled.resources, compiled.log
        return compiled

    async def _report(
        self,
        task: Task,
        candidate: Candidate,
        progress: ProgressSink,
        work: Callable[[_Course, Context], object],
        quick: bool = False,
        target: Mapping[str, float] | None = None,
    ) -> EvaluationReport:
        course = _Course(task, candidate, progress, time.monotonic())
        verdict, feedback = Verdict.CORRECT, Feedback(summary="correct")
        info: MachineInfo | None = None
        try:
            info = await self.backend(task).machine(task, self.sandbox)
            course.started_up(time.monotonic() - course.began)
            context = Context(self.sandbox, progress, quick, target or {}, course.watch)
            await work(course, context)  # type: ignore[misc]
            feedback = Feedback(
                summary=_good_news(course), detail=course.notes, log=course.log[:_LOG]
            )
        except Rejected as rejection:
            verdict, feedback = rejection.verdict, rejection.feedback
            if rejection.whose not in (None, candidate.id):
                course.beside, verdict = verdict, Verdict.HARNESS_ERROR  # not about this candidate
                text = f"the version it is measured beside failed: {feedback.summary}"
                feedback = feedback.replaced(summary=text)
            if rejection.private:
                person.info("%s %s: %s", task.name, candidate.id[:10], rejection.private)
            course.silent = rejection.silent
            course.checks = rejection.checks or course.checks
            course.resources = rejection.resources or course.resources
        except asyncio.CancelledError:
            raise
        except (EvaluatorError, SandboxError) as error:
            verdict, feedback = Verdict.HARNESS_ERROR, Feedback(summary=str(error))
        except Exception as error:  # an internal error is reported and does not end the worker
            traceback.print_exc(file=sys.stderr)
            line = line_in(error, task.folder / "task.py")
            whose = f"{task.folder / 'task.py'} (line {line})" if line else "the harness failed"
            text = f"{whose}: {type(error).__name__}: {error}"
            verdict, feedback = Verdict.HARNESS_ERROR, Feedback(summary=text)
        return EvaluationReport(
            task=task.name,
            candidate=candidate.id,
            verdict=verdict,
            feedback=feedback,
            reached=course.reached,
            checks=course.checks,
            resources=course.resources,
            score=course.score if verdict is Verdict.CORRECT else None,
            paired=course.paired if verdict is Verdict.CORRECT else None,
            beside=course.beside,
            seconds=course.seconds(),
            **_measured_on(info),
            at=now(),
            stages_done=tuple(course.done),
            health=course.health,
        )


def _measured_on(info: MachineInfo | None) -> dict[str, str]:
    """Fields of a report that say on what it was measured; empty where that is not known."""
    if info is None:
        return {}
    return {
        "device": info.device,
        "architecture": info.architecture,
        "sandbox": info.sandbox,
        "sandbox_warning": info.sandbox_warning,
    }


def _good_news(course: _Course) -> str:
    if course.score is not None:
        ratio = course.score.aggregate
        return f"correct; {ratio:.3f}× {course.task.reference_baseline} in the geometric mean"
    if course.paired is not None:
        return f"{(course.paired.gain - 1) * 100:+.1f}% against the other version"
    return "correct" if course.checks else "it compiles"
