"""The status line: always the same order, states that cannot be missed with the key to leave."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from avo_tui.domain.records import RunState
from avo_tui.ui import formats
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import Line, Span, cut, line, width_of

STATES: dict[RunState, tuple[str, str, str]] = {
    "starting": ("◌", "STARTING", "state-busy"),
    "running": ("●", "RUNNING", "state-running"),
    "pausing": ("‖", "PAUSING", "state-busy"),
    "paused": ("‖", "PAUSED", "state-paused"),
    "parked": ("◷", "PARKED", "state-parked"),
    "stopped": ("■", "STOPPED", "state-over"),
    "finished": ("✔", "FINISHED", "state-over"),
    "lost": ("!", "ENGINE LOST", "state-lost"),
}
LOUD = frozenset({"paused", "parked", "lost"})


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys the states name, as they are bound now."""

    resume: str = "p"
    start: str = "R"
    leave_replay: str = "q"
    play: str = "space"
    live: str = "l"
    slow_link: str = "^b"


def state_spans(snapshot: Snapshot, now: datetime, keys: Keys, can_start: bool) -> list[Span]:
    """The state, loud where the run does not go on by itself."""
    state = snapshot.run_state
    glyph, word, role = STATES[state]
    if state == "paused":
        return [(f" {glyph} {word} · {keys.resume} resumes ", role)]
    if state == "parked":
        until = snapshot.session.parked_until
        left = formats.duration((until - now).total_seconds()) if until is not None else ""
        return [(f" {glyph} {word} {left} · {keys.resume} goes on now ".replace("  ", " "), role)]
    if state == "lost":
        tail = f" · {keys.start} restarts " if can_start else " · avo run --resume "
        return [(f" {glyph} {word}{tail}", role)]
    if state in {"stopped", "finished"} and can_start:
        return [(f" {glyph} {word} · {keys.start} goes on ", role)]
    return [(f"{glyph} {word}", role)]


def replay_spans(snapshot: Snapshot, keys: Keys) -> list[Span]:
    """REPLAY, its speed and place."""
    status = snapshot.replay
    assert status is not None
    share = status.position / status.total if status.total else 1.0
    if status.at_end:
        how = "at its end"
    else:
        how = f"{status.speed:g}×" if status.playing else "stands still"
    verb = "stops" if status.playing and not status.at_end else "plays"
    return [(f" ▷ REPLAY {how} {share:4.0%} · {keys.play} {verb} ", "state-replay")]


def step_spans(snapshot: Snapshot) -> list[Span]:
    """Step, attempt, stage: what is being done now."""
    session, live = snapshot.session, snapshot.live
    spans: list[Span] = [("step ", "dim"), (str(session.step), "")]
    if snapshot.run_state in {"stopped", "finished", "lost"}:
        return spans
    view = live.attempt
    if view is not None and live.ended is None:
        spans += [(" · ", "faint"), ("attempt ", "dim"), (str(view.attempt.number), "")]
        stage = view.current
        if stage is not None:
            count = f" {stage.index}/{stage.count}" if stage.count else ""
            spans += [(" · ", "faint"), (f"{stage.stage}{count}", "running")]
    return spans


def best_spans(snapshot: Snapshot) -> list[Span]:
    """The best version and its ratio."""
    best = snapshot.best
    if best is None:
        return [("best –", "dim")]
    value = snapshot.aggregates.get(best.number, 0.0)
    reference = snapshot.session.task.reference_baseline
    spans: list[Span] = [
        ("★ ", "best"),
        (f"v{best.number} ", "best"),
        (formats.ratio(value), "strong"),
        (f" {reference}", "dim"),
    ]
    above = snapshot.aggregates.get(best.parent) if best.parent is not None else None
    if above:
        moved = value / above - 1
        spans.append((f" ({formats.change(moved)})", formats.change_role(moved)))
    return spans


def status_line(
    snapshot: Snapshot, width: int, now: datetime, keys: Keys, can_start: bool = False
) -> Line:
    """The whole line for a width; the least important parts yield first.

    `meta` is the number of spans at its end that change by the clock alone.
    """
    session = snapshot.session
    elapsed = (
        (session.last_event_at or session.created)
        if snapshot.replay is not None or snapshot.run_state in {"stopped", "finished", "lost"}
        else now
    ) - session.created
    spend, fraction = formats.spend(session.budget.run, session.spend)
    spend_role = "bad" if fraction >= 1 else "warn" if fraction >= 0.8 else ""
    if snapshot.replay is not None:
        state = replay_spans(snapshot, keys)
    else:
        state = state_spans(snapshot, now, keys, can_start)
    sign = formats.ago(session.last_event_at, now)
    sign_text = (
        ""
        if snapshot.replay or snapshot.run_state in {"stopped", "finished"}
        else (f"alive {sign}" if sign == "now" else f"{sign} ago")
    )
    step = step_spans(snapshot)
    best = best_spans(snapshot)
    name: list[Span] = [(cut(session.name, 24 if width >= 110 else 14), "title")]
    if session.settings.operator_traits.recording:
        name.append((" recording", "warn"))
    right: list[list[Span]] = [
        [(spend, spend_role)],
        [(formats.clock(elapsed.total_seconds()), "")],
        [(f"{sign_text:>9}", "dim")] if sign_text else [],
    ]
    short_best = [s for s in best if s[1] not in {"dim", "good"}]
    short_step = step[:2] if len(step) > 2 else step
    mid_step = step[:2] + step[5:] if len(step) > 5 else step
    lefts, rights = [name, state, step], [best, *right]
    for lefts, rights in (
        ([name, state, step], [best, *right]),
        ([name, state, step], [best[:4], *right]),
        ([name, state, step], [short_best, *right]),
        ([name, state, mid_step], [short_best, *right]),
        ([name, state, mid_step], [short_best, *right[:2]]),
        ([name, state, short_step], [short_best, *right[:2]]),
        ([name, state, short_step], [short_best, right[1]]),
        ([name, state], [short_best]),
        ([state], [short_best]),
    ):
        shown = [p for p in (*lefts, *rights) if p]
        if sum(width_of(p) for p in shown) + 3 * (len(shown) - 1) + 2 <= width:
            break
    left, end = _spread(lefts), _spread(rights)
    gap = width - width_of(left) - width_of(end) - 2
    shown_right = [p for p in rights if p]
    ticking = _spread(shown_right[2:]) if len(shown_right) > 2 else []
    return line((" ", ""), *left, (" " * max(gap, 1), ""), *end, (" ", ""), meta=len(ticking) + 1)


def _spread(parts: list[list[Span]]) -> list[Span]:
    out: list[Span] = []
    for part in parts:
        if part:
            out += ([("   ", "")] if out else []) + part
    return out
