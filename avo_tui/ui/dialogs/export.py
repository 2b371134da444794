"""The dialog that exports a session or a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input

from avo_tui.ui.dialogs.frame import Dialog, label, note, problem
from avo_tui.ui.services import ExportChoice
from avo_tui.ui.widgets.field import Field
from avo_tui.ui.widgets.form import Choice


@dataclass(frozen=True)
class Wish:
    """What to export, and where to."""

    form: str
    to: str
    version: int | None
    """Number of the version to export, for a form made from one version; None for the best."""


class ExportDialog(Dialog[Wish]):
    """A form and a folder."""

    HEADING = "Export"
    BINDINGS = [Binding("enter", "accept", show=False)]  # noqa: RUF012

    def __init__(self, choices: Sequence[ExportChoice], session: str, version: int | None) -> None:
        super().__init__()
        self._choices, self._session, self._version = choices, session, version

    def content(self) -> ComposeResult:
        """Fields."""
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
        """The form comes first."""
        self.query_one("#form").focus()

    @on(Choice.Changed)
    def _changed(self, event: Choice.Changed) -> None:
        """Suggest the folder that fits the chosen form, unless the person has typed one."""
        field, value = self.query_one("#to", Field), event.choice.value
        if field.value in {self._folder(choice.name) for choice in self._choices}:
            field.value = self._folder(value)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.action_accept()

    def action_accept(self) -> None:
        """Write it."""
        form, to = self.query_one("#form", Choice).value, self.query_one("#to", Field).value.strip()
        if not to:
            self.problem("name a folder first; esc leaves without writing")
            return
        self.dismiss(Wish(form, to, self._version if self._of_version(form) else None))
