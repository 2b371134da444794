"""The error budget by simulation: noise is hardly ever committed, true gains are.

Each simulated run draws its replicates from a model of a machine, hands them to the gate's own
code one by one and keeps the ledger as the engine does. Seeds are fixed.
"""

from __future__ import annotations

import random

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import (
    ERROR,
    Comparison,
    Ledger,
    budget_share,
    estimate,
    look_share,
    prior_of,
)
from avo_tui.domain.gate_rules import HELD, LOST, GateName, decide
from benchmarks.error_budget import MACHINES, RIVAL, Meter, audits, run


@pytest.mark.parametrize(
    ("gate", "meter", "submissions", "attempts"),
    [
        ("strict", Meter(), 1, 100),
        ("strict", Meter(), 3, 25),
        ("strict", Meter(told=0.25), 1, 50),
        ("strict", Meter(told=0.1), 1, 50),
        ("vector", Meter(3), 1, 40),
        ("vector", Meter(2, told=1.0), 2, 25),
    ],
)  # thousands of runs are `python benchmarks/error_budget.py`
def test_noise_is_hardly_ever_committed(
    gate: GateName, meter: Meter, submissions: int, attempts: int
) -> None:
    """Attempts that change nothing, on five kinds of machine; also where each is handed in again,
    and where rounds tell a tenth of what processes differ by: the ledger learns how much."""
    rng = random.Random(19)
    tallies = [
        run(rng, gate, machine, attempts, submissions=submissions, meter=meter)
        for machine in MACHINES.values()
    ]
    assert sum(tally.accepted > 0 for tally in tallies) <= ERROR * len(tallies)
    if submissions == 1:
        assert sum(t.replicates for t in tallies) / sum(t.tests for t in tallies) < 3, "cheap"


def test_the_gate_of_the_paper_takes_half_of_what_changes_nothing() -> None:
    tally = run(random.Random(5), "paper", MACHINES["steady"], 400)
    assert 150 < tally.accepted < 250 and tally.unclear == 0


@pytest.mark.parametrize("machine", MACHINES)
def test_audits_err_as_seldom_as_they_promise(machine: str) -> None:
    """Twice the promised rate at most, of 400: the models scatter otherwise than is assumed."""
    rng = random.Random(7)
    assert audits(rng, MACHINES[machine], 400, 0.0)["holds"] <= 2 * HELD * 400
    assert audits(rng, MACHINES[machine], 400, 0.02)["fails"] <= 2 * LOST * 400


@pytest.mark.parametrize(("deviation", "at_most"), [(0.0115, 0.09), (0.03, 0.2)])
def test_a_first_comparison_asks_for_no_more_than_the_noise_demands(
    deviation: float, at_most: float
) -> None:
    """Two pairs alone would ask for 21% and 61% in the median: their own spread has one degree."""
    asked = []
    for seed in range(60):
        rng = random.Random(seed)
        meter = Meter(told=1.0)
        pairs = tuple(meter(rng, 0.0, deviation) for _ in range(2))
        share = budget_share(1) * look_share(1)
        asked.append(estimate(pairs, prior_of([])).needed(share, 2))
    assert sorted(asked)[len(asked) // 2] <= at_most


@pytest.mark.parametrize(
    ("gate", "deviation", "gain"),
    [("strict", 0.002, 0.02), ("strict", 0.003, 0.02), ("strict", 0.005, 0.1),
     ("vector", 0.002, 0.02), ("vector", 0.005, 0.1)],
)  # fmt: skip
def test_true_gains_are_committed_on_a_quiet_machine(
    gate: GateName, deviation: float, gain: float
) -> None:
    of = [
        run(random.Random(i), gate, lambda *_: deviation, 40, gain, meter=Meter(2))
        for i in range(5)
    ]
    assert sum(t.accepted for t in of) / sum(t.tests for t in of) >= 0.95
    assert sum(t.replicates for t in of) / sum(t.tests for t in of) < 4


def test_few_true_gains_among_much_noise_are_committed() -> None:
    """The budget is not used up by what went before: +2% at attempt 300 still has its chance."""
    rng = random.Random(3)
    accepted = 0
    for _ in range(20):
        held = {
            n: Comparison(
                number=n, candidate=f"{n:064x}", against="f" * 64, conditions="here",
                error=budget_share(n),
                replicates=(Meter()(rng, 0.0, 0.002), Meter()(rng, 0.0, 0.002)),
            )
            for n in range(1, 300)
        }  # fmt: skip
        comparison = Ledger(held.values()).begin("e" * 64, "f" * 64, "here")
        decision = None
        while decision is None:
            one = Meter()(rng, 0.02, 0.002)
            comparison = comparison.replaced(replicates=(*comparison.replicates, one))
            decision = decide("strict", RIVAL, comparison, Ledger(held.values()))
        accepted += decision.accepted
    assert accepted >= 19


def test_a_share_is_handed_on_by_a_commit() -> None:
    first = Ledger([]).begin("1" * 64, "f" * 64, "here")
    refused = Ledger([first]).begin("2" * 64, "f" * 64, "here")
    handed = Ledger([first.replaced(accepted=True)]).begin("2" * 64, "1" * 64, "here")
    assert refused.error == budget_share(2)
    assert handed.error == pytest.approx(budget_share(1) + budget_share(2))
    assert Ledger([first]).find("1" * 64, "f" * 64, "here") is first
    assert Ledger([first]).find("1" * 64, "f" * 64, "elsewhere") is None, "other conditions"
    assert Ledger([first]).begin("3" * 64, "f" * 64, "here", claims=False).error == 0


def test_a_source_sent_again_under_other_names_draws_on_the_same_budget() -> None:
    """Renamed files are another candidate, and each throw of the dice is paid for."""
    text = "void kernel() {}\n"
    copies = [Candidate(files={f"copy_{number}.cpp": text}) for number in range(300)]
    assert len({copy.id for copy in copies}) == len(copies)
    swapped = Candidate(files={"b.cpp": "y", "a.cpp": "x"})
    assert swapped.id == Candidate(files={"a.cpp": "x", "b.cpp": "y"}).id
    begun: list[Comparison] = []
    for copy in copies:
        begun.append(Ledger(begun).begin(copy.id, swapped.id, "here"))
    assert sum(comparison.error for comparison in begun) <= ERROR
    assert begun[-1].error < begun[0].error / 5
    # and the same bytes are the comparison that there is, with all that it measured
    assert Ledger(begun).find(copies[0].id, swapped.id, "here") == begun[0]
