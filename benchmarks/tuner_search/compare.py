"""The tuner's search beside others at equal evaluations, over recorded measurements.

    python benchmarks/tuner_search/compare.py            # replay what was recorded
    python benchmarks/tuner_search/compare.py --live     # measure points that were not, first

All start from the kernel as it stands, which counts as the first evaluation; a point asked for
again costs nothing, as it would in a session. The score of a point is what was measured of the real
kernel (`recording.py`). Simulated is what surrounds it: a score without noise, and a gate that
makes a point the head as soon as it is better.

Others, each with its defaults: random points; Optuna's TPE (multivariate) and CMA-ES (over the
indices of the values); of Kernel Tuner the genetic algorithm, greedy iterated local search and
simulated annealing. Not in avo-tui's environment: `pip install optuna cmaes kernel-tuner`.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import platform
import random
import statistics
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:  # the checkout's benchmarks are no installed package
    sys.path.insert(0, str(ROOT))

from avo_tui.domain import tunables as tn  # noqa: E402
from benchmarks.tuner_search import searches  # noqa: E402
from benchmarks.tuner_search.recording import PROBLEMS, Record, SpentError  # noqa: E402

LISTED = 1_000_000
"""Points of a space from which searches that list all of it are left out."""
REPEATS = 40
"""Times the budget that a search may ask at all, points asked for again included."""


class Asked:
    """What one search asked for, in order."""

    def __init__(self, record: Record, budget: int) -> None:
        self._record, self._budget = record, budget
        self._known: dict[tuple[str, ...], float] = {}
        self._times = 0
        self.best: list[float] = []
        """After each evaluation, the best score until then."""

    def __call__(self, point: Mapping[str, str]) -> float:
        """The score of a point. Raises SpentError."""
        key = tuple(point[t.name] for t in self._record.problem.tunables)
        self._times += 1
        if key not in self._known:
            if len(self._known) == self._budget:
                raise SpentError
            self._known[key] = score = self._record.score(point)
            self.best.append(max(score, self.best[-1] if self.best else 0.0))
        if self._times > REPEATS * self._budget:
            raise SpentError
        return self._known[key]


def run(search: searches.Search, record: Record, seed: int, budget: int) -> list[float]:
    """The best score after each of `budget` evaluations."""
    asked = Asked(record, budget)
    asked(tn.point(record.problem.tunables))
    with contextlib.suppress(SpentError):
        search(record.problem, asked, seed, budget)
    return asked.best + [asked.best[-1]] * (budget - len(asked.best))


def main() -> None:
    """Run every search with every seed, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problem", choices=[*PROBLEMS], action="append")
    parser.add_argument("--search", choices=[*searches.SEARCHES], action="append")
    parser.add_argument("--evaluations", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--live", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for name in given.problem or [*PROBLEMS]:
        record = Record(PROBLEMS[name], given.live)
        chosen = given.search or [*searches.SEARCHES]
        if tn.size(PROBLEMS[name].tunables) > LISTED:
            chosen = [search for search in chosen if searches.LISTS_ALL not in search]
        runs: dict[str, list[list[float]]] = {search: [] for search in chosen}
        for seed in range(given.first_seed, given.first_seed + given.seeds):
            for search in chosen:
                random.seed(seed)
                curve = run(searches.SEARCHES[search], record, seed, given.evaluations)
                runs[search].append(curve)
                told = f"{name} {search} {seed}: {curve[-1]:.1f}, {len(record.scores)} recorded"
                print(told, file=sys.stderr, flush=True)
        show(record, runs, given.evaluations)


def show(record: Record, runs: Mapping[str, list[list[float]]], budget: int) -> None:
    """A table in GFLOP/s: medians over seeds after some evaluations, and the range at the end."""
    marks = [n for n in (10, 20, 30, 40, 60, 100) if n <= budget] or [budget]
    space = tn.size(record.problem.tunables)
    top = max(record.scores.values())
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors"
    print(f"\n{record.problem.name}: {space:,} points, {len(record.scores)} measured on {machine};")
    error = f"{record.error():.0%} in the median of points held out"
    print(f"best of them {top:.1f} GFLOP/s; others predicted by a forest, off by {error}\n")
    print("| search | " + " | ".join(f"after {n}" for n in marks) + " | range at the end |")
    print("|---|" + "---:|" * len(marks) + "---|")
    for search, curves in runs.items():
        cells = [f"{statistics.median(c[n - 1] for c in curves):.1f}" for n in marks]
        ends = sorted(curve[budget - 1] for curve in curves)
        spread = f"{ends[0]:.1f} to {ends[-1]:.1f}"
        print(f"| {search} | {' | '.join(cells)} | {spread} |")


if __name__ == "__main__":
    main()
