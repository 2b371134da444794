"""Figures that the texts for agents and people name are those of the tasks."""

import re
from pathlib import Path

import pytest

from avo_tui.evaluation.tasks import find_tasks

ROOT = Path(__file__).resolve().parents[2]
WITH_ROW = sorted(
    path.parent.name
    for path in (ROOT / "kernels").glob("*/README.md")
    if "| tolerance |" in path.read_text(encoding="utf-8")
)
FIGURE = r"(\d+e-\d+|(?:\d+ · )?2⁻⁸)"
TIMES = {"twice": 2.0, "2 times": 2.0, "4 ×": 4.0, "four times": 4.0}


def value(text: str) -> float:
    """Such as `8e-5`, `2⁻⁸` and `3 · 2⁻⁸`."""
    if "2⁻⁸" not in text:
        return float(text)
    return float(text.partition(" · ")[0] if " · " in text else 1) * 2.0**-8


def named(text: str) -> tuple[float, float, float | None]:
    """(factor, floor, factor of the root mean square or None) that a sentence names."""
    factor = next(times for words, times in TIMES.items() if words in text)
    floor = re.search(FIGURE, text)
    assert floor is not None, text
    rms = re.search(r"root mean square[^.]*?([\d.]+) times", text)
    return factor, value(floor[1]), float(rms[1]) if rms is not None else None


def agrees(text: str, name: str) -> None:
    tolerance = find_tasks().get(name).tolerance
    factor, floor, rms = named(text)
    assert factor == tolerance.factor and floor == pytest.approx(tolerance.floor), name
    assert rms in {None, tolerance.rms_factor}, name


@pytest.mark.parametrize("name", WITH_ROW)
def test_a_task_s_page_names_its_tolerance(name: str) -> None:
    page = (ROOT / "kernels" / name / "README.md").read_text(encoding="utf-8")
    agrees(next(line for line in page.splitlines() if line.startswith("| tolerance |")), name)


def test_the_pages_of_the_knowledge_base_name_the_tolerances_of_the_tasks() -> None:
    rules = (ROOT / "knowledge/evaluation-rules.md").read_text(encoding="utf-8")
    agrees(next(line for line in rules.splitlines() if "attention in bf16" in line), "mha_forward")
    page = (ROOT / "knowledge/cpu-attention.md").read_text(encoding="utf-8")
    sentence = re.search(r"The task's tolerance is [^.]*\.", page)
    assert sentence is not None
    agrees(sentence[0], "attention_cpu")


def test_a_task_s_own_text_names_its_tolerance() -> None:
    task = find_tasks().get("attention_cpu")
    floor = re.search(FIGURE, task.description)
    assert floor is not None and value(floor[1]) == task.tolerance.floor
    assert len(WITH_ROW) >= 5
