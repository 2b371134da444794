"""Carrying out the person's commands: each is answered with its effect or a reason."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from avo_tui.domain import commands as cmd
from avo_tui.domain import events as ev
from avo_tui.domain import memory
from avo_tui.domain.base import now
from avo_tui.domain.commands import Command
from avo_tui.domain.lineage import abandoned_by
from avo_tui.domain.records import Direction, Hint, Note, Version
from avo_tui.evolution.control import Refused
from avo_tui.evolution.recovery import rewind_text
from avo_tui.store import BadCommand, NoSpace

if TYPE_CHECKING:
    from avo_tui.evolution.engine import Engine

MAX_LIVE_HINTS = 50
MAX_JOBS = 50
PAUSE_WORDS = {"after_tool": "after this tool", "after_step": "after this step", "now": "now"}


def take(engine: Engine, command: Command | BadCommand) -> str | None:
    """Carries out one command; returns its effect or refusal, None where it became a job."""
    if isinstance(command, BadCommand):
        engine.record(ev.CommandTaken(id=command.id, command="unreadable", refused=command.reason))
        engine.writer.command_done(command.id)
        return command.reason
    try:
        effect = _HANDLERS[type(command)](engine, command)
    except Refused as refusal:
        answer(engine, command, refused=str(refusal))
        return str(refusal)
    except NoSpace:
        raise
    except Exception as error:
        # The person's command must never end the run; the record says what went wrong.
        reason = f"could not be carried out: {type(error).__name__}: {error}"
        engine.trouble(f"command {command.kind}", reason)
        answer(engine, command, refused=reason)
        return reason
    if effect is not None:
        answer(engine, command, effect=effect)
    return effect


def answer(
    engine: Engine, command: Command, *, effect: str = "", refused: str | None = None
) -> None:
    """Records what came of a command and takes it out of the inbox."""
    engine.record(
        ev.CommandTaken(
            id=command.id,
            by=command.by,
            command=command.kind,
            summary=summary(command),
            effect=effect,
            refused=refused,
        )
    )
    engine.writer.command_done(command.id)


def summary(command: Command) -> str:
    """A command in a few words, for lists."""
    match command:
        case cmd.Pause(mode=mode):
            return f"pause {PAUSE_WORDS[mode]}"
        case cmd.SendHint(text=text):
            return _short(text)
        case cmd.Rewind(version=version, reason=reason):
            return f"rewind to v{version}" + (f": {_short(reason)}" if reason else "")
        case cmd.SetBookmark(version=version, label=label):
            return f"v{version} {label}" if label else f"v{version} without bookmark"
        case cmd.Annotate(version=version, text=text):
            return f"v{version}: {_short(text)}"
        case cmd.Remeasure(version=version):
            return f"measure v{version} again"
        case cmd.Submit(candidate=candidate, plan=plan):
            return _short(plan) or f"candidate {candidate.short_id}"
        case cmd.AbortStep(reason=reason) | cmd.Reject(reason=reason):
            return _short(reason)
        case cmd.SetBudget(budget=budget):
            caps = budget.run.model_dump(exclude_none=True)
            return ", ".join(f"{k} {v:g}" for k, v in caps.items()) or "no caps"
        case cmd.EditMemory(text=text):
            return _short(text or "remove a note")
        case cmd.Supervise(level=level):
            return level
        case _:
            return command.kind.replace("_", " ")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:99] + "…"


def _version(engine: Engine, number: int) -> Version:
    version = engine.state.versions.get(number)
    if version is None:
        last = max(engine.state.versions, default=None)
        there = f"the versions are v0 to v{last}" if last is not None else "there is none yet"
        raise Refused(f"v{number} is not in the lineage; {there}")
    return version


def _running(engine: Engine) -> None:
    if engine.brief:
        raise Refused(f"no run is going on; start it with: avo run --resume {engine.before.name}")


# -- the run


def _pause(engine: Engine, command: cmd.Pause) -> str:
    _running(engine)
    control = engine.control
    if engine.state.session.state == "paused":
        raise Refused("the run is paused already")
    control.pause, control.pause_reason = command.mode, ""
    where = PAUSE_WORDS[command.mode]
    engine.record(
        ev.StateChanged(state="pausing", reason=f"pauses {where}", pause_mode=command.mode)
    )
    return f"pauses {where}"


def _resume(engine: Engine, command: cmd.Resume) -> str:
    _running(engine)
    control, state = engine.control, engine.state.session.state
    if state == "parked":
        control.skip_wait, control.pause = True, None
        return "the wait is cut short"
    if control.pause is None:
        raise Refused("the run is not paused")
    control.pause, control.pause_reason = None, ""
    if state == "pausing":
        engine.set_state("running")
        return "the pause is called off"
    return "goes on"


def _stop(engine: Engine, command: cmd.Stop) -> str:
    _running(engine)
    engine.control.stop = "stopped by the person"
    return f"the run ends; go on with: avo run --resume {engine.state.session.name}"


def _abort(engine: Engine, command: cmd.AbortStep) -> str:
    step = engine.busy_step
    if step is None:
        raise Refused("no step is running")
    reason = command.reason or "aborted by the person"
    if engine.brief:
        engine.finish_step("aborted", reason)
    else:
        engine.end_step("aborted", reason)
    return f"step {step.number} ends"


def _rewind(engine: Engine, command: cmd.Rewind) -> str:
    target, head, step = (
        _version(engine, command.version),
        engine.state.session.head,
        engine.busy_step,
    )
    assert head is not None
    if target.number == head and step is None:
        raise Refused(f"v{head} is the head already")
    left = abandoned_by(engine.state.versions, head, target.number)
    event = ev.Rewound(origin=head, target=target.number, reason=command.reason)
    engine.record(event)
    engine.supervisor.rewound()
    effect = f"v{target.number} is the head"
    if left:
        effect += f"; {len(left)} version{'s' if len(left) > 1 else ''} stay as a branch"
    if step is not None:
        effect += f"; step {step.number} ends"
        if engine.brief:
            engine.finish_step("rewound", rewind_text(event))
        else:
            engine.end_step("rewound", rewind_text(event))
    return effect


def _approve(engine: Engine, command: cmd.Approve) -> str:
    return _decide(engine, True, "")


def _reject(engine: Engine, command: cmd.Reject) -> str:
    return _decide(engine, False, command.reason)


def _decide(engine: Engine, approved: bool, reason: str) -> str:
    pending = engine.state.pending_approval
    if pending is None:
        raise Refused("no commit waits for approval")
    engine.record(ev.ApprovalGiven(attempt=pending[0], approved=approved, reason=reason))
    word = "is committed" if approved else "is not committed"
    return f"attempt {engine.state.session.step}.{pending[0]} {word}"


def _budget(engine: Engine, command: cmd.SetBudget) -> str:
    engine.record(ev.BudgetChanged(budget=command.budget))
    return f"the caps are {summary(command)}"


# -- hints


def _hint(engine: Engine, command: cmd.SendHint) -> str:
    if len(engine.state.live_hints) >= MAX_LIVE_HINTS:
        raise Refused(f"{MAX_LIVE_HINTS} hints are in force; clear one first")
    if not command.text.strip():
        raise Refused("the hint is empty")
    hint = Hint(
        id=command.id,
        text=command.text,
        delivery=command.delivery,
        scope=command.scope,
        by=command.by,
        queued_at=now(),
    )
    engine.record(ev.HintQueued(hint=hint))
    if command.delivery == "now" and not engine.brief:
        engine.control.hint_now = True
        return "delivered now"
    places = {
        "next_tool": "at the next tool",
        "end_of_turn": "at the end of the turn",
        "now": "first",
    }
    return f"queued, delivered {places[command.delivery]}"


def _clear_hint(engine: Engine, command: cmd.ClearHint) -> str:
    hint = engine.state.hints.get(command.hint)
    if hint is None:
        raise Refused(f"there is no hint {command.hint}")
    if hint not in engine.state.live_hints:
        raise Refused(f"the hint is {hint.state} already")
    engine.record(ev.HintClosed(hint=hint.id, state="cleared", why="cleared by the person"))
    return "cleared"


# -- the lineage


def _bookmark(engine: Engine, command: cmd.SetBookmark) -> str:
    version = _version(engine, command.version)
    label = command.label.strip() if command.label else None
    engine.record(
        ev.VersionAnnotated(number=version.number, bookmark=label or None, note=version.note)
    )
    return f"v{version.number} is marked {label}" if label else f"v{version.number} is not marked"


def _note(engine: Engine, command: cmd.Annotate) -> str:
    version = _version(engine, command.version)
    engine.record(
        ev.VersionAnnotated(
            number=version.number, bookmark=version.bookmark, note=command.text.strip()
        )
    )
    return f"the note of v{version.number} is written"


def _submit(engine: Engine, command: cmd.Submit) -> None:
    if command.parent is not None:
        _version(engine, command.parent)
    if not engine.state.versions:
        raise Refused("the lineage has no seed yet; run it first")
    _queue(engine, command)


def _remeasure(engine: Engine, command: cmd.Remeasure) -> None:
    _version(engine, command.version)
    _queue(engine, command)


def _queue(engine: Engine, command: cmd.Submit | cmd.Remeasure) -> None:
    if len(engine.control.jobs) >= MAX_JOBS:
        raise Refused(f"{MAX_JOBS} candidates wait already")
    engine.control.jobs.append(command)


# -- memory and supervisor


def _memory(engine: Engine, command: cmd.EditMemory) -> str:
    notes = engine.state.memory
    if command.note is not None and command.note not in notes:
        raise Refused(f"there is no note {command.note}")
    if command.text is None:
        if command.note is None:
            raise Refused("nothing to write and nothing to remove")
        engine.record(ev.NoteRemoved(note=command.note, author="person"))
        return "the note is removed"
    if not command.text.strip():
        raise Refused("the note is empty")
    identity = command.note or uuid.uuid4().hex[:8]
    size = memory.size(n for n in notes.values() if n.id != identity) + len(command.text)
    limit = engine.state.session.memory_limit
    if size > limit:
        raise Refused(f"the memory would hold {size} characters; the limit is {limit}")
    note = Note(
        id=identity,
        category=command.category,
        text=command.text,
        step=engine.state.session.step,
        at=now(),
        author="person",
    )
    engine.record(ev.NoteWritten(note=note))
    return "the note is written"


def _supervise(engine: Engine, command: cmd.Supervise) -> str:
    if not engine.state.versions:
        raise Refused("there is no version yet")
    directions = tuple(Direction(text=text) for text in command.directions)
    made = engine.supervisor.intervene(
        command.level, "triggered by the person", by="person", directions=directions
    )
    return f"{made.level} with {len(made.directions)} directions"


def _intervention(engine: Engine, command: cmd.EditIntervention) -> str:
    found = engine.state.supervision.get(command.intervention)
    if found is None:
        raise Refused(f"there is no intervention {command.intervention}")
    if command.dismiss:
        engine.record(ev.InterventionChanged(intervention=found.id, state="dismissed"))
        return "dismissed"
    if command.directions is None:
        raise Refused("nothing to change")
    directions = tuple(Direction(text=text) for text in command.directions)
    engine.record(
        ev.InterventionChanged(intervention=found.id, state="active", directions=directions)
    )
    return f"{len(directions)} directions"


C = TypeVar("C", bound=cmd.CommandBase)
Handler = Callable[["Engine", Any], str | None]

_HANDLERS: dict[type, Handler] = {
    cmd.Pause: _pause,
    cmd.Resume: _resume,
    cmd.Stop: _stop,
    cmd.AbortStep: _abort,
    cmd.Rewind: _rewind,
    cmd.Approve: _approve,
    cmd.Reject: _reject,
    cmd.SetBudget: _budget,
    cmd.SendHint: _hint,
    cmd.ClearHint: _clear_hint,
    cmd.SetBookmark: _bookmark,
    cmd.Annotate: _note,
    cmd.Submit: _submit,
    cmd.Remeasure: _remeasure,
    cmd.EditMemory: _memory,
    cmd.Supervise: _supervise,
    cmd.EditIntervention: _intervention,
}
