"""A fresh GPU process for each check, benchmark and side of a pair; one is started ahead."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Rejected
from avo_tui.evaluation.backends.cuda import conversation
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.compiler import Compiler
from avo_tui.evaluation.backends.cuda.conversation import ask
from avo_tui.evaluation.backends.cuda.launch_plan import DeviceFacts
from avo_tui.evaluation.backends.cuda.process import GpuProcess
from avo_tui.evaluation.backends.cuda.resolve import resolve
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.ports import EvaluatorError

_FOLDER = Path(__file__).parent / "harness" / "scrub"


@dataclass(frozen=True)
class Scrub:
    """The kernel that overwrites shared memory between runs, as the GPU process launches it."""

    code: bytes
    symbols: dict[str, str]
    plan: dict[str, object]


async def compiled(compiler: Compiler, facts: DeviceFacts) -> Scrub:
    """Compiles it. Raises EvaluatorError where that fails: the harness is broken then."""
    files = {name: (_FOLDER / name).read_text("utf-8") for name in ("scrub.cu", "launch.toml")}
    try:
        unit = await compiler.compile(Candidate(files=files), facts.architecture)
    except Rejected as error:
        message = f"{error.feedback.summary} {error.feedback.log}"[:500]
        raise EvaluatorError(f"the harness's own kernel does not compile: {message}") from error
    assert unit.manifest is not None
    plan = resolve(unit.manifest, {"BYTES": facts.shared_memory}, (), facts)
    return Scrub(unit.units[0].code, unit.units[0].symbols, plan.model_dump())


class FreshProcesses:
    """Gives each caller a process in which no other candidate ever ran.

    Importing torch and creating a GPU context take seconds, so one spare process is started ahead.
    """

    def __init__(self, scrub: Callable[[], Awaitable[Scrub]]) -> None:
        """`scrub` gives the kernel that overwrites shared memory."""
        self._scrub = scrub
        self._spare: GpuProcess | None = None

    async def prepare(self, task: CudaTask) -> None:
        """Start the spare process, unless there is one: importing torch takes seconds."""
        if self._spare is None or not self._spare.alive:
            self._spare = await GpuProcess.start(_output_bytes(task))

    def open_ahead(self, task: CudaTask) -> None:
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
    async def running(self, task: CudaTask, candidate: CudaCompiled) -> AsyncIterator[GpuProcess]:
        """A fresh process with the cubins of a candidate, which requests call `candidate`; killed
        on the way out.

        Raises Rejected where it cannot be prepared.
        """
        process = await self._take(task)
        try:
            await self._fill(process, task, candidate, "candidate")
            yield process
        finally:
            await self._end(process)

    @contextlib.asynccontextmanager
    async def beside(
        self, task: CudaTask, a: CudaCompiled, b: CudaCompiled
    ) -> AsyncIterator[tuple[GpuProcess, GpuProcess]]:
        """A fresh process for each of two candidates, which requests call `a` and `b`; both killed
        on the way out.

        Raises Rejected where one cannot be prepared.
        """
        processes: list[GpuProcess] = []
        try:
            for _ in range(2):  # both import torch meanwhile
                processes.append(await self._take(task))
            first, second = processes
            filled = await asyncio.gather(
                self._fill(first, task, a, "a"),
                self._fill(second, task, b, "b"),
                return_exceptions=True,
            )
            for result in filled:
                if result is not None:
                    raise result
            yield first, second
        finally:
            for process in processes:
                await self._end(process)

    async def _take(self, task: CudaTask) -> GpuProcess:
        """The spare process, or a new one where there is none that will do."""
        process, self._spare = self._spare, None
        if process is not None and process.alive and len(process.shared) >= _output_bytes(task):
            return process
        if process is not None:
            await self._end(process)
        return await GpuProcess.start(_output_bytes(task))

    async def _fill(
        self, process: GpuProcess, task: CudaTask, candidate: CudaCompiled, who: str
    ) -> None:
        """Creates its context, unless it has one, and loads a candidate."""
        process.opened = process.opened or asyncio.create_task(self._open(process, task))
        await asyncio.to_thread(conversation.warm_up)
        await process.opened
        with tempfile.TemporaryDirectory(prefix="avo-cubins-") as folder:
            await load(process, who, candidate, Path(folder))
            scrub = await self._scrub()
            code = Path(folder, "scrub.cubin")
            await asyncio.to_thread(code.write_bytes, scrub.code)
            request = {"path": str(code), "symbols": scrub.symbols, "plan": scrub.plan}
            await ask(process, {"op": "scrub", **request}, 60, None)

    async def close(self) -> None:
        """End the spare process."""
        spare, self._spare = self._spare, None
        if spare is not None:
            await self._end(spare)

    async def _open(self, process: GpuProcess, task: CudaTask) -> None:
        """Create the GPU context. A failure is never the candidate's fault, as none is loaded
        yet."""
        try:
            await ask(process, {"op": "open", "task": str(task.folder.resolve())}, 120, None)
        except Rejected as error:
            summary = f"the GPU process cannot be prepared: {error.feedback.summary}"
            feedback = error.feedback.model_copy(update={"summary": summary})
            raise Rejected(Verdict.HARNESS_ERROR, feedback) from error

    @staticmethod
    async def _end(process: GpuProcess) -> None:
        """Kill a process, even if it is still being started."""
        await process.end()
        if process.opened is not None:
            process.opened.cancel()
            with contextlib.suppress(Rejected, asyncio.CancelledError):
                await process.opened


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
