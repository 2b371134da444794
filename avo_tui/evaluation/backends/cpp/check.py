"""The check: whether a candidate is correct on every case of its task.

The public cases come first. Once a process has seen a hidden case, nothing that it could choose is
reported: no output, fault address, exit code or size of an error, only the kind of case and the
kind of failure.
"""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avo_tui.domain.report import ConfigurationCheck
from avo_tui.evaluation.backends.base import Context, Rejected
from avo_tui.evaluation.backends.cpp import failures
from avo_tui.evaluation.backends.cpp.candidate_process import (
    CallResult,
    CandidateProcess,
    Stage,
    Trespass,
)
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp
from avo_tui.evaluation.backends.cpp.process import Stopped, in_thread
from avo_tui.evaluation.measurement import verdicts
from avo_tui.evaluation.measurement.cases import (
    MORE_SECONDS,
    CheckRecord,
    differing,
    noticed,
    public_first,
)
from avo_tui.evaluation.measurement.judge import Judgement, judge_each
from avo_tui.evaluation.measurement.stopwatch import Stopwatch
from avo_tui.evaluation.pool import Pool, Sample
from avo_tui.evaluation.task import CheckCase, Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Tensors


class _Wrong(Exception):  # noqa: N818  a verdict, not an error of ours
    def __init__(self, ruling: verdicts.Ruling, error: float, *, sound: bool = True) -> None:
        """`sound`: whether the process can be trusted with another case."""
        super().__init__(ruling.feedback.summary)
        self.ruling, self.error, self.sound = ruling, error, sound


@dataclass
class _Case:
    case: CheckCase
    sample: Sample


def _run(subject: CandidateProcess, this: _Case, inputs: Tensors, watch: Stopwatch) -> CallResult:
    with watch.phase("calls"):
        try:
            return subject.run(this.case.configuration, inputs)[0]
        except Trespass as damage:
            raise _Wrong(
                verdicts.wrote_outside(str(damage), this.case.public_name), 0.0, sound=False
            ) from damage


def _judge(subject: CandidateProcess, this: _Case, watch: Stopwatch) -> Judgement:
    """Run one case with all its tests. Raises _Wrong for what fails."""
    case, sample = this.case, this.sample
    answer = _run(subject, this, sample.inputs, watch)
    with watch.phase("judging"):
        judgement = judge_each(answer.outputs, sample.expected, answer.salt)
    error = judgement.error
    if not judgement.ok:
        raise _Wrong(verdicts.wrong_result(case, judgement), error)
    if case.repeat:
        again = _run(subject, this, sample.inputs, watch)
        difference = differing(answer.outputs, again.outputs)
        if difference is not None:
            raise _Wrong(verdicts.unsteady(case, difference), error)
    if sample.perturbation is not None:
        changed = _run(subject, this, sample.perturbation.inputs, watch)
        leak = noticed(sample.perturbation, answer.outputs, changed.outputs)
        if leak is not None:
            raise _Wrong(verdicts.wrong_result(case, leak), error)
    return judgement


async def check(
    stage: Stage, compiled: CompiledCpp, context: Context, pool: Pool
) -> tuple[ConfigurationCheck, ...]:
    """Runs all cases in one fresh process; raises Rejected for the first failure.

    A wrong result does not end the check: the other public cases are run, too, so that their author
    sees which of them fail.
    """
    task, watch = stage.task, context.watch
    cases = await in_thread(lambda: prepare(task, pool, context.quick, watch))
    tried: list[_Case] = []
    record = CheckRecord(len(cases), context.progress)
    first: _Wrong | None = None
    until = float("inf")
    try:
        async with stage.subject(compiled, watch) as subject:
            for this in cases:
                if first is not None and (this.case.hidden or time.monotonic() > until):
                    raise first
                if this.case.hidden:
                    if tried and not tried[-1].case.hidden:
                        subject.refuse_leftovers()  # what can be told of the public cases is
                    await subject.runner.running.keep_nothing_more()
                tried.append(this)
                work = functools.partial(_judge, subject, this, watch)
                try:
                    judged = await in_thread(work, subject.runner.running, cpu=stage.cpu)
                except _Wrong as wrong:
                    feedback = wrong.ruling.feedback
                    record.add(this.case, False, wrong.error, feedback.detail)
                    first = first or wrong
                    if this.case.hidden or not wrong.sound:
                        raise first from wrong
                    until = min(until, time.monotonic() + MORE_SECONDS)
                else:
                    record.add(this.case, True, judged.error, error_ratio=judged.error_ratio)
            if first is not None:
                raise first
            subject.refuse_leftovers()
    except _Wrong as wrong:
        raise _rejected(task, Rejected(*wrong.ruling), tried, record) from wrong
    except Stopped as stop:
        rejected = _stopped(task, stop, tried[-1].case if tried else None)
        if tried:
            record.add(tried[-1].case, False, None, rejected.feedback.summary)
        if first is not None:
            rejected = Rejected(*first.ruling)
        raise _rejected(task, rejected, tried, record) from stop
    finally:
        record.tell()
    return record.results


def _rejected(task: Task, rejection: Rejected, tried: list[_Case], record: CheckRecord) -> Rejected:
    """The rejection with the results of the cases that were `tried`."""
    rejection.checks = record.results
    rejection.silent = bool(tried) and tried[-1].case.hidden
    return rejection.hushed(task.check_cases()) if rejection.silent else rejection


def _stopped(task: Task, stop: Stopped, case: CheckCase | None) -> Rejected:
    if case is None:
        return failures.rejected(task, stop, where="while it was loaded", configuration=None)
    name = case.public_name
    where = f"in {name}" if name else "in a hidden configuration"
    return failures.rejected(
        task, stop, where=where, configuration=name, silent=case.hidden, about=case.told
    )


def prepare(task: Task, pool: Pool, quick: bool, watch: Stopwatch) -> list[_Case]:
    """The cases in the order they are run, with inputs and what is expected: public ones first."""
    with watch.phase("inputs"):
        cases = task.quick_cases() if quick else task.check_cases()
        return [_Case(case, pool.get(task, case)) for case in public_first(cases)]
