"""The chart over any span: drawn to now, with what was tried and what was intervened."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from avo_tui.ui.charts import ChartData, Point, render
from avo_tui.ui.panes.score import ChartView, _hours, chart_data, chart_spans
from avo_tui.ui.session.feed import Feed, Snapshot
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    feed = Feed(MemorySource(state="running"))
    feed.prime()
    assert feed.latest is not None
    return feed.latest


def present(snapshot: Snapshot) -> datetime:
    last = snapshot.session.last_event_at
    assert last is not None
    return last + timedelta(hours=2)


def chart(snapshot: Snapshot, view: ChartView) -> ChartData:
    return chart_data(snapshot, view, selected=None, room=80, now=present(snapshot))


def hours(snapshot: Snapshot, moment: datetime) -> float:
    return (moment - snapshot.session.created).total_seconds() / 3600


def test_over_time_a_running_session_is_drawn_to_now(snapshot: Snapshot) -> None:
    data = chart(snapshot, ChartView(over="time"))
    assert data.end == pytest.approx(hours(snapshot, present(snapshot)))


def test_rejected_attempts_are_points_that_are_no_versions(snapshot: Snapshot) -> None:
    tried = [p for p in chart(snapshot, ChartView(over="time")).points if p.tried]
    rejected = [a for a in snapshot.attempts.values() if a.version is None and a.aggregate > 0]
    assert rejected and len(tried) == len(rejected)
    assert {p.y for p in tried} == {a.aggregate for a in rejected}
    assert not any(p.leads for p in tried)
    assert not [p for p in chart(snapshot, ChartView()).points if p.tried]  # x are versions there


def test_a_span_begins_with_the_best_before_it(snapshot: Snapshot) -> None:
    number = sorted(snapshot.leaders)[2]
    moment = snapshot.versions[number].created + timedelta(seconds=1)
    data = chart(snapshot, ChartView(since=moment))
    versions = [p for p in data.points if not p.tried]
    assert data.begin is not None and data.begin == pytest.approx(hours(snapshot, moment))
    assert versions[0].number == number and versions[0].x == pytest.approx(data.begin)
    first = data.begin - 1e-9
    assert all(p.x >= first for p in data.points) and all(x >= first for x, _ in data.marks)


def test_an_empty_hour_shows_a_plateau(snapshot: Snapshot) -> None:
    now = present(snapshot)
    data = chart(snapshot, ChartView(since=now - timedelta(hours=1)))
    assert snapshot.best is not None
    assert [p.number for p in data.points] == [snapshot.best.number]
    rows = [row.plain for row in render(data, 60, 10)]
    assert "★" in "".join(rows) and all(len(row) <= 60 for row in rows)


@pytest.mark.parametrize("ago", [timedelta(minutes=30), timedelta(hours=2)])
def test_a_span_of_a_run_that_has_stopped_reaches_to_now(
    snapshot: Snapshot, ago: timedelta
) -> None:
    stopped = replace(snapshot, run_state="stopped")
    last = snapshot.session.last_event_at
    assert last is not None
    now, since = last + ago, last - timedelta(hours=3)
    data = chart_data(stopped, ChartView(since=since), selected=None, room=80, now=now)
    assert data.end == pytest.approx(hours(snapshot, now))


def test_a_run_that_is_long_over_is_drawn_to_its_last_event(snapshot: Snapshot) -> None:
    stopped = replace(snapshot, run_state="stopped")
    last = snapshot.session.last_event_at
    assert last is not None
    now = last + timedelta(days=60)
    view = ChartView(since=snapshot.versions[2].created)
    data = chart_data(stopped, view, selected=None, room=80, now=now)
    assert data.end == pytest.approx(hours(snapshot, last))
    quiet = ChartView(since=now - timedelta(hours=1))  # nothing happened in it: a plateau
    data = chart_data(stopped, quiet, selected=None, room=80, now=now)
    assert data.end == pytest.approx(hours(snapshot, now))


def test_no_span_begins_before_the_session(snapshot: Snapshot) -> None:
    early = snapshot.session.created - timedelta(hours=20)
    assert chart(snapshot, ChartView(since=early)).begin == 0.0


def test_the_star_stands_at_its_own_value() -> None:
    points = tuple(Point(float(i), value, i, leads=True) for i, value in enumerate((0.1, 0.5, 0.8)))
    data = ChartData(points, baselines=(("torch", 1.0),), end=3.0)
    for height in range(6, 30):
        rows = render(data, 60, height)
        cells = [[(c, role) for text, role in row.spans for c in text] for row in rows]
        y = next(y for y, row in enumerate(rows) if "★" in row.plain)
        x = rows[y].plain.index("★")
        above, below = cells[y - 1][x + 1], cells[y + 1][x + 1]
        assert "area" in below[1] and "area" not in above[1]


def test_failures_do_not_flatten_the_versions() -> None:
    versions = [Point(i, 1.0 + i / 100, i, leads=True) for i in range(5)]
    failed = Point(2.5, 0.01, -1, on_line=False, tried=True)

    def rows_used(*points: Point) -> int:
        drawn = render(ChartData(points), 60, 14)
        return sum("·" in row.plain or "▁" in row.plain or "▅" in row.plain for row in drawn)

    assert rows_used(*versions, failed) >= rows_used(*versions)


def test_the_spans_are_those_that_one_asks_for(snapshot: Snapshot) -> None:
    assert snapshot.best is not None
    now = present(snapshot)
    names = [span.name for span in chart_spans(snapshot, None, now)]
    assert names == ["the last hour", "since yesterday", f"since v{snapshot.best.number}"]
    assert chart_spans(snapshot, 3, now)[-1].name == "since v3"


def test_a_click_finds_the_nearest_version() -> None:
    points = (Point(0.0, 1, 4), Point(9.0, 2, 5), Point(5.0, 1.5, -1, tried=True))
    data = ChartData(points, end=10.0)
    assert [data.nearest(share) for share in (0.0, 0.4, 0.5, 1.0)] == [4, 4, 5, 5]
    assert ChartData().nearest(0.5) is None


async def test_w_goes_through_the_spans_and_back_to_the_whole_run() -> None:
    app = make_app(MemorySource(state="running"))
    async with running(app) as hands:
        pane = app.screen.query_one("#score")

        def title() -> str:
            return "".join(words for words, _ in pane.info)  # type: ignore[attr-defined]

        whole = title()
        seen = []
        for _ in range(4):
            await hands.press("W")
            seen.append(title())
        assert [text.rpartition("torch ")[2] for text in seen[:2]] == [
            "the last hour",
            "since yesterday",
        ]
        assert "since v" in seen[2] and seen[3] == whole


def test_one_axis_of_time_has_one_unit() -> None:
    texts = [[text for _, text in _hours(0.0, end / 3600)] for end in (56, 3000, 98_000)]
    assert texts == [["0s", "28s", "56s"], ["0m", "25m", "50m"], ["0m", "13h 36m", "1d 03:13"]]


def test_over_evaluations_and_cost_points_stand_where_they_were_made(snapshot: Snapshot) -> None:
    tried = sorted(a.at for a in snapshot.attempts.values() if a.verdict is not None)
    data = chart(snapshot, ChartView(over="evaluations"))
    assert data.end == len(tried) and any(p.tried for p in data.points)
    for point in data.points:
        if point.number > 0:
            made = snapshot.versions[point.number].created
            assert point.x == sum(at <= made for at in tried)
    cost = chart(snapshot, ChartView(over="cost"))
    spent = sum(step.usd for step in snapshot.steps.values())
    assert cost.end is not None and 0 < cost.end <= spent + 1e-9
    assert all(label.startswith("$") for _, label in cost.labels)


def test_the_near_range_is_that_of_the_newer_versions() -> None:
    points = tuple(Point(i, y, i, leads=True) for i, y in enumerate((0.02, 0.5, 1.1, 1.2, 1.21)))
    far, near = (
        [row.plain[:5].strip() for row in render(ChartData(points, near=near), 60, 14)]
        for near in (False, True)
    )
    assert "0.0" in far and "0.0" not in near and any(float(tick) >= 1.0 for tick in near if tick)


def test_marks_leave_the_labels() -> None:
    points = tuple(Point(i, 1.0, i, leads=True) for i in range(3))
    labels = tuple((float(i), f"v{i}") for i in range(3))
    data = ChartData(points, marks=((1.0, "!"),), labels=labels, end=3.0)
    footer = render(data, 60, 10)[-1].plain
    assert all(f"v{i}" in footer for i in range(3)) and "!" in footer
