"""The backend for CUDA: what the pipeline asks, answered with a compiler and a disposable process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import (
    ConfigurationCheck,
    EvaluationProgress,
    Feedback,
    MachineInfo,
    Resources,
    ScratchReport,
    Verdict,
)
from avo_tui.evaluation.backends.base import Compiled, Context, Rejected
from avo_tui.evaluation.backends.cuda import judging, statistics, toolkit, verdicts
from avo_tui.evaluation.backends.cuda.compiler import (
    CompiledCandidate,
    Compiler,
    manifest_feedback,
)
from avo_tui.evaluation.backends.cuda.device import (
    DEFAULT_ARCHITECTURE,
    Gpu,
    NoGpu,
    probe,
)
from avo_tui.evaluation.backends.cuda.judge import Judgement
from avo_tui.evaluation.backends.cuda.manifest_text import ManifestError
from avo_tui.evaluation.backends.cuda.plan import DeviceFacts, LaunchPlan, resolve
from avo_tui.evaluation.backends.cuda.process import (
    GpuProcess,
    ProcessDied,
    ProcessTimeout,
    Reply,
)
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import CheckCase, Task

SLOWEST = 0.25e12
"""Operations per second below which a run counts as hanging."""
SLOW_MILLISECONDS = 1500.0
"""A run expected to take longer is neither repeated nor perturbed on the scored configurations."""
BUDGET_SECONDS = 1.5
"""Of a candidate's own time, per configuration."""
WARM_SECONDS = 0.5
VERIFY = 2
"""Timed outputs judged per configuration."""
HARNESS = "cuda-1"


@dataclass(frozen=True)
class CudaCompiled(Compiled):
    """A compiled candidate with the plans for every configuration of its task."""

    unit: CompiledCandidate
    facts: DeviceFacts
    plans: dict[str, LaunchPlan]


class CudaBackend:
    """Implements `Backend`. One instance serves one GPU."""

    check_needs_device = True

    def __init__(self, device: int = 0, architecture: str | None = None) -> None:
        """`architecture` compiles for another than the device's, such as `sm_100a`."""
        if architecture is not None:
            toolkit.architecture_number(architecture)
        self._index = device
        self._architecture = architecture
        self._gpu: Gpu | NoGpu | None = None
        self._compiler: Compiler | None = None
        self._spare: GpuProcess | None = None
        self._ceiling = 0.0

    async def gpu(self) -> Gpu | NoGpu:
        """The device, asked for once."""
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
        compiler = toolkit.compiler_version()
        text = "".join(
            path.read_text(encoding="utf-8")
            for path in (task.folder / "task.py", Path(__file__).with_name("attention.py"))
        )
        driver = gpu.driver if isinstance(gpu, Gpu) else 0
        key = f"{HARNESS} {device} {driver} {facts.architecture} {compiler} {task.name} {text}"
        return MachineInfo(
            device=device,
            architecture=facts.architecture,
            compiler=compiler,
            sandbox=f"compiler: {(await sandbox.level()).describe()}; candidate: device code alone",
            conditions=hashlib.sha256(key.encode()).hexdigest()[:16],
        )

    def device_lock(self, task: Task) -> str:
        """The GPU by its own name, however the process numbers it."""
        if isinstance(self._gpu, Gpu):
            return f"gpu-{self._gpu.uuid[:12]}"
        return f"gpu-{self._index}"

    async def warm(self, task: Task, sandbox: Sandbox) -> None:
        """Starts a process for the first candidate and makes the worker's own GPU context."""
        if isinstance(await self.gpu(), Gpu):
            await self._prepare_spare(_cuda(task))
            await asyncio.to_thread(judging.warm_up)

    async def compile(self, task: Task, candidate: Candidate, context: Context) -> CudaCompiled:
        """Compiles, and resolves the manifest for every configuration the task has."""
        cuda = _cuda(task)
        facts = await self.facts()
        gpu = await self.gpu()
        if isinstance(gpu, Gpu):
            await self._prepare_spare(cuda)
        if self._compiler is None:
            self._compiler = Compiler(context.sandbox)
        try:
            unit = await self._compiler.compile(candidate, facts.architecture)
        except toolkit.ToolkitError as error:
            raise Rejected(Verdict.HARNESS_ERROR, Feedback(summary=str(error))) from error
        if not unit.ok:
            raise Rejected(unit.verdict, unit.feedback)
        plans = _plans(cuda, unit, facts)
        resources = _with_dynamic(unit, plans, facts)
        return CudaCompiled(candidate, resources, unit.feedback.log, unit, facts, plans)

    async def check(
        self, task: Task, compiled: Compiled, context: Context
    ) -> tuple[ConfigurationCheck, ...]:
        """Every case, cheapest first; the judging of one overlaps with the run of the next."""
        cuda, ours = _cuda(task), _ours(compiled)
        await self._need_gpu(ours)
        cases = cuda.quick_cases() if context.quick else cuda.check_cases()
        run = _Check(cuda, ours, cases, context)
        async with self._process(cuda, {"candidate": ours}) as process:
            if not context.quick:
                await self._prepare_spare(cuda)  # for the benchmark, or for the next candidate
            return await run.all(process)

    async def benchmark(self, task: Task, compiled: Compiled, context: Context) -> Score:
        """Times it beside the baselines; the caller holds the device's lock."""
        cuda, ours = _cuda(task), _ours(compiled)
        gpu = await self._need_gpu(ours)
        found: list[ConfigurationScore] = []
        async with self._process(cuda, {"candidate": ours}) as process:
            if not self._ceiling:
                self._ceiling = (await _ask(process, {"op": "ceiling"}, 60, None))["ceiling"]
            count = len(cuda.configurations)
            for index, configuration in enumerate(cuda.configurations, start=1):
                result = await self._measure(cuda, ours, configuration, process, gpu)
                found.append(result)
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
        return Score(
            unit=cuda.unit,
            reference_baseline=cuda.reference_baseline,
            configurations=tuple(found),
        )

    async def _measure(
        self,
        task: CudaTask,
        compiled: CudaCompiled,
        configuration: Configuration,
        process: GpuProcess,
        gpu: Gpu,
    ) -> ConfigurationScore:
        """One configuration; measured again, once, where the reference baseline drifted."""
        plan = compiled.plans[configuration.name]
        flops = task.flops(configuration)
        reference = task.reference_baseline
        for last in (False, True):
            request = {
                "op": "bench",
                "who": "candidate",
                "unit": compiled.unit.units.index(compiled.unit.unit_of(plan.variant)),
                "configuration": configuration.model_dump(),
                "plan": plan.model_dump(),
                "seed": secrets.randbits(48),
                "budget": BUDGET_SECONDS,
                "warm": WARM_SECONDS,
                "verify": VERIFY,
            }
            limit = 60 + 12 * flops / SLOWEST
            reply = await _verified(task, process, request, limit, configuration)
            if reply["damage"]:
                raise _wrote_outside(reply["damage"], configuration.name)
            samples: dict[str, list[float]] = reply["samples"]
            slowed = statistics.slowed(samples, reply["alone"])
            drifted = reference in samples and (
                statistics.spread(samples[reference]) > statistics.DRIFT
            )
            if (slowed or drifted) and not last and samples["candidate"][0] < SLOW_MILLISECONDS:
                continue
            break
        if slowed:
            raise Rejected(
                Verdict.SUSPICIOUS,
                Feedback(
                    summary=f"on {configuration.name} the baseline {slowed[0]}",
                    configuration=configuration.name,
                    detail="; ".join(slowed),
                    hint="A candidate must leave the GPU as it found it.",
                ),
            )
        flags = [f"no {name}: {why}" for name, why in reply["absent"].items()]
        result = statistics.score(configuration, flops, samples, reference, flags)
        fastest = flops / (min(samples["candidate"]) * 1e-3)
        if fastest > gpu.peak:
            raise Rejected(
                Verdict.SUSPICIOUS,
                Feedback(
                    summary=f"{fastest / 1e12:.0f} TFLOP/s on {configuration.name}: more than the "
                    f"{gpu.peak / 1e12:.0f} TFLOP/s that the hardware can do",
                    configuration=configuration.name,
                    hint="The work is not being done in the timed run.",
                ),
            )
        if result.throughput * 1e12 > 1.02 * self._ceiling:
            result = result.model_copy(
                update={"flags": (*result.flags, "above the measured ceiling")}
            )
        return result

    async def paired(
        self, task: Task, compiled: Compiled, other: Compiled, context: Context
    ) -> PairedMeasurement:
        """Times two candidates A B B A; the caller holds the device's lock."""
        cuda, a, b = _cuda(task), _ours(compiled), _ours(other)
        await self._need_gpu(a)
        found: dict[str, tuple[float, float, float]] = {}
        async with self._process(cuda, {"a": a, "b": b}) as process:
            for index, configuration in enumerate(cuda.configurations, start=1):
                request = {
                    "op": "paired",
                    "configuration": configuration.model_dump(),
                    "seed": secrets.randbits(48),
                    "budget": 2 * BUDGET_SECONDS,
                    "warm": WARM_SECONDS,
                    "verify": 1,
                    **{who: _side(side, configuration) for who, side in (("a", a), ("b", b))},
                }
                limit = 60 + 12 * cuda.flops(configuration) / SLOWEST
                reply = await _verified(cuda, process, request, limit, configuration)
                for damage in reply["damage"].values():
                    if damage:
                        raise _wrote_outside(damage, configuration.name)
                ours, theirs = (_by_round(reply["samples"][who]) for who in ("a", "b"))
                values = statistics.ratios(ours, theirs)
                low, middle, high = (statistics.quantile(values, q) for q in (0.2, 0.5, 0.8))
                found[configuration.name] = (low, middle, high)
                context.progress(
                    EvaluationProgress(
                        stage="remeasure",
                        state="configuration",
                        index=index,
                        count=len(cuda.configurations),
                        configuration=configuration.name,
                        ratio=middle,
                        throughput=cuda.flops(configuration)
                        / (statistics.quantile(reply["samples"]["a"], 0.5) * 1e-3)
                        / 1e12,
                        unit=cuda.unit,
                    )
                )
        return PairedMeasurement(configurations=found)

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
                request = _run_request(ours, case, secrets.randbits(48), steady=False)
                reply = await _ask(process, request, seconds, case.configuration.name)
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

    async def close(self) -> None:
        """Ends the process that is kept ready."""
        spare, self._spare = self._spare, None
        if spare is not None:
            await spare.end()

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

    async def _prepare_spare(self, task: CudaTask) -> None:
        """Starts the next process while the compiler runs: importing torch takes seconds."""
        if self._spare is None or not self._spare.alive:
            self._spare = await GpuProcess.start(self._index, _output_bytes(task))

    @contextlib.asynccontextmanager
    async def _process(
        self, task: CudaTask, candidates: dict[str, CudaCompiled]
    ) -> AsyncIterator[GpuProcess]:
        """A fresh process with the cubins in it; killed on the way out."""
        process, self._spare = self._spare, None
        if process is None or not process.alive or len(process.shared) < _output_bytes(task):
            if process is not None:
                await process.end()
            process = await GpuProcess.start(self._index, _output_bytes(task))
        try:
            opening = asyncio.create_task(
                _ask(process, {"op": "open", "task": str(task.folder.resolve())}, 120, None)
            )
            try:
                await asyncio.to_thread(judging.warm_up)
            finally:
                await opening
            with tempfile.TemporaryDirectory(prefix="avo-cubins-") as folder:
                for who, candidate in candidates.items():
                    units = []
                    for number, unit in enumerate(candidate.unit.units):
                        path = Path(folder, f"{who}-{number}.cubin")
                        path.write_bytes(unit.code)
                        units.append({"path": str(path), "symbols": unit.symbols})
                    await _ask(process, {"op": "load", "who": who, "units": units}, 60, None)
            yield process
        finally:
            await process.end()


class _Check:
    """One pass over the cases of a check."""

    def __init__(
        self,
        task: CudaTask,
        compiled: CudaCompiled,
        cases: Sequence[CheckCase],
        context: Context,
    ) -> None:
        self._task, self._compiled, self._cases, self._context = task, compiled, cases, context
        self._scored = {c.name for c in task.configurations}
        self._rate = 0.0
        self._done: list[ConfigurationCheck] = []

    async def all(self, process: GpuProcess) -> tuple[ConfigurationCheck, ...]:
        """Runs and judges every case. Raises Rejected at the first that fails."""
        pending: tuple[CheckCase, asyncio.Task[Judgement]] | None = None
        try:
            for case in self._cases:
                seed = secrets.randbits(48)
                running = asyncio.create_task(self._run(process, case, seed))
                try:
                    if pending is not None:
                        await self._finish(*pending)
                        pending = None
                    taken = await running
                finally:
                    if not running.done():
                        running.cancel()
                        with contextlib.suppress(asyncio.CancelledError):
                            await running
                judging_it = asyncio.to_thread(judging.judge_outputs, self._task, taken)
                pending = (case, asyncio.create_task(judging_it))
            if pending is not None:
                await self._finish(*pending)
                pending = None
        finally:
            if pending is not None:
                # A thread cannot be cancelled; its result is of no use any more.
                await asyncio.wait({pending[1]})
        return tuple(self._done)

    async def _finish(self, case: CheckCase, judgement: asyncio.Task[Judgement]) -> None:
        found = await judgement
        name = _public(case)
        result = ConfigurationCheck(
            name=name or "hidden",
            ok=found.ok,
            error=found.error,
            detail=found.detail if name else "",
        )
        self._done.append(result)
        self._context.progress(
            EvaluationProgress(
                stage="check",
                state="configuration",
                ok=found.ok,
                index=len(self._done),
                count=len(self._cases),
                configuration=result.name,
                error=found.error,
                detail=case.category,
            )
        )
        if not found.ok:
            raise self._wrong(case, found.detail)

    def _wrong(self, case: CheckCase, detail: str, summary: str = "") -> Rejected:
        name = _public(case)
        where = f"on {name}" if name else "on a hidden configuration"
        about = f" ({case.category})" if case.category else ""
        return Rejected(
            Verdict.WRONG_RESULT,
            Feedback(
                summary=summary or f"wrong result {where}{about}",
                configuration=name,
                detail=detail if name else f"inputs: {case.category}. {_without_shape(detail)}",
                hint=""
                if name
                else "The configuration is not told; any shape that the description allows counts.",
            ),
            checks=tuple(self._done),
        )

    async def _run(self, process: GpuProcess, case: CheckCase, seed: int) -> judging.Taken:
        name = _public(case)
        scored = case.configuration.name in self._scored
        flops = self._task.flops(case.configuration)
        slow = bool(self._rate) and 1e3 * flops / self._rate > SLOW_MILLISECONDS
        request = _run_request(self._compiled, case, seed, steady=not (scored and slow))
        limit = judging.expected_seconds(self._task, case, SLOWEST)
        reply = await _ask(process, request, limit, name)
        if reply["milliseconds"] > 0:
            self._rate = max(self._rate, flops / (reply["milliseconds"] * 1e-3))
        if reply["damage"]:
            raise _wrote_outside(reply["damage"], name)
        if reply["changed_inputs"]:
            names = ", ".join(reply["changed_inputs"])
            raise self._wrong(
                case, f"changed: {names}", f"the candidate changed its inputs ({names})"
            )
        taken = judging.Taken(
            case.configuration,
            case.distribution,
            seed,
            self._take(process, reply["outputs"], case),
            self._take(process, reply["perturbed"], case) if "perturbed" in reply else None,
        )
        if reply.get("unsteady"):
            raise await self._unsteady(case, taken, reply["unsteady"])
        return taken

    async def _unsteady(self, case: CheckCase, taken: judging.Taken, what: str) -> Rejected:
        """A result that is also wrong is told as wrong: that says more."""
        found = await asyncio.to_thread(judging.judge_outputs, self._task, taken)
        if not found.ok:
            return self._wrong(case, f"{found.detail}; and runs on the same inputs differ")
        return self._wrong(
            case,
            f"two runs on the same inputs differ in {what}; a race, or memory read before it was "
            "written (workspaces hold junk unless zeroed)",
            "two runs on the same inputs give different bits",
        )

    def _take(self, process: GpuProcess, offsets: dict[str, int], case: CheckCase) -> Any:
        return judging.take(self._task, process.shared, offsets, case.configuration)


def _run_request(
    compiled: CudaCompiled, case: CheckCase, seed: int, *, steady: bool
) -> dict[str, Any]:
    return {
        "op": "run",
        "who": "candidate",
        **_side(compiled, case.configuration),
        "configuration": case.configuration.model_dump(),
        "seed": seed,
        "distribution": case.distribution,
        "repeat": case.repeat and steady,
        "perturb": case.perturb and steady,
    }


def _side(compiled: CudaCompiled, configuration: Configuration) -> dict[str, Any]:
    plan = compiled.plans[configuration.name]
    unit = compiled.unit.units.index(compiled.unit.unit_of(plan.variant))
    return {"unit": unit, "plan": plan.model_dump()}


async def _ask(
    process: GpuProcess, request: Reply, seconds: float, configuration: str | None
) -> Reply:
    """The answer, or the rejection that says what became of the candidate."""
    try:
        reply = await process.ask(request, seconds)
    except ProcessTimeout as error:
        raise verdicts.of_timeout(error, configuration) from error
    except ProcessDied as error:
        raise verdicts.of_death(error, configuration) from error
    if not reply["ok"]:
        raise verdicts.of_reply(reply, configuration, process.printed())
    return reply


async def _verified(
    task: CudaTask,
    process: GpuProcess,
    request: Reply,
    seconds: float,
    configuration: Configuration,
) -> Reply:
    """The answer to a timing, once the timed outputs it handed over have been found right."""
    kept: list[tuple[str, judging.Taken]] = []
    reply: Reply = {}
    try:
        async for reply in process.converse(request, seconds):
            if "event" in reply:
                outputs = judging.take(task, process.shared, reply["outputs"], configuration)
                taken = judging.Taken(configuration, "normal", reply["seed"], outputs)
                kept.append((reply["who"], taken))
                await process.acknowledge()
    except ProcessTimeout as error:
        raise verdicts.of_timeout(error, configuration.name) from error
    except ProcessDied as error:
        raise verdicts.of_death(error, configuration.name) from error
    if not reply["ok"]:
        raise verdicts.of_reply(reply, configuration.name, process.printed())
    for who, taken in kept:
        found = await asyncio.to_thread(judging.judge_outputs, task, taken)
        if not found.ok:
            which = "the other candidate's" if who == "b" else "a"
            raise Rejected(
                Verdict.SUSPICIOUS,
                Feedback(
                    summary=f"{which} timed output is wrong on {configuration.name}, although the "
                    "check passed",
                    configuration=configuration.name,
                    detail=found.detail,
                    hint="Every run must compute its output from its inputs: nothing may be kept "
                    "from one run to the next.",
                ),
            )
    return reply


def _wrote_outside(damage: str, configuration: str | None) -> Rejected:
    where = f" on {configuration}" if configuration else " on a hidden configuration"
    return Rejected(
        Verdict.ILLEGAL_ACCESS,
        Feedback(
            summary=f"the candidate wrote outside its buffers{where}",
            configuration=configuration,
            detail=damage,
            hint="Check the indices at the ends of the sequence and the sizes of workspaces.",
        ),
    )


def _plans(task: CudaTask, unit: CompiledCandidate, facts: DeviceFacts) -> dict[str, LaunchPlan]:
    """A plan for every configuration, scored and checked, by name."""
    assert unit.manifest is not None
    public = {c.name for c in task.configurations}
    wanted = {c.name: c for c in task.configurations}
    for case in task.check_cases():
        wanted.setdefault(case.configuration.name, case.configuration)
        if not case.hidden:
            public.add(case.configuration.name)
    plans = {}
    for name, configuration in wanted.items():
        try:
            plans[name] = resolve(
                unit.manifest,
                task.names(configuration),
                task.tensors(configuration),
                facts,
                text=unit.manifest_text,
                file=unit.manifest_file,
                configuration=name if name in public else "a hidden one",
            )
        except ManifestError as error:
            feedback = manifest_feedback(error)
            raise Rejected(
                Verdict.MANIFEST_ERROR,
                feedback.model_copy(
                    update={
                        "configuration": name if name in public else None,
                        "log": unit.feedback.log,
                    }
                ),
                resources=unit.resources,
            ) from error
    return plans


def _with_dynamic(
    unit: CompiledCandidate, plans: dict[str, LaunchPlan], facts: DeviceFacts
) -> Resources:
    """The resources with the dynamic shared memory of the launches added."""
    most = 0
    for name, plan in plans.items():
        compiled = unit.unit_of(plan.variant)
        for stage in plan.stages:
            static = compiled.image.kernels[compiled.symbols[stage.entry]].static_shared
            total = static + stage.shared_memory
            if total > facts.shared_memory:
                raise Rejected(
                    Verdict.MANIFEST_ERROR,
                    Feedback(
                        summary=f"{unit.manifest_file}: {stage.path}.shared_memory: "
                        f"{stage.shared_memory} bytes and {static} static ones are more than the "
                        f"{facts.shared_memory} that a block can have",
                        configuration=name,
                    ),
                    resources=unit.resources,
                )
            most = max(most, total)
    return unit.resources.model_copy(update={"shared_memory": most})


def _public(case: CheckCase) -> str | None:
    return None if case.hidden else case.configuration.name


def _without_shape(detail: str) -> str:
    """A hidden case's detail without the places that would tell its shape."""
    return "It is not finite." if "finite" in detail else "Its error is beyond the tolerance."


def _by_round(samples: Sequence[float]) -> list[float]:
    """Two samples of each round, added."""
    return [a + b for a, b in zip(samples[::2], samples[1::2], strict=True)]


def _output_bytes(task: CudaTask) -> int:
    """Shared memory for two sets of the largest outputs."""
    configurations = [*task.configurations, *(c.configuration for c in task.check_cases())]
    return 2 * max(sum(t.bytes for t in task.tensors(c) if t.output) for c in configurations)


def _cuda(task: Task) -> CudaTask:
    assert isinstance(task, CudaTask), f"{task.name} is not a CUDA task"
    return task


def _ours(compiled: Compiled) -> CudaCompiled:
    assert isinstance(compiled, CudaCompiled)
    return compiled
