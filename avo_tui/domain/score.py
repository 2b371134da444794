"""The score f(x): one throughput per configuration, with the baselines measured in the same run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import median

from pydantic import Field

from avo_tui.domain.base import Value


def geomean(values: Iterable[float]) -> float:
    """Geometric mean; 0.0 for no values or any that is not positive and finite."""
    logs: list[float] = []
    for value in values:
        if not (value > 0 and math.isfinite(value)):
            return 0.0
        logs.append(math.log(value))
    return math.exp(math.fsum(logs) / len(logs)) if logs else 0.0


SECONDS_IN: Mapping[str, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
"""Units of time, for which less is better → length of the unit in seconds."""

AS_FAST_FROM = 0.95
"""Speed relative to the baseline's from which a kernel counts as level with it."""

LESS = " ↓"
"""What the unit of another metric ends in where less of it is better, such as `MiB ↓`."""


class ConfigurationScore(Value):
    """What was measured on one configuration. Throughputs are in the score's unit."""

    name: str
    parameters: dict[str, int | bool | float | str] = Field(default_factory=dict)
    throughput: float
    """Median throughput over the samples."""
    p20: float
    p80: float
    ratio: float
    """Median throughput divided by that of the reference baseline in the same run."""
    ratio_p20: float = 0.0
    ratio_p80: float = 0.0
    """Spread of the ratio over interleaved pairs of samples; 0 where it was not measured."""
    baselines: dict[str, float] = Field(default_factory=dict)
    samples: int = 0
    milliseconds: float = 0.0
    """Median time of one run of the candidate."""
    prepare_milliseconds: float = 0.0
    """Time of the candidate's prepare stages, which run once per set of weights and do not count in
    the throughput."""
    flags: tuple[str, ...] = ()
    """Remarks of the harness, such as `noisy` or `above the measured ceiling`."""

    @property
    def spread(self) -> float:
        """Relative half-width of the throughput's spread, p20 to p80."""
        return (self.p80 - self.p20) / (2 * self.throughput) if self.throughput > 0 else 0.0

    @property
    def noise(self) -> float:
        """Relative half-width of the ratio's spread; of the throughput's where it has none."""
        if self.ratio_p80 <= 0:
            return self.spread
        return (self.ratio_p80 - self.ratio_p20) / (2 * self.ratio) if self.ratio > 0 else 0.0


class Score(Value):
    """The score vector of one candidate, from one evaluation."""

    unit: str
    reference_baseline: str
    configurations: tuple[ConfigurationScore, ...] = ()
    error_ratios: dict[str, float] = Field(default_factory=dict)
    """Kind of inputs → root mean square error over the library's own, the largest of the public
    cases; the largest first. Empty where outputs are compared exactly, and in old records."""
    breadth: dict[str, float] = Field(default_factory=dict)
    """Inputs that are not scored → speed relative to the reference baseline, the slowest first.
    Empty where they were not timed, and in old records."""

    @property
    def remarks(self) -> list[str]:
        """What stands below a score wherever it is shown, a line each."""
        return [", ".join(phrases) for phrases in (self.errors, self.on_other_inputs) if phrases]

    def with_breadth(self, timed: Score) -> Score:
        """With the ratios of what was timed on other inputs, a row for each."""
        rows = sorted(timed.configurations, key=lambda row: row.ratio)
        return self.replaced(breadth={row.name: row.ratio for row in rows})

    @property
    def on_other_inputs(self) -> list[str]:
        """The speed on inputs that are not scored, phrases of one list."""
        if not self.breadth:
            return []
        (slowest, ratio), speeds = next(iter(self.breadth.items())), self.breadth.values()
        level = sum(speed > AS_FAST_FROM for speed in speeds)
        return [
            f"other inputs: worst {ratio:.3g} × {self.reference_baseline}",
            f"at {slowest}",
            f"median {median(speeds):.3g}",
            f"{level} of {len(speeds)} above {AS_FAST_FROM}",
        ]

    @property
    def errors(self) -> list[str]:
        """The error beside the library's for each kind of inputs, phrases of one list."""
        phrases: list[str] = []
        for kind, ratio in self.error_ratios.items():
            figure = f"{ratio:.2f} ×" if phrases else f"error {ratio:.2f} × the library's"
            phrases.append(f"{figure} ({kind})" if kind else figure)
        return phrases

    @property
    def correct(self) -> bool:
        """A score exists only for a candidate that is right on every configuration."""
        return bool(self.configurations)

    @property
    def aggregate(self) -> float:
        """Geometric mean of the ratios to the reference baseline of the same run; gates compare
        this."""
        return geomean(c.ratio for c in self.configurations)

    @property
    def geomean(self) -> float:
        """Geometric mean of the throughputs, in `unit`."""
        return geomean(c.throughput for c in self.configurations)

    @property
    def noise(self) -> float:
        """Relative half-width of the aggregate's spread, from p20–p80 of each configuration."""
        widths = [c.noise for c in self.configurations]
        return math.sqrt(math.fsum(w * w for w in widths)) / len(widths) if widths else 0.0

    @property
    def other_baselines(self) -> list[str]:
        """Names of the other baselines that were measured, in the order of the record."""
        names = dict.fromkeys(name for c in self.configurations for name in c.baselines)
        return [name for name in names if name != self.reference_baseline]

    def baseline_geomean(self, name: str) -> float:
        """Geometric mean of one baseline's throughput over the configurations that measured it."""
        return geomean(c.baselines[name] for c in self.configurations if name in c.baselines)

    @property
    def lower_is_better(self) -> bool:
        """Whether `unit` is a time, or says so. Ratios are relative speeds in any case: above 1 is
        faster."""
        return self.unit in SECONDS_IN or self.unit.endswith(LESS)

    def ratio_to(self, name: str) -> float:
        """Geometric mean of the speed relative to baseline `name`; 0.0 if it was not measured."""
        return geomean(
            self.speed_over(c, name) for c in self.configurations if c.baselines.get(name, 0) > 0
        )

    def speed_over(self, configuration: ConfigurationScore, name: str) -> float:
        """Speed on one configuration relative to baseline `name`; 0.0 if it was not measured."""
        ours, theirs = configuration.throughput, configuration.baselines.get(name, 0.0)
        if ours <= 0 or theirs <= 0:
            return 0.0
        return theirs / ours if self.lower_is_better else ours / theirs

    def by_name(self, name: str) -> ConfigurationScore | None:
        return next((c for c in self.configurations if c.name == name), None)


SIGMAS_TO_P80 = 0.8416
"""The 80th percentile of the normal distribution, in standard deviations."""

MEDIAN_ERROR = 1.2533
"""Standard error of a median divided by that of a mean, for normally distributed values:
sqrt(pi/2)."""


class PairedMeasurement(Value):
    """A candidate timed alternately with another (order A B B A), each in one fresh process."""

    configurations: dict[str, tuple[float, float, float]]
    """Configuration → (p20, median, p80) of throughput(candidate) / throughput(other)."""
    rounds: dict[str, int] = Field(default_factory=dict)
    """Configuration → number of timing rounds that the quantiles were computed from."""
    milliseconds: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """Configuration → median milliseconds of a call of the candidate and of the other; empty where
    the backend does not tell them. Only ratios of one measurement compare."""
    seconds: float = 0.0
    """Seconds that the measurement took, with compilation; 0.0 in old records."""
    parts: dict[str, float] = Field(default_factory=dict)
    """What the seconds were spent on, such as `benchmark samples` → seconds; empty in old
    records."""
    busy: str = ""
    """What made the machine busy meanwhile, in a phrase; empty if nothing did, or if that is not
    known."""

    @property
    def gain(self) -> float:
        """Geometric mean of the median ratios: 1.02 means 2% faster than the other."""
        return geomean(m for _, m, _ in self.configurations.values())

    @property
    def noise(self) -> float:
        if not self.configurations:
            return 0.0
        widths = [
            (high - low) / (2 * middle) if middle > 0 else 0.0
            for low, middle, high in self.configurations.values()
        ]
        return math.sqrt(math.fsum(w * w for w in widths)) / len(widths)

    def standard_error(self, configuration: str = "") -> float:
        """Standard error of the log gain, estimated from the rounds within this measurement.

        For one configuration, or over all of them by default; 0.0 if the number of rounds is not
        known. The variation between processes is not included.
        """
        names = [configuration] if configuration else list(self.configurations)
        squares = []
        for name in names:
            low, middle, high = self.configurations[name]
            rounds = self.rounds.get(name, 0)
            if rounds < 1 or middle <= 0:
                return 0.0
            deviation = (high - low) / (2 * middle) / SIGMAS_TO_P80
            squares.append((MEDIAN_ERROR * deviation) ** 2 / rounds)
        return math.sqrt(math.fsum(squares)) / len(squares) if squares else 0.0

    def reversed(self) -> PairedMeasurement:
        """The same measurement with the two candidates exchanged."""
        return PairedMeasurement(
            configurations={
                name: (_inverse(high), _inverse(middle), _inverse(low))
                for name, (low, middle, high) in self.configurations.items()
            },
            rounds=self.rounds,
            milliseconds={name: (b, a) for name, (a, b) in self.milliseconds.items()},
        )


def _inverse(ratio: float) -> float:
    return 1 / ratio if ratio > 0 else 0.0
