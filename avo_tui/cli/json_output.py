"""The JSON documents of the command line. Field names never change; fields may be added."""

from __future__ import annotations

import json
import sys

from avo_tui.domain import memory, stall_rules
from avo_tui.domain.attempts import attempt_name, attempt_status
from avo_tui.domain.base import now
from avo_tui.domain.commands import Command, command_text
from avo_tui.domain.evidence import ERROR, Ledger
from avo_tui.domain.progress import progress
from avo_tui.domain.records import Attempt, Hint, Intervention, RunState, Step
from avo_tui.domain.state import SessionState
from avo_tui.export.json_documents import Form, moment, version_form
from avo_tui.store import (
    EngineStatus,
    SessionReader,
    SessionSummary,
    queued_commands,
    read_workers,
)


def emit(form: Form | list[Form]) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json.dumps(form, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def lineage_form(state: SessionState) -> Form:
    """`avo lineage NAME --json`."""
    best = state.best
    return {
        "session": state.session.name,
        "head": state.session.head,
        "best": best.number if best is not None else None,
        "versions": [version_form(state.versions[n]) for n in sorted(state.versions)],
    }


def current_attempt(state: SessionState) -> tuple[int | None, str | None]:
    """(number, stage) of the attempt that runs; None where none does."""
    step = state.session.step
    for attempt in reversed(state.attempts.values()):
        if attempt.step != step:
            break
        if attempt.verdict is None:
            return attempt.number, attempt.stage
    return None, None


def supervisor_form(state: SessionState) -> Form | None:
    """The supervisor's numbers with their limits; None if the run has no supervisor."""
    ladder = state.session.settings.operator_traits.ladder
    if not ladder:
        return None
    stall = stall_rules.stall(state)
    limits = stall_rules.limits(state.session.settings)
    return {
        "next": stall_rules.next_level(stall.rung, ladder),
        "since_last_commit": stall.rung,
        "numbers": {
            rule.name: {"used": rule.used, "limit": rule.limit or None}
            for rule in stall_rules.rules(stall, limits)
        },
        "active": [intervention_form(i) for i in state.supervision.values() if i.state == "active"],
    }


def intervention_form(made: Intervention) -> Form:
    """One intervention."""
    return {
        "id": made.id,
        "at": moment(made.at),
        "step": made.step,
        "level": made.level,
        "by": made.by,
        "state": made.state,
        "trigger": made.trigger,
        "diagnosis": made.diagnosis,
        "review": made.review,
        "avoid": list(made.avoid),
        "directions": [d.model_dump(mode="json") for d in made.directions],
    }


def attempt_form(attempt: Attempt, step: int | None) -> Form:
    """One attempt of `avo attempts NAME --json`; `step` is the open step."""
    return {
        "attempt": attempt_name(attempt),
        "status": attempt_status(attempt, step),
        **attempt.model_dump(mode="json", exclude={"undecided"}),
    }


def hint_form(hint: Hint) -> Form:
    """A hint that is queued or in force, with its delivery."""
    return {
        "id": hint.id,
        "text": hint.text,
        "state": hint.state,
        "scope": hint.scope,
        "by": hint.by,
        "queued_at": moment(hint.queued_at),
        "delivered_at": moment(hint.delivered_at),
        "where": hint.where,
    }


def queued_form(command: Command) -> Form:
    """A command that the engine has not taken yet."""
    return {
        "id": command.id,
        "kind": command.kind,
        "text": command_text(command),
        "at": moment(command.at),
        "by": command.by,
    }


def status_form(reader: SessionReader) -> Form:
    """`avo status NAME --json`."""
    state, session, engine = reader.state, reader.state.session, reader.engine()
    run_state, reason = reader.standing()
    attempt, stage = current_attempt(state)
    step: Step | None = state.current_step
    best = state.best
    ledger = Ledger(state.comparisons.values())
    return {
        "session": session.name,
        "task": session.task.name,
        "operator": session.settings.operator,
        "model": session.settings.model,
        "state": run_state,
        "reason": reason,
        "step": session.step,
        "step_running": step is not None,
        "attempt": attempt,
        "stage": stage,
        "engine": engine_form(engine),
        "restarts": session.engine.restarts if session.engine is not None else 0,
        "budget": session.budget.model_dump(mode="json"),
        "spend": session.spend.model_dump(mode="json"),
        "best": best.number if best is not None else None,
        "best_ratio": best.aggregate if best is not None else None,
        "reference_baseline": session.task.reference_baseline,
        "head": session.head,
        "versions": len(state.versions),
        "gate": {
            "comparisons": len(ledger.tests),
            "error_budget": ERROR,
            "error_budget_left": ledger.budget_left,
            "do_not_hold": sorted(v.number for v in state.versions.values() if not v.holds),
        },
        "pending_approval": state.pending_approval[0] if state.pending_approval else None,
        "supervisor": supervisor_form(state),
        "hints": [hint_form(h) for h in state.live_hints],
        "queued": [queued_form(c) for c in queued_commands(reader.folder)],
        "seat": session.occupant.model_dump(mode="json") if session.occupant else None,
        "memory": {
            "notes": len(state.memory),
            "characters": memory.size(state.memory.values()),
            "limit": session.memory_limit,
        },
        "progress": progress(state, run_state).model_dump(mode="json"),
        "last_event_at": moment(session.last_event_at),
        "parked_until": moment(session.parked_until),
        "workers": workers_form(reader)["workers"],
        "folder": str(reader.folder),
    }


def workers_form(reader: SessionReader) -> Form:
    """`avo workers NAME --json`: the devices as the run's engine told of them last."""
    seen, alive = read_workers(reader.folder), reader.engine().alive
    seen = seen.ended() if seen is not None and not alive else seen
    rows = []
    for worker in seen.workers if seen is not None else ():
        then = seen.at if seen is not None and not alive else now()
        figures = {"per_hour": worker.per_hour(then), "busy_share": worker.busy_share(then)}
        rows.append({**worker.model_dump(mode="json"), "usable": worker.usable, **figures})
    return {
        "session": reader.name,
        "engine_alive": alive,
        "at": moment(seen.at if seen is not None else None),
        "workers": rows,
        "queue": seen.queue.model_dump(mode="json") if seen is not None and seen.queue else None,
    }


def engine_form(engine: EngineStatus) -> Form:
    """Whether an engine runs, and where."""
    return {
        "alive": engine.alive,
        "pid": engine.pid if engine.alive else None,
        "host": engine.host if engine.alive else None,
    }


def summary_form(summary: SessionSummary) -> Form:
    """One row of `avo sessions --json`."""
    return {
        "session": summary.name,
        "folder": str(summary.folder),
        "error": summary.error,
        "task": summary.task or None,
        "operator": summary.operator,
        "model": summary.model,
        "state": summary.state,
        "engine": engine_form(summary.engine),
        "head": summary.head,
        "best": summary.best,
        "best_ratio": summary.ratio,
        "geomean": summary.geomean,
        "unit": summary.unit,
        "reference_baseline": summary.reference_baseline,
        "versions": summary.versions,
        "step": summary.step,
        "attempts": summary.attempts,
        "created": moment(summary.created),
        "last_event_at": moment(summary.last_activity),
        "spend": summary.spend.model_dump(mode="json"),
        "progress": summary.progress and summary.progress.model_dump(mode="json"),
    }


STATE_WORDS: dict[RunState, str] = {
    "lost": "engine lost",
    "finished": "finished",
}


def state_word(state: RunState | None) -> str:
    """A run's state in words for the person."""
    return "unreadable" if state is None else STATE_WORDS.get(state, state)
