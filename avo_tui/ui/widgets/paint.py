"""From roles to colours: the one place where a line gets its styles.

Roles are component classes of the app, so colours live in `styles/paint.tcss`, follow the theme,
and work with the terminal's own sixteen colours and with `NO_COLOR`. They are not those of each
widget: a style sheet that is applied to seventy roles of every widget takes a second of a first
picture, and a part of every move of the focus.
"""

from __future__ import annotations

from typing import Any, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from avo_tui.ui.text import Line, Span
from avo_tui.ui.textual_internals import OpenedApp

ROLES = frozenset(
    [
        "dim",
        "faint",
        "strong",
        "accent",
        "good",
        "bad",
        "warn",
        "info",
        "title",
        "key",
        "lane",
        "lane-dead",
        "node",
        "best",
        "head",
        "running",
        "chip",
        "bookmark",
        "add",
        "del",
        "add-word",
        "del-word",
        "add-mark",
        "del-mark",
        "hunk",
        "file",
        "gutter",
        "bar",
        "bar-good",
        "bar-bad",
        "bar-track",
        "bar-mark",
        "bar-tick",
        "axis",
        "curve",
        "area",
        "on-area",
        "point",
        "baseline",
        "mark",
        "state-running",
        "state-busy",
        "state-paused",
        "state-parked",
        "state-lost",
        "state-over",
        "state-replay",
        "state-waits",
        "cursor",
        "cursor-blur",
        "on-cursor",
        "match",
        "row-odd",
        "selected",
        "on-bar",
        "off-bar",
        "sx-keyword",
        "sx-type",
        "sx-string",
        "sx-comment",
        "sx-number",
        "sx-function",
        "sx-preproc",
        "sx-name",
        "hint",
        "tool",
        "thought",
        "inspect",
    ]
)

QUIET = frozenset(["faint", "lane-dead", "gutter", "sx-comment"])
"""Roles that are too faint for the row of the cursor: there they are painted as `on-cursor`."""


class Palette(OpenedApp):
    """An app that knows the style of every role, in the theme of the moment."""

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

    def role_style(self, roles: str) -> Style:
        """The style of one or several roles, the later ones on top; unknown ones are plain."""
        found = self._roles.get(roles)
        if found is not None:
            return found
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
    """The widget's own style while rows are painted: it is asked of all ancestors."""

    def render_lines(self, crop: Region) -> list[Strip]:
        """All rows of one picture."""
        self._base = self.rich_style
        try:
            return super().render_lines(crop)
        finally:
            self._base = None

    def role_style(self, roles: str) -> Style:
        """The style of one or several roles, the later ones on top; unknown ones are plain."""
        app = self.app
        return app.role_style(roles) if isinstance(app, Palette) else Style.null()

    def segments(self, spans: tuple[Span, ...], base: Style) -> list[Segment]:
        """Spans as Rich segments on top of `base`."""
        return [
            Segment(text, base + self.role_style(role) if role else base) for text, role in spans
        ]

    def paint(self, row: Line, width: int, over: str = "", scroll_x: int = 0) -> Strip:
        """A line as a strip of exactly `width` cells; `over` is a role laid over the whole row."""
        base = self._base or self.rich_style
        if row.fill:
            base = base + self.role_style(row.fill)
        spans = row.spans
        if over.startswith("cursor"):
            spans = tuple((t, "on-cursor" if role in QUIET else role) for t, role in spans)
        strip = Strip(self.segments(spans, base))
        if scroll_x:
            strip = strip.crop(scroll_x)
        strip = strip.crop_extend(0, width, base)
        if over:
            # On top: `Strip.apply_style` would leave the background of every span as it is.
            top = self.role_style(over)
            strip = Strip([Segment(s.text, (s.style or Style.null()) + top) for s in strip], width)
        return strip


def changed_cells(old: Line, new: Line) -> tuple[int, int]:
    """The range of cells in which two rows differ; everything where they are built differently.

    A clock that ticks then costs a few bytes, not a row.
    """
    whole = (0, max(old.width, new.width))
    if (old.fill, len(old.spans)) != (new.fill, len(new.spans)):
        return whole
    start, end, at = whole[1], 0, 0
    for (before, old_role), (after, new_role) in zip(old.spans, new.spans, strict=True):
        cells = cell_len(before)
        if old_role != new_role or cells != cell_len(after):
            return whole
        if before != after:
            start, end = min(start, at), max(end, at + cells)
        at += cells
    return start, end


class Bar(Painter):
    """One row, painted from spans; repaints only when they change, and never lays out."""

    DEFAULT_CSS = "Bar { height: 1; width: 1fr; }"

    def __init__(self, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._row = Line(())

    def set_row(self, row: Line) -> None:
        """Show this row from now on."""
        if row != self._row:
            old, self._row = self._row, row
            start, end = changed_cells(old, row)
            end = max(end, start + 1)
            self.refresh(Region(start, 0, end - start, 1), layout=False)

    @property
    def row(self) -> Line:
        """What is shown."""
        return self._row

    def render_line(self, y: int) -> Strip:
        """Textual's line API."""
        if y:
            return Strip.blank(self.size.width, self.rich_style)
        return self.paint(self._row, self.size.width)
