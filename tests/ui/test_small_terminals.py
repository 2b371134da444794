"""Terminals of a few columns or rows: nothing fits, nothing fails."""

import pytest

from avo_tui.ui.screens.run.screen import RunScreen
from tests.ui.make_session import MemorySource
from tests.ui.pilots import SERVICES, make_app, running

SIZES = ((16, 8), (11, 30), (3, 3), (1, 1), (60, 2))


@pytest.mark.parametrize("pane", "12345")
async def test_every_pane_in_every_size(recorded: MemorySource, pane: str) -> None:
    app = make_app(recorded, services=SERVICES)
    async with running(app, (80, 24)) as hands:
        await hands.press("B", pane)
        for size in SIZES:
            await hands.resize(*size)
            await hands.press("a", "o", "W", "d", "down", "tab", pane)
        await hands.resize(80, 24)
        assert any("v" in row for row in hands.rows())


async def test_the_palette_in_every_size(source: MemorySource) -> None:
    app = make_app(source, services=SERVICES)
    async with running(app, (80, 24)) as hands:
        await hands.press("ctrl+p")
        for size in SIZES:
            await hands.resize(*size)
            await hands.press("down")
        assert app.return_code is None and not isinstance(app.screen, RunScreen)


async def test_the_chart_of_one_configuration_says_which(recorded: MemorySource) -> None:
    name = recorded.state.session.task.configurations[0].name
    app = make_app(recorded, services=SERVICES)
    async with running(app, (80, 24)) as hands:
        await hands.press("5", "o")
        for size in ((80, 24), (120, 40), (200, 50), (40, 20)):
            await hands.resize(*size)
            assert any("Score" in row and name in row for row in hands.rows()), size


async def test_keys_in_lists_without_room_for_a_row(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app) as hands:
        await hands.press("ctrl+p", "x", "q", "z", "z", "pagedown", "pageup", "down")
        for key in ("ctrl+p", "P"):
            await hands.home()
            await hands.resize(5, 3)
            await hands.press(key, "pagedown", "pageup", "enter")
            await hands.resize(120, 40)
        assert app.return_code is None
