"""Attention with dropout behind a projection of 8-bit floating-point numbers, scaled per tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.launch_plan import TensorSpec
from avo_tui.evaluation.problems.dropout import DropoutTask, columns, describe
from avo_tui.evaluation.task import Tolerance

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Tensors

LARGEST = 448.0
"""The largest number of e4m3."""
SUBNORMAL = 2.0**12
"""By how much smaller the numbers of x are than they could be in the distribution `small`: most of
them lie below 2^-6, the smallest normal number of e4m3."""
CLIPPED = 4.0
"""By how much larger than the type allows the largest numbers of the distribution `outliers` are
before they are clipped to it."""


class DropoutAttentionFp8(DropoutTask):
    """QKV projection in e4m3, and attention with a dropout mask that the task defines."""

    name = "dropout_attention_fp8"
    title = "Attention with dropout behind its projection in fp8 (e4m3, head_dim 128)"
    description = describe(
        """\
| `x` | (`BATCH`, `SEQ`, `HIDDEN`) | f8e4m3, input |
| `w` | (`COLUMNS`, `HIDDEN`) | f8e4m3, input; a weight as torch's nn.Linear holds it |
| `x_scale`, `w_scale` | (1) | f32, input: the factor of all of x, and that of all of w |""",
        """\
Y = x_scale · w_scale · (x Wᵀ) gives Q, K and V, which may be rounded to bf16, not to 8 bits. The
products of x and w are added up as the tensor cores add them (torch's `_scaled_mm` with
`use_fast_accum`), or more exactly. x and w hold e4m3 as NVIDIA GPUs and torch know it
(`float8_e4m3fn`): 448 is the largest number, 2⁻⁹ the smallest, NaN is not among the inputs. The
scales are other values in every run. Attention is in bf16.""",
    )

    # Sums may be those of the tensor cores, which keep some 14 bits, or exact. Either rounds other
    # values of Y to the other side than the library does, so the floor is twice that of the task in
    # bf16, and the large logits are smaller: they multiply what Y is off by.
    tolerance = Tolerance(factor=2.0, floor=6.0 * 2.0**-8, rms_factor=1.4, rms_floor=2.0**-13)
    logits = 3.0

    def operands(self, configuration: Configuration) -> tuple[TensorSpec, ...]:
        p = {k: int(v) for k, v in configuration.parameters.items()}
        x, w = (p["batch"], p["seq"], p["hidden"]), (columns(configuration), p["hidden"])
        return (
            TensorSpec(name="x", dtype="f8e4m3", shape=x),
            TensorSpec(name="w", dtype="f8e4m3", shape=w),
            TensorSpec(name="x_scale", dtype="f32", shape=(1,)),
            TensorSpec(name="w_scale", dtype="f32", shape=(1,)),
        )

    def project_exactly(self, inputs: Tensors) -> torch.Tensor:
        y = inputs["x"].float() @ inputs["w"].float().T
        return y.mul_(inputs["x_scale"] * inputs["w_scale"])

    def project_by_library(self, inputs: Tensors) -> torch.Tensor:
        import torch

        x, w = inputs["x"], inputs["w"]
        y = torch._scaled_mm(
            x.view(-1, x.shape[-1]),
            w.T,
            scale_a=inputs["x_scale"],
            scale_b=inputs["w_scale"],
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        return y.view(*x.shape[:-1], len(w))

    def unfilled(self, inputs: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        x, w = inputs["x"], inputs["w"]
        return torch.empty_like(x, dtype=torch.float32), torch.empty_like(w, dtype=torch.float32)

    def store(
        self,
        inputs: Tensors,
        x: torch.Tensor,
        w: torch.Tensor,
        distribution: str,
        generator: torch.Generator,
    ) -> None:
        """Quantises x and w: each is divided by its scale and rounded to e4m3.

        A scale brings the largest number of the tensor to 448. Then both are multiplied by a power
        of two between 1/64 and 64, one the inverse of the other, so that neither scale can be
        guessed. Probes stay exact: their scales are powers of two.
        """
        import torch

        draw = torch.randint(-6, 7, (), generator=generator, device=x.device)
        shift = torch.exp2(draw.float())
        for name, tensor, factor in (("x", x, shift), ("w", w, 1.0 / shift)):
            scale = tensor.abs().amax() / LARGEST
            if distribution == "probe":
                scale = torch.exp2(torch.ceil(torch.log2(scale)))
            elif distribution == "small" and name == "x":
                scale = scale * SUBNORMAL
            elif distribution == "outliers":
                scale = scale / CLIPPED
            inputs[name].copy_(tensor.div_(scale).clamp_(-LARGEST, LARGEST))
            inputs[f"{name}_scale"].copy_(scale * factor)
