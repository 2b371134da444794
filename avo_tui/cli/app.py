"""Opens the app and gives it access to the rest of the program: attach, replay, and `avo` alone.

What the first picture does not need is imported when the person asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option, Typer

from avo_tui import garbage
from avo_tui.cli import docs
from avo_tui.cli.errors import Failure
from avo_tui.cli.exporting import FORMS
from avo_tui.cli.folders import sessions_text, tasks_text
from avo_tui.cli.parameters import Name, opened, session_names
from avo_tui.cli.terminal import in_terminal
from avo_tui.settings import settings
from avo_tui.store import SeenMarks, SessionReader, find_session, known_sessions
from avo_tui.ui.host import HostOptions
from avo_tui.ui.services import ExportChoice, Services
from avo_tui.ui.session.replay import ReplaySource
from avo_tui.ui.theme import default_theme

if TYPE_CHECKING:
    from avo_tui.ui.session.feed import Source

app = Typer()


def open_sessions_screen() -> None:
    """`avo` alone."""
    if in_terminal():
        open_app()
        return
    from avo_tui.cli.queries import sessions

    sessions(as_json=False)


@app.command(epilog="Example: avo attach demo")
def attach(
    name: Annotated[
        str | None,
        Argument(help="A session; without one the latest that runs.", autocompletion=session_names),
    ] = None,
    read_only: Annotated[
        bool, Option("--no-start", help="Do not start an engine that was lost.")
    ] = False,
) -> None:
    """Open the app on a session. An engine that was lost, not stopped, is started again."""
    if name is None:
        from avo_tui.store import summaries  # a session that is named needs no list

        sound = [s for s in summaries() if s.error is None]
        live = [s for s in sound if s.engine.alive]
        if not sound:
            raise Failure("there are no sessions; start one with `avo demo` or `avo run TASK`")
        folder = (live or sound)[0].folder
    else:
        folder = find_session(name)
    if not in_terminal():
        open_app(folder)  # says that there is no terminal
    reader = SessionReader.open(folder)
    lost = not read_only and reader.run_state() == "lost"
    open_app(source=reader, notice=_late().start_lost(folder) if lost else reader.damage)


@app.command(epilog="Example: avo replay mha-hopper --speed 16")
def replay(
    name: Name,
    speed: Annotated[float, Option(min=0.1, max=1000, help="Times as fast as it went.")] = 4.0,
) -> None:
    """Play a session from its start through the same screens; nothing is changed in it."""
    open_app(source=ReplaySource(opened(name), speed))


def _late() -> Any:
    from avo_tui.cli import opening

    return opening


def export_session(folder: Path, form: str, version: int | None, to: Path) -> str:
    """Export a session; returns a sentence that says where, and what to do with it."""
    from avo_tui.cli.taking_home import ExportOptions, take

    done, hint = take(form, SessionReader.open(folder), to, ExportOptions(version))
    return f"{done.folder}: {hint}"


def services(shown: Callable[[], Path | None] = lambda: None) -> Services:
    """What the app may call. `shown` returns the folder of the session on the screen."""
    return Services(
        exports=tuple(ExportChoice(f.name, f.label, f.of_version, f.repository) for f in FORMS),
        export=export_session,
        is_own=known_sessions.is_known,
        agree=known_sessions.remember,
        starts=lambda run_settings: _late().starts(run_settings),
        start_engine=lambda folder: _late().start(folder),
        take_inbox=lambda folder: _late().take_inbox(folder),
        create_session=lambda form: _late().create(form),
        start_demo=lambda: _late().start_demo(),
        page=lambda name: docs.pages()[name].read_text(encoding="utf-8"),
        tasks=lambda: _late().find_tasks().infos(),
        estimate=lambda form: _late().cost(form),
        operators=lambda: _late().operator_choices(),
        search_knowledge=lambda query: _late().search(shown(), query),
        read_knowledge=lambda identifier: _late().read(shown(), identifier),
        documents=lambda: _late().documents(shown()),
        options=lambda run_settings: _late().known_options(run_settings),
        check_options=lambda run_settings, changes: _late().changed_settings(run_settings, changes),
    )


def looking_on(whole: Services) -> Services:
    """The services without those that change anything."""
    without = replace(whole, start_engine=None, take_inbox=None, create_session=None)
    return replace(without, start_demo=None, exports=(), export=None)


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
    from avo_tui.ui.app import AvoApp, run_app  # what a command that fails before needs not

    preferred = settings()
    theme = preferred.theme or ("avo-dark" if in_browser else default_theme(os.environ))

    def shown() -> Path | None:
        return None if opening.session.feed is None else opening.session.feed.source.folder

    host = HostOptions(
        services=looking_on(services(shown)) if read_only else services(shown),
        theme=theme,
        low_bandwidth=preferred.low_bandwidth,
        pictures=preferred.pictures,
        keys=preferred.keys,
        places_text=f"new sessions: {sessions_text()} · tasks: {tasks_text()}",
        marks=None if read_only else SeenMarks(),
        read_only=read_only,
    )
    opening = AvoApp(host, folder=session, source=source, campaign=campaign, notice=notice)
    code = run_app(opening)
    if code:
        raise SystemExit(code)
