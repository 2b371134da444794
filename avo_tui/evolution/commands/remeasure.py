"""`remeasure`: measures a version again; the result is kept beside the score from the gate."""

from __future__ import annotations

from collections.abc import Callable

from avo_tui.domain.base import now
from avo_tui.domain.commands import Remeasure
from avo_tui.domain.events import CommandTaken, VersionRemeasured
from avo_tui.domain.questions import EvaluateQuestion
from avo_tui.domain.records import Remeasurement
from avo_tui.evolution.commands.base import CommandSpec, Desk


async def _job(desk: Desk, command: Remeasure, answer: Callable[[str], CommandTaken]) -> None:
    run = desk.run
    await run.know_machine()
    version = run.state.versions[command.version]
    question = EvaluateQuestion(files=run.candidate(version.candidate).files)
    report = await desk.evaluations.ask(question, run.control.interrupts_job)
    if report.score is None:
        run.trouble(f"v{version.number} measured again", report.feedback.summary)
        run.record(answer(f"v{version.number} gave no score: {report.feedback.summary}"))
        return
    measurement = Remeasurement(
        at=now(), score=report.score, device=report.device, conditions=report.conditions
    )
    run.record(
        VersionRemeasured(number=version.number, measurement=measurement),
        answer(
            f"v{version.number} measured again: {report.score.aggregate:.4f}, "
            f"{version.aggregate:.4f} at the gate"
        ),
    )


def _handle(desk: Desk, command: Remeasure) -> None:
    desk.version(command.version)


SPEC = CommandSpec(
    Remeasure,
    _handle,
    summary=lambda command: f"measure v{command.version} again",
    job=_job,
)
