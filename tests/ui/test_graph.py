"""The graph: every row once, children above parents, strokes that meet."""

import sys
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.records import Attempt, Version
from avo_tui.domain.verdict import Verdict
from avo_tui.ui.panes.graph import GraphLayout, GraphRow, Row
from avo_tui.ui.panes.lineage import prefix
from tests.ui.invented_kernel import START, score_of

SCORE = score_of(0.5, 1)
GATE = GateDecision(gate="strict", accepted=True, reason="")


def version(number: int, parent: int | None, step: int | None = None) -> Version:
    return Version(
        number=number,
        parent=parent,
        step=number if step is None else step,
        attempt=1,
        candidate="0" * 64,
        score=SCORE,
        gate=GATE,
        author="tuner",
        created=START,
    )


def attempt(
    step: int, number: int, parent: int, verdict: Verdict | None = Verdict.CORRECT
) -> Attempt:
    return Attempt(
        step=step, number=number, parent=parent, candidate="0" * 64, verdict=verdict, at=START
    )


def drawn_of(
    versions: dict[int, Version],
    attempts: list[Attempt],
    head: int | None = None,
    unfolded: Iterable[int] = (),
    live_step: int | None = None,
    apart: Iterable[int] = (),
) -> list[GraphRow]:
    layout, tried = GraphLayout(), {(a.step, a.number): a for a in attempts}
    layout.update(versions, tried, head, frozenset(unfolded), live_step, frozenset(apart))
    return layout.drawn


def rows(*given: Any, **options: Any) -> list[Row]:
    return [drawn.row for drawn in drawn_of(*given, **options)]


def text(
    versions: dict[int, Version], attempts: list[Attempt], head: int, **options: Any
) -> list[str]:
    drawn = drawn_of(versions, attempts, head, **options)
    out = []
    for d in drawn:
        glyph = {"version": "●", "running": "◌"}.get(d.row.kind, "✕")
        out.append("".join(t for t, _ in prefix(d, glyph, 9)).rstrip() + f" {d.row.number}")
    return out


def test_a_chain_is_one_lane() -> None:
    versions = {n: version(n, n - 1 if n else None) for n in range(4)}
    assert text(versions, [], 3) == ["● 3", "● 2", "● 1", "● 0"]


def test_a_branch_joins_its_parent() -> None:
    versions = {0: version(0, None), 1: version(1, 0), 2: version(2, 1), 3: version(3, 0)}
    assert text(versions, [], 3) == ["● 3", "│ ● 2", "│ ● 1", "●─╯ 0"]


def test_two_branches_join_together() -> None:
    versions = {0: version(0, None), 1: version(1, 0), 2: version(2, 0), 3: version(3, 0)}
    assert text(versions, [], 3) == ["● 3", "│ ● 2", "│ │ ● 1", "●─┴─╯ 0"]


def test_rejected_attempts_hang_off_their_parent_folded() -> None:
    versions = {0: version(0, None), 1: version(1, 0)}
    lost = [attempt(1, 1, 0), attempt(1, 2, 0)]
    assert text(versions, lost, 1) == ["● 1", "├✕ 2", "● 0"]
    assert text(versions, lost, 1, unfolded={1}) == ["● 1", "├✕ 2", "├✕ 1", "● 0"]


def test_a_running_attempt_is_a_tip() -> None:
    versions = {0: version(0, None)}
    assert text(versions, [attempt(1, 1, 0, None)], 0, live_step=1) == ["◌ 1", "● 0"]


def test_an_attempt_before_the_gate_is_not_rejected_yet() -> None:
    versions = {0: version(0, None)}
    good = attempt(1, 2, 0).model_copy(update={"aggregate": 0.5})
    tried = [attempt(1, 1, 0).model_copy(update={"reason": "slower"}), good]
    assert text(versions, tried, 0, live_step=1) == ["◌ 2", "├✕ 1", "● 0"]
    refused = [tried[0], good.model_copy(update={"reason": "not more than the noise"})]
    assert text(versions, refused, 0, live_step=1) == ["✕ 2", "● 0"]
    assert text(versions, tried, 0) == ["✕ 2", "● 0"], "the step has ended"
    later = [good, attempt(1, 3, 0, None)]
    assert text(versions, later, 0, live_step=1) == ["◌ 3", "├✕ 2", "● 0"], "another is tried"


def test_branches_off_the_line_are_dead() -> None:
    versions = {0: version(0, None), 1: version(1, 0), 2: version(2, 0)}
    drawn = {d.row.number: d for d in drawn_of(versions, [], 2)}
    assert drawn[2].lane not in drawn[2].dead
    assert drawn[1].lane in drawn[1].dead


@st.composite
def trees(draw_from: st.DrawFn) -> tuple[dict[int, Version], list[Attempt], int]:
    count = draw_from(st.integers(1, 40))
    versions = {0: version(0, None)}
    attempts: list[Attempt] = []
    for number in range(1, count):
        versions[number] = version(number, draw_from(st.integers(0, number - 1)))
        for k in range(draw_from(st.integers(0, 3))):
            attempts.append(attempt(number, k + 2, draw_from(st.integers(0, number - 1))))
    return versions, attempts, draw_from(st.integers(0, count - 1))


@settings(max_examples=150, deadline=None)
@given(trees())
def test_any_tree_is_drawn_whole(tree: tuple[dict[int, Version], list[Attempt], int]) -> None:
    versions, attempts, head = tree
    drawn = drawn_of(versions, attempts, head)
    ordered = [d.row for d in drawn]
    numbers = [r.number for r in ordered if r.kind == "version"]
    assert sorted(numbers) == sorted(versions)
    place = {n: i for i, n in enumerate(numbers)}
    for number, made in versions.items():
        if made.parent is not None:
            assert place[number] < place[made.parent]
    rejected = sum(r.number if r.kind == "fold" else 1 for r in ordered if r.kind != "version")
    assert rejected == len(attempts)
    # A node is drawn in the lane that led to it: the lane of each child is taken until the parent.
    waiting: dict[int, int] = {}
    for d in drawn:
        if d.leaf:
            assert waiting[d.lane] == d.row.parent
            continue
        if d.row.kind == "version":
            for lane in (d.lane, *d.merges):
                if lane in waiting:
                    assert waiting[lane] == d.row.number
            ends = [lane for lane, target in waiting.items() if target == d.row.number]
            begins = {d.lane} if d.row.number == head else set()
            assert set(ends) | begins == ({d.lane, *d.merges} if ends else begins)
            for lane in d.merges:
                del waiting[lane]
        parent = d.row.parent
        if parent is None:
            waiting.pop(d.lane, None)
        else:
            waiting[d.lane] = parent
    assert not waiting
    line = line_of(versions, head)
    for d in drawn:
        if d.row.kind == "version":
            assert (d.lane == 0) == (d.row.number in line)
        elif not d.leaf:
            assert (d.lane == 0) == (d.row.parent == head)


def line_of(versions: dict[int, Version], head: int | None) -> set[int]:
    line = set()
    while head is not None:
        line.add(head)
        head = versions[head].parent
    return line


def test_the_heads_line_is_straight_whatever_was_tried_last() -> None:
    versions = {n: version(n, n - 1 if n else None) for n in range(4)}
    tried = [attempt(4, 1, 3), attempt(5, 1, 1), attempt(6, 1, 0), attempt(7, 1, 1)]
    assert text(versions, tried, 3) == [
        "  ✕ 1",
        "  │ ✕ 1",
        "  ├✕│ 1",
        "✕ │ │ 1",
        "● │ │ 3",
        "● │ │ 2",
        "●─╯ │ 1",
        "●───╯ 0",
    ]


def calls_to_draw(count: int) -> int:
    """Draws a lineage of so many versions with many branches; how many functions it called."""
    versions = {0: version(0, None)}
    for number in range(1, count):
        versions[number] = version(number, number - 1 if number % 50 else max(0, number - 120))
    counted = 0

    def one_more(frame: object, event: str, argument: object) -> None:
        nonlocal counted
        counted += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(one_more)
    try:
        drawn = drawn_of(versions, [], count - 1)
    finally:
        sys.setprofile(before)
    assert len(drawn) == count
    assert max(len(d.lanes) for d in drawn) < 20
    return counted


def test_work_grows_as_the_rows_do() -> None:
    assert calls_to_draw(4_000) < 10 * calls_to_draw(500)


def test_a_deep_chain_does_not_recurse() -> None:
    versions = {n: version(n, n - 1 if n else None) for n in range(5_000)}
    assert len(drawn_of(versions, [], 4_999)) == 5_000


def test_steps_in_a_row_that_came_to_nothing_share_one_row() -> None:
    versions = {0: version(0, None), 1: version(1, 0)}
    lost = [attempt(step, number, 1) for step in range(2, 30) for number in (1, 2, 3)]
    drawn = rows(versions, lost)
    assert [row.kind for row in drawn] == ["stall", "version", "version"]
    assert drawn[0].number == 84
    assert (drawn[0].first_step, drawn[0].step, drawn[0].steps) == (2, 29, 28)
    apart = rows(versions, lost, apart={10})
    assert [row.kind for row in apart] == ["stall", "fold", "stall", "version", "version"]
    unfolded = rows(versions, lost, unfolded={10})
    assert [row.kind for row in unfolded].count("attempt") == 3
    assert [row.kind for row in rows(versions, lost[:6])] == ["fold", "fold", "version", "version"]


def test_a_stall_from_another_version_is_another_one() -> None:
    versions = {0: version(0, None), 1: version(1, 0)}
    lost = [attempt(step, 1, 0 if step < 6 else 1) for step in range(2, 10)]
    assert [row.number for row in rows(versions, lost) if row.kind == "stall"] == [4, 4]


def test_what_runs_is_never_in_a_stall() -> None:
    versions = {0: version(0, None)}
    lost = [attempt(step, 1, 0) for step in range(1, 9)]
    live = [*lost, attempt(9, 1, 0, None)]
    assert [row.kind for row in rows(versions, live, live_step=9)] == [
        "running",
        "stall",
        "version",
    ]
