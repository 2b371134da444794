"""Commands about tasks of one's own: new, from, check, trust."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avo_tui.cli import referring
from avo_tui.cli.errors import Failure
from avo_tui.cli.json_output import emit
from avo_tui.cli.opening import find_task
from avo_tui.cli.parameters import Json, TaskName
from avo_tui.cli.task_check import check
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import InputsWanted
from avo_tui.evaluation import roots
from avo_tui.evaluation.backends.cpp.glue import INPUTS_HEADER, c_header
from avo_tui.evaluation.input_files import drawn_inputs, write_input_files
from avo_tui.evaluation.measurement.cases import counted
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.evaluation.templates import write_template
from avo_tui.user_paths import without_links

_HELP = "Make a task of your own, see what it asks, look whether it is sound, trust a folder."


app = typer.Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)
app.command(epilog="Example: avo task check attention_cpu")(check)
app.command("from", epilog="Example: avo task from model.py --set batch_size=8")(
    referring.task_from
)


@app.command(epilog="Example: avo task show attention_cpu --seed-to start/")
def show(
    name: TaskName,
    seed_to: Annotated[
        Path | None,
        typer.Option("--seed-to", help="Folder to write the first version's files to."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print what the author of a kernel is told: signature, layouts, what is scored.

    With --seed-to its first version is written there, to start from; of a task without one, a
    kernel of the right signature that computes nothing. Files that are there already stay.
    """
    find_task(name)  # asks for trust, and suggests similar names
    task = find_tasks().get(name)
    written = _write_seed(seed_to, task.seed()) if seed_to is not None else []
    info = task.info()
    if as_json:
        emit({"task": info.model_dump(mode="json"), "written": [str(p) for p in written]})
        return
    typer.echo(f"{name}: {info.title} ({info.language}, scored in {task.unit})\n")
    typer.echo(info.description.strip())
    typer.echo("\nscored on:")
    for configuration in task.configurations:
        sizes = ", ".join(f"{key} {value}" for key, value in configuration.parameters.items())
        typer.echo(f"  {configuration.name}: {sizes or 'one size'}")
    typer.echo(f"checked on: {counted(task.check_cases())}")
    for path in written:
        typer.echo(f"wrote {path}")


def _write_seed(folder: Path, seed: Candidate) -> list[Path]:
    """The files that were written. Raises Failure where one is there already."""
    paths = {folder / name: text for name, text in seed.files.items()}
    there = next((path for path in paths if path.exists()), None)
    if there is not None:
        raise Failure(f"{there} is there already; choose another folder")
    for path, text in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(paths)


@app.command(
    "inputs", epilog="Example: avo task inputs attention_cpu full-256 --kind outliers --to in/"
)
def inputs(
    name: TaskName,
    configuration: Annotated[
        str, typer.Argument(help="A scored configuration; the first one without.")
    ] = "",
    kind: Annotated[
        str, typer.Option("--kind", help="Kind of values; the first one that is timed without.")
    ] = "",
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**63 - 1, help="Other seeds, other values.")
    ] = 1,
    to: Annotated[Path, typer.Option("--to", help="Folder for the files.")] = Path("inputs"),
    as_json: Json = False,
) -> None:
    """Write the inputs of a timed call to files: exactly what the harness feeds a candidate.

    Each input is NAME.bin, its elements one after the other as in memory; for C, C++ and CUDA
    `inputs.h` reads them. Files of these names in the folder are replaced.
    """
    find_task(name)  # asks for trust, and suggests similar names
    task = find_tasks().get(name)
    drawn = drawn_inputs(task, InputsWanted(configuration=configuration, kind=kind, seed=seed))
    to.mkdir(parents=True, exist_ok=True)
    files = write_input_files(task, drawn, to)
    (to / INPUTS_HEADER).write_text(c_header(drawn, files), encoding="utf-8")
    if as_json:
        emit({
            "task": name, "configuration": drawn.configuration.name, "kind": drawn.kind,
            "seed": seed, "header": str(to / INPUTS_HEADER),
            "inputs": [
                {"name": f.name, "file": str(to / f.file), "shape": f.shape, "dtype": f.dtype}
                for f in files
            ],
        })  # fmt: skip
        return
    typer.echo(f"{drawn.about}:")
    for f in files:
        typer.echo(f"  {to / f.file}: {' x '.join(map(str, f.shape)) or 'one element'}, {f.dtype}")
    typer.echo(f"  {to / INPUTS_HEADER}: reads them in C and C++")


def _named(text: str) -> Path:
    """A path that is not empty: an unset variable of a script must not trust the folder it is
    in."""
    if not text:
        raise typer.BadParameter("name a folder; . is the one you are in")
    return Path(text)


@app.command(epilog="Example: avo task trust ./kernels")
def trust(
    folder: Annotated[
        Path, typer.Argument(parser=_named, help="A folder of tasks, such as ./kernels.")
    ],
) -> None:
    """Allow the code of a folder's tasks to run, from now on. Look at it before."""
    if not folder.is_dir():
        raise Failure(f"{folder} is not a folder")
    inside = sorted(p.parent.name for p in folder.glob("*/task.py"))
    roots.trust(folder)
    names = ", ".join(inside) or "no tasks yet"
    typer.echo(f"trusted: {without_links(folder)} ({names}); recorded in {roots.record_file()}")


@app.command("new", epilog="Example: avo task new my_kernel --language cpp")
def new(
    name: Annotated[str, typer.Argument(help="Name of the task, and of its folder.")],
    language: Annotated[str, typer.Option("--language", help="cpp or cuda.")] = "cpp",
    to: Annotated[Path, typer.Option("--to", help="Folder of tasks to put it into.")] = Path(
        "kernels"
    ),
) -> None:
    """Make a small task that runs at once: RMSNorm, to be changed into your own.

    The folder is trusted, since what lies in it now comes from here.
    """
    if not (to / name).exists() and name in find_tasks().names:
        raise Failure(f"there is a task {name} already, as avo tasks shows; choose another name")
    was_there = to.is_dir() and any(to.glob("*/task.py"))
    folder = write_template(name, language, to)
    if not was_there:
        roots.trust(to)
    files = ", ".join(str(p) for p in sorted(folder.rglob("*")) if p.is_file())
    typer.echo(f"made {files}")
    typer.echo(f"try: avo task check {name}; avo evaluate {name}; avo run {name} --operator tuner")
    referring.tell_where_to_look(name, to)
