"""Opens the app and gives it access to the rest of the program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui.cli.errors import Failure
from avo_tui.domain.budget import Budget
from avo_tui.domain.records import OperatorName, RunSettings
from avo_tui.domain.task import TaskInfo
from avo_tui.settings import settings

if TYPE_CHECKING:
    from avo_tui.operators.knowledge_port import Knowledge
    from avo_tui.ui.places import Place
    from avo_tui.ui.services import Hit, NewSession, OperatorChoice, Services


def in_terminal() -> bool:
    """True where the app can be shown, in a terminal."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def default_operator() -> OperatorName:
    """The operator of a new session that names none. Raises UnknownOperator, a ValueError."""
    from avo_tui.operators import registry

    chosen = settings().operator
    return registry.default().name if chosen == "auto" else registry.descriptor(chosen).name


def tasks() -> list[TaskInfo]:
    """Tasks that load."""
    from avo_tui.evaluation.tasks import find_tasks

    return find_tasks().infos()


def find_task(name: str) -> TaskInfo:
    """The task of that name. Raises Failure with near names or the reason it is broken."""
    import difflib

    from avo_tui.evaluation.ports import EvaluatorError
    from avo_tui.evaluation.tasks import find_tasks

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
    import typer

    from avo_tui.evaluation import trust

    if not in_terminal():
        return False
    typer.echo(f"{folder} holds tasks, which are Python code that would run as you.", err=True)
    if not typer.confirm("Trust this folder from now on?", err=True):
        return False
    trust.trust(folder)
    return True


def make_session(
    name: str,
    task: str,
    run_settings: RunSettings,
    origin: str | None = None,
) -> Path:
    """Create a session. Raises Failure, StoreError."""
    from avo_tui.evolution.create import create_session

    info = find_task(task)
    check(run_settings, info)
    return create_session(name, info, run_settings, origin)


def check(run_settings: RunSettings, task: TaskInfo) -> None:
    """Raises Failure or ValueError for settings that cannot be run here."""
    from avo_tui.evaluation.evaluators import check_evaluator
    from avo_tui.operators import registry

    operator = registry.descriptor(run_settings.operator)
    why = operator.accepts(run_settings) if operator.accepts else operator.unavailable()
    if why:
        raise Failure(why)
    check_evaluator(run_settings, task.device)


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
    from avo_tui.operators import registry

    models = registry.descriptor(run_settings.operator).models
    # the command's --model counts most, then the operator's own table, then the general setting
    own = options.pop(f"{run_settings.operator}.model", None)
    if models:
        model = model or (str(own) if own else None) or preferred.model or models[0]
    return run_settings.model_copy(update={"budget": budget, "options": options, "model": model})


def estimate(run_settings: RunSettings) -> list[str]:
    """The possible cost of a run and its caps, before the first request; empty if it is free."""
    from avo_tui.operators import registry

    return list(registry.descriptor(run_settings.operator).estimate(run_settings))


def operator_choices() -> tuple[OperatorChoice, ...]:
    """The operators that a new session may have, the default one first."""
    from avo_tui.operators import registry
    from avo_tui.ui.services import OperatorChoice

    first = default_operator()
    choices = [
        OperatorChoice(d.name, d.label, d.unavailable() or "", d.models) for d in registry.offer()
    ]
    return tuple(sorted(choices, key=lambda choice: choice.name != first))


@contextmanager
def library(session: Path | None) -> Iterator[Knowledge]:
    """The built-in documents, the person's own and a session's, open while they are asked."""
    from avo_tui.evolution.library import SessionKnowledge

    knowledge = SessionKnowledge(session)
    try:
        yield knowledge
    finally:
        knowledge.close()


def _export(folder: Path, form: str, version: int | None, to: Path) -> str:
    """Export a session; returns a sentence that says where, and what to do with it."""
    from avo_tui.cli.exporting import FORMS, ExportOptions
    from avo_tui.store import SessionReader

    export_form = next(known for known in FORMS if known.name == form)
    written = export_form.write(SessionReader.open(folder), to, ExportOptions(version))
    return f"{written.folder}: {export_form.hint(written)}"


def services(shown: Callable[[], Path | None] = lambda: None) -> Services:
    """What the app may call. `shown` returns the folder of the session on the screen."""
    from avo_tui.cli.exporting import FORMS
    from avo_tui.cli.notify import start_watcher
    from avo_tui.evolution.options import changed_settings, known_options
    from avo_tui.evolution.process import start_after_inbox, start_engine, take_inbox
    from avo_tui.ui.services import ExportChoice, Services

    def chosen(form: NewSession) -> RunSettings:
        return with_defaults(
            RunSettings(
                operator=form.operator,
                model=form.model,
                budget=form.budget,
                approve_commits=form.approve_commits,
                gate=settings().gate,
            )
        )

    def create(form: NewSession) -> Path:
        folder = make_session(form.name, form.task, chosen(form))
        start_engine(folder)
        start_watcher()
        return folder

    def cost(form: NewSession) -> str:
        return " ".join(estimate(chosen(form))) or "This operator spends no money, only time."

    def start(folder: Path) -> object:
        pid = start_after_inbox(folder)
        start_watcher()
        return pid

    def search(query: str) -> Sequence[Hit]:
        with library(shown()) as knowledge:
            return list(knowledge.search(query))

    def read(identifier: str) -> str:
        with library(shown()) as knowledge:
            return knowledge.read(identifier)

    def documents() -> Sequence[tuple[str, str]]:
        with library(shown()) as knowledge:
            return list(knowledge.documents())

    return Services(
        exports=tuple(ExportChoice(f.name, f.label, f.of_version) for f in FORMS),
        export=_export,
        start_engine=start,
        take_inbox=take_inbox,
        create_session=create,
        tasks=tasks,
        estimate=cost,
        operators=operator_choices(),
        search_knowledge=search,
        read_knowledge=read,
        documents=documents,
        options=known_options,
        check_options=changed_settings,
    )


def looking_on(all_services: Services) -> Services:
    """The services without those that change anything."""
    from dataclasses import replace

    return replace(
        all_services,
        start_engine=None,
        take_inbox=None,
        create_session=None,
        exports=(),
        export=None,
    )


def open_app(
    session: Path | None = None,
    *,
    place: Place | None = None,
    replay_speed: float | None = None,
    notice: str = "",
    read_only: bool = False,
    in_browser: bool = False,
) -> None:
    """Show the app until the person leaves it; the run goes on.

    Without a session it opens on `place`, or on the list of sessions. With `replay_speed` the
    session is played from its start, so many times as fast as it went. `notice` is shown over the
    first screen. `read_only`: who looks on can change nothing. `in_browser`: keys and pictures go
    through Textual's driver for browsers, not a terminal.
    """
    if not in_browser and not in_terminal():
        raise Failure(
            "the app needs a terminal; use --headless, `avo status NAME` or `avo sessions --json`"
        )
    from avo_tui.cli.folders import sessions_text, tasks_text
    from avo_tui.store import SeenMarks, SessionReader
    from avo_tui.ui.app import AvoApp, run_app
    from avo_tui.ui.host import HostOptions
    from avo_tui.ui.session.replay import ReplaySource

    preferred = settings()
    source = None
    if session is not None and replay_speed is not None:
        source = ReplaySource(SessionReader.open(session), replay_speed)

    def shown() -> Path | None:
        return None if app.session.feed is None else app.session.feed.source.folder

    app = AvoApp(
        HostOptions(
            services=looking_on(services(shown)) if read_only else services(shown),
            theme=preferred.theme,
            low_bandwidth=preferred.low_bandwidth,
            keys=preferred.keys,
            places_text=f"new sessions: {sessions_text()} · tasks: {tasks_text()}",
            marks=None if read_only else SeenMarks(),
            read_only=read_only,
        ),
        folder=session if source is None else None,
        source=source,
        place=place,
        notice=notice,
    )
    code = run_app(app)
    if code:
        raise SystemExit(code)
