"""Multi-head attention forward, bf16, head_dim 128: the shapes of the AVO paper."""

from __future__ import annotations

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.problems.attention_cuda import (
    LENGTHS,
    TOKENS,
    AttentionTask,
    describe,
    shape,
)
from avo_tui.evaluation.task import CheckCase

HEADS = 16


class MhaForward(AttentionTask):
    """16 heads, 32,768 tokens in all, full and causal."""

    name = "mha_forward"
    title = "Multi-head attention forward (bf16, head_dim 128)"
    description = describe(
        "Multi-head attention: every head has its own keys and values (`KV_HEADS` = `HEADS`).",
        "16 heads; (batch, seq) = (8, 4096), (4, 8192), (2, 16384), (1, 32768), each full and "
        "causal",
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
            (shape("small-full", 1, 256, 2, 2, False), False),
            (shape("small-causal", 2, 512, 4, 4, True), True),
            (shape("small-long", 1, 4096, 2, 2, True), True),
        ]
        hidden = [
            shape("hidden-1", 3, 384, 5, 5, True),
            shape("hidden-2", 1, 1152, 3, 3, False),
            shape("hidden-3", 2, 128, 7, 7, True),
            shape("hidden-4", 1, 2688, 4, 4, True),
        ]
        return self._cases(small, hidden)
