"""The rewind dialog: shows which versions become a branch, and asks for a reason."""

from __future__ import annotations

from textual.app import ComposeResult

from avo_tui.domain import lineage
from avo_tui.domain.commands import MAX_TEXT
from avo_tui.ui import formats
from avo_tui.ui.dialogs.frame import Dialog, label, problem
from avo_tui.ui.session.feed import Snapshot
from avo_tui.ui.text import BLANK, Line, cut, fit, line, one_line, prose
from avo_tui.ui.widgets.lines import LinesView
from avo_tui.ui.widgets.prose import Writing


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
        yield label("reason, told to the operator of variation")
        yield Writing(id="text")
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
        value = formats.ratio(snapshot.aggregates.get(target, 0.0))
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
                title = one_line(versions[number].title)
                lead = f"{formats.ratio(snapshot.aggregates.get(number, 0.0)):>8}  "
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
        reason = self.query_one("#text", Writing).text.strip()
        if not self.too_long(reason, MAX_TEXT):
            self.dismiss(reason)
