"""Commands that open the app on a session: attach, replay, and `avo` alone."""

from __future__ import annotations

from typing import Annotated

import typer

from avo_tui.cli.app import open_app
from avo_tui.cli.errors import Failure
from avo_tui.cli.parameters import Name, session_names
from avo_tui.cli.queries import sessions
from avo_tui.cli.terminal import in_terminal
from avo_tui.store import SessionReader, find_session, summaries
from avo_tui.ui.session.replay import ReplaySource

app = typer.Typer()


def open_sessions_screen() -> None:
    """`avo` alone."""
    if not in_terminal():
        sessions(as_json=False)
        return
    open_app()


@app.command(epilog="Example: avo attach demo")
def attach(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A session; without one the latest that runs.", autocompletion=session_names
        ),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--no-start", help="Do not start an engine that was lost.")
    ] = False,
) -> None:
    """Open the app on a session. An engine that was lost, not stopped, is started again."""
    if name is None:
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
    notice = ""
    if not read_only and reader.run_state() == "lost":
        # The first picture of a session whose engine lives waits for nothing of an engine.
        from avo_tui.cli.starting import start_lost

        notice = start_lost(folder)
    open_app(source=reader, notice=notice)


@app.command(epilog="Example: avo replay mha-hopper --speed 16")
def replay(
    name: Name,
    speed: Annotated[
        float, typer.Option("--speed", min=0.1, max=1000, help="Times as fast as it went.")
    ] = 4.0,
) -> None:
    """Play a session from its start through the same screens; nothing is changed in it."""
    open_app(source=ReplaySource(SessionReader.open(find_session(name)), speed))
