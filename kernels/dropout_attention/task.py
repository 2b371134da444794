"""Attention with dropout behind its projection, all in bf16."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.backends.cuda.launch_plan import TensorSpec
from avo_tui.evaluation.problems.dropout import DropoutTask, columns, describe

if TYPE_CHECKING:
    import torch

    from avo_tui.evaluation.task import Tensors


class DropoutAttention(DropoutTask):
    """QKV projection in bf16, and attention with a dropout mask that the task defines."""

    name = "dropout_attention"
    title = "Attention with dropout behind its projection (bf16, head_dim 128)"
    description = describe(
        """\
| `x` | (`BATCH`, `SEQ`, `HIDDEN`) | bf16, input |
| `w` | (`COLUMNS`, `HIDDEN`) | bf16, input; a weight as torch's nn.Linear holds it |""",
        "Y = X Wᵀ gives Q, K and V, which may be rounded to bf16.",
    )

    def operands(self, configuration: Configuration) -> tuple[TensorSpec, ...]:
        p = {k: int(v) for k, v in configuration.parameters.items()}
        x, w = (p["batch"], p["seq"], p["hidden"]), (columns(configuration), p["hidden"])
        return (
            TensorSpec(name="x", dtype="bf16", shape=x),
            TensorSpec(name="w", dtype="bf16", shape=w),
        )

    def project_exactly(self, inputs: Tensors) -> torch.Tensor:
        return inputs["x"].float() @ inputs["w"].float().T

    def project_by_library(self, inputs: Tensors) -> torch.Tensor:
        import torch

        return torch.nn.functional.linear(inputs["x"], inputs["w"])

    def unfilled(self, inputs: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
        return inputs["x"], inputs["w"]

    def store(
        self,
        inputs: Tensors,
        x: torch.Tensor,
        w: torch.Tensor,
        distribution: str,
        generator: torch.Generator,
    ) -> None:
        """Nothing is left to do: `fill` wrote into the inputs."""
