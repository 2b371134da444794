"""The JSON documents of the command line. Field names never change; fields may be added."""

from avo_tui.domain import memory, stall_rules
from avo_tui.domain.attempts import attempt_name, attempt_status
from avo_tui.domain.base import now
from avo_tui.domain.commands import command_text
from avo_tui.domain.evidence import ERROR, Ledger
from avo_tui.domain.progress import progress
from avo_tui.domain.records import Attempt, Hint, Intervention
from avo_tui.domain.state import SessionState
from avo_tui.export.json_documents import Form, moment, version_form
from avo_tui.store import (
    EngineStatus,
    SessionReader,
    SessionSummary,
    queued_commands,
    read_workers,
)


def lineage_form(state: SessionState) -> Form:
    """`avo lineage NAME --json`."""
    return {
        "session": state.session.name,
        "head": state.session.head,
        "best": state.best.number if state.best is not None else None,
        "versions": [version_form(state.versions[n]) for n in sorted(state.versions)],
    }


def current_attempt(state: SessionState) -> tuple[int | None, str | None]:
    """(number, stage) of the attempt that runs; None where none does."""
    for attempt in reversed(state.attempts.values()):
        if attempt.step != state.session.step:
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
    rules = stall_rules.rules(stall, stall_rules.limits(state.session.settings))
    return {
        "next": stall_rules.next_level(stall.rung, ladder),
        "since_last_commit": stall.rung,
        "numbers": {rule.name: {"used": rule.used, "limit": rule.limit or None} for rule in rules},
        "active": [intervention_form(i) for i in state.supervision.values() if i.state == "active"],
    }


def intervention_form(made: Intervention) -> Form:
    own = {"at", "review_wanted", "seconds_at", "usd_at"}
    return {**made.model_dump(mode="json", exclude=own), "at": moment(made.at)}


def attempt_form(attempt: Attempt, step: int | None) -> Form:
    """One attempt of `avo attempts NAME --json`; `step` is the open step."""
    return {
        "attempt": attempt_name(attempt),
        "status": attempt_status(attempt, step),
        **attempt.model_dump(mode="json", exclude={"undecided"}),
    }


def hint_form(hint: Hint) -> Form:
    """A hint that is queued or in force, with its delivery."""
    when = {"queued_at": moment(hint.queued_at), "delivered_at": moment(hint.delivered_at)}
    return {**hint.model_dump(include={"id", "text", "state", "scope", "by", "where"}), **when}


def status_form(reader: SessionReader) -> Form:
    """`avo status NAME --json`."""
    state, session = reader.state, reader.state.session
    run_state, reason = reader.standing()
    attempt, stage = current_attempt(state)
    best, ledger = state.best, Ledger(state.comparisons.values())
    return {
        "session": session.name,
        "task": session.task.name,
        "operator": session.settings.operator,
        "model": session.settings.model,
        "state": run_state,
        "reason": reason,
        "step": session.step,
        "step_running": state.current_step is not None,
        "attempt": attempt,
        "stage": stage,
        "engine": engine_form(reader.engine()),
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
        "queued": [
            {
                "text": command_text(c),
                "at": moment(c.at),
                **c.model_dump(include={"id", "kind", "by"}),
            }
            for c in queued_commands(reader.folder)
        ]
        + [
            {"text": "hint", "at": moment(h.queued_at), "id": h.id, "kind": "hint", "by": h.by}
            for h in state.hints.values()
            if h.state == "queued"
        ],
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
    here = {"pid": engine.pid, "host": engine.host} if engine.alive else {"pid": None, "host": None}
    return {"alive": engine.alive, **here}


def summary_form(summary: SessionSummary) -> Form:
    """One row of `avo sessions --json`."""
    same = {
        "error", "operator", "model", "state", "head", "best", "geomean", "unit",
        "reference_baseline", "versions", "step", "attempts", "spend", "progress",
    }  # fmt: skip
    return {
        "session": summary.name,
        "folder": str(summary.folder),
        "task": summary.task or None,
        "engine": engine_form(summary.engine),
        "best_ratio": summary.ratio,
        "created": moment(summary.created),
        "last_event_at": moment(summary.last_activity),
        **summary.model_dump(mode="json", include=same),
    }
