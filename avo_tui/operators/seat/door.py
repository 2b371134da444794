"""The socket server of the seat: accepts one client at a time and queues its requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from avo_tui.domain.base import Value, now
from avo_tui.domain.records import Occupant
from avo_tui.operators.seat.wire import (
    LINE_BYTES,
    POINTER,
    Answer,
    Call,
    Hello,
    Letter,
    Pointer,
    Welcome,
    Working,
)
from avo_tui.operators.toolbox.box import ToolSpec

log = logging.getLogger(__name__)

TAKEN_SECONDS = 600.0
"""Seconds for which the seat counts as taken after a call from the command line, where each call
makes a new connection."""

EMPTY_SECONDS = 20.0
"""Seconds after which an empty seat is reported."""

UNREAD_BYTES = 64 << 10
"""A client that has left so many bytes unread is told nothing but answers."""

EMPTY = "nobody sits in the seat; let an agent sit down with: avo mcp {name}, or avo seat {name}"


SOCKET = "socket"
SOCKET_BYTES = 100
"""A local socket's path is at most so long: 107 bytes on Linux, 103 on macOS and the BSDs."""


def private_folder() -> Path:
    """A new folder that only its owner may enter, with a path short enough for a local socket.

    In the folder for temporary files, or, where that lies too deep, as on some clusters, in
    $XDG_RUNTIME_DIR or /tmp. Raises OSError that says what to do where none of them will do.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    for parent in (tempfile.gettempdir(), runtime, "/tmp"):  # noqa: S108  mkdtemp's is private
        name = os.path.join(parent, "avo-seat-12345678", SOCKET)  # noqa: PTH118  bytes count
        if parent and len(os.fsencode(name)) <= SOCKET_BYTES:
            with contextlib.suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="avo-seat-", dir=parent))
    raise OSError(
        "no folder for the seat's local socket: set TMPDIR to a folder that can be written and "
        f"whose path is shorter than {SOCKET_BYTES - len('/avo-seat-12345678/socket')} bytes"
    )


class Visitor:
    """The client that has the seat, with its connection."""

    def __init__(self, hello: Hello, writer: asyncio.StreamWriter) -> None:
        self.occupant = Occupant(name=hello.client, way=hello.way, since=now())
        self._writer = writer
        self._hears = hello.hears
        self.read: set[str] = set()
        """What the client has read in an opening, so that it is not told again."""

    @property
    def gone(self) -> bool:
        return self._writer.is_closing()

    async def send(self, message: Value) -> bool:
        try:
            self._writer.write(message.model_dump_json().encode() + b"\n")
            await self._writer.drain()
        except (ConnectionError, RuntimeError, OSError):
            return False
        return not self.gone

    def tell(self, working: Working) -> None:
        """Say what a tool does to a client that wants to hear it and still reads."""
        behind = self._writer.transport.get_write_buffer_size() > UNREAD_BYTES
        if self._hears and not self.gone and not behind:
            with contextlib.suppress(ConnectionError, RuntimeError, OSError):
                self._writer.write(working.model_dump_json().encode() + b"\n")

    def close(self) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError, OSError):
            self._writer.close()


@dataclass
class Request:
    """A tool call that waits for its answer."""

    call: Call
    visitor: Visitor


class Door:
    """Listens on a local socket in a private folder; a file in the session's folder points to
    it."""

    def __init__(self, tools: tuple[ToolSpec, ...], empty: str = EMPTY) -> None:
        """`tools` are announced to each client; `empty` is the message for a seat that stays
        empty."""
        self._empty = empty
        self.calls = 0
        """Number of calls received so far."""
        self.arrival = asyncio.Event()
        """Set while a request is queued."""
        self.visitor: Visitor | None = None
        self.recorded: Occupant | None = None
        """The agent that has the seat according to the session's record."""
        self.sittings: dict[str, tuple[float, float]] = {}
        """Name of who sat here since the seat was last empty → running seconds and dollars of the
        run when it first sat down."""
        self._tools = tools
        self._requests: deque[Request] = deque()
        self._server: asyncio.Server | None = None
        self._folder: Path | None = None
        self._private: Path | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._closing = False
        self._last: Occupant | None = None
        self._left = time.monotonic()
        self._read: set[str] = set()
        self._letters: list[Letter] = []

    # -- the engine's side

    async def open(self, folder: Path) -> None:
        """Start listening, unless it does so already. Raises OSError."""
        if self._server is not None:
            return
        self._private = private_folder()
        path = self._private / SOCKET
        self._server = await asyncio.start_unix_server(self._enter, str(path), limit=LINE_BYTES)
        self._folder = folder
        pointer = Pointer(socket=str(path), pid=os.getpid())
        temporary = folder / f".{POINTER}.{os.getpid()}"
        temporary.write_text(pointer.model_dump_json(), encoding="utf-8")
        temporary.replace(folder / POINTER)

    async def close(self, why: str) -> None:
        while (request := self.next()) is not None:
            await request.visitor.send(
                Answer(id=request.call.id, ok=False, text=why, run_ended=True)
            )
        if self._server is None:
            return
        self._server.close()
        self._closing = True
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None
        self._closing = False
        assert self._folder is not None and self._private is not None
        with contextlib.suppress(OSError):
            (self._folder / POINTER).unlink(missing_ok=True)
        shutil.rmtree(self._private, ignore_errors=True)

    def next(self) -> Request | None:
        """The oldest queued request; None if there is none."""
        request = self._requests.popleft() if self._requests else None
        if not self._requests:
            self.arrival.clear()
        return request

    @property
    def occupant(self) -> Occupant | None:
        """Who has the seat: the connected client, or a recent caller from the command line."""
        if self.visitor is not None:
            return self.visitor.occupant
        last = self._last
        if last is None or last.way != "command_line":
            return None
        return last if time.monotonic() - self._left < TAKEN_SECONDS else None

    def empty(self) -> str:
        """Why no agent is present; empty if one has the seat or has just left it."""
        if self.occupant is not None or time.monotonic() - self._left < EMPTY_SECONDS:
            return ""
        name = self._folder.name if self._folder is not None else "NAME"
        return self._empty.format(name=name)

    def leave_letter(self, letter: Letter) -> None:
        """Keep a message for the next answer."""
        self._letters.append(letter)

    def unread(self) -> tuple[Letter, ...]:
        """The kept messages, which stay."""
        return tuple(self._letters)

    def letters(self) -> tuple[Letter, ...]:
        """Take the kept messages, oldest first."""
        letters = tuple(self._letters)
        self._letters.clear()
        return letters

    # -- the clients' side

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            if not self._closing:  # asyncio would log a cancelled connection as an error
                raise
        except (ValueError, ValidationError) as error:  # too long, or not a message
            log.warning("a client of the seat sent an invalid message: %s", error)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = Hello.model_validate_json(await reader.readuntil(b"\n"))
        visitor = Visitor(hello, writer)
        if refusal := self._refusal(hello):
            await visitor.send(Welcome(refused=refusal))
            return
        if self.visitor is not None:
            self._send_away(hello)
        last = self._last
        if last is not None and (last.name, last.way) == (hello.client, hello.way):
            visitor.occupant = last
            if hello.way == "command_line":  # each call makes a connection of its own
                visitor.read = self._read
        self.visitor = visitor
        name = self._folder.name if self._folder is not None else ""
        try:
            await visitor.send(Welcome(session=name, tools=self._tools))
            while line := await reader.readline():
                self._requests.append(Request(Call.model_validate_json(line), visitor))
                self.calls += 1
                self.arrival.set()
        finally:
            if self.visitor is visitor:
                self.visitor = None
                self._last, self._left = visitor.occupant, time.monotonic()
                self._read = visitor.read

    def _refusal(self, hello: Hello) -> str:
        """Why a client may not take the seat; empty if it may."""
        if self.visitor is None or self.visitor.gone or hello.take_over:
            return ""
        who = self.visitor.occupant
        ways = {"mcp": "over MCP", "command_line": "from the command line", "acp": "over ACP"}
        return (
            f"{who.name} sits in the seat, {ways[who.way]}, since {who.since:%H:%M:%S} UTC;"
            " end it first, or take its place with --take-over"
        )

    def _send_away(self, hello: Hello) -> None:
        """Disconnect the client that has the seat; its queued request is not run."""
        assert self.visitor is not None
        self._requests = deque(r for r in self._requests if r.visitor is not self.visitor)
        if not self._requests:
            self.arrival.clear()
        self.visitor.close()
        log.info("%s takes the place of %s", hello.client, self.visitor.occupant.name)
