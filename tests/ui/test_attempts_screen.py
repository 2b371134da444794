"""The attempts as rows: filters, the reason written out, and the way back to the run."""

from avo_tui.domain.attempts import was_rejected
from avo_tui.ui import formats
from avo_tui.ui.screens.attempts import AttemptsScreen
from avo_tui.ui.screens.run.screen import RunScreen
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running


async def test_rejected_attempts_are_listed_with_their_reasons(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app) as hands:
        await hands.press("F")
        screen = app.screen
        assert isinstance(screen, AttemptsScreen)
        everything = recorded.state.attempts
        assert len(screen.attempts) == len(everything)
        head, *rows = hands.text("#attempts-view").splitlines()
        for column, word in ((2, "name"), (10, "result"), (28, "score")):
            assert head[column:].startswith(word)
        assert "what was tried" in head and len(rows) == len(everything)
        await hands.press("slash")
        await hands.type("rejected")
        await hands.press("enter")
        wanted = [a for a in everything.values() if was_rejected(a)]
        assert 0 < len(screen.attempts) == len(wanted) < len(everything)
        assert screen.current is not None and screen.current.reason
        shown = " ".join(hands.text("#reason-view").split())
        assert " ".join(formats.minus(screen.current.reason).split()) in shown
        await hands.press("down", "down")
        picked = screen.current
        await hands.press("s")
        assert screen.current is picked, "the cursor stays on its attempt when the order changes"
        await hands.press("enter")
        assert isinstance(app.screen, RunScreen) and picked is not None
        assert app.screen.run.cursor == ("a", picked.step, picked.number)


async def test_a_filter_that_nothing_passes_says_so_and_escape_ends_it(
    recorded: MemorySource,
) -> None:
    app = make_app(recorded)
    async with running(app, (80, 24)) as hands:
        await hands.press("F", "slash")
        await hands.type("zebra")
        screen = app.screen
        assert isinstance(screen, AttemptsScreen)
        assert not screen.attempts and "No attempt matches" in hands.text("#attempts-view")
        await hands.press(*["backspace"] * 5)
        assert len(screen.attempts) == len(recorded.state.attempts), "each letter gives rows back"
        await hands.type("zebra")
        await hands.press("enter", "enter")
        assert isinstance(app.screen, AttemptsScreen) and "no attempt" in hands.said[-1]
        await hands.press("escape")
        assert screen.attempts
        await hands.press("escape")
        assert isinstance(app.screen, RunScreen)


async def test_any_version_or_attempt_is_reached_by_its_name(recorded: MemorySource) -> None:
    app = make_app(recorded)
    async with running(app) as hands:
        screen = app.screen
        assert isinstance(screen, RunScreen)
        rejected = next(a for a in recorded.state.attempts.values() if was_rejected(a))
        names = {
            "v7": ("v", 7, 0),
            "best": ("v", 20, 0),
            f"{rejected.step}.{rejected.number}": ("a", rejected.step, rejected.number),
        }
        for name, key in names.items():
            await hands.press("colon")
            await hands.type(name)
            await hands.press("enter")
            assert screen.run.cursor == key
        await hands.press("colon")
        await hands.type("v999")
        await hands.press("enter")
        assert "no version or attempt" in hands.said[-1]
