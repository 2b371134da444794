"""Timing variants beside a version: macros, combinations, and what is said of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.evidence import Prior
from avo_tui.domain.outlook import Spread
from avo_tui.domain.questions import Question, RemeasureQuestion
from avo_tui.domain.score import PairedMeasurement
from avo_tui.operators.toolbox import Toolbox
from avo_tui.operators.toolbox.variants import (
    MOST,
    Timed,
    Variant,
    defined,
    table_text,
    time_variants,
    unique,
    variants_of,
)
from tests.operators.fake_workbench import FakeWorkbench
from tests.operators.toy_task import judge, source

OTHER = Candidate(files={"k.cpp": "the version"})


def test_every_combination_is_a_variant_with_its_macros_before_the_source() -> None:
    origin = Candidate(files={"k.cu": "int x[TILE + FAST];\n", "launch.json": "{}\n"})
    variants = variants_of("mine", origin, {"TILE": ["32", "64"], "FAST": ["1"]})
    assert [v.name for v in variants] == ["mine TILE=32 FAST=1", "mine TILE=64 FAST=1"]
    files = variants[1].candidate.files
    assert files["k.cu"] == "#define TILE 64\n#define FAST 1\n#line 1\nint x[TILE + FAST];\n"
    assert files["launch.json"] == "{}\n"
    assert defined(origin, {}) == origin


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("k.cu", "#define TILE {}  // tune: 16 32 64"),
        ("k.cpp", "constexpr int TILE = {};  // tune: 16 32 64"),
        ("k.rs", "const TILE: usize = {}; // tune: 16 32 64"),
        ("k.py", "TILE = {}  # tune: 16 32 64"),
    ],
)
def test_a_declared_tunable_is_set_on_its_own_line_in_every_language(file: str, line: str) -> None:
    """A `#define` before it would be undone there, or be no code at all."""
    variants = variants_of("k", Candidate(files={file: line.format(16)}), {"TILE": ["16", "64"]})
    assert [v.candidate.files for v in variants] == [{file: line.format(n)} for n in (16, 64)]
    if file in {"k.rs", "k.py"}:
        with pytest.raises(ValueError, match="WIDTH: declare it"):
            defined(variants[0].candidate, {"WIDTH": "2"})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"1X": ["1"]}, "not a macro"),
        ({"X": []}, "not a macro"),
        ({"X": ["1\n#include </etc/passwd>"]}, "no value"),
        ({"X": [str(i) for i in range(MOST + 1)]}, "more than"),
        ({"TILE": ["48"]}, "TILE cannot be 48; it may be 16, 32"),
    ],
)
def test_what_is_no_sweep_is_a_sentence(values: dict[str, list[str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiled = "#define TILE 16  // tune: 16 32\nint x = TILE;"
        variants_of("mine", Candidate(files={"k.cpp": tiled}), values)


async def test_bench_tells_the_fastest_first_and_why_one_cannot_be_timed() -> None:
    bench = FakeWorkbench()
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
    known = Spread(Prior(variance=1e-4))
    text = table_text([Timed(Variant("x", Candidate(files={"k.cpp": "y"})), [pair])], "v3", known)
    assert "c 1.2500, 0.8 ms beside 1; d 1.0000" in text
    assert pair.reversed().milliseconds == {"c": (1.0, 0.8)}


def test_times_never_contradict_the_ratio() -> None:
    """Whatever the medians of two calls are, the ratio is of rounds: the times follow from it."""
    pairs = [
        PairedMeasurement(configurations={"c": (1.0, 1.02, 1.1)}, milliseconds={"c": (5.0, 4.0)}),
        PairedMeasurement(configurations={"c": (1.0, 1.04, 1.1)}, milliseconds={"c": (4.1, 4.0)}),
    ]
    row = Timed(_variant("x", "y"), pairs)
    times = row.milliseconds("c")
    assert times is not None and times[1] == pytest.approx(4.0)
    assert times[1] / times[0] == pytest.approx(row.speed("c")) == pytest.approx(row.gain)
    known = Spread(Prior(variance=1e-4))
    assert "c 1.0300, 3.884 ms beside 4" in table_text([row], "v3", known), "of both pairs"


def test_flags_are_varied_with_macros_and_without() -> None:
    origin = Candidate(files={"k.cpp": "// flags: -O1\nint x = T;\n"})
    variants = variants_of(
        "mine", origin, {"T": ["1", "2"]}, ["-O2 -fno-inline", "", "-O2 -fno-inline"]
    )
    assert [v.name for v in variants] == [
        "mine T=1 flags `-O2 -fno-inline`",
        "mine T=2 flags `-O2 -fno-inline`",
        "mine T=1 no flags",
        "mine T=2 no flags",
    ]
    assert variants[0].candidate.files["k.cpp"] == (
        "#define T 1\n#line 1\n// flags: -O2 -fno-inline\nint x = T;\n"
    )
    assert "-O" not in variants[2].candidate.files["k.cpp"]
    alone = variants_of("mine", origin, {}, ["-O3"])
    assert [v.name for v in alone] == ["mine flags `-O3`"]
    with pytest.raises(ValueError, match="26 variants are more than 24"):
        variants_of("mine", origin, {"T": [str(n) for n in range(13)]}, ["-O2", "-O3"])


def _variant(name: str, text: str) -> Variant:
    return Variant(name, Candidate(files={"k.cpp": text}))


def _timed(name: str, *gains: float) -> Timed:
    pairs = [PairedMeasurement(configurations={"c": (g, g, g)}) for g in gains]
    return Timed(_variant(name, name), pairs)


def test_a_source_is_timed_once_under_all_its_names() -> None:
    variants = [_variant("the working candidate", "a"), _variant("1.1", "b"), _variant("1.2", "a")]
    assert [v.name for v in unique(variants)] == ["the working candidate = 1.2", "1.1"]


def test_the_interval_is_that_between_processes() -> None:
    """One pair whose rounds agree does not show how processes differ: the run's record does."""
    rows = [_timed("x", 1.01, 1.01), _timed("y", 1.009, 1.009), _timed("z", 0.9, 0.9)]
    quiet, noisy = Spread(Prior(1e-6)), Spread(Prior(1e-4))
    lines = table_text(rows, "v3", noisy).splitlines()
    assert "1%, assumed as long as nothing was compared" in lines[-1]
    assert "not told apart from the first" in lines[2] and "slower than the first" in lines[3]
    low, high = rows[0].estimate(noisy.prior).interval()
    assert low < 0 < high, "1% from two pairs that scatter by 1% is not shown"
    assert f"[{1 + low:.4f} to {1 + high:.4f}], 2 pairs" in lines[1]
    assert rows[0].estimate(quiet.prior).interval()[0] > 0
    assert "assumed" in table_text(rows, "v3", Spread(Prior(1e-4)))


async def test_pairs_are_added_until_it_is_precise_or_another_is_faster() -> None:
    """Each pair of `fast` and `alike` scatters by about 0.4%; `slow` is 30% behind."""
    gains = {"fast": 1.05, "alike": 1.049, "slow": 0.7}
    asked: list[tuple[str, int]] = []

    async def ask(question: Question[Any], /) -> Any:
        assert isinstance(question, RemeasureQuestion)
        name, replicate = question.files["k.cpp"], question.replicate
        asked.append((name, replicate))
        gain = gains[name] * (1.004 if replicate % 2 else 0.996)
        pair = PairedMeasurement(configurations={"c": (gain, gain, gain)})
        return judge(Candidate(files={"k.cpp": source(1.0)})).replaced(score=None, paired=pair)

    rows = [Timed(_variant(name, name)) for name in gains]
    prior = Prior(variance=1.6e-5)
    await time_variants(rows, ask, OTHER, prior, pairs=32, precision=0.002)
    fast, alike, slow = rows
    assert len(slow.pairs) == 1 and slow.dropped
    for row in (fast, alike):
        low, high = row.estimate(prior).interval()
        assert 2 < len(row.pairs) < 32 and (high - low) / 2 <= 0.002
    assert [n for name, n in asked if name == "fast"] == list(range(len(fast.pairs)))
    asked.clear()
    await time_variants([Timed(_variant("slow", "slow"))], ask, OTHER, prior, 3, None)
    assert len(asked) == 3


async def test_pairs_of_a_device_far_away_are_asked_for_together() -> None:
    """Each would cost a journey: none is begun only when the one before has been answered."""
    asked: list[tuple[str, int]] = []
    answered = asyncio.Event()

    async def ask(question: Question[Any], /) -> Any:
        assert isinstance(question, RemeasureQuestion)
        asked.append((question.candidate.id, question.replicate))
        if len(asked) == 6:
            answered.set()
        await asyncio.wait_for(answered.wait(), 60)
        rows = {"small": (0.99, 1.0, 1.01)}
        report = judge(Candidate(files={"k.cpp": source(1.0)}))
        return report.replaced(score=None, paired=PairedMeasurement(configurations=rows))

    rows = [Timed(_variant(name, name)) for name in ("one", "two")]
    await time_variants(rows, ask, OTHER, Prior(0.0001), pairs=3, precision=None, at_once=True)
    assert [len(row.pairs) for row in rows] == [3, 3] and len(set(asked)) == 6
