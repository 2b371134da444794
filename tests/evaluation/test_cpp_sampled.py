"""Where a C++ candidate spends its time: sampled, on the configuration that is asked for."""

import re
import shutil
from collections import Counter
from typing import Any

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import ProfileQuestion, ProfileWanted, tells_times
from avo_tui.evaluation.backends.cpp import profile
from avo_tui.evaluation.backends.cpp.profile import (
    NotSampledError,
    Samples,
    reached_text,
    read_samples,
    sampled_text,
)
from avo_tui.evaluation.measurement.metric import Work
from avo_tui.evaluation.pipeline import Pipeline
from tests.evaluation.evaluation_support import CANDIDATES, needs_compiler
from tests.evaluation.test_cpp_loops import NESTED

KERNEL = """
#include "task.h"
#define APART extern "C" __attribute__((noipa))
APART void when_causal(const float* q, float* out, int64_t count) {
    for (int64_t i = 0; i < count; ++i) for (int j = 0; j < 300; ++j) out[i] += q[i] * float(j);
}
APART void when_full(const float* q, float* out, int64_t count) {
    for (int64_t i = 0; i < count; ++i) for (int j = 0; j < 300; ++j) out[i] -= q[i] / float(j + 1);
}
extern "C" void attention(const float* q, const float*, const float*, float* out,
                          int64_t batch, int64_t heads, int64_t sequence, bool causal) {
    (causal ? when_causal : when_full)(q, out, batch * heads * sequence * 64);
}
"""
objdump = pytest.mark.skipif(shutil.which("objdump") is None, reason="binutils are not installed")


async def profiled(pipeline: Pipeline, kernel: Candidate, **wanted: Any) -> str:
    question = ProfileQuestion(files=kernel.files, wanted=ProfileWanted(**wanted))
    return (await pipeline.ask("tiny_attention", question)).text


@objdump
@needs_compiler
async def test_only_what_runs_on_the_configuration_is_listed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "SECONDS", 0.2)
    kernel = Candidate(files={"kernel.cpp": KERNEL})
    for configuration, busy, idle in (
        ("causal-64", "when_causal", "when_full"),
        ("full-64", "when_full", "when_causal"),
    ):
        text = await profiled(pipeline, kernel, configuration=configuration)
        first = text.splitlines()[3]
        assert re.search(r"a core does [0-9.]+ GFLOP/s there, \d+% of the [0-9.]+ that", text)
        assert f"on {configuration}, inputs of the kind" in text
        share = re.match(rf"- ([0-9.]+)% {busy} at", first)
        assert share and float(share[1]) > 50, text
        assert idle not in text and "never ran while it was sampled" in text


@objdump
@needs_compiler
async def test_a_candidate_that_ends_the_process_is_told_without_samples(
    pipeline: Pipeline,
) -> None:
    helper = (CANDIDATES / "honest.h").read_text()
    source = (CANDIDATES / "null_pointer.cpp").read_text()
    kernel = Candidate(files={"kernel.cpp": source, "honest.h": helper})
    text = await profiled(pipeline, kernel, configuration="full-64")
    assert text.startswith("Not sampled on full-64") and "before it was sampled" in text


def test_shares_are_of_all_samples_and_the_busiest_loop_is_first() -> None:
    own = Counter({0x2000: 10, 0x2004: 20, 0x2018: 50, 0x2010: 5})
    samples = Samples("big", 10, 0.1, own, Counter({"libm.so.6 (expf)": 15}))
    head, about, *lines, _ = sampled_text(NESTED, samples).splitlines()
    assert head.startswith("100 samples in 10 calls of 10 ms") and about.startswith("on big")
    assert (
        lines[0].startswith("- 50.0% kernel at 2018: 3 deep") and "most at 2018 (vfmadd" in lines[0]
    )
    assert lines[1].startswith("- 30.0% kernel at 2000") and "most at 2004" in lines[1]
    assert lines[2:] == [
        "- 15.0% in libm.so.6 (expf)",
        "- 5.0% in kernel, outside its innermost loops",
    ]


def test_without_times_nothing_tells_what_a_call_takes() -> None:
    samples = Samples("big", 10, 0.1, Counter({0x2000: 30, 0x2018: 70}), Counter())
    head, *lines = sampled_text(NESTED, samples, times=False).splitlines()
    assert head == "shares of the samples, good to ±10.0%" and not tells_times("\n".join(lines))
    timed = sampled_text(NESTED, samples)
    assert tells_times(timed) and timed.splitlines()[1:] == lines, "the shares are the same"


@objdump
@needs_compiler
async def test_the_kind_of_inputs_is_one_that_is_timed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "SECONDS", 0.2)
    kernel = Candidate(files={"kernel.cpp": KERNEL})
    timed = pipeline.tasks.get("tiny_attention").timed
    text = await profiled(pipeline, kernel, kind=timed[-1], times=False)
    assert f"inputs of the kind '{timed[-1]}'" in text and not tells_times(text)
    refused = await profiled(pipeline, kernel, kind="odd")
    assert refused == f"No inputs of the kind 'odd' are timed. These are: {', '.join(timed)}."


def test_the_rate_is_that_of_one_core_and_its_share_that_of_what_a_core_reaches() -> None:
    samples = Samples("big", 10, 0.5, Counter({0x2000: 9}), Counter())
    text = reached_text(samples, Work(flops=4e9), 160e9)
    assert text.startswith("a core does 80 GFLOP/s there, 50% of the 160 that")
    assert "%" not in reached_text(samples, Work(flops=4e9), 0.0)
    assert reached_text(samples, Work(bytes=8.0), 160e9) == "", "a task that counts no operations"
    assert "of the reference's operations" in reached_text(samples, Work(4e9, nominal=True), 0.0)
    lines = sampled_text(NESTED, samples, text).splitlines()
    assert lines[1] == text and lines[2].startswith("on big")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "calls 3",
        "calls 0 1.0\nat 10 1",
        "calls 3 nan\nat 10 1",
        "calls 3 1.0\nat zz 1",
        "calls 3 1.0\nat 10 -1",
        "calls 3 1.0\nof 10 1",
        "calls 3 1.0\nat 10",
        "calls 3 1.0",
    ],
)
def test_a_profile_that_a_candidate_forged_is_none(text: str) -> None:
    """It runs in the process that writes the file."""
    with pytest.raises(NotSampledError):
        read_samples(text, "x")


def test_a_profile_is_read() -> None:
    samples = read_samples("calls 3 1.5\nat 1a 2\nat 1a 1\nin libm.so.6 (expf) 4\n", "x")
    assert (samples.calls, samples.seconds, samples.total) == (3, 1.5, 7)
    assert samples.within([0x1A]) == 3 and samples.elsewhere["libm.so.6 (expf)"] == 4
