"""Judges an output against the high-precision reference, by a good library's own error.

Floating point passes three rules, each with the task's `Tolerance`:

- the row rule, a guard against single wrong values: no element of a row (the last dimension) is off
  by more than `factor` times the library's largest error in that row plus `floor` times the row's
  largest value. Where the library happened to round a row well, the error that nine in ten of
  its rows keep within counts instead, each in units of its row's largest value: an equally good
  kernel that adds in another order is lucky in other rows;
- the mean rule, which sees lost precision: the root mean square of the errors, each in units of its
  row's root mean square, is at most `rms_factor` times the library's plus `rms_floor`. The
  library's counts at least as much as one rounding to the output's dtype costs;
- the bias rule, which sees truncation: the mean of the signed errors (away from zero is positive)
  is at most `bias` times what the mean rule allows, beyond the library's own bias.

Integers and booleans must be equal to the reference. What jumps between near ties (`near_ties`) is
judged where the reference is sure. Where the reference is not finite in the
output's dtype, the output must be the same infinity, or NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avo_tui.evaluation.measurement import dtypes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

ROW_SCALE_FLOOR = 1e-2
"""A row's scale is at least this part of the tensor's, so that rows near zero may be near zero."""
USUAL = 0.9
"""Part of the rows whose error the library's usual one covers: a few bad rows do not move it."""
ONE_ROUNDING = 0.2
"""Root mean square of rounding to a dtype, in units of its epsilon and of the values' own root mean
square: 0.21 for normally distributed values."""
CHANCE = 4.0
"""Standard deviations by which the mean of unbiased errors may be off zero by chance."""


@dataclass(frozen=True)
class Tolerance:
    """How far an output may be from the high-precision reference; the rules are the module's."""

    factor: float = 2.0
    """Row rule: times the library's largest error in the row, or its typical one."""
    floor: float = 1e-5
    """Row rule: times the row's largest value, beyond that."""
    rms_factor: float = 1.4
    """Mean rule: times the library's root mean square error."""
    rms_floor: float = 1e-6
    """Mean rule: times the scale, beyond that."""
    max_error_ratio: float | None = None
    """Mean rule: times the library's root mean square error that it may be at most, floor or not,
    beyond what chance explains."""
    per_row: bool = True
    """False takes the whole tensor for one row."""
    bias: float = 0.5
    """Bias rule: the part of what the mean rule allows that may be one-sided."""
    exact: bool = False
    """True asks floating-point outputs, too, to equal the reference rounded to their dtype."""


@dataclass(frozen=True)
class Judgement:
    """How far an output is from what is expected of it."""

    error: float
    """Largest error in units of the tolerance; at most 1 passes. Infinite for NaN."""
    detail: str = ""
    """Where and by how much it fails, for a person; empty where it passes. Tells the shape."""
    reason: str = ""
    """What fails, in one sentence that tells nothing of the shape."""
    error_ratio: float | None = None
    """Root mean square error over the library's own; None where that makes none, where the output
    is compared exactly, and where single values are wrong."""

    @property
    def ok(self) -> bool:
        return self.error <= 1.0


@dataclass(frozen=True)
class Expected:
    """What one output is judged by: made once for a set of inputs, used for any candidate."""

    reference: torch.Tensor
    """In high precision; of the output's dtype where that is compared exactly."""
    tolerance: Tolerance
    axes: tuple[str, ...] = ()
    """Names of the dimensions, for a person."""
    exact: bool = False
    limit: torch.Tensor | None = None
    """Allowed error, of each row or of all."""
    scale: torch.Tensor | None = None
    """Root mean square of the reference, of each row or of all."""
    rms_limit: float = 0.0
    bias_limit: float = 0.0
    own_rms: float = 0.0
    """The library's, in units of the scale."""
    unsure: Callable[[], torch.Tensor | None] | None = None
    """Says where the output may be anything, because the reference chooses between near ties; asked
    only where a judgement fails. None where nothing may."""

    def bytes(self) -> int:
        held = (self.reference, self.limit, self.scale)
        return sum(t.numel() * t.element_size() for t in held if t is not None)


def expect(
    reference: torch.Tensor,
    own: torch.Tensor,
    tolerance: Tolerance,
    axes: Sequence[str] = (),
) -> Expected:
    """The limits for one output.

    `own` is the same computation by a good library, in the output's dtype; `axes` names the
    dimensions. Both tensors have the output's shape.
    """
    import torch

    kind = dtypes.of(own)
    if kind.exact or tolerance.exact:
        return Expected(reference.to(own.dtype), tolerance, tuple(axes), exact=True)
    reference, own_wide = _real(reference), _real(own)
    reference = reference.to(_working(reference, own_wide))
    finite = own_wide.isfinite() & reference.isfinite()
    known = torch.where(finite, reference, 0)
    error = torch.where(finite, own_wide.to(reference.dtype) - reference, 0)
    whole = float(known.square().mean().sqrt())
    # A tensor that is zero throughout has no scale: its limits are the library's own error then.
    least = ROW_SCALE_FLOOR * whole
    largest = _over_rows(known.abs(), tolerance, "amax").clamp_min(least)
    scale = _over_rows(known.square(), tolerance, "mean").sqrt().clamp_min(least)
    own_largest = _over_rows(error.abs(), tolerance, "amax")
    limit = tolerance.factor * own_largest.maximum(_usual(own_largest, largest) * largest)
    limit = limit + tolerance.floor * largest
    rms, bias = _means(error, known, scale)
    rounding = ONE_ROUNDING * torch.finfo(own_wide.dtype).eps
    rms_limit = tolerance.rms_factor * max(rms, rounding) + tolerance.rms_floor
    chance = CHANCE * max(rms, rounding) / math.sqrt(max(1, scale.numel()))
    if tolerance.max_error_ratio is not None:
        rms_limit = min(rms_limit, tolerance.max_error_ratio * max(rms, rounding) + chance)
    bias_limit = abs(bias) + tolerance.bias * rms_limit + chance
    return Expected(
        reference, tolerance, tuple(axes), False, limit, scale, rms_limit, bias_limit, rms
    )


def judge_each(
    outputs: Mapping[str, torch.Tensor], expected: Mapping[str, Expected], salt: int = 0
) -> Judgement:
    """Of the first output that fails; where none does, the largest figures of all."""
    error, ratios = 0.0, []
    for name, output in outputs.items():
        judgement = judge(name, output, expected[name], salt)
        if not judgement.ok:
            return judgement
        error = max(error, judgement.error)
        ratios.append(judgement.error_ratio)
    return Judgement(error, error_ratio=max((r for r in ratios if r is not None), default=None))


def judge(name: str, output: torch.Tensor, expected: Expected, salt: int = 0) -> Judgement:
    """Compares one output with what is expected of it, where that is sure.

    `salt` is what the output was poisoned with before the run. Raises ValueError for an output of
    another shape: that is the harness's mistake.
    """
    judgement = _judge_all(name, output, expected, salt)
    if judgement.ok or expected.unsure is None or (mask := expected.unsure()) is None:
        return judgement
    sure = expected.reference.to(output.dtype).to(output.device)
    mask = mask.to(output.device) & ~dtypes.unwritten(output, salt)
    return _judge_all(name, sure.where(mask, output), expected, salt)


def _judge_all(name: str, output: torch.Tensor, expected: Expected, salt: int) -> Judgement:
    if expected.exact:
        return _judge_exactly(name, output, expected, salt)
    out = _real(output)
    if out.shape != expected.reference.shape:
        raise ValueError(
            f"{name} has shape {tuple(out.shape)}, not {tuple(expected.reference.shape)}"
        )
    import torch

    reference = expected.reference
    rounded = reference.to(out.dtype)
    finite = out.isfinite()
    wanted = rounded.isfinite()
    same = (out == rounded) | (out.isnan() & rounded.isnan())
    broken = (~finite & wanted) | (~wanted & ~same)
    if bool(broken.any()):
        return _not_finite(name, output, broken, expected, salt)
    assert expected.limit is not None and expected.scale is not None
    both = finite & wanted
    error = torch.where(both, out.to(reference.dtype) - reference, 0)
    ratio = _ratio(error.abs(), expected.limit)
    largest = float(ratio.max()) if ratio.numel() else 0.0
    known = torch.where(both, reference, 0)
    rms, bias = _means(error, known, expected.scale)
    if largest > 1:
        return _wrong_values(name, out, error, ratio, expected)
    by_mean, by_bias = _quotient(rms, expected.rms_limit), _quotient(abs(bias), expected.bias_limit)
    worst = max(largest, by_mean, by_bias)
    ratio_of_means = rms / expected.own_rms if expected.own_rms else None
    if worst <= 1:
        return Judgement(worst, error_ratio=ratio_of_means)
    if by_mean > 1:
        times = "" if ratio_of_means is None else f", {ratio_of_means:.2f} times the library's"
        return Judgement(
            by_mean,
            f"{name}: the root mean square error is {rms:.3g} of a row's scale{times}; "
            f"{expected.rms_limit:.3g} is allowed: precision is lost somewhere",
            "Its root mean square error is beyond the tolerance: precision is lost.",
            ratio_of_means,
        )
    side = "away from" if bias > 0 else "towards"
    return Judgement(
        by_bias,
        f"{name}: the errors lean {side} zero by {abs(bias):.3g} of a row's scale on average; "
        f"{expected.bias_limit:.3g} is allowed: something truncates where it should round",
        "Its errors lean to one side: something truncates where it should round.",
        ratio_of_means,
    )


def place(name: str, mask: torch.Tensor) -> str:
    """The first true entry of a mask, such as `o[0, 77, 3, 5]`."""
    flat = int(mask.flatten().byte().argmax())
    indices = []
    for size in reversed(mask.shape):
        indices.append(flat % size)
        flat //= size
    return f"{name}[{', '.join(map(str, reversed(indices)))}]"


def _real(tensor: torch.Tensor) -> torch.Tensor:
    """Complex numbers as pairs; 8-bit floats, which lack most operations, widened exactly."""
    import torch

    if tensor.is_complex():
        return torch.view_as_real(tensor)
    return tensor.half() if tensor.element_size() == 1 and tensor.is_floating_point() else tensor


def _working(reference: torch.Tensor, own: torch.Tensor) -> torch.dtype:
    """At least f32, and at least as wide as either."""
    import torch

    wide = torch.promote_types(reference.dtype, own.dtype)
    return torch.promote_types(wide, torch.float32)


def _over_rows(values: torch.Tensor, tolerance: Tolerance, how: str) -> torch.Tensor:
    """The largest or mean value of each row, or of all, broadcastable to `values`."""
    rows = tolerance.per_row and values.dim() > 0
    if not values.numel():
        return values.new_zeros(())
    if how == "amax":
        return values.amax(-1, keepdim=True) if rows else values.max()
    return values.mean(-1, keepdim=True) if rows else values.mean()


def _usual(error: torch.Tensor, largest: torch.Tensor) -> float:
    """The largest error of a row, in units of its largest value, that `USUAL` of the rows keep."""
    relative = _ratio(error, largest).flatten()
    if not relative.numel():
        return 0.0
    return float(relative.kthvalue(max(1, math.ceil(USUAL * relative.numel()))).values)


def _means(
    error: torch.Tensor, reference: torch.Tensor, scale: torch.Tensor
) -> tuple[float, float]:
    """(root mean square, signed mean) of the errors in units of the scale; 0 where it is 0 / 0."""
    import torch

    if not error.numel():
        return 0.0, 0.0
    relative = error / scale.clamp_min(torch.finfo(scale.dtype).tiny)
    return float(relative.square().mean().sqrt()), float((relative * reference.sign()).mean())


def _ratio(error: torch.Tensor, limit: torch.Tensor) -> torch.Tensor:
    """error / limit; no error is within any limit, and any error beyond a limit of zero."""
    import torch

    return torch.where(error == 0, 0, error / limit)


def _quotient(value: float, limit: float) -> float:
    """As `_ratio`, of two numbers."""
    if value == 0:
        return 0.0
    return value / limit if limit > 0 else math.inf


def _judge_exactly(name: str, output: torch.Tensor, expected: Expected, salt: int) -> Judgement:
    reference = expected.reference
    if output.shape != reference.shape:
        raise ValueError(f"{name} has shape {tuple(output.shape)}, not {tuple(reference.shape)}")
    wrong = dtypes.bits(output) != dtypes.bits(reference)
    if output.is_floating_point():
        wrong &= ~(output.isnan() & reference.isnan()) & (output != reference)
    count = int(wrong.sum())
    if not count:
        return Judgement(0.0)
    first = int(wrong.flatten().byte().argmax())
    got, wanted = output.flatten()[first].item(), reference.flatten()[first].item()
    detail = f"{place(name, wrong)} is {got}, expected {wanted}"
    never = int((dtypes.unwritten(output, salt) & wrong.reshape(output.shape)).sum())
    if never:
        detail += f"; {never} of {output.numel()} elements seem never to have been written"
    detail += f"; {_extent(wrong, expected.axes)}"
    return Judgement(math.inf, detail, f"{name} must be exact, and is not.")


def _wrong_values(
    name: str, out: torch.Tensor, error: torch.Tensor, ratio: torch.Tensor, expected: Expected
) -> Judgement:
    assert expected.limit is not None
    worst = ratio == ratio.max()
    flat = int(worst.flatten().byte().argmax())
    limit = float(expected.limit.expand_as(error).flatten()[flat])
    detail = (
        f"{place(name, worst)} is {float(out.flatten()[flat]):.6g}, expected "
        f"{float(expected.reference.flatten()[flat]):.6g}: off by "
        f"{abs(float(error.flatten()[flat])):.2e}, allowed {limit:.1e}; "
        f"{_extent(ratio > 1, expected.axes)}"
    )
    return Judgement(float(ratio.max()), detail, "Its error is beyond the tolerance.")


def _not_finite(
    name: str, output: torch.Tensor, broken: torch.Tensor, expected: Expected, salt: int
) -> Judgement:
    first = int(broken.flatten().byte().argmax())
    got = float(_real(output).flatten()[first])
    wanted = float(expected.reference.flatten()[first])
    detail = f"{place(name, broken)} is {got}, expected {wanted:.6g}"
    unwritten = int(dtypes.unwritten(output, salt).sum())
    if unwritten:
        detail += f"; {unwritten} of {output.numel()} elements were never written"
    detail += f"; {_extent(broken, expected.axes)}"
    reason = "It is not finite." if unwritten or not math.isfinite(got) else "It is not infinite."
    return Judgement(math.inf, detail, reason)


def _extent(wrong: torch.Tensor, axes: Sequence[str]) -> str:
    """How many values are wrong, in how many rows, and which part of each dimension they span."""
    text = f"{int(wrong.sum())} of {wrong.numel()} values are wrong"
    if wrong.dim() < 2:
        return text
    rows = wrong.any(dim=-1)
    text += f", in {int(rows.sum())} of {rows.numel()} rows"
    parts = []
    for axis, size in enumerate(rows.shape):
        name = axes[axis] if axis < len(axes) else f"axis {axis}"
        hit = rows.movedim(axis, 0).reshape(size, -1).any(dim=1).nonzero().flatten()
        low, high = int(hit[0]), int(hit[-1])
        if len(hit) == size:
            parts.append(f"every {name}")
        else:
            parts.append(f"{name} {low}" if low == high else f"{name} {low}…{high}")
    return f"{text} ({', '.join(parts)})"


_ROOM, _MEAN_ROOM = 1.5, 1.3


@dataclass(frozen=True)
class Glance:
    """How far an output may be from the library's, relative to a row's scale.

    A reference in high precision costs many times as much as a call, so most timed outputs are
    compared with the library's output for the same inputs, which is computed for timing anyway. The
    limits are derived from a full judgement: what passes that comfortably passes here, and what
    exceeds its limits by half does not.
    """

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
