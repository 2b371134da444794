"""Keys that arrive at once, as over a slow line, go where they were meant to go."""

import pytest

from avo_tui.domain.commands import SendHint
from avo_tui.ui.dialogs import HintDialog
from avo_tui.ui.screens.attempts import AttemptsScreen
from avo_tui.ui.screens.run.screen import RunScreen
from avo_tui.ui.widgets.prose import Writing
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


async def test_a_hint_typed_in_one_go_is_in_the_dialog(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app, (120, 40)) as hands:
        await hands.type("hpause less, export more")
        assert isinstance(app.screen, HintDialog)
        assert app.screen.query_one("#text", Writing).text == "pause less, export more"
        assert source.sent == []
        await hands.press("ctrl+s")
        assert [c.text for c in source.sent if isinstance(c, SendHint)] == [
            "pause less, export more"
        ]


@pytest.mark.parametrize("words", ["repair", "xpS"])
async def test_a_filter_typed_in_one_go_is_no_command(source: MemorySource, words: str) -> None:
    app = make_app(source)
    async with running(app, (120, 40)) as hands:
        await hands.press("1")
        await hands.type("/" + words)
        assert getattr(app.focused, "value", "") == words
        assert source.sent == []


async def test_keys_typed_ahead_go_to_the_screen_they_open(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app, (120, 40)) as hands:
        await hands.type("F/xp")
        assert isinstance(app.screen, AttemptsScreen)
        assert getattr(app.focused, "value", "") == "xp"
        assert source.sent == []


async def test_keys_typed_ahead_act_on_what_a_dialog_has_chosen(source: MemorySource) -> None:
    """`v` marks the version that `:` went to, though it was typed before the dialog closed."""
    app = make_app(source)
    async with running(app, (120, 40)) as hands:
        for key in (":", "v", "2", "enter", "v"):
            hands._send(key)
        await hands.rest()
        assert isinstance(app.screen, RunScreen)
        assert app.screen.run.lineage.marked == {2}
