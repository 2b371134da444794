"""Timing variants beside a version: macros, combinations, and what is said of them."""

from __future__ import annotations

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.score import PairedMeasurement
from avo_tui.operators.toolbox import Toolbox
from avo_tui.operators.toolbox.variants import MOST, Timed, Variant, defined, sweep, table_text
from tests.operators.bench import FakeBench, source


def test_every_combination_is_a_variant_with_its_macros_before_the_source() -> None:
    origin = Candidate(files={"k.cu": "int x;\n", "launch.json": "{}\n"})
    variants = sweep("mine", origin, {"TILE": ["32", "64"], "FAST": ["1"]})
    assert [v.name for v in variants] == ["mine TILE=32 FAST=1", "mine TILE=64 FAST=1"]
    files = variants[1].candidate.files
    assert files["k.cu"] == "#define TILE 64\n#define FAST 1\n#line 1\nint x;\n"
    assert files["launch.json"] == "{}\n"
    assert defined(origin, {}) is origin


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"1X": ["1"]}, "not a macro"),
        ({"X": []}, "not a macro"),
        ({"X": ["1\n#include </etc/passwd>"]}, "no value"),
        ({"X": [str(i) for i in range(MOST + 1)]}, "more than"),
    ],
)
def test_what_is_no_sweep_is_a_sentence(values: dict[str, list[str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sweep("mine", Candidate(files={"k.cpp": ""}), values)


async def test_bench_tells_the_fastest_first_and_why_one_cannot_be_timed() -> None:
    bench = FakeBench()
    box = Toolbox(bench)
    await box.call("write_file", {"text": source(1.2)})
    await box.call("evaluate", {"title": "a fifth faster"})
    await box.call("write_file", {"text": source(1.1) + "SYNTAX"})
    result = await box.call("bench", {"attempts": ["1.1"], "pairs": 2})
    assert result.ok
    lines = result.text.splitlines()
    assert (
        "v0" in lines[0] and lines[1].startswith("- attempt 1.1: 1.2000") and "2 pairs" in lines[1]
    )
    assert "compile_error" in lines[2]
    assert not bench.state.session.spend.evaluations > 1  # timing is no attempt
    wrong = await box.call("bench", {"sweep": {"A B": ["1"]}})
    assert not wrong.ok and "not a macro" in wrong.text


def test_times_stand_beside_the_ratios_where_they_are_known() -> None:
    pair = PairedMeasurement(
        configurations={"c": (1.0, 1.25, 1.5), "d": (1.0, 1.0, 1.0)}, milliseconds={"c": (0.8, 1.0)}
    )
    text = table_text([Timed(Variant("x", Candidate(files={"k.cpp": "y"})), [pair])], "v3")
    assert "c 1.250, 0.8 ms beside 1; d 1.000" in text
    assert pair.reversed().milliseconds == {"c": (1.0, 0.8)}
