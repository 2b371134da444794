"""Devices that are workers of a real Dask cluster on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

pytest.importorskip("distributed", reason="dask is not installed (extra dask)")

import avo_tui
from avo_tui.domain.records import RunSettings
from avo_tui.domain.verdict import EvaluationProgress, Verdict
from avo_tui.evaluation.evaluators import make_evaluator
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers import fleet as fleet_module
from avo_tui.evaluation.workers.fleet import Fleet
from tests.evaluation.evaluation_support import TASKS, needs_compiler
from tests.evaluation.workers.sshd import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")
TASK = "tiny_attention"


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ, "PYTHONPATH": str(Path(avo_tui.__file__).resolve().parents[1]),
        "AVO_SCRATCH": str(folder), "XDG_RUNTIME_DIR": str(folder), "AVO_CACHE": str(folder),
        "AVO_KERNELS": str(TASKS),
        "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
    }  # fmt: skip
    log = (folder / "log").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + arguments[0], *arguments[1:]],
        stdout=log, stderr=log, env=environment, cwd=folder,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with one worker, which its nanny starts again when it dies."""
    folder = tmp_path_factory.mktemp("dask")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o711)
    port = free_port()
    scheduler = start(
        folder, "dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"
    )
    worker = start(
        folder, "dask_worker", f"127.0.0.1:{port}", "--host", "127.0.0.1", "--name", "one",
        "--nthreads", "1", "--resources", "device=1", "--no-dashboard", "--death-timeout", "240",
    )  # fmt: skip
    yield f"127.0.0.1:{port}"
    for process in (worker, scheduler):
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(cluster: str) -> AsyncIterator[Fleet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AVO_KERNELS", str(TASKS))
        patch.setattr(fleet_module, "FIRST_RETRY", 0.1)
        async with asyncio.timeout(400):
            while True:  # until the worker has reported to its scheduler
                evaluator = make_evaluator(RunSettings(evaluator=f"dask://{cluster}"), TASK)
                assert isinstance(evaluator, Fleet)
                try:
                    await evaluator.start()
                    break
                except EvaluatorError as error:
                    assert "Dask" in str(error), error
                    await evaluator.close()
                    await asyncio.sleep(0.2)
        yield evaluator
        await evaluator.close()


@needs_compiler
async def test_an_evaluation_with_its_signs_of_life(fleet: Fleet) -> None:
    seen: list[EvaluationProgress] = []
    report = await fleet.check(TASK, await fleet.seed(TASK), progress=seen.append)
    assert report.verdict is Verdict.CORRECT, report.feedback
    assert report.worker == "dask:one"
    assert "check" in {p.stage for p in seen}


@needs_compiler
async def test_a_dask_worker_that_dies_comes_back_and_the_work_is_done_again(fleet: Fleet) -> None:
    site = fleet.sites[0]
    (address,) = site.addresses.values()  # type: ignore[attr-defined]
    pids = await site.client.run(os.getpid)  # type: ignore[attr-defined]
    reached = asyncio.Event()
    seed = await fleet.seed(TASK)
    task = asyncio.ensure_future(fleet.check(TASK, seed, progress=lambda _: reached.set()))
    await asyncio.wait_for(reached.wait(), 400)
    os.kill(pids[address], signal.SIGKILL)
    report = await asyncio.wait_for(task, 400)
    assert report.verdict is Verdict.CORRECT, report.feedback


@needs_compiler
async def test_a_cancelled_request_leaves_the_worker_free(fleet: Fleet) -> None:
    seed = await fleet.seed(TASK)
    reached = asyncio.Event()
    task = asyncio.ensure_future(fleet.check(TASK, seed, progress=lambda _: reached.set()))
    await asyncio.wait_for(reached.wait(), 400)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await asyncio.wait_for(fleet.compile(TASK, seed), 400)).correct


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (RunSettings(evaluator="dask://node1"), "scheduler with its port"),
        (RunSettings(evaluator="dask://node1:1", devices="0"), "means nothing to dask"),
    ],
)
async def test_odd_urls_are_one_sentence(settings: RunSettings, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_evaluator(settings, TASK)
