"""A quick comparison of every timed output, in addition to the full judgement of some of them.

A reference in high precision costs many times as much as a call, so most timed outputs are compared
with the library's output for the same inputs, which is computed for timing anyway. The limits are
derived from a full judgement: what passes that comfortably passes here, and what exceeds its limits
by half does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from avo_tui.evaluation.measurement import dtypes
from avo_tui.evaluation.measurement.judge import ROW_SCALE_FLOOR, Expected, Judgement

if TYPE_CHECKING:
    import torch

_ROOM, _MEAN_ROOM = 1.5, 1.3


@dataclass(frozen=True)
class Glance:
    """How far an output may be from the library's, relative to a row's scale."""

    largest: float
    """Any element, by the row's largest value. Zero: the bits must be equal."""
    mean: float
    """Root mean square of all elements, by the tensor's root mean square."""
    per_row: bool

    @classmethod
    def of(cls, expected: Expected, own: torch.Tensor) -> Glance:
        """From a full set of limits on inputs of the same kind; `own` is the library's output."""
        if expected.exact or expected.limit is None:
            return cls(0.0, 0.0, per_row=False)
        scale = _largest(expected.reference, expected.tolerance.per_row)
        error = (own.to(expected.reference.dtype) - expected.reference).abs()
        room = float((expected.limit / scale).max()) + float((error / scale).max())
        mean = expected.rms_limit + expected.own_rms
        return cls(_ROOM * room, _MEAN_ROOM * mean, expected.tolerance.per_row)

    def look(self, name: str, output: torch.Tensor, own: torch.Tensor) -> Judgement:
        """The verdict on one output; `own` is the library's on the same inputs."""
        import torch

        if dtypes.of(output).exact or self.largest == 0.0:
            wrong = int((dtypes.bits(output) != dtypes.bits(own)).sum())
            if not wrong:
                return Judgement(0.0)
            return Judgement(float("inf"), f"{wrong} values of {name} are not what it computes")
        if output.is_complex():
            output, own = torch.view_as_real(output), torch.view_as_real(own)
        wide = torch.promote_types(own.dtype, torch.float32)
        own = own.to(wide)
        difference = output.to(wide) - own
        scale = _largest(own, self.per_row)
        worst = float((difference.abs() / scale).max()) / self.largest
        norm = float(own.square().mean().sqrt()) or 1.0
        mean = float(difference.square().mean().sqrt()) / norm / self.mean
        error = max(worst, mean)
        if error <= 1.0:
            return Judgement(error)
        return Judgement(
            error if error == error else float("inf"),
            f"{name} is not what it computes: off by {error:.3g} times what rounding can explain",
        )


def _largest(tensor: torch.Tensor, per_row: bool) -> torch.Tensor:
    size = tensor.abs()
    whole = size.square().mean().sqrt().clamp_min(1e-300)
    largest = size.amax(-1, keepdim=True) if per_row and size.dim() else size.max()
    return largest.clamp_min(float(ROW_SCALE_FLOOR * whole) or 1e-300)
