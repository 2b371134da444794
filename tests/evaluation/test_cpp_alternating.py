"""The quick comparison of two candidates: calls in turn, as those of a pair at the gate."""

import os
import re
from typing import Any

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import QuickComparison, QuickQuestion
from avo_tui.evaluation.backends.cpp import benchmark
from avo_tui.evaluation.backends.cpp.candidate_process import CandidateProcess
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
    monkeypatch.setattr(benchmark, "QUICK_PROCESSES", 2)


async def compared(
    pipeline: Pipeline, one: Candidate, other: Candidate, **more: Any
) -> QuickComparison:
    return await pipeline.ask(TASK, QuickQuestion(files=one.files, other=other.files, **more))


@needs_compiler
async def test_one_that_does_its_work_four_times_is_slower(
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
    assert result.configurations.keys() == {"full-64", "causal-64"}
    for name, calls in result.configurations.items():
        assert len(calls.speeds) == 2 and calls.milliseconds > 0, name
        assert all(0.1 < speed < 0.6 for speed in calls.speeds), calls
    assert result.calls >= 4 * 2 * 2, "a round at least in each process"
    assert result.estimate().mean < 0


@needs_compiler
async def test_every_call_gets_new_inputs_that_the_harness_has_just_written(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is called again and again on the same memory, or after its caches were flushed, says
    little of the gate where memory decides."""
    values: dict[str, list[float]] = {}
    run = CandidateProcess.run

    def watched(self: CandidateProcess, configuration: Any, *batch: Any) -> Any:
        values.setdefault(f"{id(self)}", []).append(float(batch[0]["q"].sum()))
        return run(self, configuration, *batch)

    monkeypatch.setattr(CandidateProcess, "run", watched)
    honest = shipped("honest")
    await compared(pipeline, honest, honest, configuration="full-64", seconds=0.2)
    assert values and all(len(drawn) == len(set(drawn)) > 2 for drawn in values.values())


@needs_compiler
async def test_a_wrong_candidate_is_told_and_not_timed(pipeline: Pipeline) -> None:
    """One that leaves its work out must not pass for fast."""
    result = await compared(
        pipeline, shipped("constant"), shipped("honest"), configuration="full-64", seconds=0.05
    )
    assert "wrong on full-64; check says more" in result.trouble and not result.configurations


@needs_compiler
@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ("null_pointer", "honest", "illegal_access: "),
        ("honest", "null_pointer", "of the version beside it: illegal_access: "),
        ("compile_error", "honest", "compile_error"),
    ],
)
async def test_why_two_cannot_be_compared(
    one: str, other: str, words: str, pipeline: Pipeline
) -> None:
    result = await compared(
        pipeline, shipped(one), shipped(other), configuration="full-64", seconds=0.05
    )
    assert result.trouble.startswith(words) and not result.configurations


@needs_compiler
async def test_slow_kernels_get_fewer_processes(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for is over at once here, as with calls that take seconds."""
    monkeypatch.setattr(benchmark, "QUICK_PROCESSES", 6)
    monkeypatch.setattr(benchmark, "OVER", 0.0)
    honest = shipped("honest")
    result = await compared(pipeline, honest, honest, configuration="full-64", seconds=0.1)
    assert len(result.configurations["full-64"].speeds) == benchmark.FEWEST_QUICK_PROCESSES


@needs_compiler
async def test_an_unknown_configuration_is_a_sentence(pipeline: Pipeline) -> None:
    honest = shipped("honest")
    result = await compared(pipeline, honest, honest, configuration="huge")
    assert "There is no configuration 'huge'. There are: full-64" in result.trouble
