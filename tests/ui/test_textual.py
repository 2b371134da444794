"""What `textual_internals` uses of Textual's private interface is there, and works."""

import ast
import inspect
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.segment import Segment
from textual import events
from textual._compositor import Compositor
from textual.app import App
from textual.css.query import NoMatches
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Offset
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

import avo_tui.ui as ui
from avo_tui.ui import textual_internals
from avo_tui.ui.terminal.sent_screen import SentScreen
from avo_tui.ui.widgets.lines import LinesView
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running

USED = [
    (App, "_display"),
    (App, "_handle_exception"),
    (App, "_fatal_error"),
    (App, "_close_messages_no_wait"),
    (App, "_refresh_truecolor_filter"),
    (Screen, "_screen_resized"),
    (ScrollView, "_scroll_update"),
    (Compositor, "render_update"),
]


@pytest.mark.parametrize(
    ("kind", "name"), USED, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_private_method_is_there(kind: type, name: str) -> None:
    assert callable(getattr(kind, name, None)), f"{kind.__name__}.{name} is gone"


def test_the_private_attributes_are_there() -> None:
    app: App[None] = App()
    for name in ("_driver", "_exit", "_exit_renderables", "_filters", "_background_screens"):
        assert hasattr(app, name), f"App.{name} is gone"
    source = inspect.getsource(LinuxDriver)
    assert "self._writer_thread = WriterThread(self._file)" in source
    assert "self._app" in inspect.getsource(inspect.getmodule(LinuxDriver.__mro__[1]))  # type: ignore[arg-type]


def test_no_other_module_uses_what_is_private() -> None:
    """Names with an underscore of objects other than `self` and `cls`."""
    root = Path(ui.__file__).parent
    found = []
    for path in root.rglob("*.py"):
        if path == Path(textual_internals.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                owner = node.value.id if isinstance(node.value, ast.Name) else "?"
                theirs = {name for _, name in USED} | {"_driver", "_exit", "_filters"}
                if node.attr in theirs and owner not in {"StepFold", "SessionState"}:
                    found.append(f"{path.name}: {owner}.{node.attr}")
    assert not found


async def test_a_picture_is_held_back_while_the_terminal_takes_nothing(
    source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(source)
    async with running(app, (80, 24)) as hands:
        asked: list[bool] = []

        def refuse() -> bool:
            asked.append(True)
            return False

        monkeypatch.setattr(app.connection, "takes_pictures", refuse)
        app.screen.refresh(layout=True)
        await hands.rest()
        assert asked


async def test_a_palette_that_was_left_while_it_searched_is_no_crash(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app, (80, 24)) as hands:

        async def search() -> None:
            app.screen.query_one("CommandList")

        app.run_worker(search())
        await hands.rest()
        assert app.return_code is None and not app._exit


async def test_a_size_that_was_told_before_a_picture_has_nothing_sent_anew(
    source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, sent, row = make_app(source), SentScreen(), [(0, 0, Strip([Segment("same")]))]
    async with running(app, (80, 24)):
        window = SimpleNamespace(waits=False)
        terminal = SimpleNamespace(sent_screen=sent, writer=None, window=window)
        monkeypatch.setattr(type(app), "terminal", property(lambda self: terminal))
        early = events.Resize(app.size, app.size)
        sent.changes(row, app.console)
        await app.on_event(early)
        assert sent.changes(row, app.console) == ""
        await app.on_event(events.Resize(app.size, app.size))
        assert "same" in sent.changes(row, app.console)


async def test_a_screen_that_opens_while_the_app_leaves_is_no_crash(source: MemorySource) -> None:
    app = make_app(source)
    async with running(app, (80, 24)) as hands:
        await hands.press("q")
        app._handle_exception(NoMatches("gone"))
    assert app.return_code == 0


async def test_a_click_on_a_widget_that_has_gone_meanwhile(source: MemorySource) -> None:
    """The picture still has it, the tree of widgets has not: there is no parent to select in."""
    app = make_app(source)
    async with running(app, (80, 24)) as hands:
        view = app.screen.query_one("#lineage-view")
        x, y = view.region.x + 4, view.region.y + 1
        press = partial(
            events.MouseDown, None, x, y, 0, 0, 1, False, False, False, screen_x=x, screen_y=y
        )
        move = partial(
            events.MouseMove, None, x, y, 1, 0, 1, False, False, False, screen_x=x, screen_y=y
        )
        await app.on_event(press())
        assert app.screen._select_state is not None
        parent = view._parent
        view._detach()
        try:
            assert app.screen.get_widget_at(x, y)[0] is view
            for event in (move(), press(), move()):
                await app.on_event(event)
        finally:
            view._attach(parent)  # type: ignore[arg-type]
        await hands.rest()
        await hands.click("#lineage-view", (4, 2))
    assert app.return_code in {0, None}


async def test_a_selection_may_reach_beyond_a_row(source: MemorySource) -> None:
    """As one made before the terminal became narrower does."""
    app = make_app(source)
    async with running(app) as hands:
        view = app.screen.query_one("#lineage-view", LinesView)
        for start, end in ((2, 500), (500, 600)):
            app.screen.selections = {view: Selection(Offset(start, 0), Offset(end, 0))}
            await hands.rest()
            assert "Lineage" in "".join(hands.rows())
