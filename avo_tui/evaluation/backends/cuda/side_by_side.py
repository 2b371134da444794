"""Times two candidates in turn, each in a GPU process of its own.

A context of its own keeps each out of the other's memory, and says which of the two failed. The
GPU changes over from one process to the other while the next call's inputs are being written, so
that no timed call pays for the change.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Self

from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.score import PairedMeasurement
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Context, Rejected
from avo_tui.evaluation.backends.cuda.checking import SLOW_MILLISECONDS
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.conversation import Timing
from avo_tui.evaluation.backends.cuda.fresh_processes import FreshProcesses
from avo_tui.evaluation.backends.cuda.measuring import BUDGET_SECONDS, WARM_SECONDS
from avo_tui.evaluation.backends.cuda.process import GpuProcess, Reply
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement import statistics, verdicts
from avo_tui.evaluation.measurement.statistics import (
    Plan,
    Turn,
    kinds_of_rounds,
    paired_orders,
    per_kind,
    turns,
)


async def compare_in_turn(
    processes: FreshProcesses, task: CudaTask, a: CudaCompiled, b: CudaCompiled, context: Context
) -> PairedMeasurement:
    """Times two candidates A B B A. Raises Rejected, which says whose failure it is."""
    rounds: dict[str, int] = {}
    ratios: dict[str, tuple[float, float, float]] = {}
    async with (
        processes.beside(task, a, b) as (first, second),
        Side(task, first, a, "a") as ours,
        Side(task, second, b, "b") as theirs,
    ):
        for index, configuration in enumerate(task.configurations, start=1):
            values, milliseconds = await _compare(task, ours, theirs, configuration)
            low, middle, high = (statistics.quantile(values, q) for q in (0.2, 0.5, 0.8))
            ratios[configuration.name] = (low, middle, high)
            rounds[configuration.name] = len(values)
            context.progress(
                EvaluationProgress(
                    stage="remeasure",
                    state="configuration",
                    index=index,
                    count=len(task.configurations),
                    configuration=configuration.name,
                    ratio=middle,
                    throughput=task.metric.value(task.work(configuration), milliseconds / 1e3),
                    unit=task.unit,
                )
            )
    return PairedMeasurement(configurations=ratios, rounds=rounds)


class Side:
    """One of the two candidates, in its process, which works only when it is told to."""

    def __init__(
        self, task: CudaTask, process: GpuProcess, compiled: CudaCompiled, who: str
    ) -> None:
        """`who` is its name in the requests: `a`, or `b` for the other candidate."""
        self._compiled, self._process, self.who = compiled, process, who
        self._id = compiled.candidate.id
        self.timing = Timing(task, process, {who: self._id})
        self._events: AsyncGenerator[Reply] | None = None

    async def __aenter__(self) -> Self:
        await self.timing.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        error = raised[1] if isinstance(raised[1], BaseException) else None
        if self._events is not None:
            await self._events.aclose()
        with self._blamed():
            await self.timing.__aexit__(type(error) if error else None, error, None)

    async def begin(self, configuration: Configuration) -> float:
        """Run it once on a configuration; returns how many milliseconds that took."""
        request = {
            "op": "side",
            "who": self.who,
            "configuration": configuration.model_dump(),
            "seed": secrets.randbits(48),
            **self._compiled.launch(configuration),
        }
        self._events = self.timing.events(request, configuration)
        first = (await self._next())["first"]
        assert isinstance(first, float)
        return first

    async def warm(self) -> None:
        """Run it once, untimed."""
        await self._tell({"do": "warm"})

    async def turn(self, turn: Turn) -> None:
        """Time one call, and wait until everything that belongs to it is done."""
        order = {"kind": turn.kind, "inputs": turn.inputs, "judged": turn.judged}
        await self._tell({"do": "turn", "turn": order})

    async def end(self, configuration: Configuration) -> list[float]:
        """Milliseconds of the timed calls, in their order; frees its memory on the GPU."""
        reply = await self._tell({"do": "end"})
        self._events = None
        if reply["damage"]:
            raise self.timing.rejected(
                self.who, verdicts.wrote_outside(reply["damage"], configuration.name)
            )
        samples: list[float] = reply["samples"]
        return samples

    async def settle(self) -> None:
        """Wait for outputs that are still being judged."""
        with self._blamed():
            await self.timing.settle()

    async def _tell(self, order: Reply) -> Reply:
        await self._process.order(order)
        return await self._next()

    async def _next(self) -> Reply:
        """What the process says next: that it is idle, or the answer."""
        assert self._events is not None
        with self._blamed():
            return await anext(self._events)

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        """A failure is this candidate's: nothing else ran in its process.

        But not a lack of memory, since the other candidate holds some, too.
        """
        try:
            yield
        except Rejected as rejection:
            if rejection.verdict is Verdict.OUT_OF_MEMORY:
                summary = f"{rejection.feedback.summary} for two candidates at once"
                hint = "Each ran alone. Use smaller workspaces, so that two can be compared."
                feedback = rejection.feedback.replaced(summary=summary, hint=hint)
                raise Rejected(Verdict.HARNESS_ERROR, feedback) from rejection
            if rejection.verdict.judges_candidate:
                rejection.whose = self._id
            raise


async def _compare(
    task: CudaTask, a: Side, b: Side, configuration: Configuration
) -> tuple[list[float], float]:
    """How many times faster `a` is than `b`, round by round, and the median milliseconds of `a`."""
    slow = max([await side.begin(configuration) for side in (a, b)])
    await _warm((a, b), WARM_SECONDS if slow < SLOW_MILLISECONDS else 0.0)
    for side in (a, b):  # the worker uses the GPU to judge outputs of the configuration before
        await side.settle()
    pick = random.Random(secrets.randbits(48))  # noqa: S311 - not a secret
    affordable = int(2 * BUDGET_SECONDS * 1e3 / (4 * slow))
    rounds = max(2, min(Plan().rounds // 2, affordable))
    kinds = [k for k in kinds_of_rounds(rounds, len(task.timed), pick) for _ in range(2)]
    plans = [iter(turns(kinds, per_kind(len(task.timed)), pick)) for _ in (a, b)]
    for order in paired_orders(rounds, pick):
        for who in order:
            await (a, b)[who].turn(next(plans[who]))
    ours, theirs = [await side.end(configuration) for side in (a, b)]
    ratios = statistics.ratios(_by_round(ours), _by_round(theirs))
    return ratios, statistics.quantile(ours, 0.5)


async def _warm(sides: Sequence[Side], seconds: float) -> None:
    """Runs both in turn for `seconds`, each at least once."""
    began = time.monotonic()
    for side in sides:
        await side.warm()
    while time.monotonic() - began < seconds:
        for side in sides:
            await side.warm()


def _by_round(samples: Sequence[float]) -> list[float]:
    """Two samples of each round, added."""
    return [a + b for a, b in zip(samples[::2], samples[1::2], strict=True)]
