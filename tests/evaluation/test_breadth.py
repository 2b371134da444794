"""What is timed beside the score: other kinds of inputs, other sizes."""

import pytest

from avo_tui.domain.questions import BreadthQuestion, EvaluateQuestion
from avo_tui.evaluation.breadth import SIZES, breadth_cases
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.tasks import find_tasks
from tests.evaluation.evaluation_support import needs_compiler


def test_the_cases_are_kinds_and_sizes_that_are_not_scored_and_none_is_hidden() -> None:
    task = find_tasks().get("attention_cpu")
    cases = breadth_cases(task)
    assert cases == breadth_cases(task), "the same ones each time"
    scored = list(task.configurations)
    hidden = [case.configuration.parameters for case in task.check_cases() if case.hidden]
    sizes = [case.configuration for case in cases if case.configuration not in scored]
    assert len({size.name for size in sizes}) == SIZES
    assert not any(size.parameters in hidden for size in sizes)
    kinds = {case.distribution for case in cases if case.configuration in scored}
    assert len(kinds) >= 6 and not kinds & set(task.timed)
    most = max(map(task.flops, task.configurations))
    assert all(task.flops(size) <= most for size in sizes)


@needs_compiler
@pytest.mark.asyncio(loop_scope="module")
async def test_where_there_is_nothing_to_time_it_is_said_and_nothing_is_compiled(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avo_tui.evaluation.pipeline.breadth_cases", lambda _: ())
    report = await pipeline.ask("tiny_attention", BreadthQuestion(files={"kernel.cpp": "wrong"}))
    assert report.correct and report.breadth is None and not report.stages_done
    told = report.with_breadth(report).feedback.detail.splitlines()
    assert told[-1] == f"on other inputs: {report.feedback.detail}" != "on other inputs: "


@needs_compiler
@pytest.mark.asyncio(loop_scope="module")
async def test_an_evaluation_times_them_where_that_is_asked_for(pipeline: Pipeline) -> None:
    task = pipeline.tasks.get("tiny_attention")
    files = task.seed().files
    report = await pipeline.ask("tiny_attention", EvaluateQuestion(files=files))
    wider = await pipeline.ask("tiny_attention", BreadthQuestion(files=files))
    assert not wider.checks and wider.score is None
    report = report.with_breadth(wider)
    assert report.score is not None and report.breadth is not None, report.feedback
    ratios = [row.ratio for row in report.breadth.configurations]
    assert list(report.score.breadth.values()) == sorted(ratios)
    names = [row.name for row in report.breadth.configurations]
    assert names == [f"{c.configuration.name} {c.distribution}" for c in breadth_cases(task)]
    assert [c.name for c in report.score.configurations] == [c.name for c in task.configurations]
    assert all(row.ratio > 0 for row in report.breadth.configurations)
