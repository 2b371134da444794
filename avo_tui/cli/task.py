"""`avo task`: make a task of your own, see what it asks, check it, trust a folder of tasks."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from typer import Argument, BadParameter, Exit, Option, Typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.opening import find_task
from avo_tui.cli.parameters import Json, TaskName
from avo_tui.cli.referring import Wanted, adopt, derived_lines
from avo_tui.cli.terminal import emit, say, tell
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import CompileQuestion, InputsWanted
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation import roots, task_dynamic_checks
from avo_tui.evaluation.backends.cpp.glue import INPUTS_HEADER, c_header
from avo_tui.evaluation.case_coverage import SMALL_ELEMENTS, SMALL_FLOPS, gaps, recognised
from avo_tui.evaluation.input_files import drawn_inputs, write_input_files
from avo_tui.evaluation.measurement.cases import counted
from avo_tui.evaluation.pipeline import Pipeline
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.shapes import public_configurations
from avo_tui.evaluation.task import CheckCase, Task
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.evaluation.templates import write_template
from avo_tui.settings import settings
from avo_tui.user_paths import without_links

PATIENCE = 120.0
"""Seconds within which the methods of a task come back, for each kind of inputs."""
_HELP = "Make a task of your own, see what it asks, look whether it is sound, trust a folder."

app = Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog="Example: avo task check attention_cpu")
def check(
    name: TaskName,
    strict: Annotated[
        bool, Option("--strict", help="Exit status 1 for what is weak, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run every method of a task on its cases: say what is wrong with it, and what is weak.

    Wrong: names, shapes, dtypes, inputs that do not follow from the seed alone, a perturbation
    whose promise is not true, a unit of which nothing is counted, a baseline that does not pass as
    a candidate, zeros that pass, a seed that does not compile. Weak: kinds of case that are
    missing, mistakes that its tolerance lets through. Runs no candidate. What it is looking at is
    told on standard error. Exit status 1 where anything is wrong, with --strict also where
    anything is weak.
    """
    form = {"task": name, "cases": 0, "hidden_cases": 0, "faults": [], "gaps": [],
            "recognised": [], "too_large": [], "not_looked_at": []}  # fmt: skip
    with _no_exit(name):
        try:
            task = _loaded(name)
        except EvaluatorError as error:
            if as_json:
                emit({**form, "faults": [str(error)]})
            else:
                say(f"wrong: {error}", "its methods are run when it can be loaded")
            raise Exit(1) from error
        watch = _watch("running its methods on", as_json)
        faulty = task_dynamic_checks.all_cases(task, SMALL_FLOPS, SMALL_ELEMENTS, watch)
        faults = [fault.text(task) for fault in faulty]
    if not as_json:
        tell("compiling its seed")
    wrong, not_looked_at = asyncio.run(_seed_compiled(task))
    faults += wrong
    with _no_exit(name):
        weak = list(gaps(task, _watch("trying wrong outputs on", as_json))) if not faults else []
    large = [
        c.name
        for c in public_configurations(task)
        if not task_dynamic_checks.small_enough(task, c, SMALL_FLOPS, SMALL_ELEMENTS)
    ]
    if large:
        not_looked_at.append(f"too large to be looked at here: {', '.join(large)}")
    cases = task.check_cases()
    if as_json:
        emit({
            **form, "cases": len(cases), "hidden_cases": sum(c.hidden for c in cases),
            "faults": faults, "gaps": weak, "recognised": list(recognised(task)),
            "too_large": large, "not_looked_at": not_looked_at,
        })  # fmt: skip
    else:
        say(*(f"recognised: {text}" for text in recognised(task)))
        say(*(f"wrong: {text}" for text in faults), *(f"weak: {text}" for text in weak))
        if faults:
            say("what is weak is looked at when nothing is wrong any more")
        elif not weak:
            say(f"{name}: nothing is wrong or weak in its {counted(cases)}")
        else:
            say(f"{name}: nothing is wrong; it has {counted(cases)}")
        say(*not_looked_at)
    if faults or (weak and strict):
        raise Exit(1)


@contextmanager
def _no_exit(name: str) -> Iterator[None]:
    """A task whose code ends the program, or never comes back, is told so."""

    def late(*_: object) -> None:
        raise TimeoutError(f"it has not come back after {PATIENCE:g} s")

    before, end_at_once = signal.signal(signal.SIGALRM, late), os._exit
    os._exit = sys.exit  # type: ignore[assignment]  # which can be told
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)
    try:
        yield
    except TimeoutError as error:
        raise Failure(f"task {name}: {error}") from None
    except SystemExit as end:
        raise Failure(
            f"task {name}: its own code ended the program, as sys.exit({end.code!r}) does; let it "
            "raise an error with a sentence in place of that"
        ) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os._exit = end_at_once


def _loaded(name: str) -> Task:
    """The task, with its code. Raises Failure for one that there is not, EvaluatorError for one
    that does not load."""
    tasks = find_tasks()
    if name not in tasks.names or not tasks.root(name).trusted:
        find_task(name)  # asks for trust, or fails with similar names
        tasks = find_tasks()
    return tasks.load(name)


def _watch(what: str, silent: bool) -> Callable[[int, int, CheckCase], None]:
    """Tells what is being looked at, one line for each case."""

    def watch(number: int, count: int, case: CheckCase) -> None:
        signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)
        if not silent:
            about = f"{case.configuration.name}, {case.distribution}"
            tell(f"{what} {number} of {count} kinds of inputs: {about}")

    return watch


async def _seed_compiled(task: Task) -> tuple[list[str], list[str]]:
    """(what is wrong with the seed as a source, why that could not be found out here)."""
    pipeline = Pipeline(allow_weak_sandbox=settings().allow_weak_sandbox)
    try:
        report = await pipeline.ask(task.name, CompileQuestion(files=task.seed().files))
    finally:
        await pipeline.close()
    if report.correct:
        return [], []
    why = report.feedback.summary
    if report.verdict is Verdict.HARNESS_ERROR:
        return [], [f"whether its seed compiles was not looked at: {why}"]
    folder = task.folder / task.seed_folder
    return [f"{folder}: the seed is refused ({report.verdict}): {why}"], []


@app.command("from", epilog="Example: avo task from model.py --set batch_size=8")
def task_from(
    file: Annotated[
        Path,
        Argument(
            help="A PyTorch module (Model, get_inputs), a pair (ref_kernel, generate_input), a "
            "folder of GPU MODE (reference.py, task.yml), or a definition of FlashInfer-Bench "
            "(JSON).",
            exists=True,
        ),
    ],
    name: Annotated[str | None, Option(help="Name of the task.")] = None,
    language: Annotated[str, Option(help="Of the kernel: cpp or cuda.")] = "cpp",
    sizes: Annotated[
        list[str] | None,
        Option("--set", metavar="NAME=NUMBER", help="Replace a constant of the reference."),
    ] = None,
    full_size: Annotated[
        bool, Option("--full-size", help="Keep sizes that are too large for one CPU thread.")
    ] = False,
    evaluation_mode: Annotated[
        bool, Option("--eval", help="Take the module in evaluation mode.")
    ] = False,
    compiled: Annotated[bool, Option("--compiled", help="Also time torch.compile.")] = False,
    to: Annotated[
        Path | None, Option(help="Folder of tasks to put it into; default your own.")
    ] = None,
) -> None:
    """Make a task of a reference: shapes, work, cases, baselines and description are derived.

    The file first runs in the sandbox, on the meta device. A run of the task executes it as you.
    """
    wanted = Wanted(language, sizes or (), full_size, evaluation_mode, compiled)
    task, spec = adopt(file, name, wanted, to)
    say(*derived_lines(task, spec))
    say(f"it is in {without_links((to or roots.own_root()) / task)}")
    say(f"try: avo task check {task}; avo task show {task}; avo run {task} --operator external")
    if to is not None:
        tell_where_to_look(task, to)


def tell_where_to_look(task: str, folder: Path) -> None:
    """Name the variable to set where a new task lies in a folder that is not looked into."""
    if task not in find_tasks().names:
        say(f"before that, so that avo looks there: export AVO_KERNELS={without_links(folder)}")


@app.command(epilog="Example: avo task show attention_cpu --seed-to start/")
def show(
    name: TaskName,
    seed_to: Annotated[
        Path | None, Option(help="Folder to write the first version's files to.")
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
    say(f"{name}: {info.title} ({info.language}, scored in {task.unit})\n")
    say(info.description.strip(), "\nscored on:")
    for configuration in task.configurations:
        sizes = ", ".join(f"{key} {value}" for key, value in configuration.parameters.items())
        say(f"  {configuration.name}: {sizes or 'one size'}")
    say(f"checked on: {counted(task.check_cases())}", *(f"wrote {path}" for path in written))


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


@app.command(epilog="Example: avo task inputs attention_cpu full-256 --kind outliers --to in/")
def inputs(
    name: TaskName,
    configuration: Annotated[
        str, Argument(help="A scored configuration; the first one without.")
    ] = "",
    kind: Annotated[str, Option(help="Kind of values; the first one that is timed without.")] = "",
    seed: Annotated[int, Option(min=0, max=2**63 - 1, help="Other seeds, other values.")] = 1,
    to: Annotated[Path, Option(help="Folder for the files.")] = Path("inputs"),
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
    say(f"{drawn.about}:")
    for f in files:
        say(f"  {to / f.file}: {' x '.join(map(str, f.shape)) or 'one element'}, {f.dtype}")
    say(f"  {to / INPUTS_HEADER}: reads them in C and C++")


def _named(text: str) -> Path:
    """A path that is not empty: an unset variable of a script must not trust the folder it is
    in."""
    if not text:
        raise BadParameter("name a folder; . is the one you are in")
    return Path(text)


@app.command(epilog="Example: avo task trust ./kernels")
def trust(
    folder: Annotated[Path, Argument(parser=_named, help="A folder of tasks, such as ./kernels.")],
) -> None:
    """Allow the code of a folder's tasks to run, from now on. Look at it before."""
    if not folder.is_dir():
        raise Failure(f"{folder} is not a folder")
    inside = sorted(p.parent.name for p in folder.glob("*/task.py"))
    roots.trust(folder)
    names = ", ".join(inside) or "no tasks yet"
    say(f"trusted: {without_links(folder)} ({names}); recorded in {roots.record_file()}")


@app.command(epilog="Example: avo task new my_kernel --language cpp")
def new(
    name: Annotated[str, Argument(help="Name of the task, and of its folder.")],
    language: Annotated[str, Option(help="cpp or cuda.")] = "cpp",
    to: Annotated[Path, Option(help="Folder of tasks to put it into.")] = Path("kernels"),
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
    say(f"made {files}")
    say(f"try: avo task check {name}; avo evaluate {name}; avo run {name} --operator tuner")
    tell_where_to_look(name, to)
