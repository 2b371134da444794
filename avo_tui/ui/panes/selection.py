"""What the panes show: the live step, a version, or an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from avo_tui.domain.records import Attempt, Version
from avo_tui.ui.panes.lineage.graph_layout import Key
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import BLANK, Line, line


@dataclass(frozen=True, slots=True)
class Selection:
    """What the person is looking at: the live step (both fields None), a version, or an attempt."""

    version: Version | None = None
    attempt: Attempt | None = None

    @property
    def live(self) -> bool:
        """True while the run is followed."""
        return self.version is None and self.attempt is None

    @property
    def name(self) -> str:
        """Such as `v38` or `41.2`."""
        if self.version is not None:
            return f"v{self.version.number}"
        if self.attempt is not None:
            return f"{self.attempt.step}.{self.attempt.number}"
        return "live"

    @property
    def step(self) -> int | None:
        """Number of the step that produced it."""
        if self.version is not None:
            return self.version.step
        return None if self.attempt is None else self.attempt.step

    @property
    def parent(self) -> int | None:
        """Number of the version it was made from."""
        if self.version is not None:
            return self.version.parent
        return None if self.attempt is None else self.attempt.parent


def subject_of(snapshot: Snapshot, key: Key | None) -> Selection:
    """What a row of the lineage represents; a running attempt is the live step."""
    if key is None:
        return Selection()
    kind, first, second = key
    if kind == "v":
        return Selection(version=snapshot.versions.get(first))
    if kind in {"f", "s"}:
        attempt = best_rejected(snapshot, first)
        return Selection(attempt=attempt)
    attempt = snapshot.attempts.get((first, second))
    if attempt is None or attempt == snapshot.open_attempt:
        return Selection()
    return Selection(attempt=attempt)


def at_rest(snapshot: Snapshot) -> Selection:
    """The head, for a run that is over and whose last step has evaluated nothing; else the live
    step."""
    over = snapshot.run_state in {"stopped", "finished"} and snapshot.replay is None
    return Selection(snapshot.head) if over and snapshot.live.attempt is None else Selection()


def best_rejected(snapshot: Snapshot, step: int) -> Attempt | None:
    """The rejected attempt of a step that got furthest."""
    record = snapshot.steps.get(step)
    tried = (
        snapshot.attempts.get((step, n)) for n in range(1, record.attempts + 1 if record else 2)
    )
    rejected = [a for a in tried if a is not None and a.version is None]
    return max(rejected, key=lambda a: (a.aggregate, a.number), default=None)


def teach(*rows: str) -> Sequence[Line]:
    """The text of an empty pane: what will appear in it, and how to get that."""
    return [BLANK, *(line((row, "dim" if i == 0 else "faint")) for i, row in enumerate(rows))]
