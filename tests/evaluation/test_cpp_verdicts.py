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
    secret = re.search(r"^// never: (.*)$", path.read_text(), re.MULTILINE)
    everything = told + "".join(f"{c.name} {c.detail} {c.error}" for c in report.checks)
    assert secret is None or not re.search(secret[1], everything), everything


def _gaining() -> list[Path]:
    return [p for p in sorted(CANDIDATES.glob("*.cpp")) if "// gains: nothing" in p.read_text()]


@pytest.mark.parametrize("path", _gaining(), ids=lambda p: p.stem)
async def test_what_is_not_refused_gains_nothing(path: Path, pipeline: Pipeline) -> None:
    """Beside the honest kernel that it wraps, measured as the gate does."""
    honest = candidate(CANDIDATES / "honest.cpp")
    report = await pipeline.remeasure(
        "tiny_attention", candidate(path), honest, lambda progress: None
    )
    if report.correct:
        assert report.paired is not None
        assert report.paired.gain < 1.15, report.paired


async def test_a_hang_is_told_near_its_limit(pipeline: Pipeline) -> None:
    report = await pipeline.evaluate(
        "tiny_attention", candidate(CANDIDATES / "deadlocks.cpp"), "check", lambda progress: None
    )
    assert report.verdict == "timeout" and report.feedback.configuration == "full-64"
    assert report.seconds.phases["check"]["calls"] < 4  # the limit is 1 s; asleep, it waits no 8


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
