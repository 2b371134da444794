"""The form of a new session: task, operator, model, budget, with what the budget buys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.task import TaskInfo
from avo_tui.store import StoreError, new_session_folder
from avo_tui.ui.dialogs.frame import Dialog, amount, problem
from avo_tui.ui.loader import in_thread
from avo_tui.ui.services import NewSession, OperatorChoice
from avo_tui.ui.text import Line, cut, fit, line, one_line
from avo_tui.ui.widgets.fields import Field
from avo_tui.ui.widgets.form import Choice
from avo_tui.ui.widgets.lists import PickList

OTHER_ROWS = 15
"""Rows of the dialog beside its lists."""


class NewSessionDialog(Dialog[Path]):
    """Creates the session from within the dialog, so that errors can be shown in the form."""

    BINDINGS = [  # noqa: RUF012
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    def __init__(self) -> None:
        super().__init__("New session")
        self._tasks: list[TaskInfo] = []
        self._operators: Sequence[OperatorChoice] = ()
        self._busy = False
        self._named = False

    def content(self) -> ComposeResult:
        yield form_row("task", PickList("task"))
        yield Static("", id="about", classes="note under")
        yield form_row("name", Field(id="name", max_length=64, compact=True))
        yield form_row("operator", PickList("operator"))
        yield Static("", id="why", classes="note under")
        model = Field(id="model", placeholder="the default", max_length=80, compact=True)
        yield form_row("agent's model", model)
        caps = (("usd", "USD"), ("hours", "hours"), ("evaluations", "evals"))
        yield form_row(
            "ends after",
            *(Field(placeholder=f"{name}: no cap", id=unit, compact=True) for unit, name in caps),
        )
        yield form_row(
            "commits",
            Choice(
                [("gate", "what passes the gate"), ("person", "what you approve, too")],
                id="approve",
            ),
        )
        yield Static("", id="estimate", classes="note under")
        yield problem()
        yield self.buttons("^s  start")

    def on_mount(self) -> None:
        self.query_one("#operator").focus()
        self._explain()
        services = self.host.services

        in_thread(
            self,
            lambda: list(services.operators()),
            self._with_operators,
            self.problem,
            group="operators",
        )
        if services.tasks is None:
            self.problem("the tasks cannot be listed from here: use avo run TASK")
            return
        tasks = services.tasks
        in_thread(self, lambda: list(tasks()), self._with_tasks, self.problem, group="tasks")

    def _with_operators(self, operators: list[OperatorChoice]) -> None:
        self._operators = operators
        self._fill("operator", [(o.name, o.unavailable or o.label) for o in operators])

    def _with_tasks(self, tasks: list[TaskInfo]) -> None:
        self._tasks = tasks
        if not tasks:
            self.problem("there is no task: a folder under kernels/ makes one")
            return
        self._fill("task", [(t.name, t.title) for t in tasks])
        self.query_one("#task").focus()

    def _fill(self, id: str, entries: Sequence[tuple[str, str]]) -> None:
        """Show names, and beside each what it is; as many rows as there is height for."""
        name = max((cell_len(n) for n, _ in entries), default=0) + 2

        def rows(width: int) -> list[Line]:
            room = max(1, width - name)
            return [
                line(fit(n, name), (cut(one_line(what), room), "dim"), meta=n)
                for n, what in entries
            ]

        choice = self.query_one(f"#{id}", PickList)
        choice.styles.height = min(len(entries), max(2, (self.app.size.height - OTHER_ROWS) // 2))
        choice.show(rows, reset=True)
        self.call_after_refresh(self._explain)

    def _chosen_task(self) -> TaskInfo | None:
        value = self.query_one("#task", PickList).key
        return next((t for t in self._tasks if t.name == value), None)

    @on(PickList.Moved)
    def _changed(self) -> None:
        self._explain()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        if event.input.id == "name" and event.input.has_focus:
            self._named = True
        self._estimate()

    def _explain(self) -> None:
        task = self._chosen_task()
        if task is not None:
            count, baselines = len(task.configurations), ", ".join(task.baselines)
            description = f"{task.language}, {count} configurations, baselines {baselines}"
            self.query_one("#about", Static).update(Content(description))
            if not self._named:
                self.query_one("#name", Field).value = free_name(task.name)
        choice = self._chosen_operator()
        text = choice.unavailable if choice is not None else None
        self.query_one("#why", Static).update(Content(text or ""))
        self._estimate()

    def _chosen_operator(self) -> OperatorChoice | None:
        name = self.query_one("#operator", PickList).key
        return next((choice for choice in self._operators if choice.name == name), None)

    def _form(self) -> NewSession | None:
        values: dict[str, float | None] = {}
        for unit in ("usd", "hours", "evaluations"):
            text = self.query_one(f"#{unit}", Field).value
            try:
                values[unit] = amount(text, whole=unit == "evaluations")
            except ValueError as error:
                self.problem(f"{unit}: {error}")
                return None
        evaluations = values["evaluations"]
        task = self._chosen_task()
        if task is None:
            self.problem("choose a task")
            return None
        return NewSession(
            name=self.query_one("#name", Field).value.strip(),
            task=task.name,
            operator=str(self.query_one("#operator", PickList).key or ""),
            model=self.query_one("#model", Field).value.strip() or None,
            budget=Budget(
                run=Caps(
                    usd=values["usd"],
                    hours=values["hours"],
                    evaluations=None if evaluations is None else int(evaluations),
                )
            ),
            approve_commits=self.query_one("#approve", Choice).value == "person",
        )

    def _estimate(self) -> None:
        estimate = self.host.services.estimate
        if estimate is None or not self._tasks:
            return
        self.query_one("#problem", Static).update("")
        form = self._form()
        if form is None:
            return

        in_thread(self, lambda: estimate(form), self._tell, self._tell, group="estimate")

    def _tell(self, sentence: str) -> None:
        self.query_one("#estimate", Static).update(Content(sentence))

    def action_accept(self) -> None:
        """Create the session; a thread waits while the engine starts."""
        if self._busy:
            return
        form = self._form()
        create = self.host.services.create_session
        if form is None or create is None:
            return
        choice = self._chosen_operator()
        if choice is not None and choice.unavailable:
            self.problem(choice.unavailable)
            return
        self._busy = True
        self.problem("")
        self._tell(f"starting {form.name} …")

        in_thread(self, lambda: create(form), self.dismiss, self._failed, group="create")

    def _failed(self, said: str) -> None:
        self._busy = False
        self.query_one("#estimate", Static).update("")
        self.problem(said)


def form_row(name: str, *fields: Widget) -> Horizontal:
    """A name and, beside it, what is to be filled in."""
    return Horizontal(Label(Content(name), classes="form-name"), *fields, classes="form-row")


def free_name(task: str) -> str:
    """An unused session name for a task: the task's name, with a number if necessary."""
    plain = task.replace("@", "-")  # of a task in a further language
    for number in range(1, 1000):
        name = plain if number == 1 else f"{plain}-{number}"
        try:
            new_session_folder(name)
        except (StoreError, OSError):
            continue
        return name
    return ""
