"""A task from a reference: `avo task from FILE`, and `avo run --reference FILE`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from avo_tui.cli.errors import Failure
from avo_tui.evaluation.measurement.cases import counted
from avo_tui.evaluation.references.adopting import adopt as write
from avo_tui.evaluation.references.adopting import wishes_for
from avo_tui.evaluation.references.files import gather, problem_name
from avo_tui.evaluation.references.spec import SOURCE, ReferenceSpec
from avo_tui.evaluation.references.task import reference_cases
from avo_tui.evaluation.roots import own_root
from avo_tui.evaluation.sandbox.run import Sandbox
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.settings import settings
from avo_tui.user_paths import without_links

Language = Annotated[str, typer.Option("--language", help="Of the kernel: cpp or cuda.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=NUMBER", help="Replace a constant of the reference."),
]
FullSize = Annotated[
    bool, typer.Option("--full-size", help="Keep sizes that are too large for one CPU thread.")
]
Eval = Annotated[bool, typer.Option("--eval", help="Take the module in evaluation mode.")]
Compiled = Annotated[bool, typer.Option("--compiled", help="Also time torch.compile.")]


def task_from(
    file: Annotated[
        Path,
        typer.Argument(
            help="A PyTorch module (Model, get_inputs), a pair (ref_kernel, generate_input), a "
            "folder of GPU MODE (reference.py, task.yml), or a definition of FlashInfer-Bench "
            "(JSON).",
            exists=True,
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", help="Name of the task.")] = None,
    language: Language = "cpp",
    sizes: Set = None,
    full_size: FullSize = False,
    evaluation_mode: Eval = False,
    compiled: Compiled = False,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder of tasks to put it into; default your own.")
    ] = None,
) -> None:
    """Make a task of a reference: shapes, work, cases, baselines and description are derived.

    The file first runs in the sandbox, on the meta device. A run of the task executes it as you.
    """
    wanted = Wanted(language, sizes or (), full_size, evaluation_mode, compiled)
    task, spec = adopt(file, name, wanted, to)
    typer.echo(f"task {task}: {sentence(spec)}")
    for remark in spec.remarks:
        typer.echo(f"note: {remark}")
    typer.echo(
        f"try: avo task check {task}; avo task show {task}; avo run {task} --operator external"
    )
    if to is not None:
        tell_where_to_look(task, to)


def tell_where_to_look(task: str, folder: Path) -> None:
    """Name the variable to set where a new task lies in a folder that is not looked into."""
    if task not in find_tasks().names:
        typer.echo(
            f"before that, so that avo looks there: export AVO_KERNELS={without_links(folder)}"
        )


@dataclass(frozen=True)
class Wanted:
    """What a person asks of a task made from a reference."""

    language: str
    sizes: Sequence[str] = ()
    """NAME=NUMBER each."""
    full_size: bool = False
    evaluation_mode: bool = False
    compiled: bool = False
    """Also time torch.compile."""


def adopt(
    file: Path, name: str | None, wanted: Wanted, to: Path | None = None
) -> tuple[str, ReferenceSpec]:
    """(name of the task, what was derived). An equal task that is there already is used.

    Raises Failure and EvaluatorError with one sentence.
    """
    root = to or own_root()
    base = name or re.sub(r"[^A-Za-z0-9._-]+", "_", problem_name(file)).strip("._-") or "reference"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", base):
        raise Failure(f"{base!r} is no name for a task: up to 64 letters, digits, dots, dashes")
    chosen = _sizes(wanted.sizes)
    text, _ = gather(file)
    number = 1
    while True:
        task = base if number == 1 else f"{base}-{number}"
        wishes = wishes_for(
            task, wanted.language, str(file), sizes=chosen, full_size=wanted.full_size,
            evaluation_mode=wanted.evaluation_mode, compiled=wanted.compiled,
        )  # fmt: skip
        folder = root / task
        if not folder.exists():
            break
        if not wanted.sizes and (folder / SOURCE).is_file():
            known = ReferenceSpec.read(folder)
            same = (folder / SOURCE).read_text(encoding="utf-8") == text
            asked = (wanted.language, wanted.compiled)
            if same and (known.language, known.compiled) == asked:
                return task, known
        if name is not None:
            raise Failure(f"there is a task {name} at {folder} already; choose another --name")
        number += 1
    typer.echo(f"reading {file} in the sandbox", err=True)

    def tell(what: str) -> None:
        typer.echo(f"looking at {what}", err=True)

    return task, write(file, folder, wishes, Sandbox(settings().allow_weak_sandbox), tell)


def sentence(spec: ReferenceSpec) -> str:
    """What was derived, in one line."""

    def count_of(number: int, word: str) -> str:
        return f"{number} {word}{'' if number == 1 else 's'}"

    def count(role: str) -> str:
        return count_of(len(spec.of_role(role)), role)

    axes = f"{', '.join(spec.axes)} may vary" if spec.axes else "no size varies"
    flops = spec.scored[0].flops
    operations = "1 operation" if flops == 1 else f"{flops:.3g} operations"
    return (
        f"{count('input')}, {count('weight')}, {count('output')}; {axes}; "
        f"{counted(reference_cases(spec))}; {count_of(len(spec.distributions), 'kind')} of values; "
        f"{operations}, {spec.scored[0].bytes / 1e6:.3g} MB a run"
    )


def _sizes(words: Sequence[str]) -> dict[str, int]:
    sizes = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value.isdigit() or int(value) < 1:
            raise typer.BadParameter(f"{word!r} is not NAME=NUMBER", param_hint="--set")
        sizes[key] = int(value)
    return sizes
