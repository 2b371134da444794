"""A real worker process, with the real protocol, whose evaluations are made up and may be lies.

python -m tests.evaluation.workers.lying_worker LIE --serve --lease 60 …

LIE: `honest`; `slow` (its ratio is 0.6 of the others'); `wrong` (it finds every second candidate
wrong).
"""

import sys
from typing import Any

from avo_tui.domain.base import Value
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.questions import MachineQuestion, Question, ReportQuestion
from avo_tui.domain.report import EvaluationReport
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.evaluation import __main__ as program
from avo_tui.evaluation.pipeline import Pipeline

LIE = sys.argv[1]
_asked = 0


async def ask(pipeline: Pipeline, task: str, question: Question[Any], *rest: Any) -> Value:
    global _asked
    if isinstance(question, MachineQuestion):
        return MachineInfo(device="made up", conditions="made up")
    assert isinstance(question, ReportQuestion)
    _asked += 1
    wrong = LIE == "wrong" and _asked % 2 == 0
    ratio = 0.6 if LIE == "slow" else 1.0
    one = ConfigurationScore(
        name="small", throughput=100 * ratio, p20=99 * ratio, p80=101 * ratio, ratio=ratio,
        ratio_p20=0.99 * ratio, ratio_p80=1.01 * ratio, baselines={"library": 100.0},
    )  # fmt: skip
    return EvaluationReport(
        task=task, candidate=question.candidate.id, feedback=Feedback(summary=""),
        verdict=Verdict.WRONG_RESULT if wrong else Verdict.CORRECT,
        score=None if wrong else Score(
            unit="GFLOP/s", reference_baseline="library", configurations=(one,)
        ),
    )  # fmt: skip


async def warm(pipeline: Pipeline, task: str) -> None: ...


def lie() -> int:
    Pipeline.ask = ask  # type: ignore[assignment,method-assign]
    Pipeline.warm = warm  # type: ignore[assignment,method-assign]
    del sys.argv[1]
    return program.main()


if __name__ == "__main__":
    sys.exit(lie())
