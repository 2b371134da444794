"""Builds the events for the end of a step and for edits."""

from __future__ import annotations

from collections.abc import Sequence

from avo_tui.domain import difference
from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.budget import Spend
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.records import Attempt, StepOutcomeName
from avo_tui.domain.report import EvaluationReport
from avo_tui.evolution.run import Run


def finish(run: Run, outcome: StepOutcomeName, reason: str, along: Sequence[ev.Event] = ()) -> None:
    """End the open step, if there is one, in one transaction with the events `along`.

    The working candidate is kept as an attempt. If the person or the supervisor asked for the
    step's end, their outcome and reason replace the given ones.
    """
    if run.open_step is None:
        if along:
            run.record(*along)
        return
    run.settle()
    run.record(*along, *ending(run, *wished(run, outcome, reason)))
    run.control.end = None


def wished(run: Run, outcome: StepOutcomeName, reason: str) -> tuple[StepOutcomeName, str]:
    """The requested (outcome, reason) of the step, if somebody asked for its end; else those
    given."""
    end = run.control.end
    return (outcome, reason) if end is None else (end.outcome, end.reason)


def ending(
    run: Run, outcome: StepOutcomeName, reason: str, version: int | None = None
) -> list[ev.Event]:
    """The events that end the open step; `version` is committed by the same transaction, if
    given."""
    step = run.open_step
    assert step is not None
    version = step.version if version is None else version
    events = close_attempts(run, step.number, f"the step ended: {reason or outcome}")
    if outcome not in {"committed", "nothing"}:
        events += _keep_working_candidate(run, step.number, f"not evaluated: {reason or outcome}")
    if outcome == "nothing" and version is not None:
        outcome = "committed"
    events.append(
        ev.StepFinished(step=step.number, outcome=outcome, reason=reason, version=version)
    )
    return events


def close_attempts(run: Run, step: int, why: str) -> list[ev.Event]:
    """Events that finish the running attempts of a step as cancelled."""
    running: list[Attempt] = []
    for attempt in reversed(run.state.attempts.values()):
        if attempt.step < step:
            break
        if attempt.step == step and attempt.verdict is None:
            running.append(attempt)
    events: list[ev.Event] = []
    for attempt in running:
        report = run.cancelled(attempt.candidate, why)
        events += attempt_finished(attempt.step, attempt.number, report)
    return events


def attempt_finished(step: int, number: int, report: EvaluationReport) -> list[ev.Event]:
    """Events that record the result of an attempt, with its report."""
    events: list[ev.Event] = [ev.AttemptFinished(step=step, attempt=number, report=report)]
    if report.verdict.judges_candidate and not report.cached:
        events.append(ev.Spent(spend=Spend(evaluations=1)))
    return events


def _keep_working_candidate(run: Run, step: int, why: str) -> list[ev.Event]:
    """Events that keep the working candidate as an attempt, unless it already is one."""
    edits = [e for e in run.writer.step_events(step) if isinstance(e, ev.CandidateEdited)]
    if not edits:
        return []
    last = edits[-1]
    if last.candidate in {a.candidate for (s, _), a in run.state.attempts.items() if s == step}:
        return []
    number = run.next_attempt(step)
    attempt = Attempt(
        step=step,
        number=number,
        parent=last.parent,
        candidate=last.candidate,
        title=last.title or "working candidate",
        at=now(),
    )
    report = run.cancelled(last.candidate, why)
    return [
        ev.AttemptStarted(step=step, attempt=attempt),
        *attempt_finished(step, number, report),
    ]


def edited(run: Run, candidate: Candidate, parent: int, title: str) -> ev.CandidateEdited:
    """The event of an edit, with the diff to the parent version; stores the source as an object."""
    origin = run.candidate(run.state.versions[parent].candidate)
    run.writer.put(candidate.canonical())
    return difference.edited(candidate, parent, origin, title)
