"""The check: is a candidate right, on every case of its task?"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.domain.verdict import ConfigurationCheck, EvaluationProgress, Feedback, Verdict
from avo_tui.evaluation.backends.base import Context, Rejected
from avo_tui.evaluation.backends.cpp import failures
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp
from avo_tui.evaluation.backends.cpp.keeper import Runner, Stopped
from avo_tui.evaluation.backends.cpp.layout import Memory, Slot, input_shapes, lay_out
from avo_tui.evaluation.backends.cpp.machine import benchmark_cpu
from avo_tui.evaluation.backends.cpp.process import in_thread, session
from avo_tui.evaluation.judge import judge
from avo_tui.evaluation.pool import Pool, Sample
from avo_tui.evaluation.task import CheckCase, Task

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Baseline, Tensors

_BASE_SECONDS = 3.0
_SLOWEST_FLOPS = 1e8
"""A call may take this long plus what 0.1 GFLOP/s would: a naive kernel is twenty times faster."""
_LONGEST_LOAD = 0.5


def call_seconds(task: Task, case_flops: float) -> float:
    """Time limit of one call."""
    return _BASE_SECONDS + case_flops / (_SLOWEST_FLOPS * task.threads)


class _Wrong(Exception):  # noqa: N818  a verdict, not an error of ours
    def __init__(self, verdict: Verdict, text: str, detail: str, error: float, hint: str) -> None:
        super().__init__(text)
        self.verdict, self.text, self.detail, self.error = verdict, text, detail, error
        self.hint = hint


@dataclass
class _Case:
    case: CheckCase
    sample: Sample
    slot: Slot
    seconds: float


def _same(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Where two tensors are bit for bit equal."""
    import torch

    width = {2: torch.int16, 4: torch.int32, 8: torch.int64}[a.element_size()]
    return a.view(width) == b.view(width)


def _run(runner: Runner, memory: Memory, this: _Case, inputs: Tensors) -> Tensors:
    """One call on poisoned outputs; returns copies of them."""
    memory.write(this.slot, inputs)
    memory.poison(this.slot)
    runner.bind(0, list(this.slot.arguments))
    runner.call(0, this.seconds)
    outside = memory.trespass(this.slot)
    if outside is not None:
        name, offset = outside
        size = this.slot.outputs[name].bytes
        where = f"{-offset} bytes before it" if offset < 0 else f"{offset - size} behind its end"
        raise _Wrong(
            Verdict.ILLEGAL_ACCESS, f"the candidate wrote outside {name}", where, 0.0,
            "check the last tile and sequence lengths that are odd",
        )  # fmt: skip
    if not memory.unchanged(this.slot, inputs):
        raise _Wrong(Verdict.SUSPICIOUS, "the candidate changed its inputs", "", 0.0, "")
    return {name: memory.output(this.slot, name).clone() for name in this.slot.outputs}


def _judge(runner: Runner, memory: Memory, this: _Case) -> float:
    """Everything a case asks for; returns the error in units of the tolerance."""
    case, sample = this.case, this.sample
    outputs = _run(runner, memory, this, sample.inputs)
    error = 0.0
    for name, output in outputs.items():
        verdict = judge(name, output, sample.expected[name])
        error = max(error, verdict.error)
        if not verdict.ok:
            raise _Wrong(
                Verdict.WRONG_RESULT, f"{name} is wrong", verdict.detail, verdict.error, ""
            )
    if case.repeat:
        again = _run(runner, memory, this, sample.inputs)
        for name, output in outputs.items():
            same = _same(output, again[name])
            if not bool(same.all()):
                raise _Wrong(
                    Verdict.WRONG_RESULT,
                    f"{name} differs between two runs on the same inputs",
                    f"{int((~same).sum())} of {same.numel()} values differ",
                    error,
                    "memory that was never set, or a result kept from an earlier call",
                )
    if sample.perturbation is not None:
        changed = _run(runner, memory, this, sample.perturbation.inputs)
        for name, mask in sample.perturbation.unaffected.items():
            differs = ~_same(outputs[name], changed[name]) & mask
            if bool(differs.any()):
                count = f"{int(differs.sum())} values changed that must not"
                raise _Wrong(Verdict.WRONG_RESULT, sample.perturbation.meaning, count, error, "")
    return error


async def check(
    task: Task,
    compiled: CompiledCpp,
    context: Context,
    *,
    runner: Path,
    pool: Pool,
    baselines: Mapping[str, Baseline],
) -> tuple[ConfigurationCheck, ...]:
    """Runs all cases in one fresh process, cheapest first; raises Rejected at the first failure."""
    cases = await in_thread(lambda: _prepare(task, pool, baselines))
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
        case = at[-1].case
        detail = _hidden_detail(case) if case.hidden else wrong.detail
        tell(_result(case, False, wrong.error, detail))
        raise Rejected(
            wrong.verdict,
            Feedback(
                summary=f"{wrong.text} in {_name(case)}",
                configuration=None if case.hidden else case.configuration.name,
                detail=detail if case.hidden else f"{_about(case)}: {wrong.detail}".strip(": "),
                hint=wrong.hint,
            ),
            checks=tuple(results),
        ) from wrong
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


def _prepare(task: Task, pool: Pool, baselines: Mapping[str, Baseline]) -> list[_Case]:
    cases = []
    for case in task.check_cases():
        sample = pool.get(task, case, baselines)
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


def _about(case: CheckCase) -> str:
    return "" if case.distribution == "normal" else f"inputs of the kind '{case.distribution}'"


def _hidden_detail(case: CheckCase) -> str:
    return f"it is about {case.category}" if case.category else ""


def _result(case: CheckCase, ok: bool, error: float | None, detail: str) -> ConfigurationCheck:
    name = "hidden" if case.hidden else case.configuration.name
    finite = error is not None and error < float("inf")
    return ConfigurationCheck(name=name, ok=ok, error=error if finite else None, detail=detail)
