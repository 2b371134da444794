"""The seat of a session from outside: its tools one call at a time, or over MCP."""

import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import TypeAdapter, ValidationError
from typer import Argument, BadParameter, Exit, Option, Typer, echo

from avo_tui.cli.control import ANSWER_SECONDS, NOT_TAKEN, deliver
from avo_tui.cli.control import answer as taken
from avo_tui.cli.errors import INTERRUPTED, Failure, expected, sentence
from avo_tui.cli.json_output import current_attempt
from avo_tui.cli.parameters import Json, Name, opened
from avo_tui.cli.terminal import emit, say, tell
from avo_tui.domain.commands import EditMemory
from avo_tui.domain.plain import plain, safe
from avo_tui.evolution.library import SessionKnowledge
from avo_tui.evolution.process import start_engine
from avo_tui.given_text import read_given_text
from avo_tui.operators.seat.step import BEGIN, OWN_TOOLS, UNOPENED, tool_specs
from avo_tui.operators.seat.wire import Answer, Call, Hello, Letter
from avo_tui.operators.toolbox import ToolError, check_arguments
from avo_tui.operators.toolbox.box import ToolSpec
from avo_tui.operators.toolbox.signature import argument_lines
from avo_tui.operators.toolbox.switched_off import parts_off
from avo_tui.seat.after_the_run import ended_text, is_over, read_record
from avo_tui.seat.brief import brief as page
from avo_tui.seat.client import SeatClient, SeatError, SeatNotThereError
from avo_tui.seat.resources import Library
from avo_tui.store import SessionReader, StoreError
from avo_tui.user_paths import without_links

TAKES_FILES = frozenset({"scratch"})
"""Tools that run their own files: `--file` is passed to them instead of to the candidate."""
RAW = {
    "read_candidate": "raw=true",
    "read_attempt": "part=source",
    "read_version": "part=source",
}
"""Tools with the argument that asks for a source exactly as it is, so that it can go into a file:
it is printed whole, and nothing else."""
TOKEN_VARIABLE = "AVO_MCP_TOKEN"  # noqa: S105 - the name of a variable
VARIABLE = "AVO_SEAT_AS"
NOBODY = "command line"
"""Name of a caller that has none."""
LATELY = 3600.0
"""Seconds for which a second name from the same folder counts as another caller who is there."""
START_SECONDS = 300.0
"""Seconds to wait for the seat while the engine starts and evaluates the seed."""
QUIET_SECONDS = 10.0
"""Seconds between two lines about what is being waited for."""

_MOST = 100
"""Folders whose callers' names are remembered, the newest."""
_Book = dict[str, dict[str, float]]
"""Session and folder → name → when it was said last, in seconds since 1970."""
_BOOK = TypeAdapter(_Book)

TakeOver = Annotated[bool, Option("--take-over", help="Send away whoever sits in the seat.")]

app = Typer()


@app.command(epilog="Example: avo brief demo")
def brief(name: Name, as_json: Json = False) -> None:
    """Print the page that tells an agent how to work in the seat of a session."""
    reader = opened(name)
    standing = reader.standing()
    text = page(reader.state, standing)
    if as_json:
        emit({"session": reader.name, "run_state": standing[0], "markdown": text})
    else:
        say(safe(text))


@app.command(
    epilog='Example: avo seat demo evaluate "title=query rows as lanes" --file attention.cpp'
)
def seat(
    name: Name,
    tool: Annotated[str | None, Argument(help="A tool; without one the tools are listed.")] = None,
    arguments: Annotated[
        list[str] | None,
        Argument(help="Its arguments: key=value, or key=@FILE for the text of a file."),
    ] = None,
    files: Annotated[
        list[str] | None,
        Option(
            "--file",
            metavar="[NAME=]PATH",
            help="Put this file into the working candidate first, as NAME or under its own name;"
            " for `scratch`, hand it to the program instead. May be repeated.",
        ),
    ] = None,
    who: Annotated[
        str | None,
        Option(
            "--as",
            metavar="NAME",
            help="What you call yourself on the person's screen. Without it $AVO_SEAT_AS, or the"
            " name last given for this session from this folder.",
        ),
    ] = None,
    take_over: TakeOver = False,
    out: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Write the whole answer to this file, however long it is, and say only how long.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Sit in the seat of a session whose operator is `seat`, and call one of its tools.

    A long answer is cut in the middle, and says so, unless it goes to a file (--out), is JSON, or
    is a source as it is: read_candidate raw=true, read_attempt and read_version part=source.
    Exit status 1 where the tool answers that it could not do it.
    """
    words = arguments or []
    raw = tool is not None and RAW.get(tool) in words
    reader = None
    try:
        reader = opened(name)
        require_seat(reader)
        if tool is None:
            _list(tool_specs(reader.state.session.settings), as_json)
            return
        me = caller(who, reader.folder)
        if who is None and me != NOBODY and tool == BEGIN:
            _tell(f"as {me!r}, the name of this shell or folder; --as gives another one")
        call, texts = _checked(reader, tool, words, files or [])
        if out is not None:
            _check_writable(out)
        call = call.replaced(whole=as_json or out is not None or raw)
        hello = Hello(client=me, way="command_line", take_over=take_over)
        answer = _answer(reader, hello, call, texts)
    except Exception as error:
        if not as_json or not (expected(error) or isinstance(error, BadParameter)):
            raise
        # what cannot be done at all: in the form of an answer, and with `error` as every command
        text = sentence(error)
        tell(f"avo: {text}")
        state = reader.run_state() if reader is not None else None
        refused = Answer(id=0, ok=False, text=text, characters=len(text), run_state=state)
        emit({**refused.model_dump(mode="json", exclude={"id"}), "error": text})
        raise Exit(1) from None
    if answer.ok and out is None and not as_json and raw:
        _show_raw(answer)
    else:
        _show(answer, out if answer.ok else None, as_json)
    if not answer.ok:
        raise Exit(1)


def _checked(
    reader: SessionReader, tool: str, arguments: list[str], files: list[str]
) -> tuple[Call, dict[str, str]]:
    """A call and the files to put into the candidate before; nothing is changed yet.

    Raises Failure and BadParameter for a call that cannot work.
    """
    settings = reader.state.session.settings
    specs = {spec.name: spec for spec in tool_specs(settings)}
    given, texts = _arguments(tool, arguments, specs.get(tool)), _texts(files)
    if tool in TAKES_FILES:
        given["files"], texts = {**given.get("files", {}), **texts}, {}
    try:
        if tool not in {own.name for own in OWN_TOOLS}:
            check_arguments(tool, given, parts_off(settings))
    except ToolError as error:
        raise Failure(str(error).rstrip(".")) from None
    if texts and tool == "submit" and "attempt" in given:
        raise Failure("submit attempt=… takes that attempt's source; leave --file out, or attempt")
    if texts and not (specs[tool].group in {"candidate", "execution"} or tool == "submit"):
        using = (n for n, s in specs.items() if s.group == "execution" and n not in TAKES_FILES)
        raise Failure(
            f"{tool} does not use the working candidate, so --file would only change it; leave"
            f" --file out, or use it with {', '.join(using)}"
        )
    return Call(id=0, tool=tool, arguments=given), texts


def _answer(reader: SessionReader, hello: Hello, call: Call, texts: dict[str, str]) -> Answer:
    """Make a call; of a run that has ended, a tool that only reads answers from the record.

    Raises Failure, SeatError.
    """

    def recorded() -> Answer | None:
        if call.tool not in UNOPENED or texts or not is_over(reader):
            return None
        leave = partial(_leave_note, reader)
        with closing(SessionKnowledge(reader.folder, reader.state.session.task)) as knowledge:
            return asyncio.run(
                read_record(reader, knowledge, call.tool, call.arguments, leave, whole=call.whole)
            )

    if (answer := recorded()) is not None:
        return answer
    try:
        return asyncio.run(_call(reader, hello, call, texts))
    except KeyboardInterrupt:
        _tell(
            f"interrupted: {call.tool} goes on to its end, and the next answer says how to read it"
        )
        raise Exit(INTERRUPTED) from None
    except (Failure, SeatError):
        if (answer := recorded()) is None:  # else it ended meanwhile
            raise
        return answer


def _leave_note(reader: SessionReader, command: EditMemory) -> None:
    """Have a note written into the memory of a run that has ended. Raises as `Leave`."""
    try:
        record = taken(reader, deliver(reader, command), ANSWER_SECONDS)
    except (Failure, StoreError) as error:
        raise ToolError(f"The note is not written yet: {error}") from None
    if record is None:
        raise ToolError(f"The note is not written yet: {NOT_TAKEN}")
    if record.refused is not None:
        raise ValueError(record.refused)


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
    if out is not None:
        try:
            out.write_text(answer.text + "\n", encoding="utf-8")
        except OSError as error:
            _tell(f"--out {out} cannot be written: {error.strerror}")
            out = None
    if as_json:
        emit(answer.model_dump(mode="json", exclude={"id"}))
        return
    if out is not None:
        answer = answer.replaced(text=f"{len(answer.text)} characters were written to {out}.")
    say(safe(answer.whole()))
    if out is None and answer.characters > len(answer.text):
        _tell(f"the answer is cut: it has {answer.characters} characters; --out FILE keeps all")


def _show_raw(answer: Answer) -> None:
    """Print all of a text and nothing else, since it may go into a file; the rest on standard
    error."""
    terminal = sys.stdout.isatty()
    echo(safe(answer.text) if terminal else answer.text, nl=terminal)
    for line in filter(None, answer.replaced(text="").whole().splitlines()):
        _tell(line)


def _list(specs: tuple[ToolSpec, ...], as_json: bool) -> None:
    if as_json:
        emit({"tools": [spec.model_dump(mode="json") for spec in specs]})
        return
    for spec in specs:
        lines = (f"      {line}" for line in argument_lines(spec.input_schema))
        say(spec.name, f"    {spec.description}", *lines)


def _arguments(tool: str, given: list[str], spec: ToolSpec | None) -> dict[str, Any]:
    """key=value by the tool's schema: what is not a text is read as JSON."""
    properties = spec.input_schema.get("properties", {}) if spec is not None else {}
    arguments: dict[str, Any] = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign:
            raise BadParameter(
                f"{text!r} is not key=value; {tool} takes {', '.join(properties) or 'nothing'}",
                param_hint="ARGUMENTS",
            )
        if value.startswith("@"):
            value = read_given_text(Path(value[1:]))
        arguments[key] = value if _is_text(properties.get(key, {})) else _value(key, value)
    return arguments


def _texts(files: list[str]) -> dict[str, str]:
    """Name in the candidate → text, of `PATH` or `NAME=PATH` each. Raises BadParameter."""
    texts: dict[str, str] = {}
    for given in files:
        name, sign, rest = given.partition("=")
        path = Path(rest) if sign and not Path(given).exists() else Path(given)
        if not path.is_file():
            raise BadParameter(f"there is no file {path}", param_hint="--file")
        texts[name if path != Path(given) else path.name] = read_given_text(path)
    return texts


def _is_text(schema: dict[str, Any]) -> bool:
    kinds = {schema.get("type"), *(s.get("type") for s in schema.get("anyOf", []))}
    return "string" in kinds or "enum" in schema or "$ref" in schema or not schema


def _value(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise BadParameter(f"{key} is not JSON: {text!r}", param_hint="ARGUMENTS") from None


async def _call(reader: SessionReader, hello: Hello, call: Call, texts: dict[str, str]) -> Answer:
    """Call a tool after `texts` (file name → text) were put into the working candidate."""
    client = await sit_down(reader, hello, say=lambda text: _tell(f"waiting: {plain(text, 300)}"))
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
                _tell(f"waiting: {plain(text, 300)}")
    finally:  # interrupted: the client leaves, the tool goes on
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    return call.result()


def _tell(text: str) -> None:
    """Print intermediate messages on standard error."""
    sys.stderr.write(f"avo: {plain(text, 400)}\n")


# -- what a caller is called, where a call does not say it


def caller(said: str | None, session: Path) -> str:
    """The name of the caller; a name that was said is remembered.

    The step is opened for one name, so every call of an agent has to bear the same. In order: what
    the call says (`--as`), the environment variable AVO_SEAT_AS, the name last said for this
    session from this folder, `command line`. Raises Failure where two names were said from one
    folder within an hour: each call has to say its own then.
    """
    try:
        here = str(Path.cwd())
    except OSError:  # this folder was deleted
        here = "nowhere"
    key = f"{without_links(session)} from {here}"
    if said is not None:
        _remember(key, said)
        return said
    if given := os.environ.get(VARIABLE, "").strip():
        return given
    names = _read().get(key, {})
    if not names:
        return NOBODY
    newest = max(names.values())
    present = sorted(name for name, when in names.items() if newest - when < LATELY)
    if len(present) > 1:
        callers = " and ".join(repr(name) for name in present)
        raise Failure(
            f"{callers} called from this folder within one hour, so it is not clear who you are:"
            f" say --as NAME in each call, or set {VARIABLE} in your shell"
        )
    return present[0]


def _remember(key: str, name: str) -> None:
    """Write that a name was said; a book that cannot be written is no reason to fail."""
    book = _read()
    book[key] = {**book.get(key, {}), name: time.time()}
    newest = sorted(book, key=lambda k: max(book[k].values(), default=0.0))[-_MOST:]
    path = _path()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({k: book[k] for k in newest}), encoding="utf-8")
        temporary.replace(path)


def _read() -> _Book:
    try:
        return _BOOK.validate_json(_path().read_bytes())
    except (OSError, ValidationError):
        return {}


def _path() -> Path:
    return platformdirs.user_state_path("avo-tui") / "seat-names.json"


# -- sitting down


def require_seat(reader: SessionReader) -> None:
    """Raises Failure, one sentence, where no agent outside can make the steps of a session."""
    settings = reader.state.session.settings
    if settings.operator not in {"seat", "acp"}:
        raise Failure(
            f"{reader.name} has no seat: its operator is {settings.operator}; start one with"
            f" avo run {reader.state.session.task.name} --operator seat"
        )


def waiting_text(reader: SessionReader) -> str:
    """What a caller waits for: the run's state with its reason, the stage of an evaluation."""
    reader.poll()
    attempt, stage = current_attempt(reader.state)
    why = f": {reader.state.session.state_reason}" if reader.state.session.state_reason else ""
    if attempt:
        doing = f"; attempt {attempt}, {stage}"
    else:
        doing = "; the tool is at work" if reader.run_state() == "running" else ""
    return f"{reader.run_state()}{why}{doing}"


async def sit_down(
    reader: SessionReader, hello: Hello, say: Callable[[str], None] = lambda text: None
) -> SeatClient:
    """The seat of a session; starts its engine where one was lost.

    Raises Failure where the session has no seat, and where the run was stopped or is finished: only
    the person takes that back.
    Raises SeatError where somebody else sits there.
    """
    require_seat(reader)
    if not reader.engine().alive:
        session = reader.state.session
        if session.state in {"finished", "stopped"}:
            raise Failure(ended_text(reader))
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
        if time.monotonic() - told > QUIET_SECONDS:
            told = time.monotonic()
            say(waiting_text(reader))
        await asyncio.sleep(0.2)


@app.command(epilog="Example: claude mcp add avo -- avo mcp demo")
def mcp(
    name: Name,
    http: Annotated[
        int | None,
        Option(min=0, max=65535, help="Serve on this port of 127.0.0.1; 0: any."),
    ] = None,
    patience: Annotated[
        float,
        Option(min=1, help="Seconds until a tool says that it still runs."),
    ] = 45.0,
    take_over: TakeOver = False,
    way: Annotated[
        Literal["mcp", "acp"], Option(hidden=True, help="How the agent came here.")
    ] = "mcp",
) -> None:
    """Give an agent the seat of a session over MCP: stdio, or streamable HTTP with --http.

    Over HTTP clients show a token: $AVO_MCP_TOKEN, or one that is drawn and printed.
    """
    try:  # an extra
        from avo_tui.seat.server import SeatServer, serve_http, serve_stdio
    except ImportError as error:
        raise Failure("the MCP server needs: pip install 'avo-tui[mcp]'") from error

    reader, watcher = opened(name), opened(name)
    require_seat(reader)

    async def sit(hello: Hello) -> SeatClient:
        reader.poll()
        try:
            return await sit_down(reader, hello)
        except Failure as failure:
            raise SeatError(str(failure)) from failure

    async def serve(knowledge: SessionKnowledge) -> None:
        library = Library(reader, knowledge, partial(_leave_note, watcher))
        served = SeatServer(
            library,
            sit,
            waiting=lambda: waiting_text(watcher),
            way=way,
            take_over=take_over,
            patience=patience,
        )
        if http is None:
            await serve_stdio(served)
            return
        token = os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(24)
        await serve_http(served, http, token, lambda port: _announce(port, token))

    with closing(SessionKnowledge(reader.folder, reader.state.session.task)) as knowledge:
        asyncio.run(serve(knowledge))


def _announce(port: int, token: str) -> None:
    sys.stderr.write(f"avo: MCP at http://127.0.0.1:{port}/mcp\n")
    if TOKEN_VARIABLE not in os.environ:
        sys.stderr.write(f"avo: Authorization: Bearer {token}\n")
    sys.stderr.flush()
