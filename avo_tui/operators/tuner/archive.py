"""What earlier tries taught: the archive of points with their scores, and a simple fit to them.

The fit is additive: the logarithm of the score as a mean plus one effect for each value of each
tunable, by backfitting with shrinkage. It knows nothing of interactions; it ranks proposals, and
the measurement decides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

Pair = tuple[tuple[str, str], tuple[str, str]]

SHRINK = 1.0
"""Pseudo-observations without effect that each value is credited with."""
SWEEPS = 12


@dataclass(frozen=True)
class Tried:
    """One point that was measured, or failed."""

    point: Mapping[str, str]
    aggregate: float
    """0 for a failure."""
    label: str
    """How a person calls it, such as `v3` or `attempt 4.2`."""
    candidate: str


@dataclass
class Archive:
    """All points tried so far, oldest first."""

    tried: Sequence[Tried]
    effects: dict[tuple[str, str], float] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    spread: float = 0.1
    """Typical size of an effect, in logarithms of the score."""
    _bad_pairs: set[Pair] = field(default_factory=set)

    def __post_init__(self) -> None:
        good = [t for t in self.tried if t.aggregate > 0]
        for tried in self.tried:
            self.counts.update(tried.point.items())
        self._fit(good)
        fine = {pair for t in good for pair in _pairs(t.point)}
        failed = {pair for t in self.tried if t.aggregate <= 0 for pair in _pairs(t.point)}
        self._bad_pairs = failed - fine

    def _fit(self, good: Sequence[Tried]) -> None:
        if len(good) < 2:
            return
        logs = [math.log(t.aggregate) for t in good]
        mean = math.fsum(logs) / len(logs)
        names = sorted({name for t in good for name in t.point})
        left = [value - mean for value in logs]
        for _ in range(SWEEPS):
            for name in names:
                groups: dict[str, list[int]] = {}
                for index, tried in enumerate(good):
                    if name in tried.point:
                        groups.setdefault(tried.point[name], []).append(index)
                for value, members in groups.items():
                    old = self.effects.get((name, value), 0.0)
                    total = math.fsum(left[i] + old for i in members)
                    new = total / (len(members) + SHRINK)
                    for i in members:
                        left[i] += old - new
                    self.effects[name, value] = new
        sizes = sorted(abs(e) for e in self.effects.values())
        if sizes:
            self.spread = max(0.02, sizes[len(sizes) * 3 // 4])

    def varied(self, name: str) -> bool:
        """Whether a tunable was measured with more than one value, so that its effect shows."""
        return len({t.point[name] for t in self.tried if t.aggregate > 0 and name in t.point}) > 1

    def predicted(self, point: Mapping[str, str]) -> float:
        """Sum of the known effects: comparable between points only."""
        return math.fsum(self.effects.get(item, 0.0) for item in point.items())

    def gain(self, name: str, old: str, new: str) -> float | None:
        """Fitted relative gain of one change; None where a value was never measured right."""
        before, after = self.effects.get((name, old)), self.effects.get((name, new))
        if before is None or after is None:
            return None
        return math.exp(after - before) - 1

    def risk(self, point: Mapping[str, str]) -> float:
        """0 to 1: how much of the point looks like points that failed."""
        if not self._bad_pairs or len(point) < 2:
            return 0.0
        bad = sum(pair in self._bad_pairs for pair in _pairs(point))
        return min(1.0, bad / (len(point) - 1))

    def elite(self, names: Iterable[str], size: int = 8) -> list[Tried]:
        """The best distinct points over these tunables, best first."""
        wanted, seen, found = set(names), set(), []
        for tried in sorted(self.tried, key=lambda t: -t.aggregate):
            key = tuple(sorted(tried.point.items()))
            if tried.aggregate > 0 and key not in seen and wanted & set(tried.point):
                seen.add(key)
                found.append(tried)
        return found[:size]


def _pairs(point: Mapping[str, str]) -> Iterable[Pair]:
    return combinations(sorted(point.items()), 2)
