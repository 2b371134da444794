"""How the devices of a fleet are, near and far."""

import asyncio
import platform

import pytest

from avo_tui.domain.device import DeviceState
from avo_tui.evaluation.workers import members
from avo_tui.evaluation.workers.fleet import Fleet
from tests.evaluation.workers.fake_device import FakeDevice, FakeSite


class Here(FakeDevice):
    async def start(self):  # type: ignore[no-untyped-def]
        machine = await super().start()
        self.host = platform.node()
        return machine


class Mute(FakeDevice):
    asked = 0

    async def sense(self) -> tuple[DeviceState, ...]:
        self.asked += 1
        await asyncio.Event().wait()
        return ()


class Broken(FakeDevice):
    async def sense(self) -> tuple[DeviceState, ...]:
        raise OSError("no sensor")


async def collect(fleet: Fleet, times: int = 5) -> list[DeviceState]:
    states: list[DeviceState] = []
    for _ in range(times):
        states += await fleet.devices()
        await asyncio.sleep(0)
    return states


async def test_far_devices_are_asked_once_in_a_while_and_each_tells_its_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "FAR_SECONDS", 1e9)
    mute = Mute("mute")
    async with Fleet([FakeSite(FakeDevice("a"), FakeDevice("b"), mute, Broken("c"))]) as fleet:
        states = await collect(fleet)
    # two workers of one host tell of one device
    assert [(s.host, s.name) for s in states] == [("fakehost", "fake")] and mute.asked == 1


async def test_one_that_does_not_answer_is_not_asked_again_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "FAR_SECONDS", 0.0)
    mute = Mute("mute")
    async with Fleet([FakeSite(FakeDevice("a"), mute)]) as fleet:
        assert len(await collect(fleet)) > 1
        assert mute.asked == 1


async def test_devices_of_this_machine_are_sampled_here() -> None:
    async with Fleet([FakeSite(Here("a"), Here("b"))]) as fleet:
        states = await fleet.devices()
    assert {s.host for s in states} == {""} and any(s.name.startswith("cpu ") for s in states)
