"""`avo suite run` and `avo suite table`: many problems, one after the other, one budget each."""

import math
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import ValidationError
from typer import Argument, Option, Typer

from avo_tui.cli.candidates import read_candidate
from avo_tui.cli.control import JOB_SECONDS, answer, deliver
from avo_tui.cli.errors import Failure, expected, sentence
from avo_tui.cli.opening import make_session, with_defaults
from avo_tui.cli.parameters import Json, opened, operator_names
from avo_tui.cli.referring import Wanted, adopt
from avo_tui.cli.terminal import emit, say, table, tell
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.commands import Stop, Submit
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.suites import SPEEDUPS, Problem, Suite, fast
from avo_tui.evaluation.references.files import is_problem_folder, problem_name
from avo_tui.evolution.process import start_engine, wait_for_end
from avo_tui.given_text import read_given_text
from avo_tui.operators import registry
from avo_tui.store import SessionReader, StoreError, sessions_roots

_HELP = "Run a whole suite of problems, and see how many became fast."
_RESTS = frozenset({"paused", "parked"})
_OVER = frozenset({"stopped", "finished"})


@dataclass(frozen=True)
class _Wishes:
    """Options that apply to every problem of a suite."""

    operator: str
    language: str
    evaluations: int
    candidates: Path | None


app = Typer(help=_HELP, no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog="Example: avo suite run problems/ --operator agent")
def run(
    source: Annotated[
        Path,
        Argument(
            help="A folder of references (.py, .json), or a text file with one reference or task "
            "a line.",
            exists=True,
        ),
    ],
    name: Annotated[str | None, Option(help="Name of the suite.")] = None,
    operator: Annotated[
        str,
        Option(
            help="What makes the steps; `avo operators` lists them.", autocompletion=operator_names
        ),
    ] = "tuner",
    language: Annotated[str, Option(help="cpp or cuda.")] = "cpp",
    evaluations: Annotated[
        int,
        Option(
            "--budget-evaluations",
            "--evaluations",
            min=1,
            help="Evaluations for each problem.",
        ),
    ] = 20,
    candidates: Annotated[
        Path | None,
        Option(
            help="Folder with a first kernel for each problem: NAME.cpp, NAME.cu or NAME/.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Evolve every problem of a suite, one after the other; run it again to go on.

    Each problem is a session of its own, named SUITE.PROBLEM, on the sessions screen too. What is
    finished is not begun again. At the end the table of `avo suite table` is printed. Exit status 1
    where no problem could be begun.
    """
    name = _plain(name or source.stem)
    wishes = _Wishes(operator, language, evaluations, candidates)
    suite = _take_up(name, source)
    if candidates is not None:
        _tell_unused(candidates, suite)
    for number, problem in enumerate(suite.problems, 1):
        tell(f"[{number}/{len(suite.problems)}] {problem.name}")
        done = _one(name, problem, wishes)
        suite = suite.replaced_problem(done)
        _keep(suite)
        if done.error:
            tell(f"  {done.error}")
    _print(suite, as_json)
    if all(problem.error for problem in suite.problems):
        raise Failure(f"no problem of {source} could be begun")


def _tell_unused(candidates: Path, suite: Suite) -> None:
    """Name what lies in the folder of first kernels and is no problem's."""
    used = {first_kernel(candidates, problem.name) for problem in suite.problems}
    unused = sorted(p.name for p in candidates.iterdir() if p not in used and p.name[0] != ".")
    if unused:
        more = f" and {len(unused) - 5} more" if len(unused) > 5 else ""
        tell(f"of no problem of the suite: {', '.join(unused[:5])}{more}")


@app.command("table", epilog="Example: avo suite table problems")
def show(
    name: Annotated[str, Argument(help="Name of a suite that was run.")],
    as_json: Json = False,
) -> None:
    """Print the table of a suite, with fast_p: the share of problems solved faster than p ×."""
    _print(_read(name), as_json)


def _plain(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:40]
    if not plain:
        raise Failure(f"{name!r} is no name for a suite")
    return plain


def _file(name: str) -> Path:
    """The file with the list of a suite's problems, stored beside the sessions."""
    return sessions_roots()[0] / f".suite-{name}.json"


def _read(name: str) -> Suite:
    file = _file(_plain(name))
    try:
        return Suite.model_validate_json(file.read_text(encoding="utf-8"))
    except ValidationError:
        raise Failure(
            f"{file} is not a suite's list any more: remove it, and `avo suite run` begins anew"
        ) from None
    except FileNotFoundError:
        known = sorted(p.name[7:-5] for p in file.parent.glob(".suite-*.json"))
        there = f"there is {', '.join(known)}" if known else "none was run yet"
        raise Failure(f"there is no suite {name!r}; {there}") from None


def _keep(suite: Suite) -> None:
    file = _file(suite.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".new")
    fresh.write_text(suite.model_dump_json(indent=1), encoding="utf-8")
    fresh.replace(file)


def _take_up(name: str, source: Path) -> Suite:
    """The suite according to its source, combined with its earlier progress."""
    if source.is_dir():
        there = sorted(source.iterdir())
        files = [p for p in there if p.suffix in {".py", ".json"} or is_problem_folder(p)]
        origins = [str(p.absolute()) for p in files]
    else:
        lines = read_given_text(source).splitlines()
        origins = [line.strip() for line in lines if line.strip() and line.strip()[0] != "#"]
        near = [source.parent / origin for origin in origins]
        origins = [
            str(p.absolute()) if p.is_file() or is_problem_folder(p) else o
            for p, o in zip(near, origins, strict=True)
        ]
    if not origins:
        raise Failure(f"{source} names no problems")
    before = _read(name) if _file(name).is_file() else None
    known = {p.origin: p for p in before.problems} if before is not None else {}
    problems = [known.get(origin) or _problem(origin) for origin in origins]
    names = [p.name for p in problems]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise Failure(f"two problems of {source} are called {twice[0]}")
    return Suite(name=name, source=str(source), problems=tuple(problems))


def _problem(origin: str) -> Problem:
    stem = problem_name(Path(origin)) if Path(origin).exists() else origin
    return Problem(name=_plain(stem), origin=origin)


def _one(suite: str, problem: Problem, wishes: _Wishes) -> Problem:
    """Run one problem until its budget is spent; an error is recorded in the problem."""
    try:
        task = problem.task
        if not task:
            task = problem.origin
            if Path(task).exists():
                task, _ = adopt(Path(task), None, Wanted(wishes.language))
        problem = problem.replaced(task=task, error="")
        if not problem.session:
            problem = problem.replaced(session=_begin(f"{suite}.{problem.name}"[:64], task, wishes))
        reader = opened(problem.session)
        if reader.run_state() not in _OVER:
            _evolve(reader, problem.name, wishes)
    except Exception as error:
        if not expected(error):
            raise
        problem = problem.replaced(error=sentence(error))
    return problem


def _begin(session: str, task: str, wishes: _Wishes) -> str:
    """Creates the session of a problem; returns its name."""
    budget = Budget(run=Caps(evaluations=wishes.evaluations))
    operator = registry.descriptor(wishes.operator).name
    chosen = with_defaults(RunSettings(operator=operator, budget=budget))
    return make_session(session, task, chosen).name


def _evolve(reader: SessionReader, problem: str, wishes: _Wishes) -> None:
    """Runs the session's engine until its budget is spent, or nothing more will come."""
    if not reader.engine().alive:
        start_engine(reader.folder, resume=True)
    while not reader.state.versions and reader.engine().alive:
        reader.poll()
        if reader.run_state() in _RESTS:
            break
        time.sleep(0.1)
    path = first_kernel(wishes.candidates, problem)
    if path is not None and len(reader.state.versions) == 1 and not reader.state.attempts:
        first = read_candidate([path])
        command = Submit(candidate=first, plan="the first kernel", author="person")
        answer(reader, deliver(reader, command), JOB_SECONDS)
    waits_outside = not reader.state.session.settings.operator_traits.steps_by_itself
    while reader.engine().alive:
        reader.poll()
        if waits_outside or reader.run_state() in _RESTS:
            deliver(reader, Stop(reason="nothing more comes to this problem of the suite"))
            wait_for_end(reader.folder, math.inf)
        time.sleep(0.2)
    reader.poll()


def first_kernel(folder: Path | None, problem: str) -> Path | None:
    if folder is None:
        return None
    # KernelBench ends names of kernels in an underscore where the problem's has one or not.
    names = dict.fromkeys((problem, problem.rstrip("_"), f"{problem.rstrip('_')}_"))
    tries = (folder / f"{name}{end}" for name in names for end in ("", ".cpp", ".cu", ".c", ".rs"))
    return next((path for path in tries if path.exists()), None)


def _print(suite: Suite, as_json: bool) -> None:
    rows = [_row(problem) for problem in suite.problems]
    ratios = [ratio if isinstance(ratio := row["best_ratio"], float) else None for row in rows]
    shares = {f"fast_{p:g}": fast(ratios, p) for p in (0.0, *SPEEDUPS)}
    if as_json:
        emit({"suite": suite.name, "problems": rows, **shares})
        return
    shown = []
    for row in rows:
        best = "" if row["best_ratio"] is None else f"{row['best_ratio']:.3f}"
        counts = [str(row[name] or "") for name in ("versions", "evaluations", "state")]
        shown.append([str(row["problem"]), best, *counts, str(row["reason"])])
    table(shown, ["problem", "best ratio", "versions", "evaluations", "state", "reason"])
    solved = sum(1 for ratio in ratios if ratio)
    told = ", ".join(f"{name} {share:.2f}" for name, share in shares.items() if name != "fast_0")
    say(f"{solved} of {len(rows)} problems have a correct kernel; {told}")


def _row(problem: Problem) -> dict[str, object]:
    """One problem as JSON; its numbers are read from its session."""
    row: dict[str, object] = {
        "problem": problem.name, "task": problem.task or None, "session": problem.session or None,
        "best_ratio": None, "versions": 0, "evaluations": 0, "state": None, "reason": problem.error,
    }  # fmt: skip
    if not problem.session:
        return row
    try:
        reader = opened(problem.session)
    except StoreError as error:
        return {**row, "reason": str(error)}
    state, best = reader.state, reader.state.best
    if best is not None and best.aggregate > 0:
        row["best_ratio"] = best.aggregate
    row["versions"] = len([v for v in state.versions.values() if not v.computes_nothing])
    row["evaluations"] = state.session.spend.evaluations
    row["state"] = reader.run_state()
    row["reason"] = problem.error or state.session.state_reason
    return row
