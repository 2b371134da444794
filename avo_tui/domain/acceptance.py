"""Acceptance gates: when a correct candidate becomes a version."""

from __future__ import annotations

from typing import Literal

from avo_tui.domain.base import Value
from avo_tui.domain.score import PairedMeasurement, Score

GateName = Literal["strict", "paper", "vector"]

MARGIN_FLOOR = 0.005
"""Smallest relative gain that counts as an improvement, however quiet the machine is."""

SIGMAS = 1.0
"""Multiples of the measured spread (half of p20–p80) that a gain must exceed."""


class GateDecision(Value):
    """What a gate decided and the numbers it decided on. Kept with the version or the attempt."""

    gate: GateName | Literal["seed"]
    accepted: bool
    reason: str
    """One sentence with the numbers."""
    reference: int | None = None
    """The version compared with: the best on the head's own line."""
    gain: float | None = None
    """Relative change of the aggregate: 0.02 is 2% faster."""
    margin: float | None = None
    """The gain that was asked for."""
    remeasured: bool = False
    """True if the gain is from a measurement interleaved with the reference."""


def worth_remeasuring(gate: GateName, score: Score, reference: Score) -> bool:
    """Cheap first look: may this score pass at all? Spares the second measurement of clear losers.

    Generous by twice the noise of both measurements, since they are from different runs.
    """
    slack = 2 * (score.noise + reference.noise) + 0.01
    if gate == "vector":
        return True
    return score.aggregate >= reference.aggregate * (1 - slack)


def decide(
    gate: GateName,
    score: Score,
    reference: Score,
    reference_number: int,
    paired: PairedMeasurement | None = None,
) -> GateDecision:
    """Let a correct candidate through `gate`, or not.

    `paired` is the candidate timed interleaved with the reference; where it is given, the gain is
    taken from it, since two runs of a machine are not comparable to within a per cent.
    """
    if paired is not None:
        gain, noise = paired.gain - 1, paired.noise
    else:
        base = reference.aggregate
        gain = score.aggregate / base - 1 if base > 0 else 0.0
        noise = score.noise + reference.noise
    margin = max(MARGIN_FLOOR, SIGMAS * noise)
    what = f"{gain:+.2%} against v{reference_number}"
    if gate == "paper":
        accepted, margin = gain >= 0, 0.0
        reason = f"{what}: " + ("matches or improves" if accepted else "slower")
    elif gate == "strict":
        accepted = gain > margin
        reason = (
            f"{what}, " + ("more" if accepted else "not more") + f" than the noise of {margin:.2%}"
        )
    else:
        accepted, reason = _vector(score, reference, paired, what)
    return GateDecision(
        gate=gate,
        accepted=accepted,
        reason=reason,
        reference=reference_number,
        gain=gain,
        margin=margin,
        remeasured=paired is not None,
    )


def _vector(
    score: Score, reference: Score, paired: PairedMeasurement | None, what: str
) -> tuple[bool, str]:
    """No configuration regresses beyond its noise, and one improves beyond it."""
    improved = False
    for configuration in score.configurations:
        low, middle, high = _change(configuration.name, score, reference, paired)
        noise = max(MARGIN_FLOOR, (high - low) / 2)
        if middle < 1 - noise:
            return False, f"{what}: {configuration.name} fell by {1 - middle:.2%}"
        improved = improved or middle > 1 + noise
    if improved:
        return True, f"{what}: no configuration fell and one improved"
    return False, f"{what}: no configuration improved beyond the noise"


def _change(
    name: str, score: Score, reference: Score, paired: PairedMeasurement | None
) -> tuple[float, float, float]:
    if paired is not None and name in paired.configurations:
        return paired.configurations[name]
    new, old = score.by_name(name), reference.by_name(name)
    if new is None or old is None or old.ratio <= 0:
        return 1.0, 1.0, 1.0
    change = new.ratio / old.ratio
    spread = (new.p80 - new.p20) / (2 * new.throughput) if new.throughput > 0 else 0.0
    return change * (1 - spread), change, change * (1 + spread)
