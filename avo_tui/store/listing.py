"""A summary of each session for lists. Only what changed since the last call is read."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import platformdirs

from avo_tui import __version__
from avo_tui.domain import lineage
from avo_tui.domain.base import Moment, Value
from avo_tui.domain.budget import Budget, Spend
from avo_tui.domain.progress import Progress, attention, progress, with_state
from avo_tui.domain.records import LIVE_STATES, RunState
from avo_tui.domain.run_settings import OperatorName
from avo_tui.domain.state import SessionState
from avo_tui.store.engine_presence import EngineStatus, engine_status
from avo_tui.store.errors import StoreError
from avo_tui.store.files import make_private_folder, read_regular, replace_file
from avo_tui.store.layout import Layout
from avo_tui.store.places import session_folders
from avo_tui.store.reader import SessionReader, standing

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


Mark = tuple[object, ...]
"""Changes whenever the session does: sizes and times of its files."""


class _Remembered(Value):
    version: str
    sessions: dict[str, tuple[str, str]]
    """Folder → mark and summary, both as JSON."""


class SummaryCache:
    """The summaries of sessions that can be read and do not run, kept between two starts of the
    program.

    Reading a thousand sessions takes seconds and most of them have not changed. The file is in the
    user's cache folder and may be deleted at any time.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or platformdirs.user_cache_path("avo-tui") / "sessions.json"
        self._changed = False

    @cached_property
    def _known(self) -> dict[str, tuple[str, str]]:
        try:
            body = _Remembered.model_validate_json(read_regular(self._path))
        except (OSError, ValueError):
            return {}
        return body.sessions if body.version == __version__ else {}

    def get(self, folder: Path, mark: Mark) -> str | None:
        """The summary of a session that has not changed since."""
        entry = self._known.get(str(folder))
        return entry[1] if entry is not None and entry[0] == json.dumps(mark) else None

    def put(self, folder: Path, mark: Mark, summary: str) -> None:
        self._known[str(folder)] = (json.dumps(mark), summary)
        self._changed = True

    def save(self) -> None:
        """Write new summaries. Where that fails, the next start reads those sessions again."""
        if not self._changed:
            return
        self._changed = False
        sessions = {f: entry for f, entry in self._known.items() if _is_folder(f)}
        text = json.dumps({"version": __version__, "sessions": sessions})
        try:
            make_private_folder(self._path.parent, parents=True)
            replace_file(self._path, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            log.debug("the list of sessions is not remembered: %s", error)


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except OSError:  # it cannot be told now: it stays remembered
        return True


@dataclass(frozen=True)
class _Seen:
    mark: Mark
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


def _recall(folder: Path, mark: Mark) -> _Seen | None:
    """The summary that an earlier start of the program saved, if the session has not changed."""
    text = _remembered.get(folder, mark)
    if text is None:
        return None
    try:
        return _Seen(mark, SessionSummary.model_validate_json(text), None)
    except ValueError:
        return None


def _look(folder: Path, mark: Mark, reader: SessionReader | None) -> _Seen:
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


def _mark(layout: Layout) -> Mark:
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
