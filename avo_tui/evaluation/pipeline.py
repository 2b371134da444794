"""The scoring function f: compile, check and benchmark, in this order, resulting in one report."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from avo_tui.devices import Sensor, gpu_sensor, processor_sensor, watched
from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import (
    Answer,
    BreadthQuestion,
    CheckQuestion,
    CompileQuestion,
    DescribeQuestion,
    ListingQuestion,
    MachineQuestion,
    ProfileQuestion,
    Question,
    QuickComparison,
    QuickQuestion,
    RemeasureQuestion,
    ReportQuestion,
    SanitizeQuestion,
    ScratchQuestion,
    SeedQuestion,
    Text,
)
from avo_tui.domain.report import EvaluationReport, error_ratios
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation import task_dynamic_checks
from avo_tui.evaluation.backends.base import (
    Backend,
    ComparingQuickly,
    Compiled,
    Context,
    Disassembling,
    ExaminingFinalists,
    Experiment,
    OnGpu,
    Profiling,
    Rejected,
    Sanitizing,
    TimingBreadth,
)
from avo_tui.evaluation.backends.descriptor import BackendOptions
from avo_tui.evaluation.backends.registry import make_backend
from avo_tui.evaluation.breadth import breadth_cases
from avo_tui.evaluation.evaluation_run import LOG_LIMIT, EvaluationRun, person
from avo_tui.evaluation.input_files import drawn_inputs
from avo_tui.evaluation.locks import KeptDevice
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.roots import roots
from avo_tui.evaluation.sandbox.policy import SandboxError
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import CheckCase, Task
from avo_tui.evaluation.task_static_checks import raised_at
from avo_tui.evaluation.tasks import Tasks, find_tasks


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
        self._kept = KeptDevice()
        self._looked_at: set[str] = set()
        """Names of tasks whose methods were run once, with correct results."""

    @property
    def tasks(self) -> Tasks:
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
        if task.language not in self._backends:
            self._backends[task.language] = make_backend(
                task.language, BackendOptions(self._architecture)
            )
        return self._backends[task.language]

    async def close(self) -> None:
        """End the processes that the backends keep ready, and give the device away."""
        await self._kept.release()
        for backend in self._backends.values():
            await backend.close()

    async def warm(self, name: str) -> None:
        """Prepare what the first evaluation of a task would otherwise wait for."""
        task = self.tasks.get(name)
        await self.backend(task).warm(task, self.sandbox)

    async def ask(
        self, name: str, question: Question[Answer], progress: ProgressSink = lambda _: None
    ) -> Answer:
        """The answer to a question; in words, or in a report, why there is none.

        Raises EvaluatorError for an unknown task, and for inputs that there are not.
        """
        task = self.tasks.get(name)
        if isinstance(question, ReportQuestion):
            return cast("Answer", await self._report(task, question, progress))
        context = Context(self.sandbox, progress)
        try:
            return cast("Answer", await self._answer(task, question, context))
        except Rejected as rejection:
            words = f"{rejection.verdict}: {rejection.feedback.summary}"
            if isinstance(question, QuickQuestion):
                if rejection.whose == Candidate(files=question.other).id:
                    words = f"of the version beside it: {words}"
                words += f"\n{rejection.feedback.log}" if rejection.feedback.log else ""
            elif isinstance(question, SanitizeQuestion) and rejection.feedback.detail:
                words += f"\n{rejection.feedback.detail}"
            failed = question.unanswered(name, words)
            if failed is None:
                raise
            return failed

    async def _answer(self, task: Task, question: Question[Any], context: Context) -> Value:
        match question:
            case DescribeQuestion():
                return task.info()
            case SeedQuestion():
                return task.seed()
            case MachineQuestion():
                return await self.backend(task).machine(task, self.sandbox)
            case ProfileQuestion():
                return Text(text=await self._profile(task, question, context))
            case ListingQuestion():
                return Text(text=await self._disassemble(task, question, context))
            case SanitizeQuestion():
                return Text(text=await self._sanitize(task, question, context))
            case QuickQuestion():
                return await self._compare_quickly(task, question, context)
            case ScratchQuestion(files=files, seconds=seconds, inputs=inputs):
                drawn = drawn_inputs(task, inputs) if inputs is not None else None
                experiment = Experiment(files, seconds, drawn)
                return await self.backend(task).scratch(task, experiment, context)
            case _:
                raise EvaluatorError(f"the worker knows no question {question.op!r}")

    async def _compare_quickly(
        self, task: Task, question: QuickQuestion, context: Context
    ) -> QuickComparison:
        backend = self.backend(task)
        if not isinstance(backend, ComparingQuickly):
            return question.unanswered(
                task.name,
                f"There is no quick comparison for {task.language}: bench times pairs of"
                " fresh processes.",
            )
        scored = {c.name: c for c in task.configurations}
        if question.configuration is not None and question.configuration not in scored:
            why = _no_configuration(question.configuration, scored)
            return question.unanswered(task.name, why)
        chosen = [scored[question.configuration]] if question.configuration else [*scored.values()]
        beside = await backend.compile(task, Candidate(files=question.other), context)
        compiled = await backend.compile(task, Candidate(files=question.files), context)
        lock = backend.device_lock(task)
        async with (
            self._kept.hold(lock, context.progress, more=question.more) as waited,
            watched(lambda: self._sensor(task)) as watch,
        ):
            seconds = min(max(question.seconds, 0.1), 120.0)
            result = await backend.compare_quickly(task, compiled, beside, context, chosen, seconds)
        return result.replaced(health=watch.health, waited=round(waited.seconds, 1))

    async def _profile(self, task: Task, question: ProfileQuestion, context: Context) -> str:
        backend, wanted = self.backend(task), question.wanted
        if not isinstance(backend, Profiling):
            return f"There is no profiler for {task.language}; disassemble shows the machine code."
        scored = [c.name for c in task.configurations]
        chosen = wanted.replaced(
            configuration=wanted.configuration or scored[0], kind=wanted.kind or task.timed[0]
        )
        if chosen.configuration not in scored:
            return _no_configuration(chosen.configuration, scored)
        if chosen.kind not in task.timed:
            return (
                f"No inputs of the kind {chosen.kind!r} are timed. These are:"
                f" {', '.join(task.timed)}."
            )
        compiled = await backend.compile(task, Candidate(files=question.files), context)
        async with self._kept.hold(backend.device_lock(task), context.progress):
            return await backend.profile(task, compiled, context, chosen)

    async def _disassemble(self, task: Task, question: ListingQuestion, context: Context) -> str:
        backend = self.backend(task)
        if not isinstance(backend, Disassembling):
            return f"There is no disassembler for {task.language}."
        compiled = await backend.compile(task, Candidate(files=question.files), context)
        return await backend.disassemble(compiled, context, question.function, question.window)

    async def _sanitize(self, task: Task, question: SanitizeQuestion, context: Context) -> str:
        backend = self.backend(task)
        if not isinstance(backend, Sanitizing):
            return f"There is no sanitizer for {task.language}."
        compiled = await backend.compile(task, Candidate(files=question.files), context)
        async with self._kept.hold(backend.device_lock(task), context.progress):
            return await backend.sanitize(task, compiled, question.tools)

    async def _judge(self, run: EvaluationRun, question: ReportQuestion, context: Context) -> None:
        """Compiles, and then checks, benchmarks or compares, as far as it is asked for and the
        candidate lets it."""
        task, backend = run.task, self.backend(run.task)
        beside: Compiled | None = None
        cases: tuple[CheckCase, ...] = ()
        if isinstance(question, BreadthQuestion):
            cases = breadth_cases(task) if isinstance(backend, TimingBreadth) else ()
            if not cases:
                run.notes = f"there is nothing beside the scored inputs to time, in {task.language}"
                return
        if isinstance(question, RemeasureQuestion):
            other = Candidate(files=question.other)
            try:
                beside = await backend.compile(task, other, context)
            except Rejected as rejection:
                rejection.whose = other.id
                raise
        async with run.stage("compile"):
            compiled = await backend.compile(task, run.candidate, context)
            run.resources, run.log = compiled.resources, compiled.log
            run.compiling_saw_hidden = compiled.saw_hidden
        if isinstance(question, CompileQuestion):
            return
        await self._warm(run)
        if isinstance(question, RemeasureQuestion) and beside is not None:
            async with self._device(run, more=question.more), run.stage("remeasure"):
                await _pair(run, question.replicate, backend, compiled, beside, context)
            return
        if isinstance(backend, TimingBreadth) and cases:
            async with self._device(run), run.stage("benchmark"):
                run.breadth = await backend.breadth(task, compiled, context, cases)
            return
        async with AsyncExitStack() as held:
            if backend.check_needs_device:
                await held.enter_async_context(self._device(run))
            async with run.stage("check"):
                run.checks = await backend.check(task, compiled, context)
            if isinstance(question, CheckQuestion):
                return
            if not backend.check_needs_device:
                await held.enter_async_context(self._device(run))
            async with run.stage("benchmark"):
                score = await backend.benchmark(task, compiled, context)
            run.score = score.replaced(error_ratios=error_ratios(run.checks))

    @asynccontextmanager
    async def _device(self, run: EvaluationRun, *, more: bool = False) -> AsyncIterator[None]:
        device = self.backend(run.task).device_lock(run.task)
        async with self._kept.hold(device, run.progress, more=more) as waited:
            run.spent["waiting"] = waited.seconds
            async with watched(lambda: self._sensor(run.task)) as watch:
                yield
            run.health = watch.health

    def _sensor(self, task: Task) -> Sensor | None:
        """A sensor for the state of the device that a task is measured on; None if there is
        none."""
        if task.device == "cpu":
            return processor_sensor()
        backend = self.backend(task)
        return gpu_sensor(backend.gpu_uuid(task)) if isinstance(backend, OnGpu) else None

    async def _warm(self, run: EvaluationRun) -> None:
        """Prepare the worker; the time counts as start-up, not as part of an evaluation."""
        began = time.monotonic()
        await self.backend(run.task).warm(run.task, self.sandbox)
        if run.task.device == "cpu" and run.task.name not in self._looked_at:
            # an error in the task must not be blamed on a candidate
            await asyncio.to_thread(task_dynamic_checks.first_look, run.task)
            self._looked_at.add(run.task.name)
        run.started_up(time.monotonic() - began)

    async def _report(
        self, task: Task, question: ReportQuestion, progress: ProgressSink
    ) -> EvaluationReport:
        """Everything goes into the report, but for a cancellation."""
        candidate = question.candidate
        run = EvaluationRun(task, candidate, progress, time.monotonic())
        verdict, feedback = Verdict.CORRECT, Feedback(summary="correct")
        info: MachineInfo | None = None
        try:
            info = await self.backend(task).machine(task, self.sandbox)
            run.started_up(time.monotonic() - run.began)
            quick = isinstance(question, CheckQuestion) and question.quick
            await self._judge(run, question, Context(self.sandbox, progress, quick, run.watch))
            feedback = Feedback(summary=run.summary(), detail=run.notes, log=run.log[:LOG_LIMIT])
        except Rejected as rejection:
            verdict, feedback = rejection.verdict, rejection.feedback
            if rejection.whose not in (None, candidate.id):
                run.beside, verdict = verdict, Verdict.HARNESS_ERROR  # not about this candidate
                text = f"the version it is measured beside failed: {feedback.summary}"
                feedback = feedback.replaced(summary=text)
            if rejection.private:
                person.info("%s %s: %s", task.name, candidate.id[:10], rejection.private)
            run.silent = rejection.silent
            run.checks = rejection.checks or run.checks
            run.resources = rejection.resources or run.resources
        except asyncio.CancelledError:
            raise
        except (EvaluatorError, SandboxError) as error:
            verdict, feedback = Verdict.HARNESS_ERROR, Feedback(summary=str(error))
        except Exception as error:  # an internal error is reported and does not end the worker
            traceback.print_exc(file=sys.stderr)
            file, line = raised_at(error, task)
            whose = f"{file} (line {line})" if file else "the harness failed"
            text = f"{whose}: {type(error).__name__}: {error}"
            verdict, feedback = Verdict.HARNESS_ERROR, Feedback(summary=text)
        return run.report(verdict, feedback, info)


async def _pair(
    run: EvaluationRun,
    replicate: int,
    backend: Backend,
    compiled: Compiled,
    beside: Compiled,
    context: Context,
) -> None:
    """Times a candidate interleaved with another one, in fresh processes.

    The two change places with every replicate, so that what the harness does first or second
    favours neither. Only what is about to be committed comes here: in replicate 0 the backend may
    look at it more closely.
    """
    if replicate % 2 == 0:
        run.paired = await backend.paired(run.task, compiled, beside, context)
    else:
        swapped = await backend.paired(run.task, beside, compiled, context)
        run.paired = swapped.reversed()
    if replicate == 0 and isinstance(backend, ExaminingFinalists):
        run.notes = await backend.finalist(run.task, compiled)


def _no_configuration(name: str, scored: Iterable[str]) -> str:
    return f"There is no configuration {name!r}. There are: {', '.join(scored)}."
