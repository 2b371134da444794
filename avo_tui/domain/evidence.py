"""The evidence on which a gate decides: paired measurements, their spread, and the error budget.

One **replicate** is a pair of fresh processes, one for the candidate and one for the version that
it must beat, timed in turn. What varies between processes (memory layout, placement, clocks) does
not show within one pair, so a replicate gives one number, the log of its gain, and the spread is
taken between replicates (Kalibera and Jones, "Rigorous benchmarking in reasonable time", ISMM
2013: repeat at the level that varies most, estimate the variance from that level's means).

Two or three replicates say little about their own spread. It is therefore pooled with what else is
known of it (a moderated t statistic: Smyth, "Linear models and empirical Bayes methods",
Statistical Applications in Genetics and Molecular Biology 3, 2004): that of earlier
comparisons on the same machine, and the rounds within the replicates. A first comparison has the
rounds alone. They show what varies within a process; by how much more processes vary is taken from
earlier comparisons (`Prior.inflation`). What they predict counts where it is at least what is
known, or before that assumed, of processes: a burst of noise shows in them too.

All replicates of the same two candidates under the same conditions are one comparison, however
often the candidate is submitted. The **error budget** is spent over comparisons and, within one,
over the looks at it, so that the chance that a run ever commits noise stays below `ERROR`:
Tian and Ramdas, "Online control of the familywise error rate", Statistical Methods in Medical
Research 30, 2021 (alpha spending; a comparison that ended in a commit hands its share on, which
is the fallback procedure).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from avo_tui.domain import student_t
from avo_tui.domain.base import ObjectId, Value
from avo_tui.domain.score import PairedMeasurement

ERROR = 0.05
"""Upper limit on the probability that a run ever commits a candidate that is not faster, over all
its comparisons."""

HORIZON = 200
"""Number of comparisons after which half of the error budget is spent."""

LOOKS = (2, 4, 8)
"""Numbers of replicates after which a candidate may be accepted (the looks at a comparison)."""

LOOK_STEP = 8
"""Number of replicates between two looks after the last entry of `LOOKS`."""

MOST_REPLICATES = 32
"""Largest number of replicates of one comparison."""

PRIOR_DEGREES = 2.0
"""Weight of earlier comparisons in the estimate of the spread, in degrees of freedom. It is low
because a machine's noise changes by the minute: with a higher weight, a burst of noise would be
accepted as a gain (see the simulations of benchmarks/error_budget.py)."""

PRIOR_SPREAD = 0.01
"""Assumed relative standard deviation between processes before anything was measured."""

ROUNDS_DEGREES = 4.0
"""Weight of the rounds within the replicates in the estimate of the spread, in degrees of freedom.
Used only if the rounds scatter at least as much as processes did in earlier comparisons."""

REMEMBERED = 12
"""Number of most recent comparisons that a variance is pooled with."""

Purpose = Literal["gate", "audit"]


def budget_share(test: int) -> float:
    """The part of `ERROR` that comparison number `test`, counted from 1, may spend.

    The shares add up to `ERROR` over infinitely many comparisons.
    """
    return ERROR * HORIZON / ((test - 1 + HORIZON) * (test + HORIZON))


def look_share(look: int) -> float:
    """The part of a comparison's error that look number `look`, counted from 1, may spend."""
    return 1 / (look * (look + 1))


def look_of(replicates: int) -> int | None:
    """The number of the look that is due after this many replicates; None if no look is due
    then."""
    if replicates in LOOKS:
        return LOOKS.index(replicates) + 1
    beyond, rest = divmod(replicates - LOOKS[-1], LOOK_STEP)
    return len(LOOKS) + beyond if beyond > 0 and rest == 0 else None


def next_look(replicates: int) -> int:
    """The number of replicates at the next look after `replicates`."""
    for look in LOOKS:
        if look > replicates:
            return look
    return LOOKS[-1] + LOOK_STEP * ((replicates - LOOKS[-1]) // LOOK_STEP + 1)


class Comparison(Value):
    """All replicates of one candidate against one version under the same conditions."""

    number: int
    """1-based, in the order in which comparisons were begun."""
    purpose: Purpose = "gate"
    candidate: ObjectId
    against: ObjectId
    """Id of the source of the version that the candidate has to beat."""
    conditions: str = ""
    """`MachineInfo.conditions`, the same for all replicates."""
    error: float
    """Allowed probability of a wrong acceptance. 0.0 if the comparison does not claim a gain: for
    an audit, or a gate that accepts equally fast candidates."""
    replicates: tuple[PairedMeasurement, ...] = ()
    accepted: bool = False
    held: Literal["refused", "unclear"] | None = None
    """The gate's last outcome, if it did not accept; None also in old records."""
    held_at: int = 0
    """Number of replicates that `held` was decided on. The same replicates are not judged twice,
    because the pooled spread changes as other comparisons are made."""

    def spent(self) -> dict[str, float]:
        """What the measurements were spent on → seconds, of all replicates; the longest first."""
        sums: dict[str, float] = {}
        for replicate in self.replicates:
            for name, seconds in replicate.parts.items():
                sums[name] = round(sums.get(name, 0.0) + seconds, 3)
        return dict(sorted(sums.items(), key=lambda part: -part[1]))

    @property
    def busy(self) -> str:
        """What made the machine busy in half of the replicates or more, by the latest of them; ""
        if it was quiet in most, or if that is not known."""
        busy = [replicate.busy for replicate in self.replicates if replicate.busy]
        if not busy or 2 * len(busy) < len(self.replicates):
            return ""
        return f"{busy[-1]} in {len(busy)} of {len(self.replicates)} pairs"


@dataclass(frozen=True)
class Prior:
    """The spread between replicates that is known before a comparison, as variances of log
    gains."""

    variance: float
    """Variance between the replicates of earlier comparisons."""
    inflation: float = 1.0
    """Ratio of the observed variance between replicates to the variance predicted from the rounds
    within them."""
    pairs: int = 0
    """Pairs that were measured; 0 where the variance is assumed."""
    measured: float = 0.0
    """Variance between these pairs alone. `variance` is another one where they are so few that part
    of it is assumed."""

    @property
    def assumed(self) -> bool:
        return self.variance != self.measured


@dataclass(frozen=True)
class Estimate:
    """An estimated gain with its uncertainty, as logarithms of ratios: 0.02 is about 2% faster."""

    mean: float
    error: float
    """Standard error of `mean`."""
    degrees: float
    replicates: int
    assumed: bool = False
    """Whether part of the variance is assumed, since too little was compared before."""

    def upper(self, probability: float) -> float:
        """Upper bound: the probability that the true log gain is above it is at most
        `probability`."""
        return self.mean + student_t.quantile(probability, self.degrees) * self.error

    def lower(self, probability: float) -> float:
        """Lower bound: the probability that the true log gain is below it is at most
        `probability`."""
        return self.mean - student_t.quantile(probability, self.degrees) * self.error

    def interval(self) -> tuple[float, float]:
        """95% interval of the gain as a relative change: (0.011, 0.024) is +1.1% to +2.4%."""
        return math.expm1(self.lower(0.025)), math.expm1(self.upper(0.025))

    def needed(self, probability: float, replicates: int) -> float:
        """The log gain required at a look after `replicates`, assuming the variance seen so far."""
        degrees = self.degrees + replicates - self.replicates
        error = self.error * math.sqrt(self.replicates / replicates)
        return student_t.quantile(probability, degrees) * error


def log_gains(replicates: Iterable[PairedMeasurement], configuration: str = "") -> list[float]:
    """Log gain of each replicate, over all configurations or on one of them."""
    gains = []
    for replicate in replicates:
        if configuration:
            gain = replicate.configurations[configuration][1]
        else:
            gain = replicate.gain
        gains.append(math.log(gain) if gain > 0 else -math.inf)
    return gains


def estimate(
    replicates: Sequence[PairedMeasurement], prior: Prior, configuration: str = ""
) -> Estimate:
    """The gain that the replicates show, of one configuration or of the geometric mean.

    The variance is that between replicates, pooled with `prior` and, where it is more than that,
    with what the rounds within the replicates predict; it is never less than they scatter. Raises
    ValueError without replicates.
    """
    count = len(replicates)
    if not count:
        raise ValueError("no replicates")
    gains = log_gains(replicates, configuration)
    mean = math.fsum(gains) / count
    if math.isinf(mean):
        return Estimate(mean=mean, error=0.0, degrees=PRIOR_DEGREES + count - 1, replicates=count)
    squares = math.fsum((gain - mean) ** 2 for gain in gains) + PRIOR_DEGREES * prior.variance
    degrees = PRIOR_DEGREES + count - 1
    within = math.fsum(r.standard_error(configuration) ** 2 for r in replicates) / count
    predicted = within * prior.inflation
    if predicted >= prior.variance:
        squares += ROUNDS_DEGREES * predicted
        degrees += ROUNDS_DEGREES
    between = squares / degrees
    return Estimate(
        mean=mean,
        error=math.sqrt(max(between, within) / count),
        degrees=degrees,
        replicates=count,
        assumed=prior.assumed,
    )


def prior_of(comparisons: Iterable[Comparison], configuration: str = "") -> Prior:
    """The spread between replicates, pooled over several comparisons.

    Without enough measurements, `PRIOR_SPREAD` and an inflation of 1 are used.
    """
    squares, degrees, pairs = 0.0, 0.0, 0
    times, known = PRIOR_DEGREES, PRIOR_DEGREES  # start with an inflation of 1
    for comparison in comparisons:
        replicates = comparison.replicates
        if configuration:
            replicates = tuple(r for r in replicates if configuration in r.configurations)
        gains = [g for g in log_gains(replicates, configuration) if math.isfinite(g)]
        if len(gains) < 2:
            continue
        mean = math.fsum(gains) / len(gains)
        own = math.fsum((g - mean) ** 2 for g in gains)
        squares += own
        pairs += len(gains)
        degrees += len(gains) - 1
        within = math.fsum(r.standard_error(configuration) ** 2 for r in replicates)
        if within > 0:  # averaged per comparison, so that one noisy comparison does not dominate
            times += own / (within / len(replicates))
            known += len(gains) - 1
    measured = squares / degrees if degrees else 0.0
    if degrees < PRIOR_DEGREES:
        squares += (PRIOR_DEGREES - degrees) * PRIOR_SPREAD**2
    variance = squares / max(degrees, PRIOR_DEGREES)
    return Prior(variance, max(1.0, times / known), pairs, measured)


@dataclass(frozen=True)
class PairedGains:
    """What pairs of fresh processes showed of a candidate beside a version, per configuration."""

    version: int
    """Number of the version that it was timed beside."""
    pairs: int
    whole: tuple[float, float, float]
    """Over all configurations: (gain, low and high end of its 95% interval), relative: 0.02 is 2%
    faster."""
    gains: Mapping[str, tuple[float, float, float]]
    """The same for each configuration."""

    def text(self, configuration: str = "") -> str:
        """The gain on one configuration, or over all, with its interval; "" if that was not
        timed."""
        if configuration and configuration not in self.gains:
            return ""
        gain, low, high = self.gains[configuration] if configuration else self.whole
        s = "s" if self.pairs > 1 else ""
        return (
            f"{gain:+.2%} [{low:+.2%} to {high:+.2%}] over v{self.version} in {self.pairs} pair{s}"
        )


class Ledger:
    """All comparisons of a session, and how much of the error budget they have spent."""

    def __init__(self, comparisons: Iterable[Comparison]) -> None:
        """`comparisons` are those of the session's state, ordered by number."""
        self._all = list(comparisons)

    @property
    def tests(self) -> list[Comparison]:
        """The comparisons that spend from the error budget, in order."""
        return [c for c in self._all if c.error > 0]

    @property
    def budget_left(self) -> float:
        """The part of `ERROR` that remains for later comparisons."""
        return ERROR * HORIZON / (HORIZON + len(self.tests))

    @property
    def next_share(self) -> float:
        """The part of `ERROR` that the next comparison may spend."""
        tests = self.tests
        share = budget_share(len(tests) + 1)
        return share + tests[-1].error if tests and tests[-1].accepted else share

    def find(
        self, candidate: ObjectId, against: ObjectId, conditions: str, purpose: Purpose = "gate"
    ) -> Comparison | None:
        """The latest comparison of these two under these conditions, if there is one."""
        for comparison in reversed(self._all):
            same = (comparison.candidate, comparison.against) == (candidate, against)
            if same and (comparison.conditions, comparison.purpose) == (conditions, purpose):
                return comparison
        return None

    def begin(
        self,
        candidate: ObjectId,
        against: ObjectId,
        conditions: str,
        purpose: Purpose = "gate",
        *,
        claims: bool = True,
    ) -> Comparison:
        """Create a comparison, with its share of the error budget; it is not added to the ledger.

        Only a comparison that `claims` the candidate to be faster gets a share.
        """
        error = self.next_share if claims else 0.0
        return Comparison(
            number=self._all[-1].number + 1 if self._all else 1,
            purpose=purpose,
            candidate=candidate,
            against=against,
            conditions=conditions,
            error=error,
        )

    def prior(self, comparison: Comparison, configuration: str = "") -> Prior:
        """The spread between replicates in the other comparisons under the same conditions."""
        return prior_of(self.telling(comparison.conditions, comparison.number), configuration)

    def gains(self, candidate: ObjectId, versions: Mapping[ObjectId, int]) -> PairedGains | None:
        """What the latest comparison of a candidate with one of these versions showed.

        `versions` maps ids of sources to numbers. None if it was never timed beside one of them.
        """
        for comparison in reversed(self._all):
            if comparison.candidate != candidate or comparison.against not in versions:
                continue
            if comparison.replicates:
                return self._gains(comparison, versions[comparison.against])
        return None

    def _gains(self, comparison: Comparison, version: int) -> PairedGains:
        def gain(name: str) -> tuple[float, float, float]:
            one = estimate(comparison.replicates, self.prior(comparison, name), name)
            return (math.expm1(one.mean), *one.interval())

        names = comparison.replicates[0].configurations
        return PairedGains(
            version, len(comparison.replicates), gain(""), {name: gain(name) for name in names}
        )

    def telling(self, conditions: str, without: int = 0) -> list[Comparison]:
        """The latest comparisons that show how processes differ; `without` is a number."""
        telling = (
            c
            for c in reversed(self._all)
            if c.conditions == conditions and c.number != without and len(c.replicates) > 1
        )
        return list(islice(telling, REMEMBERED))
