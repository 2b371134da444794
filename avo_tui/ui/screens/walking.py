"""What the run screen and the lineage screen do alike: to go through the lineage, and compare."""

from __future__ import annotations

from typing import Protocol

from avo_tui.domain.records import Version
from avo_tui.ui import screens
from avo_tui.ui.host import Host
from avo_tui.ui.panes.base import pair_to_compare, subject_of
from avo_tui.ui.panes.graph import key_of_version
from avo_tui.ui.panes.lineage import LineageView
from avo_tui.ui.session.feed import Snapshot


class OnLineage(Protocol):
    @property
    def snapshot(self) -> Snapshot | None: ...
    @property
    def host(self) -> Host: ...
    @property
    def lineage(self) -> LineageView: ...
    @property
    def version_in_hand(self) -> Version | None: ...


def _go(on: OnLineage, number: int | None) -> None:
    if number is not None:
        on.lineage.pick(key_of_version(number))


def best(on: OnLineage) -> None:
    if on.snapshot is not None and on.snapshot.best is not None:
        _go(on, on.snapshot.best.number)


def head(on: OnLineage) -> None:
    _go(on, None if on.snapshot is None else on.snapshot.session.head)


def parent(on: OnLineage) -> None:
    """To the parent of what is looked at; to the head while the run is followed."""
    if on.snapshot is not None:
        subject = subject_of(on.snapshot, on.lineage.cursor)
        _go(on, on.snapshot.session.head if subject.live else subject.parent)


def next_mark(on: OnLineage) -> None:
    """To the next bookmark, from the newest to the oldest, round and round."""
    if on.snapshot is None:
        return
    marked = sorted((n for n, v in on.snapshot.versions.items() if v.bookmark), reverse=True)
    if not marked:
        on.host.notify("no version has a bookmark: m on the run screen sets one", timeout=3)
        return
    hand = on.version_in_hand if on.lineage.cursor is not None else None
    older = (number for number in marked if hand is not None and number < hand.number)
    _go(on, next(older, marked[0]))


def mark(on: OnLineage) -> None:
    if on.version_in_hand is not None:
        on.lineage.mark(on.version_in_hand.number)


def compare(on: OnLineage) -> None:
    """Compare the marked versions, or the one in hand with its parent."""
    assert on.snapshot is not None
    hand = on.version_in_hand
    pair = pair_to_compare(on.snapshot, on.lineage.marked, hand.number if hand else None)
    if pair is not None:
        on.host.push_screen(screens.CompareScreen(*pair))
