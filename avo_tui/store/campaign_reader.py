"""A campaign as a reader sees it: its record together with the state of each of its lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from avo_tui.domain.budget import Spend
from avo_tui.domain.campaigns import Campaign, Line, Migration
from avo_tui.domain.lineage import best_so_far
from avo_tui.domain.progress import Progress, progress
from avo_tui.domain.records import RunState, Version
from avo_tui.domain.state import SessionState
from avo_tui.store.campaigns import CampaignFolder
from avo_tui.store.engine_presence import EngineStatus
from avo_tui.store.errors import SessionNotFound, StoreError
from avo_tui.store.reader import SessionReader

Fate = Literal["waits", "committed", "refused"]


@dataclass(frozen=True)
class LineView:
    line: Line
    folder: Path
    state: RunState | Literal["waiting"]
    """`waiting` before its session is created."""
    reason: str = ""
    """Why it is in this state, or what is wrong with it."""
    spend: Spend = field(default_factory=Spend)
    cap: float | None = None
    """Evaluations that it may make in all; None for no cap."""
    best: Version | None = None
    versions: int = 0
    points: tuple[tuple[float, float], ...] = ()
    """(evaluations made by then, best ratio so far); the last one is the present."""
    progress: Progress | None = None


@dataclass(frozen=True)
class MigrationView:
    """What became of a version that one line sent to another."""

    migration: Migration
    fate: Fate
    version: int | None = None
    """Its number in the receiving line, if it was committed."""
    reason: str = ""


@dataclass(frozen=True)
class Happening:
    """Something that a person who was away wants to know."""

    at: datetime
    line: int
    text: str
    better: bool = False
    """Whether the best of the whole campaign got better by it."""


@dataclass(frozen=True)
class CampaignView:
    campaign: Campaign
    conductor: EngineStatus
    lines: tuple[LineView, ...]
    migrations: tuple[MigrationView, ...]
    happenings: tuple[Happening, ...]
    """Versions and migrants of all lines, oldest first."""

    @property
    def spend(self) -> Spend:
        total = Spend()
        for line in self.lines:
            total = total + line.spend
        return total

    @property
    def best(self) -> LineView | None:
        """The line with the best version; None before the first version."""
        known = [line for line in self.lines if line.best is not None]
        return max(known, key=lambda line: line.best.aggregate if line.best else 0.0, default=None)

    @property
    def over(self) -> bool:
        return all(line.state in {"stopped", "finished"} for line in self.lines)

    @property
    def state(self) -> Literal["running", "lost", "over"]:
        """`lost` where lines go on, or should, without the process that conducts them."""
        if self.over and not self.conductor.alive:
            return "over"
        return "running" if self.conductor.alive else "lost"


class CampaignReader:
    """Follows a campaign. Only what changed since the last look is read."""

    def __init__(self, folder: CampaignFolder) -> None:
        self.folder = folder
        self._readers: dict[str, SessionReader] = {}

    def view(self) -> CampaignView:
        """The campaign as it is now. Raises StoreError where its record cannot be read; a line
        that cannot be read says so itself."""
        campaign = self.folder.read()
        lines = tuple(self._line(line) for line in campaign.lines)
        migrations = tuple(self._fate(campaign, m) for m in campaign.migrations)
        return CampaignView(
            campaign=campaign,
            conductor=self.folder.conductor(),
            lines=lines,
            migrations=migrations,
            happenings=self._happenings(campaign, migrations),
        )

    def reader(self, line: Line) -> SessionReader | None:
        """The reader of a line's session; None before it is created, or where it is damaged."""
        return self._readers.get(line.session)

    def _line(self, line: Line) -> LineView:
        folder = self.folder.session(line)
        cap = line.settings.budget.run.evaluations
        if not folder.is_dir():
            self._readers.pop(line.session, None)
        try:
            reader = self._readers.get(line.session)
            if reader is None:
                reader = self._readers[line.session] = SessionReader.open(folder)
            while reader.poll():
                pass
        except SessionNotFound:
            missing: Literal["lost", "waiting"] = "lost" if line.begun else "waiting"
            return LineView(line, folder, missing, line.problem or "not begun yet", cap=cap)
        except StoreError as error:
            self._readers.pop(line.session, None)
            return LineView(line, folder, "lost", str(error), cap=cap)
        state, session = reader.state, reader.state.session
        run_state, reason = reader.standing()
        return LineView(
            line=line,
            folder=folder,
            state=run_state,
            reason=line.problem or reason,
            spend=session.spend,
            cap=session.budget.run.evaluations,
            best=state.best,
            versions=len(state.versions),
            points=_points(state),
            progress=progress(state, run_state),
        )

    def _fate(self, campaign: Campaign, migration: Migration) -> MigrationView:
        reader = self._readers.get(campaign.line(migration.target).session)
        record = None if reader is None else reader.state.commands.get(migration.id)
        if reader is None or record is None:
            return MigrationView(migration, "waits")
        if record.refused is not None:
            return MigrationView(migration, "refused", reason=record.refused)
        origin = f"{campaign.line(migration.source).session}:{migration.version}"
        for version in reader.state.versions.values():
            if version.candidate == migration.candidate and version.origin == origin:
                return MigrationView(migration, "committed", version.number, record.effect)
        return MigrationView(migration, "refused", reason=record.effect)

    def _happenings(
        self, campaign: Campaign, migrations: tuple[MigrationView, ...]
    ) -> tuple[Happening, ...]:
        versions = [
            (version.created, line.number, version)
            for line in campaign.lines
            if (reader := self._readers.get(line.session)) is not None
            for version in reader.state.versions.values()
        ]
        happenings: list[Happening] = []
        best = 0.0
        for moment, number, version in sorted(versions, key=lambda entry: entry[:2]):
            whence = f", carried over from {version.origin}" if version.origin else ""
            better = version.aggregate > best and version.holds
            best = max(best, version.aggregate) if version.holds else best
            text = f"v{version.number} {version.aggregate:.3f}×{whence}"
            happenings.append(Happening(moment, number, text, better))
        for view in migrations:
            if view.fate == "committed":
                continue
            m = view.migration
            what = "waits for its gate" if view.fate == "waits" else view.reason
            text = f"v{m.version} ({m.ratio:.3f}×) sent to line {m.target}: {what}"
            happenings.append(Happening(m.at, m.source, text))
        return tuple(sorted(happenings, key=lambda happening: happening.at))


def _points(state: SessionState) -> tuple[tuple[float, float], ...]:
    """(evaluations by then, best ratio so far) for each version that became the best, and now.

    The evaluations are the attempts up to the one that the version was; the seed is the first.
    """
    order = {key: index for index, key in enumerate(state.attempts, 1)}
    points: list[tuple[float, float]] = []
    for leader in best_so_far(state.versions.values()):
        position = float(order.get((leader.step, leader.attempt), 1))
        if not points or leader.aggregate != points[-1][1]:
            points.append((position, leader.aggregate))
    if points:
        points.append((max(points[-1][0], float(len(order))), points[-1][1]))
    return tuple(points)
