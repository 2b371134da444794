"""A Dask scheduler that is killed, restarted, moved or frozen: real processes, real evaluations."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

pytest.importorskip("distributed", reason="dask is not installed")

from avo_tui_dask import site

from avo_tui.domain.questions import CheckQuestion, SeedQuestion
from avo_tui.domain.report import EvaluationProgress, EvaluationReport
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.verdict import Verdict
from avo_tui.domain.workers import WorkerStatus
from avo_tui.evaluation.evaluators import make_evaluator
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers import fleet as fleet_module
from avo_tui.evaluation.workers.fleet import Fleet
from plugins.dask.tests import dask_processes
from tests.evaluation.evaluation_support import CANDIDATES, TASKS, needs_compiler
from tests.waiting import until

TASK = "tiny_attention"
pytestmark = [needs_compiler, pytest.mark.slow]


class Cluster:
    """A scheduler with workers, whose processes a test ends, freezes and starts again."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache = folder, cache
        self.scheduler, self.address = dask_processes.start_scheduler(folder)
        self.workers: list[subprocess.Popen[bytes]] = []

    def add_worker(self, name: str) -> None:
        """A worker without a nanny, so that it ends when its scheduler does."""
        command = [*dask_processes.worker_command(self.folder, name), "--no-nanny"]
        self.workers.append(dask_processes.run(self.folder, command, self.cache))

    def kill_scheduler(self) -> None:
        self.scheduler.kill()
        self.scheduler.wait()

    def start_scheduler(self, port: int = 0) -> None:
        self.scheduler, self.address = dask_processes.start_scheduler(self.folder, port)

    def evaluation_workers(self) -> set[int]:
        """Processes that measure on a device of this cluster, old and new."""
        pids = set()
        for process in psutil.process_iter(["pid", "cmdline", "environ"]):
            scratch = (process.info["environ"] or {}).get("AVO_SCRATCH")
            if "--serve" in (process.info["cmdline"] or []) and scratch == str(self.folder):
                pids.add(int(process.info["pid"]))
        return pids

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.scheduler.pid, signal.SIGCONT)
        for process in (*self.workers, self.scheduler):
            dask_processes.end(process)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the evaluation compiles once, for all tests here."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
async def cluster(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cluster]:
    monkeypatch.setenv("AVO_KERNELS", str(TASKS))
    monkeypatch.setattr(fleet_module, "FIRST_RETRY", 0.1)
    monkeypatch.setattr(fleet_module, "SAY_SECONDS", 0.1)
    monkeypatch.setattr(site, "LOOK_SECONDS", 0.1)
    cluster = await asyncio.to_thread(Cluster, tmp_path, cache)
    cluster.add_worker("one")
    yield cluster
    await asyncio.to_thread(cluster.end)


async def started(url: str) -> Fleet:
    """A fleet whose cluster has its first worker."""
    async with asyncio.timeout(400):
        while True:
            fleet = make_evaluator(RunSettings(evaluator=url), TASK)
            assert isinstance(fleet, Fleet)
            try:
                await fleet.start()
            except EvaluatorError as error:
                assert "no workers yet" in str(error), error
                await fleet.close()
                await asyncio.sleep(0.2)
            else:
                return fleet


class Check:
    """A check that is under way, with what it said."""

    def __init__(self, fleet: Fleet) -> None:
        self.messages: list[str] = []
        self.started = asyncio.Event()
        self._fleet = fleet
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> EvaluationReport:
        seed = await self._fleet.ask(TASK, SeedQuestion())
        return await self._fleet.ask(TASK, CheckQuestion(files=seed.files), self._see)

    def _see(self, progress: EvaluationProgress) -> None:
        self.messages.append(progress.detail)
        self.started.set()

    async def reached(self) -> None:
        """Returns once the worker is at it."""
        await asyncio.wait_for(self.started.wait(), 400)

    async def report(self) -> EvaluationReport:
        return await asyncio.wait_for(self._task, 400)


def device(fleet: Fleet, name: str) -> WorkerStatus:
    return next(w for w in fleet.workers() if w.name == f"dask:{name}")


async def test_a_scheduler_that_is_killed_and_started_again_costs_no_evaluation(
    cluster: Cluster,
) -> None:
    async with await started(f"dask://{cluster.address}") as fleet:
        check = Check(fleet)
        await check.reached()
        (old,) = cluster.evaluation_workers()
        cluster.kill_scheduler()
        await until(lambda: device(fleet, "one").state == "lost")
        assert "scheduler" in device(fleet, "one").reason
        await until(lambda: any("dask:one, which is lost" in m for m in check.messages))
        # a worker ends with its scheduler, and takes along what it was measuring
        await until(lambda: not psutil.pid_exists(old))
        port = int(cluster.address.rpartition(":")[2])
        await asyncio.to_thread(cluster.start_scheduler, port)
        cluster.add_worker("one")
        report = await check.report()
        assert report.verdict is Verdict.CORRECT, report.feedback
        assert (report.worker, device(fleet, "one").losses) == ("dask:one", 1)
        assert device(fleet, "one").usable and len(cluster.evaluation_workers()) == 1


async def test_a_scheduler_may_come_back_at_another_address_with_another_worker(
    cluster: Cluster,
) -> None:
    async with await started(f"dask://{cluster.folder}/scheduler.json") as fleet:
        check = Check(fleet)
        await check.reached()
        before = cluster.address
        cluster.kill_scheduler()
        await asyncio.to_thread(cluster.start_scheduler)
        assert cluster.address != before
        cluster.add_worker("two")
        report = await check.report()
        assert report.verdict is Verdict.CORRECT, report.feedback
        assert report.worker == "dask:two"
        assert device(fleet, "one").state == "lost" and device(fleet, "two").usable


async def test_a_scheduler_that_is_frozen_for_long_is_lost_and_comes_back(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await started(f"dask://{cluster.address}") as fleet:
        monkeypatch.setattr(site, "SILENT_SECONDS", 0.5)
        monkeypatch.setattr(site, "RECONNECT_SECONDS", 1.0)
        check = Check(fleet)
        await check.reached()
        os.kill(cluster.scheduler.pid, signal.SIGSTOP)
        await until(lambda: device(fleet, "one").state == "lost")
        assert "has not answered" in device(fleet, "one").reason
        await until(lambda: any("dask:one, which is lost" in m for m in check.messages))
        monkeypatch.setattr(site, "SILENT_SECONDS", 60.0)
        os.kill(cluster.scheduler.pid, signal.SIGCONT)
        report = await check.report()
        assert report.verdict is Verdict.CORRECT, report.feedback
        assert device(fleet, "one").usable and len(cluster.evaluation_workers()) == 1


ASKS = """
import asyncio, sys
from pathlib import Path
from avo_tui.domain.questions import CheckQuestion
from avo_tui.domain.run_settings import RunSettings
from avo_tui.evaluation.evaluators import make_evaluator

def see(progress):
    if progress.stage == "check":
        print("runs", flush=True)

async def main(task, url, folder):
    files = {p.name: p.read_text() for p in Path(folder).glob("*.h")}
    files["loops_for_ever.cpp"] = Path(folder, "loops_for_ever.cpp").read_text()
    async with make_evaluator(RunSettings(evaluator=url), task) as fleet:
        await fleet.ask(task, CheckQuestion(files=files), see)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_device_is_free_again_when_the_run_that_used_it_was_killed(
    cluster: Cluster,
) -> None:
    url = f"dask://{cluster.address}"
    async with await started(url) as fleet:
        run = subprocess.Popen(
            [sys.executable, "-c", ASKS, TASK, url, CANDIDATES],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dask_processes.environment(cluster.folder, cluster.cache),
        )  # fmt: skip
        assert run.stdout is not None
        first = await asyncio.to_thread(run.stdout.readline)
        run.kill()
        assert first == b"runs\n", (first, run.communicate())
        run.wait()
        log = cluster.folder / "log"
        await until(lambda: "nobody waits for the answer to" in log.read_text())
        report = await fleet.ask(
            TASK, CheckQuestion(files=(await fleet.ask(TASK, SeedQuestion())).files)
        )
        assert report.verdict is Verdict.CORRECT
