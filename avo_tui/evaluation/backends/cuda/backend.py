"""The CUDA backend: answers the pipeline by a compiler and a disposable GPU process."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Deployment, Domain, SingleSource
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import ProfileWanted, ScratchReport, Window
from avo_tui.domain.report import ConfigurationCheck
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Compiled, Context, Experiment, Rejected, refused
from avo_tui.evaluation.backends.cuda import conversation, device_tools, fresh_processes, toolkit
from avo_tui.evaluation.backends.cuda.compiled import (
    CudaCompiled,
    every_configuration,
    public_names,
    resolve_plans,
    with_dynamic,
)
from avo_tui.evaluation.backends.cuda.compiler import CompiledCandidate, Compiler
from avo_tui.evaluation.backends.cuda.conversation import Timing, ask
from avo_tui.evaluation.backends.cuda.device import (
    DEFAULT_ARCHITECTURE,
    Gpu,
    NoGpu,
    machine_limits,
    probe,
)
from avo_tui.evaluation.backends.cuda.device_tools import WatchError, sanitize
from avo_tui.evaluation.backends.cuda.fresh_processes import FreshProcesses, Scrub
from avo_tui.evaluation.backends.cuda.front import CudaFrontEnd, FrontEnd, Plans, deploy, devices
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.measuring import Check, compare_in_turn, measure, run_request
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.loading import source_of
from avo_tui.evaluation.measurement import VERSION, dtypes
from avo_tui.evaluation.measurement.cases import CheckCase
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

HARNESS = "cuda-2"
KEPT = 24
"""Compiled candidates that are remembered."""


class CudaBackend:
    """Implements `Backend` on the first GPU that this process sees; a worker for another sees only
    that one."""

    check_needs_device = True

    def __init__(
        self,
        architecture: str | None = None,
        front_end: Callable[[Compiler, Sandbox], FrontEnd] = lambda compiler, _: CudaFrontEnd(
            compiler
        ),
    ) -> None:
        """`architecture` compiles for another than the device's, such as `sm_100a`.

        `front_end` makes what compiles candidates, where they are not in CUDA C++.
        """
        if architecture is not None:
            toolkit.architecture_number(architecture)
        self._architecture = architecture
        self._gpu: Gpu | NoGpu | None = None
        self._compiler: Compiler | None = None
        self._make_front_end = front_end
        self._front_end: FrontEnd | None = None
        self._known: OrderedDict[tuple[str, ...], tuple[CompiledCandidate, Plans]] = OrderedDict()
        """Candidates compiled last, by content, task, architecture and configurations."""
        self.processes = FreshProcesses(self._scrubbing)
        self._scrub: Scrub | None = None
        self._ceiling = 0.0
        self._alone: dict[str, dict[str, float]] = {}

    async def gpu(self) -> Gpu | NoGpu:
        """The GPU, or why there is none; determined once."""
        if self._gpu is None:
            self._gpu = await probe()
        return self._gpu

    async def facts(self) -> DeviceFacts:
        """The facts of the device compiled for."""
        gpu = await self.gpu()
        if isinstance(gpu, Gpu) and self._architecture in {None, gpu.architecture}:
            return gpu.facts
        return DeviceFacts.of_architecture(self._architecture or DEFAULT_ARCHITECTURE)

    async def machine(self, task: Task, sandbox: Sandbox) -> MachineInfo:
        """Device, compiler and conditions."""
        gpu = await self.gpu()
        facts = await self.facts()
        device = gpu.name if isinstance(gpu, Gpu) else "no GPU"
        compiler = self._front(sandbox).version()
        driver = gpu.driver if isinstance(gpu, Gpu) else 0
        parts = (HARNESS, VERSION, device, driver, facts.architecture, compiler, task.name)
        key = " ".join(map(str, (*parts, source_of(task))))
        level = await sandbox.level()
        return MachineInfo(
            device=device,
            architecture=facts.architecture,
            compiler=compiler,
            sandbox=f"compiler: {level.describe()}; candidate: device code alone",
            sandbox_warning=level.warning,
            conditions=hashlib.sha256(key.encode()).hexdigest()[:16],
            **machine_limits(gpu, self._ceiling),
        )

    def device_lock(self, task: Task) -> str:
        """Name of the lock: the GPU's UUID, independent of how this process numbers devices."""
        if isinstance(self._gpu, Gpu):
            return f"gpu-{self._gpu.uuid[:12]}"
        return "gpu-0"

    def gpu_uuid(self, task: Task) -> str:
        """The UUID of the GPU that is measured on; empty without one."""
        return self._gpu.uuid if isinstance(self._gpu, Gpu) else ""

    async def warm(self, task: Task, sandbox: Sandbox) -> None:
        """Start a process for the first candidate and create the worker's own GPU context."""
        if isinstance(await self.gpu(), Gpu):
            await self.processes.prepare(_cuda(task))
            await asyncio.to_thread(conversation.warm_up)

    async def compile(self, task: Task, candidate: Candidate, context: Context) -> CudaCompiled:
        """Cubins, and a launch plan for every configuration the task has."""
        cuda = _cuda(task)
        facts = await self.facts()
        gpu = await self.gpu()
        if isinstance(gpu, Gpu):
            await self.processes.prepare(cuda)
        configurations, hidden = every_configuration(cuda)
        names = (configuration.name for configuration in configurations)
        key = (candidate.id, task.name, facts.architecture, str(facts.sms), *names)
        if key not in self._known:
            front = self._front(context.sandbox)
            self._known[key] = await front.compile(cuda, candidate, facts, configurations, hidden)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        unit, plans = self._known[key]
        resources = with_dynamic(unit, plans, facts, public_names(cuda))
        return CudaCompiled(
            candidate, resources, unit.log, unit, facts, plans, saw_hidden=unit.launch_saw_hidden
        )

    def _front(self, sandbox: Sandbox) -> FrontEnd:
        """What compiles candidates."""
        if self._compiler is None:
            self._compiler = Compiler(sandbox)
        if self._front_end is None:
            self._front_end = self._make_front_end(self._compiler, sandbox)
        return self._front_end

    async def deploy(
        self,
        task: Task,
        candidate: Candidate,
        configurations: Sequence[Configuration],
        architectures: Sequence[str],
        domain: Domain | None,
        context: Context,
    ) -> Deployment:
        """Cubins and launches for the architectures; for the device's own where none is named."""
        wanted = devices(architectures, await self.facts())
        front = self._front(context.sandbox)
        return await deploy(_cuda(task), candidate, configurations, domain, wanted, front)

    async def single_source(
        self,
        task: Task,
        candidate: Candidate,
        configurations: Sequence[Configuration],
        architectures: Sequence[str],
        function: str,
        context: Context,
    ) -> SingleSource:
        """One file with the launches of one architecture."""
        wanted = devices(architectures, await self.facts())
        if len(wanted) > 1:
            raise EvaluatorError("one file holds the launches of one architecture; name one")
        front = self._front(context.sandbox)
        return front.single_source(_cuda(task), candidate, configurations, wanted[0], function)

    async def check(
        self, task: Task, compiled: Compiled, context: Context
    ) -> tuple[ConfigurationCheck, ...]:
        """Every case, cheapest first; the judging of one overlaps with the run of the next."""
        cuda, ours = _cuda(task), _ours(compiled)
        await self._need_gpu(ours)
        cases = cuda.quick_cases() if context.quick else cuda.check_cases()
        run = Check(cuda, ours, cases, context)
        async with self.processes.running(cuda, ours) as process:
            if not context.quick:
                # Kept for the benchmark or the next candidate: creating the context and loading the
                # baselines' libraries takes seconds.
                await self.processes.prepare(cuda)
                self.processes.open_ahead(cuda)
            return await run.all(process)

    async def benchmark(self, task: Task, compiled: Compiled, context: Context) -> Score:
        """Times it beside the baselines; the caller holds the device's lock."""
        cuda = _cuda(task)
        return await self._timed(
            cuda, _ours(compiled), context, [(c, cuda.timed) for c in cuda.configurations]
        )

    async def breadth(
        self, task: Task, compiled: Compiled, context: Context, cases: Sequence[CheckCase]
    ) -> Score:
        """As `benchmark`; launches of sizes that no case of the task has are planned first."""
        cuda, ours = _cuda(task), _ours(compiled)
        sizes = [c.configuration for c in cases if c.configuration.name not in ours.plans]
        plans = resolve_plans(cuda, ours.candidate, ours.facts, sizes)
        ours = replace(ours, plans={**ours.plans, **plans})
        each = [(case.configuration, (case.distribution,)) for case in cases]
        return await self._timed(cuda, ours, context, each)

    async def _timed(
        self,
        task: CudaTask,
        ours: CudaCompiled,
        context: Context,
        cases: Sequence[tuple[Configuration, Sequence[str]]],
    ) -> Score:
        """Times it on configurations, each with the kinds of its inputs."""
        gpu = await self._need_gpu(ours)
        scores: list[ConfigurationScore] = []
        async with (
            self.processes.running(task, ours) as process,
            Timing(task, process, {"candidate": ours.candidate.id}) as timing,
        ):
            if not self._ceiling:
                self._ceiling = (await ask(process, {"op": "ceiling"}, 60, None))["ceiling"]
            ceilings = gpu.ceilings(eight_bits=_eight_bits(task), measured_flops=self._ceiling)
            for configuration, kinds in cases:
                name = configuration.name
                if kinds != task.timed:
                    name = f"{name} {', '.join(kinds)}"
                alone = self._alone.setdefault(f"{task.name} {name}", {})
                score = await measure(task, ours, configuration, kinds, timing, ceilings, alone)
                scores.append(score.replaced(name=name))
                context.scored(task, scores, len(cases))
            await timing.settle()
            await self.processes.prepare(task)  # kept for the next candidate
        return Score(
            unit=task.unit,
            reference_baseline=task.reference_baseline,
            configurations=tuple(scores),
        )

    async def paired(
        self, task: Task, compiled: Compiled, other: Compiled, context: Context
    ) -> PairedMeasurement:
        """Times two candidates A B B A; the caller holds the device's lock."""
        cuda, a, b = _cuda(task), _ours(compiled), _ours(other)
        await self._need_gpu(a)
        return await compare_in_turn(self.processes, cuda, a, b, context)

    async def scratch(self, task: Task, experiment: Experiment, context: Context) -> ScratchReport:
        """Compiles a candidate and runs it once, unjudged; what its kernels print is the output.

        It runs on the inputs that are asked for, or else on the smallest configuration.
        """
        cuda, inputs = _cuda(task), experiment.inputs
        try:
            ours = await self.compile(cuda, Candidate(files=experiment.files), context)
        except Rejected as error:
            log = error.feedback.log or error.feedback.detail
            return ScratchReport(compiled=False, outcome=error.feedback.summary, compiler_log=log)
        gpu = await self.gpu()
        if isinstance(gpu, NoGpu):
            outcome = f"compiled; not run: {gpu.reason}"
            return ScratchReport(compiled=True, outcome=outcome, compiler_log=ours.log)
        case, seed = next(c for c in cuda.quick_cases() if not c.hidden), secrets.randbits(48)
        if inputs is not None:
            case, seed = CheckCase(inputs.configuration, inputs.kind), inputs.seed
        async with self.processes.running(cuda, ours) as process:
            request = run_request(ours, case, seed, steady=False)
            try:
                reply = await ask(process, request, experiment.seconds, case.configuration.name)
                took = reply["milliseconds"]
                outcome = f"ran on {case.configuration.name} in {took:.3f} ms"
                ended = {"exit_code": 0, "seconds": took / 1e3}
            except Rejected as error:
                outcome, ended = error.feedback.summary, {}
            return ScratchReport(
                compiled=True,
                outcome=outcome,
                compiler_log=ours.log,
                stdout=process.printed(),
                **ended,
            )

    async def profile(
        self, task: Task, compiled: Compiled, context: Context, wanted: ProfileWanted
    ) -> str:
        """What Nsight Compute says of one run on a configuration."""
        cuda, ours = _cuda(task), _ours(compiled)
        await self._need_gpu(ours)
        try:
            return await device_tools.profile(cuda, ours, wanted)
        except WatchError as error:
            return f"{str(error)[:1].upper()}{str(error)[1:]}."

    async def disassemble(
        self, compiled: Compiled, context: Context, function: str | None, window: Window
    ) -> str:
        """The SASS of a kernel, with lines of the source where it was compiled with `line_info`."""
        return await device_tools.disassemble(_ours(compiled), context.sandbox, function, window)

    async def sanitize(self, task: Task, compiled: Compiled, tools: Sequence[str]) -> str:
        """What compute-sanitizer finds, a line for each tool."""
        cuda, ours = _cuda(task), _ours(compiled)
        await self._need_gpu(ours)
        return await sanitize(cuda, ours, tools)

    async def finalist(self, task: Task, compiled: Compiled) -> str:
        """Remarks on a candidate that is about to be committed; empty if there are none."""
        try:
            wanted = device_tools.wanted()
        except ValueError as error:
            raise refused(Verdict.HARNESS_ERROR, str(error)) from error
        return await self.sanitize(task, compiled, wanted) if wanted else ""

    async def close(self) -> None:
        """End the process that is kept ready."""
        await self.processes.close()

    async def _need_gpu(self, compiled: CudaCompiled) -> Gpu:
        gpu = await self.gpu()
        if isinstance(gpu, NoGpu):
            reason = gpu.reason
        elif compiled.facts.architecture != gpu.architecture:
            reason = (
                f"compiled for {compiled.facts.architecture}, and this machine's GPU "
                f"is {gpu.architecture}"
            )
        else:
            return gpu
        raise refused(
            Verdict.NO_DEVICE,
            f"compiled, but not run: {reason}",
            compiled.resources,
            hint="Checking and timing need an NVIDIA GPU of the architecture compiled for.",
        )

    async def _scrubbing(self) -> Scrub:
        """The kernel that overwrites shared memory, compiled once."""
        if self._scrub is None:
            assert self._compiler is not None, "a candidate is compiled before it is run"
            self._scrub = await fresh_processes.compiled(self._compiler, await self.facts())
        return self._scrub


def _eight_bits(task: CudaTask) -> bool:
    inputs = (t for c in task.configurations for t in task.tensors(c) if not t.output)
    return any(dtypes.dtype(t.dtype).bytes == 1 for t in inputs)


def _cuda(task: Task) -> CudaTask:
    assert isinstance(task, CudaTask), f"{task.name} is not a CUDA task"
    return task


def _ours(compiled: Compiled) -> CudaCompiled:
    assert isinstance(compiled, CudaCompiled)
    return compiled
