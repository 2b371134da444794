"""Draw the pictures of the documentation from the sessions that ship, and the key card.

    python docs/make_pictures.py

Opens the app on a session without a terminal, presses keys, and writes SVG files to
docs/pictures/; writes docs/keys.md from the registry of actions. Look at them before committing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from avo_tui.ui.actions import key_name
from avo_tui.ui.app import AvoApp
from avo_tui.ui.host import HostOptions
from avo_tui.ui.screen import COMMON
from avo_tui.ui.screens.run.actions import RUN_ACTIONS
from avo_tui.ui.services import Services

PICTURES = Path(__file__).parent / "pictures"
SESSIONS = Path(__file__).parents[1] / "sessions"

LINEAGE, AGENT = "mha-hopper", "attention-cpu-agent"
SHOTS: tuple[tuple[str, str, tuple[int, int], str, Sequence[str]], ...] = (
    ("run-120x40", LINEAGE, (120, 40), "avo-dark", ("B",)),
    ("run-200x50", LINEAGE, (200, 50), "avo-dark", ("B",)),
    ("run-80x24", LINEAGE, (80, 24), "avo-dark", ("B",)),
    ("run-light", LINEAGE, (120, 40), "avo-light", ("B",)),
    ("lineage", LINEAGE, (120, 40), "avo-dark", ("L",)),
    ("compare", LINEAGE, (120, 40), "avo-dark", ("B", "c")),
    ("transcript", AGENT, (120, 40), "avo-dark", ("t",)),
    ("hint", AGENT, (120, 40), "avo-dark", ("h",)),
    ("rewind", LINEAGE, (120, 40), "avo-dark", ("B", "down", "down", "w")),
    ("help", AGENT, (120, 40), "avo-dark", ("question_mark",)),
)
"""Name, session, size, theme and keys."""
_WEB_FONT = re.compile(r"@font-face\s*{.*?}\s*", re.DOTALL)


async def shot(folder: Path, size: tuple[int, int], theme: str, keys: Sequence[str]) -> str:
    """The screen after the keys, as SVG, without fonts from the network."""
    # dialogs open, as they do where a short engine can take what they send
    app = AvoApp(
        HostOptions(theme=theme, services=Services(take_inbox=lambda folder: None)), folder=folder
    )
    async with app.run_test(size=size) as pilot:
        await pilot.pause(1.5)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.5)
        await pilot.pause(1.0)
        svg = app.export_screenshot(title="avo")
    return _WEB_FONT.sub("", svg).replace("Fira Code", "monospace")


def key_card() -> str:
    """Every action of the run screen with its key, by group, as Markdown."""
    groups: dict[str, list[str]] = {}
    for action in (*RUN_ACTIONS, *COMMON):
        key = f"`{key_name(action.key)}`" if action.key else ""
        groups.setdefault(action.group, []).append(f"| {key} | {action.help} | `{action.id}` |")
    lines = [
        "# Keys",
        "",
        "The run screen's actions. `?` shows those of the pane you are in, `^p` finds any of them",
        "by name. Move one to another key by its name in the table `[keys]` of the",
        "[settings](settings.md).",
    ]
    for group, rows in groups.items():
        lines += [
            "",
            f"## {group.capitalize()}",
            "",
            "| key | does | name |",
            "|---|---|---|",
            *rows,
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Draw every picture."""
    (PICTURES.parent / "keys.md").write_text(key_card(), encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    for name, session, size, theme, keys in SHOTS:
        svg = asyncio.run(shot(SESSIONS / session, size, theme, keys))
        (PICTURES / f"{name}.svg").write_text(svg, encoding="utf-8")
        print(f"docs/pictures/{name}.svg")


if __name__ == "__main__":
    main()
