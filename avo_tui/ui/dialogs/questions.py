"""Questions: yes or no, how to pause, a piece of text, what to export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding

from avo_tui.domain.commands import MAX_TEXT
from avo_tui.ui.dialogs.frame import Dialog, label, note, problem, shown, space
from avo_tui.ui.services import ExportChoice
from avo_tui.ui.text import Line, fit, line, one_line
from avo_tui.ui.widgets.fields import Field
from avo_tui.ui.widgets.form import Choice
from avo_tui.ui.widgets.lists import PickList
from avo_tui.ui.widgets.prose import Writing


class Confirm(Dialog[bool]):
    def __init__(
        self,
        heading: str,
        said: str,
        accept: str,
        details: Sequence[Line] = (),
        cancel: str = "esc  cancel",
    ) -> None:
        super().__init__(heading)
        self._said, self._details = said, list(details)
        self._accept, self._cancel = accept, cancel

    def content(self) -> ComposeResult:
        yield note(self._said)
        if self._details:
            yield shown(lambda width: self._details, 12, "details")
        yield self.buttons(self._accept, self._cancel)

    def on_mount(self) -> None:
        self.query_one("#cancel").focus()

    def action_accept(self) -> None:
        self.dismiss(True)


def agreement(name: str, starts: Sequence[str]) -> Confirm:
    """The question before a session that was made elsewhere is gone on with."""
    question = (
        f"{one_line(name)} was not made by you on this machine. Looking at it runs nothing. "
        "Going on starts an engine that runs what its settings name, with your rights:"
    )
    rows = [line(("· ", "dim"), one_line(text)) for text in starts]
    accept, cancel = "go on, now and in future", "esc  only look"
    return Confirm("Made elsewhere", question, accept, rows, cancel=cancel)


PAUSES = (
    ("after_tool", "after this tool", "the running compile or benchmark is finished first"),
    ("after_step", "after this step", "the operator finishes what it is at, then waits"),
    ("now", "now", "cuts the stream, ends the child; its answer is lost"),
)


class PauseMenu(Dialog[str]):
    """The three forms of a pause."""

    BINDINGS = [Binding("enter,space", "accept", show=False)]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__("Pause")

    def content(self) -> ComposeResult:
        yield space()
        yield PickList(id="ways")
        yield note("Paused time is not spent time. p goes on in the same conversation.")

    def on_mount(self) -> None:
        view = self.query_one(PickList)
        rows = [line(fit(label, 17), (why, "dim"), meta=mode) for mode, label, why in PAUSES]
        view.styles.height = len(rows)
        view.show(lambda width: rows)
        view.focus()

    def on_click(self, event: events.Click) -> None:
        if isinstance(event.widget, PickList):
            self.action_accept()

    def action_accept(self) -> None:
        way = self.query_one(PickList).key  # none where the screen has no room for a row
        if way is not None:
            self.dismiss(str(way))


MOST_OF_A_ROW = 60
"""Largest number of characters of a text of one row, such as a bookmark."""


def not_empty(text: str) -> str:
    return "" if text else "write something first"


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
        check: Callable[[str], str] = lambda text: "",
    ) -> None:
        """`check` says in a sentence why a text cannot be taken; "" if it can."""
        super().__init__(heading)
        self._most = MOST_OF_A_ROW if single else MAX_TEXT
        self._said, self._accept = said, accept
        self._text, self._single, self._check = text, single, check

    def content(self) -> ComposeResult:
        yield note(self._said)
        if self._single:
            yield Field(self._text, id="text")
        else:
            yield Writing(self._text, id="text")
        yield problem()
        yield self.buttons(f"{'enter' if self._single else '^s'}  {self._accept}")

    def on_mount(self) -> None:
        self.query_one("#text").focus()

    def action_accept(self) -> None:
        box = self.query_one("#text")
        text = box.value if isinstance(box, Field) else box.text if isinstance(box, Writing) else ""
        text = text.strip()
        if why := self._check(text):
            self.problem(why)
        elif not self.too_long(text, self._most):
            self.dismiss(text)


@dataclass(frozen=True)
class Wish:
    """What to export, and where to."""

    form: str
    to: str
    version: int | None
    """Number of the version to export, for a form made from one version; None for the best."""


class ExportDialog(Dialog[Wish]):
    BINDINGS = [Binding("enter", "accept", show=False)]  # noqa: RUF012

    def __init__(self, choices: Sequence[ExportChoice], session: str, version: int | None) -> None:
        super().__init__("Export")
        self._choices, self._session, self._version = choices, session, version

    def content(self) -> ComposeResult:
        yield label("as")
        first = next((c.name for c in self._choices if c.of_version), self._choices[0].name)
        yield Choice([(c.name, c.name) for c in self._choices], id="form", value=first)
        yield note("; ".join(f"{c.name}: {c.label}" for c in self._choices) + ".")
        yield label("to the folder, not there yet or empty")
        yield Field(self._folder(first), id="to", max_length=400)
        yield problem()
        yield self.buttons("enter  write it")

    def _folder(self, form: str) -> str:
        part = f"-v{self._version}" if self._of_version(form) and self._version is not None else ""
        return str(Path.cwd() / f"{self._session}{part}-{form}")

    def _of_version(self, form: str) -> bool:
        return any(choice.name == form and choice.of_version for choice in self._choices)

    def on_mount(self) -> None:
        self.query_one("#form").focus()

    @on(Choice.Changed)
    def _changed(self, event: Choice.Changed) -> None:
        """Suggest the folder that fits the chosen form, unless the person has typed one."""
        field, value = self.query_one("#to", Field), event.choice.value
        if field.value in {self._folder(choice.name) for choice in self._choices}:
            field.value = self._folder(value)

    def action_accept(self) -> None:
        form, to = self.query_one("#form", Choice).value, self.query_one("#to", Field).value.strip()
        if not to:
            self.problem("name a folder first; esc leaves without writing")
            return
        self.dismiss(Wish(form, to, self._version if self._of_version(form) else None))
