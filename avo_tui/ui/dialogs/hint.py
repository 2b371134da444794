"""The hint dialog."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.binding import Binding

from avo_tui.domain.commands import MAX_TEXT, SendHint
from avo_tui.domain.records import Hint, HintDelivery
from avo_tui.domain.run_settings import OperatorTraits
from avo_tui.ui.dialogs.frame import Dialog, label, note, problem
from avo_tui.ui.text import Line, cut, line, one_line
from avo_tui.ui.widgets.form import Choice
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.prose import Writing

_PIN = re.compile(r"\b[A-Za-z_]\w*\s*=\s*\S")
"""Matches NAME=value, the only form that some operators understand."""


def moments(traits: OperatorTraits) -> dict[HintDelivery, str]:
    """Descriptions of the delivery times; the tuner has attempts instead of tools and turns."""
    if traits.hints == "tunables":
        return {"next_tool": "before the next attempt", "now": "now, ending this attempt"}
    return {"next_tool": "at the next tool", "end_of_turn": "at the end of the turn", "now": "now"}


class HintDialog(Dialog[SendHint]):
    """A hint: text, when it is delivered, how long it holds. Shows the hints so far."""

    BINDINGS = [Binding("ctrl+l", "clear_newest", show=False)]  # noqa: RUF012

    def __init__(
        self, hints: Sequence[Hint], traits: OperatorTraits, clear: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._hints = sorted(hints, key=lambda h: h.queued_at, reverse=True)
        self._traits, self._clear = traits, clear
        self._pins_only = traits.hints == "tunables"
        self._warned = ""
        """The text that a warning was shown for; if submitted again, it is sent anyway."""

    @property
    def heading(self) -> str:
        """The title of the frame."""
        return f"Hint to the {self._traits.title or 'operator of variation'}"

    def content(self) -> ComposeResult:
        """Text, choices, the hints so far."""
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
            outcome = " · ".join(
                p for p in (hint.state, one_line(hint.where), one_line(hint.effect)) if p
            )
            out.append(line((f"{glyph} ", role), text, meta=hint.id))
            out.append(line(("  " + cut(outcome, width - 2), "dim"), meta=hint.id))
        return out

    def action_clear_newest(self) -> None:
        """Clear the newest hint in force."""
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
