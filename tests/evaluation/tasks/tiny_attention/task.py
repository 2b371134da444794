"""attention_cpu at sizes that a test can afford."""

from pathlib import Path

from avo_tui.domain.task import Configuration
from avo_tui.evaluation.task import CheckCase
from avo_tui.evaluation.tasks import load_task

_REAL = load_task(Path(__file__).resolve().parents[4] / "kernels" / "attention_cpu")


def _configuration(name: str, heads: int, sequence: int, causal: bool) -> Configuration:
    sizes = {"batch": 1, "heads": heads, "sequence": sequence, "causal": causal}
    return Configuration(name=name, parameters=sizes)


class TinyAttention(type(_REAL)):  # type: ignore[misc]
    name = "tiny_attention"

    @property
    def configurations(self) -> tuple[Configuration, ...]:
        return (
            _configuration("full-64", 2, 64, False),
            _configuration("causal-64", 2, 64, True),
        )

    def check_cases(self) -> tuple[CheckCase, ...]:
        full, causal = self.configurations
        odd = _configuration("odd", 3, 77, True)
        return (
            CheckCase(full, "normal", repeat=True),
            CheckCase(full, "large_logits"),
            CheckCase(full, "needle", perturb=True),
            CheckCase(causal, "normal", perturb=True),
            CheckCase(causal, "outliers"),
            CheckCase(odd, "needle", hidden=True, category="an odd sequence length"),
        )
