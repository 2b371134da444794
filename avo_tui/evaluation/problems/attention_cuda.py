"""Attention forward in bf16, head_dim 128: what the CUDA tasks on it share.

Layout of every tensor: (batch, seq, heads, head_dim), contiguous.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.launch_plan import TensorSpec
from avo_tui.evaluation.backends.cuda.manual import manual
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.problems.attention import DISTRIBUTIONS, Attention, check_cases
from avo_tui.evaluation.task import CheckCase, Perturbation, Tolerance

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline, Tensors

HEAD_DIM = 128
PROBLEM = Attention(head_dim=HEAD_DIM, heads_first=False, output="o")
TOKENS = 32_768
HARD = (
    "rising", "twin_keys", "sunk", "lone_query",
    "lone_query", "late_needle", "twin_keys", "sunk",
)  # fmt: skip
"""Kinds of inputs at the scored sizes, of full and causal ones of each length: those that are wrong
without a maximum of their own. Plain noise and outliers are timed there and judged in any case."""
LENGTHS = (4096, 8192, 16_384, 32_768)

__all__ = ["DISTRIBUTIONS", "LENGTHS", "PROBLEM", "TOKENS", "AttentionTask", "describe", "shape"]


def describe(kind: str, scored: str) -> str:
    """The description of an attention task: the problem, its contract, and the manual."""
    return f"""# Attention forward
O = softmax(Q Kᵀ / √128) V in bf16, head_dim 128, accumulated in fp32.
{kind}

Causal configurations let row i see keys 0 … i.

| tensor | shape | dtype |
|---|---|---|
| `q` | (`BATCH`, `SEQ`, `HEADS`, 128) | bf16, input |
| `k`, `v` | (`BATCH`, `SEQ`, `KV_HEADS`, 128) | bf16, input |
| `o` | (`BATCH`, `SEQ`, `HEADS`, 128) | bf16, output |

All are contiguous: head_dim is innermost, then heads, then seq, then batch.

Names for expressions: `BATCH`, `SEQ`, `HEADS`, `KV_HEADS`, `GROUP`, `HEAD_DIM`, `CAUSAL` (0 or 1),
and for `f32` the reals `SCALE` (1/√128) and `SCALE_LOG2` (`SCALE` · log2 e).

Scored on: {scored}. Work: 4 · batch · heads · seq² · 128 operations, half when causal.

It must be right for every shape with seq a multiple of 128, from 128 to 32,768, and any batch and
number of heads from 1 on. A masked key must not change any bit of a row, whatever finite value it
and its value vector have.

{manual()}"""


def shape(
    name: str, batch: int, seq: int, heads: int, kv_heads: int, causal: bool
) -> Configuration:
    """A configuration of the attention tasks."""
    return Configuration(
        name=name,
        parameters={
            "batch": batch,
            "seq": seq,
            "heads": heads,
            "kv_heads": kv_heads,
            "head_dim": HEAD_DIM,
            "causal": causal,
        },
    )


class AttentionTask(CudaTask):
    """O = softmax(Q K^T / sqrt(128)) V, with and without a causal mask."""

    reference_baseline = "cudnn"
    baseline_names = ("cudnn", "flash", "fa3")
    # Rounding to bf16 errs by up to 2^-8. An honest kernel rounds its weights and its output once.
    tolerance = Tolerance(factor=2.0, floor=2.0 * 2.0**-8, rms_factor=1.4, rms_floor=2.0**-13)
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"o": PROBLEM.axes}
    timed = ("normal", "outliers")

    def tensors(self, configuration: Configuration) -> tuple[TensorSpec, ...]:
        """q, k, v and the output o, all bf16."""
        return tuple(
            TensorSpec(
                name=name,
                dtype="bf16",
                shape=PROBLEM.sizes(configuration, name),
                output=name == "o",
            )
            for name in ("q", "k", "v", "o")
        )

    def names(self, configuration: Configuration) -> dict[str, int | float]:
        """Sizes and scales for a manifest's expressions."""
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
        """As the problem draws them."""
        PROBLEM.fill(inputs, seed, distribution)

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """In fp32."""
        import torch

        return PROBLEM.reference(configuration, inputs, torch.float32)

    def own(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """torch's flash attention in bf16, on the GPU or on the processor."""
        return _sdpa("FLASH_ATTENTION", expand=True)(configuration, inputs)

    def baselines(self) -> Mapping[str, Baseline]:
        """Those that this machine has; none without a GPU."""
        import torch

        if not torch.cuda.is_available():
            return {}
        available: dict[str, Baseline] = {
            "cudnn": _sdpa("CUDNN_ATTENTION"),
            "flash": _sdpa("FLASH_ATTENTION"),
        }
        flash3 = _flash_attention_3()
        if flash3 is not None:
            available["fa3"] = flash3
        return available

    def flops(self, configuration: Configuration) -> float:
        """Of both products; half when causal."""
        return PROBLEM.flops(configuration)

    def bytes_moved(self, configuration: Configuration) -> float:
        """Every tensor once."""
        return float(sum(t.bytes for t in self.tensors(configuration)))

    def perturb(
        self, configuration: Configuration, inputs: Tensors, seed: int
    ) -> Perturbation | None:
        """The future of causal rows, or another head."""
        return PROBLEM.perturb(configuration, inputs, seed)

    def _cases(
        self, small: list[tuple[Configuration, bool]], hidden: list[Configuration]
    ) -> tuple[CheckCase, ...]:
        """The first hidden configuration has more than eight heads in its batch: it is checked on
        inputs that need the maximum, too, with and without the mask."""
        many = hidden[0]
        full = many.replaced(
            name=f"{many.name}-full", parameters={**many.parameters, "causal": False}
        )
        crowded = [(c, kind) for c in (many, full) for kind in ("sunk", "lone_query", "twin_keys")]
        return check_cases(small, hidden, self.configurations, crowded, HARD)


def _sdpa(backend: str, *, expand: bool = False) -> Baseline:
    """torch's scaled_dot_product_attention, held to one backend."""

    def run(configuration: Configuration, inputs: Tensors) -> Tensors:
        import torch
        from torch.nn.attention import SDPBackend, sdpa_kernel

        q, k, v = (inputs[name].transpose(1, 2) for name in ("q", "k", "v"))
        grouped = q.shape[1] != k.shape[1]
        if grouped and expand:
            k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
            v = v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)
        with sdpa_kernel([getattr(SDPBackend, backend)]):
            out = torch.nn.functional.scaled_dot_product_attention(
                q,
                k,
                v,
                is_causal=bool(configuration.parameters["causal"]),
                scale=PROBLEM.scale,
                enable_gqa=grouped and not expand,
            )
        return {"o": out.transpose(1, 2)}

    return run


def _flash_attention_3() -> Baseline | None:
    """FlashAttention-3, where the package fa3-fwd is installed."""
    try:
        from fa3_fwd_interface import flash_attn_func
    except ImportError:
        return None

    def run(configuration: Configuration, inputs: Tensors) -> Tensors:
        out = flash_attn_func(
            inputs["q"],
            inputs["k"],
            inputs["v"],
            softmax_scale=PROBLEM.scale,
            causal=bool(configuration.parameters["causal"]),
        )
        return {"o": out[0] if isinstance(out, tuple) else out}

    return run
