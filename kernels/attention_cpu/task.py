"""Scaled dot-product attention, forward, on one CPU thread in single precision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.task import Argument, CheckCase, Perturbation, Task, Tolerance

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Baseline, Tensors

HEAD_DIM = 64


def _configuration(name: str, batch: int, heads: int, sequence: int, causal: bool) -> Configuration:
    sizes = {"batch": batch, "heads": heads, "sequence": sequence, "causal": causal}
    return Configuration(name=name, parameters=sizes)


_SCORED = (
    _configuration("full-256", 1, 4, 256, False),
    _configuration("causal-256", 1, 4, 256, True),
    _configuration("full-1024", 1, 2, 1024, False),
    _configuration("causal-1024", 1, 2, 1024, True),
)
_ODD = "a sequence length that is no multiple of any tile"
_SHORT = "a very short sequence"
_BATCH = "another batch size and number of heads"


class AttentionCpu(Task):
    """softmax(Q·Kᵀ / √64)·V with an optional causal mask."""

    name = "attention_cpu"
    title = "Attention forward, fp32, one CPU thread"
    language = "cpp"
    device = "cpu"
    reference_baseline = "torch"
    baseline_names = ("torch",)
    entry = "attention"
    arguments = (
        Argument("q", "input"),
        Argument("k", "input"),
        Argument("v", "input"),
        Argument("out", "output"),
        Argument("batch", "size"),
        Argument("heads", "size"),
        Argument("sequence", "size"),
        Argument("causal", "flag"),
    )
    tolerance = Tolerance(factor=4.0, floor=4e-5, rms_factor=4.0, rms_floor=1.5e-5, per_row=True)
    description = """\
Forward attention in fp32 on one CPU thread: `out = softmax(q·kᵀ / 8 + mask)·v` per head.

```cpp
extern "C" void attention(const float* q, const float* k, const float* v, float* out,
                          int64_t batch, int64_t heads, int64_t sequence, bool causal);
```
`q`, `k`, `v` and `out` are `[batch][heads][sequence][64]`, contiguous, 64-byte aligned; they do not
overlap. With `causal`, row i sees the keys 0…i. Any `batch`, `heads` and `sequence` ≥ 1 must work;
the head dimension is always 64. Inputs are read-only. Results must be good to single precision
(4e-5 of the largest value of a row): no bf16, fp16 or table lookups of low order.

One C++17 file; the standard library's memory, mathematics and containers and GCC's vector
extensions or intrinsics may be used. One thread; no other process, file, clock or library. A line
`// flags: -ffast-math` in the source asks for further compiler flags from an allow-list.
"""

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        """Full and causal, at two sizes."""
        return _SCORED

    def check_cases(self) -> tuple[CheckCase, ...]:
        """Small hidden shapes first, then the scored ones; about 0.25 s for a decent kernel."""

        def hidden(
            name: str,
            category: str,
            kind: str,
            batch: int,
            heads: int,
            sequence: int,
            causal: bool,
            **more: bool,
        ) -> CheckCase:
            configuration = _configuration(name, batch, heads, sequence, causal)
            return CheckCase(configuration, kind, hidden=True, category=category, **more)

        full_256, causal_256, full_1024, causal_1024 = _SCORED
        return (
            hidden("one", _SHORT, "normal", 1, 1, 1, causal=False),
            hidden("three", _SHORT, "normal", 2, 1, 3, causal=True),
            hidden("odd-77", _ODD, "normal", 2, 3, 77, causal=False, repeat=True),
            hidden("odd-131", _ODD, "outliers", 1, 3, 131, causal=True, perturb=True),
            hidden("odd-333", _ODD, "needle", 1, 2, 333, causal=False),
            hidden("batch-3", _BATCH, "large", 3, 1, 96, causal=True),
            CheckCase(full_256, "normal", repeat=True),
            CheckCase(causal_256, "normal", perturb=True),
            CheckCase(full_256, "large"),
            CheckCase(causal_256, "outliers"),
            CheckCase(causal_256, "needle"),
            CheckCase(full_1024, "needle"),
            CheckCase(causal_1024, "normal"),
        )

    def make_inputs(self, configuration: Configuration, seed: int, distribution: str) -> Tensors:
        """q, k, v of [batch, heads, sequence, 64].

        normal: standard normal. large: logits with a deviation of 10, so that few keys matter.
        outliers: a few keys and values fifty times larger. needle: one key per head that nearly
        all the weight of every row that sees it goes to.
        """
        import torch

        p = configuration.parameters
        shape = (int(p["batch"]), int(p["heads"]), int(p["sequence"]), HEAD_DIM)
        generator = torch.Generator().manual_seed(seed)

        def normal(*size: int) -> torch.Tensor:
            return torch.randn(size, generator=generator)

        q, k, v = normal(*shape), normal(*shape), normal(*shape)
        if distribution == "large":
            q *= 10
        elif distribution == "outliers":
            k[torch.rand(shape, generator=generator) < 0.002] *= 50
            v[torch.rand(shape, generator=generator) < 0.002] *= 50
        elif distribution == "needle":
            direction = normal(*shape[:2], HEAD_DIM)
            direction /= direction.norm(dim=-1, keepdim=True)
            q = 0.5 * q + 8 * direction[:, :, None, :]
            where = torch.randint(shape[2], shape[:2], generator=generator)
            k.scatter_(
                2,
                where[:, :, None, None].expand(*shape[:2], 1, HEAD_DIM),
                20 * direction[:, :, None, :],
            )
        elif distribution != "normal":
            raise ValueError(f"attention_cpu has no distribution {distribution!r}")
        return {"q": q, "k": k, "v": v}

    def outputs(self, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
        """out: the shape of q."""
        p = configuration.parameters
        shape = (int(p["batch"]), int(p["heads"]), int(p["sequence"]), HEAD_DIM)
        return {"out": (shape, "float32")}

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """The definition, in float64."""
        import torch

        q, k, v = (inputs[name].double() for name in ("q", "k", "v"))
        scores = q @ k.transpose(-1, -2) / math.sqrt(HEAD_DIM)
        if configuration.parameters["causal"]:
            length = scores.shape[-1]
            future = torch.ones(length, length, dtype=torch.bool).triu(1)
            scores.masked_fill_(future, -math.inf)
        return {"out": torch.softmax(scores, -1) @ v}

    def baselines(self) -> Mapping[str, Baseline]:
        """torch's scaled_dot_product_attention on the same single thread."""
        import torch

        def run(configuration: Configuration, inputs: Tensors) -> Tensors:
            out = torch.nn.functional.scaled_dot_product_attention(
                inputs["q"],
                inputs["k"],
                inputs["v"],
                is_causal=bool(configuration.parameters["causal"]),
            )
            return {"out": out}

        return {"torch": run}

    def flops(self, configuration: Configuration) -> float:
        """Two products of S×S×64 per head; with the mask, the visible half of them."""
        p = configuration.parameters
        length = int(p["sequence"])
        pairs = length * (length + 1) / 2 if p["causal"] else length * length
        return 4.0 * HEAD_DIM * pairs * int(p["batch"]) * int(p["heads"])

    def perturb(
        self, configuration: Configuration, inputs: Tensors, seed: int
    ) -> Perturbation | None:
        """Causal: other keys and values from a random row on. Full: those of one head."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        changed = {name: tensor.clone() for name, tensor in inputs.items()}
        batch, heads, length, _ = inputs["q"].shape
        unaffected = torch.ones(batch, heads, length, 1, dtype=torch.bool)
        if configuration.parameters["causal"]:
            cut = int(torch.randint(1, max(2, length), (1,), generator=generator))
            for name in ("k", "v"):
                new = torch.randn(changed[name][:, :, cut:].shape, generator=generator)
                changed[name][:, :, cut:] = new * 3
            unaffected[:, :, cut:] = False
            meaning = "rows see keys or values of the future: check the causal mask"
        else:
            head = int(torch.randint(heads, (1,), generator=generator))
            for name in ("k", "v"):
                changed[name][:, head] = torch.randn(
                    changed[name][:, head].shape, generator=generator
                )
            unaffected[:, head] = False
            meaning = "a head depends on the keys or values of another head"
        return Perturbation(inputs=changed, unaffected={"out": unaffected}, meaning=meaning)
