"""Sends requests to the GPU process, judges outputs, turns a candidate's failures into verdicts.

References are computed and outputs are judged here, in the worker, never in the child process.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Rejected, refused
from avo_tui.evaluation.backends.cuda.process import (
    GpuProcess,
    ProcessDiedError,
    ProcessTimeoutError,
    Reply,
)
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement import dtypes, verdicts
from avo_tui.evaluation.measurement.cases import CheckCase, noticed
from avo_tui.evaluation.measurement.judge import Judgement, judge_each
from avo_tui.evaluation.pool import make_expected

if TYPE_CHECKING:
    import torch


LAUNCH_ERRORS = {
    "CUDA_ERROR_INVALID_VALUE": "the device cannot launch it with these numbers",
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES": "a block asks for more registers, threads or shared "
    "memory than a multiprocessor has",
    "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE": "a cooperative grid must fit on the device at once",
    "CUDA_ERROR_INVALID_CLUSTER_SIZE": "no cluster of this size fits with these resources",
    "CUDA_ERROR_NOT_SUPPORTED": "the device does not do this",
    "CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION": "the resources do not go together",
}
_ACCESS = {
    "CUDA_ERROR_ILLEGAL_ADDRESS": "an access to memory that is not the candidate's",
    "CUDA_ERROR_MISALIGNED_ADDRESS": "an access that is not aligned to its size",
    "CUDA_ERROR_INVALID_ADDRESS_SPACE": "an instruction used on the wrong kind of memory",
    "CUDA_ERROR_INVALID_PC": "a jump outside the code",
    "CUDA_ERROR_HARDWARE_STACK_ERROR": "the call stack was corrupted or too small",
}
_CRASHES = {
    "CUDA_ERROR_ASSERT": "a device-side assertion failed",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION": "an illegal instruction: a trap, or one this device lacks",
    "CUDA_ERROR_LAUNCH_FAILED": "the kernel was ended by a fault, such as shared memory used "
    "beyond its size or a barrier misused",
}
_HINTS = {
    "CUDA_ERROR_ILLEGAL_ADDRESS": "Check the indices at the ends of the sequence and the grid.",
    "CUDA_ERROR_MISALIGNED_ADDRESS": "Vector accesses and TMA need 16-byte, swizzled tiles "
    "128- to 1024-byte alignment.",
    "CUDA_ERROR_LAUNCH_FAILED": "Check shared-memory sizes, mbarrier counts and wgmma descriptors.",
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES": "Give the kernel __launch_bounds__(threads, blocks).",
}


def of_reply(reply: Reply, configuration: str | None, printed: str) -> Rejected:
    """The rejection for an answer that is not `ok`. `configuration` is None where it is hidden.

    What was `printed`, and what the answer says it was doing, is told as it is: see `conversation`.
    """
    where = f" on {configuration}" if configuration else " on a hidden configuration"
    doing = str(reply.get("doing", ""))
    if reply["kind"] == "memory":
        text, hint = f"the GPU has not enough memory{where}", "Use smaller workspaces."
        return refused(
            Verdict.OUT_OF_MEMORY, text, configuration=configuration, detail=doing, hint=hint
        )
    if reply["kind"] == "harness":
        text = f"the harness failed{where}" + (f": {doing[:200]}" if doing else "")
        log = str(reply.get("trace", ""))
        return refused(Verdict.HARNESS_ERROR, text, configuration=configuration, log=log)
    name, stage = str(reply["name"]), str(reply.get("stage", ""))
    if name == "CUDA_ERROR_OUT_OF_MEMORY":
        verdict, text = Verdict.OUT_OF_MEMORY, f"the GPU has not enough memory{where}"
    elif stage and name in LAUNCH_ERRORS:
        verdict, text = Verdict.MANIFEST_ERROR, f"{stage}: {LAUNCH_ERRORS[name]} ({name}){where}"
    elif name in _ACCESS:
        verdict, text = Verdict.ILLEGAL_ACCESS, f"illegal access{where}: {_ACCESS[name]}"
    elif name in {"CUDA_ERROR_LAUNCH_TIMEOUT", "CUDA_ERROR_TIMEOUT"}:
        verdict, text = Verdict.TIMEOUT, f"the driver ended a kernel that ran too long{where}"
    else:
        what = _CRASHES.get(name, "the GPU stopped")
        verdict, text = Verdict.CRASH, f"crash{where}: {what} ({name})"
    return refused(
        verdict,
        text,
        configuration=configuration,
        detail=f"{name} while {doing}" if doing else name,
        hint=_HINTS.get(name, ""),
        log=printed,
    )


def of_timeout(error: ProcessTimeoutError, configuration: str | None) -> Rejected:
    """The rejection for a run that did not end. `configuration` is None where it is hidden: the
    limit would tell its size."""
    where = f" on {configuration}" if configuration else " on a hidden configuration"
    limit = f"within {error.seconds:.0f} s" if configuration else "in time"
    return refused(
        Verdict.TIMEOUT,
        f"no answer {limit}{where}; the process was killed",
        configuration=configuration,
        hint="A barrier that not all threads reach, an mbarrier with the wrong count or phase, "
        "or a spin on memory that nobody writes waits for ever.",
    )


def of_death(error: ProcessDiedError, configuration: str | None, printed: str) -> Rejected:
    """The rejection for a process that ended without an answer."""
    where = f" on {configuration}" if configuration else ""
    how = f"by {error.signal}" if error.signal else f"with code {error.code}"
    verdict = Verdict.CRASH if error.signal else Verdict.HARNESS_ERROR
    text = f"the GPU process was ended {how}{where}"
    return refused(verdict, text, configuration=configuration, log=printed)


@dataclass(frozen=True)
class Taken:
    """Outputs copied out of the shared memory, still to be judged."""

    configuration: Configuration
    distribution: str
    seed: int
    outputs: dict[str, torch.Tensor]
    perturbed: dict[str, torch.Tensor] | None = None


def take(
    task: CudaTask,
    shared: mmap.mmap,
    offsets: dict[str, int],
    configuration: Configuration,
) -> dict[str, torch.Tensor]:
    """Copies outputs out of the shared memory, so that the child may go on."""
    import torch

    tensors = {}
    for spec in task.tensors(configuration):
        if spec.output:
            start = offsets[spec.name]
            raw = torch.frombuffer(shared, dtype=torch.uint8, count=spec.bytes, offset=start)
            tensors[spec.name] = raw.clone().view(dtypes.torch_dtype(spec.dtype)).view(spec.shape)
    return tensors


def judge_outputs(task: CudaTask, taken: Taken) -> Judgement:
    """Makes inputs and references on the worker's own context and compares."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    inputs = task.make_inputs(taken.configuration, taken.seed, taken.distribution)
    every = make_expected(task, taken.configuration, inputs)
    outputs = {n: out.to(every[n].reference.device) for n, out in taken.outputs.items()}
    worst = judge_each(outputs, every)
    del every, outputs
    if worst.ok and taken.perturbed is not None:
        change = task.perturb(taken.configuration, inputs, taken.seed)
        if change is not None:
            worst = noticed(change, taken.outputs, taken.perturbed) or worst
    return worst


def warm_up() -> None:
    """Makes this process's GPU context and loads the libraries, so that the first case is quick."""
    import torch

    if torch.cuda.is_available():
        torch.zeros(1, device="cuda")


def expected_seconds(task: CudaTask, case: CheckCase, slowest: float) -> float:
    """How long a run may take before it counts as hanging; `slowest` in operations per second."""
    runs = 1 + int(case.repeat) + int(case.perturb)
    return task.patience + runs * task.flops(case.configuration) / slowest


SLOWEST = 0.25e12
"""Operations per second below which a run is considered hung."""
SILENCE = 30.0
"""Seconds without any message, beyond the time of the slowest call, after which a run is considered
hung."""


async def ask(
    process: GpuProcess,
    request: Reply,
    seconds: float,
    configuration: str | None,
    *,
    secret: bool = False,
) -> Reply:
    """The answer, or the rejection that says what became of the candidate.

    What its kernels printed meanwhile is told, too, unless the request is `secret`: that of a
    hidden case, of which neither values nor sizes may reach the candidate's author.
    """
    mark = process.mark()

    def printed() -> str:
        return "" if secret else process.printed(mark)

    try:
        reply = await process.ask(request, seconds)
    except ProcessTimeoutError as error:
        raise of_timeout(error, configuration) from error
    except ProcessDiedError as error:
        raise of_death(error, configuration, printed()) from error
    if not reply["ok"]:
        told = {**reply, "doing": "", "trace": ""} if secret else reply
        raise of_reply(told, configuration, printed())
    return reply


class Timing:
    """The timings in one process. Outputs of one are judged while the next one warms up the GPU."""

    def __init__(self, task: CudaTask, process: GpuProcess, ids: Mapping[str, str]) -> None:
        """`ids`: name of a candidate in the requests → its id, for rejections."""
        self._task = task
        self._process = process
        self._ids = ids
        self._judging: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.settle()
        elif self._judging is not None:
            # A thread cannot be cancelled; its result is simply ignored.
            await asyncio.wait({self._judging})
            self._judging.exception()

    async def settle(self) -> None:
        """Wait for the outputs still being judged. Raises Rejected if a timed output was wrong."""
        judging_it, self._judging = self._judging, None
        if judging_it is not None:
            await judging_it

    async def ask(self, request: Reply, configuration: Configuration) -> Reply:
        """The answer to a timing; the outputs it handed over are judged from now on."""
        reply: Reply = {}
        async for reply in self.events(request, configuration):
            assert "event" not in reply, reply
        return reply

    async def events(self, request: Reply, configuration: Configuration) -> AsyncGenerator[Reply]:
        """The events after which the process waits for an order, and last the answer.

        The outputs that it handed over are judged from the answer on. Raises Rejected.
        """
        kept: list[tuple[str, Taken]] = []
        reply: Reply = {}
        mark = self._process.mark()
        process, name = self._process, configuration.name
        silence = SILENCE + 2 * self._task.flops(configuration) / SLOWEST
        try:
            async for reply in process.converse(request, silence):
                event = reply.get("event")
                if event == "verify":
                    kept.append((reply["who"], self._taken(reply, configuration)))
                elif event == "ready":
                    await self.settle()
                if event in {"verify", "ready"}:
                    await process.acknowledge()
                elif event == "idle":
                    yield reply
        except ProcessTimeoutError as error:
            raise of_timeout(error, name) from error
        except ProcessDiedError as error:
            raise of_death(error, name, process.printed(mark)) from error
        if not reply["ok"]:
            raise of_reply(reply, name, process.printed(mark))
        await self.settle()
        for who, trouble in reply["trouble"].items():
            if ruling := _trouble(who, trouble, name):
                raise self.rejected(who, ruling)
        self._judging = asyncio.create_task(self._judge(kept, configuration))
        yield reply

    def _taken(self, event: Reply, configuration: Configuration) -> Taken:
        """The outputs that an event hands over."""
        outputs = take(self._task, self._process.shared, event["outputs"], configuration)
        return Taken(configuration, event["distribution"], event["seed"], outputs)

    async def _judge(self, kept: list[tuple[str, Taken]], configuration: Configuration) -> None:
        for who, taken in kept:
            judged = await asyncio.to_thread(judge_outputs, self._task, taken)
            if not judged.ok:
                whose = "the other candidate's" if who == "b" else "a"
                ruling = verdicts.wrong_when_timed(configuration.name, judged, whose)
                raise self.rejected(who, ruling)

    def rejected(self, who: str, ruling: verdicts.Ruling) -> Rejected:
        """The rejection of the candidate that requests call `who`."""
        rejection = Rejected(*ruling)
        rejection.whose = self._ids[who]
        return rejection


def _trouble(who: str, trouble: dict[str, str], configuration: str) -> verdicts.Ruling | None:
    """What timed calls did to their inputs, or left in their outputs; None if nothing."""
    whose = "the other candidate's " if who == "b" else ""
    if "changed" in trouble:
        return verdicts.changed_inputs([trouble["changed"]], configuration)
    if "differs" in trouble:
        return verdicts.timed_outputs_differ(configuration, trouble["differs"], whose)
    return None
