"""Devices that lie, as real processes over the real protocol: found, told, and given no work."""

import asyncio
import os
import platform
import signal
import sys
from pathlib import Path

import pytest

from avo_tui.domain.candidate import Candidate
from avo_tui.domain.questions import EvaluateQuestion
from avo_tui.evaluation.workers import fleet as fleet_module
from avo_tui.evaluation.workers.fleet import Fleet
from avo_tui.evaluation.workers.link import WorkerLink
from avo_tui.evaluation.workers.machine import MachineSite
from tests.evaluation.workers.test_fleet import states

ROOT = Path(__file__).resolve().parents[3]


def site(name: str, lie: str) -> MachineSite:
    command = [sys.executable, "-m", "tests.evaluation.workers.lying_worker", lie]
    return MachineSite(name, command, task="no such task here", kind="cpu", chosen=[""])


def candidate(number: int) -> Candidate:
    return Candidate(files={"k.cpp": f"int x = {number};"})


async def work(fleet: Fleet, count: int) -> list[str]:
    """Where so many evaluations were done."""
    async with asyncio.timeout(240):
        reports = await asyncio.gather(
            *(fleet.ask("t", EvaluateQuestion(files=candidate(n).files)) for n in range(count))
        )
    return [report.worker for report in reports]


async def until_state(fleet: Fleet, name: str, state: str) -> None:
    async with asyncio.timeout(240):
        while states(fleet)[name] != state:
            await work(fleet, 6)
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("lie", "words"), [("slow", "0.600 of the baseline"), ("wrong", "wrong_result")]
)
async def test_a_process_that_lies_gets_no_work(
    lie: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    async with Fleet([site("a", "honest"), site("b", "honest"), site("liar", lie)]) as fleet:
        await work(fleet, 3)
        await until_state(fleet, "liar", "disagrees")
        liar = next(w for w in fleet.workers() if w.name == "liar")
        assert words in liar.reason and liar.host == platform.node() and not liar.usable
        assert set(await work(fleet, 10)) == {"a", "b"}
        assert states(fleet)["a"] == states(fleet)["b"] == "idle"


async def test_a_device_that_was_lost_is_measured_again_before_it_gets_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(fleet_module, "FIRST_RETRY", 0.01)
    async with Fleet([site("a", "honest"), site("b", "honest")]) as fleet:
        await work(fleet, 4)
        async with asyncio.timeout(240):
            while not all(w.controls == 1 for w in fleet.workers()):
                await asyncio.sleep(0.01)
            link = fleet._members["b"].device._link
            assert isinstance(link, WorkerLink) and link.pid is not None
            os.kill(link.pid, signal.SIGKILL)
            while fleet.workers()[1].losses == 0 or fleet.workers()[1].controls < 2:
                await work(fleet, 2)
        lost = fleet.workers()[1]
        assert lost.loss and lost.lost_at is not None and lost.usable


async def test_a_worker_tells_how_its_devices_are_without_being_held_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    async with Fleet([site("a", "honest")]) as fleet:
        device = fleet._members["a"].device
        told = await asyncio.wait_for(device.sense(), 240)
        processors = [state for state in told if state.name.startswith("cpu ")]
        assert len(processors) == 1 and processors[0].host == platform.node()
        own = await asyncio.wait_for(fleet.devices(), 240)
        assert [s.host for s in own if s.name == processors[0].name] == [""]
