"""The outcome of an evaluation, running or finished, put together from records and reports."""

from __future__ import annotations

from dataclasses import dataclass, replace

from avo_tui.domain.changes import ABOUT
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.machine import MachineInfo
from avo_tui.domain.records import Profile, Version
from avo_tui.domain.report import (
    ConfigurationCheck,
    EvaluationProgress,
    EvaluationReport,
    Resources,
)
from avo_tui.domain.score import ConfigurationScore, Score
from avo_tui.domain.verdict import Feedback
from avo_tui.ui.session.step_view import AttemptView, StageView


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the output pane shows of one evaluation, running or finished."""

    stages: tuple[StageView, ...] = ()
    report: EvaluationReport | None = None
    checks: tuple[ConfigurationCheck, ...] = ()
    score: Score | None = None
    parent: Score | None = None
    parent_name: str = ""
    """Heading of the column that compares with the parent, with `≈`: it had a run of its own."""
    resources: Resources | None = None
    feedback: Feedback | None = None
    log: str = ""
    decision: GateDecision | None = None
    rejected: str = ""
    device: str = ""
    version: int | None = None
    machine: MachineInfo | None = None
    """What the session measures on, where it is what the score was measured on."""
    profiles: tuple[Profile, ...] = ()
    outdated: bool = False
    """True if harness, compiler, task or machine have changed since the score was measured."""


def outcome_of_attempt(view: AttemptView, reference: str) -> Outcome:
    """From the running or finished attempt: its report if there is one, else its progress."""
    progress = Outcome(
        stages=view.stages,
        log=view.log,
        resources=view.resources,
        decision=view.decision,
        rejected=view.rejected,
        version=view.version,
    )
    if view.report is not None:
        return replace(
            outcome_of_report(view.report),
            stages=view.stages,
            decision=view.decision,
            rejected=view.rejected,
            version=view.version,
        )
    checks: list[ConfigurationCheck] = []
    measured: list[ConfigurationScore] = []
    unit = ""
    for stage in view.stages:
        for row in stage.rows:
            name = row.configuration or f"{row.index}"
            if stage.stage == "check":
                checks.append(
                    ConfigurationCheck(name=name, ok=row.ok, error=row.error, detail=row.detail)
                )
            elif stage.stage == "benchmark" and row.throughput:
                unit = row.unit or unit
                measured.append(_measured(row, name))
    score = Score(unit=unit, reference_baseline=reference, configurations=tuple(measured))
    return replace(progress, checks=tuple(checks), score=score if measured else None)


def _measured(row: EvaluationProgress, name: str) -> ConfigurationScore:
    value = row.throughput or 0.0
    return ConfigurationScore(
        name=name,
        throughput=value,
        p20=row.p20 or value,
        p80=row.p80 or value,
        ratio=row.ratio or 0.0,
        baselines=row.baselines,
    )


def outcome_of_report(report: EvaluationReport) -> Outcome:
    """From a finished evaluation."""
    return Outcome(
        report=report,
        checks=report.checks,
        score=report.score,
        resources=report.resources,
        feedback=None if report.correct else report.feedback,
        log=report.feedback.log,
        device=report.device,
    )


def outcome_of_version(version: Version, parent: Version | None) -> Outcome:
    """A version's outcome from its record alone."""
    return Outcome(
        score=version.score,
        parent=None if parent is None else parent.score,
        parent_name="" if parent is None else f"{ABOUT} vs v{parent.number}",
        resources=version.resources,
        decision=version.gate if version.gate.gate != "seed" else None,
        device=version.device,
        version=version.number,
    )


def against(outcome: Outcome, parent: Version | None) -> Outcome:
    """The outcome, compared with a parent."""
    if parent is None:
        return outcome
    return replace(outcome, parent=parent.score, parent_name=f"{ABOUT} vs v{parent.number}")
