"""`NO_COLOR` and the terminal's own colours: what is said by colour is said without it, too."""

from collections.abc import Iterable

import pytest
from rich.color import Color
from rich.style import Style

from avo_tui.ui.text import line
from avo_tui.ui.theme import default_theme
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.paint import LOUD, ROLES
from tests.ui.make_session import MemorySource
from tests.ui.pilots import SERVICES, make_app, running

TEXT, MARK = 4.5, 3.0
"""Least contrast of text, and of what is drawn and means something (WCAG 2, 1.4.3 and 1.4.11)."""
MARKS = ("lane", "lane-dead", "curve", "area", "point", "bar", "bar-good", "node")
CHART = ("warn", "best", "point", "faint", "baseline")
"""Roles of what is drawn on the area of the chart."""
CODE = sorted(role for role in ROLES if role.startswith("sx-"))
DRAWN = frozenset(["lane-dead", "axis", "area", "curve", "point", "bar-tick"])
"""Roles that nobody reads: strokes and areas. `axis` only frames."""


@pytest.mark.parametrize("theme", ["avo-dark", "ansi-light"])
async def test_no_color_means_none_at_all(theme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(MemorySource(steps=3, state="lost"), theme=theme, services=SERVICES)
    async with running(app, (80, 24)) as hands:
        for keys in ((), ("B",), ("L",), ("b",), ("question_mark",)):
            await hands.press(*keys)
            app.clear_notifications()
            await hands.rest()
            strips = app.screen._compositor.render_strips()
            styles = [s.style for strip in strips for s in strip if s.style is not None]
            for style in styles:
                for colour in (style.color, style.bgcolor):
                    assert colour is None or colour.is_default, f"{keys}: {style}"
            assert any(style.reverse for style in styles), f"{keys}: nothing stands out"
            await hands.home()


async def test_a_lost_engine_stands_out_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(MemorySource(steps=3, state="lost"), services=SERVICES)
    async with running(app):
        first = app.screen._compositor.render_strips()[0]
        loud = "".join(s.text for s in first if s.style is not None and s.style.reverse)
        assert "ENGINE LOST · R restarts" in loud


async def test_the_terminals_own_colours_are_sixteen(recorded: MemorySource) -> None:
    app = make_app(recorded, theme="ansi-dark")
    async with running(app):
        for strip in app.screen._compositor.render_strips():
            for segment in strip:
                style = segment.style
                for colour in (style.color, style.bgcolor) if style is not None else ():
                    assert colour is None or colour.triplet is None, f"{segment.text!r} {style}"


def _contrast(style: Style) -> float:
    """The contrast of text after WCAG 2: 1 to 21."""

    def luminance(colour: Color | None) -> float:
        assert colour is not None and colour.triplet is not None
        parts = [c / 255 for c in colour.triplet]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(style.color), luminance(style.bgcolor)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _too_faint(pairs: Iterable[tuple[str, Style]], least: float) -> dict[str, float]:
    """Names and contrasts of what has less contrast than that."""
    known = {name: _contrast(style) for name, style in pairs}
    return {name: round(value, 2) for name, value in known.items() if value < least}


@pytest.mark.parametrize("theme", ["avo-dark", "avo-light"])
async def test_every_text_and_mark_can_be_seen(recorded: MemorySource, theme: str) -> None:
    """On the screen's ground, on a dialog's, on the row of the cursor, in a diff, on the chart."""
    app = make_app(recorded, theme=theme, services=SERVICES)
    async with running(app) as hands:
        for keys in ((), ("question_mark",)):
            await hands.press(*keys)
            view = app.screen.query(LinesView).first()

            def text(role: str, over: str, view: LinesView = view) -> Style:
                strip = view.paint(line((role, role)), 60, over)
                return next(s.style for s in strip if s.text == role and s.style is not None)

            grounds = {role for role in ROLES if app.role_style(role).bgcolor is not None}
            for over in ("", "cursor", "cursor-blur"):
                roles = ROLES - DRAWN - (grounds - LOUD if over else set())
                assert not _too_faint(((r, text(r, over)) for r in sorted(roles)), TEXT)
        base = view.rich_style
        in_diff = [
            (f"{role} {word} on {fill}", base + app.role_style(fill) + app.role_style(roles))
            for fill, word in (("add", "add-word"), ("del", "del-word"))
            for role in (*CODE, "gutter", f"{fill}-mark")
            for roles in (role, f"{role} {word}")
        ]
        assert not _too_faint(in_diff, TEXT)
        on_chart = [(r, base + app.role_style(f"{r} on-area")) for r in CHART]
        assert not _too_faint(on_chart, TEXT)
        marks = [(role, base + app.role_style(role)) for role in MARKS]
        assert not _too_faint(marks, MARK)


@pytest.mark.parametrize("theme", ["avo-dark", "avo-light", "ansi-dark", "ansi-light"])
@pytest.mark.parametrize("no_colour", [False, True])
async def test_a_state_that_must_not_be_missed_stands_out_of_the_row_of_the_cursor(
    source: MemorySource, theme: str, no_colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if no_colour:
        monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(source, theme=theme)
    async with running(app, (80, 24)):
        view = app.screen.query(LinesView).first()
        for role in sorted(LOUD):
            for over in ("", "cursor", "cursor-blur"):
                strip = view.paint(line(("name ", ""), ("LOUD", role)), 20, over)
                name, loud, *rest = (segment.style for segment in strip)
                assert name is not None and loud is not None
                assert loud == view.rich_style + app.role_style(role), f"{role} {over}"
                if not over or not no_colour:
                    assert (loud.bgcolor, loud.reverse) != (name.bgcolor, name.reverse)
                assert strip.cell_length == 20 and rest


async def test_the_row_of_the_cursor_is_one_bar_in_sixteen_colours(
    recorded: MemorySource,
) -> None:
    app = make_app(recorded, theme="ansi-dark")
    async with running(app) as hands:
        await hands.press("B")
        view = app.screen.query_one("#lineage-view", LinesView)
        strips = [view.render_line(y) for y in range(view.size.height)]
        bars = [strip for strip in strips if any(s.style and s.style.reverse for s in strip)]
        assert len(bars) == 1
        assert all(
            s.style and s.style.reverse and s.style.color and s.style.color.is_default
            for s in bars[0]
        )


@pytest.mark.parametrize(
    ("term", "colorterm", "theme"),
    [
        ("xterm", "", "ansi-dark"),
        ("linux", "", "ansi-dark"),
        ("xterm-16color", "", "ansi-dark"),
        ("xterm", "truecolor", "avo-dark"),
        ("xterm-256color", "", "avo-dark"),
        ("tmux-256color", "", "avo-dark"),
        ("xterm-kitty", "", "avo-dark"),
    ],
)
def test_a_terminal_of_sixteen_colours_gets_its_own(term: str, colorterm: str, theme: str) -> None:
    assert default_theme({"TERM": term, "COLORTERM": colorterm}) == theme
