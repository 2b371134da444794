"""The log screen: rows where they are looked at, the end at once, hits in all of it, inert."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from avo_tui.domain import events as ev
from avo_tui.domain.report import EvaluationProgress
from avo_tui.ui.panes.lineage import LineageView
from avo_tui.ui.screens.log import LogScreen
from avo_tui.ui.screens.transcript import TranscriptScreen
from avo_tui.ui.widgets.long import LongView, of_file, of_growing
from avo_tui.ui.widgets.pane import Pane
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app

LINES = 30_000


def chunks() -> Iterator[bytes]:
    for n in range(LINES):
        said = b"kernel.cu:7: error: \x1b]2;owned\x07[red]no" if n == 20_000 else b"ptxas info"
        yield b"%d %s\n" % (n, said)


async def until(pilot: Any, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not condition():
            await pilot.pause(0.01)


async def test_a_long_log_is_read_searched_and_inert(source: MemorySource) -> None:
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        screen = LogScreen("Log", chunks)
        app.push_screen(screen)
        await until(pilot, lambda: screen.ready and screen.text.done)
        view = screen.query_one("#main", LongView)
        await until(pilot, lambda: view.virtual_size.height == LINES)
        await pilot.press("end")
        await until(pilot, lambda: view.scroll_offset.y == LINES - view.size.height)
        assert f"{LINES - 1} ptxas info" in view.render_line(view.size.height - 1).text
        await pilot.press("slash", *"OWNED", "enter")
        await until(pilot, lambda: view.next_hit(0) == (1, 1))
        top = view.scroll_offset.y
        assert top <= 20_000 < top + view.size.height
        painted = "".join(segment.text for segment in view.render_line(20_000 - top))
        assert "␛]2;owned␇[red]no" in painted
        assert "\x1b" not in painted
        await pilot.press("escape", "escape")
        await until(pilot, lambda: app.screen is not screen)
        assert screen.text._file is None


async def test_the_row_of_the_cursor_is_seen(source: MemorySource) -> None:
    app = make_app(source)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: any(view.lines for view in app.screen.query(LineageView)))
        view = app.screen.query_one("#lineage-view", LineageView)
        await pilot.press("down", "down")
        await until(pilot, lambda: view.place == 2)
        colours = [
            {segment.style.bgcolor for segment in view.render_line(y) if segment.style}
            for y in (2, 3)
        ]
        assert not colours[0] & colours[1]


async def test_a_tools_whole_result_opens_from_the_transcript(source: MemorySource) -> None:
    step = source.state.session.step
    ref = source.put("".join(f"result {n}\n" for n in range(3_000)))
    source.add(ev.ToolCalled(step=step, call="big", tool="read_version"))
    source.add(ev.ToolReturned(step=step, call="big", tool="read_version", ok=True, ref=ref))
    app = make_app(source)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: any(view.lines for view in app.screen.query(LineageView)))
        screen = TranscriptScreen(step)
        app.push_screen(screen)
        await until(pilot, lambda: screen.ready and len(screen.main.lines) > 3)
        await pilot.press("space")
        await until(pilot, lambda: any("it goes on" in row.plain for row in screen.main.lines))
        screen.main.action_scroll_end()
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, LogScreen) and app.screen.text.done)
        assert isinstance(app.screen, LogScreen)
        assert app.screen.text.rows == 3_000


async def test_a_log_that_grows_is_followed_and_stays_put_when_scrolled_up(
    source: MemorySource, tmp_path: Path
) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(b"".join(b"row %d\n" % n for n in range(200)))
    app = make_app(source)
    async with app.run_test(size=(100, 30)) as pilot:
        screen = LogScreen("Log", lambda: of_file(path, follow=True), grows=True)
        app.push_screen(screen)
        await until(pilot, lambda: screen.ready and screen.text.caught_up)
        view = screen.query_one("#main", LongView)

        def last() -> str:
            return view.render_line(view.size.height - 1).text.strip()

        def said() -> str:
            return str(screen.query_one("#log", Pane)._info)

        def append(text: bytes) -> None:
            with path.open("ab") as file:
                file.write(text)

        await until(pilot, lambda: last() == "row 199" and "following" in said())
        append(b"row 200\nhal")
        await until(pilot, lambda: last() == "hal")
        append(b"f a row\n")
        await until(pilot, lambda: last() == "half a row" and "202 lines" in said())
        await pilot.press("pageup")
        await until(pilot, lambda: not view.following)
        top, seen = view.scroll_offset.y, last()
        append(b"".join(b"more %d\n" % n for n in range(100)))
        await until(pilot, lambda: "100 new lines below" in said() and "end" in said())
        assert (view.scroll_offset.y, last()) == (top, seen)
        await pilot.press("slash", *"MORE 42", "enter")
        await until(pilot, lambda: view.next_hit(0) == (1, 1))
        await pilot.press("escape", "end")
        await until(pilot, lambda: last() == "more 99" and "following" in said())
        path.write_bytes(b"begun anew\n")
        await until(pilot, lambda: last() == "begun anew")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is not screen and screen.text.done)
        await until(pilot, lambda: all(worker.is_finished for worker in app.workers))


def test_a_text_that_is_asked_for_again_comes_once() -> None:
    states = iter([("", False), ("one\n", False), ("one\ntwo", False), ("other\n", True)])
    made = b"".join(of_growing(lambda: next(states)))
    assert made == b"one\ntwo\nother\n"


async def test_the_log_of_a_running_compilation_comes_as_it_is_written(
    source: MemorySource,
) -> None:
    app = make_app(source)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: any(view.lines for view in app.screen.query(LineageView)))
        assert app.latest is not None and app.latest.live.attempt is not None
        attempt = app.latest.live.attempt.attempt
        assert attempt.verdict is None
        await pilot.press("O")
        await until(pilot, lambda: isinstance(app.screen, LogScreen) and app.screen.ready)
        screen = app.screen
        assert isinstance(screen, LogScreen)
        await until(pilot, lambda: screen.text.caught_up)
        told = EvaluationProgress(stage="compile", state="finished", log="ptxas: 168 registers\n")
        source.waiting.append(ev.EvaluationProgressed(attempt=attempt.number, progress=told))
        await until(
            pilot,
            lambda: (
                screen.text.rows > 0
                and screen.text.row(screen.text.rows - 1).text == "ptxas: 168 registers"
            ),
        )
        assert not screen.text.done
        source.waiting.append(ev.StepStarted(step=attempt.step + 1, parent=attempt.parent))
        await until(pilot, lambda: screen.text.done)
