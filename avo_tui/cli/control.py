"""Commands that steer a run: each goes through the session's inbox and reports its effect."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, BadParameter, Context, Exit, Option, Typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.parameters import (
    Evaluations,
    Hours,
    Json,
    Name,
    Steps,
    Tokens,
    Usd,
    VersionName,
    completing,
    opened,
    pick,
)
from avo_tui.cli.terminal import emit, say, tell
from avo_tui.domain import commands
from avo_tui.domain.budget import Caps, cap_states
from avo_tui.domain.memory import owed_text, owing, size
from avo_tui.domain.plain import plain
from avo_tui.domain.records import NoteCategory
from avo_tui.domain.run_settings import OptionValue, RunSettings
from avo_tui.evolution.process import EngineFailed, take_inbox, wait_for_end
from avo_tui.store import SessionReader, find_session, waiting_commands

if TYPE_CHECKING:
    from avo_tui.operators.descriptor import OptionInfo

ANSWER_SECONDS = 10.0
JOB_SECONDS = 3600.0
NOT_TAKEN = "sent, but the engine has not answered yet: it stays in the inbox until one does"
MOST = 4000
"""Characters of each note that are printed."""

app = Typer()


@app.command(epilog="Example: avo pause demo --when step")
def pause(
    name: Name,
    when: Annotated[
        Literal["tool", "step", "now"], Option(help="After this tool, after this step, or now.")
    ] = "tool",
    as_json: Json = False,
) -> None:
    """Pause a run."""
    mode = when if when == "now" else f"after_{when}"
    send(name, commands.Pause.model_validate({"mode": mode}), as_json, live=True)


@app.command(epilog="Example: avo resume demo")
def resume(name: Name, as_json: Json = False) -> None:
    """Go on after a pause, or cut a wait short."""
    send(name, commands.Resume(), as_json, live=True)


@app.command(epilog="Example: avo stop demo")
def stop(
    name: Name,
    wait: Annotated[float, Option(help="Seconds to wait for the end.")] = 30.0,
    as_json: Json = False,
) -> None:
    """End a run in good order; `avo run --resume NAME` goes on with it."""
    send(name, commands.Stop(), as_json, live=True)
    if wait > 0 and not wait_for_end(find_session(name), wait):
        raise Failure(f"{name} has not ended within {wait:g} s; it will")


@app.command(epilog="Example: avo hint demo TILE_K=64 --scope until-cleared")
def hint(
    name: Name,
    text: Annotated[list[str], Argument(help="The message; for the tuner NAME=value.")],
    when: Annotated[
        Literal["next-tool", "end-of-turn", "now"], Option(help="When it is delivered.")
    ] = "next-tool",
    scope: Annotated[
        Literal["once", "step", "until-cleared"], Option(help="How long it holds.")
    ] = "once",
    as_json: Json = False,
) -> None:
    """Give the operator of variation a hint."""
    form = {"delivery": when.replace("-", "_"), "scope": scope.replace("-", "_")}
    send(name, commands.SendHint.model_validate({"text": " ".join(text), **form}), as_json)


@app.command("clear-hint", epilog="Example: avo clear-hint demo 0176…")
def clear_hint(
    name: Name,
    identity: Annotated[str, Argument(metavar="HINT", help="Its id, or `all`.")],
    as_json: Json = False,
) -> None:
    """Take back a hint that is queued or in force."""
    live = [hint.id for hint in opened(name).state.live_hints] if identity == "all" else [identity]
    if not live:
        raise Failure("no hint is in force")
    for one in live:
        send(name, commands.ClearHint(hint=one), as_json)


@app.command(epilog='Example: avo rewind demo 12 --why "try the other tiling"')
def rewind(
    name: Name,
    version: VersionName,
    why: Annotated[str, Option(help="The reason; the agent is told.")] = "",
    as_json: Json = False,
) -> None:
    """Make an earlier version the head; what came after stays as a branch."""
    send(name, commands.Rewind(version=number_of(name, version), reason=why), as_json)


@app.command(epilog="Example: avo abort demo")
def abort(
    name: Name, why: Annotated[str, Option(help="The reason.")] = "", as_json: Json = False
) -> None:
    """End the step that is running; the run goes on with the next."""
    send(name, commands.AbortStep(reason=why), as_json)


@app.command(epilog="Example: avo approve demo")
def approve(name: Name, as_json: Json = False) -> None:
    """Let the commit that waits for approval through."""
    send(name, commands.Approve(), as_json, live=True)


@app.command(epilog='Example: avo reject demo --why "unreadable"')
def reject(
    name: Name,
    why: Annotated[str, Option(help="The reason; the agent is told.")] = "",
    as_json: Json = False,
) -> None:
    """Refuse the commit that waits for approval."""
    send(name, commands.Reject(reason=why), as_json, live=True)


@app.command(epilog="Example: avo budget demo --hours 2 --evaluations 500")
def budget(
    name: Name,
    usd: Usd = None,
    tokens: Tokens = None,
    hours: Hours = None,
    evaluations: Evaluations = None,
    steps: Steps = None,
    per_step: Annotated[bool, Option("--per-step", help="Caps of each step.")] = False,
    no_caps: Annotated[bool, Option("--none", help="Take the other caps away.")] = False,
    as_json: Json = False,
) -> None:
    """Change the caps of a run, or show them where none is given."""
    session = opened(name).state.session
    whole = session.budget
    caps = Caps(usd=usd, tokens=tokens, hours=hours, evaluations=evaluations, steps=steps)
    given = caps.model_dump(exclude_none=True)
    if given or no_caps:
        old = {} if no_caps else (whole.step if per_step else whole.run).model_dump()
        new = Caps.model_validate({**old, **given})
        changed = {"step": new} if per_step else {"run": new}
        send(name, commands.SetBudget(budget=whole.replaced(**changed)), as_json)
    elif as_json:
        spend = session.spend.model_dump(mode="json")
        emit({"session": session.name, "budget": whole.model_dump(mode="json"), "spend": spend})
    else:
        say(*[cap.text for cap in cap_states(whole.run, session.spend)] or ["no caps"])


@app.command(epilog="Example: avo undo demo")
def undo(name: Name, as_json: Json = False) -> None:
    """Take back the last command that can be taken back; again, and it is done anew."""
    for record in reversed(opened(name).state.commands.values()):
        if record.undo is not None and record.refused is None:
            what = f"{record.kind} ({record.summary})" if record.summary else record.kind
            tell(f"undoing {what}")
            send(name, record.undo, as_json)
            return
    raise Failure(f"{name} has no command that can be taken back")


@app.command(epilog="Example: avo bookmark demo 12 baseline")
def bookmark(
    name: Name,
    version: VersionName,
    label: Annotated[str | None, Argument(help="Without one the bookmark is removed.")] = None,
    as_json: Json = False,
) -> None:
    """Mark a version with a word."""
    send(name, commands.SetBookmark(version=number_of(name, version), label=label), as_json)


@app.command(epilog='Example: avo note demo 12 "first with online softmax"')
def note(
    name: Name,
    version: VersionName,
    text: Annotated[str, Argument(help="Replaces the note that was there.")],
    as_json: Json = False,
) -> None:
    """Write a note on a version."""
    send(name, commands.Annotate(version=number_of(name, version), text=text), as_json)


@app.command(epilog="Example: avo remeasure demo best")
def remeasure(name: Name, version: VersionName, as_json: Json = False) -> None:
    """Measure a version again; the score at the gate stays beside it."""
    command = commands.Remeasure(version=number_of(name, version))
    send(name, command, as_json, seconds=JOB_SECONDS)


@app.command(epilog='Example: avo memory demo --add "loads are the limit" --category fact')
def memory(
    name: Name,
    add: Annotated[str | None, Option(help="Write a note of your own.")] = None,
    category: Annotated[
        NoteCategory | None, Option(help="What it is about: a fact, or as the replaced one was.")
    ] = None,
    replace: Annotated[str | None, Option(help="With --add: the note it stands for.")] = None,
    remove: Annotated[str | None, Option(help="Remove a note, by its id.")] = None,
    as_json: Json = False,
) -> None:
    """Read the notes that are carried from step to step, or write, replace and remove one."""
    if remove is not None and (add is not None or replace is not None):
        raise BadParameter("it goes alone", param_hint="--remove")
    if replace is not None and add is None:
        raise BadParameter("say with --add what it is to read", param_hint="--replace")
    reader = opened(name)
    if remove is not None:
        send(name, commands.EditMemory(note=remove, text=None), as_json)
    elif add is not None:
        old = reader.state.memory.get(replace or "")
        about = category or (old.category if old is not None else "fact")
        send(name, commands.EditMemory(note=replace, category=about, text=add), as_json)
    else:
        _show_memory(reader, as_json)


def _show_memory(reader: SessionReader, as_json: bool) -> None:
    state, notes = reader.state, reader.state.memory.values()
    versions, limit = owing(state.versions.values()), state.session.memory_limit
    if as_json:
        forms = [
            {**note.model_dump(mode="json"), "versions": list(versions.get(note.id, ()))}
            for note in notes
        ]
        held = {"characters": size(notes), "limit": limit, "notes": forms}
        emit({"session": state.session.name, **held})
        return
    if not notes:
        say("no notes yet; the agent writes them, and so can you with --add")
        return
    for note in notes:
        owed = owed_text(versions.get(note.id, ()))
        about = f"{note.author}, step {note.step}" + (f"; {owed}" if owed else "")
        say(f"[{note.id}] {note.category} ({about})", f"  {plain(note.text, MOST)}")
    say(f"{size(notes)} of {limit} characters")


def _options(context: Context) -> Iterator[str]:
    """The options of the session that stands on the line already, each with its `=`, and with the
    value it has: a shell writes a space behind an answer that is the only one."""
    settings = opened(context.params["name"]).state.session.settings
    for option in _known(settings):
        value = settings.option(option.name)
        yield f"{option.name}="
        yield f"{option.name}={option.default if value is None else value}"


def _known(settings: RunSettings) -> Sequence[OptionInfo]:
    # Not at the top: every operator is behind it, which the other commands need not.
    from avo_tui.evolution.options import known_options

    return known_options(settings)


@app.command("set", epilog="Example: avo set my-run agent.effort=low agent.max_tokens=16000")
def set_options(
    name: Name,
    options: Annotated[
        list[str] | None,
        Argument(
            metavar="[NAME=VALUE]...",
            help="`NAME=` alone puts back the default.",
            autocompletion=completing(_options),
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change options of a run, such as the agent's model; without any, list them."""
    if options:
        changes = {"options": parse_pairs(options)}
        send(name, commands.SetOptions.model_validate(changes), as_json)
        return
    session = opened(name).state.session
    _list_options(session.name, session.settings, as_json)


def parse_pairs(pairs: Sequence[str]) -> dict[str, OptionValue | None]:
    """`NAME=VALUE` → value; None for `NAME=`. Raises typer.BadParameter."""
    changes: dict[str, OptionValue | None] = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not name:
            raise BadParameter(f"{pair!r} is not NAME=VALUE, such as agent.effort=low")
        if name in changes:
            raise BadParameter(f"{name} is named twice")
        changes[name] = value or None
    return changes


def _list_options(name: str, settings: RunSettings, as_json: bool) -> None:
    rows = [(option, settings.option(option.name)) for option in _known(settings)]
    if as_json:
        forms = [
            {"name": o.name, "value": v, "default": o.default or None, "meaning": o.meaning}
            for o, v in rows
        ]
        emit({"session": name, "options": forms})
        return
    width = max(len(option.name) for option, _ in rows)
    for option, value in rows:
        default = option.default or "–"
        shown = default if value is None else str(value)
        if value is not None and shown != option.default:
            shown += f" (default {default})"
        say(f"{option.name:{width}}  {plain(shown, 200)}", f"{'':{width}}    {option.meaning}")


def number_of(name: str, version: str) -> int:
    """The number of a session's version named as 12, v12, head or best. Raises Failure."""
    return pick(opened(name).state, version)


def send(
    name: str,
    command: commands.Command,
    as_json: bool,
    *,
    live: bool = False,
    seconds: float = ANSWER_SECONDS,
) -> None:
    """Send a command and print its effect. If no engine runs, a short-lived one carries it out."""
    reader = opened(name)
    identity = deliver(reader, command, live=live)
    record = answer(reader, identity, seconds)
    if as_json:
        emit(answer_form(reader, command, identity, record))
    record = effective(record, as_json)
    if not as_json:
        say(plain(record.effect, 400))


def effective(record: commands.CommandRecord | None, as_json: bool) -> commands.CommandRecord:
    """The record of a command that had its effect. Raises Failure, or Exit where a document says
    why."""
    if record is not None and record.refused is None:
        return record
    if as_json:
        raise Exit(1)
    raise Failure(NOT_TAKEN if record is None else f"refused: {record.refused}")


def answer_form(
    reader: SessionReader,
    command: commands.Command,
    identity: str,
    record: commands.CommandRecord | None,
) -> dict[str, object]:
    """A command and its answer, as JSON."""
    return {
        "session": reader.name,
        "command": command.kind,
        "id": identity,
        "taken": record is not None,
        "effect": record.effect if record else None,
        "refused": record.refused if record else None,
    }


def deliver(reader: SessionReader, command: commands.Command, *, live: bool = False) -> str:
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


def answer(reader: SessionReader, identity: str, seconds: float) -> commands.CommandRecord | None:
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
