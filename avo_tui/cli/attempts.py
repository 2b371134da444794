"""`avo attempts`: every candidate that was evaluated, what became of it, and why."""

from __future__ import annotations

from typing import Annotated

import typer

from avo_tui.cli.json_output import attempt_form, emit
from avo_tui.cli.parameters import Json, Name
from avo_tui.cli.terminal import table
from avo_tui.domain.attempts import ORDERS, attempt_matches, attempt_name, attempt_status, ordered
from avo_tui.store import SessionReader, find_session

MOST = 200
"""Rows that are printed unless another number is asked for."""


app = typer.Typer()


@app.command(epilog="Example: avo attempts demo rejected noise")
def attempts(
    name: Name,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            help="Only those with all of these: rejected, committed, wrong, failed, noise, "
            "suspicious, running, or any other text."
        ),
    ] = None,
    sort: Annotated[str, typer.Option("--sort", help="newest, score or status.")] = "newest",
    most: Annotated[int, typer.Option("--most", min=1, help="Rows to print at most.")] = MOST,
    as_json: Json = False,
) -> None:
    """List the attempts of a session with what became of each, and why."""
    order = next((known for known in ORDERS if known == sort), None)
    if order is None:
        raise typer.BadParameter(f"one of {', '.join(ORDERS)}", param_hint="--sort")
    state = SessionReader.open(find_session(name)).state
    step = state.open_step
    text = " ".join(words or ())
    kept = [a for a in state.attempts.values() if attempt_matches(a, text, step)]
    rows = ordered(kept, order, step)[:most]
    if as_json:
        shown = [attempt_form(a, step) for a in rows]
        emit({"session": state.session.name, "matching": len(kept), "attempts": shown})
        return
    if not rows:
        what = f" that matches {text!r}" if text else ""
        typer.echo(f"there is no attempt{what}")
        return
    table(
        [
            [
                attempt_name(a),
                attempt_status(a, step),
                f"{a.aggregate:.4f}" if a.aggregate > 0 else "",
                a.title,
                a.reason,
            ]
            for a in rows
        ],
        ["attempt", "status", f"of {state.session.task.reference_baseline}", "tried", "reason"],
    )
    if len(kept) > len(rows):
        typer.echo(f"{len(kept) - len(rows)} more; --most shows them")
