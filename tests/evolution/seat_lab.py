"""A laboratory whose steps are made through the seat, and a client in it."""

import asyncio

from avo_tui.domain.run_settings import OperatorTraits, RunSettings
from avo_tui.operators.seat.operator import SeatOperator
from avo_tui.operators.seat.wire import Answer, Hello
from avo_tui.seat.client import SeatClient, SeatNotThereError
from tests.evolution.laboratory import Laboratory, MakeLab

HELLO = Hello(client="an agent", way="mcp")
DEADLINE = 120.0
"""Seconds after which what a test waits for will not come any more."""


def settings(**more: object) -> RunSettings:
    traits = OperatorTraits(title="agent in the seat")
    return RunSettings.model_validate({"operator": "seat", "traits": traits, **more})


async def seated(lab: Laboratory, hello: Hello = HELLO) -> SeatClient:
    """A client in the seat of a running engine."""
    await lab.versions(1)
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                return await SeatClient.sit_down(lab.folder, hello)
            except SeatNotThereError:
                await asyncio.sleep(0.01)


def begun(make_lab: MakeLab, **more: object) -> Laboratory:
    lab = make_lab(settings(**more))
    lab.start(SeatOperator(lab.settings))
    return lab


async def improve(client: SeatClient, old: str = "UNROLL = 1", new: str = "UNROLL = 4") -> Answer:
    edit = await client.call("replace_text", {"old": old, "new": new})
    assert edit.ok, edit.text
    tried = await client.call("evaluate", {"title": f"{new} for {old}"})
    assert tried.ok and "verdict: correct" in tried.text
    return await client.call("submit", {"summary": f"{new}, since it is faster"})


async def evaluating(lab: Laboratory) -> tuple[SeatClient, asyncio.Task[Answer]]:
    """A client in the seat, and its call of `evaluate`, which the evaluator holds."""
    lab.hold_from(1)
    client = await seated(lab)
    await client.call("begin_step")
    await client.call("replace_text", {"old": "UNROLL = 1", "new": "UNROLL = 2"})
    call = asyncio.create_task(client.call("evaluate", {"title": "two at a time"}))
    await lab.held()
    return client, call
