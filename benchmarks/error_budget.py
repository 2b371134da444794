"""The error budget by simulation: how often each gate commits noise, and what true gains it finds.

    python benchmarks/error_budget.py [--runs 1000] [--attempts 100]

Each simulated run draws its replicates from a model of a machine, hands them to the gate's own
code one by one and keeps the ledger as the engine does. A run counts as wrong if it ever commits a
candidate that is not faster. `strict` and `vector` promise that of at most `ERROR` of all runs;
`paper` promises nothing of noise, it takes equals. Audits are counted one by one.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from avo_tui.domain.evidence import ERROR, Comparison, Ledger
from avo_tui.domain.gate_rules import HELD, GateName, Rival, decide, judge_audit
from avo_tui.domain.score import MEDIAN_ERROR, SIGMAS_TO_P80, PairedMeasurement, Score

RIVAL = Rival(7, Score(unit="GFLOP/s", reference_baseline="library"))
ROUNDS = 12

Machine = Callable[[random.Random, int], float]
"""(random numbers, number of the attempt) → standard deviation between processes."""


class Drifting:
    """The noise wanders from attempt to attempt, up to ten times as loud as it is quiet."""

    def __init__(self) -> None:
        self.place = 0.0

    def __call__(self, rng: random.Random, attempt: int) -> float:
        self.place = min(1.0, max(0.0, self.place * (attempt > 0) + rng.gauss(0, 0.1)))
        return 0.003 * 10**self.place


MACHINES: dict[str, Machine] = {
    "steady": lambda _, __: 0.005,
    "uneven": lambda rng, _: 0.005 * math.exp(rng.gauss(0, 1)),
    "bursts": lambda rng, _: 0.046 if rng.random() < 0.05 else 0.005,
    "spells": lambda _, attempt: 0.03 if attempt // 10 % 2 else 0.003,
    "drifting": Drifting(),
}


@dataclass(frozen=True)
class Meter:
    """Measures one replicate of some configurations."""

    configurations: int = 1
    told: float = 0.0
    """Share of the spread between processes that rounds predict, give or take 30%; 0: no rounds."""

    def __call__(self, rng: random.Random, gain: float, deviation: float) -> PairedMeasurement:
        rows, rounds = {}, {}
        for name in (f"c{i}" for i in range(self.configurations)):
            ratio, half = math.exp(math.log1p(gain) + rng.gauss(0, deviation)), 0.0
            if self.told:
                predicted = deviation * self.told * math.exp(0.3 * rng.gauss(0, 1))
                half = predicted * math.sqrt(ROUNDS) / MEDIAN_ERROR * SIGMAS_TO_P80
                rounds[name] = ROUNDS
            rows[name] = (ratio * (1 - half), ratio, ratio * (1 + half))
        return PairedMeasurement(configurations=rows, rounds=rounds)


@dataclass
class Tally:
    accepted: int = 0
    unclear: int = 0
    replicates: int = 0
    tests: int = 0


def run(
    rng: random.Random,
    gate: GateName,
    machine: Machine,
    attempts: int,
    gain: float = 0.0,
    submissions: int = 1,
    meter: Callable[[random.Random, float, float], PairedMeasurement] = Meter(),
) -> Tally:
    """One run: `attempts` candidates of the same true gain, each submitted up to so many times."""
    held: dict[int, Comparison] = {}
    tally = Tally()
    for attempt in range(attempts):
        decision = None
        begin = Ledger(held.values()).begin
        comparison = begin(f"{attempt:064x}", "f" * 64, "here", claims=gate != "paper")
        deviation = machine(rng, attempt)
        for _ in range(submissions):
            begun = len(comparison.replicates)
            while (
                decision := decide(gate, RIVAL, comparison, Ledger(held.values()), begun)
            ) is None:
                more = (*comparison.replicates, meter(rng, gain, deviation))
                comparison = comparison.replaced(replicates=more)
                held[comparison.number] = comparison
            if decision.outcome != "unclear":
                break
        assert decision is not None
        held[comparison.number] = comparison.replaced(accepted=decision.accepted)
        tally.accepted += decision.accepted
        tally.unclear += decision.outcome == "unclear"
        tally.replicates += len(comparison.replicates)
        tally.tests += 1
    return tally


def audits(rng: random.Random, machine: Machine, count: int, gain: float) -> dict[str, int]:
    """Outcomes of that many audits of versions with this true gain, of one ledger."""
    held: list[Comparison] = []
    found = {"holds": 0, "fails": 0, "unclear": 0}
    for attempt in range(count):
        ledger = Ledger(held)
        comparison = ledger.begin(f"{attempt:064x}", "f" * 64, "here", "audit", claims=False)
        deviation = machine(rng, attempt)
        while (finding := judge_audit(comparison, ledger, 7)) is None:
            more = (*comparison.replicates, Meter()(rng, gain, deviation))
            comparison = comparison.replaced(replicates=more)
        held.append(comparison)
        found[finding.outcome] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="simulate the error budget of every gate")
    parser.add_argument("--runs", type=int, default=1000, help="of noise, for each gate (1000)")
    parser.add_argument("--attempts", type=int, default=100, help="in each run (100)")
    args = parser.parse_args()
    each = -(-args.runs // len(MACHINES))
    print("gate, machine: runs that commit noise; candidates; unclear; pairs each")
    for gate, meter in (("strict", Meter()), ("vector", Meter(3)), ("paper", Meter())):
        wrong = total = 0
        for name, machine in MACHINES.items():
            rng = random.Random(f"{gate} {name}")
            of = [run(rng, gate, machine, args.attempts, meter=meter) for _ in range(each)]  # type: ignore[arg-type]
            bad, tests = sum(t.accepted > 0 for t in of), sum(t.tests for t in of)
            wrong, total = wrong + bad, total + each
            print(
                f"{gate}, {name}: {bad} of {each}; {sum(t.accepted for t in of)} of {tests};"
                f" {sum(t.unclear for t in of) / tests:.0%};"
                f" {sum(t.replicates for t in of) / tests:.1f}",
                flush=True,
            )
        promise = "" if gate == "paper" else f", promised {ERROR:.0%}"
        print(f"{gate}: {wrong} of {total} runs, {wrong / total:.2%}{promise}", flush=True)
    for gain in (0.0, 0.02, -0.02):
        for name, machine in MACHINES.items():
            found = audits(random.Random(f"audit {name} {gain}"), machine, 1000, gain)
            print(f"audit of {gain:+.0%}, {name}: {found}", flush=True)
    print(f"(of +0%, at most {HELD:.1%} are to hold)")


if __name__ == "__main__":
    main()
