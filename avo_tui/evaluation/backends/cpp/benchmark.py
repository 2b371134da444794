"""The benchmark: times a candidate together with its baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.base import Context, Rejected
from avo_tui.evaluation.backends.cpp import failures
from avo_tui.evaluation.backends.cpp.candidate_process import CandidateProcess, Stage
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp
from avo_tui.evaluation.backends.cpp.overhead import Overhead
from avo_tui.evaluation.backends.cpp.process import in_thread
from avo_tui.evaluation.backends.cpp.sampling import Bench, Samples, even
from avo_tui.evaluation.backends.cpp.timed_calls import Stopped
from avo_tui.evaluation.measurement import statistics, verdicts
from avo_tui.evaluation.measurement.statistics import drift, quantile
from avo_tui.evaluation.pool import Sample
from avo_tui.evaluation.sandbox.running_command import Running

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline

WARM_UP = 0.3
"""Seconds under load before the first sample (warm-up)."""
RETRIES = 1
"""How often a configuration is timed again if the baseline's times are noisy."""
SHORT = 0.25
"""Part of a kernel's time from which on what is taken off for the exchange says too much."""
UNEVEN = "uneven: counted by the mean of its calls"
"""Flag of a configuration on which some calls took far longer than the median."""


@dataclass(frozen=True)
class Beside:
    """What is run in addition to the timed candidates."""

    baselines: Mapping[str, Baseline]
    disguise: Sequence[tuple[Configuration, Sample]]
    """Public cases of the check; some of them are run between the timed calls."""


def score_of(bench: Bench, samples: Samples) -> ConfigurationScore:
    """The score of one configuration, from seconds per call."""
    task, configuration = bench.task, bench.configuration
    fair = even(samples.candidate, samples.beside[task.reference_baseline])
    taken = {statistics.CANDIDATE: fair, **samples.beside}
    flags = (UNEVEN,) if fair != samples.candidate else ()
    return statistics.score(
        configuration, task.metric, task.work(configuration), taken, task.reference_baseline, flags
    )


def too_short(milliseconds: float, exchange_nanoseconds: float) -> tuple[str, ...]:
    """A flag for a kernel beside whose time that of the exchange is not small; () for others.

    The exchange is measured on another process and taken off the candidate alone, so of so short a
    kernel a ratio to a library is no more than a hint.
    """
    if exchange_nanoseconds <= SHORT * milliseconds * 1e6:
        return ()
    return (
        f"too short to tell: {exchange_nanoseconds / 1e3:.0f} µs of exchange were taken off each"
        f" call of {milliseconds * 1e3:.0f} µs",
    )


def _measure(
    bench: Bench, subject: CandidateProcess, context: Context, overhead: Overhead, warm: float
) -> ConfigurationScore:
    """Time one configuration; again if the baseline drifted."""
    bench.warm([subject], warm)
    reference = bench.task.reference_baseline
    best = bench.sample(subject)
    for _ in range(RETRIES):
        if drift(best.beside[reference]) <= statistics.NOISY:
            break
        with context.watch.phase("repeats"):
            again = bench.sample(subject)
        if drift(again.beside[reference]) < drift(best.beside[reference]):
            best = again
    subject.refuse_leftovers()
    score = score_of(bench, best)
    short = too_short(score.milliseconds, overhead.exchange.used)
    return score.model_copy(update={"flags": (*score.flags, *short)})


def refuse_impossible(
    stage: Stage, configuration: Configuration, score: ConfigurationScore
) -> ConfigurationScore:
    """Reject a rate above the processor's limit; flag one above the measured maximum."""
    ceilings = stage.calibration.ceilings(stage.task.threads)
    seconds, work = score.milliseconds / 1e3, stage.task.work(configuration)
    if why := ceilings.impossible(work, seconds):
        raise Rejected(*verdicts.impossible(configuration.name, why))
    flags = (*score.flags, *ceilings.remark(work, seconds))
    return score.model_copy(update={"flags": flags})


async def benchmark(stage: Stage, compiled: CompiledCpp, context: Context, beside: Beside) -> Score:
    """Times a candidate in a fresh process on every configuration; raises Rejected."""
    task, scores = stage.task, list[ConfigurationScore]()
    try:
        overhead = Overhead(stage.calibration)
        async with (
            stage.subject(stage.empty, context.watch, overhead) as empty,
            stage.subject(compiled, context.watch, overhead) as subject,
        ):
            for configuration in task.configurations:
                bench = _bench(stage, configuration, beside, empty, context)

                def work(bench: Bench = bench) -> ConfigurationScore:
                    return _measure(bench, subject, context, overhead, 0.0 if scores else WARM_UP)

                score = await in_thread(work, subject.runner.running, cpu=stage.cpu)
                scores.append(refuse_impossible(stage, configuration, score))
                context.progress(_progress(task.unit, scores, len(task.configurations)))
    except Stopped as stop:
        name = task.configurations[min(len(scores), len(task.configurations) - 1)].name
        raise failures.rejected(
            task, stop, where=f"while {name} was timed", configuration=name, silent=True
        ) from stop
    return Score(
        unit=task.unit, reference_baseline=task.reference_baseline, configurations=tuple(scores)
    )


def _bench(
    stage: Stage,
    configuration: Configuration,
    beside: Beside,
    empty: CandidateProcess,
    context: Context,
) -> Bench:
    return Bench(stage.task, configuration, beside.baselines, beside.disguise, empty, context.watch)


def _progress(unit: str, scores: list[ConfigurationScore], count: int) -> EvaluationProgress:
    last = scores[-1]
    return EvaluationProgress(
        stage="benchmark", state="configuration", index=len(scores), count=count,
        configuration=last.name, throughput=last.throughput, p20=last.p20, p80=last.p80,
        ratio=last.ratio, unit=unit, baselines=last.baselines, detail=", ".join(last.flags),
    )  # fmt: skip


async def paired(
    stage: Stage, compiled: CompiledCpp, other: CompiledCpp, context: Context, beside: Beside
) -> PairedMeasurement:
    """Time two candidates alternately, each in its own fresh process; raises Rejected."""
    task = stage.task
    ratios: dict[str, tuple[float, float, float]] = {}
    counts: dict[str, int] = {}
    times: dict[str, tuple[float, float]] = {}
    owners: dict[Running | None, str] = {}
    try:
        overhead = Overhead(stage.calibration)
        async with (
            stage.subject(stage.empty, context.watch, overhead) as empty,
            stage.subject(compiled, context.watch, overhead) as mine,
            stage.subject(other, context.watch, overhead) as theirs,
        ):
            owners = {s.runner.running: s.identity for s in (mine, theirs)}
            for configuration in task.configurations:
                bench = _bench(stage, configuration, beside, empty, context)

                def work(bench: Bench = bench) -> tuple[list[float], tuple[float, float]]:
                    bench.warm([mine, theirs], 0.0 if ratios else WARM_UP)
                    return bench.paired(mine, theirs)

                running = (mine.runner.running, theirs.runner.running)
                rounds, seconds = await in_thread(work, *running, cpu=stage.cpu)
                times[configuration.name] = (seconds[0] * 1e3, seconds[1] * 1e3)
                low, middle, high = (quantile(rounds, q) for q in (0.2, 0.5, 0.8))
                ratios[configuration.name] = (low, middle, high)
                counts[configuration.name] = len(rounds)
                context.progress(
                    EvaluationProgress(
                        stage="remeasure", state="configuration", index=len(ratios),
                        count=len(task.configurations), configuration=configuration.name,
                        ratio=middle, p20=low, p80=high,
                    )
                )  # fmt: skip
    except Stopped as stop:
        rejected = failures.rejected(
            task, stop, where="while it was timed beside another version", configuration=None,
            silent=True,
        )  # fmt: skip
        rejected.whose = owners.get(stop.owner)
        raise rejected from stop
    return PairedMeasurement(configurations=ratios, rounds=counts, milliseconds=times)
