"""Broken and cheating C++ candidates, each with the verdict it must get.

A candidate says its verdict itself: `// verdict:` and `// says:` (a pattern for the summary, the
detail or the log) are its first lines.
"""

import platform
import re
from pathlib import Path

import pytest
from evaluation_support import CANDIDATES, needs_compiler

from avo_tui.domain.candidate import Candidate
from avo_tui.evaluation.pipeline import Pipeline

pytestmark = [needs_compiler, pytest.mark.asyncio(loop_scope="module")]
_ONLY_X86 = {"quick_when_timed", "hidden_work_in_constructor"}


def candidate(path: Path) -> Candidate:
    helpers = {p.name: p.read_text() for p in CANDIDATES.glob("*.h")}
    return Candidate(files={path.name: path.read_text(), **helpers})


def expectation(path: Path, word: str) -> str:
    match = re.search(rf"^// {word}: (.*)$", path.read_text(), re.MULTILINE)
    assert match, f"{path.name} does not say its {word}"
    return match[1]


@pytest.mark.parametrize("path", sorted(CANDIDATES.glob("*.cpp")), ids=lambda p: p.stem)
async def test_verdict(path: Path, pipeline: Pipeline) -> None:
    if path.stem in _ONLY_X86 and platform.machine() != "x86_64":
        pytest.skip("written for x86-64")
    report = await pipeline.evaluate(
        "tiny_attention", candidate(path), "benchmark", lambda progress: None
    )
    feedback = report.feedback
    told = f"{feedback.summary}\n{feedback.detail}\n{feedback.log}"
    assert re.fullmatch(expectation(path, "verdict"), report.verdict), told
    assert re.search(expectation(path, "says"), told, re.DOTALL), told
    assert (report.score is not None) == report.correct


async def test_a_task_on_two_threads_may_start_one(pipeline: Pipeline) -> None:
    seed = pipeline.tasks.get("two_threads").seed()
    report = await pipeline.evaluate("two_threads", seed, "benchmark", lambda progress: None)
    assert report.verdict == "correct", report.feedback
    more = seed.files["attention.cpp"].replace("parallel for", "parallel for num_threads(8)")
    report = await pipeline.evaluate(
        "two_threads", seed.with_file("attention.cpp", more), "check", lambda progress: None
    )
    assert report.verdict == "suspicious", report.feedback
    forks = candidate(CANDIDATES / "forks.cpp")
    report = await pipeline.evaluate("two_threads", forks, "check", lambda progress: None)
    assert report.verdict == "suspicious", report.feedback
