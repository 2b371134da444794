"""The command palette: what is under its cursor first, its width, and how it is searched."""

from textual.command import CommandList, CommandPalette

from avo_tui.ui.app import NOT_NOW
from avo_tui.ui.screens.run.screen import RunScreen
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


async def test_descriptions_are_searched(recorded: MemorySource) -> None:
    for text, found in (("compiler", "Whole log"), ("older versions", "Rewind")):
        async with running(make_app(recorded, services=SERVICES), (80, 24)) as hands:
            assert (await entries(hands, text))[0].startswith(found)


async def test_what_is_closed_twice_in_one_moment_closes_itself_alone(
    recorded: MemorySource,
) -> None:
    """By escape and a click, say: the second would close the screen below."""
    app = make_app(recorded, services=SERVICES)
    async with running(app, (80, 24)) as hands:
        for keys in (("ctrl+p",), ("h",), ("F",)):
            await hands.press(*keys)
            screen = app.screen
            app.call_later(screen.dismiss)
            app.call_later(screen.dismiss)
            await hands.rest()
            assert isinstance(app.screen, RunScreen), keys
        await hands.press("h")
        app.action_command_palette()
        await hands.rest()
        dialog, palette = app.screen_stack[-2:]
        app.call_later(dialog.dismiss)
        await hands.rest()
        assert isinstance(app.screen, RunScreen) and palette not in app.screen_stack
