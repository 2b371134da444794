"""The quick comparison of two candidates: calls in turn within one process, warm and cold."""

import os
import re
from typing import Any

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import QuickComparison, QuickQuestion
from avo_tui.evaluation.backends.cpp import alternating
from avo_tui.evaluation.backends.cpp.alternating import NotComparedError, read_times
from avo_tui.evaluation.locks import measuring_text
from avo_tui.evaluation.pipeline import Pipeline
from tests.evaluation.evaluation_support import CANDIDATES, needs_compiler

TASK = "tiny_attention"
HELPER = (CANDIDATES / "honest.h").read_text()
FOUR_TIMES = """
#include "task.h"
#define attention once
#include "honest.cpp.h"
#undef attention
extern "C" void attention(const float* q, const float* k, const float* v, float* out,
                          int64_t batch, int64_t heads, int64_t sequence, bool causal) {
    for (int i = 0; i < 4; ++i) once(q, k, v, out, batch, heads, sequence, causal);
}
"""


def shipped(name: str) -> Candidate:
    text = (CANDIDATES / f"{name}.cpp").read_text()
    return Candidate(files={"kernel.cpp": text, "honest.h": HELPER})


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alternating, "PROCESSES", 2)


async def compared(
    pipeline: Pipeline, one: Candidate, other: Candidate, **more: Any
) -> QuickComparison:
    return await pipeline.ask(TASK, QuickQuestion(files=one.files, other=other.files, **more))


@needs_compiler
async def test_one_that_does_its_work_four_times_is_slower_warm_and_cold(
    pipeline: Pipeline,
) -> None:
    honest = shipped("honest")
    slow = Candidate(
        files={
            "kernel.cpp": FOUR_TIMES,
            "honest.h": HELPER,
            "honest.cpp.h": honest.files["kernel.cpp"].replace('#include "task.h"', ""),
        }
    )
    result = await compared(pipeline, slow, honest, seconds=0.2, more=True)
    mine = rf"\bprocess {os.getpid()}\b"
    assert re.search(mine, measuring_text()), "the device is kept for the call's next comparison"
    await pipeline.close()
    assert not re.search(mine, measuring_text())
    assert not result.trouble and not result.remarks, result
    assert result.warm.keys() == result.cold.keys() == {"full-64", "causal-64"}
    for caches in ("warm", "cold"):
        for name, calls in result.of(caches).items():
            assert len(calls.speeds) == 2 and calls.milliseconds > 0, name
            assert all(0.1 < speed < 0.6 for speed in calls.speeds), (caches, calls)
    assert result.calls >= 4 * 3 * 2 * 2 * 2, "three rounds at least of each kind"
    assert result.estimate("warm").mean < 0


@needs_compiler
async def test_outputs_that_differ_are_told(pipeline: Pipeline) -> None:
    """Nothing is checked, but a candidate that leaves its work out must not pass for fast."""
    result = await compared(
        pipeline, shipped("constant"), shipped("honest"), configuration="full-64", seconds=0.05
    )
    assert list(result.warm) == ["full-64"]
    assert "its out differs from the version's" in result.remarks[0]


@needs_compiler
@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("null_pointer", "honest", "the candidate ended the process by signal 11"),
        ("honest", "null_pointer", "the version beside it ended the process by signal 11"),
        ("compile_error", "honest", "compile_error"),
    ],
)
async def test_why_two_cannot_be_compared(
    one: str, other: str, words: str, pipeline: Pipeline
) -> None:
    result = await compared(
        pipeline, shipped(one), shipped(other), configuration="full-64", seconds=0.05
    )
    assert words in result.trouble and not result.warm


@needs_compiler
async def test_slow_kernels_get_fewer_processes(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for is over at once here, as with calls that take seconds."""
    monkeypatch.setattr(alternating, "PROCESSES", 6)
    monkeypatch.setattr(alternating, "OVER", 0.0)
    honest = shipped("honest")
    result = await compared(pipeline, honest, honest, configuration="full-64", seconds=0.1)
    assert len(result.warm["full-64"].speeds) == alternating.FEWEST_PROCESSES


@needs_compiler
async def test_an_unknown_configuration_is_a_sentence(pipeline: Pipeline) -> None:
    honest = shipped("honest")
    result = await compared(pipeline, honest, honest, configuration="huge")
    assert "There is no configuration 'huge'. There are: full-64" in result.trouble


@pytest.mark.parametrize(
    "text",
    ["", "warm 1 2\n", "warm 1 2\ncold 1\n", "warm 1 nan\ncold 1 2\n", "warm 1 2\nhot 1 2\n",
     "warm 1 -2\ncold 1 2\n", "\x00"],
)  # fmt: skip
def test_what_is_no_list_of_times_is_refused(text: str) -> None:
    """The candidates share the process that writes it."""
    with pytest.raises(NotComparedError, match="wrote no times"):
        read_times(text)
