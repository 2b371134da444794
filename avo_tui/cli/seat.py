"""`avo seat`: the tools of the seat from the command line, one call at a time."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from avo_tui.cli.errors import INTERRUPTED, Failure, expected, sentence
from avo_tui.cli.json_output import emit
from avo_tui.cli.parameters import Json, Name
from avo_tui.cli.seat_names import NOBODY, caller
from avo_tui.cli.seating import QUIET_SECONDS, require_seat, sit_down, waiting_text
from avo_tui.domain.plain import plain, safe
from avo_tui.evolution.library import SessionKnowledge
from avo_tui.given_text import read_given_text
from avo_tui.operators.seat.step import BEGIN, OWN_TOOLS, READING, tool_specs
from avo_tui.operators.seat.wire import Answer, Call, Hello, Letter
from avo_tui.operators.toolbox import ToolError, check_arguments
from avo_tui.operators.toolbox.box import ToolSpec
from avo_tui.operators.toolbox.signature import argument_lines
from avo_tui.operators.toolbox.switched_off import parts_off
from avo_tui.seat.after_the_run import is_over, read_record
from avo_tui.seat.brief import brief as page
from avo_tui.seat.client import SeatClient, SeatError
from avo_tui.store import SessionReader, find_session

TAKES_FILES = frozenset({"scratch"})
"""Tools that run their own files: `--file` is passed to them instead of to the candidate."""

Files = Annotated[
    list[str] | None,
    typer.Option(
        "--file",
        metavar="[NAME=]PATH",
        help="Put this file into the working candidate first, as NAME or under its own name; for"
        " `scratch`, hand it to the program instead. May be repeated.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write the whole answer to this file, however long it is, and say only how long.",
    ),
]
TakeOver = Annotated[bool, typer.Option("--take-over", help="Send away whoever sits in the seat.")]


app = typer.Typer()


@app.command(epilog="Example: avo brief demo")
def brief(name: Name, as_json: Json = False) -> None:
    """Print the page that tells an agent how to work in the seat of a session."""
    state = SessionReader.open(find_session(name)).state
    if as_json:
        emit({"session": state.session.name, "markdown": page(state)})
        return
    typer.echo(safe(page(state)))


@app.command(
    epilog='Example: avo seat demo evaluate "title=query rows as lanes" --file attention.cpp'
)
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
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="What you call yourself on the person's screen. Without it $AVO_SEAT_AS, or the"
            " name last given for this session from this folder.",
        ),
    ] = None,
    take_over: TakeOver = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Sit in the seat of a session whose operator is `seat`, and call one of its tools.

    A long answer is cut in the middle, and says so, unless it goes to a file (--out), is JSON, or
    is the text that read_candidate raw=true gives.
    Exit status 1 where the tool answers that it could not do it.
    """
    try:
        reader = SessionReader.open(find_session(name))
        require_seat(reader)
        if tool is None:
            _list(tool_specs(reader.state.session.settings), as_json)
            return
        name_now = caller(who, reader.folder)
        if who is None and name_now != NOBODY and tool == BEGIN:
            _tell(f"as {name_now!r}, the name of this shell or folder; --as gives another one")
        me = (name_now, take_over)
        answer = _answer(reader, tool, arguments or [], files or [], me, out, as_json)
    except Exception as error:
        if not as_json or not (expected(error) or isinstance(error, typer.BadParameter)):
            raise
        typer.echo(f"avo: {sentence(error)}", err=True)
        _emit_failure(sentence(error))
        raise typer.Exit(1) from None
    if answer.ok and out is None and not as_json and _is_raw(tool, arguments or []):
        _show_raw(answer)
    else:
        _show(answer, out, as_json)
    if not answer.ok:
        raise typer.Exit(1)


def _answer(
    reader: SessionReader,
    tool: str,
    arguments: list[str],
    files: list[str],
    who: tuple[str, bool],
    out: Path | None,
    as_json: bool,
) -> Answer:
    """Check the call before anything is changed, then make it. `who`: name, whether to take over.

    Raises Failure, SeatError, typer.BadParameter.
    """
    settings = reader.state.session.settings
    specs = tool_specs(settings)
    given = _arguments(tool, arguments, specs)
    texts = _texts(files)
    if tool in TAKES_FILES:
        given["files"] = {**given.get("files", {}), **texts}
        texts = {}
    _check(tool, given, texts, specs, parts_off(settings))
    if out is not None:
        _check_writable(out)
    whole = as_json or out is not None or _is_raw(tool, arguments)
    call = Call(id=0, tool=tool, arguments=given, whole=whole)
    if tool in READING and not texts and is_over(reader):
        return _from_the_record(reader, call)
    hello = Hello(client=who[0], way="command_line", take_over=who[1])
    try:
        return asyncio.run(_call(reader, hello, call, texts))
    except KeyboardInterrupt:
        _tell(f"interrupted: {tool} goes on to its end, and the next answer says how to read it")
        raise typer.Exit(INTERRUPTED) from None
    except (Failure, SeatError):
        if tool in READING and not texts and is_over(reader):  # it ended meanwhile
            return _from_the_record(reader, call)
        raise


def _from_the_record(reader: SessionReader, call: Call) -> Answer:
    """The answer of a tool that only reads the record, of a run that has ended."""
    knowledge = SessionKnowledge(reader.folder, reader.state.session.task)
    try:
        work = read_record(reader, knowledge, call.tool, call.arguments, whole=call.whole)
        return asyncio.run(work)
    finally:
        knowledge.close()


def _check_writable(out: Path) -> None:
    """Raises Failure where an answer cannot be written: before a tool runs for minutes."""
    folder = out.absolute().parent
    if out.is_dir():
        raise Failure(f"--out {out} is a folder; name a file in it")
    if not folder.is_dir():
        raise Failure(f"--out {out}: there is no folder {folder}")
    if not os.access(out if out.exists() else folder, os.W_OK):
        raise Failure(f"--out {out} may not be written")


def _show(answer: Answer, out: Path | None, as_json: bool) -> None:
    """Print an answer; with `out` its text goes there, and what others said is printed."""
    if not answer.ok:
        out = None  # an error is not the answer that was asked for
    if out is not None:
        try:
            out.write_text(answer.text + "\n", encoding="utf-8")
        except OSError as error:
            typer.echo(f"avo: --out {out} cannot be written: {error.strerror}", err=True)
            out = None
    if as_json:
        emit(answer.model_dump(mode="json", exclude={"id"}))
        return
    if out is not None:
        answer = answer.replaced(text=f"{len(answer.text)} characters were written to {out}.")
    typer.echo(safe(answer.whole()))
    if out is None and answer.characters > len(answer.text):
        _tell(f"the answer is cut: it has {answer.characters} characters; --out FILE keeps all")


def _is_raw(tool: str, arguments: list[str]) -> bool:
    """Whether a call asks for a text exactly as it is."""
    return tool == "read_candidate" and "raw=true" in arguments


def _show_raw(answer: Answer) -> None:
    """Print all of a text and nothing else, since it may go into a file; the rest on standard
    error."""
    terminal = sys.stdout.isatty()
    typer.echo(safe(answer.text) if terminal else answer.text, nl=terminal)
    for line in filter(None, answer.replaced(text="").whole().splitlines()):
        _tell(line)


def _emit_failure(text: str) -> None:
    """What cannot be done at all: in the form of an answer, and with `error` as every command."""
    answer = Answer(id=0, ok=False, text=text, characters=len(text))
    emit({**answer.model_dump(mode="json", exclude={"id"}), "error": text})


def _list(specs: tuple[ToolSpec, ...], as_json: bool) -> None:
    if as_json:
        emit({"tools": [spec.model_dump(mode="json") for spec in specs]})
        return

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
            value = read_given_text(Path(value[1:]))
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
        texts[name if path != Path(given) else path.name] = read_given_text(path)
    return texts


def _check(
    tool: str,
    arguments: dict[str, Any],
    texts: dict[str, str],
    specs: tuple[ToolSpec, ...],
    parts: frozenset[str],
) -> None:
    """Raises Failure for a call that cannot work, before a file of it is in the candidate.

    `parts` are those that the run does without.
    """
    try:
        if tool not in {own.name for own in OWN_TOOLS}:
            check_arguments(tool, arguments, parts)
    except ToolError as error:
        raise Failure(str(error).rstrip(".")) from None
    if texts and tool == "submit" and "attempt" in arguments:
        raise Failure("submit attempt=… takes that attempt's source; leave --file out, or attempt")
    group = next(spec.group for spec in specs if spec.name == tool)
    if texts and not (group in {"candidate", "execution"} or tool == "submit"):
        using = (s.name for s in specs if s.group == "execution" and s.name not in TAKES_FILES)
        raise Failure(
            f"{tool} does not use the working candidate, so --file would only change it; leave"
            f" --file out, or use it with {', '.join(using)}"
        )


def _is_text(schema: dict[str, Any]) -> bool:
    kinds = {schema.get("type"), *(s.get("type") for s in schema.get("anyOf", []))}
    return "string" in kinds or "enum" in schema or "$ref" in schema or not schema


def _value(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise typer.BadParameter(f"{key} is not JSON: {text!r}", param_hint="ARGUMENTS") from None


async def _call(reader: SessionReader, hello: Hello, call: Call, texts: dict[str, str]) -> Answer:
    """Call a tool after `texts` (file name → text) were put into the working candidate."""
    client = await sit_down(reader, hello, say=_say)
    letters: tuple[Letter, ...] = ()
    async with client:
        for file, text in texts.items():
            arguments = {"file": file, "text": text}
            put = await _patient(reader, client, Call(id=0, tool="write_file", arguments=arguments))
            letters += put.letters
            if not put.ok:
                return put.replaced(letters=letters)
            _tell(put.text)
        answer = await _patient(reader, client, call)
    return answer.replaced(letters=(*letters, *answer.letters))


async def _patient(reader: SessionReader, client: SeatClient, wanted: Call) -> Answer:
    """Make a call; print on standard error what it waits for, and what it has brought so far."""
    call = asyncio.ensure_future(client.call(wanted.tool, wanted.arguments, whole=wanted.whole))
    told, since, shown = "", time.monotonic(), 0
    try:
        while not call.done():
            await asyncio.wait({call}, timeout=0.5)
            if call.done():
                break
            working = client.working
            for line in working.results[shown:] if working is not None else ():
                shown, since = shown + 1, time.monotonic()
                _tell(line)
            if time.monotonic() - since < QUIET_SECONDS:
                continue
            since = time.monotonic()
            now = working.working if working is not None else ""
            if (text := now or waiting_text(reader)) != told:
                told = text
                _say(text)
    finally:  # interrupted: the client leaves, the tool goes on
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    return call.result()


def _tell(text: str) -> None:
    """Print intermediate messages on standard error."""
    sys.stderr.write(f"avo: {plain(text, 400)}\n")


def _say(text: str) -> None:

    sys.stderr.write(f"avo: waiting: {plain(text, 300)}\n")
