"""A summary of each session for lists. Only what changed since the last call is read."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from avo_tui.domain import lineage
from avo_tui.domain.base import Moment, Value
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.progress import Progress, attention, progress, with_state
from avo_tui.domain.records import LIVE_STATES, RunState
from avo_tui.domain.run_settings import OperatorName
from avo_tui.domain.state import SessionState
from avo_tui.store.engine_presence import EngineStatus, engine_status
from avo_tui.store.errors import StoreError
from avo_tui.store.layout import Layout
from avo_tui.store.places import session_folders
from avo_tui.store.reader import SessionReader, standing
from avo_tui.store.summary_cache import SummaryCache

log = logging.getLogger(__name__)

LONGEST_JOURNAL = 64 << 20
"""Most bytes of a journal that are read to list its session; those of session.json need few."""

SPARKLINE = 60
"""Largest number of points of the sparkline."""


class SessionSummary(Value):
    """What a list shows of a session. Only name, folder and error are set for a broken one."""

    name: str
    folder: Path
    error: str | None = None
    """Why the session cannot be read."""
    task: str = ""
    operator: OperatorName | None = None
    model: str | None = None
    state: RunState | None = None
    state_reason: str = ""
    parked_until: Moment | None = None
    engine: EngineStatus = EngineStatus(alive=False)
    head: int | None = None
    best: int | None = None
    """Number of the best version."""
    ratio: float | None = None
    """Aggregate of the best version: its ratio to the reference baseline."""
    geomean: float | None = None
    """Geomean of the best version's throughput, in `unit`."""
    reference_baseline: str = ""
    unit: str = ""
    versions: int = 0
    step: int = 0
    attempts: int = 0
    created: Moment | None = None
    last_activity: Moment | None = None
    spend: Spend = Spend()
    budget: Budget = Budget()
    sparkline: tuple[float, ...] = ()
    """Aggregate of the best version so far, version by version, at most 60 points."""
    progress: Progress | None = None
    """Whether it waits and for whom, whether it gets better; None for a broken one."""
    sandbox_warning: str = ""
    """Why its candidates are not confined as they should be; "" where they are."""


@dataclass(frozen=True)
class _Seen:
    mark: tuple[object, ...]
    summary: SessionSummary
    reader: SessionReader | None
    """The open reader of a running session, so that the next call reads only new events."""


_cache: dict[Path, _Seen] = {}
_remembered = SummaryCache()


def summaries(roots: Iterable[Path] | None = None) -> list[SessionSummary]:
    """All sessions, the most recently active first, broken ones last with their error."""
    every = [summary(folder) for folder in session_folders(roots)]
    _remembered.save()
    return sorted(
        every,
        key=lambda s: (s.error is None, s.last_activity.timestamp() if s.last_activity else 0.0),
        reverse=True,
    )


def by_attention(sessions: Iterable[SessionSummary], now: datetime) -> list[SessionSummary]:
    """Sessions that need a person, then stuck ones, then others; the latest active first."""

    def key(s: SessionSummary) -> tuple[bool, int, float]:
        rank = 0 if s.progress is None else attention(s.progress, s.last_activity, now)
        return s.error is None, rank, s.last_activity.timestamp() if s.last_activity else 0.0

    return sorted(sessions, key=key, reverse=True)


def summary(folder: Path) -> SessionSummary:
    """One session. Never raises for a broken one: its `error` says what is wrong."""
    layout = Layout(folder)
    mark = _mark(layout)
    seen = _cache.get(folder)
    if seen is None or seen.mark != mark:
        before = _recall(folder, mark) if seen is None else None
        seen = before or _look(folder, mark, seen.reader if seen else None)
        _cache[folder] = seen
    return _with_engine(seen.summary, layout)


def _recall(folder: Path, mark: tuple[object, ...]) -> _Seen | None:
    """The summary that an earlier start of the program saved, if the session has not changed."""
    text = _remembered.get(folder, mark)
    if text is None:
        return None
    try:
        return _Seen(mark, SessionSummary.model_validate_json(text), None)
    except ValueError:
        return None


def _look(folder: Path, mark: tuple[object, ...], reader: SessionReader | None) -> _Seen:
    try:
        reader = reader or SessionReader.open(folder, LONGEST_JOURNAL)
        while reader.poll():
            pass
        result = _summarise(folder, reader.state)
    except StoreError as error:
        return _Seen(mark, _broken(folder, str(error)), None)
    except Exception as error:  # whatever is wrong with one session, the others are still listed
        log.exception("the session %s cannot be read", folder)
        return _Seen(mark, _broken(folder, f"it cannot be read: {error!r}"), None)
    if result.state in LIVE_STATES:
        return _Seen(mark, result, reader)
    if not reader.problems:
        _remembered.put(folder, mark, result.model_dump_json())
    return _Seen(mark, result, None)


def _broken(folder: Path, error: str) -> SessionSummary:
    return SessionSummary(name=folder.name, folder=folder, error=error)


def _with_engine(kept: SessionSummary, layout: Layout) -> SessionSummary:
    if kept.error is not None or kept.state not in LIVE_STATES:
        return kept
    engine = engine_status(layout.lock)
    state, reason = standing(kept.state, kept.state_reason, engine)
    update = {
        "engine": engine,
        "state": state,
        "state_reason": reason,
        "parked_until": kept.parked_until if reason == kept.state_reason else None,
        "progress": kept.progress and with_state(kept.progress, state),
    }
    return kept.model_copy(update=update)


def _mark(layout: Layout) -> tuple[object, ...]:
    """A text that changes whenever a file of the session changes."""
    parts = layout.parts()
    paths = [layout.database, layout.live, *([layout.part(parts[-1])] if parts else [])]
    marks: list[object] = [len(parts)]
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            marks.append(None)
        else:
            marks.append((status.st_size, status.st_mtime_ns))
    return tuple(marks)


def _summarise(folder: Path, state: SessionState) -> SessionSummary:
    session, best = state.session, state.best
    return SessionSummary(
        name=folder.name,
        folder=folder,
        task=session.task.name,
        operator=session.settings.operator,
        model=session.settings.model,
        state=session.state,
        state_reason=session.state_reason,
        parked_until=session.parked_until,
        head=session.head,
        best=best.number if best else None,
        ratio=best.aggregate if best else None,
        geomean=best.score.geomean if best else None,
        reference_baseline=session.task.reference_baseline,
        unit=session.task.unit,
        versions=len(state.versions),
        step=session.step,
        attempts=len(state.attempts),
        created=session.created,
        last_activity=session.last_event_at,
        spend=session.spend,
        budget=session.budget,
        sparkline=_sparkline(state),
        progress=progress(state, session.state),
        sandbox_warning="" if session.engine is None else session.engine.sandbox_warning,
    )


def _sparkline(state: SessionState) -> tuple[float, ...]:
    points = [version.aggregate for version in lineage.best_so_far(state.versions.values())]
    if len(points) <= SPARKLINE:
        return tuple(points)
    last = len(points) - 1
    return tuple(points[round(i * last / (SPARKLINE - 1))] for i in range(SPARKLINE))
