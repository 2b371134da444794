"""Repairs the state that an engine left behind when it ended unexpectedly."""

from __future__ import annotations

from avo_tui.domain import events as ev
from avo_tui.domain import stall_rules
from avo_tui.domain.lineage import rewind_text
from avo_tui.domain.records import LIVE_STATES, Step, StepOutcomeName
from avo_tui.evolution import steps
from avo_tui.evolution.options import count
from avo_tui.evolution.run import Run

ABORTED = "aborted by the person"


def mend(run: Run) -> list[str]:
    """Close what was left open; returns a sentence for each repair."""
    actions: list[str] = []
    closed = steps.close_attempts(run, run.state.session.step, "interrupted: the engine ended")
    if closed:
        run.record(*closed)
    for event in closed:
        if isinstance(event, ev.AttemptFinished):
            actions.append(f"attempt {event.step}.{event.attempt} had been interrupted")
    if run.state.versions:
        newest = run.state.versions[max(run.state.versions)]
        outlived = [i for i in run.state.supervision.values() if i.state == "active"]
        # only journals written before transactions existed can contain a commit without the rest
        if any(order.at < newest.created for order in outlived):
            run.record(*stall_rules.closing(run.state))
    step = run.open_step
    if step is None:
        return actions
    ended = _end_on_record(run, step)
    if ended is not None:
        outcome, reason, what = ended
        steps.finish(run, outcome, reason)
        actions.append(f"step {step.number} {what}")
    elif run.before.state in LIVE_STATES:
        actions.append(f"step {step.number} goes on")
    return actions


def _end_on_record(run: Run, step: Step) -> tuple[StepOutcomeName, str, str] | None:
    """(outcome, reason, description) for a step whose end was decided but not carried out."""
    for event in reversed(run.writer.step_events(step.number)):
        match event:
            case ev.VersionCommitted(version=version) if version.author == run.author:
                return "committed", version.gate.reason, f"had committed v{version.number}"
            case ev.Rewound(origin=origin, target=target, reason=reason):
                return "rewound", rewind_text(origin, target, reason), "had been rewound"
            case ev.CommandTaken(command="abort", refused=None):
                return "aborted", event.summary or ABORTED, "had been aborted"
            case ev.SupervisorIntervened(intervention=order) if stall_rules.step_end(order):
                return "nothing", stall_rules.step_end(order), "had been stopped by the supervisor"
    return None


def restore_wishes(run: Run) -> None:
    """Restore a pause that was set when the last engine ended; a crash loop also pauses the run."""
    before, control = run.before, run.control
    if before.state in {"paused", "pausing"}:
        control.ask_pause(before.state_reason)
        return
    limit = count(before.settings, "crash_loop")
    starts = _starts_without_progress(run)
    if limit and starts > limit:
        control.ask_pause(
            f"the engine ended unexpectedly {starts - 1} times without progress; "
            "look at engine.log, then resume"
        )
        run.trouble("engine", control.pause_reason)


def _starts_without_progress(run: Run) -> int:
    """Number of consecutive engines, including this one, that made no progress."""
    pids: set[int] = set()
    for event in reversed(run.writer.step_events(run.state.session.step)):
        if isinstance(event, ev.EngineStarted):
            pids.add(event.engine.pid)
        elif isinstance(event, ev.AttemptFinished):
            if event.report.verdict.judges_candidate:
                break
        elif isinstance(
            event, ev.EngineStopped | ev.VersionCommitted | ev.ToolReturned | ev.StepStarted
        ) or (isinstance(event, ev.StateChanged) and event.state == "paused"):
            break
    return len(pids)
