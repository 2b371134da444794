"""From samples to scores."""

from __future__ import annotations

from collections.abc import Sequence

from avo_tui.domain.score import ConfigurationScore
from avo_tui.domain.task import Configuration

FEW = 20
"""Fewer samples than this are flagged."""
DRIFT = 0.10
"""A reference baseline that spreads further than this, p20 to p80, makes a noisy measurement."""
SLOWED = 1.4
"""A baseline this much slower beside the candidate than alone is suspicious."""
SLOWED_MILLISECONDS = 0.2
"""Shorter calls are not judged by that: they vary more."""


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between the neighbours, as numpy has it. Raises ValueError for no values."""
    if not values:
        raise ValueError("no samples")
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def spread(values: Sequence[float]) -> float:
    """Relative width from p20 to p80."""
    middle = quantile(values, 0.5)
    return (quantile(values, 0.8) - quantile(values, 0.2)) / middle if middle > 0 else 0.0


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """theirs / ours, round by round: how many times faster ours is."""
    return [t / o for o, t in zip(ours, theirs, strict=False) if o > 0]


def slowed(samples: dict[str, list[float]], alone: dict[str, float]) -> list[str]:
    """Which baselines were slower beside the candidate than alone, in words."""
    found = []
    for name, milliseconds in alone.items():
        if not samples.get(name):
            continue
        ratio = quantile(samples[name], 0.5) / milliseconds
        if milliseconds >= SLOWED_MILLISECONDS and ratio > SLOWED:
            found.append(f"{name} is {ratio:.2f} times slower beside the candidate than alone")
    return found


def score(
    configuration: Configuration,
    flops: float,
    samples: dict[str, list[float]],
    reference: str,
    flags: Sequence[str] = (),
) -> ConfigurationScore:
    """The score of one configuration in TFLOP/s, from milliseconds per participant."""
    ours = samples["candidate"]

    def rate(milliseconds: float) -> float:
        return flops / (milliseconds * 1e-3) / 1e12

    notes = list(flags)
    if len(ours) < FEW:
        notes.append(f"few samples ({len(ours)})")
    by_round = ratios(ours, samples[reference]) if reference in samples else []
    if reference in samples and spread(samples[reference]) > DRIFT:
        notes.append("noisy")
    return ConfigurationScore(
        name=configuration.name,
        parameters=configuration.parameters,
        throughput=rate(quantile(ours, 0.5)),
        p20=rate(quantile(ours, 0.8)),
        p80=rate(quantile(ours, 0.2)),
        ratio=quantile(by_round, 0.5) if by_round else 0.0,
        ratio_p20=quantile(by_round, 0.2) if by_round else 0.0,
        ratio_p80=quantile(by_round, 0.8) if by_round else 0.0,
        baselines={
            name: rate(quantile(values, 0.5))
            for name, values in samples.items()
            if name != "candidate"
        },
        samples=len(ours),
        milliseconds=quantile(ours, 0.5),
        flags=tuple(notes),
    )
