"""Multi-head attention backward, bf16, head_dim 128: the shapes of the forward task."""

from __future__ import annotations

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.problems.attention import check_cases
from avo_tui.evaluation.problems.attention_backward import AttentionBackwardTask, describe
from avo_tui.evaluation.problems.attention_cuda import LENGTHS, TOKENS, shape
from avo_tui.evaluation.task import CheckCase

HEADS = 16


class AttentionBackward(AttentionBackwardTask):
    """16 heads, 32,768 tokens in all, full and causal."""

    name = "attention_backward"
    title = "Attention backward (bf16, head_dim 128)"
    description = describe(
        "16 heads, each with keys and values of its own; (batch, seq) = (8, 4096), (4, 8192), "
        "(2, 16384), (1, 32768), each full and causal",
    )

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

    def check_cases(self) -> tuple[CheckCase, ...]:
        small = [
            (shape("small-full", 1, 256, 2, 2, False), True),
            (shape("small-causal", 2, 512, 4, 2, True), True),
            (shape("small-long", 1, 2048, 2, 2, True), True),
        ]
        hidden = [
            shape("hidden-1", 3, 389, 5, 5, True),
            shape("hidden-2", 1, 1150, 6, 3, False),
            shape("hidden-3", 2, 65, 7, 7, True),
            shape("hidden-4", 1, 2687, 4, 1, True),
        ]
        return check_cases(small, hidden, self.configurations)
