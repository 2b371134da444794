"""Benchmarks of two trees in turn: fresh processes in fresh copies, kept to the same cores."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avo_tui.domain.report import EvaluationProgress, Stage
from avo_tui.domain.score import SECONDS_IN, ConfigurationScore, PairedMeasurement, Score
from avo_tui.domain.task import Configuration
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.command.formats import (
    FORMATS,
    Given,
    Metric,
    Reading,
    UnreadableError,
    readings,
)
from avo_tui.evaluation.backends.command.project import fresh_seed, seeded
from avo_tui.evaluation.backends.command.task import BASE
from avo_tui.evaluation.backends.command.workshop import Ran, Tree, Workshop
from avo_tui.evaluation.backends.cpp.machine import benchmark_cpu
from avo_tui.evaluation.measurement.statistics import median, quantile

_KEEP = 16 << 20
"""Bytes of a benchmark's output that are read."""
_MOST_RESULTS = 64 << 20


_FEWEST, _MOST, _SECONDS = 2, 6, 8.0
"""Rounds of two trees in turn, and the seconds after which no further one is begun."""
_START = 0.05
"""Seconds by which the start of a process may differ from run to run on a busy machine."""


@dataclass(frozen=True)
class Run:
    readings: Mapping[str, Reading]
    wall: float
    """Seconds of the whole command by our own clock."""


@dataclass
class Turns:
    ours: list[Run] = field(default_factory=list)
    theirs: list[Run] = field(default_factory=list)


class Measuring:
    def __init__(self, workshop: Workshop) -> None:
        self._shop = workshop
        self._benchmark = workshop.project.benchmark
        names = (c.name for c in workshop.project.configurations)
        self._metrics = dict(zip(names, self._benchmark.metrics, strict=True))
        first = {metric.name: name for name, metric in reversed(self._metrics.items())}
        self._timed = {first[name]: self._metrics[first[name]] for name in first}
        """One metric of each benchmark: several fields of one run stand for the same seconds."""

    # -- one run ----------------------------------------------------------------------------

    async def run(
        self, tree: Tree, cpus: tuple[int, ...], metrics: Sequence[Metric], seed: int = 1
    ) -> Run:
        """One run in a fresh copy. Raises Rejected, EvaluatorError for the base."""
        shop, benchmark = self._shop, self._benchmark
        async with shop.laid_out(tree) as scratch:
            ran = await shop.run(scratch, "the benchmark", seeded(benchmark.command, seed),
                                 benchmark.seconds, cpus=cpus, keep=_KEEP)  # fmt: skip
            if not ran.ok:
                raise tree.failed(ran.verdict or Verdict.CRASH, ran.words, ran.text)
            seconds = ran.outcome.inside or ran.outcome.seconds
            try:
                given = self._given(ran, seconds, metrics)
                results = readings(benchmark.format, given)
            except UnreadableError as error:
                raise tree.failed(Verdict.CRASH, str(error), ran.text) from None
            if tree.candidate:
                shop.require_unchanged(ran.tree, "the benchmark")
            return Run(results, seconds)

    def _given(self, ran: Ran, seconds: float, metrics: Sequence[Metric]) -> Given:
        if not self._benchmark.output:
            return Given(ran.outcome.stdout, None, seconds, metrics)
        path = inside(ran.tree, self._benchmark.output)
        if path is None:
            raise UnreadableError(f"the benchmark wrote no {self._benchmark.output}")
        if path.is_dir():
            return Given("", path, seconds, metrics)
        if path.stat().st_size > _MOST_RESULTS:
            raise UnreadableError(
                f"{self._benchmark.output} is longer than {_MOST_RESULTS >> 20} MiB"
            )
        return Given(path.read_text(encoding="utf-8", errors="replace"), None, seconds, metrics)

    def cpus(self) -> tuple[int, ...]:
        """The cores that both are kept to; empty for all."""
        wanted, ours = self._benchmark.cores, sorted(os.sched_getaffinity(0))
        if wanted == 0 or wanted >= len(ours):
            return ()
        first = benchmark_cpu()
        rest = [cpu for cpu in ours if cpu != first]
        return tuple(sorted([first, *rest[: wanted - 1]]))

    # -- two in turn ------------------------------------------------------------------------

    async def turns(
        self,
        ours: Tree,
        theirs: Tree,
        stage: Stage,
        progress: Callable[[EvaluationProgress], None],
    ) -> Turns:
        """Both in turn (A B B A …), until there are enough rounds."""
        cpus, done, began = self.cpus(), Turns(), time.monotonic()
        while len(done.ours) < _MOST:
            number, seed = len(done.ours), fresh_seed()
            pair = [(ours, done.ours), (theirs, done.theirs)]
            for tree, runs in pair if number % 2 == 0 else reversed(pair):
                runs.append(await self.run(tree, cpus, self._benchmark.metrics, seed))
            self._tell(done, stage, progress)
            if len(done.ours) >= _FEWEST and time.monotonic() - began > _SECONDS:
                break
        return done

    def _tell(
        self, turns: Turns, stage: Stage, progress: Callable[[EvaluationProgress], None]
    ) -> None:
        for index, (name, metric) in enumerate(self._metrics.items(), start=1):
            progress(
                EvaluationProgress(
                    stage=stage, state="configuration", index=index, count=len(self._metrics),
                    configuration=name, unit=self._shop.project.unit,
                    throughput=self._value(metric, turns.ours[-1]),
                    ratio=median(self.speeds(turns, name)),
                    baselines={BASE: self._value(metric, turns.theirs[-1])},
                    detail=f"round {len(turns.ours)}; the command took {turns.ours[-1].wall:.2f} s,"
                    f" beside it {turns.theirs[-1].wall:.2f} s",
                )
            )  # fmt: skip

    def _value(self, metric: Metric, run: Run) -> float:
        value = run.readings[metric.key].value
        unit = self._benchmark.unit_of(metric)
        seconds = FORMATS[self._benchmark.format].times and metric.field in {"", "cpu_time"}
        return value / SECONDS_IN[unit] if seconds and unit in SECONDS_IN else value

    def speeds(self, turns: Turns, name: str) -> list[float]:
        """How many times better ours is, round by round."""
        metric = self._metrics[name]
        lower = self._benchmark.direction(metric) == "lower"
        pairs = [
            (self._value(metric, a), self._value(metric, b))
            for a, b in zip(turns.ours, turns.theirs, strict=True)
        ]
        return [theirs / ours if lower else ours / theirs for ours, theirs in pairs]

    # -- what comes of it -------------------------------------------------------------------

    def score(self, turns: Turns, configurations: Sequence[Configuration]) -> Score:
        """The score of a candidate that was run beside the base."""
        unit = self._shop.project.unit
        rows = []
        for configuration in configurations:
            metric = self._metrics[configuration.name]
            speeds = self.speeds(turns, configuration.name)
            mine = [self._value(metric, run) for run in turns.ours]
            theirs = median([self._value(metric, run) for run in turns.theirs])
            walls = median([r.wall for r in turns.ours]), median([r.wall for r in turns.theirs])
            flags = [f"command {walls[0]:.3g} s, base's {walls[1]:.3g} s"]
            if unit.startswith("×"):
                own = self._benchmark.unit_of(metric)
                flags.append(f"{median(mine):.4g} {own}, base {theirs:.4g} {own}")
                mine, theirs = speeds, 1.0
            rows.append(
                ConfigurationScore(
                    name=configuration.name,
                    parameters=configuration.parameters,
                    throughput=median(mine),
                    p20=quantile(mine, 0.2),
                    p80=quantile(mine, 0.8),
                    ratio=median(speeds),
                    ratio_p20=quantile(speeds, 0.2),
                    ratio_p80=quantile(speeds, 0.8),
                    baselines={BASE: theirs},
                    samples=len(turns.ours),
                    flags=tuple(flags),
                )
            )
        return Score(unit=unit, reference_baseline=BASE, configurations=tuple(rows))

    def paired(self, turns: Turns, seconds: float) -> PairedMeasurement:
        speeds = {name: self.speeds(turns, name) for name in self._metrics}
        return PairedMeasurement(
            configurations={
                name: (quantile(s, 0.2), median(s), quantile(s, 0.8)) for name, s in speeds.items()
            },
            rounds={name: len(s) for name, s in speeds.items()},
            seconds=seconds,
        )

    def require_plausible(self, turns: Turns, ours: Tree) -> None:
        """Raises Rejected where the command's own time says that a metric cannot have improved.

        What a benchmark does not account for (start, set-up, warm-up) stays about the same when
        its code gets faster. Where it grows by half of the time that the metrics claim to have
        saved, work was moved out of the sight of the benchmark's clock. What the start of a process
        or the rounding of a printed number can explain says nothing.
        """
        mine, base = self._accounted(turns.ours), self._accounted(turns.theirs)
        walls = median([r.wall for r in turns.ours]), median([r.wall for r in turns.theirs])
        if min(mine, base) <= 0 or base < 0.2 * walls[1]:
            return
        saved = sum(
            median([self._time(metric, run) for run in turns.ours]) * (gain - 1)
            for name, metric in self._timed.items()
            if (gain := median(self.speeds(turns, name))) > 1
        )
        left = self._outside(turns.ours), self._outside(turns.theirs)
        more, noise = left[0] - left[1], _START + self._rounding([*turns.ours, *turns.theirs])
        if mine - walls[0] > 0.02 * walls[0] + noise and walls[1] >= base:
            why = (
                f"says that it measured {mine:.2f} s, but the whole command took only"
                f" {walls[0]:.2f} s: its clock or its count of runs no longer holds"
            )
        elif saved > 0.05 * mine and more > 0.5 * saved + 0.1 * max(left[1], 0) + noise:
            why = (
                f"says that {saved:.2f} s were saved, but the command spends {more:.2f} s more"
                " outside what the benchmark measures: work that is moved out of the timed"
                " region, or kept for the next call, is no gain"
            )
        else:
            return
        raise ours.failed(Verdict.SUSPICIOUS, f"the benchmark {why}")

    def _rounding(self, runs: Sequence[Run]) -> float:
        """Seconds between two numbers next to each other as the metrics print them."""
        steps = 0.0
        for metric in self._timed.values():
            if any(run.readings[metric.key].accounted for run in runs):
                continue  # a known tool, which says what it measured in full
            values = [self._value(metric, run) for run in runs]
            digits = next((d for d in range(12) if all(round(v, d) == v for v in values)), 12)
            steps += SECONDS_IN.get(self._benchmark.unit_of(metric), 0.0) / 10**digits
        return steps

    def _accounted(self, runs: Sequence[Run]) -> float:
        """Seconds of a run that the metrics stand for."""
        return median([sum(self._time(m, run) for m in self._timed.values()) for run in runs])

    def _outside(self, runs: Sequence[Run]) -> float:
        """Seconds of a run that the metrics do not stand for: the fewest, since other work on the
        machine adds to some runs, of the runs that the metrics say were fast, since work that was
        moved is in all of those."""
        times, fast = [self._accounted([run]) for run in runs], self._accounted(runs)
        return min(run.wall - own for run, own in zip(runs, times, strict=True) if own <= fast)

    def _time(self, metric: Metric, run: Run) -> float:
        reading = run.readings[metric.key]
        unit = SECONDS_IN.get(self._benchmark.unit_of(metric), 0.0)
        return reading.accounted or self._value(metric, run) * unit


def inside(tree: Path, name: str) -> Path | None:
    """A file or folder of a tree, if it is there and no link leads out of the tree."""
    real = Path(os.path.realpath(tree / name))
    return real if real.is_relative_to(os.path.realpath(tree)) and real.exists() else None
