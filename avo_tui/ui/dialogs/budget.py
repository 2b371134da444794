"""The budget dialog."""

from __future__ import annotations

from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Label

from avo_tui.domain.budget import SOFT_WARNING, Budget, BudgetUnit, Caps, cap_states, hours_left
from avo_tui.ui import formats
from avo_tui.ui.dialogs.frame import Dialog, amount, problem
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import BLANK, Line, fit, line
from avo_tui.ui.widgets.field import Field
from avo_tui.ui.widgets.lines import LinesView

_BUDGET: tuple[tuple[BudgetUnit, str], ...] = (
    ("usd", "USD"),
    ("tokens", "tokens"),
    ("hours", "hours"),
    ("evaluations", "evaluations"),
    ("steps", "steps"),
)


class BudgetDialog(Dialog[Budget]):
    """Caps for the run and for each step, with what is spent and the forecast."""

    HEADING = "Budget"
    BINDINGS = [  # noqa: RUF012
        Binding("up", "row(-1)", show=False),
        Binding("down", "row(1)", show=False),
    ]

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot

    def content(self) -> ComposeResult:
        """A table of caps."""
        view = LinesView(id="spent")
        view.can_focus = False
        yield view
        session = self._snapshot.session
        with Horizontal(classes="row heads"):
            yield Label(Content("caps"), classes="cap-name")
            yield Label(Content("for the run"), classes="head")
            yield Label(Content("for each step"), classes="head")
        for unit, name in _BUDGET:
            with Horizontal(classes="row"):
                yield Label(Content(name.ljust(12)), classes="cap-name")
                for scope, caps in (("run", session.budget.run), ("step", session.budget.step)):
                    value = getattr(caps, unit)
                    yield Field(
                        "" if value is None else f"{value:g}",
                        placeholder="no cap",
                        id=f"{scope}-{unit}",
                        compact=True,
                    )
        yield problem()
        yield self.buttons("^s  set")

    def on_mount(self) -> None:
        """What is spent."""
        session = self._snapshot.session
        rows: list[Line] = [BLANK]
        spend = session.spend
        rows.append(
            line(
                ("spent  ", "dim"),
                f"{formats.usd(spend.usd)} · {formats.count(spend.tokens)} tokens · "
                f"{formats.clock(spend.seconds)} · {spend.evaluations} evaluations · "
                f"{spend.steps} steps",
            )
        )
        for cap in cap_states(session.budget.run, spend):
            left = hours_left(cap, spend)
            role = "bad" if cap.exhausted else "warn" if cap.fraction >= SOFT_WARNING else ""
            when = (
                f"   at this pace used up in {left:.1f} h of running"
                if left is not None and cap.unit != "hours" and not cap.exhausted
                else ""
            )
            rows.append(
                line(
                    (fit(cap.unit, 13), "dim"),
                    (f"{cap.fraction:5.0%}", role),
                    f" of {cap.cap:g}",
                    (when, "dim"),
                )
            )
        view = self.query_one("#spent", LinesView)
        view.styles.height = len(rows)
        view.show(lambda width: rows)
        self.query_one("#run-usd").focus()

    def action_row(self, by: int) -> None:
        """Go to the field above or below."""
        if self.focused is not None and self.focused.id is not None:
            scope, _, unit = self.focused.id.partition("-")
            units = [name for name, _ in _BUDGET]
            if unit in units:
                row = (units.index(unit) + by) % len(units)
                self.query_one(f"#{scope}-{units[row]}").focus()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        """Check and set."""
        caps: dict[str, dict[str, Any]] = {"run": {}, "step": {}}
        for scope in caps:
            for unit, name in _BUDGET:
                box = self.query_one(f"#{scope}-{unit}", Field)
                whole = unit not in {"usd", "hours"}
                try:
                    value = amount(box.value, whole=whole)
                except ValueError as error:
                    self.problem(f"{name}: {error}")
                    box.focus()
                    return
                if value is not None:
                    caps[scope][unit] = int(value) if whole else value
        self.dismiss(Budget(run=Caps(**caps["run"]), step=Caps(**caps["step"])))


def budget_text(budget: Budget) -> str:
    """The caps in words: `$15 and 400 evaluations for the run, 2 hours for each step`."""
    parts = []
    for caps, scope in ((budget.run, "for the run"), (budget.step, "for each step")):
        known = [(unit, name, getattr(caps, unit)) for unit, name in _BUDGET]
        texts = [
            f"${value:g}" if unit == "usd" else f"{value:g} {name}"
            for unit, name, value in known
            if value is not None
        ]
        parts.append(f"{' and '.join(texts) or 'no cap'} {scope}")
    return ", ".join(parts)
