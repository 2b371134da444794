"""What the gate will ask of the next candidate, said before it is submitted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from avo_tui.domain import lineage
from avo_tui.domain.base import ObjectId
from avo_tui.domain.evidence import (
    LOOKS,
    PRIOR_DEGREES,
    PRIOR_SPREAD,
    ROUNDS_DEGREES,
    Estimate,
    Ledger,
    PairedGains,
    Prior,
    look_share,
    prior_of,
)
from avo_tui.domain.gate_rules import MARGIN_FLOOR, PAPER_REPLICATES, GateName
from avo_tui.domain.state import SessionState

PACED = 8
"""Number of the newest pairs at the gate, and of those outside it, from which the seconds of a pair
are foretold."""


@dataclass(frozen=True)
class Pace:
    """Seconds that a pair of fresh processes took lately, without waiting for the device."""

    shortest: float
    median: float
    longest: float
    pairs: int
    """How many pairs these figures are of."""

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Pace | None:
        """The pace of pairs that took so long; None without one."""
        known = [value for value in seconds if value > 0]
        if not known:
            return None
        return cls(min(known), median(known), max(known), len(known))

    @property
    def text(self) -> str:
        """One sentence that foretells the next pair."""
        if self.pairs == 1:
            return f"The last pair took {self.median:.2g} s."
        return (
            f"A pair takes {self.shortest:.2g} to {self.longest:.2g} s, by the last {self.pairs}"
            f" (median {self.median:.2g} s)."
        )


@dataclass(frozen=True)
class Elsewhere:
    """A version on a line that a rewind left, ahead of the best of the head's line."""

    version: int
    beside: int
    """Number of the best version of the head's line."""
    lead: float
    """Relative gain over that, by what the gate measured in turn along both lines."""

    @property
    def text(self) -> str:
        """One sentence: which version, and by how much it leads."""
        return (
            f"v{self.version}, on another line, is {self.lead:+.1%} against v{self.beside} by the"
            " gains that the gate measured in turn along both lines. The gate does not ask about"
            " it; timing both in turn would tell how far this line has come."
        )


def elsewhere(state: SessionState) -> Elsewhere | None:
    """The best version of the session, if it is not on the head's line and is ahead of it.

    None where no measurements in turn join the two lines: scores of different runs do not tell.
    """
    best, head = state.best, state.head
    if best is None or head is None:
        return None
    path = lineage.line(state.versions, head.number)
    own = lineage.line_best(state.versions, head.number)
    chains = lineage.gains_in_turn(state.versions.values())
    (first, gain), (same, further) = chains[own.number], chains[best.number]
    if any(v.number == best.number for v in path) or first != same or further <= gain:
        return None
    return Elsewhere(best.number, own.number, math.expm1(further - gain))


@dataclass(frozen=True)
class Spread:
    """How much pairs of fresh processes scatter, as far as a session has measured it."""

    prior: Prior

    @property
    def text(self) -> str:
        """The standard deviation and what it comes from, as part of a sentence."""
        known = self.prior
        if not known.pairs:
            return f"{PRIOR_SPREAD:.0%}, assumed as long as nothing was compared"
        told = f"{math.sqrt(known.measured):.2%} in the newest {known.pairs} pairs on this machine"
        if known.assumed:
            told += f", taken for {math.sqrt(known.variance):.2%} as they are so few"
        return told


def spread(state: SessionState, conditions: str = "") -> Spread:
    """The spread that the gate reckons with now.

    `conditions` are the evaluator's now; without them the latest that something was compared under.
    """
    if not conditions and state.comparisons:
        conditions = state.comparisons[max(state.comparisons)].conditions
    telling = Ledger(state.comparisons.values()).telling(conditions)
    return Spread(prior_of(telling))


def paired_gains(state: SessionState, candidate: ObjectId) -> PairedGains | None:
    """What was measured of a candidate in turn with a version, lately; None if it never was."""
    numbers = {v.candidate: v.number for v in state.versions.values() if v.candidate != candidate}
    return Ledger(state.comparisons.values()).gains(candidate, numbers)


@dataclass(frozen=True)
class Outlook:
    """What a commit needs now. Gains and spreads are relative: 0.02 is 2%."""

    gate: GateName
    version: int
    """Number of the version that has to be beaten."""
    spread: Spread
    """Of pairs of fresh processes, over all configurations or, for the gate `vector`, on the
    noisiest one."""
    pace: Pace | None
    """Seconds that pairs under these conditions took lately; None where that is not known."""
    elsewhere: Elsewhere | None
    """The best version of all, where it is on another line and leads."""
    needed: Mapping[int, float]
    """Pairs of fresh processes → the gain in their mean that is accepted after so many, where they
    scatter by `spread`."""

    @property
    def text(self) -> str:
        """One to three plain sentences with the figures."""
        other = self.elsewhere.text if self.elsewhere is not None else ""
        pace = self.pace.text if self.pace is not None else ""
        return " ".join(filter(None, [self._asked, pace, other]))

    @property
    def _asked(self) -> str:
        noise = f"Pairs of fresh processes scatter by {self.spread.text} (standard deviation)"
        if self.gate == "paper":
            asked = f"a commit needs to be no slower than v{self.version} in the mean of"
            return f"{noise}; {asked} {PAPER_REPLICATES} pairs."
        shown = ", ".join(f"{gain:+.2%} by {pairs}" for pairs, gain in self.needed.items())
        rule = f"a commit needs at least {MARGIN_FLOOR:+.1%} over v{self.version}"
        if self.gate == "vector":
            rule += " on one configuration, and none of them slower"
        return f"{noise}; {rule}, and at this scatter a gain is shown by pairs like this: {shown}."


def outlook(
    state: SessionState, conditions: str = "", outside: Sequence[float] = ()
) -> Outlook | None:
    """What the gate asks of the next candidate, beside the best version of the head's line.

    `conditions` are the evaluator's now; without them the latest that something was compared under.
    `outside`: seconds of pairs that were measured lately without the gate, newest last. None before
    there is a version that computes something.
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
    known = max((prior_of(latest, name) for name in names), key=lambda prior: prior.variance)
    error = 0.0 if gate == "paper" else ledger.next_share / len(names)
    needed = {
        pairs: needed_gain(known.variance, pairs, error * look_share(look))
        for look, pairs in enumerate(LOOKS, start=1)
        if error > 0
    }
    return Outlook(
        gate=gate,
        version=rival.number,
        spread=Spread(known),
        pace=Pace.of([*_pair_seconds(state, conditions), *outside[-PACED:]]),
        elsewhere=elsewhere(state),
        needed=needed,
    )


def _pair_seconds(state: SessionState, conditions: str) -> list[float]:
    """Seconds of the newest pairs at the gate under these conditions, oldest first."""
    seconds: list[float] = []
    for number in sorted(state.comparisons, reverse=True):
        comparison = state.comparisons[number]
        if comparison.conditions == conditions:
            newest = [pair.seconds for pair in reversed(comparison.replicates) if pair.seconds > 0]
            seconds += newest
        if len(seconds) >= PACED:
            break
    return seconds[:PACED][::-1]


def needed_gain(variance: float, pairs: int, error: float) -> float:
    """The gain that is accepted after so many pairs which scatter, as do their rounds, so much."""
    degrees = PRIOR_DEGREES + pairs - 1 + ROUNDS_DEGREES
    whole = Estimate(0.0, math.sqrt(variance / pairs), degrees, pairs)
    return math.expm1(max(math.log1p(MARGIN_FLOOR), whole.needed(error, pairs)))
