"""Judging outputs: the error of a candidate against that of a good library in the same dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui.domain.base import Value
from avo_tui.evaluation.task import Tolerance

if TYPE_CHECKING:
    import torch


POISON = 0x7FC1
"""What 16-bit outputs hold before a run: a NaN that no arithmetic gives."""


class Judgement(Value):
    """What was found on one output."""

    ok: bool
    error: float
    """Largest error in units of the tolerance; at most 1 passes. Infinite for NaN."""
    detail: str = ""
    """Where and by how much it fails; empty where it does not."""
    reason: str = ""
    """What fails, in one sentence that tells nothing of the shape."""


def judge(
    name: str,
    out: torch.Tensor,
    reference: torch.Tensor,
    own: torch.Tensor,
    tolerance: Tolerance,
    poison: int | None = None,
) -> Judgement:
    """Compares `out` with `reference` by the measure of `own`, row by row (the last dimension).

    `own` is the same computation by a library in the output's dtype. `poison` is the bit pattern
    (16 bits) that the output was filled with before the run: it tells what was never written.
    """
    import torch

    finite = torch.isfinite(out)
    if not bool(finite.all()):
        return _not_finite(name, out, finite, poison)
    error = (out.float() - reference).abs_()
    own_error = (own.float() - reference).abs_()
    scale = reference.abs().amax(dim=-1)
    if not tolerance.per_row:
        scale = scale.max().expand_as(scale)
    worst = error.amax(dim=-1)
    limit = tolerance.factor * own_error.amax(dim=-1) + tolerance.floor * scale
    relative = worst / limit.clamp_min_(torch.finfo(torch.float32).tiny)
    # Rows count alike in the root mean square: each is measured by its own scale.
    weight = scale.clamp_min_(torch.finfo(torch.float32).tiny)[..., None]
    rms = float((error / weight).square_().mean().sqrt())
    own_rms = float((own_error / weight).square_().mean().sqrt())
    rms_limit = tolerance.rms_factor * own_rms + tolerance.rms_floor
    by_row = float(relative.max())
    if by_row > 1:
        index = _index(int(relative.argmax()), relative)
        column = int(error[index].argmax())
        place = (*index, column)
        wrong = int((relative > 1).sum())
        return Judgement(
            ok=False,
            error=by_row,
            detail=(
                f"{name}[{', '.join(map(str, place))}] is {float(out[place]):.6g}, expected "
                f"{float(reference[place]):.6g}; the error {float(error[place]):.3g} is "
                f"{by_row:.3g} times the tolerance of its row; {wrong} of {relative.numel()} rows "
                f"are wrong ({_where(relative > 1)})"
            ),
            reason="Its error is beyond the tolerance.",
        )
    if rms > rms_limit:
        return Judgement(
            ok=False,
            error=rms / rms_limit,
            detail=(
                f"{name}: the root mean square error is {rms:.3g} of a row's scale, "
                f"{rms / max(own_rms, 1e-30):.2f} times that of the library in the same dtype; "
                f"{tolerance.rms_factor} times is allowed: precision is lost somewhere"
            ),
            reason="Its root mean square error is beyond the tolerance: precision is lost.",
        )
    return Judgement(ok=True, error=max(by_row, rms / rms_limit))


def _not_finite(
    name: str, out: torch.Tensor, finite: torch.Tensor, poison: int | None
) -> Judgement:
    import torch

    bad = ~finite
    count = int(bad.sum())
    place = _index(int(bad.flatten().to(torch.uint8).argmax()), bad)
    detail = f"{name}[{', '.join(map(str, place))}] is {float(out[place])}"
    if poison is not None and out.element_size() == 2:
        unwritten = int((out.view(torch.int16) == poison).sum())
        if unwritten:
            detail += f"; {unwritten} of {out.numel()} elements were never written"
    detail += f"; {count} are not finite ({_where(bad.any(dim=-1))})"
    return Judgement(ok=False, error=float("inf"), detail=detail, reason="It is not finite.")


def _index(flat: int, tensor: torch.Tensor) -> tuple[int, ...]:
    place: list[int] = []
    for size in reversed(tensor.shape):
        place.append(flat % size)
        flat //= size
    return tuple(reversed(place))


def _where(rows: torch.Tensor) -> str:
    """Which batches, positions and heads the true entries of a (batch, seq, heads) mask span."""
    names = ("batch", "seq", "head") if rows.dim() == 3 else tuple(map(str, range(rows.dim())))
    parts = []
    for axis, name in enumerate(names):
        others = [a for a in range(rows.dim()) if a != axis]
        hit = rows.any(dim=others[0]) if others else rows
        for other in others[1:]:
            hit = hit.any(dim=other - 1)
        found = hit.nonzero().flatten()
        low, high = int(found[0]), int(found[-1])
        if len(found) == rows.shape[axis]:
            parts.append(f"every {name}")
        else:
            parts.append(f"{name} {low}" if low == high else f"{name} {low}…{high}")
    return ", ".join(parts)
