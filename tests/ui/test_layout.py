"""The kept layout: after any changes it is what a layout from scratch would be."""

from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.domain.records import Attempt, Version
from avo_tui.domain.verdict import Verdict
from avo_tui.ui.panes.graph import (
    GraphLayout,
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
        at_once = GraphLayout()
        at_once.update(versions, attempts, lineage.head, lineage.unfolded, step, lineage.apart)
        assert at_once.drawn == kept.drawn
