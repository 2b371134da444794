"""The agent's notes: read, add, edit, remove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from avo_tui.domain.commands import EditMemory
from avo_tui.domain.memory import crowded, owed_text, size
from avo_tui.domain.memory import owing as owing_of
from avo_tui.domain.records import Note
from avo_tui.ui import formats
from avo_tui.ui.actions import Action, Actions, Reason
from avo_tui.ui.dialogs import Confirm, TextDialog, not_empty
from avo_tui.ui.panes.base import teach
from avo_tui.ui.panes.plan import NOTES
from avo_tui.ui.screen import takes_commands
from avo_tui.ui.screens.detail import DETAIL, DetailScreen
from avo_tui.ui.text import Line, prose
from avo_tui.ui.widgets.lists import PickList
from avo_tui.ui.widgets.pane import Pane

CATEGORIES = ("worked", "failed", "idea", "fact")


class MemoryScreen(DetailScreen):
    """What the agent carries from step to step."""

    act = Actions["MemoryScreen"]("notes")

    MAIN, VIEW = "#memory-view", PickList
    ABOUT = (
        "Small notes that are carried into every step: what worked, what failed and why, open "
        "ideas, facts. The agent writes them; you can edit them, and it is told."
    )
    PANES = {"memory": ("Memory", "✔ worked, ✕ failed, ◇ idea, · fact.")}  # noqa: RUF012

    @property
    def current(self) -> Note | None:
        key = self.query_one(PickList).key
        return self.snapshot.memory.get(str(key)) if self.snapshot is not None and key else None

    def repaint(self) -> None:
        assert self.snapshot is not None
        notes = sorted(
            self.snapshot.memory.values(), key=lambda n: (CATEGORIES.index(n.category), -n.step)
        )
        used, owing = size(notes), owing_of(self.snapshot.versions.values())
        limit = self.snapshot.session.memory_limit
        info = (
            f"{formats.many(len(notes), 'note')} · {used / limit:.0%} of what a step carries"
            if limit
            else formats.many(len(notes), "note")
        )
        self.query_one("#memory", Pane).set_info(
            [(info, "warn" if crowded(used, limit) else "dim")]
        )

        def build(width: int) -> list[Line]:
            if not notes:
                return list(
                    teach(
                        "There are no notes yet.",
                        "The agent writes down what it learns; a adds one of your own.",
                    )
                )
            out: list[Line] = []
            for note in notes:
                rows = prose(note.text, width, "", NOTES[note.category])
                owed = owed_text(owing.get(note.id, ()))
                tail = f"  {note.author}, step {note.step}" + (f" · {owed}" if owed else "")
                out += [row._replace(meta=note.id) for row in rows]
                out += [Line((("  " + tail.strip(), "faint"),), meta=note.id)]
            return out

        self.query_one(PickList).show(build)

    def on_note(self) -> Reason:
        """Needs a note under the cursor, and somebody who takes the command."""
        return takes_commands(self) or (
            None if self.current else "there is no note under the cursor"
        )

    @act("enter,e", "Change the note.", on_note, footer=1, id="edit")
    def edit_note(self) -> None:
        note = self.current
        assert note is not None

        def given(text: str) -> None:
            command = EditMemory(note=note.id, category=note.category, text=text)
            self.host.send(command, "note changed")

        where = f"{note.category}, from step {note.step}"
        dialog = TextDialog("Edit the note", where, "keep", text=note.text, check=not_empty)
        self.host.ask(dialog, given)

    @act("a", "Write a note of your own.", takes_commands, footer=2, id="add")
    def add_note(self) -> None:
        def given(text: str) -> None:
            category = "fact"
            for name in CATEGORIES:
                if text.lower().startswith(f"{name}:"):
                    category, text = name, text[len(name) + 1 :].strip()
            self.host.send(EditMemory(category=category, text=text), "note added")

        instructions = (
            "Begin with worked:, failed: or idea: to choose a category; otherwise it is a fact."
        )
        self.host.ask(TextDialog("New note", instructions, "add", check=not_empty), given)

    @act("delete,x", "Remove the note.", on_note, footer=3, id="remove")
    def remove_note(self) -> None:
        note = self.current
        assert note is not None
        self.host.ask(
            Confirm("Remove the note?", note.text[:300], "remove"),
            lambda _: self.host.send(EditMemory(note=note.id, text=None), "note removed"),
        )

    ACTIONS: ClassVar[Sequence[Action[Any]]] = (*act, *DETAIL)
