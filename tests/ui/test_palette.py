"""The command palette: what is under its cursor first, its width, and how it is searched."""

from __future__ import annotations

from textual.command import CommandList, CommandPalette

from avo_tui.ui.app import NOT_NOW
from tests.ui.make_session import MemorySource
from tests.ui.pilots import SERVICES, Hands, make_app, running


async def entries(hands: Hands, text: str = "") -> list[str]:
    """Title and description of each entry, once the palette shows them."""
    await hands.press("ctrl+p", *text)

    def listed() -> bool:
        top = hands.app.screen
        return isinstance(top, CommandPalette) and top.query_one(CommandList).option_count > 0

    await hands.until(listed)
    await hands.rest()
    return [str(option.prompt) for option in hands.app.screen.query_one(CommandList).options]


async def test_the_first_entry_changes_nothing_and_what_cannot_be_done_is_last() -> None:
    app = make_app(MemorySource(steps=3, state="running"), services=SERVICES)
    async with running(app, (120, 40)) as hands:
        shown = await entries(hands)
        assert shown[0].startswith("Compare")
        later = [NOT_NOW in entry for entry in shown]
        assert later == sorted(later) and any(later)
        stop = next(i for i, entry in enumerate(shown) if entry.startswith("Stop"))
        assert stop > next(i for i, entry in enumerate(shown) if entry.startswith("Devices"))
        assert app.screen.query_one("#--input").size.width <= 84


async def test_a_search_puts_what_can_be_done_first() -> None:
    app = make_app(MemorySource(steps=3, state="running"), services=SERVICES)
    async with running(app, (80, 24)) as hands:
        shown = await entries(hands, "pause")
        assert shown[0].startswith("Pause") and NOT_NOW not in shown[0]
        assert app.screen.query_one("#--input").size.width <= 77
