"""The archive of tried points with their scores, and a simple model fitted to them.

The model is additive: the logarithm of the score is a mean plus one effect for each value of each
tunable, fitted by backfitting with shrinkage. It ignores interactions; it is only used to rank
proposals, which are then measured.

The cost of adding a try and of fitting does not depend on the number of tries: the fit needs only
how often each value, and each pair of values, was measured, and the sums of the scores. These sums
are whole numbers and the fit visits the values in alphabetical order, so the result does not depend
on the order in which tries were added and removed.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from operator import itemgetter, mul

Item = tuple[str, str]
"""A tunable and one of its values."""
Rank = tuple[float, tuple[int, int], int]
"""Sort key of a try: negative score, order of the attempt, unique number."""

SHRINK = 1.0
"""Weight of the shrinkage, in pseudo-observations with effect zero per value."""
SWEEPS = 12
UNITS = 1 << 40
"""Units per 1 in which logarithms of scores are summed as whole numbers."""


@dataclass(frozen=True)
class Tried:
    """One point that was measured, or that failed."""

    point: Mapping[str, str]
    aggregate: float
    """Aggregate of the score; 0 for a failure."""
    label: str
    """Name for a person, such as `v3` or `attempt 4.2`."""
    candidate: str
    place: tuple[int, int] = (0, 0)
    """(step, number) of the attempt; orders tries with the same score."""

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
    """Effect of each value, as a logarithm of the score."""

    effects: Mapping[Item, float]
    spread: float = 0.1
    """Typical size of an effect."""


class Archive:
    """The most recently tried points."""

    def __init__(self, tried: Iterable[Tried] = (), limit: int | None = None) -> None:
        """`limit` is the largest number of points kept; None keeps all."""
        self.tried: deque[Tried] = deque()
        self.counts: Counter[Item] = Counter()
        """How often each value was tried."""
        self._limit = limit
        self._good: Counter[Item] = Counter()
        self._sums: Counter[Item] = Counter()
        self._numbers: dict[Item, int] = {}
        """Each value that was ever tried → its row and column number in `_fine` and `_failed`."""
        self._fine: list[list[int]] = []
        """For each pair of values: how often both were in a correct candidate."""
        self._failed: list[list[int]] = []
        """For each pair of values: how often both were in a failed candidate."""
        self._ranked: list[tuple[Rank, Tried]] = []
        """The correct tries, best first."""
        self._added = 0
        self._total = 0
        self._number = 0
        self._fit: Fit | None = None
        for one in tried:
            self.add(one)

    def add(self, tried: Tried) -> None:
        """Add a try; the oldest one is removed if there are too many."""
        self._count(tried, 1)
        self.tried.append(tried)
        self._added += 1
        if tried.aggregate > 0:
            insort(self._ranked, (_rank(tried, self._added), tried), key=itemgetter(0))
        if self._limit is not None and len(self.tried) > self._limit:
            number = self._added - len(self.tried) + 1
            oldest = self.tried.popleft()
            self._count(oldest, -1)
            if oldest.aggregate > 0:
                rank = _rank(oldest, number)
                del self._ranked[bisect_left(self._ranked, rank, key=itemgetter(0))]

    def _count(self, tried: Tried, by: int) -> None:
        self._fit = None
        good = tried.aggregate > 0
        for item in tried.items:
            _add(self.counts, item, by)
            if good:
                _add(self._good, item, by)
                _add(self._sums, item, by * tried.units)
        table = self._fine if good else self._failed
        for one, other in combinations([self._number_of(item) for item in tried.items], 2):
            table[one][other] += by
            table[other][one] += by
        if good:
            self._number += by
            self._total += by * tried.units

    def _number_of(self, item: Item) -> int:
        number = self._numbers.get(item)
        if number is None:
            number = self._numbers[item] = len(self._numbers)
            for table in (self._fine, self._failed):
                for row in table:
                    row.append(0)
                table.append([0] * (number + 1))
        return number

    @property
    def fit(self) -> Fit:
        """The fit to all correct tries."""
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
        numbers = [self._numbers[item] for item in items]
        together = [[row[n] for n in numbers] for row in (self._fine[n] for n in numbers)]
        alone = [self._sums[item] / UNITS - mean * self._good[item] for item in items]
        weights = [self._good[item] + SHRINK for item in items]
        effects = [0.0] * len(items)
        for _ in range(SWEEPS):
            for i, row in enumerate(together):
                effects[i] = (alone[i] - sum(map(mul, row, effects))) / weights[i]
        sizes = sorted(abs(effect) for effect in effects)
        by_item = dict(zip(items, effects, strict=True))
        return Fit(by_item, max(0.02, sizes[len(sizes) * 3 // 4])) if sizes else Fit(by_item)

    def varied(self, name: str) -> bool:
        """Whether a tunable was measured with more than one value, so that its effect is known."""
        return sum(tunable == name for tunable, _ in self._good) > 1

    def predicted(self, point: Mapping[str, str]) -> float:
        """Sum of the known effects; only meaningful in comparison with that of another point."""
        effects = self.fit.effects
        return math.fsum(effects.get(item, 0.0) for item in point.items())

    def gain(self, name: str, old: str, new: str) -> float | None:
        """Fitted relative gain of one change; None if one of the values has no correct
        measurement."""
        before, after = self.fit.effects.get((name, old)), self.fit.effects.get((name, new))
        if before is None or after is None:
            return None
        return math.exp(after - before) - 1

    def risk(self, point: Mapping[str, str]) -> float:
        """Risk of failure from 0 to 1: how many pairs of values occurred only in failures."""
        if len(point) < 2:
            return 0.0
        numbers = [n for n in map(self._numbers.get, point.items()) if n is not None]
        pairs = combinations(numbers, 2)
        bad = sum(1 for a, b in pairs if self._failed[a][b] and not self._fine[a][b])
        return min(1.0, bad / (len(point) - 1))

    def elite(self, names: Iterable[str], size: int = 8) -> list[Tried]:
        """The best distinct points over these tunables, best first."""
        wanted, seen = set(names), set[tuple[Item, ...]]()
        best: list[Tried] = []
        for _, tried in self._ranked:
            if len(best) == size:
                break
            key = tuple(tried.items)
            if key not in seen and wanted & set(tried.point):
                seen.add(key)
                best.append(tried)
        return best


def _rank(tried: Tried, number: int) -> Rank:
    return -tried.aggregate, tried.place, number


def _add(counter: Counter[Item], key: Item, by: int) -> None:
    """Add to a count and remove it when it becomes 0, so that `in` and iteration skip zeros."""
    counter[key] += by
    if not counter[key]:
        del counter[key]
