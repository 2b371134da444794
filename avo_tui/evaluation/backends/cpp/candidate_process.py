"""One candidate's process together with its memory; runs the candidate once per request.

Check, benchmark and gate all run candidates through this class, so that they cannot be told apart
from inside: the memory has the same size, addresses are chosen anew for each call, the outputs
contain the same patterns, and the messages are the same. Two candidates that are compared get
separate processes and memory, so that neither can see an output of the other.

Waking a process, its answer and stopping it are accounted to the process, and cost two to five
times as much on a busy machine, or with cold caches, as in a quick loop on a quiet one. So before
every timed stretch there are two exchanges with the same process in which no candidate runs, the
first to warm what the second shows; the median of the latest second ones is taken off. Where a
kernel is so short that even that matters, one stretch holds several calls.
"""

from __future__ import annotations

import contextlib
import secrets
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp
from avo_tui.evaluation.backends.cpp.machine import TILE_OPERATIONS_PER_CYCLE
from avo_tui.evaluation.backends.cpp.memory import Addresses, Layouts, Memory, Slot
from avo_tui.evaluation.backends.cpp.process import (
    Call,
    Runner,
    Start,
    Stopped,
    limits_of,
    owned,
    session,
)
from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.metric import Ceilings
from avo_tui.evaluation.measurement.stopwatch import Stopwatch
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.task import Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Tensors


_LATEST = 15
"""Calls that the overhead is taken from: it follows the machine's load within as many turns."""


@dataclass(frozen=True)
class Calibration:
    """Measured once per worker, without any candidate."""

    hertz: float
    flops_per_cycle: float
    """Single precision, one core, at most."""
    measured_ceiling: float
    """FLOP/s of fused multiply-adds that one core reached; 0 where that was not measured."""

    def ceilings(self, threads: int, tiles: bool) -> Ceilings:
        """The limits for this number of threads, with room for a clock that rises later; the
        memory's are unknown, as caches hold the inputs.

        `tiles`: the candidate multiplies by AMX, whose rate is not measured.
        """
        per_cycle = TILE_OPERATIONS_PER_CYCLE if tiles else self.flops_per_cycle
        # a busy machine may hide its clock, though not what it reached
        hertz = max(self.hertz, self.measured_ceiling / self.flops_per_cycle)
        return Ceilings(
            peak_flops=1.25 * hertz * per_cycle * threads,
            measured_flops=0.0 if tiles else self.measured_ceiling * threads,
        )


class Overhead:
    """What is not a kernel's own in the time of a call, by the latest exchanges without one."""

    def __init__(self) -> None:
        self._latest: deque[Call] = deque(maxlen=_LATEST)

    def note(self, exchange: Call) -> None:
        """One exchange with the candidate's own process in which it did not run."""
        self._latest.append(exchange)

    @property
    def exchange(self) -> Call:
        """The part of a call's times in which no kernel computes."""
        passed = statistics.median(call.passed for call in self._latest)
        return Call(int(passed), int(statistics.median(call.used for call in self._latest)))

    @property
    def resolution(self) -> float:
        """Nanoseconds below which a stretch's own time cannot be told from the scatter.

        What takes less counts as taking so long: what is left of it after the overhead is chance,
        and could be nothing at all.
        """
        used = [call.used for call in self._latest]
        return max(1.0, statistics.median(used) - statistics.quantiles(used, n=5)[0])


_BASE_SECONDS = 3.0
_SLOWEST_FLOPS = 1e8
"""Time limit of a call: this, plus the time at 0.1 GFLOP/s. A naive kernel is twenty times
faster."""
_LONGEST_LOAD = 0.5
"""Limit in seconds of processor time for loading a candidate, including its constructors."""


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
        self, task: Task, identity: str, runner: Runner, memory: Memory, layouts: Layouts
    ) -> None:
        self.task = task
        self.identity = identity
        """Id of the candidate."""
        self.runner = runner
        self.overhead = Overhead()
        self._memory = memory
        self._layouts = layouts
        self._addresses = Addresses()
        self._fresh = True

    def most_calls(self, configuration: Configuration) -> int:
        """How many calls one stretch may hold."""
        return self._layouts.most_calls(configuration)

    def run(self, configuration: Configuration, *batch: Tensors) -> list[CallResult]:
        """Run the candidate once on each of some inputs, in one timed stretch.

        It is given the addresses of its arguments while they are still empty; then it is stopped,
        the inputs are written, and the calls begin when it wakes. Raises Stopped or Trespass.
        """
        slots = self._layouts.draw(configuration, len(batch))
        salts = [secrets.randbelow(256) for _ in batch]
        with owned(self.runner.running):
            more = self.runner.bind(self._addresses.draw(slots))
        for slot, salt, inputs in zip(slots, salts, batch, strict=True):
            self._memory.poison(slot, salt)
            self._memory.write(slot, inputs)
        with owned(self.runner.running):
            more += self._measure_exchange()
            call = self.runner.call(len(batch) * call_seconds(self.task, configuration))
        seconds = self._seconds(call, more) / len(batch)
        return [
            CallResult(seconds, self._outputs(slot), salt)
            for slot, salt in zip(slots, salts, strict=True)
        ]

    def _outputs(self, slot: Slot) -> Tensors:
        outside = self._memory.trespass(slot)
        if outside is not None:
            output, offset = outside
            size = slot.outputs[output].bytes
            near = f"{-offset} bytes before it" if offset < 0 else f"{offset - size} behind its end"
            raise Trespass(f"{output}: {near}")
        return {name: dtypes.copy(self._memory.output(slot, name)) for name in slot.outputs}

    def _measure_exchange(self) -> int:
        """Notes an exchange; returns what other threads used meanwhile, in nanoseconds.

        With more than one thread only before the first call: what the candidate started could make
        a later exchange look long.
        """
        more = 0
        if self._fresh or self.task.threads == 1:
            for _ in range(_LATEST if self._fresh else 1):
                _, first = self.runner.idle()
                exchange, second = self.runner.idle()
                self.overhead.note(exchange)
                more += first + second
        self._fresh = False
        return more

    def _seconds(self, call: Call, more: float) -> float:
        """Without what an exchange costs without a candidate. Sleeping counts as computing.

        `more`: nanoseconds that its other threads used before the call.
        """
        exchange, threads = self.overhead.exchange, self.task.threads
        used = (call.used - exchange.used + more) / threads + call.asleep
        nanoseconds = used if threads == 1 else max(used, call.passed - exchange.passed + more)
        return max(nanoseconds, self.overhead.resolution / threads) / 1e9

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
    layouts: Layouts
    calibration: Calibration
    cpu: int
    """The processor that candidates and baselines of one thread are pinned to."""

    @contextlib.asynccontextmanager
    async def subject(
        self, compiled: CompiledCpp, watch: Stopwatch
    ) -> AsyncIterator[CandidateProcess]:
        """A candidate in a fresh process with fresh memory; gone when the context is left.

        Raises Stopped for a candidate that cannot be loaded or works while it is loaded.
        """
        began = time.perf_counter()
        memory = Memory(self.layouts.all())
        try:
            async with contextlib.AsyncExitStack() as process:
                runner = await self._loaded(compiled, memory, process)
                watch.add("start", time.perf_counter() - began)
                yield CandidateProcess(
                    self.task, compiled.candidate.id, runner, memory, self.layouts
                )
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
            self.runner, compiled.library, self.task.entry, memory,
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
