"""The check is checked: every mistake that an optimiser makes is found, and what is none passes."""

import logging
import tomllib
from typing import Any

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import CheckQuestion
from avo_tui.domain.report import HIDDEN
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.evaluation_run import person
from avo_tui.evaluation.pipeline import Pipeline
from tests.evaluation.evaluation_support import CANDIDATES, needs_compiler

pytestmark = [needs_compiler, pytest.mark.asyncio(loop_scope="module")]
FOLDER = CANDIDATES.parent / "mutants"
MUTANTS: dict[str, dict[str, Any]] = tomllib.loads((FOLDER / "mutants.toml").read_text())


def mutant(macros: dict[str, str]) -> Candidate:
    """The honest kernel with these macros; one that takes arguments begins with them."""
    lines = [
        f"#define {name}{text}" if text.startswith("(") and name in WITH_ARGUMENTS
        else f"#define {name} {text}"
        for name, text in macros.items()
        if name != "equivalent"
    ]  # fmt: skip
    source = "\n".join([*lines, '#include "attention.h"', ""])
    return Candidate(
        files={"mutant.cpp": source, "attention.h": (FOLDER / "attention.h").read_text()}
    )


WITH_ARGUMENTS = {"ADD", "WEIGHT", "SCORE", "EXP", "RESULT"}


@pytest.fixture(scope="module")
def whole() -> Pipeline:
    return Pipeline()


@pytest.mark.parametrize("name", ["honest", *MUTANTS])
async def test_every_mistake_is_found(
    name: str, whole: Pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=person.name)
    macros = MUTANTS.get(name, {"equivalent": "unchanged"})
    report = await whole.ask("attention_cpu", CheckQuestion(files=mutant(macros).files))
    told = f"{report.feedback.summary}: {report.feedback.detail} {report.feedback.log}"
    told += f"; for the person: {caplog.text}"  # of a hidden case it alone says what was wrong
    wanted = Verdict.CORRECT if "equivalent" in macros else Verdict.WRONG_RESULT
    assert report.verdict is wanted, told


async def test_rows_that_share_a_decision_are_found(whole: Pipeline) -> None:
    """Their bits depend on keys that they do not see, and no tolerance shows it."""
    source = (FOLDER / "shared_decision.cpp").read_text()
    candidate = Candidate(files={"attention.cpp": source})
    report = await whole.ask("attention_cpu", CheckQuestion(files=candidate.files))
    assert report.verdict is Verdict.WRONG_RESULT
    public = [c for c in report.checks if not c.ok and c.name != HIDDEN]
    assert all("see keys or values of the future" in c.detail for c in public)
