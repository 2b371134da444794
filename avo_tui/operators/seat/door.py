"""The seat's door: a local socket that lets one client in at a time and queues what it asks."""

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
)
from avo_tui.operators.toolbox.box import ToolSpec

log = logging.getLogger(__name__)

LEASE_SECONDS = 600.0
"""A client of the command line connects for each call; it counts as sitting there for so long."""

EMPTY_SECONDS = 20.0
"""Seconds after which an empty seat is said."""

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
    """A client that sits in the seat, by its connection."""

    def __init__(self, hello: Hello, writer: asyncio.StreamWriter) -> None:
        self.occupant = Occupant(name=hello.client, way=hello.way, since=now())
        self._writer = writer

    @property
    def gone(self) -> bool:
        """True once the connection is closed."""
        return self._writer.is_closing()

    async def send(self, message: Value) -> bool:
        """Send a line; False where the client is gone."""
        try:
            self._writer.write(message.model_dump_json().encode() + b"\n")
            await self._writer.drain()
        except (ConnectionError, RuntimeError, OSError):
            return False
        return not self.gone

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(ConnectionError, RuntimeError, OSError):
            self._writer.close()


@dataclass
class Request:
    """A call that waits for its answer."""

    call: Call
    visitor: Visitor


class Door:
    """Listens on a socket in a private folder, which a file in the session's folder points at."""

    def __init__(self, tools: tuple[ToolSpec, ...], empty: str = EMPTY) -> None:
        """`tools` are announced to each client; `empty` says that the seat has been empty long."""
        self._empty = empty
        self.calls = 0
        """Calls that came in so far."""
        self.arrival = asyncio.Event()
        """Set while a request waits."""
        self.visitor: Visitor | None = None
        self.recorded: Occupant | None = None
        """Who sits there according to the session's record."""
        self._tools = tools
        self._requests: deque[Request] = deque()
        self._server: asyncio.Server | None = None
        self._folder: Path | None = None
        self._private: Path | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._last: Occupant | None = None
        self._left = time.monotonic()
        self._letters: list[Letter] = []

    # -- the engine's side

    async def open(self, folder: Path) -> None:
        """Listen, unless it does already. Raises OSError."""
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
        """Answer what waits, send the client away and stop listening."""
        while (request := self.next()) is not None:
            await request.visitor.send(
                Answer(id=request.call.id, ok=False, text=why, run_ended=True)
            )
        if self._server is None:
            return
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server = None
        assert self._folder is not None and self._private is not None
        with contextlib.suppress(OSError):
            (self._folder / POINTER).unlink(missing_ok=True)
        shutil.rmtree(self._private, ignore_errors=True)

    def next(self) -> Request | None:
        """The oldest request that waits; None where none does."""
        request = self._requests.popleft() if self._requests else None
        if not self._requests:
            self.arrival.clear()
        return request

    @property
    def occupant(self) -> Occupant | None:
        """Who sits there: the client that is connected, or the command line that just was."""
        if self.visitor is not None:
            return self.visitor.occupant
        last = self._last
        if last is None or last.way != "command_line":
            return None
        return last if time.monotonic() - self._left < LEASE_SECONDS else None

    def empty(self) -> str:
        """Why nobody can be expected to act; "" where somebody sits there, or just left."""
        if self.occupant is not None or time.monotonic() - self._left < EMPTY_SECONDS:
            return ""
        name = self._folder.name if self._folder is not None else "NAME"
        return self._empty.format(name=name)

    def leave_letter(self, letter: Letter) -> None:
        """Words for whoever asks next."""
        self._letters.append(letter)

    def letters(self) -> tuple[Letter, ...]:
        """The words that were left, oldest first; they are taken away."""
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
        except (ValueError, ValidationError) as error:  # a line that is too long, or no message
            log.warning("a client of the seat spoke nonsense: %s", error)
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

    def _refusal(self, hello: Hello) -> str:
        """Why a client may not sit down; "" where it may."""
        if self.visitor is None or self.visitor.gone or hello.take_over:
            return ""
        who = self.visitor.occupant
        ways = {"mcp": "over MCP", "command_line": "from the command line", "acp": "over ACP"}
        return (
            f"{who.name} sits in the seat, {ways[who.way]}, since {who.since:%H:%M:%S} UTC;"
            " end it first, or take its place with --take-over"
        )

    def _send_away(self, hello: Hello) -> None:
        """Close the connection of the client that sits there; what it asked is not run."""
        assert self.visitor is not None
        self._requests = deque(r for r in self._requests if r.visitor is not self.visitor)
        if not self._requests:
            self.arrival.clear()
        self.visitor.close()
        log.info("%s takes the place of %s", hello.client, self.visitor.occupant.name)
