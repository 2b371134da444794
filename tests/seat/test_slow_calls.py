"""Calls that a client makes while another of its calls runs."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from avo_tui.operators.seat.step import WAIT
from avo_tui.operators.seat.wire import Answer, Hello
from avo_tui.seat.client import SeatClient, SeatLeftError
from avo_tui.seat.slow_calls import PatientCalls


class SlowSeat(SeatClient):
    """A seat whose only tool answers when it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.asked = 0
        self.working = None

    @property
    def gone(self) -> bool:
        return False

    async def call(
        self, tool: str, arguments: Mapping[str, Any] | None = None, *, whole: bool = False
    ) -> Answer:
        self.asked += 1
        await self.let.wait()
        return Answer(id=1, ok=True, text="measured")


@pytest.mark.parametrize("waiting", [1, 3])
async def test_an_answer_goes_to_one_of_those_who_wait(waiting: int) -> None:
    seat = SlowSeat()

    async def sit_down(hello: Hello) -> SeatClient:
        return seat

    async def progress(seconds: float, doing: str) -> None:
        pass

    calls = PatientCalls(sit_down)
    hello = Hello(client="test", way="mcp")
    tasks = [
        asyncio.create_task(calls.call(hello, tool, {}, progress))
        for tool in ("bench", *[WAIT] * waiting)
    ]
    async with asyncio.timeout(60):
        while not seat.asked:
            await asyncio.sleep(0)
    seat.let.set()
    answers = [answer for answer, _ in await asyncio.gather(*tasks)]
    texts = sorted(answer.text for answer in answers)
    assert texts.count("measured") == 1 and seat.asked == 1
    assert all("given to another call" in text for text in texts if text != "measured")
    assert calls.idle


async def test_who_lost_the_seat_sits_down_anew() -> None:
    """Whatever the connection that was lost says of itself."""
    sat: list[SeatClient] = []

    class Lost(SlowSeat):
        async def call(self, *words: object, **options: object) -> Answer:
            raise SeatLeftError("taken")

    async def sit_down(hello: Hello) -> SeatClient:
        sat.append(Lost())
        return sat[-1]

    async def progress(seconds: float, doing: str) -> None:
        pass

    calls = PatientCalls(sit_down)
    for count in (1, 2):
        with pytest.raises(SeatLeftError):
            await calls.call(Hello(client="test", way="mcp"), "bench", {}, progress)
        assert len(sat) == count and calls.idle
