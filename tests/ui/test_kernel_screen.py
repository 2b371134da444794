"""The whole kernel in the app: seen, searched, copied, carried away."""

from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from avo_tui.domain.candidate import Candidate
from avo_tui.ui.dialogs.questions import ExportDialog
from avo_tui.ui.screens.kernel import KernelScreen, copied, source_lines
from avo_tui.ui.syntax import Highlighter
from tests.ui.make_session import MemorySource
from tests.ui.pilots import SERVICES, make_app, running


async def test_the_kernel_is_shown_found_copied_and_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = MemorySource()
    asked: list[tuple[str, int | None, Path]] = []

    def export(folder: Path, form: str, version: int | None, to: Path) -> str:
        asked.append((form, version, to))
        return f"{to}: written"

    app = make_app(source, services=replace(SERVICES, export=export))
    clips: list[str] = []
    monkeypatch.setattr(app, "copy_to_clipboard", clips.append)
    async with running(app) as hands:
        await hands.press("B", "V")
        screen = app.screen
        assert isinstance(screen, KernelScreen)
        best = source.state.best
        assert best is not None and screen.version == best.number
        candidate = source.candidate(best.candidate)
        text = next(iter(candidate.files.values()))
        assert len(screen.main.lines) >= len(text.splitlines())
        await hands.press("y")
        assert clips == [copied(candidate)] and text in clips[0]
        await hands.press("slash")
        await hands.type(text.split()[1])
        assert "hit" in str(screen.query_one("#find-count").render())
        await hands.press("escape", "x")
        assert isinstance(app.screen, ExportDialog)
        field = app.screen.query_one("#to", Input)
        assert field.value.endswith(f"mha-study-v{best.number}-kernel")
        field.value = str(tmp_path / "out")
        await hands.press("enter")  # the focus is on the form
        await hands.until(lambda: asked)
        assert asked == [("kernel", best.number, tmp_path / "out")]


async def test_the_numbers_of_the_lines_stay_where_they_are() -> None:
    app = make_app(MemorySource(), services=SERVICES)
    async with running(app, (60, 20)) as hands:
        await hands.press("V")
        screen = app.screen
        assert isinstance(screen, KernelScreen)
        before = [screen.main.render_line(y).text for y in range(6)]
        await hands.press(*["right"] * 4)
        assert screen.main.scroll_offset.x > 0
        after = [screen.main.render_line(y).text for y in range(6)]
        for y, (old, new) in enumerate(zip(before, after, strict=True)):
            row = screen.main.lines[y]
            shift = row.gutter + screen.main.scroll_offset.x
            assert new[: row.gutter] == old[: row.gutter]
            assert new[row.gutter :].rstrip().startswith(row.plain[shift : shift + 20].rstrip())


async def test_of_the_run_it_is_the_attempt_in_hand() -> None:
    app = make_app(MemorySource(), services=SERVICES)
    async with running(app) as hands:
        await hands.press("V")
        assert isinstance(app.screen, KernelScreen) and app.screen.version is None


def test_hostile_source_is_shown_as_text() -> None:
    candidate = Candidate(files={"a.cpp": "int\tx;\x1b[31m\n", "b.cpp": "\u202eevil\n"})
    rows = source_lines(candidate, Highlighter())
    plain = "\n".join(row.plain for row in rows)
    assert "\x1b" not in plain and "\u202e" not in plain and "b.cpp" in plain
    assert all(
        row.plain[row.gutter :].strip() == "" or row.gutter or "cpp" in row.plain for row in rows
    )
