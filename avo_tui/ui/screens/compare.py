"""Two versions beside each other: scores with the change, resources, the difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.cells import cell_len

from avo_tui.domain.records import Version
from avo_tui.ui import formats
from avo_tui.ui.actions import Action, Actions
from avo_tui.ui.loader import Failed
from avo_tui.ui.panes.base import teach
from avo_tui.ui.panes.diff import SIDE_BY_SIDE, DiffDoc, compare, diff_lines, warm
from avo_tui.ui.panes.scores import paired_lines
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.text import BLANK, Line, Span, fit, line, one_line, prose, width_of
from avo_tui.ui.widgets.pane import Pane


class CompareScreen(DetailScreen):
    """The difference of the sources, the scores, what changed of the resources: one text."""

    act = Actions["CompareScreen"]("look")

    MAIN = "#compare-view"
    ABOUT = "Two versions. The change is of the right one against the left one."
    PANES = {"compare": ("Compare", "Sources, scores, what changed of the resources.")}  # noqa: RUF012

    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self.left_number, self.right_number = left, right
        self.sides: bool | None = None
        self._painted: object = None

    @act(
        "d", "The difference unified, or side by side.", footer=1, id="sides", label="side by side"
    )
    def toggle_sides(self) -> None:
        """Unified where it is side by side, and the other way round."""
        beside = self.main.size.width >= SIDE_BY_SIDE if self.sides is None else self.sides
        self.sides = not beside
        self.paint_again()

    @act("x", "The other way round.", footer=2)
    def swap(self) -> None:
        self.left_number, self.right_number = self.right_number, self.left_number
        self.paint_again()

    @act("left_square_bracket", "The left one's parent instead.", footer=3, label="older left")
    def older(self) -> None:
        assert self.snapshot is not None
        parent = self.snapshot.versions[self.left_number].parent
        if parent is None:
            self.app.notify(f"v{self.left_number} has no parent", timeout=2)
            return
        self.left_number = parent
        self.paint_again()

    @act("B", "The right one beside the best version.", footer=4, id="best", label="with the best")
    def with_best(self) -> None:
        """Put the right version beside the best one; of the best itself, the left one."""
        assert self.snapshot is not None
        best = self.snapshot.best
        if best is None:
            return
        if self.right_number != best.number:
            self.left_number = self.right_number
        self.right_number = best.number
        self.paint_again()

    def repaint(self) -> None:
        assert self.snapshot is not None
        source, highlight = self.host.session.source, self.host.highlighter
        a = self.snapshot.versions.get(self.left_number)
        b = self.snapshot.versions.get(self.right_number)
        if a is None or b is None or source is None:
            return

        def compute() -> DiffDoc:
            old, new = source.candidate(a.candidate), source.candidate(b.candidate)
            warm(old, new, highlight)
            return compare(old, new)

        doc = self.loader.get(("diff", a.number, b.number), compute)
        basis = (a.number, b.number, self.sides, id(doc), self.main.size.width)
        if basis == self._painted:
            return
        self._painted = basis
        pane = self.query_one("#compare", Pane)
        pane.set_heading(f"v{a.number} → v{b.number}")
        if isinstance(doc, DiffDoc):
            pane.set_info([(f"+{doc.added}", "add-mark"), (f" −{doc.removed}", "del-mark")])
        sides = self.sides

        def build(width: int) -> Sequence[Line]:
            rows = [BLANK, *_titles(a, b, width), *_at_the_gate(a, b, width), BLANK]
            if isinstance(doc, Failed):
                rows += teach("The difference cannot be shown.", doc.reason)
            elif doc is None:
                rows += teach("reading the sources …")
            elif not doc.files:
                rows += teach("The sources are the same.")
            else:
                rows += diff_lines(doc, width, highlight, sides)
            names = f"v{a.number}", f"v{b.number}"
            rows += [BLANK, *paired_lines(a.score, b.score, *names, width)]
            return [*rows, BLANK, *_resources(a, b, width)]

        self.main.show(build)

    ACTIONS: ClassVar[Sequence[Action[Any]]] = (*act, *DETAIL)


def _titles(a: Version, b: Version, width: int) -> list[Line]:
    out = []
    for version in (a, b):
        spans: list[Span] = [
            (fit(f"v{version.number}", 7), "strong"),
            (f"{formats.ratio(version.aggregate):>8}  ", "strong"),
        ]
        when = f"  {one_line(version.model or version.author, 24)}, {version.created:%d %b %H:%M}"
        room = width - width_of(spans) - cell_len(when)
        out.append(line(*spans, fit(one_line(version.title), max(8, room)), (when, "dim")))
    return out


def _at_the_gate(a: Version, b: Version, width: int) -> list[Line]:
    """What the gate measured, where it timed one of the two against the other; it decides, and the
    scores below come from a run of each."""
    for version, other in ((b, a), (a, b)):
        timed = version.timed_against
        if timed is not None and timed[0] == other.number:
            lead = (f"v{version.number} at the gate: ", "good")
            return prose(formats.minus(version.gate.reason), width, "", lead)
    told = "the gate did not time these two against each other: below are separate runs (≈)"
    return prose(told, width, "dim")


def _resources(a: Version, b: Version, width: int) -> list[Line]:
    """What changed of the compiled code; what did not, in one sentence."""
    left, right = a.resources, b.resources
    rows: list[tuple[str, float | None, float | None]] = [
        ("registers", left.registers, right.registers),
        ("spilled bytes", left.spill_bytes, right.spill_bytes),
        ("shared memory", left.shared_memory, right.shared_memory),
        ("code bytes", left.code_bytes, right.code_bytes),
    ]
    names = dict.fromkeys([*left.instructions, *right.instructions])
    rows += [(n, left.instructions.get(n), right.instructions.get(n)) for n in names]
    known = [row for row in rows if row[1:] != (None, None)]
    out = [_resource(*row) for row in known if row[1] != row[2]]
    same = [f"{one_line(name)} {x:,}" for name, x, y in known if x == y]
    if same:
        out += prose("unchanged: " + ", ".join(same), width, "dim")
    return out


def _resource(name: str, x: float | None, y: float | None) -> Line:
    text = f"{(y or 0) - (x or 0):+,.0f}".replace("-", "−")
    return line(
        (fit(one_line(name), 22), "dim"),
        f"{'–' if x is None else f'{x:,}':>10}",
        ("  → ", "faint"),
        f"{'–' if y is None else f'{y:,}':>10}",
        (f"{text:>10}", "dim"),
    )
