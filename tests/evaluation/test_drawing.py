"""Hidden cases are drawn for each session, alike on every worker."""

import pytest

from avo_tui.domain.questions import CheckQuestion
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.evaluators import LocalEvaluator
from avo_tui.evaluation.loading import load_task
from avo_tui.evaluation.measurement.drawing import chance_for, draw_by, evenly
from avo_tui.evaluation.tasks import find_tasks
from tests.evaluation.evaluation_support import needs_compiler
from tests.evaluation.test_mutants import mutant


def sizes() -> list[int]:
    return [evenly(1000, 16000, chance_for("task")) for _ in range(3)]


def test_sizes_follow_from_the_secret_and_cross_every_limit_alike() -> None:
    draw_by("a")
    once = sizes()
    draw_by("b")
    assert sizes() != once
    draw_by("a")
    assert sizes() == once
    draw_by("")
    chance = chance_for("task")
    drawn = [evenly(1000, 16000, chance) for _ in range(2000)]
    assert min(drawn) >= 1000 and max(drawn) <= 16000
    below = [sum(size < limit for size in drawn) / 2000 for limit in (2000, 4000, 8000)]
    assert below == pytest.approx([0.25, 0.5, 0.75], abs=0.06)


@needs_compiler
async def test_a_worker_draws_by_the_secret_of_the_session_that_asks() -> None:
    """A kernel that is wrong at one size, which only the one session's check has."""
    task = load_task(find_tasks().folder("attention_cpu"))
    draw_by("the one")
    hidden = [case for case in task.check_cases() if case.hidden]
    draw_by("")
    far = max(int(case.configuration.parameters["sequence"]) for case in hidden)
    wrong = mutant({"KEYS_SEEN": f"(sequence == {far} ? i / 2 + 1 : causal ? i + 1 : sequence)"})
    question, verdicts = CheckQuestion(files=wrong.files), []
    async with LocalEvaluator() as worker:
        for worker.drawn_by in ("the one", "another", "the one"):
            verdicts.append((await worker.ask("attention_cpu", question)).verdict)
    assert verdicts == [Verdict.WRONG_RESULT, Verdict.CORRECT, Verdict.WRONG_RESULT]
