"""Two versions beside one another."""

from avo_tui.ui.screens.compare import CompareScreen
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


async def test_any_version_comes_beside_the_best(recorded: MemorySource) -> None:
    best = recorded.state.best
    assert best is not None
    app = make_app(recorded)
    async with running(app) as hands:
        await hands.press("colon")
        await hands.type("v3")
        await hands.press("enter", "c")
        screen = app.screen
        assert isinstance(screen, CompareScreen)
        assert screen.right_number == 3 and screen.left_number == recorded.state.versions[3].parent
        await hands.press("B")
        assert (screen.left_number, screen.right_number) == (3, best.number)
        await hands.press("B")
        assert (screen.left_number, screen.right_number) == (3, best.number)
