"""Judges outputs against the high-precision reference, by the baseline's own error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from avo_tui.evaluation.task import Tolerance

if TYPE_CHECKING:
    import torch


_ROW_SCALE_FLOOR = 1e-2
"""A row's scale is at least this part of the tensor's, so that rows near zero may be near zero."""


@dataclass(frozen=True)
class Judgement:
    """How far outputs are from the reference."""

    error: float
    """Largest error in units of the tolerance; at most 1 passes. Infinite for NaN."""
    detail: str = ""
    """Where and by how much, for a person; empty if it passes."""

    @property
    def ok(self) -> bool:
        """True within the tolerance."""
        return self.error <= 1.0


def _index(flat: int, shape: tuple[int, ...]) -> str:
    place = []
    for size in reversed(shape):
        place.append(flat % size)
        flat //= size
    return "[" + ", ".join(str(i) for i in reversed(place)) + "]"


@dataclass(frozen=True)
class Expected:
    """What an output is judged by: made once per set of inputs."""

    reference: torch.Tensor
    limit: torch.Tensor
    """Allowed error, broadcastable to the reference."""
    rms_limit: float
    scale: float
    """Root mean square of the reference."""


def expect(reference: torch.Tensor, baseline: torch.Tensor, tolerance: Tolerance) -> Expected:
    """Prepares the limits for one output; `baseline` is the reference baseline's output."""
    reference = reference.double()
    error = (baseline.double() - reference).abs()
    magnitude = reference.abs()
    scale = float(reference.pow(2).mean().sqrt()) or 1.0
    if tolerance.per_row and reference.dim() > 0:
        own = error.amax(-1, keepdim=True)
        size = magnitude.amax(-1, keepdim=True).clamp_min(_ROW_SCALE_FLOOR * scale)
    else:
        own, size = error.max(), magnitude.max()
    limit = tolerance.factor * own + tolerance.floor * size
    rms = float(error.pow(2).mean().sqrt())
    rms_limit = tolerance.rms_factor * rms + tolerance.rms_floor * scale
    return Expected(reference, limit, rms_limit, scale)


def judge(name: str, output: torch.Tensor, expected: Expected) -> Judgement:
    """Compares one output with what is expected of it."""
    shape = tuple(output.shape)
    finite = output.isfinite()
    if not bool(finite.all()):
        bad = int((~finite).flatten().int().argmax())
        count = int((~finite).sum())
        what = "never written, or NaN" if bool(output.flatten()[bad].isnan()) else "infinite"
        share = f"{count} of {output.numel()} values"
        return Judgement(float("inf"), f"{name}{_index(bad, shape)} is {what} ({share})")
    error = (output.double() - expected.reference).abs()
    ratio = error / expected.limit
    worst = int(ratio.flatten().argmax())
    largest = float(ratio.flatten()[worst])
    rms = float(error.pow(2).mean().sqrt())
    rms_ratio = rms / expected.rms_limit
    if largest <= 1 and rms_ratio <= 1:
        return Judgement(max(largest, rms_ratio))
    wrong = int((ratio > 1).sum())
    at = _index(worst, shape)
    first = _index(int((ratio > 1).flatten().int().argmax()), shape) if wrong else at
    got = float(output.flatten()[worst])
    size = float(expected.reference.flatten()[worst])
    limit = float(expected.limit.expand_as(error).flatten()[worst])
    detail = (
        f"{name}{at} is {got:.6g}, expected about {size:.3g}: off by "
        f"{float(error.flatten()[worst]):.2e}, allowed {limit:.1e}; {wrong} of {output.numel()} "
        f"values are wrong, the first at {first}; root mean square error {rms:.1e}, allowed "
        f"{expected.rms_limit:.1e}"
    )
    return Judgement(max(largest, rms_ratio), detail)
