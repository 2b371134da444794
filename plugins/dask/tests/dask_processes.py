"""Processes of a real Dask cluster on loopback; the scheduler chooses its own port."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

import avo_tui
from tests.evaluation.evaluation_support import TASKS


def environment(folder: Path, cache: Path | None = None) -> dict[str, str]:
    """In which this checkout and the tests' tasks are found; scratch goes into `folder`, and what
    is compiled once into `cache`."""
    return {
        **os.environ, "PYTHONPATH": str(Path(avo_tui.__file__).resolve().parents[1]),
        "AVO_SCRATCH": str(folder), "XDG_RUNTIME_DIR": str(folder),
        "AVO_CACHE": str(cache or folder),
        "AVO_KERNELS": str(TASKS),
        "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
    }  # fmt: skip


def worker_command(folder: Path, name: str) -> list[str]:
    """Starts a Dask worker with one unit of the resource `device`."""
    return [
        sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file",
        str(folder / "scheduler.json"), "--host", "127.0.0.1", "--name", name, "--nthreads", "1",
        "--resources", "device=1", "--no-dashboard", "--death-timeout", "240",
        "--local-directory", str(folder),
    ]  # fmt: skip


def run(folder: Path, command: list[str], cache: Path | None = None) -> subprocess.Popen[bytes]:
    """Starts one, with its output in the file `log`."""
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env=environment(folder, cache), cwd=folder
        )


def start_scheduler(folder: Path, port: int = 0) -> tuple[subprocess.Popen[bytes], str]:
    """A scheduler, and its address once it takes connections; it chooses a port unless given one.

    The scheduler's file is `scheduler.json` in the folder.
    """
    for path in (folder, *folder.parents[:2]):
        path.chmod(path.stat().st_mode | 0o011)
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    scheduler = run(
        folder, [*command, "--port", str(port), "--no-dashboard", "--scheduler-file", str(file)]
    )
    deadline = time.monotonic() + 240
    while True:
        try:
            address = str(json.loads(file.read_text())["address"])
            return scheduler, address.removeprefix("tcp://")
        except (OSError, ValueError):  # not written yet, or not whole
            assert scheduler.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process with what it started, unless it has ended by itself."""
    if process.poll() is not None:
        return
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.kill()
    process.wait()
