"""Checks a candidate, times it beside the baselines, and times two in turn.

Of two candidates each has a GPU process of its own: its context keeps it out of the other's memory,
and says which of the two failed. The GPU changes over from one process to the other while the next
call's inputs are being written, so that no timed call pays for the change.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any, Self

from avo_tui.domain.report import ConfigurationCheck, EvaluationProgress
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Context, Rejected, refused
from avo_tui.evaluation.backends.cuda import conversation
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.conversation import SLOWEST, Timing, ask
from avo_tui.evaluation.backends.cuda.fresh_processes import FreshProcesses
from avo_tui.evaluation.backends.cuda.process import GpuProcess, Reply
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement import statistics, verdicts
from avo_tui.evaluation.measurement.cases import MORE_SECONDS, CheckCase, CheckRecord, public_first
from avo_tui.evaluation.measurement.judge import Judgement
from avo_tui.evaluation.measurement.metric import Ceilings
from avo_tui.evaluation.measurement.statistics import (
    Plan,
    Turn,
    kinds_of_rounds,
    paired_orders,
    per_kind,
    turns,
)

SLOW_MILLISECONDS = 1500.0
"""A run expected to take longer is neither repeated nor perturbed on the scored configurations."""


class Check:
    """One pass over the cases of a check."""

    def __init__(
        self,
        task: CudaTask,
        compiled: CudaCompiled,
        cases: Sequence[CheckCase],
        context: Context,
    ) -> None:
        self._task, self._compiled = task, compiled
        self._cases = public_first(cases)
        self._record = CheckRecord(len(cases), context.progress)
        self._scored = {c.name for c in task.configurations}
        self._rate = 0.0
        self._hidden_ran = False
        """Whether a hidden case was begun."""
        self._wrong: Rejected | None = None
        self._until = float("inf")
        """When, by the monotonic clock, no more cases are run after a wrong one."""

    async def all(self, process: GpuProcess) -> tuple[ConfigurationCheck, ...]:
        """Runs and judges every case. Raises Rejected for the first that fails.

        A wrong result does not end the check: the other public cases are run, too, so that their
        author sees which of them fail.
        """
        try:
            await self._each(process)
        except Rejected as rejection:
            told = self._wrong or rejection
            told.silent = self._hidden_ran
            told.checks = self._record.results
            if told.silent:
                told = told.hushed(self._cases)
            raise told from rejection.__cause__
        finally:
            self._record.tell()
        return self._record.results

    async def _each(self, process: GpuProcess) -> None:
        pending: tuple[CheckCase, asyncio.Task[Judgement]] | None = None
        try:
            for case in self._cases:
                if pending is not None and (case.hidden and not self._hidden_ran):
                    await self._finish(*pending)
                    pending = None
                if self._wrong and (case.hidden or time.monotonic() > self._until):
                    break
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
                judging_it = asyncio.to_thread(conversation.judge_outputs, self._task, taken)
                pending = (case, asyncio.create_task(judging_it))
            if pending is not None:
                await self._finish(*pending)
                pending = None
            if self._wrong:
                raise self._wrong
        finally:
            if pending is not None:
                # A thread cannot be cancelled; its result is simply ignored.
                await asyncio.wait({pending[1]})

    async def _finish(self, case: CheckCase, judgement: asyncio.Task[Judgement]) -> None:
        judged = await judgement
        self._record.add(case, judged.ok, judged.error, judged.detail, judged.error_ratio)
        if judged.ok:
            return
        self._wrong = self._wrong or Rejected(*verdicts.wrong_result(case, judged))
        self._until = min(self._until, time.monotonic() + MORE_SECONDS)
        if case.hidden:
            raise self._wrong

    async def _run(self, process: GpuProcess, case: CheckCase, seed: int) -> conversation.Taken:
        name = case.public_name
        self._hidden_ran |= case.hidden
        scored = case.configuration.name in self._scored
        flops = self._task.flops(case.configuration)
        slow = bool(self._rate) and 1e3 * flops / self._rate > SLOW_MILLISECONDS
        request = run_request(self._compiled, case, seed, steady=not (scored and slow))
        limit = conversation.expected_seconds(self._task, case, SLOWEST)
        reply = await ask(process, request, limit, name, secret=case.hidden)
        if reply["milliseconds"] > 0:
            self._rate = max(self._rate, flops / (reply["milliseconds"] * 1e-3))
        if reply["damage"]:
            raise Rejected(*verdicts.wrote_outside(reply["damage"], name))
        if reply["changed_inputs"]:
            raise Rejected(*verdicts.changed_inputs(reply["changed_inputs"], name))
        taken = conversation.Taken(
            case.configuration,
            case.distribution,
            seed,
            self._take(process, reply["outputs"], case),
            self._take(process, reply["perturbed"], case) if "perturbed" in reply else None,
        )
        if reply.get("unsteady"):
            raise await self._unsteady(case, taken, reply["unsteady"])
        return taken

    async def _unsteady(self, case: CheckCase, taken: conversation.Taken, what: str) -> Rejected:
        """The rejection for differing results; if the result is also wrong, it is reported as
        wrong."""
        judged = await asyncio.to_thread(conversation.judge_outputs, self._task, taken)
        if not judged.ok:
            also = "and runs on the same inputs differ"
            detail, reason = f"{judged.detail}; {also}", f"{judged.reason.rstrip('.')}, {also}."
            wrong = Judgement(judged.error, detail, reason)
            return Rejected(*verdicts.wrong_result(case, wrong))
        return Rejected(*verdicts.unsteady(case, Judgement(float("inf"), what)))

    def _take(self, process: GpuProcess, offsets: dict[str, int], case: CheckCase) -> Any:
        return conversation.take(self._task, process.shared, offsets, case.configuration)


def run_request(
    compiled: CudaCompiled, case: CheckCase, seed: int, *, steady: bool
) -> dict[str, Any]:
    """The request that runs one case; `steady` also runs it again and on changed inputs."""
    return {
        "op": "run",
        "who": "candidate",
        **compiled.launch(case.configuration),
        "configuration": case.configuration.model_dump(),
        "seed": seed,
        "distribution": case.distribution,
        "repeat": case.repeat and steady,
        "perturb": case.perturb and steady,
    }


BUDGET_SECONDS = 1.0
"""Seconds of the candidate's own time to spend per configuration."""
WARM_SECONDS = 0.5


async def measure(
    task: CudaTask,
    compiled: CudaCompiled,
    configuration: Configuration,
    kinds: Sequence[str],
    timing: Timing,
    ceilings: Ceilings,
    alone: dict[str, float],
) -> ConfigurationScore:
    """One configuration on inputs of these kinds; measured again, once, where the reference
    baseline drifted.

    `alone` holds how long the baselines take where no candidate ever ran, in milliseconds; it is
    filled in where it is empty.
    """
    work = task.work(configuration)
    reference = task.reference_baseline
    for last in (False, True):
        request = {
            "op": "bench",
            "who": "candidate",
            "configuration": configuration.model_dump(),
            **compiled.launch(configuration),
            "kinds": list(kinds),
            "seed": secrets.randbits(48),
            "budget": BUDGET_SECONDS,
            "warm": WARM_SECONDS,
            "alone": alone,
        }
        reply = await timing.ask(request, configuration)
        alone.update(reply["alone"])
        if reply["damage"]:
            raise Rejected(*verdicts.wrote_outside(reply["damage"], configuration.name))
        samples = {name: _seconds(values) for name, values in reply["samples"].items()}
        if not samples.get(reference):
            raise _no_reference(reference, configuration.name, reply["absent"])
        slowed = statistics.slowed(samples, {n: t / 1e3 for n, t in alone.items()})
        drifted = statistics.noisy(samples[reference])
        if (slowed or drifted) and not last and 1e3 * samples["candidate"][0] < SLOW_MILLISECONDS:
            continue
        break
    if slowed:
        raise Rejected(*verdicts.slowed_baseline(configuration.name, slowed))
    if why := ceilings.impossible(work, min(samples[statistics.CANDIDATE])):
        raise Rejected(*verdicts.impossible(configuration.name, why))
    flags = [f"no {name}: {why}" for name, why in reply["absent"].items()]
    flags += ceilings.remark(work, statistics.median(samples[statistics.CANDIDATE]))
    result = statistics.score(configuration, task.metric, work, samples, reference, flags)
    return result.model_copy(update={"prepare_milliseconds": reply["prepare_milliseconds"]})


def _seconds(milliseconds: Sequence[float]) -> list[float]:
    return [value / 1e3 for value in milliseconds]


def _no_reference(name: str, configuration: str, absent: dict[str, str]) -> Rejected:
    why = absent.get(name, "it is not installed")
    return refused(
        Verdict.HARNESS_ERROR,
        f"the reference baseline {name} does not run on {configuration}: {why}",
        configuration=configuration,
        hint="The ratio is taken against it; install what it needs, or choose another one.",
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
        self._kinds = list(task.timed)
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
            "kinds": self._kinds,
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
