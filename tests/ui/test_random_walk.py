"""Somebody who presses, clicks, drags, pastes and resizes at random, while the run goes on.

Twenty walks of 2,000 inputs: AVO_WALKS=20 AVO_WALK_INPUTS=2000 pytest -n 2 THIS_FILE
"""

import asyncio
import os
import random
import string
from contextlib import nullcontext
from threading import Event

import pytest
from textual import events
from textual.screen import Screen

from avo_tui.domain import events as ev
from avo_tui.ui.loader import Loader
from avo_tui.ui.screens.run.screen import RunScreen
from tests.ui.make_session import MemorySource
from tests.ui.pilots import PATIENCE, SERVICES, Hands, make_app, running

INPUTS = int(os.environ.get("AVO_WALK_INPUTS", "160"))
KEYS = [
    *(letter for letter in string.ascii_letters if letter != "q"),
    *"12345",
    *("enter", "escape", "escape", "tab", "shift+tab", "up", "down", "left", "right", "space"),
    *("pageup", "pagedown", "home", "end", "slash", "colon", "question_mark", "apostrophe"),
    *(
        "left_square_bracket",
        "right_square_bracket",
        "ctrl+s",
        "ctrl+p",
        "ctrl+b",
        "ctrl+l",
        "ctrl+f",
    ),
    *("backspace", "delete", "ctrl+c"),
]
"""`q` leaves."""
SIZES = ((80, 24), (120, 40), (200, 50), (40, 12), (11, 30), (5, 3), (101, 24))
PASTES = ("tiles", "1,5", "\x1b[31mred\n" * 40, "漢字🙂" * 300, "\x00\ud800", "x" * 30_000)


def mouse(hands: Hands, turn: random.Random) -> None:
    """A click or a drag between two cells of the screen."""
    width, height = hands.app.size
    spots = [(turn.randrange(width), turn.randrange(height)) for _ in range(2)]
    if turn.random() < 0.6:
        spots[1] = spots[0]
    kinds = (events.MouseDown, events.MouseMove, events.MouseUp)
    for kind, (x, y) in zip(kinds, (spots[0], spots[1], spots[1]), strict=True):
        event = kind(None, x, y, 0, 0, 1, False, False, False, screen_x=x, screen_y=y)
        event.set_sender(hands.app)
        assert hands.app._driver is not None
        hands.app._driver.send_message(event)


def news(source: MemorySource, turn: random.Random) -> None:
    """Something that the run records; sometimes it waits for the person."""
    at = source.state.session.last_event_at
    decided = next(e for e in source.journal if isinstance(e, ev.GateDecided))
    source.waiting.append(
        turn.choice(
            (
                ev.AgentText(block=f"b{turn.randrange(9)}", text="word \x1b[2J " * 30, at=at),
                ev.StateChanged(state=turn.choice(("running", "paused", "parked")), at=at),
                ev.ApprovalRequested(attempt=1, decision=decided.decision, at=at),
                ev.TroubleNoted(where="here", message="[bold]trouble[/]", at=at),
            )
        )
    )


async def test_two_screens_that_load_the_same_both_get_it(source: MemorySource) -> None:
    """Such as a difference on the run screen, and in the comparison that is opened meanwhile."""
    app, may = make_app(source), Event()
    async with running(app) as hands:
        one, other = Loader(app, lambda: None), Loader(app, lambda: None)

        def slow() -> str:
            may.wait(PATIENCE)
            return "read"

        assert one.get("key", slow) is None and other.get("key", slow) is None
        may.set()
        await hands.until(lambda: (one.get("key", slow), other.get("key", slow)) == ("read",) * 2)


async def test_panes_show_the_row_under_the_cursor_however_it_came_there() -> None:
    app = make_app(MemorySource(steps=4, stalled=4))
    async with running(app) as hands:
        screen = app.screen
        assert isinstance(screen, RunScreen)
        over = Screen[None]()
        await app.push_screen(over)
        screen.run.inspect(2)
        async with asyncio.timeout(60):
            while not over._callbacks:
                await asyncio.sleep(0)
        over._callbacks.clear()  # as of a screen that closes before it has painted
        app.pop_screen()
        await hands.rest()
        assert screen.run.subject.version is not None and "v2" in hands.text("#plan-view")
        await hands.press("escape", "slash")
        await hands.type("6.2")
        await hands.press("escape")
        assert screen.run.cursor == screen.run.settled is not None


@pytest.mark.parametrize("seed", range(int(os.environ.get("AVO_WALKS", "3"))))
async def test_no_input_ends_or_hangs_the_app(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    turn, done = random.Random(seed), []
    source = MemorySource(steps=6, state=turn.choice((None, "stopped", "lost")))
    app = make_app(source, services=SERVICES)
    monkeypatch.setattr(app, "suspend", nullcontext)
    monkeypatch.setattr(app.departure, "leave", lambda: None)  # the palette offers it, too
    async with running(app, (120, 40)) as hands:
        for _ in range(INPUTS):
            way = turn.random()
            if way < 0.75:
                done.append(turn.choice(KEYS))
                hands._send(done[-1])
            elif way < 0.88:
                mouse(hands, turn)
            elif way < 0.93:
                paste = events.Paste(turn.choice(PASTES))
                assert app._driver is not None
                app._driver.send_message(paste)
            elif way < 0.97:
                news(source, turn)
            else:
                await hands.resize(*turn.choice(SIZES))
            if turn.random() < 0.3:
                await hands.rest()
        await hands.rest()
        assert app.return_code is None, f"it ended after {done[-20:]}"
        await hands.resize(120, 40)
        await hands.home()
        await hands.press("1")
        assert "Lineage" in "".join(hands.rows())
