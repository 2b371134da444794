"""From roles to colours: the one place where a line gets its styles.

Roles are component classes, so colours live in `styles/paint.tcss`, follow the theme, and work
with the terminal's own sixteen colours and with `NO_COLOR`.
"""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from avo_tui.ui.text import Line, Span

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
        "cursor",
        "cursor-blur",
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


ROLE_CLASSES = {f"r-{role}" for role in ROLES}


class Painter(Widget):
    """A widget that can paint lines. Inherit, and call `paint`.

    Where it is not the first base, `COMPONENT_CLASSES = ROLE_CLASSES` must be repeated: Textual
    inherits component classes from the first base only.
    """

    COMPONENT_CLASSES = ROLE_CLASSES

    def role_style(self, roles: str) -> Style:
        """The style of one or several roles, the later ones on top; unknown ones are plain."""
        names = [f"r-{name}" for name in roles.split() if name in ROLES]
        style = Style.null()
        for name in names:
            # A widget may be asked before its first style sheet has been applied.
            style += self.get_component_rich_style(name, partial=True, default=Style.null())
        return style

    def segments(self, spans: tuple[Span, ...], base: Style) -> list[Segment]:
        """Spans as Rich segments on top of `base`."""
        cache: dict[str, Style] = {}
        out = []
        for text, role in spans:
            if role not in cache:
                cache[role] = base + self.role_style(role) if role else base
            out.append(Segment(text, cache[role]))
        return out

    def paint(self, row: Line, width: int, over: str = "", scroll_x: int = 0) -> Strip:
        """A line as a strip of exactly `width` cells; `over` is a role laid over the whole row."""
        base = self.rich_style
        if row.fill:
            base = base + self.role_style(row.fill)
        strip = Strip(self.segments(row.spans, base))
        if scroll_x:
            strip = strip.crop(scroll_x)
        strip = strip.crop_extend(0, width, base)
        if over:
            strip = strip.apply_style(self.role_style(over))
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
