"""Scaled dot-product attention, forward, on one CPU thread in single precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.measurement.drawing import chance_for, evenly
from avo_tui.evaluation.problems.attention import Attention
from avo_tui.evaluation.task import Argument, CheckCase, Perturbation, Task, Tolerance

if TYPE_CHECKING:
    from avo_tui.evaluation.task import Baseline, Tensors

PROBLEM = Attention(head_dim=64, heads_first=True, output="out", perturbed_by=(4.0, 32.0))


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
_TAILS = (range(33, 49), range(49, 65))
"""Sequence lengths with every remainder by 16 once, without a mask and with it: what is left of a
vector or a tile at the end is handled apart, for some remainders wrongly."""
_SHORT = "a very short sequence"
_LONE = "one row or one key among plain ones that is unlike them"
_LONG = "a sequence longer than those that are scored"
_LONGEST = 3 * 1024
"""Longest sequence of the check: a plain kernel takes a second there."""
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
    tolerance = Tolerance(factor=4.0, floor=8e-5, rms_factor=4.0, rms_floor=1.5e-5)
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"out": PROBLEM.axes}
    timed = ("normal", "outliers")
    description = """\
Forward attention in fp32 on one CPU thread: `out = softmax(q·kᵀ / 8 + mask)·v` per head.

```cpp
extern "C" void attention(const float* q, const float* k, const float* v, float* out,
                          int64_t batch, int64_t heads, int64_t sequence, bool causal);
```
`q`, `k`, `v` and `out` are `[batch][heads][sequence][64]`, contiguous, 64-byte aligned; they do not
overlap. With `causal`, row i sees the keys 0…i, and no bit of it may depend on later ones. Any
`batch`, `heads` and `sequence` ≥ 1 must work; the head dimension is always 64. Inputs are
read-only. Results must be good to single precision (8e-5 of the largest value of a row): no bf16,
fp16 or table lookups of low order.

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

        tails = [
            hidden(f"tail-{length}", _ODD, "normal", 1, 2, length, causal=causal, perturb=causal)
            for causal in (False, True)
            for length in _TAILS[causal]
        ]
        full_256, causal_256, full_1024, causal_1024 = _SCORED
        chance = chance_for(self.name)
        near = evenly(1025, 1500, chance)
        far = evenly(1505, _LONGEST, chance) // 4 * 4 + 1  # a remainder that no other long case has
        return (
            hidden("one", _SHORT, "normal", 1, 1, 1, causal=False),
            hidden("three", _SHORT, "normal", 2, 1, 3, causal=True),
            hidden("odd-77", _ODD, "normal", 2, 3, 77, causal=False, repeat=True),
            hidden("odd-131", _ODD, "outliers", 1, 3, 131, causal=True, perturb=True),
            hidden("odd-333", _ODD, "needle", 1, 2, 333, causal=False),
            hidden("odd-149", _ODD, "rising", 1, 2, 149, causal=False, perturb=True),
            hidden("odd-205", _ODD, "late_needle", 1, 2, 205, causal=True, repeat=True),
            hidden("batch-3", _BATCH, "large_logits", 3, 1, 96, causal=True),
            hidden("batch-2", _BATCH, "sunk", 2, 2, 64, causal=False),
            hidden("batch-263", _BATCH, "normal", 3, 2, 263, causal=False),
            hidden("lone-query", _LONE, "lone_query", 3, 5, 40, causal=True, repeat=True),
            hidden("lone-key", _LONE, "lone_key", 1, 2, 577, causal=False),
            hidden("twin-keys", _LONE, "twin_keys", 2, 4, 189, causal=False),
            hidden("batch-19", _BATCH, "normal", 19, 17, 3, causal=True),
            hidden("heads-67", _BATCH, "outliers", 1, 67, 6, causal=False),
            hidden("long", _LONG, "lone_query", 1, 1, near, causal=False),
            hidden("far", _LONG, "normal", 1, 1, far, causal=False),
            *tails,
            CheckCase(full_256, "normal", repeat=True),
            CheckCase(causal_256, "normal", perturb=True),
            CheckCase(full_256, "large_logits"),
            CheckCase(full_256, "late_needle"),
            CheckCase(causal_256, "rising", perturb=True),
            CheckCase(full_256, "offset"),
            CheckCase(causal_256, "outliers", perturb=True),
            CheckCase(causal_256, "needle", perturb=True),
            CheckCase(full_256, "small"),
            CheckCase(full_1024, "rising"),
            CheckCase(full_1024, "lone_query"),
            CheckCase(causal_1024, "normal"),
        )

    def make_inputs(self, configuration: Configuration, seed: int, distribution: str) -> Tensors:
        """q, k, v of [batch, heads, sequence, 64], as the problem draws them."""
        import torch

        inputs = {name: torch.empty(PROBLEM.sizes(configuration, name)) for name in ("q", "k", "v")}
        PROBLEM.fill(inputs, seed, distribution)
        return inputs

    def outputs(self, configuration: Configuration) -> dict[str, tuple[tuple[int, ...], str]]:
        """out: the shape of q."""
        return {"out": (PROBLEM.sizes(configuration, "out"), "float32")}

    def reference(self, configuration: Configuration, inputs: Tensors) -> Tensors:
        """The definition, in float64."""
        import torch

        return PROBLEM.reference(configuration, inputs, torch.float64)

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
        """Two products of S×S×64 per head; with the mask, half of them."""
        return PROBLEM.flops(configuration)

    def perturb(
        self, configuration: Configuration, inputs: Tensors, seed: int
    ) -> Perturbation | None:
        """Causal: other keys and values from a random row on. Full: those of one head."""
        return PROBLEM.perturb(configuration, inputs, seed)
