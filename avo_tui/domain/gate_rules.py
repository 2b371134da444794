"""Acceptance gates: the rules by which a correct candidate becomes a version, and remains one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from avo_tui.domain.base import Value
from avo_tui.domain.evidence import (
    ERROR,
    LOOKS,
    MOST_REPLICATES,
    Comparison,
    Estimate,
    Ledger,
    estimate,
    look_of,
    look_share,
    next_look,
)
from avo_tui.domain.score import Score

GateName = Literal["strict", "paper", "vector"]

MARGIN_FLOOR = 0.005
"""Smallest relative gain that counts as an improvement, however quiet the machine is."""

LOST = 0.01
"""Accepted probability of refusing a candidate whose true gain is `MARGIN_FLOOR` or more."""

CLEARLY_SLOWER = 0.1
"""Relative loss above which one replicate may be enough to refuse a candidate. Smaller losses need
more replicates: one does not show how much processes vary."""

HOPE = 0.1
"""The gate goes on measuring while the probability is at least this high that the true gain is
large enough to be accepted after more replicates of the same submission."""

FINAL = LOOKS[-1]
"""Number of replicates from which a refusal stands. After fewer, submitting the same source again
adds replicates: a machine that was busy for some seconds must not decide for good."""

PAPER_REPLICATES = 2
"""Number of replicates on which the gate `paper` decides."""

FELL = 0.05
"""Accepted probability that the gate `vector` mistakes an unchanged configuration for a slower
one."""

FORETOLD = 256
"""Largest number of pairs that a refusal names as what a gain would take."""

Outcome = Literal["accepted", "refused", "unclear", "suspicious"]
AuditOutcome = Literal["holds", "fails", "unclear"]


class GateDecision(Value):
    """The decision of a gate, with the numbers behind it.

    Stored with the version if the candidate was accepted, otherwise with the attempt.
    """

    gate: GateName | Literal["seed"]
    accepted: bool
    reason: str
    """One sentence that gives the reason, including the numbers."""
    reference: int | None = None
    """Number of the version that the candidate was compared with: the best one on the head's
    line."""
    gain: float | None = None
    """Relative change of the aggregate: 0.02 means 2% faster."""
    margin: float | None = None
    """Smallest relative gain that would have been accepted."""
    remeasured: bool = False
    """True if the gain was measured by timing both candidates alternately, not computed from two
    separate scores."""
    outcome: Outcome | None = None
    """`unclear`: the measurements neither show a gain nor rule one out. `suspicious`: the gain at
    the gate and the gain between the scores disagree, even after measuring both again. None in old
    records."""
    interval: tuple[float, float] | None = None
    """95% confidence interval of `gain`; it includes the variation between processes."""
    lowest: float | None = None
    """Lower bound of `gain` at the probability of a wrong acceptance that this look was allowed:
    the gate accepts where it is above 0 and `gain` is `MARGIN_FLOOR` or more. For the gate `vector`
    that of the configuration nearest to being shown as improved. None for the gate `paper`, between
    two looks, and in old records."""
    replicates: int = 0
    """Number of replicates (pairs of fresh processes) that the gain was estimated from."""
    rounds: int = 0
    """Number of A/B timing rounds, summed over all replicates and all configurations."""
    comparison: int | None = None
    """Number of the comparison in the session's record."""
    error: float | None = None
    """Probability of a wrong acceptance that this comparison was allowed."""
    budget_left: float | None = None
    """What remains of the run's error budget for later comparisons."""
    spent: dict[str, float] = Field(default_factory=dict)
    """What the comparison's measurements were spent on, such as `benchmark samples` → seconds, of
    all replicates; empty in old records."""
    busy: str = ""
    """`Comparison.busy`."""

    @property
    def time(self) -> str:
        """How long the replicates took and what for; empty if it is not known."""
        if not self.spent:
            return ""
        parts = ", ".join(f"{n} {s:.1f}" for n, s in self.spent.items() if s >= 0.05)
        pairs = f"{self.replicates} pair" + ("s" if self.replicates != 1 else "")
        return f"{pairs} measured in {sum(self.spent.values()):.1f} s: {parts}"

    @property
    def over(self) -> str:
        """The gain and the version it is over, such as `+0.90% over v7`; empty if not known."""
        if self.gain is None or self.reference is None:
            return ""
        return f"{self.gain:+.2%} over v{self.reference}"

    @property
    def basis(self) -> str:
        """The measurements behind the decision, in one line; empty if the two were not timed
        alternately."""
        if not self.replicates:
            return ""
        parts = [
            f"{self.replicates} pair{'s' if self.replicates > 1 else ''} of fresh processes, "
            f"{self.rounds} rounds"
        ]
        if self.margin is not None and self.margin > 0:
            parts.append(f"asked for {self.margin:+.2%}")
        if self.error:
            parts.append(f"may err in {self.error:.3%} of cases")
        if self.budget_left is not None:
            parts.append(f"{self.budget_left:.2%} of the run's {ERROR:.0%} left")
        if self.busy:
            parts.append(f"busy machine: {self.busy}")
        return " · ".join(parts)


@dataclass(frozen=True)
class Rival:
    number: int
    """Number of the version."""
    score: Score


def may_settle(decision: GateDecision | None, most: int) -> bool:
    """Whether submitting the same source again adds pairs to an unclear comparison.

    `most` is the largest number of pairs that the caller allows.
    """
    if decision is None or decision.outcome != "unclear":
        return False
    return next_look(decision.replicates) <= min(most, MOST_REPLICATES)


def decide(
    gate: GateName, rival: Rival, comparison: Comparison, ledger: Ledger, begun: int = 0
) -> GateDecision | None:
    """The decision on a comparison, or None if one more replicate has to be measured.

    `begun` is the number of replicates that existed when the candidate was submitted. The first
    submission of a candidate may use all of `LOOKS`. A later submission continues the same
    comparison, up to the next look, unless it was refused on `FINAL` replicates or more.
    """
    count = len(comparison.replicates)
    if not count:
        return None
    limit = min(MOST_REPLICATES, max(LOOKS[-1], next_look(begun)))
    held = comparison.held if comparison.held_at == count else None
    judged = _on_record(held, count) if held else _judged(gate, comparison, ledger, limit)
    if judged is None:
        return None
    outcome, words, margin = judged
    due = min(MOST_REPLICATES, next_look(begun)) if begun else 0
    if held is None and outcome != "accepted" and count < due:
        return None
    whole = estimate(comparison.replicates, ledger.prior(comparison))
    low, high = whole.interval()
    pairs = f"{count} pair{'s' if count > 1 else ''} of fresh processes"
    shown = f"95%: {low:+.2%} to {high:+.2%}"
    gain = math.expm1(whole.mean)
    judges, share = whole, comparison.error
    if gate == "vector":
        _, judges, share = _nearest(comparison, ledger)
    lowest = _lowest(judges, share) if gate != "paper" else None
    if outcome == "refused" and count < FINAL:
        words += "; submitting the same source again adds pairs"
    return GateDecision(
        gate=gate,
        accepted=outcome == "accepted",
        reason=f"{gain:+.2%} against v{rival.number} ({shown}; {pairs}): {words}",
        reference=rival.number,
        gain=gain,
        margin=margin,
        remeasured=True,
        outcome=outcome,
        interval=(low, high),
        lowest=lowest,
        replicates=count,
        rounds=sum(sum(r.rounds.values()) for r in comparison.replicates),
        comparison=comparison.number,
        error=comparison.error,
        budget_left=ledger.budget_left,
    )


def _lowest(whole: Estimate, error: float) -> float | None:
    """Lower bound of the relative gain at the error of this look; None where no look is due."""
    look = look_of(whole.replicates)
    if look is None or error <= 0 or math.isinf(whole.mean):
        return None
    return math.expm1(whole.lower(error * look_share(look)))


_Judged = tuple[Outcome, str, float]
"""(outcome, reason, smallest relative gain that would have been accepted)."""


def _on_record(held: Outcome, count: int) -> _Judged | None:
    """The earlier judgement of exactly these replicates; None if more of them may be added."""
    if held == "refused" and count >= FINAL:
        return "refused", "refused before on the same measurements", MARGIN_FLOOR
    if count < MOST_REPLICATES:
        return None
    return "unclear", "unclear: no more pairs may be measured", MARGIN_FLOOR


def _judged(gate: GateName, comparison: Comparison, ledger: Ledger, limit: int) -> _Judged | None:
    """The judgement by the gate's rule; None if one more replicate has to be measured."""
    if gate == "paper":
        return _paper(comparison, ledger)
    return (_strict if gate == "strict" else _vector)(comparison, ledger, limit)


def _paper(comparison: Comparison, ledger: Ledger) -> _Judged | None:
    """Judge by the rule of the gate `paper`: accept if the mean gain is zero or more.

    Equally fast candidates pass, so no error budget is involved.
    """
    if len(comparison.replicates) < PAPER_REPLICATES:
        return None
    whole = estimate(comparison.replicates, ledger.prior(comparison))
    if whole.mean >= 0:
        return "accepted", "matches or improves", 0.0
    return "refused", "slower", 0.0


def _shown(estimated: Estimate, error: float) -> float:
    """Log gain required after this number of replicates; infinite if no look is due at this
    number."""
    look = look_of(estimated.replicates)
    if look is None or error <= 0:
        return math.inf
    floor = math.log1p(MARGIN_FLOOR)
    return max(floor, estimated.needed(error * look_share(look), estimated.replicates))


def _could_show(estimated: Estimate, error: float, limit: int) -> float:
    """Smallest log gain that a later look of this submission would accept; infinite if none is
    left."""
    least, count = math.inf, next_look(estimated.replicates)
    while count <= limit:
        look = look_of(count)
        assert look is not None
        least = min(least, estimated.needed(error * look_share(look), count))
        count = next_look(count)
    return max(least, math.log1p(MARGIN_FLOOR))


def _strict(comparison: Comparison, ledger: Ledger, limit: int) -> _Judged | None:
    """Judge by the rule of the gate `strict`: accept a gain that exceeds the noise.

    How far it must exceed the noise follows from the comparison's share of the error budget.
    """
    whole = estimate(comparison.replicates, ledger.prior(comparison))
    asked = _shown(whole, comparison.error)
    if whole.mean >= asked:
        return "accepted", f"more than the {math.expm1(asked):.2%} asked for", math.expm1(asked)
    enough = whole.replicates >= LOOKS[0] or whole.mean < -CLEARLY_SLOWER
    if enough and whole.upper(LOST) < math.log1p(MARGIN_FLOOR):
        slower = "slower" if whole.upper(LOST) < 0 else f"not {MARGIN_FLOOR:.1%} faster"
        words = f"{slower} (may err in {LOST:.0%} of cases)"
        return "refused", words, MARGIN_FLOOR
    ahead = _could_show(whole, comparison.error, limit)
    if whole.replicates < limit and whole.upper(HOPE) >= ahead:
        return None
    if whole.replicates < LOOKS[0]:
        return None
    margin = math.expm1(min(asked, ahead))
    return "unclear", _what_would_settle(whole, comparison.error), margin


def _what_would_settle(whole: Estimate, error: float) -> str:
    """Explain why a comparison is unclear: what gain is asked for now and at the next look, and how
    many more replicates would decide it."""
    assumed = ", of which part is assumed, as little was compared before" if whole.assumed else ""
    spread = f"{whole.error * math.sqrt(whole.replicates):.2%}{assumed}"
    asked = _asked_text(whole, error)
    if whole.mean <= math.log1p(MARGIN_FLOOR):
        return f"unclear: no gain shown, but one of {MARGIN_FLOOR:.1%} not ruled out; {asked}"
    count = next_look(whole.replicates)
    while count <= MOST_REPLICATES:
        look = look_of(count)
        assert look is not None
        if whole.needed(error * look_share(look), count) <= whole.mean:
            more = count - whole.replicates
            return (
                f"unclear: {asked}; a gain like this would be settled by about {more} more pairs "
                "(submit the same source again: pairs are added to these), or by a quieter machine "
                f"(spread from process to process {spread})"
            )
        count = next_look(count)
    return (
        "unclear: too small for this machine's noise (spread from process to process"
        f" {spread}): {whole.replicates} of at most {MOST_REPLICATES} pairs are measured, and"
        f" at this scatter a gain like this {_pairs_needed(whole, error)}; {asked}"
    )


def _pairs_needed(whole: Estimate, error: float) -> str:
    """How many pairs would show the gain, which are more than may be measured."""
    count = next_look(MOST_REPLICATES)
    while count <= FORETOLD:
        look = look_of(count)
        assert look is not None
        if whole.needed(error * look_share(look), count) <= whole.mean:
            return f"takes about {count}: it will not pass"
        count = next_look(count)
    return f"takes more than {FORETOLD}: it will not pass"


def _asked_text(whole: Estimate, error: float) -> str:
    """The gain that is asked for at this number of replicates and at the next look."""
    floor, count = math.log1p(MARGIN_FLOOR), next_look(whole.replicates)
    look = look_of(count)
    assert look is not None
    texts = []
    if math.isfinite(now := _shown(whole, error)):
        texts.append(f"{math.expm1(now):+.2%} after these {whole.replicates} pairs")
    if count <= MOST_REPLICATES and error > 0:
        later = max(floor, whole.needed(error * look_share(look), count))
        texts.append(f"about {math.expm1(later):+.2%} after {count}")
    return "the gain asked for is " + (", ".join(texts) or f"{MARGIN_FLOOR:+.1%} at least")


def _vector(comparison: Comparison, ledger: Ledger, limit: int) -> _Judged | None:
    """Judge by the rule of the gate `vector`: one configuration improved, and none got slower.

    Both mean a change beyond the noise of that configuration.
    """
    names = list(comparison.replicates[0].configurations)
    error = comparison.error / len(names)
    floor = math.log1p(MARGIN_FLOOR)
    each = {
        name: estimate(comparison.replicates, ledger.prior(comparison, name), name)
        for name in names
    }
    for name, one in each.items():
        if one.replicates >= LOOKS[0] and one.mean < -floor and one.upper(FELL) < 0:
            return "refused", f"{name} fell by {-math.expm1(one.mean):.2%}", 0.0
    asked = {name: _shown(one, error) for name, one in each.items()}
    better = [name for name, one in each.items() if one.mean >= asked[name]]
    if better:
        words = f"no configuration fell and {better[0]} improved"
        return "accepted", words, math.expm1(asked[better[0]])
    if all(one.upper(LOST) < floor for one in each.values()):
        return "refused", "no configuration improved beyond the noise", MARGIN_FLOOR
    ahead = {name: _could_show(one, error, limit) for name, one in each.items()}
    count = len(comparison.replicates)
    hopeful = any(one.upper(HOPE) >= ahead[name] for name, one in each.items())
    if count < LOOKS[0] or (count < limit and hopeful):
        return None
    name, nearest, share = _nearest(comparison, ledger)
    words = _what_would_settle(nearest, share).removeprefix("unclear: ")
    text = f"unclear: no configuration is shown to have improved beyond the noise; on {name}"
    gain = f"{math.expm1(nearest.mean):+.2%}"
    return "unclear", f"{text}, {gain}, {words}", math.expm1(min(ahead.values()))


def _nearest(comparison: Comparison, ledger: Ledger) -> tuple[str, Estimate, float]:
    """(configuration that is nearest to being shown as improved, its gain, the error allowed for
    it): that with the largest gain beside its uncertainty."""
    names = list(comparison.replicates[0].configurations)
    each = {
        name: estimate(comparison.replicates, ledger.prior(comparison, name), name)
        for name in names
    }
    name = max(names, key=lambda name: each[name].mean / max(each[name].error, 1e-12))
    return name, each[name], comparison.error / len(names)


SCORE_SLACK = 0.05
"""Relative difference to expect, even on a quiet machine, between the gain measured at the gate and
the gain computed from the two separately measured scores."""


def scores_bear_out(decision: GateDecision, score: Score, rival: Score) -> bool:
    """Whether the gain between the two scores agrees with the gain measured at the gate.

    Where it does not, more pairs are measured; the scores decide nothing, the machine may have been
    busy with something else meanwhile. They are ratios to their own baselines, so the two gains may
    differ by `SCORE_SLACK` plus three times the uncertainty of scores and gain.
    """
    if decision.gain is None or rival.aggregate <= 0 or score.aggregate <= 0:
        return True
    at_gate = math.log1p(decision.gain)
    by_scores = math.log(score.aggregate / rival.aggregate)
    low, high = decision.interval or (decision.gain, decision.gain)
    half = (math.log1p(high) - math.log1p(low)) / 2
    return abs(at_gate - by_scores) <= SCORE_SLACK + 3 * (score.noise + rival.noise) + half


# -- whether a committed version is still faster than the one that it was compared with

AUDITED_REPLICATES = 4
"""Largest number of replicates in one audit; after these the result may still be unclear."""

HELD = 0.025
"""Accepted probability that one audit confirms a version whose true gain is zero."""


class AuditFinding(Value):
    outcome: AuditOutcome
    """`fails`: the version is wrong, or not faster than the version it was committed against."""
    reason: str
    """One sentence with the numbers."""
    reference: int | None = None
    """Number of the version it was measured against; None where there is none, as for the seed."""
    gain: float | None = None
    interval: tuple[float, float] | None = None
    """95% interval of `gain`, relative."""
    replicates: int = 0
    busy: str = ""
    """`Comparison.busy`."""


def judge_audit(comparison: Comparison, ledger: Ledger, rival: int) -> AuditFinding | None:
    """The result of an audit, or None if one more replicate has to be measured.

    A version fails if the upper end of its gain's interval (99%, one-sided) is below the smallest
    gain that counts, and holds if the lower end (97.5%, one-sided) is above zero.
    """
    count = len(comparison.replicates)
    if count < LOOKS[0]:
        return None
    whole = estimate(comparison.replicates, ledger.prior(comparison))
    outcome: AuditOutcome
    if whole.lower(HELD) > 0:
        outcome, words = "holds", "it holds"
    elif whole.upper(LOST) < math.log1p(MARGIN_FLOOR):
        outcome, words = "fails", f"not {MARGIN_FLOOR:.1%} faster (may err in {LOST:.0%} of cases)"
    elif count >= AUDITED_REPLICATES:
        outcome, words = "unclear", "within the noise"
    else:
        return None
    low, high = whole.interval()
    gain = math.expm1(whole.mean)
    interval = f"{low:+.1%} to {high:+.1%}, {count} pairs of fresh processes"
    return AuditFinding(
        outcome=outcome,
        reason=f"{gain:+.2%} against v{rival} ({interval}): {words}",
        reference=rival,
        gain=gain,
        interval=(low, high),
        replicates=count,
    )
