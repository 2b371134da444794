"""`dask+slurm://[PARTITION][?workers=4&cores=8&memory=32GB&gres=gpu:1&…]`: jobs of a Slurm cluster.

A Dask scheduler runs in this process for as long as the run needs it, and dask-jobqueue submits
jobs with one Dask worker each, which is one device. A job that ends is submitted again under its
name. The jobs are cancelled when the run ends; where the run is killed, each ends by itself as soon
as it misses the scheduler. What the URL does not say comes from dask-jobqueue's own configuration
(`~/.config/dask/jobqueue.yaml`).

Scheduler and workers know each other by a certificate that is made for the run (TLS): without it,
whoever reaches the port could run code as the person. No variable that may hold a secret goes into
a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

from avo_tui.evaluation.paths import cache_folder
from avo_tui.evaluation.ports import EvaluatorError
from avo_tui.evaluation.workers.link import environment
from avo_tui.evaluation.workers.ports import Site, SiteDescriptor, SiteRequest, only
from avo_tui_dask.site import DaskSite

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

PACKAGES = ("distributed", "dask_jobqueue", "cryptography")
PROGRAMS = ("sbatch", "scancel", "squeue")
DIRECTIVES = {"gres", "qos", "constraint", "reservation", "nodelist", "exclude"}
"""Options of the URL that are options of sbatch."""
OPTIONS = DIRECTIVES | {
    "workers", "cores", "memory", "walltime", "account", "interface", "python", "shared",
}  # fmt: skip
CHECK_SECONDS = 5.0
"""Seconds between two looks at Slurm's queue."""
FAILURES = 3
"""Jobs that may end before their worker joined; then the run ends, or only says so later on."""
CLOSE_SECONDS = 60.0
MOST_WORKERS = 1000
_PLAIN = re.compile(r"[A-Za-z0-9_.,:=@/+-]+")
_DIRECTIVE = re.compile(r"[A-Za-z0-9_.,:=@/+*&|()\[\]-]+")


@dataclass(frozen=True)
class JobOptions:
    """What the URL says about the jobs; None is left to dask-jobqueue's configuration."""

    workers: int = 1
    partition: str | None = None
    cores: int = 1
    memory: str = "4GB"
    walltime: str | None = None
    account: str | None = None
    interface: str | None = None
    python: str = sys.executable
    shared: str | None = None
    """Folder that every node sees, for certificates and the jobs' output."""
    directives: tuple[str, ...] = ()
    """Further options of sbatch, such as `--gres=gpu:1`."""


def make_site(url: SplitResult, wanted: SiteRequest) -> Site:
    options = job_options(url, wanted)
    if missing := what_is_missing():
        raise ValueError(f"--evaluator {url.geturl()}: {missing}")
    return DaskSite(SlurmJobs(options), wanted.task, wanted.worker_options, None)


def what_is_missing() -> str:
    """What must be installed before jobs can be used; "" where nothing is missing."""
    if package := next((p for p in PACKAGES if find_spec(p) is None), None):
        return f"{package} is not installed: pip install dask-jobqueue cryptography"
    if program := next((p for p in PROGRAMS if shutil.which(p) is None), None):
        return (
            f"there is no {program} here; start the run on a machine from which jobs of Slurm are "
            "submitted"
        )
    return ""


def job_options(url: SplitResult, wanted: SiteRequest) -> JobOptions:
    """The options in a URL. Raises ValueError, one sentence."""
    only(url, wanted.query, OPTIONS)
    if url.path.strip("/") or url.port or url.username:
        raise ValueError(
            f"--evaluator {url.geturl()}: after dask+slurm:// comes the name of a partition, or "
            "nothing, and then the options, such as ?workers=4&gres=gpu:1"
        )
    if wanted.devices != ("",):
        raise ValueError(
            "--devices means nothing to dask+slurm: each job is a device; say how many with "
            "?workers=4 and what each has with cores=8 and gres=gpu:1"
        )
    for name, value in {"the partition": url.netloc or "-", **wanted.query}.items():
        if not (_DIRECTIVE if name in DIRECTIVES else _PLAIN).fullmatch(value):
            raise ValueError(f"--evaluator {url.geturl()}: {value!r} cannot be {name}")
    query = {"gres": "gpu:1", **wanted.query} if wanted.kind == "cuda" else dict(wanted.query)
    directives = tuple(f"--{name}={query.pop(name)}" for name in sorted(DIRECTIVES & query.keys()))
    given: dict[str, Any] = dict(query)
    for name in {"workers", "cores"} & given.keys():
        if not given[name].isdecimal() or not 1 <= int(given[name]) <= MOST_WORKERS:
            raise ValueError(
                f"--evaluator {url.geturl()}: {name} is a whole number from 1 to {MOST_WORKERS}"
            )
        given[name] = int(given[name])
    if "memory" in given and not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", given["memory"]):
        raise ValueError(f"--evaluator {url.geturl()}: memory is a size such as 32GB")
    return JobOptions(partition=url.netloc or None, directives=directives, **given)


class SlurmJobs:
    """Jobs with a Dask worker each, and the scheduler that they join."""

    def __init__(self, options: JobOptions) -> None:
        self._options = options
        self._cluster: Any = None
        self._checked = 0.0
        self._failures = 0
        self._joined = False
        self._waiting: dict[str, str] = {}
        """Name of a worker → why its job waits, as it was last told."""

    @property
    def name(self) -> str:
        partition = self._options.partition
        return "jobs of Slurm" + (f" in {partition}" if partition else "")

    async def connect(self, seconds: float) -> Client:
        """A new connection; the first one starts the scheduler and submits the jobs.

        Raises EvaluatorError where Slurm takes no job.
        """
        from distributed import Client

        if self._cluster is None:
            self._cluster = self._make()
            await self._submit()
        client = Client(self._cluster, asynchronous=True, timeout=seconds, set_as_default=False)
        try:
            await client
        except OSError as error:
            raise EvaluatorError(f"the scheduler for {self.name} is gone: {error}") from error
        return client

    async def _submit(self) -> None:
        """Submits the jobs that are missing. Raises EvaluatorError where Slurm takes one not."""
        cluster = self._cluster
        for name in [name for name, job in cluster.workers.items() if not job.job_id]:
            del cluster.workers[name]  # Slurm did not take it
        while len(cluster.worker_spec) < self._options.workers:
            cluster.worker_spec.update(cluster.new_worker_spec())
        try:
            await cluster  # starts the scheduler where it does not run yet
        except (OSError, ValueError, RuntimeError) as error:
            raise EvaluatorError(f"Slurm takes no job: {_last_line(error)}") from error

    def _make(self) -> Any:
        """The cluster, not started yet. Raises EvaluatorError."""
        import dask
        from dask_jobqueue import SLURMCluster
        from dask_jobqueue.slurm import SLURMJob
        from distributed import Security

        class Job(SLURMJob):  # type: ignore[misc]
            """Calls Slurm's commands without the variables that may hold a secret."""

            @staticmethod
            async def _call(cmd: list[str], **more: Any) -> Any:
                return await SLURMJob._call(cmd, env=environment(), **more)

        def configured(name: str) -> list[str]:
            return list(dask.config.get(f"jobqueue.slurm.{name}", None) or [])

        # `tend` submits lost jobs again; Dask would cancel the new one, taking it for the old
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1000 days"})
        options = self._options
        shared = options.shared or str(cache_folder("slurm"))
        partition = f"-{options.partition}" if options.partition else ""
        try:
            return SLURMCluster(
                job_cls=Job, name=f"slurm{partition}",
                cores=options.cores, processes=1, memory=options.memory, python=options.python,
                queue=options.partition, account=options.account, walltime=options.walltime,
                interface=options.interface, job_name="avo", log_directory=shared,
                security=Security.temporary(), shared_temp_directory=shared,
                job_extra_directives=[*configured("job-extra-directives"), *options.directives],
                worker_extra_args=[
                    *configured("worker-extra-args"),
                    "--resources", "device=1", "--no-dashboard",
                ],
                scheduler_options={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                asynchronous=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise EvaluatorError(f"dask-jobqueue refuses: {_last_line(error)}") from error

    async def tend(self, workers: Collection[str]) -> bool:
        """See `SchedulerSource.tend`: submits jobs again that have ended."""
        if workers:
            self._joined, self._failures = True, 0
        if time.monotonic() - self._checked < CHECK_SECONDS:
            return True
        self._checked = time.monotonic()
        jobs = {n: str(job.job_id) for n, job in self._cluster.workers.items() if job.job_id}
        queue = await _queue()
        for name, number in jobs.items():
            if name in workers:
                self._waiting.pop(name, None)
            elif queue is not None and number not in queue:
                self._over(name, number)
            elif queue is not None:
                self._tell_waiting(name, number, queue[number])
        try:
            await self._submit()
        except EvaluatorError as error:
            if not self._joined:
                raise
            log.warning("%s", error)
        return True

    def _over(self, name: str, number: str) -> None:
        """A job ended whose worker is not there. Raises EvaluatorError if none ever is."""
        log.warning("job %s of Slurm (%s) has ended; it is submitted again", number, name)
        self._cluster.workers.pop(name, None)
        self._failures += 1
        if self._failures >= FAILURES and not self._joined:
            raise EvaluatorError(
                f"{self._failures} jobs of Slurm ended before their worker joined; the last one "
                f"says: {self._last_words(number)}"
            )

    def _last_words(self, number: str) -> str:
        folder = Path(self._options.shared or cache_folder("slurm"))
        file = folder / f"avo-{number}.err"
        with contextlib.suppress(OSError):
            if lines := file.read_text(errors="replace").split("\n\n")[-1].strip().splitlines():
                return f"{lines[-1][:300]} ({file})"
        return f"nothing ({file})"

    def _tell_waiting(self, name: str, number: str, why: str) -> None:
        if self._waiting.get(name) != why:
            self._waiting[name] = why
            log.warning("job %s of Slurm (%s): %s", number, name, why)

    async def close(self) -> None:
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            with contextlib.suppress(Exception):  # the jobs end when they miss the scheduler
                async with asyncio.timeout(CLOSE_SECONDS):
                    await cluster.close()


async def _queue() -> Mapping[str, str] | None:
    """Number of each job of this user → its state and the reason; None if Slurm does not say."""
    try:
        process = await asyncio.create_subprocess_exec(
            "squeue", "-h", "-u", str(os.getuid()), "-o", "%i|%T (%r)",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env=environment(),
        )  # fmt: skip
        out, _ = await process.communicate()
    except OSError:
        return None
    if process.returncode != 0:
        return None
    rows = (line.partition("|") for line in out.decode(errors="replace").splitlines())
    return {number: state for number, _, state in rows}


def _last_line(error: Exception) -> str:
    """What a failed command said last, without the rest of dask-jobqueue's report."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


DESCRIPTOR = SiteDescriptor("dask+slurm", make_site, what_is_missing)
