"""The screen of a campaign: all its lines at once, and what a person does with one of them."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest

from avo_tui.domain.budget import Caps
from avo_tui.domain.commands import Pause, SendHint, Stop
from avo_tui.store import CampaignReader, CampaignView, Drafts, places
from avo_tui.ui.app import AvoApp
from avo_tui.ui.host import HostOptions
from avo_tui.ui.screens.campaign import CampaignScreen
from avo_tui.ui.screens.run.screen import RunScreen
from tests.campaign.stage import Stage, new_campaign, source
from tests.ui.pilots import SERVICES, Hands, running


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Three lines; the second is the best and has sent its best to the third."""
    root = tmp_path / "sessions"
    root.mkdir()
    monkeypatch.setenv("AVO_SESSIONS", str(root))
    monkeypatch.setattr(places, "shipped_roots", list)
    stage = Stage(new_campaign(lines=3, caps=Caps(evaluations=60)))
    stage.conductor.look()
    for number in (1, 2, 3):
        stage.line(number).commit(0.5, source(0))
    stage.line(2).commit(2.0, source(1))
    stage.line(2).spend(5)
    stage.conductor.look()
    stage.line(3).answer()
    stage.conductor.look()
    yield stage
    stage.close()


def app_of(stage: Stage, tmp_path: Path, *, read_only: bool = False) -> AvoApp:
    options = HostOptions(
        services=SERVICES,
        clock=lambda: datetime.now(UTC),
        drafts=Drafts(tmp_path / "drafts"),
        read_only=read_only,
    )
    return AvoApp(options, campaign=stage.folder.path)


async def read(hands: Hands) -> CampaignScreen:
    screen = hands.app.screen
    assert isinstance(screen, CampaignScreen)
    await hands.until(lambda: screen.view is not None)
    await hands.rest()
    return screen


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_all_lines_one_chart_and_what_happened(
    stage: Stage, tmp_path: Path, size: tuple[int, int]
) -> None:
    async with running(app_of(stage, tmp_path), size) as hands:
        await read(hands)
        table = hands.text("#lines-view")
        assert all(f"race.{n}" in table for n in (1, 2, 3)) and "5/20" in table
        assert "running" in table and "2.000×" in table
        assert "3 running" in "".join(hands.rows()), "all of them, where the table is too long"
        assert "carried over from race.2:1" in hands.text("#happened-view")
        assert "▲" in hands.text("#chart-view"), "the sign of the second line"
        assert "★ line 2 v1 2.000× library" in hands.bar("#status")
        assert "line 1: " in hands.bar("#about") and "× library" in "".join(hands.rows())
        if size[0] >= 120:
            assert "1 of 1" in table
        assert all(len(row) <= size[0] for row in hands.rows())


async def test_a_look_that_takes_longer_than_the_interval_is_waited_for_and_shown(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 64 lines the first look takes seconds."""
    looks: list[int] = []
    go_on = Event()
    go_on.set()
    look = CampaignReader.view

    def slow(reader: CampaignReader) -> CampaignView:
        looks.append(1)
        assert go_on.wait(60)
        return look(reader)

    monkeypatch.setattr(CampaignReader, "view", slow)
    async with running(app_of(stage, tmp_path), (120, 40)) as hands:
        screen = await read(hands)
        go_on.clear()
        before, shown = len(looks), screen.view
        for _ in range(20):
            screen.on_screen_resume()
            await asyncio.sleep(0)
        await hands.until(lambda: len(looks) > before)
        screen.on_screen_resume()
        assert len(looks) == before + 1, "one look at a time, however long it takes"
        go_on.set()
        await hands.until(lambda: screen.view is not shown)


async def test_a_line_is_steered_and_opened(stage: Stage, tmp_path: Path) -> None:
    async with running(app_of(stage, tmp_path)) as hands:
        screen = await read(hands)
        await hands.press("down", "p")
        assert isinstance(stage.line(2).writer.pending_commands()[0], Pause)
        await hands.press("h")
        await hands.type("TILE_K=64")
        await hands.press("ctrl+s")
        await hands.press("E")
        await hands.press("ctrl+s")
        kinds = [type(command) for command in stage.line(2).writer.pending_commands()]
        assert kinds == [Pause, SendHint, Stop]
        assert not stage.line(1).writer.pending_commands()
        await hands.press("enter")
        opened = hands.app.screen
        assert isinstance(opened, RunScreen)
        await hands.press("q")
        assert hands.app.screen == screen


async def test_a_line_is_split_off(stage: Stage, tmp_path: Path) -> None:
    async with running(app_of(stage, tmp_path)) as hands:
        screen = await read(hands)
        await hands.press("down", "s")
        await hands.press("ctrl+s")
        order = stage.folder.waiting_orders()[0]
        assert order.kind == "split" and (order.line, order.version) == (2, 1)
        for _ in range(2):
            stage.conductor.look()
            stage.line(2).answer()
        stage.conductor.look()
        await hands.until(lambda: screen.view is not None and len(screen.view.lines) == 4)
        await hands.rest()
        assert "race.4" in hands.text("#lines-view")


async def test_who_looks_on_changes_nothing(stage: Stage, tmp_path: Path) -> None:
    async with running(app_of(stage, tmp_path, read_only=True)) as hands:
        await read(hands)
        await hands.press("p", "P", "E", "s", "h")
        assert isinstance(hands.app.screen, CampaignScreen) and len(hands.said) == 5
        assert not stage.line(1).writer.pending_commands()


async def test_a_lost_process_is_said(stage: Stage, tmp_path: Path) -> None:
    stage.kill()
    async with running(app_of(stage, tmp_path)) as hands:
        await read(hands)
        assert "ITS PROCESS IS GONE" in hands.bar("#status")
        await hands.press("s")
        assert "avo campaign resume" in hands.said[-1]
