"""Timing variants beside a version: macros, combinations, and what is said of them."""

from __future__ import annotations

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.operators.toolbox import Toolbox
from avo_tui.operators.toolbox.variants import MOST, defined, sweep
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
