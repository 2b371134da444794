"""What two scores of separate runs say about each other, beside what a gate measured in turn."""

from __future__ import annotations

import math

from avo_tui.domain.gate_rules import MARGIN_FLOOR, GateDecision, GateName, Rival
from avo_tui.domain.score import Score

SCORE_SLACK = 0.05
"""Relative difference to expect, even on a quiet machine, between the gain measured at the gate and
the gain computed from the two separately measured scores."""


def worth_remeasuring(gate: GateName, score: Score, reference: Score) -> bool:
    """Whether a score is good enough to be worth measuring again at the gate.

    A cheap check that saves the second measurement of candidates that are clearly slower. The two
    scores come from separate measurements, on a machine that may have been busy in one of them: it
    allows for twice their noise and for `SCORE_SLACK`.
    """
    slack = 2 * (score.noise + reference.noise) + SCORE_SLACK
    if gate == "vector":
        return True
    return score.aggregate >= reference.aggregate * (1 - slack)


def decide_by_scores(gate: GateName, score: Score, rival: Rival) -> GateDecision:
    """The decision to refuse a candidate by its score alone, without a second measurement."""
    base = rival.score.aggregate
    gain = score.aggregate / base - 1 if base > 0 else 0.0
    return GateDecision(
        gate=gate,
        accepted=False,
        reason=f"{gain:+.2%} against v{rival.number} by the two scores: clearly slower, "
        "so the two were not measured in turn",
        reference=rival.number,
        gain=gain,
        margin=MARGIN_FLOOR,
        outcome="refused",
    )


def scores_bear_out(decision: GateDecision, score: Score, rival: Score) -> bool:
    """Whether the gain between the two scores agrees with the gain measured at the gate.

    The scores come from separate runs and are ratios to their own baselines, so the two gains may
    differ by `SCORE_SLACK` plus three times the uncertainty of scores and gain.
    """
    if decision.gain is None or rival.aggregate <= 0 or score.aggregate <= 0:
        return True
    at_gate = math.log1p(decision.gain)
    by_scores = math.log(score.aggregate / rival.aggregate)
    low, high = decision.interval or (decision.gain, decision.gain)
    half = (math.log1p(high) - math.log1p(low)) / 2
    return abs(at_gate - by_scores) <= SCORE_SLACK + 3 * (score.noise + rival.noise) + half
