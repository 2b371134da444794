"""The device is kept from one request of a call to the next, and given away where that is fair."""

import asyncio
from pathlib import Path

import pytest

from avo_tui.evaluation.locks import KeptDevice, device_lock, somebody_waits
from tests.waiting import until

LONG = 3600.0


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


async def use(kept: KeptDevice, served: list[str], name: str, *, more: bool) -> None:
    async with kept.hold("test", lambda _: None, more=more):
        served.append(name)


async def another(served: list[str]) -> asyncio.Task[None]:
    """Somebody else who waits for the device."""

    async def wait() -> None:
        async with device_lock("test", lambda _: None):
            served.append("another")

    task = asyncio.create_task(wait())
    await until(lambda: somebody_waits("test"))
    return task


async def test_a_call_of_several_requests_waits_once() -> None:
    served: list[str] = []
    kept = KeptDevice(kept=LONG, fair=LONG)
    await use(kept, served, "first", more=True)
    waiting = await another(served)
    await use(kept, served, "second", more=True)
    await use(kept, served, "last", more=False)
    async with asyncio.timeout(240):
        await waiting
    assert served == ["first", "second", "last", "another"]


async def test_whoever_has_had_it_long_enough_lets_others_in_between() -> None:
    served: list[str] = []
    kept = KeptDevice(kept=LONG, fair=0.0)
    await use(kept, served, "first", more=True)
    waiting = await another(served)
    await use(kept, served, "second", more=True)  # had it for long: given away after this one
    async with asyncio.timeout(240):
        await use(kept, served, "third", more=True)
        await waiting
    assert served == ["first", "second", "another", "third"]
    await use(kept, served, "fourth", more=True)
    assert not somebody_waits("test")
    await kept.release()


async def test_the_device_is_free_again_where_no_request_follows() -> None:
    served: list[str] = []
    kept = KeptDevice(kept=0.05, fair=LONG)
    await use(kept, served, "first", more=True)
    waiting = await another(served)
    async with asyncio.timeout(240):
        await waiting
    assert served == ["first", "another"]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
async def test_a_request_that_fails_keeps_nothing(error: type[BaseException]) -> None:
    kept = KeptDevice(kept=LONG, fair=LONG)
    with pytest.raises(error):
        async with kept.hold("test", lambda _: None, more=True):
            raise error
    async with asyncio.timeout(240), device_lock("test", lambda _: None):
        pass


async def test_another_device_and_a_closed_worker_free_the_one_that_was_kept() -> None:
    served: list[str] = []
    kept = KeptDevice(kept=LONG, fair=LONG)
    await use(kept, served, "first", more=True)
    async with asyncio.timeout(240):
        async with (
            kept.hold("other", lambda _: None, more=True),
            device_lock("test", lambda _: None),
        ):
            pass
        await kept.release()
        async with device_lock("other", lambda _: None):
            pass
