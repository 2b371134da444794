"""Honest kernels stay inside the tolerance, lossy ones outside, on inputs of fixed seeds."""

import math
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch

from avo_tui.evaluation.tasks import find_tasks
from benchmarks.verdict_margins import compiled, emulated
from benchmarks.verdict_margins.measure import Setting, margins_of, settings, table
from benchmarks.verdict_margins.variants import Margin, Variant
from tests.evaluation.evaluation_support import needs_compiler


def only(variants: Iterable[Variant], *names: str) -> tuple[Variant, ...]:
    """Those variants, each of which must be there."""
    known = {variant.name: variant for variant in variants}
    return tuple(known[name] for name in names)


def broken(margins: dict[str, Margin]) -> list[str]:
    """Variants of which a draw came to the wrong verdict."""
    return [f"{m.variant.name}: {m.decisive}, {m.where}" for m in margins.values() if not m.kept]


@needs_compiler
@pytest.mark.slow
def test_orders_of_additions_on_the_processor(tmp_path: Path) -> None:
    task = find_tasks().get("attention_cpu")
    variants = [
        compiled.seeded(task, "row by row", "no FMA", tmp_path),
        compiled.seeded(task, "row by row, 8 lanes", "fast math", tmp_path),
        compiled.seeded(task, "online, lazy, tiles of 256", "as it is", tmp_path),
        compiled.seeded(task, "online, queries scaled", "fast math, SSE", tmp_path),
    ]
    for name in ("bf16", "rough_exponential"):
        library = compiled.build(task, compiled.candidate(name), (), tmp_path)
        variants.append(Variant(name, False, compiled.caller(task, library)))
    with torch.no_grad():
        margins = margins_of(Setting(task, tuple(variants), small=2e7, most=2e7), 6, 2)
    assert not broken(margins)
    assert {len(m.worst) for m in margins.values() if m.variant.honest} == {6}


def test_roundings_of_attention_on_a_gpu() -> None:
    task = find_tasks().get("gqa_forward")
    variants = only(
        emulated.attention(),
        "tiles of 64",
        "lagging, 2^x by a cubic",
        "keys in four parts of 32",
        "weights in fp8",
        "output truncated",
        "scores in bf16",
    )
    with torch.no_grad():
        margins = margins_of(Setting(task, variants, small=1e8, most=1e8), 3, 2)
    assert not broken(margins)


def test_roundings_of_a_recurrence_on_a_gpu() -> None:
    task = find_tasks().get("sparse_rnn")
    variants = only(
        emulated.recurrence(), "eight parts in turn", "x first, 16 parts", "weights in fp8"
    )
    with torch.no_grad():
        margins = margins_of(Setting(task, variants, small=1e6, most=1e6), 3, 2)
    assert not broken(margins)


def test_what_is_too_close_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    honest = Variant("honest", True, lambda configuration, inputs: inputs)
    wrong = Variant("wrong", False, lambda configuration, inputs: inputs)
    assert table("t", {"a": Margin(honest, [0.1, 0.79], "x"), "b": Margin(wrong, [math.inf, 1.1])})
    assert not table("t", {"a": Margin(honest, [0.85, 0.1], "one / normal, draw 0")})
    assert not table("t", {"b": Margin(wrong, [5.0, 0.9])})
    printed = capsys.readouterr().out
    assert "at most 0.85 of 2 | one / normal, draw 0 | **too close**" in printed
    assert "at least 0.9 of 2 | | **passes**" in printed


def test_every_shipped_task_has_a_setting() -> None:
    shipped = {name.partition("@")[0] for name in find_tasks().names}
    assert shipped <= set(settings())
