"""Alerts: what a person who is away should know, derived from a session's summary. Pure
functions."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal, get_args

from avo_tui.domain.base import Moment, Value
from avo_tui.domain.budget import SOFT_WARNING, nearest
from avo_tui.domain.progress import cost_text, gain_text, progress_text, waiting_text
from avo_tui.store import SessionSummary

Kind = Literal[
    "approval", "engine_lost", "disk", "stuck", "parked", "budget", "new_best", "finished", "test"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
PARKED_LONG = timedelta(minutes=30)
"""Parking that lasts longer than this is reported; shorter waits, such as for a rate limit, are
usual."""


class Alert(Value):
    """One alert. The same alert always has the same `key`."""

    kind: Kind
    session: str
    folder: str
    key: str
    """Distinguishes the alert from others of its session, such as `approval 12.3`."""
    since: Moment | None = None
    """When the reported condition began."""
    title: str
    text: str
    ratio: float | None = None
    """Ratio of the best version to the reference baseline."""
    best: int | None = None


def current_alerts(seen: SessionSummary, now: datetime) -> list[Alert]:
    """All alerts that currently apply to a session; empty for one that cannot be read."""
    if seen.error is not None or seen.progress is None:
        return []
    return [
        Alert(
            kind=kind,
            session=seen.name,
            folder=str(seen.folder),
            key=f"{kind} {mark}",
            since=since,
            title=f"{seen.name}: {title}",
            text="\n".join(part for part in (text, *_always(seen, now)) if part),
            ratio=seen.ratio,
            best=seen.best,
        )
        for kind, mark, since, title, text in _holding(seen, now)
    ]


Holding = tuple[Kind, object, datetime | None, str, str]
"""Kind, mark, since, title, text."""


def _holding(seen: SessionSummary, now: datetime) -> Iterator[Holding]:
    known = seen.progress
    assert known is not None
    if known.waits_for == "approval":
        text = f"{waiting_text(known, now)}. avo attach {seen.name}, then A approves, X rejects."
        yield "approval", known.attempt, known.since, "waits for you", text
    elif known.waits_for == "engine":
        text = f"{waiting_text(known, now)}. avo run --resume {seen.name} starts it again."
        yield "engine_lost", _mark(known.since), known.since, "the engine is lost", text
    elif known.waits_for == "disk":
        yield "disk", _mark(known.since), known.since, "waits for the disk", known.reason
    elif known.waits_for == "time" and known.since and now - known.since >= PARKED_LONG:
        title = "parked for long"
        yield "parked", _mark(known.since), known.since, title, known.reason
    if known.stuck:
        yield "stuck", known.best, None, "stuck", ""
    if seen.state == "finished":
        yield "finished", seen.step, seen.last_activity, "finished", known.reason
    cap = nearest(seen.budget.run, seen.spend)
    if cap is not None and cap.fraction >= SOFT_WARNING and seen.state != "finished":
        share = f"{cap.fraction:.0%} of the {cap.unit} are used"
        yield "budget", f"{cap.unit} {cap.cap:g}", None, share, cost_text(known)
    if known.best is not None and known.previous is not None:
        gain = f" ({text})" if (text := gain_text(known)) else ""
        ratio = "" if seen.ratio is None else f" {seen.ratio:.3f}× {seen.reference_baseline}"
        yield "new_best", known.best, known.best_at, f"v{known.best} is the best{gain}{ratio}", ""


def _mark(since: datetime | None) -> str:
    return "" if since is None else since.isoformat(timespec="seconds")


def _always(seen: SessionSummary, now: datetime) -> tuple[str, str]:
    assert seen.progress is not None
    spent = f"${seen.spend.usd:.2f}, {seen.spend.evaluations} evaluations, step {seen.step}"
    return progress_text(seen.progress, now), spent
