"""Attention on shapes that a processor computes in milliseconds: for tests without a GPU."""

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.problems.attention_cuda import AttentionTask, describe, shape
from avo_tui.evaluation.task import CheckCase


class AttentionTiny(AttentionTask):
    name = "attention_tiny"
    title = "Attention on tiny shapes"
    description = describe("For tests.", "batch 1, seq 128 and 256, 2 heads")
    patience = 30.0

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return (shape("full", 1, 128, 2, 2, False), shape("causal", 1, 256, 2, 1, True))

    def check_cases(self) -> tuple[CheckCase, ...]:
        small = [(shape("small", 1, 128, 2, 1, True), True)]
        return self._cases(small, [shape("hidden-1", 1, 128, 3, 3, True)])
