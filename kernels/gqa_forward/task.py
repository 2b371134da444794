"""Grouped-query attention forward, bf16, head_dim 128: the shapes of the AVO paper."""

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

HEADS = 32


class GqaForward(AttentionTask):
    """32 query heads on 8 and on 4 key/value heads, 32,768 tokens in all, full and causal."""

    name = "gqa_forward"
    title = "Grouped-query attention forward (bf16, head_dim 128)"
    description = describe(
        "Grouped-query attention: `GROUP` = `HEADS` // `KV_HEADS` query heads share a head of keys "
        "and values; query head h reads key/value head h // `GROUP`.",
        "32 query heads on 8 and on 4 key/value heads; (batch, seq) = (8, 4096), (4, 8192), "
        "(2, 16384), (1, 32768), each full and causal",
    )

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return tuple(
            shape(
                f"kv{kv_heads}-{'causal' if causal else 'full'}-{seq // 1024}k",
                TOKENS // seq,
                seq,
                HEADS,
                kv_heads,
                causal,
            )
            for kv_heads in (8, 4)
            for causal in (False, True)
            for seq in LENGTHS
        )

    def check_cases(self) -> tuple[CheckCase, ...]:
        small = [
            (shape("small-full", 1, 256, 4, 2, False), False),
            (shape("small-causal", 2, 512, 8, 2, True), True),
            (shape("small-long", 1, 4096, 8, 1, True), True),
        ]
        hidden = [
            shape("hidden-1", 3, 384, 6, 2, True),
            shape("hidden-2", 1, 1152, 5, 5, False),
            shape("hidden-3", 2, 128, 8, 1, True),
            shape("hidden-4", 1, 2688, 9, 3, True),
        ]
        return self._cases(small, hidden)
