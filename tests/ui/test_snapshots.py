"""Every screen in two sizes, the run in a third, and its themes: compared with `snapshots/`.

`AVO_UPDATE_SNAPSHOTS=1` in the environment writes the pictures anew: look at what has changed
(`git diff` shows it) before they are committed.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.ui.make_session import MemorySource
from tests.ui.pictures import picture
from tests.ui.pilots import SERVICES, Hands, make_app, running

FOLDER = Path(__file__).parent / "snapshots"
SCREENS: dict[str, tuple[str, ...]] = {
    "run": (),
    "inspect": ("B",),
    "lineage": ("L",),
    "attempts": ("F",),
    "compare": ("B", "c"),
    "kernel": ("B", "V"),
    "transcript": ("t",),
    "memory": ("M",),
    "supervisor": ("i",),
    "knowledge": ("K",),
    "hint": ("h",),
    "rewind": ("B", "u", "u", "w"),
    "budget": ("b",),
    "stop": ("S",),
    "help": ("question_mark",),
}
SIZES = ((80, 24), (120, 40))
WIDE = (200, 50)  # where more fits of everything


def compare(name: str, made: str) -> str:
    """What is different from the kept picture; empty where nothing is."""
    file = FOLDER / f"{name}.txt"
    if os.environ.get("AVO_UPDATE_SNAPSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(made)
        return ""
    if not file.exists():
        return f"there is no picture {file.name}: AVO_UPDATE_SNAPSHOTS=1 writes it"
    kept = file.read_text()
    if made == kept:
        return ""
    rows = difflib.unified_diff(kept.splitlines(), made.splitlines(), "kept", "made", "", "", 0)
    return f"{name} looks different:\n" + "\n".join(list(rows)[:40])


async def in_sizes(hands: Hands, name: str, sizes: Sequence[tuple[int, int]]) -> list[str]:
    wrong = []
    for size in sizes:
        await hands.resize(*size)
        wrong.append(compare(f"{name}-{size[0]}x{size[1]}", picture(hands.app, whole=False)))
    return [text for text in wrong if text]


async def test_screens_look_as_they_did() -> None:
    wrong = []
    app = make_app(MemorySource(), services=SERVICES)
    async with running(app) as hands:
        for name, keys in SCREENS.items():
            await hands.press(*keys)
            wrong += await in_sizes(hands, name, SIZES if keys else (*SIZES, WIDE))
            await hands.home()
    assert not wrong, "\n\n".join(wrong)


async def test_themes_look_as_they_did(recorded: MemorySource) -> None:
    wrong = []
    app = make_app(recorded)
    async with running(app) as hands:
        for theme in ("avo-light", "ansi-dark", "ansi-light"):
            app.theme = theme
            await hands.rest()
            wrong.append(compare(f"run-{theme}", picture(app)))
    assert not any(wrong), "\n\n".join(wrong)


@pytest.mark.parametrize("theme", ["avo-light", "ansi-dark"])
async def test_a_theme_given_at_the_start_looks_like_one_chosen_later(
    recorded: MemorySource, theme: str
) -> None:
    app = make_app(recorded, theme=theme)
    async with running(app):
        assert not compare(f"run-{theme}", picture(app))
