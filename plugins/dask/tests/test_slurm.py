"""Devices in jobs of a real Slurm: a Dask worker in each job, which may be cancelled any time."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

pytest.importorskip("distributed", reason="dask is not installed")

from avo_tui_dask import slurm as slurm_jobs

from avo_tui.domain.questions import CheckQuestion, SeedQuestion
from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.evaluators import make_evaluator
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers.fleet import Fleet
from plugins.dask.tests import dask_processes, slurm
from tests.evaluation.evaluation_support import TASKS, needs_compiler

TASK = "tiny_attention"


@needs_compiler
@pytest.mark.skipif(slurm.MISSING is not None, reason=str(slurm.MISSING))
async def test_a_job_that_is_cancelled_in_mid_evaluation_costs_no_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVO_KERNELS", str(TASKS))
    with slurm.running(tmp_path) as cluster:
        scheduler, address = dask_processes.start_scheduler(tmp_path)
        try:
            worker = dask_processes.worker_command(tmp_path, "gpu0")
            variables = dask_processes.environment(tmp_path)
            names = ("PYTHONPATH", "AVO_SCRATCH", "XDG_RUNTIME_DIR", "AVO_CACHE", "AVO_KERNELS",
                     "DASK_DISTRIBUTED__WORKER__DAEMON")  # fmt: skip
            assigned = [f"{name}={variables[name]}" for name in names]
            command = shlex.join(["env", *assigned, *worker])
            first = cluster.submit(command)
            fleet = await started(f"dask://{address}")
            async with fleet:
                seed = await fleet.ask(TASK, SeedQuestion())
                reached = asyncio.Event()
                task = asyncio.ensure_future(
                    fleet.ask(TASK, CheckQuestion(files=seed.files), lambda _: reached.set())
                )
                await asyncio.wait_for(reached.wait(), 400)
                cluster.call("scancel", "--full", first)
                # a job of the same name takes its place, as dask-jobqueue does by itself
                cluster.submit(command)
                report = await asyncio.wait_for(task, 400)
                assert report.verdict is Verdict.CORRECT, report.feedback
                (device,) = fleet.workers()
                assert device.name == report.worker == "dask:gpu0"
                assert device.host == os.uname().nodename and device.usable
        finally:
            dask_processes.end(scheduler)


JOBS = "dask+slurm://main?workers=1&cores=1&memory=1GB&interface=lo"
needs_jobqueue = pytest.mark.skipif(
    find_spec("dask_jobqueue") is None or find_spec("cryptography") is None,
    reason="dask-jobqueue is not installed",
)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[slurm.Slurm]:
    """A Slurm that commands find, whose jobs find the tests' tasks."""
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(path.stat().st_mode | 0o011)
    with slurm.running(tmp_path) as running:
        for name, value in dask_processes.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("SLURM_CONF", running.environment["SLURM_CONF"])
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret-of-the-test")
        monkeypatch.setattr(slurm_jobs, "CHECK_SECONDS", 0.5)
        yield running


def jobs(cluster: slurm.Slurm) -> list[str]:
    """Numbers of the jobs that wait or run."""
    states = "PENDING,RUNNING,CONFIGURING"
    return cluster.call("squeue", "-h", "-t", states, "-o", "%i").split()


@needs_compiler
@needs_jobqueue
@pytest.mark.skipif(slurm.MISSING is not None, reason=str(slurm.MISSING))
async def test_a_run_submits_its_jobs_keeps_them_up_and_cancels_them(
    cluster: slurm.Slurm, tmp_path: Path
) -> None:
    evaluator = make_evaluator(RunSettings(evaluator=f"{JOBS}&shared={tmp_path}"), TASK)
    assert isinstance(evaluator, Fleet)
    async with asyncio.timeout(500), evaluator as fleet:
        (first,) = jobs(cluster)
        seed = await fleet.ask(TASK, SeedQuestion())
        assert not holders_of_the_key(tmp_path)
        reached = asyncio.Event()
        task = asyncio.ensure_future(
            fleet.ask(TASK, CheckQuestion(files=seed.files), lambda _: reached.set())
        )
        await reached.wait()
        cluster.call("scancel", "--full", first)
        report = await task
        assert report.verdict is Verdict.CORRECT, report.feedback
        assert report.worker == "dask:slurm-main-0"
        (second,) = jobs(cluster)
        assert second != first
        (device,) = fleet.workers()
        assert device.usable and device.losses >= 1
    assert jobs(cluster) == []


def holders_of_the_key(folder: Path) -> list[int]:
    """Processes of the jobs whose environment has the test's key."""
    pids = []
    for process in psutil.process_iter(["pid", "environ"]):
        variables = process.info["environ"] or {}
        ours = variables.get("AVO_SCRATCH") == str(folder) and "SLURM_JOB_ID" in variables
        if ours and "ANTHROPIC_API_KEY" in variables:
            pids.append(int(process.info["pid"]))
    return pids


@needs_jobqueue
@pytest.mark.skipif(slurm.MISSING is not None, reason=str(slurm.MISSING))
@pytest.mark.parametrize(
    ("url", "words"),
    [
        (JOBS.replace("main", "nowhere"), "Slurm takes no job: .*Invalid partition"),
        (f"{JOBS}&python=/no/python", "3 jobs of Slurm ended .*/no/python: No such file"),
    ],
)
async def test_jobs_that_cannot_be_are_one_sentence(
    cluster: slurm.Slurm, tmp_path: Path, url: str, words: str
) -> None:
    fleet = make_evaluator(RunSettings(evaluator=f"{url}&shared={tmp_path}"), TASK)
    with pytest.raises(EvaluatorError, match=words) as error:
        await asyncio.wait_for(fleet.start(), 400)
    assert "\n" not in str(error.value)
    await fleet.close()
    assert jobs(cluster) == []


async def started(url: str) -> Fleet:
    """A fleet whose cluster has its first worker."""
    async with asyncio.timeout(400):
        while True:
            fleet = make_evaluator(RunSettings(evaluator=url), TASK)
            assert isinstance(fleet, Fleet)
            try:
                await fleet.start()
            except EvaluatorError as error:
                assert "Dask" in str(error), error
                await fleet.close()
                await asyncio.sleep(0.2)
            else:
                return fleet
