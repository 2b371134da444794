"""`avo export`: a session as a git repository, a report page, a kernel or a recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avo_tui.cli.reading import Json, Name, pick

if TYPE_CHECKING:
    from avo_tui.export import Exported
    from avo_tui.store import SessionReader

RECORDING = "recording.json"


@dataclass(frozen=True)
class ExportForm:
    """One thing that a session can become."""

    name: str
    """What `--as` takes."""
    label: str
    """What it is, in a few words for the help."""
    write: Callable[[SessionReader, Path, int | None], Exported]
    """Writes it to a folder that is not there yet; the number is a version's, None for the best.
    Imports what it needs itself. Raises ExportError with one sentence."""
    hint: Callable[[Exported], str]
    """What the person may do next with what was written."""
    of_version: bool = False
    """Whether it is made from one version, so that `--version` makes sense."""


def _git(reader: SessionReader, to: Path, version: int | None) -> Exported:
    from avo_tui.export import as_git

    return as_git(reader, to)


def _page(reader: SessionReader, to: Path, version: int | None) -> Exported:
    from avo_tui.export import as_page

    return as_page(reader, to)


def _kernel(reader: SessionReader, to: Path, version: int | None) -> Exported:
    from avo_tui.export import as_kernel

    return as_kernel(reader, to, version)


def _recording(reader: SessionReader, to: Path, version: int | None) -> Exported:
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


FORMS = (
    ExportForm(
        "git",
        "the lineage as a repository",
        _git,
        lambda done: f"{len(done.versions)} commits; try: git -C {done.folder} log --graph --all",
    ),
    ExportForm("html", "a report page", _page, lambda done: f"open {done.folder / done.files[0]}"),
    ExportForm(
        "kernel",
        "the best kernel with its score",
        _kernel,
        lambda done: f"v{done.versions[0]}: {', '.join(done.files)}",
        of_version=True,
    ),
    ExportForm(
        "recording",
        "the agent's conversation, to be played again",
        _recording,
        lambda done: f"play it with: avo run --recording {done.folder / done.files[0]}",
    ),
)
"""What `avo export --as` can make; one entry each."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(epilog="Example: avo export demo --to demo-git --as git")(export)


def export(
    name: Name,
    to: Annotated[
        Path, typer.Option("--to", help="A folder that is not there yet, or empty.", metavar="DIR")
    ],
    form: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="FORM",
            help="; ".join(f"{known.name}: {known.label}" for known in FORMS) + ".",
        ),
    ],
    version: Annotated[
        str | None,
        typer.Option("--version", help="With a form of one version: another than the best."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Carry a session away: as a git repository, a report page, a kernel or a recording."""
    from avo_tui.store import SessionReader, find_session

    chosen = next((known for known in FORMS if known.name == form), None)
    if chosen is None:
        names = ", ".join(known.name for known in FORMS)
        raise typer.BadParameter(f"{form!r} is not one of {names}", param_hint="--as")
    if version is not None and not chosen.of_version:
        takers = " or ".join(known.name for known in FORMS if known.of_version)
        raise typer.BadParameter(f"it goes with --as {takers}", param_hint="--version")
    reader = SessionReader.open(find_session(name))
    done = chosen.write(reader, to, _number(reader, version))
    _say(reader, done, chosen, as_json)


def _number(reader: SessionReader, version: str | None) -> int | None:
    if version is None:
        return None
    state, best = reader.state, reader.state.best
    return pick(version, dict(state.versions), state.session.head, best.number if best else None)


def _say(reader: SessionReader, done: Exported, form: ExportForm, as_json: bool) -> None:
    from avo_tui.cli.forms import emit

    if as_json:
        emit(
            {
                "session": reader.state.session.name,
                "as": form.name,
                "folder": str(done.folder.expanduser().absolute()),
                "files": list(done.files),
                "versions": list(done.versions),
            }
        )
        return
    typer.echo(f"{done.folder}: {form.hint(done)}")
