"""Makes the sessions that commands and the app ask for: task, settings, what they may cost."""

import difflib
from collections.abc import Collection, Sequence
from contextlib import closing
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.notify import start_watcher
from avo_tui.cli.session_trust import require_agreement, starts
from avo_tui.cli.terminal import in_terminal, tell
from avo_tui.domain.budget import Budget, Caps
from avo_tui.domain.run_settings import OperatorName, RunSettings
from avo_tui.domain.task import TaskInfo
from avo_tui.evaluation import roots
from avo_tui.evaluation.backends.command.store import adopted_name
from avo_tui.evaluation.evaluators import LOCAL, NO_TORCH, check_evaluator, with_absolute_paths
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.tasks import find_tasks
from avo_tui.evolution.create import create_session
from avo_tui.evolution.library import SessionKnowledge
from avo_tui.evolution.options import changed_settings, known_options
from avo_tui.evolution.process import EngineFailed, start_after_inbox, start_engine, take_inbox
from avo_tui.operators import registry
from avo_tui.plugins import PluginError
from avo_tui.settings import settings
from avo_tui.store import session_folders, sessions_roots
from avo_tui.ui.services import Hit, NewSession, OperatorChoice

__all__ = ["changed_settings", "find_tasks", "known_options", "starts", "take_inbox"]
"""Among what the app calls: see `app.services`."""
DEMO_TASK = "attention_cpu"


def default_operator() -> OperatorName:
    """The operator of a new session that names none. Raises PluginError, a ValueError."""
    chosen = settings().operator
    return registry.default().name if chosen == "auto" else registry.descriptor(chosen).name


def named_operator(name: str | None) -> OperatorName:
    """The operator that `--operator` names, or the default one. Raises BadParameter."""
    try:
        return default_operator() if name is None else registry.descriptor(name).name
    except PluginError as error:
        raise typer.BadParameter(str(error), param_hint="--operator") from error


def operator_choices() -> tuple[OperatorChoice, ...]:
    """The operators that a new session may have, the default one first.

    Raises ValueError where the settings name an operator that is not installed.
    """
    first = default_operator()
    choices = [
        OperatorChoice(d.name, d.label, d.unavailable() or "", d.models) for d in registry.offer()
    ]
    return tuple(sorted(choices, key=lambda choice: choice.name != first))


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
    there = f"there are {', '.join(names)}" if names else "there are none under kernels/"
    raise Failure(f"there is no task {name!r}; {near(name, names) or there}")


def near(name: str, names: Sequence[str]) -> str:
    """A question for the nearest of the names; "" where none is near."""
    matches = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    return f"did you mean {' or '.join(matches)}?" if matches else ""


def _agreed(folder: Path) -> bool:
    """Ask the person whether code of the folder may be run; False if nobody can be asked."""
    if not in_terminal():
        return False
    tell(f"{folder} holds tasks, which are Python code that would run as you.")
    if not typer.confirm("Trust this folder from now on?", err=True):
        return False
    roots.trust(folder)
    return True


def make_session(
    name: str, task: str, run_settings: RunSettings, origin: str | None = None
) -> Path:
    """Create a session. Raises Failure, StoreError."""
    info = find_task(task)
    check(run_settings, info)
    return create_session(name, info, run_settings, origin)


def make_demo(caps: Caps, *, agent: bool = False) -> Path:
    """The session of `avo demo`. Raises Failure, StoreError."""
    chosen = RunSettings(
        operator="recorded" if agent else "tuner",
        budget=Budget(run=caps),
        # The tuner only changes constants of a source that ships: it may go on where a candidate
        # of unknown origin may not. The screen says so.
        options={} if agent else {"allow_weak_sandbox": True},
    )
    taken = [folder.name for folder in session_folders()]
    name = free_name("demo-agent" if agent else "demo", taken)
    return make_session(name, DEMO_TASK, with_defaults(chosen))


def free_name(task: str, taken: Collection[str] = ()) -> str:
    """A name for a new session of a task: the task's, with a number where that is taken."""
    plain, root = task.replace("@", "-"), sessions_roots()[0]  # @: of a task in a further language
    names = (f"{plain}-{n}" if n > 1 else plain for n in count(1))
    return next(name for name in names if name not in taken and not (root / name).exists())


def require_torch(language: str) -> None:
    """Raises Failure where candidates in a language cannot be measured here without torch."""
    if language != "repository" and find_spec("torch") is None:
        raise Failure(NO_TORCH)


def check(run_settings: RunSettings, task: TaskInfo) -> None:
    """Raises Failure or ValueError for settings that cannot be run here."""
    operator = registry.descriptor(run_settings.operator)
    if task.tree and not operator.repositories:
        others = ", ".join(d.name for d in registry.offer() if d.repositories)
        raise Failure(
            f"the operator {operator.name} works on kernels only, and {task.name} is a repository;"
            f" choose another with --operator: {others}"
        )
    why = operator.accepts(run_settings) if operator.accepts else operator.unavailable()
    if why:
        raise Failure(why)
    here = run_settings.evaluator in {None, LOCAL}
    if task.tree and not here:
        raise Failure(
            f"{task.name} is a repository, which is built and measured on this machine only; leave"
            " --evaluator out, or run avo where it is to be measured"
        )
    if here:
        require_torch(task.language)
    check_evaluator(run_settings, task.device)


def evaluators(named: Sequence[str] | None) -> str | None:
    """The evaluators that a command names, as a session keeps them."""
    return with_absolute_paths(" ".join(named)) if named else None


def with_defaults(run_settings: RunSettings) -> RunSettings:
    """Run settings, with the person's defaults for everything the command does not name."""
    preferred = settings()
    defaults = {
        "usd": preferred.budget_usd,
        "hours": preferred.budget_hours,
        "evaluations": preferred.budget_evaluations,
    }
    caps = run_settings.budget.run
    caps = caps.model_copy(update={**defaults, **caps.model_dump(exclude_none=True)})
    options = {**preferred.run_options(), **run_settings.options}
    model = run_settings.model
    models = registry.descriptor(run_settings.operator).models
    # the command's --model counts most, then the operator's own table, then the general setting
    own = options.pop(f"{run_settings.operator}.model", None)
    if models:
        model = model or (str(own) if own else None) or preferred.model or models[0]
    budget = run_settings.budget.replaced(run=caps)
    return run_settings.model_copy(update={"budget": budget, "options": options, "model": model})


def estimate(run_settings: RunSettings) -> list[str]:
    """The possible cost of a run and its caps, before the first request; empty if it is free."""
    return list(registry.descriptor(run_settings.operator).estimate(run_settings))


# -- for the app alone


def create(form: NewSession) -> Path:
    """Create a session and start its engine; returns its folder. Raises Failure, StoreError."""
    folder = make_session(form.name, form.task, _chosen(form))
    start_engine(folder)
    start_watcher()
    return folder


def start_demo() -> Path:
    folder = make_demo(Caps(hours=settings().demo_hours))
    start_engine(folder)
    start_watcher()
    return folder


def _chosen(form: NewSession) -> RunSettings:
    return with_defaults(
        RunSettings(
            operator=form.operator,
            model=form.model,
            budget=form.budget,
            approve_commits=form.approve_commits,
            gate=settings().gate,
        )
    )


def cost(form: NewSession) -> str:
    """What a new session may cost, in one sentence."""
    return " ".join(estimate(_chosen(form))) or "This operator spends no money, only time."


def start(folder: Path) -> object:
    """Start the engine of a session, and what sends its notifications."""
    pid = start_after_inbox(folder)
    start_watcher()
    return pid


def start_lost(folder: Path) -> str:
    """Start the engine of a session that was lost; returns why that cannot be, or nothing."""
    try:
        require_agreement(folder)
        start_engine(folder)
        start_watcher()
    except Failure as refusal:
        return str(refusal)
    except EngineFailed as error:  # without a key, say; the session can be viewed nevertheless
        return f"The engine was lost and could not be started: {error}"
    return ""


def search(session: Path | None, query: str) -> list[Hit]:
    """Of the built-in documents, the person's own and a session's."""
    with closing(SessionKnowledge(session)) as knowledge:
        return list(knowledge.search(query))


def read(session: Path | None, identifier: str) -> str:
    with closing(SessionKnowledge(session)) as knowledge:
        return knowledge.read(identifier)


def documents(session: Path | None) -> list[tuple[str, str]]:
    with closing(SessionKnowledge(session)) as knowledge:
        return list(knowledge.documents())
