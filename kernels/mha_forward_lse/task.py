"""Multi-head attention forward with the log-sum-exp of each row, which a backward pass needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.launch_plan import TensorSpec
from avo_tui.evaluation.problems.attention_cuda import (
    LENGTHS,
    PROBLEM,
    TOKENS,
    AttentionTask,
    describe,
    shape,
)
from avo_tui.evaluation.task import CheckCase, Tolerance

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Baseline, Tensors

HEADS = 16
ROWS = 1024
"""Rows of a block of the attention matrix, in the reference of the log-sum-exp."""

DESCRIPTION = describe(
    "Multi-head attention: every head has its own keys and values (`KV_HEADS` = `HEADS`), grouped "
    "queries where `KV_HEADS` is less.\n\nBeside O it writes the natural logarithm of each row's "
    "sum of exponentials, ln Σ exp(Q Kᵀ / √128), for the backward pass: `lse`, "
    "(`BATCH`, `HEADS`, `SEQ`), f32, an output. A sum over weights that were rounded to bf16 is "
    "near enough.",
    "16 heads; (batch, seq) = (8, 4096), (4, 8192), (2, 16384), (1, 32768), each full and causal",
).replace(
    "every shape with seq a multiple of 128, from 128 to 32,768", "every seq from 1 to 32,768"
)


class MhaForwardLse(AttentionTask):
    """16 heads, 32,768 tokens in all, full and causal; any length in the check."""

    name = "mha_forward_lse"
    title = "Multi-head attention forward with its log-sum-exp (bf16, head_dim 128)"
    description = DESCRIPTION
    # The weights of one row may share a rounding to bf16, which moves their sum by up to 2^-9.
    tolerances: ClassVar[Mapping[str, Tolerance]] = {
        "lse": Tolerance(factor=2.0, floor=2.0**-10, rms_factor=1.4, rms_floor=2.0**-12)
    }
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **AttentionTask.axes, "lse": ("batch", "head", "seq"),
    }  # fmt: skip

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return tuple(
            shape(
                f"{'causal' if causal else 'full'}-{seq // 1024}k",
                TOKENS // seq,
                seq,
                HEADS,
                HEADS,
                causal,
            )
            for causal in (False, True)
            for seq in LENGTHS
        )

    def tensors(self, configuration: Configuration) -> tuple[TensorSpec, ...]:
        s = PROBLEM.shape(configuration)
        rows = (s.batch, s.heads, s.seq)
        lse = TensorSpec(name="lse", dtype="f32", shape=rows, output=True)
        return (*super().tensors(configuration), lse)

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        return {**super().reference(configuration, inputs), "lse": _lse(configuration, inputs)}

    def own(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        return {**super().own(configuration, inputs), "lse": _lse(configuration, inputs)}

    def baselines(self) -> Mapping[str, Baseline]:
        """With their log-sum-exp, which cuDNN leaves out unless it is asked for."""
        found = super().baselines()
        return {**found, "cudnn": _cudnn} if found else {}

    def check_cases(self) -> tuple[CheckCase, ...]:
        small = [
            (shape("small-full", 1, 256, 2, 2, False), False),
            (shape("small-causal", 2, 512, 4, 2, True), True),
            (shape("small-long", 1, 4096, 2, 2, True), True),
        ]
        hidden = [
            shape("hidden-1", 3, 389, 5, 5, True),
            shape("hidden-2", 1, 1150, 6, 3, False),
            shape("hidden-3", 2, 65, 7, 7, True),
            shape("hidden-4", 1, 2687, 4, 1, True),
        ]
        return self._cases(small, hidden)


def _lse(configuration: Configuration, inputs: Tensors) -> torch.Tensor:
    """In fp32, one head and a block of rows at a time."""
    import torch

    s = PROBLEM.shape(configuration)
    q, k = (inputs[name].transpose(1, 2) for name in ("q", "k"))
    out = torch.empty((s.batch, s.heads, s.seq), device=q.device)
    places = torch.arange(s.seq, device=q.device)
    for b in range(s.batch):
        for h in range(s.heads):
            keys = k[b, h * s.kv_heads // s.heads].float().T
            for start in range(0, s.seq, ROWS):
                part = slice(start, start + ROWS)
                scores = (q[b, h, part].float() * PROBLEM.scale) @ keys
                if s.causal:
                    scores.masked_fill_(places > places[part, None], -math.inf)
                out[b, h, part] = torch.logsumexp(scores, 1)
    return out


def _cudnn(configuration: Configuration, inputs: Tensors) -> Tensors:
    import torch

    s = PROBLEM.shape(configuration)
    q, k, v = (inputs[name].transpose(1, 2) for name in ("q", "k", "v"))
    group = s.heads // s.kv_heads
    if group > 1:
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    out, lse, *_ = torch.ops.aten._scaled_dot_product_cudnn_attention(
        q, k, v, None, True, 0.0, s.causal, False, scale=PROBLEM.scale
    )
    return {"o": out.transpose(1, 2), "lse": lse.reshape(s.batch, s.heads, s.seq)}
