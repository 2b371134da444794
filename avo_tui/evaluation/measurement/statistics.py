"""How many timed rounds there are and in which order, and from their samples to scores.

Times are in seconds; every function is pure.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from avo_tui.domain.score import ConfigurationScore
from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.metric import Metric, Work

FEW = 20
"""Smallest number of samples that is not flagged."""
NOISY = 0.10
"""Relative drift or spread of the reference baseline above which a measurement counts as noisy."""
SLOWED = 1.4
"""Factor by which a baseline must be slower beside the candidate than alone to be suspicious."""
SLOWED_SECONDS = 0.2e-3
"""Shorter calls vary too much to be tested for such a slowdown."""
CANDIDATE = "candidate"
"""The candidate's name among the samples."""


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between the order statistics, as numpy has it. Raises ValueError for no values."""
    if not values:
        raise ValueError("no samples")
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def median(values: Sequence[float]) -> float:
    return quantile(values, 0.5)


def spread(values: Sequence[float]) -> float:
    """Width from the 20th to the 80th percentile, relative to the median."""
    middle = median(values)
    return (quantile(values, 0.8) - quantile(values, 0.2)) / middle if middle > 0 else 0.0


def drift(values: Sequence[float]) -> float:
    """Relative change of the median from the first half of the samples to the second.

    Zero for fewer than ten samples: their halves say nothing.
    """
    half = len(values) // 2
    if half < 5:
        return 0.0
    first, second = median(values[:half]), median(values[half:])
    return abs(second - first) / min(first, second)


def noisy(baseline: Sequence[float]) -> bool:
    """Whether the reference baseline's times show that the machine was not quiet."""
    return drift(baseline) > NOISY or spread(baseline) > NOISY


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """theirs / ours, round by round: how many times faster ours is."""
    return [t / o for o, t in zip(ours, theirs, strict=False) if o > 0]


def slowed(samples: Mapping[str, Sequence[float]], alone: Mapping[str, float]) -> list[str]:
    """Which baselines were slower beside the candidate than alone, in words."""
    sentences = []
    for name, seconds in alone.items():
        if not samples.get(name):
            continue
        ratio = median(samples[name]) / seconds
        if seconds >= SLOWED_SECONDS and ratio > SLOWED:
            sentences.append(f"{name} is {ratio:.2f} times slower beside the candidate than alone")
    return sentences


def score(
    configuration: Configuration,
    metric: Metric,
    work: Work,
    samples: Mapping[str, Sequence[float]],
    reference: str,
    flags: Sequence[str] = (),
) -> ConfigurationScore:
    """The score of one configuration from seconds per call of each participant.

    `samples` holds `CANDIDATE` and the baselines; without the reference among them there is no
    ratio. The ratio is taken round by round and is a speed: above 1 the candidate is faster,
    whatever the metric's direction. p20 and p80 are those of the metric's value: p20 ≤ p80.
    """
    ours = samples[CANDIDATE]

    def value(seconds: float) -> float:
        return metric.value(work, seconds)

    notes = list(flags)
    if len(ours) < FEW:
        notes.append(f"few samples ({len(ours)})")
    theirs = samples.get(reference) or ()
    if theirs and noisy(theirs):
        notes.append("noisy")
    by_round = ratios(ours, theirs)
    ends = sorted((value(quantile(ours, 0.2)), value(quantile(ours, 0.8))))
    return ConfigurationScore(
        name=configuration.name,
        parameters=configuration.parameters,
        throughput=value(median(ours)),
        p20=ends[0],
        p80=ends[1],
        ratio=median(by_round) if by_round else 0.0,
        ratio_p20=quantile(by_round, 0.2) if by_round else 0.0,
        ratio_p80=quantile(by_round, 0.8) if by_round else 0.0,
        baselines={n: value(median(s)) for n, s in samples.items() if n != CANDIDATE and s},
        samples=len(ours),
        milliseconds=median(ours) * 1e3,
        flags=tuple(notes),
    )


@dataclass(frozen=True)
class Plan:
    """The amount of measuring on one configuration."""

    rounds: int = 24
    """Number of rounds that include the candidate, if time allows."""
    fewest: int = 3
    """Smallest number of rounds, for a slow candidate."""
    baseline_rounds: int = 8
    """Smallest number of rounds for the reference baseline."""
    thin: int = 3
    """Other baselines take part in one of this many rounds."""

    def affordable(self, seconds: float, budget: float) -> int:
        """Rounds for a candidate that takes `seconds`, within `budget` seconds of its time."""
        least = self.fewest if seconds < 1 else 2 if seconds < 3 else 1
        return max(least, min(self.rounds, int(budget / max(seconds, 1e-6))))


@dataclass(frozen=True)
class Turn:
    """One timed call of a candidate."""

    kind: int
    """Which of the task's timed distributions its inputs are of."""
    inputs: int
    """Which of the sets of inputs it gets; those of one kind are `kind * per_kind` and on."""
    judged: bool
    """True where its output is compared with the reference itself; the other outputs on the same
    inputs must equal it bit for bit."""


def per_kind(kinds: int) -> int:
    """Sets of inputs for each distribution: two in any case, so that no call is foreseen."""
    return 2 if kinds == 1 else 1


def kinds_of_rounds(rounds: int, kinds: int, pick: random.Random) -> list[int]:
    """The distribution of each round's inputs: each about equally often, in random order."""
    order = [n % kinds for n in range(rounds)]
    pick.shuffle(order)
    return order


def turns(kinds: list[int], each: int, pick: random.Random) -> list[Turn]:
    """Sets of inputs for timed calls of these kinds, and which calls are judged in full.

    There are `each` sets of a kind, used about equally often in random order. Of the turns on a
    set one is drawn to be judged, so that every position is as likely as any other.
    """
    used: dict[int, list[int]] = {}
    for kind in set(kinds):
        own = [kind * each + n % each for n in range(kinds.count(kind))]
        pick.shuffle(own)
        used[kind] = own
    sets = [used[kind].pop() for kind in kinds]
    judged = {pick.choice([n for n, s in enumerate(sets) if s == which]) for which in set(sets)}
    return [
        Turn(kind, which, n in judged)
        for n, (kind, which) in enumerate(zip(kinds, sets, strict=True))
    ]


def paired_orders(rounds: int, pick: random.Random) -> Iterator[tuple[int, int, int, int]]:
    """Who is timed when in each round, 0 or 1: A B B A or B A A B, each as often, drawn at random.

    In both orders a drift that is linear in time cancels.
    """
    halves = [n % 2 for n in range(rounds)]
    pick.shuffle(halves)
    for first in halves:
        yield (first, 1 - first, 1 - first, first)
