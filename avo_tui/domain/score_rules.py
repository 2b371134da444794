"""What two scores of separate runs say about a gain that a gate measured in turn.

They decide nothing: they may have been taken while the machine was busy with something else.
"""

from __future__ import annotations

import math

from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.score import Score

SCORE_SLACK = 0.05
"""Relative difference to expect, even on a quiet machine, between the gain measured at the gate and
the gain computed from the two separately measured scores."""


def scores_bear_out(decision: GateDecision, score: Score, rival: Score) -> bool:
    """Whether the gain between the two scores agrees with the gain measured at the gate.

    Where it does not, more pairs are measured. The scores are ratios to their own baselines, so the
    two gains may differ by `SCORE_SLACK` plus three times the uncertainty of scores and gain.
    """
    if decision.gain is None or rival.aggregate <= 0 or score.aggregate <= 0:
        return True
    at_gate = math.log1p(decision.gain)
    by_scores = math.log(score.aggregate / rival.aggregate)
    low, high = decision.interval or (decision.gain, decision.gain)
    half = (math.log1p(high) - math.log1p(low)) / 2
    return abs(at_gate - by_scores) <= SCORE_SLACK + 3 * (score.noise + rival.noise) + half
