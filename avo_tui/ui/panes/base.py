"""What the panes show (the live step, a version, an attempt), and the base of their painters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from avo_tui.domain.records import Attempt, Version
from avo_tui.ui.loader import Loader
from avo_tui.ui.panes.graph import Key
from avo_tui.ui.screen import AvoScreen
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import BLANK, Line, line
from avo_tui.ui.widgets.pane import Pane


@dataclass(frozen=True, slots=True)
class Selection:
    """What the person is looking at: the live step (both fields None), a version, or an attempt."""

    version: Version | None = None
    attempt: Attempt | None = None

    @property
    def live(self) -> bool:
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
        if self.version is not None:
            return self.version.step
        return None if self.attempt is None else self.attempt.step

    @property
    def parent(self) -> int | None:
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


def pair_to_compare(
    snapshot: Snapshot, marked: Collection[int], hand: int | None
) -> tuple[int, int] | None:
    """What to compare: two marks; a mark and the one in hand; the one in hand and its parent."""
    known = sorted(n for n in marked if n in snapshot.versions)
    if len(known) == 2:
        return known[0], known[1]
    if hand is None:
        return None
    if len(known) == 1 and known[0] != hand:
        return known[0], hand
    parent = snapshot.versions[hand].parent
    if parent is None:
        other = snapshot.best.number if snapshot.best is not None else hand
        return (hand, other) if other != hand else None
    return parent, hand


class PanePainter:
    """Shows a selection in one pane; does nothing if the pane is up to date."""

    NAME = ""
    """The pane's id."""

    HEAD_AT_REST = False
    """Whether it shows the head while a run is followed that is over and whose last step has
    evaluated nothing; the pane would be empty."""

    def __init__(self, screen: AvoScreen, loader: Loader) -> None:
        self.host = screen.host
        self.loader = loader
        self.pane = screen.query_one(f"#{self.NAME}", Pane)
        self._painted: dict[str, object] = {}

    def paint(self, snapshot: Snapshot, subject: Selection, changed: bool) -> None:
        """Show `subject`; `changed` is true where it is another one than before."""
        raise NotImplementedError

    def differs(self, basis: object, part: str = "") -> bool:
        """Whether the input of (a part of) the pane differs from what was painted last."""
        if part in self._painted and self._painted[part] == basis:
            return False
        self._painted[part] = basis
        return True
