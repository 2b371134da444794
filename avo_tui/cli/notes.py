"""`avo memory`: the agent's notes, and the person's word in them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from avo_tui.cli.control import send
from avo_tui.cli.json_output import emit
from avo_tui.cli.parameters import Json, Name
from avo_tui.domain.commands import EditMemory
from avo_tui.domain.memory import owed_text, owing, size
from avo_tui.domain.plain import plain
from avo_tui.domain.records import NoteCategory
from avo_tui.store import SessionReader, find_session

MOST = 4000
"""Characters of each note that are printed."""


class Category(StrEnum):
    """What a note is about."""

    worked = "worked"
    failed = "failed"
    idea = "idea"
    fact = "fact"


app = typer.Typer()


@app.command(epilog='Example: avo memory demo --add "loads are the limit" --category fact')
def memory(
    name: Name,
    add: Annotated[str | None, typer.Option("--add", help="Write a note of your own.")] = None,
    category: Annotated[
        Category | None,
        typer.Option("--category", help="What it is about: a fact, or as the replaced one was."),
    ] = None,
    replace: Annotated[
        str | None, typer.Option("--replace", help="With --add: the note it stands for.")
    ] = None,
    remove: Annotated[
        str | None, typer.Option("--remove", help="Remove a note, by its id.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read the notes that are carried from step to step, or write, replace and remove one."""
    if remove is not None and (add is not None or replace is not None):
        raise typer.BadParameter("it goes alone", param_hint="--remove")
    if replace is not None and add is None:
        raise typer.BadParameter("say with --add what it is to read", param_hint="--replace")
    reader = SessionReader.open(find_session(name))
    if remove is not None:
        send(name, EditMemory(note=remove, text=None), as_json)
    elif add is not None:
        about = category.value if category is not None else _category(reader, replace)
        send(name, EditMemory(note=replace, category=about, text=add), as_json)
    else:
        _show(reader, as_json)


def _category(reader: SessionReader, replaced: str | None) -> NoteCategory:
    """That of the note that is replaced, if there is one."""
    old = reader.state.memory.get(replaced or "")
    return old.category if old is not None else "fact"


def _show(reader: SessionReader, as_json: bool) -> None:

    state = reader.state
    versions = owing(state.versions.values())
    if as_json:
        emit(
            {
                "session": state.session.name,
                "characters": size(state.memory.values()),
                "limit": state.session.memory_limit,
                "notes": [
                    {**note.model_dump(mode="json"), "versions": list(versions.get(note.id, ()))}
                    for note in state.memory.values()
                ],
            }
        )
        return
    if not state.memory:
        typer.echo("no notes yet; the agent writes them, and so can you with --add")
        return
    for note in state.memory.values():
        owed = owed_text(versions.get(note.id, ()))
        about = f"{note.author}, step {note.step}" + (f"; {owed}" if owed else "")
        typer.echo(f"[{note.id}] {note.category} ({about})")
        typer.echo(f"  {plain(note.text, MOST)}")
    held = size(state.memory.values())
    typer.echo(f"{held} of {state.session.memory_limit} characters")
