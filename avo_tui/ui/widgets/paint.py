"""Maps roles to styles; the only place where lines get their colours.

Roles are component classes of the app, so colours are defined in `styles/paint.tcss`, follow the
theme, and work with the terminal's own sixteen colours and with `NO_COLOR`. They are not component
classes of each widget, because applying a style sheet to seventy roles of every widget takes a
second at start, and slows down every change of the focus.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from avo_tui.ui.terminal.images import Drawing
from avo_tui.ui.text import Line, Span
from avo_tui.ui.textual_internals import OpenedApp, uncovered

_SHEET = Path(__file__).parents[1] / "styles" / "paint.tcss"
ROLES = frozenset(re.findall(r"^\.r-([a-z-]+)", _SHEET.read_text(encoding="utf-8"), re.MULTILINE))
"""The roles that text may have, as the style sheet defines them."""

NO_STYLE = Style.null()

QUIET = frozenset(["faint", "lane-dead", "gutter", "sx-comment"])
"""Roles that are too faint for the row of the cursor: there they are painted as `on-cursor`."""


LOUD = frozenset(
    ["state-paused", "state-parked", "state-lost", "state-replay", "state-waits", "inspect"]
)
"""Roles that must not be missed: they keep their own background in the row of the cursor."""


class Palette(OpenedApp):
    """An app that provides the style of every role in the current theme."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"r-{role}" for role in ROLES}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._roles: dict[str, Style] = {}

    def notify_style_update(self) -> None:
        """A style sheet was applied: colours may be others now."""
        self._roles.clear()
        super().notify_style_update()

    def refresh_css(self, animate: bool = True) -> None:
        """Paint every row anew in the colours of another theme."""
        super().refresh_css(animate)
        for screen in self.screen_stack:
            for widget in screen.query(Painter):
                widget.refresh()

    def drawing(self) -> Drawing | None:
        drawings = (widget.drawing() for widget in uncovered(self.screen, Painter))
        return next(filter(None, drawings), None)

    def role_style(self, roles: str) -> Style:
        """The style of one or several roles, the later ones on top; unknown ones are plain."""
        cached = self._roles.get(roles)
        if cached is not None:
            return cached
        style = Style.null()
        for name in roles.split():
            if name in ROLES:
                try:
                    style += self.get_component_styles(f"r-{name}").partial_rich_style
                except KeyError:  # asked before the first style sheet has been applied
                    return style
        self._roles[roles] = style
        return style


class Painter(Widget):
    """A widget of a `Palette` that can paint lines."""

    _base: Style | None = None
    """The widget's own style, cached while rows are painted, because all ancestors contribute to
    it."""

    def render_lines(self, crop: Region) -> list[Strip]:
        self._base = self.rich_style
        try:
            return super().render_lines(crop)
        finally:
            self._base = None

    def drawing(self) -> Drawing | None:
        """An image to lay over a part of it; None for none."""
        return None

    def role_style(self, roles: str) -> Style:
        """The style of one or several roles, the later ones on top; unknown ones are plain."""
        app = self.app
        return app.role_style(roles) if isinstance(app, Palette) else Style.null()

    def segments(
        self, spans: tuple[Span, ...], base: Style, top: Style = NO_STYLE
    ) -> list[Segment]:
        """Spans as Rich segments: `base`, then their roles, then `top`."""
        plain = base + top
        return [
            Segment(
                text,
                plain
                if not role
                else base + self.role_style(role)
                if role in LOUD
                else base + self.role_style(role) + top,
            )
            for text, role in spans
        ]

    def paint(self, row: Line, width: int, over: str = "", scroll_x: int = 0) -> Strip:
        """A line as a strip of exactly `width` cells; `over` is a role laid over the whole row.

        `scroll_x` cells behind the gutter are scrolled out; the gutter, such as the number of a
        line, stays where it is.
        """
        base = self._base or self.rich_style
        if row.fill:
            base = base + self.role_style(row.fill)
        spans = row.spans
        if over.startswith("cursor"):
            spans = tuple((t, "on-cursor" if role in QUIET else role) for t, role in spans)
        # On top: `Strip.apply_style` would leave the background of every span as it is.
        top = self.role_style(over) if over else Style.null()
        strip = Strip(self.segments(spans, base, top))
        if scroll_x:
            gutter = min(row.gutter, strip.cell_length, width)
            strip = Strip.join([strip.crop(0, gutter), strip.crop(gutter + scroll_x)])
        return strip.crop_extend(0, width, base + top)


class Bar(Painter):
    """One row painted from spans; repaints only when they change, and never causes a new layout."""

    DEFAULT_CSS = "Bar { height: 1; width: 1fr; }"

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._row = Line(())

    def set_row(self, row: Line) -> None:
        if row != self._row:
            self._row = row
            self.refresh(layout=False)

    @property
    def row(self) -> Line:
        return self._row

    def render_line(self, y: int) -> Strip:
        if y:
            return Strip.blank(self.size.width, self.rich_style)
        return self.paint(self._row, self.size.width)
