"""What earlier tries taught: the archive of points with their scores, and a simple fit to them.

The fit is additive: the logarithm of the score as a mean plus one effect for each value of each
tunable, by backfitting with shrinkage. It knows nothing of interactions; it ranks proposals, and
the measurement decides.

Adding a try costs the same however many there are: the fit needs no more than how often each value,
and each pair of values, was measured and with which scores in all. Sums are of whole numbers, so
they do not depend on the order in which tries were added and taken away.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

Item = tuple[str, str]
"""A tunable and one of its values."""
Pair = tuple[Item, Item]

SHRINK = 1.0
"""Pseudo-observations without effect that each value is credited with."""
SWEEPS = 12
UNITS = 1 << 40
"""Units in 1, in which logarithms of scores are summed."""


@dataclass(frozen=True)
class Tried:
    """One point that was measured, or failed."""

    point: Mapping[str, str]
    aggregate: float
    """0 for a failure."""
    label: str
    """How a person calls it, such as `v3` or `attempt 4.2`."""
    candidate: str
    place: tuple[int, int] = (0, 0)
    """(step, number) of the attempt: the order of those with the same score."""

    @cached_property
    def items(self) -> list[Item]:
        """The point as (tunable, value), sorted."""
        return sorted(self.point.items())

    @cached_property
    def units(self) -> int:
        """The logarithm of the score, in `UNITS`."""
        return round(math.log(self.aggregate) * UNITS)


@dataclass(frozen=True)
class Fit:
    """Effects of values, in logarithms of the score."""

    effects: Mapping[Item, float]
    spread: float = 0.1
    """Typical size of an effect."""


class Archive:
    """The newest points that were tried."""

    def __init__(self, tried: Iterable[Tried] = (), limit: int | None = None) -> None:
        """`limit`: how many are kept; None keeps all."""
        self.tried: deque[Tried] = deque()
        self.counts: Counter[Item] = Counter()
        """How often each value was tried."""
        self._limit = limit
        self._good: Counter[Item] = Counter()
        self._sums: Counter[Item] = Counter()
        self._fine: Counter[Pair] = Counter()
        self._failed: Counter[Pair] = Counter()
        self._total = 0
        self._number = 0
        self._fit: Fit | None = None
        for one in tried:
            self.add(one)

    def add(self, tried: Tried) -> None:
        """Add a try; the oldest goes where there are too many."""
        self._count(tried, 1)
        self.tried.append(tried)
        if self._limit is not None and len(self.tried) > self._limit:
            self._count(self.tried.popleft(), -1)

    def _count(self, tried: Tried, by: int) -> None:
        self._fit = None
        good = tried.aggregate > 0
        for item in tried.items:
            _add(self.counts, item, by)
            if good:
                _add(self._good, item, by)
                _add(self._sums, item, by * tried.units)
        for pair in combinations(tried.items, 2):
            _add(self._fine if good else self._failed, pair, by)
        if good:
            self._number += by
            self._total += by * tried.units

    @property
    def fit(self) -> Fit:
        """The fit to all tries that were right."""
        if self._fit is None:
            self._fit = self._fitted() if self._number > 1 else Fit({})
        return self._fit

    @property
    def spread(self) -> float:
        """Typical size of an effect, in logarithms of the score."""
        return self.fit.spread

    def _fitted(self) -> Fit:
        mean = self._total / UNITS / self._number
        items = sorted(self._good)
        together: dict[Item, list[tuple[Item, int]]] = {item: [] for item in items}
        for (one, other), count in self._fine.items():
            together[one].append((other, count))
            together[other].append((one, count))
        effects = dict.fromkeys(items, 0.0)
        alone = {i: self._sums[i] / UNITS - mean * self._good[i] for i in items}
        for _ in range(SWEEPS):
            for item in items:
                others = math.fsum(count * effects[other] for other, count in together[item])
                effects[item] = (alone[item] - others) / (self._good[item] + SHRINK)
        sizes = sorted(abs(effect) for effect in effects.values())
        if not sizes:
            return Fit(effects)
        return Fit(effects, max(0.02, sizes[len(sizes) * 3 // 4]))

    def varied(self, name: str) -> bool:
        """Whether a tunable was measured with more than one value, so that its effect shows."""
        return sum(tunable == name for tunable, _ in self._good) > 1

    def predicted(self, point: Mapping[str, str]) -> float:
        """Sum of the known effects: comparable between points only."""
        effects = self.fit.effects
        return math.fsum(effects.get(item, 0.0) for item in point.items())

    def gain(self, name: str, old: str, new: str) -> float | None:
        """Fitted relative gain of one change; None where a value was never measured right."""
        before, after = self.fit.effects.get((name, old)), self.fit.effects.get((name, new))
        if before is None or after is None:
            return None
        return math.exp(after - before) - 1

    def risk(self, point: Mapping[str, str]) -> float:
        """0 to 1: how much of the point looks like points that failed."""
        if not self._failed or len(point) < 2:
            return 0.0
        pairs = combinations(sorted(point.items()), 2)
        bad = sum(pair in self._failed and pair not in self._fine for pair in pairs)
        return min(1.0, bad / (len(point) - 1))

    def elite(self, names: Iterable[str], size: int = 8) -> list[Tried]:
        """The best distinct points over these tunables, best first."""
        wanted, seen = set(names), set[tuple[Item, ...]]()
        best: list[Tried] = []
        for tried in sorted(self.tried, key=lambda t: (-t.aggregate, t.place)):
            if tried.aggregate <= 0 or len(best) == size:
                break
            key = tuple(tried.items)
            if key not in seen and wanted & set(tried.point):
                seen.add(key)
                best.append(tried)
        return best


def _add(counter: Counter[Item] | Counter[Pair], key: Item | Pair, by: int) -> None:
    """Add to a count; one that is 0 is not there, so that `in` and iteration mean what they say."""
    counts: Counter[Item | Pair] = counter  # type: ignore[assignment]
    counts[key] += by
    if not counts[key]:
        del counts[key]
