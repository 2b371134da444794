"""What the tests of the screens share: an app on an invented session, and hands at its keyboard.

Nothing here waits for a time: every key waits until the app has nothing left to do, so a test
passes at the same place on an idle machine and on one that is busy with other things.
"""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from textual import events
from textual.keys import _character_to_key, _get_unicode_name_from_key
from textual.pilot import Pilot

from avo_tui.store import Drafts
from avo_tui.ui.app import AvoApp
from avo_tui.ui.host import HostOptions
from avo_tui.ui.loader import Loader
from avo_tui.ui.screens.log import LogScreen
from avo_tui.ui.screens.run.screen import RunScreen
from avo_tui.ui.services import ExportChoice, OperatorChoice, Services
from avo_tui.ui.widgets.lines import LinesView
from tests.ui.invented_kernel import TASK
from tests.ui.make_session import MemorySource

PATIENCE = 120.0
"""Seconds after which a condition is given up: for a machine that does ten things at once."""


class _Hit:
    id, document, section, snippet = "d1#s1", "Document", "Section", "a \x1b[31m snippet"


SERVICES = Services(
    start_engine=lambda folder: None,
    create_session=lambda form: Path("/nonexistent"),
    tasks=lambda: [TASK],
    exports=(
        ExportChoice("git", "a repository"),
        ExportChoice("branch", "of a repository", True, repository=True),
        ExportChoice("kernel", "the kernel", True, repository=False),
    ),
    export=lambda folder, form, version, to: f"{to}: written",
    operators=lambda: (
        OperatorChoice("tuner", "classical search", models=()),
        OperatorChoice("agent", "an agent", unavailable="no key is set"),
    ),
    estimate=lambda form: "about 400 evaluations",
    search_knowledge=lambda text: [_Hit()],
    read_knowledge=lambda identity: "# Title\n\ntext\n```\ncode\n```\n",
    documents=lambda: [("d1", "Document one"), ("d2", "Document two")],
)


def make_app(source: MemorySource, *, notice: str = "", **options: Any) -> AvoApp:
    """The app on a source; its clock stands three seconds after the last event."""
    last = source.state.session.last_event_at
    assert last is not None
    moment = last + timedelta(seconds=3)
    options.setdefault("drafts", Drafts(Path(mkdtemp())))
    return AvoApp(HostOptions(clock=lambda: moment, **options), source=source, notice=notice)


def under_way(app: AvoApp) -> str:
    """What the app has still to do: a message, a repaint, something being read; "" at rest."""
    if app._exit or not app.screen_stack:
        return ""
    for worker in app.workers:
        follows = isinstance(worker.node, LogScreen) and worker.node.text.caught_up
        if not worker.is_finished and not follows:
            return f"the worker {worker}"
    if app.typed.waiting:
        return "typed text that waits"
    latest = app.latest
    if latest is not None and latest is not app.ticker.shown:
        return "a picture of the run that is not shown"
    for screen in app.screen_stack:
        if isinstance(getattr(screen, "loader", None), Loader) and screen.loader._pending:  # type: ignore[attr-defined]
            return f"what {screen} reads"
        if isinstance(screen, RunScreen) and screen.run.settled != screen.run.cursor:
            return "a place on the run screen that is not settled"
    top = app.screen
    if top._layout_required or top._repaint_required or top._scroll_required:
        return f"the layout or repaint of {top}"
    if top._dirty_widgets or top._callbacks:
        return f"the repaint of {top._dirty_widgets}, or {top._callbacks}"
    for pump in (app, top, *top.walk_children()):
        if pump is app and pump._closing:
            continue
        if not pump._is_mounted or not pump._message_queue.empty() or pump._next_callbacks:
            return f"the messages of {pump}"
    return ""


class Hands:
    """Keys, clicks and sizes for a running app, each followed by its rest."""

    def __init__(self, app: AvoApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot
        self.said: list[str] = []
        """Every notice so far; those on the screen go away by themselves."""
        notify = app.notify

        def told(message: str, **options: Any) -> None:
            self.said.append(message)
            notify(message, **options)

        app.notify = told  # type: ignore[method-assign]

    async def until(self, condition: Callable[[], Any], what: str = "") -> None:
        """Wait for a condition; a test fails when it does not come, and says what is under way."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE
        while not condition():
            if loop.time() > deadline:
                why = f"{what or condition}; under way: {under_way(self.app) or 'nothing'}"
                raise AssertionError(f"it did not come true in time: {why}")
            await asyncio.sleep(0.005)

    async def rest(self) -> None:
        """Wait until the app has nothing left to do."""
        calm = 0

        def settled() -> bool:
            nonlocal calm
            calm = 0 if under_way(self.app) else calm + 1
            return calm >= 3

        await self.until(settled, "the app never came to rest")

    async def press(self, *keys: str) -> None:
        """Press keys, one after another."""
        for key in keys:
            self._send(key)
            await self.rest()

    async def type(self, text: str) -> None:
        """Press the keys of a text, as fast as they come."""
        for character in text:
            self._send(character)
        await self.rest()

    def _send(self, key: str) -> None:
        if len(key) == 1 and not key.isalnum():
            key = _character_to_key(key)
        try:
            character: str | None = unicodedata.lookup(_get_unicode_name_from_key(key))
        except KeyError:
            character = key if len(key) == 1 else None
        event = events.Key(key, character)
        event.set_sender(self.app)
        assert self.app._driver is not None
        self.app._driver.send_message(event)

    async def click(self, selector: str, offset: tuple[int, int] = (0, 0)) -> None:
        """Click into a widget."""
        await self.pilot.click(selector, offset=offset)
        await self.rest()

    async def resize(self, width: int, height: int) -> None:
        """Give the terminal another size."""
        await self.pilot.resize_terminal(width, height)
        await self.rest()

    async def home(self) -> None:
        """Back to the run screen, the run followed; what was noted in corners taken away."""
        for _ in range(6):
            if isinstance(self.app.screen, RunScreen) and self.app.screen.run.cursor is None:
                break
            await self.press("escape")
        assert isinstance(self.app.screen, RunScreen), f"escape does not leave {self.app.screen}"
        self.app.clear_notifications()
        await self.rest()

    def text(self, selector: str) -> str:
        """What a view of lines shows, as plain text."""
        view = self.app.screen.query_one(selector, LinesView)
        return "\n".join(row.plain for row in view.lines)

    def bar(self, selector: str) -> str:
        """The text of a row at the edge of the screen, such as `#status`."""
        bar: Any = self.app.screen.query_one(selector)
        return str(bar.row.plain)

    def rows(self) -> list[str]:
        """The whole screen as text."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]


@asynccontextmanager
async def running(app: AvoApp, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Hands]:
    """The app, started and at rest."""
    async with app.run_test(size=size) as pilot:
        hands = Hands(app, pilot)
        await hands.rest()
        yield hands
