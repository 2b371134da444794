"""Chooses the two versions to compare."""

from __future__ import annotations

from collections.abc import Collection

from avo_tui.ui.session.feed import Snapshot


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
