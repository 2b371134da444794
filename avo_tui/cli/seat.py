"""`avo seat`: the tools of the seat from the command line, one call at a time."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.reading import Json, Name

if TYPE_CHECKING:
    from avo_tui.operators.seat.wire import Answer, Hello, Letter
    from avo_tui.operators.toolbox.box import ToolSpec
    from avo_tui.seat.client import SeatClient
    from avo_tui.store import SessionReader

START_SECONDS = 300.0
"""Seconds to wait for the seat while the engine starts and evaluates the seed."""

QUIET_SECONDS = 10.0
"""Seconds between two lines about what is being waited for."""

TAKES_FILES = frozenset({"scratch"})
"""Tools that run files of their own: `--file` is handed to them and not put into the candidate."""

Files = Annotated[
    list[str] | None,
    typer.Option(
        "--file",
        metavar="[NAME=]PATH",
        help="Put this file into the working candidate first, as NAME or under its own name; for"
        " `scratch`, hand it to the program instead. May be repeated.",
    ),
]
TakeOver = Annotated[bool, typer.Option("--take-over", help="Send away whoever sits in the seat.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        epilog='Example: avo seat demo evaluate "title=query rows as lanes" --file attention.cpp'
    )(seat)
    app.command(epilog="Example: avo brief demo")(brief)


def brief(name: Name, as_json: Json = False) -> None:
    """Print the page that tells an agent how to work in the seat of a session."""
    from avo_tui.cli.json_output import emit
    from avo_tui.domain.plain import safe
    from avo_tui.seat.brief import brief as page
    from avo_tui.store import SessionReader, find_session

    state = SessionReader.open(find_session(name)).state
    if as_json:
        emit({"session": state.session.name, "markdown": page(state)})
        return
    typer.echo(safe(page(state)))


def seat(
    name: Name,
    tool: Annotated[
        str | None, typer.Argument(help="A tool; without one the tools are listed.")
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="Its arguments: key=value, or key=@FILE for the text of a file."),
    ] = None,
    files: Files = None,
    who: Annotated[
        str, typer.Option("--as", help="What you call yourself on the person's screen.")
    ] = "command line",
    take_over: TakeOver = False,
    as_json: Json = False,
) -> None:
    """Sit in the seat of a session whose operator is `seat`, and call one of its tools.

    Exit status 1 where the tool answers that it could not do it.
    """
    from avo_tui.operators.seat.step import tool_specs
    from avo_tui.operators.seat.wire import Hello

    specs = tool_specs()
    if tool is None:
        _list(specs, as_json)
        return
    given = _arguments(tool, arguments or [], specs)
    texts = _texts(files or [])
    if tool in TAKES_FILES:
        given["files"] = {**given.get("files", {}), **texts}
        texts = {}
    _check(tool, given, texts, specs)
    hello = Hello(client=who, way="command_line", take_over=take_over)
    answer = asyncio.run(_call(name, hello, tool, given, texts))
    if as_json:
        from avo_tui.cli.json_output import emit

        emit(answer.model_dump(mode="json", exclude={"id"}))
    else:
        from avo_tui.domain.plain import safe

        typer.echo(safe(answer.whole()))
    if not answer.ok:
        raise typer.Exit(1)


def _list(specs: tuple[ToolSpec, ...], as_json: bool) -> None:
    if as_json:
        from avo_tui.cli.json_output import emit

        emit({"tools": [spec.model_dump(mode="json") for spec in specs]})
        return
    from avo_tui.operators.toolbox.signature import argument_lines

    for spec in specs:
        typer.echo(spec.name)
        typer.echo(f"    {spec.description}")
        for line in argument_lines(spec.input_schema):
            typer.echo(f"      {line}")


def _arguments(tool: str, given: list[str], specs: tuple[ToolSpec, ...]) -> dict[str, Any]:
    """key=value by the tool's schema: what is not a text is read as JSON."""
    spec = next((s for s in specs if s.name == tool), None)
    properties = spec.input_schema.get("properties", {}) if spec is not None else {}
    arguments: dict[str, Any] = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign:
            raise typer.BadParameter(
                f"{text!r} is not key=value; {tool} takes {', '.join(properties) or 'nothing'}",
                param_hint="ARGUMENTS",
            )
        if value.startswith("@"):
            value = _text_of(Path(value[1:]))
        arguments[key] = value if _is_text(properties.get(key, {})) else _value(key, value)
    return arguments


def _texts(files: list[str]) -> dict[str, str]:
    """Name in the candidate → text, of `PATH` or `NAME=PATH` each. Raises typer.BadParameter."""
    texts: dict[str, str] = {}
    for given in files:
        name, sign, rest = given.partition("=")
        path = Path(rest) if sign and not Path(given).exists() else Path(given)
        if not path.is_file():
            raise typer.BadParameter(f"there is no file {path}", param_hint="--file")
        texts[name if path != Path(given) else path.name] = _text_of(path)
    return texts


def _check(
    tool: str, arguments: dict[str, Any], texts: dict[str, str], specs: tuple[ToolSpec, ...]
) -> None:
    """Raises Failure for a call that cannot work, before a file of it is in the candidate."""
    from avo_tui.operators.seat.step import OWN_TOOLS
    from avo_tui.operators.toolbox import ToolError, check_arguments

    try:
        if tool not in {own.name for own in OWN_TOOLS}:
            check_arguments(tool, arguments)
    except ToolError as error:
        raise Failure(str(error).rstrip(".")) from None
    group = next(spec.group for spec in specs if spec.name == tool)
    if texts and not (group in {"candidate", "execution"} or tool == "submit"):
        raise Failure(
            f"{tool} does not use the working candidate, so --file would only change it; leave"
            " --file out, or use it with compile, check, evaluate, bench, profile, disassemble"
        )


def _is_text(schema: dict[str, Any]) -> bool:
    kinds = {schema.get("type"), *(s.get("type") for s in schema.get("anyOf", []))}
    return "string" in kinds or "enum" in schema or "$ref" in schema or not schema


def _value(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise typer.BadParameter(f"{key} is not JSON: {text!r}", param_hint="ARGUMENTS") from None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Failure(f"{path} is not UTF-8 text") from error


async def _call(
    name: str, hello: Hello, tool: str, arguments: dict[str, Any], texts: dict[str, str]
) -> Answer:
    """Call a tool after `texts` (file name → text) were put into the working candidate."""
    from avo_tui.store import SessionReader, find_session

    reader = SessionReader.open(find_session(name))
    client = await sit_down(reader, hello, say=_say)
    letters: tuple[Letter, ...] = ()
    async with client:
        for file, text in texts.items():
            put = await _patient(reader, client, "write_file", {"file": file, "text": text})
            letters += put.letters
            if not put.ok:
                return put.replaced(letters=letters)
            _tell(put.text)
        answer = await _patient(reader, client, tool, arguments)
    return answer.replaced(letters=(*letters, *answer.letters))


async def _patient(
    reader: SessionReader, client: SeatClient, tool: str, arguments: dict[str, Any]
) -> Answer:
    """A call, with a line on standard error now and then about what is waited for."""
    call = asyncio.ensure_future(client.call(tool, arguments))
    told, since = "", time.monotonic()
    while not call.done():
        await asyncio.wait({call}, timeout=0.5)
        if time.monotonic() - since < QUIET_SECONDS or call.done():
            continue
        since = time.monotonic()
        if (text := waiting_text(reader)) != told:
            told = text
            _say(text)
    return call.result()


def waiting_text(reader: SessionReader) -> str:
    """What a caller waits for: the run's state with its reason, the stage of an evaluation."""
    from avo_tui.cli.json_output import current_attempt

    reader.poll()
    attempt, stage = current_attempt(reader.state)
    why = f": {reader.state.session.state_reason}" if reader.state.session.state_reason else ""
    if attempt:
        doing = f"; attempt {attempt}, {stage}"
    else:
        doing = "; the tool is at work" if reader.run_state() == "running" else ""
    return f"{reader.run_state()}{why}{doing}"


def _tell(text: str) -> None:
    """What was done on the way to the answer, on standard error."""
    from avo_tui.domain.plain import plain

    sys.stderr.write(f"avo: {plain(text, 400)}\n")


def _say(text: str) -> None:
    from avo_tui.domain.plain import plain

    sys.stderr.write(f"avo: waiting: {plain(text, 300)}\n")


async def sit_down(reader: SessionReader, hello: Hello, say: Any = None) -> SeatClient:
    """The seat of a session; starts its engine where one was lost.

    Raises Failure where the run was stopped or is finished: only the person takes that back.
    Raises SeatError where somebody else sits there.
    """
    from avo_tui.evolution.process import start_engine
    from avo_tui.seat.client import SeatClient, SeatNotThereError

    settings = reader.state.session.settings
    if settings.operator not in {"seat", "acp"}:
        raise Failure(
            f"{reader.name} has no seat: its operator is {settings.operator}; start one with"
            f" avo run {reader.state.session.task.name} --operator seat"
        )
    if not reader.engine().alive:
        session = reader.state.session
        if session.state in {"finished", "stopped"}:
            raise Failure(
                f"{reader.name} is {session.state} ({session.state_reason}). Whether it goes on is"
                f" decided by the person, with avo run --resume {reader.name}; an agent ends its"
                " work here"
            )
        start_engine(reader.folder, resume=True)
    told = time.monotonic()
    deadline = told + START_SECONDS
    while True:
        try:
            return await SeatClient.sit_down(reader.folder, hello)
        except SeatNotThereError as error:
            if not reader.engine().alive:
                reader.poll()
                why = reader.state.session.state_reason or "its engine.log may say why"
                raise Failure(f"the run of {reader.name} has ended: {why}") from error
            if time.monotonic() > deadline:
                raise
        if say is not None and time.monotonic() - told > QUIET_SECONDS:
            told = time.monotonic()
            say(waiting_text(reader))
        await asyncio.sleep(0.2)
