"""The kept layout: after any changes it is what a layout from scratch would be."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import MonkeyPatch

from avo_tui.domain.records import Attempt, Version
from avo_tui.domain.verdict import Verdict
from avo_tui.ui.panes import graph
from avo_tui.ui.panes.graph import (
    GraphLayout,
    GraphRow,
    Lanes,
    _place,
    line_of,
)
from tests.ui.test_graph import attempt, version


class Lineage:
    """Records that change one at a time, as a run changes them."""

    def __init__(self) -> None:
        self.versions: dict[int, Version] = {0: version(0, None, 0)}
        self.attempts: dict[tuple[int, int], Attempt] = {}
        self.head = 0
        self.step = 1
        self.unfolded: frozenset[int] = frozenset()
        self.apart: frozenset[int] = frozenset()

    def change(self, what: str, choice: int) -> None:
        mine = [n for s, n in self.attempts if s == self.step]
        number = max(mine, default=0) + 1
        some = sorted(self.versions)[choice % len(self.versions)]
        if what == "start":
            self.attempts[self.step, number] = attempt(self.step, number, self.head, None)
        elif what == "reject" and mine:
            key = (self.step, mine[-1])
            record = self.attempts[key]
            self.attempts[key] = record.model_copy(update={"verdict": Verdict.WRONG_RESULT})
        elif what == "commit":
            new = max(self.versions) + 1
            parent = self.head if choice % 3 else some
            made = version(new, parent, self.step)
            self.versions[new] = made.model_copy(update={"attempt": number})
            record = attempt(self.step, number, parent)
            self.attempts[self.step, number] = record.model_copy(update={"version": new})
            self.head = new if choice % 5 else self.head
        elif what == "step":
            self.step += 1
        elif what == "rewind":
            self.head = some
        elif what == "note":
            self.versions[some] = self.versions[some].model_copy(update={"note": str(choice)})
        elif what == "fold":
            self.unfolded ^= {choice % (self.step + 1)}
        elif what == "open":
            self.apart ^= {choice % (self.step + 1)}
        elif what == "stall":
            for _ in range(1 + choice % 5):
                self.step += 1
                for one in range(1, 2 + choice % 3):
                    self.attempts[self.step, one] = attempt(self.step, one, self.head)
        elif what == "jump back":
            last = max(self.versions)
            self.versions = {n: v for n, v in self.versions.items() if n < last or not n}
            self.head = min(self.head, max(self.versions))
            self.attempts = {
                k: a
                for k, a in self.attempts.items()
                if a.parent in self.versions and (a.version is None or a.version < last)
            }


WHAT = ("start", "reject", "commit", "commit", "step", "step", "rewind", "note")
FOLDS = ("fold", "open", "stall", "stall")
changes = st.lists(
    st.tuples(st.sampled_from((*WHAT, *FOLDS, "jump back")), st.integers(0, 50)), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(changes, st.booleans())
def test_it_is_what_a_layout_from_scratch_is(made: list[tuple[str, int]], live: bool) -> None:
    lineage, kept = Lineage(), GraphLayout()
    for what, choice in made:
        lineage.change(what, choice)
        step = lineage.step if live else None
        versions, attempts = dict(lineage.versions), dict(lineage.attempts)
        kept.update(versions, attempts, lineage.head, lineage.unfolded, step, lineage.apart)
        assert all(kept.drawn[at].row.key == key for key, at in kept.places.items())
        assert kept.drawn == drawn_row_by_row(kept.drawn, versions, lineage.head)
        at_once = GraphLayout()
        at_once.update(versions, attempts, lineage.head, lineage.unfolded, step, lineage.apart)
        assert at_once.drawn == kept.drawn


def drawn_row_by_row(
    ordered: list[GraphRow], versions: dict[int, Version], head: int
) -> list[GraphRow]:
    """The drawing without the short way for a lineage of one lane."""
    alive, out = line_of(versions, head), []
    lanes: Lanes = ()
    for one in ordered:
        drawn, lanes = _place(one.row, lanes, versions, alive, head)
        out.append(drawn)
    return out


def test_a_new_version_lays_out_a_few_rows_of_a_thousand(monkeypatch: MonkeyPatch) -> None:
    versions = {n: version(n, n - 1 if n else None) for n in range(1_000)}
    attempts = {(n, k): attempt(n, k, n - 1) for n in range(1, 1_000) for k in (2, 3)}
    kept = GraphLayout()
    kept.update(versions, attempts, 999)
    placed: list[object] = []
    place, short = graph._place, graph._place_on_one_lane

    def counting(*arguments: Any) -> Any:
        placed.append(arguments[0])
        return place(*arguments)

    def counting_short(*arguments: Any) -> Any:
        placed.append(arguments[0])
        return short(*arguments)

    monkeypatch.setattr(graph, "_place", counting)
    monkeypatch.setattr(graph, "_place_on_one_lane", counting_short)
    grown = versions | {1_000: version(1_000, 999)}
    assert kept.update(grown, attempts, 1_000)
    assert 0 < len(placed) < 10
    assert kept.drawn == drawn_row_by_row(kept.drawn, grown, 1_000)
    placed.clear()
    noted = grown | {7: grown[7].model_copy(update={"note": "seen"})}
    assert not kept.update(noted, attempts, 1_000)
    assert not placed
