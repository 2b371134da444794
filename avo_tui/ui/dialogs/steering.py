"""The dialogs that steer a run: a hint, a rewind, the caps."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Label

from avo_tui.domain import lineage
from avo_tui.domain.budget import SOFT_WARNING, Budget, BudgetUnit, Caps, cap_states, hours_left
from avo_tui.domain.commands import MAX_TEXT, SendHint
from avo_tui.domain.records import Hint, HintDelivery
from avo_tui.domain.run_settings import OperatorTraits
from avo_tui.ui import formats
from avo_tui.ui.dialogs.frame import Dialog, amount, label, note, problem, shown
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import BLANK, Line, cut, fit, line, one_line, prose
from avo_tui.ui.widgets.fields import Field
from avo_tui.ui.widgets.form import Choice
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.prose import Writing

_PIN = re.compile(r"\b[A-Za-z_]\w*\s*=\s*\S")
"""Matches NAME=value, the only form that some operators understand."""


def moments(traits: OperatorTraits) -> dict[HintDelivery, str]:
    """Descriptions of the delivery times; the tuner has attempts instead of tools and turns, and
    who hands candidates in hears something with the answer to one."""
    if not traits.steps_by_itself:
        return {"next_tool": "with the answer to the next candidate"}
    if traits.hints == "tunables":
        return {"next_tool": "before the next attempt", "now": "now, ending this attempt"}
    return {"next_tool": "at the next tool", "end_of_turn": "at the end of the turn", "now": "now"}


class HintDialog(Dialog[SendHint]):
    """A hint: text, when it is delivered, how long it holds. Shows the hints so far."""

    BINDINGS = [Binding("ctrl+l", "clear_newest", show=False)]  # noqa: RUF012

    def __init__(
        self, hints: Sequence[Hint], traits: OperatorTraits, clear: Callable[[str], None]
    ) -> None:
        super().__init__(f"Hint to the {traits.title or 'operator of variation'}")
        self._hints = sorted(hints, key=lambda h: h.queued_at, reverse=True)
        self._traits, self._clear = traits, clear
        self._pins_only = traits.hints == "tunables"
        self._warned = ""
        """The text that a warning was shown for; if submitted again, it is sent anyway."""

    def content(self) -> ComposeResult:
        if self._pins_only:
            yield note("The tuner understands NAME=value, which pins a tunable, such as TILE_K=64.")
        yield Writing(id="text")
        yield label("delivered")
        yield Choice(list(moments(self._traits).items()), id="delivery")
        yield label("holds")
        yield Choice(
            [("once", "once"), ("step", "for this step"), ("until_cleared", "until cleared")],
            id="scope",
        )
        if self._hints:
            so_far = label("so far   (^l clears the newest that is in force)")
            so_far.id = "so-far-label"
            yield so_far
            yield shown(self._rows, 7, "so-far")
        yield problem()
        yield self.buttons("^s  send")

    def on_mount(self) -> None:
        for view in self.query(LinesView):
            view.can_focus = True
        self.query_one("#text").focus()

    def _rows(self, width: int) -> list[Line]:
        out: list[Line] = []
        for hint in self._hints[:12]:
            glyph, role = {
                "queued": ("◷", "warn"),
                "delivered": ("✔", "good"),
                "expired": ("–", "faint"),
                "cleared": ("✕", "faint"),
            }[hint.state]
            text = cut(one_line(hint.text), width - 2)
            outcome = " · ".join(
                p for p in (hint.state, one_line(hint.where), one_line(hint.effect)) if p
            )
            out.append(line((f"{glyph} ", role), text, meta=hint.id))
            out.append(line(("  " + cut(outcome, width - 2), "dim"), meta=hint.id))
        return out

    def action_clear_newest(self) -> None:
        for hint in self._hints:
            if hint.state == "queued" or (hint.state == "delivered" and hint.scope != "once"):
                self._clear(hint.id)
                self.dismiss(None)
                return

    def action_accept(self) -> None:
        text = self.query_one("#text", Writing).text.strip()
        if not text:
            self.problem("write something first; esc leaves without sending")
            return
        if self.too_long(text, MAX_TEXT):
            return
        if self._pins_only and not _PIN.search(text) and text != self._warned:
            self._warned = text
            self.problem(
                "the tuner cannot act on prose: write NAME=value, such as TILE_K=64, which pins a "
                "tunable; ^s again sends it as it is"
            )
            return
        delivery = self.query_one("#delivery", Choice).value
        scope = self.query_one("#scope", Choice).value
        self.dismiss(SendHint(text=text, delivery=delivery, scope=scope))


class RewindDialog(Dialog[str]):
    """A rewind, with what it leaves on a branch. Returns the reason."""

    def __init__(self, snapshot: Snapshot, target: int) -> None:
        super().__init__(f"Rewind to v{target}")
        self._snapshot, self._target = snapshot, target

    def content(self) -> ComposeResult:
        yield shown(self._preview, 13, "preview")
        yield label("reason, told to the operator of variation")
        yield Writing(id="text")
        yield problem()
        yield self.buttons(f"^s  rewind to v{self._target}")

    def on_mount(self) -> None:
        self.query_one("#text").focus()

    def _preview(self, width: int) -> list[Line]:
        snapshot, target = self._snapshot, self._target
        versions, head = dict(snapshot.versions), snapshot.session.head
        if head is None or head == target:
            told = f"v{target} is the head already: the step is begun anew from it."
            return [BLANK, *prose(told, width)]
        out: list[Line] = [BLANK]

        def ratio(number: int) -> str:
            return formats.ratio(snapshot.aggregates.get(number, 0.0))

        becomes = ("  becomes the head", "dim")
        out.append(line(("● ", "head"), (f"v{target}", "head"), f"  {ratio(target)}", becomes))
        left = lineage.abandoned_by(versions, head, target)
        if left:
            become = "s become" if len(left) > 1 else " becomes"
            count = f"{len(left)} version{become} a branch; nothing is deleted:"
            out += [BLANK, line((count, "warn"))]
            for number in left[:7]:
                best = snapshot.best is not None and number == snapshot.best.number
                mark = (f"{versions[number].star} ", "best") if best else ("○ ", "lane-dead")
                title = (cut(one_line(versions[number].title), width - 18), "dim")
                out.append(line(mark, fit(f"v{number}", 6), f"{ratio(number):>8}  ", title))
            if len(left) > 7:
                out.append(line((f"  … and {len(left) - 7} older ones", "faint")))
        else:
            beside = f"v{target} is on another branch: the head's line stays as it is, beside it."
            out += [BLANK, *prose(beside, width, "dim")]
        step = snapshot.live
        if step.ended is None and step.number:
            kept = f"step {step.number} ends; its working candidate is kept as an attempt"
            out += prose(kept, width, "dim")
        return out

    def action_accept(self) -> None:
        reason = self.query_one("#text", Writing).text.strip()
        if not self.too_long(reason, MAX_TEXT):
            self.dismiss(reason)


_BUDGET: tuple[tuple[BudgetUnit, str], ...] = (
    ("usd", "USD"),
    ("tokens", "tokens"),
    ("hours", "hours"),
    ("evaluations", "evaluations"),
    ("steps", "steps"),
)


class BudgetDialog(Dialog[Budget]):
    """Caps for the run and for each step, with what is spent and the forecast."""

    BINDINGS = [  # noqa: RUF012
        Binding("up", "row(-1)", show=False),
        Binding("down", "row(1)", show=False),
    ]

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__("Budget")
        self._snapshot = snapshot

    def content(self) -> ComposeResult:
        session = self._snapshot.session
        yield shown(self._spent, 20, "spent")
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
        self.query_one("#run-usd").focus()

    def _spent(self, width: int) -> list[Line]:
        """What was spent, and of each cap how much."""
        budget, spend = self._snapshot.session.budget.run, self._snapshot.session.spend
        told = (
            f"{formats.usd(spend.usd)} · {formats.count(spend.tokens)} tokens · "
            f"{formats.clock(spend.seconds)} · {spend.evaluations} evaluations · "
            f"{spend.steps} steps"
        )
        rows = [BLANK, *prose(told, width, "", ("spent  ", "dim"))]
        for cap in cap_states(budget, spend):
            left, when = hours_left(cap, spend), ""
            role = "bad" if cap.exhausted else "warn" if cap.fraction >= SOFT_WARNING else ""
            if left is not None and cap.unit != "hours" and not cap.exhausted:
                when = f"   used up in {left:.1f} h of running at this pace"
            share = (f"{cap.fraction:5.0%}", role)
            rows.append(line((fit(cap.unit, 13), "dim"), share, f" of {cap.cap:g}", (when, "dim")))
        return rows

    def action_row(self, by: int) -> None:
        if self.focused is not None and self.focused.id is not None:
            scope, _, unit = self.focused.id.partition("-")
            units = [name for name, _ in _BUDGET]
            if unit in units:
                row = (units.index(unit) + by) % len(units)
                self.query_one(f"#{scope}-{units[row]}").focus()

    def action_accept(self) -> None:
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
