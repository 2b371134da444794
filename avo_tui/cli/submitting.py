"""`avo submit`: a candidate made by hand goes through the evaluation and the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from avo_tui.cli.busy import UnlessBusy, say_busy
from avo_tui.cli.control import JOB_SECONDS, NOT_TAKEN, answer, answer_form, deliver, number_of
from avo_tui.cli.errors import Failure
from avo_tui.cli.json_output import emit
from avo_tui.cli.parameters import Json, Name
from avo_tui.cli.showing import decision_on
from avo_tui.domain.attempts import attempt_name, attempt_status
from avo_tui.domain.candidate import Candidate
from avo_tui.domain.commands import CommandRecord, Submit
from avo_tui.domain.evidence import MOST_REPLICATES
from avo_tui.domain.gate_rules import may_settle
from avo_tui.domain.plain import safe
from avo_tui.domain.records import Attempt
from avo_tui.evaluation.candidates import files_below, read_file
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.report import as_text, form
from avo_tui.store import SessionReader, find_session
from avo_tui.worktree import ChangeError, read_change

NOT_COMMITTED = 3
"""Exit status of a submission that is correct but was not accepted by the gate."""


app = typer.Typer()


@app.command(epilog='Example: avo submit demo kernel.cpp --plan "unroll by hand"')
def submit(
    name: Name,
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Files, or one folder: the whole candidate. Of a repository a patch, or a folder."
        ),
    ],
    plan: Annotated[str, typer.Option("--plan", help="What was changed and why.")] = "",
    summary: Annotated[
        str, typer.Option("--summary", help="What came of it, for the record.")
    ] = "",
    parent: Annotated[
        str | None, typer.Option("--parent", help="Version it was made from; default the head.")
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Take files that are not given from the parent.")
    ] = False,
    settle: Annotated[
        bool,
        typer.Option(
            "--settle",
            help="Where the gate finds the gain unclear, submit again, which adds pairs, until it"
            " is accepted or refused.",
        ),
    ] = False,
    unless_busy: UnlessBusy = False,
    as_json: Json = False,
) -> None:
    """Evaluate a candidate made by hand, and commit it if the gate lets it through.

    The files given are the whole candidate, as with `avo evaluate`. Exit status 0: committed;
    3: correct, but not committed; 1: not correct, or it could not be found out.
    """
    reader = SessionReader.open(find_session(name))
    head = reader.state.session.head
    seedless = reader.state.session.task.seedless
    if head is None and not reader.engine().alive and not seedless:
        raise Failure(f"{name} has no versions yet; run it first: avo run --resume {name}")
    number = number_of(name, parent) if parent is not None else head
    origin = None
    if merge:
        if number is None:
            raise Failure(f"{name} has no version yet whose files could be taken")
        origin = reader.candidate(reader.state.versions[number].candidate)
    run_settings = reader.state.session.settings
    author = "person" if run_settings.operator_traits.steps_by_itself else run_settings.operator
    task = reader.state.session.task
    if task.tree:
        candidate = _change(paths, reader, number)
    else:
        candidate = read_candidate(paths, origin)
    command = Submit.model_validate(
        {
            "candidate": candidate,
            "plan": plan,
            "summary": summary,
            "parent": number,
            "author": author,
        }
    )
    if head is None and reader.engine().alive and not as_json:
        why = reader.state.session.state_reason or "the engine starts"
        typer.echo(f"waits until the run has its first version ({why})", err=True)
    say_busy(unless_busy)
    while True:
        identity = deliver(reader, command)
        record = answer(reader, identity, JOB_SECONDS)
        attempt = _attempt(reader, candidate)
        if not settle or not _may_settle(reader, record, attempt):
            break
        if not as_json and record is not None:
            typer.echo(safe(record.effect), err=True)
    if as_json:
        emit(submission_form(reader, identity, record, attempt))
    _conclude(reader, record, attempt, as_json)


def _conclude(
    reader: SessionReader, record: CommandRecord | None, attempt: Attempt | None, as_json: bool
) -> None:
    """Print the result, and exit with the corresponding status."""
    if record is None or record.refused is not None:
        if as_json:
            raise typer.Exit(1)  # the document says why
        raise Failure(NOT_TAKEN if record is None else f"refused: {record.refused}")
    report = reader.report(attempt) if attempt is not None else None
    if not as_json:
        typer.echo(safe(record.effect))
        decision = decision_on(reader, attempt) if attempt is not None else None
        if decision is not None and decision.time:
            typer.echo(f"gate: {decision.time}")
        if report is not None:
            typer.echo(safe(as_text(report)))
    if attempt is not None and attempt.version is not None:
        return
    raise typer.Exit(NOT_COMMITTED if report is not None and report.correct else 1)


def _may_settle(
    reader: SessionReader, record: CommandRecord | None, attempt: Attempt | None
) -> bool:
    """Whether the gate took the submission, found it unclear, and may add pairs to it."""
    if record is None or record.refused is not None or attempt is None:
        return False
    return may_settle(decision_on(reader, attempt), MOST_REPLICATES)


def _attempt(reader: SessionReader, candidate: Candidate) -> Attempt | None:
    """The latest attempt with this candidate."""
    attempts = reader.state.attempts.values()
    return next((a for a in reversed(list(attempts)) if a.candidate == candidate.id), None)


def submission_form(
    reader: SessionReader,
    identity: str,
    record: CommandRecord | None,
    attempt: Attempt | None,
) -> dict[str, object]:
    """`avo submit --json`: what was decided and why, and the whole report of the evaluation."""
    report = reader.report(attempt) if attempt is not None else None
    status = attempt_status(attempt, reader.state.open_step) if attempt is not None else None
    decision = decision_on(reader, attempt) if attempt is not None else None
    return {
        **answer_form(reader, identity, "submit", record),
        "attempt": attempt_name(attempt) if attempt is not None else None,
        "status": status,
        "verdict": attempt.verdict if attempt is not None else None,
        "version": attempt.version if attempt is not None else None,
        "reason": attempt.reason if attempt is not None else None,
        "gate": decision.model_dump(mode="json") if decision is not None else None,
        "report": form(report) if report is not None else None,
    }


def _change(paths: list[Path], reader: SessionReader, parent: int | None) -> Candidate:
    """What a patch, a folder or a worktree makes of the session's repository. Raises Failure."""
    if len(paths) != 1:
        raise Failure("of a repository give one patch, one folder, or one worktree")
    head = reader.state.versions[parent].candidate if parent is not None else None
    try:
        return read_change(
            paths[0], reader.state.session.task, reader.candidate(head) if head else None
        )
    except ChangeError as error:
        raise Failure(str(error).rstrip(".")) from error


def read_candidate(paths: list[Path], origin: Candidate | None = None) -> Candidate:
    """The candidate in these files or this folder; files it lacks come from `origin`.

    Raises Failure with one sentence for files that cannot be a candidate's.
    """
    files = dict(origin.files) if origin is not None else {}
    for path in paths:
        if path.is_dir():
            try:
                inside = files_below(path)
            except EvaluatorError as error:
                raise Failure(str(error)) from error
            if not inside:
                raise Failure(f"{path} holds no files")
            files.update({name: _read(file) for name, file in inside.items()})
        else:
            files[path.name] = _read(path)
    try:
        return Candidate(files=files)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Failure(f"{', '.join(map(str, paths))} cannot be a candidate: {reason}") from error


def _read(path: Path) -> str:

    if path.exists() and not path.is_file():
        raise Failure(f"{path} is a pipe or a device: give a file")
    try:
        return read_file(path)
    except EvaluatorError as error:
        raise Failure(str(error)) from error
