"""What the digest counts."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from textual.widgets import Static

from avo_tui.domain import events as ev
from avo_tui.domain.attempts import was_rejected
from avo_tui.domain.commands import Approve
from avo_tui.domain.progress import Progress
from avo_tui.store import SeenMarks
from avo_tui.ui.dialogs import HintDialog
from avo_tui.ui.dialogs.text_viewer import TextViewer, choices
from avo_tui.ui.panes.graph import key_of_version
from avo_tui.ui.screens.attempts import AttemptsScreen
from avo_tui.ui.screens.run.digest import Span, current_alerts, digest_lines, stretch_text
from avo_tui.ui.screens.run.looking import greet
from avo_tui.ui.screens.run.screen import RunScreen
from avo_tui.ui.text import line
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


def test_what_failed_counts_as_rejected_like_what_the_gate_turned_down() -> None:
    source = MemorySource(steps=12)
    told = current_alerts(source.journal, Span("since the start"))
    rejected = [a for a in source.state.attempts.values() if was_rejected(a)]
    verdicts = {a.verdict for a in rejected}
    assert len(verdicts) > 1, "the session has failures and rejections of the gate"
    assert len(told.rejected) == len(rejected)
    assert len(told.of(ev.AttemptFinished)) == sum(
        isinstance(e, ev.AttemptFinished) for e in source.journal
    )


def test_the_text_says_which_span_it_tells_of() -> None:
    """Also what is copied, and where the dialog has another title."""
    source = MemorySource(steps=12)
    last = max(e.at for e in source.journal)
    now = last + timedelta(hours=2)
    begin = last - timedelta(hours=1)
    told = current_alerts(source.journal, Span("since yesterday", since=begin))
    text = stretch_text(told, Span("since yesterday", since=begin), now)
    assert text.startswith(f"since yesterday: {begin.astimezone():%d %b %H:%M} to ")
    assert text.endswith("the last event 2h 00m ago")
    whole = current_alerts(source.journal, Span("since the start"))
    first = min(e.at for e in source.journal).astimezone()
    assert f"{first:%d %b %H:%M} to " in stretch_text(whole, Span("since the start"), now)


def test_a_span_without_events_is_told_with_its_limits() -> None:
    now = datetime(2026, 7, 1, 12, 0).astimezone()
    hour = Span("in the last hour", since=now - timedelta(hours=1))
    told = current_alerts([], hour)
    rows = [
        row.plain.strip() for row in digest_lines(told, hour, Progress(state="paused"), now, 68)
    ]
    assert "in the last hour: 01 Jul 11:00 to 12:00" in rows
    assert "nothing happened in the last hour" in rows


def test_no_reason_is_cut_where_there_is_room_for_it() -> None:
    source = MemorySource(steps=12)
    told = current_alerts(source.journal, Span("since the start"))
    rewind = ev.Rewound(origin=3, target=0, reason="word " * 20 + "end", at=source.journal[0].at)
    told.apply(rewind)
    now = told.last or rewind.at
    span = Span("since the start")
    rows = [row.plain for row in digest_lines(told, span, Progress(state="running"), now, 68)]
    assert "rewound from v3 to v0" in " ".join(rows) and any("end" in row for row in rows)
    assert all(len(row) <= 68 for row in rows)


def test_the_span_that_is_shown_is_marked_among_the_choices() -> None:
    rows = choices({"1": "since you last looked", "2": "in the last hour"}, "2")
    assert rows == ["1 since you last looked   ▸2 in the last hour"]


async def test_no_key_reaches_the_run_while_another_span_is_read(source: MemorySource) -> None:
    """`x` would abort the step, `p` pause the run."""
    app = make_app(source)
    async with running(app, (120, 40)) as hands:
        await hands.press("D")
        viewer = app.screen
        assert isinstance(viewer, TextViewer) and "since" in viewer.heading
        await hands.type("5xp2xp5")
        stays = app.screen is viewer
        assert stays and source.sent == []
        assert viewer.heading == "What happened since the start"
        assert "▸5 since the start" in str(viewer.query_one(".note", Static).content)
        assert "since the start: " in "".join(row.plain for row in viewer._rows(68))
        await hands.press("escape", "D")
        assert app.screen != viewer and isinstance(app.screen, TextViewer)


async def test_who_has_never_looked_is_told_all_of_it(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app, (80, 24)) as hands:
        await hands.press("D")
        assert isinstance(app.screen, TextViewer)
        assert app.screen.heading == "What happened since the start"
        assert not any("last looked" in row for row in hands.rows())


async def test_a_digest_that_nobody_asked_for_swallows_no_key(tmp_path: Path) -> None:
    """The header says `A approves`: it must be so while the digest lies over the run."""
    source = MemorySource()  # longer than an absence that is passed over
    decision = next(e for e in source.journal if isinstance(e, ev.GateDecided)).decision
    at = source.state.session.last_event_at
    source.add(ev.ApprovalRequested(attempt=3, decision=decision, at=at))
    marks = SeenMarks(tmp_path / "seen.json")
    marks.set(source.folder, 5)
    app = make_app(source, marks=marks)
    async with running(app, (120, 40)) as hands:
        await hands.until(lambda: isinstance(app.screen, TextViewer))
        await hands.rest()
        assert "A approves, X" in hands.text("#rows")
        await hands.press("A")
        await hands.until(lambda: source.sent == [Approve()])
        assert isinstance(app.screen, RunScreen)
        await hands.press("D", "A")
        assert isinstance(app.screen, TextViewer) and source.sent == [Approve()]


async def test_no_digest_comes_over_what_a_person_has_opened_meanwhile(tmp_path: Path) -> None:
    source = MemorySource()
    marks = SeenMarks(tmp_path / "seen.json")
    marks.set(source.folder, 5)
    app = make_app(source)
    async with running(app, (120, 40)) as hands:
        screen = app.screen
        assert isinstance(screen, RunScreen)
        app.session.marks = marks
        greet(screen.run)
        await hands.until(lambda: isinstance(app.screen, TextViewer))
        await hands.press("escape", "h")
        greet(screen.run)
        await hands.rest()
        assert isinstance(app.screen, HintDialog)


@pytest.mark.parametrize("height", [14, 24, 40])
async def test_the_other_spans_and_the_button_are_seen_on_any_height(height: int) -> None:
    spans = [(str(n), f"span number {n} of those that there are") for n in range(1, 6)]
    rows = [line(f"row {n}") for n in range(60)]
    app = make_app(MemorySource(steps=1))
    async with running(app, (80, height)) as hands:
        viewer = TextViewer("What happened", lambda width: rows, spans, "1")
        app.push_screen(viewer)
        await hands.until(lambda: viewer.is_mounted and viewer.query("#accept"))
        await hands.rest()
        for widget in (viewer.query_one("#accept"), viewer.query_one(".note")):
            assert widget.region.height and widget.region.bottom < height - 1
        assert viewer.query_one("#rows").region.height >= 1


async def test_a_row_of_the_digest_opens_its_place(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app, (80, 24)) as hands:
        await hands.press("D", "5")
        assert isinstance(app.screen, TextViewer)
        await hands.press("home", "enter")
        run, best = app.screen, app.latest and app.latest.best
        assert isinstance(run, RunScreen) and best and run.run.cursor == key_of_version(best.number)
        await hands.press("D", "5", "home", "down", "enter")
        assert isinstance(app.screen, AttemptsScreen)


async def test_what_is_read_after_the_digest_was_closed_is_dropped(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app) as hands:
        viewer = TextViewer("so far", lambda width: [], (), "s")
        app.push_screen(viewer)
        await hands.rest()
        await hands.press("escape")
        viewer.show("later", lambda width: [], "s")
        assert isinstance(app.screen, RunScreen)
