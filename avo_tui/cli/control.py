"""Commands that steer a run: each goes through the session's inbox and reports its effect."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.json_output import emit
from avo_tui.cli.parameters import Json, Name, VersionName, pick
from avo_tui.domain.budget import Budget, Caps, cap_states
from avo_tui.domain.commands import (
    AbortStep,
    Annotate,
    Approve,
    ClearHint,
    Command,
    CommandRecord,
    Pause,
    Reject,
    Remeasure,
    Resume,
    Rewind,
    SendHint,
    SetBookmark,
    SetBudget,
    Stop,
)
from avo_tui.domain.plain import plain
from avo_tui.evolution.process import EngineFailed, take_inbox, wait_for_end
from avo_tui.store import SessionReader, find_session, waiting_commands

ANSWER_SECONDS = 10.0
JOB_SECONDS = 3600.0


class PauseWhen(StrEnum):
    """When a pause takes effect."""

    tool = "tool"
    step = "step"
    now = "now"


class Delivery(StrEnum):
    """When a hint reaches the operator of variation."""

    next_tool = "next-tool"
    end_of_turn = "end-of-turn"
    now = "now"


class Scope(StrEnum):
    """How long a hint holds."""

    once = "once"
    step = "step"
    until_cleared = "until-cleared"


app = typer.Typer()


@app.command(epilog="Example: avo pause demo --when step")
def pause(
    name: Name,
    when: Annotated[
        PauseWhen, typer.Option("--when", help="After this tool, after this step, or now.")
    ] = PauseWhen.tool,
    as_json: Json = False,
) -> None:
    """Pause a run."""
    modes = {"tool": "after_tool", "step": "after_step", "now": "now"}
    send(name, Pause.model_validate({"mode": modes[when.value]}), as_json, live=True)


@app.command(epilog="Example: avo resume demo")
def resume(name: Name, as_json: Json = False) -> None:
    """Go on after a pause, or cut a wait short."""
    send(name, Resume(), as_json, live=True)


@app.command(epilog="Example: avo stop demo")
def stop(
    name: Name,
    wait: Annotated[float, typer.Option("--wait", help="Seconds to wait for the end.")] = 30.0,
    as_json: Json = False,
) -> None:
    """End a run in good order; `avo run --resume NAME` goes on with it."""
    send(name, Stop(), as_json, live=True)
    if wait > 0 and not wait_for_end(find_session(name), wait):
        raise Failure(f"{name} has not ended within {wait:g} s; it will")


@app.command(epilog="Example: avo hint demo TILE_K=64 --scope until-cleared")
def hint(
    name: Name,
    text: Annotated[list[str], typer.Argument(help="The message; for the tuner NAME=value.")],
    when: Annotated[
        Delivery, typer.Option("--when", help="When it is delivered.")
    ] = Delivery.next_tool,
    scope: Annotated[Scope, typer.Option("--scope", help="How long it holds.")] = Scope.once,
    as_json: Json = False,
) -> None:
    """Give the operator of variation a hint."""
    form = {"text": " ".join(text), "delivery": when.value, "scope": scope.value}
    form = {k: v.replace("-", "_") if k != "text" else v for k, v in form.items()}
    send(name, SendHint.model_validate(form), as_json)


@app.command("clear-hint", epilog="Example: avo clear-hint demo 0176…")
def clear_hint(
    name: Name,
    identity: Annotated[str, typer.Argument(metavar="HINT", help="Its id, or `all`.")],
    as_json: Json = False,
) -> None:
    """Take back a hint that is queued or in force."""
    if identity != "all":
        send(name, ClearHint(hint=identity), as_json)
        return
    live = SessionReader.open(find_session(name)).state.live_hints
    if not live:
        raise Failure("no hint is in force")
    for hint in live:
        send(name, ClearHint(hint=hint.id), as_json)


@app.command(epilog='Example: avo rewind demo 12 --why "try the other tiling"')
def rewind(
    name: Name,
    version: VersionName,
    why: Annotated[str, typer.Option("--why", help="The reason; the agent is told.")] = "",
    as_json: Json = False,
) -> None:
    """Make an earlier version the head; what came after stays as a branch."""
    send(name, Rewind(version=number_of(name, version), reason=why), as_json)


@app.command(epilog="Example: avo abort demo")
def abort(
    name: Name,
    why: Annotated[str, typer.Option("--why", help="The reason.")] = "",
    as_json: Json = False,
) -> None:
    """End the step that is running; the run goes on with the next."""
    send(name, AbortStep(reason=why), as_json)


@app.command(epilog="Example: avo approve demo")
def approve(name: Name, as_json: Json = False) -> None:
    """Let the commit that waits for approval through."""
    send(name, Approve(), as_json, live=True)


@app.command(epilog='Example: avo reject demo --why "unreadable"')
def reject(
    name: Name,
    why: Annotated[str, typer.Option("--why", help="The reason; the agent is told.")] = "",
    as_json: Json = False,
) -> None:
    """Refuse the commit that waits for approval."""
    send(name, Reject(reason=why), as_json, live=True)


@app.command(epilog="Example: avo budget demo --hours 2 --evaluations 500")
def budget(
    name: Name,
    usd: Annotated[float | None, typer.Option("--usd", min=0)] = None,
    tokens: Annotated[int | None, typer.Option("--tokens", min=0)] = None,
    hours: Annotated[float | None, typer.Option("--hours", min=0)] = None,
    evaluations: Annotated[int | None, typer.Option("--evaluations", min=0)] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=0)] = None,
    per_step: Annotated[bool, typer.Option("--per-step", help="Caps of each step.")] = False,
    no_caps: Annotated[bool, typer.Option("--none", help="Take the other caps away.")] = False,
    as_json: Json = False,
) -> None:
    """Change the caps of a run, or show them where none is given."""
    session = SessionReader.open(find_session(name)).state.session
    given = {
        "usd": usd,
        "tokens": tokens,
        "hours": hours,
        "evaluations": evaluations,
        "steps": steps,
    }
    given = {k: v for k, v in given.items() if v is not None}
    if not given and not no_caps:
        if as_json:
            emit(
                {
                    "session": session.name,
                    "budget": session.budget.model_dump(mode="json"),
                    "spend": session.spend.model_dump(mode="json"),
                }
            )
            return
        caps = cap_states(session.budget.run, session.spend)
        for cap in caps:
            typer.echo(cap.text)
        if not caps:
            typer.echo("no caps")
        return
    old = session.budget.step if per_step else session.budget.run
    new = Caps.model_validate({**({} if no_caps else old.model_dump()), **given})
    changed = (
        Budget(run=session.budget.run, step=new)
        if per_step
        else Budget(run=new, step=session.budget.step)
    )
    send(name, SetBudget(budget=changed), as_json)


@app.command(epilog="Example: avo undo demo")
def undo(name: Name, as_json: Json = False) -> None:
    """Take back the last command that can be taken back; again, and it is done anew."""
    commands = SessionReader.open(find_session(name)).state.commands.values()
    for record in reversed(commands):
        if record.undo is not None and record.refused is None:
            what = f"{record.kind} ({record.summary})" if record.summary else record.kind
            typer.echo(f"undoing {what}", err=True)
            send(name, record.undo, as_json)
            return
    raise Failure(f"{name} has no command that can be taken back")


@app.command(epilog="Example: avo bookmark demo 12 baseline")
def bookmark(
    name: Name,
    version: VersionName,
    label: Annotated[
        str | None, typer.Argument(help="Without one the bookmark is removed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Mark a version with a word."""
    send(name, SetBookmark(version=number_of(name, version), label=label), as_json)


@app.command(epilog='Example: avo note demo 12 "first with online softmax"')
def note(
    name: Name,
    version: VersionName,
    text: Annotated[str, typer.Argument(help="Replaces the note that was there.")],
    as_json: Json = False,
) -> None:
    """Write a note on a version."""
    send(name, Annotate(version=number_of(name, version), text=text), as_json)


@app.command(epilog="Example: avo remeasure demo best")
def remeasure(name: Name, version: VersionName, as_json: Json = False) -> None:
    """Measure a version again; the score at the gate stays beside it."""
    send(name, Remeasure(version=number_of(name, version)), as_json, seconds=JOB_SECONDS)


def number_of(name: str, version: str) -> int:
    """The number of a session's version named as 12, v12, head or best. Raises Failure."""
    return pick(SessionReader.open(find_session(name)).state, version)


def send(
    name: str,
    command: Command,
    as_json: bool,
    *,
    live: bool = False,
    seconds: float = ANSWER_SECONDS,
) -> None:
    """Send a command and print its effect. If no engine runs, a short-lived one carries it out."""
    reader = SessionReader.open(find_session(name))
    identity = deliver(reader, command, live=live)
    _say(reader, identity, command.kind, as_json, seconds)


def deliver(reader: SessionReader, command: Command, *, live: bool = False) -> str:
    """Put a command into the inbox; if no engine runs, a short-lived one carries it out.

    Returns the command's id. Raises Failure if `live` requires an engine that is not running.
    """
    alive = reader.engine().alive
    if not alive and live:
        raise Failure(
            f"{reader.name} is not running ({reader.run_state()}); "
            f"go on with: avo run --resume {reader.name}"
        )
    identity = reader.send(command)
    if not alive:
        _have_inbox_taken(reader)
    return identity


def _have_inbox_taken(reader: SessionReader) -> None:
    try:
        take_inbox(reader.folder)
    except EngineFailed as error:
        raise Failure(f"the command is in the inbox, but {error}") from error


def answer(reader: SessionReader, identity: str, seconds: float) -> CommandRecord | None:
    """The record of a command; None if the engine has not taken it within `seconds`.

    An engine that was about to end when the command was sent may have read the inbox for the last
    time: then a short-lived one carries it out.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        alive = reader.engine().alive  # asked first: it may answer and end between the two
        reader.poll()
        if (record := reader.state.commands.get(identity)) is not None:
            return record
        if not alive:
            if identity not in waiting_commands(reader.folder):
                return None
            _have_inbox_taken(reader)
            deadline = max(deadline, time.monotonic() + ANSWER_SECONDS)
        time.sleep(0.03)
    return None


NOT_TAKEN = "sent, but the engine has not answered yet: it stays in the inbox until one does"


def _say(reader: SessionReader, identity: str, kind: str, as_json: bool, seconds: float) -> None:
    record = answer(reader, identity, seconds)
    if as_json:
        emit(answer_form(reader, identity, kind, record))
    if record is not None and record.refused is None:
        if not as_json:
            typer.echo(plain(record.effect, 400))
        return
    if as_json:
        raise typer.Exit(1)  # the document says why
    raise Failure(NOT_TAKEN if record is None else f"refused: {record.refused}")


def answer_form(
    reader: SessionReader, identity: str, kind: str, record: CommandRecord | None
) -> dict[str, object]:
    """A command and its answer, as JSON."""
    return {
        "session": reader.name,
        "command": kind,
        "id": identity,
        "taken": record is not None,
        "effect": record.effect if record else None,
        "refused": record.refused if record else None,
    }
