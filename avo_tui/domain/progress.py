"""How a run is doing: what it waits for, whether it still improves, and what it costs.

Used by the status line, the list of sessions, the window title, the digest, `avo status` and the
JSON output. The values are times and counts; texts that depend on the current time are made by
functions with the argument `now`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

from avo_tui.domain.base import Moment, Value
from avo_tui.domain.budget import BudgetUnit, cap_states, hours_left
from avo_tui.domain.changes import ABOUT, change_between
from avo_tui.domain.lineage import best_so_far
from avo_tui.domain.records import Attempt, RunState, Version
from avo_tui.domain.stall_rules import Thresholds, limits
from avo_tui.domain.state import SessionState

WaitsFor = Literal["", "approval", "resume", "engine", "submission", "time", "disk"]
"""What a run waits for. `approval`, `resume`, `engine`: a person must approve an attempt, resume
the run, or start the engine again. `submission`: a candidate from outside. `time`: the end of a
parked wait. `disk`: the session's disk is full or missing. Empty: the run is going on or has
ended."""

PERSON: frozenset[WaitsFor] = frozenset({"approval", "resume", "engine", "disk"})
"""The kinds of waiting that only a person can end."""

STUCK_TRIES = 4
"""A run counts as stuck after this many times the supervisor's limit of attempts without a better
version; by then all kinds of intervention have been tried."""


class Progress(Value):
    """How a run is doing, as of its last recorded event."""

    state: RunState
    waits_for: WaitsFor = ""
    since: Moment | None = None
    """When the run began to wait; None if it does not wait."""
    until: Moment | None = None
    """When a parked run continues."""
    attempt: str = ""
    """The attempt that waits for approval, such as `25.3` (step, number)."""
    reason: str = ""
    """Why the run waits or ended, as the engine recorded it."""
    best: int | None = None
    best_at: Moment | None = None
    """When the best version was committed."""
    previous: int | None = None
    """Number of the best version before it."""
    gain: float | None = None
    """Relative gain of the best version over the previous best one: measured alternately at the
    gate if possible, otherwise from their aggregates. None for the first version."""
    gain_timed: bool = False
    """True if the gate measured `gain`, False if it compares two separate runs."""
    gain_clear: bool = True
    """False if `gain` lies within the spread of the two runs that it compares."""
    tries: int = 0
    """Attempts with a verdict since the best version."""
    steps: int = 0
    """Steps that ended since the best version."""
    interventions: int = 0
    """Interventions of the supervisor since the best version; `restarts` are among them."""
    restarts: int = 0
    stuck: bool = False
    """True if the run has tried for a long time without finding a better version."""
    usd_per_hour: float | None = None
    """Average dollars per hour of running so far; None if nothing was spent."""
    hours_left: float | None = None
    """Forecast: hours of running until the first cap is reached."""
    ends_by: BudgetUnit | None = None
    """The cap that is reached first."""

    @property
    def needs_person(self) -> bool:
        """Whether the run cannot continue until a person does something."""
        return self.waits_for in PERSON

    @property
    def rank(self) -> int:
        """How urgently the run needs attention: 0 not at all, 1 if stuck, 2 or more if a person
        must act."""
        order: tuple[WaitsFor, ...] = ("resume", "disk", "engine", "approval")
        if self.waits_for in order:
            return 2 + order.index(self.waits_for)
        return 1 if self.stuck else 0


def bests(versions: Iterable[Version]) -> list[Version]:
    """The versions that were the best at some time, in order."""
    out: list[Version] = []
    for leader in best_so_far(versions):
        if not out or leader.number != out[-1].number:
            out.append(leader)
    return out


def progress(
    state: SessionState,
    run_state: RunState,
    in_turn: Sequence[Version] | None = None,
    counter: TryCounter | None = None,
) -> Progress:
    """How a run is doing.

    `in_turn` is the result of `bests`, if the caller already has it; a caller that asks again and
    again keeps a `counter`.
    """
    in_turn = bests(state.versions.values()) if in_turn is None else in_turn
    session = state.session
    best = in_turn[-1] if in_turn else None
    previous = in_turn[-2] if len(in_turn) > 1 else None
    tries = (counter or TryCounter()).since(state.attempts, best)
    interventions = [
        i
        for i in state.supervision.values()
        if i.by == "supervisor" and (best is None or i.at > best.created)
    ]
    over = run_state in {"stopped", "finished"}
    change = None if best is None or previous is None else change_between(best, previous)
    left = {
        cap.unit: hours
        for cap in cap_states(session.budget.run, session.spend)
        if not over and (hours := hours_left(cap, session.spend)) is not None
    }
    ends_by = min(left, key=lambda unit: left[unit], default=None)
    waits_for = _waits_for(state, run_state)
    running = run_state == "running" and not waits_for
    hours = session.spend.seconds / 3600
    return Progress(
        state=run_state,
        waits_for=waits_for,
        since=_since(state, waits_for),
        until=session.parked_until,
        attempt=_waiting_attempt(state),
        reason=session.state_reason,
        best=None if best is None else best.number,
        best_at=None if best is None else best.created,
        previous=None if previous is None else previous.number,
        gain=None if change is None else change.gain,
        gain_timed=change is not None and change.timed,
        gain_clear=change is not None and change.clear,
        tries=tries,
        steps=_steps_since(state, best),
        interventions=len(interventions),
        restarts=sum(i.level == "restart" for i in interventions),
        stuck=running and best is not None and _stuck(state, tries, len(interventions)),
        usd_per_hour=session.spend.usd / hours if session.spend.usd > 0 and hours > 0 else None,
        hours_left=left[ends_by] if ends_by is not None else None,
        ends_by=ends_by,
    )


def with_state(known: Progress, run_state: RunState) -> Progress:
    """The same progress with another run state, such as `lost` for a session without an engine."""
    if run_state == known.state:
        return known
    named: dict[RunState, WaitsFor] = {"lost": "engine", "parked": "disk"}
    waits_for = named.get(run_state, known.waits_for)
    return known.model_copy(update={"state": run_state, "waits_for": waits_for, "stuck": False})


def _waits_for(state: SessionState, run_state: RunState) -> WaitsFor:
    if run_state == "lost":
        return "engine"
    if run_state in {"stopped", "finished"}:
        return ""
    if state.pending_approval is not None:
        return "approval"
    if run_state == "paused":
        return "resume"
    if run_state == "parked":
        # the record may not say `parked`: the disk may be too full even to record it
        until = state.session.parked_until if state.session.state == "parked" else None
        return "time" if until is not None else "disk"
    idle = state.current_step is None and bool(state.versions)
    by_itself = state.session.settings.operator_traits.steps_by_itself
    if run_state == "running" and idle and not by_itself:
        return "submission"
    return ""


def _since(state: SessionState, waits_for: WaitsFor) -> datetime | None:
    session = state.session
    if waits_for == "approval":
        return session.approval_since
    if waits_for == "engine":
        return session.last_event_at
    if waits_for == "submission":
        last = state.steps.get(session.step)
        return session.state_since if last is None else last.ended
    return session.state_since if waits_for else None


def _waiting_attempt(state: SessionState) -> str:
    pending = state.pending_approval
    return "" if pending is None else f"{state.session.step}.{pending[0]}"


class TryCounter:
    """Counts the attempts with a verdict since the best version; again without counting all of
    them again."""

    def __init__(self) -> None:
        self._best: tuple[int, int] | None = None
        self._counted: tuple[int, int] | None = None
        """The last attempt that was counted for good: it has its verdict, and so have all between
        the best version and it."""
        self._count = 0

    def since(self, attempts: dict[tuple[int, int], Attempt], best: Version | None) -> int:
        """The count for these attempts, which come in order."""
        first = None if best is None else (best.step, best.attempt)
        if first != self._best or self._counted not in attempts:
            self._best, self._counted, self._count = first, None, 0
        fresh: list[tuple[tuple[int, int], Attempt]] = []
        for item in reversed(attempts.items()):
            if item[0] == self._counted or (first is not None and item[0] <= first):
                break
            fresh.append(item)
        count, settled = self._count, True
        for key, attempt in reversed(fresh):
            verdict = attempt.verdict
            if verdict is None:
                settled = False
            elif verdict.judges_candidate:
                count += 1
            if settled:
                self._counted, self._count = key, count
        return count


def _steps_since(state: SessionState, best: Version | None) -> int:
    first = 0 if best is None else best.step
    numbers = range(first + 1, state.session.step + 1)
    return sum(1 for n in numbers if n in state.steps and state.steps[n].ended is not None)


def _stuck(state: SessionState, tries: int, interventions: int) -> bool:
    settings = state.session.settings
    ladder = settings.operator_traits.ladder
    if not ladder:
        return False
    limit = limits(settings).attempts or Thresholds().attempts
    return interventions > len(ladder) or tries >= STUCK_TRIES * limit


def attention(known: Progress, last_activity: datetime | None, now: datetime) -> int:
    """The rank to sort a list of runs by, so that those that need a person come first.

    A run that has waited for more than a week gets a lower rank, because probably nobody uses it
    any more.
    """
    fresh = last_activity is not None and (now - last_activity).days < 7
    return known.rank if fresh else 0


# -- as text


def state_text(known: Progress) -> str:
    """The state in one to three words, for a list."""
    if known.waits_for == "approval":
        return "waits for you"
    if known.waits_for == "submission":
        return "awaits input"
    if known.state == "lost":
        return "engine lost"
    if known.waits_for == "disk":
        return "awaits disk"
    return "stuck" if known.stuck else known.state


def span_text(seconds: float) -> str:
    """A duration in one coarse unit: `40 s`, `26 min`, `5 h`, `3 d`."""
    seconds = max(0.0, seconds)
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size or (unit == "min" and seconds >= size):
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


_WAITS: Mapping[WaitsFor, str] = {
    "approval": "waits for you to approve attempt {attempt}",
    "resume": "paused: waits for you to resume it",
    "engine": "the engine is lost: waits for you to start it again",
    "submission": "waits for a candidate from outside",
    "time": "parked: goes on by itself",
    "disk": "waits for the session's disk, which accepts no writes",
}


def waiting_text(known: Progress, now: datetime) -> str:
    """What the run waits for and for how long, as one phrase; empty if it does not wait."""
    if not known.waits_for:
        return ""
    text = _WAITS[known.waits_for].format(attempt=known.attempt)
    if known.waits_for == "time" and known.until is not None:
        return f"{text} in {span_text((known.until - now).total_seconds())}"
    if known.since is None:
        return text
    return f"{text}, for {span_text((now - known.since).total_seconds())}"


def gain_text(known: Progress) -> str:
    """The gain of the best version, such as `+1.1%`, or `≈+93.2%` if it compares separate runs;
    empty if it is not known."""
    if known.gain is None:
        return ""
    about = "" if known.gain_timed else ABOUT
    return about + f"{known.gain:+.1%}".replace("-", "−")


def progress_text(known: Progress, now: datetime) -> str:
    """The last gain and what was tried since then, in one line; empty without a best version."""
    if known.best is None:
        return ""
    text = f"v{known.best} is the best"
    if known.best_at is not None:
        lasted = span_text((now - known.best_at).total_seconds())
        text = f"v{known.best} has been the best for {lasted}"
    if gain := gain_text(known):
        text += f" ({gain} over v{known.previous})"
    parts = [_many(known.tries, "try", "tries")] if known.tries else []
    if known.interventions:
        parts.append(_many(known.interventions, "intervention", "interventions"))
    if known.restarts:
        parts.append(_many(known.restarts, "restart", "restarts"))
    if parts:
        text += f"; {', '.join(parts)} since then"
    return f"stuck: {text}" if known.stuck else text


def cost_text(known: Progress) -> str:
    """The cost per hour, and when a cap will end the run; empty if neither is known."""
    parts = []
    if known.usd_per_hour is not None:
        parts.append(f"${known.usd_per_hour:.2f} an hour")
    if known.hours_left is not None and known.ends_by is not None:
        left = span_text(known.hours_left * 3600)
        parts.append(f"the cap of {known.ends_by} is reached in about {left} of running")
    return "; ".join(parts)


def _many(number: int, one: str, more: str) -> str:
    return f"{number:,} {one if number == 1 else more}"
