"""The check: is a candidate right, on every case of its task?"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.domain.verdict import ConfigurationCheck, EvaluationProgress
from avo_tui.evaluation.backends.base import Context, Rejected
from avo_tui.evaluation.backends.cpp import failures
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp
from avo_tui.evaluation.backends.cpp.keeper import Runner, Stopped
from avo_tui.evaluation.backends.cpp.layout import Memory, Slot, input_shapes, lay_out
from avo_tui.evaluation.backends.cpp.machine import benchmark_cpu
from avo_tui.evaluation.backends.cpp.process import in_thread, session
from avo_tui.evaluation.measurement import verdicts
from avo_tui.evaluation.measurement.cases import differing, noticed
from avo_tui.evaluation.measurement.judge import judge
from avo_tui.evaluation.pool import Pool, Sample
from avo_tui.evaluation.task import CheckCase, Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Tensors

_BASE_SECONDS = 3.0
_SLOWEST_FLOPS = 1e8
"""A call may take this long plus what 0.1 GFLOP/s would: a naive kernel is twenty times faster."""
_LONGEST_LOAD = 0.5


def call_seconds(task: Task, case_flops: float) -> float:
    """Time limit of one call."""
    return _BASE_SECONDS + case_flops / (_SLOWEST_FLOPS * task.threads)


class _Wrong(Exception):  # noqa: N818  a verdict, not an error of ours
    def __init__(self, ruling: verdicts.Ruling, error: float) -> None:
        super().__init__(ruling.feedback.summary)
        self.ruling, self.error = ruling, error


@dataclass
class _Case:
    case: CheckCase
    sample: Sample
    slot: Slot
    seconds: float


def _run(runner: Runner, memory: Memory, this: _Case, inputs: Tensors) -> Tensors:
    """One call on poisoned outputs; returns copies of them."""
    memory.write(this.slot, inputs)
    memory.poison(this.slot)
    runner.bind(0, list(this.slot.arguments))
    runner.call(0, this.seconds)
    name = this.case.public_name
    outside = memory.trespass(this.slot)
    if outside is not None:
        output, offset = outside
        size = this.slot.outputs[output].bytes
        near = f"{-offset} bytes before it" if offset < 0 else f"{offset - size} behind its end"
        raise _Wrong(verdicts.wrote_outside(f"{output}: {near}", name), 0.0)
    if not memory.unchanged(this.slot, inputs):
        raise _Wrong(verdicts.changed_inputs(list(inputs), name), 0.0)
    return {name: memory.output(this.slot, name).clone() for name in this.slot.outputs}


def _judge(runner: Runner, memory: Memory, this: _Case) -> float:
    """Everything a case asks for; returns the error in units of the tolerance."""
    case, sample = this.case, this.sample
    outputs = _run(runner, memory, this, sample.inputs)
    error = 0.0
    for name, output in outputs.items():
        judgement = judge(name, output, sample.expected[name])
        error = max(error, judgement.error)
        if not judgement.ok:
            raise _Wrong(verdicts.wrong_result(case, judgement), judgement.error)
    if case.repeat:
        difference = differing(outputs, _run(runner, memory, this, sample.inputs))
        if difference is not None:
            raise _Wrong(verdicts.unsteady(case, difference), error)
    if sample.perturbation is not None:
        changed = _run(runner, memory, this, sample.perturbation.inputs)
        leak = noticed(sample.perturbation, outputs, changed)
        if leak is not None:
            raise _Wrong(verdicts.wrong_result(case, leak), error)
    return error


async def check(
    task: Task,
    compiled: CompiledCpp,
    context: Context,
    *,
    runner: Path,
    pool: Pool,
) -> tuple[ConfigurationCheck, ...]:
    """Runs all cases in one fresh process, cheapest first; raises Rejected at the first failure."""
    cases = await in_thread(lambda: _prepare(task, pool, context.quick))
    memory = Memory(c.slot for c in cases)
    at: list[_Case] = []
    results: list[ConfigurationCheck] = []

    def tell(done: ConfigurationCheck) -> None:
        results.append(done)
        context.progress(
            EvaluationProgress(
                stage="check", state="configuration", index=len(results), count=len(cases),
                configuration=done.name, ok=done.ok, error=done.error, detail=done.detail,
            )
        )  # fmt: skip

    try:
        async with session(
            context.sandbox, runner, compiled.library, task.entry, memory.arenas,
            threads=task.threads, cpu=benchmark_cpu() if task.threads == 1 else None,
        ) as talk:  # fmt: skip
            refuse_slow_load(talk)
            for this in cases:
                at.append(this)
                work = functools.partial(_judge, talk, memory, this)
                error = await in_thread(work, talk.running)
                tell(_result(this.case, True, error, ""))
            refuse_threads(task, talk)
    except _Wrong as wrong:
        case, feedback = at[-1].case, wrong.ruling.feedback
        tell(_result(case, False, wrong.error, feedback.detail))
        raise Rejected(*wrong.ruling, checks=tuple(results)) from wrong
    except Stopped as stop:
        tried = at[-1].case if at else None
        name = tried.configuration.name if tried and not tried.hidden else None
        where = f"in {_name(tried)}" if tried else "while it was loaded"
        rejected = failures.rejected(task, stop, where=where, configuration=name)
        if tried is not None:
            tell(_result(tried, False, None, rejected.feedback.summary))
        rejected.checks = tuple(results)
        raise rejected from stop
    finally:
        memory.close()
    return tuple(results)


def _prepare(task: Task, pool: Pool, quick: bool) -> list[_Case]:
    cases = []
    for case in task.quick_cases() if quick else task.check_cases():
        sample = pool.get(task, case)
        shapes = input_shapes(task, case.configuration, sample.inputs)
        slot = lay_out(task, case.configuration, shapes, 0, 0, 0)
        seconds = call_seconds(task, task.flops(case.configuration))
        cases.append(_Case(case, sample, slot, seconds))
    return cases


def refuse_slow_load(talk: Runner) -> None:
    """Loading is not timed, so it must not be where the work is done."""
    if talk.load_seconds > _LONGEST_LOAD:
        raise Stopped("nonsense", [f"it computed for {talk.load_seconds:.1f} s while being loaded"])


def refuse_threads(task: Task, talk: Runner) -> None:
    """What still runs after the last call would have been running beside the clock."""
    processes, threads = talk.processes_and_threads()
    if processes > 1:
        raise Stopped("nonsense", [f"{processes} processes of it are running"])
    if threads > task.threads:
        raise Stopped("nonsense", [f"{threads} threads of it are running after it returned"])


def _name(case: CheckCase) -> str:
    return "a hidden configuration" if case.hidden else case.configuration.name


def _result(case: CheckCase, ok: bool, error: float | None, detail: str) -> ConfigurationCheck:
    name = "hidden" if case.hidden else case.configuration.name
    finite = error is not None and error < float("inf")
    return ConfigurationCheck(name=name, ok=ok, error=error if finite else None, detail=detail)
