"""The lock of a device: one at a time, in the order of coming, and nobody waits for the dead."""

import asyncio
import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from avo_tui.domain.report import EvaluationProgress
from avo_tui.evaluation.locks import device_lock
from avo_tui.evaluation.paths import lock_file
from tests.waiting import until


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def tickets() -> list[str]:
    folder = lock_file("test").with_suffix(".queue")
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


async def test_those_who_wait_are_served_in_the_order_of_coming() -> None:
    served: list[int] = []
    said: dict[int, list[EvaluationProgress]] = {n: [] for n in range(4)}

    def queued(number: int) -> bool:
        return len(tickets()) == number + 1 and bool(said[number])

    async def wait(number: int) -> None:
        async with device_lock("test", said[number].append):
            served.append(number)

    async with device_lock("test", lambda _: None):
        waiting = []
        for number in range(4):
            waiting.append(asyncio.create_task(wait(number)))
            await until(functools.partial(queued, number))
        assert served == []
    async with asyncio.timeout(240):
        await asyncio.gather(*waiting)
    assert served == [0, 1, 2, 3]
    assert "2 more before this one" in said[2][0].detail
    assert f"process {os.getpid()}" in said[0][0].detail
    assert tickets() == []


async def test_one_who_died_in_the_queue_is_passed_over() -> None:
    script = (
        "import asyncio\n"
        "from avo_tui.evaluation.locks import device_lock\n"
        "async def main():\n"
        "    async with device_lock('test', lambda p: print('waits', flush=True)):\n"
        "        pass\n"
        "asyncio.run(main())\n"
    )
    async with device_lock("test", lambda _: None):
        other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert other.stdout is not None
        assert await asyncio.to_thread(other.stdout.readline) == b"waits\n"
        other.kill()
        await asyncio.to_thread(other.wait)
        assert len(tickets()) == 1
    async with asyncio.timeout(240), device_lock("test", lambda _: None):
        assert tickets() == []


async def test_one_who_gives_up_leaves_the_queue() -> None:
    async with device_lock("test", lambda _: None):

        async def wait() -> None:
            async with device_lock("test", lambda _: None):
                raise AssertionError("the lock is held")

        waiting = asyncio.create_task(wait())
        await until(lambda: tickets())
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert tickets() == []
