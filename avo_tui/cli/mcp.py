"""`avo mcp`: the seat of a session as a server of the Model Context Protocol."""

from __future__ import annotations

import asyncio
import enum
import os
import secrets
import sys
from typing import Annotated

import typer

from avo_tui.cli.errors import Failure
from avo_tui.cli.parameters import Name
from avo_tui.cli.seat import TakeOver
from avo_tui.cli.seating import require_seat, sit_down, waiting_text
from avo_tui.evolution.library import SessionKnowledge
from avo_tui.operators.seat.wire import Hello
from avo_tui.seat.client import SeatClient, SeatError
from avo_tui.seat.resources import Library
from avo_tui.store import SessionReader, find_session

TOKEN_VARIABLE = "AVO_MCP_TOKEN"  # noqa: S105 - the name of a variable


class Way(enum.StrEnum):
    """How an agent came to sit in the seat."""

    mcp = "mcp"
    acp = "acp"


app = typer.Typer()


@app.command(epilog="Example: claude mcp add avo -- avo mcp demo")
def mcp(
    name: Name,
    http: Annotated[
        int | None,
        typer.Option("--http", min=0, max=65535, help="Serve on this port of 127.0.0.1; 0: any."),
    ] = None,
    patience: Annotated[
        float,
        typer.Option("--patience", min=1, help="Seconds until a tool says that it still runs."),
    ] = 45.0,
    take_over: TakeOver = False,
    way: Annotated[Way, typer.Option("--way", hidden=True, help="How the agent came here.")] = (
        Way.mcp
    ),
) -> None:
    """Give an agent the seat of a session over MCP: stdio, or streamable HTTP with --http.

    Over HTTP clients show a token: $AVO_MCP_TOKEN, or one that is drawn and printed.
    """
    try:  # an extra
        from avo_tui.seat.server import SeatServer, serve_http, serve_stdio
    except ImportError as error:
        raise Failure("the MCP server needs: pip install 'avo-tui[mcp]'") from error

    folder = find_session(name)
    reader, watcher = SessionReader.open(folder), SessionReader.open(folder)

    require_seat(reader)

    async def sit(hello: Hello) -> SeatClient:

        reader.poll()
        try:
            return await sit_down(reader, hello)
        except Failure as failure:
            raise SeatError(str(failure)) from failure

    async def serve() -> None:
        seat = SeatServer(
            Library(reader, knowledge),
            sit,
            waiting=lambda: waiting_text(watcher),
            way=way.value,
            take_over=take_over,
            patience=patience,
        )
        if http is None:
            await serve_stdio(seat)
            return
        token = os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(24)
        await serve_http(seat, http, token, lambda port: _announce(port, token))

    knowledge = SessionKnowledge(folder, reader.state.session.task)
    try:
        asyncio.run(serve())
    finally:
        knowledge.close()


def _announce(port: int, token: str) -> None:
    sys.stderr.write(f"avo: MCP at http://127.0.0.1:{port}/mcp\n")
    if TOKEN_VARIABLE not in os.environ:
        sys.stderr.write(f"avo: Authorization: Bearer {token}\n")
    sys.stderr.flush()
