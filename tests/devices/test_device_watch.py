"""Watching a device beside a measurement."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from avo_tui.devices import watch
from avo_tui.devices.watch import watched
from avo_tui.domain.device import DeviceState
from tests.waiting import until

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take its time for the last sample."""
    monkeypatch.setattr(watch, "LAST_SECONDS", 60.0)


class Numbered:
    """A sensor whose samples are a second apart; it is asked by one thread at a time."""

    def __init__(self, fail_from: int = 10**6) -> None:
        self.asked, self._fail_from = 0, fail_from
        self.enough = threading.Event()
        self._busy = threading.Lock()

    def sample(self) -> DeviceState:
        assert self._busy.acquire(blocking=False), "asked by two threads at once"
        try:
            self.asked += 1
            if self.asked >= 3:
                self.enough.set()
            if self.asked >= self._fail_from:
                raise OSError("the GPU is lost")
            return DeviceState(
                name="fake", at=BEGAN + timedelta(seconds=self.asked),
                clock_mhz=1000.0 + self.asked, throttle=("power limit",) if self.asked > 1 else (),
            )  # fmt: skip
        finally:
            self._busy.release()


async def test_samples_reach_from_the_beginning_to_the_end() -> None:
    sensor = Numbered()
    async with watched(lambda: sensor, seconds=0.001) as seen:
        await asyncio.to_thread(sensor.enough.wait, 60)
    health = seen.health
    assert health is not None and health.samples == sensor.asked >= 3
    assert health.clock_mhz is not None
    assert (health.clock_mhz.low, health.clock_mhz.high) == (1001, 1000 + sensor.asked)
    assert health.seconds == sensor.asked - 1
    assert health.throttled == {"power limit": (sensor.asked - 1) / sensor.asked}
    asked = sensor.asked
    await asyncio.sleep(0)
    assert sensor.asked == asked


async def test_a_short_measurement_has_its_first_and_last_sample() -> None:
    sensor = Numbered()
    async with watched(lambda: sensor, seconds=600) as seen:
        await until(lambda: seen.states, pause=0)
    assert seen.health is not None and seen.health.samples == 2


async def test_a_failing_sensor_ends_the_watching_only() -> None:
    sensor = Numbered(fail_from=2)
    async with watched(lambda: sensor, seconds=0.001) as seen:
        await until(lambda: sensor.asked >= 2, pause=0)
    assert seen.health is not None and seen.health.samples == 1


async def test_without_a_sensor_there_is_no_health() -> None:
    async with watched(lambda: None) as seen:
        pass
    assert seen.health is None


async def test_a_driver_that_never_answers_holds_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "LAST_SECONDS", 0.01)
    release = threading.Event()

    class Hung:
        def sample(self) -> DeviceState:
            release.wait(60)
            return DeviceState(name="hung", at=BEGAN)

    try:
        async with watched(Hung) as seen:
            pass
        assert seen.health is None
    finally:
        release.set()
