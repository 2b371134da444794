"""Every screen as an SVG in three sizes, compared with the files in `snapshots/`.

`python -m pytest tests/ui/test_snapshots.py` compares; with `AVO_UPDATE_SNAPSHOTS=1` in the
environment it writes the files anew: look at them before they are committed.
"""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest
from make_session import MemorySource
from pilots import make_app, quiet
from test_keys import SERVICES
from textual.widgets import Input

FOLDER = Path(__file__).parent / "snapshots"
SCREENS: dict[str, tuple[str, ...]] = {
    "run": (),
    "inspect": ("B",),
    "lineage": ("L",),
    "compare": ("B", "c"),
    "transcript": ("t",),
    "memory": ("M",),
    "supervisor": ("i",),
    "knowledge": ("K",),
    "hint": ("h",),
    "budget": ("b",),
    "stop": ("S",),
    "help": ("question_mark",),
}
SIZES = ((80, 24), (120, 40), (200, 50))


def normal(svg: str) -> str:
    """Without what differs from run to run: the identity in the names of styles and clips."""
    return re.sub(r"terminal-\d+", "terminal", svg)


def compare(name: str, svg: str) -> None:
    file = FOLDER / f"{name}.svg.gz"
    made = normal(svg)
    if os.environ.get("AVO_UPDATE_SNAPSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        file.write_bytes(gzip.compress(made.encode(), mtime=0))
        return
    assert file.exists(), f"there is no snapshot {file.name}: AVO_UPDATE_SNAPSHOTS=1 writes it"
    kept = gzip.decompress(file.read_bytes()).decode()
    if made != kept:
        new = file.with_suffix(".new.svg")
        new.write_text(made)
        raise AssertionError(f"{name} looks different: compare {new} with {file}")


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
async def test_screens_look_as_they_did(size: tuple[int, int]) -> None:
    wrong = []
    app = make_app(MemorySource(), services=SERVICES)
    async with app.run_test(size=size) as pilot:
        for name, keys in SCREENS.items():
            for _ in range(3):
                await pilot.press("escape")
            await quiet(pilot)
            await pilot.press(*keys)
            await quiet(pilot)
            await quiet(pilot)
            app.screen.query("TextArea").set(disabled=True)
            for field in app.screen.query(Input):
                field.cursor_blink = False
            await pilot.pause(0.05)
            try:
                compare(f"{name}-{size[0]}x{size[1]}", app.export_screenshot(title=name))
            except AssertionError as error:
                wrong.append(str(error))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("theme", ["avo-light", "ansi-dark", "ansi-light"])
async def test_themes_look_as_they_did(recorded: MemorySource, theme: str) -> None:
    app = make_app(recorded, theme=theme)
    async with app.run_test(size=(120, 40)) as pilot:
        await quiet(pilot)
        await quiet(pilot)
        compare(f"run-{theme}", app.export_screenshot(title=theme))
