"""A real Slurm on loopback: one controller, one node, without accounts and without munge."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.evaluation.workers.sshd import free_port

TOOLS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
MISSING = next((f"there is no {tool}" for tool in TOOLS if shutil.which(tool) is None), None)
if MISSING is None and os.geteuid() != 0:
    MISSING = "slurmd is started by root"

_CONFIGURATION = """\
ClusterName=avo
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
StateSaveLocation={folder}
SlurmdSpoolDir={folder}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=1
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/builtin
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Slurm:
    """A running cluster."""

    folder: Path

    def call(self, *command: str) -> str:
        """What a client of Slurm prints. Raises CalledProcessError."""
        told = subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True, timeout=120
        )
        return told.stdout.strip()

    @property
    def environment(self) -> dict[str, str]:
        """In which clients find the cluster."""
        return {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def submit(self, command: str) -> str:
        """Submits a job; its number."""
        output = str(self.folder / "job-%j")
        return self.call("sbatch", "--parsable", "-n", "1", "-o", output, "--wrap", command)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """Starts a cluster, and ends it with its jobs."""
    slurm = Slurm(folder)
    deadline = time.monotonic() + 240
    processes: list[subprocess.Popen[bytes]] = []
    while not processes:
        assert time.monotonic() < deadline, (folder / "log").read_text()
        processes = _start(slurm, deadline)
    try:
        yield slurm
    finally:
        with contextlib.suppress(subprocess.SubprocessError):
            slurm.call("scancel", "--full", "-u", getpass.getuser())
            end = time.monotonic() + 60
            while slurm.call("squeue", "-h") and time.monotonic() < end:
                time.sleep(0.1)
        _end(processes)


def _start(slurm: Slurm, deadline: float) -> list[subprocess.Popen[bytes]]:
    """The two daemons; [] where somebody else took one of the ports meanwhile."""
    text = _CONFIGURATION.format(
        host=platform.node().partition(".")[0], user=getpass.getuser(), folder=slurm.folder,
        controller=free_port(), daemon=free_port(),
    )  # fmt: skip
    (slurm.folder / "slurm.conf").write_text(text)
    processes = []
    with (slurm.folder / "log").open("ab") as log:
        for name in ("slurmctld", "slurmd"):
            processes.append(
                subprocess.Popen(
                    [name, "-D", "-f", str(slurm.folder / "slurm.conf")],
                    stdout=log, stderr=log, env=slurm.environment,
                )
            )  # fmt: skip
    while all(process.poll() is None for process in processes) and time.monotonic() < deadline:
        with contextlib.suppress(subprocess.SubprocessError):
            if slurm.call("sinfo", "-h", "-o", "%t") == "idle":
                return processes
        time.sleep(0.1)
    _end(processes)
    return []


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
