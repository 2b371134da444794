"""`avo show NAME 12.3`: prints everything known about an attempt."""

from __future__ import annotations

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.json_output import attempt_form, emit
from avo_tui.domain.attempts import attempt_name, attempt_status
from avo_tui.domain.difference import unified
from avo_tui.domain.events import GateDecided
from avo_tui.domain.gate_rules import GateDecision
from avo_tui.domain.outlook import paired_gains
from avo_tui.domain.plain import plain, safe
from avo_tui.domain.records import Attempt
from avo_tui.evaluation.report import form
from avo_tui.operators.toolbox.report_text import report_text
from avo_tui.store import SessionReader


def show_attempt(reader: SessionReader, name: str, source: bool, diff: bool, as_json: bool) -> None:
    """Print an attempt: report, gate's numbers and log; or its source, or its change."""
    attempt = _attempt(reader, name)
    candidate = reader.candidate(attempt.candidate)
    origin = reader.state.versions.get(attempt.parent)
    change = unified(reader.candidate(origin.candidate), candidate).text if origin else ""
    if as_json:
        _emit(reader, attempt, candidate.files, change)
    elif source:
        for file, text in candidate.files.items():
            if len(candidate.files) > 1:
                typer.echo(f"==> {file} <==")
            typer.echo(safe(text))
    elif diff:
        typer.echo(safe(change or "(the same source as its parent)"))
    else:
        _print(reader, attempt)


def _attempt(reader: SessionReader, name: str) -> Attempt:
    step, _, number = name.partition(".")
    attempts = reader.state.attempts
    if step.isdecimal() and number.isdecimal() and (int(step), int(number)) in attempts:
        return attempts[int(step), int(number)]
    raise Failure(f"there is no attempt {name}; avo attempts {reader.name} lists them")


def decision_on(reader: SessionReader, attempt: Attempt) -> GateDecision | None:
    """The gate's decision on an attempt; None if the gate was never asked."""
    decision = None
    for event in reader.events(attempt.step):
        if isinstance(event, GateDecided) and event.attempt == attempt.number:
            decision = event.decision
    return decision


def _emit(reader: SessionReader, attempt: Attempt, files: dict[str, str], change: str) -> None:

    report, decision = reader.report(attempt), decision_on(reader, attempt)
    emit(
        {
            "session": reader.name,
            **attempt_form(attempt, reader.state.open_step),
            "report": form(report) if report is not None else None,
            "gate": decision.model_dump(mode="json") if decision is not None else None,
            "files": files,
            "diff": change,
        }
    )


def _print(reader: SessionReader, attempt: Attempt) -> None:

    status = attempt_status(attempt, reader.state.open_step)
    about = f"{attempt_name(attempt)} from v{attempt.parent}: {status}"
    typer.echo(f"{about}; {plain(attempt.title, 300)}" if attempt.title else about)
    if attempt.reason:
        typer.echo(f"why not: {plain(attempt.reason, 600)}")
    decision, report = decision_on(reader, attempt), reader.report(attempt)
    if decision is not None:
        typer.echo(f"gate {decision.gate}: {plain(decision.reason, 600)}")
        if decision.basis:
            typer.echo(f"rests on {decision.basis}")
        if decision.time:
            typer.echo(decision.time)
    if report is None:
        typer.echo("it was not finished, so there is no report")
        return
    typer.echo(safe(report_text(report, paired_gains(reader.state, attempt.candidate))))
    typer.echo("\n".join([report.device, *report.seconds.lines()]))
