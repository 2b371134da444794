"""Wherever a change is shown it is the gate's, and what compares separate runs is marked `≈`."""

from dataclasses import replace
from functools import cache

import pytest

from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.changes import Change
from avo_tui.domain.state import SessionState
from avo_tui.store import SessionReader
from avo_tui.ui import formats
from avo_tui.ui.panes.base import Selection, at_rest
from avo_tui.ui.panes.graph import GraphLayout
from avo_tui.ui.panes.lineage import LineageContext, row_line
from avo_tui.ui.panes.output import outcome_of_version, output_lines
from avo_tui.ui.panes.scores import benchmark_lines, paired_lines
from avo_tui.ui.screens.compare import _at_the_gate
from avo_tui.ui.session.feed import Feed
from avo_tui.ui.status import Keys, status_line
from avo_tui.ui.text import Line
from tests.shipped import shipped_sessions
from tests.ui.invented_kernel import score_of
from tests.ui.make_session import MemorySource


@cache
def live() -> SessionState:
    """A real run on a noisy machine: v8 scored 2.8% less than v7, and the gate measured +0.9%."""
    (folder,) = (f for f in shipped_sessions() if f.name == "attention-cpu-live")
    return SessionReader.open(folder).state


def lineage_rows(state: SessionState, width: int) -> list[Line]:
    context = LineageContext(
        versions=state.versions,
        attempts=state.attempts,
        aggregates={n: v.aggregate for n, v in state.versions.items()},
        best=None if state.best is None else state.best.number,
        head=state.session.head,
    )
    layout = GraphLayout()
    layout.update(state.versions, state.attempts, state.session.head)
    return [row_line(row, context, width) for row in layout.drawn]


def roles(row: Line, text: str) -> list[str]:
    return [role for piece, role in row.spans if text in piece]


def test_the_lineage_shows_the_gain_at_the_gate() -> None:
    (eighth,) = (row for row in lineage_rows(live(), 60) if " v8 " in row.plain)
    assert "+0.9%" in eighth.plain and "−2.8%" not in eighth.plain
    assert roles(eighth, "+0.9%") == ["good"]


def test_what_no_gate_decided_on_is_not_called_rejected() -> None:
    """Attempt 16.1 of that run scored 1.936, more than the best version, and was not submitted."""
    told = [row.plain for row in lineage_rows(live(), 60)]
    assert any("2 not committed  step 16  best 1.936×" in row for row in told)
    assert any("2 rejected  step 14" in row for row in told)
    (left,) = (row for row in told if " 17.1 " in row)
    assert "·" in left and "✕" not in left


@pytest.mark.parametrize(
    ("change", "text", "role"),
    [
        (Change(0.009, 7, timed=True), "+0.9%", "good"),
        (Change(-0.028, 7, timed=False, noise=0.04), "≈−2.8%", "dim"),
        (Change(-0.28, 7, timed=False, noise=0.04), "≈−28.0%", "bad"),
        (Change(13.6, 0, timed=False), "≈×15", "good"),
        (Change(float("inf"), 0, timed=False), "", "good"),
        (None, "", "dim"),
    ],
)
def test_a_change_of_separate_runs_is_marked(change: Change | None, text: str, role: str) -> None:
    assert formats.gain(change) == text
    assert formats.gain_role(change) == role


def test_the_output_begins_with_the_gate_and_marks_the_column_of_two_runs() -> None:
    versions = live().versions
    plain = [row.plain for row in output_lines(outcome_of_version(versions[8], versions[7]), 78)]
    assert plain[0].startswith("✔ gate strict: +0.91% against v7")
    (head,) = (row for row in plain if "spread" in row)
    assert "≈ vs v7" in head


def test_a_change_has_a_colour_only_where_it_exceeds_the_spread_of_both_runs() -> None:
    versions = live().versions
    score, parent = versions[8].score, versions[7].score
    total = next(row for row in benchmark_lines(score, 78, parent) if "geomean" in row.plain)
    assert roles(total, "−2.8%") == ["dim"]
    rows_of = benchmark_lines(score_of(1.5, 1), 78, score_of(1.0, 1))
    clear = next(row for row in rows_of if "geomean" in row.plain)
    assert roles(clear, "+50.0%") == ["good"]


@pytest.mark.parametrize(("left", "right"), [(7, 8), (8, 7)])
def test_a_comparison_tells_what_the_gate_measured_in_either_order(left: int, right: int) -> None:
    versions = live().versions
    told = _at_the_gate(versions[left], versions[right], 200)
    assert told[0].plain.startswith("v8 at the gate: +0.91% against v7")
    bars = paired_lines(versions[left].score, versions[right].score, "a", "b", 100)
    assert "≈" in bars[-1].plain


def test_a_comparison_of_versions_that_no_gate_timed_says_so() -> None:
    versions = live().versions
    assert "did not time" in _at_the_gate(versions[2], versions[9], 200)[0].plain


def test_the_panes_show_the_head_of_a_run_that_is_over_and_tried_nothing_in_its_last_step() -> None:
    source = MemorySource(steps=3)
    feed = Feed(source)
    feed.publish()
    assert feed.latest is not None
    idle = replace(feed.latest.live, attempt=None)
    over = replace(feed.latest, run_state="stopped", live=idle, replay=None)
    assert at_rest(over) == Selection(over.head) and over.head is not None
    assert at_rest(replace(over, run_state="running")).live
    tried = replace(feed.latest, run_state="stopped")
    if tried.live.attempt is not None:
        assert at_rest(tried).live


def test_a_narrow_status_line_keeps_the_gain_and_names_the_clock_of_running() -> None:
    source = MemorySource(steps=3)
    feed = Feed(source)
    feed.publish()
    assert feed.latest is not None
    budget = Budget(run=Caps(hours=1))
    session = feed.latest.session.model_copy(update={"budget": budget, "name": "demo"})
    known = feed.latest.progress.model_copy(
        update={"gain": 0.068, "gain_timed": True, "stuck": False, "waits_for": ""}
    )
    snapshot = replace(feed.latest, session=session, progress=known, run_state="running")
    now = session.last_event_at or session.created
    for width in (80, 100, 120):
        plain = status_line(snapshot, width, now, Keys()).plain
        assert "(+6.8%)" in plain and "ran " in plain and "/1h" in plain and len(plain) <= width
    long = session.model_copy(update={"name": "attention_cpu-2"})
    plain = status_line(replace(snapshot, session=long), 84, now, Keys()).plain
    assert "attention_cpu-2" in plain and len(plain) <= 84  # what tells it from attention_cpu
    separate = snapshot.progress.model_copy(update={"gain_timed": False})
    told = status_line(replace(snapshot, progress=separate), 120, now, Keys()).plain
    assert "(≈+6.8%)" in told
