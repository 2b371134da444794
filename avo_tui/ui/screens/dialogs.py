"""Dialogs. Each returns a value, or None when it is left with escape; the screen sends commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static, TextArea

from avo_tui.domain import lineage
from avo_tui.domain.budget import Budget, BudgetUnit, Caps, cap_states, hours_left
from avo_tui.domain.commands import SendHint
from avo_tui.domain.records import Hint
from avo_tui.ui import show
from avo_tui.ui.feed import Snapshot
from avo_tui.ui.text import BLANK, Line, clean_lines, cut, fit, line, one_line, prose
from avo_tui.ui.widgets.form import Choice, Menu, Pill
from avo_tui.ui.widgets.lines import LinesView

T = TypeVar("T")


class Dialog(ModalScreen[T | None], Generic[T]):
    """A framed box in the middle; escape leaves it without doing anything."""

    HEADING = ""
    BINDINGS = [  # noqa: RUF012
        Binding("escape", "cancel", show=False),
        Binding("ctrl+s", "accept", show=False),
    ]

    def compose(self) -> ComposeResult:
        """The frame around `content`."""
        with Vertical(id="box") as box:
            box.border_title = Content(self.heading)
            yield from self.content()

    @property
    def heading(self) -> str:
        """The title of the frame."""
        return self.HEADING

    def content(self) -> ComposeResult:
        """The widgets in the frame."""
        yield from ()

    def buttons(self, accept: str, cancel: str = "esc  leave it") -> Horizontal:
        """The row of buttons."""
        return Horizontal(Pill(cancel, id="cancel"), Pill(accept, id="accept"), id="buttons")

    def action_cancel(self) -> None:
        """Leave without doing anything."""
        self.dismiss(None)

    def action_accept(self) -> None:
        """Do it."""

    @on(Pill.Pressed, "#cancel")
    def _cancelled(self) -> None:
        self.action_cancel()

    @on(Pill.Pressed, "#accept")
    def _accepted(self) -> None:
        self.action_accept()

    def problem(self, text: str) -> None:
        """Say why it cannot be done as it is."""
        self.query_one("#problem", Static).update(Content(text))


def note(text: str) -> Static:
    """An explanation in a dialog."""
    return Static(Content(text), classes="note")


def label(text: str) -> Label:
    """The name of a field."""
    return Label(Content(text), classes="label")


def problem() -> Static:
    """The place where a dialog says what is wrong."""
    return Static("", id="problem", classes="problem")


class Confirm(Dialog[bool]):
    """Yes or no."""

    def __init__(self, heading: str, said: str, accept: str, details: Sequence[Line] = ()) -> None:
        super().__init__()
        self._heading, self._said, self._accept, self._details = (
            heading,
            said,
            accept,
            list(details),
        )

    @property
    def heading(self) -> str:
        """The title of the frame."""
        return self._heading

    def content(self) -> ComposeResult:
        """The question, details, two buttons."""
        yield note(self._said)
        if self._details:
            view = LinesView(id="details")
            view.can_focus = False
            yield view
        yield self.buttons(self._accept)

    def on_mount(self) -> None:
        """The harmless button has the focus."""
        for view in self.query(LinesView):
            view.styles.height = min(len(self._details), 12)
            view.show(lambda width: self._details)
        self.query_one("#cancel").focus()

    def action_accept(self) -> None:
        """Yes."""
        self.dismiss(True)


class PauseMenu(Dialog[str]):
    """The three forms of a pause."""

    HEADING = "Pause"

    def content(self) -> ComposeResult:
        """A menu."""
        yield BLANK_ROW()
        yield Menu(
            [
                (
                    "after_tool",
                    "after this tool",
                    "the running compile or benchmark is finished first",
                ),
                (
                    "after_step",
                    "after this step",
                    "the operator finishes what it is at, then waits",
                ),
                ("now", "now", "the stream is cut, the child is ended; its answer is lost"),
            ]
        )
        yield note("Paused time is not spent time. p goes on in the same conversation.")

    @on(Menu.Chosen)
    def _chosen(self, event: Menu.Chosen) -> None:
        self.dismiss(event.value)


def BLANK_ROW() -> Static:  # noqa: N802 - a widget's constructor
    """An empty row."""
    return Static("")


class HintDialog(Dialog[SendHint]):
    """A hint: text, when it is delivered, how long it holds. Shows the hints so far."""

    HEADING = "Hint to the operator"

    def __init__(self, hints: Sequence[Hint], operator: str, clear: Callable[[str], None]) -> None:
        super().__init__()
        self._hints = sorted(hints, key=lambda h: h.queued_at, reverse=True)
        self._operator, self._clear = operator, clear

    def content(self) -> ComposeResult:
        """Text, choices, the hints so far."""
        if self._operator == "tuner":
            yield note("The tuner understands NAME=value, which pins a tunable, such as TILE_K=64.")
        area = TextArea(id="text", show_line_numbers=False, tab_behavior="focus")
        yield area
        yield label("delivered")
        yield Choice(
            [
                ("next_tool", "at the next tool"),
                ("end_of_turn", "at the end of the turn"),
                ("now", "now"),
            ],
            id="delivery",
        )
        yield label("holds")
        yield Choice(
            [("once", "once"), ("step", "for this step"), ("until_cleared", "until cleared")],
            id="scope",
        )
        if self._hints:
            yield label("so far   (c clears the newest that is in force)")
            view = LinesView(id="so-far")
            yield view
        yield problem()
        yield self.buttons("^s  send")

    def on_mount(self) -> None:
        """The hints so far."""
        for view in self.query("#so-far"):
            assert isinstance(view, LinesView)
            rows = self._rows(68)
            view.styles.height = min(len(rows), 7)
            view.show(lambda width: self._rows(width))
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
            said = " · ".join(
                p for p in (hint.state, one_line(hint.where), one_line(hint.effect)) if p
            )
            out.append(line((f"{glyph} ", role), text, meta=hint.id))
            out.append(line(("  " + cut(said, width - 2), "dim"), meta=hint.id))
        return out

    def key_c(self) -> None:
        """Clear the newest hint in force."""
        if isinstance(self.focused, TextArea):
            return
        live = next(
            (
                h
                for h in self._hints
                if h.state == "queued" or (h.state == "delivered" and h.scope != "once")
            ),
            None,
        )
        if live is not None:
            self._clear(live.id)
            self.dismiss(None)

    def action_accept(self) -> None:
        """Send."""
        text = self.query_one("#text", TextArea).text.strip()
        if not text:
            self.problem("write something first; esc leaves without sending")
            return
        if len(text) > 20_000:
            self.problem(f"a hint has at most 20,000 characters, not {len(text):,}")
            return
        delivery = self.query_one("#delivery", Choice).value
        scope = self.query_one("#scope", Choice).value
        self.dismiss(SendHint(text=text, delivery=delivery, scope=scope))


class RewindDialog(Dialog[str]):
    """A rewind, with what it leaves on a branch. Returns the reason."""

    def __init__(self, snapshot: Snapshot, target: int) -> None:
        super().__init__()
        self._snapshot, self._target = snapshot, target

    @property
    def heading(self) -> str:
        """The title of the frame."""
        return f"Rewind to v{self._target}"

    def content(self) -> ComposeResult:
        """What happens, then the reason."""
        yield LinesView(id="preview")
        yield label("reason, which the operator is told")
        yield TextArea(id="text", show_line_numbers=False, tab_behavior="focus")
        yield problem()
        yield self.buttons(f"^s  rewind to v{self._target}")

    def on_mount(self) -> None:
        """Show the preview."""
        view = self.query_one("#preview", LinesView)
        view.can_focus = False
        rows = self._preview(68)
        view.styles.height = min(len(rows), 13)
        view.show(lambda width: self._preview(width))
        self.query_one("#text").focus()

    def _preview(self, width: int) -> list[Line]:
        snapshot, target = self._snapshot, self._target
        versions, head = dict(snapshot.versions), snapshot.session.head
        if head is None or head == target:
            return [
                BLANK,
                *prose(f"v{target} is the head already: the step is begun anew from it.", width),
            ]
        left = lineage.abandoned_by(versions, head, target)
        out: list[Line] = [BLANK]
        value = show.ratio(snapshot.aggregates.get(target, 0.0))
        out.append(
            line(
                ("● ", "head"), (f"v{target}", "head"), f"  {value}", ("  becomes the head", "dim")
            )
        )
        if left:
            count = (
                f"{len(left)} version{'s become' if len(left) > 1 else ' becomes'} a "
                "branch; nothing is deleted:"
            )
            out += [BLANK, line((count, "warn"))]
            for number in left[:7]:
                star = number == (snapshot.best.number if snapshot.best else None)
                title = one_line((versions[number].plan or versions[number].summary).split("\n")[0])
                lead = f"{show.ratio(snapshot.aggregates.get(number, 0.0)):>8}  "
                out.append(
                    line(
                        ("★ " if star else "○ ", "best" if star else "lane-dead"),
                        (fit(f"v{number}", 6), ""),
                        lead,
                        (cut(title, width - 18), "dim"),
                    )
                )
            if len(left) > 7:
                out.append(line((f"  … and {len(left) - 7} older ones", "faint")))
        else:
            out += [
                BLANK,
                *prose(
                    f"v{target} is on another branch: the head's line stays as it is, beside it.",
                    width,
                    "dim",
                ),
            ]
        step = snapshot.live
        if step.ended is None and step.number:
            out += prose(
                f"step {step.number} ends; its working candidate is kept as an attempt",
                width,
                "dim",
            )
        return out

    def action_accept(self) -> None:
        """Rewind."""
        self.dismiss(self.query_one("#text", TextArea).text.strip())


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

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot

    def content(self) -> ComposeResult:
        """A table of caps."""
        view = LinesView(id="spent")
        view.can_focus = False
        yield view
        session = self._snapshot.session
        yield label("caps: for the run, then for each step; empty is without a cap")
        for unit, name in _BUDGET:
            with Horizontal(classes="row"):
                yield Label(Content(name.ljust(12)), classes="cap-name")
                for scope, caps in (("run", session.budget.run), ("step", session.budget.step)):
                    value = getattr(caps, unit)
                    yield Input(
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
                f"{show.usd(spend.usd)} · {show.count(spend.tokens)} tokens · "
                f"{show.clock(spend.seconds)} · {spend.evaluations} evaluations · "
                f"{spend.steps} steps",
            )
        )
        for cap in cap_states(session.budget.run, spend):
            left = hours_left(cap, spend)
            role = "bad" if cap.exhausted else "warn" if cap.fraction >= 0.8 else ""
            when = (
                f"   at this pace used up in {left:.1f} h of running"
                if left is not None and cap.unit != "hours"
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

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        """Check and set."""
        made: dict[str, dict[str, Any]] = {"run": {}, "step": {}}
        for scope in made:
            for unit, name in _BUDGET:
                box = self.query_one(f"#{scope}-{unit}", Input)
                text = box.value.strip().lstrip("$").replace(",", "")
                if not text:
                    continue
                try:
                    value = float(text)
                except ValueError:
                    value = -1.0
                whole = unit in {"tokens", "evaluations", "steps"}
                if (
                    value < 0
                    or value != value
                    or value == float("inf")
                    or (whole and value != int(value))
                ):
                    self.problem(
                        f"{name}: {one_line(box.value)!r} is not a "
                        f"{'whole number' if whole else 'number'} from 0 on"
                    )
                    box.focus()
                    return
                made[scope][unit] = int(value) if whole else value
        self.dismiss(Budget(run=Caps(**made["run"]), step=Caps(**made["step"])))


class TextDialog(Dialog[str]):
    """A piece of text: a note, a reason, a bookmark."""

    def __init__(
        self,
        heading: str,
        said: str,
        accept: str,
        *,
        text: str = "",
        single: bool = False,
        empty: bool = True,
    ) -> None:
        super().__init__()
        self._heading, self._said, self._accept = heading, said, accept
        self._text, self._single, self._empty = text, single, empty

    @property
    def heading(self) -> str:
        """The title of the frame."""
        return self._heading

    def content(self) -> ComposeResult:
        """Explanation and field."""
        yield note(self._said)
        if self._single:
            yield Input(self._text, id="text", max_length=60)
        else:
            yield TextArea(self._text, id="text", show_line_numbers=False, tab_behavior="focus")
        yield problem()
        yield self.buttons(f"{'enter' if self._single else '^s'}  {self._accept}")

    def on_mount(self) -> None:
        """Ready to write."""
        self.query_one("#text").focus()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        """Return the text."""
        box = self.query_one("#text")
        text = (
            box.value if isinstance(box, Input) else box.text if isinstance(box, TextArea) else ""
        )
        if not self._empty and not text.strip():
            self.problem("write something first")
            return
        self.dismiss(text.strip())


class Digest(Dialog[bool]):
    """Lines to read: what happened while the person was away."""

    def __init__(self, heading: str, rows: Sequence[Line]) -> None:
        super().__init__()
        self._heading, self._rows = heading, list(rows)

    BINDINGS = [Binding("enter,q", "cancel", show=False)]  # noqa: RUF012

    @property
    def heading(self) -> str:
        """The title of the frame."""
        return self._heading

    def content(self) -> ComposeResult:
        """The lines and a button."""
        yield LinesView(id="rows")
        yield self.buttons("enter  look", "esc  close")

    def on_mount(self) -> None:
        """Show them."""
        view = self.query_one("#rows", LinesView)
        view.styles.height = min(len(self._rows), 18)
        view.styles.max_height = 18
        view.show(lambda width: self._rows)
        self.query_one("#accept").focus()

    def action_accept(self) -> None:
        """Close."""
        self.dismiss(True)


def error_rows(text: str) -> list[Line]:
    """Untrusted text as rows of a dialog."""
    return [line((row, "")) for row in clean_lines(text)]
