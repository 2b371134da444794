"""`avo export`: a session as a git repository, a report page, a kernel or a recording."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avo_tui.cli.reading import Json, Name, pick

if TYPE_CHECKING:
    from avo_tui.export import Exported
    from avo_tui.store import SessionReader

RECORDING = "recording.json"


class Form(StrEnum):
    """What a session can become."""

    git = "git"
    html = "html"
    kernel = "kernel"
    recording = "recording"


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog="Example: avo export demo --to demo-git --as git")(export)


def export(
    name: Name,
    to: Annotated[
        Path, typer.Option("--to", help="A folder that is not there yet, or empty.", metavar="DIR")
    ],
    form: Annotated[
        Form,
        typer.Option(
            "--as",
            help="git: the lineage as a repository; html: a report page; kernel: the best kernel"
            " with its score; recording: the agent's conversation, to be played again.",
        ),
    ],
    version: Annotated[
        str | None,
        typer.Option("--version", help="With kernel: another version than the best."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Carry a session away: as a git repository, a report page, a kernel or a recording."""
    from avo_tui.export import as_git, as_kernel, as_page
    from avo_tui.store import SessionReader, find_session

    if version is not None and form is not Form.kernel:
        raise typer.BadParameter("it goes with --as kernel", param_hint="--version")
    reader = SessionReader.open(find_session(name))
    if form is Form.git:
        done = as_git(reader, to)
    elif form is Form.html:
        done = as_page(reader, to)
    elif form is Form.kernel:
        done = as_kernel(reader, to, _number(reader, version))
    else:
        done = _recording(reader, to)
    _say(reader, done, form, as_json)


def _number(reader: SessionReader, version: str | None) -> int | None:
    if version is None:
        return None
    state, best = reader.state, reader.state.best
    return pick(version, dict(state.versions), state.session.head, best.number if best else None)


def _recording(reader: SessionReader, to: Path) -> Exported:
    """The agent's conversation, in the form that `avo run --recording` plays."""
    from avo_tui.export import Exported, new_folder, write
    from avo_tui.operators.recorded.recording import from_events

    session = reader.state.session
    recording = from_events(
        session.task.name,
        reader.events(),
        reader.get,
        title=session.name,
        about=f"The conversation of session {session.name}, as it was recorded.",
    )
    with new_folder(to) as folder:
        write(folder, RECORDING, recording.model_dump_json(indent=1) + "\n")
    return Exported(folder=to, files=(RECORDING,), versions=tuple(sorted(reader.state.versions)))


def _say(reader: SessionReader, done: Exported, form: Form, as_json: bool) -> None:
    from avo_tui.cli.forms import emit

    if as_json:
        emit(
            {
                "session": reader.state.session.name,
                "as": form.value,
                "folder": str(done.folder.expanduser().absolute()),
                "files": list(done.files),
                "versions": list(done.versions),
            }
        )
        return
    count = len(done.versions)
    what = {
        Form.git: f"{count} commits; try: git -C {done.folder} log --graph --all",
        Form.html: f"open {done.folder / done.files[0]}",
        Form.kernel: f"v{done.versions[0]}: {', '.join(done.files)}" if count else "",
        Form.recording: f"play it with: avo run --recording {done.folder / done.files[0]}",
    }[form]
    typer.echo(f"{done.folder}: {what}")
