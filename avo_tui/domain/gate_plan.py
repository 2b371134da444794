"""What the gate will ask of an evaluator far away, so that all of it is measured in one go.

A gate decides after every pair whether it needs another one. Where a request takes minutes or days
to arrive, each would cost a journey. The plan goes with the request instead, and whoever measures
decides by the same rules what comes next.
"""

from __future__ import annotations

from collections.abc import Sequence

from avo_tui.domain.base import Value
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import Comparison, Ledger
from avo_tui.domain.gate_rules import (
    GateDecision,
    GateName,
    Rival,
    decide,
    judge_audit,
    scores_bear_out,
)
from avo_tui.domain.score import PairedMeasurement, Score

SUBMITTED = 0.85
"""Share of the rival's aggregate from which a candidate is likely to be submitted. A guess that
saves a device's time and decides nothing: what is submitted all the same is measured then."""


class GatePlan(Value):
    """One comparison as it stands, and by which rules it goes on."""

    gate: GateName
    comparison: Comparison
    """Of the candidate with its rival; its purpose says whether a gate or an audit decides."""
    others: tuple[Comparison, ...] = ()
    """All comparisons of the session; those that tell nothing of the spread without replicates."""
    begun: int = 0
    """Replicates that there were when the candidate was submitted."""
    number: int
    """Version of the rival."""
    rival: Candidate
    rival_score: Score
    score: Score | None = None
    """The candidate's, once it is known."""

    @classmethod
    def of(
        cls,
        gate: GateName,
        comparison: Comparison,
        others: Sequence[Comparison],
        rival: Candidate,
        against: Rival,
        begun: int = 0,
        score: Score | None = None,
    ) -> GatePlan:
        """The plan of a comparison that is about to be measured; `others`: all of the session."""
        ledger = Ledger(others)
        telling = {c.number for c in ledger.telling(comparison.conditions, comparison.number)}
        return cls(
            gate=gate, comparison=comparison, begun=begun,
            others=tuple(
                c if c.number in telling else c.replaced(replicates=())
                for c in others
                if c.number != comparison.number
            ),
            number=against.number, rival=rival, rival_score=against.score, score=score,
        )  # fmt: skip

    def begins(self, score: Score) -> bool:
        """Whether a candidate with this score is likely to be compared at all."""
        audit = self.comparison.purpose == "audit"
        return audit or score.aggregate >= SUBMITTED * self.rival_score.aggregate

    def with_pair(self, pair: PairedMeasurement) -> GatePlan:
        replicates = (*self.comparison.replicates, pair)
        return self.replaced(comparison=self.comparison.replaced(replicates=replicates))

    @property
    def undecided(self) -> bool:
        if self.comparison.purpose == "audit":
            return judge_audit(self.comparison, self._ledger, self.number) is None
        return self._decision is None

    @property
    def accepted(self) -> bool:
        """Whether a gate accepts it on what was measured, doubted or not."""
        decision = self._decision if self.comparison.purpose == "gate" else None
        return decision is not None and decision.accepted

    @property
    def doubted(self) -> bool:
        """Whether the gate measures further, since the two scores contradict the gain."""
        decision = self._decision
        if not self.accepted or decision is None or self.score is None:
            return False
        return not scores_bear_out(decision, self.score, self.rival_score)

    @property
    def _ledger(self) -> Ledger:
        return Ledger(sorted((*self.others, self.comparison), key=lambda c: c.number))

    @property
    def _decision(self) -> GateDecision | None:
        rival = Rival(self.number, self.rival_score)
        return decide(self.gate, rival, self.comparison, self._ledger, self.begun)
