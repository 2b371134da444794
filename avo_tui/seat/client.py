"""A client of the seat: connects to its socket and calls tools."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from avo_tui.domain.base import Value
from avo_tui.operators.seat.wire import (
    LINE_BYTES,
    POINTER,
    Answer,
    Call,
    Hello,
    Pointer,
    Welcome,
    Working,
)


class SeatError(ValueError):
    """The seat cannot be used; the message is one sentence that says what to do."""


class SeatNotThereError(SeatError):
    """The session has no open seat: its engine is not running, or not ready yet."""


class SeatLeftError(SeatError):
    """The connection has ended: the engine is gone, or another client took the seat."""


class SeatClient:
    """One connection. Calls are answered one at a time, in the order in which they were made."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, welcome: Welcome
    ) -> None:
        self.welcome = welcome
        self._reader = reader
        self._writer = writer
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._ids = itertools.count(1)
        self.working: Working | None = None
        """What the running tool does now; None as long as the seat says nothing of it."""
        self._listener = asyncio.create_task(self._listen(), name="seat")

    @classmethod
    async def sit_down(cls, folder: Path, hello: Hello) -> SeatClient:
        """Take the seat of the session in `folder`.

        Raises SeatNotThereError if no engine listens, SeatError if another client has the seat.
        """
        try:
            pointer = Pointer.model_validate_json((folder / POINTER).read_bytes())
            reader, writer = await asyncio.open_unix_connection(pointer.socket, limit=LINE_BYTES)
        except (OSError, ValidationError) as error:
            raise SeatNotThereError(
                f"the seat of {folder.name} is not there: its engine is not running, or its"
                " operator is not `seat`"
            ) from error
        await _write(writer, hello.replaced(hears=True))
        try:
            welcome = Welcome.model_validate_json(await reader.readline())
        except (OSError, ValidationError) as error:
            writer.close()
            raise SeatNotThereError(f"the seat of {folder.name} did not answer") from error
        if welcome.refused:
            writer.close()
            raise SeatError(welcome.refused)
        return cls(reader, writer, welcome)

    async def call(
        self, tool: str, arguments: Mapping[str, Any] | None = None, *, whole: bool = False
    ) -> Answer:
        """Run a tool; as long as it takes, pauses included. Raises SeatLeftError.

        With `whole` the answer is not cut, however long it is.
        """
        number = next(self._ids)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        if self._listener.done():
            raise SeatLeftError(_LEFT)
        try:
            call = Call(id=number, tool=tool, arguments=dict(arguments or {}), whole=whole)
            await _write(self._writer, call)
        except OSError as error:
            raise SeatLeftError(_LEFT) from error
        return await future

    @property
    def gone(self) -> bool:
        """True once the connection has ended."""
        return self._listener.done()

    async def close(self) -> None:
        """Leave the seat. A running tool continues to its end; its answer is kept."""
        self._listener.cancel()
        await asyncio.gather(self._listener, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                message = _message(line)
                if isinstance(message, Working):
                    self.working = message if message.id in self._waiting else None
                    continue
                answer, self.working = message, None
                future = self._waiting.pop(answer.id, None)
                if future is not None and not future.done():
                    future.set_result(answer)
        except (OSError, ValueError):
            pass
        finally:
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(SeatLeftError(_LEFT))


def _message(line: bytes) -> Answer | Working:
    """A line of the seat. Raises ValueError for one that is neither."""
    fields = json.loads(line)
    if isinstance(fields, dict) and "working" in fields:
        return Working.model_validate(fields)
    return Answer.model_validate_json(line)


_LEFT = "the seat is lost: the engine has ended, or another client took the place"


async def _write(writer: asyncio.StreamWriter, message: Value) -> None:
    writer.write(message.model_dump_json().encode() + b"\n")
    await writer.drain()
