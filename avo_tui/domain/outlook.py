"""What the gate will ask of the next candidate, said before it is submitted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from avo_tui.domain import lineage
from avo_tui.domain.acceptance import MARGIN_FLOOR, PAPER_REPLICATES, GateName
from avo_tui.domain.evidence import (
    LOOKS,
    PRIOR_DEGREES,
    ROUNDS_DEGREES,
    Estimate,
    Ledger,
    look_share,
    prior_of,
)
from avo_tui.domain.state import SessionState


@dataclass(frozen=True)
class Outlook:
    """What a commit needs now. Gains and spreads are relative: 0.02 is 2%."""

    gate: GateName
    version: int
    """Number of the version that has to be beaten."""
    spread: float
    """Standard deviation between pairs of fresh processes, over all configurations or, for the gate
    `vector`, on the noisiest one."""
    measured: int
    """Earlier comparisons that the spread comes from; 0 where it is assumed."""
    needed: Mapping[int, float]
    """Pairs of fresh processes → the gain in their mean that is accepted after so many, where they
    scatter by `spread`."""

    @property
    def text(self) -> str:
        """One or two plain sentences with the figures."""
        if self.measured:
            s = "s" if self.measured > 1 else ""
            source = f"by {self.spread:.2%} in the last {self.measured} comparison{s}"
        else:
            source = f"by {self.spread:.0%} as long as nothing was measured"
        noise = f"Pairs of fresh processes scatter {source} (standard deviation)"
        if self.gate == "paper":
            asked = f"a commit needs to be no slower than v{self.version} in the mean of"
            return f"{noise}; {asked} {PAPER_REPLICATES} pairs."
        shown = ", ".join(f"{gain:+.2%} by {pairs}" for pairs, gain in self.needed.items())
        rule = f"a commit needs at least {MARGIN_FLOOR:+.1%} over v{self.version}"
        if self.gate == "vector":
            rule += " on one configuration, and none of them slower"
        return f"{noise}; {rule}, and at this scatter a gain is shown by pairs like this: {shown}."


def outlook(state: SessionState, conditions: str = "") -> Outlook | None:
    """What the gate asks of the next candidate, beside the best version of the head's line.

    `conditions` are the evaluator's now; without them the latest that something was compared under.
    None before there is a version that computes something.
    """
    if state.head is None:
        return None
    rival = lineage.line_best(state.versions, state.head.number)
    if rival.computes_nothing:
        return None
    gate = state.session.settings.gate
    ledger = Ledger(state.comparisons.values())
    if not conditions and state.comparisons:
        conditions = state.comparisons[max(state.comparisons)].conditions
    latest = ledger.telling(conditions)
    names = [""]
    if gate == "vector":
        names = [c.name for c in rival.score.configurations]
    variance = max(prior_of(latest, name).variance for name in names)
    error = 0.0 if gate == "paper" else ledger.next_share / len(names)
    needed = {
        pairs: _needed(variance, pairs, error * look_share(look))
        for look, pairs in enumerate(LOOKS, start=1)
        if error > 0
    }
    return Outlook(gate, rival.number, math.sqrt(variance), len(latest), needed)


def _needed(variance: float, pairs: int, error: float) -> float:
    """The gain that is accepted after so many pairs which scatter, as do their rounds, so much."""
    degrees = PRIOR_DEGREES + pairs - 1 + ROUNDS_DEGREES
    whole = Estimate(0.0, math.sqrt(variance / pairs), degrees, pairs)
    return math.expm1(max(math.log1p(MARGIN_FLOOR), whole.needed(error, pairs)))
