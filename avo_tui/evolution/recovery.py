"""What a new engine makes of the traces of one that ended in the middle of something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avo_tui.domain import events as ev
from avo_tui.domain.base import now
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.difference import unified
from avo_tui.domain.records import LIVE_STATES, Attempt

if TYPE_CHECKING:
    from avo_tui.evolution.engine import Engine

ORIGIN_OPTION = "origin_candidate"
CRASH_LOOP = 5


def mend(engine: Engine) -> list[str]:
    """Closes what was left open; returns what was done, in words."""
    actions: list[str] = []
    step = engine.state.session.step
    for attempt in close_attempts(engine, step, "interrupted: the engine ended"):
        actions.append(f"attempt {attempt.step}.{attempt.number} had been interrupted")
    newest = engine.state.versions[max(engine.state.versions)] if engine.state.versions else None
    active = [i for i in engine.state.supervision.values() if i.state == "active"]
    if newest is not None and any(i.at < newest.created for i in active):
        engine.supervisor.committed()
    open_step = engine.busy_step
    if open_step is None:
        return actions
    events = engine.writer.step_events(open_step.number)
    committed = [
        e.version
        for e in events
        if isinstance(e, ev.VersionCommitted) and e.version.author == engine.operator.author
    ]
    rewound = next((e for e in reversed(events) if isinstance(e, ev.Rewound)), None)
    aborted = any(
        isinstance(e, ev.CommandTaken) and e.command == "abort" and not e.refused for e in events
    )
    if committed:
        engine.finish_step("committed", committed[-1].gate.reason)
        actions.append(f"step {open_step.number} had committed v{committed[-1].number}")
    elif rewound is not None:
        engine.finish_step("rewound", rewind_text(rewound))
        actions.append(f"step {open_step.number} had been rewound")
    elif aborted:
        engine.finish_step("aborted", "aborted by the person")
        actions.append(f"step {open_step.number} had been aborted")
    elif engine.before.state in LIVE_STATES:
        actions.append(f"step {open_step.number} goes on")
    return actions


def rewind_text(event: ev.Rewound) -> str:
    """A rewind in one sentence."""
    why = f": {event.reason}" if event.reason else ""
    return f"rewound from v{event.origin} to v{event.target}{why}"


def restore_wishes(engine: Engine) -> None:
    """A pause outlives its engine; a crash loop becomes a pause."""
    before = engine.before
    if before.state in {"paused", "pausing"}:
        engine.control.pause = "after_tool"
        engine.control.pause_reason = before.state_reason
        return
    limit = int(before.settings.options.get("crash_loop", CRASH_LOOP))
    starts = _starts_without_progress(engine)
    if limit and starts > limit:
        engine.control.pause = "after_tool"
        engine.control.pause_reason = (
            f"the engine ended unexpectedly {starts - 1} times without progress; "
            "look at engine.log, then resume"
        )
        engine.trouble("engine", engine.control.pause_reason)


def _starts_without_progress(engine: Engine) -> int:
    """Engines in a row, this one included, that got nowhere."""
    pids: set[int] = set()
    for event in reversed(engine.writer.step_events(engine.state.session.step)):
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


def planted(engine: Engine) -> Candidate | None:
    """The candidate of another session that this one starts from, if any."""
    identity = engine.state.session.settings.options.get(ORIGIN_OPTION)
    return engine.candidate(identity) if isinstance(identity, str) else None


def close_attempts(engine: Engine, step: int, why: str) -> list[Attempt]:
    """Finishes the attempts of a step that still run, as cancelled; returns them."""
    found = []
    for attempt in reversed(engine.state.attempts.values()):
        if attempt.step < step:
            break
        if attempt.step == step and attempt.verdict is None:
            found.append(attempt)
    for attempt in found:
        report = engine.measure.cancelled(attempt.candidate, why)
        engine.measure.finish(attempt.step, attempt.number, report)
    return found


def keep_working_candidate(engine: Engine, step: int, why: str) -> None:
    """Keeps the working candidate of a step that ends as an attempt, unless it is one already."""
    edited = [e for e in engine.writer.step_events(step) if isinstance(e, ev.CandidateEdited)]
    if not edited:
        return
    last = edited[-1]
    tried = {a.candidate for (s, _), a in engine.state.attempts.items() if s == step}
    if last.candidate in tried:
        return
    number = engine.next_attempt(step)
    attempt = Attempt(
        step=step,
        number=number,
        parent=last.parent,
        candidate=last.candidate,
        title=last.title or "working candidate",
        at=now(),
    )
    engine.record(ev.AttemptStarted(step=step, attempt=attempt))
    engine.measure.finish(step, number, engine.measure.cancelled(last.candidate, why))


def record_edit(engine: Engine, candidate: Candidate, parent: int, title: str) -> None:
    """Stores a candidate and records its diff to the version it was made from."""
    origin = engine.candidate(engine.state.versions[parent].candidate)
    change = unified(origin, candidate)
    engine.writer.put(candidate.canonical())
    engine.record(
        ev.CandidateEdited(
            candidate=candidate.id,
            parent=parent,
            diff=change.text,
            added=change.added,
            removed=change.removed,
            title=title,
        )
    )
