"""Decides whether a committed version is still faster than the version it was compared with."""

from __future__ import annotations

import math

from avo_tui.domain.base import Value
from avo_tui.domain.evidence import LOOKS, Comparison, Ledger, estimate
from avo_tui.domain.gate_rules import LOST, MARGIN_FLOOR
from avo_tui.domain.records import AuditOutcome

MOST_REPLICATES = 4
"""Largest number of replicates in one audit; after these the result may still be unclear."""

HELD = 0.025
"""Accepted probability that one audit confirms a version whose true gain is zero."""


class AuditFinding(Value):
    outcome: AuditOutcome
    reason: str
    reference: int | None = None
    gain: float | None = None
    interval: tuple[float, float] | None = None
    replicates: int = 0


def judge_audit(comparison: Comparison, ledger: Ledger, rival: int) -> AuditFinding | None:
    """The result of an audit, or None if one more replicate has to be measured.

    A version fails if the upper end of its gain's interval (99%, one-sided) is below the smallest
    gain that counts, and holds if the lower end (97.5%, one-sided) is above zero.
    """
    count = len(comparison.replicates)
    if count < LOOKS[0]:
        return None
    whole = estimate(comparison.replicates, ledger.prior(comparison))
    if whole.lower(HELD) > 0:
        outcome, words = "holds", "it holds"
    elif whole.upper(LOST) < math.log1p(MARGIN_FLOOR):
        outcome, words = "fails", f"not {MARGIN_FLOOR:.1%} faster (may err in {LOST:.0%} of cases)"
    elif count >= MOST_REPLICATES:
        outcome, words = "unclear", "within the noise"
    else:
        return None
    low, high = whole.interval()
    gain = math.expm1(whole.mean)
    return AuditFinding.model_validate(
        {
            "outcome": outcome,
            "reason": f"{gain:+.2%} against v{rival} ({low:+.1%} to {high:+.1%}, "
            f"{count} pairs of fresh processes): {words}",
            "reference": rival,
            "gain": gain,
            "interval": (low, high),
            "replicates": count,
        }
    )
