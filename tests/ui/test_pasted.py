"""Whatever is pasted into a field: the app stays, and nothing of it moves the cursor."""

import asyncio

import pytest
from textual import events
from textual.widgets import Static

from avo_tui.ui.dialogs.frame import Dialog
from avo_tui.ui.screens.run.screen import RunScreen
from tests.ui.make_session import MemorySource
from tests.ui.pilots import Hands, make_app, running

ODD = (
    "\x1b[2J\x1b]0;owned\x07 \x1b[31mred\x1b[0m [bold]x[/] \U0001f469\u200d\U0001f680 e\u0301"
    " \u6f22\u5b57 \u202e\u05e9\u05dc\u05d5\u05dd\u202c \x00\ud800\x08\x7f\r\nb\rc\n\n\n"
)
FIELDS = {
    "hint": (("h",), "ctrl+s"),
    "bookmark": (("B", "m"), "enter"),
    "note": (("B", "N"), "ctrl+s"),
    "rewind": (("B", "u", "w"), "ctrl+s"),
    "go to": (("colon",), "enter"),
    "filter": (("1", "slash"), "enter"),
}


async def paste(hands: Hands, text: str) -> None:
    event = events.Paste(text)
    event.set_sender(hands.app)
    assert hands.app._driver is not None
    hands.app._driver.send_message(event)
    await hands.rest()


@pytest.mark.parametrize("where", FIELDS)
async def test_odd_text_harms_no_field(source: MemorySource, where: str) -> None:
    keys, accept = FIELDS[where]
    app = make_app(source)
    async with running(app, (120, 40)) as hands:
        for text in (ODD, "   "):
            await hands.press(*keys)
            await paste(hands, text)
            await hands.press(accept, "escape")
            async with asyncio.timeout(120):
                while not isinstance(app.screen, RunScreen):
                    await hands.press("escape")
        assert not any("\x1b" in said or "\u202e" in said for said in hands.said), hands.said


@pytest.mark.parametrize("where", ["hint", "bookmark", "note", "rewind"])
async def test_a_text_that_is_too_long_is_told_and_kept(source: MemorySource, where: str) -> None:
    keys, accept = FIELDS[where]
    app = make_app(source)
    async with running(app, (120, 40)) as hands:
        await hands.press(*keys)
        await paste(hands, "x" * 100_000)
        await hands.press(accept)
        assert isinstance(app.screen, Dialog)
        told = str(app.screen.query_one("#problem", Static).content)
        assert "at most" in told and "not 100,000" in told
        kept = app.screen.query_one("#text")
        assert len(getattr(kept, "value", "") or getattr(kept, "text", "")) == 100_000
        assert not source.sent
        await hands.press("escape")
        assert isinstance(app.screen, RunScreen)
