"""The CUDA backend: answers the pipeline by a compiler and a disposable GPU process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.deployment import Deployment, SingleSource
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import (
    ConfigurationCheck,
    EvaluationProgress,
    Feedback,
    MachineInfo,
    ScratchReport,
    Verdict,
    Window,
)
from avo_tui.evaluation.backends.base import Compiled, Context, Rejected
from avo_tui.evaluation.backends.cuda import (
    deploying,
    judging,
    profiler,
    sanitizer,
    sass,
    scrubbing,
    toolkit,
)
from avo_tui.evaluation.backends.cuda.checking import Check, run_request
from avo_tui.evaluation.backends.cuda.compiled import (
    CudaCompiled,
    every_configuration,
    public_names,
    with_dynamic,
)
from avo_tui.evaluation.backends.cuda.compiler import Compiler
from avo_tui.evaluation.backends.cuda.conversation import Timing, ask
from avo_tui.evaluation.backends.cuda.device import DEFAULT_ARCHITECTURE, Gpu, NoGpu, probe
from avo_tui.evaluation.backends.cuda.front import CudaFrontEnd, FrontEnd
from avo_tui.evaluation.backends.cuda.measuring import compare, measure
from avo_tui.evaluation.backends.cuda.plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.process import GpuProcess
from avo_tui.evaluation.backends.cuda.scrubbing import Scrub
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.backends.cuda.tool_run import WatchError
from avo_tui.evaluation.loading import source_of
from avo_tui.evaluation.measurement import VERSION, dtypes, statistics
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

HARNESS = "cuda-2"


class CudaBackend:
    """Implements `Backend`. One instance serves one GPU."""

    check_needs_device = True

    def __init__(
        self,
        device: int = 0,
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
        self._index = device
        self._architecture = architecture
        self._gpu: Gpu | NoGpu | None = None
        self._compiler: Compiler | None = None
        self._make_front_end = front_end
        self._front_end: FrontEnd | None = None
        self._spare: GpuProcess | None = None
        self._scrub: Scrub | None = None
        self._ceiling = 0.0
        self._alone: dict[str, dict[str, float]] = {}

    async def gpu(self) -> Gpu | NoGpu:
        """The GPU, or why there is none; determined once."""
        if self._gpu is None:
            self._gpu = await probe(self._index)
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
            **_figures(gpu, self._ceiling),
        )

    def device_lock(self, task: Task) -> str:
        """Name of the lock: the GPU's UUID, independent of how this process numbers devices."""
        if isinstance(self._gpu, Gpu):
            return f"gpu-{self._gpu.uuid[:12]}"
        return f"gpu-{self._index}"

    def gpu_uuid(self, task: Task) -> str:
        """The UUID of the GPU that is measured on; empty without one."""
        return self._gpu.uuid if isinstance(self._gpu, Gpu) else ""

    async def warm(self, task: Task, sandbox: Sandbox) -> None:
        """Start a process for the first candidate and create the worker's own GPU context."""
        if isinstance(await self.gpu(), Gpu):
            await self._prepare_spare(_cuda(task))
            await asyncio.to_thread(judging.warm_up)

    async def compile(self, task: Task, candidate: Candidate, context: Context) -> CudaCompiled:
        """Cubins, and a launch plan for every configuration the task has."""
        cuda = _cuda(task)
        facts = await self.facts()
        gpu = await self.gpu()
        if isinstance(gpu, Gpu):
            await self._prepare_spare(cuda)
        unit, plans = await self._front(context.sandbox).compile(
            cuda, candidate, facts, *every_configuration(cuda)
        )
        resources = with_dynamic(unit, plans, facts, public_names(cuda))
        return CudaCompiled(candidate, resources, unit.feedback.log, unit, facts, plans)

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
        context: Context,
    ) -> Deployment:
        """Cubins and launches for the architectures; for the device's own where none is named."""
        devices = deploying.devices(architectures, await self.facts())
        front = self._front(context.sandbox)
        return await deploying.deploy(_cuda(task), candidate, configurations, devices, front)

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
        devices = deploying.devices(architectures, await self.facts())
        if len(devices) > 1:
            raise EvaluatorError("one file holds the launches of one architecture; name one")
        front = self._front(context.sandbox)
        return front.single_source(_cuda(task), candidate, configurations, devices[0], function)

    async def check(
        self, task: Task, compiled: Compiled, context: Context
    ) -> tuple[ConfigurationCheck, ...]:
        """Every case, cheapest first; the judging of one overlaps with the run of the next."""
        cuda, ours = _cuda(task), _ours(compiled)
        await self._need_gpu(ours)
        cases = cuda.quick_cases() if context.quick else cuda.check_cases()
        run = Check(cuda, ours, cases, context)
        async with self._process(cuda, {"candidate": ours}) as process:
            if not context.quick:
                # Kept for the benchmark or the next candidate: creating the context and loading the
                # baselines' libraries takes seconds.
                await self._prepare_spare(cuda)
                self._open_spare(cuda)
            return await run.all(process)

    async def benchmark(self, task: Task, compiled: Compiled, context: Context) -> Score:
        """Times it beside the baselines; the caller holds the device's lock."""
        cuda, ours = _cuda(task), _ours(compiled)
        gpu = await self._need_gpu(ours)
        scores: list[ConfigurationScore] = []
        async with (
            self._process(cuda, {"candidate": ours}) as process,
            Timing(cuda, process, {"candidate": ours.candidate.id}) as timing,
        ):
            if not self._ceiling:
                self._ceiling = (await ask(process, {"op": "ceiling"}, 60, None))["ceiling"]
            count = len(cuda.configurations)
            ceilings = gpu.ceilings(eight_bits=_eight_bits(cuda), measured_flops=self._ceiling)
            for index, configuration in enumerate(cuda.configurations, start=1):
                alone = self._alone.setdefault(f"{task.name} {configuration.name}", {})
                target = context.target.get(configuration.name, 0.0)
                result = await measure(cuda, ours, configuration, timing, ceilings, alone, target)
                scores.append(result)
                context.progress(
                    EvaluationProgress(
                        stage="benchmark",
                        state="configuration",
                        index=index,
                        count=count,
                        configuration=configuration.name,
                        throughput=result.throughput,
                        p20=result.p20,
                        p80=result.p80,
                        ratio=result.ratio,
                        unit=cuda.unit,
                        baselines=result.baselines,
                        detail=", ".join(result.flags),
                    )
                )
            await timing.settle()
            await self._prepare_spare(cuda)  # kept for the next candidate
        return Score(
            unit=cuda.unit,
            reference_baseline=cuda.reference_baseline,
            configurations=tuple(scores),
        )

    async def paired(
        self, task: Task, compiled: Compiled, other: Compiled, context: Context
    ) -> PairedMeasurement:
        """Times two candidates A B B A; the caller holds the device's lock.

        Both run in one process. If that does not show which of them failed, each is run beside
        itself: what fails there too is at fault.
        """
        cuda, a, b = _cuda(task), _ours(compiled), _ours(other)
        await self._need_gpu(a)
        try:
            return await self._side_by_side(cuda, a, b, context)
        except Rejected as rejection:
            if rejection.whose is None and rejection.verdict.judges_candidate:
                await self._blame(cuda, a, b, context, rejection)
            raise

    async def _blame(
        self,
        task: CudaTask,
        a: CudaCompiled,
        b: CudaCompiled,
        context: Context,
        rejection: Rejected,
    ) -> None:
        """Raises the rejection of the candidate that fails alone, too.

        Where neither does, raises one that holds nothing against either.
        """
        silent = replace(context, progress=lambda _: None)
        for one in (a, b):
            try:
                await self._side_by_side(task, one, one, silent)
            except Rejected as alone:
                if alone.verdict.judges_candidate:
                    alone.whose = one.candidate.id
                raise alone from rejection
        summary = f"{rejection.feedback.summary}; each of the two passes beside itself"
        feedback = rejection.feedback.replaced(summary=summary)
        raise Rejected(Verdict.HARNESS_ERROR, feedback) from rejection

    async def _side_by_side(
        self, cuda: CudaTask, a: CudaCompiled, b: CudaCompiled, context: Context
    ) -> PairedMeasurement:
        """Times two candidates in one fresh process."""
        rounds: dict[str, int] = {}
        ratios: dict[str, tuple[float, float, float]] = {}
        async with (
            self._process(cuda, {"a": a, "b": b}) as process,
            Timing(cuda, process, {"a": a.candidate.id, "b": b.candidate.id}) as timing,
        ):
            for index, configuration in enumerate(cuda.configurations, start=1):
                values, milliseconds = await compare(a, b, configuration, timing)
                low, middle, high = (statistics.quantile(values, q) for q in (0.2, 0.5, 0.8))
                ratios[configuration.name] = (low, middle, high)
                rounds[configuration.name] = len(values)
                context.progress(
                    EvaluationProgress(
                        stage="remeasure",
                        state="configuration",
                        index=index,
                        count=len(cuda.configurations),
                        configuration=configuration.name,
                        ratio=middle,
                        throughput=cuda.metric.value(cuda.work(configuration), milliseconds / 1e3),
                        unit=cuda.unit,
                    )
                )
        return PairedMeasurement(configurations=ratios, rounds=rounds)

    async def scratch(
        self, task: Task, files: dict[str, str], seconds: float, context: Context
    ) -> ScratchReport:
        """Compiles a candidate and runs it once, unjudged, on the smallest configuration.

        What its kernels print is the output.
        """
        cuda = _cuda(task)
        try:
            ours = await self.compile(cuda, Candidate(files=files), context)
        except Rejected as error:
            log = error.feedback.log or error.feedback.detail
            return ScratchReport(compiled=False, outcome=error.feedback.summary, compiler_log=log)
        gpu = await self.gpu()
        if isinstance(gpu, NoGpu):
            outcome = f"compiled; not run: {gpu.reason}"
            return ScratchReport(compiled=True, outcome=outcome, compiler_log=ours.log)
        case = next(c for c in cuda.quick_cases() if not c.hidden)
        async with self._process(cuda, {"candidate": ours}) as process:
            try:
                request = run_request(ours, case, secrets.randbits(48), steady=False)
                reply = await ask(process, request, seconds, case.configuration.name)
            except Rejected as error:
                return ScratchReport(
                    compiled=True,
                    outcome=error.feedback.summary,
                    compiler_log=ours.log,
                    stdout=process.printed(),
                )
            outcome = f"ran on {case.configuration.name} in {reply['milliseconds']:.3f} ms"
            return ScratchReport(
                compiled=True,
                exit_code=0,
                outcome=outcome,
                compiler_log=ours.log,
                stdout=process.printed(),
                seconds=reply["milliseconds"] / 1e3,
            )

    async def profile(
        self, task: Task, compiled: Compiled, context: Context, configuration: Configuration
    ) -> str:
        """What Nsight Compute says of one run on a configuration."""
        cuda, ours = _cuda(task), _ours(compiled)
        await self._need_gpu(ours)
        try:
            return await profiler.profile(cuda, ours, configuration, self._index)
        except WatchError as error:
            return f"{str(error)[:1].upper()}{str(error)[1:]}."

    async def disassemble(
        self, compiled: Compiled, context: Context, function: str | None, window: Window
    ) -> str:
        """The SASS of a kernel, with lines of the source where it was compiled with `line_info`."""
        return await sass.disassemble(_ours(compiled), context.sandbox, function, window)

    async def sanitize(self, task: Task, compiled: Compiled, tools: Sequence[str]) -> str:
        """What compute-sanitizer finds, a line for each tool."""
        cuda, ours = _cuda(task), _ours(compiled)
        await self._need_gpu(ours)
        return await sanitizer.sanitize(cuda, ours, self._index, tools)

    async def finalist(self, task: Task, compiled: Compiled) -> str:
        """Remarks on a candidate that is about to be committed; empty if there are none."""
        try:
            tools = sanitizer.wanted()
        except ValueError as error:
            raise Rejected(Verdict.HARNESS_ERROR, Feedback(summary=str(error))) from error
        return await self.sanitize(task, compiled, tools) if tools else ""

    async def close(self) -> None:
        """End the process that is kept ready."""
        spare, self._spare = self._spare, None
        if spare is not None:
            await self._end(spare)

    @staticmethod
    async def _end(process: GpuProcess) -> None:
        """Kill a process, even if it is still being started."""
        await process.end()
        if process.opened is not None:
            process.opened.cancel()
            with contextlib.suppress(Rejected, asyncio.CancelledError):
                await process.opened

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
        raise Rejected(
            Verdict.NO_DEVICE,
            Feedback(
                summary=f"compiled, but not run: {reason}",
                hint="Checking and timing need an NVIDIA GPU of the architecture compiled for.",
            ),
            resources=compiled.resources,
        )

    async def _scrubbing(self) -> Scrub:
        """The kernel that overwrites shared memory, compiled once."""
        if self._scrub is None:
            assert self._compiler is not None, "a candidate is compiled before it is run"
            self._scrub = await scrubbing.compiled(self._compiler, await self.facts())
        return self._scrub

    async def _prepare_spare(self, task: CudaTask) -> None:
        """Start the next process while the compiler runs, because importing torch takes seconds."""
        if self._spare is None or not self._spare.alive:
            self._spare = await GpuProcess.start(self._index, _output_bytes(task))

    async def _open(self, process: GpuProcess, task: CudaTask) -> None:
        """Create the GPU context. A failure is never the candidate's fault, as none is loaded
        yet."""
        try:
            await ask(process, {"op": "open", "task": str(task.folder.resolve())}, 120, None)
        except Rejected as error:
            summary = f"the GPU process cannot be prepared: {error.feedback.summary}"
            feedback = error.feedback.model_copy(update={"summary": summary})
            raise Rejected(Verdict.HARNESS_ERROR, feedback) from error

    def _open_spare(self, task: CudaTask) -> None:
        """Create the spare process's context and load the baselines, in the background."""
        spare = self._spare
        if spare is None or spare.opened is not None:
            return
        small = next(c.configuration for c in task.quick_cases())

        async def open_and_load() -> None:
            await self._open(spare, task)
            await ask(spare, {"op": "warm", "configuration": small.model_dump()}, 120, None)

        spare.opened = asyncio.create_task(open_and_load())

    @contextlib.asynccontextmanager
    async def _process(
        self, task: CudaTask, candidates: dict[str, CudaCompiled]
    ) -> AsyncIterator[GpuProcess]:
        """A fresh process with the cubins in it; killed on the way out."""
        process, self._spare = self._spare, None
        if process is None or not process.alive or len(process.shared) < _output_bytes(task):
            if process is not None:
                await self._end(process)
            process = await GpuProcess.start(self._index, _output_bytes(task))
        try:
            opened = process.opened or asyncio.create_task(self._open(process, task))
            process.opened = opened
            await asyncio.to_thread(judging.warm_up)
            await opened
            with tempfile.TemporaryDirectory(prefix="avo-cubins-") as folder:
                for who, candidate in candidates.items():
                    await load(process, who, candidate, Path(folder))
                scrub = await self._scrubbing()
                code = Path(folder, "scrub.cubin")
                await asyncio.to_thread(code.write_bytes, scrub.code)
                await ask(process, scrub.request(code), 60, None)
            yield process
        finally:
            await self._end(process)


class _Figures(TypedDict, total=False):
    """The fields of `MachineInfo` about a device's limits."""

    peak_flops: dict[str, float]
    peak_bytes: float
    measured_flops: float
    facts: tuple[str, ...]


def _figures(gpu: Gpu | NoGpu, measured: float) -> _Figures:
    """The limits of a GPU; nothing where there is none."""
    if isinstance(gpu, NoGpu):
        return {}
    limits = gpu.ceilings(eight_bits=False, measured_flops=measured)
    return {
        "peak_flops": {"bf16 tensor cores": limits.peak_flops},
        "peak_bytes": limits.peak_bytes,
        "measured_flops": measured,
        "facts": (
            f"{gpu.sms} multiprocessors at up to {gpu.clock_khz / 1e3:.0f} MHz",
            f"L2 {gpu.l2 / 2**20:.0f} MB, memory {gpu.memory / 2**30:.0f} GB",
            f"up to {gpu.shared_memory} bytes of shared memory for a block",
        ),
    }


async def load(process: GpuProcess, who: str, candidate: CudaCompiled, folder: Path) -> None:
    """Send a candidate's cubins to the process under the name `who`; `folder` holds them
    meanwhile."""
    units = []
    for number, unit in enumerate(candidate.unit.units):
        path = folder / f"{who}-{number}.cubin"
        await asyncio.to_thread(path.write_bytes, unit.code)
        units.append(unit.request(str(path)))
    await ask(process, {"op": "load", "who": who, "units": units}, 60, None)


def _output_bytes(task: CudaTask) -> int:
    """Shared memory for two sets of the largest outputs."""
    configurations = [*task.configurations, *(c.configuration for c in task.check_cases())]
    return 2 * max(sum(t.bytes for t in task.tensors(c) if t.output) for c in configurations)


def _eight_bits(task: CudaTask) -> bool:
    inputs = (t for c in task.configurations for t in task.tensors(c) if not t.output)
    return any(dtypes.dtype(t.dtype).bytes == 1 for t in inputs)


def _cuda(task: Task) -> CudaTask:
    assert isinstance(task, CudaTask), f"{task.name} is not a CUDA task"
    return task


def _ours(compiled: Compiled) -> CudaCompiled:
    assert isinstance(compiled, CudaCompiled)
    return compiled
