"""Makes the sessions that commands and the app ask for: task, settings, what they may cost."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.terminal import in_terminal
from avo_tui.domain.budget import Budget
from avo_tui.domain.run_settings import OperatorName, RunSettings
from avo_tui.domain.task import TaskInfo
from avo_tui.evaluation import roots
from avo_tui.evaluation.backends.command.store import adopted_name
from avo_tui.evaluation.evaluators import LOCAL, NO_TORCH, check_evaluator, with_absolute_paths
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.evolution.create import create_session
from avo_tui.operators import registry
from avo_tui.settings import settings


def default_operator() -> OperatorName:
    """The operator of a new session that names none. Raises UnknownOperator, a ValueError."""
    chosen = settings().operator
    return registry.default().name if chosen == "auto" else registry.descriptor(chosen).name


def find_task(name: str) -> TaskInfo:
    """The task of that name, or of the repository in that folder.

    Raises Failure with near names or the reason it is broken.
    """
    tasks_here = find_tasks()
    if name not in tasks_here.names and Path(name).is_dir():
        name = adopted_name(Path(name))
        tasks_here = find_tasks()
    if name in tasks_here.names:
        if not tasks_here.root(name).trusted and _agreed(tasks_here.root(name).folder):
            tasks_here = find_tasks()
        try:
            return tasks_here.info(name)
        except EvaluatorError as error:
            if not tasks_here.root(name).trusted:
                raise Failure(str(error)) from error
            raise Failure(f"task {name} does not load: {error}") from error
    names = tasks_here.names
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    there = f"there are {', '.join(names)}" if names else "there are none under kernels/"
    hint = f"did you mean {' or '.join(near)}?" if near else there
    raise Failure(f"there is no task {name!r}; {hint}")


def _agreed(folder: Path) -> bool:
    """Ask the person whether code of the folder may be run; False if nobody can be asked."""
    if not in_terminal():
        return False
    typer.echo(f"{folder} holds tasks, which are Python code that would run as you.", err=True)
    if not typer.confirm("Trust this folder from now on?", err=True):
        return False
    roots.trust(folder)
    return True


def make_session(
    name: str,
    task: str,
    run_settings: RunSettings,
    origin: str | None = None,
) -> Path:
    """Create a session. Raises Failure, StoreError."""
    info = find_task(task)
    check(run_settings, info)
    return create_session(name, info, run_settings, origin)


def check(run_settings: RunSettings, task: TaskInfo) -> None:
    """Raises Failure or ValueError for settings that cannot be run here."""
    operator = registry.descriptor(run_settings.operator)
    why = operator.accepts(run_settings) if operator.accepts else operator.unavailable()
    if why:
        raise Failure(why)
    here = run_settings.evaluator in {None, LOCAL}
    if task.tree and not here:
        raise Failure(
            f"{task.name} is a repository, which is built and measured on this machine only; leave"
            " --evaluator out, or run avo where it is to be measured"
        )
    if here and task.language != "repository" and find_spec("torch") is None:
        raise Failure(NO_TORCH)
    check_evaluator(run_settings, task.device)


def evaluators(named: Sequence[str] | None) -> str | None:
    """The evaluators that a command names, as a session keeps them."""
    return with_absolute_paths(" ".join(named)) if named else None


def with_defaults(run_settings: RunSettings) -> RunSettings:
    """Run settings, with the person's defaults for everything the command does not name."""
    preferred = settings()
    caps = run_settings.budget.run
    update = {
        "usd": caps.usd if caps.usd is not None else preferred.budget_usd,
        "hours": caps.hours if caps.hours is not None else preferred.budget_hours,
        "evaluations": caps.evaluations
        if caps.evaluations is not None
        else preferred.budget_evaluations,
    }
    budget = Budget(run=caps.model_copy(update=update), step=run_settings.budget.step)
    options = {**preferred.run_options(), **run_settings.options}
    model = run_settings.model

    models = registry.descriptor(run_settings.operator).models
    # the command's --model counts most, then the operator's own table, then the general setting
    own = options.pop(f"{run_settings.operator}.model", None)
    if models:
        model = model or (str(own) if own else None) or preferred.model or models[0]
    return run_settings.model_copy(update={"budget": budget, "options": options, "model": model})


def estimate(run_settings: RunSettings) -> list[str]:
    """The possible cost of a run and its caps, before the first request; empty if it is free."""
    return list(registry.descriptor(run_settings.operator).estimate(run_settings))
