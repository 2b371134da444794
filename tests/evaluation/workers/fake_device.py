"""Devices for tests of the fleet: they answer when the test says, and can be lost."""

import asyncio
from collections.abc import Callable
from typing import Any

from avo_tui.domain.base import now
from avo_tui.domain.device import DeviceState
from avo_tui.domain.machine import MachineInfo
from avo_tui.evaluation.ports import EvaluatorError, ProgressSink
from avo_tui.evaluation.workers.link import WorkerGoneError
from avo_tui.evaluation.workers.ports import Device, DeviceRefusedError, Joined, Left


class FakeDevice(Device):
    """Answers each request with its body and its own name."""

    def __init__(self, name: str, conditions: str = "same") -> None:
        self.name = name
        self.conditions = conditions
        self.served: list[object] = []
        self.cancelled: list[object] = []
        self.running: set[object] = set()
        self.starts = 0
        self.closed = False
        self.host = ""
        self.refuses = ""
        """Why it can never be used; "" where it can."""
        self.unreachable = ""
        """Why it does not start now; "" where it does."""
        self.gate: Callable[[dict[str, object]], bool] = lambda _: True
        """A request goes on once it says yes."""
        self._lost = asyncio.Event()

    def lose(self) -> None:
        """Its worker dies, once."""
        self._lost.set()
        self._lost = asyncio.Event()

    async def start(self) -> MachineInfo:
        self.starts += 1
        if self.refuses:
            raise DeviceRefusedError(self.refuses)
        if self.unreachable:
            raise EvaluatorError(self.unreachable)
        self.host = "fakehost"
        return MachineInfo(device="fake", conditions=self.conditions)

    async def request(self, body: dict[str, object], progress: ProgressSink | None) -> Any:
        name, lost = body.get("name"), self._lost
        self.running.add(name)
        try:
            while not self.gate(body) and not lost.is_set():  # ends: the fleet cancels it
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            if lost.is_set():
                raise WorkerGoneError("it was killed")
        except asyncio.CancelledError:
            self.cancelled.append(name)
            raise
        finally:
            self.running.discard(name)
        self.served.append(name)
        return {"verdict": "correct", "name": name}

    async def sense(self) -> tuple[DeviceState, ...]:
        return (DeviceState(name="fake", at=now(), host=self.host),)

    async def rest(self) -> None: ...

    async def close(self) -> None:
        self.closed = True


class FakeSite:
    """Has the devices that it is given, and those that come later."""

    def __init__(self, *devices: FakeDevice) -> None:
        self.devices = devices
        self.joined: Joined | None = None
        self.left: Left | None = None

    async def open(self, joined: Joined, left: Left) -> None:
        self.joined, self.left = joined, left
        for device in self.devices:
            joined(device)

    async def close(self) -> None: ...
