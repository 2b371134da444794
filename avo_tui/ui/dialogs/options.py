"""The dialog for options of the run: the agent's model and effort, limits of the supervisor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, Label, Static

from avo_tui.domain.commands import MAX_OPTION
from avo_tui.domain.run_settings import OptionValue, RunSettings
from avo_tui.ui.dialogs.frame import Dialog, problem
from avo_tui.ui.loader import in_thread
from avo_tui.ui.services import Option
from avo_tui.ui.text import Line, fit, line, one_line
from avo_tui.ui.widgets.fields import Field
from avo_tui.ui.widgets.lists import PickList

Changes = dict[str, OptionValue | None]
Check = Callable[[RunSettings, Mapping[str, OptionValue | None]], object]
"""Raises an exception, with one sentence, for changes that are not possible."""


class OptionsDialog(Dialog[Changes]):
    """Lists all options with their values; the field holds the new value of the selected one."""

    BINDINGS = [Binding("enter", "to_value", show=False)]  # noqa: RUF012

    def __init__(self, settings: RunSettings, options: Sequence[Option], check: Check) -> None:
        super().__init__("Settings of the run")
        self._settings = settings
        self._options = {option.name: option for option in options}
        self._check = check
        self._changes: Changes = {}
        self._shown = ""
        """Name of the option whose value the field shows."""

    def content(self) -> ComposeResult:
        """The list, what the chosen one means, and its value."""
        yield PickList("options")
        yield Static("", id="meaning", classes="note")
        yield Label("", id="named", classes="label")
        yield Field(id="value", placeholder="empty: the default")
        yield problem()
        yield self.buttons("^s  set")

    def on_mount(self) -> None:
        options = self.query_one("#options", PickList)
        others = 17  # rows of the dialog beside the list, where the meaning takes two
        options.styles.height = min(14, len(self._options), max(3, self.app.size.height - others))
        options.show(self._rows, reset=True)
        options.focus()
        self.call_after_refresh(self._choose)

    def _rows(self, width: int) -> list[Line]:
        name = max((len(n) for n in self._options), default=0) + 2
        rows = []
        for option in self._options.values():
            held = self._settings.option(option.name)
            if option.name in self._changes:
                new = self._changes[option.name]
                text, role = f"→ {option.default or 'none' if new is None else new}", "warn"
            elif held is None:
                text, role = option.default or "–", "dim"
            else:
                text, role = str(held), "strong"
            value = (fit(one_line(text), max(4, width - name)), role)
            rows.append(line(fit(option.name, name), value, meta=option.name))
        return rows

    def _value(self, name: str) -> str:
        """What the field shows for an option; empty where it has its default."""
        value = self._changes.get(name, self._settings.option(name))
        return "" if value is None else str(value)

    @on(PickList.Moved)
    def _choose(self) -> None:
        name = str(self.query_one("#options", PickList).key or "")
        option = self._options.get(name)
        if option is None or name == self._shown:
            return
        self._shown = name
        default = f" Default: {option.default}." if option.default else ""
        self.query_one("#meaning", Static).update(Content(option.meaning + default))
        self.query_one("#named", Label).update(Content(name))
        with self.prevent(Input.Changed):
            self.query_one("#value", Field).value = self._value(name)

    @on(Input.Changed, "#value")
    def _typed(self, event: Input.Changed) -> None:
        name = self._shown
        if not name:
            return
        text = event.value.strip()
        held = self._settings.option(name)
        if text == ("" if held is None else str(held)):
            self._changes.pop(name, None)
        else:
            self._changes[name] = text or None
        self.problem("")
        self.query_one("#options", PickList).show(self._rows)

    def action_to_value(self) -> None:
        self.query_one("#value", Field).focus()

    def action_accept(self) -> None:
        """Apply the changes if the run accepts them; the check may have to import the SDK."""
        changes = dict(self._changes)
        if not changes:
            self.problem("nothing is changed yet: type a value for the option under the cursor")
            return
        if any(self.too_long(str(value or ""), MAX_OPTION) for value in changes.values()):
            return

        in_thread(
            self,
            lambda: self._check(self._settings, changes),
            lambda _: self.dismiss(changes),
            self.problem,
            group="check",
        )
