"""What one proposal of the tuner costs as its record grows, apart from measuring it.

    python benchmarks/tuner_growth.py [--attempts 400]

Proposals over the tunables of `attention_cpu` are made from the archive as the tuner keeps it; what
a measurement would say is made up. Prints the processor's milliseconds of a proposal by the number
of tries before it, and what building the archive anew for each would have cost there.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from pathlib import Path

from avo_tui.domain import tunables as tn
from avo_tui.domain.candidate import Candidate
from avo_tui.operators.tuner.archive import Archive, Tried
from avo_tui.operators.tuner.propose import Space, propose
from avo_tui.operators.tuner.settings import TunerSettings

SEED = Path(__file__).resolve().parents[1] / "kernels" / "attention_cpu" / "seed"
LAST = 25
"""Proposals that a row is the median of."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Cost of the tuner's proposals.")
    parser.add_argument("--attempts", type=int, default=400)
    given = parser.parse_args()
    files = {str(p.relative_to(SEED)): p.read_text() for p in SEED.rglob("*") if p.is_file()}
    base = Candidate(files=files)
    tunables = tn.parse(base)
    space, chance = Space(tunables, {}), random.Random(1)
    archive, seen = Archive(limit=TunerSettings().remembers), set[str]()
    tried = set[frozenset[tuple[str, str]]]()

    def known(point: tn.Point) -> bool:
        key = frozenset(point.items())
        if key not in tried and tn.apply(base, point).id in seen:
            tried.add(key)
        return key in tried

    spent: list[float] = []
    print("| tries before | proposal, ms | building the archive anew, ms |\n|---|---|---|")
    for number in range(given.attempts + 1):
        begin = time.process_time()
        child = propose(tn.point(tunables), space, archive, known, chance)
        if child is None:
            break
        identity = tn.apply(base, child.point).id
        seen.add(identity)
        score = 0.0 if chance.random() < 0.2 else chance.uniform(0.05, 1.5)
        archive.add(Tried(child.point, score, str(number), identity, (number, 1)))
        spent.append(time.process_time() - begin)
        if number in {LAST, 100, 200, 400, 800, 1500} or number == given.attempts:
            begin = time.process_time()
            _ = Archive(list(archive.tried)).fit
            anew = time.process_time() - begin
            proposal = statistics.median(spent[-LAST:])
            print(f"| {number} | {1e3 * proposal:.1f} | {1e3 * anew:.1f} |", flush=True)


if __name__ == "__main__":
    main()
