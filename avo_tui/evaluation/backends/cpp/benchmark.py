"""The benchmark: times a candidate, or two in turn, together with the baselines.

Every timed call gets new inputs and writes to memory that it has not written before. Each output is
compared with the library's output for the same inputs, and some, chosen at random, with the
reference in high precision. A few of the public check cases are mixed in, so that a size or a
distribution reveals little about whether a call is timed. A timed process sees no hidden shapes,
because it could reveal them by its times.
"""

from __future__ import annotations

import math
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from avo_tui.domain.questions import Alternation, QuickComparison
from avo_tui.domain.report import EvaluationProgress
from avo_tui.domain.score import ConfigurationScore, PairedMeasurement, Score, geomean
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.base import Context, Rejected
from avo_tui.evaluation.backends.cpp import failures
from avo_tui.evaluation.backends.cpp.candidate_process import (
    CallResult,
    CandidateProcess,
    Stage,
    Trespass,
)
from avo_tui.evaluation.backends.cpp.compiler import CompiledCpp
from avo_tui.evaluation.backends.cpp.loops import TILE_PRODUCTS
from avo_tui.evaluation.backends.cpp.process import Stopped, in_thread
from avo_tui.evaluation.measurement import statistics, verdicts
from avo_tui.evaluation.measurement.judge import Expected, Glance, judge_each
from avo_tui.evaluation.measurement.statistics import drift, median, paired_orders, quantile
from avo_tui.evaluation.measurement.stopwatch import Stopwatch
from avo_tui.evaluation.pool import Sample, fresh_seed, make_expected
from avo_tui.evaluation.sandbox.running_command import Running
from avo_tui.evaluation.task import Task

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline, Tensors


SAMPLES = 20
FEWEST = 5
"""Fewest samples, for a candidate so slow that `LONGEST` runs out first."""
MOST = 100
"""Most samples, calls in one stretch counted singly."""
STRETCH = 100e-6
"""Seconds that a timed stretch should last at least: beside a shorter one the exchange is not
small, so it holds several calls, as far as memory for their tensors goes."""
SHORTEST, LONGEST = 0.2, 1.0
"""Seconds measured per configuration: the minimum, and the maximum once there are FEWEST
samples."""
PAIRED_SAMPLES, PAIRED_SHORTEST = 12, 0.12
"""Samples, and least seconds, of each of two candidates in one replicate. Fewer than in a
benchmark: more samples do not reduce the variation between processes, so the gate takes more
replicates instead."""
QUICK_PROCESSES = 8
"""Pairs of fresh processes of a quick comparison; its interval is that between them."""
FEWEST_QUICK_PROCESSES = 3
"""So many in any case; further ones only while the time is less than `OVER` times that asked for:
calls of slow kernels take longer."""
OVER = 3.0
QUICK_ROUNDS = 2000
"""Most rounds of one configuration in one of these pairs."""
JUDGED = 2
"""Number of timed outputs per candidate and configuration that are judged in full."""
DISGUISED = 2
"""Number of check cases mixed in among the timed calls of a configuration."""
_UNEVEN = 1.25
"""Factor by which the mean may exceed the median, relative to the baseline's."""


@dataclass
class Samples:
    """Seconds per call, in order, of a candidate and of the baselines timed with it."""

    candidate: list[float] = field(default_factory=list)
    beside: dict[str, list[float]] = field(default_factory=dict)


def even(seconds: Sequence[float], baseline: Sequence[float]) -> list[float]:
    """The samples, all scaled up if some calls took far longer than the median.

    A median ignores up to half of the calls, however long they took. If the mean exceeds the median
    by much more than the baseline's did at the same time, the mean is the true cost of a call.
    """
    if not seconds or not baseline:
        return list(seconds)
    factor = _mean(seconds) / median(seconds) / (_mean(baseline) / median(baseline))
    return [s * factor for s in seconds] if factor > _UNEVEN else list(seconds)


def _of(subject: CandidateProcess, ruling: verdicts.Ruling) -> Rejected:
    rejected = Rejected(*ruling)
    rejected.whose = subject.identity
    return rejected


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _elements(tensors: Tensors) -> int:
    return sum(tensor.numel() for tensor in tensors.values())


def enough(count: int, seconds: float, samples: int, shortest: float) -> bool:
    """Whether there are enough samples for the `seconds` that were spent on them.

    `samples` and `shortest` are the fewest samples and seconds that suffice.
    """
    if count >= samples and seconds >= shortest:
        return True
    return count >= FEWEST and seconds >= LONGEST


class Bench:
    """Times candidates on one configuration."""

    def __init__(
        self,
        task: Task,
        configuration: Configuration,
        baselines: Mapping[str, Baseline],
        disguise: Sequence[tuple[Configuration, Sample]],
        watch: Stopwatch,
        kinds: Sequence[str],
    ) -> None:
        """`disguise`: public cases of the check, to be run among the timed calls; `kinds`: the
        distributions of timed inputs."""
        self.task, self.configuration, self._kinds = task, configuration, kinds
        self._baselines = baselines
        self._disguise = disguise
        self._watch = watch
        self._glances: dict[str, dict[str, Glance]] = {}
        self.calls = 1
        """Calls in one timed stretch of a candidate, and of a baseline; `warm` sets it."""
        self._chance = random.SystemRandom()

    def _fresh(self) -> list[tuple[str, Tensors]]:
        """New inputs for each call of a stretch, with the names of their distributions."""
        with self._watch.phase("inputs"):
            kinds = [self._chance.choice(self._kinds) for _ in range(self.calls)]
            return [(k, self.task.make_inputs(self.configuration, fresh_seed(), k)) for k in kinds]

    def _call(
        self, subject: CandidateProcess, drawn: Sequence[tuple[str, Tensors]]
    ) -> list[CallResult]:
        with self._watch.phase("samples"):
            try:
                return subject.run(self.configuration, *(inputs for _, inputs in drawn))
            except Trespass as damage:
                name = self.configuration.name
                raise _of(subject, verdicts.wrote_outside(str(damage), name)) from damage

    def _library(
        self, drawn: Sequence[tuple[str, Tensors]]
    ) -> tuple[dict[str, float], list[Tensors]]:
        """Seconds of one call of each baseline, and the outputs of the reference baseline.

        A stretch has as many calls as a candidate's, so that both are as warm.
        """
        clock = time.thread_time if self.task.threads == 1 else time.perf_counter
        seconds: dict[str, float] = {}
        own: list[Tensors] = []
        with self._watch.phase("baselines"):
            for _, inputs in drawn:
                for tensor in inputs.values():
                    tensor.sum()  # reads the inputs into the caches
            for name, run in self._baselines.items():
                began = clock()
                outputs = [run(self.configuration, inputs) for _, inputs in drawn]
                seconds[name] = (clock() - began) / len(drawn)
                if name == self.task.reference_baseline:
                    own = outputs
        return seconds, own

    def _compare_all(
        self,
        subject: CandidateProcess,
        answers: Sequence[CallResult],
        drawn: Sequence[tuple[str, Tensors]],
        own: Sequence[Tensors],
        in_full: bool,
    ) -> None:
        """Compare each output of a stretch; one of them, drawn by chance, `in_full`."""
        chosen = self._chance.randrange(len(drawn))
        for i, (kind, inputs) in enumerate(drawn):
            full = in_full and i == chosen
            self._compare(subject, answers[i], kind, inputs, own[i], in_full=full)

    def _compare(
        self,
        subject: CandidateProcess,
        answer: CallResult,
        kind: str,
        inputs: Tensors,
        own: Tensors,
        in_full: bool,
    ) -> None:
        """Raises Rejected for a timed output that is wrong.

        A glance at a few values is enough, unless one looks wrong, or it is to be judged `in_full`.
        """
        with self._watch.phase("judging"):
            glances = self._glances.get(kind)
            if glances is not None and not in_full:
                looks = (glances[n].look(n, out, own[n]) for n, out in answer.outputs.items())
                if all(look.ok for look in looks):
                    return
            expected = make_expected(self.task, self.configuration, inputs, own)
            if glances is None:
                self._glances[kind] = {n: Glance.of(e, own[n]) for n, e in expected.items()}
            self._refuse_wrong(subject, answer, expected)

    def _refuse_wrong(
        self,
        subject: CandidateProcess,
        answer: CallResult,
        expected: Mapping[str, Expected],
        *,
        tell: bool = True,
    ) -> None:
        """Raises Rejected for the first output that is wrong; without values unless `tell`."""
        verdict = judge_each(answer.outputs, expected, answer.salt)
        if not verdict.ok:
            timed = self.configuration.name
            raise _of(subject, verdicts.wrong_when_timed(timed, verdict, tell=tell))

    def _pretend(self, subject: CandidateProcess, timed: Tensors) -> None:
        """Run and judge one call with a check case, of no larger inputs than those `timed`.

        A larger one would not pass for a timed call, and costs more than one.
        """
        if not self._disguise:
            return
        size = _elements(timed)
        alike = [d for d in self._disguise if _elements(d[1].inputs) <= size]
        configuration, sample = self._chance.choice(alike or self._disguise)
        with self._watch.phase("judging"):
            try:
                (answer,) = subject.run(configuration, sample.inputs)
            except Trespass as damage:
                raise _of(subject, verdicts.wrote_outside(str(damage), None)) from damage
            self._refuse_wrong(subject, answer, sample.expected, tell=False)

    def warm(self, subjects: Sequence[CandidateProcess], seconds: float) -> None:
        """Run everything in turn for `seconds`, at least once; outputs are judged as always."""
        with self._watch.phase("warm-up"):
            end = time.perf_counter() + seconds
            while True:
                drawn = self._fresh()
                spent, own = self._library(drawn)
                shortest = spent[self.task.reference_baseline]
                for subject in subjects:
                    answers = self._call(subject, drawn)
                    self._compare_all(subject, answers, drawn, own, in_full=False)
                    shortest = min(shortest, answers[0].seconds)
                most = min(subject.most_calls(self.configuration) for subject in subjects)
                self.calls = min(most, math.ceil(STRETCH / shortest))
                if time.perf_counter() >= end:
                    return

    def sample(self, subject: CandidateProcess) -> Samples:
        """Time candidate and baselines in turn, in random order, each time on new inputs."""
        samples = Samples(beside={name: [] for name in self._baselines})
        judged = self._some_turns(JUDGED)
        pretended = self._some_turns(DISGUISED)
        spent = 0.0
        for turn in range(max(SAMPLES, MOST // self.calls)):
            drawn = self._fresh()
            first = self._call(subject, drawn) if secrets.randbelow(2) else None
            seconds, own = self._library(drawn)
            answers = first or self._call(subject, drawn)
            self._compare_all(subject, answers, drawn, own, in_full=turn in judged)
            if turn in pretended:
                self._pretend(subject, drawn[0][1])
            samples.candidate.append(answers[0].seconds)
            for name, value in seconds.items():
                samples.beside[name].append(value)
            spent += self.calls * (answers[0].seconds + sum(seconds.values()))
            if enough(turn + 1, spent, SAMPLES, SHORTEST):
                break
        return samples

    @staticmethod
    def _some_turns(count: int) -> set[int]:
        """Randomly chosen turns; half of them among those that every candidate has at least."""
        early = {secrets.randbelow(FEWEST) for _ in range((count + 1) // 2)}
        return early | {secrets.randbelow(SAMPLES) for _ in range(count // 2)}

    def paired(
        self, mine: CandidateProcess, other: CandidateProcess, until: float | None = None
    ) -> tuple[list[float], tuple[float, float]]:
        """Ratios of throughput mine/other, one a round of A B B A or B A A B, and both's seconds.

        The seconds are medians of one call. `until`, by the monotonic clock, is when a quick
        comparison ends, of whose outputs none is judged in full.

        Both candidates of a pair get the same inputs; neither can tell which it is.
        """
        subjects = (mine, other)
        judged = [set[int]() if until else self._some_turns(JUDGED) for _ in subjects]
        pretended = self._some_turns(DISGUISED)
        times: list[tuple[float, float]] = []
        library: list[float] = []
        most = QUICK_ROUNDS if until else max(PAIRED_SAMPLES, MOST // self.calls) // 2
        for turn, order in enumerate(paired_orders(most, self._chance)):
            seconds = [0.0, 0.0]
            for half in (order[:2], order[2:]):
                drawn = self._fresh()
                answers = {which: self._call(subjects[which], drawn) for which in half}
                spent, own = self._library(drawn)
                library.append(spent[self.task.reference_baseline])
                for which, given in answers.items():
                    seconds[which] += given[0].seconds
                    in_full = turn in judged[which]
                    self._compare_all(subjects[which], given, drawn, own, in_full)
            if turn in pretended:
                for which in order[:2]:
                    self._pretend(subjects[which], drawn[0][1])
            times.append((seconds[0], seconds[1]))
            measured = self.calls * sum(map(sum, times))
            if until is not None and time.monotonic() > until:
                break
            if until is None and enough(2 * len(times), measured, PAIRED_SAMPLES, PAIRED_SHORTEST):
                break
        ours = even([t[0] for t in times], library)
        theirs = even([t[1] for t in times], library)
        typical = (median(ours) / 2, median(theirs) / 2)  # a round has two calls of each
        return [b / a for a, b in zip(ours, theirs, strict=True)], typical


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


def too_short(stretch: float, calls: int, exchange: float) -> tuple[str, ...]:
    """A flag for a kernel beside whose time that of the exchange is not small; () for others.

    All in nanoseconds: a timed `stretch` of some `calls`, and the `exchange` that was taken off it.
    """
    if exchange <= SHORT * stretch:
        return ()
    what = "each call" if calls == 1 else f"each {calls} calls"
    return (
        f"too short to tell: {exchange / 1e3:.0f} µs of exchange were taken off {what}"
        f" of {stretch / 1e3:.0f} µs",
    )


def _measure(
    bench: Bench, subject: CandidateProcess, context: Context, warm: float
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
    stretch = bench.calls * score.milliseconds * 1e6
    short = too_short(stretch, bench.calls, subject.overhead.exchange.used)
    return score.model_copy(update={"flags": (*score.flags, *short)})


def refuse_impossible(
    stage: Stage, compiled: CompiledCpp, configuration: Configuration, score: ConfigurationScore
) -> ConfigurationScore:
    """Reject a rate above the processor's limit; flag one above the measured maximum."""
    tiles = bool(compiled.resources.instructions.get(TILE_PRODUCTS))
    ceilings = stage.calibration.ceilings(stage.task.threads, tiles)
    seconds, work = score.milliseconds / 1e3, stage.task.work(configuration)
    if why := ceilings.impossible(work, seconds):
        raise Rejected(*verdicts.impossible(configuration.name, why))
    flags = (*score.flags, *ceilings.remark(work, seconds))
    return score.model_copy(update={"flags": flags})


async def benchmark(
    stage: Stage,
    compiled: CompiledCpp,
    context: Context,
    beside: Beside,
    cases: Sequence[tuple[Configuration, Sequence[str]]],
) -> Score:
    """Times a candidate in a fresh process on every configuration; raises Rejected.

    `cases` are the configurations, each with the kinds of its inputs.
    """
    task, scores = stage.task, list[ConfigurationScore]()
    try:
        async with stage.subject(compiled, context.watch) as subject:
            for configuration, kinds in cases:
                bench = _bench(stage, configuration, beside, context, kinds)

                def work(bench: Bench = bench) -> ConfigurationScore:
                    return _measure(bench, subject, context, 0.0 if scores else WARM_UP)

                score = await in_thread(work, subject.runner.running, cpu=stage.cpu)
                if kinds != task.timed:
                    score = score.replaced(name=f"{score.name} {', '.join(kinds)}")
                scores.append(refuse_impossible(stage, compiled, configuration, score))
                context.scored(task, scores, len(cases))
    except Stopped as stop:
        name = cases[min(len(scores), len(cases) - 1)][0].name
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
    context: Context,
    kinds: Sequence[str],
) -> Bench:
    return Bench(stage.task, configuration, beside.baselines, beside.disguise, context.watch, kinds)


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
        async with (
            stage.subject(compiled, context.watch) as mine,
            stage.subject(other, context.watch) as theirs,
        ):
            owners = {s.runner.running: s.identity for s in (mine, theirs)}
            for configuration in task.configurations:
                bench = _bench(stage, configuration, beside, context, task.timed)

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
        raise _stopped_beside(task, stop, owners) from stop
    return PairedMeasurement(configurations=ratios, rounds=counts, milliseconds=times)


def _stopped_beside(task: Task, stop: Stopped, owners: Mapping[Running | None, str]) -> Rejected:
    """The rejection of the one of two candidates whose process ended; `owners` has their ids."""
    where = "while it was timed beside another version"
    rejected = failures.rejected(task, stop, where=where, configuration=None, silent=True)
    rejected.whose = owners.get(stop.owner)
    return rejected


async def quickly(
    stage: Stage,
    compiled: CompiledCpp,
    other: CompiledCpp,
    context: Context,
    beside: Beside,
    configurations: Sequence[Configuration],
    seconds: float,
) -> QuickComparison:
    """Calls as those of `paired`, in several pairs of processes, for about `seconds` altogether.

    What is left out changes no call: warming up under load, calls with check cases, judging in
    full. Raises Rejected.
    """
    task, each = stage.task, seconds / (len(configurations) * QUICK_PROCESSES)
    benches = [_bench(stage, c, beside, context, task.timed) for c in configurations]
    speeds: dict[str, list[float]] = {c.name: [] for c in configurations}
    taken: dict[str, list[float]] = {c.name: [] for c in configurations}
    began, calls = time.monotonic(), 0
    owners: dict[Running | None, str] = {}
    try:
        for number in range(QUICK_PROCESSES):
            late = time.monotonic() - began > OVER * seconds
            if late and number >= FEWEST_QUICK_PROCESSES:
                break
            async with (
                stage.subject(compiled, context.watch) as mine,
                stage.subject(other, context.watch) as theirs,
            ):
                owners = {s.runner.running: s.identity for s in (mine, theirs)}
                for bench in benches:

                    def work(bench: Bench = bench) -> tuple[list[float], tuple[float, float]]:
                        bench.warm([mine, theirs], 0.0)
                        return bench.paired(mine, theirs, time.monotonic() + each)

                    running = (mine.runner.running, theirs.runner.running)
                    rounds, typical = await in_thread(work, *running, cpu=stage.cpu)
                    name = bench.configuration.name
                    speeds[name].append(median(rounds))
                    taken[name].append(typical[1])
                    calls += 4 * bench.calls * len(rounds)
    except Stopped as stop:
        raise _stopped_beside(task, stop, owners) from stop
    except Rejected as rejected:
        summary = rejected.feedback.summary.removesuffix(verdicts.PASSED)
        if summary != rejected.feedback.summary:  # nothing was checked before
            rejected.verdict = Verdict.WRONG_RESULT
            rejected.feedback = rejected.feedback.replaced(summary=f"{summary}; check says more")
        raise
    shown = {
        name: Alternation(speeds=tuple(rows), milliseconds=1e3 * geomean(taken[name]))
        for name, rows in speeds.items()
    }
    spent = round(time.monotonic() - began, 3)
    return QuickComparison(configurations=shown, calls=calls, seconds=spent)
