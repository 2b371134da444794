"""The panes of the run screen: which are shown, at which size, and what stays where it is."""

from datetime import timedelta

import pytest

from avo_tui.domain import events as ev
from avo_tui.domain.attempts import was_rejected
from avo_tui.ui import formats
from avo_tui.ui.screens.run.run import PANES, WIDE, arrangement
from avo_tui.ui.screens.run.screen import RunScreen
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.pane import Pane
from tests.ui.make_session import MemorySource
from tests.ui.pictures import picture
from tests.ui.pilots import make_app, running
from tests.ui.test_run_screen import run_screen


@pytest.mark.parametrize(
    ("size", "panes"), [((80, 24), 1), ((100, 30), 3), ((120, 40), 5), ((200, 50), 5)]
)
async def test_panes_by_size(recorded: MemorySource, size: tuple[int, int], panes: int) -> None:
    app = make_app(recorded)
    async with running(app, size):
        shown = [p.id for p in app.screen.query("Pane") if p.region.area > 0]
        assert len(shown) == panes
        assert app.screen.query_one("#tabs").display == (panes < 5)


def test_arrangements() -> None:
    assert [
        arrangement(80, 24),
        arrangement(100, 30),
        arrangement(120, 24),
        arrangement(120, 40),
    ] == [
        "tabs",
        "medium",
        "medium",
        "wide",
    ]


async def test_follow_and_inspect(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app) as hands:
        screen = run_screen(app)
        assert screen.run.cursor is None and "Online softmax" in hands.text("#plan-head")
        await hands.press("B")
        assert screen.run.cursor == ("v", 20, 0)
        assert "from v19 by agent" in hands.text("#plan-head")
        assert "gate strict" in hands.text("#output-view") and "vs v19" in hands.text(
            "#output-view"
        )
        assert any("inspect" in t for t, _ in screen.query_one("#lineage").info)  # type: ignore[attr-defined]
        await hands.press("u")
        assert screen.run.cursor == ("v", 19, 0)
        await hands.press("l")
        assert screen.run.cursor is None and "Online softmax" in hands.text("#plan-head")


async def test_new_events_do_not_move_the_inspected_row(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app) as hands:
        await hands.press("B")
        screen = run_screen(app)
        key, place = screen.run.lineage.cursor, screen.run.lineage.place
        report = next(e for e in source.journal if isinstance(e, ev.AttemptFinished)).report
        at = source.state.session.last_event_at
        source.waiting = [
            ev.AttemptFinished(attempt=3, report=report, at=at),
            ev.AttemptRejected(attempt=3, reason="slower", at=at),
        ]
        await hands.until(lambda: not source.waiting)
        await hands.until(
            lambda: (
                screen.snapshot is not None
                and screen.snapshot.session.applied == len(source.journal)
            ),
        )
        assert screen.run.lineage.cursor == key and screen.run.lineage.place == place - 1


async def test_the_stream_stops_following_when_scrolled_up(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app, (80, 24)) as hands:
        await hands.press("2")
        view = app.screen.query_one("#plan-view", LinesView)
        await hands.until(lambda: view.max_scroll_y > 0)
        assert view.following
        await hands.press("up", "up")
        await hands.until(lambda: not view.following)
        at = source.state.session.last_event_at
        source.waiting = [ev.AgentText(block="new", text="one\ntwo\nthree\n", at=at)]
        await hands.until(lambda: view.unseen > 0)
        await hands.until(lambda: any("new" in t for t, _ in app.screen.query_one("#plan").info))  # type: ignore[attr-defined]
        place = view.scroll_offset.y
        assert place < view.max_scroll_y
        await hands.press("end")
        await hands.until(lambda: view.following and view.unseen == 0)


async def test_filter_narrows_with_a_count_and_escape_peels(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app) as hands:
        screen = run_screen(app)
        before = len(screen.run.lineage.lines)
        await hands.press("slash")
        await hands.type("prefetch")
        await hands.until(lambda: screen.run.lineage.needle == "prefetch")
        assert hands.rows()[-1].startswith(" / filter the lineage prefetch"), "it can be read"
        assert 0 < len(screen.run.lineage.lines) < before
        kept = [d.row for d in screen.run.lineage._drawn]
        assert screen.snapshot is not None
        for row in kept:
            record = (
                f"{screen.snapshot.versions[row.number]}"
                if row.kind == "version"
                else f"{screen.snapshot.attempts[row.step, row.number]}"
            )
            assert "prefetch" in record.lower()
        await hands.press("enter", "down")
        assert screen.run.cursor is not None
        await hands.press("escape")
        await hands.until(lambda: len(screen.run.lineage.lines) == before)


async def test_unfold_shows_the_rejected_attempts(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app) as hands:
        screen = run_screen(app)
        before = len(screen.run.lineage.lines)
        await hands.press("down", "enter")
        assert len(screen.run.lineage.lines) == before + 1
        assert screen.run.lineage.cursor == ("a", 25, 2)
        await hands.press("space")
        assert len(screen.run.lineage.lines) == before


async def test_the_mouse_reaches_rows_tabs_and_actions(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app, (80, 24)) as hands:
        screen = run_screen(app)
        await hands.click("#lineage-view", offset=(6, 2))
        assert screen.run.cursor == ("v", 20, 0)
        await hands.click("#tabs", offset=(26, 0))
        await hands.until(lambda: screen.run.panes.active == "diff")
        await hands.click("#actions", offset=(5, 0))
        await hands.until(lambda: screen.run.cursor is None)  # the footer begins with "live"


async def test_keys_act_on_a_row_that_the_filter_shows(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app) as hands:
        screen = run_screen(app)
        await hands.press("slash")
        await hands.type("rejected")
        await hands.press("enter")
        shown = [d.row.key for d in screen.run.lineage._drawn]
        assert shown and screen.run.cursor == shown[0]
        assert all(kind == "a" for kind, _, _ in shown)
        await hands.press("escape", "escape", "slash")
        await hands.type("zebra")
        await hands.press("enter")
        assert "0 matches" in "".join(t for t, _ in screen.query_one("#lineage", Pane).info)
        await hands.press("w")
        assert isinstance(app.screen, RunScreen) and "no row passes" in hands.said[-1]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_reason_of_a_rejection_can_be_read(
    recorded: MemorySource, size: tuple[int, int]
) -> None:
    rejected = next(
        a for a in recorded.state.attempts.values() if was_rejected(a) and a.aggregate > 0
    )
    reason = formats.minus(rejected.reason)
    app = make_app(recorded)
    async with running(app, size) as hands:
        run_screen(app).run.inspect_row(("a", rejected.step, rejected.number))
        await hands.rest()
        for key, view in (("2", "#plan-head"), ("4", "#output-view")):
            await hands.press(key)
            text = " ".join(hands.text(view).split())
            assert " ".join(reason.split()) in text
            first = app.screen.query_one(view, LinesView).lines[:4]
            assert any(reason[:12] in row.plain for row in first), "not at its top"


async def test_a_plan_with_a_title_and_no_items_is_shown(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app, (80, 24)) as hands:
        at = source.state.session.last_event_at
        assert at is not None
        source.waiting = [ev.PlanSet(step=4, title="Only a title " * 40, items=(), at=at)]
        await hands.until(lambda: not source.waiting)
        for size in ((80, 24), (120, 40), (200, 50)):
            await hands.resize(*size)
            await hands.press("2")
            assert "Only a title" in hands.text("#plan-head")


async def test_zoom_shows_one_pane(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app) as hands:
        await hands.press("3", "z")
        shown = [p.id for p in app.screen.query("Pane") if p.region.area > 0]
        assert shown == ["diff"] and app.screen.query_one("#diff").size.width > 110
        await hands.press("escape")
        assert len([p for p in app.screen.query("Pane") if p.region.area > 0]) == 5


async def test_what_is_behind_a_dialog_fits_the_size(recorded: MemorySource) -> None:
    app, there = make_app(recorded), make_app(recorded)
    async with running(there, (80, 24)) as hands:
        await hands.press("b")
        wanted = picture(there)
        await hands.press("escape")
        alone = picture(there)
    async with running(app, (200, 50)) as hands:
        await hands.press("b")
        await hands.resize(120, 40)
        await hands.resize(80, 24)
        assert picture(app) == wanted
        await hands.press("escape")
        assert picture(app) == alone


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_pane_alone_fills_the_screen(recorded: MemorySource, size: tuple[int, int]) -> None:
    async with running(make_app(recorded), size) as hands:
        for number, name in enumerate(PANES, 1):
            await hands.press(str(number))
            if size[0] >= WIDE:
                await hands.press("z")
            pane = hands.app.screen.query_one(f"#{name}")
            assert (pane.outer_size.width, pane.outer_size.height) == (size[0], size[1] - 3), name
            if size[0] >= WIDE:
                await hands.press("z")


async def test_why_a_run_waits_is_said_once_and_in_full(source: MemorySource) -> None:
    reason = "the API is overloaded (529): tried 8 times in 12 minutes; it tries again by itself"
    async with running(make_app(source), (80, 24)) as hands:
        last = source.state.session.last_event_at
        assert last is not None and not hands.said
        until = last + timedelta(minutes=4)
        source.waiting.append(ev.StateChanged(state="parked", reason=reason, until=until, at=last))
        await hands.until(lambda: "PARKED 3m" in hands.bar("#status"), "the countdown")
        await hands.rest()
        assert hands.said == [reason]
        await hands.press("2")
        assert " ".join(hands.text("#plan-view").split()).endswith(f"■ parked {reason}")
        source.waiting.append(ev.EngineStopped(state="stopped", reason="the key was refused"))
        await hands.until(lambda: "STOPPED" in hands.bar("#status"), "the end")
        await hands.rest()
        assert hands.said == [reason, "the key was refused"]
    async with running(make_app(source), (80, 24)) as hands:
        assert [n.message for n in hands.app._notifications] == ["the key was refused"]
