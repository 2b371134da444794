"""`avo export`: a session as a repository, a page or a recording; its best kernel as a package."""

from __future__ import annotations

import asyncio
import keyword
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avo_tui.cli.parameters import Json, Name, pick
from avo_tui.user_paths import from_home

if TYPE_CHECKING:
    from avo_tui.domain.deployment import Deployment
    from avo_tui.evaluation.deployment import DeploymentRequest
    from avo_tui.export import Exported
    from avo_tui.store import SessionReader

RECORDING = "recording.json"


@dataclass(frozen=True)
class ExportOptions:
    """What a person may ask of an export."""

    version: int | None = None
    """Version to export, for a form made from one version; None for the best."""
    architectures: tuple[str, ...] = ()
    """GPU architectures to compile for; empty for the device's own, or the default one."""
    shapes: tuple[str, ...] = ()
    """Further shapes, each as `name=value,…`."""
    function: str = ""
    """Name of the kernel in the package; empty for the name that the task gives."""


@dataclass(frozen=True)
class ExportForm:
    """One form in which a session can be exported."""

    name: str
    """Value of the option `--as`."""
    label: str
    """Description in a few words, for the help."""
    write: Callable[[SessionReader, Path, ExportOptions], Exported]
    """Writes the export to a new folder; imports what it needs itself. Raises ExportError with one
    sentence."""
    hint: Callable[[Exported], str]
    """Tells the person what to do next with the result."""
    of_version: bool = False
    """Whether it is made from one version, so that `--version` applies."""
    of_package: bool = False
    """Whether it is compiled, so that `--arch`, `--shape` and `--function` apply."""


def _git(reader: SessionReader, to: Path, options: ExportOptions) -> Exported:
    from avo_tui.export import as_git

    return as_git(reader, to)


def _branch(reader: SessionReader, to: Path, options: ExportOptions) -> Exported:
    from avo_tui.cli.taking_home import branch

    return branch(reader, to, options.version)


def _page(reader: SessionReader, to: Path, options: ExportOptions) -> Exported:
    from avo_tui.export import as_page

    return as_page(reader, to)


def _source(reader: SessionReader, to: Path, options: ExportOptions) -> Exported:
    from avo_tui.evaluation.deployment import write_source
    from avo_tui.evaluation.ports import EvaluatorError
    from avo_tui.export import ExportError, as_source
    from avo_tui.export.kernel import version_of

    version = version_of(reader.state, options.version)
    candidate = reader.candidate(version.candidate)
    task = reader.state.session.task.name
    try:
        source = asyncio.run(write_source(task, candidate, _request(options), options.function))
    except EvaluatorError as error:
        raise ExportError(str(error)) from error
    name = options.function
    if name and not re.search(rf"\b{re.escape(name)}", source.text):
        language = reader.state.session.task.language
        raise ExportError(
            f"--function {name}: the source of a kernel in {language} keeps the names of its"
            " functions; leave --function out, or rename them in the file"
        )
    return as_source(reader, to, options.version, source)


def _recording(reader: SessionReader, to: Path, options: ExportOptions) -> Exported:
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


def _torch(reader: SessionReader, to: Path, options: ExportOptions) -> Exported:
    from avo_tui.export.torch_package import as_torch

    return as_torch(reader, to, options.version, _deployment(reader, options))


def _hf_kernel(reader: SessionReader, to: Path, options: ExportOptions) -> Exported:
    from avo_tui.export.torch_package import as_hf_kernel

    return as_hf_kernel(reader, to, options.version, _deployment(reader, options))


def _deployment(reader: SessionReader, options: ExportOptions) -> Deployment:
    """The version's kernel compiled for what was asked. Raises ExportError."""
    from avo_tui.evaluation.deployment import deploy
    from avo_tui.evaluation.ports import EvaluatorError
    from avo_tui.export import ExportError
    from avo_tui.export.kernel import version_of

    version = version_of(reader.state, options.version)
    request = _request(options)
    name = options.function
    task = reader.state.session.task.name
    try:
        deployment = asyncio.run(deploy(task, reader.candidate(version.candidate), request))
    except EvaluatorError as error:
        raise ExportError(str(error)) from error
    return deployment.model_copy(update={"function": name or deployment.function})


def _request(options: ExportOptions) -> DeploymentRequest:
    """What the kernel is wanted for. Raises ExportError."""
    from avo_tui.evaluation.deployment import DeploymentRequest
    from avo_tui.export import ExportError

    name = options.function
    if name and (not name.isidentifier() or keyword.iskeyword(name)):
        raise ExportError(f"{name!r} is no name that a language takes for a function")
    return DeploymentRequest(
        architectures=options.architectures, shapes=[_shape(text) for text in options.shapes]
    )


def _shape(text: str) -> dict[str, str]:
    """`batch=2,causal=1` as names and values. Raises ExportError."""
    from avo_tui.export import ExportError

    shape = {}
    for part in text.split(","):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if not (name and value):
            raise ExportError(f"--shape {text!r} is not of the form name=value,name=value")
        shape[name] = value
    return shape


def _package_hint(done: Exported) -> str:
    return f"v{done.versions[0]}; install it with: pip install {done.folder}"


FORMS = (
    ExportForm(
        "git",
        "the lineage as a repository",
        _git,
        lambda done: f"{len(done.versions)} commits; try: git -C {done.folder} log --graph --all",
    ),
    ExportForm(
        "branch",
        "of a repository: a branch on its base, tried on a clean clone, with a pull request's text",
        _branch,
        lambda done: f"{len(done.versions)} commits; read {done.folder / done.files[1]}",
        of_version=True,
    ),
    ExportForm("html", "a report page", _page, lambda done: f"open {done.folder / done.files[0]}"),
    ExportForm(
        "source",
        "the best kernel as one file for its compiler, with functions that C can call",
        _source,
        lambda done: f"v{done.versions[0]}: {', '.join(done.files)}",
        of_version=True,
        of_package=True,
    ),
    ExportForm(
        "torch",
        "the best kernel as a Python package with an operator of torch",
        _torch,
        _package_hint,
        of_version=True,
        of_package=True,
    ),
    ExportForm(
        "hf-kernel",
        "the same in the layout that Hugging Face's kernels loads",
        _hf_kernel,
        lambda done: f"v{done.versions[0]}; a repository of this folder is what get_kernel loads",
        of_version=True,
        of_package=True,
    ),
    ExportForm(
        "recording",
        "the agent's conversation, to be played again",
        _recording,
        lambda done: f"play it with: avo run --recording {done.folder / done.files[0]}",
    ),
)
"""What `avo export --as` can make; one entry each."""


app = typer.Typer()


@app.command(epilog="Example: avo export demo --to demo-git --as git")
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
    arch: Annotated[
        list[str] | None,
        typer.Option(
            "--arch",
            metavar="SM",
            help="With source, torch and hf-kernel: a GPU architecture such as sm_90a; may be"
            " repeated.",
        ),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            metavar="NAME=VALUE,…",
            help="With source, torch and hf-kernel: a shape beside those that were checked; may be"
            " repeated.",
        ),
    ] = None,
    function: Annotated[
        str,
        typer.Option(
            "--function",
            help="What to call the kernel: with torch, hf-kernel, and the source for a GPU.",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Carry a session away: a repository, a report page, its kernel as a source or a package."""
    from avo_tui.export import require_new
    from avo_tui.store import SessionReader, find_session

    chosen = next((known for known in FORMS if known.name == form), None)
    if chosen is None:
        names = ", ".join(known.name for known in FORMS)
        raise typer.BadParameter(f"{form!r} is not one of {names}", param_hint="--as")
    if version is not None and not chosen.of_version:
        takers = " or ".join(known.name for known in FORMS if known.of_version)
        raise typer.BadParameter(f"it goes with --as {takers}", param_hint="--version")
    if (arch or shape or function) and not chosen.of_package:
        takers = " or ".join(known.name for known in FORMS if known.of_package)
        raise typer.BadParameter(f"it goes with --as {takers}", param_hint="--arch")
    reader = SessionReader.open(find_session(name))
    options = ExportOptions(
        _number(reader, version), tuple(arch or ()), tuple(shape or ()), function
    )
    require_new(to)
    done = chosen.write(reader, to, options)
    _say(reader, done, chosen, as_json)


def _number(reader: SessionReader, version: str | None) -> int | None:
    return None if version is None else pick(reader.state, version)


def _say(reader: SessionReader, done: Exported, form: ExportForm, as_json: bool) -> None:
    from avo_tui.cli.json_output import emit

    if as_json:
        emit(
            {
                "session": reader.state.session.name,
                "as": form.name,
                "folder": str(from_home(done.folder).absolute()),
                "files": list(done.files),
                "versions": list(done.versions),
            }
        )
        return
    typer.echo(f"{done.folder}: {form.hint(done)}")
