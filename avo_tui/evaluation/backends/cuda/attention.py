"""Attention forward in bf16, head_dim 128: what the tasks mha_forward and gqa_forward share.

Layout of every tensor: (batch, seq, heads, head_dim), contiguous. Grouped queries: query head h
reads key/value head h // (heads // kv_heads). Causal: row i sees keys 0..i.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.planned import TensorSpec
from avo_tui.evaluation.backends.cuda.task import CudaTask
from avo_tui.evaluation.task import CheckCase, Perturbation, Tolerance

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Baseline, Tensors

HEAD_DIM = 128
SCALE = 1.0 / math.sqrt(HEAD_DIM)
TOKENS = 32_768
LENGTHS = (4096, 8192, 16_384, 32_768)
SCORE_BLOCK = 1 << 28
"""Bytes of fp32 scores that the reference holds at a time."""

DISTRIBUTIONS = ("normal", "large_logits", "needle", "outliers", "offset", "small")


def describe(kind: str, scored: str) -> str:
    """The description of an attention task: the problem, its contract, and the manual."""
    manual = Path(__file__).with_name("manual.md").read_text(encoding="utf-8")
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

{manual}"""


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
    # Rounding to bf16 errs by up to 2^-8. An honest kernel rounds its weights and its output; the
    # scale of a row is its largest reference element.
    tolerance = Tolerance(factor=2.0, floor=2.0 * 2.0**-8, rms_factor=1.5, rms_floor=2.0**-11)

    def tensors(self, configuration: Configuration) -> tuple[TensorSpec, ...]:
        p = {k: int(v) for k, v in configuration.parameters.items()}
        q = (p["batch"], p["seq"], p["heads"], HEAD_DIM)
        kv = (p["batch"], p["seq"], p["kv_heads"], HEAD_DIM)
        return (
            TensorSpec(name="q", dtype="bf16", shape=q),
            TensorSpec(name="k", dtype="bf16", shape=kv),
            TensorSpec(name="v", dtype="bf16", shape=kv),
            TensorSpec(name="o", dtype="bf16", shape=q, output=True),
        )

    def names(self, configuration: Configuration) -> dict[str, int | float]:
        p = {k: int(v) for k, v in configuration.parameters.items()}
        return {
            "BATCH": p["batch"],
            "SEQ": p["seq"],
            "HEADS": p["heads"],
            "KV_HEADS": p["kv_heads"],
            "GROUP": p["heads"] // p["kv_heads"],
            "HEAD_DIM": HEAD_DIM,
            "CAUSAL": p["causal"],
            "SCALE": SCALE,
            "SCALE_LOG2": SCALE * math.log2(math.e),
        }

    def fill(
        self, configuration: Configuration, seed: int, distribution: str, inputs: Tensors
    ) -> None:
        import torch

        q, k, v = inputs["q"], inputs["k"], inputs["v"]
        generator = torch.Generator(device=q.device).manual_seed(seed)
        q.normal_(generator=generator)
        k.normal_(generator=generator)
        v.normal_(generator=generator)
        if distribution == "normal":
            return
        if distribution == "large_logits":
            q.mul_(5.0)
        elif distribution == "small":
            q.mul_(0.05)
            v.mul_(0.01)
        elif distribution == "outliers":
            q[..., 3].mul_(12.0)
            k[..., 3].mul_(6.0)
            v[:, ::97].mul_(20.0)
        elif distribution == "offset":
            # A direction common to all lifts every logit to about 90, beyond exp's range.
            k[..., 0].add_(32.0)
            q[..., 0].add_(32.0)
            v.add_(2.0)
        elif distribution == "needle":
            self._hide_needles(k, v, q, generator)
        else:
            raise ValueError(f"there is no distribution {distribution!r}")

    @staticmethod
    def _hide_needles(
        k: torch.Tensor, v: torch.Tensor, q: torch.Tensor, generator: torch.Generator
    ) -> None:
        """In every head one key that takes most of the weight: an output without it is wrong."""
        import torch

        batch, seq, heads, _ = k.shape
        places = torch.randint(0, seq, (batch, heads), generator=generator, device=k.device)
        direction = torch.randn(HEAD_DIM, generator=generator, device=k.device).sign()
        # Half of q lies along the direction: needle logits of about 16, others of about 1.4.
        q.add_(direction.to(q.dtype))
        b = torch.arange(batch, device=k.device)[:, None]
        h = torch.arange(heads, device=k.device)[None, :]
        k[b, places, h] = direction.to(k.dtype).mul(1.4)
        v[b, places, h] = v[b, places, h] * 2.0

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """In fp32, one head and a block of rows at a time."""
        import torch

        q, k, v = inputs["q"], inputs["k"], inputs["v"]
        causal = bool(configuration.parameters["causal"])
        batch, seq, heads, _ = q.shape
        group = heads // k.shape[2]
        out = torch.empty(q.shape, dtype=torch.float32, device=q.device)
        rows = max(64, min(seq, SCORE_BLOCK // (4 * seq)))
        for b in range(batch):
            for h in range(heads):
                if h % group == 0:
                    keys = k[b, :, h // group].float()
                    values = v[b, :, h // group].float()
                for start in range(0, seq, rows):
                    stop = min(seq, start + rows)
                    seen = stop if causal else seq
                    scores = (q[b, start:stop, h].float() * SCALE) @ keys[:seen].T
                    if causal:
                        mask = torch.ones(
                            stop - start, stop - start, dtype=torch.bool, device=q.device
                        ).triu_(1)
                        scores[:, start:stop].masked_fill_(mask, -math.inf)
                    out[b, start:stop, h] = torch.softmax(scores, dim=-1) @ values[:seen]
        return {"o": out}

    def own(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """Flash attention in bf16 where there is a GPU; the same roundings by hand elsewhere."""
        if inputs["q"].is_cuda:
            return _sdpa("FLASH_ATTENTION", expand=True)(configuration, inputs)
        return {"o": self.reference(configuration, inputs)["o"].to(inputs["q"].dtype)}

    def baselines(self) -> Mapping[str, Baseline]:
        """Those that this machine has; none without a GPU."""
        import torch

        if not torch.cuda.is_available():
            return {}
        found: dict[str, Baseline] = {
            "cudnn": _sdpa("CUDNN_ATTENTION"),
            "flash": _sdpa("FLASH_ATTENTION"),
        }
        flash3 = _flash_attention_3()
        if flash3 is not None:
            found["fa3"] = flash3
        return found

    def flops(self, configuration: Configuration) -> float:
        p = {k: int(v) for k, v in configuration.parameters.items()}
        full = 4.0 * p["batch"] * p["heads"] * p["seq"] ** 2 * HEAD_DIM
        return full / 2 if p["causal"] else full

    def bytes_moved(self, configuration: Configuration) -> float:
        return float(sum(t.bytes for t in self.tensors(configuration)))

    def perturb(
        self, configuration: Configuration, inputs: Tensors, seed: int
    ) -> Perturbation | None:
        """Other keys and values from a row on: causal rows before it must not notice."""
        import torch

        if not configuration.parameters["causal"]:
            return None
        seq = inputs["q"].shape[1]
        generator = torch.Generator(device="cpu").manual_seed(seed)
        row = int(torch.randint(1, seq, (1,), generator=generator))
        changed = {name: tensor.clone() for name, tensor in inputs.items()}
        other = torch.Generator(device=inputs["q"].device).manual_seed(seed)
        for name in ("k", "v"):
            changed[name][:, row:].normal_(std=4.0, generator=other)
        before = torch.arange(seq, device=inputs["q"].device) < row
        return Perturbation(
            inputs=changed,
            unaffected={"o": before[None, :, None, None]},
            meaning="rows before the change see keys or values of the future",
        )

    def _cases(
        self, small: list[tuple[Configuration, bool]], hidden: list[Configuration]
    ) -> tuple[CheckCase, ...]:
        """Cheapest first: public small ones, hidden ones, then all that is scored."""
        cases: list[CheckCase] = []
        for configuration, thorough in small:
            cases.append(
                CheckCase(configuration, "normal", repeat=True, perturb=thorough, category="plain")
            )
        for index, configuration in enumerate(hidden):
            causal = bool(configuration.parameters["causal"])
            for offset in range(3):
                distribution = DISTRIBUTIONS[(index * 3 + offset) % len(DISTRIBUTIONS)]
                cases.append(
                    CheckCase(
                        configuration,
                        distribution,
                        hidden=True,
                        category=CATEGORIES[distribution],
                        repeat=offset == 0,
                        perturb=causal and offset == 0,
                    )
                )
        for index, configuration in enumerate(self.configurations):
            distribution = ("normal", "needle", "large_logits", "outliers")[index % 4]
            cases.append(
                CheckCase(
                    configuration,
                    distribution,
                    category=CATEGORIES[distribution],
                    repeat=True,
                    perturb=index == len(self.configurations) // 2,
                )
            )
        return tuple(cases)


CATEGORIES = {
    "normal": "plain inputs",
    "large_logits": "large logits",
    "needle": "one key that takes most of the weight",
    "outliers": "outlier channels",
    "offset": "logits with a large common offset",
    "small": "inputs of small magnitude",
}


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
                scale=SCALE,
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
            softmax_scale=SCALE,
            causal=bool(configuration.parameters["causal"]),
        )
        return {"o": out[0] if isinstance(out, tuple) else out}

    return run
