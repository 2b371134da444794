"""Devices in jobs of a real Slurm: a Dask worker in each job, which may be cancelled any time."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="dask is not installed (extra dask)")

from avo_tui.domain.run_settings import RunSettings
from avo_tui.domain.verdict import Verdict
from avo_tui.evaluation.evaluators import make_evaluator
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers.fleet import Fleet
from tests.evaluation.evaluation_support import TASKS, needs_compiler
from tests.evaluation.workers import dask_processes, slurm

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
                seed = await fleet.seed(TASK)
                reached = asyncio.Event()
                task = asyncio.ensure_future(
                    fleet.check(TASK, seed, progress=lambda _: reached.set())
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
