"""`avo workers`: the devices of a run, and what each of them does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.json_output import emit, workers_form
from avo_tui.cli.parameters import Json, Name
from avo_tui.cli.terminal import table
from avo_tui.domain.base import now
from avo_tui.domain.workers import doing_text, figures_text, loss_text, queue_text, usable_text
from avo_tui.evaluation.workers.spool_worker import work
from avo_tui.store import SessionReader, find_session, read_workers

app = typer.Typer()


@app.command(epilog="Example: avo worker --spool /shared/avo --until-empty")
def worker(
    spool: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="The folder of --evaluator spool:FOLDER."),
    ],
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="End when no request is left.")
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(min=1.0, help="End after so long; what is cut off is given back."),
    ] = None,
    weak: Annotated[
        bool,
        typer.Option(
            "--allow-weak-sandbox", help="Measure also where nothing confines candidates."
        ),
    ] = False,
) -> None:
    """Measure what waits in a folder, on this machine; exit status 3 where requests are left."""
    options = ("--allow-weak-sandbox",) if weak else ()
    raise typer.Exit(work(spool, until_empty=until_empty, seconds=seconds, options=options))


@app.command(epilog="Example: avo workers demo --json")
def workers(name: Name, as_json: Json = False) -> None:
    """List the devices of a run: state, host, what each evaluates, rate, failures, last loss."""
    reader = SessionReader.open(find_session(name))
    if as_json:
        emit(workers_form(reader))
        return
    seen, alive = read_workers(reader.folder), reader.engine().alive
    if seen is None:
        raise Failure(
            f"nothing is known of the devices of {reader.name}: its engine tells of them while it "
            "runs"
        )
    # times are told as of the engine's last word where it no longer lives
    moment = now() if alive else seen.at
    seen = seen if alive else seen.ended()
    if not alive:
        typer.echo(f"no engine runs; as its last one told at {seen.at:%Y-%m-%d %H:%M:%S} UTC:")
    if seen.queue is not None:
        typer.echo(queue_text(seen.queue, moment))
    elif alive:
        typer.echo(usable_text(seen.workers))
    rows = []
    for worker in seen.workers:
        words = [doing_text(worker, moment), loss_text(worker, moment)]
        row = [worker.name, worker.host, worker.device, figures_text(worker, moment)]
        rows.append([*row, "; ".join(filter(None, words))])
    table(rows, ["worker", "host", "device", "figures", "state"])
