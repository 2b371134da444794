"""The status line: parts in a fixed order, and conspicuous states with the key that ends them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from avo_tui.domain.budget import SOFT_WARNING, nearest
from avo_tui.domain.changes import ABOUT
from avo_tui.domain.progress import STUCK_TRIES, Progress, state_text
from avo_tui.domain.records import RunState
from avo_tui.domain.stall_rules import Thresholds, limits
from avo_tui.ui import formats
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import Line, Span, cut, line, one_line, width_of

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
_QUIETER = {
    "state-paused": "warn",
    "state-parked": "info",
    "state-lost": "bad",
    "state-over": "dim",
}


def listed_state(state: RunState, known: Progress | None) -> tuple[str, str]:
    """A state for a list of runs: its glyph and word, and its role, quieter than in the status
    line unless a person is waited for."""
    glyph, _, role = STATES[state]
    word, role = str(state), _QUIETER.get(role, role)
    if known is not None:
        word = state_text(known)
        if known.waits_for == "approval":
            glyph, role = "▲", "state-waits"
        elif known.waits_for == "submission":
            glyph, role = "◌", "warn"
        elif known.stuck:
            glyph, role = "!", "warn"
    return f"{glyph} {word}", role


LONG_NAME = 24
"""Cells of a session's name, at most."""

MODEL_SECONDS = 10
"""Seconds after which the status line shows how long the model's answer has been awaited."""
ACTIVE_SECONDS = 10
"""A run that recorded something within this many seconds counts as active."""
QUEUED = 40
"""Most cells of what the queued commands ask for, and of what an attempt waits for."""
REASON = 36
"""Most cells of the reason why a run is over."""
SILENT_SECONDS = 120
"""Seconds without a record after which a running engine is highlighted."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that the states mention, as currently bound."""

    resume: str = "p"
    start: str = "R"
    """Empty where going on is asked about first, as with a session that was made elsewhere."""
    play: str = "space"
    live: str = "l"
    slow_link: str = "^b"
    approve: str = "A"


def state_spans(snapshot: Snapshot, now: datetime, keys: Keys, can_start: bool) -> list[Span]:
    """The run's state, highlighted if the run does not go on by itself.

    What waits for a person comes first. A stuck run and a weak sandbox are mentioned as well.
    """
    if snapshot.trouble:
        return [(" ! CANNOT BE READ ", "state-lost")]
    spans = _state(snapshot, now, keys, can_start)
    known = snapshot.progress
    if snapshot.queued:
        texts = ", ".join(map(one_line, snapshot.queued))
        spans.append((f" ◷ {len(snapshot.queued)} queued: {cut(texts, QUEUED)}", "state-busy"))
    if known.stuck:
        spans.append((f" ! STUCK {known.tries} tries", "state-busy"))
    engine = snapshot.session.engine
    if engine is not None and engine.sandbox_warning:
        spans.append((" ! WEAK SANDBOX", "bad"))
    return spans


def _state(snapshot: Snapshot, now: datetime, keys: Keys, can_start: bool) -> list[Span]:
    state, waits_for = snapshot.run_state, snapshot.progress.waits_for
    glyph, word, role = STATES[state]
    if waits_for == "approval":
        return [(f" ▲ WAITS FOR YOU · {keys.approve} approves ", "state-waits")]
    if waits_for == "submission":
        return [("◌ WAITS FOR A CANDIDATE", "state-busy")]
    if waits_for == "disk":
        return [(" ! WAITS FOR THE DISK ", "state-waits")]
    if state == "running" and _waits_for_device(snapshot):
        return [("◌ WAITS FOR THE DEVICE", "state-busy")]
    if state == "paused":
        return [(f" {glyph} {word} · {keys.resume} resumes ", role)]
    if state == "parked":
        until = snapshot.session.parked_until
        left = formats.coarse((until - now).total_seconds()) if until is not None else ""
        return [(f" {glyph} {word} {left} · {keys.resume} goes on now ".replace("  ", " "), role)]
    if state == "lost":
        tail = f" · {keys.start} restarts " if keys.start else " "
        tail = tail if can_start else " · avo run --resume "
        return [(f" {glyph} {word}{tail}", role)]
    if state in {"stopped", "finished"} and can_start and keys.start:
        return [(f" {glyph} {word} · {keys.start} goes on ", role)]
    return [(f"{glyph} {word}", role)]


_TAIL = re.compile(r" · (\S+) .*$")
"""What follows a state: the key that ends it, and what the key does."""


_QUEUED_TEXT = re.compile(r"(◷ [0-9]+ queued): .*$")


def short_state(spans: Sequence[Span]) -> list[Span]:
    """A state for a narrow screen: of its key only the name, and STUCK without RUNNING."""
    stuck = any("STUCK" in text for text, _ in spans)
    kept = spans if not stuck else [(text.lstrip(), role) for text, role in spans[1:]]
    return [(_TAIL.sub(r" · \1 ", _QUEUED_TEXT.sub(r"\1", text)), role) for text, role in kept]


def _waits_for_device(snapshot: Snapshot) -> bool:
    """Whether another process holds the device that the attempt in hand is to be measured on."""
    view = snapshot.live.attempt
    if view is None or snapshot.live.ended is not None:
        return False
    return any(stage.stage == "waiting" and stage.state == "running" for stage in view.stages)


def replay_spans(snapshot: Snapshot, keys: Keys) -> list[Span]:
    status = snapshot.replay
    assert status is not None
    share = status.position / status.total if status.total else 1.0
    if status.at_end:
        how = "at its end"
    else:
        how = f"{status.speed:g}×" if status.playing else "stands still"
    verb = "stops" if status.playing and not status.at_end else "plays"
    return [(f" ▷ REPLAY {how} {share:4.0%} · {keys.play} {verb} ", "state-replay")]


def step_spans(snapshot: Snapshot, now: datetime) -> list[Span]:
    """Step, attempt, stage: what is being done now, or why nothing is done any more."""
    session, live = snapshot.session, snapshot.live
    spans: list[Span] = [("step ", "dim"), (str(session.step), "")]
    if snapshot.run_state in {"stopped", "finished", "lost"}:
        if snapshot.run_state != "lost" and session.state_reason:
            spans += [(" · ", "faint"), (cut(one_line(session.state_reason), REASON), "dim")]
        return spans
    view = live.attempt
    if session.occupant is not None:
        spans += [(" · ", "faint"), ("seat ", "dim"), (cut(session.occupant.name, 20), "")]
    elif session.state_reason.startswith("nobody sits in the seat"):
        spans += [(" · ", "faint"), ("seat empty", "state-busy")]
    if view is not None and live.ended is None:
        spans += [(" · ", "faint"), ("attempt ", "dim"), (str(view.attempt.number), "")]
        stage = view.current
        if stage is not None:
            count = f" {stage.index}/{stage.count}" if stage.count else ""
            spans += [(" · ", "faint"), (f"{stage.stage}{count}", "running")]
            if stage.stage == "waiting" and stage.detail:
                spans.append((f": {cut(one_line(stage.detail), QUEUED)}", "dim"))
            return spans
    return spans + model_spans(snapshot, now)


def model_spans(snapshot: Snapshot, now: datetime) -> list[Span]:
    """How long the model's answer has been awaited, and which features are switched off."""
    session = snapshot.session
    spans: list[Span] = []
    since = session.waiting_since
    waited = 0.0 if since is None else (now - since).total_seconds()
    if waited >= MODEL_SECONDS and snapshot.run_state == "running":
        spans += [(" · ", "faint"), (f"waiting for the model {formats.coarse(waited)}", "warn")]
    if session.degraded:
        spans += [(" · ", "faint"), (f"degraded: no {', no '.join(session.degraded)}", "warn")]
    return spans


def best_spans(snapshot: Snapshot) -> list[Span]:
    """The best version, its ratio to the baseline, and its gain over the best before it."""
    best = snapshot.best
    if best is None:
        return [("best –", "dim")]
    value = snapshot.aggregates.get(best.number, 0.0)
    reference = snapshot.session.task.reference_baseline
    spans: list[Span] = [
        (f"{best.star} ", "best"),
        (f"v{best.number} ", "best"),
        (formats.ratio(value), "strong"),
        (f" {reference}", "dim"),
    ]
    known = snapshot.progress
    if known.gain is not None:
        about = "" if known.gain_timed else ABOUT
        role = formats.change_role(known.gain) if known.gain_clear else "dim"
        spans.append((f" ({about}{formats.change(known.gain)})", role))
    return spans


def headway_spans(snapshot: Snapshot, now: datetime, with_step: bool) -> list[Span]:
    """What is tried, when it last became better, and how near it is to counting as stuck."""
    known = snapshot.progress
    spans = [*step_spans(snapshot, now), ("  ", "")] if with_step else []
    if known.best_at is None:
        return spans
    since = formats.coarse((now - known.best_at).total_seconds())
    settings, most = snapshot.session.settings, 0
    if settings.operator_traits.ladder:
        most = STUCK_TRIES * (limits(settings).attempts or Thresholds().attempts)
    tries = f"{known.tries} of {most} tries" if most else f"{known.tries} tries"
    near = known.stuck or 2 * known.tries >= most > 0
    return [*spans, (f"gain {since} ago, ", "dim"), (tries, "warn" if near else "")]


def _spend(snapshot: Snapshot) -> list[Span]:
    """What was spent, of the cap that is nearest; time of running is told from the run's age."""
    budget, spent = snapshot.session.budget.run, snapshot.session.spend
    text, fraction = formats.spend(budget, spent)
    cap = nearest(budget, spent)
    lead: list[Span] = [("ran ", "faint")] if cap is not None and cap.unit == "hours" else []
    role = "bad" if fraction >= 1 else "warn" if fraction >= SOFT_WARNING else ""
    return [*lead, (text, role)]


def _alive(snapshot: Snapshot, now: datetime) -> list[Span]:
    """Whether the run records anything, or for how long it has not.

    The text always has the same width, so that the text before it does not move.
    """
    if snapshot.replay is not None or snapshot.run_state in {"stopped", "finished"}:
        return []
    last = snapshot.session.last_event_at
    silent = 0.0 if last is None else (now - last).total_seconds()
    text = "active now" if silent < ACTIVE_SECONDS else f"silent {_silence(silent)}"
    expected = snapshot.run_state == "running" and not snapshot.progress.waits_for
    role = "warn" if expected and silent >= SILENT_SECONDS else "dim"
    return [(f"{text:<10}", role)]


def _silence(seconds: float) -> str:
    """Three characters at most."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds // 10) * 10}s"


def status_line(
    snapshot: Snapshot, width: int, now: datetime, keys: Keys, can_start: bool = False
) -> Line:
    """The status line for a width in cells; the least important parts are left out first."""
    session = snapshot.session
    # The age goes on while a run is stopped: one that stood still would jump when it goes on.
    end = now if snapshot.replay is None else session.last_event_at or session.created
    age = formats.clock((end - session.created).total_seconds())
    spend = _spend(snapshot)
    if snapshot.replay is not None:
        state = replay_spans(snapshot, keys)
    else:
        state = state_spans(snapshot, now, keys, can_start)
    short, short_name = short_state(state), [(cut(session.name, 10), "title")]
    name: list[Span] = [(cut(session.name, LONG_NAME if width >= 110 else 14), "title")]
    if session.settings.operator_traits.recording:
        name.append((" recording", "warn"))
    step, best = step_spans(snapshot, now), best_spans(snapshot)
    ran: list[Span] = [("age ", "faint"), (age, "")]
    alive = _alive(snapshot, now)
    goes_on = [] if snapshot.progress.needs_person else alive
    bare_best = [s for s in best[:4] if s[1] != "dim"]
    stage = step[:2] + step[5:] if len(step) > 5 else step
    left, right, gap = _fitting(
        roomy=(
            ([name, state, step], [best, spend, ran, alive]),
            ([name, state, stage], [best, spend, ran, alive]),
            ([name, state, step[:2]], [best, spend, ran, alive]),
            ([name, state, step[:2]], [best, spend, alive or ran]),
            ([name, state], [best, spend, alive or ran]),
            ([name, state, step[:2]], [best[:4], spend, alive or ran]),
            ([name, state], [best[:4], spend, alive or ran]),
        ),
        narrow=(
            ([short_name, state], [best, spend, goes_on]),
            ([name[:1], state], [best[:4], spend, alive or ran]),
            ([short_name, state], [best[:4], spend, goes_on]),
            ([short_name, short], [best[:4], spend, goes_on]),
            ([state], [best[:4], spend, goes_on]),
            ([short], [best[:4], spend, goes_on]),
            ([short], [best[:4], spend]),
            ([short], [bare_best, spend]),
            ([short], [bare_best]),
        ),
        width=width,
    )
    left = _longest_name(session.name, left, right, width, gap)
    end_spans = _spread(right, gap)
    free = width - width_of(_spread(left, gap)) - width_of(end_spans) - 2
    return line(
        (" ", ""),
        *_spread(left, gap),
        (" " * max(free, 1), ""),
        *end_spans,
        (" ", ""),
    )


Part = list[Span]
Choice = tuple[list[Part], list[Part]]
"""Parts at the left, parts at the right."""


ROOMY, NARROW = 3, 2
"""Cells between two parts: where there is room, and where there is little."""


def _fitting(
    *, roomy: Sequence[Choice], narrow: Sequence[Choice], width: int
) -> tuple[list[Part], list[Part], int]:
    """The first choice that fits and the gap between its parts; the last one if none does.

    Empty parts are left out.
    """
    left: list[Part] = []
    right: list[Part] = []
    for gap, choices in ((ROOMY, roomy), (NARROW, narrow)):
        for choice in choices:
            left, right = ([part for part in parts if part] for parts in choice)
            parts = [*left, *right]
            if sum(map(width_of, parts)) + gap * (len(parts) - 1) + 2 <= width:
                return left, right, gap
    return left, right, NARROW


def _longest_name(
    name: str, left: list[Part], right: list[Part], width: int, gap: int
) -> list[Part]:
    """`left` with as much of the session's name, where it begins with it, as there is room for."""
    if left[0][0][1] != "title":
        return left
    (shown, role), *rest = left[0]
    gaps = gap * (len(left) + len(right) - 1)
    spare = width - 2 - gaps - sum(map(width_of, [*left, *right]))
    most = min(LONG_NAME, width_of([(shown, role)]) + max(0, spare))
    return [[(cut(name, most), role), *rest], *left[1:]]


def _spread(parts: list[Part], gap: int) -> list[Span]:
    out: list[Span] = []
    for part in parts:
        out += ([(" " * gap, "")] if out else []) + part
    return out
