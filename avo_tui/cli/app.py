"""Opens the app and gives it access to the rest of the program.

Each service imports what it needs when it is called, because the first picture needs none of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from avo_tui import garbage
from avo_tui.cli.errors import Failure
from avo_tui.cli.exporting import FORMS, ExportOptions
from avo_tui.cli.terminal import in_terminal
from avo_tui.domain.run_settings import OptionValue, RunSettings
from avo_tui.settings import settings
from avo_tui.ui.services import ExportChoice, Hit, NewSession, OperatorChoice, Option, Services

if TYPE_CHECKING:
    from avo_tui.domain.task import TaskInfo
    from avo_tui.operators.knowledge_port import Knowledge
    from avo_tui.ui.session.feed import Source


def operator_choices() -> tuple[OperatorChoice, ...]:
    """The operators that a new session may have, the default one first.

    Raises ValueError where the settings name an operator that is not installed.
    """
    from avo_tui.cli import opening
    from avo_tui.operators import registry

    first = opening.default_operator()
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


def export_session(folder: Path, form: str, version: int | None, to: Path) -> str:
    """Export a session; returns a sentence that says where, and what to do with it."""
    from avo_tui.store import SessionReader

    export_form = next(known for known in FORMS if known.name == form)
    written = export_form.write(SessionReader.open(folder), to, ExportOptions(version))
    return f"{written.folder}: {export_form.hint(written)}"


def create_session(form: NewSession) -> Path:
    """Create a session and start its engine; returns its folder. Raises Failure, StoreError."""
    from avo_tui.cli import opening
    from avo_tui.cli.notify import start_watcher
    from avo_tui.evolution.process import start_engine

    folder = opening.make_session(form.name, form.task, _chosen(form))
    start_engine(folder)
    start_watcher()
    return folder


def _chosen(form: NewSession) -> RunSettings:
    from avo_tui.cli import opening

    return opening.with_defaults(
        RunSettings(
            operator=form.operator,
            model=form.model,
            budget=form.budget,
            approve_commits=form.approve_commits,
            gate=settings().gate,
        )
    )


def tasks() -> list[TaskInfo]:
    """Tasks that load."""
    from avo_tui.evaluation.tasks import find_tasks

    return find_tasks().infos()


def cost(form: NewSession) -> str:
    """What a new session may cost, in one sentence."""
    from avo_tui.cli import opening

    return " ".join(opening.estimate(_chosen(form))) or "This operator spends no money, only time."


def start(folder: Path) -> object:
    """Start the engine of a session, and what sends its notifications."""
    from avo_tui.cli.notify import start_watcher
    from avo_tui.evolution.process import start_after_inbox

    pid = start_after_inbox(folder)
    start_watcher()
    return pid


def is_own(folder: Path) -> bool:
    """Whether the person made a session, or agreed to go on with it."""
    from avo_tui.store import known_sessions

    return known_sessions.is_known(folder)


def agree(folder: Path) -> None:
    """Remember that the person agrees to go on with a session. Raises StoreError."""
    from avo_tui.store import known_sessions

    known_sessions.remember(folder)


def starts(run_settings: RunSettings) -> Sequence[str]:
    """What going on with a session of these settings runs on this machine."""
    from avo_tui.cli.session_trust import starts as told

    return told(run_settings)


def take_inbox(folder: Path) -> None:
    """Have the commands in the inbox of a session without an engine carried out."""
    from avo_tui.evolution import process

    process.take_inbox(folder)


def options(run_settings: RunSettings) -> Sequence[Option]:
    """The options of a run. Raises ValueError if its operator is not installed."""
    from avo_tui.evolution.options import known_options

    return known_options(run_settings)


def check_options(
    run_settings: RunSettings, changes: Mapping[str, OptionValue | None]
) -> RunSettings:
    """The settings with these options. Raises ValueError for those that the run cannot have."""
    from avo_tui.evolution.options import changed_settings

    return changed_settings(run_settings, changes)


def services(shown: Callable[[], Path | None] = lambda: None) -> Services:
    """What the app may call. `shown` returns the folder of the session on the screen."""

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
        export=export_session,
        is_own=is_own,
        agree=agree,
        starts=starts,
        start_engine=start,
        take_inbox=take_inbox,
        create_session=create_session,
        tasks=tasks,
        estimate=cost,
        operators=operator_choices,
        search_knowledge=search,
        read_knowledge=read,
        documents=documents,
        options=options,
        check_options=check_options,
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
    source: Source | None = None,
    campaign: Path | None = None,
    notice: str = "",
    read_only: bool = False,
    in_browser: bool = False,
) -> None:
    """Show the app until the person leaves it; the run goes on.

    It opens on the folder `session`, on `source` (a session that was opened already, or a replay of
    one), on the `campaign` in a folder, or on the list of sessions. `notice` is shown over the
    first screen.
    `read_only`: who looks on can change nothing. `in_browser`: keys and pictures go through
    Textual's driver for browsers, not a terminal.
    """
    if not in_browser and not in_terminal():
        raise Failure(
            "the app needs a terminal; use --headless, `avo status NAME` or `avo sessions --json`"
        )
    garbage.hold()
    from avo_tui.cli.folders import sessions_text, tasks_text
    from avo_tui.store import SeenMarks
    from avo_tui.ui.app import AvoApp, run_app
    from avo_tui.ui.host import HostOptions
    from avo_tui.ui.theme import default_theme

    preferred = settings()
    theme = preferred.theme or ("avo-dark" if in_browser else default_theme(os.environ))

    def shown() -> Path | None:
        return None if app.session.feed is None else app.session.feed.source.folder

    app = AvoApp(
        HostOptions(
            services=looking_on(services(shown)) if read_only else services(shown),
            theme=theme,
            low_bandwidth=preferred.low_bandwidth,
            keys=preferred.keys,
            places_text=f"new sessions: {sessions_text()} · tasks: {tasks_text()}",
            marks=None if read_only else SeenMarks(),
            read_only=read_only,
        ),
        folder=session,
        source=source,
        campaign=campaign,
        notice=notice,
    )
    code = run_app(app)
    if code:
        raise SystemExit(code)
