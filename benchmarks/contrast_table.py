"""The contrast of every role of text by theme: plain, under the cursor, under one without focus.

    python benchmarks/contrast_table.py [--all]

Prints the states that must not be missed, or with `--all` every role, and the lowest of each theme
(WCAG 2: 4.5 for text). The themes of sixteen colours have whatever colours the terminal gives them:
counted are those of xterm, on black and on white. Without colours text is the terminal's own on its
own ground; `reverse` is what stands out there.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from rich.color import Color
from rich.style import Style
from rich.terminal_theme import TerminalTheme

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from avo_tui.ui.text import line
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.paint import LOUD, ROLES
from tests.ui.make_session import MemorySource
from tests.ui.pilots import make_app, running
from tests.ui.test_colours import DRAWN

XTERM = (
    (0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0),
    (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229),
    (127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0),
    (92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255),
)  # fmt: skip
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
TERMINALS = {
    "avo-dark": TerminalTheme(BLACK, XTERM[7], list(XTERM)),
    "avo-light": TerminalTheme(WHITE, BLACK, list(XTERM)),
}
TERMINALS |= {f"ansi-{name}": TERMINALS[f"avo-{name}"] for name in ("dark", "light")}
OVER = {"plain": "", "cursor": "cursor", "no focus": "cursor-blur"}


def contrast(style: Style, terminal: TerminalTheme) -> float:
    """The contrast of text after WCAG 2: 1 to 21."""

    def luminance(colour: Color | None, foreground: bool) -> float:
        known = (colour or Color.default()).get_truecolor(terminal, foreground)
        linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in known]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    pair = luminance(style.color, True), luminance(style.bgcolor, False)
    return (max(pair) + 0.05) / (min(pair) + 0.05)


async def measure(theme: str) -> dict[str, dict[str, tuple[float, bool]]]:
    """Role → place → (contrast, whether it is reversed). Roles with a ground of their own that are
    no states are never under a cursor."""
    app = make_app(MemorySource(steps=3), theme=theme)
    found: dict[str, dict[str, tuple[float, bool]]] = {}
    async with running(app, (80, 24)):
        view = app.screen.query(LinesView).first()
        for role in sorted(ROLES - DRAWN):
            grounded = app.role_style(role).bgcolor is not None and role not in LOUD
            for place, over in OVER.items():
                if grounded and over:
                    continue
                strip = view.paint(line((role, role)), 60, over)
                style = next(s.style for s in strip if s.text == role and s.style is not None)
                ratio = contrast(style, TERMINALS[theme])
                found.setdefault(role, {})[place] = ratio, bool(style.reverse)
    return found


def main() -> int:
    """Print the table; 1 where a text of avo's own themes has less than 4.5."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every role of text")
    given = parser.parse_args()
    low = 0
    places = list(OVER)
    print(f"| theme | state | {' | '.join(places)} |\n|---|---|{'---:|' * len(places)}")
    for theme in (*TERMINALS, "none"):
        if theme == "none":
            os.environ["NO_COLOR"] = "1"
        found = asyncio.run(measure("avo-dark" if theme == "none" else theme))
        for role in found if given.all else sorted(LOUD):
            cells = []
            for place in places:
                ratio, turned = found[role].get(place, (0.0, False))
                own = "reverse" if turned else "as it is"
                cells.append("–" if not ratio else own if theme == "none" else f"{ratio:.1f}")
            print(f"| {theme} | {role} | {' | '.join(cells)} |")
        if theme == "none":
            break
        lowest = min((r, role, place) for role, at in found.items() for place, (r, _) in at.items())
        print(f"| {theme} | lowest of {len(found)} roles | {lowest[1]}, {lowest[2]}: "
              f"{lowest[0]:.2f} | | |")  # fmt: skip
        low += theme.startswith("avo") and lowest[0] < 4.5
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
