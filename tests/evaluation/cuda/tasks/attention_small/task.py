"""Attention on shapes that take milliseconds: what tests evaluate candidates on."""

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.problems.attention_cuda import AttentionTask, describe, shape
from avo_tui.evaluation.task import CheckCase


class AttentionSmall(AttentionTask):
    name = "attention_small"
    title = "Attention on small shapes"
    description = describe("For tests.", "batch 4, seq 1024, 8 heads, full and causal")
    patience = 3.0

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return (shape("full", 4, 1024, 8, 8, False), shape("causal", 4, 1024, 8, 8, True))

    def check_cases(self) -> tuple[CheckCase, ...]:
        small = [
            (shape("small-full", 1, 256, 2, 2, False), False),
            (shape("small-causal", 2, 512, 4, 4, True), True),
        ]
        hidden = [
            shape("hidden-1", 3, 384, 5, 5, True),
            shape("hidden-2", 1, 1152, 3, 3, False),
            shape("hidden-3", 2, 128, 6, 2, True),
        ]
        return self._cases(small, hidden)
