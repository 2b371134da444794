"""GPU kernels in bf16 and fp16 as they round, computed by torch on the processor.

Products of bf16 or fp16 are exact in fp32, sums are in fp32, and what a kernel keeps in half
precision is rounded there. Tiles are added in their order; within a tile the order is torch's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.problems import dropout, dropout_mask
from avo_tui.evaluation.problems.attention_cuda import PROBLEM
from benchmarks.verdict_margins.variants import Variant

if TYPE_CHECKING:
    Tensors = dict[str, torch.Tensor]

Round = Callable[[torch.Tensor], torch.Tensor]

TASKS = (
    "mha_forward",
    "mha_forward_lse",
    "gqa_forward",
    "sparse_rnn",
    "dropout_attention",
    "dropout_attention_fp8",
    "attention_backward",
)
"""The tasks whose kernels are emulated here."""


def bf16(x: torch.Tensor) -> torch.Tensor:
    """Rounds to bf16 and back."""
    return x.bfloat16().to(x.dtype)


def fp16(x: torch.Tensor) -> torch.Tensor:
    """Rounds to fp16 and back."""
    return x.half().to(x.dtype)


def fp8(x: torch.Tensor) -> torch.Tensor:
    """Rounds to fp8 with three bits behind the first and back."""
    return x.to(torch.float8_e4m3fn).to(x.dtype)


def keep(x: torch.Tensor) -> torch.Tensor:
    """No rounding."""
    return x


def bits(count: int) -> Round:
    """Rounds to so many bits behind the first."""

    def cut(x: torch.Tensor) -> torch.Tensor:
        mantissa, exponent = torch.frexp(x)
        return torch.ldexp((mantissa * 2 ** (count + 1)).round() / 2 ** (count + 1), exponent)

    return cut


def truncated(x: torch.Tensor) -> torch.Tensor:
    """The upper half of each fp32."""
    return (x.contiguous().view(torch.int32) & ~0xFFFF).view(torch.float32)


def cut_to(count: int) -> Round:
    """Keeps so many bits behind the first and cuts the rest off, as sums of 8-bit products are."""

    def cut(x: torch.Tensor) -> torch.Tensor:
        return (x.contiguous().view(torch.int32) & -1 << 23 - count).view(torch.float32)

    return cut


def cubic(x: torch.Tensor) -> torch.Tensor:
    """2^x by a polynomial of degree three of the fraction, off by 9e-5, as in FlashAttention-4."""
    whole = x.floor().clamp_min(-126)
    f = x - whole
    near = 1.0 + f * (0.695146143 + f * (0.227564394 + f * 0.077119090))
    return torch.where(x < -126, 0, torch.ldexp(near, whole.to(torch.int32)))


def parabola(x: torch.Tensor) -> torch.Tensor:
    """2^x by a polynomial of degree two on the fraction, off by 2e-3."""
    whole = x.floor().clamp_min(-126)
    f = x - whole
    near = 1.0025 + f * (0.6510 + f * 0.3440)
    return torch.where(x < -126, 0, torch.ldexp(near, whole.to(torch.int32)))


@dataclass(frozen=True)
class Attention:
    """How one attention kernel computes."""

    tile: int = 64
    """Keys at a time."""
    backwards: bool = False
    """From the last tile to the first."""
    parts: int = 1
    """Parts of the keys that are computed apart and put together at the end."""
    lag: float = 0.0
    """The maximum is raised only where it grew by more than this, in powers of two."""
    exp2: Round = torch.exp2
    scores: Round = keep
    weights: Round = bf16
    """Applied to the weights that values are multiplied by, not to those of the sum."""
    sum_rounded: bool = False
    """The sum, too, is of rounded weights."""
    sums: Round = keep
    """Applied to the sum of weights after each tile."""
    output: Round = keep
    """Applied before the output is rounded."""
    lse: bool = False
    """Whether it writes the log-sum-exp of each row, too."""

    def __call__(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        q, k, v = (inputs[n].float().transpose(1, 2) for n in ("q", "k", "v"))
        group = q.shape[1] // k.shape[1]
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        causal, length = bool(configuration.parameters["causal"]), k.shape[2]
        starts = list(range(0, length, self.tile))
        if self.backwards:
            starts.reverse()
        each = -(-len(starts) // self.parts)
        done = [
            self._part(q, k, v, causal, starts[i : i + each]) for i in range(0, len(starts), each)
        ]
        top = torch.stack([m for m, _, _ in done]).amax(0).clamp_min(-1e30)
        total = torch.as_tensor(sum(torch.exp2(m - top) * s for m, s, _ in done))
        out = sum(torch.exp2(m - top) * o for m, _, o in done)
        result = self.output(torch.as_tensor(out) / total)
        outputs = {"o": result.to(inputs["q"].dtype).transpose(1, 2)}
        if self.lse:
            outputs["lse"] = (top + torch.log2(total))[..., 0] * math.log(2.0)
        return outputs

    def _part(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool, starts: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Maximum in powers of two, sum and unnormalised output of some tiles of keys."""
        rows = torch.arange(q.shape[2])[:, None]
        top = torch.full((*q.shape[:3], 1), -math.inf)
        total, out = torch.zeros_like(top), torch.zeros_like(q)
        scale = PROBLEM.scale * math.log2(math.e)
        for start in starts:
            keys = k[:, :, start : start + self.tile]
            s = self.scores(q @ keys.transpose(-1, -2)) * scale
            if causal:
                columns = start + torch.arange(keys.shape[2])
                s = s.masked_fill(columns > rows, -math.inf)
            here = s.amax(-1, keepdim=True)
            raised = torch.where(here > top + self.lag, torch.maximum(top, here), top)
            used = raised.clamp_min(-1e30)  # a row that has seen no key yet
            shrink = torch.exp2(top - used)
            p = torch.where(s == -math.inf, 0, self.exp2(s - used))
            rounded = self.weights(p)
            seen = rounded if self.sum_rounded else p
            total = self.sums(total * shrink + seen.sum(-1, keepdim=True))
            out = out * shrink + rounded @ v[:, :, start : start + self.tile]
            top = raised
        return top, total, out


HONEST = {
    "tiles of 64": Attention(),
    "tiles of 128, backwards": Attention(128, backwards=True),
    "tiles of 32": Attention(32),
    "sum of rounded weights": Attention(sum_rounded=True),
    "maximum that lags by 2^8": Attention(128, lag=8.0),
    "lagging, 2^x by a cubic": Attention(128, lag=8.0, exp2=cubic),
    "keys in two parts": Attention(parts=2),
    "keys in four parts of 32": Attention(32, parts=4),
    "weights in fp32": Attention(weights=keep),
}
WRONG = {
    "weights in fp8": Attention(weights=fp8),
    "weights with 6 bits": Attention(weights=bits(6)),
    "weights with 5 bits": Attention(weights=bits(5)),
    "weights truncated": Attention(weights=truncated),
    "2^x by a parabola": Attention(exp2=parabola),
    "scores in bf16": Attention(scores=bf16),
    "sum in bf16": Attention(sums=bf16),
    "output truncated": Attention(output=truncated),
    "output in fp8": Attention(output=fp8),
}


def attention(lse: bool = False) -> Iterator[Variant]:
    """Kernels of mha_forward and gqa_forward; with `lse`, of mha_forward_lse."""
    for name, how in HONEST.items():
        yield Variant(name, True, replace(how, lse=lse))
    for name, how in WRONG.items():
        yield Variant(name, False, replace(how, lse=lse), "precision")


@dataclass(frozen=True)
class Backward:
    """How one kernel of attention_backward computes: weights, their gradients, sums by blocks."""

    weights: Round = bf16
    gradients: Round = bf16
    """Applied to dS before it is multiplied."""
    output: Round = keep
    block: int = 64
    """Queries that are added to dK and dV at a time."""
    centred: bool = True
    """Whether the sum of dO and O is taken off."""

    def __call__(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        q, k, v, o, do = (inputs[n].float().transpose(1, 2) for n in ("q", "k", "v", "o", "do"))
        group, length = q.shape[1] // k.shape[1], q.shape[2]
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        places = torch.arange(length)
        for b in range(q.shape[0]):
            for h in range(q.shape[1]):
                keys, values = k[b, h // group], v[b, h // group]
                for first in range(0, length, self.block):
                    rows = slice(first, min(length, first + self.block))
                    p = torch.exp(
                        q[b, h, rows] @ keys.T * PROBLEM.scale - inputs["lse"][b, h, rows, None]
                    )
                    if configuration.parameters["causal"]:
                        p = p.masked_fill(places[None] > places[rows, None], 0.0)
                    ds = do[b, h, rows] @ values.T
                    if self.centred:
                        ds = ds - (do[b, h, rows] * o[b, h, rows]).sum(-1, keepdim=True)
                    ds = self.gradients(ds * p)
                    dv[b, h // group] += self.weights(p).T @ do[b, h, rows]
                    dk[b, h // group] += ds.T @ q[b, h, rows]
                    dq[b, h, rows] = ds @ keys
        dq, dk = dq * PROBLEM.scale, dk * PROBLEM.scale
        named = {"dq": dq, "dk": dk, "dv": dv}
        return {n: self.output(t).bfloat16().transpose(1, 2) for n, t in named.items()}


def backward() -> Iterator[Variant]:
    """Kernels of attention_backward."""
    yield Variant("blocks of 64 queries", True, Backward())
    yield Variant("blocks of 128 queries", True, Backward(block=128))
    yield Variant("dS kept in fp32", True, Backward(gradients=keep))
    yield Variant("weights in fp8", False, Backward(weights=fp8), "precision")
    yield Variant("dS in fp8", False, Backward(gradients=fp8), "precision")
    yield Variant("weights with 5 bits", False, Backward(weights=bits(5)), "precision")
    yield Variant("outputs truncated", False, Backward(output=truncated), "precision")
    yield Variant("dS not centred", False, Backward(centred=False), "mistake")


@dataclass(frozen=True)
class Recurrence:
    """How one kernel of sparse_rnn computes a step: tanh(W h + x)."""

    parts: int = 1
    """Parts of a row that are added up apart, in turn."""
    interleaved: bool = False
    first: bool = False
    """x is what the sum begins with, not what is added at its end."""
    sums: Round = keep
    """Applied to the running sum after each part."""
    state: Round = fp16
    """Applied to the state that is handed to the next step."""
    weight: Round = keep

    def __call__(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        w = self.weight(inputs["w"].float())
        size = w.shape[1]
        order = torch.arange(size)
        groups = [order[i :: self.parts] for i in range(self.parts)]
        if not self.interleaved:
            groups = list(order.tensor_split(self.parts))
        columns = [w[:, g].T.contiguous() for g in groups]
        state, out = inputs["h0"].float(), torch.empty_like(inputs["x"])
        for step, x in enumerate(inputs["x"].float()):
            total = x if self.first else torch.zeros_like(x)
            for g, part in zip(groups, columns, strict=True):
                total = self.sums(total + state[:, g] @ part)
            value = torch.tanh(total if self.first else total + x)
            state = self.state(value)
            out[step] = state
        return {"o": out}


def recurrence() -> Iterator[Variant]:
    """Kernels of sparse_rnn."""
    yield Variant("one sum", True, Recurrence())
    yield Variant("eight parts in turn", True, Recurrence(8))
    yield Variant("32 interleaved parts", True, Recurrence(32, interleaved=True))
    yield Variant("x first, 16 parts", True, Recurrence(16, first=True))
    yield Variant("state kept in fp32", True, Recurrence(state=keep))
    yield Variant("state in bf16", False, Recurrence(state=bf16), "precision")
    yield Variant("weights in bf16", False, Recurrence(weight=bf16), "precision")
    yield Variant("weights in fp8", False, Recurrence(weight=fp8), "precision")
    yield Variant("sums in fp16", False, Recurrence(16, sums=fp16), "precision")


@dataclass(frozen=True)
class Dropped:
    """How one kernel of the tasks with dropout computes: projection, mask, attention."""

    attention: Attention = Attention()
    chunk: int = 0
    """Columns of the hidden size that the projection adds at a time; 0 for all at once."""
    summed: Round = keep
    """How the sums of the projection are rounded after each chunk."""
    projected: Round = bf16
    rescaled_by: float = 1.0
    """What kept weights are multiplied by before they are rounded."""

    def __call__(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        x, w = inputs["x"].float(), inputs["w"].float()
        chunk = self.chunk or x.shape[-1]
        y = torch.zeros(*x.shape[:-1], len(w))
        for i in range(0, x.shape[-1], chunk):
            y = self.summed(y + x[..., i : i + chunk] @ w[:, i : i + chunk].T)
        if "x_scale" in inputs:
            y = y * (inputs["x_scale"] * inputs["w_scale"])
        q, k, v = dropout.project(configuration, self.projected(y))
        heads, length, group = q.shape[1], q.shape[2], q.shape[1] // k.shape[1]
        out = torch.empty(q.shape[0], length, heads, q.shape[-1])
        scale = dropout.SCALE * math.log2(math.e)
        how = self.attention
        for b in range(q.shape[0]):
            for h in range(heads):
                keys, values = k[b, h // group], v[b, h // group]
                kept = dropout_mask.keep_mask(inputs["seed"], b * heads + h, 0, length, length)
                s = how.scores(q[b, h] @ keys.T) * scale
                top = torch.full((length, 1), -math.inf)
                total, sums = torch.zeros(length, 1), torch.zeros_like(q[b, h])
                for i in range(0, length, how.tile):
                    part = s[:, i : i + how.tile]
                    here = part.amax(-1, keepdim=True)
                    raised = torch.where(here > top + how.lag, torch.maximum(top, here), top)
                    shrink, p = torch.exp2(top - raised), how.exp2(part - raised)
                    rounded = how.weights(p * self.rescaled_by) * kept[:, i : i + how.tile]
                    total = how.sums(total * shrink + p.sum(-1, keepdim=True))
                    sums = sums * shrink + rounded @ values[i : i + how.tile]
                    top = raised
                keep_share = 1.0 - dropout_mask.DROPOUT
                out[b, :, h] = how.output(sums / (total * keep_share * self.rescaled_by))
        return {"o": out.bfloat16()}


def dropped(*, fp8_operands: bool) -> Iterator[Variant]:
    """Kernels of dropout_attention, or of dropout_attention_fp8."""
    plain = Dropped()
    yield Variant("projection at once", True, plain)
    yield Variant("projection in steps of 64", True, replace(plain, chunk=64))
    yield Variant("projection in steps of 16", True, replace(plain, chunk=16))
    lagging = Attention(128, lag=8.0)
    yield Variant("maximum that lags by 2^8", True, replace(plain, chunk=64, attention=lagging))
    scaled = replace(plain, chunk=64, rescaled_by=1.0 / (1.0 - dropout_mask.DROPOUT))
    yield Variant("kept weights scaled first", True, scaled)
    for name in ("weights in fp8", "weights with 5 bits", "output truncated", "2^x by a parabola"):
        yield Variant(name, False, replace(plain, attention=WRONG[name]), "precision")
    yield Variant("projection in fp8", False, replace(plain, projected=fp8), "precision")
    if fp8_operands:
        by_32 = replace(plain, chunk=32)
        yield Variant("sums with 13 bits", True, replace(by_32, summed=cut_to(13)))
        yield Variant("sums in bf16", False, replace(by_32, summed=bf16), "precision")
