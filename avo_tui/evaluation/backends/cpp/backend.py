"""The C++ backend: puts compiler, check and benchmark together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Deployment, Domain, SingleSource
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import (
    InputsWanted,
    ProfileWanted,
    QuickComparison,
    ScratchReport,
    Window,
)
from avo_tui.domain.report import ConfigurationCheck
from avo_tui.domain.score import PairedMeasurement, Score
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.base import Compiled, Context, Experiment
from avo_tui.evaluation.backends.cpp import (
    allowed_symbols,
    benchmark,
    ceiling,
    check,
    machine,
    profile,
)
from avo_tui.evaluation.backends.cpp.benchmark import Beside
from avo_tui.evaluation.backends.cpp.candidate_process import (
    Calibration,
    Stage,
)
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp, Compiler, log_of, sources
from avo_tui.evaluation.backends.cpp.driver import Driver, deployment, single_source
from avo_tui.evaluation.backends.cpp.glue import INPUTS_HEADER, c_header
from avo_tui.evaluation.backends.cpp.machine import benchmark_cpu
from avo_tui.evaluation.backends.cpp.memory import Layouts
from avo_tui.evaluation.backends.cpp.process import in_thread
from avo_tui.evaluation.backends.cpp.toolchain import Toolchain, cpu_model, find_toolchain
from avo_tui.evaluation.input_files import drawn_inputs, write_input_files
from avo_tui.evaluation.loading import source_of
from avo_tui.evaluation.measurement import VERSION
from avo_tui.evaluation.measurement.cases import timed_inputs
from avo_tui.evaluation.measurement.drawing import drawn_by
from avo_tui.evaluation.measurement.stopwatch import Stopwatch
from avo_tui.evaluation.pool import Pool
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.policy import MIB, Job, Limits, Outcome
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import CheckCase, Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline

HARNESS_VERSION = "4"
"""Part of the conditions of a measurement: raise it when a change of the measuring makes scores
incomparable."""
_EXPERIMENT = Limits(
    seconds=10, memory_bytes=1024 * MIB, address_bytes=4096 * MIB, processes=16,
    file_bytes=16 * MIB, scratch_bytes=64 * MIB, output_bytes=8 * MIB, keep_bytes=16 * 1024,
)  # fmt: skip


class CppBackend:
    """Backend for tasks of the language `cpp`."""

    check_needs_device = False

    def __init__(self, driver: Driver | None = None) -> None:
        """`driver` is how candidates are compiled, where they are not in C++."""
        self._driver = driver
        self._compiler: Compiler | None = None
        self._own: Compiler | None = None
        self._pool = Pool()
        self._calibration: Calibration | None = None
        self._baselines: dict[str, Mapping[str, Baseline]] = {}
        self._layouts: dict[str, tuple[str, Layouts]] = {}
        """Task → those of the secret that its hidden cases were last drawn by."""

    async def compiler(self) -> Compiler:
        """Compiles C++, the runner among it; raises EvaluatorError where there is no compiler."""
        if self._compiler is None:
            self._compiler = Compiler(await find_toolchain())
        return self._compiler

    async def _candidates(self) -> Compiler:
        """What compiles candidates; the runner is compiled by `compiler` for all languages."""
        if self._driver is None:
            return await self.compiler()
        if self._own is None:
            self._own = Compiler(await self._driver.toolchain(), self._driver)
        return self._own

    async def toolchain(self) -> Toolchain:
        """The candidates' compiler; raises EvaluatorError where there is none."""
        return (await self._candidates()).toolchain

    async def machine(self, task: Task, sandbox: Sandbox) -> MachineInfo:
        """The processor, the compiler and what makes scores comparable."""
        tools = await self.toolchain()
        level = await sandbox.level()
        threads = f"{task.threads} thread" + ("s" if task.threads > 1 else "")
        device = f"cpu {cpu_model()} · {threads}"
        source = f"{VERSION}\n{source_of(task)}"
        reached = (await self._calibrated(sandbox)).measured_ceiling * task.threads
        peak = reached or machine.nominal_peak(task.threads)
        return MachineInfo(
            device=device,
            architecture="native",
            peak_flops={f"fp32, {threads}": peak} if peak else {},
            facts=(
                *([ceiling.HOW] if reached else []),
                *machine.facts(task.threads),
                timed_inputs(task.timed),
                f"library calls that a candidate may make: {allowed_symbols.allowed()}",
            ),
            compiler=tools.version,
            sandbox=level.describe(),
            sandbox_warning=level.warning,
            conditions=tools.key(device, source, HARNESS_VERSION)[:24],
        )

    async def _calibrated(self, sandbox: Sandbox) -> Calibration:
        """What one core reached, measured once; 0 for what cannot be measured."""
        if self._calibration is None:
            reached, clock = await ceiling.measured_ceiling(
                await self.compiler(), sandbox, benchmark_cpu()
            )
            hertz = max(clock, machine.maximum_frequency())
            self._calibration = Calibration(hertz, machine.flops_per_cycle(), reached)
        return self._calibration

    def device_lock(self, task: Task) -> str:
        """Name of the lock: all C++ tasks share the processor, or the cores this worker is limited
        to."""
        return machine.lock_name()

    async def close(self) -> None:
        """Nothing is kept running."""

    async def compile(self, task: Task, candidate: Candidate, context: Context) -> CompiledCpp:
        """A shared object, from the cache where it was compiled before."""
        return await (await self._candidates()).candidate(task, candidate, context.sandbox)

    async def deploy(
        self,
        task: Task,
        candidate: Candidate,
        configurations: Sequence[Configuration],
        architectures: Sequence[str],
        domain: Domain | None,
        context: Context,
    ) -> Deployment:
        """What a package of the candidate needs; it is compiled here once to see that it does."""
        driver, roots = await self._exported(candidate, architectures)
        await self.compile(task, candidate, context)
        build = driver.build(task, candidate, roots)
        needs = f"a compiler of {driver.label}"
        return deployment(task, configurations, domain, build, needs)

    async def single_source(
        self,
        task: Task,
        candidate: Candidate,
        configurations: Sequence[Configuration],
        architectures: Sequence[str],
        function: str,
        context: Context,
    ) -> SingleSource:
        """One file, which is compiled here once to see that it still does.

        The function's name is the task's entry point: `function` is for kernels that need a
        launcher of their own.
        """
        driver, roots = await self._exported(candidate, architectures)
        one = driver.merged(task, candidate, [name.removeprefix("./") for name in roots])
        await self.compile(task, one, context)
        compiler = Path((await self.toolchain()).compiler).name
        text, command = driver.standalone(task, one, compiler)
        return single_source(task, next(iter(one.files)), text, command, configurations)

    async def _exported(
        self, candidate: Candidate, architectures: Sequence[str]
    ) -> tuple[Driver, list[str]]:
        """(the driver, the candidate's files that are compiled). Raises EvaluatorError."""
        driver = (await self._candidates()).driver
        if architectures:
            raise EvaluatorError(
                f"{driver.label} is compiled for the processor; leave out the architecture"
            )
        return driver, sources(candidate.files, driver.suffixes)

    async def disassemble(
        self, compiled: Compiled, context: Context, function: str | None, window: Window
    ) -> str:
        """The assembly of a function of the candidate's shared object."""
        assert isinstance(compiled, CompiledCpp)
        return await profile.disassemble(compiled, context.sandbox, function, window)

    async def profile(
        self, task: Task, compiled: Compiled, context: Context, wanted: ProfileWanted
    ) -> str:
        """Where a candidate spends its time on a configuration, sampled, and in what loops."""
        assert isinstance(compiled, CompiledCpp)
        inputs = InputsWanted(configuration=wanted.configuration, kind=wanted.kind)
        drawn = drawn_inputs(task, inputs)
        tools = await self.compiler()
        calibration = await self._calibrated(context.sandbox)
        reached = calibration.measured_ceiling if wanted.times else None
        return await profile.profile(task, compiled, drawn, tools, context.sandbox, reached)

    async def compare_quickly(
        self,
        task: Task,
        compiled: Compiled,
        other: Compiled,
        context: Context,
        configurations: Sequence[Configuration],
        seconds: float,
    ) -> QuickComparison:
        """Calls of both in turn, as a pair makes them, in a few pairs of processes."""
        assert isinstance(compiled, CompiledCpp) and isinstance(other, CompiledCpp)
        stage = await self.stage(task, context.sandbox)
        reference = task.reference_baseline
        beside = Beside({reference: self._baselines[task.name][reference]}, ())
        return await benchmark.quickly(
            stage, compiled, other, context, beside, configurations, seconds
        )

    async def warm(self, task: Task, sandbox: Sandbox) -> None:
        """Prepare what is needed once: the runner, torch, the calibration."""
        machine.require_cores(task.threads)
        await self.stage(task, sandbox)

    async def stage(self, task: Task, sandbox: Sandbox) -> Stage:
        """What every process of a task's candidates is started with; slow the first time."""
        runner = await (await self.compiler()).runner(task, sandbox)
        if task.name not in self._baselines:
            self._baselines[task.name] = self._limited(task)
        if self._layouts.get(task.name, ("",))[0] != drawn_by():
            self._layouts[task.name] = drawn_by(), Layouts(task)
        calibration = await self._calibrated(sandbox)
        _, layouts = self._layouts[task.name]
        return Stage(task, sandbox, runner, layouts, calibration, benchmark_cpu())

    def _beside(self, task: Task, watch: Stopwatch) -> Beside:
        """The baselines, and public check cases that are mixed in among the timed calls.

        Hidden cases are not used, because a process that knows a hidden shape could reveal it: by
        the values of a later wrong output, by where it writes, or by the time that later calls
        take.
        """
        cases = check.prepare(task, self._pool, False, watch)
        disguise = [(c.case.configuration, c.sample) for c in cases if not c.case.hidden]
        return Beside(self._baselines[task.name], disguise)

    def _limited(self, task: Task) -> Mapping[str, Baseline]:
        import torch

        torch.set_num_threads(task.threads)
        return task.baselines()

    async def check(
        self, task: Task, compiled: Compiled, context: Context
    ) -> tuple[ConfigurationCheck, ...]:
        """Every case in one fresh process."""
        assert isinstance(compiled, CompiledCpp)
        stage = await self.stage(task, context.sandbox)
        return await check.check(stage, compiled, context, self._pool)

    async def benchmark(self, task: Task, compiled: Compiled, context: Context) -> Score:
        """Every configuration in another fresh process."""
        assert isinstance(compiled, CompiledCpp)
        stage = await self.stage(task, context.sandbox)
        beside = await in_thread(lambda: self._beside(task, context.watch))
        cases = [(configuration, task.timed) for configuration in task.configurations]
        return await benchmark.benchmark(stage, compiled, context, beside, cases)

    async def breadth(
        self, task: Task, compiled: Compiled, context: Context, cases: Sequence[CheckCase]
    ) -> Score:
        """As `benchmark`, with memory that holds these cases, too."""
        assert isinstance(compiled, CompiledCpp)
        stage = await self.stage(task, context.sandbox)
        beside = await in_thread(lambda: self._beside(task, context.watch))
        sizes = [case.configuration for case in cases]
        stage = replace(stage, layouts=await in_thread(lambda: Layouts(task, sizes)))
        each = [(case.configuration, (case.distribution,)) for case in cases]
        return await benchmark.benchmark(stage, compiled, context, beside, each)

    async def paired(
        self, task: Task, compiled: Compiled, other: Compiled, context: Context
    ) -> PairedMeasurement:
        """Two candidates in two fresh processes, A B B A."""
        assert isinstance(compiled, CompiledCpp) and isinstance(other, CompiledCpp)
        stage = await self.stage(task, context.sandbox)
        beside = await in_thread(lambda: self._beside(task, context.watch))
        return await benchmark.paired(stage, compiled, other, context, beside)

    async def scratch(self, task: Task, experiment: Experiment, context: Context) -> ScratchReport:
        """Compiles and runs a program with a `main`; its inputs lie beside it as files, with a
        header for C and C++."""
        tools = await self._candidates()
        level = (await context.sandbox.level()).describe()
        with context.sandbox.scratch() as folder:
            files, beside = experiment.files, 0
            if experiment.inputs is not None:
                drawn = await asyncio.to_thread(write_input_files, task, experiment.inputs, folder)
                files = {INPUTS_HEADER: c_header(experiment.inputs, drawn), **files}
                beside = sum(file.bytes for file in drawn)
            built = await tools.experiment(files, folder, context.sandbox)
            log = log_of(built, folder)
            if not built.ok:
                why = "it does not compile" if built.reason == "exited" else _ending(built)
                return ScratchReport(
                    compiled=False, outcome=why, compiler_log=log, sandbox=level,
                    seconds=built.seconds,
                )  # fmt: skip
            limits = replace(
                _EXPERIMENT,
                seconds=min(max(experiment.seconds, 0.1), 60.0),
                memory_bytes=_EXPERIMENT.memory_bytes + 2 * beside,
                scratch_bytes=_EXPERIMENT.scratch_bytes + beside,
            )
            job = Job(command=("./program",), scratch=folder, limits=limits)
            ran = await context.sandbox.run(job)
        return ScratchReport(
            compiled=True,
            exit_code=ran.exit_code if ran.reason == "exited" else None,
            outcome=_ending(ran),
            compiler_log=log,
            stdout=ran.stdout,
            stderr=ran.stderr,
            seconds=ran.seconds,
            sandbox=level,
        )


def _ending(outcome: Outcome) -> str:
    if outcome.reason == "exited":
        return f"ended with exit code {outcome.exit_code}"
    if outcome.reason == "signalled":
        from avo_tui.evaluation.backends.cpp.failures import signal_name

        return f"ended by {signal_name(outcome.signal or 0)}"
    if outcome.reason == "error":
        return f"not started: {outcome.error}"
    limits = {"time": "time", "memory": "memory", "output": "output", "scratch": "file space"}
    name = limits.get(outcome.reason)
    return f"killed: its limit of {name} was passed" if name else f"killed: {outcome.reason}"
