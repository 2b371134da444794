"""Pure views: numbers, chart, diff, output, status."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avo_tui.domain import events as ev
from avo_tui.domain.budget import Caps, Spend
from avo_tui.domain.records import PlanItem, RunState
from avo_tui.domain.report import EvaluationProgress, EvaluationReport, Seconds
from avo_tui.domain.verdict import Feedback, Verdict
from avo_tui.store import SessionReader
from avo_tui.ui import formats
from avo_tui.ui.charts import ChartData, Point, render, ticks
from avo_tui.ui.panes.output import Outcome, outcome_of_attempt, outcome_of_report, output_lines
from avo_tui.ui.panes.plan import attempt_story, plan_lines, stream_lines, whole_paragraphs
from avo_tui.ui.panes.scores import bar, benchmark_lines
from avo_tui.ui.screens.run.looking import step_to_read
from avo_tui.ui.session.feed import Feed, Snapshot
from avo_tui.ui.session.step_view import Entry, StageView, fold
from avo_tui.ui.status import Keys, status_line
from avo_tui.ui.text import Line, line
from tests.shipped import shipped_sessions
from tests.ui.invented_kernel import score_of
from tests.ui.make_session import MemorySource


def plain(rows: list[Line]) -> str:
    return "\n".join(row.plain for row in rows)


def snapshot_of(source: MemorySource) -> Snapshot:
    feed = Feed(source)
    feed.prime()
    assert feed.latest is not None
    return feed.latest


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (formats.ratio(1.0412), "1.041×"),
        (formats.ratio(0), "–"),
        (formats.ratio(12.34), "12.3×"),
        (formats.change(0.006), "+0.6%"),
        (formats.change(-0.031), "−3.1%"),
        (formats.change(0.00001), "±0.0%"),
        (formats.change(None), ""),
        (formats.change(11.0), "×12"),
        (formats.duration(3723), "1:02:03"),
        (formats.duration(5), "5s"),
        (formats.clock(2 * 86400 + 4 * 3600 + 660), "2d 04:11"),
        (formats.share(0.754), "75%"),
        (formats.share(0.003), "0.3%"),
        (formats.share(0.0001), "<0.1%"),
        (formats.count(12_400), "12.4k"),
        (formats.usd(12.4), "$12.40"),
        (formats.size(3 << 20), "3.0 MB"),
        (formats.many(1, "hit"), "1 hit"),
        (formats.many(1234, "hit"), "1,234 hits"),
        (formats.sparkline([0.0, 0.5, 1.0], 3), "▁▄█"),
    ],
)
def test_numbers(made: str, wanted: str) -> None:
    assert made == wanted


def test_spend_names_the_nearest_cap() -> None:
    spend = Spend(usd=190, seconds=3600)
    assert formats.spend(Caps(usd=200, hours=168), spend) == ("$190.00/$200", 0.95)
    assert formats.spend(Caps(), Spend(evaluations=7)) == ("7 evals", 0.0)


# -- chart


def test_the_chart_shows_best_baseline_and_marks() -> None:
    points = tuple(Point(n, 0.1 * n, n, leads=True) for n in range(1, 11))
    rows = render(
        ChartData(points, (("torch", 1.0),), ((4.0, "↶"),), labels=((1, "v1"), (10, "v10"))), 60, 12
    )
    assert len(rows) == 12 and all(row.width <= 60 for row in rows)
    text = plain(rows)
    assert "★" in text and "torch" in text and "↶" in text and "v10" in text
    heights = [
        sum(rows[y].plain[7 + x] != " " or "on-area" in _role(rows[y], 7 + x) for y in range(11))
        for x in (2, 50)
    ]
    assert heights[0] < heights[1], "the area grows with the best score"


def _role(row: Line, cell: int) -> str:
    at = 0
    for text, role in row.spans:
        at += len(text)
        if cell < at:
            return role
    return ""


def test_a_baseline_out_of_reach_is_named() -> None:
    rows = render(ChartData((Point(0, 0.05, 0), Point(1, 0.06, 1)), (("torch", 1.0),)), 50, 8)
    assert "↑ torch" in plain(rows)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0.0, 50.0), min_size=1, max_size=60), st.integers(16, 90), st.integers(4, 30)
)
def test_any_chart_fits(values: list[float], width: int, height: int) -> None:
    points = tuple(Point(i, v, i, leads=i % 3 == 0) for i, v in enumerate(values))
    rows = render(
        ChartData(points, (("a", 1.0), ("b", 0.2)), ((0.0, "!"),), 0, ((0, "v0"),)), width, height
    )
    assert all(row.width <= width for row in rows) and len(rows) in {0, height}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0.001, 500.0), min_size=1, max_size=20), st.integers(5, 30))
@example([0.001], 6)
def test_ticks_are_equally_many_rows_apart(values: list[float], height: int) -> None:
    points = tuple(Point(i, v, i, leads=True) for i, v in enumerate(values))
    rows = [row.plain for row in render(ChartData(points), 60, height)][:-1]
    marked = [y for y, row in enumerate(rows) if row[5] == "┤"]
    assert marked[-1] == len(rows) - 1, "the axis begins with a number"
    assert len({b - a for a, b in pairwise(marked)}) <= 1
    numbers = [float(rows[y][:5]) for y in marked]
    assert numbers == sorted(numbers, reverse=True) and len(set(numbers)) == len(numbers)
    if min(values) < 0.6 * max(values):
        assert numbers[-1] == 0


def test_ticks_are_round() -> None:
    assert ticks(0, 1.06, 5) == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])
    assert ticks(1, 1, 4) == []


# -- diff


def test_a_long_plan_shows_what_is_being_done() -> None:
    items = [
        PlanItem(text=f"item {i}", status="done" if i < 7 else "doing" if i == 7 else "todo")
        for i in range(20)
    ]
    rows = plan_lines("A title", items, 40, most=6)
    assert len(rows) <= 6 and "item 7" in plain(rows) and "more" in plain(rows)


@pytest.mark.parametrize(
    ("rows", "room", "shown"),
    [
        ("ab", 5, 2),
        ("ab cd ef", 6, 8),
        ("ab cd efgh", 5, 5),
        ("abcd efgh jk", 7, 9),
        ("ab cdefghjk", 7, 7),
        ("abcdefgh", 4, 4),
    ],
)
def test_no_paragraph_of_a_version_s_story_is_cut(rows: str, room: int, shown: int) -> None:
    """A letter is a row, a space a blank one."""
    assert whole_paragraphs([line(letter) for letter in rows], room) == shown


def test_an_item_that_does_not_fit_is_cut_with_a_mark() -> None:
    items = [PlanItem(text="word " * 60, status="doing"), PlanItem(text="next", status="todo")]
    rows = [row.plain.rstrip() for row in plan_lines("", items, 40, 4)]
    assert len(rows) == 4 and "1 more" in rows[3]
    assert rows[2].endswith("…") and not rows[1].endswith("…")
    assert all(len(row) <= 40 for row in rows)


def test_a_run_at_rest_is_read_from_the_step_in_which_something_was_done() -> None:
    snapshot = snapshot_of(MemorySource(steps=3, state="stopped"))
    newest = snapshot.live.number
    said = (Entry("control", "s9", "stopped", "stopped by the person"),)
    stopped = replace(snapshot, live=replace(snapshot.live, title="", stream=said))
    assert step_to_read(stopped) == newest - 1
    assert step_to_read(replace(stopped, run_state="running")) == newest
    told = replace(stopped.live, stream=(Entry("tool", "c1", "read_version"), *said))
    assert step_to_read(replace(stopped, live=told)) == newest


def test_the_stream_of_a_step(recorded: MemorySource) -> None:
    rows = stream_lines(fold(recorded.events(step=25)), 70)
    assert all(row.width <= 70 for row in rows)
    assert "search_knowledge" in plain(rows) and "“The exponential" in plain(rows)


@pytest.mark.parametrize("width", [34, 60, 90, 140])
def test_the_benchmark_table_fits_and_says_all(width: int) -> None:
    score, parent = score_of(1.02, 1), score_of(1.0, 2)
    rows = benchmark_lines(score, width, parent, "vs v3")
    table = rows[: 2 + len(score.configurations)]
    assert len({row.width for row in table[1:]}) == 1
    if width >= 60:
        assert all(row.width <= width for row in rows)
    assert "causal-1024" in plain(rows) and "×" in table[-1].plain
    assert "naive" in plain(rows), "every baseline is compared with"


@pytest.mark.parametrize("width", [40, 70, 100, 140])
def test_what_is_odd_about_a_measurement_is_said_in_full(width: int) -> None:
    score = score_of(1.02, 1)
    odd = score.configurations[0].model_copy(update={"flags": ("above the measured ceiling",)})
    rows = benchmark_lines(
        score.model_copy(update={"configurations": (odd, *score.configurations[1:])}), width
    )
    assert all(row.width <= width for row in rows)
    said = next(i for i, row in enumerate(rows) if "above" in row.plain)
    assert "above the measured ceiling" in " ".join(plain(rows[said:]).split())
    assert (said == 1) == (width >= 100), "behind its row where there is room, else below"


def test_bars_have_a_tick_for_every_baseline() -> None:
    rows = benchmark_lines(score_of(1.6, 1), 120)
    assert "│ torch  ┊ naive" in rows[0].plain
    for row in rows[1:]:
        ticks = [text for text, role in row.spans if "bar-tick" in role]
        assert sorted(ticks) == ["│", "┊"]
        assert all("bar-tick" not in role for text, role in row.spans if "█" in text)


def test_a_baseline_is_seen_across_the_area_of_the_chart() -> None:
    points = (Point(0, 1.2, 0, leads=True), Point(1, 1.3, 1, leads=True))
    rows = render(ChartData(points, (("torch", 1.0), ("naive", 0.4))), 60, 14)
    for name in ("torch", "naive"):
        row = next(row for row in rows if name in row.plain)
        assert row.plain.count("┈") > 30 and "on-area" in _role(row, 30)


def test_a_running_benchmark_is_compared_as_it_comes(recorded: MemorySource) -> None:
    live = snapshot_of(recorded).live
    assert live.attempt is not None
    rows = output_lines(outcome_of_attempt(live.attempt, "torch"), 70)
    assert "causal-512" in plain(rows) and "causal-1024" not in plain(rows)


def test_bars_have_eighths() -> None:
    assert bar(0.5, 1.0, 4) == "██  " and bar(0.53, 1.0, 4) == "██▏ " and bar(9, 1.0, 3) == "███"


# -- status


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ("running", "● RUNNING"),
        ("paused", "PAUSED · p resumes"),
        ("lost", "ENGINE LOST · R restarts"),
        ("parked", "WAITS FOR THE DISK"),
        ("stopped", "STOPPED"),
        ("finished", "FINISHED"),
        ("pausing", "PAUSING"),
    ],
)
@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_state_cannot_be_missed(state: RunState, wanted: str, width: int) -> None:
    source = MemorySource(steps=3, state=state)
    snapshot = snapshot_of(source)
    now = snapshot.session.last_event_at
    assert now is not None
    row = status_line(snapshot, width, now + timedelta(seconds=3), Keys(), can_start=True)
    assert wanted in row.plain and row.width <= width
    assert "★ v" in row.plain


@pytest.mark.parametrize("state", ["running", "paused", "lost", "stopped", "finished", "parked"])
@pytest.mark.parametrize("what", ["", "stuck", "approval"])
def test_baseline_and_cost_stay_in_80_columns(state: RunState, what: str) -> None:
    snapshot = snapshot_of(MemorySource(steps=3, state=state, name="a-session-with-a-long-name"))
    more = {"stuck": what == "stuck", "tries": 1257, "gain": 0.051}
    known = snapshot.progress.model_copy(update=more)
    if what == "approval":
        known = known.model_copy(update={"waits_for": "approval"})
    now = snapshot.session.created + timedelta(days=9)
    row = status_line(replace(snapshot, progress=known), 80, now, Keys(), can_start=True)
    assert row.width <= 80
    assert "× torch" in row.plain and "$" in row.plain and "/$200" in row.plain
    if what == "stuck" and state == "running":
        assert "STUCK 1257 tries" in row.plain
    if what == "approval":
        assert "WAITS FOR YOU · A" in row.plain


def test_the_order_of_the_status_line_is_fixed(recorded: MemorySource) -> None:
    snapshot = snapshot_of(recorded)
    now = snapshot.session.last_event_at
    assert now is not None
    text = status_line(snapshot, 160, now + timedelta(seconds=3), Keys()).plain
    parts = ["mha-study", "RUNNING", "step 25", "benchmark 3/4", "★ v20", "torch", "$", "active"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_a_moved_key_is_named_as_it_is_bound() -> None:
    snapshot = snapshot_of(MemorySource(steps=3, state="paused"))
    now = snapshot.session.created
    assert "f5 resumes" in status_line(snapshot, 120, now, Keys(resume="f5")).plain


@pytest.mark.parametrize("width", [80, 120])
def test_a_run_at_rest_ticks_once_a_minute(recorded: MemorySource, width: int) -> None:
    snapshot = snapshot_of(recorded)
    last = snapshot.session.last_event_at
    assert last is not None
    moments = [last + timedelta(seconds=600 + n) for n in range(600)]
    shown = [status_line(snapshot, width, now, Keys()) for now in moments]
    pairs = list(pairwise(shown))
    assert 0 < sum(a != b for a, b in pairs) <= 20


def test_a_run_that_waits_for_the_device_does_not_say_running(recorded: MemorySource) -> None:
    source = MemorySource()
    waiting = EvaluationProgress(stage="waiting", state="started", detail="in use by 4711")
    source.add(ev.EvaluationProgressed(attempt=3, progress=waiting))
    snapshot = snapshot_of(source)
    text = status_line(snapshot, 120, snapshot.session.created, Keys()).plain
    assert "WAITS FOR THE DEVICE" in text and "RUNNING" not in text


def test_parked_for_the_disk_says_so() -> None:
    snapshot = snapshot_of(MemorySource(steps=3, state="parked"))
    disk = snapshot.progress.model_copy(update={"waits_for": "disk"})
    row = status_line(replace(snapshot, progress=disk), 80, snapshot.session.created, Keys())
    assert "WAITS FOR THE DISK" in row.plain


def test_a_measurement_cut_off_at_the_gate_says_that_nothing_is_decided() -> None:
    stages = (StageView("benchmark", "done"), StageView("remeasure", "failed"))
    rows = output_lines(Outcome(stages=stages), 70)
    assert "undecided: timing it beside the best version ended" in plain(rows)
    rows = output_lines(Outcome(stages=stages, rejected="slower"), 70)
    assert "undecided" not in plain(rows)


def test_a_report_shows_where_its_seconds_went_and_that_it_is_of_another_harness() -> None:
    seconds = Seconds(compile=1.0, check=0.5, phases={"check": {"calls": 0.4}})
    report = EvaluationReport(
        task="t", candidate="0" * 64, verdict=Verdict.CORRECT, score=score_of(1.2, 1),
        feedback=Feedback(summary="correct"), conditions="before", seconds=seconds,
    )  # fmt: skip
    outcome = outcome_of_report(report)
    rows = plain(output_lines(outcome, 70))
    assert "1.50 s" in rows and "check calls 0.40" in rows
    assert "another harness" not in rows
    assert "another harness" in plain(output_lines(replace(outcome, outdated=True), 70))


def test_a_run_that_is_over_says_why() -> None:
    snapshot = snapshot_of(MemorySource(steps=3, state="finished"))
    now = snapshot.session.last_event_at
    assert now is not None
    session = snapshot.session.model_copy(update={"state_reason": "all 3 steps are done"})
    snapshot = replace(snapshot, session=session)
    assert "FINISHED" in status_line(snapshot, 120, now, Keys()).plain
    assert "step 4 · all 3 steps are done" in status_line(snapshot, 120, now, Keys()).plain
    assert status_line(snapshot, 80, now, Keys(), can_start=True).width <= 80


def test_a_rejected_attempt_above_the_best_says_why_it_does_not_count() -> None:
    """Attempt 14.2 of a real run: 1.920 in its own run, +0.55% over v8's 1.795 at the gate."""
    (folder,) = (f for f in shipped_sessions() if f.name == "attention-cpu-live")
    state = SessionReader.open(folder).state
    attempt = state.attempts[14, 2]
    assert attempt.aggregate > state.versions[8].aggregate
    text = " ".join(row.plain.strip() for row in attempt_story(attempt, None, 70))
    assert "1.920×" in text and "+0.55% against v8" in text
    assert "in turn and decides by that" in text and "may show a higher aggregate" in text


def test_an_attempt_that_was_never_submitted_says_so_and_is_not_called_rejected() -> None:
    """Attempt 16.1 of the same run: 1.936, more than the best version, and no gate saw it."""
    (folder,) = (f for f in shipped_sessions() if f.name == "attention-cpu-live")
    state = SessionReader.open(folder).state
    attempt = state.attempts[16, 1]
    assert attempt.aggregate > max(v.aggregate for v in state.versions.values())
    text = " ".join(row.plain.strip() for row in attempt_story(attempt, state.open_step, 70))
    assert "never submitted" in text and "✕" not in text
