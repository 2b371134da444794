"""Sitting down in the seat of a session, for the commands that do so."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from avo_tui.cli.errors import Failure
from avo_tui.cli.json_output import current_attempt
from avo_tui.evolution.process import start_engine
from avo_tui.operators.seat.wire import Hello
from avo_tui.seat.client import SeatClient, SeatNotThereError
from avo_tui.store import SessionReader

START_SECONDS = 300.0
"""Seconds to wait for the seat while the engine starts and evaluates the seed."""

QUIET_SECONDS = 10.0
"""Seconds between two lines about what is being waited for."""


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


async def sit_down(reader: SessionReader, hello: Hello, say: Any = None) -> SeatClient:
    """The seat of a session; starts its engine where one was lost.

    Raises Failure where the session has no seat, and where the run was stopped or is finished: only
    the person takes that back.
    Raises SeatError where somebody else sits there.
    """
    require_seat(reader)
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
