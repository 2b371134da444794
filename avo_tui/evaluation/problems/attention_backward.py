"""Attention backward in bf16, head_dim 128: dQ, dK, dV from Q, K, V, O, the log-sum-exp and dO.

With P = exp(QKᵀ/√128 − lse), masked where causal, and D = Σ dO ∘ O over head_dim:
dV = Pᵀ dO, dS = P ∘ (dO Vᵀ − D), dQ = dS K / √128, dK = dSᵀ Q / √128; grouped queries add up in the
head of keys and values that they share. O and the log-sum-exp are what a forward pass left, and
count as given: a kernel is judged by these formulas on the very numbers that it reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.launch_plan import TensorSpec
from avo_tui.evaluation.backends.cuda.manual import manual
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.problems.attention import SCORE_BLOCK
from avo_tui.evaluation.problems.attention_cuda import HEAD_DIM, PROBLEM
from avo_tui.evaluation.task import Perturbation, Tolerance

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Baseline, Tensors

APART = 0.125
"""By how much O is apart from the forward pass's, as a part of each value. Where a row rests on one
key, as every causal row 0 does, its gradients are zero for an exact O: all that a kernel gives is
the rounding of two equal sums, which says nothing of it."""

GRADIENTS = {"dq": "q", "dk": "k", "dv": "v"}
"""Output → the input that it is the gradient of."""


def describe(scored: str) -> str:
    """The description of a task: the problem, its contract, and the manual."""
    return f"""# Attention backward
The gradients of O = softmax(Q Kᵀ / √128) V in bf16, head_dim 128, accumulated in fp32:

    P = exp(Q Kᵀ / √128 − lse)          # causal: 0 where the key comes after the query
    D = sum over head_dim of dO ∘ O
    dV = Pᵀ dO      dS = P ∘ (dO Vᵀ − D)      dQ = dS K / √128      dK = dSᵀ Q / √128

`o` and `lse` are what the forward pass left: O in bf16, and the natural logarithm of each row's
sum of exponentials. In the inputs here O is a little apart from softmax(Q Kᵀ / √128) V, so that no
row's gradient is zero by chance; the formulas hold for the numbers that are given. P and dS may be
rounded to bf16 before they are multiplied.
Query head h reads key/value head h // `GROUP`; the gradients of a group add up in `dk` and `dv`.

| tensor | shape | dtype |
|---|---|---|
| `q`, `o`, `do` | (`BATCH`, `SEQ`, `HEADS`, 128) | bf16, input |
| `k`, `v` | (`BATCH`, `SEQ`, `KV_HEADS`, 128) | bf16, input |
| `lse` | (`BATCH`, `HEADS`, `SEQ`) | f32, input |
| `dq` | (`BATCH`, `SEQ`, `HEADS`, 128) | bf16, output |
| `dk`, `dv` | (`BATCH`, `SEQ`, `KV_HEADS`, 128) | bf16, output |

All are contiguous. Two runs on the same inputs must give the same bits, so sums over blocks must be
added up in a fixed order.

Names for expressions: `BATCH`, `SEQ`, `HEADS`, `KV_HEADS`, `GROUP`, `HEAD_DIM`, `CAUSAL` (0 or 1),
and for `f32` the reals `SCALE` (1/√128) and `SCALE_LOG2` (`SCALE` · log2 e).

Scored on: {scored}. Work: 10 · batch · heads · seq² · 128 operations, half when causal.

It must be right for every seq from 1 to 32,768, and any batch and number of heads from 1 on.

{manual()}"""


class AttentionBackwardTask(CudaTask):
    """The three gradients, with and without a causal mask."""

    reference_baseline = "cudnn"
    baseline_names = ("cudnn", "flash")
    # P and dS are rounded once, and each gradient is; each rounding to bf16 errs by up to 2^-8.
    tolerance = Tolerance(factor=2.0, floor=2.0 * 2.0**-8, rms_factor=1.4, rms_floor=2.0**-13)
    # Where all keys or queries share a large part, as in `offset`, the sums over dS nearly vanish,
    # and what is left is the roundings of dS, which differ from one honest kernel to the next:
    # torch's flash backward is at up to 5 times `own` there in a single row, cuDNN's at 7.
    tolerances = dict.fromkeys(("dq", "dk"), replace(tolerance, factor=6.0))
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = dict.fromkeys(GRADIENTS, PROBLEM.axes)
    timed = ("normal", "outliers")

    def tensors(self, configuration: Configuration) -> tuple[TensorSpec, ...]:
        s = PROBLEM.shape(configuration)
        rows = PROBLEM.sizes(configuration, "q")
        keys = PROBLEM.sizes(configuration, "k")
        shapes = {"q": rows, "k": keys, "v": keys, "o": rows, "do": rows}
        inputs = [TensorSpec(name=n, dtype="bf16", shape=shape) for n, shape in shapes.items()]
        inputs.insert(4, TensorSpec(name="lse", dtype="f32", shape=(s.batch, s.heads, s.seq)))
        outputs = [
            TensorSpec(name=name, dtype="bf16", shape=shapes[of], output=True)
            for name, of in GRADIENTS.items()
        ]
        return (*inputs, *outputs)

    def names(self, configuration: Configuration) -> dict[str, int | float]:
        s = PROBLEM.shape(configuration)
        return {
            "BATCH": s.batch,
            "SEQ": s.seq,
            "HEADS": s.heads,
            "KV_HEADS": s.kv_heads,
            "GROUP": s.heads // s.kv_heads,
            "HEAD_DIM": HEAD_DIM,
            "CAUSAL": int(s.causal),
            "SCALE": PROBLEM.scale,
            "SCALE_LOG2": PROBLEM.scale * math.log2(math.e),
        }

    def fill(
        self, configuration: Configuration, seed: int, distribution: str, inputs: Tensors
    ) -> None:
        """Q, K, V as for the forward pass, dO normal; O and the log-sum-exp follow from Q, K, V."""
        import torch

        PROBLEM.fill(inputs, seed, distribution)
        generator = torch.Generator(device=inputs["do"].device).manual_seed(seed + 1)
        inputs["do"].normal_(generator=generator)
        if distribution == "outliers":
            inputs["do"][:, ::89].mul_(10.0)
        elif distribution == "small":
            inputs["do"].mul_(2.0**-10)
        forward(configuration, inputs)

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """In fp64, one head and a block of rows at a time."""
        return gradients(configuration, inputs, exact=True)

    def own(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """With the roundings of a good kernel: P, dS and the gradients to bf16, sums in fp32."""
        return gradients(configuration, inputs, exact=False)

    def baselines(self) -> Mapping[str, Baseline]:
        """The backward passes of torch's attention; none without a GPU."""
        import torch

        if not torch.cuda.is_available():
            return {}
        return {"cudnn": _cudnn, "flash": _flash}

    def flops(self, configuration: Configuration) -> float:
        """Of five products where the forward pass has two."""
        return 2.5 * PROBLEM.flops(configuration)

    def bytes_moved(self, configuration: Configuration) -> float:
        """Every tensor once."""
        return float(sum(t.bytes for t in self.tensors(configuration)))

    def perturb(
        self, configuration: Configuration, inputs: Tensors, seed: int
    ) -> Perturbation | None:
        """Causal: rows before a change of keys, or keys after a change of queries. Full: heads.

        The log-sum-exp and O change with what they are made of, as after another forward pass.
        """
        import torch

        s = PROBLEM.shape(configuration)
        if seed % 2 == 0:
            other_keys = PROBLEM.perturb(configuration, inputs, seed)
            if other_keys is None:
                return None
            changed = dict(inputs) | other_keys.inputs
            mask = other_keys.unaffected[PROBLEM.output]
            forward(configuration, changed)
            meaning = other_keys.meaning.replace("rows", "gradients of queries").replace(
                "a head", "the gradient of a head's queries"
            )
            unaffected = {"dq": mask}
            if not s.causal:
                same = (
                    (changed["k"] == inputs["k"]).flatten(0, 1).all(2).all(0)[None, None, :, None]
                )
                unaffected |= {"dk": same, "dv": same}
            return Perturbation(changed, unaffected, meaning)
        if not s.causal:
            return None
        draw = torch.Generator(device="cpu").manual_seed(seed)
        noise = torch.Generator(device=inputs["q"].device).manual_seed(seed)
        row = int(torch.randint(1, max(2, s.seq), (1,), generator=draw))
        changed = {name: tensor.clone() for name, tensor in inputs.items()}
        for name in ("q", "do"):
            changed[name][:, :row].normal_(generator=noise)
        forward(configuration, changed)
        after = (torch.arange(s.seq, device=inputs["q"].device) >= row)[None, :, None, None]
        meaning = "gradients of keys see queries of the past"
        return Perturbation(changed, {"dk": after, "dv": after}, meaning)


def _blocks(configuration: Configuration, device: str) -> tuple[int, int]:
    """Rows of a block of the attention matrix, and how many there are."""
    seq = PROBLEM.shape(configuration).seq
    most = SCORE_BLOCK // 8 if device != "cpu" else 1 << 21
    rows = max(64, min(seq, most // seq))
    return rows, -(-seq // rows)


def forward(configuration: Configuration, inputs: Tensors) -> None:
    """Writes `o` and `lse` from `q`, `k` and `v`: by torch's flash attention on a GPU.

    O is off by `APART`, in the same way for the same place.
    """
    import torch

    q, k, v = (inputs[name].transpose(1, 2) for name in ("q", "k", "v"))
    causal, group = PROBLEM.shape(configuration).causal, q.shape[1] // k.shape[1]
    if q.device.type == "cuda":
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
            q, _expanded(k, group), _expanded(v, group), 0.0, causal, scale=PROBLEM.scale
        )
        inputs["lse"].copy_(lse[:, :, : q.shape[2]])
    else:
        out = torch.empty(q.shape, dtype=q.dtype)
        rows, count = _blocks(configuration, "cpu")
        for b in range(q.shape[0]):
            for h in range(q.shape[1]):
                keys, values = k[b, h // group].float(), v[b, h // group].float()
                for block in range(count):
                    part = slice(block * rows, min(q.shape[2], (block + 1) * rows))
                    scores = _scores(q[b, h, part].float(), keys, part.start, causal)
                    lse = torch.logsumexp(scores, 1)
                    inputs["lse"][b, h, part] = lse
                    out[b, h, part] = (scores.sub_(lse[:, None]).exp_() @ values).bfloat16()
    generator = torch.Generator(device=q.device).manual_seed(0)
    off = torch.empty_like(inputs["o"]).normal_(generator=generator)
    inputs["o"].copy_(out.transpose(1, 2) * (1.0 + APART * off))


def _scores(q: torch.Tensor, keys: torch.Tensor, first: int, causal: bool) -> torch.Tensor:
    """Logits of rows from `first` on; those of keys to come are -inf."""
    import torch

    scores = (q * PROBLEM.scale) @ keys.T
    if causal:
        future = torch.arange(len(keys), device=q.device)[None, :]
        scores.masked_fill_(
            future > torch.arange(first, first + len(q), device=q.device)[:, None], -math.inf
        )
    return scores


def gradients(configuration: Configuration, inputs: Tensors, *, exact: bool) -> Tensors:
    """dQ, dK, dV: in fp64, or with P, dS and the results rounded to bf16 and sums in fp32."""
    import torch

    wide = torch.float64 if exact else torch.float32
    q, k, v, o, do = (inputs[name].transpose(1, 2) for name in ("q", "k", "v", "o", "do"))
    causal, group = PROBLEM.shape(configuration).causal, q.shape[1] // k.shape[1]
    out = {
        name: torch.zeros(inputs[of].shape, dtype=wide, device=q.device)
        for name, of in GRADIENTS.items()
    }
    rows, count = _blocks(configuration, q.device.type)

    def rounded(x: torch.Tensor) -> torch.Tensor:
        return x if exact else x.bfloat16().to(wide)

    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            keys, values = k[b, h // group].to(wide), v[b, h // group].to(wide)
            for block in range(count):
                part = slice(block * rows, min(q.shape[2], (block + 1) * rows))
                queries, above = q[b, h, part].to(wide), do[b, h, part].to(wide)
                sums = (above * o[b, h, part].to(wide)).sum(1, keepdim=True)
                p = _scores(queries, keys, part.start, causal)
                p = p.sub_(inputs["lse"][b, h, part, None].to(wide)).exp_()
                ds = rounded((above @ values.T).sub_(sums).mul_(p))
                out["dv"][b, :, h // group] += rounded(p).T @ above
                out["dk"][b, :, h // group] += (ds.T @ queries) * PROBLEM.scale
                out["dq"][b, part, h] = (ds @ keys) * PROBLEM.scale
    return out if exact else {name: tensor.bfloat16() for name, tensor in out.items()}


def _cudnn(configuration: Configuration, inputs: Tensors) -> Tensors:
    """cuDNN's backward pass on the given O and log-sum-exp."""
    import torch

    q, k, v, o, do = (inputs[name].transpose(1, 2) for name in ("q", "k", "v", "o", "do"))
    group, seq = q.shape[1] // k.shape[1], q.shape[2]
    k, v = _expanded(k, group), _expanded(v, group)
    nothing = torch.empty(0, dtype=torch.int64, device=q.device)
    causal = PROBLEM.shape(configuration).causal
    dq, dk, dv = torch.ops.aten._scaled_dot_product_cudnn_attention_backward(
        do, q, k, v, o, inputs["lse"].unsqueeze(-1), nothing, nothing, None, None, None,
        seq, seq, 0.0, causal, scale=PROBLEM.scale,
    )  # fmt: skip
    return _by_rows(dq, dk, dv, group)


def _flash(configuration: Configuration, inputs: Tensors) -> Tensors:
    """torch's flash attention, backward, on the given O and log-sum-exp."""
    import torch

    q, k, v, o, do = (inputs[name].transpose(1, 2) for name in ("q", "k", "v", "o", "do"))
    group, seq = q.shape[1] // k.shape[1], q.shape[2]
    k, v = _expanded(k, group), _expanded(v, group)
    nothing = torch.empty(0, dtype=torch.int64, device=q.device)
    causal = PROBLEM.shape(configuration).causal
    dq, dk, dv = torch.ops.aten._scaled_dot_product_flash_attention_backward(
        do, q, k, v, o, inputs["lse"], None, None, seq, seq, 0.0, causal, nothing, nothing,
        scale=PROBLEM.scale,
    )  # fmt: skip
    return _by_rows(dq, dk, dv, group)


def _expanded(x: torch.Tensor, group: int) -> torch.Tensor:
    return x.repeat_interleave(group, 1) if group > 1 else x


def _by_rows(dq: torch.Tensor, dk: torch.Tensor, dv: torch.Tensor, group: int) -> Tensors:
    """As (batch, seq, heads, 128); the gradients of a group are added up."""
    if group > 1:
        dk, dv = (t.unflatten(1, (-1, group)).float().sum(2).bfloat16() for t in (dk, dv))
    return {name: t.transpose(1, 2) for name, t in (("dq", dq), ("dk", dk), ("dv", dv))}
