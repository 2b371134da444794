"""The benchmark: how fast is a candidate, beside its baselines in the same minute?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import EvaluationProgress
from avo_tui.evaluation.backends.base import Context, Rejected
from avo_tui.evaluation.backends.cpp import failures
from avo_tui.evaluation.backends.cpp.check import refuse_slow_load, refuse_threads
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp
from avo_tui.evaluation.backends.cpp.keeper import Runner, Stopped
from avo_tui.evaluation.backends.cpp.layout import Memory, Slot, input_shapes, lay_out
from avo_tui.evaluation.backends.cpp.machine import Calibration
from avo_tui.evaluation.backends.cpp.process import in_thread, session
from avo_tui.evaluation.backends.cpp.sampling import BATCH, Bench, Samples
from avo_tui.evaluation.measurement import statistics, verdicts
from avo_tui.evaluation.measurement.ceilings import Ceilings
from avo_tui.evaluation.measurement.statistics import drift, quantile
from avo_tui.evaluation.pool import fresh_seed
from avo_tui.evaluation.task import Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline

WARM_UP = 0.5
"""Seconds under load before the first sample."""
RETRIES = 2
"""A configuration is timed again so often while the baseline says that the machine is noisy."""


def plan(task: Task) -> list[tuple[Configuration, list[Slot]]]:
    """The slots of every configuration; those of one configuration do not overlap."""
    planned = []
    for configuration in task.configurations:
        shapes = input_shapes(
            task, configuration, task.make_inputs(configuration, fresh_seed(), "normal")
        )
        slots: list[Slot] = []
        inputs = outputs = 0
        for number in range(BATCH):
            slot = lay_out(task, configuration, shapes, number, inputs, outputs)
            inputs += sum(p.pages_bytes for p in slot.inputs.values())
            outputs += sum(p.pages_bytes for p in slot.outputs.values())
            slots.append(slot)
        planned.append((configuration, slots))
    return planned


def score_of(bench: Bench, samples: Samples, flags: tuple[str, ...]) -> ConfigurationScore:
    """The score of one configuration, from seconds per call."""
    task, configuration = bench.task, bench.configuration
    taken = {statistics.CANDIDATE: samples.candidate, **samples.beside}
    return statistics.score(
        configuration, task.metric, task.work(configuration), taken, task.reference_baseline, flags
    )


def measure(bench: Bench, talk: Runner) -> ConfigurationScore:
    """One configuration, again where the baseline drifted, and judged against the physics."""
    reference = bench.task.reference_baseline
    best: Samples | None = None
    for _ in range(1 + RETRIES):
        samples = bench.sample(talk)
        if best is None or drift(samples.beside[reference]) < drift(best.beside[reference]):
            best = samples
        if drift(best.beside[reference]) <= statistics.NOISY:
            break
    assert best is not None
    return score_of(bench, best, ())


def refuse_impossible(
    task: Task, configuration: Configuration, score: ConfigurationScore, ceilings: Ceilings
) -> ConfigurationScore:
    """Raises Rejected above what the processor can do; flags above what was measured of it."""
    seconds, work = score.milliseconds / 1e3, task.work(configuration)
    if why := ceilings.impossible(work, seconds):
        raise Rejected(*verdicts.impossible(configuration.name, why))
    flags = (*score.flags, *ceilings.remark(work, seconds))
    return score.model_copy(update={"flags": flags})


async def benchmark(
    task: Task,
    compiled: CompiledCpp,
    context: Context,
    *,
    runner: Path,
    baselines: Mapping[str, Baseline],
    calibration: Calibration,
    cpu: int,
) -> Score:
    """Times a candidate in a fresh process on every configuration; raises Rejected."""
    planned = await in_thread(lambda: plan(task))
    memory = Memory(s for _, slots in planned for s in slots)
    scores: list[ConfigurationScore] = []
    try:
        async with session(
            context.sandbox, runner, compiled.library, task.entry, memory.arenas,
            threads=task.threads, cpu=cpu if task.threads == 1 else None,
        ) as talk:  # fmt: skip
            refuse_slow_load(talk)
            for configuration, slots in planned:
                bench = Bench(task, configuration, baselines, calibration, memory, slots)
                warm = 0.0 if scores else WARM_UP
                work = _work(bench, talk, warm)
                score = await in_thread(work, talk.running, cpu=cpu)
                refuse_threads(task, talk)
                ceilings = calibration.ceilings(task.threads)
                scores.append(refuse_impossible(task, configuration, score, ceilings))
                context.progress(_progress(task, scores, len(planned)))
    except Stopped as stop:
        name = planned[min(len(scores), len(planned) - 1)][0].name
        raise failures.rejected(
            task, stop, where=f"while {name} was timed", configuration=name
        ) from stop
    finally:
        memory.close()
    return Score(
        unit=task.unit, reference_baseline=task.reference_baseline, configurations=tuple(scores)
    )


def _work(bench: Bench, talk: Runner, warm: float) -> Callable[[], ConfigurationScore]:
    def work() -> ConfigurationScore:
        bench.prepare([talk])
        bench.warm([talk], warm)
        return measure(bench, talk)

    return work


def _progress(task: Task, scores: list[ConfigurationScore], count: int) -> EvaluationProgress:
    last = scores[-1]
    return EvaluationProgress(
        stage="benchmark", state="configuration", index=len(scores), count=count,
        configuration=last.name, throughput=last.throughput, p20=last.p20, p80=last.p80,
        ratio=last.ratio, unit=task.unit, baselines=last.baselines, detail=", ".join(last.flags),
    )  # fmt: skip


async def paired(
    task: Task,
    compiled: CompiledCpp,
    other: CompiledCpp,
    context: Context,
    *,
    runner: Path,
    baselines: Mapping[str, Baseline],
    calibration: Calibration,
    cpu: int,
) -> PairedMeasurement:
    """Times two candidates interleaved, each in its own fresh process; raises Rejected."""
    planned = await in_thread(lambda: plan(task))
    memory = Memory(s for _, slots in planned for s in slots)
    found: dict[str, tuple[float, float, float]] = {}

    def start(which: CompiledCpp):  # type: ignore[no-untyped-def]
        return session(
            context.sandbox, runner, which.library, task.entry, memory.arenas,
            threads=task.threads, cpu=cpu if task.threads == 1 else None,
        )  # fmt: skip

    try:
        async with start(compiled) as mine, start(other) as theirs:
            for talk in (mine, theirs):
                refuse_slow_load(talk)
            for configuration, slots in planned:
                bench = Bench(task, configuration, baselines, calibration, memory, slots)

                def work(
                    bench: Bench = bench, warm: float = 0 if found else WARM_UP
                ) -> list[float]:
                    bench.prepare([mine, theirs])
                    bench.warm([mine, theirs], warm)
                    return bench.paired(mine, theirs)

                ratios = await in_thread(work, mine.running, theirs.running, cpu=cpu)
                low, middle, high = (quantile(ratios, q) for q in (0.2, 0.5, 0.8))
                found[configuration.name] = (low, middle, high)
                context.progress(
                    EvaluationProgress(
                        stage="remeasure", state="configuration", index=len(found),
                        count=len(planned), configuration=configuration.name, ratio=middle,
                        p20=low, p80=high,
                    )
                )  # fmt: skip
    except Stopped as stop:
        raise failures.rejected(
            task, stop, where="while it was timed beside another version", configuration=None
        ) from stop
    finally:
        memory.close()
    return PairedMeasurement(configurations=found)
