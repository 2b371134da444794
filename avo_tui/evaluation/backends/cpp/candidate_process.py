"""One candidate's process together with its memory; runs the candidate once per request.

Check, benchmark and gate all run candidates through this class, so that they cannot be told apart
from inside: the memory has the same size, addresses are chosen anew for each call, the outputs
contain the same patterns, and the messages are the same. Two candidates that are compared get
separate processes and memory, so that neither can see an output of the other.

Waking a process, its answer and stopping it are accounted to the process, and cost two to five
times as much on a busy machine, or with cold caches, as in a quick loop on a quiet one. So while
candidates are timed, a kernel that does nothing is called in turn with them, through the same door,
and the median of its latest calls is taken off theirs.
"""

from __future__ import annotations

import contextlib
import secrets
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp import glue
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp
from avo_tui.evaluation.backends.cpp.machine import (
    benchmark_cpu,
    flops_per_cycle,
    maximum_frequency,
)
from avo_tui.evaluation.backends.cpp.memory import Layouts, Memory, Slot
from avo_tui.evaluation.backends.cpp.process import (
    Call,
    Runner,
    Start,
    Stopped,
    in_thread,
    limits_of,
    owned,
    session,
)
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.metric import Ceilings
from avo_tui.evaluation.measurement.stopwatch import Stopwatch
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Tensors


_LATEST = 15
"""Calls that the overhead is taken from: it follows the machine's load within as many turns."""


def empty_kernel(task: Task) -> Candidate:
    """A kernel of the task that returns at once."""
    declared = glue.header(task).rstrip().removesuffix(";")
    return Candidate(files={"empty.cpp": f"{declared} {{}}\n"})


@dataclass(frozen=True)
class Calibration:
    """Measured once per worker, without any candidate."""

    hertz: float
    exchange: Call
    """Cost of a call without a candidate: waking the process, its answer, stopping it."""
    mapping: Mapping[tuple[str, ...], int]
    """Words of a `bind` command → nanoseconds of processor time that it takes."""
    flops_per_cycle: float
    """Single precision, one core, at most."""
    measured_ceiling: float
    """FLOP/s of fused multiply-adds that one core reached; 0 where that was not measured."""

    def peak(self, threads: int) -> float:
        """FLOP/s that no program can exceed, with room for a clock that rises later."""
        return 1.25 * self.hertz * self.flops_per_cycle * threads

    def ceilings(self, threads: int) -> Ceilings:
        """The limits for this number of threads; the memory's are unknown, as caches hold the
        inputs."""
        return Ceilings(
            peak_flops=self.peak(threads), measured_flops=self.measured_ceiling * threads
        )


class Overhead:
    """What is not a kernel's own in the time of a call, by the latest calls of an empty one."""

    def __init__(self, calibration: Calibration) -> None:
        """Starts from what was measured when the worker began."""
        self._calibration = calibration
        self._calls: deque[Call] = deque(maxlen=_LATEST)
        self._mapped: dict[tuple[str, ...], deque[int]] = {}

    def note(self, arguments: tuple[str, ...], mapped: int, call: Call) -> None:
        """One call of the empty kernel; `mapped`: nanoseconds that binding `arguments` took."""
        self._calls.append(call)
        self._mapped.setdefault(arguments, deque(maxlen=_LATEST)).append(mapped)

    @property
    def exchange(self) -> Call:
        """The part of a call's times in which no kernel computes."""
        if not self._calls:
            return self._calibration.exchange
        passed = statistics.median(call.passed for call in self._calls)
        return Call(int(passed), int(statistics.median(call.used for call in self._calls)))

    @property
    def resolution(self) -> float:
        """Nanoseconds below which a call's own time cannot be told from the overhead's scatter.

        A kernel that takes less counts as taking so long: what is left of it after the overhead
        is chance, and could be nothing at all.
        """
        if len(self._calls) < 2:
            return 1.0
        used = [call.used for call in self._calls]
        return max(1.0, statistics.median(used) - statistics.quantiles(used, n=5)[0])

    def mapping(self, arguments: tuple[str, ...]) -> float:
        """Nanoseconds of processor time that binding these words takes."""
        seen = self._mapped.get(arguments)
        before = self._calibration.mapping[arguments]
        return max(before, statistics.median(seen)) if seen else before


async def calibrate(
    sandbox: Sandbox, runner: Path, threads: int, layouts: Layouts, reached: float
) -> Calibration:
    """Runs the bare runner for the clock rate and the time of each kind of exchange.

    `reached`: operations per second of one core, see `ceiling`.
    """
    cpu = benchmark_cpu()
    memory = Memory(layouts.all())
    try:
        start = Start(runner, None, "", memory.arenas, threads=threads, cpu=cpu)
        async with session(sandbox, start) as talk:
            return await in_thread(lambda: _measure(talk, layouts, reached), talk.running, cpu=cpu)
    finally:
        memory.close()


def _measure(talk: Runner, layouts: Layouts, reached: float) -> Calibration:
    hertz = max(talk.clock_rate(20), maximum_frequency())
    idle = [talk.idle() for _ in range(60)]
    # A low quantile: subtracting more than an exchange costs would favour the candidate.
    exchange = Call(_low(c.passed for c in idle), _low(c.used for c in idle))
    mapping = {
        slot.arguments: int(
            statistics.median(talk.bind(slot.number, list(slot.arguments)) for _ in range(3))
        )
        for slot in layouts.all()
    }
    return Calibration(hertz, exchange, mapping, flops_per_cycle(), reached)


def _low(values: Iterable[int]) -> int:
    return int(statistics.quantiles(values, n=5)[0])


_BASE_SECONDS = 3.0
_SLOWEST_FLOPS = 1e8
"""Time limit of a call: this, plus the time at 0.1 GFLOP/s. A naive kernel is twenty times
faster."""
_LONGEST_LOAD = 0.5
"""Limit in seconds of processor time for loading a candidate, including its constructors."""
_ROOM, _ROOM_NS = 1.5, 30_000
"""Mapping the arguments may take so many times what it takes an empty kernel, and so many
nanoseconds; all beyond counts as part of the call that follows."""


def call_seconds(task: Task, configuration: Configuration) -> float:
    """Time limit of one call: the task's own, or what a very slow kernel would need."""
    if task.call_seconds is not None:
        return task.call_seconds
    return _BASE_SECONDS + task.flops(configuration) / (_SLOWEST_FLOPS * task.threads)


class Trespass(Exception):  # noqa: N818  what a candidate did, not an error of ours
    """The candidate wrote outside an output; the message says where, which reveals its size."""


@dataclass(frozen=True)
class CallResult:
    """The result of one call."""

    seconds: float
    """Processor time of one thread plus the time it slept, in seconds; for several threads at least
    the elapsed time."""
    outputs: Tensors
    """The outputs, copied to memory that no candidate can access."""
    salt: int
    """Salt of the poison pattern that filled the outputs before the call; see `dtypes.poison`."""


class CandidateProcess:
    """A candidate that is being run. Its methods block: see `process.in_thread`."""

    def __init__(
        self,
        task: Task,
        identity: str,
        runner: Runner,
        memory: Memory,
        layouts: Layouts,
        overhead: Overhead,
    ) -> None:
        self.task = task
        self.identity = identity
        """Id of the candidate."""
        self.runner = runner
        self._memory = memory
        self._layouts = layouts
        self._overhead = overhead

    def run(self, configuration: Configuration, inputs: Tensors) -> CallResult:
        """Run the candidate once.

        It is given the addresses of its arguments while they are still empty; then it is stopped,
        the inputs are written, and the call begins when it wakes. Raises Stopped or Trespass.
        """
        slot, salt, mapped, call = self._exchange(configuration, inputs)
        outside = self._memory.trespass(slot)
        if outside is not None:
            output, offset = outside
            size = slot.outputs[output].bytes
            near = f"{-offset} bytes before it" if offset < 0 else f"{offset - size} behind its end"
            raise Trespass(f"{output}: {near}")
        outputs = {name: dtypes.copy(self._memory.output(slot, name)) for name in slot.outputs}
        more = max(0.0, mapped - _ROOM * self._overhead.mapping(slot.arguments) - _ROOM_NS)
        return CallResult(self._seconds(call, more), outputs, salt)

    def measure_overhead(self, configuration: Configuration, inputs: Tensors) -> None:
        """Runs the kernel, which must be the empty one, and counts all of it as overhead.

        Raises EvaluatorError where its process ended: it is the harness's own.
        """
        try:
            slot, _, mapped, call = self._exchange(configuration, inputs)
        except Stopped as stop:
            raise EvaluatorError(f"the process of the empty kernel ended: {stop}") from stop
        self._overhead.note(slot.arguments, mapped, call)

    def _exchange(
        self, configuration: Configuration, inputs: Tensors
    ) -> tuple[Slot, int, int, Call]:
        """Binds, poisons, writes and calls: slot, salt, nanoseconds of binding, the call."""
        slot = self._layouts.draw(configuration)
        salt = secrets.randbelow(256)
        with owned(self.runner.running):
            mapped = self.runner.bind(slot.number, list(slot.arguments))
        self._memory.poison(slot, salt)
        self._memory.write(slot, inputs)
        with owned(self.runner.running):
            call = self.runner.call(slot.number, call_seconds(self.task, configuration))
        return slot, salt, mapped, call

    def _seconds(self, call: Call, more: float) -> float:
        """Without what an exchange costs with an empty kernel. Sleeping counts as computing.

        `more`: nanoseconds that were used before the call and that mapping memory does not explain.
        """
        exchange, threads = self._overhead.exchange, self.task.threads
        used = (call.used - exchange.used + more) / threads + call.asleep
        nanoseconds = used if threads == 1 else max(used, call.passed - exchange.passed + more)
        return max(nanoseconds, self._overhead.resolution / threads) / 1e9

    def refuse_leftovers(self) -> None:
        """Raises Stopped for processes or threads that a candidate started and left running."""
        processes, threads = self.runner.processes_and_threads()
        with owned(self.runner.running):
            if processes > 1:
                raise Stopped("nonsense", [f"{processes} processes of it are running"])
            if threads > self.task.threads:
                text = f"{threads} threads of it are running after it returned"
                raise Stopped("nonsense", [text])


@dataclass(frozen=True)
class Stage:
    """The common parameters of all processes of a task's candidates."""

    task: Task
    sandbox: Sandbox
    runner: Path
    """The runner: the program that loads a candidate."""
    empty: CompiledCpp
    """The kernel that does nothing, see `overhead`."""
    layouts: Layouts
    calibration: Calibration
    cpu: int
    """The processor that candidates and baselines of one thread are pinned to."""

    @contextlib.asynccontextmanager
    async def subject(
        self, compiled: CompiledCpp, watch: Stopwatch, overhead: Overhead | None = None
    ) -> AsyncIterator[CandidateProcess]:
        """A candidate in a fresh process with fresh memory; gone when the context is left.

        `overhead` is shared by the subjects of one measurement; without it that of the calibration
        is taken off. Raises Stopped for a candidate that cannot be loaded or works while it is
        loaded.
        """
        began = time.perf_counter()
        memory = Memory(self.layouts.all())
        try:
            async with contextlib.AsyncExitStack() as process:
                runner = await self._loaded(compiled, memory, process)
                watch.add("start", time.perf_counter() - began)
                yield CandidateProcess(
                    self.task, compiled.candidate.id, runner, memory, self.layouts,
                    overhead or Overhead(self.calibration),
                )  # fmt: skip
        finally:
            memory.close()

    async def _loaded(
        self, compiled: CompiledCpp, memory: Memory, process: contextlib.AsyncExitStack
    ) -> Runner:
        """A process that has loaded the candidate; `process` ends it.

        If loading took too long, it is tried once more, because the machine may have been slow.
        Raises Stopped if it takes too long again.
        """
        pinned = self.cpu if self.task.threads == 1 else None
        start = Start(
            self.runner, compiled.library, self.task.entry, memory.arenas,
            threads=self.task.threads, cpu=pinned, limits=limits_of(self.task),
        )  # fmt: skip
        again = False
        while True:
            runner = await process.enter_async_context(session(self.sandbox, start))
            if runner.load_seconds <= _LONGEST_LOAD:
                return runner
            if again:
                with owned(runner.running):
                    raise Stopped("loading", [f"{runner.load_seconds:.1f}"])
            again = True
            await process.aclose()
