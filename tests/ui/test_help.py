"""Help: every line is whole in every width."""

from rich.cells import cell_len

from avo_tui.ui.dialogs.help import MOVING, help_lines
from avo_tui.ui.screens.attempts import AttemptsScreen
from avo_tui.ui.screens.run.screen import RunScreen
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


def words(text: str) -> str:
    return " ".join(text.split())


async def test_nothing_of_the_help_is_cut() -> None:
    app = make_app(MemorySource(state="stopped"))
    async with running(app) as hands:
        for key, kind in (("", RunScreen), ("F", AttemptsScreen)):
            if key:
                await hands.press(key)
            screen = app.screen
            assert isinstance(screen, kind)
            for width in (40, 66, 86, 150):
                rows = help_lines(screen, None, width)
                assert all(cell_len(row.plain) <= width for row in rows)
                told = words(" ".join(row.plain for row in rows))
                for action in screen.ACTIONS:
                    if action.group == "replay":
                        continue
                    assert words(action.help) in told
                    reason = action.why_not(screen.context)
                    assert reason is None or f"not now: {words(reason)}" in told
                assert all(words(text) in told for _, text in MOVING)
