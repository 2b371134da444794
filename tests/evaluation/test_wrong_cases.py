"""A wrong result does not end a check: its author sees which of the public cases fail."""

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.report import HIDDEN, EvaluationProgress, EvaluationReport
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.backends.cpp import check
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.operators.toolbox.report_text import check_lines
from tests.evaluation.asking import evaluated
from tests.evaluation.evaluation_support import CANDIDATES, needs_compiler

pytestmark = [needs_compiler, pytest.mark.asyncio(loop_scope="module")]


async def checked(pipeline: Pipeline, body: str) -> tuple[EvaluationReport, list[str]]:
    """The report of a kernel with this body, and what its progress told of the cases."""
    files = {p.name: p.read_text() for p in CANDIDATES.glob("*.h")}
    files["kernel.cpp"] = f'#include "honest.h"\nATTENTION {{\n{body}\n}}\n'
    told: list[EvaluationProgress] = []
    report = await evaluated(
        pipeline, "tiny_attention", Candidate(files=files), "benchmark", told.append
    )
    return report, [f"{p.configuration}: {p.ok}" for p in told if p.state == "configuration"]


async def test_every_public_case_is_run_and_no_hidden_one(pipeline: Pipeline) -> None:
    report, told = await checked(pipeline, "HONEST; if (!causal) out[5] += 1.0f;")
    assert report.verdict is Verdict.WRONG_RESULT
    assert report.feedback.summary == "wrong result on full-64 (inputs of the kind 'normal')"
    assert [(c.name, c.ok) for c in report.checks] == [
        ("full-64", False), ("full-64", False), ("full-64", False),
        ("causal-64", True), ("causal-64", True),
    ]  # fmt: skip
    assert told == [f"{c.name}: {c.ok}" for c in report.checks]
    lines = check_lines(report)
    assert lines.count("WRONG") == 3 and lines.count("causal-64") == 2 and "hidden" not in lines


async def test_what_happens_later_does_not_hide_the_first_wrong_result(pipeline: Pipeline) -> None:
    report, _ = await checked(pipeline, "HONEST; if (causal) __builtin_trap(); out[5] += 1.0f;")
    assert report.verdict is Verdict.WRONG_RESULT
    assert report.feedback.configuration == "full-64"
    assert [c.ok for c in report.checks] == [False] * 4  # the last of them is the crash
    assert report.checks[-1].name == "causal-64" and report.checks[-1].detail


async def test_a_process_that_wrote_outside_its_buffers_runs_nothing_more(
    pipeline: Pipeline,
) -> None:
    report, _ = await checked(pipeline, "HONEST; out[5] += 1.0f; if (causal) out[-1] = 0.0f;")
    assert report.verdict is Verdict.WRONG_RESULT
    assert [c.name for c in report.checks] == ["full-64", "full-64", "full-64", "causal-64"]


async def test_a_slow_wrong_kernel_is_not_run_to_the_end(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "MORE_SECONDS", 0.0)
    report, _ = await checked(pipeline, "HONEST; out[5] += 1.0f;")
    assert [(c.name, c.ok) for c in report.checks] == [("full-64", False)]


async def test_what_is_wrong_on_hidden_cases_alone_is_told_as_before(pipeline: Pipeline) -> None:
    report, _ = await checked(pipeline, "HONEST; if (sequence == 77) out[5] += 1.0f;")
    assert report.verdict is Verdict.WRONG_RESULT
    assert report.feedback.configuration is None
    assert [c.name for c in report.checks if not c.ok] == [HIDDEN]
