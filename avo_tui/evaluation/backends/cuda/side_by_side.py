"""Times two candidates in one process, and finds out which of them is at fault if that fails."""

from __future__ import annotations

from dataclasses import replace

from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.score import PairedMeasurement
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Context, Rejected
from avo_tui.evaluation.backends.cuda.compiled import CudaCompiled
from avo_tui.evaluation.backends.cuda.conversation import Timing
from avo_tui.evaluation.backends.cuda.fresh_processes import FreshProcesses
from avo_tui.evaluation.backends.cuda.measuring import compare
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.measurement import statistics


async def compare_in_turn(
    processes: FreshProcesses, task: CudaTask, a: CudaCompiled, b: CudaCompiled, context: Context
) -> PairedMeasurement:
    """Times two candidates A B B A.

    Both run in one process. If that does not show which of them failed, each is run beside
    itself: what fails there too is at fault. Raises Rejected.
    """
    try:
        return await side_by_side(processes, task, a, b, context)
    except Rejected as rejection:
        if rejection.whose is None and rejection.verdict.judges_candidate:
            await _blame(processes, task, a, b, context, rejection)
        raise


async def side_by_side(
    processes: FreshProcesses, cuda: CudaTask, a: CudaCompiled, b: CudaCompiled, context: Context
) -> PairedMeasurement:
    """Times two candidates in one fresh process."""
    rounds: dict[str, int] = {}
    ratios: dict[str, tuple[float, float, float]] = {}
    async with (
        processes.running(cuda, {"a": a, "b": b}) as process,
        Timing(cuda, process, {"a": a.candidate.id, "b": b.candidate.id}) as timing,
    ):
        for index, configuration in enumerate(cuda.configurations, start=1):
            values, milliseconds = await compare(a, b, configuration, timing)
            low, middle, high = (statistics.quantile(values, q) for q in (0.2, 0.5, 0.8))
            ratios[configuration.name] = (low, middle, high)
            rounds[configuration.name] = len(values)
            context.progress(
                EvaluationProgress(
                    stage="remeasure",
                    state="configuration",
                    index=index,
                    count=len(cuda.configurations),
                    configuration=configuration.name,
                    ratio=middle,
                    throughput=cuda.metric.value(cuda.work(configuration), milliseconds / 1e3),
                    unit=cuda.unit,
                )
            )
    return PairedMeasurement(configurations=ratios, rounds=rounds)


async def _blame(
    processes: FreshProcesses,
    task: CudaTask,
    a: CudaCompiled,
    b: CudaCompiled,
    context: Context,
    rejection: Rejected,
) -> None:
    """Raises the rejection of the candidate that fails alone, too.

    Where neither does, raises one that holds nothing against either.
    """
    silent = replace(context, progress=lambda _: None)
    for one in (a, b):
        try:
            await side_by_side(processes, task, one, one, silent)
        except Rejected as alone:
            if alone.verdict.judges_candidate:
                alone.whose = one.candidate.id
            raise alone from rejection
    summary = f"{rejection.feedback.summary}; each of the two passes beside itself"
    feedback = rejection.feedback.replaced(summary=summary)
    raise Rejected(Verdict.HARNESS_ERROR, feedback) from rejection
