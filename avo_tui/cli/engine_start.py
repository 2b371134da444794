"""Starts or resumes the engine of a session: in this process, or detached with the app on it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.notify import start_watcher
from avo_tui.cli.session_trust import require_agreement

if TYPE_CHECKING:
    from avo_tui.domain.budget import Caps


def _allow_weak(folder: Path) -> None:
    """Put on record that a session's candidates may run where nothing confines them."""
    from avo_tui.domain import events as ev
    from avo_tui.store import SessionWriter

    writer = SessionWriter.open(folder)
    try:
        writer.record(ev.OptionsChanged(options={"allow_weak_sandbox": True}))
    finally:
        writer.close()


def resume_session(name: str, caps: Caps, *, headless: bool, keep: bool, weak: bool) -> None:
    """Go on with a session: attach to its engine where one runs, else start one.

    `caps` that are not None replace the session's. `keep` has a second process start the engine
    again whenever it is lost; `weak` lets candidates run where nothing confines them.
    """
    from avo_tui.domain.budget import Budget
    from avo_tui.domain.commands import SetBudget
    from avo_tui.store import SessionReader, engine_status, find_session, send_command

    folder = find_session(name)
    require_agreement(folder)
    if weak:
        if engine_status(folder / "engine.lock").alive:
            raise typer.BadParameter(
                f"{folder.name} is running; stop it first: avo stop {folder.name}",
                param_hint="--allow-weak-sandbox",
            )
        _allow_weak(folder)
    given = caps.model_dump(exclude_none=True)
    if given:
        budget = SessionReader.open(folder).state.session.budget
        merged = budget.run.model_copy(update=given)
        send_command(folder, SetBudget(budget=Budget(run=merged, step=budget.step)))
    if engine_status(folder / "engine.lock").alive:
        from avo_tui.cli.app import open_app
        from avo_tui.evolution.process import start_keeper

        notice = f"{folder.name} is running already"
        if keep:
            kept = start_keeper(folder) is None
            typer.echo(f"{folder.name} is kept alive {'already' if kept else 'from now on'}")
        follow_session(folder, notice) if headless else open_app(folder)
        return
    start_session(folder, headless=headless, resume=True, keep=keep)


def start_session(
    folder: Path, *, headless: bool, resume: bool = False, keep: bool = False
) -> None:
    """Start the engine of a session: in this process, or detached and then the app."""
    from avo_tui.evolution.process import run_engine, start_engine, start_keeper
    from avo_tui.store import SessionReader

    if headless:
        from avo_tui.evolution.lifecycle.headless import Printer
        from avo_tui.evolution.run import EngineMode

        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")
        typer.echo(f"session {folder.name} at {folder}", err=True)
        start_watcher()
        mode = EngineMode(unattended=True)
        run_engine(folder, listeners=[Printer(sys.stdout)], resume=resume, mode=mode)
        state = SessionReader.open(folder).state
        if not state.versions and state.session.state == "stopped":
            raise Failure(state.session.state_reason or "the run ended before its first version")
        return
    from avo_tui.cli.app import open_app

    start_engine(folder, resume=resume)
    start_watcher()
    if keep:
        start_keeper(folder)
    open_app(folder)


def follow_session(folder: Path, notice: str) -> None:
    """Print a notice, then the events of a run that another process makes, until it ends."""
    import time

    from avo_tui.evolution.lifecycle.headless import Printer
    from avo_tui.store import SessionReader

    reader, printer = SessionReader.open(folder), Printer(sys.stdout)
    typer.echo(notice, err=True)  # whatever comes after this is printed
    while True:
        alive = reader.engine().alive  # asked first: its last words are read after its end
        events = reader.poll()
        for event in events:
            printer(event)
        if not events:
            if not alive:
                return
            time.sleep(0.2)
